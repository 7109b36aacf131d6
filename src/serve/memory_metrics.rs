//! The data path's memory budget on the metrics page.

use holdfast_erasure::Blobs;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

/// Collects how much of the budget is in use.
pub(crate) struct MemoryMetrics {
    blobs: Blobs,
    used: IntGaugeVec,
    limit: IntGaugeVec,
}

impl MemoryMetrics {
    pub(crate) fn new(blobs: Blobs) -> Self {
        let gauges = |name, help| {
            IntGaugeVec::new(Opts::new(name, help), &["for"])
                .expect("the name and label are constants that follow the rules")
        };
        Self {
            blobs,
            used: gauges(
                "holdfast_memory_used_bytes",
                "Bytes of object data that requests hold in memory.",
            ),
            limit: gauges(
                "holdfast_memory_limit_bytes",
                "Bytes of object data that requests may hold in memory.",
            ),
        }
    }
}

impl Collector for MemoryMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.used.desc();
        all.extend(self.limit.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let memory = self.blobs.memory_use();
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for (what, used) in [
            ("writes", memory.writes_bytes),
            ("reads", memory.reads_bytes),
        ] {
            self.used.with_label_values(&[what]).set(signed(used));
            self.limit
                .with_label_values(&[what])
                .set(signed(memory.limit_bytes));
        }
        let mut all = self.used.collect();
        all.extend(self.limit.collect());
        all
    }
}
