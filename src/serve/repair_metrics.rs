//! What is owed, what was made anew, and for how long data has been at risk, on the metrics page.

use std::sync::Arc;

use holdfast_replication::{DrainHandle, Owed, RebalanceHandle, RepairHandle, RepairStatus};
use holdfast_types::Clock;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts};

/// Collects the state of repair, draining and rebalancing.
pub(crate) struct RepairMetrics {
    repair: RepairHandle,
    drain: DrainHandle,
    rebalance: RebalanceHandle,
    clock: Arc<dyn Clock>,
    by_spares: Vec<(IntGaugeVec, OwedNumber)>,
    totals: Vec<(IntGauge, Total)>,
    drain_left: IntGaugeVec,
    moved: IntGauge,
}

impl RepairMetrics {
    pub(crate) fn new(
        repair: RepairHandle,
        drain: DrainHandle,
        rebalance: RebalanceHandle,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let vector = |name: &str, help: &str, label: &str| {
            IntGaugeVec::new(Opts::new(name, help), &[label])
                .expect("the names and labels are constants that follow the rules")
        };
        let gauge = |name: &str, help: &str| {
            IntGauge::new(name, help).expect("the names are constants that follow the rules")
        };
        Self {
            repair,
            drain,
            rebalance,
            clock,
            by_spares: BY_SPARES
                .iter()
                .map(|(name, help, read)| (vector(name, help, "spares"), *read))
                .collect(),
            totals: TOTALS
                .iter()
                .map(|(name, help, read)| (gauge(name, help), *read))
                .collect(),
            drain_left: vector(
                "holdfast_drive_drain_left_bytes",
                "Bytes that are still to be moved off a drive that is being emptied.",
                "drive",
            ),
            moved: gauge(
                "holdfast_rebalance_moved_bytes_total",
                "Bytes that were moved to drives that had less than their share.",
            ),
        }
    }
}

impl Collector for RepairMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all: Vec<&Desc> = Vec::new();
        all.extend(self.by_spares.iter().flat_map(|(gauge, _)| gauge.desc()));
        all.extend(self.totals.iter().flat_map(|(gauge, _)| gauge.desc()));
        all.extend(self.drain_left.desc());
        all.extend(self.moved.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (status, now_ms) = (self.repair.status(), self.clock.now_ms());
        let mut all = Vec::new();
        for (gauge, read) in &self.by_spares {
            gauge.reset();
            for (spares, owed) in &status.by_spares {
                let label = spares.to_string();
                gauge
                    .with_label_values(&[&label])
                    .set(signed(read(owed, now_ms)));
            }
            all.extend(gauge.collect());
        }
        for (gauge, read) in &self.totals {
            gauge.set(read(&status));
            all.extend(gauge.collect());
        }
        self.drain_left.reset();
        for (drive, one) in self.drain.all() {
            self.drain_left
                .with_label_values(&[drive.to_string()])
                .set(signed(one.left.bytes));
        }
        all.extend(self.drain_left.collect());
        self.moved
            .set(signed(self.rebalance.status().total_moved_bytes));
        all.extend(self.moved.collect());
        all
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Takes one number out of what is owed, at a time.
type OwedNumber = fn(&Owed, u64) -> u64;
/// Takes one number out of the repair's state.
type Total = fn(&RepairStatus) -> i64;

const BY_SPARES: [(&str, &str, OwedNumber); 4] = [
    (
        "holdfast_repair_owed_blobs",
        "Blobs with owed fragments, by how many more fragments they can lose.",
        |owed, _| owed.blobs,
    ),
    (
        "holdfast_repair_owed_fragments",
        "Fragments that are owed, by how many more fragments their blobs can lose.",
        |owed, _| owed.fragments,
    ),
    (
        "holdfast_repair_owed_bytes",
        "Bytes of fragments that are owed, by how many more fragments their blobs can lose.",
        |owed, _| owed.bytes,
    ),
    (
        "holdfast_repair_at_risk_seconds",
        "For how long the oldest fragment is owed, by how many more fragments its blob can lose.",
        |owed, now_ms| now_ms.saturating_sub(owed.oldest_ms) / 1000,
    ),
];

const TOTALS: [(&str, &str, Total); 7] = [
    (
        "holdfast_repair_repaired_fragments_total",
        "Fragments that were made anew.",
        |status| signed(status.repaired_fragments),
    ),
    (
        "holdfast_repair_repaired_bytes_total",
        "Bytes of fragments that were made anew.",
        |status| signed(status.repaired_bytes),
    ),
    (
        "holdfast_repair_found_whole_total",
        "Owed fragments that were found whole, and needed no copy.",
        |status| signed(status.found_well),
    ),
    (
        "holdfast_repair_failures_total",
        "Attempts to repair a blob that something stood in the way of.",
        |status| signed(status.failures),
    ),
    (
        "holdfast_repair_blocked_fragments",
        "Fragments that could not be repaired in the last round, for want of drives or sources.",
        |status| signed(status.blocked),
    ),
    (
        "holdfast_repair_remaining_bytes",
        "Bytes that were owed by the last count and are not repaired yet.",
        |status| signed(status.remaining_bytes),
    ),
    (
        "holdfast_repair_eta_seconds",
        "Seconds until nothing is owed, at the present rate; -1: not known.",
        |status| status.eta_seconds().map_or(-1, signed),
    ),
];
