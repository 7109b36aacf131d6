//! The official signer signs random requests; what it signs is accepted, and nothing near it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::Request;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::{ACCESS_KEY, SECRET, date_ms, verifier_at};
use crate::s3::sigv4::encode_path;
use crate::s3::sigv4::{AuthError, AuthMethod, Authenticated, PayloadMode};

const HOST: &str = "bucket.example.com:9000";

/// Keeps what makes names and values of a query.
const QUERY_NOISE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'&').remove(b'=').remove(b'-');

/// A request to be signed: its key and its query are any bytes, its headers any legal values.
#[derive(Debug, Clone)]
struct Plan {
    method: &'static str,
    key: Vec<u8>,
    query: Vec<(Vec<u8>, Vec<u8>)>,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Bytes(Vec<u8>),
    Unsigned,
    UnsignedTrailer,
    SignedTrailer,
}

fn plans() -> impl Strategy<Value = Plan> {
    let method = prop_oneof![
        Just("GET"),
        Just("PUT"),
        Just("POST"),
        Just("DELETE"),
        Just("HEAD")
    ];
    let key = vec(
        prop_oneof![any::<u8>(), Just(b'/'), Just(b'.'), Just(b' '), Just(b'%')],
        0..30,
    );
    let text = || vec(prop_oneof![0x20..0x7f_u8, Just(b'+'), Just(b' ')], 0..12);
    let query = vec((text(), text()), 0..5);
    let header = ("[a-z][a-z0-9-]{0,10}", "[ -~]{0,20}")
        .prop_map(|(name, value)| (format!("x-amz-meta-{name}"), value));
    let body = prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Body::Bytes),
        Just(Body::Unsigned),
        Just(Body::UnsignedTrailer),
        Just(Body::SignedTrailer),
    ];
    (method, key, query, vec(header, 0..5), body).prop_map(|(method, key, query, headers, body)| {
        Plan {
            method,
            key,
            query,
            headers,
            body,
        }
    })
}

/// The target as a client sends it.
fn target(plan: &Plan) -> String {
    let key = percent_encode(&plan.key, NON_ALPHANUMERIC).to_string();
    let mut target = encode_path(&format!("/bucket/{key}"));
    for (index, (name, value)) in plan.query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target += &percent_encode(name, NON_ALPHANUMERIC).to_string();
        target.push('=');
        // Both ways of a space.
        target += &percent_encode(value, NON_ALPHANUMERIC)
            .to_string()
            .replace("%20", "+");
    }
    target
}

fn sign_it(plan: &Plan, location: SignatureLocation, expires: Option<Duration>) -> Parts {
    let mut request = Request::builder()
        .method(plan.method)
        .uri(format!("http://{HOST}{}", target(plan)))
        .header("host", HOST);
    for (name, value) in &plan.headers {
        request = request.header(name, value);
    }
    let mut request = request.body(()).unwrap();
    let identity = Credentials::new(ACCESS_KEY, SECRET, None, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.signature_location = location;
    settings.expires_in = expires;
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(date_ms());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(time)
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .map(|(n, v)| (n.as_str(), v.to_str().unwrap()))
        .collect();
    let body = match &plan.body {
        Body::Bytes(bytes) => SignableBody::Bytes(bytes),
        Body::Unsigned => SignableBody::UnsignedPayload,
        Body::UnsignedTrailer => SignableBody::StreamingUnsignedPayloadTrailer,
        Body::SignedTrailer => SignableBody::StreamingSignedPayloadTrailer,
    };
    let uri = request.uri().to_string();
    let signable = SignableRequest::new(plan.method, uri, headers.into_iter(), body).unwrap();
    let (instructions, _signature) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    // As it comes over the wire: the target without its authority.
    let mut head = request.into_parts().0;
    head.uri = head.uri.path_and_query().unwrap().as_str().parse().unwrap();
    head
}

fn check(head: &Parts) -> Result<Authenticated, AuthError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(verifier_at(date_ms()).authenticate(head))
}

fn refused(head: &Parts) -> bool {
    matches!(
        check(head),
        Err(AuthError::SignatureMismatch { .. } | AuthError::HeadersNotSigned { .. })
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_the_official_signer_signs_in_headers_is_accepted(plan in plans()) {
        let head = sign_it(&plan, SignatureLocation::Headers, None);
        let authenticated = check(&head);
        prop_assert!(authenticated.is_ok(), "{authenticated:?} {head:?}");
        let authenticated = authenticated.unwrap();
        prop_assert!(authenticated.method == AuthMethod::Header);
        let right_mode = match (&plan.body, authenticated.payload) {
            (Body::Bytes(bytes), PayloadMode::Signed(hash)) => {
                use sha2::{Digest, Sha256};
                hash == <[u8; 32]>::from(Sha256::digest(bytes))
            }
            (Body::Unsigned, mode) => mode == PayloadMode::Unsigned,
            (Body::UnsignedTrailer, mode) => mode == PayloadMode::UnsignedChunksTrailer,
            (Body::SignedTrailer, mode) => mode == PayloadMode::SignedChunksTrailer,
            _ => false,
        };
        prop_assert!(right_mode, "{:?}", authenticated.payload);
    }

    #[test]
    fn what_the_official_signer_presigns_is_accepted(plan in plans(), expires in 1..604_801_u64) {
        let plan = Plan { body: Body::Unsigned, ..plan };
        let expires = Some(Duration::from_secs(expires));
        let head = sign_it(&plan, SignatureLocation::QueryParams, expires);
        let authenticated = check(&head);
        prop_assert!(authenticated.is_ok(), "{authenticated:?} {head:?}");
        prop_assert!(authenticated.unwrap().method == AuthMethod::Query);
    }

    #[test]
    fn a_change_of_anything_is_noticed(plan in plans(), presigned in any::<bool>()) {
        let plan = if presigned { Plan { body: Body::Unsigned, ..plan } } else { plan };
        let head = if presigned {
            sign_it(&plan, SignatureLocation::QueryParams, Some(Duration::from_secs(60)))
        } else {
            sign_it(&plan, SignatureLocation::Headers, None)
        };
        prop_assert!(check(&head).is_ok());
        let target = head.uri.to_string();
        let join = if target.contains('?') { '&' } else { '?' };

        let mut other_method = head.clone();
        other_method.method = "PATCH".parse().unwrap();
        prop_assert!(refused(&other_method));

        let mut more_query = head.clone();
        more_query.uri = format!("{target}{join}uploads").parse().unwrap();
        prop_assert!(refused(&more_query));

        let mut other_key = head.clone();
        other_key.uri = target.replacen("/bucket/", "/bucket/x", 1).parse().unwrap();
        prop_assert!(refused(&other_key));

        let mut more_headers = head.clone();
        more_headers.headers.append("x-amz-copy-source", "/b/k".parse().unwrap());
        prop_assert!(refused(&more_headers));

        let mut other_host = head.clone();
        other_host.headers.insert("host", "evil.example.com".parse().unwrap());
        prop_assert!(refused(&other_host));
    }

    /// Any text at all: an error, never a panic.
    #[test]
    fn noise_is_no_signature(
        fields in "[ -~]{0,80}",
        credential in "([A-Z0-9/]{0,8}/){0,6}[a-z0-9_]{0,12}",
        query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)=[ -~&&[^#]]{0,30}&){0,8}",
        date in "[ -~]{0,20}",
    ) {
        for authorization in [
            format!("AWS4-HMAC-SHA256 {fields}"),
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={fields}, Signature={fields}"),
        ] {
            let request = Request::builder()
                .uri("/b/k")
                .header("host", HOST)
                .header("x-amz-date", &date)
                .header("authorization", authorization);
            let refused = check(&request.body(()).unwrap().into_parts().0).is_err();
            prop_assert!(refused);
        }
        let query = percent_encode(query.as_bytes(), QUERY_NOISE);
        let request = Request::builder().uri(format!("/b/k?{query}")).header("host", HOST);
        let refused = check(&request.body(()).unwrap().into_parts().0).is_err();
        prop_assert!(refused);
    }
}
