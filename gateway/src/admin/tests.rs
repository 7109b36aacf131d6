//! The admin API as its clients meet it: who gets in, and what each route answers.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode,
};
use aws_sigv4::sign::v4;
use holdfast_metadata::MetadataConfig;
use holdfast_metadata::model::Policy;
use holdfast_types::{DriveId, DriveState, FailureDomain, ManualClock, SizeRule};
use http::header::AUTHORIZATION;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// 2026-01-01T00:00:00Z.
const NOW_SECS: u64 = 1_767_225_600;
const ROOT: (&str, &str) = ("ROOTKEY", "root-secret-key");

struct Fixed {
    drives: Vec<Drive>,
    rate_limits: Arc<RateLimitKeeper>,
}

impl Surroundings for Fixed {
    fn rate_limits(&self) -> Option<Arc<RateLimitKeeper>> {
        Some(Arc::clone(&self.rate_limits))
    }

    fn drives(&self) -> Vec<Drive> {
        self.drives.clone()
    }

    fn space(&self) -> view::SpaceView {
        view::SpaceView {
            capacity_bytes: 5000,
            free_bytes: 2000,
        }
    }

    fn risk(&self) -> Option<view::RiskView> {
        Some(view::RiskView {
            as_of_ms: 1,
            blobs: 10,
            at_risk: 4,
            unreadable: 0,
            fewest_spares: Some(1),
            by_spares: [(1, 4)].into(),
        })
    }

    fn workers(&self) -> Vec<view::WorkerView> {
        Vec::new()
    }
}

struct Server {
    admin: Admin,
    rate_limits: Arc<RateLimitKeeper>,
    metadata: Metadata,
    _folder: TempDir,
}

/// How a test's request is signed.
struct Signing<'a> {
    key: (&'a str, &'a str),
    service: &'a str,
    region: &'a str,
    at_secs: u64,
}

impl Default for Signing<'_> {
    fn default() -> Self {
        Self {
            key: ROOT,
            service: ADMIN_SERVICE,
            region: "us-east-1",
            at_secs: NOW_SECS,
        }
    }
}

fn drive(number: u8, state: DriveState) -> Drive {
    Drive {
        id: DriveId::from_bytes([number; 16]),
        region: Region::parse("us-east-1").unwrap(),
        zone: "local".to_owned(),
        node: "local".to_owned(),
        state,
        reason: if state == DriveState::Online {
            ""
        } else {
            "it was pulled"
        }
        .to_owned(),
        path: format!("/d/{number:02}"),
        capacity_bytes: 1000,
        free_bytes: 400,
    }
}

fn drives(missing: u8) -> Vec<Drive> {
    (1..=6)
        .map(|n| {
            drive(
                n,
                if n <= missing {
                    DriveState::Missing
                } else {
                    DriveState::Online
                },
            )
        })
        .collect()
}

impl Server {
    async fn start(drives: Vec<Drive>) -> Self {
        let folder = TempDir::new().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW_SECS * 1000));
        let region = Region::parse("us-east-1").unwrap();
        let url = format!("sqlite:{}", folder.path().join("m.db").display());
        let config = MetadataConfig::new(url);
        let metadata = Metadata::open(&config, region.clone(), Arc::clone(&clock))
            .await
            .unwrap();
        for (access_key, secret_key) in [ROOT, ("OTHERKEY", "other-secret-key")] {
            metadata
                .create_key(AccessKey {
                    access_key: access_key.to_owned(),
                    secret_key: secret_key.to_owned(),
                    description: String::new(),
                    created_ms: 5,
                    disabled: false,
                })
                .await
                .unwrap();
        }
        let facts = AdminFacts {
            version: "0.1.0",
            cluster: ClusterId::from_bytes([9; 16]),
            region,
            layout: "4+2".parse().unwrap(),
            root_access_key: ROOT.0.to_owned(),
        };
        let rate_limits = Arc::new(RateLimitKeeper::new(metadata.clone()));
        let fixed = Fixed {
            drives,
            rate_limits: Arc::clone(&rate_limits),
        };
        let admin = Admin::new(
            facts,
            metadata.clone(),
            Arc::new(fixed),
            Metrics::new(),
            Arc::new(MetadataCredentials::new(metadata.clone())),
            clock,
        );
        Self {
            admin,
            rate_limits,
            metadata,
            _folder: folder,
        }
    }

    /// Sends a request from another machine.
    async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, Value) {
        self.send_from(request, "192.0.2.7:5000").await
    }

    async fn send_from(
        &self,
        mut request: Request<Full<Bytes>>,
        peer: &str,
    ) -> (StatusCode, Value) {
        request
            .extensions_mut()
            .insert(peer.parse::<SocketAddr>().unwrap());
        let response = self.admin.handle(request).await;
        assert!(response.headers().contains_key("x-holdfast-request-id"));
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        (status, value)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(signed("GET", path, "", &Signing::default()))
            .await
    }
}

fn unsigned(method: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "admin.example")
        .body(Full::default())
        .unwrap()
}

/// A request signed by AWS's own signer.
fn signed(method: &str, path: &str, body: &str, signing: &Signing<'_>) -> Request<Full<Bytes>> {
    let identity = Credentials::new(signing.key.0, signing.key.1, None, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(signing.region)
        .name(signing.service)
        .time(UNIX_EPOCH + Duration::from_secs(signing.at_secs))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = format!("http://admin.example{path}");
    let signable = SignableRequest::new(
        method,
        &uri,
        [("host", "admin.example")].into_iter(),
        SignableBody::Bytes(body.as_bytes()),
    )
    .unwrap();
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params)
        .unwrap()
        .into_parts();
    let mut request = unsigned(method, path);
    *request.body_mut() = Full::new(Bytes::from(body.to_owned()));
    let (headers, _) = instructions.into_parts();
    for header in &headers {
        request.headers_mut().insert(
            http::HeaderName::from_bytes(header.name().as_bytes()).unwrap(),
            header.value().parse().unwrap(),
        );
    }
    request
}

const ROUTES: [(&str, &str); 29] = [
    ("POST", "/admin/v1/policies"),
    ("GET", "/admin/v1/policies/video"),
    ("PATCH", "/admin/v1/policies/video"),
    ("DELETE", "/admin/v1/policies/video"),
    ("GET", "/admin/v1/policies/video/check"),
    ("POST", "/admin/v1/buckets"),
    ("PUT", "/admin/v1/buckets/films/policy"),
    ("GET", "/admin/v1/reencodes"),
    ("GET", "/admin/v1/buckets/films/reencode"),
    ("POST", "/admin/v1/buckets/films/reencode"),
    ("POST", "/admin/v1/buckets/films/reencode/cancel"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/admin/v1/status"),
    ("GET", "/admin/v1/drives"),
    ("GET", "/admin/v1/buckets"),
    ("GET", "/admin/v1/policies"),
    ("GET", "/admin/v1/keys"),
    ("POST", "/admin/v1/keys"),
    ("DELETE", "/admin/v1/keys/OTHERKEY"),
    ("GET", "/admin/v1/webhooks"),
    ("POST", "/admin/v1/webhooks"),
    ("GET", "/admin/v1/webhooks/hook"),
    ("DELETE", "/admin/v1/webhooks/hook"),
    ("POST", "/admin/v1/webhooks/hook/test"),
    ("GET", "/admin/v1/webhooks/hook/dead-letters"),
    ("POST", "/admin/v1/webhooks/hook/dead-letters/retry"),
    ("POST", "/admin/v1/webhooks/hook/dead-letters/discard"),
];

#[tokio::test]
async fn nobody_gets_in_without_the_right_signature() {
    let server = Server::start(drives(0)).await;
    for (method, path) in ROUTES {
        let wrong = [
            ("anonymous", unsigned(method, path)),
            (
                "s3's scope",
                signed(
                    method,
                    path,
                    "",
                    &Signing {
                        service: "s3",
                        ..Signing::default()
                    },
                ),
            ),
            (
                "another region",
                signed(
                    method,
                    path,
                    "",
                    &Signing {
                        region: "eu-1",
                        ..Signing::default()
                    },
                ),
            ),
            (
                "a wrong secret",
                signed(
                    method,
                    path,
                    "",
                    &Signing {
                        key: (ROOT.0, "wrong-secret"),
                        ..Signing::default()
                    },
                ),
            ),
            (
                "an unknown key",
                signed(
                    method,
                    path,
                    "",
                    &Signing {
                        key: ("NOBODY", ROOT.1),
                        ..Signing::default()
                    },
                ),
            ),
            (
                "an hour ago",
                signed(
                    method,
                    path,
                    "",
                    &Signing {
                        at_secs: NOW_SECS - 3600,
                        ..Signing::default()
                    },
                ),
            ),
        ];
        for (why, request) in wrong {
            let (status, body) = server.send(request).await;
            assert_eq!(status, 403, "{why}: {method} {path}: {body}");
            assert!(
                body["error"]["code"].is_string(),
                "{why}: {method} {path}: {body}"
            );
        }
    }
    assert!(
        server.metadata.key("OTHERKEY").await.unwrap().is_some(),
        "nothing was removed"
    );
    assert_eq!(
        server.metadata.keys().await.unwrap().len(),
        2,
        "nothing was made"
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_told_to_strangers() {
    let server = Server::start(drives(0)).await;
    let (status, _) = server.send(unsigned("GET", "/admin/v1/nothing")).await;
    assert_eq!(status, 403);
    let local = server
        .send_from(unsigned("GET", "/admin/v1/nothing"), "127.0.0.1:1")
        .await;
    assert_eq!(local.0, 403);
    let (status, body) = server.get("/admin/v1/nothing").await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (404, &json!("NotFound"))
    );
}

#[tokio::test]
async fn a_body_that_was_not_signed_is_refused() {
    let server = Server::start(drives(0)).await;
    let mut request = signed("POST", "/admin/v1/keys", "{}", &Signing::default());
    *request.body_mut() = Full::new(Bytes::from_static(b"{\"description\":\"x\"}"));
    let (status, body) = server.send(request).await;
    assert_eq!(status, 403, "{body}");
    assert_eq!(body["error"]["code"], "XAmzContentSHA256Mismatch");

    let mut request = signed("POST", "/admin/v1/keys", "{}", &Signing::default());
    let unsigned = HeaderValue::from_static("UNSIGNED-PAYLOAD");
    request
        .headers_mut()
        .insert("x-amz-content-sha256", unsigned);
    assert_eq!(server.send(request).await.0, 403);

    let long = "x".repeat(auth::MAX_BODY_LEN + 1);
    let request = signed("POST", "/admin/v1/keys", &long, &Signing::default());
    assert_eq!(server.send(request).await.0, 400);
    assert_eq!(server.metadata.keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn health_readiness_and_metrics_are_open_on_the_same_machine_only() {
    let server = Server::start(drives(0)).await;
    for peer in ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
        let (status, body) = server.send_from(unsigned("GET", "/healthz"), peer).await;
        assert_eq!(
            (status.as_u16(), body),
            (200, json!({"healthy": true})),
            "{peer}"
        );
        let (status, body) = server.send_from(unsigned("GET", "/readyz"), peer).await;
        let ready = json!({"ready": true, "reads": true, "writes": true, "reasons": []});
        assert_eq!((status.as_u16(), body), (200, ready), "{peer}");
        let (status, body) = server.send_from(unsigned("GET", "/metrics"), peer).await;
        assert_eq!(status, 200);
        assert!(
            body.as_str()
                .unwrap()
                .contains("holdfast_s3_requests_in_flight 0")
        );
        let (status, _) = server
            .send_from(unsigned("GET", "/admin/v1/status"), peer)
            .await;
        assert_eq!(status, 403, "the API proper is never open");
    }
    let mut no_peer = unsigned("GET", "/healthz");
    no_peer.extensions_mut().clear();
    assert_eq!(server.admin.handle(no_peer).await.status(), 403);
    assert_eq!(server.get("/healthz").await.0, 200, "signed, from afar");
}

#[tokio::test]
async fn readiness_says_why_not() {
    let server = Server::start(drives(2)).await;
    let ask = |path: &'static str| server.send_from(unsigned("GET", path), "127.0.0.1:1");
    let (status, body) = ask("/readyz").await;
    assert_eq!(status, 200, "reads go on");
    assert_eq!(body["writes"], false);
    let (status, body) = ask("/readyz?writes").await;
    assert_eq!(status, 503);
    assert_eq!(body["ready"], false);
    let reasons = body["reasons"].to_string();
    assert!(reasons.contains("is missing: it was pulled"), "{reasons}");
    assert!(
        reasons.contains("writes need 5 drives online and 4 are"),
        "{reasons}"
    );

    let server = Server::start(drives(3)).await;
    let (status, body) = server
        .send_from(unsigned("GET", "/readyz"), "127.0.0.1:1")
        .await;
    assert_eq!((status.as_u16(), &body["reads"]), (503, &json!(false)));
}

#[tokio::test]
async fn a_status_says_how_it_is() {
    let server = Server::start(drives(1)).await;
    server.metadata.put_policy(policy()).await.unwrap();
    server
        .metadata
        .create_bucket("films", "default", None)
        .await
        .unwrap();
    let (status, body) = server.get("/admin/v1/status").await;
    assert_eq!(status, 200);
    assert_eq!(body["version"], "0.1.0");
    assert_eq!(body["layout"], "4+2");
    assert_eq!(body["buckets"], 1);
    assert_eq!(body["objects"], json!({"count": 0, "bytes": 0}));
    assert_eq!(body["at_risk"]["fewest_spares"], 1);
    assert_eq!(body["readiness"]["writes"], true);
    assert_eq!(
        body["space"],
        json!({"capacity_bytes": 5000, "free_bytes": 2000})
    );
    assert_eq!(body["drives"][0]["state"], "missing");
    assert_eq!(body["drives"][0]["reason"], "it was pulled");
    assert_eq!(body["drives"][1]["free_bytes"], 400);
    let drives = server.get("/admin/v1/drives").await.1;
    assert_eq!(drives["drives"], body["drives"]);
}

fn policy() -> Policy {
    Policy {
        name: "default".to_owned(),
        rule: SizeRule::new("4+2".parse().unwrap()),
        protect: FailureDomain::Drive,
        generation: 1,
        rules: Vec::new(),
        quorum: None,
    }
}

#[tokio::test]
async fn policies_and_buckets_are_listed() {
    let server = Server::start(drives(0)).await;
    server.metadata.put_policy(policy()).await.unwrap();
    for name in ["b-1", "b-2", "b-3"] {
        server
            .metadata
            .create_bucket(name, "default", None)
            .await
            .unwrap();
    }
    let (_, policies) = server.get("/admin/v1/policies").await;
    assert_eq!(
        policies,
        json!({"policies": [{
            "name": "default", "layout": "4+2", "copies_up_to_bytes": 65536,
            "small_layout": "copies:3", "protect": "drive", "generation": 1,
            "quorum": null, "rules": [],
        }]})
    );
    let names = |body: &Value| -> Vec<String> {
        let buckets = body["buckets"].as_array().unwrap();
        buckets
            .iter()
            .map(|bucket| bucket["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, first) = server.get("/admin/v1/buckets?limit=2").await;
    assert_eq!(
        (names(&first), &first["next"]),
        (vec!["b-1".to_owned(), "b-2".to_owned()], &json!("b-2"))
    );
    assert_eq!(first["buckets"][0]["policy"], "default");
    assert_eq!(first["buckets"][0]["versioning"], "unversioned");
    let (_, last) = server.get("/admin/v1/buckets?after=b-2&limit=2").await;
    assert_eq!(
        (names(&last), &last["next"]),
        (vec!["b-3".to_owned()], &Value::Null)
    );
}

#[tokio::test]
async fn a_bucket_is_given_a_quota_and_shows_it() {
    let server = Server::start(drives(0)).await;
    server.metadata.put_policy(policy()).await.unwrap();
    let made = server.metadata.create_bucket("b-1", "default", None).await;
    made.unwrap();
    let (_, listed) = server.get("/admin/v1/buckets").await;
    let none = json!({"bytes": null, "objects": null});
    assert_eq!(listed["buckets"][0]["quota"], none);
    assert_eq!(listed["buckets"][0]["counted"], Value::Null);
    let set = |path: &str, body: &str| server.send(signed("PUT", path, body, &Signing::default()));
    let (status, shown) = set("/admin/v1/buckets/b-1/quota", r#"{"bytes": 100}"#).await;
    assert_eq!(status, 200);
    assert_eq!(shown["quota"], json!({"bytes": 100, "objects": null}));
    assert_eq!(shown["counted"], json!({"count": 0, "bytes": 0}));
    let (_, listed) = server.get("/admin/v1/buckets").await;
    assert_eq!(listed["buckets"][0], shown);
    for (path, body, expected) in [
        ("/admin/v1/buckets/b-1/quota", r#"{"bytes": -1}"#, 400),
        ("/admin/v1/buckets/b-1/quota", r#"{"byte": 1}"#, 400),
        (
            "/admin/v1/buckets/b-1/quota",
            r#"{"objects": 18446744073709551615}"#,
            400,
        ),
        ("/admin/v1/buckets/b-1/quota", "", 400),
        ("/admin/v1/buckets/nowhere/quota", "{}", 404),
    ] {
        assert_eq!(set(path, body).await.0, expected, "{path} {body}");
    }
    let (status, shown) = set("/admin/v1/buckets/b-1/quota", "{}").await;
    assert_eq!((status, &shown["quota"]), (StatusCode::OK, &none));
}

#[tokio::test]
async fn a_bucket_and_a_key_are_given_rate_limits_which_hold_at_once() {
    let server = Server::start(drives(0)).await;
    server.metadata.put_policy(policy()).await.unwrap();
    let made = server.metadata.create_bucket("b-1", "default", None).await;
    made.unwrap();
    let now = tokio::time::Instant::now();
    let admit = || {
        let limits = server.rate_limits.limits();
        limits.admit("OTHERKEY", Some("b-1"), now)
    };
    assert!(admit().unwrap().is_none());
    let set = |path: &str, body: &str| server.send(signed("PUT", path, body, &Signing::default()));
    let none = json!({"requests_per_second": null, "bytes_per_second": null});
    let (bucket, key) = (
        "/admin/v1/buckets/b-1/rate-limit",
        "/admin/v1/keys/OTHERKEY/rate-limit",
    );
    let (status, shown) = set(bucket, r#"{"requests_per_second": 9}"#).await;
    assert_eq!(status, 200);
    let nine = json!({"requests_per_second": 9, "bytes_per_second": null});
    assert_eq!(
        (&shown["rate_limit"], &shown["rate_refused"]),
        (&nine, &json!(0))
    );
    let (status, shown) = set(key, r#"{"requests_per_second": 1, "bytes_per_second": 5}"#).await;
    assert_eq!(
        (status, shown["access_key"].as_str()),
        (StatusCode::OK, Some("OTHERKEY"))
    );
    admit().unwrap();
    let refused = admit().unwrap_err();
    assert_eq!(refused.of, RateLimited::Key);
    let (_, listed) = server.get("/admin/v1/buckets").await;
    assert_eq!(listed["buckets"][0]["rate_limit"], nine);
    let (_, listed) = server.get("/admin/v1/keys").await;
    let rates: Vec<_> = (0..2)
        .map(|n| {
            (
                &listed["keys"][n]["rate_limit"],
                &listed["keys"][n]["rate_refused"],
            )
        })
        .collect();
    let both = json!({"requests_per_second": 1, "bytes_per_second": 5});
    assert_eq!(rates, [(&both, &json!(1)), (&none, &json!(0))]);
    // Another process sets one: it holds here once it is read again.
    let other = holdfast_metadata::model::NamedRateLimit {
        of: RateLimited::Key,
        name: "OTHERKEY".to_owned(),
        limit: RateLimit::default(),
    };
    server.metadata.set_rate_limit(other).await.unwrap();
    assert!(admit().is_err());
    server.rate_limits.read().await.unwrap();
    admit().unwrap();
    for (path, body, expected) in [
        (bucket, r#"{"requests_per_second": 0}"#, 400),
        (key, r#"{"bytes_per_second": 0}"#, 400),
        (key, r#"{"bytes_per_second": -1}"#, 400),
        (key, r#"{"bytes_per_second": 9223372036854775808}"#, 400),
        (key, r#"{"bytes": 1}"#, 400),
        (key, "", 400),
        (
            "/admin/v1/buckets/nowhere/rate-limit",
            r#"{"bytes_per_second": 1}"#,
            404,
        ),
        (
            "/admin/v1/keys/NOBODY/rate-limit",
            r#"{"bytes_per_second": 1}"#,
            404,
        ),
        ("/admin/v1/keys/NOBODY/rate-limit", "{}", 404),
    ] {
        assert_eq!(set(path, body).await.0, expected, "{path} {body}");
    }
    let (status, shown) = set(bucket, "{}").await;
    assert_eq!((status, &shown["rate_limit"]), (StatusCode::OK, &none));
    assert!(admit().unwrap().is_none());
}

#[tokio::test]
async fn a_key_is_made_used_listed_and_removed() {
    let server = Server::start(drives(0)).await;
    let create =
        |body: &str| server.send(signed("POST", "/admin/v1/keys", body, &Signing::default()));
    let (status, made) = create(r#"{"description": "backups"}"#).await;
    assert_eq!(status, 201);
    let access_key = made["access_key"].as_str().unwrap().to_owned();
    let secret_key = made["secret_key"].as_str().unwrap().to_owned();

    let by_it = Signing {
        key: (&access_key, &secret_key),
        ..Signing::default()
    };
    let (status, listed) = server
        .send(signed("GET", "/admin/v1/keys", "", &by_it))
        .await;
    assert_eq!(status, 200);
    let keys = listed["keys"].as_array().unwrap();
    let found = keys
        .iter()
        .find(|key| key["access_key"] == made["access_key"])
        .unwrap();
    assert_eq!(found["description"], "backups");
    assert_eq!(found["created_ms"], NOW_SECS * 1000);
    let root = keys.iter().find(|key| key["access_key"] == ROOT.0).unwrap();
    assert_eq!(root["root"], true);
    let text = listed.to_string();
    assert!(
        !text.contains(&secret_key) && !text.contains(ROOT.1),
        "no secret is listed"
    );

    let path = format!("/admin/v1/keys/{access_key}");
    let delete = || server.send(signed("DELETE", &path, "", &Signing::default()));
    assert_eq!(
        delete().await,
        (StatusCode::OK, json!({"deleted": access_key}))
    );
    let (status, refused) = server
        .send(signed("GET", "/admin/v1/keys", "", &by_it))
        .await;
    assert_eq!(
        (status.as_u16(), &refused["error"]["code"]),
        (403, &json!("InvalidAccessKeyId"))
    );
    assert_eq!(delete().await.0, 404);
}

#[tokio::test]
async fn a_given_pair_is_imported_once() {
    let server = Server::start(drives(0)).await;
    let body = r#"{"access_key": "minioadmin", "secret_key": "minioadmin"}"#;
    let create =
        |body: &str| server.send(signed("POST", "/admin/v1/keys", body, &Signing::default()));
    let (status, made) = create(body).await;
    assert_eq!(status, 201);
    assert_eq!(
        made,
        json!({"access_key": "minioadmin", "secret_key": "minioadmin"})
    );
    assert_eq!(create(body).await.0, 409);
    for bad in [
        "",
        "{",
        r#"{"acess_key": "a"}"#,
        r#"{"access_key": "onlyhalf"}"#,
        r#"{"access_key": "a b", "secret_key": "longenough"}"#,
        r#"{"access_key": "abc", "secret_key": "short"}"#,
        r#"{"description": "root key"}"#,
    ] {
        let (status, answer) = create(bad).await;
        assert_eq!(status, 400, "{bad}: {answer}");
        assert!(
            !answer.to_string().contains("longenough"),
            "no secret is repeated"
        );
    }
}

#[tokio::test]
async fn the_root_key_can_not_be_removed() {
    let server = Server::start(drives(0)).await;
    let path = format!("/admin/v1/keys/{}", ROOT.0);
    let (status, _) = server
        .send(signed("DELETE", &path, "", &Signing::default()))
        .await;
    assert_eq!(status, 409);
    assert_eq!(server.get("/admin/v1/keys").await.0, 200, "it still works");
}

#[tokio::test]
async fn two_authorizations_are_none() {
    let server = Server::start(drives(0)).await;
    let mut request = signed("GET", "/admin/v1/status", "", &Signing::default());
    let again = request.headers()[AUTHORIZATION].clone();
    request.headers_mut().append(AUTHORIZATION, again);
    assert_eq!(server.send(request).await.0, 403);
}
