//! Multipart uploads: parts, Complete, Abort, expiry, and reads of what came of them.

use holdfast_metadata::MetadataError;
use holdfast_metadata::UploadEntry;
use holdfast_metadata::command::{COMPLETED_UPLOAD_KEPT, UPLOAD_EXPIRY};
use holdfast_metadata::model::{CompletedUpload, StoredChecksum, UploadState, Usage, Versioning};

use super::hooks::{Watch, explain_slices};
use super::world::{World, complete_of, if_match, if_none_match, nobody};

super::on_both! {
    parts_become_an_object,
    a_completed_upload_remembers_what_it_became,
    only_the_listed_parts_are_kept,
    a_part_is_replaced_by_its_number,
    a_changed_part_stops_complete,
    a_failed_condition_leaves_the_upload_open,
    an_aborted_upload_is_garbage,
    uploads_are_bound_to_their_key,
    a_range_read_takes_only_the_rows_it_needs,
    a_copy_has_its_source_parts,
    old_uploads_expire,
    uploads_are_listed,
}

async fn parts_become_an_object(world: World) {
    let bucket = world.bucket("b").await;
    let upload = world.upload("b", "k").await;
    let mut parts = Vec::new();
    for (number, len) in [(2, 100), (5, 70), (9, 0), (10, 30)] {
        let mut put = world.part_of("b", &upload, number, len);
        put.checksum = Some(StoredChecksum {
            algorithm: "CRC32".to_owned(),
            value: format!("sum-{number}"),
            composite: false,
        });
        parts.push(world.metadata.put_part(put).await.unwrap());
    }
    let listed = world.metadata.parts(upload.id, 0, 100).await.unwrap();
    assert_eq!(listed, parts);
    assert_eq!(
        world.metadata.parts(upload.id, 5, 1).await.unwrap(),
        parts[2..3]
    );
    let all: Vec<_> = parts.iter().collect();
    let mut complete = complete_of("b", &upload, &all);
    complete.checksum = Some(StoredChecksum {
        algorithm: "CRC32".to_owned(),
        value: "whole-4".to_owned(),
        composite: true,
    });
    let published = world
        .metadata
        .complete_upload(complete.clone())
        .await
        .unwrap();
    assert_eq!(
        (published.version_id, published.etag.as_str()),
        (None, "complete-4")
    );
    let version = world.current(&bucket, "k").await.unwrap();
    assert_eq!((version.size, version.parts), (200, Some(4)));
    assert_eq!(version.attributes.checksum, complete.checksum);
    let slices = world.slices(&version).await;
    let runs: Vec<_> = slices
        .iter()
        .map(|slice| (slice.start, slice.len))
        .collect();
    assert_eq!(runs, [(0, 100), (100, 70), (170, 30)]);
    let object_parts = world
        .metadata
        .object_parts(version.uid, 0, 100)
        .await
        .unwrap();
    let places: Vec<_> = object_parts
        .iter()
        .map(|p| (p.part_number, p.start, p.size))
        .collect();
    assert_eq!(
        places,
        [(2, 0, 100), (5, 100, 70), (9, 170, 0), (10, 170, 30)]
    );
    assert_eq!(object_parts[1].checksum, parts[1].checksum);
    assert_eq!(
        world
            .metadata
            .object_parts(version.uid, 5, 1)
            .await
            .unwrap(),
        object_parts[2..3]
    );
    let ten = world.metadata.object_part(version.uid, 10).await.unwrap();
    assert_eq!(ten.as_ref(), object_parts.last());
    assert_eq!(
        world.metadata.object_part(version.uid, 3).await.unwrap(),
        None
    );
    assert!(
        world
            .metadata
            .parts(upload.id, 0, 100)
            .await
            .unwrap()
            .is_empty()
    );
    let totals = world.metadata.totals().await.unwrap();
    assert_eq!((totals.open_uploads, totals.garbage), (0, Usage::default()));
    assert_eq!(
        totals.usage,
        Usage {
            versions: 1,
            bytes: 200
        }
    );
}

async fn a_completed_upload_remembers_what_it_became(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let upload = world.upload("b", "k").await;
    let part = world.part("b", &upload, 1, 10).await;
    let complete = complete_of("b", &upload, &[&part]);
    let published = world
        .metadata
        .complete_upload(complete.clone())
        .await
        .unwrap();
    let found = world
        .metadata
        .upload(bucket.id, b"k", upload.id)
        .await
        .unwrap();
    assert_eq!(
        found.state,
        UploadState::Completed(CompletedUpload {
            version_id: published.version_id.clone(),
            etag: published.etag,
            checksum: None,
        })
    );
    assert!(published.version_id.is_some());
    let again = complete_of("b", &upload, &[&part]);
    let error = world.metadata.complete_upload(again).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchUpload));
    let error = world
        .metadata
        .abort_upload(bucket.id, b"k", upload.id)
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchUpload));
    let late = world.part_of("b", &upload, 2, 10);
    let error = world.metadata.put_part(late).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchUpload));
    world
        .clock
        .advance_ms(COMPLETED_UPLOAD_KEPT.as_millis() as u64 - 1);
    assert_eq!(world.metadata.expire_uploads(10).await.unwrap(), 0);
    world.clock.advance_ms(1);
    assert_eq!(world.metadata.expire_uploads(10).await.unwrap(), 1);
    let gone = world.metadata.upload(bucket.id, b"k", upload.id).await;
    assert!(matches!(gone, Err(MetadataError::NoSuchUpload)));
    assert!(world.current(&bucket, "k").await.is_ok());
}

async fn only_the_listed_parts_are_kept(world: World) {
    let bucket = world.bucket("b").await;
    let upload = world.upload("b", "k").await;
    let mut parts = Vec::new();
    for number in 1..=7 {
        parts.push(world.part("b", &upload, number, u64::from(number)).await);
    }
    let listed = [&parts[1], &parts[4], &parts[5]];
    world
        .metadata
        .complete_upload(complete_of("b", &upload, &listed))
        .await
        .unwrap();
    let version = world.current(&bucket, "k").await.unwrap();
    assert_eq!((version.size, version.parts), (2 + 5 + 6, Some(3)));
    let runs: Vec<_> = world
        .slices(&version)
        .await
        .iter()
        .map(|s| (s.start, s.len))
        .collect();
    assert_eq!(runs, [(0, 2), (2, 5), (7, 6)]);
    let garbage = world.metadata.totals().await.unwrap().garbage;
    assert_eq!(
        garbage,
        Usage {
            versions: 4,
            bytes: 1 + 3 + 4 + 7
        }
    );
}

async fn a_part_is_replaced_by_its_number(world: World) {
    world.bucket("b").await;
    let upload = world.upload("b", "k").await;
    let first = world.part("b", &upload, 1, 10).await;
    let second = world.part("b", &upload, 1, 20).await;
    assert_ne!(first.uid, second.uid);
    assert_eq!(
        world.metadata.parts(upload.id, 0, 10).await.unwrap(),
        [second]
    );
    let garbage = world.metadata.totals().await.unwrap().garbage;
    assert_eq!(
        garbage,
        Usage {
            versions: 1,
            bytes: 10
        }
    );
}

async fn a_changed_part_stops_complete(world: World) {
    let bucket = world.bucket("b").await;
    let upload = world.upload("b", "k").await;
    let first = world.part("b", &upload, 1, 10).await;
    let second = world.part("b", &upload, 1, 20).await;
    let stale = complete_of("b", &upload, &[&first]);
    let error = world.metadata.complete_upload(stale).await.unwrap_err();
    assert!(matches!(error, MetadataError::SourceChanged));
    let mut missing = complete_of("b", &upload, &[&second]);
    missing.parts.push((2, nobody()));
    let error = world.metadata.complete_upload(missing).await.unwrap_err();
    assert!(matches!(error, MetadataError::SourceChanged));
    assert!(world.current(&bucket, "k").await.is_err());
    world
        .metadata
        .complete_upload(complete_of("b", &upload, &[&second]))
        .await
        .unwrap();
    assert_eq!(world.current(&bucket, "k").await.unwrap().size, 20);
}

async fn a_failed_condition_leaves_the_upload_open(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 1, "e").await;
    let upload = world.upload("b", "k").await;
    let part = world.part("b", &upload, 1, 10).await;
    let mut complete = complete_of("b", &upload, &[&part]);
    complete.condition = if_none_match("*");
    let error = world
        .metadata
        .complete_upload(complete.clone())
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        MetadataError::PreconditionFailed {
            condition: "If-None-Match"
        }
    ));
    let found = world
        .metadata
        .upload(bucket.id, b"k", upload.id)
        .await
        .unwrap();
    assert_eq!(found.state, UploadState::Open);
    complete.condition = if_match("e");
    world.metadata.complete_upload(complete).await.unwrap();
    assert_eq!(world.current(&bucket, "k").await.unwrap().size, 10);
}

async fn an_aborted_upload_is_garbage(world: World) {
    let bucket = world.bucket("b").await;
    let upload = world.upload("b", "k").await;
    let part = world.part("b", &upload, 1, 10).await;
    world.part("b", &upload, 2, 20).await;
    world
        .metadata
        .abort_upload(bucket.id, b"k", upload.id)
        .await
        .unwrap();
    let found = world
        .metadata
        .upload(bucket.id, b"k", upload.id)
        .await
        .unwrap();
    assert_eq!(found.state, UploadState::Aborted);
    assert!(
        world
            .metadata
            .parts(upload.id, 0, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let totals = world.metadata.totals().await.unwrap();
    assert_eq!(
        totals.garbage,
        Usage {
            versions: 2,
            bytes: 30
        }
    );
    assert_eq!(totals.open_uploads, 0);
    let late = complete_of("b", &upload, &[&part]);
    let error = world.metadata.complete_upload(late).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchUpload));
    let error = world
        .metadata
        .put_part(world.part_of("b", &upload, 3, 1))
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchUpload));
    assert_eq!(
        world.metadata.totals().await.unwrap(),
        totals,
        "a refused part leaves no blob"
    );
}

async fn uploads_are_bound_to_their_key(world: World) {
    let (bucket, other) = (world.bucket("b").await, world.bucket("other").await);
    let upload = world.upload("b", "k").await;
    for (bucket, key) in [(bucket.id, "x"), (other.id, "k")] {
        let found = world
            .metadata
            .upload(bucket, key.as_bytes(), upload.id)
            .await;
        assert!(matches!(found, Err(MetadataError::NoSuchUpload)));
        let aborted = world
            .metadata
            .abort_upload(bucket, key.as_bytes(), upload.id)
            .await;
        assert!(matches!(aborted, Err(MetadataError::NoSuchUpload)));
    }
    let mut part = world.part_of("other", &upload, 1, 10);
    let error = world.metadata.put_part(part.clone()).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchUpload));
    part.bucket = "nowhere".to_owned();
    let error = world.metadata.put_part(part).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchBucket));
    let error = world
        .metadata
        .complete_upload(complete_of("other", &upload, &[]))
        .await;
    assert!(matches!(error, Err(MetadataError::NoSuchUpload)));
}

async fn a_range_read_takes_only_the_rows_it_needs(world: World) {
    let bucket = world.bucket("b").await;
    let upload = world.upload("b", "k").await;
    let metadata = &world.metadata;
    let mut parts = Vec::new();
    for numbers in (1..=10_000_u32).collect::<Vec<_>>().chunks(500) {
        let puts = numbers
            .iter()
            .map(|n| metadata.put_part(world.part_of("b", &upload, *n, 7)));
        parts.extend(futures::future::try_join_all(puts).await.unwrap());
    }
    let all: Vec<_> = parts.iter().collect();
    metadata
        .complete_upload(complete_of("b", &upload, &all))
        .await
        .unwrap();
    let version = world.current(&bucket, "k").await.unwrap();
    assert_eq!((version.size, version.parts), (70_000, Some(10_000)));

    let watch = std::sync::Arc::new(Watch::default());
    let world = world.reopened(watch.clone()).await;
    // A new handle reads the drives' numbers once.
    world.metadata.slices(version.uid, 0..1).await.unwrap();
    for (range, first, count) in [
        (0..1, 0, 1),
        (6..7, 0, 1),
        (6..8, 0, 2),
        (34_999..35_008, 34_993, 3),
        (69_999..70_000, 69_993, 1),
        (69_999..u64::MAX, 69_993, 1),
    ] {
        watch.reset();
        let slices = world
            .metadata
            .slices(version.uid, range.clone())
            .await
            .unwrap();
        assert_eq!(
            (slices[0].start, slices.len() as u64),
            (first, count),
            "{range:?}"
        );
        assert_eq!(
            (watch.rows(), watch.statements().len()),
            (count, 1),
            "{range:?}"
        );
    }
    assert!(
        world
            .metadata
            .slices(version.uid, 70_000..70_001)
            .await
            .unwrap()
            .is_empty()
    );
    #[allow(clippy::reversed_empty_ranges)]
    let nothing = world.metadata.slices(version.uid, 5..5).await.unwrap();
    assert!(nothing.is_empty());
    assert_eq!(
        world
            .metadata
            .slices(version.uid, 0..70_000)
            .await
            .unwrap()
            .len(),
        10_000
    );
    // What the database itself walks through: each table by its key.
    let plan = explain_slices(&world, &watch, version.uid).await;
    assert!(
        !plan.contains("SCAN") && !plan.contains("Seq Scan"),
        "{plan}"
    );
}

async fn a_copy_has_its_source_parts(world: World) {
    let bucket = world.bucket("b").await;
    let upload = world.upload("b", "k").await;
    let parts = [
        world.part("b", &upload, 1, 10).await,
        world.part("b", &upload, 2, 20).await,
    ];
    let all: Vec<_> = parts.iter().collect();
    world
        .metadata
        .complete_upload(complete_of("b", &upload, &all))
        .await
        .unwrap();
    let source = world.current(&bucket, "k").await.unwrap();
    world.copy(&source, "b", "copy").await.unwrap();
    world.delete("b", "k").await;
    let copy = world.current(&bucket, "copy").await.unwrap();
    assert_eq!(
        (copy.size, copy.parts, copy.etag.as_str()),
        (30, Some(2), "complete-2")
    );
    assert_eq!(world.slices(&copy).await.len(), 2);
    let parts = world.metadata.object_parts(copy.uid, 0, 10).await.unwrap();
    assert_eq!(
        (parts[1].part_number, parts[1].start, parts[1].size),
        (2, 10, 20)
    );
}

async fn old_uploads_expire(world: World) {
    let bucket = world.bucket("b").await;
    let old = world.upload("b", "old").await;
    world.part("b", &old, 1, 10).await;
    world.clock.advance_ms(1000);
    let young = world.upload("b", "young").await;
    world
        .clock
        .advance_ms(UPLOAD_EXPIRY.as_millis() as u64 - 1000);
    assert_eq!(world.metadata.expire_uploads(10).await.unwrap(), 1);
    let state = async |key: &[u8], id| {
        world
            .metadata
            .upload(bucket.id, key, id)
            .await
            .unwrap()
            .state
    };
    assert_eq!(state(b"old", old.id).await, UploadState::Aborted);
    assert_eq!(state(b"young", young.id).await, UploadState::Open);
    let garbage = world.metadata.totals().await.unwrap().garbage;
    assert_eq!(
        garbage,
        Usage {
            versions: 1,
            bytes: 10
        }
    );
}

async fn uploads_are_listed(world: World) {
    let bucket = world.bucket("b").await;
    world
        .metadata
        .set_versioning("b", Versioning::Enabled)
        .await
        .unwrap();
    let mut ids = Vec::new();
    for key in ["a", "a", "d/1", "d/2", "d/2", "e"] {
        ids.push((key, world.upload("b", key).await.id));
    }
    world
        .metadata
        .abort_upload(bucket.id, b"d/1", ids[2].1)
        .await
        .unwrap();
    let list = async |prefix: &[u8], delimiter, after, limit| {
        let metadata = &world.metadata;
        let page = metadata
            .list_uploads(bucket.id, prefix, delimiter, after, limit)
            .await
            .unwrap();
        let shown: Vec<String> = page
            .entries
            .iter()
            .map(|entry| match entry {
                UploadEntry::CommonPrefix(prefix) => {
                    format!("{}*", String::from_utf8_lossy(prefix))
                }
                UploadEntry::Upload(upload) => {
                    let index = ids.iter().position(|(_, id)| *id == upload.id).unwrap();
                    format!("{}#{index}", ids[index].0)
                }
            })
            .collect();
        (shown.join(" "), page.truncated)
    };
    let slash: Option<&[u8]> = Some(b"/");
    let page = |text: &str, truncated| (text.to_owned(), truncated);
    assert_eq!(
        list(b"", None, None, 10).await,
        page("a#0 a#1 d/2#3 d/2#4 e#5", false)
    );
    assert_eq!(list(b"", None, None, 2).await, page("a#0 a#1", true));
    assert_eq!(
        list(b"", None, Some((b"a", Some(ids[0].1))), 2).await,
        page("a#1 d/2#3", true)
    );
    assert_eq!(
        list(b"", None, Some((b"a", None)), 9).await,
        page("d/2#3 d/2#4 e#5", false)
    );
    assert_eq!(
        list(b"", slash, None, 10).await,
        page("a#0 a#1 d/* e#5", false)
    );
    assert_eq!(
        list(b"", slash, Some((b"d/", None)), 10).await,
        page("e#5", false)
    );
    assert_eq!(list(b"d/", slash, None, 1).await, page("d/2#3", true));
    assert_eq!(list(b"x", None, None, 1).await, page("", false));
}
