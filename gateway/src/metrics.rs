//! What the gateway counts, for `/metrics`: requests, bytes, failed writes, repairs seen.
//!
//! One struct owns a registry of its own, so that tests and several gateways in one process do not
//! share counters. Labels are bounded by construction: operations, statuses and reasons are names
//! in the code, never something that a client sent.

mod data_path;

use std::time::{Duration, Instant};

use holdfast_erasure::Blobs;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use self::data_path::DataPathMetrics;
use crate::rate::Exceeded;

/// The counters and their registry. Cheap to clone: clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    /// Bytes of object data taken from clients.
    pub bytes_in: IntCounter,
    /// Bytes of object data given to clients.
    pub bytes_out: IntCounter,
    put_failures: IntCounterVec,
    debts_reported: IntCounterVec,
    rate_limited: IntCounterVec,
    /// Debts that were dropped because too many were waiting; a scrub will find them again.
    pub debts_dropped: IntCounter,
}

/// Seconds: from a small read of cached metadata to a long upload.
const LATENCY_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0,
];

impl Metrics {
    /// New counters, all zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            requests: counters(
                "holdfast_s3_requests_total",
                "S3 requests answered, by operation and status.",
                &["operation", "status"],
            ),
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "holdfast_s3_request_seconds",
                    "Time from a request's head to the head of its answer, by operation.",
                )
                .buckets(LATENCY_BUCKETS.to_vec()),
                &["operation"],
            )
            .expect("the name and label are constants that follow the rules"),
            in_flight: IntGauge::new(
                "holdfast_s3_requests_in_flight",
                "S3 requests whose answer has not begun.",
            )
            .expect("the name is a constant that follows the rules"),
            bytes_in: counter(
                "holdfast_s3_received_bytes_total",
                "Bytes of object data received from clients.",
            ),
            bytes_out: counter(
                "holdfast_s3_sent_bytes_total",
                "Bytes of object data sent to clients.",
            ),
            put_failures: counters(
                "holdfast_put_failures_total",
                "Writes of object data that were not acknowledged, by reason.",
                &["reason"],
            ),
            debts_reported: counters(
                "holdfast_debts_reported_total",
                "Fragments that reads and writes found wanting, by kind.",
                &["kind"],
            ),
            rate_limited: counters(
                "holdfast_s3_rate_limited_total",
                "S3 requests refused by a rate limit, by whose limit (bucket or key) and which.",
                &["of", "limit"],
            ),
            debts_dropped: counter(
                "holdfast_debts_dropped_total",
                "Reports of missing or rotten fragments that were dropped: too many were waiting.",
            ),
            registry,
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let collectors: [Box<dyn prometheus::core::Collector>; 9] = [
            Box::new(self.requests.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.bytes_in.clone()),
            Box::new(self.bytes_out.clone()),
            Box::new(self.put_failures.clone()),
            Box::new(self.debts_reported.clone()),
            Box::new(self.rate_limited.clone()),
            Box::new(self.debts_dropped.clone()),
        ];
        for collector in collectors {
            self.registry
                .register(collector)
                .expect("each collector has a name of its own");
        }
    }

    /// The registry, so that other rooms can add their collectors to the same page.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Shows what the data path has done on the page too. The first one that is shown stays.
    pub fn show_data_path(&self, blobs: &Blobs) {
        let shown = self
            .registry
            .register(Box::new(DataPathMetrics::new(blobs.clone())));
        if let Err(error) = shown {
            tracing::debug!(%error, "a data path is shown already");
        }
    }

    /// Counts a request as in flight until the returned guard is finished or dropped.
    #[must_use]
    pub fn request(&self, operation: &'static str) -> RequestTimer {
        self.in_flight.inc();
        RequestTimer {
            metrics: self.clone(),
            operation,
            began: Instant::now(),
            answered: false,
        }
    }

    /// Counts a write of object data that was not acknowledged.
    pub fn put_failed(&self, reason: PutFailure) {
        self.put_failures
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Counts a request that a rate limit refused.
    pub fn rate_limited(&self, exceeded: &Exceeded) {
        let labels = [exceeded.of.as_str(), exceeded.what.as_str()];
        self.rate_limited.with_label_values(&labels).inc();
    }

    /// Counts fragments that were found wanting.
    pub fn debts_reported(&self, kind: &'static str, count: u64) {
        self.debts_reported.with_label_values(&[kind]).inc_by(count);
    }

    /// The page that Prometheus reads.
    ///
    /// # Errors
    /// If a collector gives something that cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// The content type of [`Metrics::render`].
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        prometheus::TEXT_FORMAT
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a write of object data was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutFailure {
    /// The client's body ended early, broke its promises or failed.
    Body,
    /// Too few drives took their fragments.
    Quorum,
    /// Too many writes were under way.
    Busy,
    /// The metadata refused it: a condition, a bucket or upload that went away.
    Refused,
    /// The metadata is away, or the outcome of the commit is unknown.
    Metadata,
    /// Anything else inside.
    Internal,
}

impl PutFailure {
    /// Its label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Quorum => "quorum",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Metadata => "metadata",
            Self::Internal => "internal",
        }
    }
}

/// A request under way. Dropped unanswered (the client left), it counts with status `cancelled`.
#[derive(Debug)]
pub struct RequestTimer {
    metrics: Metrics,
    operation: &'static str,
    began: Instant,
    answered: bool,
}

impl RequestTimer {
    /// The request has been given an answer with this status. Returns how long that took.
    pub fn finish(mut self, status: u16) -> Duration {
        self.answered = true;
        let took = self.began.elapsed();
        self.metrics
            .seconds
            .with_label_values(&[self.operation])
            .observe(took.as_secs_f64());
        self.metrics
            .requests
            .with_label_values(&[self.operation, &status.to_string()])
            .inc();
        took
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        if !self.answered {
            self.metrics
                .requests
                .with_label_values(&[self.operation, "cancelled"])
                .inc();
        }
    }
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect("the name is a constant that follows the rules")
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels)
        .expect("the name and labels are constants that follow the rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_whatever_becomes_of_it() {
        let metrics = Metrics::new();
        let answered = metrics.request("PutObject");
        let left = metrics.request("GetObject");
        assert_eq!(metrics.in_flight.get(), 2);
        answered.finish(200);
        drop(left);
        metrics.put_failed(PutFailure::Quorum);
        metrics.bytes_in.inc_by(7);

        let page = metrics.render().unwrap();
        for line in [
            r#"holdfast_s3_requests_total{operation="PutObject",status="200"} 1"#,
            r#"holdfast_s3_requests_total{operation="GetObject",status="cancelled"} 1"#,
            r#"holdfast_s3_request_seconds_count{operation="PutObject"} 1"#,
            r#"holdfast_put_failures_total{reason="quorum"} 1"#,
            "holdfast_s3_received_bytes_total 7",
            "holdfast_s3_requests_in_flight 0",
        ] {
            assert!(page.contains(line), "{line} is not in:\n{page}");
        }
        assert!(!page.contains(r#"request_seconds_count{operation="GetObject"}"#));
    }
}
