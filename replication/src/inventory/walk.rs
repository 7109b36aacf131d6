//! The two sides of the merge: what a page of placements expects on each drive, and a walk over a
//! drive's fragments in the order of their ids.

use std::collections::{HashMap, HashSet};

use holdfast_metadata::model::BlobPlacement;
use holdfast_types::{BlobId, DriveId, FragmentId, FragmentIndex, FragmentStore, StoreError};

/// The fragments that a page of placements wants, by drive.
#[derive(Debug, Default)]
pub(super) struct Expected {
    by_drive: HashMap<DriveId, Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    all: HashSet<FragmentId>,
    seen: HashSet<FragmentId>,
}

impl Expected {
    pub(super) fn of(page: &[BlobPlacement]) -> Self {
        let mut expected = Self::default();
        for placed in page {
            // An empty blob has no fragments anywhere.
            if placed.len == 0 {
                continue;
            }
            let placement = &placed.placement;
            for (index, drive) in (0u8..).zip(&placement.drives) {
                let Some(drive) = drive else { continue };
                let wanted = expected.by_drive.entry(*drive).or_default();
                wanted.all.insert(FragmentId {
                    blob: placed.blob,
                    region: placement.region.clone(),
                    generation: placement.generation,
                    index: FragmentIndex(index),
                });
            }
        }
        expected
    }

    /// Notes that the drive has the fragment; whether it was expected there.
    pub(super) fn take(&mut self, drive: DriveId, fragment: &FragmentId) -> bool {
        match self.by_drive.get_mut(&drive) {
            Some(wanted) if wanted.all.contains(fragment) => {
                wanted.seen.insert(fragment.clone());
                true
            }
            _ => false,
        }
    }

    /// How many the drive should have.
    pub(super) fn count(&self, drive: DriveId) -> u64 {
        self.by_drive.get(&drive).map_or(0, |w| w.all.len() as u64)
    }

    /// Those that the drive should have and that were not seen.
    pub(super) fn left(&self, drive: DriveId) -> Vec<FragmentId> {
        let left = self.by_drive.get(&drive).map(|wanted| {
            let mut left: Vec<_> = wanted.all.difference(&wanted.seen).cloned().collect();
            left.sort();
            left
        });
        left.unwrap_or_default()
    }

    /// Expects nothing of a drive any more.
    pub(super) fn forget(&mut self, drive: DriveId) {
        self.by_drive.remove(&drive);
    }
}

/// Where the walk over a drive is.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    drive: DriveId,
    after: Option<FragmentId>,
    /// Fragments of blobs up to this one are left out: the drive was away when it was their turn.
    skipped: Option<Option<BlobId>>,
}

/// A step of a walk.
#[derive(Debug)]
pub(super) struct Found {
    /// In order.
    pub(super) fragments: Vec<FragmentId>,
    /// Whether the walk has come to the end of the page.
    pub(super) is_end: bool,
}

impl Walk {
    pub(super) const fn new(drive: DriveId) -> Self {
        Self {
            drive,
            after: None,
            skipped: None,
        }
    }

    pub(super) const fn drive(&self) -> DriveId {
        self.drive
    }

    /// Leaves out what is left of the page.
    pub(super) const fn skip_to(&mut self, up_to: Option<BlobId>) {
        self.skipped = Some(up_to);
    }

    /// The next fragments of blobs up to `up_to` (`None`: of all).
    ///
    /// # Errors
    /// What the store says; the walk stays where it is.
    pub(super) async fn next(
        &mut self,
        store: &dyn FragmentStore,
        up_to: Option<BlobId>,
    ) -> Result<Found, StoreError> {
        let listed = store.list(self.drive, self.after.as_ref(), LIST).await?;
        let is_last = listed.len() < LIST;
        let count = listed.len();
        let mut fragments: Vec<FragmentId> = listed
            .into_iter()
            .take_while(|fragment| up_to.is_none_or(|up_to| fragment.blob <= up_to))
            .collect();
        let is_end = is_last || fragments.len() < count;
        if let Some(last) = fragments.last() {
            self.after = Some(last.clone());
        }
        match self.skipped {
            Some(None) => fragments.clear(),
            Some(Some(skipped)) => fragments.retain(|fragment| fragment.blob > skipped),
            None => {}
        }
        Ok(Found { fragments, is_end })
    }
}

/// Fragments that are listed at once: some milliseconds.
const LIST: usize = 500;
