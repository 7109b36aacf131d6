//! Pages of other origins: preflights, and answers that their scripts may read.

use super::*;

const RULES: &str = "<CORSConfiguration><CORSRule><AllowedOrigin>https://app.example.com\
    </AllowedOrigin><AllowedMethod>PUT</AllowedMethod><AllowedMethod>POST</AllowedMethod>\
    <AllowedHeader>x-amz-*</AllowedHeader><AllowedHeader>content-type</AllowedHeader>\
    <ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-amz-version-id</ExposeHeader>\
    <MaxAgeSeconds>600</MaxAgeSeconds></CORSRule><CORSRule><AllowedOrigin>https://*.example.com\
    </AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule><CORSRule><AllowedOrigin>*\
    </AllowedOrigin><AllowedMethod>HEAD</AllowedMethod></CORSRule></CORSConfiguration>";

const VARY: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

async fn with_rules() -> Bench {
    let bench = Bench::new();
    let put = bench.ask("PUT", "/bucket?cors", &[], RULES).await;
    assert_eq!((put.status, put.body.as_str()), (200, ""));
    bench
}

/// Asks as a browser does: without a signature.
async fn preflight(bench: &Bench, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder()
        .method("OPTIONS")
        .uri(uri)
        .header("host", HOST);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    bench.send(request.body(Vec::new()).unwrap()).await
}

fn allowed(answer: &Answer) -> Vec<(&str, &str)> {
    let mut found: Vec<(&str, &str)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .filter(|(name, _)| name.starts_with("access-control") || *name == "vary")
        .collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_preflight_is_told_what_a_rule_allows() {
    let bench = with_rules().await;
    let answer = preflight(
        &bench,
        "/bucket/k?X-Amz-Signature=presigned",
        &[
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "PUT"),
            (
                "access-control-request-headers",
                "Content-Type, x-amz-meta-a",
            ),
        ],
    )
    .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(
        allowed(&answer),
        [
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-headers", "content-type, x-amz-meta-a"),
            ("access-control-allow-methods", "PUT, POST"),
            ("access-control-allow-origin", "https://app.example.com"),
            ("access-control-expose-headers", "ETag, x-amz-version-id"),
            ("access-control-max-age", "600"),
            ("vary", VARY),
        ]
    );
    let pattern = [
        ("origin", "https://x.example.com"),
        ("access-control-request-method", "GET"),
    ];
    let answer = preflight(&bench, "/bucket/k", &pattern).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://x.example.com")
    );
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        None,
        "only a pattern"
    );
    let any = [
        ("origin", "null"),
        ("access-control-request-method", "HEAD"),
    ];
    let answer = preflight(&bench, "/bucket", &any).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn a_preflight_that_no_rule_allows_is_refused() {
    let bench = with_rules().await;
    let origin = ("origin", "https://app.example.com");
    let put = ("access-control-request-method", "PUT");
    for (uri, headers, status, code) in [
        ("/bucket/k", &[put][..], 400, "BadRequest"),
        ("/bucket/k", &[origin], 400, "BadRequest"),
        (
            "/bucket/k",
            &[origin, ("access-control-request-method", "PATCH")],
            400,
            "BadRequest",
        ),
        (
            "/bucket/k",
            &[("origin", "https://evil.com"), put],
            403,
            "AccessForbidden",
        ),
        (
            "/bucket/k",
            &[("origin", "https://app.example.com.evil.com"), put],
            403,
            "AccessForbidden",
        ),
        (
            "/bucket/k",
            &[origin, ("access-control-request-method", "DELETE")],
            403,
            "AccessForbidden",
        ),
        (
            "/bucket/k",
            &[origin, put, ("access-control-request-headers", "x-evil")],
            403,
            "AccessForbidden",
        ),
        (
            "/bucket/k",
            &[
                origin,
                put,
                ("access-control-request-headers", "not a header"),
            ],
            403,
            "AccessForbidden",
        ),
        ("/another/k", &[origin, put], 403, "AccessForbidden"),
        ("/", &[origin, put], 403, "AccessForbidden"),
        ("/B/k", &[origin, put], 400, "InvalidBucketName"),
    ] {
        let answer = preflight(&bench, uri, headers).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{uri} {headers:?}"
        );
        assert_eq!(allowed(&answer), [], "{uri} {headers:?}");
    }
    let names = vec!["x-amz-a"; 101].join(",");
    let many = [
        origin,
        put,
        ("access-control-request-headers", names.as_str()),
    ];
    assert_eq!(preflight(&bench, "/bucket/k", &many).await.status, 403);
    let names = vec!["x-amz-a"; 100].join(",");
    let most = [
        origin,
        put,
        ("access-control-request-headers", names.as_str()),
    ];
    assert_eq!(preflight(&bench, "/bucket/k", &most).await.status, 200);
}

#[tokio::test]
async fn an_answer_may_be_read_by_a_page_that_a_rule_names() {
    let bench = with_rules().await;
    let app = [("origin", "https://app.example.com")];
    let put = bench.ask("PUT", "/bucket/k", &app, "hello").await;
    assert_eq!(put.status, 200);
    assert_eq!(
        put.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    assert_eq!(
        put.header("access-control-expose-headers"),
        Some("ETag, x-amz-version-id")
    );
    let get = bench.ask("GET", "/bucket/k", &app, "").await;
    assert_eq!((get.status, get.body.as_str()), (200, "hello"));
    assert_eq!(
        get.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    assert_eq!(get.header("access-control-allow-methods"), Some("GET"));
    let absent = bench.ask("GET", "/bucket/absent", &app, "").await;
    assert_eq!((absent.status, absent.code()), (404, "NoSuchKey"));
    assert!(
        absent.header("access-control-allow-origin").is_some(),
        "errors can be read too"
    );
    let evil = bench
        .ask("GET", "/bucket/k", &[("origin", "https://evil.com")], "")
        .await;
    assert_eq!((evil.status, allowed(&evil)), (200, vec![("vary", VARY)]));
    let nobody = bench.ask("GET", "/bucket/k", &[], "").await;
    assert_eq!(allowed(&nobody), []);
    let elsewhere = bench.ask("GET", "/another/k", &app, "").await;
    assert_eq!(allowed(&elsewhere), []);

    let rules = bench.ask("GET", "/bucket?cors", &[], "").await;
    assert_eq!(rules.status, 200);
    assert!(
        rules.body.contains("<MaxAgeSeconds>600</MaxAgeSeconds>"),
        "{}",
        rules.body
    );
    assert_eq!(
        bench.ask("DELETE", "/bucket?cors", &[], "").await.status,
        204
    );
    let gone = bench.ask("GET", "/bucket?cors", &[], "").await;
    assert_eq!((gone.status, gone.code()), (404, "NoSuchCORSConfiguration"));
    let after = bench.ask("GET", "/bucket/k", &app, "").await;
    assert_eq!(allowed(&after), []);
}

#[tokio::test]
async fn rules_are_bounded() {
    let bench = Bench::new();
    let rule =
        "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>";
    for (count, status) in [(0, 400), (1, 200), (100, 200), (101, 400)] {
        let document = format!(
            "<CORSConfiguration>{}</CORSConfiguration>",
            rule.repeat(count)
        );
        let answer = bench.ask("PUT", "/bucket?cors", &[], &document).await;
        assert_eq!(answer.status, status, "{count}: {}", answer.body);
    }
    let framed = |len: usize| {
        let frame = format!("<CORSConfiguration>{rule}</CORSConfiguration>");
        frame.replace("</CORSConfiguration>", &" ".repeat(len - frame.len()))
            + "</CORSConfiguration>"
    };
    let longest = framed(64 << 10);
    assert_eq!(longest.len(), 64 << 10);
    assert_eq!(
        bench.ask("PUT", "/bucket?cors", &[], &longest).await.status,
        200
    );
    let longer = bench
        .ask("PUT", "/bucket?cors", &[], &framed((64 << 10) + 1))
        .await;
    assert_eq!(
        (longer.status, longer.code()),
        (400, "MaxMessageLengthExceeded")
    );
}
