//! Keeps the limits of this process as the metadata has them.

use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::{Metadata, MetadataError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::RateLimits;

/// Reads all limits now and then, and at once when one was set here: no request reads them.
#[derive(Debug)]
pub struct RateLimitKeeper {
    metadata: Metadata,
    limits: RateLimits,
    /// Held from reading to setting: what was read earlier never replaces what was read later.
    reading: Mutex<()>,
}

impl RateLimitKeeper {
    /// A keeper whose limits are none until [`RateLimitKeeper::read`].
    #[must_use]
    pub fn new(metadata: Metadata) -> Self {
        Self {
            metadata,
            limits: RateLimits::default(),
            reading: Mutex::new(()),
        }
    }

    /// The limits, for those who ask of each request.
    #[must_use]
    pub const fn limits(&self) -> &RateLimits {
        &self.limits
    }

    /// Reads all limits, once, and holds requests to them.
    ///
    /// # Errors
    /// Those of [`Metadata::all_rate_limits`]; the limits stay as they were.
    pub async fn read(&self) -> Result<(), MetadataError> {
        let _reading = self.reading.lock().await;
        let all = self.metadata.all_rate_limits().await?;
        self.limits.set_all(all, Instant::now());
        Ok(())
    }

    /// Reads them every few seconds, for ever: what another process set is held to here soon.
    pub async fn run(self: Arc<Self>) {
        let mut is_away = false;
        loop {
            tokio::time::sleep(PERIOD).await;
            match self.read().await {
                Ok(()) => is_away = false,
                Err(error) if is_away => tracing::debug!(%error, "rate limits can't be read"),
                Err(error) => {
                    is_away = true;
                    tracing::warn!(%error, "rate limits can't be read: those of before hold");
                }
            }
        }
    }
}

/// How soon what another process set is held to.
const PERIOD: Duration = Duration::from_secs(5);
