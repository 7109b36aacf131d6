//! Signed requests, whole, against a store that writes down what it is asked.

mod encryption;
mod forms;
mod pages;
mod rates;
mod store;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use holdfast_types::ManualClock;
use http_body_util::{BodyExt, Full};

use super::*;
use crate::s3::sigv4::{Credential, CredentialStore, CredentialStoreError, SecretKey};
use store::RecordingStore;

const NOW_MS: u64 = 1_700_000_000_000;
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// It has the same secret.
const OTHER_KEY: &str = "AKIAI44QH8DHBEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "localhost:9000";

struct TwoKeys;

#[async_trait]
impl CredentialStore for TwoKeys {
    async fn credential(&self, key: &str) -> Result<Option<Credential>, CredentialStoreError> {
        Ok([ACCESS_KEY, OTHER_KEY].contains(&key).then(|| Credential {
            secret: SecretKey::new(SECRET),
        }))
    }
}

struct Bench {
    pipeline: Pipeline,
    store: Arc<RecordingStore>,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn code(&self) -> &str {
        let rest = self.body.split_once("<Code>").map_or("", |(_, rest)| rest);
        rest.split_once("</Code>").map_or("", |(code, _)| code)
    }
}

impl Bench {
    fn new() -> Self {
        Self::limited(RateLimits::default())
    }

    fn limited(limits: RateLimits) -> Self {
        let store = Arc::new(RecordingStore::default());
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let verifier = Verifier::new("s3", "us-east-1", Arc::new(TwoKeys), clock.clone());
        let pipeline = Pipeline::new(PipelineParts {
            service: store.clone(),
            verifier,
            addressing: Addressing::default(),
            region: "us-east-1".to_owned(),
            host_id: "gateway-1".to_owned(),
            clock,
            metrics: Metrics::new(),
            limits,
        });
        Self { pipeline, store }
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Answer {
        let request = request.map(|body| Full::new(Bytes::from(body)).map_err(|e| match e {}));
        let (head, body) = self.pipeline.serve(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Signs in the header, and sends.
    async fn ask(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let location = SignatureLocation::Headers;
        self.send(signed(location, method, uri, headers, body.as_bytes()))
            .await
    }
}

fn signed(
    location: SignatureLocation,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Request<Vec<u8>> {
    signed_by(ACCESS_KEY, location, method, uri, headers, body)
}

fn signed_by(
    access_key: &str,
    location: SignatureLocation,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Request<Vec<u8>> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{HOST}{uri}"))
        .header("host", HOST)
        .header("content-length", body.len());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body.to_vec()).unwrap();
    let identity = Credentials::new(access_key, SECRET, None, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.signature_location = location;
    settings.expires_in =
        (location == SignatureLocation::QueryParams).then_some(Duration::from_secs(900));
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(UNIX_EPOCH + Duration::from_millis(NOW_MS))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let pairs: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let payload = match location {
        SignatureLocation::Headers => SignableBody::Bytes(body),
        _ => SignableBody::UnsignedPayload,
    };
    let target = request.uri().to_string();
    let signable = SignableRequest::new(
        method,
        target,
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
        payload,
    )
    .unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    let target = request
        .uri()
        .path_and_query()
        .unwrap()
        .as_str()
        .parse()
        .unwrap();
    *request.uri_mut() = target;
    request
}

#[tokio::test]
async fn an_object_is_put_and_read_back() {
    let bench = Bench::new();
    let put = bench
        .ask("PUT", "/bucket/a%20b", &[("x-amz-meta-m", "1")], "hello")
        .await;
    assert_eq!((put.status, put.body.as_str()), (200, ""));
    assert_eq!(
        put.header("etag"),
        Some("\"5d41402abc4b2a76b9719d911017c592\"")
    );
    assert!(put.header("x-amz-checksum-crc64nvme").is_some());
    assert_eq!(put.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(put.header("x-amz-id-2"), Some("gateway-1"));
    assert_eq!(put.header("x-amz-request-id").map(str::len), Some(16));
    let Operation::PutObject(input) = bench.store.last() else {
        panic!()
    };
    assert_eq!(input.key.as_str(), "a b");

    let get = bench.ask("GET", "/bucket/a%20b", &[], "").await;
    assert_eq!((get.status, get.body.as_str()), (200, "hello"));
    assert_eq!(get.header("content-length"), Some("5"));
    assert_eq!(get.header("x-amz-meta-m"), Some("1"));
    let range = bench
        .ask("GET", "/bucket/a%20b", &[("range", "bytes=1-2")], "")
        .await;
    assert_eq!((range.status, range.body.as_str()), (206, "el"));
    assert_eq!(range.header("content-range"), Some("bytes 1-2/5"));
    let past = bench
        .ask("GET", "/bucket/a%20b", &[("range", "bytes=5-")], "")
        .await;
    assert_eq!((past.status, past.code()), (416, "InvalidRange"));
    assert_eq!(past.header("content-range"), Some("bytes */5"));
    let same = bench
        .ask("GET", "/bucket/a%20b", &[("if-none-match", "*")], "")
        .await;
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    let head = bench.ask("HEAD", "/bucket/a%20b", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some("5"));
}

#[tokio::test]
async fn an_error_names_resource_and_request() {
    let bench = Bench::new();
    let get = bench.ask("GET", "/bucket/none%01", &[], "").await;
    assert_eq!((get.status, get.code()), (404, "NoSuchKey"));
    assert_eq!(get.header("content-type"), Some("application/xml"));
    assert!(
        get.body.contains("<Resource>/bucket/none%01</Resource>"),
        "{}",
        get.body
    );
    let id = get.header("x-amz-request-id").unwrap();
    assert!(
        get.body.contains(&format!("<RequestId>{id}</RequestId>")),
        "{}",
        get.body
    );
    assert!(
        get.body.contains("<HostId>gateway-1</HostId>"),
        "{}",
        get.body
    );
    let head = bench.ask("HEAD", "/bucket/none", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (404, ""));
}

#[tokio::test]
async fn who_is_not_authenticated_learns_nothing_and_reaches_nothing() {
    let bench = Bench::new();
    for (method, uri) in [
        ("GET", "/"),
        ("GET", "/bucket/k"),
        ("PUT", "/bucket/k"),
        ("DELETE", "/bucket"),
        ("DELETE", "/bucket?acl"),
        ("PATCH", "/bucket/k"),
        ("GET", "/NOT_A_BUCKET/k"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", HOST);
        let answer = bench.send(request.body(Vec::new()).unwrap()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (403, "AccessDenied"),
            "{method} {uri}"
        );
    }
    let mut forged = signed(SignatureLocation::Headers, "GET", "/bucket/k", &[], b"");
    *forged.method_mut() = Method::DELETE;
    let answer = bench.send(forged).await;
    assert_eq!(
        (answer.status, answer.code()),
        (403, "SignatureDoesNotMatch")
    );
    assert!(bench.store.asked().is_empty());
}

#[tokio::test]
async fn a_presigned_put_can_not_be_made_a_copy() {
    let bench = Bench::new();
    let location = SignatureLocation::QueryParams;
    let mut request = signed(location, "PUT", "/bucket/k", &[], b"hello");
    request
        .headers_mut()
        .insert(header::COPY_SOURCE, HeaderValue::from_static("/secret/k"));
    let answer = bench.send(request).await;
    assert_eq!((answer.status, answer.code()), (403, "AccessDenied"));
    assert!(
        answer
            .body
            .contains("<HeadersNotSigned>x-amz-copy-source</HeadersNotSigned>")
    );
    assert!(bench.store.asked().is_empty());
    let honest = bench
        .send(signed(location, "PUT", "/bucket/k", &[], b"hello"))
        .await;
    assert_eq!(honest.status, 200, "{}", honest.body);
    assert!(matches!(bench.store.last(), Operation::PutObject(_)));
}

#[tokio::test]
async fn what_is_not_built_is_501_and_touches_nothing() {
    let bench = Bench::new();
    for (method, uri, headers) in [
        ("DELETE", "/bucket?acl", &[][..]),
        ("DELETE", "/bucket/k?acl", &[]),
        ("PUT", "/bucket?policy", &[]),
        ("GET", "/bucket/k?torrent", &[]),
        (
            "PUT",
            "/bucket/k",
            &[("x-amz-bypass-governance-retention", "true")],
        ),
        (
            "GET",
            "/bucket/k",
            &[("x-amz-object-lock-legal-hold", "ON")],
        ),
        ("POST", "/bucket/k", &[]),
        (
            "PUT",
            "/bucket/k",
            &[("x-amz-server-side-encryption", "aws:kms")],
        ),
        ("PUT", "/bucket?acl", &[("x-amz-tagging", "a=b")]),
        (
            "GET",
            "/bucket/k",
            &[("x-amz-copy-source-range", "bytes=0-1")],
        ),
        (
            "PUT",
            "/bucket/k",
            &[("x-amz-bucket-object-lock-enabled", "true")],
        ),
    ] {
        let answer = bench.ask(method, uri, headers, "").await;
        assert_eq!(
            (answer.status, answer.code()),
            (501, "NotImplemented"),
            "{method} {uri}"
        );
    }
    assert!(bench.store.asked().is_empty());
}

#[tokio::test]
async fn a_document_is_checked_before_it_is_believed() {
    let bench = Bench::new();
    let document = "<Delete><Object><Key>k</Key></Object></Delete>";
    let good = bench.ask("POST", "/bucket?delete", &[], document).await;
    assert_eq!(good.status, 200, "{}", good.body);
    assert!(
        good.body.contains("<Deleted><Key>k</Key></Deleted>"),
        "{}",
        good.body
    );
    let asked = bench.store.asked().len();

    let mut changed = signed(
        SignatureLocation::Headers,
        "POST",
        "/bucket?delete",
        &[],
        document.as_bytes(),
    );
    *changed.body_mut() = document.replace(">k<", ">j<").into_bytes();
    let answer = bench.send(changed).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "XAmzContentSHA256Mismatch")
    );

    let md5 = [("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")];
    let answer = bench.ask("POST", "/bucket?delete", &md5, document).await;
    assert_eq!((answer.status, answer.code()), (400, "BadDigest"));

    for (body, code) in [
        ("", "MalformedXML"),
        ("<Delete>", "MalformedXML"),
        ("<!DOCTYPE x><Delete/>", "MalformedXML"),
    ] {
        let answer = bench.ask("POST", "/bucket?delete", &[], body).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{body}");
    }
    let long = " ".repeat((256 << 10) + 1);
    let answer = bench.ask("PUT", "/bucket?versioning", &[], &long).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "MaxMessageLengthExceeded")
    );
    assert_eq!(
        bench.store.asked().len(),
        asked,
        "none of them reached the store"
    );
}

#[tokio::test]
async fn a_body_that_breaks_its_promise_is_never_published() {
    let bench = Bench::new();
    for (headers, code) in [
        (("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest"),
        (("x-amz-checksum-crc32", "AAAAAA=="), "BadDigest"),
    ] {
        let answer = bench.ask("PUT", "/bucket/k", &[headers], "hello").await;
        assert_eq!((answer.status, answer.code()), (400, code), "{headers:?}");
    }
    let mut cut = signed(
        SignatureLocation::Headers,
        "PUT",
        "/bucket/k",
        &[],
        b"hello",
    );
    *cut.body_mut() = b"hell".to_vec();
    let answer = bench.send(cut).await;
    assert_eq!((answer.status, answer.code()), (400, "IncompleteBody"));
    let get = bench.ask("GET", "/bucket/k", &[], "").await;
    assert_eq!(get.status, 404);
}

#[tokio::test]
async fn a_complete_says_where_the_object_is() {
    let bench = Bench::new();
    let document = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>\
                    </CompleteMultipartUpload>";
    let answer = bench
        .ask("POST", "/bucket/a%20b/c?uploadId=u", &[], document)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let location = format!("<Location>http://{HOST}/bucket/a%20b/c</Location>");
    assert!(answer.body.contains(&location), "{}", answer.body);
}

#[tokio::test]
async fn a_failure_inside_is_told_without_its_cause() {
    let bench = Bench::new();
    let answer = bench.ask("GET", "/bucket?location", &[], "").await;
    assert_eq!((answer.status, answer.code()), (500, "InternalError"));
    assert!(!answer.body.contains("/var/lib"), "{}", answer.body);
}

#[test]
fn a_refused_request_gets_an_answer_of_s3() {
    let id = RequestId::generate();
    let response = Bench::new().pipeline.refuse(Refusal::HeadTooLarge, id);
    assert_eq!(response.status().as_u16(), 400);
    assert_eq!(
        response.headers().get("x-amz-request-id").unwrap(),
        &id.to_string()
    );
}
