//! The sweeper asks for a blob's bytes, and says when they are gone.
//!
//! The blob's row is locked against those who take references (they lock it FOR SHARE and require
//! `live`). Then the order of the questions matters, because those who *drop* references do not
//! lock: first "is it referenced?", then "is a garbage row of it not due yet?". A dropper that
//! commits before the first question has left a row that is not due, which the second finds; one
//! that commits later is still a reference in the first. Only rows seen before both are removed.

use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{BlobId, Region};
use uuid::Uuid;

use crate::drive_numbers::PackedPlacement;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::Garbage;
use crate::queries::{horizon, placements};
use crate::sql::{Tx, values};

/// See [`crate::command::SweepOutcome`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BegunSweep {
    Dead(Vec<PackedPlacement>),
    Referenced,
    Unknown,
}

/// Declares a blob dead if nothing refers to it and its garbage is due.
pub(crate) struct BeginSweep {
    pub(crate) blob: BlobId,
    pub(crate) region: Region,
}

impl Apply for BeginSweep {
    type Outcome = BegunSweep;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<BegunSweep, MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT state FROM blobs WHERE blob_id = $1 FOR UPDATE",
                values![&self.blob],
            )
            .await?;
        match row.map(|row| row.text(0)).transpose()?.as_deref() {
            Some("dead") => {}
            Some("live") => {
                let garbage = garbage_rows(tx, &self.blob).await?;
                if self.is_needed(tx).await? {
                    drop_due(tx, &self.blob, &garbage).await?;
                    return Ok(BegunSweep::Referenced);
                }
                let now_ms = tx.now_ms();
                tx.execute(
                    "UPDATE blobs SET state = 'dead', since_ms = $2, wrapped_key = NULL, \
                     master_key = NULL WHERE blob_id = $1",
                    values![&self.blob, now_ms],
                )
                .await?;
            }
            _ => return Ok(BegunSweep::Unknown),
        }
        let placements = placements::of_blob(tx, &self.blob, &self.region).await?;
        Ok(BegunSweep::Dead(placements))
    }
}

impl BeginSweep {
    /// Whether somebody refers to the blob, or may still be reading it.
    async fn is_needed(&self, tx: &mut Tx<'_>) -> Result<bool, MetadataError> {
        let reference = tx
            .fetch_one(
                "SELECT start FROM slices WHERE blob_id = $1 LIMIT 1",
                values![&self.blob],
            )
            .await?;
        if reference.is_some() && !mutant::active(Mutant::SweepReferenced) {
            return Ok(true);
        }
        let due_ms = horizon::due_ms(tx).await?;
        let garbage = garbage_rows(tx, &self.blob).await?;
        // Without any row it is not garbage: nobody may ask for it.
        let is_due =
            |row: &GarbageRow| row.not_before_ms <= due_ms || mutant::active(Mutant::SweepEarly);
        Ok(garbage.is_empty() || !garbage.iter().all(is_due))
    }
}

struct GarbageRow {
    not_before_ms: u64,
    owner: Uuid,
}

async fn garbage_rows(tx: &mut Tx<'_>, blob: &BlobId) -> Result<Vec<GarbageRow>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT not_before_ms, owner FROM garbage WHERE blob_id = $1",
            values![blob],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(GarbageRow {
                not_before_ms: row.number(0)?,
                owner: row.uuid(1)?,
            })
        })
        .collect()
}

async fn drop_due(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    garbage: &[GarbageRow],
) -> Result<(), MetadataError> {
    let due_ms = horizon::due_ms(tx).await?;
    for row in garbage.iter().filter(|row| row.not_before_ms <= due_ms) {
        tx.execute(
            "DELETE FROM garbage WHERE not_before_ms = $1 AND blob_id = $2 AND owner = $3",
            values![row.not_before_ms, blob, &row.owner],
        )
        .await?;
    }
    Ok(())
}

/// Forgets where a dead blob was: its fragments are gone. Its id stays dead.
pub(crate) struct FinishSweep {
    pub(crate) garbage: Garbage,
    pub(crate) region: Region,
}

impl Apply for FinishSweep {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let blob = &self.garbage.blob;
        let row = tx
            .fetch_one(
                "SELECT state FROM blobs WHERE blob_id = $1 FOR UPDATE",
                values![blob],
            )
            .await?;
        match row.map(|row| row.text(0)).transpose()?.as_deref() {
            // Garbage of an id that has no blob (any more) is garbage itself.
            Some("dead") | None => {}
            Some(_) => return Ok(()),
        }
        let region = self.region.as_str();
        super::repair::forget_debts(tx, blob, &self.region).await?;
        tx.execute(
            "DELETE FROM placements WHERE blob_id = $1 AND region = $2",
            values![blob, region],
        )
        .await?;
        // Another region may still have its fragments.
        tx.execute(
            "DELETE FROM garbage WHERE blob_id = $1 AND NOT EXISTS \
             (SELECT 1 FROM placements WHERE placements.blob_id = $1)",
            values![blob],
        )
        .await?;
        Ok(())
    }
}
