//! Re-encode: the walk meets every blob, a job is one worker's at a time, and a new generation is
//! switched to only where the old one is still what it was. How all of this meets deletes, copies,
//! repairs and sweeps is in `reencode_races.rs`.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{GARBAGE_GRACE, ReportDebts};
use holdfast_metadata::inventory::{FoundFragment, FoundVerdict, NoteFound};
use holdfast_metadata::model::{Bucket, Debt, DebtKind};
use holdfast_metadata::reencode::{
    BeginMove, Begun, Cursor, JobKind, JobProgress, JobState, MetBlob, SaveJob, SwitchPlacement,
    Switched,
};
use holdfast_metadata::repair::{SettleDebts, Settled, Stray, StrayVerdict};
use holdfast_types::{BlobId, DriveId, FragmentId, FragmentIndex, Generation, Layout, Placement};
use uuid::Uuid;

use super::invariants;
use super::world::{World, complete_of, region};

super::on_both! {
    the_walk_meets_every_blob_whatever_the_page,
    a_new_generation_takes_the_old_ones_place,
    what_changed_meanwhile_is_not_switched,
    no_attempt_gets_a_generation_twice,
    a_doomed_fragment_is_never_switched_to,
    what_is_owed_goes_over_to_the_new_generation,
    a_fragment_of_a_past_generation_is_noted_and_so_is_one_of_a_lost_future,
    a_bucket_has_one_job_at_a_time,
    a_job_is_one_workers_until_its_lease_ends,
}

const GRACE_MS: u64 = GARBAGE_GRACE.as_millis() as u64;

async fn walk(world: &World, bucket: &Bucket, prefix: &[u8], limit: usize) -> Vec<MetBlob> {
    let mut met: Vec<MetBlob> = Vec::new();
    loop {
        let after = met.last().map(|met| met.cursor.clone());
        let page = world
            .metadata
            .met_blobs(bucket.id, prefix, after.as_ref(), limit)
            .await
            .unwrap();
        assert!(page.len() <= limit);
        if page.is_empty() {
            return met;
        }
        met.extend(page);
    }
}

/// `key:len` of what was met, in order; a part of an open upload with `+`.
fn shown(met: &[MetBlob]) -> Vec<String> {
    met.iter()
        .map(|met| {
            let key = String::from_utf8_lossy(&met.key);
            let open = match met.cursor {
                Cursor::Part { .. } => "+",
                Cursor::Version { .. } => "",
            };
            format!("{key}{open}:{}", met.blob.len)
        })
        .collect()
}

async fn the_walk_meets_every_blob_whatever_the_page(world: World) {
    let bucket = world.versioned_bucket("b").await;
    world.bucket("other").await;
    world.put("other", "x", 999, "e").await;
    for len in [1, 2, 3] {
        world.put("b", "a/old", len, "e").await;
    }
    world.put("b", "a/empty", 0, "e").await;
    world.delete("b", "a/empty").await;
    let upload = world.upload("b", "a/parts").await;
    let mut parts = Vec::new();
    for number in 1..=4 {
        let len = 10 + u64::from(number);
        parts.push(world.part("b", &upload, number, len).await);
    }
    let parts: Vec<_> = parts.iter().collect();
    world
        .metadata
        .complete_upload(complete_of("b", &upload, &parts))
        .await
        .unwrap();
    world.put("b", "b", 5, "e").await;
    let source = world.current(&bucket, "b").await.unwrap();
    world.copy(&source, "b", "c").await.unwrap();
    let open = world.upload("b", "a/open").await;
    world.part("b", &open, 7, 70).await;
    world.part("b", &open, 8, 80).await;

    let all = [
        "a/open+:70",
        "a/open+:80",
        "a/old:3",
        "a/old:2",
        "a/old:1",
        "a/parts:11",
        "a/parts:12",
        "a/parts:13",
        "a/parts:14",
        "b:5",
        "c:5",
    ];
    for limit in 1..=12 {
        let met = walk(&world, &bucket, b"", limit).await;
        assert_eq!(shown(&met), all, "pages of {limit}");
        assert_eq!(met[9].blob.blob, met[10].blob.blob, "a copy shares");
        let met = walk(&world, &bucket, b"a/", limit).await;
        assert_eq!(shown(&met), all[..9], "pages of {limit}");
    }
    assert_eq!(shown(&walk(&world, &bucket, b"a/open", 1).await), all[..2]);
    assert!(walk(&world, &bucket, b"d", 3).await.is_empty());
    assert!(walk(&world, &bucket, &[0xFF; 3], 3).await.is_empty());
}

fn layout(text: &str) -> Layout {
    text.parse().unwrap()
}

async fn blob_of(world: &World, key: &str) -> BlobId {
    let put = world.put_of("b", key, 100, "e");
    let blob = put.blob.clone().unwrap().id;
    world.metadata.put_object(put).await.unwrap();
    blob
}

async fn begin(world: &World, blob: BlobId, from: u32, drives: &[DriveId]) -> Begun {
    let targets = (0..).map(FragmentIndex).zip(drives.iter().copied());
    let begin = BeginMove {
        blob,
        region: region(),
        from: Generation(from),
        targets: targets.collect(),
    };
    world.metadata.begin_move(begin).await.unwrap()
}

fn switch_of(blob: BlobId, from: u32, to: u32, kept: &str, drives: &[DriveId]) -> SwitchPlacement {
    SwitchPlacement {
        blob,
        from: Generation(from),
        to: Placement {
            region: region(),
            generation: Generation(to),
            layout: layout(kept),
            drives: drives.iter().copied().map(Some).collect(),
        },
        debts: Vec::new(),
        job: 7,
    }
}

async fn switch(world: &World, switch: SwitchPlacement) -> Switched {
    world.metadata.switch_placement(switch).await.unwrap()
}

async fn placement(world: &World, blob: BlobId) -> Placement {
    let page = world.metadata.placements_page(None, 100).await.unwrap();
    let mut placed: Vec<_> = page.into_iter().filter(|p| p.blob == blob).collect();
    assert_eq!(placed.len(), 1, "one placement a region");
    placed.remove(0).placement
}

fn stray(blob: BlobId, generation: u32, index: u8, drive: DriveId) -> Stray {
    Stray {
        drive,
        blob,
        region: region(),
        generation: Generation(generation),
        index: FragmentIndex(index),
    }
}

async fn judge(world: &World, stray: &Stray) -> StrayVerdict {
    world.metadata.judge_stray(stray.clone()).await.unwrap()
}

async fn a_new_generation_takes_the_old_ones_place(world: World) {
    let bucket = world.bucket("b").await;
    let blob = blob_of(&world, "k").await;
    let before = world.current(&bucket, "k").await.unwrap();
    let to = [world.drives[5], world.drives[0], DriveId::generate()];
    assert_eq!(
        begin(&world, blob, 0, &to).await,
        Begun::Generation(Generation(1))
    );
    let made = switch(&world, switch_of(blob, 0, 1, "copies:3", &to)).await;
    assert_eq!(made, Switched::Made);

    let now = placement(&world, blob).await;
    assert_eq!(
        (now.generation, now.layout),
        (Generation(1), layout("copies:3"))
    );
    assert_eq!(now.drives, to.map(Some));
    assert_eq!(
        world.current(&bucket, "k").await.unwrap(),
        before,
        "same version"
    );
    assert_eq!(world.slices(&before).await[0].blob.placement, now);
    let met = walk(&world, &bucket, b"", 10).await;
    assert_eq!(met[0].made_by, 7, "the job does not move it again");

    // The old fragments wait for the readers that may be on their way to them.
    assert_eq!(world.metadata.stray_count().await.unwrap(), 6);
    let old = stray(blob, 0, 5, world.drives[5]);
    assert_eq!(judge(&world, &old).await, StrayVerdict::Kept);
    world.clock.advance_ms(GRACE_MS);
    for (index, drive) in (0..).zip(world.drives.clone()) {
        let due = world.metadata.due_strays(drive, None, 10).await.unwrap();
        assert_eq!(due, [stray(blob, 0, index, drive)]);
        assert_eq!(judge(&world, &due[0]).await, StrayVerdict::Doomed);
        world.metadata.forget_stray(due[0].clone()).await.unwrap();
    }
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0);
    assert_eq!(placement(&world, blob).await, now);
    invariants::check(&world).await;
}

async fn what_changed_meanwhile_is_not_switched(world: World) {
    world.bucket("b").await;
    let blob = blob_of(&world, "k").await;
    let (one, two) = (&world.drives[..3], &world.drives[3..]);
    let first = begin(&world, blob, 0, one).await;
    let second = begin(&world, blob, 0, two).await;
    assert_eq!(first, Begun::Generation(Generation(1)));
    assert_eq!(second, Begun::Generation(Generation(2)));
    let made = switch(&world, switch_of(blob, 0, 2, "copies:3", two)).await;
    assert_eq!(made, Switched::Made);
    let late = switch(&world, switch_of(blob, 0, 1, "copies:3", one)).await;
    assert_eq!(late, Switched::Not);
    let again = switch(&world, switch_of(blob, 0, 2, "copies:3", two)).await;
    assert_eq!(again, Switched::Not, "it is done");
    assert_eq!(begin(&world, blob, 0, one).await, Begun::Gone);
    assert_eq!(
        placement(&world, blob).await.drives,
        [two[0], two[1], two[2]].map(Some)
    );

    world.delete("b", "k").await;
    world.clock.advance_ms(GRACE_MS);
    world.metadata.begin_sweep(blob, &region()).await.unwrap();
    assert_eq!(begin(&world, blob, 2, one).await, Begun::Gone, "it is dead");
    // Every fragment that was ever written or meant is known: 6 old ones and 3 of the first try.
    assert_eq!(world.metadata.stray_count().await.unwrap(), 9);
}

async fn no_attempt_gets_a_generation_twice(world: World) {
    world.bucket("b").await;
    let blob = blob_of(&world, "k").await;
    let to = world.drives[..3].to_vec();
    for generation in 1..=3 {
        let begun = begin(&world, blob, 0, &to).await;
        assert_eq!(begun, Begun::Generation(Generation(generation)));
    }
    let made = switch(&world, switch_of(blob, 0, 3, "copies:3", &to)).await;
    assert_eq!(made, Switched::Made);
    let begun = begin(&world, blob, 3, &to).await;
    assert_eq!(begun, Begun::Generation(Generation(4)));
    world
        .metadata
        .abandon_move(blob, Generation(4))
        .await
        .unwrap();
    let begun = begin(&world, blob, 3, &to).await;
    assert_eq!(begun, Begun::Generation(Generation(5)));
}

async fn a_doomed_fragment_is_never_switched_to(world: World) {
    world.bucket("b").await;
    let blob = blob_of(&world, "k").await;
    let to = world.drives[..3].to_vec();
    begin(&world, blob, 0, &to).await;
    // The move takes longer than anybody would have thought.
    world.clock.advance_ms(GRACE_MS);
    let one = stray(blob, 1, 1, to[1]);
    assert_eq!(judge(&world, &one).await, StrayVerdict::Doomed);
    let late = switch(&world, switch_of(blob, 0, 1, "copies:3", &to)).await;
    assert_eq!(late, Switched::Not);
    assert_eq!(placement(&world, blob).await.generation, Generation(0));
    assert_eq!(
        world.metadata.stray_count().await.unwrap(),
        3,
        "what a refused switch had taken back is recorded still"
    );
}

async fn what_is_owed_goes_over_to_the_new_generation(world: World) {
    world.bucket("b").await;
    let mut put = world.put_of("b", "k", 100, "e");
    let blob = put.blob.as_mut().unwrap();
    let id = blob.id;
    blob.placement.drives[4] = None;
    blob.debts = vec![(FragmentIndex(4), Some(world.drives[4]))];
    world.metadata.put_object(put).await.unwrap();

    let to = world.drives[..3].to_vec();
    begin(&world, id, 0, &to).await;
    let mut switch_to = switch_of(id, 0, 1, "copies:3", &to);
    switch_to.to.drives[1] = None;
    switch_to.debts = vec![(FragmentIndex(1), Some(to[1]))];
    assert_eq!(switch(&world, switch_to).await, Switched::Made);

    let owed = world.metadata.owed_page(None, 100).await.unwrap();
    assert_eq!(owed.len(), 1);
    assert_eq!(owed[0].blob.placement.generation, Generation(1));
    assert_eq!(
        owed[0].owed.len(),
        1,
        "the old debt is gone with its generation"
    );
    assert_eq!(owed[0].owed[0].index, FragmentIndex(1));
    assert_eq!(owed[0].owed[0].meant, Some(to[1]));
    // Both late writers may still land: the old one's fragment is a stray, the new one's is owed.
    world.clock.advance_ms(2 * GRACE_MS);
    let late = stray(id, 0, 4, world.drives[4]);
    assert_eq!(judge(&world, &late).await, StrayVerdict::Doomed);
    let owed = stray(id, 1, 1, to[1]);
    assert_eq!(judge(&world, &owed).await, StrayVerdict::Kept);
}

/// A backup that is restored knows nothing of the generations that came after it.
async fn a_fragment_of_a_past_generation_is_noted_and_so_is_one_of_a_lost_future(world: World) {
    world.bucket("b").await;
    let blob = blob_of(&world, "k").await;
    let to = world.drives[..3].to_vec();
    let find = |generation: u32, index: u8, drive: DriveId| {
        let found = FoundFragment {
            drive,
            fragment: FragmentId {
                blob,
                region: region(),
                generation: Generation(generation),
                index: FragmentIndex(index),
            },
        };
        world.metadata.note_found(NoteFound {
            found,
            seen_on: None,
            quarantine_ms: 1000,
        })
    };
    let elsewhere = world.drives[5];
    assert_eq!(
        begin(&world, blob, 0, &to).await,
        Begun::Generation(Generation(1))
    );
    let under_way = find(1, 0, to[0]).await.unwrap();
    assert_eq!(under_way, FoundVerdict::Known, "the attempt has noted it");
    let made = switch(&world, switch_of(blob, 0, 1, "copies:3", &to)).await;
    assert_eq!(made, Switched::Made);
    assert_eq!(find(1, 0, to[0]).await.unwrap(), FoundVerdict::Placed);
    assert_eq!(find(0, 4, elsewhere).await.unwrap(), FoundVerdict::Noted);
    assert_eq!(find(0, 4, elsewhere).await.unwrap(), FoundVerdict::Known);

    for index in 0..3 {
        let found = find(7, index, elsewhere).await.unwrap();
        assert_eq!(found, FoundVerdict::Noted, "{index}");
    }
    assert_eq!(find(7, 0, elsewhere).await.unwrap(), FoundVerdict::Known);
    // It is never given out again, and goes only while all of the present one is there.
    world.clock.advance_ms(2 * GRACE_MS);
    let lost = stray(blob, 7, 0, elsewhere);
    let debt = Debt {
        blob,
        region: region(),
        generation: Generation(1),
        index: FragmentIndex(0),
        drive: Some(to[0]),
        kind: DebtKind::Missing,
        created_ms: 0,
    };
    let report = ReportDebts { debts: vec![debt] };
    world.metadata.report_debts(report).await.unwrap();
    assert_eq!(judge(&world, &lost).await, StrayVerdict::Kept);
    let settle = SettleDebts {
        blob,
        region: region(),
        generation: Generation(1),
        settled: vec![Settled {
            index: FragmentIndex(0),
            from: Some(to[0]),
            to: to[0],
        }],
    };
    world.metadata.settle_debts(settle).await.unwrap();
    assert_eq!(judge(&world, &lost).await, StrayVerdict::Doomed);
    let next = begin(&world, blob, 1, &world.drives[3..6]).await;
    assert_eq!(next, Begun::Generation(Generation(8)));
}

async fn a_bucket_has_one_job_at_a_time(world: World) {
    let bucket = world.bucket("b").await;
    let start = |kind| world.metadata.start_reencode("b", b"logs/", kind);
    let tell = |state| world.metadata.tell_reencode("b", state);
    let none = tell(JobState::Paused).await;
    assert!(matches!(none, Err(MetadataError::NotFound(_))), "{none:?}");
    let first = start(JobKind::DryRun).await.unwrap();
    assert_eq!(
        (
            first.bucket,
            first.bucket_name.as_str(),
            first.prefix.as_slice()
        ),
        (bucket.id, "b", &b"logs/"[..])
    );
    assert_eq!(
        (first.kind, first.state),
        (JobKind::DryRun, JobState::Running)
    );
    let second = start(JobKind::Reencode).await;
    assert!(
        matches!(second, Err(MetadataError::Exists(_))),
        "{second:?}"
    );
    assert_eq!(
        tell(JobState::Paused).await.unwrap().state,
        JobState::Paused
    );
    assert!(start(JobKind::Reencode).await.is_err(), "paused is open");
    assert_eq!(
        tell(JobState::Running).await.unwrap().state,
        JobState::Running
    );
    let ended = tell(JobState::Cancelled).await.unwrap();
    assert_eq!(ended.state, JobState::Cancelled);
    assert!(ended.ended_ms.is_some());
    let again = tell(JobState::Running).await;
    assert!(
        matches!(again, Err(MetadataError::NotFound(_))),
        "{again:?}"
    );

    let second = start(JobKind::Reencode).await.unwrap();
    assert!(second.number > first.number);
    let all = world.metadata.reencodes(10).await.unwrap();
    assert_eq!(
        all,
        std::slice::from_ref(&second),
        "the ended one is forgotten"
    );
    assert_eq!(
        world.metadata.reencode_of(bucket.id).await.unwrap(),
        Some(second)
    );
    world.metadata.delete_bucket("b").await.unwrap();
    assert!(world.metadata.reencodes(10).await.unwrap().is_empty());
    let nowhere = world
        .metadata
        .start_reencode("b", b"", JobKind::Reencode)
        .await;
    assert!(matches!(nowhere, Err(MetadataError::NoSuchBucket)));
}

async fn a_job_is_one_workers_until_its_lease_ends(world: World) {
    world.bucket("b").await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let take = |holder| world.metadata.take_reencode(holder, 1000);
    assert_eq!(take(one).await.unwrap(), None);
    let job = world
        .metadata
        .start_reencode("b", b"", JobKind::Reencode)
        .await
        .unwrap();
    assert_eq!(take(one).await.unwrap().unwrap().number, job.number);
    assert_eq!(take(two).await.unwrap(), None);
    assert_eq!(
        take(one).await.unwrap().unwrap().number,
        job.number,
        "its own"
    );

    let mut progress = JobProgress::default();
    progress.moved.add(50);
    progress.cursor = Some(Cursor::Version {
        key: b"k\x00\xff".to_vec(),
        sequence: 3,
        start: 0,
    });
    let save = |holder, progress: &JobProgress, done| {
        world.metadata.save_reencode(SaveJob {
            number: job.number,
            holder,
            progress: progress.clone(),
            done,
            lease_ms: 1000,
        })
    };
    let state = save(one, &progress, false).await.unwrap();
    assert_eq!(state, Some(JobState::Running));
    world.clock.advance_ms(999);
    assert_eq!(take(two).await.unwrap(), None, "saving keeps it");
    world.clock.advance_ms(1);
    let taken = take(two).await.unwrap().unwrap();
    assert_eq!(taken.progress, progress, "it goes on from what was saved");
    let late = save(one, &JobProgress::default(), true).await.unwrap();
    assert_eq!(late, None, "the first one's lease is over");

    let tell = |state| world.metadata.tell_reencode("b", state);
    tell(JobState::Paused).await.unwrap();
    let state = save(two, &progress, false).await.unwrap();
    assert_eq!(state, Some(JobState::Paused));
    assert_eq!(
        take(two).await.unwrap(),
        None,
        "nobody works at a paused one"
    );
    tell(JobState::Running).await.unwrap();
    assert!(take(two).await.unwrap().is_some());
    tell(JobState::Cancelled).await.unwrap();
    let state = save(two, &progress, true).await.unwrap();
    assert_eq!(state, Some(JobState::Cancelled), "the last step is over");
    assert_eq!(take(two).await.unwrap(), None);
}
