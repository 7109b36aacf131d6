//! Where a blob is: what metadata hands to a read, a rebuild or a delete.

use holdfast_types::{
    BlobId, DriveId, FragmentHeader, FragmentId, FragmentIndex, LayoutError, Placement,
};

/// A blob, its length, and the drives that hold its fragments in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobLocation {
    /// The blob.
    pub blob: BlobId,
    /// Its length in bytes.
    pub len: u64,
    /// The drive of each fragment.
    pub placement: Placement,
}

impl BlobLocation {
    /// The identity of fragment `index` in this placement.
    #[must_use]
    pub fn fragment_id(&self, index: FragmentIndex) -> FragmentId {
        FragmentId {
            blob: self.blob,
            region: self.placement.region.clone(),
            generation: self.placement.generation,
            index,
        }
    }

    /// All fragments that were written, with the drive of each.
    pub fn fragments(&self) -> impl Iterator<Item = (DriveId, FragmentId)> {
        self.placement
            .drives
            .iter()
            .zip(0..)
            .filter_map(|(drive, index)| {
                drive.map(|drive| (drive, self.fragment_id(FragmentIndex(index))))
            })
    }

    /// What fragment `index` says of itself.
    pub(crate) fn header(&self, index: usize) -> FragmentHeader {
        FragmentHeader {
            id: self.fragment_id(fragment_index(index)),
            layout: self.placement.layout,
            blob_len: self.len,
        }
    }

    /// Checks what came from outside, so that the arithmetic can rely on it.
    pub(crate) fn check(&self) -> Result<(), MalformedPlacement> {
        self.placement.layout.checked()?;
        let expected = usize::from(self.placement.layout.width());
        let found = self.placement.drives.len();
        if expected != found {
            return Err(MalformedPlacement::Width { expected, found });
        }
        Ok(())
    }
}

/// A fragment's index from its place in a placement.
pub(crate) fn fragment_index(index: usize) -> FragmentIndex {
    FragmentIndex(u8::try_from(index).expect("a blob has at most 48 fragments"))
}

/// A placement that can't be: the metadata or its caller is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPlacement {
    /// Its layout is none.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// It names another number of drives than its layout has fragments.
    #[error("a placement of {expected} fragments names {found} drives")]
    Width {
        /// What the layout says.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}
