//! Stories of drives and placements that do not agree, and of both changing while they are compared.

use std::sync::Arc;
use std::time::Duration;

use holdfast_erasure::BlobLocation;
use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{BlobPlacement, DebtKind};
use holdfast_metadata::repair::{
    Reservation, ReserveTargets, SettleDebts, Settled, Settlement, StrayVerdict,
};
use holdfast_types::{
    BlobId, Clock, DriveId, DriveState, FragmentId, FragmentIndex, FragmentStore, SystemClock,
};

use super::*;
use crate::testing::{HOUR_MS, World};

const PATIENCE: Patience = Patience {
    unknown_age_ms: 24 * HOUR_MS,
    quarantine_ms: 7 * 24 * HOUR_MS,
    period: Duration::from_secs(3600),
};

/// A world whose clock goes with the ids that are made in it.
async fn world() -> World {
    let world = World::new().await;
    world.clock.set_ms(SystemClock.now_ms());
    world
}

fn inventory(world: &World) -> Inventory {
    Inventory::new(
        world.metadata.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
        world.region.clone(),
        PATIENCE,
    )
    .0
}

/// A cycle whose first page was read, and nothing else.
async fn page_read(inventory: &mut Inventory) {
    let mut cycle = inventory.begin();
    cycle.page = Some(inventory.next_page(&cycle).await.unwrap());
    inventory.cycle = Some(cycle);
}

/// To the end of the cycle (a new one, if none is under way).
async fn run(inventory: &mut Inventory) -> InventoryReport {
    while inventory.work().await.unwrap() == Progress::Busy {}
    inventory.last.borrow().clone()
}

async fn placed(world: &World, blob: BlobId) -> BlobPlacement {
    let page = world.metadata.placements_page(None, 1000).await.unwrap();
    page.into_iter().find(|placed| placed.blob == blob).unwrap()
}

/// Fragment `index` of a blob, and the drive that has it.
async fn fragment(world: &World, blob: BlobId, index: u8) -> (DriveId, FragmentId) {
    let placed = placed(world, blob).await;
    let id = FragmentId {
        blob,
        region: placed.placement.region.clone(),
        generation: placed.placement.generation,
        index: FragmentIndex(index),
    };
    (placed.placement.drives[usize::from(index)].unwrap(), id)
}

/// Writes fragment `index` to another drive as well, and says nothing.
async fn copy_to(world: &World, blob: BlobId, index: u8, drive: DriveId) {
    let placed = placed(world, blob).await;
    let location = BlobLocation {
        blob,
        len: placed.len,
        placement: placed.placement,
    };
    let targets = [(FragmentIndex(index), drive)];
    world.blobs.rebuild(location, &targets).await.unwrap();
}

async fn seventh_drive(world: &World) -> DriveId {
    let mut drive = world.store.drives().remove(0);
    drive.id = DriveId::generate();
    world.store.add_drive(drive.clone());
    world
        .metadata
        .upsert_drives(world.store.drives())
        .await
        .unwrap();
    drive.id
}

async fn strays(world: &World) -> u64 {
    world.metadata.stray_count().await.unwrap()
}

async fn debts(world: &World) -> Vec<(FragmentId, DebtKind)> {
    let debts = world.metadata.debts(None, 1000).await.unwrap();
    let named = debts.into_iter().map(|debt| {
        let id = FragmentId {
            blob: debt.blob,
            region: debt.region,
            generation: debt.generation,
            index: debt.index,
        };
        (id, debt.kind)
    });
    named.collect()
}

#[tokio::test]
async fn where_all_is_as_it_should_be_nothing_is_done() {
    let world = world().await;
    for number in 0..3 {
        world.put(&format!("film {number}")).await;
    }
    world.clock.advance_ms(1000 * HOUR_MS);
    let report = run(&mut inventory(&world)).await;
    let expected = InventoryReport {
        as_of_ms: world.clock.now_ms(),
        expected: 18,
        ..InventoryReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!((strays(&world).await, debts(&world).await), (0, vec![]));
}

#[tokio::test]
async fn a_fragment_that_vanished_is_found_without_a_reader() {
    let world = world().await;
    let blob = world.put("film").await;
    world.put("another").await;
    let (drive, lost) = fragment(&world, blob, 4).await;
    assert!(world.store.lose(drive, &lost));
    let report = run(&mut inventory(&world)).await;
    assert_eq!((report.expected, report.missing), (12, 1));
    assert_eq!(debts(&world).await, [(lost, DebtKind::Missing)]);
}

#[tokio::test]
async fn all_that_a_wiped_drive_had_is_owed() {
    let world = world().await;
    for number in 0..20 {
        world.put(&format!("film {number}")).await;
    }
    world.store.wipe(world.drive(2));
    let report = run(&mut inventory(&world)).await;
    assert_eq!(report.missing, 20);
    assert_eq!(debts(&world).await.len(), 20);
}

#[tokio::test]
async fn fragments_of_a_put_that_died_are_condemned_then_kept_then_deleted() {
    let world = world().await;
    world.put("film").await;
    let receipt = world.write(BlobId::generate()).await;
    let blob = receipt.blob;
    let mut inventory = inventory(&world);
    let report = run(&mut inventory).await;
    assert_eq!((report.young, report.noted), (6, 0));
    assert_eq!(strays(&world).await, 0, "its put may still be under way");

    world.clock.advance_ms(25 * HOUR_MS);
    let report = run(&mut inventory).await;
    assert_eq!((report.noted, report.in_quarantine), (6, 0));
    let late = world.publish(receipt, "too late").await;
    assert!(matches!(late, Err(MetadataError::Fenced)), "{late:?}");
    assert_eq!(world.fragments(blob).await, 6, "nothing is deleted yet");

    world.clock.advance_ms(7 * 24 * HOUR_MS - 1000);
    let report = run(&mut inventory).await;
    assert_eq!((report.noted, report.in_quarantine), (0, 6));
    let drive = world.drive(0);
    let due = world.metadata.due_strays(drive, None, 100).await.unwrap();
    assert_eq!(
        due,
        [],
        "its quarantine did not begin anew, and is not over"
    );
    world.clock.advance_ms(1000);
    let due = world.metadata.due_strays(drive, None, 100).await.unwrap();
    assert_eq!(due.len(), 1);
    let verdict = world.metadata.judge_stray(due[0].clone()).await.unwrap();
    assert_eq!(verdict, StrayVerdict::Doomed);
}

#[tokio::test]
async fn a_condemned_id_that_was_forgotten_is_condemned_again_before_anything_is_deleted() {
    let world = world().await;
    let receipt = world.write(BlobId::generate()).await;
    world.clock.advance_ms(25 * HOUR_MS);
    run(&mut inventory(&world)).await;
    world.clock.advance_ms(30 * 24 * HOUR_MS);
    while world.metadata.expire_outcomes(100).await.unwrap() > 0 {}
    let drive = world.drive(0);
    let due = world.metadata.due_strays(drive, None, 100).await.unwrap();
    let verdict = world.metadata.judge_stray(due[0].clone()).await.unwrap();
    assert_eq!(verdict, StrayVerdict::Doomed);
    let late = world.publish(receipt, "far too late").await;
    assert!(matches!(late, Err(MetadataError::Fenced)), "{late:?}");
}

#[tokio::test]
async fn a_publish_that_comes_between_the_placements_and_the_list_wins() {
    let world = world().await;
    let receipt = world.write(BlobId::generate()).await;
    world.clock.advance_ms(25 * HOUR_MS);
    let mut inventory = inventory(&world);
    page_read(&mut inventory).await;
    let blob = receipt.blob;
    world.publish(receipt, "just in time").await.unwrap();
    let report = run(&mut inventory).await;
    assert_eq!((report.noted, report.surplus_kept), (0, 0));
    assert_eq!((strays(&world).await, world.fragments(blob).await), (0, 6));
}

#[tokio::test]
async fn a_publish_that_comes_after_the_first_fragment_was_judged_loses_whole() {
    let world = world().await;
    let receipt = world.write(BlobId::generate()).await;
    world.clock.advance_ms(25 * HOUR_MS);
    let mut inventory = inventory(&world);
    page_read(&mut inventory).await;
    assert_eq!(inventory.work().await.unwrap(), Progress::Busy);
    assert_eq!(strays(&world).await, 1);
    let late = world.publish(receipt, "too late").await;
    assert!(matches!(late, Err(MetadataError::Fenced)), "{late:?}");
    assert_eq!(run(&mut inventory).await.noted, 6);
}

#[tokio::test]
async fn a_fragment_that_moves_between_the_two_lists_is_neither_missing_nor_unknown() {
    let world = world().await;
    let blob = world.put("film").await;
    let seventh = seventh_drive(&world).await;
    let (old, moved) = fragment(&world, blob, 1).await;
    world.clock.advance_ms(25 * HOUR_MS);
    let mut inventory = inventory(&world);
    page_read(&mut inventory).await;
    let reserve = ReserveTargets {
        blob,
        region: moved.region.clone(),
        generation: moved.generation,
        targets: vec![(moved.index, seventh)],
    };
    let reserved = world.metadata.reserve_targets(reserve).await.unwrap();
    assert_eq!(reserved, Reservation::Made(vec![true]));
    copy_to(&world, blob, 1, seventh).await;
    let settle = SettleDebts {
        blob,
        region: moved.region.clone(),
        generation: moved.generation,
        settled: vec![Settled {
            index: moved.index,
            from: Some(old),
            to: seventh,
        }],
    };
    let settled = world.metadata.settle_debts(settle).await.unwrap();
    assert_eq!(settled, Settlement::Made(vec![true]));
    assert!(world.store.lose(old, &moved));
    let report = run(&mut inventory).await;
    assert_eq!((report.noted, report.surplus_kept), (0, 0));
    assert_eq!(debts(&world).await, [], "the placement names another drive");
}

#[tokio::test]
async fn a_surplus_fragment_goes_only_if_the_other_drive_has_it_whole() {
    let world = world().await;
    let blob = world.put("film").await;
    let seventh = seventh_drive(&world).await;
    copy_to(&world, blob, 2, seventh).await;
    world.clock.advance_ms(25 * HOUR_MS);
    let (home, id) = fragment(&world, blob, 2).await;
    let mut inventory = inventory(&world);

    world.store.set_state(home, DriveState::Missing, "pulled");
    let report = run(&mut inventory).await;
    assert_eq!((report.surplus_kept, report.noted), (1, 0));
    assert!(report.skipped.contains(&home));
    world.store.set_state(home, DriveState::Online, "");
    assert!(world.store.corrupt_block(home, &id, 0));
    let report = run(&mut inventory).await;
    assert_eq!(
        (report.surplus_kept, report.noted),
        (1, 0),
        "it may be the only good one"
    );
    assert!(world.store.lose(home, &id));
    let report = run(&mut inventory).await;
    assert_eq!(
        (report.surplus_kept, report.noted, report.missing),
        (1, 0, 1)
    );
    assert_eq!(strays(&world).await, 0);
    copy_to(&world, blob, 2, home).await;
    let report = run(&mut inventory).await;
    assert_eq!((report.surplus_kept, report.noted), (0, 1));
    assert_eq!(strays(&world).await, 1);
}

#[tokio::test]
async fn a_drive_that_vanishes_in_the_middle_owes_nothing_and_is_looked_at_when_it_is_back() {
    let world = world().await;
    let blob = world.put("film").await;
    let (drive, lost) = fragment(&world, blob, 3).await;
    world.store.lose(drive, &lost);
    world.store.wipe(world.drive(5));
    let mut inventory = inventory(&world);
    page_read(&mut inventory).await;
    for number in 0..6 {
        let drive = world.drive(number);
        world.store.set_state(drive, DriveState::Missing, "pulled");
    }
    let report = run(&mut inventory).await;
    assert_eq!((report.missing, report.skipped.len()), (0, 6));
    assert_eq!(debts(&world).await, []);
    for number in 0..6 {
        let drive = world.drive(number);
        world.store.set_state(drive, DriveState::Online, "");
    }
    let report = run(&mut inventory).await;
    assert!(report.missing >= 1, "{report:?}");
    assert!(debts(&world).await.contains(&(lost, DebtKind::Missing)));
}

#[tokio::test]
async fn a_dead_blob_is_the_sweepers_while_its_placement_stands() {
    let world = world().await;
    let blob = world.put("film").await;
    world.delete("film").await;
    world.clock.advance_ms(25 * HOUR_MS);
    let swept = world
        .metadata
        .begin_sweep(blob, &world.region)
        .await
        .unwrap();
    assert!(matches!(
        swept,
        holdfast_metadata::command::SweepOutcome::Dead(_)
    ));
    let report = run(&mut inventory(&world)).await;
    assert_eq!((report.noted, report.missing, report.expected), (0, 0, 0));
    assert_eq!(strays(&world).await, 0);
}
