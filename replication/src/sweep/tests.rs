//! Sweeps over real metadata and drives in memory: what goes, what stays, and what a crash leaves.

use std::sync::Arc;

use holdfast_storage_node::memory::MemoryFaults;
use holdfast_types::DriveState;

use super::*;
use crate::testing::{HOUR_MS, World};

/// Steps until there is nothing more to do in this round.
async fn round(sweeper: &mut Sweeper) {
    while sweeper.work().await.unwrap() == Progress::Busy {}
}

fn sweeper(world: &World) -> Sweeper {
    Sweeper::new(
        world.metadata.clone(),
        world.blobs.clone(),
        world.region.clone(),
    )
}

async fn garbage(world: &World) -> u64 {
    world.metadata.totals().await.unwrap().garbage.versions
}

#[tokio::test]
async fn removed_bytes_stay_for_the_grace_and_then_go() {
    let world = World::new().await;
    let mut sweeper = sweeper(&world);
    let removed = world.put("removed").await;
    let kept = world.put("kept").await;
    world.delete("removed").await;

    world.clock.advance_ms(HOUR_MS - 1);
    round(&mut sweeper).await;
    assert_eq!(
        world.fragments(removed).await,
        6,
        "a slow reader may still need them"
    );

    world.clock.advance_ms(1);
    round(&mut sweeper).await;
    assert_eq!(world.fragments(removed).await, 0);
    assert_eq!(world.fragments(kept).await, 6);
    assert_eq!(garbage(&world).await, 0);
    assert_eq!(
        sweeper.doing(),
        "1 blobs removed, 0 waiting for a drive to come back"
    );
}

#[tokio::test]
async fn bytes_that_a_copy_shares_stay_until_the_copy_goes_too() {
    let world = World::new().await;
    let mut sweeper = sweeper(&world);
    let blob = world.put("original").await;
    world.copy("original", "copy").await;
    world.delete("original").await;
    world.clock.advance_ms(2 * HOUR_MS);
    round(&mut sweeper).await;
    assert_eq!(world.fragments(blob).await, 6, "the copy refers to them");
    assert_eq!(garbage(&world).await, 0, "and the row is dropped");

    world.delete("copy").await;
    world.clock.advance_ms(2 * HOUR_MS);
    round(&mut sweeper).await;
    assert_eq!(world.fragments(blob).await, 0);
}

#[tokio::test]
async fn a_blob_whose_drive_is_away_is_kept_until_the_drive_is_back() {
    let world = World::new().await;
    let mut sweeper = sweeper(&world);
    let blob = world.put("key").await;
    world.delete("key").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let away = world.drive(2);
    world.store.set_state(away, DriveState::Missing, "pulled");
    round(&mut sweeper).await;
    assert_eq!(garbage(&world).await, 1, "the row is not forgotten");
    assert_eq!(
        sweeper.doing(),
        "0 blobs removed, 1 waiting for a drive to come back"
    );

    world.store.set_state(away, DriveState::Online, "");
    assert_eq!(world.fragments(blob).await, 1, "the others are gone");
    round(&mut sweeper).await;
    assert_eq!(world.fragments(blob).await, 0);
    assert_eq!(garbage(&world).await, 0);
}

#[tokio::test]
async fn a_drive_that_fails_keeps_the_row() {
    let world = World::new().await;
    let mut sweeper = sweeper(&world);
    let blob = world.put("key").await;
    world.delete("key").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let bad = world.drive(0);
    world.store.set_faults(
        bad,
        MemoryFaults {
            writes_fail_after: Some(0),
            ..Default::default()
        },
    );
    world
        .store
        .set_state(bad, DriveState::ReadOnly, "a sync failed");
    round(&mut sweeper).await;
    assert_eq!(garbage(&world).await, 1);
    assert_eq!(world.fragments(blob).await, 1);
}

#[tokio::test]
async fn a_sweep_that_was_cut_is_finished_by_the_next_process() {
    let world = World::new().await;
    let blob = world.put("key").await;
    world.delete("key").await;
    world.clock.advance_ms(2 * HOUR_MS);
    // Cut after the blob was declared dead and some fragments were deleted.
    let outcome = world
        .metadata
        .begin_sweep(blob, &world.region)
        .await
        .unwrap();
    let SweepOutcome::Dead(placements) = outcome else {
        panic!("nothing refers to it: {outcome:?}");
    };
    let some = fragments_of(blob, &placements[0]).take(3);
    assert!(world.blobs.delete(some).await.unreached.is_empty());
    assert_eq!(world.fragments(blob).await, 3);

    round(&mut sweeper(&world)).await;
    assert_eq!(world.fragments(blob).await, 0);
    assert_eq!(garbage(&world).await, 0);
}

#[tokio::test]
async fn a_sweep_that_was_cut_before_the_row_was_removed_is_finished() {
    let world = World::new().await;
    let blob = world.put("key").await;
    world.delete("key").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let mut first = sweeper(&world);
    let rows = world.metadata.due_garbage(None, 10).await.unwrap();
    let SweepOutcome::Dead(placements) = world
        .metadata
        .begin_sweep(blob, &world.region)
        .await
        .unwrap()
    else {
        panic!("nothing refers to it");
    };
    assert!(first.delete_fragments(blob, &placements).await);
    assert_eq!(world.metadata.due_garbage(None, 10).await.unwrap(), rows);

    round(&mut first).await;
    assert!(
        world
            .metadata
            .due_garbage(None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let placements = world.metadata.placements_page(None, 10).await.unwrap();
    assert!(
        placements.is_empty(),
        "where it was is forgotten: {placements:?}"
    );
}

#[tokio::test]
async fn many_are_swept_in_one_round() {
    let world = World::new().await;
    let world = Arc::new(world);
    let count = BATCH + 3;
    for number in 0..count {
        let key = format!("key-{number}");
        world.put(&key).await;
        world.delete(&key).await;
    }
    world.clock.advance_ms(2 * HOUR_MS);
    let mut sweeper = sweeper(&world);
    round(&mut sweeper).await;
    assert_eq!(sweeper.swept, count as u64);
    assert_eq!(garbage(&world).await, 0);
}
