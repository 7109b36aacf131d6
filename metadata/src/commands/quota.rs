//! A bucket's totals and its quota.
//!
//! Totals are appended deltas that a worker folds, so that no two requests update one row. A write
//! that would take more looks at the folded total and at every delta that has committed (and its
//! own), and is refused if the quota does not hold with it. What it can't see is what other
//! transactions are just about to commit: on PostgreSQL N transactions at once may together
//! overshoot by what N - 1 of them add; on SQLite, where one writer does one command after the
//! other, by nothing. A write that adds nothing is never refused.

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Bucket, BucketId, OverQuota, Quota, Usage};
use crate::sql::{Tx, values};

/// What a write adds to the totals of its bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) versions: i64,
    pub(crate) bytes: i64,
    /// Bytes of parts of open uploads.
    pub(crate) part_bytes: i64,
}

/// Adds to the totals, if the bucket's quota holds with it.
pub(crate) async fn count(
    tx: &mut Tx<'_>,
    bucket: &Bucket,
    growth: Growth,
) -> Result<(), MetadataError> {
    if growth == Growth::default() {
        return Ok(());
    }
    check(tx, bucket, growth).await?;
    tx.execute(
        "INSERT INTO usage_deltas (bucket_id, versions, bytes, part_bytes) VALUES ($1, $2, $3, $4)",
        values![
            bucket.id.0,
            growth.versions,
            growth.bytes,
            growth.part_bytes
        ],
    )
    .await?;
    Ok(())
}

async fn check(tx: &mut Tx<'_>, bucket: &Bucket, growth: Growth) -> Result<(), MetadataError> {
    let more_bytes = growth.bytes + growth.part_bytes;
    if bucket.quota.is_none() || (more_bytes <= 0 && growth.versions <= 0) {
        return Ok(());
    }
    let used = stored(tx, bucket.id).await?;
    for (what, more, used, limit) in [
        ("bytes", more_bytes, used.bytes, bucket.quota.bytes),
        (
            "objects",
            growth.versions,
            used.versions,
            bucket.quota.objects,
        ),
    ] {
        if let Some(limit) = limit
            && more > 0
            && used.saturating_add(more.unsigned_abs()) > limit
        {
            return Err(MetadataError::OverQuota(OverQuota { what, limit }));
        }
    }
    Ok(())
}

/// What counts against a bucket's quota.
pub(crate) async fn stored(tx: &mut Tx<'_>, bucket: BucketId) -> Result<Usage, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT CAST(COALESCE(SUM(versions), 0) AS BIGINT), \
             CAST(COALESCE(SUM(bytes + part_bytes), 0) AS BIGINT) FROM \
             (SELECT versions, bytes, part_bytes FROM usage WHERE bucket_id = $1 UNION ALL \
             SELECT versions, bytes, part_bytes FROM usage_deltas WHERE bucket_id = $1) AS counted",
            values![bucket.0],
        )
        .await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no totals".to_owned()))?;
    // Totals that have drifted below none are no reason to fail a write.
    let number = |column| Ok::<_, MetadataError>(row.signed(column)?.max(0).unsigned_abs());
    Ok(Usage {
        versions: number(0)?,
        bytes: number(1)?,
    })
}

/// Gives a bucket a quota, or takes it away. What is there already stays.
pub(crate) struct SetQuota {
    pub(crate) bucket: String,
    pub(crate) quota: Quota,
}

impl Apply for SetQuota {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let changed = tx
            .execute(
                "UPDATE buckets SET quota_bytes = $2, quota_objects = $3 WHERE name = $1",
                values![&self.bucket, self.quota.bytes, self.quota.objects],
            )
            .await?;
        match changed {
            0 => Err(MetadataError::NoSuchBucket),
            _ => Ok(()),
        }
    }
}
