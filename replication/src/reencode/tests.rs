//! Re-encodes over real metadata and drives in memory: who is moved, who is not, what makes a job
//! wait, and what is left when it dies anywhere.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures::TryStreamExt as _;
use holdfast_erasure::{BlobLocation, FragmentCheck, PutSpec};
use holdfast_metadata::drives::DriveDuty;
use holdfast_metadata::model::{BlobPlacement, PolicyRule};
use holdfast_metadata::reencode::{BeginMove, Begun};
use holdfast_storage_node::memory::MemoryFaults;
use holdfast_types::{
    BlobId, Clock, FailureDomain, FragmentIndex, FragmentStore as _, Generation, SizeRule,
};

use super::*;
use crate::moves::location_of;
use crate::repair::Repairer;
use crate::sweep::Sweeper;
use crate::testing::{HOUR_MS, World};

fn reencoder(world: &World) -> Reencoder {
    let region = world.region.clone();
    Reencoder::new(world.metadata.clone(), world.blobs.clone(), region).0
}

/// Gives the bucket's policy another layout, with nothing kept otherwise.
async fn keep(world: &World, layout: &str, rules: &[(&str, &str)]) {
    let mut policy = world.metadata.policy("default").await.unwrap().unwrap();
    policy.generation += 1;
    policy.rule = SizeRule {
        copies_up_to_bytes: 0,
        ..SizeRule::new(layout.parse().unwrap())
    };
    let rule = |(prefix, layout): &(&str, &str)| PolicyRule {
        prefix: (*prefix).to_owned(),
        at_least_bytes: 0,
        below_bytes: None,
        layout: layout.parse().unwrap(),
    };
    policy.rules = rules.iter().map(rule).collect();
    world.metadata.update_policy(policy).await.unwrap();
}

async fn start(world: &World, prefix: &str, kind: JobKind) {
    let start = world
        .metadata
        .start_reencode("films", prefix.as_bytes(), kind);
    start.await.unwrap();
}

/// Steps until there is no job.
async fn to_its_end(worker: &mut Reencoder) {
    while worker.work().await.unwrap() == Progress::Busy {}
}

async fn job(world: &World) -> ReencodeJob {
    world.metadata.reencodes(1).await.unwrap().remove(0)
}

async fn placed(world: &World, blob: BlobId) -> BlobPlacement {
    let page = world.metadata.placements_page(None, 1000).await.unwrap();
    let mut placed: Vec<_> = page.into_iter().filter(|p| p.blob == blob).collect();
    assert_eq!(placed.len(), 1);
    placed.remove(0)
}

async fn layout_of(world: &World, blob: BlobId) -> String {
    placed(world, blob).await.placement.layout.to_string()
}

async fn assert_reads(world: &World, blob: BlobId) {
    let placed = placed(world, blob).await;
    let location = BlobLocation {
        blob,
        len: placed.len,
        placement: placed.placement,
    };
    let read = world.blobs.get(location, 0..placed.len);
    let read: Vec<Bytes> = read.try_collect().await.unwrap();
    assert!(read.concat() == vec![7; 100_000]);
}

/// Lets every grace pass and sweeps; each blob must then have its own fragments and no others.
async fn assert_clean(world: &World, blobs: &[BlobId]) {
    world.clock.advance_ms(3 * HOUR_MS);
    let (mut repairer, _) = Repairer::new(
        world.metadata.clone(),
        world.blobs.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    );
    while repairer.work().await.unwrap() == Progress::Busy {}
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
    for blob in blobs {
        let placed = placed(world, *blob).await;
        let mut lying = Vec::new();
        for drive in world.store.drives() {
            let found = world.store.list(drive.id, None, 1000).await.unwrap();
            let found = found.into_iter().filter(|id| id.blob == *blob);
            lying.extend(found.map(|id| (drive.id, id.generation, id.index.0)));
        }
        let wanted = (0..).zip(&placed.placement.drives);
        let mut wanted: Vec<_> = wanted
            .map(|(index, drive)| (drive.unwrap(), placed.placement.generation, index))
            .collect();
        wanted.sort_unstable();
        lying.sort_unstable();
        assert_eq!(lying, wanted);
    }
}

#[tokio::test]
async fn round_trip_through_every_kind_of_layout() {
    let world = World::new().await;
    let mut blobs = Vec::new();
    for key in ["a", "b", "c"] {
        blobs.push(world.put(key).await);
    }
    let version = world.version("b").await;
    let mut worker = reencoder(&world);
    for layout in ["copies:3", "2+1", "5+0", "copies:1", "3+3/8192", "4+2"] {
        keep(&world, layout, &[]).await;
        start(&world, "", JobKind::DryRun).await;
        to_its_end(&mut worker).await;
        let counted = job(&world).await;
        assert_eq!(counted.state, JobState::Done);
        assert_eq!(counted.progress.planned_in_all().blobs, 3);
        assert_eq!(counted.progress.moved.blobs, 0, "a dry run moves nothing");
        start(&world, "", JobKind::Reencode).await;
        to_its_end(&mut worker).await;
        let ended = job(&world).await;
        assert_eq!(ended.state, JobState::Done);
        assert_eq!(ended.progress.moved.blobs, 3);
        assert_eq!(ended.progress.settled.bytes, 300_000);
        assert_eq!(ended.progress.failed.blobs, 0);
        for blob in &blobs {
            assert_eq!(layout_of(&world, *blob).await, layout);
            assert_reads(&world, *blob).await;
        }
        assert_clean(&world, &blobs).await;
    }
    assert_eq!(
        world.version("b").await,
        version,
        "the version is as it was"
    );
    start(&world, "", JobKind::Reencode).await;
    to_its_end(&mut worker).await;
    assert_eq!(job(&world).await.progress.moved.blobs, 0, "all is well");
}

#[tokio::test]
async fn what_two_keys_share_is_moved_once_a_job() {
    let world = World::new().await;
    let shared = world.put("a/film").await;
    world.copy("a/film", "b/film").await;
    world.copy("a/film", "a/twin").await;
    let own = world.put("b/own").await;
    keep(&world, "4+2", &[("a/", "copies:2"), ("b/", "copies:3")]).await;
    let mut worker = reencoder(&world);
    start(&world, "", JobKind::Reencode).await;
    to_its_end(&mut worker).await;
    let ended = job(&world).await.progress;
    assert_eq!(ended.moved.blobs, 2, "the first that is met decides");
    assert_eq!(
        ended.planned_in_all().blobs,
        4,
        "each that refers to it counts"
    );
    assert_eq!(ended.settled.blobs, 4);
    assert_eq!(ended.remaining_bytes(), 0);
    assert_eq!(layout_of(&world, shared).await, "copies:2");
    assert_eq!(layout_of(&world, own).await, "copies:3");
    // Who asks last has the last word.
    start(&world, "b/", JobKind::Reencode).await;
    to_its_end(&mut worker).await;
    assert_eq!(job(&world).await.progress.moved.blobs, 1);
    assert_eq!(layout_of(&world, shared).await, "copies:3");
    assert_clean(&world, &[shared, own]).await;
}

#[tokio::test]
async fn too_few_drives_make_a_job_wait() {
    let world = World::new().await;
    let blob = world.put("a").await;
    keep(&world, "5+2", &[]).await;
    let mut worker = reencoder(&world);
    start(&world, "", JobKind::Reencode).await;
    let waits = loop {
        match worker.work().await {
            Ok(Progress::Busy) => {}
            Ok(Progress::Idle) => panic!("it has not ended"),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(waits, "5+2 needs 7 drives, 6 can take it now");
    let waiting = job(&world).await;
    assert_eq!(waiting.state, JobState::Running);
    assert_eq!(waiting.progress.waiting_for, waits, "the operator is told");
    assert_eq!(waiting.progress.failed.blobs, 0);

    let seventh = holdfast_types::Drive {
        id: holdfast_types::DriveId::generate(),
        ..world.store.drives().remove(0)
    };
    world.store.add_drive(seventh);
    to_its_end(&mut worker).await;
    let ended = job(&world).await;
    assert_eq!(ended.state, JobState::Done);
    assert_eq!(
        (
            ended.progress.moved.blobs,
            ended.progress.waiting_for.as_str()
        ),
        (1, "")
    );
    assert_eq!(layout_of(&world, blob).await, "5+2");
    assert_reads(&world, blob).await;
    assert_clean(&world, &[blob]).await;
}

#[tokio::test]
async fn a_blob_that_can_not_be_read_is_named_and_passed_over() {
    let world = World::new().await;
    let (lost, other) = (world.put("lost").await, world.put("other").await);
    let at = placed(&world, lost).await;
    let location = BlobLocation {
        blob: lost,
        len: at.len,
        placement: at.placement.clone(),
    };
    for (drive, id) in location.fragments().take(3) {
        assert!(world.store.lose(drive, &id));
    }
    keep(&world, "copies:3", &[]).await;
    let mut worker = reencoder(&world);
    start(&world, "", JobKind::Reencode).await;
    let mut failures = 0;
    loop {
        match worker.work().await {
            Ok(Progress::Busy) => {}
            Ok(Progress::Idle) => break,
            Err(_) => failures += 1,
        }
        assert!(failures < 10, "it goes on");
    }
    let ended = job(&world).await;
    assert_eq!(ended.state, JobState::Done);
    assert_eq!(
        (ended.progress.moved.blobs, ended.progress.failed.blobs),
        (1, 1)
    );
    assert_eq!(ended.progress.errors[0].key, "lost");
    assert!(ended.progress.errors[0].reason.contains("4 are needed"));
    assert_eq!(
        layout_of(&world, lost).await,
        "4+2",
        "what is left of it stays"
    );
    assert_eq!(layout_of(&world, other).await, "copies:3");
    assert_eq!(placed(&world, lost).await.placement, at.placement);
}

#[tokio::test]
async fn a_drive_that_fails_meanwhile_is_owed_its_fragment() {
    let world = World::new().await;
    let blob = world.put("a").await;
    keep(&world, "3+3", &[]).await;
    let mut worker = reencoder(&world);
    start(&world, "", JobKind::Reencode).await;
    // Its fragment is durable, but nobody hears of it.
    let faults = MemoryFaults {
        lose_replies: true,
        ..MemoryFaults::default()
    };
    world.store.set_faults(world.drive(2), faults);
    to_its_end(&mut worker).await;
    assert_eq!(
        job(&world).await.progress.moved.blobs,
        1,
        "the quorum is five"
    );
    let now = placed(&world, blob).await.placement;
    assert_eq!(now.drives.iter().flatten().count(), 5);
    assert_reads(&world, blob).await;
    let owed = world.metadata.owed_page(None, 100).await.unwrap();
    assert_eq!(owed[0].owed.len(), 1);
    world
        .store
        .set_faults(world.drive(2), MemoryFaults::default());
    assert_clean(&world, &[blob]).await;
}

#[tokio::test]
async fn a_deleted_object_is_passed_over_and_leaves_nothing() {
    let world = World::new().await;
    let blob = world.put("a").await;
    keep(&world, "copies:3", &[]).await;
    let page = world
        .metadata
        .met_blobs(world.version("a").await.bucket, b"", None, 10);
    let met = page.await.unwrap().remove(0);
    world.delete("a").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let region = world.region.clone();
    let mut sweeper = Sweeper::new(world.metadata.clone(), world.blobs.clone(), region);
    while sweeper.work().await.unwrap() == Progress::Busy {}
    assert_eq!(world.fragments(blob).await, 0);
    let wanted = Wanted {
        met,
        layout: "copies:3".parse().unwrap(),
        policy: world.metadata.policy("default").await.unwrap().unwrap(),
    };
    let one = Move {
        metadata: &world.metadata,
        blobs: &world.blobs,
        region: &world.region,
        job: 1,
    };
    assert_eq!(one.run(&wanted).await.unwrap(), Outcome::Passed);
    assert_eq!(world.fragments(blob).await, 0, "nothing was written for it");
}

/// A drive is removed when the new generation is written and not yet current: the old one is whole.
#[tokio::test]
async fn what_is_refused_at_the_end_leaves_the_old_generation_whole() {
    let world = World::new().await;
    let blob = world.put("a").await;
    let before = placed(&world, blob).await;
    let spec = PutSpec {
        blob,
        len: before.len,
        layout: "copies:3".parse().unwrap(),
        region: world.region.clone(),
        generation: Generation(1),
        protect: FailureDomain::Drive,
        quorum: None,
    };
    let drives = world.blobs.choose(&spec).unwrap();
    let targets = (0..).map(FragmentIndex).zip(drives.iter().flatten());
    let begin = BeginMove {
        blob,
        region: world.region.clone(),
        from: Generation(0),
        targets: targets.map(|(index, drive)| (index, *drive)).collect(),
    };
    let begun = world.metadata.begin_move(begin).await.unwrap();
    assert_eq!(begun, Begun::Generation(Generation(1)));
    let body = world
        .blobs
        .get(location_of(&before), 0..before.len)
        .map_err(Box::new);
    let receipt = world.blobs.put_on(spec, &drives, body).await.unwrap();
    let all = [DriveDuty::InUse];
    let removed = world
        .metadata
        .set_drive_duty(drives[0].unwrap(), &all, DriveDuty::Removed);
    assert!(removed.await.unwrap());
    let one = Move {
        metadata: &world.metadata,
        blobs: &world.blobs,
        region: &world.region,
        job: 1,
    };
    let outcome = one.switch(&before, receipt).await.unwrap();
    assert!(matches!(outcome, Outcome::Blocked(_)), "{outcome:?}");
    assert_eq!(placed(&world, blob).await, before);
    let location = location_of(&before);
    for (drive, id) in location.fragments() {
        let check = world.blobs.check_fragment(&location, id.index, drive);
        assert_eq!(check.await, FragmentCheck::Good, "{id}");
    }
}

/// Polls the worker's step so often, and drops it where it is then.
async fn cut_after(worker: &mut Reencoder, polls: u32) -> bool {
    let mut step = std::pin::pin!(worker.work());
    for _ in 0..polls {
        let mut ready = None;
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = step.as_mut().poll(context) {
                ready = Some(result);
            }
            Poll::Ready(())
        })
        .await;
        if ready.is_some() {
            return false;
        }
        // What was polled has woken others: the metadata's writer, the fragments' tasks.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_leaves_a_job_that_another_ends() {
    let world = World::new().await;
    let mut blobs = Vec::new();
    for key in ["a", "b"] {
        blobs.push(world.put(key).await);
    }
    let mut cuts = 0;
    for polls in 1..=24 {
        let layout = ["copies:3", "4+2"][polls as usize % 2];
        keep(&world, layout, &[]).await;
        start(&world, "", JobKind::Reencode).await;
        loop {
            let mut dies = reencoder(&world);
            if cut_after(&mut dies, polls).await {
                cuts += 1;
            }
            // Its lease ends, and somebody else goes on.
            world.clock.advance_ms(LEASE_MS);
            let mut next = reencoder(&world);
            next.work().await.unwrap();
            world.clock.advance_ms(LEASE_MS);
            if job(&world).await.state == JobState::Done {
                break;
            }
        }
        for blob in &blobs {
            assert_eq!(layout_of(&world, *blob).await, layout, "{polls} polls");
            assert_reads(&world, *blob).await;
        }
        assert_eq!(job(&world).await.progress.failed.blobs, 0);
        assert_clean(&world, &blobs).await;
    }
    assert!(cuts > 20, "{cuts}");
}
