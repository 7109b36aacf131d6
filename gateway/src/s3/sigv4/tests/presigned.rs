//! Presigned requests: what may be added to one, and how long it is good for.

use super::client::{CLIENT, Client, PRESIGNER, answer_at, verdict, verdict_at};
use super::{EMPTY_SHA256, date_ms, head, request, verifier_at};
use crate::s3::sigv4::{MAX_CLOCK_SKEW_SECS, MAX_PRESIGN_SECS, PayloadMode};

#[tokio::test]
async fn a_presigned_put_with_an_unsigned_copy_source_is_no_copy() {
    let copy = [("x-amz-copy-source", "/secret-bucket/secret-key")];
    let error = answer_at(date_ms(), PRESIGNER.presigned("PUT", "/b/k", &copy))
        .await
        .unwrap_err();
    assert_eq!(error.code().as_str(), "AccessDenied");
    assert_eq!(error.status(), 403);
    assert_eq!(
        error.text(),
        "There were headers present in the request which were not signed"
    );
    assert_eq!(error.extra("HeadersNotSigned"), Some("x-amz-copy-source"));

    let signs_it = Client {
        signed: &["host", "x-amz-copy-source"],
        ..CLIENT
    };
    assert_eq!(
        verdict(signs_it.presigned("PUT", "/b/k", &copy)).await,
        "ok"
    );
}

#[tokio::test]
async fn a_presigned_request_is_good_from_its_date_to_its_last_second() {
    for (now_ms, expected) in [
        (date_ms(), "ok"),
        (date_ms() + 600_000, "ok"),
        (date_ms() + 600_001, "403 AccessDenied"),
        (date_ms() - MAX_CLOCK_SKEW_SECS * 1000, "ok"),
        (
            date_ms() - MAX_CLOCK_SKEW_SECS * 1000 - 1,
            "403 AccessDenied",
        ),
    ] {
        let request = PRESIGNER.presigned("GET", "/b/k", &[]);
        assert_eq!(verdict_at(now_ms, request).await, expected, "{now_ms}");
    }
    let late = answer_at(date_ms() + 600_001, PRESIGNER.presigned("GET", "/b/k", &[])).await;
    let late = late.unwrap_err();
    assert_eq!(late.text(), "Request has expired");
    assert_eq!(late.extra("X-Amz-Expires"), Some("600"));
    assert_eq!(late.extra("Expires"), Some("2013-05-24T00:10:00.000Z"));
}

#[tokio::test]
async fn a_presigned_request_is_good_for_at_most_seven_days() {
    assert_eq!(MAX_PRESIGN_SECS, 604_800);
    for (expires, expected) in [
        ("1", "ok"),
        ("604800", "ok"),
        ("604801", "400 AuthorizationQueryParametersError"),
        // 30 days.
        ("2592000", "400 AuthorizationQueryParametersError"),
        ("0", "400 AuthorizationQueryParametersError"),
        ("-1", "400 AuthorizationQueryParametersError"),
        ("%2B1", "400 AuthorizationQueryParametersError"),
        ("", "400 AuthorizationQueryParametersError"),
        ("1e3", "400 AuthorizationQueryParametersError"),
        (
            "99999999999999999999999",
            "400 AuthorizationQueryParametersError",
        ),
    ] {
        let client = Client {
            expires,
            ..PRESIGNER
        };
        assert_eq!(
            verdict(client.presigned("GET", "/b/k", &[])).await,
            expected,
            "{expires}"
        );
    }
}

#[tokio::test]
async fn malformed_presigned_queries_are_refused() {
    let good = head(PRESIGNER.presigned("GET", "/b/k", &[]))
        .uri
        .to_string();
    for name in [
        "Algorithm",
        "Credential",
        "Date",
        "Expires",
        "SignedHeaders",
        "Signature",
    ] {
        let name = format!("X-Amz-{name}");
        let (path, query) = good.split_once('?').unwrap();
        let without: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.starts_with(&name))
            .collect();
        let missing = request("GET", &format!("{path}?{}", without.join("&")));
        let expected = "400 AuthorizationQueryParametersError";
        assert_eq!(
            verdict(missing.header("host", "localhost")).await,
            expected,
            "{name}"
        );
        let twice = request("GET", &format!("{good}&{name}=x")).header("host", "localhost");
        assert_eq!(verdict(twice).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_presigned_hash_is_enforced() {
    let client = Client {
        signed: &["host", "x-amz-content-sha256"],
        ..CLIENT
    };
    let request = client.presigned("PUT", "/b/k", &[("x-amz-content-sha256", EMPTY_SHA256)]);
    let authenticated = verifier_at(date_ms())
        .authenticate(&head(request))
        .await
        .unwrap();
    assert_eq!(
        authenticated.payload,
        PayloadMode::parse(EMPTY_SHA256).unwrap()
    );

    let added = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    assert_eq!(
        verdict(PRESIGNER.presigned("PUT", "/b/k", &added)).await,
        "403 AccessDenied"
    );
}
