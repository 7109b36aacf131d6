//! A drive is removed while something that had chosen it is under way. Whatever comes after the
//! removal, and after the search for what was on the drive, no fragment is missed in silence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use holdfast_erasure::{BlobLocation, FragmentCheck, Receipt};
use holdfast_metadata::command::{CompleteUpload, CreateUpload, NewBlob, PutPart, WriteCondition};
use holdfast_metadata::model::{Attributes, LockState, OpId, Origin, Part};
use holdfast_metadata::repair::{Reservation, ReserveTargets, SettleDebts, Settled, Settlement};
use holdfast_types::{BlobId, Clock, Drive, DriveState, Generation};

use super::*;
use crate::moves::{Move, Moved, Mover, location_of};
use crate::repair::Repairer;
use crate::testing::{HOUR_MS, World};

fn lost_drives(world: &World) -> LostDrives {
    let store = Arc::new(world.store.clone());
    // Nothing is lost but what is removed.
    LostDrives::new(world.metadata.clone(), store, Duration::MAX)
}

async fn rounds(worker: &mut impl Worker) {
    while worker.work().await.unwrap() == Progress::Busy {}
}

async fn repair(world: &World) {
    let (mut repairer, _) = Repairer::new(
        world.metadata.clone(),
        world.blobs.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    );
    rounds(&mut repairer).await;
}

/// A world with one drive more than fragments, so that one can go.
async fn world_of_seven() -> World {
    let world = World::new().await;
    let seventh = Drive {
        id: DriveId::generate(),
        ..world.store.drives().remove(0)
    };
    world.store.add_drive(seventh);
    let drives = world.store.drives();
    world.metadata.upsert_drives(drives).await.unwrap();
    world
}

/// As `admin drive remove` ends: nobody asks the drive for anything any more.
async fn remove(world: &World, drive: DriveId) {
    let from = [DriveDuty::InUse, DriveDuty::Draining];
    let duty = world
        .metadata
        .set_drive_duty(drive, &from, DriveDuty::Removed);
    assert!(duty.await.unwrap());
    world.store.wipe(drive);
    world.store.set_state(drive, DriveState::Missing, "removed");
}

/// The search for what was on the drive is over, by as many processes as there ever will be, and
/// all time has passed that anybody may have counted on.
async fn search(world: &World) {
    rounds(&mut lost_drives(world)).await;
    world.clock.advance_ms(1000 * HOUR_MS);
}

async fn debts(world: &World) -> u64 {
    world.metadata.totals().await.unwrap().debts
}

/// Everything is owed that is not there, and then is there.
async fn assert_made_whole(world: &World, removed: DriveId) {
    repair(world).await;
    assert_eq!(debts(world).await, 0);
    for placed in world.metadata.placements_page(None, 1000).await.unwrap() {
        let location = location_of(&placed);
        let drives: BTreeSet<DriveId> = location.fragments().map(|one| one.0).collect();
        assert_eq!(drives.len(), 6);
        assert!(!drives.contains(&removed), "{}", placed.blob);
        for (drive, id) in location.fragments() {
            let check = world.blobs.check_fragment(&location, id.index, drive).await;
            assert_eq!(check, FragmentCheck::Good, "{id}");
        }
    }
}

fn first_drive(receipt: &Receipt) -> DriveId {
    receipt.placement.drives[0].unwrap()
}

#[tokio::test]
async fn a_put_that_had_chosen_a_removed_drive_owes_its_fragment() {
    let world = world_of_seven().await;
    let receipt = world.write(BlobId::generate()).await;
    let drive = first_drive(&receipt);
    remove(&world, drive).await;
    search(&world).await;
    world.publish(receipt, "late").await.unwrap();
    assert_eq!(debts(&world).await, 1);
    assert_made_whole(&world, drive).await;
}

#[tokio::test]
async fn a_part_that_had_chosen_a_removed_drive_owes_its_fragment_and_is_completed() {
    let world = world_of_seven().await;
    let upload = world
        .metadata
        .create_upload(CreateUpload {
            bucket: "films".to_owned(),
            key: b"parts".to_vec(),
            attributes: Attributes::default(),
            checksum: None,
            lock: LockState::default(),
        })
        .await
        .unwrap();
    let receipt = world.write(BlobId::generate()).await;
    let drive = first_drive(&receipt);
    remove(&world, drive).await;
    search(&world).await;
    let part: Part = world
        .metadata
        .put_part(PutPart {
            op: OpId::from(receipt.blob),
            upload: upload.id,
            bucket: "films".to_owned(),
            key: b"parts".to_vec(),
            part_number: 1,
            blob: Some(NewBlob {
                id: receipt.blob,
                len: receipt.len,
                seal: None,
                placement: receipt.placement,
                debts: Vec::new(),
                strays: Vec::new(),
            }),
            etag: "e".to_owned(),
            checksum: None,
        })
        .await
        .unwrap();
    let complete = CompleteUpload {
        op: OpId::generate(),
        upload: upload.id,
        bucket: "films".to_owned(),
        key: b"parts".to_vec(),
        parts: vec![(1, part.uid)],
        etag: "e-1".to_owned(),
        checksum: None,
        condition: WriteCondition::default(),
        origin: Origin::default(),
    };
    world.metadata.complete_upload(complete).await.unwrap();
    assert_eq!(debts(&world).await, 1);
    assert_made_whole(&world, drive).await;
}

/// A fragment of a whole blob, and a drive that has none of it.
async fn placed(world: &World) -> (BlobLocation, DriveId, DriveId) {
    let blob = world.put("film").await;
    let placed = world.metadata.placement(blob, Generation(0)).await.unwrap();
    let location = location_of(&placed.unwrap());
    let (from, _) = location.fragments().next().unwrap();
    let used: BTreeSet<DriveId> = location.fragments().map(|one| one.0).collect();
    let drives = world.store.drives();
    let free = drives.iter().find(|drive| !used.contains(&drive.id));
    (location, from, free.unwrap().id)
}

#[tokio::test]
async fn a_repair_never_settles_on_a_drive_that_was_removed() {
    let world = world_of_seven().await;
    let (location, from, to) = placed(&world).await;
    let (blob, index) = (location.blob, FragmentIndex(0));
    let settle = |from: DriveId, to: DriveId| {
        world.metadata.settle_debts(SettleDebts {
            blob,
            region: world.region.clone(),
            generation: Generation(0),
            settled: vec![Settled {
                index,
                from: Some(from),
                to,
            }],
        })
    };
    // It was written and is to be settled when its drive goes.
    let reserve = ReserveTargets {
        blob,
        region: world.region.clone(),
        generation: Generation(0),
        targets: vec![(index, to)],
    };
    let reserved = world.metadata.reserve_targets(reserve).await.unwrap();
    assert_eq!(reserved, Reservation::Made(vec![true]));
    let targets = [(index, to)];
    let rebuilt = world.blobs.rebuild(location.clone(), &targets).await;
    rebuilt.unwrap();
    remove(&world, to).await;
    search(&world).await;
    let refused = Settlement::Made(vec![false]);
    assert_eq!(settle(from, to).await.unwrap(), refused);

    // It was found whole where it was, and the drive goes then: the debt must stay.
    let drive = Drive {
        id: DriveId::generate(),
        ..world.store.drives().remove(0)
    };
    world.store.add_drive(Drive {
        state: DriveState::Online,
        ..drive
    });
    remove(&world, from).await;
    search(&world).await;
    assert_eq!(debts(&world).await, 1);
    assert_eq!(settle(from, from).await.unwrap(), refused);
    assert_eq!(debts(&world).await, 1);
    assert_made_whole(&world, from).await;
}

#[tokio::test]
async fn a_move_to_a_drive_that_was_removed_changes_nothing() {
    let world = world_of_seven().await;
    let (location, from, to) = placed(&world).await;
    remove(&world, to).await;
    search(&world).await;
    let mover = Mover {
        metadata: world.metadata.clone(),
        blobs: world.blobs.clone(),
        store: Arc::new(world.store.clone()),
    };
    let one = Move {
        location,
        index: FragmentIndex(0),
        from,
        to,
    };
    let moved = mover.run(&one).await.unwrap();
    assert!(matches!(moved, Moved::Blocked(_)), "{moved:?}");
    assert_eq!(debts(&world).await, 0);
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
    assert_made_whole(&world, to).await;
}

#[tokio::test]
async fn what_was_on_a_removed_drive_is_found_by_whoever_starts_next_however_late() {
    let world = world_of_seven().await;
    let blobs = [world.put("a").await, world.put("b").await];
    let all = world.metadata.placements_page(None, 10).await.unwrap();
    let shared = all[0].placement.drives.iter().flatten().find(|drive| {
        let named = all[1].placement.drives.iter().flatten();
        named.clone().any(|other| other == *drive)
    });
    let drive = *shared.unwrap();
    remove(&world, drive).await;
    // The process dies at once, and the machine is off for weeks.
    world.clock.advance_ms(1000 * HOUR_MS);
    let mut lost = lost_drives(&world);
    rounds(&mut lost).await;
    assert_eq!(debts(&world).await, blobs.len() as u64);
    assert_eq!(lost.doing(), "no drive is lost", "it looks for it once");
    assert_made_whole(&world, drive).await;
}
