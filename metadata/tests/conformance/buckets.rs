//! Buckets, settings, policies, keys and drives.

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{AccessKey, UploadState, Usage, Versioning};
use holdfast_types::{Drive, DriveId, DriveState};

use super::world::{START_MS, World, policy, region};

super::on_both! {
    a_bucket_is_made_once,
    a_bucket_follows_a_policy_that_is_there,
    only_an_empty_bucket_is_deleted,
    a_bucket_name_is_used_again_as_another_bucket,
    buckets_are_listed_in_the_order_of_bytes,
    a_setting_is_fixed_once,
    policies_change_and_are_listed,
    keys_come_and_go,
    drives_are_remembered,
}

async fn a_bucket_is_made_once(world: World) {
    let made = world
        .metadata
        .create_bucket("b", "standard", Some("eu".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        (made.created_ms, made.versioning),
        (START_MS, Versioning::Unversioned)
    );
    assert_eq!(world.metadata.bucket("b").await.unwrap(), made);
    assert_eq!(made.location.as_deref(), Some("eu"));
    let again = world.metadata.create_bucket("b", "standard", None).await;
    assert!(matches!(again, Err(MetadataError::BucketExists)));
    assert_eq!(world.metadata.bucket("b").await.unwrap(), made);
    assert!(matches!(
        world.metadata.bucket("B").await,
        Err(MetadataError::NoSuchBucket)
    ));
}

async fn a_bucket_follows_a_policy_that_is_there(world: World) {
    let error = world
        .metadata
        .create_bucket("b", "absent", None)
        .await
        .unwrap_err();
    assert!(matches!(error, MetadataError::NotFound("policy")));
    assert!(matches!(
        world.metadata.bucket("b").await,
        Err(MetadataError::NoSuchBucket)
    ));
}

async fn only_an_empty_bucket_is_deleted(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 1, "e").await;
    let full = world.metadata.delete_bucket("b").await;
    assert!(matches!(full, Err(MetadataError::BucketNotEmpty)));
    world
        .metadata
        .set_versioning("b", Versioning::Enabled)
        .await
        .unwrap();
    let marker = world.delete("b", "k").await.version_id.unwrap();
    world
        .delete_version("b", "k", &holdfast_metadata::model::VersionId::null())
        .await;
    let full = world.metadata.delete_bucket("b").await;
    assert!(
        matches!(full, Err(MetadataError::BucketNotEmpty)),
        "a marker is something"
    );
    world.delete_version("b", "k", &marker).await;
    let upload = world.upload("b", "k").await;
    world.part("b", &upload, 1, 10).await;
    world.metadata.delete_bucket("b").await.unwrap();
    assert!(matches!(
        world.metadata.bucket("b").await,
        Err(MetadataError::NoSuchBucket)
    ));
    let again = world.metadata.delete_bucket("b").await;
    assert!(matches!(again, Err(MetadataError::NoSuchBucket)));
    let aborted = world
        .metadata
        .upload(bucket.id, b"k", upload.id)
        .await
        .unwrap();
    assert_eq!(aborted.state, UploadState::Aborted);
    let garbage = world.metadata.totals().await.unwrap().garbage;
    assert_eq!(
        garbage,
        Usage {
            versions: 2,
            bytes: 11
        }
    );
    let put = world
        .metadata
        .put_object(world.put_of("b", "k", 1, "e"))
        .await;
    assert!(matches!(put, Err(MetadataError::NoSuchBucket)));
}

async fn a_bucket_name_is_used_again_as_another_bucket(world: World) {
    let first = world.versioned_bucket("b").await;
    world.metadata.delete_bucket("b").await.unwrap();
    let second = world.bucket("b").await;
    assert_ne!(first.id, second.id);
    assert_eq!(second.versioning, Versioning::Unversioned);
    let published = world.put("b", "k", 1, "e").await;
    assert_eq!(published.sequence, 1);
}

async fn buckets_are_listed_in_the_order_of_bytes(world: World) {
    for name in ["a-b", "ab", "a.b", "b", "a"] {
        world.bucket(name).await;
    }
    let names = async |prefix, after, limit| -> Vec<String> {
        let page = world.metadata.buckets(prefix, after, limit).await.unwrap();
        page.into_iter().map(|bucket| bucket.name).collect()
    };
    assert_eq!(names("", None, 10).await, ["a", "a-b", "a.b", "ab", "b"]);
    assert_eq!(names("a", Some("a"), 2).await, ["a-b", "a.b"]);
    assert_eq!(names("a", Some("a.b"), 10).await, ["ab"]);
    assert_eq!(names("b", Some("a"), 10).await, ["b"]);
    assert!(names("", None, 0).await.is_empty());
    assert!(names("c", None, 10).await.is_empty());
}

async fn a_setting_is_fixed_once(world: World) {
    assert_eq!(world.metadata.setting("cluster").await.unwrap(), None);
    assert_eq!(
        world.metadata.fix_setting("cluster", "one").await.unwrap(),
        "one"
    );
    assert_eq!(
        world.metadata.fix_setting("cluster", "two").await.unwrap(),
        "one"
    );
    assert_eq!(
        world.metadata.setting("cluster").await.unwrap().as_deref(),
        Some("one")
    );
}

async fn policies_change_and_are_listed(world: World) {
    let mut archive = policy("archive");
    world.metadata.put_policy(archive.clone()).await.unwrap();
    archive.generation = 2;
    world.metadata.put_policy(archive.clone()).await.unwrap();
    assert_eq!(
        world.metadata.policy("archive").await.unwrap(),
        Some(archive.clone())
    );
    assert_eq!(world.metadata.policy("absent").await.unwrap(), None);
    assert_eq!(
        world.metadata.policies().await.unwrap(),
        [archive, policy("standard")]
    );
}

async fn keys_come_and_go(world: World) {
    let key = AccessKey {
        access_key: "HF1".to_owned(),
        secret_key: "secret".to_owned(),
        description: "for tests".to_owned(),
        created_ms: 7,
        disabled: true,
    };
    world.metadata.create_key(key.clone()).await.unwrap();
    let again = world.metadata.create_key(key.clone()).await;
    assert!(matches!(again, Err(MetadataError::Exists("access key"))));
    assert_eq!(world.metadata.key("HF1").await.unwrap(), Some(key.clone()));
    assert_eq!(world.metadata.key("hf1").await.unwrap(), None);
    assert_eq!(world.metadata.keys().await.unwrap(), [key]);
    world.metadata.delete_key("HF1").await.unwrap();
    assert!(world.metadata.keys().await.unwrap().is_empty());
    let gone = world.metadata.delete_key("HF1").await;
    assert!(matches!(gone, Err(MetadataError::NotFound("access key"))));
}

async fn drives_are_remembered(world: World) {
    let drive = |id: DriveId, state| Drive {
        id,
        region: region(),
        zone: "z".to_owned(),
        node: "n".to_owned(),
        state,
        reason: String::new(),
        path: "/d".to_owned(),
        capacity_bytes: 10,
        free_bytes: 5,
    };
    let mut ids = world.drives.clone();
    ids.sort();
    // A placement names drives before anybody has described them.
    let bucket = world.bucket("b").await;
    world.put("b", "k", 1, "e").await;
    assert!(world.metadata.drives().await.unwrap().is_empty());
    let first: Vec<Drive> = ids
        .iter()
        .map(|id| drive(*id, DriveState::Online))
        .collect();
    world.metadata.upsert_drives(first.clone()).await.unwrap();
    assert_eq!(world.metadata.drives().await.unwrap(), first);
    world
        .metadata
        .upsert_drives(vec![drive(ids[2], DriveState::Missing)])
        .await
        .unwrap();
    let drives = world.metadata.drives().await.unwrap();
    assert_eq!(drives.len(), 6);
    assert_eq!(drives[2].state, DriveState::Missing);
    let version = world.current(&bucket, "k").await.unwrap();
    let placed: Vec<_> = world.drives.iter().copied().map(Some).collect();
    assert_eq!(
        world.slices(&version).await[0].blob.placement.drives,
        placed
    );
}
