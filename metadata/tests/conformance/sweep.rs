//! Garbage, the sweeper, condemned ids, lost replies, debts, placements.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{
    CondemnOutcome, GARBAGE_GRACE, OUTCOME_KEPT, ReportDebts, Resolved, SweepOutcome,
};
use holdfast_metadata::model::{Debt, DebtKind, Garbage, OpId, Usage};
use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Region};

use super::world::{START_MS, World, delete_of, region};

super::on_both! {
    garbage_waits_for_its_grace,
    a_shared_blob_is_swept_after_its_last_reference,
    the_grace_begins_with_the_last_reference,
    a_dead_blob_never_lives_again,
    condemned_ids_are_never_published,
    a_lost_reply_is_resolved_once_and_for_all,
    old_outcomes_are_forgotten,
    debts_of_a_write_are_recorded_with_it,
    reported_debts_must_fit_the_placement,
    placements_are_paged_in_the_order_of_blobs,
}

const GRACE_MS: u64 = GARBAGE_GRACE.as_millis() as u64;

async fn garbage(world: &World) -> Vec<Garbage> {
    world.metadata.due_garbage(None, 100).await.unwrap()
}

async fn sweep(world: &World, blob: BlobId) -> SweepOutcome {
    world.metadata.begin_sweep(blob, &region()).await.unwrap()
}

async fn garbage_waits_for_its_grace(world: World) {
    world.bucket("b").await;
    let put = world.put_of("b", "k", 100, "e");
    let blob = put.blob.clone().unwrap();
    world.metadata.put_object(put).await.unwrap();
    world.delete("b", "k").await;
    world.clock.advance_ms(GRACE_MS - 1);
    assert!(garbage(&world).await.is_empty());
    assert_eq!(
        sweep(&world, blob.id).await,
        SweepOutcome::Referenced,
        "not due yet"
    );
    world.clock.advance_ms(1);
    let row = Garbage {
        blob: blob.id,
        not_before_ms: START_MS + GRACE_MS,
    };
    assert_eq!(garbage(&world).await, std::slice::from_ref(&row));
    let dead = SweepOutcome::Dead(vec![blob.placement]);
    assert_eq!(sweep(&world, blob.id).await, dead);
    assert_eq!(
        sweep(&world, blob.id).await,
        dead,
        "a sweeper that crashed asks again"
    );
    world.metadata.finish_sweep(row.clone()).await.unwrap();
    assert!(garbage(&world).await.is_empty());
    assert_eq!(sweep(&world, blob.id).await, SweepOutcome::Dead(vec![]));
    world.metadata.finish_sweep(row).await.unwrap();
    assert_eq!(
        sweep(&world, BlobId::generate()).await,
        SweepOutcome::Unknown
    );
    assert_eq!(
        world.metadata.totals().await.unwrap().garbage,
        Usage::default()
    );
}

async fn a_shared_blob_is_swept_after_its_last_reference(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 100, "e").await;
    let source = world.current(&bucket, "k").await.unwrap();
    let blob = world.slices(&source).await[0].blob.blob;
    world.copy(&source, "b", "copy").await.unwrap();
    world.delete("b", "k").await;
    world.clock.advance_ms(GRACE_MS);
    assert_eq!(garbage(&world).await.len(), 1);
    assert_eq!(sweep(&world, blob).await, SweepOutcome::Referenced);
    assert!(
        garbage(&world).await.is_empty(),
        "the row is dropped: the copy's end leaves another"
    );
    let copy = world.current(&bucket, "copy").await.unwrap();
    assert_eq!(world.slices(&copy).await[0].blob.blob, blob);
    world.delete("b", "copy").await;
    world.clock.advance_ms(GRACE_MS);
    assert!(matches!(sweep(&world, blob).await, SweepOutcome::Dead(_)));
}

async fn the_grace_begins_with_the_last_reference(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 100, "e").await;
    let source = world.current(&bucket, "k").await.unwrap();
    let blob = world.slices(&source).await[0].blob.blob;
    world.copy(&source, "b", "copy").await.unwrap();
    world.delete("b", "k").await;
    world.clock.advance_ms(GRACE_MS);
    // The first reference's row is due, but somebody may still be reading through the second.
    world.delete("b", "copy").await;
    assert_eq!(sweep(&world, blob).await, SweepOutcome::Referenced);
    world.clock.advance_ms(GRACE_MS - 1);
    assert_eq!(sweep(&world, blob).await, SweepOutcome::Referenced);
    world.clock.advance_ms(1);
    assert!(matches!(sweep(&world, blob).await, SweepOutcome::Dead(_)));
}

async fn a_dead_blob_never_lives_again(world: World) {
    world.bucket("b").await;
    let put = world.put_of("b", "k", 100, "e");
    let blob = put.blob.clone().unwrap().id;
    world.metadata.put_object(put.clone()).await.unwrap();
    world.delete("b", "k").await;
    world.clock.advance_ms(GRACE_MS);
    assert!(matches!(sweep(&world, blob).await, SweepOutcome::Dead(_)));
    assert_eq!(
        world.metadata.condemn(blob).await.unwrap(),
        CondemnOutcome::Known
    );
    let again = world.metadata.put_object(put).await.unwrap_err();
    assert!(matches!(again, MetadataError::Fenced));
    let row = garbage(&world).await.remove(0);
    world.metadata.finish_sweep(row).await.unwrap();
    let stray = world.metadata.condemn(blob).await.unwrap();
    assert_eq!(
        stray,
        CondemnOutcome::Condemned,
        "what is found now is a stray"
    );
    let resolved = world.metadata.resolve(blob.into()).await.unwrap();
    assert_eq!(resolved, Resolved::Happened, "it was published once");
}

async fn condemned_ids_are_never_published(world: World) {
    let bucket = world.bucket("b").await;
    let put = world.put_of("b", "k", 100, "e");
    let blob = put.blob.clone().unwrap().id;
    for _ in 0..2 {
        assert_eq!(
            world.metadata.condemn(blob).await.unwrap(),
            CondemnOutcome::Condemned
        );
    }
    let fenced = world.metadata.put_object(put).await.unwrap_err();
    assert!(matches!(fenced, MetadataError::Fenced));
    assert!(matches!(
        world.current(&bucket, "k").await,
        Err(MetadataError::NoSuchKey)
    ));
    assert_eq!(sweep(&world, blob).await, SweepOutcome::Unknown);
    let upload = world.upload("b", "k").await;
    let part = world.part_of("b", &upload, 1, 10);
    world
        .metadata
        .condemn(part.blob.clone().unwrap().id)
        .await
        .unwrap();
    let fenced = world.metadata.put_part(part).await.unwrap_err();
    assert!(matches!(fenced, MetadataError::Fenced));
    assert!(
        world
            .metadata
            .parts(upload.id, 0, 10)
            .await
            .unwrap()
            .is_empty()
    );
    world.put("b", "live", 10, "e").await;
    let live = world.current(&bucket, "live").await.unwrap();
    let live = world.slices(&live).await[0].blob.blob;
    assert_eq!(
        world.metadata.condemn(live).await.unwrap(),
        CondemnOutcome::Known
    );
}

async fn a_lost_reply_is_resolved_once_and_for_all(world: World) {
    world.bucket("b").await;
    let resolve = async |op| world.metadata.resolve(op).await.unwrap();
    for len in [0, 10] {
        let happened = world.put_of("b", "k", len, "e");
        world.metadata.put_object(happened.clone()).await.unwrap();
        assert_eq!(resolve(happened.op).await, Resolved::Happened);
        assert_eq!(resolve(happened.op).await, Resolved::Happened);
        let never = world.put_of("b", "k", len, "e");
        assert_eq!(resolve(never.op).await, Resolved::Never);
        assert_eq!(resolve(never.op).await, Resolved::Never);
        let fenced = world.metadata.put_object(never).await.unwrap_err();
        assert!(matches!(fenced, MetadataError::Fenced));
    }
    let delete = delete_of("b", "k", None);
    world.metadata.delete_object(delete.clone()).await.unwrap();
    assert_eq!(resolve(delete.op).await, Resolved::Happened);
}

async fn old_outcomes_are_forgotten(world: World) {
    world.bucket("b").await;
    let put = world.put_of("b", "k", 100, "e");
    world.metadata.put_object(put.clone()).await.unwrap();
    world.put("b", "empty", 0, "e").await;
    world.delete("b", "k").await;
    let stranger = BlobId::generate();
    world.metadata.condemn(stranger).await.unwrap();
    world.clock.advance_ms(GRACE_MS);
    let blob = put.blob.unwrap().id;
    sweep(&world, blob).await;
    let kept = OUTCOME_KEPT.as_millis() as u64;
    world.clock.advance_ms(kept - GRACE_MS - 1);
    assert_eq!(world.metadata.expire_outcomes(100).await.unwrap(), 0);
    world.clock.advance_ms(1);
    // The outcomes of the empty object and the delete, and the condemned id.
    assert_eq!(world.metadata.expire_outcomes(2).await.unwrap(), 3);
    world.clock.advance_ms(kept);
    let unfinished = world.metadata.expire_outcomes(100).await.unwrap();
    assert_eq!(unfinished, 0, "a dead blob with fragments is remembered");
    let row = garbage(&world).await.remove(0);
    world.metadata.finish_sweep(row).await.unwrap();
    assert_eq!(world.metadata.expire_outcomes(100).await.unwrap(), 1);
    assert_eq!(sweep(&world, blob).await, SweepOutcome::Unknown);
    assert_eq!(
        world.metadata.resolve(OpId::from(stranger)).await.unwrap(),
        Resolved::Never
    );
}

fn debt(blob: BlobId, index: u8, drive: Option<DriveId>, kind: DebtKind, at: u64) -> Debt {
    Debt {
        blob,
        region: region(),
        generation: Generation(0),
        index: FragmentIndex(index),
        drive,
        kind,
        created_ms: at,
    }
}

async fn debts_of_a_write_are_recorded_with_it(world: World) {
    world.bucket("b").await;
    let mut put = world.put_of("b", "k", 100, "e");
    let blob = put.blob.as_mut().unwrap();
    blob.placement.drives[1] = None;
    blob.placement.drives[4] = None;
    let meant = DriveId::generate();
    blob.debts = vec![(FragmentIndex(4), None), (FragmentIndex(1), Some(meant))];
    let id = blob.id;
    world.metadata.put_object(put).await.unwrap();
    let expected = [
        debt(id, 1, Some(meant), DebtKind::Unwritten, START_MS),
        debt(id, 4, None, DebtKind::Unwritten, START_MS),
    ];
    assert_eq!(world.metadata.debts(None, 10).await.unwrap(), expected);
    assert_eq!(
        world.metadata.debts(Some(&expected[0]), 10).await.unwrap(),
        expected[1..]
    );
    let totals = world.metadata.totals().await.unwrap();
    assert_eq!((totals.debts, totals.blobs_at_risk), (2, 1));
    world.delete("b", "k").await;
    world.clock.advance_ms(GRACE_MS);
    sweep(&world, id).await;
    let row = garbage(&world).await.remove(0);
    world.metadata.finish_sweep(row).await.unwrap();
    assert!(world.metadata.debts(None, 10).await.unwrap().is_empty());
}

async fn reported_debts_must_fit_the_placement(world: World) {
    world.bucket("b").await;
    let put = world.put_of("b", "k", 100, "e");
    let blob = put.blob.clone().unwrap().id;
    world.metadata.put_object(put).await.unwrap();
    let at = |index: usize| Some(world.drives[index]);
    let good = debt(blob, 2, at(2), DebtKind::Corrupt, START_MS);
    let mut generation = debt(blob, 3, at(3), DebtKind::Missing, 0);
    generation.generation = Generation(1);
    let mut elsewhere = debt(blob, 3, at(3), DebtKind::Missing, 0);
    elsewhere.region = Region::parse("there").unwrap();
    let report = vec![
        good.clone(),
        debt(blob, 3, at(0), DebtKind::Missing, 0),
        debt(blob, 9, at(0), DebtKind::Missing, 0),
        debt(blob, 3, None, DebtKind::Missing, 0),
        debt(BlobId::generate(), 3, at(3), DebtKind::Missing, 0),
        generation,
        elsewhere,
    ];
    for _ in 0..2 {
        let report = ReportDebts {
            debts: report.clone(),
        };
        world.metadata.report_debts(report).await.unwrap();
        assert_eq!(
            world.metadata.debts(None, 10).await.unwrap(),
            std::slice::from_ref(&good)
        );
    }
}

async fn placements_are_paged_in_the_order_of_blobs(world: World) {
    world.bucket("b").await;
    let mut blobs = Vec::new();
    for n in 0..5 {
        let put = world.put_of("b", &format!("k{n}"), 10 + n, "e");
        blobs.push(put.blob.clone().unwrap());
        world.metadata.put_object(put).await.unwrap();
    }
    blobs.sort_by_key(|blob| blob.id);
    world.put("b", "empty", 0, "e").await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = world.metadata.placements_page(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.blob);
        seen.extend(page);
    }
    assert_eq!(seen.len(), 5);
    for (found, blob) in seen.iter().zip(&blobs) {
        assert_eq!((found.blob, found.len), (blob.id, blob.len));
        assert_eq!(found.placement, blob.placement);
    }
}
