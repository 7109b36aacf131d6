//! Browser uploads: whole forms, their policies, and every way in which one is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::s3::sigv4::{AmzDate, CredentialScope, PolicyClaim, SigningKey};

const DATE: &str = "20231114T221320Z";
const BOUNDARY: &str = "----WebKitFormBoundaryX";

fn credential() -> String {
    format!("{ACCESS_KEY}/20231114/us-east-1/s3/aws4_request")
}

fn sign_policy(secret: &str, policy: &str) -> String {
    let scope = CredentialScope {
        day: AmzDate::parse(DATE).unwrap().day(),
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
    };
    SigningKey::derive(&SecretKey::new(secret), &scope).sign(policy)
}

/// A form in the making.
pub(super) struct Draft {
    uri: &'static str,
    conditions: String,
    expiration: &'static str,
    fields: Vec<(String, Vec<u8>)>,
    filename: &'static str,
    pub(super) file: Vec<u8>,
    /// What stands behind the file.
    end: String,
    pub(super) secret: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    content_length: Option<usize>,
    /// Whether policy and signature are added.
    signs: bool,
    /// How it came, as the server says.
    scheme: Scheme,
}

/// A form that is accepted.
pub(super) fn draft() -> Draft {
    let mut draft = Draft {
        uri: "/bucket",
        conditions: String::new(),
        expiration: "2023-11-15T00:00:00.000Z",
        fields: Vec::new(),
        filename: "C:\\pictures\\cat.jpg",
        file: b"not\r\n--really a cat".to_vec(),
        end: format!("\r\n--{BOUNDARY}--\r\n"),
        secret: SECRET,
        headers: Vec::new(),
        content_length: None,
        signs: true,
        scheme: Scheme::Http,
    };
    draft.field("key", "user/${filename}");
    draft.field("Content-Type", "image/jpeg");
    draft.field("x-amz-credential", &credential());
    draft.field("x-amz-algorithm", "AWS4-HMAC-SHA256");
    draft.field("x-amz-date", DATE);
    draft.condition("{\"bucket\": \"bucket\"}");
    draft.condition("[\"starts-with\", \"$key\", \"user/\"]");
    draft.condition("[\"starts-with\", \"$Content-Type\", \"image/\"]");
    draft.condition(&format!("{{\"x-amz-credential\": \"{}\"}}", credential()));
    draft.condition("{\"x-amz-algorithm\": \"AWS4-HMAC-SHA256\"}");
    draft.condition(&format!("{{\"x-amz-date\": \"{DATE}\"}}"));
    draft
}

impl Draft {
    fn field(&mut self, name: &str, value: &str) -> &mut Self {
        self.fields
            .push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn condition(&mut self, condition: &str) -> &mut Self {
        if !self.conditions.is_empty() {
            self.conditions.push(',');
        }
        self.conditions.push_str(condition);
        self
    }

    /// A field with a condition of its own.
    fn covered(&mut self, name: &str, value: &str) -> &mut Self {
        self.field(name, value);
        self.condition(&format!("[\"eq\", \"${name}\", \"{value}\"]"))
    }

    fn without(&mut self, name: &str) -> &mut Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    fn policy(&self) -> String {
        STANDARD.encode(format!(
            "{{\"expiration\": \"{}\", \"conditions\": [{}]}}",
            self.expiration, self.conditions
        ))
    }

    fn body(&self) -> Vec<u8> {
        let policy = self.policy();
        let mut fields = self.fields.clone();
        let has = |name: &str| self.fields.iter().any(|(known, _)| known == name);
        if self.signs && !has("policy") {
            fields.push(("policy".to_owned(), policy.clone().into_bytes()));
        }
        if self.signs && !has("x-amz-signature") {
            let signature = sign_policy(self.secret, &policy);
            fields.push(("x-amz-signature".to_owned(), signature.into_bytes()));
        }
        let mut body = Vec::new();
        for (name, value) in fields {
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(&value);
            body.extend_from_slice(b"\r\n");
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: text/html\r\n\r\n",
            self.filename
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&self.file);
        body.extend_from_slice(self.end.as_bytes());
        body
    }

    /// Sends the form in pieces of this many bytes.
    async fn send_in(&self, bench: &Bench, piece_len: usize) -> Answer {
        let body = self.body();
        let len = self.content_length.unwrap_or(body.len());
        let mut request = Request::builder()
            .method("POST")
            .uri(self.uri)
            .extension(self.scheme)
            .header("host", HOST)
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .header("content-length", len);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let pieces: Vec<_> = body
            .chunks(piece_len)
            .map(|piece| Ok::<_, BodyError>(http_body::Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = http_body_util::StreamBody::new(futures::stream::iter(pieces));
        let (head, body) = bench
            .pipeline
            .serve(request.body(body).unwrap())
            .await
            .into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(super) async fn send(&self, bench: &Bench) -> Answer {
        self.send_in(bench, 1 << 20).await
    }
}

fn put_of(bench: &Bench) -> crate::s3::op::PutObjectInput {
    match bench.store.last() {
        Operation::PutObject(input) => input,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_form_puts_its_file_however_it_arrives() {
    for piece_len in [1, 2, 7, 64, 1 << 20] {
        let bench = Bench::new();
        let mut form = draft();
        form.covered("x-amz-meta-a", "1")
            .covered("x-amz-storage-class", "cold");
        form.covered(
            "tagging",
            "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
        );
        let answer = form.send_in(&bench, piece_len).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (204, ""),
            "{piece_len}"
        );
        assert_eq!(
            answer.header("location"),
            Some("http://localhost:9000/bucket/user/cat.jpg")
        );
        assert!(answer.header("etag").is_some());
        let put = put_of(&bench);
        assert_eq!(put.key.as_str(), "user/cat.jpg");
        assert_eq!(
            put.attributes.content.content_type.as_deref(),
            Some("image/jpeg")
        );
        assert_eq!(
            put.attributes.metadata.iter().collect::<Vec<_>>(),
            [("a", "1")]
        );
        assert_eq!(put.attributes.tags.iter().collect::<Vec<_>>(), [("k", "v")]);
        assert_eq!(put.storage_class.unwrap().as_str(), "cold");
        let get = bench.ask("GET", "/bucket/user/cat.jpg", &[], "").await;
        assert_eq!(get.body.as_bytes(), form.file, "{piece_len}");
    }
}

#[tokio::test]
async fn what_stands_behind_the_file_does_not_count() {
    let submit = "Content-Disposition: form-data; name=\"submit\"\r\n\r\nUpload";
    for end in [
        format!("\r\n--{BOUNDARY}--"),
        format!("\r\n--{BOUNDARY}\r\n{submit}\r\n--{BOUNDARY}--\r\n"),
        format!("\r\n--{BOUNDARY}--\r\nan epilogue"),
    ] {
        for (file, piece_len) in [(&b"bytes"[..], 1 << 20), (b"bytes", 3), (b"", 1 << 20)] {
            let bench = Bench::new();
            let mut form = draft();
            form.end.clone_from(&end);
            form.file = file.to_vec();
            let answer = form.send_in(&bench, piece_len).await;
            assert_eq!(answer.status, 204, "{end:?}: {}", answer.body);
            let get = bench.ask("GET", "/bucket/user/cat.jpg", &[], "").await;
            assert_eq!(get.body.as_bytes(), file, "{end:?}");
        }
    }
    for end in [
        String::new(),
        "\r\n--".to_owned(),
        format!("\r\n--{BOUNDARY}"),
        format!("\r\n--{BOUNDARY}\r\n{submit}"),
        format!(
            "\r\n--{BOUNDARY}\r\n{}\r\n--{BOUNDARY}--\r\n",
            "x".repeat(65 << 10)
        ),
    ] {
        let bench = Bench::new();
        let mut form = draft();
        form.end.clone_from(&end);
        let answer = form.send(&bench).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "MalformedPOSTRequest"),
            "{}",
            end.len()
        );
        let get = bench.ask("GET", "/bucket/user/cat.jpg", &[], "").await;
        assert_eq!(get.status, 404, "nothing was published");
    }
}

#[tokio::test]
async fn the_location_is_where_the_sender_reached_it() {
    for (scheme, text) in [(Scheme::Http, "http"), (Scheme::Https, "https")] {
        let bench = Bench::new();
        let form = Draft { scheme, ..draft() };
        let answer = form.send(&bench).await;
        let location = format!("{text}://{HOST}/bucket/user/cat.jpg");
        assert_eq!(answer.header("location"), Some(location.as_str()));
    }
}

#[tokio::test]
async fn the_sender_is_told_what_it_asked_to_be_told() {
    let key = "user/cat.jpg";
    for (name, value, status) in [
        ("success_action_status", "200", 200),
        ("success_action_status", "201", 201),
        ("success_action_status", "204", 204),
        ("success_action_status", "500", 204),
        (
            "success_action_redirect",
            "https://app.example.com/done?x=1",
            303,
        ),
        ("redirect", "http://app.example.com", 303),
        ("success_action_redirect", "javascript:alert(1)", 204),
        ("success_action_redirect", "/relative", 204),
        ("success_action_redirect", "https://a.de/#fragment", 204),
    ] {
        let bench = Bench::new();
        let mut form = draft();
        form.covered(name, value);
        let answer = form.send(&bench).await;
        assert_eq!(answer.status, status, "{name} {value}: {}", answer.body);
        let etag = put_of_etag(&form.file);
        let page = match value {
            "https://app.example.com/done?x=1" => format!("{value}&"),
            "http://app.example.com" => format!("{value}?"),
            _ => String::new(),
        };
        let location = if page.is_empty() {
            format!("http://{HOST}/bucket/{key}")
        } else {
            format!("{page}bucket=bucket&key=user%2Fcat.jpg&etag=%22{etag}%22")
        };
        assert_eq!(
            answer.header("location"),
            Some(location.as_str()),
            "{value}"
        );
        if status == 201 {
            let expected = format!(
                "<PostResponse><Location>{location}</Location><Bucket>bucket</Bucket>\
                 <Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag></PostResponse>"
            );
            assert!(answer.body.ends_with(&expected), "{}", answer.body);
        } else {
            assert_eq!(answer.body, "");
        }
    }
    let bench = Bench::new();
    let mut form = draft();
    form.field("success_action_redirect", "https://a.de/\r\nSet-Cookie: x");
    form.condition("[\"starts-with\", \"$success_action_redirect\", \"https://a.de/\"]");
    let answer = form.send(&bench).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("set-cookie"), None);
}

fn put_of_etag(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    hex::encode(Md5::digest(bytes))
}

type Change = fn(&mut Draft) -> &mut Draft;

#[tokio::test]
async fn a_form_that_its_policy_does_not_allow_is_refused_whole() {
    let refusals: &[(&str, Change, u16, &str)] = &[
        (
            "no policy",
            |f| {
                f.signs = false;
                f
            },
            403,
            "AccessDenied",
        ),
        (
            "another secret",
            |f| {
                f.secret = "wrong";
                f
            },
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "a changed signature",
            |f| f.field("x-amz-signature", &"0".repeat(64)),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "a changed policy",
            |f| {
                f.field("policy", "e30=")
                    .field("x-amz-signature", &sign_policy(SECRET, "e30"))
            },
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "an empty policy",
            |f| {
                f.field("policy", "e30=")
                    .field("x-amz-signature", &sign_policy(SECRET, "e30="))
            },
            400,
            "InvalidPolicyDocument",
        ),
        (
            "a policy that is no text",
            |f| {
                f.field("policy", "!")
                    .field("x-amz-signature", &sign_policy(SECRET, "!"))
            },
            400,
            "InvalidPolicyDocument",
        ),
        (
            "no signature",
            |f| f.field("x-amz-signature", ""),
            403,
            "SignatureDoesNotMatch",
        ),
        (
            "an unknown key",
            |f| {
                f.without("x-amz-credential").field(
                    "x-amz-credential",
                    "NOBODY/20231114/us-east-1/s3/aws4_request",
                )
            },
            403,
            "InvalidAccessKeyId",
        ),
        (
            "another region",
            |f| {
                f.without("x-amz-credential").field(
                    "x-amz-credential",
                    &format!("{ACCESS_KEY}/20231114/eu-west-1/s3/aws4_request"),
                )
            },
            400,
            "AuthorizationQueryParametersError",
        ),
        (
            "another service",
            |f| {
                f.without("x-amz-credential").field(
                    "x-amz-credential",
                    &format!("{ACCESS_KEY}/20231114/us-east-1/admin/aws4_request"),
                )
            },
            400,
            "AuthorizationQueryParametersError",
        ),
        (
            "no credential",
            |f| f.without("x-amz-credential"),
            400,
            "AuthorizationQueryParametersError",
        ),
        (
            "no date",
            |f| f.without("x-amz-date"),
            400,
            "AuthorizationQueryParametersError",
        ),
        (
            "no algorithm",
            |f| f.without("x-amz-algorithm"),
            400,
            "AuthorizationQueryParametersError",
        ),
        (
            "a session token",
            |f| f.covered("x-amz-security-token", "t"),
            400,
            "InvalidToken",
        ),
        (
            "expired",
            |f| {
                f.expiration = "2023-11-14T22:13:19.000Z";
                f
            },
            403,
            "AccessDenied",
        ),
        (
            "a field without a condition",
            |f| f.field("x-amz-meta-a", "1"),
            403,
            "AccessDenied",
        ),
        (
            "acl without a condition",
            |f| f.field("acl", "private"),
            403,
            "AccessDenied",
        ),
        (
            "another bucket in the form",
            |f| f.field("bucket", "another"),
            403,
            "AccessDenied",
        ),
        (
            "another bucket in the path",
            |f| {
                f.uri = "/another";
                f
            },
            403,
            "AccessDenied",
        ),
        (
            "a key that the policy does not allow",
            |f| f.without("key").field("key", "other/x"),
            403,
            "AccessDenied",
        ),
        (
            "another content type",
            |f| f.without("Content-Type").field("Content-Type", "text/html"),
            403,
            "AccessDenied",
        ),
        (
            "no content type",
            |f| f.without("Content-Type"),
            403,
            "AccessDenied",
        ),
        (
            "a condition on an absent field",
            |f| f.condition("{\"x-amz-meta-a\": \"1\"}"),
            403,
            "AccessDenied",
        ),
        (
            "a condition that is none",
            |f| f.condition("[\"ends-with\", \"$key\", \"x\"]"),
            400,
            "InvalidPolicyDocument",
        ),
        ("no key", |f| f.without("key"), 400, "InvalidArgument"),
        (
            "an empty key",
            |f| f.without("key").field("key", ""),
            400,
            "InvalidArgument",
        ),
        (
            "a field twice",
            |f| f.field("KEY", "user/other"),
            400,
            "InvalidArgument",
        ),
        (
            "a long key",
            |f| {
                f.without("key")
                    .field("key", &format!("user/{}", "k".repeat(1020)))
            },
            400,
            "KeyTooLongError",
        ),
        (
            "a public list",
            |f| f.covered("acl", "public-read"),
            400,
            "AccessControlListNotSupported",
        ),
        (
            "encryption by a key service",
            |f| f.covered("x-amz-server-side-encryption", "aws:kms"),
            501,
            "NotImplemented",
        ),
        (
            "a copy",
            |f| f.covered("x-amz-copy-source", "/b/k"),
            501,
            "NotImplemented",
        ),
        (
            "a wrong checksum",
            |f| f.covered("x-amz-checksum-crc32", "AAAAAA=="),
            400,
            "BadDigest",
        ),
        (
            "bad tags",
            |f| f.covered("tagging", "<Tagging/>"),
            400,
            "MalformedXML",
        ),
        (
            "a file that is too long",
            |f| f.condition("[\"content-length-range\", 0, 18]"),
            400,
            "EntityTooLarge",
        ),
        (
            "a file that is too short",
            |f| f.condition("[\"content-length-range\", 20, 99]"),
            400,
            "EntityTooSmall",
        ),
        (
            "an impossible range",
            |f| f.condition("[\"content-length-range\", 30, 1]"),
            400,
            "EntityTooLarge",
        ),
        (
            "long fields",
            |f| f.covered("x-amz-meta-a", &"v".repeat(20 << 10)),
            400,
            "MaxPostPreDataLengthExceeded",
        ),
        (
            "a field that is not UTF-8",
            |f| {
                f.fields.push(("x-ignore-a".to_owned(), vec![0xFF]));
                f
            },
            400,
            "MalformedPOSTRequest",
        ),
        (
            "two ways to sign",
            |f| {
                f.headers.push(("authorization", "AWS4-HMAC-SHA256 x"));
                f
            },
            400,
            "InvalidArgument",
        ),
        (
            "a body that ends early",
            |f| {
                f.content_length = Some(9999);
                f
            },
            400,
            "IncompleteBody",
        ),
    ];
    for (name, change, status, code) in refusals {
        let bench = Bench::new();
        let mut form = draft();
        change(&mut form);
        let answer = form.send(&bench).await;
        assert_eq!(
            (answer.status, answer.code()),
            (*status, *code),
            "{name}: {}",
            answer.body
        );
        let published = bench.store.published();
        assert!(!published, "{name}: something was published");
    }
}

#[tokio::test]
async fn a_range_of_lengths_holds_at_both_ends() {
    for (range, status) in [
        ("19, 19", 204),
        ("0, 19", 204),
        ("19, 20", 204),
        ("20, 20", 400),
        ("0, 18", 400),
    ] {
        let bench = Bench::new();
        let mut form = draft();
        assert_eq!(form.file.len(), 19);
        form.condition(&format!("[\"content-length-range\", {range}]"));
        assert_eq!(form.send(&bench).await.status, status, "{range}");
    }
}

#[tokio::test]
async fn a_request_that_is_no_form_learns_nothing() {
    let bench = Bench::new();
    for (kind, length, status, code) in [
        ("text/plain", Some("5"), 403, "AccessDenied"),
        ("multipart/form-data", Some("5"), 403, "AccessDenied"),
        (
            "multipart/form-data; boundary=",
            Some("5"),
            403,
            "AccessDenied",
        ),
        (
            "multipart/form-data; boundary=x",
            None,
            411,
            "MissingContentLength",
        ),
        (
            "multipart/form-data; boundary=x",
            Some("5"),
            400,
            "MalformedPOSTRequest",
        ),
    ] {
        let mut request = Request::builder()
            .method("POST")
            .uri("/bucket")
            .header("host", HOST)
            .header("content-type", kind);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let answer = bench.send(request.body(b"hello".to_vec()).unwrap()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{kind}");
    }
    let signed = bench
        .ask(
            "POST",
            "/bucket",
            &[("content-type", "text/plain")],
            "hello",
        )
        .await;
    assert_eq!((signed.status, signed.code()), (412, "PreconditionFailed"));
    let nofile = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--{BOUNDARY}--\r\n"
    );
    let request = Request::builder()
        .method("POST")
        .uri("/bucket")
        .header("host", HOST)
        .header(
            "content-type",
            format!("multipart/form-data; boundary=\"{BOUNDARY}\""),
        )
        .header("content-length", nofile.len())
        .body(nofile.into_bytes())
        .unwrap();
    let answer = bench.send(request).await;
    assert_eq!((answer.status, answer.code()), (400, "InvalidArgument"));
    assert!(bench.store.asked().is_empty());
}

/// The example of AWS's "Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)".
#[tokio::test]
async fn the_published_example_is_signed_as_published() {
    let policy = [
        "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6",
        "IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRo",
        "IiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAg",
        "IHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5h",
        "bWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwg",
        "IiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUx",
        "MjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0s",
        "DQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16",
        "LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3",
        "czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwN",
        "CiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9",
    ]
    .concat();
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let verifier = Verifier::new("s3", "us-east-1", Arc::new(TwoKeys), clock);
    let claim = |signature| PolicyClaim {
        policy: Some(&policy),
        algorithm: Some("AWS4-HMAC-SHA256"),
        credential: Some("AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"),
        date: Some("20151229T000000Z"),
        signature: Some(signature),
        has_session_token: false,
        is_version_2: false,
    };
    let published = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";
    let key = verifier
        .authenticate_policy(claim(published))
        .await
        .unwrap();
    assert_eq!(key, ACCESS_KEY);
    let changed = published.replace("8af", "8ae");
    assert!(verifier.authenticate_policy(claim(&changed)).await.is_err());
}
