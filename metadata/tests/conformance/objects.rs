//! Objects without versioning: put, replace, delete, copy, and conditions on all of them.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::WriteCondition;
use holdfast_metadata::model::{Attributes, ChangeKind, Usage, VersionId};

use super::world::{HOUR_MS, START_MS, World, copy_of, delete_of, if_match, if_none_match, query};

super::on_both! {
    a_put_object_is_read_back_whole,
    a_put_replaces_the_null_version_in_place,
    an_empty_object_has_no_bytes,
    a_delete_leaves_nothing_and_repeats_harmlessly,
    last_modified_never_goes_back,
    conditions_decide_puts,
    conditions_decide_deletes,
    a_copy_shares_bytes_and_survives_its_source,
    a_copy_onto_itself_keeps_its_bytes,
    a_copy_of_what_is_gone_fails,
    keys_are_bytes,
    usage_follows_every_change,
    one_attempt_publishes_once,
}

async fn a_put_object_is_read_back_whole(world: World) {
    let bucket = world.bucket("b").await;
    let mut put = world.put_of("b", "k", 100, "etag");
    put.attributes = Attributes {
        headers: [("content-type".to_owned(), "text/plain".to_owned())].into(),
        user: [("owner".to_owned(), "zo\u{eb}\u{0}".to_owned())].into(),
        ..Attributes::default()
    };
    let published = world.metadata.put_object(put.clone()).await.unwrap();
    assert_eq!(published.version_id, None);
    assert_eq!((published.etag.as_str(), published.sequence), ("etag", 1));
    assert_eq!(published.last_modified_ms, START_MS);

    let version = world.current(&bucket, "k").await.unwrap();
    assert_eq!(version.key, b"k");
    assert_eq!(version.bucket, bucket.id);
    assert_eq!(version.version_id, VersionId::null());
    assert_eq!((version.size, version.sequence), (100, 1));
    assert!(version.is_current && !version.is_delete_marker);
    assert_eq!((version.etag.as_str(), version.parts), ("etag", None));
    assert_eq!(version.attributes, put.attributes);
    let slices = world.slices(&version).await;
    let blob = put.blob.unwrap();
    assert_eq!(slices.len(), 1);
    assert_eq!(
        (slices[0].start, slices[0].len, slices[0].blob_offset),
        (0, 100, 0)
    );
    assert_eq!((slices[0].blob.blob, slices[0].blob.len), (blob.id, 100));
    assert_eq!(slices[0].blob.placement, blob.placement);
    let exact = world.exact(&bucket, "k", &VersionId::null()).await.unwrap();
    assert_eq!(exact, version);
}

async fn a_put_replaces_the_null_version_in_place(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 100, "one").await;
    let first = world.current(&bucket, "k").await.unwrap();
    let published = world.put("b", "k", 50, "two").await;
    assert_eq!(published.sequence, 2);
    let second = world.current(&bucket, "k").await.unwrap();
    assert_eq!((second.size, second.etag.as_str()), (50, "two"));
    assert_ne!(first.uid, second.uid);
    let (versions, _) = world.list_versions(query(&bucket, 10)).await;
    assert_eq!(versions, ["k"]);
    assert!(
        world.slices(&first).await.is_empty(),
        "the old version's slices are gone"
    );
    let totals = world.metadata.totals().await.unwrap();
    assert_eq!(
        totals.garbage,
        Usage {
            versions: 1,
            bytes: 100
        }
    );
}

async fn an_empty_object_has_no_bytes(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 0, "empty").await;
    let version = world.current(&bucket, "k").await.unwrap();
    assert_eq!(version.size, 0);
    assert!(
        world
            .metadata
            .slices(version.uid, 0..10)
            .await
            .unwrap()
            .is_empty()
    );
    world.delete("b", "k").await;
    assert_eq!(
        world.metadata.totals().await.unwrap().garbage,
        Usage::default()
    );
}

async fn a_delete_leaves_nothing_and_repeats_harmlessly(world: World) {
    let bucket = world.bucket("b").await;
    for _ in 0..2 {
        let outcome = world.delete("b", "never").await;
        assert_eq!((outcome.version_id, outcome.delete_marker), (None, false));
    }
    world.put("b", "k", 10, "e").await;
    for _ in 0..2 {
        let outcome = world.delete("b", "k").await;
        assert_eq!((outcome.version_id, outcome.delete_marker), (None, false));
        assert!(matches!(
            world.current(&bucket, "k").await,
            Err(MetadataError::NoSuchKey)
        ));
    }
    let gone = delete_of("nowhere", "k", None);
    let error = world.metadata.delete_object(gone).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchBucket));
    let published = world.put("b", "k", 10, "e").await;
    assert!(published.sequence > 2, "a key's sequence outlives the key");
    let removed = world.delete_version("b", "k", &VersionId::null()).await;
    assert_eq!(removed.version_id, Some(VersionId::null()));
    assert!(matches!(
        world.current(&bucket, "k").await,
        Err(MetadataError::NoSuchKey)
    ));
}

async fn last_modified_never_goes_back(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 1, "one").await;
    world.clock.set_ms(START_MS - HOUR_MS);
    assert_eq!(
        world.put("b", "k", 1, "two").await.last_modified_ms,
        START_MS
    );
    world.delete("b", "k").await;
    assert_eq!(
        world.put("b", "k", 1, "three").await.last_modified_ms,
        START_MS
    );
    assert_eq!(
        world.put("b", "other", 1, "x").await.last_modified_ms,
        START_MS - HOUR_MS
    );
    world.clock.set_ms(START_MS + 5);
    assert_eq!(
        world.put("b", "k", 1, "four").await.last_modified_ms,
        START_MS + 5
    );
    assert_eq!(
        world.current(&bucket, "k").await.unwrap().last_modified_ms,
        START_MS + 5
    );
}

async fn put_if(world: &World, key: &str, condition: WriteCondition) -> Result<u64, String> {
    let mut put = world.put_of("b", key, 7, "new");
    put.condition = condition;
    match world.metadata.put_object(put).await {
        Ok(published) => Ok(published.sequence),
        Err(error) => Err(error.to_string()),
    }
}

async fn conditions_decide_puts(world: World) {
    let bucket = world.bucket("b").await;
    let failed = |name: &str| Err(format!("the condition {name} does not hold"));
    assert_eq!(
        put_if(&world, "k", if_match("*")).await,
        Err("no such key".to_owned())
    );
    assert_eq!(
        put_if(&world, "k", if_match("e")).await,
        Err("no such key".to_owned())
    );
    assert_eq!(put_if(&world, "k", if_none_match("e")).await, Ok(1));
    assert_eq!(
        put_if(&world, "k", if_none_match("*")).await,
        failed("If-None-Match")
    );
    assert_eq!(
        put_if(&world, "k", if_none_match("new")).await,
        failed("If-None-Match")
    );
    assert_eq!(put_if(&world, "k", if_none_match("old")).await, Ok(2));
    assert_eq!(
        put_if(&world, "k", if_match("old")).await,
        failed("If-Match")
    );
    assert_eq!(put_if(&world, "k", if_match("new")).await, Ok(3));
    assert_eq!(put_if(&world, "k", if_match("*")).await, Ok(4));
    let before = world.metadata.totals().await.unwrap();
    assert_eq!(
        put_if(&world, "k", if_match("old")).await,
        failed("If-Match")
    );
    assert_eq!(
        world.metadata.totals().await.unwrap(),
        before,
        "a failed condition changes nothing"
    );
    let version = world.current(&bucket, "k").await.unwrap();
    assert_eq!(version.sequence, 4);
    let mut copy = copy_of(&version, "b", "k");
    copy.condition = if_none_match("*");
    let error = world.metadata.copy_object(copy).await.unwrap_err();
    assert!(matches!(
        error,
        MetadataError::PreconditionFailed {
            condition: "If-None-Match"
        }
    ));
    world
        .metadata
        .set_versioning("b", holdfast_metadata::model::Versioning::Enabled)
        .await
        .unwrap();
    world.delete("b", "k").await;
    assert_eq!(
        put_if(&world, "k", if_match("*")).await,
        Err("no such key".to_owned())
    );
    assert_eq!(
        put_if(&world, "k", if_none_match("*")).await,
        Ok(6),
        "a marker is no object"
    );
}

async fn conditions_decide_deletes(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 7, "e").await;
    let seconds = START_MS / 1000;
    let with = |condition: WriteCondition| {
        let mut delete = delete_of("b", "k", None);
        delete.condition = condition;
        delete
    };
    let at = |if_last_modified_s, if_size| WriteCondition {
        if_last_modified_s,
        if_size,
        ..WriteCondition::default()
    };
    for (condition, name) in [
        (if_match("x"), "If-Match"),
        (
            at(Some(seconds - 1), None),
            "x-amz-if-match-last-modified-time",
        ),
        (at(Some(seconds), Some(8)), "x-amz-if-match-size"),
    ] {
        let error = world
            .metadata
            .delete_object(with(condition))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the condition {name} does not hold")
        );
        assert!(world.current(&bucket, "k").await.is_ok());
    }
    let all = WriteCondition {
        if_match: if_match("e").if_match,
        ..at(Some(seconds), Some(7))
    };
    world
        .metadata
        .delete_object(with(all.clone()))
        .await
        .unwrap();
    assert!(world.current(&bucket, "k").await.is_err());
    let error = world.metadata.delete_object(with(all)).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchKey));
    let mut never = delete_of("b", "never", None);
    never.condition = if_match("*");
    let error = world.metadata.delete_object(never).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchKey));
}

async fn a_copy_shares_bytes_and_survives_its_source(world: World) {
    let (bucket, target) = (world.bucket("b").await, world.bucket("target").await);
    world.put("b", "k", 100, "e").await;
    let source = world.current(&bucket, "k").await.unwrap();
    let blob = world.slices(&source).await[0].blob.blob;
    let published = world.copy(&source, "target", "copy").await.unwrap();
    assert_eq!((published.etag.as_str(), published.sequence), ("e", 1));
    world.delete("b", "k").await;
    let copy = world.current(&target, "copy").await.unwrap();
    assert_eq!((copy.size, copy.etag.as_str()), (100, "e"));
    assert_eq!(world.slices(&copy).await[0].blob.blob, blob);
    assert_eq!(
        world.metadata.bucket_usage(bucket.id).await.unwrap(),
        Usage::default()
    );
    let usage = world.metadata.bucket_usage(target.id).await.unwrap();
    assert_eq!(
        usage,
        Usage {
            versions: 1,
            bytes: 100
        }
    );
}

async fn a_copy_onto_itself_keeps_its_bytes(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 100, "e").await;
    let first = world.current(&bucket, "k").await.unwrap();
    let blob = world.slices(&first).await[0].blob.blob;
    let mut copy = copy_of(&first, "b", "k");
    copy.attributes
        .headers
        .insert("cache-control".to_owned(), "no-store".to_owned());
    world.metadata.copy_object(copy.clone()).await.unwrap();
    let second = world.current(&bucket, "k").await.unwrap();
    assert_eq!(second.attributes, copy.attributes);
    assert_ne!(second.uid, first.uid);
    assert_eq!(world.slices(&second).await[0].blob.blob, blob);
    let usage = world.metadata.bucket_usage(bucket.id).await.unwrap();
    assert_eq!(
        usage,
        Usage {
            versions: 1,
            bytes: 100
        }
    );
}

async fn a_copy_of_what_is_gone_fails(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 100, "e").await;
    let source = world.current(&bucket, "k").await.unwrap();
    world.put("b", "k", 100, "e").await;
    let error = world.copy(&source, "b", "copy").await.unwrap_err();
    assert!(matches!(error, MetadataError::SourceChanged));
    assert!(matches!(
        world.current(&bucket, "copy").await,
        Err(MetadataError::NoSuchKey)
    ));
    let live = world.current(&bucket, "k").await.unwrap();
    let error = world.copy(&live, "nowhere", "copy").await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchBucket));
}

async fn keys_are_bytes(world: World) {
    let bucket = world.bucket("b").await;
    let keys: [&[u8]; 8] = [
        b"\0",
        b"\0\0",
        b"../a",
        b"/a//",
        b"a",
        "\u{e9}".as_bytes(),
        b"\xff",
        b"\xff\xff",
    ];
    for key in keys {
        let mut put = world.put_of("b", "", 1, "e");
        put.key = key.to_vec();
        world.metadata.put_object(put).await.unwrap();
    }
    let mut after = None;
    for key in keys {
        let mut one = query(&bucket, 1);
        one.after = after;
        let page = world.metadata.list_objects(&one).await.unwrap();
        let holdfast_metadata::model::ListEntry::Version(version) = &page.entries[0] else {
            panic!("a common prefix without a delimiter");
        };
        assert_eq!(version.key, key);
        assert_eq!(page.truncated, key != b"\xff\xff");
        after = Some(key.to_vec());
    }
}

async fn usage_follows_every_change(world: World) {
    let bucket = world.bucket("b").await;
    let usage = async || world.metadata.bucket_usage(bucket.id).await.unwrap();
    let is = |versions, bytes| Usage { versions, bytes };
    world.put("b", "a", 10, "e").await;
    world.put("b", "b", 20, "e").await;
    assert_eq!(usage().await, is(2, 30));
    assert_eq!(world.metadata.fold_usage(1).await.unwrap(), 1);
    assert_eq!(usage().await, is(2, 30), "folding changes no total");
    world.put("b", "a", 5, "e").await;
    assert_eq!(usage().await, is(2, 25));
    world.delete("b", "b").await;
    assert_eq!(usage().await, is(1, 5));
    assert_eq!(world.metadata.fold_usage(100).await.unwrap(), 3);
    assert_eq!(usage().await, is(1, 5));
    assert_eq!(world.metadata.fold_usage(100).await.unwrap(), 0);
    let totals = world.metadata.totals().await.unwrap();
    assert_eq!((totals.usage, totals.buckets), (is(1, 5), 1));

    let changes = world
        .metadata
        .changes(Default::default(), 100)
        .await
        .unwrap();
    let seen: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                String::from_utf8_lossy(&change.key).into_owned(),
                change.sequence,
                change.kind,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("a".to_owned(), 1, ChangeKind::Put),
            ("b".to_owned(), 1, ChangeKind::Put),
            ("a".to_owned(), 2, ChangeKind::Put),
            ("b".to_owned(), 2, ChangeKind::Delete),
        ]
    );
    let rest = world.metadata.changes(changes[1].cursor, 1).await.unwrap();
    assert_eq!(rest, changes[2..3]);
}

async fn one_attempt_publishes_once(world: World) {
    world.bucket("b").await;
    for len in [0, 10] {
        let put = world.put_of("b", "k", len, "e");
        world.metadata.put_object(put.clone()).await.unwrap();
        let again = world.metadata.put_object(put).await.unwrap_err();
        assert!(matches!(again, MetadataError::Fenced));
    }
    let delete = delete_of("b", "k", None);
    world.metadata.delete_object(delete.clone()).await.unwrap();
    let again = world.metadata.delete_object(delete).await.unwrap_err();
    assert!(matches!(again, MetadataError::Fenced));
}
