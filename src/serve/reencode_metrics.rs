//! What the re-encode does, on the metrics page.

use holdfast_replication::{ReencodeHandle, ReencodeStatus};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Opts};

/// Collects the counts of this process.
pub(crate) struct ReencodeMetrics {
    handle: ReencodeHandle,
    counters: Vec<(IntCounter, Read)>,
    gauges: Vec<(IntGauge, Read)>,
}

impl ReencodeMetrics {
    pub(crate) fn new(handle: ReencodeHandle) -> Self {
        let counter = |(name, help, read): &Row| {
            let counter = IntCounter::with_opts(Opts::new(*name, *help))
                .expect("the names are constants that follow the rules");
            (counter, *read)
        };
        let gauge = |(name, help, read): &Row| {
            let gauge = IntGauge::with_opts(Opts::new(*name, *help))
                .expect("the names are constants that follow the rules");
            (gauge, *read)
        };
        Self {
            handle,
            counters: COUNTERS.iter().map(counter).collect(),
            gauges: GAUGES.iter().map(gauge).collect(),
        }
    }
}

impl Collector for ReencodeMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let counters = self.counters.iter().flat_map(|(counter, _)| counter.desc());
        let gauges = self.gauges.iter().flat_map(|(gauge, _)| gauge.desc());
        counters.chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = self.handle.status();
        let mut all = Vec::with_capacity(self.counters.len() + self.gauges.len());
        for (counter, read) in &self.counters {
            counter.inc_by(read(&status).saturating_sub(counter.get()));
            all.extend(counter.collect());
        }
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(&status)).unwrap_or(i64::MAX));
            all.extend(gauge.collect());
        }
        all
    }
}

/// Takes one number out of a status.
type Read = fn(&ReencodeStatus) -> u64;
type Row = (&'static str, &'static str, Read);

/// Name, help and where the number is.
const COUNTERS: [Row; 4] = [
    (
        "holdfast_reencode_blobs_total",
        "Blobs that were brought over to another layout.",
        |status| status.moved_blobs,
    ),
    (
        "holdfast_reencode_bytes_total",
        "Bytes of these, as objects count them.",
        |status| status.moved_bytes,
    ),
    (
        "holdfast_reencode_written_bytes_total",
        "Bytes of fragments that were written for them.",
        |status| status.written_bytes,
    ),
    (
        "holdfast_reencode_failures_total",
        "Blobs that could not be brought over.",
        |status| status.failed_blobs,
    ),
];

/// The same for what goes up and down.
const GAUGES: [Row; 2] = [
    (
        "holdfast_reencode_active",
        "Whether this process works at a re-encode.",
        |status| u64::from(status.is_active),
    ),
    (
        "holdfast_reencode_remaining_bytes",
        "Bytes that the re-encode at hand has still to move.",
        |status| status.remaining_bytes,
    ),
];
