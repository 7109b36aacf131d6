//! Blobs that are to be read again: chosen when they are published, settled when they were.

use holdfast_types::BlobId;

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::samples::{Sample, SampleRule};
use crate::sql::{Tx, values};

/// Notes a blob that is being published, if it is one of those that are read again.
pub(crate) async fn choose(tx: &mut Tx<'_>, blob: &BlobId) -> Result<(), MetadataError> {
    let rule = tx.sample_rule();
    if !rule.share.has(blob) {
        return Ok(());
    }
    let written_ms = tx.now_ms();
    insert(tx, &rule, blob, 0, written_ms).await
}

async fn insert(
    tx: &mut Tx<'_>,
    rule: &SampleRule,
    blob: &BlobId,
    stage: u32,
    written_ms: u64,
) -> Result<(), MetadataError> {
    let Some(after) = rule.after(stage) else {
        return Ok(());
    };
    let due_ms = written_ms.saturating_add(after.as_millis() as u64);
    tx.execute(
        "INSERT INTO samples (due_ms, blob_id, stage, written_ms) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (due_ms, blob_id) DO NOTHING",
        values![due_ms, blob, stage, written_ms],
    )
    .await?;
    Ok(())
}

/// Says that a sample was looked at; the blob's next look takes its place, if there is one and the
/// blob is still there.
pub(crate) struct SettleSample(pub(crate) Sample);

impl Apply for SettleSample {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let sample = &self.0;
        let settled = tx
            .execute(
                "DELETE FROM samples WHERE due_ms = $1 AND blob_id = $2 AND stage = $3",
                values![sample.due_ms, &sample.blob, sample.stage],
            )
            .await?;
        // Two who looked at once leave one next look.
        if settled == 0 {
            return Ok(());
        }
        let state = tx
            .fetch_one(
                "SELECT state FROM blobs WHERE blob_id = $1",
                values![&sample.blob],
            )
            .await?;
        if state.map(|row| row.text(0)).transpose()?.as_deref() != Some("live") {
            return Ok(());
        }
        let rule = tx.sample_rule();
        insert(tx, &rule, &sample.blob, sample.stage + 1, sample.written_ms).await
    }
}
