//! The process itself: how many files it may have open, and what it takes of the machine.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Raises the number of files that may be open to what the system allows. A request at 4+2 has up
/// to seven open, and many systems begin with 1024.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum;
    if limit.current == wanted {
        return;
    }
    let raised = Rlimit {
        current: wanted,
        maximum: wanted,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(
            "the limit of open files stays at {:?}: {error}",
            limit.current
        );
    }
}

/// How many files may be open.
pub(crate) fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// CPU time, memory and files of this process, read when the metrics page is asked for.
pub(crate) struct ProcessMetrics {
    cpu_seconds: Gauge,
    resident_bytes: IntGauge,
    open_files: IntGauge,
}

impl ProcessMetrics {
    pub(crate) fn new() -> Self {
        let constant = "the name is a constant that follows the rules";
        // Names that Prometheus' own client libraries use.
        Self {
            cpu_seconds: Gauge::new("process_cpu_seconds_total", "CPU time of this process.")
                .expect(constant),
            resident_bytes: IntGauge::new(
                "process_resident_memory_bytes",
                "Memory of this process that is in RAM.",
            )
            .expect(constant),
            open_files: IntGauge::new("process_open_fds", "Open file descriptors of this process.")
                .expect(constant),
        }
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.cpu_seconds.desc();
        all.extend(self.resident_bytes.desc());
        all.extend(self.open_files.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        #[allow(
            clippy::cast_precision_loss,
            reason = "seconds since the process began"
        )]
        self.cpu_seconds
            .set(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
        let mut all = self.cpu_seconds.collect();
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
            all.extend(self.resident_bytes.collect());
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_files
                .set(i64::try_from(files.count()).unwrap_or(i64::MAX));
            all.extend(self.open_files.collect());
        }
        all
    }
}

/// `None` where the system has no `/proc`.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_says_what_it_takes() {
        let metrics = ProcessMetrics::new();
        let families = metrics.collect();
        assert_eq!(families.len(), metrics.desc().len());
        let value = |at: usize| families[at].get_metric()[0].get_gauge().get_value();
        assert!(value(0) > 0.0, "CPU time");
        assert!(value(1) > 1e6, "a test takes more than a megabyte");
        assert!(value(2) >= 3.0, "standard streams are open");
    }

    #[test]
    fn the_file_limit_is_what_the_system_allows() {
        raise_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
