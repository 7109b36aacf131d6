//! Makes debts of what lost drives hold.
//!
//! A drive that could not be read for a stated time, whatever the reason (pulled out, wiped, faulty),
//! is taken for lost: all placements are walked, and each fragment on it becomes a debt, which the
//! repair settles elsewhere; or where it was, without a copy, if the drive is back by then. The time
//! is counted by this process: after a restart it begins anew. The walk is repeated while a drive is
//! lost, because writes that were under way when it went may be published after a walk has passed.
//! A drive that an operator removed is lost from that moment on, until this process has ended a walk
//! that began when all transactions of that moment were over: later ones owe by themselves what they
//! would place there. (Time decides nothing here: a process may have been down for days in between.)

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::Metadata;
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::drives::{DriveDuty, Running};
use holdfast_metadata::model::{BlobPlacement, Debt, DebtKind};
use holdfast_types::{BlobId, DriveId, FragmentIndex, FragmentStore};
use tokio::time::Instant;

use crate::worker::{Progress, WorkError, Worker};

/// The worker that notices lost drives.
pub struct LostDrives {
    metadata: Metadata,
    store: Arc<dyn FragmentStore>,
    gone_after: Duration,
    /// Since when each drive can't be read.
    since: HashMap<DriveId, Instant>,
    /// Removed drives of which a walk is still to find all, and what ran when they were seen to be.
    removed: BTreeMap<DriveId, Running>,
    /// Removed drives that no placement names without a debt.
    searched: BTreeSet<DriveId>,
    /// The drives of the walk under way, or of the last one.
    lost: BTreeSet<DriveId>,
    walk: Option<Walk>,
    /// How long the last walk took, and when it ended.
    last: Option<(Duration, Instant)>,
    found: u64,
}

struct Walk {
    began: Instant,
    after: Option<BlobId>,
    /// Removed drives of which it finds all that there will ever be.
    finds_all: BTreeSet<DriveId>,
}

impl LostDrives {
    /// Takes drives for lost that could not be read for `gone_after`.
    #[must_use]
    pub fn new(metadata: Metadata, store: Arc<dyn FragmentStore>, gone_after: Duration) -> Self {
        Self {
            metadata,
            store,
            gone_after,
            since: HashMap::new(),
            removed: BTreeMap::new(),
            searched: BTreeSet::new(),
            lost: BTreeSet::new(),
            walk: None,
            last: None,
            found: 0,
        }
    }

    /// Looks at the drives; which are lost now.
    async fn look(&mut self) -> Result<BTreeSet<DriveId>, WorkError> {
        let mut lost = self.unreadable();
        let records = self.metadata.drive_records().await?;
        let removed = records
            .into_iter()
            .filter(|record| record.duty == DriveDuty::Removed)
            .map(|record| record.id);
        for drive in removed.filter(|drive| !self.searched.contains(drive)) {
            if !self.removed.contains_key(&drive) {
                self.removed.insert(drive, self.metadata.running().await?);
            }
            lost.insert(drive);
        }
        Ok(lost)
    }

    async fn begin(&self) -> Result<Walk, WorkError> {
        let mut finds_all = BTreeSet::new();
        if !self.removed.is_empty() {
            let now = self.metadata.running().await?;
            let over = self
                .removed
                .iter()
                .filter(|(_, then)| now.are_later_than(**then));
            finds_all.extend(over.map(|(drive, _)| *drive));
        }
        Ok(Walk {
            began: Instant::now(),
            after: None,
            finds_all,
        })
    }

    async fn end(&mut self, walk: Walk) -> Result<(), WorkError> {
        for drive in walk.finds_all {
            // Reservations that came while it was being removed: nobody can delete there.
            let removed = DriveDuty::Removed;
            self.metadata
                .set_drive_duty(drive, &[removed], removed)
                .await?;
            self.removed.remove(&drive);
            self.lost.remove(&drive);
            self.searched.insert(drive);
        }
        self.last = Some((walk.began.elapsed(), Instant::now()));
        Ok(())
    }

    fn unreadable(&mut self) -> BTreeSet<DriveId> {
        let now = Instant::now();
        let drives = self.store.drives();
        let away = drives.iter().filter(|drive| !drive.state.readable());
        let before = std::mem::take(&mut self.since);
        self.since = away
            .map(|drive| (drive.id, before.get(&drive.id).copied().unwrap_or(now)))
            .collect();
        let is_lost = |since: &Instant| now.duration_since(*since) >= self.gone_after;
        let lost = self.since.iter().filter(|(_, since)| is_lost(since));
        lost.map(|(drive, _)| *drive).collect()
    }

    /// Whether a walk is due: other drives are lost than last time, or it was a while ago.
    fn is_due(&self, lost: &BTreeSet<DriveId>) -> bool {
        let long_ago = self
            .last
            .is_none_or(|(took, ended)| ended.elapsed() >= AGAIN.max(took * 10));
        !lost.is_empty() && (*lost != self.lost || long_ago)
    }

    fn debts_of(&self, placed: &BlobPlacement) -> Vec<Debt> {
        let placement = &placed.placement;
        (0u8..)
            .zip(&placement.drives)
            .filter(|(_, drive)| drive.is_some_and(|drive| self.lost.contains(&drive)))
            .map(|(index, drive)| Debt {
                blob: placed.blob,
                region: placement.region.clone(),
                generation: placement.generation,
                index: FragmentIndex(index),
                drive: *drive,
                kind: DebtKind::Missing,
                // The metadata's clock says when.
                created_ms: 0,
            })
            .collect()
    }
}

#[async_trait]
impl Worker for LostDrives {
    fn name(&self) -> &'static str {
        "lost-drives"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let lost = self.look().await?;
        if self.walk.is_some() && lost != self.lost {
            self.walk = None;
        }
        if self.walk.is_none() {
            if !self.is_due(&lost) {
                if lost.is_empty() {
                    self.lost = lost;
                }
                return Ok(Progress::Idle);
            }
            let walk = self.begin().await?;
            self.lost = lost;
            self.found = 0;
            self.walk = Some(walk);
        }
        let after = self.walk.as_ref().and_then(|walk| walk.after);
        let page = self.metadata.placements_page(after, PAGE).await?;
        let Some(end) = page.last().map(|placed| placed.blob) else {
            if let Some(walk) = self.walk.take() {
                self.end(walk).await?;
            }
            return Ok(Progress::Idle);
        };
        let debts: Vec<Debt> = page.iter().flat_map(|one| self.debts_of(one)).collect();
        self.found += debts.len() as u64;
        if !debts.is_empty() {
            self.metadata.report_debts(ReportDebts { debts }).await?;
        }
        if let Some(walk) = &mut self.walk {
            walk.after = Some(end);
        }
        Ok(Progress::Busy)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK_EVERY).await;
    }

    fn doing(&self) -> String {
        if self.lost.is_empty() {
            return "no drive is lost".to_owned();
        }
        format!(
            "{} drives are lost or removed, with {} fragments in the last walk",
            self.lost.len(),
            self.found
        )
    }
}

impl std::fmt::Debug for LostDrives {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LostDrives").finish_non_exhaustive()
    }
}

/// Placements of one step: with a debt for each, some ten milliseconds of the metadata's writer.
const PAGE: usize = 200;
/// How soon a lost drive is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two walks while a drive is lost; ten times as long as one took, if that is more.
const AGAIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
