//! A client that can sign anything, also what it should not.

use http::request::Builder;
use http::{HeaderMap, HeaderValue};

use super::{ACCESS_KEY, DATE, EMPTY_SHA256, SECRET, date_ms, head, request, verifier_at};
use crate::s3::error::S3Error;
use crate::s3::sigv4::canonical::{canonical_request, decode_query};
use crate::s3::sigv4::key::string_to_sign;
use crate::s3::sigv4::{AmzDate, CredentialScope, SecretKey, SigningKey, encode_query_component};

/// Signs as it is told.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) access_key: &'static str,
    pub(super) secret: &'static str,
    pub(super) date: &'static str,
    pub(super) scope: [&'static str; 4],
    pub(super) signed: &'static [&'static str],
    pub(super) expires: &'static str,
}

pub(super) const CLIENT: Client = Client {
    access_key: ACCESS_KEY,
    secret: SECRET,
    date: DATE,
    scope: ["20130524", "us-east-1", "s3", "aws4_request"],
    signed: &["host", "x-amz-content-sha256", "x-amz-date"],
    expires: "600",
};

impl Client {
    pub(super) fn signature(
        &self,
        method: &str,
        target: &str,
        headers: &HeaderMap,
        hash: &str,
    ) -> String {
        let [day, region, service, _] = self.scope.map(str::to_owned);
        let scope = CredentialScope {
            day,
            region,
            service,
        };
        let names: Vec<String> = self.signed.iter().map(|&name| name.to_owned()).collect();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = method.parse().unwrap();
        let canonical =
            canonical_request(&method, path, &decode_query(query), headers, &names, hash);
        let date = AmzDate::parse(self.date).unwrap();
        SigningKey::derive(&SecretKey::new(self.secret), &scope)
            .sign(&string_to_sign(date, &scope, &canonical))
    }

    pub(super) fn credential(&self) -> String {
        format!("{}/{}", self.access_key, self.scope.join("/"))
    }

    /// A request with a signed header, and headers that it adds after signing where they are not
    /// among `signed`.
    pub(super) fn header(
        &self,
        method: &str,
        target: &str,
        more: &[(&'static str, &str)],
    ) -> Builder {
        let mut request = request(method, target)
            .header("host", "localhost")
            .header("x-amz-date", self.date)
            .header("x-amz-content-sha256", EMPTY_SHA256);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let headers = request.headers_ref().unwrap();
        let signature = self.signature(method, target, headers, EMPTY_SHA256);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}, SignedHeaders={}, Signature={signature}",
            self.credential(),
            self.signed.join(";")
        );
        request.header("authorization", authorization)
    }

    pub(super) fn presigned(
        &self,
        method: &str,
        path: &str,
        more: &[(&'static str, &str)],
    ) -> Builder {
        let mut request = request(method, path).header("host", "localhost");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let target = format!(
            "{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={}\
             &X-Amz-Expires={}&X-Amz-SignedHeaders={}",
            encode_query_component(self.credential().as_bytes()),
            self.date,
            self.expires,
            self.signed.join("%3B"),
        );
        let headers = request.headers_ref().unwrap();
        let hash = headers
            .get("x-amz-content-sha256")
            .map_or("UNSIGNED-PAYLOAD", |value| value.to_str().unwrap())
            .to_owned();
        let signature = self.signature(method, &target, headers, &hash);
        request.uri(format!("{target}&X-Amz-Signature={signature}"))
    }
}

/// A client that presigns with only `host` signed.
pub(super) const PRESIGNER: Client = Client {
    signed: &["host"],
    ..CLIENT
};

pub(super) async fn answer_at(now_ms: u64, request: Builder) -> Result<(), S3Error> {
    verifier_at(now_ms)
        .authenticate(&head(request))
        .await
        .map(drop)
        .map_err(S3Error::from)
}

/// `STATUS Code`, or `ok`.
pub(super) async fn verdict(request: Builder) -> String {
    verdict_at(date_ms(), request).await
}

pub(super) async fn verdict_at(now_ms: u64, request: Builder) -> String {
    match answer_at(now_ms, request).await {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{} {}", error.status().as_u16(), error.code()),
    }
}

pub(super) fn with_authorization(value: &str) -> Builder {
    let mut request = CLIENT.header("GET", "/b/k", &[]);
    request
        .headers_mut()
        .unwrap()
        .insert("authorization", HeaderValue::from_str(value).unwrap());
    request
}

pub(super) fn authorization(request: &Builder) -> String {
    request.headers_ref().unwrap()["authorization"]
        .to_str()
        .unwrap()
        .to_owned()
}
