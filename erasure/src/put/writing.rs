//! The fragments of one put, from the first block to the receipt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use holdfast_types::{Drive, DriveId, FragmentHeader, FragmentId, Placement};
use tokio::time::{Instant, sleep};

use super::{Debt, PutSpec, QuorumLost, Receipt, STALL, STALL_SUSPECT, Stray, WRITE_DEADLINE};
use crate::blobs::Shared;
use crate::failure::FragmentFailure;
use crate::health::Use;
use crate::location::fragment_index;
use crate::placement::Plan;
use crate::quorum::{FragmentSet, WriteRule};
use crate::writer::{FragmentTask, Message};

/// Stripes that are kept for a drive that takes over: what is in memory anyway. When the block
/// after them is in a fragment's queue, the first of them has been written.
const REPLAY_STRIPES: usize = 2;

/// A drive may set the put's pace while it takes at most this many times as long as the median
/// drive (and [`STALL`] in all): a debt costs a repair, which reads `k` times what it writes.
const SLOW_FACTOR: u32 = 4;

/// The grace for stragglers: this many times what the quorum took, within the bounds.
const GRACE_FACTOR: u32 = 4;
/// A drive in good health can pause this long to flush.
const GRACE_MIN: Duration = Duration::from_secs(1);
/// Longer than this a client should not wait for what it does not need.
const GRACE_MAX: Duration = Duration::from_secs(5);

/// One fragment of the put.
enum Fragment {
    /// Takes blocks.
    Open(FragmentTask, DriveId),
    /// Was asked to commit.
    Committing(DriveId),
    Durable(DriveId),
    Lost {
        drive: Option<DriveId>,
        reason: String,
        after_commit: bool,
    },
}

impl Fragment {
    /// How long its drive has taken for blocks so far.
    fn busy(&self) -> Option<Duration> {
        match self {
            Self::Open(task, _) => Some(task.busy()),
            Self::Committing(_) | Self::Durable(_) | Self::Lost { .. } => None,
        }
    }
}

pub(super) struct Writing<'a> {
    shared: &'a Shared,
    spec: PutSpec,
    rule: WriteRule,
    fragments: Vec<Fragment>,
    spares: Vec<Drive>,
    /// The first stripes, all that were sent so far; `None` when there have been more.
    replay: Option<Vec<Vec<Bytes>>>,
    strays: Vec<Stray>,
}

impl<'a> Writing<'a> {
    pub(super) fn start(shared: &'a Shared, spec: PutSpec, plan: Plan) -> Self {
        let rule = WriteRule::new(spec.layout, spec.protect, spec.quorum, &plan.chosen);
        let mut writing = Self {
            shared,
            spec,
            rule,
            fragments: Vec::with_capacity(plan.chosen.len()),
            spares: plan.spares,
            replay: Some(Vec::with_capacity(REPLAY_STRIPES)),
            strays: Vec::new(),
        };
        for (index, drive) in plan.chosen.iter().enumerate() {
            let fragment = match drive {
                Some(drive) => Fragment::Open(writing.task(index, drive.id, Vec::new()), drive.id),
                None => Fragment::Lost {
                    drive: None,
                    reason: "no drive could take it".to_owned(),
                    after_commit: false,
                },
            };
            writing.fragments.push(fragment);
        }
        writing
    }

    /// Hands the blocks of the next stripe to the fragments' tasks.
    pub(super) async fn send(&mut self, blocks: Vec<Bytes>) -> Result<(), QuorumLost> {
        self.deliver(|index| Message::Block(blocks[index].clone()))
            .await;
        let mut sent = self.replay.take();
        if let Some(stripes) = &mut sent {
            stripes.push(blocks);
            self.replace_lost(stripes);
        }
        self.replay = sent.filter(|stripes| stripes.len() <= REPLAY_STRIPES);
        self.check_open()
    }

    /// Makes the fragments durable, and says which are.
    pub(super) async fn commit(mut self) -> Result<Receipt, QuorumLost> {
        for fragment in &mut self.fragments {
            if let Fragment::Open(task, _) = fragment {
                task.keep_on_drop();
            }
        }
        self.deliver(|_| Message::Commit).await;
        self.wait_for_commits().await;
        if !self.rule.met_by(self.durable()) {
            return Err(self.quorum_lost(self.durable()));
        }
        Ok(self.receipt())
    }

    fn task(&self, index: usize, drive: DriveId, backlog: Vec<Bytes>) -> FragmentTask {
        let header = FragmentHeader {
            id: FragmentId {
                blob: self.spec.blob,
                region: self.spec.region.clone(),
                generation: self.spec.generation,
                index: fragment_index(index),
            },
            layout: self.spec.layout,
            blob_len: self.spec.len,
        };
        FragmentTask::start(Arc::clone(&self.shared.store), drive, header, backlog)
    }

    /// Hands a message to every open fragment. Those that have ended, or take nothing while the
    /// others could do without them, are lost.
    async fn deliver(&mut self, message: impl Fn(usize) -> Message) {
        let mut waiting = FragmentSet::default();
        let sends = FuturesUnordered::new();
        for (index, fragment) in self.fragments.iter().enumerate() {
            if let Fragment::Open(task, _) = fragment {
                let (sender, message) = (task.sender(), message(index));
                waiting.insert(index);
                sends.push(async move { (index, sender.send(message).await.is_ok()) });
            }
        }
        let (taken, refused) = self.wait_for_sends(sends, waiting).await;
        for index in 0..self.fragments.len() {
            if refused.contains(index) {
                self.reap(index).await;
            } else if waiting.contains(index) && !taken.contains(index) {
                self.give_up(index, "the drive took nothing for too long");
            }
        }
    }

    async fn wait_for_sends(
        &self,
        mut sends: FuturesUnordered<impl Future<Output = (usize, bool)>>,
        waiting: FragmentSet,
    ) -> (FragmentSet, FragmentSet) {
        let (mut taken, mut refused) = (FragmentSet::default(), FragmentSet::default());
        let mut patience = std::pin::pin!(sleep(WRITE_DEADLINE));
        let mut enough = false;
        loop {
            tokio::select! {
                biased;
                sent = sends.next() => match sent {
                    Some((index, true)) => taken.insert(index),
                    Some((index, false)) => refused.insert(index),
                    None => return (taken, refused),
                },
                () = &mut patience => return (taken, refused),
            }
            if !enough && self.rule.met_by(taken) {
                enough = true;
                let rest = (0..self.fragments.len()).filter(|&index| {
                    waiting.contains(index) && !taken.contains(index) && !refused.contains(index)
                });
                patience
                    .as_mut()
                    .reset(Instant::now() + self.patience(rest));
            }
        }
    }

    /// How long to wait for these fragments while the others could do without them: not at all
    /// where their drives are many times slower than most.
    fn patience(&self, fragments: impl Iterator<Item = usize> + Clone) -> Duration {
        let mut busy: Vec<Duration> = self.fragments.iter().filter_map(Fragment::busy).collect();
        busy.sort_unstable();
        let median = busy.get(busy.len() / 2).copied().unwrap_or_default();
        let too_slow = |index: usize| {
            self.fragments[index]
                .busy()
                .is_some_and(|busy| busy > STALL + median * SLOW_FACTOR)
        };
        if fragments.clone().all(too_slow) {
            Duration::ZERO
        } else if self.all_suspect(fragments) {
            STALL_SUSPECT
        } else {
            STALL
        }
    }

    /// Takes note of why a fragment's task has ended before it was asked to commit.
    async fn reap(&mut self, index: usize) {
        if let Fragment::Open(task, drive) = self.take(index) {
            let reason = match task.outcome().await {
                Ok(()) => "its writer ended early".to_owned(),
                Err(reason) => reason,
            };
            self.lose(index, drive, reason, false);
        }
    }

    fn give_up(&mut self, index: usize, reason: &str) {
        if let Fragment::Open(mut task, drive) = self.take(index) {
            task.stop();
            self.lose(index, drive, reason.to_owned(), false);
        }
    }

    fn lose(&mut self, index: usize, drive: DriveId, reason: String, after_commit: bool) {
        self.shared.health.failed(drive, Use::Write);
        tracing::warn!(blob = %self.spec.blob, index, %drive, reason, "a fragment was not written");
        self.fragments[index] = Fragment::Lost {
            drive: Some(drive),
            reason,
            after_commit,
        };
    }

    fn take(&mut self, index: usize) -> Fragment {
        let gone = Fragment::Lost {
            drive: None,
            reason: String::new(),
            after_commit: false,
        };
        std::mem::replace(&mut self.fragments[index], gone)
    }

    /// Gives lost fragments to spare drives, from their first block on. Returns which.
    fn replace_lost(&mut self, sent: &[Vec<Bytes>]) -> Vec<usize> {
        let lost: Vec<usize> = (0..self.fragments.len())
            .filter(|&index| matches!(self.fragments[index], Fragment::Lost { drive: Some(_), .. }))
            .collect();
        let mut replaced = Vec::new();
        for index in lost {
            let Some(drive) = self.take_spare() else {
                break;
            };
            if let Fragment::Lost {
                drive: Some(old),
                after_commit: true,
                ..
            } = self.fragments[index]
            {
                self.strays.push(Stray {
                    index: fragment_index(index),
                    drive: old,
                });
            }
            let backlog = sent.iter().map(|stripe| stripe[index].clone()).collect();
            let task = self.task(index, drive.id, backlog);
            self.rule.moved(index, &drive);
            self.fragments[index] = Fragment::Open(task, drive.id);
            self.shared.counting.fragments_replaced.add(1);
            replaced.push(index);
        }
        replaced
    }

    /// The spare whose failure domain has the fewest of the fragments that are not lost.
    fn take_spare(&mut self) -> Option<Drive> {
        let kept = self.kept();
        let best = (0..self.spares.len())
            .min_by_key(|&spare| self.rule.shared_with(&self.spares[spare], kept))?;
        Some(self.spares.remove(best))
    }

    async fn wait_for_commits(&mut self) {
        let mut commits = FuturesUnordered::new();
        let started = Instant::now();
        let mut patience = std::pin::pin!(sleep(WRITE_DEADLINE));
        let mut enough = false;
        let replay = self.replay.take();
        loop {
            if let Some(sent) = &replay {
                for index in self.replace_lost(sent) {
                    if let Fragment::Open(task, _) = &mut self.fragments[index] {
                        task.commit_after_backlog();
                    }
                }
            }
            for index in 0..self.fragments.len() {
                if let Fragment::Open(_, drive) = self.fragments[index]
                    && let Fragment::Open(task, _) =
                        std::mem::replace(&mut self.fragments[index], Fragment::Committing(drive))
                {
                    commits.push(async move { (index, drive, task.outcome().await) });
                }
            }
            if !enough && self.rule.met_by(self.durable()) {
                enough = true;
                patience
                    .as_mut()
                    .reset(Instant::now() + self.grace(started.elapsed()));
            }
            tokio::select! {
                biased;
                outcome = commits.next() => match outcome {
                    Some((index, drive, Ok(()))) => {
                        self.shared.health.good(drive, Use::Write);
                        self.fragments[index] = Fragment::Durable(drive);
                    }
                    Some((index, drive, Err(reason))) => self.lose(index, drive, reason, true),
                    None => break,
                },
                () = &mut patience => break,
            }
        }
        self.leave_stragglers();
    }

    /// What has not committed by now goes on by itself, and is a debt.
    fn leave_stragglers(&mut self) {
        for index in 0..self.fragments.len() {
            if let Fragment::Committing(drive) = self.fragments[index] {
                self.lose(index, drive, "its commit took too long".to_owned(), true);
            }
        }
    }

    /// How long to wait for the rest once the write rule is met.
    fn grace(&self, took: Duration) -> Duration {
        let rest = (0..self.fragments.len())
            .filter(|&index| matches!(self.fragments[index], Fragment::Committing(_)));
        if self.all_suspect(rest) {
            return STALL_SUSPECT;
        }
        (took * GRACE_FACTOR).clamp(GRACE_MIN, GRACE_MAX)
    }

    fn all_suspect(&self, mut fragments: impl Iterator<Item = usize>) -> bool {
        fragments.all(|index| match self.fragments[index] {
            Fragment::Open(_, drive) | Fragment::Committing(drive) => {
                self.shared.health.suspect(drive, Use::Write)
            }
            Fragment::Durable(_) | Fragment::Lost { .. } => true,
        })
    }

    fn durable(&self) -> FragmentSet {
        self.those(|fragment| matches!(fragment, Fragment::Durable(_)))
    }

    /// Those that are, or may still become, durable.
    fn kept(&self) -> FragmentSet {
        self.those(|fragment| !matches!(fragment, Fragment::Lost { .. }))
    }

    fn those(&self, which: impl Fn(&Fragment) -> bool) -> FragmentSet {
        (0..self.fragments.len())
            .filter(|&index| which(&self.fragments[index]))
            .collect()
    }

    /// Gives up early when the write rule can't be met any more.
    fn check_open(&self) -> Result<(), QuorumLost> {
        let kept = self.kept();
        if self.rule.met_by(kept) {
            Ok(())
        } else {
            Err(self.quorum_lost(kept))
        }
    }

    fn quorum_lost(&self, durable: FragmentSet) -> QuorumLost {
        let reasons = self
            .fragments
            .iter()
            .enumerate()
            .filter_map(|(index, fragment)| {
                let Fragment::Lost { drive, reason, .. } = fragment else {
                    return None;
                };
                let index = fragment_index(index);
                Some(FragmentFailure {
                    index,
                    drive: *drive,
                    reason: reason.clone(),
                })
            });
        QuorumLost {
            layout: self.spec.layout,
            protect: self.spec.protect,
            needed: usize::from(self.spec.write_quorum()),
            durable: durable.len(),
            reasons: reasons.collect(),
        }
    }

    fn receipt(self) -> Receipt {
        let mut drives = Vec::with_capacity(self.fragments.len());
        let mut debts = Vec::new();
        for (index, fragment) in self.fragments.into_iter().enumerate() {
            match fragment {
                Fragment::Durable(drive) => drives.push(Some(drive)),
                Fragment::Lost { drive, reason, .. } => {
                    drives.push(None);
                    debts.push(Debt {
                        index: fragment_index(index),
                        drive,
                        reason,
                    });
                }
                Fragment::Open(..) | Fragment::Committing(_) => {
                    unreachable!("all fragments are durable or lost when the commits are over")
                }
            }
        }
        let Self {
            shared,
            spec,
            strays,
            ..
        } = self;
        shared.counting.blobs_put.add(1);
        shared
            .counting
            .bytes_put
            .add(usize::try_from(spec.len).unwrap_or(usize::MAX));
        shared.counting.fragments_owed.add(debts.len());
        let placement = Placement {
            region: spec.region,
            generation: spec.generation,
            layout: spec.layout,
            drives,
        };
        Receipt {
            blob: spec.blob,
            len: spec.len,
            placement,
            debts,
            strays,
        }
    }
}
