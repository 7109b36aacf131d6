//! A blob's new generation: begun before it is written, and switched to when it is durable.
//!
//! Both lock the blob's row, as repair, sweep and stray do. Of two attempts that meet, each has a
//! generation of its own, and only the one that finds the placement as it was when it began can
//! switch: the other's fragments stay the strays that they were recorded as.

use holdfast_types::{BlobId, Generation, Region};

use crate::commands::duty;
use crate::commands::repair::{forget_debts, numbers};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::reencode::{BeginMove, Begun, SwitchPlacement, Switched};
use crate::sql::{Tx, values};

/// How long an attempt's fragments are left alone, unless it says that it is over: longer than the
/// largest blob takes.
const ATTEMPT_MS: u64 = crate::command::GARBAGE_GRACE.as_millis() as u64;

impl Apply for BeginMove {
    type Outcome = Begun;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Begun, MetadataError> {
        let Some(current) = locked_placement(tx, &self.blob, &self.region).await? else {
            return Ok(Begun::Gone);
        };
        if current.generation != self.from {
            return Ok(Begun::Gone);
        }
        let targets = self
            .targets
            .iter()
            .map(|(_, drive)| tx.drives().stored_number(Some(*drive)))
            .collect::<Result<Vec<u32>, _>>()?;
        if !duty::removed_of(tx, targets).await?.is_empty() {
            return Ok(Begun::Gone);
        }
        // What earlier attempts have left need not wait for its time.
        abandon(tx, &self.blob, &self.region, self.from).await?;
        let generation = Generation(current.last_generation.max(self.from.0) + 1);
        tx.execute(
            "UPDATE placements SET last_generation = $4 \
             WHERE blob_id = $1 AND region = $2 AND generation = $3",
            values![&self.blob, self.region.as_str(), self.from.0, generation.0],
        )
        .await?;
        let not_before_ms = tx.now_ms().saturating_add(ATTEMPT_MS);
        for &(index, drive) in &self.targets {
            let number = tx.drives().stored_number(Some(drive))?;
            tx.execute(
                "INSERT INTO strays (drive_number, blob_id, region, generation, fragment_index, \
                 not_before_ms, doomed) VALUES ($1, $2, $3, $4, $5, $6, 0)",
                values![
                    number,
                    &self.blob,
                    self.region.as_str(),
                    generation.0,
                    u32::from(index.0),
                    not_before_ms
                ],
            )
            .await?;
        }
        Ok(Begun::Generation(generation))
    }
}

impl Apply for SwitchPlacement {
    type Outcome = Switched;

    /// A refusal is the error `SourceChanged`, so that all that was done before it is undone.
    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Switched, MetadataError> {
        let region = &self.to.region;
        let current = locked_placement(tx, &self.blob, region).await?;
        let current = current.ok_or(MetadataError::SourceChanged)?;
        if current.generation != self.from || self.to.generation <= self.from {
            return Err(MetadataError::SourceChanged);
        }
        self.take_reservations(tx).await?;
        self.leave_strays(tx, &current.drives).await?;
        tx.execute(
            "DELETE FROM placements WHERE blob_id = $1 AND region = $2",
            values![&self.blob, region.as_str()],
        )
        .await?;
        let packed = tx.drives().pack(&self.to.drives)?;
        let named = numbers(&packed).map(|(_, number)| number);
        if !duty::removed_of(tx, named).await?.is_empty() {
            return Err(MetadataError::SourceChanged);
        }
        let layout = self.to.layout.to_string();
        tx.execute(
            "INSERT INTO placements (blob_id, region, generation, layout, drives, \
             last_generation, made_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            values![
                &self.blob,
                region.as_str(),
                self.to.generation.0,
                &layout,
                &packed,
                current.last_generation,
                self.job
            ],
        )
        .await?;
        forget_debts(tx, &self.blob, region).await?;
        self.owe(tx).await?;
        Ok(Switched::Made)
    }
}

impl SwitchPlacement {
    /// Every fragment must still be reserved: one that is doomed is about to be deleted.
    async fn take_reservations(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        for (index, drive) in self.to.drives.iter().enumerate() {
            if drive.is_none() {
                continue;
            }
            let number = tx.drives().stored_number(*drive)?;
            let taken = tx
                .execute(
                    "DELETE FROM strays WHERE drive_number = $1 AND blob_id = $2 AND region = $3 \
                     AND generation = $4 AND fragment_index = $5 AND doomed = 0",
                    values![
                        number,
                        &self.blob,
                        self.to.region.as_str(),
                        self.to.generation.0,
                        index
                    ],
                )
                .await?;
            if taken == 0 {
                return Err(MetadataError::SourceChanged);
            }
        }
        Ok(())
    }

    /// The old fragments go when no reader can be on its way to them any more.
    async fn leave_strays(&self, tx: &mut Tx<'_>, drives: &[u8]) -> Result<(), MetadataError> {
        let not_before_ms = tx.garbage_not_before_ms();
        for (index, number) in numbers(drives) {
            if number == 0 {
                continue;
            }
            tx.execute(
                "INSERT INTO strays (drive_number, blob_id, region, generation, fragment_index, \
                 not_before_ms, doomed) SELECT drives.drive_number, $2, $3, $4, $5, $6, 0 \
                 FROM drives WHERE drives.drive_number = $1 AND drives.duty <> 'removed' \
                 ON CONFLICT (drive_number, blob_id, region, generation, fragment_index) \
                 DO UPDATE SET not_before_ms = CASE \
                 WHEN strays.not_before_ms > excluded.not_before_ms \
                 THEN strays.not_before_ms ELSE excluded.not_before_ms END",
                values![
                    number,
                    &self.blob,
                    self.to.region.as_str(),
                    self.from.0,
                    index,
                    not_before_ms
                ],
            )
            .await?;
        }
        Ok(())
    }

    async fn owe(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let now_ms = tx.now_ms();
        for (index, drive) in &self.debts {
            let number = tx.drives().stored_number(*drive)?;
            tx.execute(
                "INSERT INTO debts (blob_id, region, generation, fragment_index, drive_number, \
                 kind, created_ms) VALUES ($1, $2, $3, $4, $5, 'unwritten', $6)",
                values![
                    &self.blob,
                    self.to.region.as_str(),
                    self.to.generation.0,
                    u32::from(index.0),
                    number,
                    now_ms
                ],
            )
            .await?;
        }
        Ok(())
    }
}

/// Says that an attempt is over: what it has written need not wait for its time, only for the grace,
/// in which a late writer has landed. (Where its switch has happened after all there is nothing
/// left to say it of.)
pub(crate) struct AbandonMove {
    pub(crate) blob: BlobId,
    pub(crate) region: Region,
    pub(crate) generation: Generation,
}

impl Apply for AbandonMove {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let not_before_ms = tx.garbage_not_before_ms();
        tx.execute(
            "UPDATE strays SET not_before_ms = $4 \
             WHERE drive_number IN (SELECT drive_number FROM drives) AND blob_id = $1 \
             AND region = $2 AND generation = $3 AND not_before_ms > $4",
            values![
                &self.blob,
                self.region.as_str(),
                self.generation.0,
                not_before_ms
            ],
        )
        .await?;
        Ok(())
    }
}

/// Makes all strays of a blob's generations beyond `current` due after the grace.
async fn abandon(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    region: &Region,
    current: Generation,
) -> Result<(), MetadataError> {
    let not_before_ms = tx.garbage_not_before_ms();
    tx.execute(
        "UPDATE strays SET not_before_ms = $4 \
         WHERE drive_number IN (SELECT drive_number FROM drives) AND blob_id = $1 \
         AND region = $2 AND generation > $3 AND not_before_ms > $4",
        values![blob, region.as_str(), current.0, not_before_ms],
    )
    .await?;
    Ok(())
}

struct Current {
    generation: Generation,
    last_generation: u32,
    drives: Vec<u8>,
}

/// A live blob's placement, with the blob's row locked.
async fn locked_placement(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    region: &Region,
) -> Result<Option<Current>, MetadataError> {
    let state = tx
        .fetch_one(
            "SELECT state FROM blobs WHERE blob_id = $1 FOR UPDATE",
            values![blob],
        )
        .await?;
    if state.map(|row| row.text(0)).transpose()?.as_deref() != Some("live") {
        return Ok(None);
    }
    let row = tx
        .fetch_one(
            "SELECT generation, last_generation, drives FROM placements \
             WHERE blob_id = $1 AND region = $2 ORDER BY generation DESC LIMIT 1",
            values![blob, region.as_str()],
        )
        .await?;
    row.map(|row| {
        Ok(Current {
            generation: Generation(row.small(0)?),
            last_generation: row.small(1)?,
            drives: row.bytes(2)?,
        })
    })
    .transpose()
}
