//! What the last inventory found, on the metrics page.

use holdfast_replication::InventoryReport;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Opts};
use tokio::sync::watch;

/// Collects the last whole cycle's findings.
pub(crate) struct InventoryMetrics {
    report: watch::Receiver<InventoryReport>,
    gauges: Vec<(IntGauge, Read)>,
}

impl InventoryMetrics {
    pub(crate) fn new(report: watch::Receiver<InventoryReport>) -> Self {
        let gauges = GAUGES
            .iter()
            .map(|(name, help, read)| {
                let gauge = IntGauge::with_opts(Opts::new(*name, *help))
                    .expect("the names are constants that follow the rules");
                (gauge, *read)
            })
            .collect();
        Self { report, gauges }
    }
}

impl Collector for InventoryMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges
            .iter()
            .flat_map(|(gauge, _)| gauge.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let report = self.report.borrow().clone();
        let mut all = Vec::with_capacity(self.gauges.len());
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(&report)).unwrap_or(i64::MAX));
            all.extend(gauge.collect());
        }
        all
    }
}

/// Takes one number out of a report.
type Read = fn(&InventoryReport) -> u64;
type Row = (&'static str, &'static str, Read);

/// Name, help and where the number is.
const GAUGES: [Row; 6] = [
    (
        "holdfast_inventory_timestamp_seconds",
        "When the last whole comparison of placements and drives ended; 0: not yet.",
        |r| r.as_of_ms / 1000,
    ),
    (
        "holdfast_inventory_missing_fragments",
        "Fragments that placements want and their drives did not have, in that comparison.",
        |r| r.missing,
    ),
    (
        "holdfast_inventory_quarantined_fragments",
        "Fragments on drives that nothing needs and that wait to be deleted.",
        |r| r.noted + r.in_quarantine,
    ),
    (
        "holdfast_inventory_surplus_fragments",
        "Fragments that lie on a second drive and were not seen whole on the first.",
        |r| r.surplus_kept,
    ),
    (
        "holdfast_inventory_young_fragments",
        "Fragments that no placement wants and that are too young to be judged.",
        |r| r.young,
    ),
    (
        "holdfast_inventory_skipped_drives",
        "Drives that were not online during a part of that comparison.",
        |r| r.skipped.len() as u64,
    ),
];
