//! Browser uploads: a form with a signed policy, as a page would send it.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::client::{Call, Client, Payload};
use super::digest::{aws_time, iso8601, policy_signature};
use super::http::{self, Response};

/// For how long a policy is good.
const GOOD: Duration = Duration::from_secs(600);

/// What separates the fields; no file that a test sends has it.
const BOUNDARY: &str = "holdfast-form-boundary-5f1c7d3a";

impl Client {
    /// Sends `file` to `bucket` with these fields and a policy that allows just them.
    pub(crate) fn post_form(
        &self,
        bucket: &str,
        fields: &[(String, String)],
        file: &[u8],
    ) -> Response {
        let mut all = fields.to_vec();
        all.extend(self.signature_fields(bucket, fields));
        let body = framed(&all, file);
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let call = Call::new("POST", &format!("/{bucket}")).payload(Payload::Unsigned);
        let headers = [("content-type".to_owned(), kind)];
        let request = call.wire(self.address, &call.target(), &headers, &body);
        http::exchange(self.address, "POST", &request)
            .unwrap_or_else(|error| panic!("no answer to a form: {error}"))
    }

    fn signature_fields(&self, bucket: &str, fields: &[(String, String)]) -> Vec<(String, String)> {
        let time = SystemTime::now();
        let stamp = aws_time(time);
        let signer = &self.signer;
        let scope = format!(
            "{}/{}/{}/{}/aws4_request",
            signer.access_key,
            &stamp[..8],
            signer.region,
            signer.service
        );
        let mut signed = vec![
            ("x-amz-algorithm".to_owned(), "AWS4-HMAC-SHA256".to_owned()),
            ("x-amz-credential".to_owned(), scope),
            ("x-amz-date".to_owned(), stamp),
        ];
        let mut conditions: Vec<Value> = vec![json!({ "bucket": bucket })];
        for (name, value) in fields.iter().chain(&signed) {
            conditions.push(json!(["eq", format!("${name}"), value]));
        }
        let end = (time + GOOD).duration_since(SystemTime::UNIX_EPOCH);
        let end = end.expect("it is after 1970").as_millis() as u64;
        let policy = json!({ "expiration": iso8601(end), "conditions": conditions });
        let policy = STANDARD.encode(policy.to_string());
        let signature = policy_signature(signer, time, &policy);
        signed.push(("policy".to_owned(), policy));
        signed.push(("x-amz-signature".to_owned(), signature));
        signed
    }
}

fn framed(fields: &[(String, String)], file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let field = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        body.extend_from_slice(field.as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}
