//! Reports of missing and rotten fragments, on their way from a read to the metadata.
//!
//! A read that had to go around a fragment says so and goes on: the report is put on a bounded
//! queue and written by one task, in batches. A reader never waits for it, and a full queue drops
//! the report (counted), because the next read or scrub finds the same fragment again. What was
//! reported a short while ago is not reported twice, so that a hot object with a missing drive
//! does not turn each of its reads into a write.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_erasure::{Damage, DebtObserver, FragmentReport};
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::{Clock, FragmentId};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// The most reports that wait: 4096 reports are about a megabyte.
const QUEUE_LEN: usize = 4096;

/// The most reports that are written as one command.
const BATCH_LEN: usize = 256;

/// The most fragments that are remembered as reported; beyond it the memory starts afresh.
const REMEMBERED: usize = 65_536;

/// A fragment that is still wanting after this time is reported again: its debt may have been
/// settled wrongly in between.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Between two attempts to write a batch while the metadata is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often a batch is tried before it is dropped and forgotten.
const ATTEMPTS: u32 = 5;

/// Takes the reports of reads. Cheap to clone; never waits.
#[derive(Clone)]
pub struct DebtReporter {
    queue: mpsc::Sender<Debt>,
    recent: Arc<Mutex<Recent>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// Writes what the reporters took; its [`DebtWriter::run`] is a task of its own.
pub struct DebtWriter {
    queue: mpsc::Receiver<Debt>,
    recent: Arc<Mutex<Recent>>,
    metrics: Metrics,
}

impl DebtReporter {
    /// A reporter and the writer behind it.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, metrics: Metrics) -> (Self, DebtWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE_LEN);
        let recent = Arc::default();
        let writer = DebtWriter {
            queue: receiver,
            recent: Arc::clone(&recent),
            metrics: metrics.clone(),
        };
        (
            Self {
                queue: sender,
                recent,
                clock,
                metrics,
            },
            writer,
        )
    }
}

impl DebtObserver for DebtReporter {
    fn report(&self, report: FragmentReport) {
        let now_ms = self.clock.now_ms();
        let debt = debt_of(report, now_ms);
        if !lock(&self.recent).is_new(fragment_of(&debt), now_ms) {
            return;
        }
        if let Err(full) = self.queue.try_send(debt) {
            lock(&self.recent).forget(&fragment_of(&full.into_inner()));
            self.metrics.debts_dropped.inc();
        }
    }
}

impl DebtWriter {
    /// Writes reports until all reporters are gone and the queue is empty.
    pub async fn run(mut self, metadata: Metadata) {
        let mut batch = Vec::with_capacity(BATCH_LEN);
        while self.queue.recv_many(&mut batch, BATCH_LEN).await > 0 {
            self.write(&metadata, std::mem::take(&mut batch)).await;
        }
    }

    async fn write(&self, metadata: &Metadata, debts: Vec<Debt>) {
        for attempt in 1..=ATTEMPTS {
            match metadata
                .report_debts(ReportDebts {
                    debts: debts.clone(),
                })
                .await
            {
                Ok(()) => return self.count(&debts),
                Err(MetadataError::Unavailable(reason)) if attempt < ATTEMPTS => {
                    tracing::debug!(%reason, attempt, "debts wait for the metadata");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                Err(error) => {
                    let dropped = debts.len();
                    tracing::warn!(%error, dropped, "reports of damaged fragments were dropped");
                    break;
                }
            }
        }
        // The next read that finds them reports them again.
        let mut recent = lock(&self.recent);
        debts
            .iter()
            .for_each(|debt| recent.forget(&fragment_of(debt)));
        self.metrics.debts_dropped.inc_by(debts.len() as u64);
    }

    fn count(&self, debts: &[Debt]) {
        for debt in debts {
            self.metrics.debts_reported(kind_name(debt.kind), 1);
        }
    }
}

/// What was reported a short while ago.
#[derive(Debug, Default)]
struct Recent {
    fragments: HashSet<FragmentId>,
    since_ms: u64,
}

impl Recent {
    fn is_new(&mut self, fragment: FragmentId, now_ms: u64) -> bool {
        let age_ms = u128::from(now_ms.saturating_sub(self.since_ms));
        if age_ms > REMEMBERED_FOR.as_millis() || self.fragments.len() >= REMEMBERED {
            self.fragments.clear();
            self.since_ms = now_ms;
        }
        self.fragments.insert(fragment)
    }

    fn forget(&mut self, fragment: &FragmentId) {
        self.fragments.remove(fragment);
    }
}

fn lock(recent: &Mutex<Recent>) -> std::sync::MutexGuard<'_, Recent> {
    // A set of what was reported is right in any state.
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

fn debt_of(report: FragmentReport, now_ms: u64) -> Debt {
    Debt {
        blob: report.blob,
        region: report.region,
        generation: report.generation,
        index: report.index,
        drive: Some(report.drive),
        kind: match report.damage {
            Damage::Missing => DebtKind::Missing,
            Damage::Corrupt => DebtKind::Corrupt,
        },
        created_ms: now_ms,
    }
}

fn fragment_of(debt: &Debt) -> FragmentId {
    FragmentId {
        blob: debt.blob,
        region: debt.region.clone(),
        generation: debt.generation,
        index: debt.index,
    }
}

const fn kind_name(kind: DebtKind) -> &'static str {
    match kind {
        DebtKind::Unwritten => "unwritten",
        DebtKind::Missing => "missing",
        DebtKind::Corrupt => "corrupt",
    }
}

impl fmt::Debug for DebtReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebtReporter").finish_non_exhaustive()
    }
}

impl fmt::Debug for DebtWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebtWriter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, ManualClock, Region};

    use super::*;

    fn report(index: u8) -> FragmentReport {
        FragmentReport {
            blob: BlobId::from_bytes([7; 16]),
            region: Region::parse("here").unwrap(),
            generation: Generation(1),
            index: FragmentIndex(index),
            drive: DriveId::from_bytes([9; 16]),
            damage: Damage::Missing,
        }
    }

    #[test]
    fn a_fragment_is_reported_once_in_a_while() {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let (reporter, mut writer) =
            DebtReporter::new(Arc::<ManualClock>::clone(&clock), Metrics::new());
        reporter.report(report(0));
        reporter.report(report(0));
        reporter.report(report(1));
        assert_eq!(
            writer.queue.try_recv().unwrap(),
            debt_of(report(0), 1_000_000)
        );
        assert_eq!(
            writer.queue.try_recv().unwrap(),
            debt_of(report(1), 1_000_000)
        );
        assert!(writer.queue.try_recv().is_err());

        clock.advance_ms(REMEMBERED_FOR.as_millis() as u64 + 1);
        reporter.report(report(0));
        assert_eq!(writer.queue.try_recv().unwrap().index, FragmentIndex(0));
    }

    #[test]
    fn a_full_queue_drops_reports_and_remembers_nothing_of_them() {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let metrics = Metrics::new();
        let (reporter, mut writer) = DebtReporter::new(clock, metrics.clone());
        let of_blob = |n: usize| FragmentReport {
            blob: BlobId::from_bytes((n as u128).to_be_bytes()),
            ..report(0)
        };
        (0..=QUEUE_LEN).for_each(|n| reporter.report(of_blob(n)));
        assert_eq!(metrics.debts_dropped.get(), 1);
        while writer.queue.try_recv().is_ok() {}
        reporter.report(of_blob(QUEUE_LEN));
        assert_eq!(
            writer.queue.try_recv().unwrap().blob,
            of_blob(QUEUE_LEN).blob
        );
    }
}
