//! What time takes away: abandoned uploads, old outcomes, ids that nobody can publish any more.
//! Each call does a bounded piece of work and says how much it did.

use crate::command::{COMPLETED_UPLOAD_KEPT, OUTCOME_KEPT, UPLOAD_EXPIRY};
use crate::commands::drop_bytes;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::sql::{Tx, values};

/// Aborts uploads that were left open, and forgets those that ended long ago.
pub(crate) struct ExpireUploads {
    pub(crate) limit: usize,
}

impl Apply for ExpireUploads {
    type Outcome = u64;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        let now_ms = tx.now_ms();
        let abandoned = tx
            .fetch(
                "SELECT upload_id FROM uploads WHERE state = 'open' AND since_ms <= $1 \
                 ORDER BY since_ms, upload_id LIMIT $2 FOR UPDATE",
                values![
                    now_ms.saturating_sub(UPLOAD_EXPIRY.as_millis() as u64),
                    self.limit
                ],
            )
            .await?;
        for upload in &abandoned {
            drop_bytes::abort(tx, &upload.uuid(0)?).await?;
        }
        let ended_before = now_ms.saturating_sub(COMPLETED_UPLOAD_KEPT.as_millis() as u64);
        let mut forgotten = 0;
        for state in ["completed", "aborted"] {
            forgotten += tx
                .execute(
                    "DELETE FROM uploads WHERE upload_id IN (SELECT upload_id FROM uploads \
                     WHERE state = $1 AND since_ms <= $2 ORDER BY since_ms LIMIT $3)",
                    values![state, ended_before, self.limit],
                )
                .await?;
        }
        Ok(abandoned.len() as u64 + forgotten)
    }
}

/// Forgets attempts and ids that were decided so long ago that no COMMIT can be under way.
pub(crate) struct ExpireOutcomes {
    pub(crate) limit: usize,
}

impl Apply for ExpireOutcomes {
    type Outcome = u64;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        let before = tx.now_ms().saturating_sub(OUTCOME_KEPT.as_millis() as u64);
        let outcomes = tx
            .execute(
                "DELETE FROM outcomes WHERE op_id IN (SELECT op_id FROM outcomes \
                 WHERE created_ms <= $1 ORDER BY created_ms LIMIT $2)",
                values![before, self.limit],
            )
            .await?;
        // A dead blob whose fragments are still somewhere is not forgotten.
        let blobs = tx
            .execute(
                "DELETE FROM blobs WHERE blob_id IN (SELECT blob_id FROM blobs \
                 WHERE state <> 'live' AND since_ms <= $1 \
                 AND NOT EXISTS (SELECT 1 FROM placements \
                 WHERE placements.blob_id = blobs.blob_id) \
                 ORDER BY since_ms LIMIT $2)",
                values![before, self.limit],
            )
            .await?;
        // Totals of deleted buckets: their numbers are never used again.
        let totals = tx
            .execute(
                "DELETE FROM usage WHERE bucket_id IN (SELECT usage.bucket_id FROM usage \
                 WHERE NOT EXISTS (SELECT 1 FROM buckets \
                 WHERE buckets.bucket_id = usage.bucket_id) \
                 AND usage.versions = 0 AND usage.bytes = 0 AND usage.part_bytes = 0 \
                 LIMIT $1)",
                values![self.limit],
            )
            .await?;
        Ok(outcomes + blobs + totals)
    }
}
