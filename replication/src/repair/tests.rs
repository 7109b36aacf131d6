//! Repairs over real metadata and drives in memory: what is made anew, what is only looked at, what
//! is left behind, and what a crash, a delete or a lost drive does in between.

use std::collections::BTreeSet;

use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_storage_node::memory::MemoryFaults;
use holdfast_types::{BlobId, Drive, FragmentId, FragmentIndex, Generation};

use super::*;
use crate::lost::LostDrives;
use crate::sweep::Sweeper;
use crate::testing::{HOUR_MS, World};

/// Long enough that what comes before it is over.
const GONE_AFTER: Duration = Duration::from_secs(1);

fn repairer(world: &World) -> (Repairer, RepairHandle) {
    Repairer::new(
        world.metadata.clone(),
        world.blobs.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    )
}

/// Steps until a round has nothing to do.
async fn rounds(worker: &mut impl Worker) {
    while worker.work().await.unwrap() == Progress::Busy {}
}

fn add_drive(world: &World) -> DriveId {
    let drive = Drive {
        id: DriveId::generate(),
        ..world.store.drives().remove(0)
    };
    let id = drive.id;
    world.store.add_drive(drive);
    id
}

fn fragment(world: &World, blob: BlobId, index: u8) -> FragmentId {
    FragmentId {
        blob,
        region: world.region.clone(),
        generation: Generation(0),
        index: FragmentIndex(index),
    }
}

async fn drives_of(world: &World, blob: BlobId) -> Vec<DriveId> {
    let page = world.metadata.placements_page(None, 100).await.unwrap();
    let placed = page.into_iter().find(|placed| placed.blob == blob).unwrap();
    placed.placement.drives.into_iter().flatten().collect()
}

async fn report(world: &World, blob: BlobId, index: u8, kind: DebtKind) -> DriveId {
    let drive = drives_of(world, blob).await[usize::from(index)];
    let debt = Debt {
        blob,
        region: world.region.clone(),
        generation: Generation(0),
        index: FragmentIndex(index),
        drive: Some(drive),
        kind,
        created_ms: 0,
    };
    let report = ReportDebts { debts: vec![debt] };
    world.metadata.report_debts(report).await.unwrap();
    drive
}

async fn debts(world: &World) -> u64 {
    world.metadata.totals().await.unwrap().debts
}

/// Every fragment is whole on the drive that the placement names, each on another.
async fn assert_whole(world: &World, blob: BlobId) {
    let page = world.metadata.placements_page(None, 100).await.unwrap();
    let placed = page.into_iter().find(|placed| placed.blob == blob).unwrap();
    let location = holdfast_erasure::BlobLocation {
        blob,
        len: placed.len,
        placement: placed.placement,
    };
    let drives: BTreeSet<DriveId> = location.fragments().map(|one| one.0).collect();
    assert_eq!(drives.len(), 6);
    for (drive, id) in location.fragments() {
        let check = world.blobs.check_fragment(&location, id.index, drive).await;
        assert_eq!(check, holdfast_erasure::FragmentCheck::Good, "{id}");
    }
}

/// Blobs that can't be helped are more than a round takes, and urgent.
#[tokio::test]
async fn what_can_be_repaired_does_not_wait_for_what_cannot() {
    let world = World::new().await;
    let mut beyond_help = Vec::new();
    for number in 0..3 {
        let blob = world.put(&format!("lost {number}")).await;
        for index in 0..3 {
            let drive = report(&world, blob, index, DebtKind::Missing).await;
            world.store.lose(drive, &fragment(&world, blob, index));
        }
        beyond_help.push(blob);
    }
    let blob = world.put("film").await;
    let drive = report(&world, blob, 1, DebtKind::Missing).await;
    world.store.lose(drive, &fragment(&world, blob, 1));
    let (mut repair, handle) = repairer(&world);
    repair.queue_len = 2;
    rounds(&mut repair).await;
    assert_whole(&world, blob).await;
    assert_eq!(handle.status().repaired_fragments, 1);
    assert_eq!(debts(&world).await, 3 * beyond_help.len() as u64);
}

#[tokio::test]
async fn what_a_drive_lost_is_written_there_again() {
    let world = World::new().await;
    let blob = world.put("film").await;
    let drive = report(&world, blob, 1, DebtKind::Missing).await;
    world.store.lose(drive, &fragment(&world, blob, 1));
    let (mut repair, handle) = repairer(&world);
    rounds(&mut repair).await;
    assert_whole(&world, blob).await;
    let status = handle.status();
    assert_eq!((status.repaired_fragments, status.found_well), (1, 0));
    assert_eq!((status.repaired_bytes, status.remaining_bytes), (25_000, 0));
    assert_eq!(debts(&world).await, 0);
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_whole_after_all_is_settled_without_a_copy() {
    let world = World::new().await;
    add_drive(&world);
    let blob = world.put("film").await;
    let before = drives_of(&world, blob).await;
    report(&world, blob, 0, DebtKind::Missing).await;
    report(&world, blob, 5, DebtKind::Corrupt).await;
    let (mut repair, handle) = repairer(&world);
    rounds(&mut repair).await;
    assert_eq!(drives_of(&world, blob).await, before);
    let status = handle.status();
    assert_eq!((status.repaired_fragments, status.found_well), (0, 2));
    assert_eq!(debts(&world).await, 0);
}

#[tokio::test]
async fn a_rotten_fragment_goes_to_another_drive_and_is_deleted_later() {
    let world = World::new().await;
    let blob = world.put("film").await;
    add_drive(&world);
    let drive = report(&world, blob, 2, DebtKind::Corrupt).await;
    let id = fragment(&world, blob, 2);
    world.store.corrupt_block(drive, &id, 0);
    let (mut repair, _) = repairer(&world);
    rounds(&mut repair).await;
    assert_whole(&world, blob).await;
    assert!(!drives_of(&world, blob).await.contains(&drive));
    assert_eq!(world.fragments(blob).await, 7, "the old one has its grace");
    world.clock.advance_ms(HOUR_MS);
    rounds(&mut repair).await;
    assert_eq!(world.fragments(blob).await, 6);
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
    assert_whole(&world, blob).await;
}

#[tokio::test]
async fn with_no_other_drive_a_rotten_one_is_replaced_only_if_the_others_are_well() {
    let world = World::new().await;
    let blob = world.put("film").await;
    let drive = report(&world, blob, 2, DebtKind::Corrupt).await;
    let id = fragment(&world, blob, 2);
    world.store.corrupt_block(drive, &id, 0);
    let others = drives_of(&world, blob).await;
    for other in [0, 1] {
        world
            .store
            .set_state(others[other], DriveState::Missing, "pulled out");
    }
    // Only three others can be read: nothing is deleted.
    let (mut repair, handle) = repairer(&world);
    rounds(&mut repair).await;
    assert_eq!(world.store.list(drive, None, 10).await.unwrap(), [id]);
    assert_eq!((debts(&world).await, handle.status().blocked), (1, 1));
    assert_eq!(*handle.status().by_spares.keys().next().unwrap(), -1);
    for other in [0, 1] {
        world.store.set_state(others[other], DriveState::Online, "");
    }
    rounds(&mut repair).await;
    assert_whole(&world, blob).await;
    assert_eq!(drives_of(&world, blob).await, others);
    assert_eq!(debts(&world).await, 0);
}

#[tokio::test]
async fn what_two_lost_drives_held_is_made_anew_and_then_two_others_may_go() {
    let world = World::new().await;
    let blobs = [
        world.put("a").await,
        world.put("b").await,
        world.put("c").await,
    ];
    // Chosen first: drives are in the order of their ids, and a new one may come anywhere.
    let gone = [world.drive(1), world.drive(4)];
    add_drive(&world);
    add_drive(&world);
    for drive in gone {
        world.store.set_state(drive, DriveState::Missing, "wiped");
    }
    let mut lost = LostDrives::new(
        world.metadata.clone(),
        Arc::new(world.store.clone()),
        GONE_AFTER,
    );
    rounds(&mut lost).await;
    assert_eq!(debts(&world).await, 0, "it may come back");
    tokio::time::sleep(GONE_AFTER).await;
    rounds(&mut lost).await;
    let owed = debts(&world).await;
    assert!(owed > 0);
    let (mut repair, handle) = repairer(&world);
    rounds(&mut repair).await;
    assert_eq!(handle.status().repaired_fragments, owed);
    for blob in blobs {
        assert_whole(&world, blob).await;
    }
    // What lies on a lost drive waits for it; when it is back it is surplus, and goes.
    world.clock.advance_ms(HOUR_MS);
    rounds(&mut repair).await;
    assert_eq!(world.metadata.stray_count().await.unwrap(), owed);
    for drive in gone {
        world.store.set_state(drive, DriveState::Online, "");
    }
    rounds(&mut repair).await;
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
    for blob in blobs {
        assert_eq!(world.fragments(blob).await, 6);
        assert_whole(&world, blob).await;
    }
}

#[tokio::test]
async fn a_blob_deleted_during_its_repair_leaves_nothing() {
    let world = World::new().await;
    let blob = world.put("film").await;
    let new = add_drive(&world);
    let drive = report(&world, blob, 3, DebtKind::Missing).await;
    world.store.set_state(drive, DriveState::Missing, "away");
    let (mut repair, _) = repairer(&world);
    // The walk has found it; then it is deleted and swept.
    assert_eq!(repair.work().await.unwrap(), Progress::Busy);
    world.delete("film").await;
    world.clock.advance_ms(HOUR_MS);
    world.store.set_state(drive, DriveState::Online, "");
    let mut sweeper = Sweeper::new(
        world.metadata.clone(),
        world.blobs.clone(),
        world.region.clone(),
    );
    rounds(&mut sweeper).await;
    rounds(&mut repair).await;
    assert_eq!((world.fragments(blob).await, debts(&world).await), (0, 0));
    assert!(world.store.list(new, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_repair_that_died_after_its_write_is_finished_by_the_next() {
    let world = World::new().await;
    let blob = world.put("film").await;
    let new = add_drive(&world);
    let drive = report(&world, blob, 3, DebtKind::Missing).await;
    world.store.set_state(drive, DriveState::Missing, "away");
    // As far as one got: reserved and written, not settled.
    let page = world.metadata.owed_page(None, 100).await.unwrap();
    let location = holdfast_erasure::BlobLocation {
        blob,
        len: page[0].blob.len,
        placement: page[0].blob.placement.clone(),
    };
    let targets = vec![(FragmentIndex(3), new)];
    let reserve = holdfast_metadata::repair::ReserveTargets {
        blob,
        region: world.region.clone(),
        generation: Generation(0),
        targets: targets.clone(),
    };
    world.metadata.reserve_targets(reserve).await.unwrap();
    world.blobs.rebuild(location, &targets).await.unwrap();
    world.clock.advance_ms(2 * HOUR_MS);
    let (mut repair, handle) = repairer(&world);
    rounds(&mut repair).await;
    assert_eq!(handle.status().repaired_fragments, 1);
    assert_eq!(drives_of(&world, blob).await[3], new);
    assert_whole(&world, blob).await;
}

#[tokio::test]
async fn what_could_not_be_written_stays_owed() {
    let world = World::new().await;
    let blob = world.put("film").await;
    let drive = report(&world, blob, 1, DebtKind::Missing).await;
    world.store.lose(drive, &fragment(&world, blob, 1));
    let before = drives_of(&world, blob).await;
    let faults = MemoryFaults {
        writes_fail_after: Some(0),
        ..MemoryFaults::default()
    };
    world.store.set_faults(drive, faults);
    let (mut repair, handle) = repairer(&world);
    rounds(&mut repair).await;
    assert_eq!((debts(&world).await, handle.status().blocked), (1, 1));
    assert_eq!(drives_of(&world, blob).await, before);
    world.store.set_faults(drive, MemoryFaults::default());
    rounds(&mut repair).await;
    assert_eq!(debts(&world).await, 0);
    assert_whole(&world, blob).await;
}

#[tokio::test]
async fn what_was_repaired_is_counted_again_soon() {
    let world = World::new().await;
    let blob = world.put("film").await;
    report(&world, blob, 1, DebtKind::Missing).await;
    let (mut repair, handle) = repairer(&world);
    let (census, risk) = crate::Census::new(
        world.metadata.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    );
    let mut census = census.again_on(handle.changes());
    rounds(&mut census).await;
    assert_eq!(risk.borrow().as_ref().unwrap().at_risk(), 1);
    rounds(&mut repair).await;
    // Long before the count grows old.
    let soon = Duration::from_secs(25);
    tokio::time::timeout(soon, census.wait()).await.unwrap();
    rounds(&mut census).await;
    assert_eq!(risk.borrow().as_ref().unwrap().at_risk(), 0);
    let nothing_new = tokio::time::timeout(Duration::from_secs(3), census.wait()).await;
    assert!(nothing_new.is_err(), "nothing has changed since");
}
