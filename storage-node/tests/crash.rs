//! The power is cut after every single disk operation of a story; then the drive is opened again.
//!
//! What was acknowledged is there, bit for bit; what was acknowledged as removed is gone; what was
//! not acknowledged is invisible or whole. And what is seen after the crash is durable itself.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Lab, drive, large, run, small};
use futures::future::{BoxFuture, FutureExt, join_all};
use holdfast_storage_node::LocalStore;
use holdfast_storage_node::conformance::Sample;
use holdfast_storage_node::disk::Survival;
use holdfast_types::{DriveState, FragmentId, FragmentStore, StoreError};

/// More cuts than any story here has operations.
const MOST_CUTS: u64 = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    There,
    Gone,
    /// Nobody was told: whole or invisible.
    Unknown,
}

/// What the user of the store was told.
#[derive(Clone, Default)]
struct Ledger(Vec<(Sample, Expect)>);

impl Ledger {
    fn set(&mut self, sample: &Sample, expect: Expect) {
        self.0
            .retain(|(known, _)| known.header.id != sample.header.id);
        self.0.push((sample.clone(), expect));
    }

    async fn put_all(&mut self, lab: &Lab, store: &LocalStore, samples: &[Sample]) {
        let done = join_all(samples.iter().map(|sample| lab.put(store, sample))).await;
        for (sample, done) in samples.iter().zip(done) {
            self.set(
                sample,
                if done.is_ok() {
                    Expect::There
                } else {
                    Expect::Unknown
                },
            );
        }
    }

    async fn delete_all(&mut self, lab: &Lab, store: &LocalStore, samples: &[Sample]) {
        let ids = samples.iter().map(|sample| &sample.header.id);
        let done = join_all(ids.map(|id| store.delete(lab.id, id))).await;
        for (sample, done) in samples.iter().zip(done) {
            let was = self
                .0
                .iter()
                .find(|(known, _)| known.header.id == sample.header.id);
            let was = was.map_or(Expect::Gone, |(_, expect)| *expect);
            let now = match done {
                Ok(_) => Expect::Gone,
                Err(_) if was == Expect::Gone => Expect::Gone,
                Err(_) => Expect::Unknown,
            };
            self.set(sample, now);
        }
    }

    /// Compares with the store; gives what is there.
    async fn check(&self, lab: &Lab, store: &LocalStore, story: &str) -> BTreeSet<FragmentId> {
        let now = drive(store);
        assert_eq!(now.state, DriveState::Online, "{story}: {}", now.reason);
        let listed: BTreeSet<_> = store
            .list(lab.id, None, usize::MAX)
            .await
            .unwrap()
            .into_iter()
            .collect();
        let mut there = BTreeSet::new();
        for (sample, expect) in &self.0 {
            let id = &sample.header.id;
            let found = match sample.read(store, lab.id).await {
                Ok(read) => {
                    assert_eq!(
                        read,
                        sample.whole(),
                        "{story}: {id} is not what was written"
                    );
                    true
                }
                Err(StoreError::NotFound { .. }) => false,
                Err(other) => panic!("{story}: {id}: {other}"),
            };
            match expect {
                Expect::There => assert!(found, "{story}: {id} was acknowledged and is lost"),
                Expect::Gone => assert!(!found, "{story}: {id} was removed and is back"),
                Expect::Unknown => {}
            }
            if found {
                there.insert(id.clone());
            }
        }
        assert_eq!(listed, there, "{story}: the listing is what can be read");
        there
    }
}

type Act = for<'a> fn(&'a Lab, &'a LocalStore, &'a mut Ledger) -> BoxFuture<'a, ()>;

/// Runs `act` on copies of `lab`, cutting the power after each operation in turn.
async fn cut_everywhere(story: &str, lab: &Lab, before: &Ledger, act: Act) {
    for cut in 0..MOST_CUTS {
        let lab = lab.fork();
        let mut ledger = before.clone();
        let store = lab.open().await;
        lab.disk.cut_after(cut);
        act(&lab, &store, &mut ledger).await;
        drop(store);
        let ended = !lab.disk.is_cut();
        for survival in survivals(cut) {
            let story = format!("{story}, cut after operation {cut}, {survival:?}");
            let lab = lab.fork();
            lab.disk.power_cycle(survival);
            check_twice(&lab, &ledger, &story).await;
        }
        let story = format!("{story}, killed after operation {cut}");
        lab.disk.kill();
        check_twice(&lab, &ledger, &story).await;
        if ended {
            assert!(cut > 3, "{story}: a story of disk operations");
            return;
        }
    }
    panic!("{story} has more operations than the test cuts");
}

fn survivals(cut: u64) -> [Survival; 6] {
    let random = |number: u64| Survival::Random(cut * 1000 + number);
    [
        Survival::Nothing,
        Survival::Everything,
        random(1),
        random(2),
        random(3),
        random(4),
    ]
}

/// Opens the drive, compares, uses it; then cuts the power at once: what was seen must stay.
async fn check_twice(lab: &Lab, ledger: &Ledger, story: &str) {
    let store = lab.open().await;
    let there = ledger.check(lab, &store, story).await;
    quiet(lab).await;
    drop(store);
    lab.disk.power_cycle(Survival::Nothing);
    let mut ledger = ledger.clone();
    for (sample, expect) in &mut ledger.0 {
        let found = there.contains(&sample.header.id);
        *expect = if found { Expect::There } else { Expect::Gone };
    }
    let story = format!("{story}, and again");
    let store = lab.open().await;
    ledger.check(lab, &store, &story).await;
    // And the drive goes on working.
    let fresh = [small(900), large(901)];
    ledger.put_all(lab, &store, &fresh).await;
    assert!(
        ledger
            .0
            .iter()
            .all(|(_, expect)| *expect != Expect::Unknown),
        "{story}"
    );
    ledger.check(lab, &store, &story).await;
    drop(store);
    lab.disk.power_cycle(Survival::Nothing);
    ledger.check(lab, &lab.open().await, &story).await;
}

/// Waits until the drive does nothing any more: compaction goes on by itself.
async fn quiet(lab: &Lab) {
    let mut last = lab.disk.operations();
    let mut still = 0;
    while still < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = lab.disk.operations();
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
}

fn some(kind: fn(u64) -> Sample, seeds: std::ops::Range<u64>) -> Vec<Sample> {
    seeds.map(kind).collect()
}

#[test]
fn putting_large_fragments() {
    run(async {
        let lab = Lab::new();
        cut_everywhere(
            "put large",
            &lab,
            &Ledger::default(),
            |lab, store, ledger| {
                async move { ledger.put_all(lab, store, &some(large, 0..2)).await }.boxed()
            },
        )
        .await;
    });
}

#[test]
fn putting_small_fragments_at_once() {
    run(async {
        let lab = Lab::new();
        cut_everywhere(
            "put small",
            &lab,
            &Ledger::default(),
            |lab, store, ledger| {
                async move {
                    ledger.put_all(lab, store, &some(small, 0..6)).await;
                    ledger.put_all(lab, store, &some(small, 6..9)).await;
                }
                .boxed()
            },
        )
        .await;
    });
}

#[test]
fn removing_both_kinds() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let mut ledger = Ledger::default();
        ledger.put_all(&lab, &store, &some(small, 0..4)).await;
        ledger.put_all(&lab, &store, &some(large, 4..6)).await;
        quiet(&lab).await;
        drop(store);
        lab.disk.power_cycle(Survival::Nothing);
        cut_everywhere("remove", &lab, &ledger, |lab, store, ledger| {
            async move {
                let gone: Vec<Sample> = ledger
                    .0
                    .iter()
                    .map(|(sample, _)| sample.clone())
                    .take(5)
                    .collect();
                ledger.delete_all(lab, store, &gone).await;
                // The same identities again, with other contents.
                let again: Vec<Sample> = gone
                    .iter()
                    .map(|old| {
                        let layout = old.header.layout.to_string();
                        Sample::of(old.header.id.blob, &layout, old.header.blob_len, 77)
                    })
                    .filter(|again| {
                        let id = &again.header.id;
                        let known = ledger.0.iter().find(|(sample, _)| sample.header.id == *id);
                        known.is_some_and(|(_, expect)| *expect == Expect::Gone)
                    })
                    .collect();
                ledger.put_all(lab, store, &again).await;
            }
            .boxed()
        })
        .await;
    });
}

#[test]
fn rotating_segments() {
    run(async {
        let mut lab = Lab::new();
        lab.config.segment_bytes = 12 << 10;
        cut_everywhere("rotate", &lab, &Ledger::default(), |lab, store, ledger| {
            async move {
                for seed in 0..6 {
                    ledger.put_all(lab, store, &[small(seed)]).await;
                }
                let stats = store.stats()[0].1;
                assert!(
                    lab.disk.is_cut() || stats.folder_syncs >= 3,
                    "it did rotate"
                );
            }
            .boxed()
        })
        .await;
    });
}

#[test]
fn compacting_segments() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let mut ledger = Ledger::default();
        for seeds in [0..6, 6..12, 12..18] {
            ledger.put_all(&lab, &store, &some(small, seeds)).await;
        }
        quiet(&lab).await;
        drop(store);
        lab.disk.power_cycle(Survival::Nothing);
        cut_everywhere("compact", &lab, &ledger, |lab, store, ledger| {
            async move {
                let all: Vec<Sample> = ledger.0.iter().map(|(sample, _)| sample.clone()).collect();
                let (gone, kept): (Vec<_>, Vec<_>) =
                    all.into_iter().enumerate().partition(|(at, _)| at % 4 != 0);
                let samples = |list: Vec<(usize, Sample)>| list.into_iter().map(|(_, s)| s);
                let gone: Vec<Sample> = samples(gone).collect();
                for some in gone.chunks(5) {
                    ledger.delete_all(lab, store, some).await;
                    quiet(lab).await;
                }
                let last: Vec<Sample> = samples(kept).take(1).collect();
                ledger.delete_all(lab, store, &last).await;
                quiet(lab).await;
                let stats = store.stats()[0].1;
                assert!(
                    lab.disk.is_cut() || stats.compactions > 0,
                    "it did compact: {stats:?}"
                );
            }
            .boxed()
        })
        .await;
    });
}

#[test]
fn opening_after_a_crash_can_crash_too() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let mut ledger = Ledger::default();
        ledger.put_all(&lab, &store, &some(small, 0..12)).await;
        ledger.put_all(&lab, &store, &some(large, 12..14)).await;
        quiet(&lab).await;
        lab.disk.cut_after(9);
        let doomed: Vec<Sample> = ledger
            .0
            .iter()
            .map(|(sample, _)| sample.clone())
            .take(9)
            .collect();
        ledger.delete_all(&lab, &store, &doomed).await;
        ledger.put_all(&lab, &store, &some(large, 20..22)).await;
        drop(store);
        for first in [Some(Survival::Nothing), Some(Survival::Random(5)), None] {
            for cut in 0..MOST_CUTS {
                let lab = lab.fork();
                match first {
                    Some(survival) => lab.disk.power_cycle(survival),
                    None => lab.disk.kill(),
                }
                lab.disk.cut_after(cut);
                let store = lab.open().await;
                quiet(&lab).await;
                drop(store);
                let ended = !lab.disk.is_cut();
                for survival in survivals(cut) {
                    let lab = lab.fork();
                    lab.disk.power_cycle(survival);
                    let story = format!("open after {first:?}, cut at {cut}, {survival:?}");
                    check_twice(&lab, &ledger, &story).await;
                }
                if ended {
                    break;
                }
            }
        }
    });
}
