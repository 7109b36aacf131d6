//! Seeded random stories against the simplest model there is: a map of what was acknowledged.
//!
//! Puts, removals, reads, listings, restarts, kills and power cuts in the middle of operations, on
//! a drive with tiny segments, so that rotation and compaction go on all the time.
//! `HOLDFAST_MODEL_SEEDS=1000` runs more; a failure names its seed, which is then kept in `KEPT`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use common::{Lab, drive, run};
use holdfast_storage_node::LocalStore;
use holdfast_storage_node::conformance::Sample;
use holdfast_storage_node::disk::Survival;
use holdfast_types::{Deleted, DriveState, FragmentId, FragmentStore, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SEEDS: u64 = 24;
const STEPS: usize = 250;
/// Seeds that once failed.
const KEPT: &[u64] = &[];

/// What may be there: certainly, certainly not, or either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    There,
    Gone,
    Unknown,
}

struct World {
    seed: u64,
    random: StdRng,
    lab: Lab,
    store: Option<LocalStore>,
    known: BTreeMap<FragmentId, (Sample, Told)>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut lab = Lab::new();
        lab.config.segment_bytes = 24 << 10;
        let store = Some(lab.open().await);
        let random = StdRng::seed_from_u64(seed);
        Self {
            seed,
            random,
            lab,
            store,
            known: BTreeMap::new(),
        }
    }

    fn store(&self) -> &LocalStore {
        self.store.as_ref().unwrap()
    }

    fn any_known(&mut self) -> Option<Sample> {
        let at = self.random.random_range(0..self.known.len().max(1));
        self.known
            .values()
            .nth(at)
            .map(|(sample, _)| sample.clone())
    }

    fn tell(&mut self, sample: Sample, told: Told) {
        self.known.insert(sample.header.id.clone(), (sample, told));
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..40 => self.put_some().await,
            40..70 => self.delete_one().await,
            70..85 => self.read_one().await,
            85..88 => self.list().await,
            88..94 => {
                let operations = self.random.random_range(0..12);
                self.lab.disk.cut_after(operations);
            }
            94..97 => self.restart(None).await,
            _ => {
                let survival = match self.random.random_range(0..4) {
                    0 => Survival::Nothing,
                    1 => Survival::Everything,
                    _ => Survival::Random(self.random.random()),
                };
                self.restart(Some(survival)).await;
            }
        }
        if self.lab.disk.is_cut() {
            let survival = Survival::Random(self.random.random());
            self.restart(Some(survival)).await;
        }
    }

    async fn put_some(&mut self) {
        let mut samples: Vec<Sample> = (0..self.random.random_range(1..6))
            .map(|_| self.new_sample())
            .collect();
        samples.sort_by(|one, other| one.header.id.cmp(&other.header.id));
        samples.dedup_by(|one, other| one.header.id == other.header.id);
        let puts = samples
            .iter()
            .map(|sample| self.lab.put(self.store(), sample));
        let done = futures::future::join_all(puts).await;
        for (sample, done) in samples.into_iter().zip(done) {
            match done {
                Ok(()) => self.tell(sample, Told::There),
                Err(StoreError::Io { .. } | StoreError::Unavailable { .. }) => {
                    self.tell(sample, Told::Unknown);
                }
                Err(other) => panic!("seed {}: {other}", self.seed),
            }
        }
    }

    fn new_sample(&mut self) -> Sample {
        let layout = ["1+0/4096", "copies:3", "4+2/4096", "2+1/65536"];
        let layout = layout[self.random.random_range(0..layout.len())];
        let len = match self.random.random_range(0..10) {
            0 => self.random.random_range(131_000..800_000),
            1..4 => self.random.random_range(1..40_000),
            _ => self.random.random_range(1..3000),
        };
        let seed = self.random.random();
        // Sometimes an identity that was removed before.
        let reused = self.any_known().filter(|_| self.random.random_bool(0.2));
        match reused.filter(|old| self.known[&old.header.id].1 == Told::Gone) {
            Some(old) => Sample::of(old.header.id.blob, layout, len, seed),
            None => Sample::new(layout, len, seed),
        }
    }

    async fn delete_one(&mut self) {
        let Some(sample) = self.any_known() else {
            return;
        };
        let was = self.known[&sample.header.id].1;
        let done = self.store().delete(self.lab.id, &sample.header.id).await;
        let told = match (done, was) {
            (Ok(Deleted::Absent), Told::There) => panic!("seed {}: it was there", self.seed),
            (Ok(Deleted::Removed), Told::Gone) => panic!("seed {}: it was gone", self.seed),
            (Ok(_), _) | (Err(_), Told::Gone) => Told::Gone,
            (Err(StoreError::Io { .. } | StoreError::Unavailable { .. }), _) => Told::Unknown,
            (Err(other), _) => panic!("seed {}: {other}", self.seed),
        };
        self.tell(sample, told);
    }

    async fn read_one(&mut self) {
        let Some(sample) = self.any_known() else {
            return;
        };
        let blocks = sample.header.blocks();
        let first = self.random.random_range(0..blocks);
        let count = self.random.random_range(0..=blocks - first);
        let read = self
            .store()
            .read(self.lab.id, &sample.header, first, count)
            .await;
        let told = self.known[&sample.header.id].1;
        let seed = self.seed;
        match read {
            Ok(read) => {
                let whole = sample.whole();
                let expected = &whole[first as usize..(first + count) as usize];
                assert_eq!(read.blocks, expected, "seed {seed}");
                assert_ne!(told, Told::Gone, "seed {seed}: it is back");
            }
            Err(StoreError::NotFound { .. }) => assert_ne!(told, Told::There, "seed {seed}: lost"),
            Err(StoreError::Io { .. } | StoreError::Unavailable { .. })
                if self.lab.disk.is_cut() => {}
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }

    async fn list(&self) {
        let Ok(listed) = self.store().list(self.lab.id, None, usize::MAX).await else {
            assert!(self.lab.disk.is_cut(), "seed {}", self.seed);
            return;
        };
        for (id, (_, told)) in &self.known {
            let found = listed.binary_search(id).is_ok();
            match told {
                Told::There => assert!(found, "seed {}: {id} is lost", self.seed),
                Told::Gone => assert!(!found, "seed {}: {id} is back", self.seed),
                Told::Unknown => {}
            }
        }
        assert!(
            listed.iter().all(|id| self.known.contains_key(id)),
            "seed {}",
            self.seed
        );
    }

    /// Ends the process, in order or not, and begins another; then looks at everything.
    async fn restart(&mut self, survival: Option<Survival>) {
        if let Some(survival) = survival {
            self.lab.disk.power_cycle(survival);
        } else if self.random.random_bool(0.5) {
            self.lab.disk.kill();
        }
        self.store = None;
        self.lab.disk.kill();
        let store = self.lab.open().await;
        assert_eq!(
            drive(&store).state,
            DriveState::Online,
            "seed {}",
            self.seed
        );
        self.store = Some(store);
        self.list().await;
        for (sample, told) in self.known.clone().into_values() {
            let now = match sample.read(self.store(), self.lab.id).await {
                Ok(read) => {
                    assert_eq!(read, sample.whole(), "seed {}", self.seed);
                    Told::There
                }
                Err(StoreError::NotFound { .. }) => Told::Gone,
                Err(other) => panic!("seed {}: {other}", self.seed),
            };
            assert!(
                told == Told::Unknown || told == now,
                "seed {}: {told:?} {now:?}",
                self.seed
            );
            self.tell(sample, now);
        }
    }
}

#[test]
fn random_stories_agree_with_the_model() {
    let seeds = std::env::var("HOLDFAST_MODEL_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    for seed in KEPT.iter().copied().chain(0..seeds.unwrap_or(SEEDS)) {
        run(async move {
            let mut world = World::new(seed).await;
            for _ in 0..STEPS {
                world.step().await;
            }
            world.restart(Some(Survival::Nothing)).await;
        });
    }
}
