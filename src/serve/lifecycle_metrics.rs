//! What lifecycle has done and what waits for it, on the metrics page.

use std::sync::Arc;

use holdfast_metadata::lifecycle::LifecycleTurn;
use holdfast_replication::LifecycleReport;
use holdfast_types::Clock;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts};
use tokio::sync::watch;

/// Collects the worker's report.
pub(crate) struct LifecycleMetrics {
    report: watch::Receiver<LifecycleReport>,
    clock: Arc<dyn Clock>,
    actions: IntGaugeVec,
    gauges: Vec<(IntGauge, Read)>,
}

impl LifecycleMetrics {
    pub(crate) fn new(report: watch::Receiver<LifecycleReport>, clock: Arc<dyn Clock>) -> Self {
        let rules = "the names and labels are constants that follow the rules";
        let actions = Opts::new(
            "holdfast_lifecycle_actions_total",
            "Looks at versions and uploads that were due, by what they did.",
        );
        let gauge = |(name, help, read): &Row| {
            let gauge = IntGauge::with_opts(Opts::new(*name, *help)).expect(rules);
            (gauge, *read)
        };
        Self {
            report,
            clock,
            actions: IntGaugeVec::new(actions, &["action"]).expect(rules),
            gauges: GAUGES.iter().map(gauge).collect(),
        }
    }
}

impl Collector for LifecycleMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(|(gauge, _)| gauge.desc());
        self.actions.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let report = self.report.borrow().clone();
        for (turn, action) in ACTIONS {
            let count = i64::try_from(report.count(turn)).unwrap_or(i64::MAX);
            self.actions.with_label_values(&[action]).set(count);
        }
        let mut all = self.actions.collect();
        for (gauge, read) in &self.gauges {
            let value = read(&report, self.clock.now_ms());
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            all.extend(gauge.collect());
        }
        all
    }
}

/// Takes one number out of a report, now.
type Read = fn(&LifecycleReport, u64) -> u64;
type Row = (&'static str, &'static str, Read);

/// What a look can have done, and its label.
const ACTIONS: [(LifecycleTurn, &str); 7] = [
    (LifecycleTurn::Expired, "expire"),
    (LifecycleTurn::MarkerPut, "put_marker"),
    (LifecycleTurn::MarkerRemoved, "remove_marker"),
    (LifecycleTurn::NoncurrentRemoved, "remove_noncurrent"),
    (LifecycleTurn::UploadAborted, "abort_upload"),
    (LifecycleTurn::Locked, "held_by_lock"),
    (LifecycleTurn::Nothing, "none"),
];

/// Name, help and where the number is.
const GAUGES: [Row; 4] = [
    (
        "holdfast_lifecycle_overdue",
        "Versions and uploads that lifecycle is to look at now; counted up to 10,000 of each.",
        |report, _| report.backlog.overdue,
    ),
    (
        "holdfast_lifecycle_oldest_overdue_seconds",
        "How long the first of them has waited; 0: none waits.",
        |report, now_ms| {
            let due_ms = report.backlog.oldest_due_ms.unwrap_or(now_ms);
            now_ms.saturating_sub(due_ms) / 1000
        },
    ),
    (
        "holdfast_lifecycle_buckets_to_walk",
        "Buckets with new rules in which older versions are still being dated.",
        |report, _| report.backlog.buckets_to_walk,
    ),
    (
        "holdfast_lifecycle_walked",
        "Versions and uploads that were dated since the process began because rules were new.",
        |report, _| report.walked,
    ),
];
