//! Repairs: what is owed, drives reserved before they are written, debts settled only where the
//! placement still says the same, strays deleted only where nothing needs them; and all of it met
//! by deletes and sweeps in any order.

use holdfast_metadata::command::{GARBAGE_GRACE, ReportDebts, SweepOutcome};
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_metadata::repair::{
    Reservation, ReserveTargets, SettleDebts, Settled, Settlement, Stray, StrayVerdict,
};
use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation};

use super::invariants;
use super::world::{HOUR_MS, World, region};

super::on_both! {
    owed_fragments_come_with_their_blob,
    a_repaired_fragment_moves_and_leaves_a_stray,
    what_has_changed_since_is_not_settled,
    a_late_writer_leaves_a_stray,
    a_doomed_stray_is_never_taken_in,
    repair_delete_and_sweep_come_in_any_order,
}

const GRACE_MS: u64 = GARBAGE_GRACE.as_millis() as u64;

/// A blob of key `key` that lost fragment 2 of drive 2.
async fn damaged(world: &World, key: &str) -> BlobId {
    let put = world.put_of("b", key, 100, "e");
    let blob = put.blob.clone().unwrap().id;
    world.metadata.put_object(put).await.unwrap();
    report(world, blob, 2, DebtKind::Missing).await;
    blob
}

async fn report(world: &World, blob: BlobId, index: u8, kind: DebtKind) {
    let debt = Debt {
        blob,
        region: region(),
        generation: Generation(0),
        index: FragmentIndex(index),
        drive: Some(world.drives[usize::from(index)]),
        kind,
        created_ms: 0,
    };
    let report = ReportDebts { debts: vec![debt] };
    world.metadata.report_debts(report).await.unwrap();
}

async fn reserve(world: &World, blob: BlobId, index: u8, drive: DriveId) -> Reservation {
    let reserve = ReserveTargets {
        blob,
        region: region(),
        generation: Generation(0),
        targets: vec![(FragmentIndex(index), drive)],
    };
    world.metadata.reserve_targets(reserve).await.unwrap()
}

async fn settle(world: &World, blob: BlobId, from: Option<DriveId>, to: DriveId) -> Settlement {
    let settle = SettleDebts {
        blob,
        region: region(),
        generation: Generation(0),
        settled: vec![Settled {
            index: FragmentIndex(2),
            from,
            to,
        }],
    };
    world.metadata.settle_debts(settle).await.unwrap()
}

fn stray(blob: BlobId, drive: DriveId) -> Stray {
    Stray {
        drive,
        blob,
        region: region(),
        generation: Generation(0),
        index: FragmentIndex(2),
    }
}

async fn strays(world: &World, drive: DriveId) -> Vec<Stray> {
    world.metadata.due_strays(drive, None, 10).await.unwrap()
}

async fn judge(world: &World, stray: &Stray) -> StrayVerdict {
    world.metadata.judge_stray(stray.clone()).await.unwrap()
}

async fn drives_of(world: &World, blob: BlobId) -> Vec<Option<DriveId>> {
    let page = world.metadata.placements_page(None, 100).await.unwrap();
    let placed = page.into_iter().find(|placed| placed.blob == blob).unwrap();
    placed.placement.drives
}

async fn owed(world: &World) -> Vec<(BlobId, Vec<(u8, DebtKind)>)> {
    let page = world.metadata.owed_page(None, 1000).await.unwrap();
    page.into_iter()
        .map(|owed| {
            let fragments = owed.owed.iter().map(|one| (one.index.0, one.kind));
            (owed.blob.blob, fragments.collect())
        })
        .collect()
}

async fn owed_fragments_come_with_their_blob(world: World) {
    world.bucket("b").await;
    world.put("b", "whole", 100, "e").await;
    let mut blobs = Vec::new();
    for number in 0..50 {
        let blob = damaged(&world, &format!("k{number}")).await;
        report(&world, blob, 5, DebtKind::Corrupt).await;
        report(&world, blob, 0, DebtKind::Missing).await;
        blobs.push(blob);
    }
    blobs.sort_unstable();
    let expected = vec![
        (0, DebtKind::Missing),
        (2, DebtKind::Missing),
        (5, DebtKind::Corrupt),
    ];
    let mut found = Vec::new();
    let mut after = None;
    loop {
        // The least that a page may be asked for: 96 rows, which is not a number of whole blobs.
        let page = world.metadata.owed_page(after, 97).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.blob.blob);
        for owed in page {
            assert_eq!(owed.blob.len, 100);
            assert_eq!(owed.blob.placement.drives.len(), 6);
            let fragments: Vec<_> = owed.owed.iter().map(|o| (o.index.0, o.kind)).collect();
            assert_eq!(fragments, expected);
            found.push(owed.blob.blob);
        }
    }
    assert_eq!(found, blobs);
}

async fn a_repaired_fragment_moves_and_leaves_a_stray(world: World) {
    world.bucket("b").await;
    let blob = damaged(&world, "k").await;
    let (old, new) = (world.drives[2], DriveId::generate());
    assert_eq!(
        reserve(&world, blob, 2, world.drives[3]).await,
        Reservation::Made(vec![false]),
        "a drive has one fragment of a blob at most"
    );
    let made = Reservation::Made(vec![true]);
    assert_eq!(reserve(&world, blob, 2, new).await, made);
    assert_eq!(reserve(&world, blob, 2, new).await, made, "after a crash");
    assert!(strays(&world, new).await.is_empty(), "not due yet");
    assert_eq!(judge(&world, &stray(blob, new)).await, StrayVerdict::Kept);

    let settled = settle(&world, blob, Some(old), new).await;
    assert_eq!(settled, Settlement::Made(vec![true]));
    assert_eq!(drives_of(&world, blob).await[2], Some(new));
    assert!(owed(&world).await.is_empty());
    assert_eq!(
        judge(&world, &stray(blob, old)).await,
        StrayVerdict::Kept,
        "a slow reader may still be on its way to it"
    );
    world.clock.advance_ms(GRACE_MS);
    assert!(strays(&world, new).await.is_empty(), "it is no stray now");
    let left = stray(blob, old);
    assert_eq!(strays(&world, old).await, std::slice::from_ref(&left));
    assert_eq!(judge(&world, &left).await, StrayVerdict::Doomed);
    assert_eq!(judge(&world, &left).await, StrayVerdict::Doomed, "again");
    world.metadata.forget_stray(left).await.unwrap();
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
    invariants::check(&world).await;
}

async fn what_has_changed_since_is_not_settled(world: World) {
    world.bucket("b").await;
    let blob = damaged(&world, "k").await;
    let (old, new, other) = (world.drives[2], DriveId::generate(), DriveId::generate());
    let refused = Settlement::Made(vec![false]);
    reserve(&world, blob, 2, new).await;
    let wrong = settle(&world, blob, Some(world.drives[3]), new).await;
    assert_eq!(wrong, refused, "the placement says another drive");
    reserve(&world, blob, 1, other).await;
    assert_eq!(
        settle(&world, blob, Some(old), other).await,
        refused,
        "it was reserved for another fragment"
    );
    assert_eq!(drives_of(&world, blob).await[2], Some(old));
    assert_eq!(owed(&world).await.len(), 1, "it is owed still");
    // Found well where it was: nothing was reserved, nothing moves.
    let settled = settle(&world, blob, Some(old), old).await;
    assert_eq!(settled, Settlement::Made(vec![true]));
    assert!(owed(&world).await.is_empty());
    assert_eq!(
        settle(&world, blob, Some(old), new).await,
        Settlement::Made(vec![true]),
        "a second repair that had reserved before moves it, which is as good"
    );
    let after = settle(&world, blob, Some(old), new).await;
    assert_eq!(after, refused, "and once only");
}

async fn a_late_writer_leaves_a_stray(world: World) {
    world.bucket("b").await;
    let (late, new) = (world.drives[2], DriveId::generate());
    let mut blobs = Vec::new();
    for key in ["repaired", "deleted"] {
        let mut put = world.put_of("b", key, 100, "e");
        let blob = put.blob.as_mut().unwrap();
        blob.placement.drives[2] = None;
        blob.debts = vec![(FragmentIndex(2), Some(late))];
        blobs.push(blob.id);
        world.metadata.put_object(put).await.unwrap();
    }
    reserve(&world, blobs[0], 2, new).await;
    let settled = settle(&world, blobs[0], None, new).await;
    assert_eq!(settled, Settlement::Made(vec![true]));
    world.delete("b", "deleted").await;
    world.clock.advance_ms(GRACE_MS);
    for garbage in world.metadata.due_garbage(None, 10).await.unwrap() {
        world
            .metadata
            .begin_sweep(garbage.blob, &region())
            .await
            .unwrap();
        world.metadata.finish_sweep(garbage).await.unwrap();
    }
    world.clock.advance_ms(GRACE_MS);
    let mut expected: Vec<Stray> = blobs.iter().map(|blob| stray(*blob, late)).collect();
    expected.sort_by_key(|stray| stray.blob);
    assert_eq!(strays(&world, late).await, expected);
    for stray in expected {
        assert_eq!(judge(&world, &stray).await, StrayVerdict::Doomed);
    }
}

async fn a_doomed_stray_is_never_taken_in(world: World) {
    world.bucket("b").await;
    let blob = damaged(&world, "k").await;
    let (old, new) = (world.drives[2], DriveId::generate());
    reserve(&world, blob, 2, new).await;
    settle(&world, blob, Some(old), new).await;
    world.clock.advance_ms(GRACE_MS);
    assert_eq!(judge(&world, &stray(blob, old)).await, StrayVerdict::Doomed);
    // The fragment is lost again, and the drive that had it first comes to mind.
    let debt = Debt {
        blob,
        region: region(),
        generation: Generation(0),
        index: FragmentIndex(2),
        drive: Some(new),
        kind: DebtKind::Missing,
        created_ms: 0,
    };
    let report = ReportDebts { debts: vec![debt] };
    world.metadata.report_debts(report).await.unwrap();
    assert_eq!(
        reserve(&world, blob, 2, old).await,
        Reservation::Made(vec![false]),
        "it may be deleted at any moment"
    );
    assert_eq!(
        settle(&world, blob, Some(new), old).await,
        Settlement::Made(vec![false])
    );
    world.metadata.forget_stray(stray(blob, old)).await.unwrap();
    assert_eq!(
        reserve(&world, blob, 2, old).await,
        Reservation::Made(vec![true]),
        "once it is gone it may be written again"
    );
    world.clock.advance_ms(GRACE_MS);
    assert_eq!(
        judge(&world, &stray(blob, old)).await,
        StrayVerdict::Kept,
        "while the fragment is owed it may be the only one"
    );
}

/// The steps of a repair, of a delete and of the sweeps, each actor's in its own order, and all
/// orders of all of them.
async fn repair_delete_and_sweep_come_in_any_order(world: World) {
    const ACTORS: [usize; 4] = [2, 1, 2, 2];
    world.bucket("b").await;
    let mut orders = Vec::new();
    interleave(&mut ACTORS.to_vec(), &mut Vec::new(), &mut orders);
    assert_eq!(orders.len(), 630, "7! / (2! 1! 2! 2!)");
    let (mut moved, mut died) = (0, 0);
    for (number, order) in orders.iter().enumerate() {
        let key = format!("k{number}");
        let blob = damaged(&world, &key).await;
        let (old, new) = (world.drives[2], DriveId::generate());
        // What is on the two drives: a fragment that is deleted or never written is not.
        let mut on_disk = std::collections::BTreeSet::from([old]);
        let mut done = [0_usize; 4];
        let mut verdict = None;
        let mut dead = None;
        let mut garbage = Vec::new();
        for &actor in order {
            match (actor, done[actor]) {
                (0, 0) => {
                    if reserve(&world, blob, 2, new).await == Reservation::Made(vec![true]) {
                        on_disk.insert(new);
                    }
                }
                (0, _) => {
                    if on_disk.contains(&new)
                        && settle(&world, blob, Some(old), new).await
                            == Settlement::Made(vec![true])
                    {
                        moved += 1;
                    }
                }
                (1, _) => {
                    world.delete("b", &key).await;
                    world.clock.advance_ms(GRACE_MS);
                    garbage = world.metadata.due_garbage(None, 10_000).await.unwrap();
                    garbage.retain(|row| row.blob == blob);
                }
                (2, 0) => {
                    dead = match world.metadata.begin_sweep(blob, &region()).await.unwrap() {
                        SweepOutcome::Dead(placements) => Some(placements),
                        _ => None,
                    };
                }
                (2, _) => {
                    if let Some(placements) = dead.take() {
                        died += 1;
                        for drive in placements.iter().flat_map(|p| p.drives.iter().flatten()) {
                            on_disk.remove(drive);
                        }
                        for row in garbage.drain(..) {
                            world.metadata.finish_sweep(row).await.unwrap();
                        }
                    }
                }
                (_, 0) => {
                    world.clock.advance_ms(GRACE_MS);
                    verdict = Some(judge(&world, &stray(blob, new)).await);
                }
                _ => {
                    if verdict == Some(StrayVerdict::Doomed) {
                        on_disk.remove(&new);
                        world.metadata.forget_stray(stray(blob, new)).await.unwrap();
                    }
                }
            }
            done[actor] += 1;
            let live = world.metadata.placements_page(None, 100).await.unwrap();
            if let Some(live) = live.iter().find(|placed| placed.blob == blob) {
                let named = live.placement.drives[2].unwrap();
                assert!(
                    on_disk.contains(&named),
                    "{order:?}: the placement names a drive that has nothing"
                );
            }
        }
        clear(&world, &key, blob, [old, new], &mut on_disk).await;
        assert!(on_disk.is_empty(), "{order:?}: {on_disk:?} is left behind");
        assert_eq!(world.metadata.stray_count().await.unwrap(), 0, "{order:?}");
        assert!(owed(&world).await.is_empty(), "{order:?}");
    }
    assert!(moved > 100 && died > 100, "{moved} {died}");
    invariants::check(&world).await;
}

/// Deletes what is left, sweeps everything, and says what is still on a drive.
async fn clear(
    world: &World,
    key: &str,
    blob: BlobId,
    drives: [DriveId; 2],
    on_disk: &mut std::collections::BTreeSet<DriveId>,
) {
    world.delete("b", key).await;
    world.clock.advance_ms(2 * HOUR_MS);
    for row in world.metadata.due_garbage(None, 100).await.unwrap() {
        let swept = world.metadata.begin_sweep(row.blob, &region()).await;
        if let SweepOutcome::Dead(placements) = swept.unwrap() {
            for drive in placements.iter().flat_map(|p| p.drives.iter().flatten()) {
                on_disk.remove(drive);
            }
            world.metadata.finish_sweep(row).await.unwrap();
        }
    }
    world.clock.advance_ms(2 * HOUR_MS);
    for drive in drives {
        for stray in strays(world, drive).await {
            assert_eq!(stray.blob, blob);
            assert_eq!(judge(world, &stray).await, StrayVerdict::Doomed);
            on_disk.remove(&drive);
            world.metadata.forget_stray(stray).await.unwrap();
        }
    }
}

/// All orders in which actors that have so many steps left can take them.
fn interleave(left: &mut Vec<usize>, so_far: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if left.iter().all(|steps| *steps == 0) {
        all.push(so_far.clone());
        return;
    }
    for actor in 0..left.len() {
        if left[actor] > 0 {
            left[actor] -= 1;
            so_far.push(actor);
            interleave(left, so_far, all);
            so_far.pop();
            left[actor] += 1;
        }
    }
}
