//! Which blob is repaired next: the one that can lose fewest more fragments, of those the one that
//! waits longest.
//!
//! All debts are walked once a round, a page at a time; the most urgent [`QUEUE_LEN`] blobs are kept
//! in memory and repaired before the next walk. So a store with a million debts is not sorted, and
//! yet nothing that is less urgent goes first for longer than a queue lasts.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use holdfast_metadata::repair::OwedBlob;
use holdfast_types::{BlobId, DriveId, DriveState};

use super::status::Owed;

/// Blobs that are repaired between two walks: a megabyte or two of placements.
pub(super) const QUEUE_LEN: usize = 2000;

/// A blob and how urgent it is.
#[derive(Debug, PartialEq, Eq)]
struct Urgent {
    /// Fewer is more urgent, then older.
    rank: (i16, u64, BlobId),
    owed: OwedBlob,
}

impl Ord for Urgent {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Urgent {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A walk over all debts.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Where the walk is.
    pub(super) after: Option<BlobId>,
    /// What was found so far.
    pub(super) by_spares: BTreeMap<i16, Owed>,
    /// The least urgent on top.
    kept: BinaryHeap<Urgent>,
}

impl Plan {
    /// Takes the next blob of the walk.
    pub(super) fn take(&mut self, owed: OwedBlob, states: &HashMap<DriveId, DriveState>) {
        self.after = Some(owed.blob.blob);
        let spares = spares(&owed, states);
        let oldest_ms = owed.owed.iter().map(|one| one.created_ms).min();
        let oldest_ms = oldest_ms.unwrap_or_default();
        let fragment_len = owed.blob.placement.layout.fragment_len(owed.blob.len);
        let entry = self.by_spares.entry(spares).or_insert(Owed {
            oldest_ms,
            ..Owed::default()
        });
        entry.blobs += 1;
        entry.fragments += owed.owed.len() as u64;
        entry.bytes += fragment_len * owed.owed.len() as u64;
        entry.oldest_ms = entry.oldest_ms.min(oldest_ms);
        self.kept.push(Urgent {
            rank: (spares, oldest_ms, owed.blob.blob),
            owed,
        });
        if self.kept.len() > QUEUE_LEN {
            self.kept.pop();
        }
    }

    /// The most urgent blobs, the most urgent one last.
    pub(super) fn into_queue(self) -> Vec<OwedBlob> {
        let mut queue: Vec<OwedBlob> = self
            .kept
            .into_sorted_vec()
            .into_iter()
            .map(|urgent| urgent.owed)
            .collect();
        queue.reverse();
        queue
    }
}

/// How many more fragments a blob can lose: those on readable drives that are not owed, less `k`.
fn spares(owed: &OwedBlob, states: &HashMap<DriveId, DriveState>) -> i16 {
    let placement = &owed.blob.placement;
    let is_lost = |index: usize| {
        owed.owed
            .iter()
            .any(|one| usize::from(one.index.0) == index)
    };
    let in_reach = placement
        .drives
        .iter()
        .enumerate()
        .filter(|(index, drive)| {
            let readable = drive.is_some_and(|id| states.get(&id).is_some_and(|s| s.readable()));
            readable && !is_lost(*index)
        });
    i16::try_from(in_reach.count()).unwrap_or(i16::MAX) - i16::from(placement.layout.k())
}

#[cfg(test)]
mod tests {
    use holdfast_metadata::model::{BlobPlacement, DebtKind};
    use holdfast_metadata::repair::OwedFragment;
    use holdfast_types::{FragmentIndex, Generation, Placement, Region};

    use super::*;

    fn owed(drives: &[DriveId], lost: &[u8], created_ms: u64) -> OwedBlob {
        OwedBlob {
            blob: BlobPlacement {
                blob: BlobId::generate(),
                len: 400_000,
                placement: Placement {
                    region: Region::parse("here").unwrap(),
                    generation: Generation(0),
                    layout: "4+2".parse().unwrap(),
                    drives: drives.iter().copied().map(Some).collect(),
                },
            },
            owed: lost
                .iter()
                .map(|index| OwedFragment {
                    index: FragmentIndex(*index),
                    meant: None,
                    kind: DebtKind::Missing,
                    created_ms,
                })
                .collect(),
        }
    }

    #[test]
    fn the_blob_that_can_lose_least_comes_first_then_the_oldest() {
        let drives: Vec<DriveId> = (0..6).map(|_| DriveId::generate()).collect();
        let mut states: HashMap<_, _> = drives.iter().map(|d| (*d, DriveState::Online)).collect();
        states.insert(drives[5], DriveState::Missing);
        let (one, two) = (owed(&drives, &[5], 50), owed(&drives, &[0, 1], 90));
        let (same, older) = (owed(&drives, &[4], 70), owed(&drives, &[3], 60));
        let mut plan = Plan::default();
        for blob in [&one, &two, &same, &older] {
            plan.take(blob.clone(), &states);
        }
        let found: Vec<_> = plan.by_spares.iter().map(|(s, o)| (*s, o.blobs)).collect();
        assert_eq!(found, [(-1, 1), (0, 2), (1, 1)]);
        assert_eq!(plan.by_spares[&0].oldest_ms, 60);
        assert_eq!(plan.by_spares[&-1].bytes, 2 * 100_000);
        let order: Vec<BlobId> = plan.into_queue().iter().map(|o| o.blob.blob).collect();
        let expected = [&one, &same, &older, &two].map(|owed| owed.blob.blob);
        assert_eq!(order, expected, "the most urgent one is taken off the end");
    }
}
