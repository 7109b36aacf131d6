//! Policies: made once, changed one after another, kept while something follows them.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::CreateUpload;
use holdfast_metadata::model::{Attributes, PolicyRule, PolicyUse};

use super::world::{World, policy};

super::on_both! {
    a_policy_is_made_once_and_changed_in_order,
    a_policy_that_a_bucket_follows_is_kept,
    a_policy_that_an_open_upload_names_is_kept,
    a_bucket_is_given_only_a_policy_that_is_there,
}

async fn a_policy_is_made_once_and_changed_in_order(world: World) {
    let mut video = policy("video");
    video.rules.push(PolicyRule {
        prefix: "logs/".to_owned(),
        at_least_bytes: 1,
        below_bytes: None,
        layout: "8+3".parse().unwrap(),
    });
    world.metadata.create_policy(video.clone()).await.unwrap();
    assert_eq!(
        world.metadata.policy("video").await.unwrap(),
        Some(video.clone())
    );
    let again = world.metadata.create_policy(video.clone()).await;
    assert!(matches!(again, Err(MetadataError::Exists("policy"))));

    let mut changed = video.clone();
    changed.generation = 2;
    changed.rules.clear();
    world.metadata.update_policy(changed.clone()).await.unwrap();
    let late = world.metadata.update_policy(changed.clone()).await;
    assert!(
        matches!(late, Err(MetadataError::SourceChanged)),
        "it was read before the other's change: {late:?}"
    );
    assert_eq!(world.metadata.policy("video").await.unwrap(), Some(changed));
    let unknown = world.metadata.update_policy(policy("no")).await;
    assert!(matches!(unknown, Err(MetadataError::NotFound("policy"))));
}

async fn a_policy_that_a_bucket_follows_is_kept(world: World) {
    world.metadata.create_policy(policy("video")).await.unwrap();
    for name in ["b2", "b1"] {
        world
            .metadata
            .create_bucket(name, "video", None)
            .await
            .unwrap();
    }
    let delete = || world.metadata.delete_policy("video");
    assert_eq!(delete().await.unwrap(), PolicyUse::Bucket("b1".to_owned()));
    world
        .metadata
        .set_bucket_policy("b1", "standard")
        .await
        .unwrap();
    world.metadata.delete_bucket("b2").await.unwrap();
    assert_eq!(delete().await.unwrap(), PolicyUse::None);
    assert_eq!(world.metadata.policy("video").await.unwrap(), None);
    let gone = delete().await;
    assert!(matches!(gone, Err(MetadataError::NotFound("policy"))));
}

async fn a_policy_that_an_open_upload_names_is_kept(world: World) {
    let bucket = world.bucket("b").await;
    let name = "cold-archive";
    world.metadata.create_policy(policy(name)).await.unwrap();
    world.metadata.create_policy(policy("cold")).await.unwrap();
    let upload = CreateUpload {
        bucket: "b".to_owned(),
        key: b"k".to_vec(),
        attributes: Attributes {
            storage_class: Some("COLD_ARCHIVE".to_owned()),
            ..Attributes::default()
        },
        checksum: None,
        lock: Default::default(),
    };
    let upload = world.metadata.create_upload(upload).await.unwrap();
    let delete = || world.metadata.delete_policy(name);
    assert_eq!(delete().await.unwrap(), PolicyUse::Upload);
    assert_eq!(
        world.metadata.delete_policy("cold").await.unwrap(),
        PolicyUse::None,
        "another that only begins like it"
    );
    world
        .metadata
        .abort_upload(bucket.id, b"k", upload.id)
        .await
        .unwrap();
    assert_eq!(delete().await.unwrap(), PolicyUse::None);
}

async fn a_bucket_is_given_only_a_policy_that_is_there(world: World) {
    world.bucket("b").await;
    let none = world.metadata.set_bucket_policy("b", "video").await;
    assert!(matches!(none, Err(MetadataError::NotFound("policy"))));
    world.metadata.create_policy(policy("video")).await.unwrap();
    world
        .metadata
        .set_bucket_policy("b", "video")
        .await
        .unwrap();
    assert_eq!(world.metadata.bucket("b").await.unwrap().policy, "video");
    let nowhere = world.metadata.set_bucket_policy("c", "video").await;
    assert!(matches!(nowhere, Err(MetadataError::NoSuchBucket)));
}
