//! The scrub: reads everything within its period, finds what nobody reads, goes on where it was.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Lab, large, run, small};
use holdfast_storage_node::conformance::Sample;
use holdfast_storage_node::disk::{Fault, SimOp, Survival};
use holdfast_storage_node::{Finding, LocalStore, NotTaken, Scrub, ScrubReport, ScrubStep};
use holdfast_types::{
    Clock, Deleted, DriveId, FragmentId, FragmentStore, ManualClock, StoreError, SystemClock,
};

/// Notes what it is told, unless it is told to refuse.
#[derive(Default)]
struct Notes {
    found: Mutex<Vec<(FragmentId, Finding)>>,
    refuses: Mutex<bool>,
}

#[async_trait]
impl ScrubReport for Notes {
    async fn bad(
        &self,
        _: DriveId,
        fragment: &FragmentId,
        finding: Finding,
    ) -> Result<(), NotTaken> {
        if *self.refuses.lock().unwrap() {
            return Err(NotTaken("not now".to_owned()));
        }
        self.found.lock().unwrap().push((fragment.clone(), finding));
        Ok(())
    }
}

impl Notes {
    fn take(&self) -> Vec<(FragmentId, Finding)> {
        std::mem::take(&mut *self.found.lock().unwrap())
    }
}

/// A clock a minute ahead of the samples' ids, so that they are older than the first cycle.
fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemClock.now_ms() + 60_000))
}

fn scrub(store: &LocalStore, clock: &Arc<ManualClock>) -> Scrub {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    store.scrubs(&clock).remove(0)
}

/// Steps, without the pauses, to the end of the cycle; how many pieces were read.
async fn cycle(scrub: &mut Scrub, notes: &Notes) -> usize {
    let mut pieces = 0;
    while scrub.step(notes).await.unwrap() == ScrubStep::More {
        pieces += 1;
    }
    pieces
}

async fn put_all(lab: &Lab, store: &LocalStore) -> Vec<Sample> {
    let mut samples: Vec<Sample> = (0..12).map(small).collect();
    samples.extend((0..4).map(large));
    for sample in &samples {
        lab.put(store, sample).await.unwrap();
    }
    samples
}

fn file_of(sample: &Sample) -> String {
    let id = &sample.header.id;
    format!("fragments/{:02x}/{id}", id.blob.as_bytes()[15])
}

const DAY_MS: u64 = 24 * 3_600_000;

#[test]
fn a_flipped_bit_that_nobody_reads_is_found_wherever_it_is() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let samples = put_all(&lab, &store).await;
        let (clock, notes) = (clock(), Notes::default());
        let mut scrub = scrub(&store, &clock);
        cycle(&mut scrub, &notes).await;
        assert_eq!(notes.take(), []);
        let sound = scrub.progress();
        assert_eq!((sound.cycles, sound.verified, sound.bad), (1, 16, 0));
        assert!(sound.is_resting);

        // The last byte of a large one, and one byte in the middle of each segment.
        let file = file_of(&samples[13]);
        let len = lab.disk.peek(&file).unwrap().len();
        lab.disk.flip_bit(&file, len - 1, 3);
        let mut rotten = vec![samples[13].header.id.clone()];
        for sample in &samples[..12] {
            let block = &sample.blocks[0];
            for segment in lab.disk.names("segments") {
                let path = format!("segments/{segment}");
                let bytes = lab.disk.peek(&path).unwrap();
                let at = bytes.windows(block.len()).position(|w| w == &block[..]);
                if let Some(at) = at.filter(|_| rotten.len() < 3) {
                    lab.disk.flip_bit(&path, at + block.len() / 2, 0);
                    rotten.push(sample.header.id.clone());
                }
            }
        }
        assert_eq!(rotten.len(), 3);
        assert_eq!(
            scrub.step(&notes).await,
            Ok(ScrubStep::Done),
            "it is not due"
        );
        clock.advance_ms(11 * DAY_MS);
        cycle(&mut scrub, &notes).await;
        let mut found = notes.take();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        rotten.sort();
        let expected: Vec<_> = rotten
            .into_iter()
            .map(|id| (id, Finding::Corrupt))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(scrub.progress().bad, 3);
        let stats = store.stats()[0].1;
        assert_eq!((stats.scrubbed_fragments, stats.scrub_findings), (32, 3));
        assert_eq!(stats.bad_blocks, 3);
    });
}

#[test]
fn a_file_that_was_deleted_by_hand_is_found_and_can_be_written_again() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let samples = put_all(&lab, &store).await;
        let lost = &samples[14];
        lab.disk.erase(&file_of(lost));
        let (clock, notes) = (clock(), Notes::default());
        let mut scrub = scrub(&store, &clock);
        cycle(&mut scrub, &notes).await;
        assert_eq!(notes.take(), [(lost.header.id.clone(), Finding::Missing)]);
        let listed = store.list(lab.id, None, 100).await.unwrap();
        assert!(!listed.contains(&lost.header.id), "it is listed no more");
        assert_eq!(
            store.delete(lab.id, &lost.header.id).await.unwrap(),
            Deleted::Absent
        );
        lab.put(&store, lost).await.unwrap();
        assert_eq!(lost.read(&store, lab.id).await.unwrap(), lost.whole());
    });
}

#[test]
fn a_sector_that_can_not_be_read_is_a_bad_fragment_and_not_a_bad_drive() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let samples = [large(1), large(2), large(3)];
        for sample in &samples {
            lab.put(&store, sample).await.unwrap();
        }
        let (clock, notes) = (clock(), Notes::default());
        let mut scrub = scrub(&store, &clock);
        // The first step reads the cursor (there is none) and the whole first fragment.
        scrub.step(&notes).await.unwrap();
        lab.disk.inject(Fault::once(SimOp::Read));
        cycle(&mut scrub, &notes).await;
        assert_eq!(
            notes.take(),
            [(samples[1].header.id.clone(), Finding::Corrupt)]
        );
        assert_eq!(scrub.progress().verified, 3, "it went on");
    });
}

#[test]
fn damage_that_is_not_noted_is_told_again() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let samples = put_all(&lab, &store).await;
        let file = file_of(&samples[12]);
        lab.disk.flip_bit(&file, 20_000, 1);
        let (clock, notes) = (clock(), Notes::default());
        let mut scrub = scrub(&store, &clock);
        *notes.refuses.lock().unwrap() = true;
        while scrub.step(&notes).await.is_ok() {}
        assert!(scrub.step(&notes).await.is_err(), "and again");
        assert_eq!(scrub.progress().verified, 12, "it does not go past it");
        *notes.refuses.lock().unwrap() = false;
        cycle(&mut scrub, &notes).await;
        assert_eq!(
            notes.take(),
            [(samples[12].header.id.clone(), Finding::Corrupt)]
        );
        assert_eq!(scrub.progress().verified, 16);
    });
}

#[test]
fn a_drive_that_is_pulled_out_is_waited_for_and_the_scrub_goes_on_where_it_was() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        put_all(&lab, &store).await;
        let (clock, notes) = (clock(), Notes::default());
        let mut scrub = scrub(&store, &clock);
        for _ in 0..5 {
            assert_eq!(scrub.step(&notes).await, Ok(ScrubStep::More));
        }
        let medium = lab.disk.remove().unwrap();
        store.refresh().await;
        for _ in 0..3 {
            assert_eq!(scrub.step(&notes).await, Ok(ScrubStep::Away));
        }
        assert!(scrub.is_away() && scrub.pause() > Duration::ZERO);
        assert_eq!(scrub.progress().verified, 5);
        lab.disk.insert(medium);
        store.refresh().await;
        let rest = cycle(&mut scrub, &notes).await;
        assert_eq!(
            notes.take(),
            [],
            "a drive that is away has no bad fragments"
        );
        assert_eq!(scrub.progress().verified, 16);
        assert_eq!(rest, 11);
    });
}

#[test]
fn after_a_restart_it_goes_on_with_the_cycle_and_knows_when_it_last_came_by() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        put_all(&lab, &store).await;
        let (clock, notes) = (clock(), Notes::default());
        let first_began_ms = clock.now_ms();
        let mut first = scrub(&store, &clock);
        cycle(&mut first, &notes).await;
        assert_eq!(first.progress().verified_since_ms, first_began_ms);
        drop((first, store));
        for survival in [None, Some(Survival::Nothing)] {
            match survival {
                None => lab.disk.kill(),
                Some(survival) => lab.disk.power_cycle(survival),
            }
            let store = lab.open().await;
            let mut again = scrub(&store, &clock);
            assert_eq!(
                again.step(&notes).await,
                Ok(ScrubStep::Done),
                "it is not due"
            );
            let known = again.progress();
            assert_eq!((known.cycles, known.verified), (1, 16));
            assert_eq!(known.verified_since_ms, first_began_ms);
            assert_eq!(lab.disk.names("scrub").len(), 1);
        }
        clock.advance_ms(11 * DAY_MS);
        let store = lab.open().await;
        let mut second = scrub(&store, &clock);
        assert_eq!(second.step(&notes).await, Ok(ScrubStep::More));
        let since_ms = second.progress().verified_since_ms;
        assert_eq!(since_ms, first_began_ms, "most was last verified then");
        assert_eq!(second.progress().cycles, 1);
    });
}

#[test]
fn a_power_cut_at_any_moment_of_a_note_costs_at_most_the_cycle() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        put_all(&lab, &store).await;
        let (clock, notes) = (clock(), Notes::default());
        cycle(&mut scrub(&store, &clock), &notes).await;
        drop(store);
        clock.advance_ms(11 * DAY_MS);
        for cut in 0..12 {
            let lab = lab.fork();
            let store = lab.open().await;
            let mut second = scrub(&store, &clock);
            lab.disk.cut_after(cut);
            while second.step(&notes).await.unwrap() == ScrubStep::More {}
            drop((second, store));
            lab.disk.power_cycle(Survival::Nothing);
            let store = lab.open().await;
            let mut third = scrub(&store, &clock);
            cycle(&mut third, &notes).await;
            assert_eq!(third.progress().cycles, 2, "cut after {cut}");
            assert_eq!(notes.take(), []);
        }
    });
}

#[test]
fn what_is_written_during_a_cycle_waits_for_the_next_and_what_is_deleted_is_no_matter() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let samples = put_all(&lab, &store).await;
        // Now the clock is between the samples that are there and those that come.
        let clock = Arc::new(ManualClock::new(SystemClock.now_ms()));
        let notes = Notes::default();
        let mut scrub = scrub(&store, &clock);
        assert_eq!(scrub.step(&notes).await, Ok(ScrubStep::More));
        std::thread::sleep(Duration::from_millis(5));
        clock.set_ms(SystemClock.now_ms() + 60_000);
        lab.put(&store, &small(100)).await.unwrap();
        lab.put(&store, &large(101)).await.unwrap();
        for gone in [&samples[3], &samples[15]] {
            store.delete(lab.id, &gone.header.id).await.unwrap();
        }
        cycle(&mut scrub, &notes).await;
        // They were on the page already: whoever is told finds that nothing wants them.
        let told: Vec<_> = notes.take().into_iter().map(|note| note.1).collect();
        assert!(told.iter().all(|finding| *finding == Finding::Missing));
        assert_eq!(scrub.progress().verified, 16);
        clock.advance_ms(11 * DAY_MS);
        cycle(&mut scrub, &notes).await;
        assert_eq!(scrub.progress().verified, 16, "14 that were left and 2 new");
        assert_eq!(notes.take(), []);
    });
}

#[test]
fn it_is_paced_by_what_is_left_and_rests_longer_than_it_works() {
    run(async {
        let mut lab = Lab::new();
        lab.config.scrub_period_seconds = 4;
        let store = lab.open().await;
        for seed in 0..20 {
            lab.put(&store, &large(seed)).await.unwrap();
        }
        let (clock, notes) = (clock(), Notes::default());
        let mut scrub = scrub(&store, &clock);
        scrub.step(&notes).await.unwrap();
        // 19 x 200 kB in 3 s: a piece of 200 kB takes a twentieth of that.
        let pause = scrub.pause();
        assert!(
            (Duration::from_millis(100)..Duration::from_millis(220)).contains(&pause),
            "{pause:?}"
        );
        clock.advance_ms(2000);
        scrub.step(&notes).await.unwrap();
        assert!(scrub.pause() < pause, "less time is left");
        let unreasonable = Lab {
            config: holdfast_storage_node::StoreConfig {
                scrub_period_seconds: 0,
                ..lab.config.clone()
            },
            ..lab.fork()
        };
        let refused = LocalStore::open(
            unreasonable.cluster,
            Vec::new(),
            unreasonable.config.clone(),
        )
        .await;
        assert!(refused.is_err_and(|error| error.to_string().contains("scrub_period_seconds")));
        let unknown = store.stat(lab.id, &small(9).header.id).await.unwrap_err();
        assert!(matches!(unknown, StoreError::NotFound { .. }));
    });
}
