//! Brings every blob back to all its fragments, in order of risk.
//!
//! A round: walk all debts and keep the most urgent (`plan.rs`), repair those, several at a time
//! (`one.rs`), then delete the strays that repairs left. The state is in the metadata alone: killed
//! at any point, the next start finds the same debts, and what was written in between is either
//! settled, found whole, or a recorded stray. A debt that can't be repaired now stays, and is tried
//! again when a drive's state changes or the next round comes.

mod one;
mod plan;
mod status;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_erasure::Blobs;
use holdfast_metadata::Metadata;
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_metadata::repair::{OwedBlob, Stray, StrayVerdict};
use holdfast_types::{Clock, DriveId, DriveState, FragmentId, FragmentStore, StoreError};

use self::one::{Repair, Repaired};
use self::plan::{InVain, Plan, QUEUE_LEN};
use crate::worker::{Advance, Progress, WorkError, Worker};

pub use self::status::{Owed, RepairHandle, RepairStatus};

/// The worker that repairs.
pub struct Repairer {
    metadata: Metadata,
    blobs: Blobs,
    store: Arc<dyn FragmentStore>,
    clock: Arc<dyn Clock>,
    handle: RepairHandle,
    /// The drives as they were when this round began.
    states: HashMap<DriveId, DriveState>,
    phase: Phase,
    round: Round,
    in_vain: InVain,
    queue_len: usize,
    walk_took: Duration,
}

enum Phase {
    Walking(Box<Plan>, Instant),
    /// The most urgent is last.
    Repairing(Vec<OwedBlob>),
    Sweeping(Vec<DriveId>, Option<Stray>),
}

/// What this round has come to.
#[derive(Debug, Default)]
struct Round {
    settled: u64,
    blocked: u64,
    error: Option<String>,
    last_step: Option<Instant>,
}

impl Repairer {
    /// A repair of what is owed in the region that `metadata` answers for.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        blobs: Blobs,
        store: Arc<dyn FragmentStore>,
        clock: Arc<dyn Clock>,
    ) -> (Self, RepairHandle) {
        let handle = RepairHandle::default();
        let repairer = Self {
            metadata,
            blobs,
            store,
            clock,
            handle: handle.clone(),
            states: HashMap::new(),
            phase: Phase::begin(QUEUE_LEN),
            round: Round::default(),
            in_vain: InVain::default(),
            queue_len: QUEUE_LEN,
            walk_took: Duration::ZERO,
        };
        (repairer, handle)
    }

    fn states_now(&self) -> HashMap<DriveId, DriveState> {
        let drives = self.store.drives().into_iter();
        drives.map(|drive| (drive.id, drive.state)).collect()
    }

    /// One page of the walk.
    async fn walk(&mut self, mut plan: Box<Plan>, began: Instant) -> Result<Phase, WorkError> {
        let page = self.metadata.owed_page(plan.after, PAGE).await?;
        if !page.is_empty() {
            for owed in page {
                plan.take(owed, &self.states, &self.in_vain);
            }
            return Ok(Phase::Walking(plan, began));
        }
        if plan.untried == 0 {
            // All were tried: each gets its turn again.
            self.in_vain.clear();
        }
        self.walk_took = began.elapsed();
        let (now_ms, found) = (self.clock.now_ms(), plan.by_spares.clone());
        if self.handle.status().by_spares != found {
            self.handle.debts_changed();
        }
        self.handle.change(|status| {
            status.as_of_ms = now_ms;
            status.remaining_bytes = found.values().map(|owed| owed.bytes).sum();
            status.by_spares = found;
        });
        Ok(Phase::Repairing(plan.into_queue()))
    }

    /// The next few blobs, side by side.
    async fn repair(&mut self, queue: &mut Vec<OwedBlob>) -> Result<(), WorkError> {
        let began = Instant::now();
        let next = queue.split_off(queue.len().saturating_sub(AT_ONCE));
        let repair = Repair {
            metadata: &self.metadata,
            blobs: &self.blobs,
            states: &self.states,
        };
        let repair = &repair;
        let outcomes: Vec<_> = stream::iter(next.into_iter().rev())
            .map(|owed| async move { (owed.blob.blob, repair.run(&owed).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut bytes = 0;
        for (blob, outcome) in outcomes {
            // One that the metadata can't speak of must not be the first of every round.
            let is_owed = outcome.as_ref().map_or(true, |done| done.blocked > 0);
            self.in_vain.tried(blob, is_owed);
            let done = outcome?;
            bytes += done.bytes;
            self.note(done);
        }
        // The rest before this step is a part of what it takes.
        let since = self
            .round
            .last_step
            .replace(Instant::now())
            .unwrap_or(began);
        self.note_rate(bytes, since.elapsed());
        Ok(())
    }

    fn note_rate(&self, bytes: u64, took: Duration) {
        if bytes == 0 {
            return;
        }
        let now = bytes.saturating_mul(1000) / (took.as_millis() as u64).max(1);
        self.handle.change(|status| {
            status.bytes_per_second = match status.bytes_per_second {
                0 => now,
                // A few steps' mean, so that one slow blob does not change the forecast.
                before => (before.saturating_mul(7).saturating_add(now)) / 8,
            };
        });
    }

    fn note(&mut self, done: Repaired) {
        self.round.settled += done.written + done.found_well;
        self.round.blocked += done.blocked;
        if done.error.is_some() {
            self.round.error.clone_from(&done.error);
        }
        self.handle.change(|status| {
            status.repaired_fragments += done.written;
            status.repaired_bytes += done.bytes;
            status.found_well += done.found_well;
            status.remaining_bytes = status.remaining_bytes.saturating_sub(done.bytes);
            if let Some(error) = done.error {
                status.failures += 1;
                status.last_error = error;
            }
        });
    }

    /// A page of the strays of one drive.
    async fn sweep(
        &self,
        mut drives: Vec<DriveId>,
        after: Option<Stray>,
    ) -> Result<Option<Phase>, WorkError> {
        let Some(&drive) = drives.last() else {
            return Ok(None);
        };
        let due = self
            .metadata
            .due_strays(drive, after.as_ref(), STRAYS)
            .await?;
        let Some(last) = due.last().cloned() else {
            drives.pop();
            return Ok(Some(Phase::Sweeping(drives, None)));
        };
        let outcomes: Vec<Result<(), WorkError>> = stream::iter(due)
            .map(|stray| self.sweep_one(stray))
            .buffer_unordered(STRAYS_AT_ONCE)
            .collect()
            .await;
        outcomes.into_iter().collect::<Result<(), WorkError>>()?;
        Ok(Some(Phase::Sweeping(drives, Some(last))))
    }

    async fn sweep_one(&self, stray: Stray) -> Result<(), WorkError> {
        let fragment = FragmentId {
            blob: stray.blob,
            region: stray.region.clone(),
            generation: stray.generation,
            index: stray.index,
        };
        if !self.is_surplus(&stray, &fragment).await?
            || self.metadata.judge_stray(stray.clone()).await? != StrayVerdict::Doomed
        {
            return Ok(());
        }
        let deletion = self.blobs.delete([(stray.drive, fragment)]).await;
        if deletion.unreached.is_empty() {
            self.metadata.forget_stray(stray).await?;
        }
        Ok(())
    }

    /// Whether the drive that should have the fragment says that it has: else this may be the last
    /// one, whatever the placement says. Where nothing needs it, it is surplus anyway.
    async fn is_surplus(&self, stray: &Stray, fragment: &FragmentId) -> Result<bool, WorkError> {
        let placed = self.metadata.placement(stray.blob, stray.generation);
        let home = placed.await?.and_then(|placed| {
            let drives = placed.placement.drives;
            drives.get(usize::from(stray.index.0)).copied().flatten()
        });
        let Some(home) = home.filter(|home| *home != stray.drive) else {
            return Ok(true);
        };
        let kind = match self.store.stat(home, fragment).await {
            Ok(_) => return Ok(true),
            Err(StoreError::NotFound { .. }) => DebtKind::Missing,
            Err(StoreError::Corrupt { .. }) => DebtKind::Corrupt,
            // Nobody knows now.
            Err(_) => return Ok(false),
        };
        let debt = Debt {
            blob: stray.blob,
            region: stray.region.clone(),
            generation: stray.generation,
            index: stray.index,
            drive: Some(home),
            kind,
            created_ms: self.clock.now_ms(),
        };
        let report = ReportDebts { debts: vec![debt] };
        self.metadata.report_debts(report).await?;
        Ok(false)
    }

    /// The end of a round: another one at once if this one has done something.
    fn end_round(&mut self) -> Progress {
        let round = std::mem::take(&mut self.round);
        self.handle.change(|status| {
            status.blocked = round.blocked;
            status.last_error = round.error.unwrap_or_default();
        });
        if round.settled > 0 {
            self.handle.debts_changed();
            Progress::Busy
        } else {
            Progress::Idle
        }
    }
}

impl Phase {
    fn begin(queue_len: usize) -> Self {
        Self::Walking(Box::new(Plan::new(queue_len)), Instant::now())
    }
}

#[async_trait]
impl Worker for Repairer {
    fn name(&self) -> &'static str {
        "repair"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let now = self.states_now();
        if now != self.states {
            // What is urgent, and where things can go, has changed.
            self.states = now;
            self.in_vain.clear();
            self.phase = Phase::begin(self.queue_len);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::begin(self.queue_len));
        match phase {
            Phase::Walking(plan, began) => self.phase = self.walk(plan, began).await?,
            Phase::Repairing(mut queue) if !queue.is_empty() => {
                self.repair(&mut queue).await?;
                self.phase = Phase::Repairing(queue);
            }
            Phase::Repairing(_) => {
                let readable = self.states.iter().filter(|(_, state)| state.readable());
                let drives = readable.map(|(drive, _)| *drive).collect();
                self.phase = Phase::Sweeping(drives, None);
            }
            Phase::Sweeping(drives, after) => match self.sweep(drives, after).await? {
                Some(phase) => self.phase = phase,
                None => return Ok(self.end_round()),
            },
        }
        Ok(Progress::Busy)
    }

    /// Until a drive changes its state, or a while has passed.
    async fn wait(&mut self) {
        let pause = PAUSE.max(self.walk_took * 10);
        let until = tokio::time::Instant::now() + pause;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.states_now() != self.states {
                return;
            }
        }
    }

    /// Bytes of this round: what was owed when it was counted.
    fn advance(&self) -> Option<Advance> {
        let status = self.handle.status();
        let total: u64 = status.by_spares.values().map(|owed| owed.bytes).sum();
        (total > 0).then(|| Advance {
            done: total.saturating_sub(status.remaining_bytes),
            total,
            unit: "bytes",
        })
    }

    fn longest_rest(&self) -> Duration {
        LONGEST_REST
    }

    fn doing(&self) -> String {
        let status = self.handle.status();
        let owed: u64 = status.by_spares.values().map(|owed| owed.fragments).sum();
        format!(
            "{} fragments repaired, {} found whole, {owed} owed when last counted",
            status.repaired_fragments, status.found_well
        )
    }
}

impl fmt::Debug for Repairer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repairer").finish_non_exhaustive()
    }
}

/// Debts of one step of the walk: a few milliseconds.
const PAGE: usize = 500;
/// Blobs at once: their drives are busy, and the memory of their stripes is small.
const AT_ONCE: usize = 4;
/// Strays of one step.
const STRAYS: usize = 64;
const STRAYS_AT_ONCE: usize = 16;
/// Between two rounds that had nothing to do; ten times as long as a walk took, if that is more.
const PAUSE: Duration = Duration::from_secs(5);
/// How soon a drive that went or came is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A step may take seconds (a big blob), and is to be followed by a rest of its share.
const LONGEST_REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
