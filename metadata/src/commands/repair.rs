//! A repair asks for a drive before it writes there, and settles debts when it has.
//!
//! Both lock the blob's row first, as the sweeper does: a blob that is declared dead in between
//! takes its debts with it, and what was written for it is a recorded stray.

use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{BlobId, FragmentIndex, Generation, Region};

use crate::commands::duty;
use crate::drives::DriveDuty;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::repair::{Reservation, ReserveTargets, SettleDebts, Settled, Settlement};
use crate::sql::{Tx, values};

/// Bytes of a drive's number in a packed placement.
const NUMBER_LEN: usize = 4;

impl Apply for ReserveTargets {
    type Outcome = Reservation;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Reservation, MetadataError> {
        let found = locked_placement(tx, &self.blob, &self.region, self.generation).await?;
        let Some(drives) = found else {
            forget_debts(tx, &self.blob, &self.region).await?;
            return Ok(Reservation::Gone);
        };
        let not_before_ms = tx.garbage_not_before_ms();
        let mut made = Vec::with_capacity(self.targets.len());
        for &(index, drive) in &self.targets {
            let number = tx.drives().stored_number(Some(drive))?;
            if numbers(&drives).any(|(_, taken)| taken == number) || !is_in_use(tx, number).await? {
                made.push(false);
                continue;
            }
            let reserved = tx
                .execute(
                    "INSERT INTO strays (drive_number, blob_id, region, generation, \
                     fragment_index, not_before_ms, doomed) VALUES ($1, $2, $3, $4, $5, $6, 0) \
                     ON CONFLICT (drive_number, blob_id, region, generation, fragment_index) \
                     DO UPDATE SET not_before_ms = excluded.not_before_ms WHERE strays.doomed = 0",
                    values![
                        number,
                        &self.blob,
                        self.region.as_str(),
                        self.generation.0,
                        u32::from(index.0),
                        not_before_ms
                    ],
                )
                .await?;
            made.push(reserved == 1);
        }
        Ok(Reservation::Made(made))
    }
}

impl Apply for SettleDebts {
    type Outcome = Settlement;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Settlement, MetadataError> {
        let found = locked_placement(tx, &self.blob, &self.region, self.generation).await?;
        let Some(mut drives) = found else {
            forget_debts(tx, &self.blob, &self.region).await?;
            return Ok(Settlement::Gone);
        };
        let before = drives.clone();
        let removed = self.removed(tx).await?;
        let mut made = Vec::with_capacity(self.settled.len());
        for settled in &self.settled {
            let is_made = !removed.contains(&tx.drives().stored_number(Some(settled.to))?)
                && self.settle(tx, settled, &mut drives).await?;
            made.push(is_made);
        }
        if drives != before {
            tx.execute(
                "UPDATE placements SET drives = $4 \
                 WHERE blob_id = $1 AND region = $2 AND generation = $3",
                values![
                    &self.blob,
                    self.region.as_str(),
                    self.generation.0,
                    drives.as_slice()
                ],
            )
            .await?;
        }
        Ok(Settlement::Made(made))
    }
}

impl SettleDebts {
    /// The drives that it would settle on and that were removed meanwhile: the fragments stay owed.
    async fn removed(&self, tx: &mut Tx<'_>) -> Result<Vec<u32>, MetadataError> {
        let targets = self.settled.iter().map(|settled| settled.to);
        let numbers = targets
            .map(|drive| tx.drives().stored_number(Some(drive)))
            .collect::<Result<Vec<u32>, _>>()?;
        duty::removed_of(tx, numbers).await
    }

    async fn settle(
        &self,
        tx: &mut Tx<'_>,
        settled: &Settled,
        drives: &mut [u8],
    ) -> Result<bool, MetadataError> {
        let from = tx.drives().stored_number(settled.from)?;
        let to = tx.drives().stored_number(Some(settled.to))?;
        let at = usize::from(settled.index.0);
        if numbers(drives).find(|(index, _)| *index == at) != Some((at, from)) {
            return Ok(false);
        }
        if to != from {
            if numbers(drives).any(|(_, taken)| taken == to)
                || !self.take_reservation(tx, settled.index, to).await?
            {
                return Ok(false);
            }
            drives[at * NUMBER_LEN..(at + 1) * NUMBER_LEN].copy_from_slice(&to.to_be_bytes());
            if from != 0 {
                self.leave_stray(tx, settled.index, from).await?;
            }
        }
        let index = u32::from(settled.index.0);
        let debt = tx
            .fetch_one(
                "SELECT drive_number FROM debts WHERE blob_id = $1 AND region = $2 \
                 AND generation = $3 AND fragment_index = $4",
                values![&self.blob, self.region.as_str(), self.generation.0, index],
            )
            .await?;
        if let Some(debt) = debt {
            // A late writer may still put it where it was meant to be.
            let meant: u32 = debt.small(0)?;
            if meant != 0 && meant != to && meant != from {
                self.leave_stray(tx, settled.index, meant).await?;
            }
            tx.execute(
                "DELETE FROM debts WHERE blob_id = $1 AND region = $2 \
                 AND generation = $3 AND fragment_index = $4",
                values![&self.blob, self.region.as_str(), self.generation.0, index],
            )
            .await?;
        }
        Ok(true)
    }

    /// Whether the drive was reserved and is not doomed; the reservation ends.
    async fn take_reservation(
        &self,
        tx: &mut Tx<'_>,
        index: FragmentIndex,
        drive: u32,
    ) -> Result<bool, MetadataError> {
        let taken = tx
            .execute(
                "DELETE FROM strays WHERE drive_number = $1 AND blob_id = $2 AND region = $3 \
                 AND generation = $4 AND fragment_index = $5 AND doomed = 0",
                values![
                    drive,
                    &self.blob,
                    self.region.as_str(),
                    self.generation.0,
                    u32::from(index.0)
                ],
            )
            .await?;
        Ok(taken == 1 || mutant::active(Mutant::IgnoreDoom))
    }

    async fn leave_stray(
        &self,
        tx: &mut Tx<'_>,
        index: FragmentIndex,
        drive: u32,
    ) -> Result<(), MetadataError> {
        // Readers that began before may still be on their way to it. What is on a drive that was
        // removed is nobody's any more.
        let not_before_ms = tx.garbage_not_before_ms();
        tx.execute(
            "INSERT INTO strays (drive_number, blob_id, region, generation, fragment_index, \
             not_before_ms, doomed) SELECT drives.drive_number, $2, $3, $4, $5, $6, 0 FROM drives \
             WHERE drives.drive_number = $1 AND drives.duty <> 'removed' \
             ON CONFLICT (drive_number, blob_id, region, generation, fragment_index) DO NOTHING",
            values![
                drive,
                &self.blob,
                self.region.as_str(),
                self.generation.0,
                u32::from(index.0),
                not_before_ms
            ],
        )
        .await?;
        Ok(())
    }
}

/// Whether a drive takes fragments: one that is drained or removed does not.
async fn is_in_use(tx: &mut Tx<'_>, drive: u32) -> Result<bool, MetadataError> {
    let duty = tx
        .fetch_one(
            "SELECT duty FROM drives WHERE drive_number = $1",
            values![drive],
        )
        .await?;
    let duty = duty.map(|row| row.text(0)).transpose()?;
    Ok(duty.as_deref() == Some(DriveDuty::InUse.as_str()))
}

/// The packed drives of a live blob's placement, with the blob's row locked.
async fn locked_placement(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    region: &Region,
    generation: Generation,
) -> Result<Option<Vec<u8>>, MetadataError> {
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
            "SELECT drives FROM placements \
             WHERE blob_id = $1 AND region = $2 AND generation = $3",
            values![blob, region.as_str(), generation.0],
        )
        .await?;
    row.map(|row| row.bytes(0)).transpose()
}

/// The number of each fragment's drive, with its index.
pub(crate) fn numbers(drives: &[u8]) -> impl Iterator<Item = (usize, u32)> + '_ {
    drives
        .as_chunks::<NUMBER_LEN>()
        .0
        .iter()
        .map(|bytes| u32::from_be_bytes(*bytes))
        .enumerate()
}

/// Ends the debts of a blob that is not live any more, or of a placement that is gone. Where a
/// late writer may still put a fragment, a stray is left. The caller has locked the blob's row.
pub(crate) async fn forget_debts(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    region: &Region,
) -> Result<(), MetadataError> {
    let not_before_ms = tx.garbage_not_before_ms();
    tx.execute(
        "INSERT INTO strays (drive_number, blob_id, region, generation, fragment_index, \
         not_before_ms, doomed) SELECT debts.drive_number, debts.blob_id, debts.region, \
         debts.generation, debts.fragment_index, $3, 0 FROM debts \
         WHERE debts.blob_id = $1 AND debts.region = $2 AND debts.kind = 'unwritten' \
         AND debts.drive_number <> 0 AND NOT EXISTS (SELECT 1 FROM drives \
         WHERE drives.drive_number = debts.drive_number AND drives.duty = 'removed') \
         AND NOT EXISTS (SELECT 1 FROM blobs JOIN placements \
         ON placements.blob_id = blobs.blob_id WHERE blobs.blob_id = $1 \
         AND blobs.state = 'live' AND placements.region = debts.region \
         AND placements.generation = debts.generation) \
         ON CONFLICT (drive_number, blob_id, region, generation, fragment_index) DO NOTHING",
        values![blob, region.as_str(), not_before_ms],
    )
    .await?;
    tx.execute(
        "DELETE FROM debts WHERE blob_id = $1 AND region = $2 AND NOT EXISTS \
         (SELECT 1 FROM blobs JOIN placements ON placements.blob_id = blobs.blob_id \
         WHERE blobs.blob_id = $1 AND blobs.state = 'live' \
         AND placements.region = debts.region AND placements.generation = debts.generation)",
        values![blob, region.as_str()],
    )
    .await?;
    Ok(())
}
