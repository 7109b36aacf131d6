//! Blobs that are to be read again.

use crate::error::MetadataError;
use crate::samples::Sample;
use crate::sql::{Tx, values};

/// Those that are due, the longest due first.
pub(crate) async fn due(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<Sample>, MetadataError> {
    let now_ms = tx.now_ms();
    let rows = tx
        .fetch(
            "SELECT due_ms, blob_id, stage, written_ms FROM samples WHERE due_ms <= $1 \
             ORDER BY due_ms, blob_id LIMIT $2",
            values![now_ms, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Sample {
                due_ms: row.number(0)?,
                blob: row.blob(1)?,
                stage: row.small(2)?,
                written_ms: row.number(3)?,
            })
        })
        .collect()
}

/// All that wait, due or not.
pub(crate) async fn pending(tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
    let row = tx
        .fetch_one("SELECT COUNT(*) FROM samples", values![])
        .await?;
    row.ok_or_else(|| MetadataError::Corrupt("no count".to_owned()))?
        .number(0)
}
