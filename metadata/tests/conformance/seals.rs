//! Sealed blobs: slices count content, keys are wrapped anew and retired, and go with their blob.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{NewBlob, PutObject, SweepOutcome};
use holdfast_metadata::model::{Attributes, Encryption, Rewrapped, Seal, WrappedRow};

use super::world::{HOUR_MS, World, region};

super::on_both! {
    slices_of_sealed_blobs_count_content,
    data_keys_move_from_key_to_key,
    a_retired_key_wraps_nothing_ever_again,
    a_dead_blob_loses_its_key,
    a_buckets_default_encryption_is_kept_and_taken_away,
}

const OLD: &str = "00000000000000aa";
const NEW: &str = "00000000000000bb";

fn seal(master_key: Option<&str>, content_len: u64) -> Seal {
    Seal {
        master_key: master_key.map(str::to_owned),
        wrapped_key: vec![7; 60],
        content_len,
    }
}

fn sealed_put(world: &World, key: &str, seal: Seal) -> PutObject {
    let put = world.put_of("b", key, seal.content_len + 16, "e");
    PutObject {
        blob: put.blob.map(|blob| NewBlob {
            seal: Some(seal),
            ..blob
        }),
        attributes: Attributes {
            encryption: Some(Encryption::ServerKey),
            ..Attributes::default()
        },
        ..put
    }
}

async fn admit(world: &World) {
    let keys = vec![OLD.to_owned(), NEW.to_owned()];
    world
        .metadata
        .admit_master_keys(keys.clone())
        .await
        .unwrap();
    world.metadata.admit_master_keys(keys).await.unwrap();
}

async fn slices_of_sealed_blobs_count_content(world: World) {
    let bucket = world.bucket("b").await;
    admit(&world).await;
    for (key, by) in [("server", Some(OLD)), ("customer", None)] {
        let put = sealed_put(&world, key, seal(by, 1000));
        world.metadata.put_object(put).await.unwrap();
        let version = world.current(&bucket, key).await.unwrap();
        assert_eq!(version.size, 1000);
        assert_eq!(version.attributes.encryption, Some(Encryption::ServerKey));
        let slices = world.slices(&version).await;
        assert_eq!(slices.len(), 1);
        assert_eq!((slices[0].len, slices[0].blob.len), (1000, 1016));
        assert_eq!(slices[0].seal, Some(seal(by, 1000)));
        // A copy has the same blob and so the same key.
        let copy = format!("{key}-copy");
        world.copy(&version, "b", &copy).await.unwrap();
        let copied = world.current(&bucket, &copy).await.unwrap();
        assert_eq!(world.slices(&copied).await[0].seal, slices[0].seal);
    }
    world.put("b", "plain", 10, "e").await;
    let plain = world.current(&bucket, "plain").await.unwrap();
    assert_eq!(world.slices(&plain).await[0].seal, None);
    let unknown = sealed_put(&world, "unknown", seal(Some("00000000000000cc"), 5));
    let refused = world.metadata.put_object(unknown).await;
    assert!(
        matches!(refused, Err(MetadataError::KeyRetired)),
        "{refused:?}"
    );
}

async fn data_keys_move_from_key_to_key(world: World) {
    world.bucket("b").await;
    admit(&world).await;
    for number in 0..5 {
        let put = sealed_put(&world, &number.to_string(), seal(Some(OLD), 10));
        world.metadata.put_object(put).await.unwrap();
    }
    let metadata = &world.metadata;
    let first = metadata.wrapped_by(OLD, None, 3).await.unwrap();
    let after = first.last().map(|row| row.blob);
    let rest = metadata.wrapped_by(OLD, after, 3).await.unwrap();
    assert_eq!((first.len(), rest.len()), (3, 2));
    let rewrapped = |row: &WrappedRow| Rewrapped {
        row: row.clone(),
        wrapped_key: vec![8; 60],
    };
    let page: Vec<Rewrapped> = first.iter().map(rewrapped).collect();
    assert_eq!(metadata.rewrap(NEW, page.clone()).await.unwrap(), 3);
    // Told again, after a lost reply: nothing is as it was read.
    assert_eq!(metadata.rewrap(NEW, page).await.unwrap(), 0);
    let uses = metadata.master_keys().await.unwrap();
    let blobs = |key: &str| uses.iter().find(|used| used.key == key).unwrap().blobs;
    assert_eq!((blobs(OLD), blobs(NEW)), (2, 3));
    let moved = metadata.wrapped_by(NEW, None, 10).await.unwrap();
    assert!(moved.iter().all(|row| row.wrapped_key == [8; 60]));
}

async fn a_retired_key_wraps_nothing_ever_again(world: World) {
    world.bucket("b").await;
    admit(&world).await;
    let metadata = &world.metadata;
    let put = sealed_put(&world, "k", seal(Some(OLD), 10));
    metadata.put_object(put).await.unwrap();
    assert!(!metadata.retire_master_key(OLD).await.unwrap(), "it wraps");
    let row = metadata.wrapped_by(OLD, None, 1).await.unwrap().remove(0);
    let rewrapped = |row: &WrappedRow| Rewrapped {
        row: row.clone(),
        wrapped_key: vec![8; 60],
    };
    metadata.rewrap(NEW, vec![rewrapped(&row)]).await.unwrap();
    assert!(metadata.retire_master_key(OLD).await.unwrap());
    assert!(metadata.retire_master_key(OLD).await.unwrap(), "twice");
    admit(&world).await;
    let late = sealed_put(&world, "late", seal(Some(OLD), 10));
    let refused = metadata.put_object(late).await;
    assert!(
        matches!(refused, Err(MetadataError::KeyRetired)),
        "{refused:?}"
    );
    let row = metadata.wrapped_by(NEW, None, 1).await.unwrap().remove(0);
    let back = metadata.rewrap(OLD, vec![rewrapped(&row)]).await;
    assert!(matches!(back, Err(MetadataError::KeyRetired)), "{back:?}");
    let unknown = metadata.retire_master_key("00000000000000cc").await;
    assert!(
        matches!(unknown, Err(MetadataError::NotFound(_))),
        "{unknown:?}"
    );
}

async fn a_dead_blob_loses_its_key(world: World) {
    let bucket = world.bucket("b").await;
    admit(&world).await;
    let put = sealed_put(&world, "k", seal(Some(OLD), 10));
    world.metadata.put_object(put).await.unwrap();
    let version = world.current(&bucket, "k").await.unwrap();
    let blob = world.slices(&version).await[0].blob.blob;
    world.delete("b", "k").await;
    assert!(!world.metadata.retire_master_key(OLD).await.unwrap());
    world.clock.advance_ms(2 * HOUR_MS);
    let swept = world.metadata.begin_sweep(blob, &region()).await.unwrap();
    assert!(matches!(swept, SweepOutcome::Dead(_)), "{swept:?}");
    assert!(world.metadata.retire_master_key(OLD).await.unwrap());
}

async fn a_buckets_default_encryption_is_kept_and_taken_away(world: World) {
    world.bucket("b").await;
    let metadata = &world.metadata;
    for value in [Some("one"), Some("two"), None] {
        let value = value.map(str::to_owned);
        metadata
            .set_default_encryption("b", value.clone())
            .await
            .unwrap();
        assert_eq!(metadata.bucket("b").await.unwrap().encryption, value);
    }
    let missing = metadata.set_default_encryption("nobody", None).await;
    assert!(matches!(missing, Err(MetadataError::NoSuchBucket)));
}
