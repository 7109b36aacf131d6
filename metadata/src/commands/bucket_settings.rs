//! What a bucket is configured with: documents by name, which only the edge reads.
//!
//! The bucket's row is locked FOR SHARE, so that no setting outlives its bucket. Of two that change
//! one setting at once, the later commit stays.

use crate::commands::buckets;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::sql::{Tx, values};

/// Gives a bucket's setting a value, or takes it away.
pub(crate) struct SetBucketSetting {
    pub(crate) bucket: String,
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

impl Apply for SetBucketSetting {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let bucket = buckets::lock_for_publish(tx, &self.bucket).await?;
        match &self.value {
            Some(value) => {
                tx.execute(
                    "INSERT INTO bucket_settings (bucket_id, name, value) VALUES ($1, $2, $3) \
                     ON CONFLICT (bucket_id, name) DO UPDATE SET value = excluded.value",
                    values![bucket.id.0, &self.name, value],
                )
                .await?
            }
            None => {
                tx.execute(
                    "DELETE FROM bucket_settings WHERE bucket_id = $1 AND name = $2",
                    values![bucket.id.0, &self.name],
                )
                .await?
            }
        };
        Ok(())
    }
}
