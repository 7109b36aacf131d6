//! Moves fragments to drives that have less than their share, and no more than it takes.
//!
//! New blobs go where room is, so drives even out by themselves; after a drive was added that would
//! take for ever. A *count* sums what placements have on each drive and works out the shares
//! (`share.rs`); if one drive is far from its own, a *move* pass takes fragments from drives that
//! have too much to those that have too little, never past the share of either, so that all that is
//! moved is what the ideal lacks. The fragments are chosen evenly over all blobs, by their ids, so
//! that a new drive does not get just the oldest. The state is in the metadata: killed at any
//! point, the next count finds what is left. It rests while anything is owed: repair comes first.

mod share;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_erasure::Blobs;
use holdfast_metadata::Metadata;
use holdfast_metadata::model::BlobPlacement;
use holdfast_types::{BlobId, DriveId, DriveState, FragmentIndex, FragmentStore};

use self::share::shares;
use crate::moves::{Move, Moved, Mover, location_of};
use crate::repair::RepairHandle;
use crate::worker::{Advance, Progress, WorkError, Worker};

/// The rebalancing as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebalancing {
    /// Bytes that are to be moved, by the last count: what the drives below their share lack.
    pub wanted_bytes: u64,
    /// Bytes that were moved since that count.
    pub moved_bytes: u64,
    /// Bytes that were moved since the process began.
    pub total_moved_bytes: u64,
    /// How far the drive that is furthest from its share was from it, in thousandths, by the last
    /// count.
    pub worst_permille: u64,
}

/// A live view of the rebalancing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RebalanceHandle(Arc<Mutex<Rebalancing>>);

impl RebalanceHandle {
    /// How it is now.
    #[must_use]
    pub fn status(&self) -> Rebalancing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Rebalancing)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The worker that rebalances.
pub struct Rebalancer {
    mover: Mover,
    repair: RepairHandle,
    /// Less than this is not worth moving for.
    least_bytes: u64,
    handle: RebalanceHandle,
    /// The drives that can take and give, with their sizes, as they were when the pass began.
    drives: BTreeMap<DriveId, u64>,
    pass: Pass,
}

enum Pass {
    Counting(Option<BlobId>, Held),
    Moving(Box<Moving>),
}

/// What placements have on each drive.
#[derive(Debug, Default)]
struct Held {
    by_drive: BTreeMap<DriveId, u64>,
    /// One fragment of each blob: more than that no drive can have.
    most_bytes: u64,
}

struct Moving {
    after: Option<BlobId>,
    queue: VecDeque<BlobPlacement>,
    /// What each drive has too much, and lacks.
    over: BTreeMap<DriveId, u64>,
    under: BTreeMap<DriveId, u64>,
    /// Bytes on the drives that have too much, which this pass has yet to come by.
    ahead_bytes: u64,
    moved: u64,
}

impl Rebalancer {
    /// Rebalances the drives of `store` when one is at least `least_bytes` from its share.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        blobs: Blobs,
        store: Arc<dyn FragmentStore>,
        repair: RepairHandle,
        least_bytes: u64,
    ) -> (Self, RebalanceHandle) {
        let handle = RebalanceHandle::default();
        let rebalancer = Self {
            mover: Mover {
                metadata,
                blobs,
                store,
            },
            repair,
            least_bytes,
            handle: handle.clone(),
            drives: BTreeMap::new(),
            pass: Pass::begin(),
        };
        (rebalancer, handle)
    }

    /// Drives that have a share, by their size; a full one, which can only give, is among them.
    fn drives_now(&self) -> BTreeMap<DriveId, u64> {
        let drives = self.mover.store.drives().into_iter();
        let sharing = drives.filter(|drive| has_share(drive.state));
        sharing
            .map(|drive| (drive.id, drive.capacity_bytes.max(1)))
            .collect()
    }

    fn takes(&self, drive: DriveId) -> bool {
        let drives = self.mover.store.drives();
        drives
            .iter()
            .any(|other| other.id == drive && other.state == DriveState::Online)
    }

    /// Whether the drives are a whole set: one that is away, or is being emptied, would make all
    /// shares others.
    fn is_settled(&self) -> bool {
        let owed: u64 = self
            .repair
            .status()
            .by_spares
            .values()
            .map(|owed| owed.fragments)
            .sum();
        let drives = self.mover.store.drives();
        owed == 0 && drives.iter().all(|drive| has_share(drive.state))
    }

    async fn count(
        &mut self,
        after: Option<BlobId>,
        mut held: Held,
    ) -> Result<Progress, WorkError> {
        let page = self.mover.metadata.placements_page(after, PAGE).await?;
        for placed in &page {
            let placement = &placed.placement;
            let bytes = placement.layout.fragment_len(placed.len);
            held.most_bytes += bytes;
            for drive in placement.drives.iter().flatten() {
                *held.by_drive.entry(*drive).or_default() += bytes;
            }
        }
        if let Some(last) = page.last() {
            self.pass = Pass::Counting(Some(last.blob), held);
            return Ok(Progress::Busy);
        }
        let total: u64 = held.by_drive.values().sum();
        let ideal = shares(&self.drives, total, held.most_bytes);
        let (mut over, mut under) = (BTreeMap::new(), BTreeMap::new());
        let (mut is_far, mut worst_permille) = (false, 0);
        for (drive, share) in &ideal {
            let has = held.by_drive.get(drive).copied().unwrap_or_default();
            if has > *share {
                over.insert(*drive, has - share);
            } else if has < *share && self.takes(*drive) {
                under.insert(*drive, share - has);
            }
            let away = has.abs_diff(*share);
            let permille = away.saturating_mul(1000) / (*share).max(1);
            worst_permille = worst_permille.max(permille);
            is_far |= permille >= BEGIN_PERMILLE && away >= self.least_bytes.max(1);
        }
        let wanted_bytes = under.values().sum();
        self.handle.change(|status| {
            status.wanted_bytes = if is_far { wanted_bytes } else { 0 };
            status.moved_bytes = 0;
            status.worst_permille = worst_permille;
        });
        if !is_far {
            return Ok(Progress::Idle);
        }
        let ahead = over.keys().filter_map(|drive| held.by_drive.get(drive));
        self.pass = Pass::Moving(Box::new(Moving {
            after: None,
            queue: VecDeque::new(),
            ahead_bytes: ahead.sum(),
            over,
            under,
            moved: 0,
        }));
        Ok(Progress::Busy)
    }

    async fn go_on(&mut self, mut moving: Box<Moving>) -> Result<Progress, WorkError> {
        if moving.queue.is_empty() {
            let page = self
                .mover
                .metadata
                .placements_page(moving.after, PAGE)
                .await?;
            let Some(last) = page.last() else {
                // The next count says whether that was enough; with nothing moved it would find
                // the same.
                let again = moving.moved > 0;
                return Ok(if again {
                    Progress::Busy
                } else {
                    Progress::Idle
                });
            };
            moving.after = Some(last.blob);
            moving.queue = page.into();
        }
        let mut chosen = Vec::new();
        while chosen.len() < AT_ONCE {
            let Some(placed) = moving.queue.pop_front() else {
                break;
            };
            chosen.extend(self.choose(&mut moving, &placed));
        }
        let mover = &self.mover;
        let outcomes: Vec<_> = stream::iter(chosen)
            .map(|one| async move { (one.bytes(), mover.run(&one).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (bytes, outcome) in outcomes {
            if outcome? == Moved::Done {
                moving.moved += 1;
                self.handle.change(|status| {
                    status.moved_bytes += bytes;
                    status.total_moved_bytes += bytes;
                });
            }
        }
        self.pass = Pass::Moving(moving);
        Ok(Progress::Busy)
    }

    /// At most one fragment of a blob, from the drive that has most too much to the one that lacks
    /// most; the two are then taken to have moved it, so that a pass never goes past a share.
    fn choose(&self, moving: &mut Moving, placed: &BlobPlacement) -> Option<Move> {
        let placement = &placed.placement;
        let bytes = placement.layout.fragment_len(placed.len);
        let named = (0u8..).zip(&placement.drives);
        let here: Vec<(u8, DriveId)> = named
            .filter_map(|(index, drive)| drive.map(|drive| (index, drive)))
            .filter(|(_, drive)| moving.over.contains_key(drive))
            .collect();
        let ahead_bytes = moving.ahead_bytes;
        moving.ahead_bytes = ahead_bytes.saturating_sub(bytes * here.len() as u64);
        let wanted: u64 = moving.under.values().sum();
        if !is_drawn(placed.blob, wanted, ahead_bytes, here.len() as u64) {
            return None;
        }
        let too_much = |drive: &DriveId| moving.over.get(drive).copied().unwrap_or_default();
        let (index, from) = here
            .into_iter()
            .filter(|(_, drive)| too_much(drive) >= bytes)
            .max_by_key(|(_, drive)| too_much(drive))?;
        let location = location_of(placed);
        let (to, _) = moving
            .under
            .iter()
            .filter(|(drive, lacks)| {
                **lacks >= bytes
                    && !placement.drives.contains(&Some(**drive))
                    && self.mover.blobs.keeps_spread(&location, from, **drive)
            })
            .max_by_key(|(_, lacks)| **lacks)
            .map(|(drive, lacks)| (*drive, *lacks))?;
        for (side, drive) in [(&mut moving.over, from), (&mut moving.under, to)] {
            if let Some(left) = side.get_mut(&drive) {
                *left -= bytes;
            }
        }
        Some(Move {
            location,
            index: FragmentIndex(index),
            from,
            to,
        })
    }
}

/// Whether a blob is among those that give a fragment: of what is still ahead, as many as it takes,
/// spread by the random part of their ids.
fn is_drawn(blob: BlobId, wanted_bytes: u64, ahead_bytes: u64, fragments: u64) -> bool {
    let id = blob.as_bytes();
    let random = u64::from(u32::from_be_bytes([id[12], id[13], id[14], id[15]]));
    // One fragment of the blob goes, of `fragments` that could: as if each were asked.
    let chance = (u128::from(wanted_bytes) * u128::from(fragments)) << 32;
    u128::from(random) * u128::from(ahead_bytes.max(1)) < chance
}

const fn has_share(state: DriveState) -> bool {
    matches!(state, DriveState::Online | DriveState::ReadOnly)
}

impl Pass {
    fn begin() -> Self {
        Self::Counting(None, Held::default())
    }
}

#[async_trait]
impl Worker for Rebalancer {
    fn name(&self) -> &'static str {
        "rebalance"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.mover.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let now = self.drives_now();
        if now.keys().ne(self.drives.keys()) {
            self.pass = Pass::begin();
        }
        self.drives = now;
        if !self.is_settled() {
            self.pass = Pass::begin();
            self.handle.change(|status| status.wanted_bytes = 0);
            return Ok(Progress::Idle);
        }
        match std::mem::replace(&mut self.pass, Pass::begin()) {
            Pass::Counting(after, held) => self.count(after, held).await,
            Pass::Moving(moving) => self.go_on(moving).await,
        }
    }

    /// Until drives have come or gone, nothing is owed any more, or a long while has passed.
    async fn wait(&mut self) {
        let until = tokio::time::Instant::now() + AGAIN;
        let was_settled = self.is_settled();
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.drives_now().keys().ne(self.drives.keys())
                || (!was_settled && self.is_settled())
            {
                return;
            }
        }
    }

    fn doing(&self) -> String {
        let status = self.handle.status();
        match status.wanted_bytes {
            0 => format!(
                "drives are within {}.{} % of their shares; {} bytes moved",
                status.worst_permille / 10,
                status.worst_permille % 10,
                status.total_moved_bytes
            ),
            wanted => format!("{} of {wanted} bytes moved", status.moved_bytes),
        }
    }

    fn advance(&self) -> Option<Advance> {
        let status = self.handle.status();
        (status.wanted_bytes > 0).then(|| Advance {
            done: status.moved_bytes.min(status.wanted_bytes),
            total: status.wanted_bytes,
            unit: "bytes",
        })
    }

    fn longest_rest(&self) -> Duration {
        LONGEST_REST
    }
}

impl fmt::Debug for Rebalancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebalancer").finish_non_exhaustive()
    }
}

/// How far a drive is from its share when moving begins, in thousandths of it. Below that new
/// writes, which go where room is, even it out.
const BEGIN_PERMILLE: u64 = 100;
/// Placements of one step: a few milliseconds.
const PAGE: usize = 500;
/// Fragments at once.
const AT_ONCE: usize = 4;
/// How soon a drive that came, or a repair that ended, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two counts when nothing has happened.
const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// A step may take seconds (big fragments), and is to be followed by a rest of its share.
const LONGEST_REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
