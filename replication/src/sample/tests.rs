//! Every write is read again three times in its time, and damage in between is told and owed.

use std::sync::Arc;

use holdfast_metadata::samples::{SampleRule, Share};
use holdfast_types::{DriveState, FragmentIndex};

use super::*;
use crate::testing::{HOUR_MS, World};

const RULE: SampleRule = SampleRule {
    share: Share::ALL,
    after_seconds: [60, 3600, 86_400],
};

/// Looks until nothing is due.
async fn look_at_all(worker: &mut Sampler) -> SampleReport {
    while worker.work().await.unwrap() == Progress::Busy {}
    *worker.report.borrow()
}

fn sampler(world: &World) -> Sampler {
    Sampler::new(
        world.metadata.clone(),
        world.blobs.clone(),
        world.region.clone(),
    )
    .0
}

#[tokio::test]
async fn a_write_is_read_again_after_a_minute_an_hour_and_a_day() {
    let world = World::sampling(RULE).await;
    world.put("one").await;
    world.put("two").await;
    let mut worker = sampler(&world);
    let mut report = look_at_all(&mut worker).await;
    assert_eq!((report.good, report.pending), (0, 2), "none is due");
    for (wait_ms, good, pending) in [
        (59_999, 0, 2),
        (1, 2, 2),
        (HOUR_MS - 60_001, 2, 2),
        (1, 4, 2),
        (24 * HOUR_MS, 6, 0),
        (100 * HOUR_MS, 6, 0),
    ] {
        world.clock.advance_ms(wait_ms);
        report = look_at_all(&mut worker).await;
        assert_eq!((report.good, report.pending), (good, pending), "{wait_ms}");
    }
    assert_eq!(report.failed + report.unreached + report.gone, 0);
}

#[tokio::test]
async fn only_a_share_is_read_again_and_none_where_it_is_nothing() {
    let world = World::sampling(SampleRule {
        share: Share::NONE,
        ..RULE
    })
    .await;
    for number in 0..20 {
        world.put(&format!("{number}")).await;
    }
    assert_eq!(world.metadata.pending_samples().await.unwrap(), 0);
}

#[tokio::test]
async fn damage_between_two_looks_is_told_and_owed() {
    let world = World::sampling(RULE).await;
    let blob = world.put("damaged").await;
    world.put("sound").await;
    let location = {
        let version = world.version("damaged").await;
        let slices = world.metadata.slices(version.uid, 0..1).await.unwrap();
        slices[0].blob.clone()
    };
    let id = |index: u8| FragmentId {
        blob,
        region: world.region.clone(),
        generation: location.placement.generation,
        index: FragmentIndex(index),
    };
    let drive = |index: usize| location.placement.drives[index].unwrap();
    assert!(world.store.lose(drive(1), &id(1)));
    assert!(world.store.corrupt_block(drive(4), &id(4), 0));
    world.clock.advance_ms(60_000);
    let mut worker = sampler(&world);
    let report = look_at_all(&mut worker).await;
    assert_eq!((report.good, report.failed), (1, 1));
    let debts = world.metadata.debts(None, 10).await.unwrap();
    let kinds: Vec<_> = debts.iter().map(|debt| (debt.index.0, debt.kind)).collect();
    assert_eq!(kinds, [(1, DebtKind::Missing), (4, DebtKind::Corrupt)]);
    assert_eq!(report.pending, 2, "it is looked at again all the same");
}

#[tokio::test]
async fn what_is_away_is_not_called_wrong_and_what_is_gone_is_forgotten() {
    let world = World::sampling(RULE).await;
    world.put("here").await;
    world.put("gone").await;
    world.delete("gone").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let mut sweeper = crate::Sweeper::new(
        world.metadata.clone(),
        world.blobs.clone(),
        world.region.clone(),
    );
    while sweeper.work().await.unwrap() == Progress::Busy {}
    let away = world.drive(2);
    world
        .store
        .set_state(away, DriveState::Missing, "pulled out");
    let mut worker = sampler(&world);
    let report = look_at_all(&mut worker).await;
    assert_eq!((report.good, report.failed), (0, 0));
    assert_eq!(
        (report.unreached, report.gone),
        (2, 1),
        "two looks were due"
    );
    assert!(world.metadata.debts(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_workers_leave_one_next_look() {
    let world = World::sampling(RULE).await;
    world.put("one").await;
    world.clock.advance_ms(60_000);
    let sample = world.metadata.due_samples(9).await.unwrap().remove(0);
    let again = Arc::new(sample.clone());
    world.metadata.settle_sample(sample).await.unwrap();
    let again = Arc::unwrap_or_clone(again);
    world.metadata.settle_sample(again).await.unwrap();
    assert_eq!(world.metadata.pending_samples().await.unwrap(), 1);
}
