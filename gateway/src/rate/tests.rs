//! Limits of buckets and keys, with a clock that is given.

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, Full};

use super::*;

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

fn limits(all: &[NamedRateLimit], now: Instant) -> RateLimits {
    let limits = RateLimits::default();
    limits.set_all(all.to_vec(), now);
    limits
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const BUCKET: RateLimited = RateLimited::Bucket;
const KEY: RateLimited = RateLimited::Key;

#[test]
fn a_limit_is_met_exactly_and_passed_by_none() {
    let now = Instant::now();
    let limits = limits(&[limit(BUCKET, "b", 3, 0), limit(KEY, "k", 5, 0)], now);
    for _ in 0..3 {
        assert!(!limits.admit("k", Some("b"), now).unwrap().is_none());
    }
    let refused = limits.admit("k", Some("b"), now).unwrap_err();
    assert_eq!((refused.of, refused.what), (BUCKET, Rate::Requests));
    assert_eq!(refused.wait.as_millis(), 333);
    assert_eq!(refused.retry_after_seconds(), 1);
    assert_eq!(
        refused.to_string(),
        "the bucket's limit of requests is reached"
    );
    // The key has two left: what the bucket refused took nothing of it.
    for _ in 0..2 {
        limits.admit("k", Some("other"), now).unwrap();
    }
    let refused = limits.admit("k", None, now).unwrap_err();
    assert_eq!((refused.of, refused.what), (KEY, Rate::Requests));
    assert_eq!(
        refused.to_string(),
        "the access key's limit of requests is reached"
    );
    // Nor did what the key refused take anything of the bucket.
    let later = now + Duration::from_millis(334);
    assert!(limits.admit("k", Some("b"), later).is_ok());
    assert_eq!(
        (limits.refused(BUCKET, "b"), limits.refused(KEY, "k")),
        (1, 1)
    );
}

#[test]
fn a_bucket_and_a_key_of_one_name_are_two() {
    let now = Instant::now();
    let limits = limits(&[limit(BUCKET, "same", 1, 0)], now);
    limits.admit("same", Some("same"), now).unwrap();
    assert!(limits.admit("same", Some("same"), now).is_err());
    for _ in 0..10 {
        assert!(limits.admit("same", Some("b"), now).unwrap().is_none());
        assert!(limits.admit("same", None, now).unwrap().is_none());
    }
}

#[test]
fn where_both_must_wait_the_longer_wait_is_told() {
    let now = Instant::now();
    let limits = limits(&[limit(BUCKET, "b", 9, 100), limit(KEY, "k", 9, 100)], now);
    let both = limits.admit("k", Some("b"), now).unwrap();
    let key = limits.admit("k", None, now).unwrap();
    both.take_bytes(600, now);
    key.take_bytes(500, now);
    let refused = limits.admit("k", Some("b"), now).unwrap_err();
    assert_eq!((refused.of, refused.what), (KEY, Rate::Bytes));
    assert_eq!(refused.wait.as_millis(), 10_010);
    assert_eq!(refused.retry_after_seconds(), 11);
}

/// Among limits that were read again and again nobody gains or loses anything.
#[test]
fn limits_that_stay_the_same_go_on_where_they_are() {
    let now = Instant::now();
    let first = [limit(BUCKET, "b", 2, 100), limit(KEY, "k", 0, 100)];
    let limits = limits(&first, now);
    let meters = limits.admit("k", Some("b"), now).unwrap();
    limits.set_all(first.to_vec(), now);
    limits.admit("k", Some("b"), now).unwrap();
    limits.set_all(first.to_vec(), now);
    assert!(limits.admit("k", Some("b"), now).is_err());
    // A body that began before the limits were read again still counts.
    meters.take_bytes(300, now + secs(1));
    let refused = limits.admit("k", None, now + secs(1)).unwrap_err();
    assert_eq!((refused.of, refused.what), (KEY, Rate::Bytes));
    // A changed limit begins anew; the other one of the same bucket does not.
    let changed = vec![limit(BUCKET, "b", 3, 100), limit(KEY, "k", 0, 101)];
    limits.set_all(changed, now + secs(1));
    assert!(limits.admit("k", None, now + secs(1)).is_ok());
    let refused = limits.admit("k", Some("b"), now + secs(1)).unwrap_err();
    assert_eq!((refused.of, refused.what), (BUCKET, Rate::Bytes));
    assert_eq!(limits.refused(BUCKET, "b"), 2);
    // A limit that was taken away is gone, with what it counted.
    limits.set_all(Vec::new(), now + secs(1));
    assert!(limits.admit("k", Some("b"), now).unwrap().is_none());
    assert_eq!(limits.refused(BUCKET, "b"), 0);
}

#[test]
fn names_that_have_no_limit_are_not_remembered() {
    let now = Instant::now();
    let limits = limits(&[limit(BUCKET, "b", 1, 1), limit(KEY, "k", 1, 1)], now);
    for number in 0..1000 {
        let name = format!("name-{number}");
        assert!(limits.admit(&name, Some(&name), now).unwrap().is_none());
    }
    let set = limits.set.read().unwrap();
    assert_eq!((set.buckets.len(), set.keys.len()), (1, 1));
}

#[test]
fn requests_at_once_get_exactly_what_there_is() {
    let now = Instant::now();
    let all = [limit(BUCKET, "b", 100, 0), limit(KEY, "k", 70, 0)];
    let limits = limits(&all, now);
    let admitted = |bucket: &'static str| {
        let limits = &limits;
        move || {
            (0..40)
                .filter(|_| limits.admit("k", Some(bucket), now).is_ok())
                .count()
        }
    };
    let sum: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| scope.spawn(admitted(if n % 2 == 0 { "b" } else { "c" })))
            .collect();
        threads.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(sum, 70);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_passed_on_whole_and_counted() {
    let now = Instant::now();
    let limits = limits(&[limit(KEY, "k", 0, 10)], now);
    let meters = limits.admit("k", None, now).unwrap();
    let body = Metered::new(Full::new(Bytes::from(vec![7; 35])), meters);
    assert_eq!(body.size_hint().exact(), Some(35));
    assert!(!body.is_end_stream());
    assert!(
        limits.admit("k", None, now).is_ok(),
        "nothing has flowed yet"
    );
    let passed = body.collect().await.unwrap().to_bytes();
    assert_eq!(passed, vec![7; 35]);
    let refused = limits.admit("k", None, now).unwrap_err();
    assert_eq!(refused.what, Rate::Bytes);
    assert_eq!(refused.wait.as_millis(), 2600);
    assert!(limits.admit("k", None, now + refused.wait).is_ok());
}
