//! Empties the drives that an operator wants out.
//!
//! Passes over all placements: a *count* says what draining drives still hold, a *move* gives each
//! such fragment another drive (`moves.rs`). The state is in the metadata: which drives are
//! draining stands there, what is left to do is what placements still name; killed at any point,
//! the next pass finds the rest. A drive is *drained* when a whole count found nothing; it is counted
//! again every while, because a write that had chosen the drive before may be published late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_erasure::Blobs;
use holdfast_metadata::Metadata;
use holdfast_metadata::drives::{DriveDuty, PlacedOn};
use holdfast_metadata::model::BlobPlacement;
use holdfast_types::{BlobId, Clock, Drive, DriveId, FragmentIndex, FragmentStore, Generation};

use crate::moves::{Move, Moved, Mover, location_of};
use crate::worker::{Advance, Progress, WorkError, Worker};

/// How far the draining of one drive is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draining {
    /// What is left on it: by the last whole count, less what was moved since.
    pub left: PlacedOn,
    /// When it was last counted whole; 0: not yet.
    pub counted_ms: u64,
    /// What was on it when this process first counted.
    pub first: PlacedOn,
    /// What stands in the way of the rest; empty when nothing does.
    pub obstacle: String,
}

impl Draining {
    /// Whether placements name it no more.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.counted_ms > 0 && self.left.fragments == 0
    }
}

/// The draining drives as others see them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DrainHandle(Arc<Mutex<BTreeMap<DriveId, Draining>>>);

impl DrainHandle {
    /// Each drive that is being drained.
    #[must_use]
    pub fn all(&self) -> BTreeMap<DriveId, Draining> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<DriveId, Draining>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The worker that empties drives.
pub struct Drainer {
    mover: Mover,
    clock: Arc<dyn Clock>,
    handle: DrainHandle,
    /// The drives of the pass under way.
    drives: BTreeSet<DriveId>,
    pass: Pass,
    /// The drives as they were when the last count began.
    seen: Vec<Drive>,
}

enum Pass {
    Counting(At, BTreeMap<DriveId, PlacedOn>),
    Moving(At, VecDeque<(BlobPlacement, FragmentIndex, DriveId)>, Round),
}

type At = Option<(BlobId, Generation)>;

/// What a move pass has come to.
#[derive(Debug, Default)]
struct Round {
    moved: u64,
    obstacle: String,
}

impl Drainer {
    /// Empties drives onto others of `store`.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        blobs: Blobs,
        store: Arc<dyn FragmentStore>,
        clock: Arc<dyn Clock>,
    ) -> (Self, DrainHandle) {
        let handle = DrainHandle::default();
        let drainer = Self {
            mover: Mover {
                metadata,
                blobs,
                store,
            },
            clock,
            handle: handle.clone(),
            drives: BTreeSet::new(),
            pass: Pass::begin(),
            seen: Vec::new(),
        };
        (drainer, handle)
    }

    async fn wanted(&self) -> Result<BTreeSet<DriveId>, WorkError> {
        let records = self.mover.metadata.drive_records().await?;
        let draining = records
            .into_iter()
            .filter(|record| record.duty == DriveDuty::Draining);
        Ok(draining.map(|record| record.id).collect())
    }

    async fn page(&self, at: At) -> Result<Vec<BlobPlacement>, WorkError> {
        let page = self.mover.metadata.all_placements_page(at, PAGE).await?;
        Ok(page)
    }

    async fn count(
        &mut self,
        at: At,
        mut found: BTreeMap<DriveId, PlacedOn>,
    ) -> Result<Progress, WorkError> {
        if at.is_none() {
            self.seen = self.mover.store.drives();
        }
        let page = self.page(at).await?;
        for (placed, _, drive) in on_drives(&page, &self.drives) {
            let here = found.entry(drive).or_default();
            here.fragments += 1;
            here.bytes += placed.placement.layout.fragment_len(placed.len);
        }
        if let Some(last) = page.last() {
            self.pass = Pass::Counting(position(last), found);
            return Ok(Progress::Busy);
        }
        let now_ms = self.clock.now_ms();
        let is_done = found.is_empty();
        self.handle.change(|all| {
            for drive in &self.drives {
                let left = found.get(drive).copied().unwrap_or_default();
                let one = all.entry(*drive).or_default();
                if one.counted_ms == 0 {
                    one.first = left;
                }
                one.left = left;
                one.counted_ms = now_ms;
                if left.fragments == 0 {
                    one.obstacle.clear();
                }
            }
        });
        if is_done {
            return Ok(Progress::Idle);
        }
        self.pass = Pass::Moving(None, VecDeque::new(), Round::default());
        Ok(Progress::Busy)
    }

    async fn go_on(
        &mut self,
        at: At,
        mut queue: VecDeque<(BlobPlacement, FragmentIndex, DriveId)>,
        mut round: Round,
    ) -> Result<Progress, WorkError> {
        if queue.is_empty() {
            let page = self.page(at).await?;
            if let Some(last) = page.last() {
                let found = on_drives(&page, &self.drives);
                queue.extend(found.map(|(placed, index, drive)| (placed.clone(), index, drive)));
                self.pass = Pass::Moving(position(last), queue, round);
                return Ok(Progress::Busy);
            }
            // The next count says what is left. When nothing could be moved it waits first.
            self.handle.change(|all| {
                for one in all.values_mut() {
                    one.obstacle.clone_from(&round.obstacle);
                }
            });
            return Ok(if round.moved > 0 {
                Progress::Busy
            } else {
                Progress::Idle
            });
        }
        let now: Vec<_> = queue.drain(..queue.len().min(AT_ONCE)).collect();
        let outcomes: Vec<_> = stream::iter(now)
            .map(|(placed, index, from)| self.take_away(placed, index, from))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for outcome in outcomes {
            let (from, bytes, moved) = outcome?;
            match moved {
                Moved::Done | Moved::Changed => {
                    round.moved += 1;
                    self.handle.change(|all| {
                        if let Some(one) = all.get_mut(&from) {
                            one.left.fragments = one.left.fragments.saturating_sub(1);
                            one.left.bytes = one.left.bytes.saturating_sub(bytes);
                        }
                    });
                }
                Moved::Owed => {}
                Moved::Blocked(reason) => round.obstacle = reason,
            }
        }
        self.pass = Pass::Moving(at, queue, round);
        Ok(Progress::Busy)
    }

    async fn take_away(
        &self,
        placed: BlobPlacement,
        index: FragmentIndex,
        from: DriveId,
    ) -> Result<(DriveId, u64, Moved), WorkError> {
        let location = location_of(&placed);
        let target = self
            .mover
            .blobs
            .choose_targets(&location, &[index], &[from]);
        let Some(&(_, to)) = target.first() else {
            let width = location.placement.layout.width();
            return Ok((
                from,
                0,
                Moved::Blocked(format!(
                    "no drive can take fragment {} of blob {}: it needs one that is online, has \
                     room and holds nothing else of its {width} fragments",
                    index.0, location.blob
                )),
            ));
        };
        let one = Move {
            location,
            index,
            from,
            to,
        };
        Ok((from, one.bytes(), self.mover.run(&one).await?))
    }
}

impl Pass {
    const fn begin() -> Self {
        Self::Counting(None, BTreeMap::new())
    }
}

/// The fragments of a page that lie on some drives.
fn on_drives<'a>(
    page: &'a [BlobPlacement],
    drives: &'a BTreeSet<DriveId>,
) -> impl Iterator<Item = (&'a BlobPlacement, FragmentIndex, DriveId)> {
    page.iter().flat_map(move |placed| {
        let named = (0u8..).zip(&placed.placement.drives);
        named.filter_map(move |(index, drive)| {
            let drive = drive.filter(|drive| drives.contains(drive))?;
            Some((placed, FragmentIndex(index), drive))
        })
    })
}

fn position(last: &BlobPlacement) -> At {
    Some((last.blob, last.placement.generation))
}

#[async_trait]
impl Worker for Drainer {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.mover.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let wanted = self.wanted().await?;
        if wanted != self.drives {
            self.handle
                .change(|all| all.retain(|drive, _| wanted.contains(drive)));
            self.drives = wanted;
            self.pass = Pass::begin();
        }
        if self.drives.is_empty() {
            return Ok(Progress::Idle);
        }
        match std::mem::replace(&mut self.pass, Pass::begin()) {
            Pass::Counting(at, found) => self.count(at, found).await,
            Pass::Moving(at, queue, round) => self.go_on(at, queue, round).await,
        }
    }

    /// Until other drives are to be drained, a drive has come, or a while has passed.
    async fn wait(&mut self) {
        let until = tokio::time::Instant::now() + AGAIN;
        let known = |drives: &[Drive]| -> Vec<_> {
            drives.iter().map(|drive| (drive.id, drive.state)).collect()
        };
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            let others = self.wanted().await.is_ok_and(|now| now != self.drives);
            let is_stuck =
                !self.drives.is_empty() && known(&self.mover.store.drives()) != known(&self.seen);
            if others || is_stuck {
                return;
            }
        }
    }

    fn doing(&self) -> String {
        let all = self.handle.all();
        if all.is_empty() {
            return "no drive is to be emptied".to_owned();
        }
        let left: u64 = all.values().map(|one| one.left.fragments).sum();
        let drained = all.values().filter(|one| one.is_drained()).count();
        let obstacle = all.values().map(|one| one.obstacle.as_str()).max();
        let obstacle = obstacle.filter(|text| !text.is_empty());
        format!(
            "{} drives to be emptied, {drained} of them are; {left} fragments left{}",
            all.len(),
            obstacle.map_or_else(String::new, |text| format!("; {text}"))
        )
    }

    fn advance(&self) -> Option<Advance> {
        let all = self.handle.all();
        let total: u64 = all.values().map(|one| one.first.bytes).sum();
        let left: u64 = all.values().map(|one| one.left.bytes).sum();
        (total > 0).then(|| Advance {
            done: total.saturating_sub(left),
            total,
            unit: "bytes",
        })
    }

    fn longest_rest(&self) -> Duration {
        LONGEST_REST
    }
}

impl fmt::Debug for Drainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drainer").finish_non_exhaustive()
    }
}

/// Placements of one step: a few milliseconds.
const PAGE: usize = 500;
/// Fragments at once: the drive that they all come from is the bottleneck.
const AT_ONCE: usize = 4;
/// How soon a drive that is to be emptied, or that can take something, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two passes that had nothing to do.
const AGAIN: Duration = Duration::from_secs(30);
/// A step may take seconds (big fragments), and is to be followed by a rest of its share.
const LONGEST_REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
