//! How the metadata's journal is, on the metrics page.

use std::sync::Arc;

use holdfast_metadata::Metadata;
use holdfast_metadata::journal::{JournalState, JournalStatus};
use holdfast_types::Clock;
use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

/// Collects the state of the journal; nothing where the database keeps its own.
pub(crate) struct JournalMetrics {
    metadata: Metadata,
    clock: Arc<dyn Clock>,
    gauges: Vec<(IntGauge, Number)>,
}

impl JournalMetrics {
    pub(crate) fn new(metadata: Metadata, clock: Arc<dyn Clock>) -> Self {
        let gauge = |name: &str, help: &str| {
            IntGauge::new(name, help).expect("the names are constants that follow the rules")
        };
        Self {
            metadata,
            clock,
            gauges: NUMBERS
                .iter()
                .map(|(name, help, read)| (gauge(name, help), *read))
                .collect(),
        }
    }
}

impl Collector for JournalMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges
            .iter()
            .flat_map(|(gauge, _)| gauge.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(status) = self.metadata.journal_status() else {
            return Vec::new();
        };
        let now_ms = self.clock.now_ms();
        let mut all = Vec::new();
        for (gauge, read) in &self.gauges {
            if let Some(number) = read(&status, now_ms) {
                gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
                all.extend(gauge.collect());
            }
        }
        all
    }
}

/// Takes one number out of the journal's state, at a time; `None`: it is not known.
type Number = fn(&JournalStatus, u64) -> Option<u64>;

fn seconds_since(now_ms: u64, then_ms: u64) -> u64 {
    now_ms.saturating_sub(then_ms) / 1000
}

const NUMBERS: [(&str, &str, Number); 8] = [
    (
        "holdfast_journal_holders",
        "Drives that the metadata's journal is on.",
        |status, _| Some(status.holders.len() as u64),
    ),
    (
        "holdfast_journal_holders_wanted",
        "Drives that the metadata's journal should be on.",
        |status, _| Some(status.holders_wanted as u64),
    ),
    (
        "holdfast_journal_stopped",
        "1 while the journal is on too few drives for anything to be written.",
        |status, _| Some(u64::from(status.state == JournalState::Stopped)),
    ),
    (
        "holdfast_journal_degraded_seconds",
        "For how long the journal has been on fewer drives than it should be; 0 when it is whole.",
        |status, now_ms| {
            let since = status.not_whole_since_ms;
            Some(since.map_or(0, |since| seconds_since(now_ms, since)))
        },
    ),
    (
        "holdfast_journal_term",
        "Rises with every change of the drives that hold the journal.",
        |status, _| Some(status.term),
    ),
    (
        "holdfast_journal_record_bytes",
        "Bytes of the journal's records since its last image.",
        |status, _| Some(status.record_bytes),
    ),
    (
        "holdfast_journal_image_bytes",
        "Bytes of the last image that this process has made.",
        |status, _| Some(status.image_bytes),
    ),
    (
        "holdfast_journal_image_age_seconds",
        "How old the journal's last image is.",
        |status, now_ms| status.image_ms.map(|then| seconds_since(now_ms, then)),
    ),
];
