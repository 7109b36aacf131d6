//! Keeping house: sweeping, folding, expiry, the change log.

use holdfast_types::{BlobId, Region};

use super::{MAX_ROWS, Metadata, Result, unpack_blob};
use crate::command::{CondemnOutcome, ReportDebts, Resolved, SweepOutcome};
use crate::commands::expiry::{ExpireOutcomes, ExpireUploads};
use crate::commands::fold::FoldUsage;
use crate::commands::outcomes::{Condemn, Resolve};
use crate::commands::sweep::{BeginSweep, BegunSweep, FinishSweep};
use crate::drive_numbers::DriveNumbers;
use crate::model::{
    BlobPlacement, BucketId, Change, ChangeCursor, Debt, Garbage, OpId, Totals, Usage,
};
use crate::queries::{housekeeping, placements};

/// Keeping house.
impl Metadata {
    /// Records what readers found wanting, where the placement still says what they saw.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn report_debts(&self, report: ReportDebts) -> Result<()> {
        self.number_drives(report.debts.iter().map(|debt| debt.drive))
            .await?;
        self.run(report).await
    }

    /// Debts in the order of blob, region, generation and index, after one of them.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn debts(&self, after: Option<&Debt>, limit: usize) -> Result<Vec<Debt>> {
        let numbered = query!(self.reader, housekeeping::debts(after, limit.min(MAX_ROWS)))?;
        self.named(|numbers| {
            numbered
                .iter()
                .map(|(debt, number)| {
                    let drive = numbers.drive(*number)?;
                    Ok(Debt {
                        drive,
                        ..debt.clone()
                    })
                })
                .collect()
        })
        .await
    }

    /// Garbage that the sweeper may look at now, oldest first, after one of them.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn due_garbage(&self, after: Option<&Garbage>, limit: usize) -> Result<Vec<Garbage>> {
        query!(
            self.reader,
            housekeeping::due_garbage(after, limit.min(MAX_ROWS))
        )
    }

    /// Asks for a blob's bytes. `Dead` is for ever, and may be asked again until the sweep is
    /// finished. `Referenced`: somebody refers to it, or its garbage is not due yet.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn begin_sweep(&self, blob: BlobId, region: &Region) -> Result<SweepOutcome> {
        let begun = self
            .run(BeginSweep {
                blob,
                region: region.clone(),
            })
            .await?;
        match begun {
            BegunSweep::Referenced => Ok(SweepOutcome::Referenced),
            BegunSweep::Unknown => Ok(SweepOutcome::Unknown),
            BegunSweep::Dead(packed) => {
                let unpack = |numbers: &DriveNumbers| {
                    packed
                        .iter()
                        .map(|placement| numbers.unpack(placement))
                        .collect()
                };
                Ok(SweepOutcome::Dead(self.named(unpack).await?))
            }
        }
    }

    /// Says that a dead blob's fragments are gone (in this handle's region).
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn finish_sweep(&self, garbage: Garbage) -> Result<()> {
        self.run(FinishSweep {
            garbage,
            region: self.inner.region.clone(),
        })
        .await
    }

    /// Makes an id unpublishable, unless it is published.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn condemn(&self, blob: BlobId) -> Result<CondemnOutcome> {
        self.run(Condemn(blob)).await
    }

    /// Aborts abandoned uploads and forgets ended ones; how many.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn expire_uploads(&self, limit: usize) -> Result<u64> {
        self.run(ExpireUploads { limit }).await
    }

    /// Forgets old outcomes and old ids; how many.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn expire_outcomes(&self, limit: usize) -> Result<u64> {
        self.run(ExpireOutcomes { limit }).await
    }

    /// Folds appended deltas into the totals; how many.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn fold_usage(&self, limit: usize) -> Result<u64> {
        self.run(FoldUsage { limit }).await
    }

    /// Everything counted.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn totals(&self) -> Result<Totals> {
        query!(self.reader, housekeeping::totals())
    }

    /// What a bucket has.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn bucket_usage(&self, bucket: BucketId) -> Result<Usage> {
        query!(self.reader, housekeeping::bucket_usage(bucket))
    }

    /// Live blobs and where they are in this region, in the order of their ids.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn placements_page(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobPlacement>> {
        let packed = query!(
            self.reader,
            placements::page(&self.inner.region, after, limit.min(MAX_ROWS))
        )?;
        self.named(|numbers| {
            packed
                .iter()
                .map(|blob| unpack_blob(numbers, blob))
                .collect()
        })
        .await
    }

    /// The change log after a cursor, without gaps.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn changes(&self, after: ChangeCursor, limit: usize) -> Result<Vec<Change>> {
        query!(
            self.reader,
            housekeeping::changes(after, limit.min(MAX_ROWS))
        )
    }

    /// Finds out what became of an attempt, and makes sure that it stays so.
    ///
    /// # Errors
    /// `Unavailable`, `Database`: nothing is known then, and it may be asked again.
    pub async fn resolve(&self, op: OpId) -> Result<Resolved> {
        self.run(Resolve { op }).await
    }
}
