//! What lifecycle is to look at now, and how much of it waits.

use crate::commands::lifecycle::rules_of;
use crate::error::MetadataError;
use crate::lifecycle::{DueLifecycle, LifecycleBacklog, LifecycleRules, LifecycleSubject};
use crate::model::{Bucket, BucketId};
use crate::sql::{Row, Tx, values};
use std::sync::Arc;

/// The rules of a bucket.
pub(crate) async fn rules(
    tx: &mut Tx<'_>,
    bucket: &Bucket,
) -> Result<Option<Arc<LifecycleRules>>, MetadataError> {
    rules_of(tx, bucket).await
}

/// Versions that are due, the longest due first, after one of them.
pub(crate) async fn due_versions(
    tx: &mut Tx<'_>,
    after: Option<&DueLifecycle>,
    limit: usize,
) -> Result<Vec<DueLifecycle>, MetadataError> {
    let now_ms = tx.now_ms();
    let rows = match after {
        None => {
            tx.fetch(
                "SELECT lifecycle_due_ms, bucket_id, key, uid FROM versions \
                 WHERE lifecycle_due_ms <= $1 ORDER BY lifecycle_due_ms, uid LIMIT $2",
                values![now_ms, limit],
            )
            .await?
        }
        Some(after) => {
            tx.fetch(
                "SELECT lifecycle_due_ms, bucket_id, key, uid FROM versions \
                 WHERE lifecycle_due_ms <= $1 AND (lifecycle_due_ms, uid) > ($2, $3) \
                 ORDER BY lifecycle_due_ms, uid LIMIT $4",
                values![now_ms, after.due_ms, &after.id, limit],
            )
            .await?
        }
    };
    let read = |row: &Row| read(row, LifecycleSubject::Version);
    rows.iter().map(read).collect()
}

/// Open uploads that are due, the longest due first, after one of them.
pub(crate) async fn due_uploads(
    tx: &mut Tx<'_>,
    after: Option<&DueLifecycle>,
    limit: usize,
) -> Result<Vec<DueLifecycle>, MetadataError> {
    let now_ms = tx.now_ms();
    let rows = match after {
        None => {
            tx.fetch(
                "SELECT lifecycle_due_ms, bucket_id, key, upload_id FROM uploads \
                 WHERE state = 'open' AND lifecycle_due_ms <= $1 \
                 ORDER BY lifecycle_due_ms, upload_id LIMIT $2",
                values![now_ms, limit],
            )
            .await?
        }
        Some(after) => {
            tx.fetch(
                "SELECT lifecycle_due_ms, bucket_id, key, upload_id FROM uploads \
                 WHERE state = 'open' AND lifecycle_due_ms <= $1 \
                 AND (lifecycle_due_ms, upload_id) > ($2, $3) \
                 ORDER BY lifecycle_due_ms, upload_id LIMIT $4",
                values![now_ms, after.due_ms, &after.id, limit],
            )
            .await?
        }
    };
    let read = |row: &Row| read(row, LifecycleSubject::Upload);
    rows.iter().map(read).collect()
}

fn read(row: &Row, subject: LifecycleSubject) -> Result<DueLifecycle, MetadataError> {
    Ok(DueLifecycle {
        due_ms: row.number(0)?,
        bucket: BucketId(row.signed(1)?),
        key: row.bytes(2)?,
        id: row.uuid(3)?,
        subject,
    })
}

/// What is due and what is still to be dated. Counts stop at `most`.
pub(crate) async fn backlog(
    tx: &mut Tx<'_>,
    most: usize,
) -> Result<LifecycleBacklog, MetadataError> {
    let now_ms = tx.now_ms();
    let row = tx
        .fetch_one(
            "SELECT COUNT(*), MIN(due_ms) FROM (SELECT lifecycle_due_ms AS due_ms FROM versions \
             WHERE lifecycle_due_ms <= $1 ORDER BY lifecycle_due_ms, uid LIMIT $2) AS due",
            values![now_ms, most],
        )
        .await?;
    let versions = row.ok_or_else(no_row)?;
    let row = tx
        .fetch_one(
            "SELECT COUNT(*), MIN(due_ms) FROM (SELECT lifecycle_due_ms AS due_ms FROM uploads \
             WHERE state = 'open' AND lifecycle_due_ms <= $1 \
             ORDER BY lifecycle_due_ms, upload_id LIMIT $2) AS due",
            values![now_ms, most],
        )
        .await?;
    let uploads = row.ok_or_else(no_row)?;
    let row = tx
        .fetch_one(
            "SELECT COUNT(*), CAST(COALESCE(SUM(walked), 0) AS BIGINT) FROM lifecycle_rules \
             WHERE walk <> 'done'",
            values![],
        )
        .await?;
    let walks = row.ok_or_else(no_row)?;
    let oldest = [versions.optional_number(1)?, uploads.optional_number(1)?];
    Ok(LifecycleBacklog {
        overdue: versions.number(0)? + uploads.number(0)?,
        oldest_due_ms: oldest.into_iter().flatten().min(),
        buckets_to_walk: walks.number(0)?,
        walked: walks.number(1)?,
    })
}

fn no_row() -> MetadataError {
    MetadataError::Corrupt("a count gave no row".to_owned())
}
