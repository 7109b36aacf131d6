//! `PUT /admin/v1/buckets/NAME/rate-limit` and `PUT /admin/v1/keys/KEY/rate-limit`: how much of a
//! bucket, or by a key, is let through in a second.

use holdfast_metadata::model::{Bucket, NamedRateLimit, RateLimit, RateLimited};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::error::AdminError;
use super::view::{BucketView, KeyView};

/// A rate limit; `null` or left out: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitView {
    /// The most requests in a second, on average; at least 1.
    #[serde(default)]
    pub requests_per_second: Option<u64>,
    /// The most bytes of bodies in a second, on average, of requests and answers together; at
    /// least 1.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
}

impl From<RateLimit> for RateLimitView {
    fn from(limit: RateLimit) -> Self {
        Self {
            requests_per_second: limit.requests_per_second,
            bytes_per_second: limit.bytes_per_second,
        }
    }
}

/// A rate limit, and how many requests it has refused here.
pub(super) struct RateLimitNow {
    pub(super) limit: RateLimit,
    pub(super) refused: u64,
}

impl Admin {
    /// Gives a bucket this limit in place of the one it has; how the bucket is then.
    pub(super) async fn limit_bucket(
        &self,
        name: &str,
        body: &[u8],
    ) -> Result<BucketView, AdminError> {
        self.set_rate_limit(RateLimited::Bucket, name, body).await?;
        let bucket = self.metadata.bucket(name).await?;
        self.bucket_view(bucket).await
    }

    /// Gives a key this limit in place of the one it has; how the key is then.
    pub(super) async fn limit_key(&self, name: &str, body: &[u8]) -> Result<KeyView, AdminError> {
        self.set_rate_limit(RateLimited::Key, name, body).await?;
        let key = self.metadata.key(name).await?;
        let key = key.ok_or_else(|| AdminError::not_found("no such access key"))?;
        let limit = self.metadata.rate_limit(RateLimited::Key, name).await?;
        let limit = self.rate_limit_now(RateLimited::Key, name, limit);
        Ok(KeyView::new(key, limit, &self.facts.root_access_key))
    }

    /// The limit of a bucket.
    pub(super) async fn bucket_limit(&self, bucket: &Bucket) -> Result<RateLimitNow, AdminError> {
        let of = RateLimited::Bucket;
        let limit = self.metadata.rate_limit(of, &bucket.name).await?;
        Ok(self.rate_limit_now(of, &bucket.name, limit))
    }

    /// A limit with what it has refused here.
    pub(super) fn rate_limit_now(
        &self,
        of: RateLimited,
        name: &str,
        limit: RateLimit,
    ) -> RateLimitNow {
        let keeper = self.surroundings.rate_limits();
        RateLimitNow {
            limit,
            refused: keeper.map_or(0, |keeper| keeper.limits().refused(of, name)),
        }
    }

    async fn set_rate_limit(
        &self,
        of: RateLimited,
        name: &str,
        body: &[u8],
    ) -> Result<(), AdminError> {
        let asked: RateLimitView = serde_json::from_slice(body)
            .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))?;
        // What the database counts in.
        let allowed = 1..=i64::MAX.unsigned_abs();
        if [asked.requests_per_second, asked.bytes_per_second]
            .iter()
            .flatten()
            .any(|rate| !allowed.contains(rate))
        {
            return Err(AdminError::invalid(format!(
                "a rate limit is 1 to {}, or left out for none",
                allowed.end()
            )));
        }
        let limit = RateLimit {
            requests_per_second: asked.requests_per_second,
            bytes_per_second: asked.bytes_per_second,
        };
        let named = NamedRateLimit {
            of,
            name: name.to_owned(),
            limit,
        };
        self.metadata.set_rate_limit(named).await?;
        tracing::info!(of = of.as_str(), name, ?limit, "a rate limit was set");
        if let Some(keeper) = self.surroundings.rate_limits()
            && let Err(error) = keeper.read().await
        {
            // It is set, and read again in a few seconds.
            tracing::warn!(%error, "the new rate limit could not be read yet");
        }
        Ok(())
    }
}
