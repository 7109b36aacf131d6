//! What became of an attempt: rows whose primary key only one of two can insert.
//!
//! A publish of bytes inserts its blob's row; any other attempt inserts an outcome row. Whoever
//! wants to know for certain inserts the same id as `aborted` into both: where the attempt was
//! first, it happened; else it never can.

use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{BlobId, Placement};

use crate::command::{CondemnOutcome, NewBlob, Resolved};
use crate::commands::{duty, repair, samples, sealing};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::OpId;
use crate::sql::{Tx, values};

/// Inserts the outcome row of an attempt that publishes no blob of its own.
pub(crate) async fn record(tx: &mut Tx<'_>, op: OpId) -> Result<(), MetadataError> {
    match insert_outcome(tx, op, "done").await? {
        0 => Err(MetadataError::Fenced),
        _ => Ok(()),
    }
}

async fn insert_outcome(
    tx: &mut Tx<'_>,
    op: OpId,
    state: &'static str,
) -> Result<u64, MetadataError> {
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO outcomes (op_id, state, created_ms) VALUES ($1, $2, $3) \
         ON CONFLICT (op_id) DO NOTHING",
        values![&op.0, state, now_ms],
    )
    .await
}

async fn insert_blob(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    state: &'static str,
    len: u64,
) -> Result<u64, MetadataError> {
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO blobs (blob_id, state, len, since_ms) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (blob_id) DO NOTHING",
        values![blob, state, len, now_ms],
    )
    .await
}

async fn insert_live_blob(tx: &mut Tx<'_>, blob: &NewBlob) -> Result<u64, MetadataError> {
    let Some(seal) = &blob.seal else {
        return insert_blob(tx, &blob.id, "live", blob.len).await;
    };
    sealing::hold(tx, seal).await?;
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO blobs \
         (blob_id, state, len, since_ms, content_len, wrapped_key, master_key) \
         VALUES ($1, 'live', $2, $3, $4, $5, $6) ON CONFLICT (blob_id) DO NOTHING",
        values![
            &blob.id,
            blob.len,
            now_ms,
            seal.content_len,
            seal.wrapped_key.as_slice(),
            seal.master_key.as_deref()
        ],
    )
    .await
}

/// Publishes an attempt's blob with its placement and debts, or records the attempt if it has none.
pub(crate) async fn publish_blob(
    tx: &mut Tx<'_>,
    op: OpId,
    blob: Option<&NewBlob>,
) -> Result<(), MetadataError> {
    let Some(blob) = blob else {
        return record(tx, op).await;
    };
    if insert_live_blob(tx, blob).await? == 0 {
        return Err(MetadataError::Fenced);
    }
    if op != OpId::from(blob.id) {
        record(tx, op).await?;
    }
    let packed = insert_placement(tx, &blob.id, &blob.placement).await?;
    samples::choose(tx, &blob.id).await?;
    let now_ms = tx.now_ms();
    for (index, drive) in &blob.debts {
        let drive = tx.drives().stored_number(*drive)?;
        tx.execute(
            "INSERT INTO debts (blob_id, region, generation, fragment_index, drive_number, \
             kind, created_ms) VALUES ($1, $2, $3, $4, $5, 'unwritten', $6)",
            values![
                &blob.id,
                blob.placement.region.as_str(),
                blob.placement.generation.0,
                u32::from(index.0),
                drive,
                now_ms
            ],
        )
        .await?;
    }
    owe_removed(tx, &blob.id, &blob.placement, &packed).await?;
    insert_strays(tx, blob).await
}

/// A drive that was removed after the write had chosen it has its fragment no more: it is owed from
/// the start, because nobody will look for it.
async fn owe_removed(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    placement: &Placement,
    packed: &[u8],
) -> Result<(), MetadataError> {
    let named = repair::numbers(packed).map(|(_, number)| number);
    let removed = duty::removed_of(tx, named).await?;
    let now_ms = tx.now_ms();
    for (index, number) in repair::numbers(packed) {
        if !removed.contains(&number) || mutant::active(Mutant::RemovedUnowed) {
            continue;
        }
        tx.execute(
            "INSERT INTO debts (blob_id, region, generation, fragment_index, drive_number, \
             kind, created_ms) VALUES ($1, $2, $3, $4, $5, 'missing', $6)",
            values![
                blob,
                placement.region.as_str(),
                placement.generation.0,
                index,
                number,
                now_ms
            ],
        )
        .await?;
    }
    Ok(())
}

/// Records what a write may have left on drives that it gave up: nobody else would know of it. The
/// drive may still be at it, hence the grace. (What is on one that was removed is nobody's.)
async fn insert_strays(tx: &mut Tx<'_>, blob: &NewBlob) -> Result<(), MetadataError> {
    let not_before_ms = tx.garbage_not_before_ms();
    for (index, drive) in &blob.strays {
        let number = tx.drives().stored_number(Some(*drive))?;
        tx.execute(
            "INSERT INTO strays (drive_number, blob_id, region, generation, fragment_index, \
             not_before_ms, doomed) SELECT drives.drive_number, $2, $3, $4, $5, $6, 0 FROM drives \
             WHERE drives.drive_number = $1 AND drives.duty <> 'removed' \
             ON CONFLICT (drive_number, blob_id, region, generation, fragment_index) DO NOTHING",
            values![
                number,
                &blob.id,
                blob.placement.region.as_str(),
                blob.placement.generation.0,
                u32::from(index.0),
                not_before_ms
            ],
        )
        .await?;
    }
    Ok(())
}

/// Gives back the drives as they were packed.
async fn insert_placement(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    placement: &Placement,
) -> Result<Vec<u8>, MetadataError> {
    let packed = tx.drives().pack(&placement.drives)?;
    let layout = placement.layout.to_string();
    tx.execute(
        "INSERT INTO placements (blob_id, region, generation, layout, drives) \
         VALUES ($1, $2, $3, $4, $5)",
        values![
            blob,
            placement.region.as_str(),
            placement.generation.0,
            &layout,
            &packed
        ],
    )
    .await?;
    Ok(packed)
}

/// Finds out what became of an attempt, and makes sure that it stays so.
pub(crate) struct Resolve {
    pub(crate) op: OpId,
}

impl Apply for Resolve {
    type Outcome = Resolved;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Resolved, MetadataError> {
        let blob = BlobId::from_bytes(*self.op.0.as_bytes());
        // Waits for the attempt's own transaction, if that is still under way.
        if insert_blob(tx, &blob, "aborted", 0).await? == 0
            && matches!(blob_state(tx, &blob).await?.as_str(), "live" | "dead")
        {
            return Ok(Resolved::Happened);
        }
        if insert_outcome(tx, self.op, "aborted").await? == 0 {
            let row = tx
                .fetch_one(
                    "SELECT state FROM outcomes WHERE op_id = $1",
                    values![&self.op.0],
                )
                .await?;
            if row.map(|row| row.text(0)).transpose()?.as_deref() == Some("done") {
                return Ok(Resolved::Happened);
            }
        }
        Ok(Resolved::Never)
    }
}

/// Makes an id that has no row unpublishable for ever.
pub(crate) struct Condemn(pub(crate) BlobId);

impl Apply for Condemn {
    type Outcome = CondemnOutcome;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<CondemnOutcome, MetadataError> {
        if condemn_unknown(tx, &self.0).await? {
            return Ok(CondemnOutcome::Condemned);
        }
        match blob_state(tx, &self.0).await?.as_str() {
            "live" => Ok(CondemnOutcome::Known),
            "dead" => {
                // While the sweeper is at it, its fragments are known; afterwards they are strays.
                let placed = tx
                    .fetch_one(
                        "SELECT generation FROM placements WHERE blob_id = $1 LIMIT 1",
                        values![&self.0],
                    )
                    .await?;
                Ok(match placed {
                    Some(_) => CondemnOutcome::Known,
                    None => CondemnOutcome::Condemned,
                })
            }
            _ => Ok(CondemnOutcome::Condemned),
        }
    }
}

/// Condemns an id that has no row; whether it had none.
pub(crate) async fn condemn_unknown(tx: &mut Tx<'_>, blob: &BlobId) -> Result<bool, MetadataError> {
    Ok(insert_blob(tx, blob, "condemned", 0).await? > 0)
}

async fn blob_state(tx: &mut Tx<'_>, blob: &BlobId) -> Result<String, MetadataError> {
    let row = tx
        .fetch_one("SELECT state FROM blobs WHERE blob_id = $1", values![blob])
        .await?;
    // Its row was there a moment ago and has just expired.
    row.map_or(Ok("aborted".to_owned()), |row| row.text(0))
}
