//! Keeps the change log as short as its readers allow, and no longer than it may be.
//!
//! What every reader has passed goes at once. A reader that does not come, because what it feeds is
//! down, keeps the log for days; then the log is cut before it, loudly, rather than fill the disk
//! that every write needs.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::Metadata;
use holdfast_metadata::notification::LogBounds;

use crate::worker::{Progress, WorkError, Worker};

/// How long the log is kept for a reader that does not come: a week, which has a working day in it
/// wherever and whenever it breaks, and ten million changes, which are a few gigabytes.
pub const CHANGE_LOG_BOUNDS: LogBounds = LogBounds {
    age_ms: 7 * 24 * 3600 * 1000,
    rows: 10_000_000,
};

/// See the module.
pub struct LogTrimmer {
    metadata: Metadata,
    bounds: LogBounds,
    passed: u64,
    forced: u64,
}

impl LogTrimmer {
    /// Trims within [`CHANGE_LOG_BOUNDS`].
    #[must_use]
    pub const fn new(metadata: Metadata) -> Self {
        Self::within(metadata, CHANGE_LOG_BOUNDS)
    }

    const fn within(metadata: Metadata, bounds: LogBounds) -> Self {
        Self {
            metadata,
            bounds,
            passed: 0,
            forced: 0,
        }
    }
}

#[async_trait]
impl Worker for LogTrimmer {
    fn name(&self) -> &'static str {
        "change-log"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let trimmed = self.metadata.trim_changes(self.bounds, STEP).await?;
        self.passed += trimmed.passed;
        self.forced += trimmed.forced;
        for late in &trimmed.late {
            tracing::error!(
                reader = late.name,
                skipped = late.skipped,
                "the change log was cut before a reader that did not come: what it skipped is \
                 never delivered"
            );
        }
        Ok(if trimmed.passed + trimmed.forced == 0 {
            Progress::Idle
        } else {
            Progress::Busy
        })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(PAUSE).await;
    }

    fn doing(&self) -> String {
        match self.forced {
            0 => format!("{} changes forgotten", self.passed),
            forced => format!(
                "{} changes forgotten, {forced} more CUT before a reader had come",
                self.passed
            ),
        }
    }
}

impl std::fmt::Debug for LogTrimmer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogTrimmer").finish_non_exhaustive()
    }
}

/// Rows of one step: a few milliseconds of the metadata's writer.
const STEP: usize = 500;
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{HOUR_MS, World};

    #[tokio::test]
    async fn the_log_goes_when_nobody_reads_and_stays_for_who_does() {
        let world = World::new().await;
        let bounds = LogBounds {
            age_ms: HOUR_MS,
            rows: 1000,
        };
        let mut trimmer = LogTrimmer::within(world.metadata.clone(), bounds);
        world.put("a").await;
        assert_eq!(trimmer.work().await.unwrap(), Progress::Busy);
        assert_eq!(trimmer.work().await.unwrap(), Progress::Idle);
        assert_eq!(trimmer.doing(), "1 changes forgotten");

        let webhook = holdfast_metadata::notification::Webhook {
            name: "hook".to_owned(),
            number: 0,
            detail: holdfast_metadata::notification::WebhookDetail {
                url: "http://hook.example/".to_owned(),
                allow_private: false,
                allow_loopback: false,
                allow_link_local: false,
                created_ms: 0,
            },
            token: None,
        };
        world.metadata.create_webhook(webhook).await.unwrap();
        world.put("b").await;
        assert_eq!(trimmer.work().await.unwrap(), Progress::Idle, "it is kept");
        world.clock.advance_ms(2 * HOUR_MS);
        assert_eq!(trimmer.work().await.unwrap(), Progress::Busy);
        let doing = trimmer.doing();
        assert!(doing.contains("1 more CUT"), "{doing}");
    }
}
