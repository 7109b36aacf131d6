//! A rotation, finished by the worker: every row, whatever comes in between.

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{MasterKeyUse, Seal, VersionSelector};
use holdfast_sealing::{DataKey, MasterKey};

use super::*;
use crate::testing::World;

async fn seal(world: &World, keyring: &Keyring, key: &str) -> (BlobId, WrappedBy) {
    let receipt = world.write(BlobId::generate()).await;
    let blob = receipt.blob;
    let (by, wrapped_key) = keyring.wrap(blob.as_bytes(), &DataKey::random());
    let seal = Seal {
        master_key: Some(by.to_string()),
        wrapped_key: wrapped_key.clone(),
        content_len: receipt.len - 32,
    };
    world
        .publish_sealed(receipt, key, Some(seal))
        .await
        .unwrap();
    (blob, (by.to_string(), wrapped_key))
}

type WrappedBy = (String, Vec<u8>);

async fn seal_of(world: &World, key: &str) -> WrappedBy {
    let version = world.version(key).await;
    let slices = world.metadata.slices(version.uid, 0..1).await.unwrap();
    let seal = slices[0].seal.clone().unwrap();
    (seal.master_key.unwrap(), seal.wrapped_key)
}

async fn run_until_idle(worker: &mut Rewrapper) {
    while worker.work().await.unwrap() == Progress::Busy {}
}

async fn admit(world: &World, keyring: &Keyring) {
    let ids = keyring
        .keys()
        .iter()
        .map(|key| key.id().to_string())
        .collect();
    world.metadata.admit_master_keys(ids).await.unwrap();
}

#[tokio::test]
async fn a_rotation_reaches_every_row_and_frees_the_old_key() {
    let world = World::new().await;
    let keyring = Keyring::new([MasterKey::random(1)]).unwrap();
    admit(&world, &keyring).await;
    let old = keyring.newest().id().to_string();
    let mut before = Vec::new();
    for number in 0..STEP + 3 {
        let key = format!("k{number}");
        let (blob, wrapped) = seal(&world, &keyring, &key).await;
        before.push((key, blob, wrapped));
    }
    world.put("plain").await;
    let mut worker = Rewrapper::new(world.metadata.clone(), keyring.clone());
    assert_eq!(worker.work().await.unwrap(), Progress::Idle);

    keyring.add(MasterKey::random(2));
    admit(&world, &keyring).await;
    let new = keyring.newest().id().to_string();
    assert!(
        !world.metadata.retire_master_key(&old).await.unwrap(),
        "in use"
    );
    assert_eq!(worker.work().await.unwrap(), Progress::Busy);
    // The process dies, and the next one goes on.
    let mut worker = Rewrapper::new(world.metadata.clone(), keyring.clone());
    run_until_idle(&mut worker).await;

    for (key, blob, (by, wrapped)) in &before {
        let (by_now, wrapped_now) = seal_of(&world, key).await;
        assert_eq!(by_now, new);
        assert_ne!(wrapped_now, *wrapped);
        // The data key is the same: what it is under the old wrapping, wrapped again, opens alike.
        assert!(
            keyring
                .unwrap(&by_now, blob.as_bytes(), &wrapped_now)
                .unwrap()
                .is_ok()
        );
        assert!(
            keyring
                .unwrap(by, blob.as_bytes(), wrapped)
                .unwrap()
                .is_ok()
        );
    }
    assert!(world.metadata.retire_master_key(&old).await.unwrap());
    let uses = world.metadata.master_keys().await.unwrap();
    let of = |key: &str| uses.iter().find(|used| used.key == key).unwrap();
    assert_eq!((of(&old).blobs, of(&old).retired), (0, true));
    assert_eq!(of(&new).blobs, before.len() as u64);
    assert!(of(&new).blobs < MasterKeyUse::COUNTED);
}

#[tokio::test]
async fn nothing_is_published_under_a_retired_key() {
    let world = World::new().await;
    let keyring = Keyring::new([MasterKey::random(1)]).unwrap();
    admit(&world, &keyring).await;
    let late = keyring.clone();
    let old = keyring.newest().id().to_string();
    assert!(world.metadata.retire_master_key(&old).await.unwrap());
    // A gateway that has not heard of it yet.
    let receipt = world.write(BlobId::generate()).await;
    let (by, wrapped_key) = late.wrap(receipt.blob.as_bytes(), &DataKey::random());
    let seal = Seal {
        master_key: Some(by.to_string()),
        wrapped_key,
        content_len: 1,
    };
    let refused = world.publish_sealed(receipt, "late", Some(seal)).await;
    assert!(
        matches!(refused, Err(MetadataError::KeyRetired)),
        "{refused:?}"
    );
    let unknown = world.metadata.retire_master_key("0000000000000000").await;
    assert!(matches!(unknown, Err(MetadataError::NotFound(_))));
}

#[tokio::test]
async fn a_row_that_does_not_open_stays_and_stops_nothing() {
    let world = World::new().await;
    let keyring = Keyring::new([MasterKey::random(1)]).unwrap();
    admit(&world, &keyring).await;
    let old = keyring.newest().id().to_string();
    let receipt = world.write(BlobId::generate()).await;
    let garbled = Seal {
        master_key: Some(old.clone()),
        wrapped_key: vec![1; 60],
        content_len: 1,
    };
    world
        .publish_sealed(receipt, "bad", Some(garbled))
        .await
        .unwrap();
    seal(&world, &keyring, "good").await;
    keyring.add(MasterKey::random(2));
    admit(&world, &keyring).await;
    let mut worker = Rewrapper::new(world.metadata.clone(), keyring.clone());
    run_until_idle(&mut worker).await;
    assert_eq!(
        seal_of(&world, "good").await.0,
        keyring.newest().id().to_string()
    );
    assert_eq!(seal_of(&world, "bad").await, (old.clone(), vec![1; 60]));
    assert!(!world.metadata.retire_master_key(&old).await.unwrap());
    assert!(
        worker.doing().contains("1 do not open"),
        "{}",
        worker.doing()
    );
}

#[tokio::test]
async fn a_dead_blob_has_lost_its_key() {
    let world = World::new().await;
    let keyring = Keyring::new([MasterKey::random(1)]).unwrap();
    admit(&world, &keyring).await;
    let key = keyring.newest().id().to_string();
    let (blob, _) = seal(&world, &keyring, "k").await;
    world.delete("k").await;
    let current = VersionSelector::Current;
    let bucket = world.metadata.bucket("films").await.unwrap().id;
    assert!(
        world
            .metadata
            .version(bucket, b"k", &current)
            .await
            .is_err()
    );
    let wrapped = world.metadata.wrapped_by(&key, None, 10).await.unwrap();
    assert_eq!(
        wrapped.len(),
        1,
        "its bytes can still be read for their grace"
    );
    world.clock.advance_ms(2 * crate::testing::HOUR_MS);
    world
        .metadata
        .begin_sweep(blob, &world.region)
        .await
        .unwrap();
    assert!(
        world
            .metadata
            .wrapped_by(&key, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}
