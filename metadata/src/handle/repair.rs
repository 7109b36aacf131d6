//! What a repair asks and tells: see [`crate::repair`] for the order.

use holdfast_types::{BlobId, DriveId, Generation};

use super::{MAX_ROWS, Metadata, Result, unpack_blob};
use crate::commands::strays::{ForgetStray, JudgeStray};
use crate::model::BlobPlacement;
use crate::queries::repair;
use crate::repair::{
    OwedBlob, OwedFragment, Reservation, ReserveTargets, SettleDebts, Settlement, Stray,
    StrayVerdict,
};

/// Debts that a page of [`Metadata::owed_page`] has at least room for: two placements of the widest
/// layout, so that a page always holds one blob whole.
const MIN_OWED_ROWS: usize = 96;

/// Repair.
impl Metadata {
    /// Live blobs with debts of their newest placement in this region, in the order of their ids,
    /// after one of them: at most about `limit` debts.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn owed_page(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<OwedBlob>> {
        let limit = limit.clamp(MIN_OWED_ROWS, MAX_ROWS);
        let numbered = query!(self.reader, repair::owed(&self.inner.region, after, limit))?;
        self.named(|numbers| {
            numbered
                .iter()
                .map(|(blob, owed)| {
                    let owed = owed.iter().map(|(fragment, meant)| {
                        Ok(OwedFragment {
                            meant: numbers.drive(*meant)?,
                            ..*fragment
                        })
                    });
                    Ok(OwedBlob {
                        blob: unpack_blob(numbers, blob)?,
                        owed: owed.collect::<std::result::Result<_, _>>()?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Asks for drives to write to, before anything is written there.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn reserve_targets(&self, reserve: ReserveTargets) -> Result<Reservation> {
        self.number_drives(reserve.targets.iter().map(|target| Some(target.1)))
            .await?;
        self.run(reserve).await
    }

    /// Puts fragments where they are now into the placement and ends their debts, in one
    /// transaction; each only if the placement still says what the repair has read.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn settle_debts(&self, settle: SettleDebts) -> Result<Settlement> {
        self.run(settle).await
    }

    /// Strays on one drive that may be looked at now, in order, after one of them.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn due_strays(
        &self,
        drive: DriveId,
        after: Option<&Stray>,
        limit: usize,
    ) -> Result<Vec<Stray>> {
        let Some(number) = self.inner.drives.number(drive) else {
            return Ok(Vec::new());
        };
        query!(
            self.reader,
            repair::strays(drive, number, after, limit.min(MAX_ROWS))
        )
    }

    /// Where a live blob's fragments of one generation are in this region; `None`: it is not live,
    /// or the generation is past.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn placement(
        &self,
        blob: BlobId,
        generation: Generation,
    ) -> Result<Option<BlobPlacement>> {
        let found = query!(
            self.reader,
            repair::placement(&self.inner.region, blob, generation)
        )?;
        self.named(|numbers| {
            let placed = found.as_ref().map(|blob| unpack_blob(numbers, blob));
            placed.transpose()
        })
        .await
    }

    /// How many strays there are, on all drives, due or not.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn stray_count(&self) -> Result<u64> {
        query!(self.reader, repair::stray_count())
    }

    /// Asks whether a stray may be deleted. `Doomed` is for ever.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn judge_stray(&self, stray: Stray) -> Result<StrayVerdict> {
        self.number_drives(std::iter::once(Some(stray.drive)))
            .await?;
        self.run(JudgeStray(stray)).await
    }

    /// Says that a doomed stray is gone from its drive.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn forget_stray(&self, stray: Stray) -> Result<()> {
        self.run(ForgetStray(stray)).await
    }
}
