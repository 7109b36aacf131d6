//! Quotas: what counts, what is refused, and how far writers at once may overshoot.

use std::sync::Arc;

use futures::future::join_all;
use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{Bucket, OverQuota, Quota, Usage};

use super::hooks::Gate;
use super::world::{World, complete_of, copy_of};

super::on_both! {
    a_quota_refuses_what_would_exceed_it,
    objects_are_counted_and_markers_are_not,
    parts_of_open_uploads_count,
    what_adds_nothing_is_never_refused,
    folding_changes_nothing,
    writers_at_once_overshoot_by_what_is_under_way_at_most,
    many_writers_stop_at_the_quota,
}

/// Connections of a story's handle: transactions that can be under way at once.
const CONNECTIONS: u64 = 16;

async fn bucket(world: &World, bytes: Option<u64>, objects: Option<u64>) -> Bucket {
    world.bucket("b").await;
    set(world, bytes, objects).await;
    world.metadata.bucket("b").await.unwrap()
}

async fn set(world: &World, bytes: Option<u64>, objects: Option<u64>) {
    let quota = Quota { bytes, objects };
    world.metadata.set_quota("b", quota).await.unwrap();
    assert_eq!(world.metadata.bucket("b").await.unwrap().quota, quota);
}

async fn stored(world: &World, bucket: &Bucket) -> (u64, u64) {
    let Usage { versions, bytes } = world.metadata.bucket_stored(bucket.id).await.unwrap();
    (versions, bytes)
}

async fn put(world: &World, key: &str, len: u64) -> Result<(), MetadataError> {
    let put = world.put_of("b", key, len, "e");
    world.metadata.put_object(put).await.map(|_| ())
}

fn is_over<T: std::fmt::Debug>(outcome: Result<T, MetadataError>, what: &str, limit: u64) {
    match outcome {
        Err(MetadataError::OverQuota(over)) => assert_eq!((over.what, over.limit), (what, limit)),
        other => panic!("{other:?}"),
    }
}

async fn a_quota_refuses_what_would_exceed_it(world: World) {
    let bucket = bucket(&world, Some(100), None).await;
    put(&world, "a", 60).await.unwrap();
    put(&world, "exactly", 40).await.unwrap();
    is_over(put(&world, "one more", 1).await, "bytes", 100);
    put(&world, "empty", 0).await.unwrap();
    let source = world.current(&bucket, "a").await.unwrap();
    is_over(
        world.metadata.copy_object(copy_of(&source, "b", "c")).await,
        "bytes",
        100,
    );
    assert_eq!(stored(&world, &bucket).await, (3, 100));
    // A refused write leaves nothing.
    assert!(matches!(
        world.current(&bucket, "one more").await,
        Err(MetadataError::NoSuchKey)
    ));
    // What goes makes room, and an overwrite counts by the difference.
    put(&world, "a", 30).await.unwrap();
    is_over(put(&world, "b", 31).await, "bytes", 100);
    put(&world, "b", 30).await.unwrap();
    world.delete("b", "exactly").await;
    put(&world, "c", 40).await.unwrap();
    assert_eq!(stored(&world, &bucket).await, (4, 100));
    // Without a quota there is none, and another bucket has none anyway.
    world.bucket("other").await;
    world.put("other", "k", 1_000_000, "e").await;
    set(&world, None, None).await;
    put(&world, "d", 1_000_000).await.unwrap();
    let nowhere = world.metadata.set_quota("nowhere", Quota::default()).await;
    assert!(matches!(nowhere, Err(MetadataError::NoSuchBucket)));
}

async fn objects_are_counted_and_markers_are_not(world: World) {
    let bucket = world.versioned_bucket("b").await;
    set(&world, None, Some(2)).await;
    put(&world, "k", 5).await.unwrap();
    put(&world, "k", 5).await.unwrap();
    is_over(put(&world, "k", 5).await, "objects", 2);
    is_over(put(&world, "empty", 0).await, "objects", 2);
    let marker = world.delete("b", "k").await;
    assert!(marker.delete_marker, "a marker is not refused");
    assert_eq!(stored(&world, &bucket).await, (2, 10));
}

async fn parts_of_open_uploads_count(world: World) {
    let bucket = bucket(&world, Some(100), Some(1)).await;
    let upload = world.upload("b", "u").await;
    let one = world.part("b", &upload, 1, 40).await;
    world.part("b", &upload, 2, 40).await;
    assert_eq!(stored(&world, &bucket).await, (0, 80));
    let third = world.part_of("b", &upload, 3, 21);
    is_over(world.metadata.put_part(third).await, "bytes", 100);
    is_over(put(&world, "k", 21).await, "bytes", 100);
    // A part that is sent again counts once.
    world.part("b", &upload, 2, 60).await;
    let larger = world.part_of("b", &upload, 2, 61);
    is_over(world.metadata.put_part(larger).await, "bytes", 100);
    let two = world.part("b", &upload, 2, 50).await;
    assert_eq!(stored(&world, &bucket).await, (0, 90));
    // An aborted upload gives back what it had.
    let other = world.upload("b", "gone").await;
    world.part("b", &other, 1, 10).await;
    assert_eq!(stored(&world, &bucket).await, (0, 100));
    let abort = world.metadata.abort_upload(bucket.id, b"gone", other.id);
    abort.await.unwrap();
    assert_eq!(stored(&world, &bucket).await, (0, 90));
    // Completing adds no byte, even where the quota is full; a part that is not listed goes.
    world.part("b", &upload, 3, 10).await;
    set(&world, Some(1), Some(1)).await;
    let complete = complete_of("b", &upload, &[&one, &two]);
    world.metadata.complete_upload(complete).await.unwrap();
    assert_eq!(stored(&world, &bucket).await, (1, 90));
    let usage = world.metadata.bucket_usage(bucket.id).await.unwrap();
    assert_eq!((usage.versions, usage.bytes), (1, 90));
    // But it adds an object.
    set(&world, None, Some(1)).await;
    let upload = world.upload("b", "another").await;
    let part = world.part("b", &upload, 1, 5).await;
    let complete = complete_of("b", &upload, &[&part]);
    is_over(world.metadata.complete_upload(complete).await, "objects", 1);
    let parts = world.metadata.parts(upload.id, 0, 10).await.unwrap();
    assert_eq!(parts, [part], "the upload is as it was");
    world
        .metadata
        .delete_object(super::world::delete_of("b", "u", None))
        .await
        .unwrap();
    assert_eq!(stored(&world, &bucket).await, (0, 5));
    world.metadata.delete_bucket("b").await.unwrap();
    assert_eq!(stored(&world, &bucket).await, (0, 0));
}

async fn what_adds_nothing_is_never_refused(world: World) {
    let bucket = bucket(&world, None, None).await;
    put(&world, "k", 100).await.unwrap();
    put(&world, "l", 100).await.unwrap();
    set(&world, Some(10), Some(1)).await;
    // Over its quota since it was set: what is there stays, and may become less.
    put(&world, "k", 100).await.unwrap();
    put(&world, "k", 50).await.unwrap();
    is_over(put(&world, "k", 51).await, "bytes", 10);
    let upload = world.upload("b", "k").await;
    is_over(
        world
            .metadata
            .put_part(world.part_of("b", &upload, 1, 1))
            .await,
        "bytes",
        10,
    );
    world.delete("b", "k").await;
    is_over(put(&world, "k", 0).await, "objects", 1);
    assert_eq!(stored(&world, &bucket).await, (1, 100));
}

async fn folding_changes_nothing(world: World) {
    let bucket = bucket(&world, Some(1000), None).await;
    let upload = world.upload("b", "u").await;
    for n in 1..=5 {
        world.part("b", &upload, n, 100).await;
        put(&world, &format!("k{n}"), 90).await.unwrap();
        assert_eq!(world.metadata.fold_usage(1).await.unwrap(), 1);
        let total = (u64::from(n), u64::from(n) * 190);
        assert_eq!(stored(&world, &bucket).await, total);
    }
    is_over(put(&world, "x", 51).await, "bytes", 1000);
    while world.metadata.fold_usage(3).await.unwrap() > 0 {}
    is_over(put(&world, "x", 51).await, "bytes", 1000);
    put(&world, "x", 50).await.unwrap();
}

/// Eight writers stop before their COMMITs, all having looked; then all commit. On SQLite one
/// follows the other, and the second is refused.
async fn writers_at_once_overshoot_by_what_is_under_way_at_most(world: World) {
    const WRITERS: u64 = 8;
    let bucket = bucket(&world, Some(100), None).await;
    put(&world, "before", 50).await.unwrap();
    let gate = Arc::new(Gate::closed());
    let is_postgres = world.is_postgres();
    let world = Arc::new(world.reopened_gated(&gate).await);
    gate.set(false);
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { put(&world, &format!("k{n}"), 50).await })
        })
        .collect();
    let at_once = if is_postgres { WRITERS as u32 } else { 1 };
    gate.reached.acquire_many(at_once).await.unwrap().forget();
    gate.set(true);
    let outcomes = join_all(writers).await;
    let done = outcomes.iter().filter(|o| o.as_ref().unwrap().is_ok());
    let done = done.count() as u64;
    let (_, bytes) = stored(&world, &bucket).await;
    assert_eq!(bytes, 50 + done * 50);
    if is_postgres {
        // The very bound: all but one were not seen by the others.
        assert_eq!(bytes, 100 + (WRITERS - 1) * 50);
    } else {
        assert_eq!(bytes, 100);
    }
    is_over(put(&world, "late", 1).await, "bytes", 100);
}

async fn many_writers_stop_at_the_quota(world: World) {
    const LEN: u64 = 7;
    const LIMIT: u64 = 70 * LEN;
    let bucket = bucket(&world, Some(LIMIT), None).await;
    let is_postgres = world.is_postgres();
    let world = Arc::new(world);
    let writers = (0..20).map(|writer| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for n in 0.. {
                match put(&world, &format!("{writer}-{n}"), LEN).await {
                    Ok(()) => {}
                    Err(MetadataError::OverQuota(OverQuota { limit, .. })) => {
                        assert_eq!(limit, LIMIT);
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
                if n % 3 == 0 {
                    world.metadata.fold_usage(5).await.unwrap();
                }
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let (objects, bytes) = stored(&world, &bucket).await;
    assert_eq!(bytes, objects * LEN);
    let most = if is_postgres {
        LIMIT + (CONNECTIONS - 1) * LEN
    } else {
        LIMIT
    };
    assert!(
        (LIMIT..=most).contains(&bytes),
        "{bytes} of {LIMIT}, at most {most}"
    );
}
