//! Versions: enabled and suspended buckets, markers, what becomes current.

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{Usage, VersionId, Versioning};

use super::world::{World, delete_of, if_match, query};

super::on_both! {
    enabled_buckets_keep_every_version,
    a_null_version_from_before_stays,
    markers_hide_and_are_removed_again,
    deleting_the_current_version_brings_back_the_one_before,
    suspended_buckets_replace_the_null_version_only,
    suspended_deletes_put_a_null_marker,
    deleting_a_version_that_is_not_there_changes_nothing,
    versioning_is_never_undone,
}

async fn enabled_buckets_keep_every_version(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let mut ids = Vec::new();
    for etag in ["one", "two", "three"] {
        let id = world.put("b", "k", 10, etag).await.version_id.unwrap();
        assert!(id.0.len() == 32 && id.0.bytes().all(|b| b.is_ascii_hexdigit()));
        ids.push(id);
    }
    for (id, etag) in ids.iter().zip(["one", "two", "three"]) {
        let version = world.exact(&bucket, "k", id).await.unwrap();
        assert_eq!(
            (version.etag.as_str(), version.is_current),
            (etag, etag == "three")
        );
        assert_eq!(world.slices(&version).await.len(), 1);
    }
    let (versions, _) = world.list_versions(query(&bucket, 10)).await;
    assert_eq!(versions, ["k", "k@2", "k@1"]);
    assert_eq!(world.list(query(&bucket, 10)).await.0, ["k"]);
    let totals = world.metadata.totals().await.unwrap();
    assert_eq!(
        totals.usage,
        Usage {
            versions: 3,
            bytes: 30
        }
    );
    assert_eq!(totals.garbage, Usage::default());
}

async fn a_null_version_from_before_stays(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 1, "before").await;
    world
        .metadata
        .set_versioning("b", Versioning::Enabled)
        .await
        .unwrap();
    world.put("b", "k", 2, "after").await;
    let null = world.exact(&bucket, "k", &VersionId::null()).await.unwrap();
    assert_eq!((null.etag.as_str(), null.is_current), ("before", false));
    assert_eq!(world.current(&bucket, "k").await.unwrap().etag, "after");
    let removed = world.delete_version("b", "k", &VersionId::null()).await;
    assert_eq!(removed.version_id, Some(VersionId::null()));
    assert!(!removed.delete_marker);
    assert_eq!(world.current(&bucket, "k").await.unwrap().etag, "after");
}

async fn markers_hide_and_are_removed_again(world: World) {
    let bucket = world.versioned_bucket("b").await;
    world.put("b", "k", 5, "e").await;
    let outcome = world.delete("b", "k").await;
    assert!(outcome.delete_marker);
    let marker = outcome.version_id.unwrap();
    let current = world.current(&bucket, "k").await.unwrap();
    assert!(current.is_delete_marker && current.is_current);
    assert_eq!(current.version_id, marker);
    assert!(world.list(query(&bucket, 10)).await.0.is_empty());
    assert_eq!(
        world.list_versions(query(&bucket, 10)).await.0,
        ["k@2!", "k@1"]
    );
    let again = world.delete("b", "k").await;
    assert_ne!(
        again.version_id.as_ref(),
        Some(&marker),
        "each delete adds a marker"
    );
    let mut conditional = delete_of("b", "k", None);
    conditional.condition = if_match("*");
    let error = world.metadata.delete_object(conditional).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoSuchKey));
    for id in [again.version_id.unwrap(), marker] {
        let removed = world.delete_version("b", "k", &id).await;
        assert_eq!(
            (removed.version_id, removed.delete_marker),
            (Some(id), true)
        );
    }
    assert_eq!(world.current(&bucket, "k").await.unwrap().etag, "e");
    assert_eq!(world.list(query(&bucket, 10)).await.0, ["k"]);
    let outcome = world.delete("b", "never").await;
    assert!(
        outcome.delete_marker,
        "a marker is made for a key that never was"
    );
    let usage = world.metadata.bucket_usage(bucket.id).await.unwrap();
    assert_eq!(
        usage,
        Usage {
            versions: 1,
            bytes: 5
        }
    );
}

async fn deleting_the_current_version_brings_back_the_one_before(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let first = world.put("b", "k", 1, "one").await.version_id.unwrap();
    let second = world.put("b", "k", 2, "two").await.version_id.unwrap();
    let third = world.put("b", "k", 3, "three").await.version_id.unwrap();
    world.delete_version("b", "k", &second).await;
    assert_eq!(world.current(&bucket, "k").await.unwrap().etag, "three");
    world.delete_version("b", "k", &third).await;
    assert_eq!(world.current(&bucket, "k").await.unwrap().etag, "one");
    assert_eq!(world.list(query(&bucket, 10)).await.0, ["k"]);
    world.delete_version("b", "k", &first).await;
    assert!(matches!(
        world.current(&bucket, "k").await,
        Err(MetadataError::NoSuchKey)
    ));
    assert!(world.list_versions(query(&bucket, 10)).await.0.is_empty());
    assert_eq!(world.metadata.totals().await.unwrap().garbage.versions, 3);
}

async fn suspended_buckets_replace_the_null_version_only(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let kept = world.put("b", "k", 1, "kept").await.version_id.unwrap();
    world
        .metadata
        .set_versioning("b", Versioning::Suspended)
        .await
        .unwrap();
    let published = world.put("b", "k", 2, "null one").await;
    assert_eq!(published.version_id, Some(VersionId::null()));
    world.put("b", "k", 3, "null two").await;
    assert_eq!(
        world.list_versions(query(&bucket, 10)).await.0,
        ["k", "k@1"]
    );
    assert_eq!(world.current(&bucket, "k").await.unwrap().etag, "null two");
    assert_eq!(world.exact(&bucket, "k", &kept).await.unwrap().etag, "kept");
    world
        .metadata
        .set_versioning("b", Versioning::Enabled)
        .await
        .unwrap();
    world.put("b", "k", 4, "on again").await;
    world
        .metadata
        .set_versioning("b", Versioning::Suspended)
        .await
        .unwrap();
    // The null version is an old one now, and is replaced all the same.
    world.put("b", "k", 5, "null three").await;
    assert_eq!(
        world.list_versions(query(&bucket, 10)).await.0,
        ["k", "k@4", "k@1"]
    );
    let usage = world.metadata.bucket_usage(bucket.id).await.unwrap();
    assert_eq!(
        usage,
        Usage {
            versions: 3,
            bytes: 10
        }
    );
}

async fn suspended_deletes_put_a_null_marker(world: World) {
    let bucket = world.versioned_bucket("b").await;
    world.put("b", "k", 1, "kept").await;
    world
        .metadata
        .set_versioning("b", Versioning::Suspended)
        .await
        .unwrap();
    world.put("b", "k", 2, "null").await;
    for _ in 0..2 {
        let outcome = world.delete("b", "k").await;
        assert_eq!(outcome.version_id, Some(VersionId::null()));
        assert!(outcome.delete_marker);
    }
    assert_eq!(
        world.list_versions(query(&bucket, 10)).await.0,
        ["k@4!", "k@1"]
    );
    world.put("b", "k", 3, "null again").await;
    assert_eq!(
        world.list_versions(query(&bucket, 10)).await.0,
        ["k", "k@1"]
    );
    let usage = world.metadata.bucket_usage(bucket.id).await.unwrap();
    assert_eq!(
        usage,
        Usage {
            versions: 2,
            bytes: 4
        }
    );
}

async fn deleting_a_version_that_is_not_there_changes_nothing(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let stranger = VersionId("0".repeat(32));
    for key in ["never", "k"] {
        if key == "k" {
            world.put("b", "k", 1, "e").await;
        }
        let outcome = world.delete_version("b", key, &stranger).await;
        assert_eq!(outcome.version_id, Some(stranger.clone()));
        assert!(!outcome.delete_marker);
        let error = world.exact(&bucket, key, &stranger).await.unwrap_err();
        assert!(matches!(error, MetadataError::NoSuchVersion));
    }
    assert_eq!(world.list_versions(query(&bucket, 10)).await.0, ["k"]);
}

async fn versioning_is_never_undone(world: World) {
    world.bucket("b").await;
    let set = async |versioning| world.metadata.set_versioning("b", versioning).await;
    set(Versioning::Unversioned).await.unwrap();
    set(Versioning::Enabled).await.unwrap();
    let error = set(Versioning::Unversioned).await.unwrap_err();
    assert!(matches!(error, MetadataError::PreconditionFailed { .. }));
    assert_eq!(
        world.metadata.bucket("b").await.unwrap().versioning,
        Versioning::Enabled
    );
    let nowhere = world
        .metadata
        .set_versioning("nowhere", Versioning::Enabled)
        .await;
    assert!(matches!(nowhere, Err(MetadataError::NoSuchBucket)));
}
