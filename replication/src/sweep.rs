//! Removes the bytes of what was removed.
//!
//! For each garbage row that is due: the metadata decides, under the blob's lock, that no
//! reference is left and commits the blob as dead; only then are its fragments deleted, on each
//! drive that a placement names; and only when each of them is confirmed gone is the row taken
//! away. A fragment whose drive cannot be reached, or fails, keeps its row, and the blob is tried
//! again later: nothing is forgotten because a drive was away. Killed at any point, a later step
//! asks again, is told `dead` again, and finds fragments absent, which is as good as deleted.
//!
//! Fragments that the metadata never knew are not this worker's: they need to be condemned first.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_erasure::Blobs;
use holdfast_metadata::Metadata;
use holdfast_metadata::command::SweepOutcome;
use holdfast_metadata::drives::DriveDuty;
use holdfast_metadata::model::Garbage;
use holdfast_types::{BlobId, DriveId, FragmentId, FragmentIndex, Placement, Region};

use crate::worker::{Progress, WorkError, Worker};

/// The worker that deletes fragments of dead blobs in one region.
pub struct Sweeper {
    metadata: Metadata,
    blobs: Blobs,
    region: Region,
    after: Option<Garbage>,
    /// Drives that an operator removed: nothing on them can be deleted, or needs to be.
    removed: BTreeSet<DriveId>,
    swept: u64,
    kept_this_round: u64,
    kept_last_round: u64,
}

impl Sweeper {
    /// Sweeps what placements of `region` name on the drives behind `blobs`.
    #[must_use]
    pub fn new(metadata: Metadata, blobs: Blobs, region: Region) -> Self {
        Self {
            metadata,
            blobs,
            region,
            after: None,
            removed: BTreeSet::new(),
            swept: 0,
            kept_this_round: 0,
            kept_last_round: 0,
        }
    }

    async fn sweep(&self, row: &Garbage) -> Result<Swept, WorkError> {
        match self.metadata.begin_sweep(row.blob, &self.region).await? {
            // The due rows went with the question: the bytes are in use.
            SweepOutcome::Referenced => Ok(Swept::Dropped),
            // Nothing is known of it any more: the row is all that is left.
            SweepOutcome::Unknown => {
                self.metadata.finish_sweep(row.clone()).await?;
                Ok(Swept::Dropped)
            }
            SweepOutcome::Dead(placements) => {
                let gone = self.delete_fragments(row.blob, &placements).await;
                if !gone {
                    return Ok(Swept::Kept);
                }
                self.metadata.finish_sweep(row.clone()).await?;
                Ok(Swept::Gone)
            }
        }
    }

    /// Whether every fragment of these placements is gone for certain.
    async fn delete_fragments(&self, blob: BlobId, placements: &[Placement]) -> bool {
        let fragments = placements
            .iter()
            .flat_map(|placement| fragments_of(blob, placement))
            .filter(|(drive, _)| !self.removed.contains(drive));
        let deletion = self.blobs.delete(fragments).await;
        for (drive, fragment, reason) in &deletion.unreached {
            // Not louder: a drive that is away is logged where its state changes, not for each
            // fragment that is on it.
            tracing::debug!(%drive, %fragment, "a dead fragment is kept until its drive answers: {reason}");
        }
        deletion.unreached.is_empty()
    }
}

#[async_trait]
impl Worker for Sweeper {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let due = self
            .metadata
            .due_garbage(self.after.as_ref(), BATCH)
            .await?;
        if !due.is_empty() {
            let records = self.metadata.drive_records().await?.into_iter();
            let removed = records.filter(|record| record.duty == DriveDuty::Removed);
            self.removed = removed.map(|record| record.id).collect();
        }
        let Some(last) = due.last().cloned() else {
            self.after = None;
            self.kept_last_round = std::mem::take(&mut self.kept_this_round);
            return Ok(Progress::Idle);
        };
        // Side by side, so that their transactions share a commit and their drives are all busy.
        let outcomes: Vec<Result<Swept, WorkError>> = stream::iter(due)
            .map(|row| {
                let this = &*self;
                async move { this.sweep(&row).await }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for outcome in outcomes {
            match outcome? {
                Swept::Gone => self.swept += 1,
                Swept::Kept => self.kept_this_round += 1,
                Swept::Dropped => {}
            }
        }
        self.after = Some(last);
        Ok(Progress::Busy)
    }

    async fn wait(&mut self) {
        // What is kept waits for a drive, which takes a while; new garbage is an hour old already.
        let pause = if self.kept_last_round > 0 {
            PAUSE_WHEN_KEPT
        } else {
            PAUSE
        };
        tokio::time::sleep(pause).await;
    }

    fn doing(&self) -> String {
        let kept = self.kept_last_round.max(self.kept_this_round);
        format!(
            "{} blobs removed, {kept} waiting for a drive to come back",
            self.swept
        )
    }
}

impl fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweeper")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// What became of one garbage row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swept {
    /// Its fragments and the row are gone.
    Gone,
    /// A fragment is not confirmed gone: the row stays.
    Kept,
    /// There was nothing to delete.
    Dropped,
}

/// The fragments that a placement says are on drives.
fn fragments_of(
    blob: BlobId,
    placement: &Placement,
) -> impl Iterator<Item = (DriveId, FragmentId)> + '_ {
    (0u8..)
        .zip(&placement.drives)
        .filter_map(move |(index, drive)| {
            drive.map(|drive| {
                let id = FragmentId {
                    blob,
                    region: placement.region.clone(),
                    generation: placement.generation,
                    index: FragmentIndex(index),
                };
                (drive, id)
            })
        })
}

/// Rows of one step: some hundred deletes, a fraction of a second.
const BATCH: usize = 64;
/// Rows at once: at 4+2 about a hundred deletes in flight.
const AT_ONCE: usize = 16;
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two rounds when rows were kept: each round asks for every one of them again.
const PAUSE_WHEN_KEPT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
