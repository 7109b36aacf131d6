//! Draining over real metadata and drives in memory.

use std::collections::BTreeSet;

use holdfast_metadata::drives::DriveDuty;
use holdfast_types::DriveState;

use super::*;
use crate::repair::{RepairHandle, Repairer};
use crate::testing::{HOUR_MS, World};

fn drainer(world: &World) -> (Drainer, DrainHandle) {
    Drainer::new(
        world.metadata.clone(),
        world.blobs.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    )
}

fn repairer(world: &World) -> (Repairer, RepairHandle) {
    Repairer::new(
        world.metadata.clone(),
        world.blobs.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    )
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

async fn set_duty(world: &World, drive: DriveId, to: DriveDuty) {
    let from = [DriveDuty::InUse, DriveDuty::Draining];
    world
        .metadata
        .upsert_drives(world.store.drives())
        .await
        .unwrap();
    assert!(
        world
            .metadata
            .set_drive_duty(drive, &from, to)
            .await
            .unwrap()
    );
    let state = match to {
        DriveDuty::Draining => DriveState::Draining,
        _ => DriveState::Online,
    };
    world.store.set_state(drive, state, "");
}

async fn rounds(worker: &mut impl Worker) {
    for _ in 0..1000 {
        if worker.work().await.unwrap() == Progress::Idle {
            return;
        }
    }
    panic!("it does not come to an end");
}

async fn on(world: &World, drive: DriveId) -> u64 {
    world.metadata.placed_on(drive).await.unwrap().fragments
}

/// Every fragment of every blob is whole where its placement says, each on a drive of its own.
async fn assert_whole(world: &World) {
    for placed in world.metadata.placements_page(None, 1000).await.unwrap() {
        let location = location_of(&placed);
        let drives: BTreeSet<DriveId> = location.fragments().map(|one| one.0).collect();
        assert_eq!(drives.len(), 6);
        for (drive, id) in location.fragments() {
            let check = world.blobs.check_fragment(&location, id.index, drive).await;
            assert_eq!(check, holdfast_erasure::FragmentCheck::Good, "{id}");
        }
    }
}

#[tokio::test]
async fn a_drive_is_emptied_by_copies_and_gets_nothing_new() {
    let world = World::new().await;
    let spare = add_drive(&world);
    let old = world.drive(0);
    let old = if old == spare { world.drive(1) } else { old };
    let mut blobs = Vec::new();
    for number in 0..12 {
        blobs.push(world.put(&format!("film {number}")).await);
    }
    let before = on(&world, old).await;
    assert!(before > 0);
    set_duty(&world, old, DriveDuty::Draining).await;
    let (mut drain, handle) = drainer(&world);
    rounds(&mut drain).await;
    let status = handle.all().remove(&old).unwrap();
    assert!(status.is_drained(), "{status:?}");
    assert_eq!((status.first.fragments, status.left.fragments), (before, 0));
    assert_eq!(drain.advance().map(|a| a.done), Some(before * 25_000));
    assert_eq!(on(&world, old).await, 0);
    assert_whole(&world).await;
    let owed = world.metadata.totals().await.unwrap().debts;
    assert_eq!(owed, 0, "nothing was at risk meanwhile");

    // A write that had chosen the drive before is published late: it is found.
    world.store.set_state(old, DriveState::Online, "");
    let mut late = 0;
    while on(&world, old).await == 0 {
        world.put(&format!("late {late}")).await;
        late += 1;
    }
    world.store.set_state(old, DriveState::Draining, "");
    rounds(&mut drain).await;
    assert_eq!(on(&world, old).await, 0);
    for number in 0..6 {
        world.put(&format!("new {number}")).await;
    }
    assert_eq!(on(&world, old).await, 0);
    assert_whole(&world).await;

    // After the grace what was copied away is deleted there.
    world.clock.advance_ms(2 * HOUR_MS);
    rounds(&mut repairer(&world).0).await;
    let left = world.store.list(old, None, 1000).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    assert_whole(&world).await;
}

#[tokio::test]
async fn without_a_place_to_go_it_says_so_and_goes_on_when_there_is_one() {
    let world = World::new().await;
    world.put("film").await;
    let old = world.drive(2);
    set_duty(&world, old, DriveDuty::Draining).await;
    let (mut drain, handle) = drainer(&world);
    rounds(&mut drain).await;
    let status = handle.all().remove(&old).unwrap();
    assert!(!status.is_drained());
    assert!(status.obstacle.contains("no drive can take"), "{status:?}");
    assert_whole(&world).await;
    add_drive(&world);
    rounds(&mut drain).await;
    assert!(handle.all().remove(&old).unwrap().is_drained());
    assert_whole(&world).await;

    set_duty(&world, old, DriveDuty::InUse).await;
    rounds(&mut drain).await;
    assert!(handle.all().is_empty());
}

#[tokio::test]
async fn a_drive_that_can_not_be_read_is_emptied_from_the_others() {
    let world = World::new().await;
    add_drive(&world);
    for number in 0..5 {
        world.put(&format!("film {number}")).await;
    }
    let old = world.drive(3);
    set_duty(&world, old, DriveDuty::Draining).await;
    world.store.set_state(old, DriveState::Missing, "pulled");
    let (mut drain, handle) = drainer(&world);
    rounds(&mut drain).await;
    assert!(handle.all().remove(&old).unwrap().is_drained());
    assert_whole(&world).await;
}

#[tokio::test]
async fn what_is_rotten_on_it_is_made_anew_elsewhere() {
    let world = World::new().await;
    add_drive(&world);
    let blob = world.put("film").await;
    let placed = world.metadata.placement(blob, Generation(0)).await.unwrap();
    let location = location_of(&placed.unwrap());
    let (old, id) = location.fragments().nth(4).unwrap();
    assert!(world.store.corrupt_block(old, &id, 0));
    set_duty(&world, old, DriveDuty::Draining).await;
    let (mut drain, handle) = drainer(&world);
    rounds(&mut drain).await;
    assert_eq!(
        world.metadata.totals().await.unwrap().debts,
        1,
        "it is owed now"
    );
    rounds(&mut repairer(&world).0).await;
    rounds(&mut drain).await;
    assert!(handle.all().remove(&old).unwrap().is_drained());
    assert_whole(&world).await;
}
