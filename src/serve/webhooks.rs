//! Webhooks as the admin API and the metrics page see them.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_gateway::admin::Webhooks;
use holdfast_gateway::admin::view::WebhookDeliveryView;
use holdfast_metadata::MetadataError;
use holdfast_replication::{WebhookBoard, WebhookStatus};
use holdfast_types::Clock;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

/// What the admin API may see and ask.
pub(crate) struct Posts(pub(crate) WebhookBoard);

#[async_trait]
impl Webhooks for Posts {
    fn deliveries(&self) -> Vec<(String, WebhookDeliveryView)> {
        let shown = |status: WebhookStatus| {
            let view = WebhookDeliveryView {
                sent: status.sent,
                failed: status.failed,
                parked: status.parked,
                dead_letters: status.dead_letters,
                dead_letters_asked: status.dead_letters_asked,
                retried: status.retried,
                paused: status.paused,
                skipped: status.skipped,
                backlog: status.backlog,
                backlog_is_more: status.backlog_is_more,
                oldest_unsent_ms: status.oldest_unsent_ms,
                last_sent_ms: status.last_sent_ms,
                failing_since_ms: status.failing_since_ms,
                last_error: status.last_error,
            };
            (status.name, view)
        };
        self.0.list().into_iter().map(shown).collect()
    }

    async fn test(&self, name: &str) -> Result<Result<(), String>, MetadataError> {
        self.0.test(name).await
    }
}

/// Collects the deliveries' numbers.
pub(crate) struct WebhookMetrics {
    board: WebhookBoard,
    clock: Arc<dyn Clock>,
    gauges: Vec<(IntGaugeVec, Read)>,
}

impl WebhookMetrics {
    pub(crate) fn new(board: WebhookBoard, clock: Arc<dyn Clock>) -> Self {
        let gauges = GAUGES
            .iter()
            .map(|(name, help, read)| {
                let gauge = IntGaugeVec::new(Opts::new(*name, *help), &["webhook"])
                    .expect("the names and label are constants that follow the rules");
                (gauge, *read)
            })
            .collect();
        Self {
            board,
            clock,
            gauges,
        }
    }
}

impl Collector for WebhookMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges
            .iter()
            .flat_map(|(gauge, _)| gauge.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (all, now_ms) = (self.board.list(), self.clock.now_ms());
        let mut families = Vec::with_capacity(self.gauges.len());
        for (gauge, read) in &self.gauges {
            // One that was removed is not shown any more.
            gauge.reset();
            for status in &all {
                let value = i64::try_from(read(status, now_ms)).unwrap_or(i64::MAX);
                gauge.with_label_values(&[&status.name]).set(value);
            }
            families.extend(gauge.collect());
        }
        families
    }
}

/// Takes one number out of a status, at a time.
type Read = fn(&WebhookStatus, u64) -> u64;
type Row = (&'static str, &'static str, Read);

/// Name, help and where the number is.
const GAUGES: [Row; 10] = [
    (
        "holdfast_webhook_sent_total",
        "Events that the target acknowledged.",
        |s, _| s.sent,
    ),
    (
        "holdfast_webhook_failed_total",
        "Attempts that the target did not acknowledge.",
        |s, _| s.failed,
    ),
    (
        "holdfast_webhook_parked_total",
        "Events that were refused for so long that they were put aside.",
        |s, _| s.parked,
    ),
    (
        "holdfast_webhook_dead_letters",
        "Events that are put aside, from whenever.",
        |s, _| s.dead_letters,
    ),
    (
        "holdfast_webhook_dead_letters_asked",
        "Of the events that are put aside, those that are to be posted again.",
        |s, _| s.dead_letters_asked,
    ),
    (
        "holdfast_webhook_retried_total",
        "Events that were put aside, posted again and acknowledged.",
        |s, _| s.retried,
    ),
    (
        "holdfast_webhook_skipped_changes_total",
        "Changes that were never looked at because the change log was cut before them.",
        |s, _| s.skipped,
    ),
    (
        "holdfast_webhook_backlog",
        "Events that wait, with changes that may turn out to be some; at most about ten thousand.",
        |s, _| s.backlog,
    ),
    (
        "holdfast_webhook_oldest_unsent_age_seconds",
        "Age of the oldest event that waits; 0: none does.",
        |s, now_ms| {
            s.oldest_unsent_ms
                .map_or(0, |oldest| now_ms.saturating_sub(oldest) / 1000)
        },
    ),
    (
        "holdfast_webhook_failing",
        "1 while the target takes nothing.",
        |s, _| u64::from(s.failing_since_ms.is_some()),
    ),
];
