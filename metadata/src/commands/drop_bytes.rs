//! Lets bytes go: references are removed and garbage rows say when the sweeper may look.
//!
//! Every reference that goes leaves a garbage row for its blob, even if others may still refer to
//! it: two transactions that drop the last two references at once can't see each other, and the
//! sweeper finds out.

use uuid::Uuid;

use crate::commands::object_lock::Unlocked;
use crate::error::MetadataError;
use crate::sql::{Tx, values};

/// Removes a version that nothing locks, with its slices and parts. Nothing else removes one.
pub(crate) async fn drop_version(tx: &mut Tx<'_>, version: &Unlocked) -> Result<(), MetadataError> {
    let uid = version.uid();
    drop_slices(tx, uid).await?;
    tx.execute("DELETE FROM object_parts WHERE owner = $1", values![uid])
        .await?;
    tx.execute("DELETE FROM versions WHERE uid = $1", values![uid])
        .await?;
    Ok(())
}

/// Removes all references of one owner.
pub(crate) async fn drop_slices(tx: &mut Tx<'_>, owner: &Uuid) -> Result<(), MetadataError> {
    let not_before_ms = tx.garbage_not_before_ms();
    tx.execute(
        "INSERT INTO garbage (not_before_ms, blob_id, owner) \
         SELECT DISTINCT $2, blob_id, owner FROM slices WHERE owner = $1",
        values![owner, not_before_ms],
    )
    .await?;
    tx.execute("DELETE FROM slices WHERE owner = $1", values![owner])
        .await?;
    Ok(())
}

/// Removes the parts of an upload whose numbers are in `first..=last`, with their references.
pub(crate) async fn drop_parts(
    tx: &mut Tx<'_>,
    upload: &Uuid,
    first: u32,
    last: u32,
) -> Result<(), MetadataError> {
    let not_before_ms = tx.garbage_not_before_ms();
    tx.execute(
        "INSERT INTO garbage (not_before_ms, blob_id, owner) \
         SELECT DISTINCT $4, blob_id, owner FROM slices WHERE owner IN \
         (SELECT uid FROM parts WHERE upload_id = $1 AND part_number BETWEEN $2 AND $3)",
        values![upload, first, last, not_before_ms],
    )
    .await?;
    tx.execute(
        "DELETE FROM slices WHERE owner IN \
         (SELECT uid FROM parts WHERE upload_id = $1 AND part_number BETWEEN $2 AND $3)",
        values![upload, first, last],
    )
    .await?;
    tx.execute(
        "INSERT INTO usage_deltas (bucket_id, versions, bytes, part_bytes) \
         SELECT uploads.bucket_id, 0, 0, CAST(-SUM(parts.size) AS BIGINT) \
         FROM parts JOIN uploads ON uploads.upload_id = parts.upload_id \
         WHERE parts.upload_id = $1 AND parts.part_number BETWEEN $2 AND $3 \
         GROUP BY uploads.bucket_id HAVING SUM(parts.size) > 0",
        values![upload, first, last],
    )
    .await?;
    tx.execute(
        "DELETE FROM parts WHERE upload_id = $1 AND part_number BETWEEN $2 AND $3",
        values![upload, first, last],
    )
    .await?;
    Ok(())
}

/// Aborts an upload whose row the caller has locked.
pub(crate) async fn abort(tx: &mut Tx<'_>, upload: &Uuid) -> Result<(), MetadataError> {
    drop_parts(tx, upload, 0, u32::MAX).await?;
    let now_ms = tx.now_ms();
    tx.execute(
        "UPDATE uploads SET state = 'aborted', since_ms = $2 WHERE upload_id = $1",
        values![upload, now_ms],
    )
    .await?;
    Ok(())
}
