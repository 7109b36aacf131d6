//! What reading writes again and comparing parity found, on the metrics page.

use holdfast_replication::{ParityReport, SampleReport};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Opts};
use tokio::sync::watch;

/// Collects what both workers have found since the process began.
pub(crate) struct SampleMetrics {
    samples: watch::Receiver<SampleReport>,
    parity: watch::Receiver<ParityReport>,
    gauges: Vec<(IntGauge, Read)>,
}

impl SampleMetrics {
    pub(crate) fn new(
        samples: watch::Receiver<SampleReport>,
        parity: watch::Receiver<ParityReport>,
    ) -> Self {
        let gauges = ROWS
            .iter()
            .map(|(name, help, read)| {
                let gauge = IntGauge::with_opts(Opts::new(*name, *help))
                    .expect("the names are constants that follow the rules");
                (gauge, *read)
            })
            .collect();
        Self {
            samples,
            parity,
            gauges,
        }
    }
}

impl Collector for SampleMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges
            .iter()
            .flat_map(|(gauge, _)| gauge.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (samples, parity) = (*self.samples.borrow(), *self.parity.borrow());
        let mut all = Vec::with_capacity(self.gauges.len());
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(&samples, &parity)).unwrap_or(i64::MAX));
            all.extend(gauge.collect());
        }
        all
    }
}

/// Takes one number out of the reports.
type Read = fn(&SampleReport, &ParityReport) -> u64;
type Row = (&'static str, &'static str, Read);

/// Name, help and where the number is.
const ROWS: [Row; 9] = [
    (
        "holdfast_sample_checked",
        "Writes that were read again, fragment by fragment, since the process began.",
        |s, _| s.good + s.failed,
    ),
    (
        "holdfast_sample_failed",
        "Of these, those that were not as they were written. Never anything but 0 in good order.",
        |s, _| s.failed,
    ),
    (
        "holdfast_sample_unreached",
        "Writes that were to be read again while a fragment's drive was away.",
        |s, _| s.unreached,
    ),
    (
        "holdfast_sample_hashed",
        "Objects that were read again and compared with their ETag or checksum.",
        |s, _| s.hashed,
    ),
    (
        "holdfast_sample_pending",
        "Looks at writes that wait, most of them for their time.",
        |s, _| s.pending,
    ),
    (
        "holdfast_parity_cycles",
        "Whole walks over all blobs that compared the parity of a sample.",
        |_, p| p.cycles,
    ),
    (
        "holdfast_parity_checked",
        "Blobs whose parity was compared with their data.",
        |_, p| p.checked,
    ),
    (
        "holdfast_parity_wrong",
        "Of these, those whose parity does not fit. Never anything but 0 in good order.",
        |_, p| p.wrong,
    ),
    (
        "holdfast_parity_not_whole",
        "Blobs that were to be compared and had a fragment missing, rotten or out of reach.",
        |_, p| p.not_whole,
    ),
];
