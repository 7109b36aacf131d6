//! The drives' scrubs as background work: stepped, paced, shown, and what they find noted as debts.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_replication::worker::{Advance, Progress, WorkError, Worker};
use holdfast_storage_node::{Finding, LocalStore, NotTaken, Scrub, ScrubReport, ScrubStep};
use holdfast_types::{Clock, DriveId, FragmentId};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

/// Scrubs one drive.
pub(crate) struct DriveScrub {
    scrub: Scrub,
    notes: Notes,
    clock: Arc<dyn Clock>,
}

impl DriveScrub {
    /// One for each drive: one that hangs holds up only its own.
    pub(crate) fn new(scrub: Scrub, metadata: &Metadata, clock: &Arc<dyn Clock>) -> Self {
        Self {
            scrub,
            notes: Notes {
                metadata: metadata.clone(),
                clock: Arc::clone(clock),
                refused: Mutex::default(),
            },
            clock: Arc::clone(clock),
        }
    }
}

#[async_trait]
impl Worker for DriveScrub {
    fn name(&self) -> &'static str {
        "scrub"
    }

    /// A drive is one process's, which has it locked.
    fn leased(&mut self) -> Option<&mut Metadata> {
        None
    }

    fn subject(&self) -> Option<String> {
        Some(self.scrub.place())
    }

    fn advance(&self) -> Option<Advance> {
        let at = self.scrub.progress();
        (at.fragments > 0 && !at.is_resting).then(|| Advance {
            done: at.verified.min(at.fragments),
            total: at.fragments,
            unit: "fragments",
        })
    }

    fn usual_pace(&self) -> u8 {
        Scrub::USUAL_SHARE_PERCENT
    }

    fn set_pace(&mut self, percent: u8) {
        self.scrub.set_share(percent);
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        match self.scrub.step(&self.notes).await {
            // Its pace is its own: each piece is followed by a pause.
            Ok(ScrubStep::More | ScrubStep::Done | ScrubStep::Away) => Ok(Progress::Idle),
            Err(NotTaken(reason)) => Err(WorkError::Metadata(
                self.notes
                    .take_refused()
                    .unwrap_or(MetadataError::Unavailable(reason)),
            )),
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.scrub.pause()).await;
    }

    fn doing(&self) -> String {
        let at = self.scrub.progress();
        let place = self.scrub.place();
        if self.scrub.is_away() {
            return format!("{place}: waits for the drive");
        }
        let hours = self
            .clock
            .now_ms()
            .saturating_sub(at.verified_since_ms.max(1)) as f64
            / 3_600_000.0;
        let verified = match at.verified_since_ms {
            0 => "nothing known yet".to_owned(),
            _ => format!("all verified within the last {hours:.1} hours"),
        };
        format!(
            "{place}: {} of {} fragments verified in cycle {}, {} of them bad; {verified}",
            at.verified,
            at.fragments,
            at.cycles + u64::from(!at.is_resting),
            at.bad,
        )
    }
}

/// Notes findings as debts. The metadata takes only those whose placement still names the drive.
struct Notes {
    metadata: Metadata,
    clock: Arc<dyn Clock>,
    refused: Mutex<Option<MetadataError>>,
}

impl Notes {
    fn take_refused(&self) -> Option<MetadataError> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

#[async_trait]
impl ScrubReport for Notes {
    async fn bad(
        &self,
        drive: DriveId,
        fragment: &FragmentId,
        finding: Finding,
    ) -> Result<(), NotTaken> {
        let debt = Debt {
            blob: fragment.blob,
            region: fragment.region.clone(),
            generation: fragment.generation,
            index: fragment.index,
            drive: Some(drive),
            kind: match finding {
                Finding::Missing => DebtKind::Missing,
                Finding::Corrupt => DebtKind::Corrupt,
            },
            created_ms: self.clock.now_ms(),
        };
        let report = ReportDebts { debts: vec![debt] };
        self.metadata.report_debts(report).await.map_err(|error| {
            let reason = error.to_string();
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            NotTaken(reason)
        })
    }
}

/// How long ago what was verified longest ago was verified, on the metrics page.
pub(crate) struct ScrubMetrics {
    store: Arc<LocalStore>,
    clock: Arc<dyn Clock>,
    oldest: IntGaugeVec,
    cycles: IntGaugeVec,
}

impl ScrubMetrics {
    pub(crate) fn new(store: Arc<LocalStore>, clock: Arc<dyn Clock>) -> Self {
        let gauge = |name: &str, help: &str| {
            IntGaugeVec::new(Opts::new(name, help), &["drive"])
                .expect("the names and label are constants that follow the rules")
        };
        Self {
            store,
            clock,
            oldest: gauge(
                "holdfast_drive_oldest_unverified_seconds",
                "Every fragment of the drive was verified or written within so many seconds.",
            ),
            cycles: gauge(
                "holdfast_drive_scrub_cycles_total",
                "Times that every fragment of the drive was verified.",
            ),
        }
    }
}

impl Collector for ScrubMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.oldest.desc();
        all.extend(self.cycles.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now_ms = self.clock.now_ms();
        self.oldest.reset();
        self.cycles.reset();
        for (drive, at) in self.store.scrub_progress() {
            // A drive that was never there has nothing of which an age is known.
            if at.verified_since_ms == 0 {
                continue;
            }
            let label = drive.to_string();
            let age_seconds = now_ms.saturating_sub(at.verified_since_ms) / 1000;
            let set = |gauge: &IntGaugeVec, value: u64| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                gauge.with_label_values(&[&label]).set(value);
            };
            set(&self.oldest, age_seconds);
            set(&self.cycles, at.cycles);
        }
        let mut all = self.oldest.collect();
        all.extend(self.cycles.collect());
        all
    }
}
