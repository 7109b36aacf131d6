//! Which blob is repaired next: the one that can lose fewest more fragments, of those the one that
//! waits longest.
//!
//! All debts are walked once a round, a page at a time; the most urgent [`QUEUE_LEN`] blobs are kept
//! in memory and repaired before the next walk. So a store with a million debts is not sorted, and
//! yet nothing that is less urgent goes first for longer than a queue lasts.
//!
//! What can't be helped must not stand in the way of what can: blobs of which too few fragments are
//! in reach come after all others, and those that were tried in vain after all that were not.

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use holdfast_metadata::repair::OwedBlob;
use holdfast_types::{BlobId, DriveId, DriveState};

use super::status::Owed;

/// Blobs that are repaired between two walks: a megabyte or two of placements.
pub(super) const QUEUE_LEN: usize = 2000;

/// A blob and how urgent it is.
#[derive(Debug, PartialEq, Eq)]
struct Urgent {
    /// Lower is more urgent: not tried in vain, in reach, fewer spares, older.
    rank: (bool, bool, i16, u64, BlobId),
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

/// Blobs that were tried in vain since the drives were last other ones.
#[derive(Debug, Default)]
pub(super) struct InVain(HashSet<BlobId>);

impl InVain {
    /// `blob` was tried; whether something of it is still owed.
    pub(super) fn tried(&mut self, blob: BlobId, is_owed: bool) {
        if !is_owed {
            self.0.remove(&blob);
        } else if self.0.len() < MOST_IN_VAIN {
            self.0.insert(blob);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Beyond so many they are tried again and again: a few megabytes.
const MOST_IN_VAIN: usize = 100_000;

/// A walk over all debts.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where the walk is.
    pub(super) after: Option<BlobId>,
    /// What was found so far.
    pub(super) by_spares: BTreeMap<i16, Owed>,
    /// The least urgent on top.
    kept: BinaryHeap<Urgent>,
    /// Of all that were met, how many were not tried in vain.
    pub(super) untried: u64,
    len: usize,
}

impl Plan {
    /// A walk that keeps `len` blobs.
    pub(super) fn new(len: usize) -> Self {
        Self {
            after: None,
            by_spares: BTreeMap::new(),
            kept: BinaryHeap::new(),
            untried: 0,
            len,
        }
    }

    /// Takes the next blob of the walk.
    pub(super) fn take(
        &mut self,
        owed: OwedBlob,
        states: &HashMap<DriveId, DriveState>,
        in_vain: &InVain,
    ) {
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
        let blob = owed.blob.blob;
        let is_tried = in_vain.0.contains(&blob);
        self.untried += u64::from(!is_tried);
        self.kept.push(Urgent {
            rank: (is_tried, spares < 0, spares, oldest_ms, blob),
            owed,
        });
        if self.kept.len() > self.len {
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
        let mut plan = Plan::new(QUEUE_LEN);
        for blob in [&one, &two, &same, &older] {
            plan.take(blob.clone(), &states, &InVain::default());
        }
        let found: Vec<_> = plan.by_spares.iter().map(|(s, o)| (*s, o.blobs)).collect();
        assert_eq!(found, [(-1, 1), (0, 2), (1, 1)]);
        assert_eq!(plan.by_spares[&0].oldest_ms, 60);
        assert_eq!(plan.by_spares[&-1].bytes, 2 * 100_000);
        let order: Vec<BlobId> = plan.into_queue().iter().map(|o| o.blob.blob).collect();
        let expected = [&two, &one, &same, &older].map(|owed| owed.blob.blob);
        assert_eq!(order, expected, "the most urgent one is taken off the end");
    }

    #[test]
    fn what_was_tried_in_vain_makes_room_for_the_rest() {
        let drives: Vec<DriveId> = (0..6).map(|_| DriveId::generate()).collect();
        let states: HashMap<_, _> = drives.iter().map(|d| (*d, DriveState::Online)).collect();
        let urgent = owed(&drives, &[0, 1], 10);
        let later: Vec<OwedBlob> = (20..23).map(|at| owed(&drives, &[0], at)).collect();
        let mut in_vain = InVain::default();
        let queue = |in_vain: &InVain| -> (u64, Vec<BlobId>) {
            let mut plan = Plan::new(2);
            for blob in later.iter().chain([&urgent]) {
                plan.take(blob.clone(), &states, in_vain);
            }
            let untried = plan.untried;
            let queue = plan.into_queue();
            (untried, queue.iter().map(|o| o.blob.blob).collect())
        };
        let ids: Vec<BlobId> = later.iter().map(|owed| owed.blob.blob).collect();
        assert_eq!(queue(&in_vain), (4, vec![ids[0], urgent.blob.blob]));
        in_vain.tried(urgent.blob.blob, true);
        in_vain.tried(ids[0], true);
        assert_eq!(queue(&in_vain), (2, vec![ids[2], ids[1]]));
        in_vain.tried(ids[0], false);
        assert_eq!(queue(&in_vain), (3, vec![ids[1], ids[0]]));
        ids.iter().for_each(|id| in_vain.tried(*id, true));
        assert_eq!(queue(&in_vain), (0, vec![ids[0], urgent.blob.blob]));
    }
}
