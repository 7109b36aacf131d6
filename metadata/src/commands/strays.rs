//! A stray is doomed under its blob's lock before it is deleted, so that a repair and a sweep can't
//! both have it.

use holdfast_types::mutant::{self, Mutant};

use crate::commands::outcomes::condemn_unknown;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::queries::horizon;
use crate::repair::{Stray, StrayVerdict};
use crate::sql::{Tx, values};

/// Asks whether a stray may be deleted.
pub(crate) struct JudgeStray(pub(crate) Stray);

/// Says that a doomed stray is gone from its drive.
pub(crate) struct ForgetStray(pub(crate) Stray);

impl Apply for JudgeStray {
    type Outcome = StrayVerdict;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<StrayVerdict, MetadataError> {
        let stray = &self.0;
        let number = tx.drives().stored_number(Some(stray.drive))?;
        let index = u32::from(stray.index.0);
        let state = tx
            .fetch_one(
                "SELECT state FROM blobs WHERE blob_id = $1 FOR UPDATE",
                values![&stray.blob],
            )
            .await?;
        let state = state.map(|row| row.text(0)).transpose()?;
        // An id whose row has expired is condemned again, so that nobody can publish it now.
        if state.is_none() && !condemn_unknown(tx, &stray.blob).await? {
            return Ok(StrayVerdict::Kept);
        }
        let is_live = state.as_deref() == Some("live");
        let placement = tx
            .fetch_one(
                "SELECT drives FROM placements \
                 WHERE blob_id = $1 AND region = $2 AND generation = $3",
                values![&stray.blob, stray.region.as_str(), stray.generation.0],
            )
            .await?;
        // Of a blob that is not live, or a generation that is past, nothing is needed. (A stray
        // is recorded only for a blob that was published or condemned, and a dead or condemned id
        // never lives.)
        if let (true, Some(row)) = (is_live, placement) {
            let at = usize::from(stray.index.0) * 4;
            let drives = row.bytes(0)?;
            if drives.get(at..at + 4) == Some(number.to_be_bytes().as_slice()) {
                self.forget(tx, number).await?;
                return Ok(StrayVerdict::Placed);
            }
            // While the fragment is owed, this may be the only one there is.
            let owed = tx
                .fetch_one(
                    "SELECT drive_number FROM debts WHERE blob_id = $1 AND region = $2 \
                     AND generation = $3 AND fragment_index = $4",
                    values![
                        &stray.blob,
                        stray.region.as_str(),
                        stray.generation.0,
                        index
                    ],
                )
                .await?;
            let is_nowhere = drives.get(at..at + 4) == Some([0; 4].as_slice());
            if (owed.is_some() || is_nowhere) && !mutant::active(Mutant::IgnoreOwed) {
                return Ok(StrayVerdict::Kept);
            }
        }
        // A generation that came after a backup that was restored: while anything of the one that is
        // known is missing, it may be all that there is of the blob.
        if is_live && self.owes_an_earlier_one(tx).await? {
            return Ok(StrayVerdict::Kept);
        }
        let due_ms = horizon::due_ms(tx).await?;
        if due_ms == horizon::NOTHING {
            return Ok(StrayVerdict::Kept);
        }
        let due_ms = if mutant::active(Mutant::IgnoreIntents) {
            u64::MAX >> 1
        } else {
            due_ms
        };
        let doomed = tx
            .execute(
                "UPDATE strays SET doomed = 1 WHERE drive_number = $1 AND blob_id = $2 \
                 AND region = $3 AND generation = $4 AND fragment_index = $5 \
                 AND (doomed = 1 OR not_before_ms <= $6)",
                values![
                    number,
                    &stray.blob,
                    stray.region.as_str(),
                    stray.generation.0,
                    index,
                    due_ms
                ],
            )
            .await?;
        Ok(if doomed == 1 {
            StrayVerdict::Doomed
        } else {
            StrayVerdict::Kept
        })
    }
}

impl JudgeStray {
    /// Whether something is owed of an earlier generation than the stray's.
    async fn owes_an_earlier_one(&self, tx: &mut Tx<'_>) -> Result<bool, MetadataError> {
        let stray = &self.0;
        let owed = tx
            .fetch_one(
                "SELECT debts.generation FROM debts WHERE debts.blob_id = $1 \
                 AND debts.region = $2 AND debts.generation < $3 LIMIT 1",
                values![&stray.blob, stray.region.as_str(), stray.generation.0],
            )
            .await?;
        Ok(owed.is_some())
    }

    async fn forget(&self, tx: &mut Tx<'_>, number: u32) -> Result<(), MetadataError> {
        forget(tx, &self.0, number).await
    }
}

impl Apply for ForgetStray {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let number = tx.drives().stored_number(Some(self.0.drive))?;
        tx.execute(
            "DELETE FROM strays WHERE drive_number = $1 AND blob_id = $2 AND region = $3 \
             AND generation = $4 AND fragment_index = $5 AND doomed = 1",
            values![
                number,
                &self.0.blob,
                self.0.region.as_str(),
                self.0.generation.0,
                u32::from(self.0.index.0)
            ],
        )
        .await?;
        Ok(())
    }
}

async fn forget(tx: &mut Tx<'_>, stray: &Stray, number: u32) -> Result<(), MetadataError> {
    tx.execute(
        "DELETE FROM strays WHERE drive_number = $1 AND blob_id = $2 AND region = $3 \
         AND generation = $4 AND fragment_index = $5",
        values![
            number,
            &stray.blob,
            stray.region.as_str(),
            stray.generation.0,
            u32::from(stray.index.0)
        ],
    )
    .await?;
    Ok(())
}
