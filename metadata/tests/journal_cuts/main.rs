//! The power of all drives is cut at every single disk operation of the journal; then the drives
//! alone, any two of them lost, must give back all that was acknowledged.
//!
//! A cut keeps any part of what was not synced, torn pages too. `HOLDFAST_JOURNAL_CUTS` says how
//! many more of them are tried at each operation; without it, the later operations of long stories
//! take turns (F3, F42).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../conformance/forbidden.rs"]
mod forbidden;
mod lab;
mod large;

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _, join_all};
use futures::{StreamExt as _, stream};
use holdfast_storage_node::disk::Survival;

use lab::{DRIVES, HOLDERS, Lab, Ledger, MAY_LOSE, Moment, Process, runtime};

/// Universes at once: they wait more than they work.
const AT_ONCE: u64 = 32;
/// Operations from the beginning of a story of which each is cut in any case.
const ALWAYS_CUT: u64 = 64;
/// More cuts than any story here has operations.
const MOST_CUTS: u64 = 3000;

/// What a story does between its start and its end.
type Act = for<'a> fn(&'a Lab, &'a Process, &'a mut Ledger) -> BoxFuture<'a, ()>;

struct Story {
    name: &'static str,
    /// Drives that fail in it. They come back as they were, or do not.
    failed: &'static [usize],
    /// Whether the start is cut too.
    from_the_start: bool,
    act: Act,
}

/// Where stories begin: a journal on three drives, and the database closed.
struct Base {
    lab: Lab,
    told: Ledger,
    live: Moment,
}

impl Base {
    async fn new() -> Self {
        let lab = Lab::new();
        let process = lab.begin(lab.open_drives().await).await.unwrap();
        process.make_bucket().await;
        let mut told = Ledger::new();
        for number in 0..6 {
            process.put(&mut told, &format!("before {number}")).await;
        }
        let live = process.moment().await;
        process.end().await;
        Self { lab, told, live }
    }
}

/// Plays `story` in as many universes as it has operations, cut at another one in each.
async fn cut_everywhere(base: Base, story: Story) {
    let (base, story) = (Arc::new(base), Arc::new(story));
    for first in (0..MOST_CUTS).step_by(AT_ONCE as usize) {
        let tried = |cut: &u64| more() > 0 || *cut < ALWAYS_CUT || cut.is_multiple_of(3);
        let cuts = (first..first + AT_ONCE).filter(tried);
        let universes = cuts.map(|cut| {
            let (base, story) = (Arc::clone(&base), Arc::clone(&story));
            let played = tokio::spawn(async move { play(&base, &story, cut).await });
            async { played.await.unwrap() }
        });
        let ended: Vec<bool> = stream::iter(universes)
            .buffer_unordered(AT_ONCE as usize)
            .collect()
            .await;
        if ended.contains(&true) {
            let some_were_cut = first > 0 || ended.contains(&false);
            assert!(some_were_cut, "{}: a story of disk operations", story.name);
            return;
        }
    }
    panic!("{} has more operations than the test cuts", story.name);
}

/// One universe; whether the story ended before its cut.
async fn play(base: &Base, story: &Story, cut: u64) -> bool {
    let lab = base.lab.fork_whole();
    let store = lab.open_drives().await;
    let (mut told, mut live) = (base.told.clone(), base.live.clone());
    if story.from_the_start {
        lab.cut_after(cut);
    }
    match lab.begin(store).await {
        Ok(process) => {
            if !story.from_the_start {
                lab.cut_after(cut);
            }
            (story.act)(&lab, &process, &mut told).await;
            lab.gate.open();
            live = process.moment().await;
            process.end().await;
        }
        Err(why) => assert!(lab.is_cut(), "{}: {why}", story.name),
    }
    // One outcome at each operation, of every kind at neighbours; with the variable many.
    let more = more();
    for number in cut % 4..=cut % 4 + more {
        let survival = match number % 4 {
            0 => Survival::Nothing,
            _ => Survival::Random(cut * 1000 + number),
        };
        // Every other time the drives that failed are back, with what they had.
        let lost = match number % 2 {
            0 => Vec::new(),
            _ => lost_with(story.failed, cut / 2 + number),
        };
        let told_of = format!(
            "{}, cut at operation {cut}, {survival:?}, without {lost:?}",
            story.name
        );
        let after = lab.fork();
        after.power_cycle(survival);
        for drive in lost {
            after.lose_drive(drive);
        }
        let process = after.check(&told, &live, &told_of).await;
        if more > 0 || cut.is_multiple_of(3) {
            after.check_again(process, &told_of).await;
        } else {
            process.end().await;
        }
    }
    !lab.is_cut()
}

/// How many outcomes are tried of each cut beyond one.
fn more() -> u64 {
    std::env::var("HOLDFAST_JOURNAL_CUTS").map_or(0, |text| text.parse().unwrap())
}

/// As many drives as may be lost, those that failed among them; other ones for each `choice`.
fn lost_with(failed: &[usize], choice: u64) -> Vec<usize> {
    let mut pairs = Vec::new();
    for first in 0..DRIVES {
        pairs.extend((first + 1..DRIVES).map(|second| vec![first, second]));
    }
    pairs.retain(|pair| failed.iter().all(|drive| pair.contains(drive)));
    assert_eq!(pairs[0].len(), MAY_LOSE);
    pairs.swap_remove(choice as usize % pairs.len())
}

#[test]
fn groups_that_are_appended_survive_a_cut_at_every_operation() {
    runtime().block_on(async {
        let story = Story {
            name: "groups",
            failed: &[],
            from_the_start: false,
            act: |_, process, told| {
                async move {
                    process.put(told, "alone").await;
                    process.delete(told, "before 1").await;
                    let mut ledgers = [(); 4].map(|()| Ledger::new());
                    let together = ledgers.iter_mut().zip(0..);
                    join_all(together.map(|(ledger, number)| async move {
                        process.put(ledger, &format!("together {number}")).await;
                    }))
                    .await;
                    told.extend(ledgers.into_iter().flatten());
                    process.put(told, "last").await;
                }
                .boxed()
            },
        };
        cut_everywhere(Base::new().await, story).await;
    });
}

#[test]
fn a_start_with_its_new_term_survives_a_cut_at_every_operation() {
    runtime().block_on(async {
        let story = Story {
            name: "a start",
            failed: &[],
            from_the_start: true,
            act: |_, process, told| process.put(told, "after the start").boxed(),
        };
        cut_everywhere(Base::new().await, story).await;
    });
}

#[test]
fn a_start_that_fills_a_new_holder_survives_a_cut_at_every_operation() {
    runtime().block_on(async {
        let base = Base::new().await;
        base.lab.lose_drive(HOLDERS[0]);
        let story = Story {
            name: "a start without a holder",
            failed: &[HOLDERS[0]],
            from_the_start: true,
            act: |_, process, told| process.put(told, "after the start").boxed(),
        };
        cut_everywhere(base, story).await;
    });
}

#[test]
fn a_holder_that_is_replaced_survives_a_cut_at_every_operation() {
    runtime().block_on(async {
        let story = Story {
            name: "a holder fails",
            failed: &[HOLDERS[0]],
            from_the_start: false,
            act: |lab, process, told| {
                async move {
                    lab.fail_drive(HOLDERS[0]);
                    process.put(told, "while it fails").await;
                    process.until_whole_without(lab, &HOLDERS[..1]).await;
                    process.put(told, "replaced").await;
                }
                .boxed()
            },
        };
        cut_everywhere(Base::new().await, story).await;
    });
}

/// Two failures: a second holder fails while the replacement of the first has not its image yet.
#[test]
fn a_second_holder_that_fails_meanwhile_survives_a_cut_at_every_operation() {
    runtime().block_on(async {
        let story = Story {
            name: "a second holder fails",
            failed: &[HOLDERS[0], HOLDERS[1]],
            from_the_start: false,
            act: |lab, process, told| {
                async move {
                    lab.gate.close();
                    lab.fail_drive(HOLDERS[0]);
                    process.put(told, "one fails").await;
                    let reached = || lab.gate.is_reached();
                    process.until(lab, "an image is made", reached).await;
                    lab.fail_drive(HOLDERS[1]);
                    // It waits for the image: one drive is too few.
                    let before = lab.disks[HOLDERS[2]].names("metadata");
                    let next_term = || lab.disks[HOLDERS[2]].names("metadata") != before;
                    let opened = async {
                        process.until(lab, "a new term", next_term).await;
                        lab.gate.open();
                    };
                    futures::join!(process.put(told, "two fail"), opened);
                    process.until_whole_without(lab, &HOLDERS[..2]).await;
                    process.put(told, "replaced").await;
                }
                .boxed()
            },
        };
        cut_everywhere(Base::new().await, story).await;
    });
}

/// Two failures: the drive that is being filled in the place of a holder fails itself.
#[test]
fn a_replacement_that_fails_meanwhile_survives_a_cut_at_every_operation() {
    runtime().block_on(async {
        let story = Story {
            name: "the replacement fails",
            failed: &[HOLDERS[0], 3],
            from_the_start: false,
            act: |lab, process, told| {
                async move {
                    lab.gate.close();
                    lab.fail_drive(HOLDERS[0]);
                    process.put(told, "one fails").await;
                    let reached = || lab.gate.is_reached();
                    process.until(lab, "an image is made", reached).await;
                    process.put(told, "while it is filled").await;
                    lab.fail_drive(3);
                    lab.gate.open();
                    process.until_whole_without(lab, &[HOLDERS[0], 3]).await;
                    process.put(told, "replaced").await;
                }
                .boxed()
            },
        };
        cut_everywhere(Base::new().await, story).await;
    });
}

#[test]
fn a_new_image_and_what_it_replaces_survive_a_cut_at_every_operation() {
    runtime().block_on(async {
        let mut base = Base::new().await;
        base.lab.rebase_bytes = 1;
        let story = Story {
            name: "a new image",
            failed: &[],
            from_the_start: false,
            act: |lab, process, told| {
                async move {
                    let images = || {
                        let mut names = Vec::new();
                        for holder in HOLDERS {
                            let found = lab.disks[holder].names("metadata");
                            names.extend(found.into_iter().filter(|n| n.starts_with("image-")));
                        }
                        names
                    };
                    let before = images();
                    // Records must outgrow the image that there is.
                    for number in 0..12 {
                        process.put(told, &format!("more {number}")).await;
                    }
                    let replaced = || images().iter().all(|name| !before.contains(name));
                    process.until(lab, "a new image", replaced).await;
                    process.put(told, "after it").await;
                }
                .boxed()
            },
        };
        cut_everywhere(base, story).await;
    });
}
