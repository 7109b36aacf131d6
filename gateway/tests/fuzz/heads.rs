//! Heads: who signed them, what they ask for, and what their headers say.

use holdfast_gateway::s3::address::{Addressing, Target};
use holdfast_gateway::s3::head::Headers;
use holdfast_gateway::s3::parse;
use holdfast_gateway::s3::route::Route;
use holdfast_gateway::s3::sigv4::decode_query;
use http::Method;
use http::request::Parts;

use super::fuzz;
use super::signing::{authenticate, head, presigned, sha256_hex, signed, verifier};

const SIGNATURE_WORDS: [&str; 16] = [
    "AWS4-HMAC-SHA256",
    "AWS4-ECDSA-P256-SHA256",
    "AWS",
    "Credential=",
    "SignedHeaders=",
    "Signature=",
    "X-Amz-Signature=",
    "X-Amz-Expires=604801",
    "x-amz-date",
    "host;host",
    "/aws4_request",
    "UNSIGNED-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "x-amz-security-token:t\n",
    "Bearer ",
    "&",
];

/// What was signed, in the form in which it counts.
#[derive(PartialEq, Eq)]
struct Signed {
    method: Method,
    target: Target,
    query: Vec<(Vec<u8>, Vec<u8>)>,
    amz_headers: Vec<(String, Vec<u8>)>,
}

impl Signed {
    fn of(head: &Parts) -> Option<Self> {
        let mut query = decode_query(head.uri.query().unwrap_or_default());
        // Of the same request, in another order.
        query.retain(|(name, value)| !(name.is_empty() && value.is_empty()));
        query.sort();
        let mut amz_headers: Vec<_> = head
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-amz-"))
            .map(|(name, value)| (name.to_string(), folded(value.as_bytes())))
            .collect();
        amz_headers.sort();
        Some(Self {
            method: head.method.clone(),
            target: Target::of(head, &Addressing::default()).ok()?,
            query,
            amz_headers,
        })
    }
}

/// Without outer spaces, and with inner runs of them as one: so a header's value is signed.
fn folded(value: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = value
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
        .collect();
    words.join(&b' ')
}

#[test]
fn signatures() {
    let empty = sha256_hex(b"");
    let seeds: Vec<Vec<u8>> = [
        signed("GET", "/bucket/key", "", &empty, &[]),
        signed(
            "GET",
            "/bucket",
            "list-type=2&max-keys=7&prefix=a%2Fb",
            &empty,
            &[],
        ),
        signed(
            "PUT",
            "/bucket/a%20b/..//c",
            "",
            "UNSIGNED-PAYLOAD",
            &[("x-amz-meta-a", "b c")],
        ),
        signed("DELETE", "/bucket/key", "versionId=null", &empty, &[]),
        presigned("GET", "/bucket/key"),
        presigned("PUT", "/bucket/%F0%9F%A6%80"),
    ]
    .map(String::into_bytes)
    .into();
    let originals: Vec<Signed> = seeds
        .iter()
        .map(|seed| Signed::of(&head(seed).unwrap()).unwrap())
        .collect();
    let verifier = verifier();
    fuzz("signatures", &seeds, &SIGNATURE_WORDS, |input| {
        let Some(head) = head(input) else {
            return false;
        };
        if authenticate(&verifier, &head).is_err() {
            return false;
        }
        // What is signed is one of those requests, and nothing was added to it.
        let found = Signed::of(&head);
        assert!(
            found.is_some_and(|found| originals.contains(&found)),
            "an altered request passes for signed"
        );
        true
    });
}

const HEADER_WORDS: [&str; 30] = [
    "range:bytes=",
    "bytes=0-0,5-",
    "bytes=-5",
    "bytes=5-4",
    "if-match:",
    "if-none-match:*\n",
    "W/\"a\"",
    "if-modified-since:Fri, 20 Nov 2026 08:00:00 GMT\n",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "if-unmodified-since:Fri, 99 Nov 9999 99:99:99 GMT\n",
    "x-amz-copy-source:/src/k?versionId=v\n",
    "x-amz-copy-source-range:bytes=0-9\n",
    "x-amz-copy-source-if-match:\"e\"\n",
    "content-md5:",
    "x-amz-checksum-crc32:",
    "x-amz-checksum-type:COMPOSITE\n",
    "x-amz-checksum-algorithm:",
    "x-amz-sdk-checksum-algorithm:SHA256\n",
    "x-amz-trailer:",
    "x-amz-meta-",
    "x-amz-tagging:a=b&c=d\n",
    "x-amz-storage-class:",
    "?uploadId=u&partNumber=",
    "?versionId=",
    "?list-type=2&continuation-token=",
    "&max-keys=",
    "&encoding-type=url",
    "?acl",
    "?tagging",
    "?delete",
];

#[test]
fn routes_and_headers() {
    let seeds: Vec<Vec<u8>> = [
        "GET /bucket/key\nhost:h\nrange:bytes=1-9\nif-match:\"a\", \"b\"\n",
        "GET /bucket/key?partNumber=1&response-content-type=text%2Fplain\nhost:h\n",
        "HEAD /bucket/key?versionId=null\nhost:h\nif-none-match:*\nx-amz-checksum-mode:ENABLED\n",
        "GET /bucket/key\nhost:h\nif-modified-since:Fri, 20 Nov 2026 08:00:00 GMT\n",
        "PUT /bucket/key\nhost:h\ncontent-type:a/b\nx-amz-meta-a:b\ncontent-md5:1B2M2Y8AsgTpgAmY7PhCfg==\n",
        "PUT /bucket/key\nhost:h\nif-none-match:*\nx-amz-checksum-crc32:AAAAAA==\n",
        "PUT /bucket/key\nhost:h\nx-amz-copy-source:/src/a%20b?versionId=null\n\
         x-amz-copy-source-if-none-match:\"e\"\nx-amz-metadata-directive:REPLACE\n",
        "PUT /bucket/key?partNumber=10000&uploadId=u\nhost:h\n",
        "POST /bucket/key?uploads\nhost:h\nx-amz-checksum-algorithm:SHA256\n",
        "GET /bucket?list-type=2&delimiter=%2F&start-after=a&max-keys=1000&encoding-type=url\nhost:h\n",
        "GET /bucket?versions&key-marker=a&version-id-marker=null\nhost:h\n",
        "GET /bucket?uploads&prefix=p\nhost:h\n",
        "GET /bucket/key?uploadId=u&max-parts=5&part-number-marker=2\nhost:h\n",
        "DELETE /bucket/key?uploadId=u\nhost:h\n",
        "GET /?max-buckets=5&prefix=a\nhost:h\n",
        "GET /key\nhost:bucket.s3.fuzz.test:9000\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let addressing = Addressing::new(["s3.fuzz.test".to_owned()]);
    fuzz("routes_and_headers", &seeds, &HEADER_WORDS, |input| {
        let Some(head) = head(input) else {
            return false;
        };
        let Ok(route) = Route::of(&head, &addressing) else {
            return false;
        };
        let Ok(headers) = Headers::of(&head, &route.query) else {
            return false;
        };
        let claims = parse::body_claims(&headers).is_ok();
        let documents = parse::document_claims(route.kind, &headers).is_ok();
        parse::operation(&route, &headers, b"").is_ok() && (claims || documents)
    });
}
