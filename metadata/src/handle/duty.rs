//! What is wanted of drives and workers: see [`crate::drives`].

use holdfast_types::{BlobId, DriveId, Generation};

use super::{MAX_ROWS, Metadata, Result, unpack_blob};
use crate::commands::duty::{PutOrders, SetDuty};
use crate::drives::{DriveDuty, DriveRecord, PlacedOn, Running, WorkerOrders};
use crate::model::BlobPlacement;
use crate::queries::duty;

/// What is wanted of drives and workers.
impl Metadata {
    /// All drives that ever were, removed ones too, in the order of their ids.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn drive_records(&self) -> Result<Vec<DriveRecord>> {
        query!(self.reader, duty::records())
    }

    /// Gives a drive another duty if it has one of those in `from`; whether it had. `Removed` is for
    /// good, and whoever had reserved the drive can't settle on it any more.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`, `Database`.
    pub async fn set_drive_duty(
        &self,
        drive: DriveId,
        from: &[DriveDuty],
        to: DriveDuty,
    ) -> Result<bool> {
        self.run(SetDuty {
            drive,
            from: from.to_vec(),
            to,
        })
        .await
    }

    /// Which transactions are under way now: see [`Running`].
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn running(&self) -> Result<Running> {
        query!(self.reader, duty::running())
    }

    /// Live blobs with each of their placements in this region, past generations too, in the order
    /// of blob and generation, after one of them.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn all_placements_page(
        &self,
        after: Option<(BlobId, Generation)>,
        limit: usize,
    ) -> Result<Vec<BlobPlacement>> {
        let after = after.map(|(blob, generation)| (blob, generation.0));
        let packed = query!(
            self.reader,
            duty::all_placements(&self.inner.region, after, limit.min(MAX_ROWS))
        )?;
        self.named(|numbers| {
            packed
                .iter()
                .map(|blob| unpack_blob(numbers, blob))
                .collect()
        })
        .await
    }

    /// How many fragments of live blobs placements name a drive for. Reads all placements, a page
    /// at a time: seconds for a million blobs.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn placed_on(&self, drive: DriveId) -> Result<PlacedOn> {
        let mut found = PlacedOn::default();
        let mut after = None;
        loop {
            let page = self.all_placements_page(after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = Some((last.blob, last.placement.generation));
            for placed in &page {
                let placement = &placed.placement;
                let here = placement.drives.iter().filter(|one| **one == Some(drive));
                let fragments = here.count() as u64;
                found.fragments += fragments;
                found.bytes += fragments * placement.layout.fragment_len(placed.len);
            }
        }
    }

    /// Remembers what an operator told the workers of one name.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn put_worker_orders(&self, orders: WorkerOrders) -> Result<()> {
        self.run(PutOrders(orders)).await
    }

    /// What operators told workers, by name.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn worker_orders(&self) -> Result<Vec<WorkerOrders>> {
        query!(self.reader, duty::orders())
    }
}

/// Placements of one page.
const PAGE: usize = 1000;
