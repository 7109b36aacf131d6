//! What operators want of drives and workers: a drive that is drained or removed gets nothing new,
//! nobody settles on one that was removed meanwhile, and orders outlive the process.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{GARBAGE_GRACE, ReportDebts};
use holdfast_metadata::drives::{DriveDuty, PlacedOn, WorkerOrders};
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_metadata::repair::{
    Reservation, ReserveTargets, SettleDebts, Settled, Settlement, StrayVerdict,
};
use holdfast_types::{BlobId, Drive, DriveId, DriveState, FragmentIndex, Generation};

use super::invariants;
use super::world::{World, region};

super::on_both! {
    a_drive_that_is_drained_gets_nothing_new,
    nobody_settles_on_a_drive_that_was_removed,
    what_a_write_left_elsewhere_is_a_stray,
    orders_are_remembered,
}

const ALL: [DriveDuty; 2] = [DriveDuty::InUse, DriveDuty::Draining];

fn described(id: DriveId) -> Drive {
    Drive {
        id,
        region: region(),
        zone: "z".to_owned(),
        node: "n".to_owned(),
        state: DriveState::Online,
        reason: String::new(),
        path: format!("/d/{id}"),
        capacity_bytes: 1,
        free_bytes: 1,
    }
}

async fn reserve(world: &World, blob: BlobId, drive: DriveId) -> Reservation {
    let reserve = ReserveTargets {
        blob,
        region: region(),
        generation: Generation(0),
        targets: vec![(FragmentIndex(2), drive)],
    };
    world.metadata.reserve_targets(reserve).await.unwrap()
}

async fn settle(world: &World, blob: BlobId, from: DriveId, to: DriveId) -> Settlement {
    let settled = Settled {
        index: FragmentIndex(2),
        from: Some(from),
        to,
    };
    let settle = SettleDebts {
        blob,
        region: region(),
        generation: Generation(0),
        settled: vec![settled],
    };
    world.metadata.settle_debts(settle).await.unwrap()
}

async fn duty(world: &World, drive: DriveId) -> DriveDuty {
    let records = world.metadata.drive_records().await.unwrap();
    let found = records.into_iter().find(|record| record.id == drive);
    found.unwrap().duty
}

async fn put(world: &World, key: &str) -> BlobId {
    let put = world.put_of("b", key, 100, "e");
    let blob = put.blob.as_ref().unwrap().id;
    world.metadata.put_object(put).await.unwrap();
    blob
}

async fn a_drive_that_is_drained_gets_nothing_new(world: World) {
    world.bucket("b").await;
    let (old, new) = (world.drives[2], DriveId::generate());
    let drives = vec![described(old), described(new)];
    world.metadata.upsert_drives(drives).await.unwrap();
    let blob = put(&world, "k").await;
    let on_old = world.metadata.placed_on(old).await.unwrap();
    assert_eq!((on_old.fragments, on_old.bytes > 0), (1, true));

    let set = |drive, from: &'static [DriveDuty], to| {
        let metadata = world.metadata.clone();
        async move { metadata.set_drive_duty(drive, from, to).await }
    };
    assert!(set(new, &ALL, DriveDuty::Draining).await.unwrap());
    assert_eq!(duty(&world, new).await, DriveDuty::Draining);
    let refused = Reservation::Made(vec![false]);
    assert_eq!(reserve(&world, blob, new).await, refused);
    assert!(set(new, &ALL, DriveDuty::InUse).await.unwrap());
    assert_eq!(
        reserve(&world, blob, new).await,
        Reservation::Made(vec![true])
    );

    // What was on the old one moves without ever being owed.
    assert!(set(old, &ALL, DriveDuty::Draining).await.unwrap());
    let moved = settle(&world, blob, old, new).await;
    assert_eq!(moved, Settlement::Made(vec![true]));
    assert_eq!(
        world.metadata.placed_on(old).await.unwrap(),
        PlacedOn::default()
    );
    assert_eq!(world.metadata.placed_on(new).await.unwrap(), on_old);

    assert!(
        set(old, &[DriveDuty::Draining], DriveDuty::Removed)
            .await
            .unwrap()
    );
    assert!(
        !set(old, &ALL, DriveDuty::InUse).await.unwrap(),
        "it is for good"
    );
    let known = world.metadata.drives().await.unwrap();
    assert!(known.iter().all(|drive| drive.id != old));
    assert_eq!(
        world.metadata.stray_count().await.unwrap(),
        0,
        "nobody can delete there"
    );
    let nobody = set(DriveId::generate(), &ALL, DriveDuty::Draining).await;
    assert!(
        matches!(nobody, Err(MetadataError::NotFound(_))),
        "{nobody:?}"
    );
    invariants::check(&world).await;
}

async fn nobody_settles_on_a_drive_that_was_removed(world: World) {
    world.bucket("b").await;
    let (old, new) = (world.drives[2], DriveId::generate());
    let blob = put(&world, "k").await;
    let debt = Debt {
        blob,
        region: region(),
        generation: Generation(0),
        index: FragmentIndex(2),
        drive: Some(old),
        kind: DebtKind::Missing,
        created_ms: 0,
    };
    let report = ReportDebts { debts: vec![debt] };
    world.metadata.report_debts(report).await.unwrap();
    assert_eq!(
        reserve(&world, blob, new).await,
        Reservation::Made(vec![true])
    );
    let gone = world.metadata.set_drive_duty(new, &ALL, DriveDuty::Removed);
    assert!(gone.await.unwrap());
    let refused = Settlement::Made(vec![false]);
    assert_eq!(settle(&world, blob, old, new).await, refused);
    assert_eq!(
        world.metadata.totals().await.unwrap().debts,
        1,
        "it is owed still"
    );

    // What a repair moves away from a removed drive leaves nothing to be deleted there.
    let gone = world.metadata.set_drive_duty(old, &ALL, DriveDuty::Removed);
    assert!(gone.await.unwrap());
    let third = DriveId::generate();
    assert_eq!(
        reserve(&world, blob, third).await,
        Reservation::Made(vec![true])
    );
    let moved = settle(&world, blob, old, third).await;
    assert_eq!(moved, Settlement::Made(vec![true]));
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
    let placed = world.metadata.placement(blob, Generation(0)).await.unwrap();
    assert_eq!(placed.unwrap().placement.drives[2], Some(third));
    let past = world.metadata.placement(blob, Generation(1)).await.unwrap();
    assert!(past.is_none());
    invariants::check(&world).await;
}

async fn what_a_write_left_elsewhere_is_a_stray(world: World) {
    world.bucket("b").await;
    let late = DriveId::generate();
    let mut one = world.put_of("b", "k", 100, "e");
    let blob = one.blob.as_mut().unwrap();
    blob.strays = vec![(FragmentIndex(3), late)];
    world.metadata.put_object(one).await.unwrap();
    assert_eq!(world.metadata.stray_count().await.unwrap(), 1);
    let due = world.metadata.due_strays(late, None, 10).await.unwrap();
    assert!(due.is_empty(), "its writer may still be at it");
    world.clock.advance_ms(GARBAGE_GRACE.as_millis() as u64);
    let due = world.metadata.due_strays(late, None, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    let verdict = world.metadata.judge_stray(due[0].clone()).await.unwrap();
    assert_eq!(verdict, StrayVerdict::Doomed);
    invariants::check(&world).await;
}

async fn orders_are_remembered(world: World) {
    assert!(world.metadata.worker_orders().await.unwrap().is_empty());
    let orders = |name: &str, pace_percent, paused| WorkerOrders {
        name: name.to_owned(),
        pace_percent,
        paused,
    };
    for one in [
        orders("scrub", Some(5), false),
        orders("repair", None, true),
        orders("scrub", Some(7), true),
    ] {
        world.metadata.put_worker_orders(one).await.unwrap();
    }
    assert_eq!(
        world.metadata.worker_orders().await.unwrap(),
        [orders("repair", None, true), orders("scrub", Some(7), true)]
    );
}
