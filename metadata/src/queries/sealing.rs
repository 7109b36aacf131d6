//! Which data keys which master keys wrap.

use holdfast_types::BlobId;

use crate::error::MetadataError;
use crate::model::{MasterKeyUse, WrappedRow};
use crate::sql::{Tx, values};

/// Blobs whose data keys are wrapped by `master_key`, in the order of their ids, after one.
pub(crate) async fn wrapped_by(
    tx: &mut Tx<'_>,
    master_key: &str,
    after: Option<&BlobId>,
    limit: usize,
) -> Result<Vec<WrappedRow>, MetadataError> {
    let first = BlobId::from_bytes([0; 16]);
    let rows = tx
        .fetch(
            "SELECT blob_id, wrapped_key FROM blobs WHERE master_key = $1 AND blob_id > $2 \
             ORDER BY blob_id LIMIT $3",
            values![master_key, after.unwrap_or(&first), limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(WrappedRow {
                blob: row.blob(0)?,
                master_key: master_key.to_owned(),
                wrapped_key: row.bytes(1)?,
            })
        })
        .collect()
}

/// Every master key that was ever admitted, and how much it wraps.
pub(crate) async fn master_keys(tx: &mut Tx<'_>) -> Result<Vec<MasterKeyUse>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT master_key, retired, (SELECT COUNT(*) FROM (SELECT 1 FROM blobs \
             WHERE blobs.master_key = master_keys.master_key LIMIT $1) AS wrapped) \
             FROM master_keys ORDER BY admitted_ms, master_key",
            values![MasterKeyUse::COUNTED],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(MasterKeyUse {
                key: row.text(0)?,
                retired: row.truth(1)?,
                blobs: row.number(2)?,
            })
        })
        .collect()
}
