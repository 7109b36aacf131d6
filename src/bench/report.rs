//! The figures of a run: as JSON for programs, as a table for people.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use super::load::Outcome;
use super::server_process::Usage;
use super::stats::{Done, Kind, Stats};

/// What was run, and on what.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) workload: String,
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) object_bytes: Vec<u64>,
    pub(crate) concurrency: u16,
    pub(crate) signed_payload: bool,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    run: Run,
    seconds: f64,
    /// Those that went well, parts not counted.
    operations: u64,
    bytes: u64,
    failed: u64,
    by_operation: BTreeMap<&'static str, Figures>,
    failures: Vec<FailureLine>,
    /// CPU time of the bench itself.
    client_cpu_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerFigures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    count: u64,
    bytes: u64,
    per_second: f64,
    mb_per_second: f64,
    latency_ms: Latency,
}

#[derive(Debug, Serialize)]
struct Latency {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct FailureLine {
    operation: &'static str,
    code: String,
    count: u64,
    example: String,
}

#[derive(Debug, Serialize)]
struct ServerFigures {
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms_per_operation: Option<f64>,
    /// By the objects' bytes that went in or out; 10^9 bytes are a GB.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds_per_gb: Option<f64>,
    /// Bytes written to drives for each byte put.
    #[serde(skip_serializing_if = "Option::is_none")]
    write_amplification: Option<f64>,
}

impl Report {
    pub(crate) fn new(
        run: Run,
        outcome: &Outcome,
        client_cpu_seconds: f64,
        server: Option<Usage>,
    ) -> Self {
        let stats = &outcome.stats;
        let seconds = outcome.took.as_secs_f64();
        let by_operation = stats.kinds.iter();
        let by_operation = by_operation.map(|(kind, done)| (kind.name(), figures(done, seconds)));
        Self {
            run,
            seconds,
            operations: stats.operations(),
            bytes: stats.bytes(),
            failed: stats.failed(),
            by_operation: by_operation.collect(),
            failures: failure_lines(stats),
            client_cpu_seconds,
            server: server.map(|usage| server_figures(usage, stats)),
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{}\n", self.figures_table());
        text.push_str(&format!(
            "{} operations in {:.1} s over {} connections; the bench itself took {:.2} CPU-s\n",
            self.operations, self.seconds, self.run.concurrency, self.client_cpu_seconds
        ));
        if let Some(server) = &self.server {
            text.push_str(&server.line());
        }
        for failure in &self.failures {
            text.push_str(&format!(
                "{} x {} FAILED, {}: {}\n",
                failure.count, failure.operation, failure.code, failure.example
            ));
        }
        text
    }

    fn figures_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let names = [
            "operation",
            "count",
            "op/s",
            "MB/s",
            "mean ms",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
        ];
        table.set_header(names);
        for (operation, figures) in &self.by_operation {
            let latency = &figures.latency_ms;
            let mut row = vec![Cell::new(operation)];
            let numbers = [
                figures.count.to_string(),
                format!("{:.1}", figures.per_second),
                format!("{:.1}", figures.mb_per_second),
                format!("{:.2}", latency.mean),
                format!("{:.2}", latency.p50),
                format!("{:.2}", latency.p90),
                format!("{:.2}", latency.p99),
                format!("{:.2}", latency.p999),
                format!("{:.2}", latency.max),
            ];
            let right = |text| Cell::new(text).set_alignment(CellAlignment::Right);
            row.extend(numbers.into_iter().map(right));
            table.add_row(row);
        }
        table
    }
}

impl ServerFigures {
    fn line(&self) -> String {
        let mut line = format!("server: {:.2} CPU-s", self.usage.cpu_seconds);
        if let Some(millis) = self.cpu_ms_per_operation {
            line.push_str(&format!(", {millis:.3} CPU-ms/op"));
        }
        if let Some(seconds) = self.cpu_seconds_per_gb {
            line.push_str(&format!(", {seconds:.2} CPU-s/GB"));
        }
        line.push_str(&format!(
            ", peak RSS {:.0} MiB{}",
            self.usage.peak_rss_bytes as f64 / f64::from(1 << 20),
            if self.usage.peak_is_of_this_run {
                ""
            } else {
                " (since it began)"
            }
        ));
        if let Some(times) = self.write_amplification {
            line.push_str(&format!(", {times:.2} bytes written for each put"));
        }
        line.push('\n');
        line
    }
}

fn figures(done: &Done, seconds: f64) -> Figures {
    let latency = &done.latency;
    let per_second = |amount: u64| amount as f64 / seconds.max(1e-9);
    Figures {
        count: latency.count(),
        bytes: done.bytes,
        per_second: per_second(latency.count()),
        mb_per_second: per_second(done.bytes) / 1e6,
        latency_ms: Latency {
            min: ms(latency.min_us()),
            mean: ms(latency.mean_us()),
            p50: ms(latency.percentile_us(500)),
            p90: ms(latency.percentile_us(900)),
            p99: ms(latency.percentile_us(990)),
            p999: ms(latency.percentile_us(999)),
            max: ms(latency.max_us()),
        },
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn failure_lines(stats: &Stats) -> Vec<FailureLine> {
    let lines = stats.failures.iter();
    let line = |((kind, code), failed): (&(Kind, String), &super::stats::Failed)| FailureLine {
        operation: kind.name(),
        code: code.clone(),
        count: failed.count,
        example: failed.example.clone(),
    };
    lines.map(line).collect()
}

fn server_figures(usage: Usage, stats: &Stats) -> ServerFigures {
    let ratio = |amount: f64, of: u64| (of > 0).then(|| amount / of as f64);
    let cpu = usage.cpu_seconds;
    let written = usage.written_bytes.map(|bytes| bytes as f64);
    ServerFigures {
        cpu_ms_per_operation: ratio(cpu * 1e3, stats.operations()),
        cpu_seconds_per_gb: ratio(cpu * 1e9, stats.bytes()),
        write_amplification: written.and_then(|written| ratio(written, stats.bytes_put())),
        usage,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::connection::Failure;

    fn report() -> Report {
        let mut stats = Stats::default();
        for _ in 0..4 {
            stats.record(Kind::Put, Duration::from_millis(10), 500_000_000);
        }
        let refused = Failure::Refused {
            status: 503,
            code: "SlowDown".to_owned(),
            message: "m".to_owned(),
        };
        stats.record_failure(Kind::Put, &refused);
        let run = Run {
            workload: "put".to_owned(),
            endpoint: "http://h:1".to_owned(),
            bucket: "b".to_owned(),
            object_bytes: vec![500_000_000],
            concurrency: 2,
            signed_payload: false,
        };
        let usage = Usage {
            cpu_seconds: 3.0,
            peak_rss_bytes: 64 << 20,
            peak_is_of_this_run: true,
            written_bytes: Some(3_000_000_000),
        };
        let outcome = Outcome {
            stats,
            took: Duration::from_secs(2),
            used: 4,
        };
        Report::new(run, &outcome, 0.5, Some(usage))
    }

    #[test]
    fn json_has_every_figure() {
        let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(json["workload"], "put");
        assert_eq!(json["operations"], 4);
        assert_eq!(json["failed"], 1);
        let put = &json["by_operation"]["put"];
        assert_eq!(put["per_second"], 2.0);
        assert_eq!(put["mb_per_second"], 1000.0);
        assert_eq!(put["latency_ms"]["p50"], 10.0);
        assert_eq!(json["failures"][0]["code"], "SlowDown");
        assert_eq!(json["failures"][0]["example"], "503 SlowDown: m");
        let server = &json["server"];
        assert_eq!(server["cpu_ms_per_operation"], 750.0);
        assert_eq!(server["cpu_seconds_per_gb"], 1.5);
        assert_eq!(server["write_amplification"], 1.5);
        assert_eq!(server["peak_rss_bytes"], 64 << 20);
    }

    #[test]
    fn the_table_says_the_same() {
        let table = report().table();
        for said in [
            "10.00",
            "1000.0",
            "750.000 CPU-ms/op",
            "1.50 CPU-s/GB",
            "peak RSS 64 MiB",
            "1 x put FAILED, SlowDown: 503 SlowDown: m",
            "1.50 bytes written",
        ] {
            assert!(table.contains(said), "{said} is missing in\n{table}");
        }
    }
}
