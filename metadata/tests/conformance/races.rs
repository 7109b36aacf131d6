//! Commands at once: exactly one wins where one must, and nothing is lost or kept in between.

use std::sync::Arc;

use futures::future::join_all;
use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{ChangeCursor, UploadState, Versioning};

use super::invariants;
use super::world::{World, complete_of, delete_of, if_none_match, query};

super::on_both! {
    one_of_many_creates_a_key,
    writers_of_one_key_are_put_in_order,
    complete_or_abort_wins,
    one_complete_of_many_wins,
    a_bucket_is_deleted_or_written_to,
    parts_of_one_number_replace_each_other,
    the_last_two_references_go_at_once,
    the_change_log_is_read_without_gaps,
}

async fn one_of_many_creates_a_key(world: World) {
    let bucket = world.bucket("b").await;
    let world = Arc::new(world);
    for round in 0..10 {
        let key = format!("k{round}");
        let puts = (0..24).map(|n| {
            let (world, key) = (Arc::clone(&world), key.clone());
            tokio::spawn(async move {
                let mut put = world.put_of("b", &key, 10, &format!("e{n}"));
                put.condition = if_none_match("*");
                world.metadata.put_object(put).await
            })
        });
        let outcomes = join_all(puts).await;
        let mut winners = Vec::new();
        for outcome in outcomes {
            match outcome.unwrap() {
                Ok(published) => winners.push(published),
                Err(MetadataError::PreconditionFailed { condition }) => {
                    assert_eq!(condition, "If-None-Match");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(winners.len(), 1);
        let version = world.current(&bucket, &key).await.unwrap();
        assert_eq!(
            (version.etag, version.sequence),
            (winners[0].etag.clone(), 1)
        );
    }
    invariants::check(&world).await;
}

async fn writers_of_one_key_are_put_in_order(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let world = Arc::new(world);
    let writes = (0..40_u64).map(|n| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            if n % 4 == 0 {
                world.delete("b", "k").await;
            } else {
                world.put("b", "k", n, "e").await;
            }
        })
    });
    for write in join_all(writes).await {
        write.unwrap();
    }
    let page = world
        .metadata
        .list_versions(&query(&bucket, 100))
        .await
        .unwrap();
    let sequences: Vec<u64> = page
        .entries
        .iter()
        .map(|entry| match entry {
            holdfast_metadata::model::ListEntry::Version(version) => version.sequence,
            holdfast_metadata::model::ListEntry::CommonPrefix(_) => 0,
        })
        .collect();
    assert_eq!(sequences, (1..=40).rev().collect::<Vec<_>>());
    invariants::check(&world).await;
}

async fn complete_or_abort_wins(world: World) {
    let bucket = world.bucket("b").await;
    let world = Arc::new(world);
    let mut completed = 0;
    for round in 0..20 {
        let key = format!("k{round}");
        let upload = world.upload("b", &key).await;
        let part = world.part("b", &upload, 1, 10).await;
        let complete = complete_of("b", &upload, &[&part]);
        let (one, other) = (Arc::clone(&world), Arc::clone(&world));
        let (id, bytes) = (upload.id, key.clone().into_bytes());
        let mut tasks = (
            tokio::spawn(async move { one.metadata.complete_upload(complete).await }),
            tokio::spawn(async move { other.metadata.abort_upload(bucket.id, &bytes, id).await }),
        );
        let (complete, abort) = tokio::join!(&mut tasks.0, &mut tasks.1);
        let (complete, abort) = (complete.unwrap(), abort.unwrap());
        let state = world
            .metadata
            .upload(upload.bucket, key.as_bytes(), id)
            .await
            .unwrap()
            .state;
        match (complete, abort) {
            (Ok(_), Err(MetadataError::NoSuchUpload)) => {
                completed += 1;
                assert!(matches!(state, UploadState::Completed(_)));
            }
            (Err(MetadataError::NoSuchUpload), Ok(())) => assert_eq!(state, UploadState::Aborted),
            outcome => panic!("{outcome:?}"),
        }
    }
    let totals = world.metadata.totals().await.unwrap();
    assert_eq!(totals.usage.versions, completed);
    assert_eq!(totals.garbage.versions, 20 - completed);
    invariants::check(&world).await;
}

async fn one_complete_of_many_wins(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let world = Arc::new(world);
    let upload = world.upload("b", "k").await;
    let part = world.part("b", &upload, 1, 10).await;
    let completes = (0..12).map(|_| {
        let (world, complete) = (Arc::clone(&world), complete_of("b", &upload, &[&part]));
        tokio::spawn(async move { world.metadata.complete_upload(complete).await })
    });
    let outcomes = join_all(completes).await;
    let won = outcomes
        .iter()
        .filter(|outcome| outcome.as_ref().unwrap().is_ok())
        .count();
    assert_eq!(won, 1);
    assert_eq!(world.list_versions(query(&bucket, 10)).await.0, ["k"]);
    invariants::check(&world).await;
}

async fn a_bucket_is_deleted_or_written_to(world: World) {
    let world = Arc::new(world);
    for round in 0..20 {
        let name = format!("b{round}");
        world.bucket(&name).await;
        let (one, other, target) = (Arc::clone(&world), Arc::clone(&world), name.clone());
        let put = tokio::spawn(async move {
            one.metadata
                .put_object(one.put_of(&target, "k", 10, "e"))
                .await
        });
        let target = name.clone();
        let delete = tokio::spawn(async move { other.metadata.delete_bucket(&target).await });
        match (put.await.unwrap(), delete.await.unwrap()) {
            (Ok(_), Err(MetadataError::BucketNotEmpty))
            | (Err(MetadataError::NoSuchBucket), Ok(())) => {}
            outcome => panic!("{outcome:?}"),
        }
    }
    invariants::check(&world).await;
}

async fn parts_of_one_number_replace_each_other(world: World) {
    world.bucket("b").await;
    let world = Arc::new(world);
    let upload = Arc::new(world.upload("b", "k").await);
    let puts = (1..=20).map(|len| {
        let (world, upload) = (Arc::clone(&world), Arc::clone(&upload));
        tokio::spawn(async move { world.part("b", &upload, 7, len).await })
    });
    let parts = join_all(puts).await;
    let left = world.metadata.parts(upload.id, 0, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    assert!(parts.iter().any(|part| part.as_ref().unwrap() == &left[0]));
    let garbage = world.metadata.totals().await.unwrap().garbage;
    assert_eq!((garbage.versions, garbage.bytes + left[0].size), (19, 210));
    invariants::check(&world).await;
}

async fn the_last_two_references_go_at_once(world: World) {
    let bucket = world.bucket("b").await;
    let world = Arc::new(world);
    for round in 0..20 {
        let (key, copy) = (format!("k{round}"), format!("c{round}"));
        world.put("b", &key, 10, "e").await;
        let source = world.current(&bucket, &key).await.unwrap();
        world.copy(&source, "b", &copy).await.unwrap();
        let deletes = [key, copy].map(|key| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                world
                    .metadata
                    .delete_object(delete_of("b", &key, None))
                    .await
                    .unwrap();
            })
        });
        for delete in deletes {
            delete.await.unwrap();
        }
    }
    invariants::check(&world).await;
    assert_eq!(world.metadata.totals().await.unwrap().garbage.versions, 20);
}

async fn the_change_log_is_read_without_gaps(world: World) {
    world.bucket("b").await;
    world
        .metadata
        .set_versioning("b", Versioning::Enabled)
        .await
        .unwrap();
    let world = Arc::new(world);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for n in 0..25 {
                    world
                        .put("b", &format!("k{}", (writer + n) % 5), 1, "e")
                        .await;
                }
            })
        })
        .collect();
    let (mut cursor, mut seen) = (ChangeCursor::default(), Vec::new());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while seen.len() < 200 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} changes of 200",
            seen.len()
        );
        let page = world.metadata.changes(cursor, 7).await.unwrap();
        for change in page {
            assert!(change.cursor > cursor);
            cursor = change.cursor;
            seen.push((change.key, change.sequence));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(world.metadata.changes(cursor, 7).await.unwrap().is_empty());
    seen.sort();
    let expected: Vec<_> = (0..5)
        .flat_map(|key| (1..=40).map(move |sequence| (format!("k{key}").into_bytes(), sequence)))
        .collect();
    assert_eq!(seen, expected);
}
