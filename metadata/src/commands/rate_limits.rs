//! Rate limits of buckets and access keys. They go with what they are of, so that one that takes
//! its name later does not have them.

use super::buckets::lock_for_publish;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{NamedRateLimit, RateLimited};
use crate::sql::{Tx, values};

/// Gives a bucket or a key a limit in place of the one it has; one without limits takes it away.
pub(crate) struct SetRateLimit(pub(crate) NamedRateLimit);

impl Apply for SetRateLimit {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let NamedRateLimit { of, name, limit } = &self.0;
        lock(tx, *of, name).await?;
        if limit.is_none() {
            return remove(tx, *of, name).await;
        }
        tx.execute(
            "INSERT INTO rate_limits (kind, name, requests_per_second, bytes_per_second) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (kind, name) DO UPDATE \
             SET requests_per_second = excluded.requests_per_second, \
             bytes_per_second = excluded.bytes_per_second",
            values![
                of.as_str(),
                name,
                limit.requests_per_second,
                limit.bytes_per_second
            ],
        )
        .await?;
        Ok(())
    }
}

/// Keeps it from being deleted meanwhile: the limit would outlive it.
async fn lock(tx: &mut Tx<'_>, of: RateLimited, name: &str) -> Result<(), MetadataError> {
    if of == RateLimited::Bucket {
        return lock_for_publish(tx, name).await.map(drop);
    }
    let key = tx
        .fetch_one(
            "SELECT created_ms FROM access_keys WHERE access_key = $1 FOR SHARE",
            values![name],
        )
        .await?;
    key.map(drop).ok_or(MetadataError::NotFound("access key"))
}

/// Takes the limit away, if there is one.
pub(crate) async fn remove(
    tx: &mut Tx<'_>,
    of: RateLimited,
    name: &str,
) -> Result<(), MetadataError> {
    tx.execute(
        "DELETE FROM rate_limits WHERE kind = $1 AND name = $2",
        values![of.as_str(), name],
    )
    .await?;
    Ok(())
}
