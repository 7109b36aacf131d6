//! Rate limits of buckets and access keys.

use super::{MAX_ROWS, Metadata, Result};
use crate::commands::rate_limits::SetRateLimit;
use crate::model::{NamedRateLimit, RateLimit, RateLimited};
use crate::queries::rate_limits;

/// Rate limits.
impl Metadata {
    /// Gives a bucket or a key a limit in place of the one it has; one without limits takes it
    /// away. It goes with the bucket or key.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NotFound` (no such key); `Unavailable`, `Database`.
    pub async fn set_rate_limit(&self, limit: NamedRateLimit) -> Result<()> {
        self.run(SetRateLimit(limit)).await
    }

    /// The limit of a bucket or a key; none where it has none, or is not there.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn rate_limit(&self, of: RateLimited, name: &str) -> Result<RateLimit> {
        query!(self.reader, rate_limits::one(of, name))
    }

    /// The limits that are set, after the one of `after`: buckets before keys, each by name in the
    /// order of bytes.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn rate_limits(
        &self,
        after: Option<(RateLimited, &str)>,
        limit: usize,
    ) -> Result<Vec<NamedRateLimit>> {
        query!(self.reader, rate_limits::page(after, limit.min(MAX_ROWS)))
    }

    /// All limits that are set, in the same order. What is set meanwhile may be among them or not.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn all_rate_limits(&self) -> Result<Vec<NamedRateLimit>> {
        let mut all: Vec<NamedRateLimit> = Vec::new();
        loop {
            let after = all.last().map(|last| (last.of, last.name.as_str()));
            let page = self.rate_limits(after, MAX_ROWS).await?;
            let is_last = page.len() < MAX_ROWS;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }
}
