//! A fragment copied from one drive to another, as it is: one read and one write of its length,
//! where a rebuild reads `k` times as much. Every block is verified on the way.

use holdfast_types::{DriveId, FragmentIndex};

use super::{RebuildError, Rebuilt, Target, check_targets};
use crate::blobs::Blobs;
use crate::check::FragmentCheck;
use crate::get::{memory_needed, run_stripes};
use crate::location::BlobLocation;

/// Why a fragment was not copied, by what the caller does now. Nothing has become visible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// There is no whole fragment to copy: rebuild it from others.
    #[error("the fragment is not whole where it is: {0:?}")]
    Source(FragmentCheck),
    /// It was not begun.
    #[error(transparent)]
    Refused(#[from] RebuildError),
}

impl Blobs {
    /// Copies a fragment of a blob from one drive to another, and says what became of it there.
    /// Record what you are about to do before. The one that is there stays.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn copy_fragment(
        &self,
        location: &BlobLocation,
        index: FragmentIndex,
        from: DriveId,
        to: DriveId,
    ) -> Result<Rebuilt, CopyError> {
        location.check().map_err(RebuildError::from)?;
        check_targets(location, &[(index, to)])?;
        let layout = location.placement.layout;
        let at = usize::from(index.0);
        let header = location.header(at);
        let (blocks, run) = (header.blocks(), run_stripes(layout));
        let needed = memory_needed(layout, location.len, &(0..blocks.min(run)));
        let share = self.shared.reads.acquire(needed, self.sharer).await;
        let _share = share.map_err(RebuildError::from)?;
        let mut target = Target {
            index: at,
            drive: to,
            state: self.open(location, at, to).await,
        };
        let mut first = 0;
        while first < blocks && target.is_open() {
            let count = run.min(blocks - first);
            let read = self.read_run(from, &header, first, count).await;
            for block in read.map_err(CopyError::Source)? {
                target.write(block).await;
            }
            first += count;
        }
        Ok(target.commit().await)
    }
}
