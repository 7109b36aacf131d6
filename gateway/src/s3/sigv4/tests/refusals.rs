//! What must be refused, with AWS's code and status.

use http::HeaderValue;

use super::client::{
    CLIENT, Client, PRESIGNER, answer_at, authorization, verdict, verdict_at, with_authorization,
};
use super::{DATE, date_ms, request};
use crate::s3::sigv4::MAX_CLOCK_SKEW_SECS;

#[tokio::test]
async fn the_test_client_is_accepted_when_it_does_right() {
    assert_eq!(verdict(CLIENT.header("GET", "/b/k", &[])).await, "ok");
    assert_eq!(verdict(PRESIGNER.presigned("GET", "/b/k", &[])).await, "ok");
}

#[tokio::test]
async fn every_amz_header_must_be_signed() {
    for name in [
        "x-amz-copy-source",
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-storage-class",
        "x-amz-x",
    ] {
        let more = [(name, "value")];
        assert_eq!(
            verdict(CLIENT.header("PUT", "/b/k", &more)).await,
            "403 AccessDenied",
            "{name}"
        );
        let presigned = PRESIGNER.presigned("PUT", "/b/k", &more);
        assert_eq!(verdict(presigned).await, "403 AccessDenied", "{name}");
    }
    let ordinary = [("content-type", "text/plain")];
    assert_eq!(verdict(CLIENT.header("PUT", "/b/k", &ordinary)).await, "ok");
    // What AWS's SDKs leave unsigned in presigned requests, and only there.
    for name in ["x-amz-user-agent", "x-amz-checksum-mode"] {
        let more = [(name, "value")];
        assert_eq!(
            verdict(PRESIGNER.presigned("GET", "/b/k", &more)).await,
            "ok",
            "{name}"
        );
        assert_eq!(
            verdict(CLIENT.header("GET", "/b/k", &more)).await,
            "403 AccessDenied",
            "{name}"
        );
    }
}

#[tokio::test]
async fn host_must_be_signed() {
    let no_host = Client {
        signed: &["x-amz-content-sha256", "x-amz-date"],
        ..CLIENT
    };
    let error = answer_at(date_ms(), no_host.header("GET", "/b/k", &[]))
        .await
        .unwrap_err();
    assert_eq!(error.extra("HeadersNotSigned"), Some("host"));
    let nothing = Client {
        signed: &["range"],
        ..CLIENT
    };
    assert_eq!(
        verdict(nothing.presigned("GET", "/b/k", &[])).await,
        "403 AccessDenied"
    );
}

#[tokio::test]
async fn signature_version_2_is_refused() {
    let by_header = with_authorization("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=");
    assert_eq!(verdict(by_header).await, "400 InvalidRequest");
    let by_query = request(
        "GET",
        "/b/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1369440000&Signature=vjbyPxybdZaNmGa%2F",
    );
    assert_eq!(
        verdict(by_query.header("host", "localhost")).await,
        "400 InvalidRequest"
    );
}

#[tokio::test]
async fn other_algorithms_are_refused() {
    for (value, expected) in [
        (
            "AWS4-ECDSA-P256-SHA256 Credential=a/b, SignedHeaders=host, Signature=c",
            "501 NotImplemented",
        ),
        (
            "AWS4-HMAC-SHA512 Credential=a/b, SignedHeaders=host, Signature=c",
            "501 NotImplemented",
        ),
        ("Basic dXNlcjpwYXNz", "400 InvalidArgument"),
        ("Bearer token", "400 InvalidArgument"),
        (
            "aws4-hmac-sha256 Credential=a/b, SignedHeaders=host, Signature=c",
            "400 InvalidArgument",
        ),
        ("", "400 InvalidArgument"),
    ] {
        assert_eq!(
            verdict(with_authorization(value)).await,
            expected,
            "{value}"
        );
    }
    for (algorithm, expected) in [
        ("AWS4-ECDSA-P256-SHA256", "501 NotImplemented"),
        ("none", "400 AuthorizationQueryParametersError"),
    ] {
        let target = format!("/b/k?X-Amz-Algorithm={algorithm}&X-Amz-Signature=abc");
        assert_eq!(
            verdict(request("GET", &target).header("host", "h")).await,
            expected
        );
    }
}

#[tokio::test]
async fn only_our_region_service_and_day_are_accepted() {
    for (scope, region_hint) in [
        (
            ["20130524", "eu-west-1", "s3", "aws4_request"],
            Some("us-east-1"),
        ),
        (["20130524", "", "s3", "aws4_request"], Some("us-east-1")),
        (
            ["20130524", "us-east-1", "holdfast-admin", "aws4_request"],
            None,
        ),
        (["20130524", "us-east-1", "sts", "aws4_request"], None),
        (["20130523", "us-east-1", "s3", "aws4_request"], None),
        (["20130524", "us-east-1", "s3", "aws4"], None),
    ] {
        let client = Client { scope, ..CLIENT };
        let error = answer_at(date_ms(), client.header("GET", "/b", &[]))
            .await
            .unwrap_err();
        assert_eq!(
            error.code().as_str(),
            "AuthorizationHeaderMalformed",
            "{scope:?}"
        );
        assert_eq!(
            (error.status().as_u16(), error.extra("Region")),
            (400, region_hint)
        );

        let client = Client { scope, ..PRESIGNER };
        let error = answer_at(date_ms(), client.presigned("GET", "/b", &[]))
            .await
            .unwrap_err();
        assert_eq!(
            error.code().as_str(),
            "AuthorizationQueryParametersError",
            "{scope:?}"
        );
        assert_eq!(
            (error.status().as_u16(), error.extra("Region")),
            (400, region_hint)
        );
    }
}

#[tokio::test]
async fn clocks_may_differ_by_fifteen_minutes_and_no_more() {
    let skew_ms = MAX_CLOCK_SKEW_SECS * 1000;
    for (now_ms, expected) in [
        (date_ms() - skew_ms, "ok"),
        (date_ms() + skew_ms, "ok"),
        (date_ms() - skew_ms - 1, "403 RequestTimeTooSkewed"),
        (date_ms() + skew_ms + 1, "403 RequestTimeTooSkewed"),
        (0, "403 RequestTimeTooSkewed"),
    ] {
        assert_eq!(
            verdict_at(now_ms, CLIENT.header("GET", "/b", &[])).await,
            expected,
            "{now_ms}"
        );
    }
    let late = answer_at(date_ms() + 3_600_000, CLIENT.header("GET", "/b", &[]))
        .await
        .unwrap_err();
    assert_eq!(late.extra("RequestTime"), Some(DATE));
    assert_eq!(late.extra("ServerTime"), Some("2013-05-24T01:00:00.000Z"));
    assert_eq!(late.extra("MaxAllowedSkewMilliseconds"), Some("900000"));
}

#[tokio::test]
async fn a_key_must_exist_and_its_secret_must_be_right() {
    let unknown = Client {
        access_key: "AKIANOBODY",
        ..CLIENT
    };
    let error = answer_at(date_ms(), unknown.header("GET", "/b", &[]))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code().as_str(), error.status().as_u16()),
        ("InvalidAccessKeyId", 403)
    );
    assert_eq!(error.extra("AWSAccessKeyId"), Some("AKIANOBODY"));
    let wrong = Client {
        secret: "wrong",
        ..CLIENT
    };
    assert_eq!(
        verdict(wrong.header("GET", "/b", &[])).await,
        "403 SignatureDoesNotMatch"
    );
    let wrong = Client {
        secret: "wrong",
        ..PRESIGNER
    };
    assert_eq!(
        verdict(wrong.presigned("GET", "/b", &[])).await,
        "403 SignatureDoesNotMatch"
    );
    let unreadable = Client {
        access_key: "UNREADABLE",
        ..CLIENT
    };
    assert_eq!(
        verdict(unreadable.header("GET", "/b", &[])).await,
        "503 ServiceUnavailable"
    );
}

#[tokio::test]
async fn a_signature_is_compared_as_a_whole() {
    let good = authorization(&CLIENT.header("GET", "/b/k", &[]));
    assert_eq!(verdict(with_authorization(&good)).await, "ok");
    let (start, signature) = good.split_once("Signature=").unwrap();
    for bad in [
        "",
        &signature[..63],
        &format!("{signature}0"),
        &signature.to_uppercase(),
        &"0".repeat(64),
        &format!("{}x", &signature[..63]),
    ] {
        let request = with_authorization(&format!("{start}Signature={bad}"));
        assert_eq!(verdict(request).await, "403 SignatureDoesNotMatch", "{bad}");
    }
}

#[tokio::test]
async fn nothing_signed_is_denied() {
    let anonymous = request("GET", "/b/k").header("host", "localhost");
    assert_eq!(verdict(anonymous).await, "403 AccessDenied");
}

#[tokio::test]
async fn two_claims_are_one_too_many() {
    let mut both = PRESIGNER.presigned("GET", "/b/k", &[]);
    let header = authorization(&CLIENT.header("GET", "/b/k", &[]));
    both = both.header("authorization", &header);
    assert_eq!(verdict(both).await, "400 InvalidArgument");
    let twice = CLIENT
        .header("GET", "/b/k", &[])
        .header("authorization", header);
    assert_eq!(verdict(twice).await, "400 InvalidArgument");
}

#[tokio::test]
async fn malformed_authorization_headers_are_refused() {
    let credential = CLIENT.credential();
    for value in [
        "AWS4-HMAC-SHA256".to_owned(),
        "AWS4-HMAC-SHA256 ".to_owned(),
        format!("AWS4-HMAC-SHA256 Credential={credential}"),
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host"),
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=, Signature=a"),
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=Host, Signature=a"),
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;, Signature=a"),
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=a, X=y"),
        format!(
            "AWS4-HMAC-SHA256 Credential={credential}, Credential={credential}, \
                 SignedHeaders=host, Signature=a"
        ),
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=a".to_owned(),
    ] {
        let expected = "400 AuthorizationHeaderMalformed";
        assert_eq!(
            verdict(with_authorization(&value)).await,
            expected,
            "{value}"
        );
    }
}

#[tokio::test]
async fn dates_must_be_there_and_readable() {
    let mut request = CLIENT.header("GET", "/b/k", &[]);
    request.headers_mut().unwrap().remove("x-amz-date");
    assert_eq!(verdict(request).await, "403 AccessDenied");
    let mut request = CLIENT.header("GET", "/b/k", &[]);
    let date = HeaderValue::from_static("2013-05-24T00:00:00Z");
    request.headers_mut().unwrap().insert("x-amz-date", date);
    assert_eq!(verdict(request).await, "403 AccessDenied");
}

#[tokio::test]
async fn a_date_header_will_do() {
    let client = Client {
        signed: &["date", "host", "x-amz-content-sha256"],
        ..CLIENT
    };
    let headers = [("date", "Fri, 24 May 2013 00:00:00 GMT")];
    let mut request = client.header("GET", "/b/k", &headers);
    request.headers_mut().unwrap().remove("x-amz-date");
    assert_eq!(verdict(request).await, "ok");
}

#[tokio::test]
async fn the_hash_of_the_body_must_be_given_and_meant() {
    let mut missing = CLIENT.header("GET", "/b/k", &[]);
    missing
        .headers_mut()
        .unwrap()
        .remove("x-amz-content-sha256");
    assert_eq!(verdict(missing).await, "400 InvalidRequest");
    for (value, expected) in [
        ("STREAMING-UNSIGNED-PAYLOAD", "400 InvalidArgument"),
        ("abc", "400 InvalidArgument"),
        (
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            "501 NotImplemented",
        ),
        // Another legal one: but that is not what was signed.
        ("UNSIGNED-PAYLOAD", "403 SignatureDoesNotMatch"),
    ] {
        let mut request = CLIENT.header("PUT", "/b/k", &[]);
        let value = HeaderValue::from_static(value);
        request
            .headers_mut()
            .unwrap()
            .insert("x-amz-content-sha256", value.clone());
        assert_eq!(verdict(request).await, expected, "{value:?}");
    }
}

#[tokio::test]
async fn session_tokens_are_not_issued_here() {
    let client = Client {
        signed: &[
            "host",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-security-token",
        ],
        ..CLIENT
    };
    let request = client.header("GET", "/b/k", &[("x-amz-security-token", "token")]);
    assert_eq!(verdict(request).await, "400 InvalidToken");
}
