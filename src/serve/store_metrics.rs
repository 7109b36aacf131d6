//! What each drive has done, on the metrics page.

use std::sync::Arc;

use holdfast_storage_node::{DriveStats, LocalStore};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

/// Collects the drives' counters.
pub(crate) struct StoreMetrics {
    store: Arc<LocalStore>,
    counters: Vec<(IntGaugeVec, Read)>,
}

impl StoreMetrics {
    pub(crate) fn new(store: Arc<LocalStore>) -> Self {
        let counters = COUNTERS
            .iter()
            .map(|(name, help, read)| {
                let counter = IntGaugeVec::new(Opts::new(*name, *help), &["drive"])
                    .expect("the names and label are constants that follow the rules");
                (counter, *read)
            })
            .collect();
        Self { store, counters }
    }
}

impl Collector for StoreMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.counters
            .iter()
            .flat_map(|(counter, _)| counter.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stats = self.store.stats();
        let mut all = Vec::with_capacity(self.counters.len());
        for (counter, read) in &self.counters {
            counter.reset();
            for (drive, stats) in &stats {
                let value = i64::try_from(read(stats)).unwrap_or(i64::MAX);
                counter.with_label_values(&[drive.to_string()]).set(value);
            }
            all.extend(counter.collect());
        }
        all
    }
}

/// Takes one number out of a drive's.
type Read = fn(&DriveStats) -> u64;
type Row = (&'static str, &'static str, Read);

/// Name, help and where the number is.
const COUNTERS: [Row; 17] = [
    (
        "holdfast_drive_read_bytes_total",
        "Bytes of fragments that were read.",
        |s| s.read_bytes,
    ),
    (
        "holdfast_drive_written_bytes_total",
        "Bytes that were written.",
        |s| s.written_bytes,
    ),
    (
        "holdfast_drive_commits_total",
        "Fragments that were made durable.",
        |s| s.commits,
    ),
    (
        "holdfast_drive_deletes_total",
        "Fragments that were removed.",
        |s| s.deletes,
    ),
    (
        "holdfast_drive_file_syncs_total",
        "Syncs of files and segments.",
        |s| s.file_syncs,
    ),
    (
        "holdfast_drive_folder_syncs_total",
        "Syncs of folders.",
        |s| s.folder_syncs,
    ),
    (
        "holdfast_drive_shared_syncs_total",
        "Small writes and deletes that shared another's sync.",
        |s| s.shared_syncs,
    ),
    (
        "holdfast_drive_read_errors_total",
        "Reads that the disk failed.",
        |s| s.read_errors,
    ),
    (
        "holdfast_drive_write_errors_total",
        "Writes that the disk failed.",
        |s| s.write_errors,
    ),
    (
        "holdfast_drive_sync_errors_total",
        "Syncs that the disk failed.",
        |s| s.sync_errors,
    ),
    (
        "holdfast_drive_bad_blocks_total",
        "Blocks that did not match their checksum.",
        |s| s.bad_blocks,
    ),
    (
        "holdfast_drive_bad_headers_total",
        "Fragments whose header was bad or not theirs.",
        |s| s.bad_headers,
    ),
    (
        "holdfast_drive_bad_records",
        "Damaged regions that the scan of the segments found at the last opening.",
        |s| s.bad_records,
    ),
    (
        "holdfast_drive_compactions_total",
        "Segments that were compacted away.",
        |s| s.compactions,
    ),
    (
        "holdfast_drive_scrubbed_fragments_total",
        "Fragments that the scrub looked at.",
        |s| s.scrubbed_fragments,
    ),
    (
        "holdfast_drive_scrubbed_bytes_total",
        "Bytes that the scrub read.",
        |s| s.scrubbed_bytes,
    ),
    (
        "holdfast_drive_scrub_findings_total",
        "Fragments that the scrub found missing or corrupt.",
        |s| s.scrub_findings,
    ),
];
