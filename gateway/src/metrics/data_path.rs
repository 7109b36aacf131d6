//! What the data path has done, on the metrics page.
//!
//! `erasure` counts for itself and knows no Prometheus; its numbers are read when the page is asked
//! for.

use std::sync::{Mutex, PoisonError};

use holdfast_erasure::{Blobs, Counters};
use prometheus::IntCounter;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

/// The data path's counters as a collector.
pub(super) struct DataPathMetrics {
    blobs: Blobs,
    counters: Vec<(IntCounter, Read)>,
    collecting: Mutex<()>,
}

/// Where a number is.
type Read = fn(&Counters) -> u64;

/// Name, help, and where the number is.
type Line = (&'static str, &'static str, Read);

const LINES: [Line; 8] = [
    (
        "holdfast_blobs_put_total",
        "Blobs that were made durable on their write quorum.",
        |counters| counters.blobs_put,
    ),
    (
        "holdfast_fragments_owed_total",
        "Fragments that were not durable when their blob's write was acknowledged.",
        |counters| counters.fragments_owed,
    ),
    (
        "holdfast_fragments_replaced_total",
        "Fragments that a spare drive took over during a write.",
        |counters| counters.fragments_replaced,
    ),
    (
        "holdfast_drive_reads_total",
        "Calls to drives for blocks.",
        |counters| counters.reads,
    ),
    (
        "holdfast_drive_reads_late_total",
        "Calls to drives for blocks that were late, so that others were asked.",
        |counters| counters.reads_late,
    ),
    (
        "holdfast_drive_reads_failed_total",
        "Calls to drives for blocks that failed.",
        |counters| counters.reads_failed,
    ),
    (
        "holdfast_rebuilt_blocks_total",
        "Blocks that a read rebuilt from other fragments.",
        |counters| counters.blocks_rebuilt,
    ),
    (
        "holdfast_rotten_blocks_total",
        "Blocks that did not match their checksums.",
        |counters| counters.blocks_rotten,
    ),
];

impl DataPathMetrics {
    pub(super) fn new(blobs: Blobs) -> Self {
        let counters = LINES
            .iter()
            .map(|(name, help, read)| (super::counter(name, help), *read));
        Self {
            blobs,
            counters: counters.collect(),
            collecting: Mutex::new(()),
        }
    }
}

impl Collector for DataPathMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.counters
            .iter()
            .flat_map(|(counter, _)| counter.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Two pages asked for at once must not both add what is new.
        let _one_at_a_time = self
            .collecting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = self.blobs.counters();
        let family = |(counter, read): &(IntCounter, Read)| {
            counter.inc_by(read(&now).saturating_sub(counter.get()));
            counter.collect()
        };
        self.counters.iter().flat_map(family).collect()
    }
}
