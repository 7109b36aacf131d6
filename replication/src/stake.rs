//! What it would mean that a drive does not come back: which blobs have a fragment there, and how
//! many more fragments they could lose then.
//!
//! Asked before an operator gives a drive up. All placements are read, a page at a time.

use std::collections::{BTreeMap, HashSet};

use holdfast_metadata::Metadata;
use holdfast_types::{Drive, DriveId, FragmentIndex};

use crate::census::DebtPages;
use crate::worker::WorkError;

/// What depends on a drive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stake {
    /// Fragments that placements name it for.
    pub fragments: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Blobs with such a fragment, by how many of their fragments on other readable drives can be
    /// lost; negative: they can't be read without it.
    pub blobs_by_spares: BTreeMap<i16, u64>,
}

impl Stake {
    /// Blobs that can't be read without the drive.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let lost = self.blobs_by_spares.range(..0);
        lost.map(|(_, blobs)| blobs).sum()
    }
}

/// What depends on `drive`, with the other drives as they are in `drives`.
///
/// # Errors
/// The metadata could not be asked.
pub async fn stake(
    metadata: &Metadata,
    drives: &[Drive],
    drive: DriveId,
) -> Result<Stake, WorkError> {
    let others = drives
        .iter()
        .filter(|other| other.id != drive && other.state.readable());
    let readable: HashSet<DriveId> = others.map(|other| other.id).collect();
    let mut found = Stake::default();
    let mut debts = DebtPages::default();
    let mut after = None;
    loop {
        let page = metadata.placements_page(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = Some(last.blob);
        let bad = debts.up_to(last.blob, metadata).await?;
        for placed in &page {
            let placement = &placed.placement;
            let here = placement.drives.iter().filter(|one| **one == Some(drive));
            let here = here.count() as u64;
            if here == 0 {
                continue;
            }
            found.fragments += here;
            found.bytes += here * placement.layout.fragment_len(placed.len);
            let in_reach = (0u8..).zip(&placement.drives).filter(|(index, drive)| {
                let is_bad =
                    bad.contains(&(placed.blob, placement.generation, FragmentIndex(*index)));
                drive.is_some_and(|drive| readable.contains(&drive)) && !is_bad
            });
            let in_reach = i16::try_from(in_reach.count()).unwrap_or(i16::MAX);
            let spares = in_reach - i16::from(placement.layout.k());
            *found.blobs_by_spares.entry(spares).or_default() += 1;
        }
    }
}

/// Placements of one page.
const PAGE: usize = 500;
