//! Rate limits: set, changed, listed in pages, and gone with what they are of.

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{AccessKey, NamedRateLimit, RateLimit, RateLimited};

use super::world::World;

super::on_both! {
    a_limit_is_set_changed_and_taken_away,
    a_limit_needs_what_it_is_of,
    a_limit_goes_with_its_bucket_or_key,
    limits_are_listed_in_pages,
    a_limit_set_while_its_bucket_is_deleted_does_not_outlive_it,
}

const NONE: RateLimit = RateLimit {
    requests_per_second: None,
    bytes_per_second: None,
};

fn limit(requests: impl Into<Option<u64>>, bytes: impl Into<Option<u64>>) -> RateLimit {
    RateLimit {
        requests_per_second: requests.into(),
        bytes_per_second: bytes.into(),
    }
}

fn named(of: RateLimited, name: &str, limit: RateLimit) -> NamedRateLimit {
    NamedRateLimit {
        of,
        name: name.to_owned(),
        limit,
    }
}

async fn key(world: &World, access_key: &str) {
    let key = AccessKey {
        access_key: access_key.to_owned(),
        secret_key: "s".to_owned(),
        description: String::new(),
        created_ms: 1,
        disabled: false,
    };
    world.metadata.create_key(key).await.unwrap();
}

async fn set(world: &World, of: RateLimited, name: &str, limit: RateLimit) {
    let set = world.metadata.set_rate_limit(named(of, name, limit));
    set.await.unwrap();
    assert_eq!(world.metadata.rate_limit(of, name).await.unwrap(), limit);
}

async fn all(world: &World) -> Vec<NamedRateLimit> {
    world.metadata.rate_limits(None, 100).await.unwrap()
}

async fn a_limit_is_set_changed_and_taken_away(world: World) {
    world.bucket("same").await;
    world.bucket("other").await;
    key(&world, "same").await;
    let (bucket, by_key) = (RateLimited::Bucket, RateLimited::Key);
    for (of, name) in [(bucket, "same"), (bucket, "other"), (by_key, "same")] {
        assert_eq!(world.metadata.rate_limit(of, name).await.unwrap(), NONE);
    }
    let most = i64::MAX.unsigned_abs();
    set(&world, bucket, "same", limit(10, None)).await;
    set(&world, by_key, "same", limit(None, most)).await;
    assert_eq!(
        all(&world).await,
        [
            named(bucket, "same", limit(10, None)),
            named(by_key, "same", limit(None, most)),
        ]
    );
    set(&world, bucket, "same", limit(7, 8)).await;
    set(&world, bucket, "same", limit(None, 8)).await;
    set(&world, by_key, "same", NONE).await;
    assert_eq!(all(&world).await, [named(bucket, "same", limit(None, 8))]);
    set(&world, by_key, "same", NONE).await;
    set(&world, bucket, "same", NONE).await;
    assert_eq!(all(&world).await, []);
}

async fn a_limit_needs_what_it_is_of(world: World) {
    world.bucket("b").await;
    key(&world, "k").await;
    for asked in [limit(1, 1), NONE] {
        let bucket = named(RateLimited::Bucket, "k", asked);
        assert!(matches!(
            world.metadata.set_rate_limit(bucket).await,
            Err(MetadataError::NoSuchBucket)
        ));
        let key = named(RateLimited::Key, "b", asked);
        assert!(matches!(
            world.metadata.set_rate_limit(key).await,
            Err(MetadataError::NotFound("access key"))
        ));
    }
    assert_eq!(all(&world).await, []);
}

async fn a_limit_goes_with_its_bucket_or_key(world: World) {
    for name in ["b", "c"] {
        world.bucket(name).await;
        key(&world, name).await;
        set(&world, RateLimited::Bucket, name, limit(1, 2)).await;
        set(&world, RateLimited::Key, name, limit(3, 4)).await;
    }
    world.metadata.delete_bucket("b").await.unwrap();
    world.metadata.delete_key("c").await.unwrap();
    let left = [
        named(RateLimited::Bucket, "c", limit(1, 2)),
        named(RateLimited::Key, "b", limit(3, 4)),
    ];
    assert_eq!(all(&world).await, left);
    // Whoever takes the name is not limited by it.
    world.bucket("b").await;
    key(&world, "c").await;
    assert_eq!(all(&world).await, left);
}

async fn limits_are_listed_in_pages(world: World) {
    let mut set_all = Vec::new();
    for name in ["B", "a", "ab", "b"] {
        world.bucket(name).await;
        key(&world, name).await;
    }
    for of in [RateLimited::Bucket, RateLimited::Key] {
        for name in ["B", "a", "ab", "b"] {
            set(&world, of, name, limit(1, None)).await;
            set_all.push(named(of, name, limit(1, None)));
        }
    }
    for size in 1..=9 {
        let mut listed: Vec<NamedRateLimit> = Vec::new();
        loop {
            let after = listed.last().map(|last| (last.of, last.name.as_str()));
            let page = world.metadata.rate_limits(after, size).await.unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, set_all, "pages of {size}");
    }
    assert_eq!(world.metadata.all_rate_limits().await.unwrap(), set_all);
}

/// Whichever comes first, no limit is left of a bucket or key that is gone.
async fn a_limit_set_while_its_bucket_is_deleted_does_not_outlive_it(world: World) {
    for _ in 0..10 {
        world.bucket("b").await;
        key(&world, "k").await;
        let bucket = named(RateLimited::Bucket, "b", limit(1, 1));
        let by_key = named(RateLimited::Key, "k", limit(1, 1));
        let (set_bucket, set_key, deleted_bucket, deleted_key) = futures::join!(
            world.metadata.set_rate_limit(bucket),
            world.metadata.set_rate_limit(by_key),
            world.metadata.delete_bucket("b"),
            world.metadata.delete_key("k"),
        );
        deleted_bucket.unwrap();
        deleted_key.unwrap();
        assert!(matches!(
            set_bucket,
            Ok(()) | Err(MetadataError::NoSuchBucket)
        ));
        assert!(matches!(set_key, Ok(()) | Err(MetadataError::NotFound(_))));
        assert_eq!(all(&world).await, []);
    }
}
