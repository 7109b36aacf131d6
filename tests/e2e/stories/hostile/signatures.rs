//! Who asks, for what, and when: everything that a signature must say and say rightly.

use std::time::Duration;

use super::{BUCKET, Case, SENTINEL};
use crate::support::client::{Call, Client, Signer};

pub(super) fn cases(client: &Client) -> Vec<Case> {
    let mut cases = header_cases(client);
    cases.extend(presigned_cases(client));
    cases.extend(raw_cases(client));
    cases
}

fn get() -> Call {
    Call::object("GET", BUCKET, SENTINEL)
}

fn put() -> Call {
    Call::object("PUT", BUCKET, "unwanted").body(b"unwanted")
}

fn header_cases(client: &Client) -> Vec<Case> {
    let as_signer = |name: &str, change: fn(&mut Signer), status, code| {
        let mut cases = Vec::new();
        for call in [
            get(),
            put(),
            Call::new("GET", "/"),
            Call::object("DELETE", BUCKET, SENTINEL),
        ] {
            let name = format!("{name}: {} {}", call.method, call.path);
            cases.push(Case::signed(
                &client.signing(change),
                name,
                &call,
                status,
                code,
            ));
        }
        cases
    };
    let mut cases = Vec::new();
    cases.extend(as_signer(
        "wrong secret",
        |signer| signer.secret_key.push('x'),
        403,
        "SignatureDoesNotMatch",
    ));
    cases.extend(as_signer(
        "unknown key",
        |signer| signer.access_key = "NOSUCHKEY00000000000".to_owned(),
        403,
        "InvalidAccessKeyId",
    ));
    cases.extend(as_signer(
        "wrong region",
        |signer| signer.region = "eu-west-1".to_owned(),
        400,
        "AuthorizationHeaderMalformed",
    ));
    cases.extend(as_signer(
        "wrong service",
        |signer| signer.service = "ec2".to_owned(),
        400,
        "AuthorizationHeaderMalformed",
    ));
    for (name, skew_s) in [("16 minutes ago", -960), ("in 16 minutes", 960)] {
        let skewed = client.signing(|signer| signer.skew_s = skew_s);
        cases.push(Case::signed(
            &skewed,
            name,
            &get(),
            403,
            "RequestTimeTooSkewed",
        ));
        cases.push(Case::signed(
            &skewed,
            name,
            &put(),
            403,
            "RequestTimeTooSkewed",
        ));
    }
    let unsigned = put().unsigned_header("x-amz-copy-source", &format!("/{BUCKET}/{SENTINEL}"));
    cases.push(Case::signed(
        client,
        "x-amz-copy-source is not signed",
        &unsigned,
        403,
        "AccessDenied",
    ));
    let unsigned = put().unsigned_header("x-amz-meta-later", "1");
    cases.push(Case::signed(
        client,
        "x-amz-meta is not signed",
        &unsigned,
        403,
        "AccessDenied",
    ));
    cases
}

fn presigned_cases(client: &Client) -> Vec<Case> {
    let presigned = |client: &Client, name: &str, call: Call, expires_s, status, code| {
        let request = client.presigned(&call, Duration::from_secs(expires_s));
        Case::raw(name, &call.method, request, status, code)
    };
    let hour_ago = client.signing(|signer| signer.skew_s = -3600);
    let wrong = client.signing(|signer| signer.secret_key.push('x'));
    let elsewhere = client.signing(|signer| signer.region = "eu-west-1".to_owned());
    let other_service = client.signing(|signer| signer.service = "ec2".to_owned());
    let tomorrow = client.signing(|signer| signer.skew_s = 86_400);
    let malformed = "AuthorizationQueryParametersError";
    let copy = put().unsigned_header("x-amz-copy-source", &format!("/{BUCKET}/{SENTINEL}"));
    let copy = Call {
        body: Vec::new(),
        ..copy
    };
    vec![
        presigned(&hour_ago, "presign expired", get(), 60, 403, "AccessDenied"),
        presigned(
            &hour_ago,
            "presigned PUT expired",
            put(),
            60,
            403,
            "AccessDenied",
        ),
        presigned(
            client,
            "presign of 30 days",
            get(),
            30 * 86_400,
            400,
            malformed,
        ),
        presigned(
            client,
            "presign of 7 days and 1 s",
            get(),
            604_801,
            400,
            malformed,
        ),
        presigned(
            &wrong,
            "presign, wrong secret",
            get(),
            60,
            403,
            "SignatureDoesNotMatch",
        ),
        presigned(
            &elsewhere,
            "presign, wrong region",
            get(),
            60,
            400,
            malformed,
        ),
        presigned(
            &other_service,
            "presign, wrong service",
            get(),
            60,
            400,
            malformed,
        ),
        presigned(
            &tomorrow,
            "presign of tomorrow",
            get(),
            60,
            403,
            "AccessDenied",
        ),
        presigned(
            client,
            "presigned PUT becomes a copy",
            copy,
            60,
            403,
            "AccessDenied",
        ),
        presigned(
            client,
            "presigned PUT with unsigned metadata",
            put().unsigned_header("x-amz-meta-a", "1"),
            60,
            403,
            "AccessDenied",
        ),
    ]
}

fn raw_cases(client: &Client) -> Vec<Case> {
    let wire = |call: &Call, headers: &[(&str, &str)]| {
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        call.wire(client.address, &call.target(), &headers, &call.body)
    };
    let mut cases = Vec::new();
    for call in [
        get(),
        put(),
        Call::new("GET", "/"),
        Call::new("PUT", "/anonymous"),
        Call::new("DELETE", &format!("/{BUCKET}")),
        Call::object("DELETE", BUCKET, SENTINEL),
        Call::object("POST", BUCKET, "unwanted").flag("uploads"),
    ] {
        let name = format!("anonymous {} {}", call.method, call.path);
        cases.push(Case::raw(
            name,
            &call.method,
            wire(&call, &[]),
            403,
            "AccessDenied",
        ));
    }
    let date = ("date", "Fri, 20 Nov 2026 07:00:00 GMT");
    let second = ("authorization", "AWS HOLDFASTTESTKEY:c2lnbmF0dXJl");
    let request = wire(&get(), &[date, second]);
    cases.push(Case::raw("SigV2", "GET", request, 400, "InvalidRequest"));
    let query = get()
        .query("AWSAccessKeyId", "HOLDFASTTESTKEY")
        .query("Signature", "c2lnbmF0dXJl")
        .query("Expires", "4102444800");
    cases.push(Case::raw(
        "presigned SigV2",
        "GET",
        wire(&query, &[]),
        400,
        "InvalidRequest",
    ));
    let headers = [
        ("x-amz-date", "20261120T070000Z"),
        ("authorization", "AWS4-HMAC-SHA256 nonsense"),
    ];
    let request = wire(&get(), &headers);
    let code = "AuthorizationHeaderMalformed";
    cases.push(Case::raw(
        "malformed Authorization",
        "GET",
        request,
        400,
        code,
    ));
    let tampered = |from: &str, to: &str| {
        let text = String::from_utf8(client.signed(&get())).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        text.replace(from, to).into_bytes()
    };
    let code = "SignatureDoesNotMatch";
    let request = tampered("/sentinel", "/sentine1");
    cases.push(Case::raw(
        "another path than signed",
        "GET",
        request,
        403,
        code,
    ));
    let request = tampered("GET ", "DELETE ");
    cases.push(Case::raw(
        "another method than signed",
        "DELETE",
        request,
        403,
        code,
    ));
    cases
}
