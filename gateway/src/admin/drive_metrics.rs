//! Drives on the metrics page: state, space and free space of each, read when the page is asked for.

use std::sync::Arc;

use holdfast_types::DriveState;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use super::Surroundings;

/// Collects the drives' gauges.
pub struct DriveMetrics {
    surroundings: Arc<dyn Surroundings>,
    state: IntGaugeVec,
    capacity: IntGaugeVec,
    free: IntGaugeVec,
    at_risk: prometheus::IntGauge,
    unreadable: prometheus::IntGauge,
}

impl DriveMetrics {
    /// Gauges of these drives. Labels are drive ids and states: as many as there are drives.
    #[must_use]
    pub fn new(surroundings: Arc<dyn Surroundings>) -> Self {
        Self {
            surroundings,
            state: gauges(
                "holdfast_drive_state",
                "1 for the state that the drive is in, 0 for the others.",
                &["drive", "state"],
            ),
            capacity: gauges(
                "holdfast_drive_capacity_bytes",
                "Bytes that the drive's file system can hold.",
                &["drive"],
            ),
            free: gauges(
                "holdfast_drive_free_bytes",
                "Bytes that are free on the drive's file system.",
                &["drive"],
            ),
            at_risk: gauge(
                "holdfast_blobs_at_risk",
                "Blobs with fewer fragments in reach than their layout has, as of the last count.",
            ),
            unreadable: gauge(
                "holdfast_blobs_unreadable",
                "Blobs with too few fragments in reach to be read, as of the last count.",
            ),
        }
    }
}

impl Collector for DriveMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.state.desc();
        all.extend(self.capacity.desc());
        all.extend(self.free.desc());
        all.extend(self.at_risk.desc());
        all.extend(self.unreadable.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A drive that was removed is no series any more.
        self.state.reset();
        self.capacity.reset();
        self.free.reset();
        for drive in self.surroundings.drives() {
            let id = drive.id.to_string();
            for state in DriveState::ALL {
                self.state
                    .with_label_values(&[id.as_str(), state.as_str()])
                    .set((drive.state == state).into());
            }
            self.capacity
                .with_label_values(&[&id])
                .set(signed(drive.capacity_bytes));
            self.free
                .with_label_values(&[&id])
                .set(signed(drive.free_bytes));
        }
        let mut all = self.state.collect();
        all.extend(self.capacity.collect());
        all.extend(self.free.collect());
        if let Some(risk) = self.surroundings.risk() {
            self.at_risk.set(signed(risk.at_risk));
            self.unreadable.set(signed(risk.unreadable));
            all.extend(self.at_risk.collect());
            all.extend(self.unreadable.collect());
        }
        all
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn gauge(name: &str, help: &str) -> prometheus::IntGauge {
    prometheus::IntGauge::new(name, help).expect("the name is a constant that follows the rules")
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels)
        .expect("the name and labels are constants that follow the rules")
}
