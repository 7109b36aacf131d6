//! Rate limits, as requests meet them: what is let in, what is refused and when, and whom it costs.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use holdfast_metadata::model::{NamedRateLimit, RateLimit, RateLimited};

use super::forms::draft;
use super::*;

const IN_HEADER: SignatureLocation = SignatureLocation::Headers;
const IN_QUERY: SignatureLocation = SignatureLocation::QueryParams;

fn limit(of: RateLimited, name: &str, requests: u64, bytes: u64) -> NamedRateLimit {
    NamedRateLimit {
        of,
        name: name.to_owned(),
        limit: RateLimit {
            requests_per_second: (requests > 0).then_some(requests),
            bytes_per_second: (bytes > 0).then_some(bytes),
        },
    }
}

fn bucket(name: &str, requests: u64, bytes: u64) -> NamedRateLimit {
    limit(RateLimited::Bucket, name, requests, bytes)
}

fn key(requests: u64, bytes: u64) -> NamedRateLimit {
    limit(RateLimited::Key, ACCESS_KEY, requests, bytes)
}

fn bench(limits: &[NamedRateLimit]) -> Bench {
    let all = RateLimits::default();
    all.set_all(limits.to_vec(), Instant::now());
    Bench::limited(all)
}

/// Sends what another key has signed.
async fn ask_by_other(bench: &Bench, method: &str, uri: &str) -> Answer {
    let request = signed_by(OTHER_KEY, IN_HEADER, method, uri, &[], b"");
    bench.send(request).await
}

fn is_refused(answer: &Answer, retry_after: &str) {
    assert_eq!((answer.status, answer.code()), (503, "SlowDown"));
    assert_eq!(answer.header("retry-after"), Some(retry_after));
    assert_eq!(answer.header("x-amz-request-id").map(str::len), Some(16));
}

async fn pass_ms(ms: u64) {
    tokio::time::advance(Duration::from_millis(ms)).await;
}

/// A body that says whether anybody read of it.
struct Watched(Arc<AtomicBool>);

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        self.0.store(true, Ordering::SeqCst);
        Poll::Ready(None)
    }
}

#[tokio::test(start_paused = true)]
async fn a_buckets_limit_is_met_exactly_and_one_more_is_refused_before_its_body() {
    let bench = bench(&[bucket("bucket", 2, 0)]);
    for _ in 0..2 {
        let put = bench.ask("PUT", "/bucket/k", &[], "hello").await;
        assert_eq!(put.status, 200, "{}", put.body);
    }
    let was_read = Arc::new(AtomicBool::new(false));
    let request = signed(IN_HEADER, "PUT", "/bucket/k", &[], b"hello");
    let request = request.map(|_| Watched(Arc::clone(&was_read)));
    let answer = bench.pipeline.serve(request).await;
    assert_eq!(answer.status(), 503);
    assert!(!was_read.load(Ordering::SeqCst));
    let asked = bench.store.asked().len();
    let get = bench.ask("GET", "/bucket/k", &[], "").await;
    is_refused(&get, "1");
    assert!(get.body.contains(
        "<Message>Please reduce your request rate: the bucket's limit of requests is reached.\
         </Message>"
    ));
    let head = bench.ask("HEAD", "/bucket/k", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (503, ""));
    assert_eq!(head.header("retry-after"), Some("1"));
    is_refused(&ask_by_other(&bench, "GET", "/bucket").await, "1");
    assert_eq!(bench.store.asked().len(), asked);
    // Nobody else waits.
    for uri in ["/another/k", "/bucket-2/k", "/"] {
        assert_ne!(bench.ask("GET", uri, &[], "").await.status, 503, "{uri}");
    }
    pass_ms(499).await;
    is_refused(&bench.ask("GET", "/bucket/k", &[], "").await, "1");
    pass_ms(1).await;
    assert_eq!(bench.ask("GET", "/bucket/k", &[], "").await.status, 200);
    is_refused(&bench.ask("GET", "/bucket/k", &[], "").await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_keys_limit_holds_for_all_it_asks_and_for_no_other_key() {
    let bench = bench(&[key(4, 0)]);
    for (method, uri) in [
        ("GET", "/"),
        ("PUT", "/one"),
        ("GET", "/two/k"),
        ("HEAD", "/two"),
    ] {
        assert_ne!(bench.ask(method, uri, &[], "").await.status, 503, "{uri}");
    }
    for (method, uri) in [("GET", "/"), ("PUT", "/one"), ("DELETE", "/three/k")] {
        let answer = bench.ask(method, uri, &[], "").await;
        is_refused(&answer, "1");
        assert!(answer.body.contains("the access key's limit of requests"));
        assert_ne!(ask_by_other(&bench, method, uri).await.status, 503);
    }
    let page = bench.pipeline.metrics.render().unwrap();
    let line = r#"holdfast_s3_rate_limited_total{limit="requests",of="key"} 3"#;
    assert!(page.contains(line), "{page}");
}

/// Whoever can't sign as a key uses up nothing of it, nor of the bucket that it names.
#[tokio::test(start_paused = true)]
async fn without_a_good_signature_nobodys_limit_is_used_up() {
    let bench = bench(&[bucket("bucket", 3, 10), key(3, 10)]);
    for _ in 0..20 {
        let mut forged = signed(
            IN_HEADER,
            "PUT",
            "/bucket/k",
            &[],
            b"a long body of many bytes",
        );
        *forged.uri_mut() = "/bucket/other".parse().unwrap();
        assert_eq!(bench.send(forged).await.code(), "SignatureDoesNotMatch");
        let mut forged = signed(IN_QUERY, "GET", "/bucket/k", &[], b"");
        *forged.method_mut() = Method::DELETE;
        assert_eq!(bench.send(forged).await.code(), "SignatureDoesNotMatch");
        let unsigned = Request::builder().uri("/bucket/k").header("host", HOST);
        let answer = bench.send(unsigned.body(Vec::new()).unwrap()).await;
        assert_eq!(answer.code(), "AccessDenied");
        let mut form = draft();
        form.secret = "not the secret";
        assert_eq!(form.send(&bench).await.code(), "SignatureDoesNotMatch");
        let asked = Request::builder()
            .method("OPTIONS")
            .uri("/bucket/k")
            .header("host", HOST)
            .header("origin", "https://page.example")
            .header("access-control-request-method", "GET");
        assert_eq!(
            bench.send(asked.body(Vec::new()).unwrap()).await.status,
            403
        );
    }
    for _ in 0..3 {
        let answer = bench.ask("GET", "/bucket/k", &[], "").await;
        assert_eq!(answer.code(), "NoSuchKey");
    }
    is_refused(&bench.ask("GET", "/bucket/k", &[], "").await, "1");
}

#[tokio::test(start_paused = true)]
async fn presigned_requests_and_forms_are_held_to_the_limits_too() {
    let bench = bench(&[bucket("bucket", 2, 0)]);
    let presigned = || signed(IN_QUERY, "GET", "/bucket/k", &[], b"");
    assert_eq!(bench.send(presigned()).await.code(), "NoSuchKey");
    assert_eq!(draft().send(&bench).await.status, 204);
    is_refused(&bench.send(presigned()).await, "1");
    let asked = bench.store.asked().len();
    let form = draft().send(&bench).await;
    is_refused(&form, "1");
    // Its file was not read.
    assert_eq!(form.header("connection"), Some("close"));
    assert_eq!(bench.store.asked().len(), asked);
    pass_ms(500).await;
    assert_eq!(draft().send(&bench).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_never_cut_off_and_the_next_request_waits_its_debt_off() {
    let bench = bench(&[bucket("bucket", 0, 10)]);
    let body = "x".repeat(45);
    let put = bench.ask("PUT", "/bucket/k", &[], &body).await;
    assert_eq!(put.status, 200, "{}", put.body);
    // Of 45 bytes 10 were there: 35 are owed, and one must be there.
    let refused = bench.ask("GET", "/bucket/k", &[], "").await;
    is_refused(&refused, "4");
    assert!(refused.body.contains("the bucket's limit of bytes"));
    is_refused(&draft().send(&bench).await, "4");
    assert_eq!(bench.ask("GET", "/other/k", &[], "").await.status, 404);
    pass_ms(3600).await;
    let get = bench.ask("GET", "/bucket/k", &[], "").await;
    assert_eq!((get.status, get.body), (200, body.clone()));
    is_refused(&bench.ask("GET", "/bucket/k", &[], "").await, "5");
    pass_ms(4500).await;
    let mut form = draft();
    form.file = vec![b'y'; 200];
    assert_eq!(form.send(&bench).await.status, 204);
    // 200 bytes and the end of a line; fields and boundaries do not count.
    is_refused(&bench.ask("GET", "/bucket/k", &[], "").await, "21");
    pass_ms(21_000).await;
    // However much it is, two minutes are the longest wait.
    let huge = "z".repeat(1 << 20);
    let put = bench.ask("PUT", "/bucket/k", &[], &huge).await;
    assert_eq!(put.status, 200, "{}", put.body);
    is_refused(&bench.ask("GET", "/bucket/k", &[], "").await, "121");
    pass_ms(121_000).await;
    let get = bench.ask("GET", "/bucket/k", &[], "").await;
    assert_eq!((get.status, get.body.len()), (200, huge.len()));
}
