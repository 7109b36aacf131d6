//! Counts which blobs could bear how many more losses, now.
//!
//! Debts say what writers and readers found wanting; they do not say what a drive took with it
//! when it was pulled out a second ago. The census walks all placements in blob order and counts,
//! for each blob, the fragments that are on readable drives and not known to be bad: `spares` is
//! how many of those may be lost before the blob is. It is a count for operators, made in the
//! background: it is as old as its pass, and says so.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use holdfast_metadata::Metadata;
use holdfast_metadata::model::{BlobPlacement, Debt};
use holdfast_types::{
    BlobId, Clock, DriveId, DriveState, FragmentIndex, FragmentStore, Generation,
};
use tokio::sync::watch;

use crate::worker::{Progress, WorkError, Worker};

/// What a whole pass of the census found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Risk {
    /// When the pass ended.
    pub as_of_ms: u64,
    /// All blobs.
    pub blobs: u64,
    /// Blobs with fewer fragments in reach than their layout has, by how many of those in reach
    /// may still be lost. Negative: too few to read it now.
    pub at_risk_by_spares: BTreeMap<i16, u64>,
}

impl Risk {
    /// Blobs with fewer fragments in reach than their layout has.
    #[must_use]
    pub fn at_risk(&self) -> u64 {
        self.at_risk_by_spares.values().sum()
    }

    /// Blobs that can't be read now.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.at_risk_by_spares
            .range(..0)
            .map(|(_, blobs)| blobs)
            .sum()
    }

    /// The fewest spares that any blob at risk has.
    #[must_use]
    pub fn fewest_spares(&self) -> Option<i16> {
        self.at_risk_by_spares.keys().next().copied()
    }

    fn count(&mut self, placed: &BlobPlacement, drives: &Drives, bad: &Bad) {
        let placement = &placed.placement;
        let in_reach = (0u8..)
            .zip(&placement.drives)
            .filter(|(index, drive)| {
                drive.is_some_and(|drive| drives.readable.contains(&drive))
                    && !bad.contains(&(placed.blob, placement.generation, FragmentIndex(*index)))
            })
            .count();
        let in_reach = i16::try_from(in_reach).unwrap_or(i16::MAX);
        self.blobs += 1;
        if in_reach < i16::from(placement.layout.width()) {
            let spares = in_reach - i16::from(placement.layout.k());
            *self.at_risk_by_spares.entry(spares).or_default() += 1;
        }
    }
}

/// The worker that counts.
pub struct Census {
    metadata: Metadata,
    store: Arc<dyn FragmentStore>,
    clock: Arc<dyn Clock>,
    result: watch::Sender<Option<Risk>>,
    changes: Option<watch::Receiver<()>>,
    pass: Option<Pass>,
    last_drives: HashMap<DriveId, DriveState>,
    last_took: Duration,
}

impl Census {
    /// A census of all blobs. The receiver has the result of the last whole pass, once there is
    /// one.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        store: Arc<dyn FragmentStore>,
        clock: Arc<dyn Clock>,
    ) -> (Self, watch::Receiver<Option<Risk>>) {
        let (result, receiver) = watch::channel(None);
        let census = Self {
            metadata,
            store,
            clock,
            result,
            changes: None,
            pass: None,
            last_drives: HashMap::new(),
            last_took: Duration::ZERO,
        };
        (census, receiver)
    }

    /// Has it count again soon after `changes` says that what is owed has changed.
    #[must_use]
    pub fn again_on(mut self, changes: watch::Receiver<()>) -> Self {
        self.changes = Some(changes);
        self
    }

    fn begin(&mut self) -> Pass {
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
        let states: HashMap<DriveId, DriveState> = self
            .store
            .drives()
            .into_iter()
            .map(|drive| (drive.id, drive.state))
            .collect();
        Pass {
            began: Instant::now(),
            after: None,
            drives: Drives::new(states),
            debts: DebtPages::default(),
            risk: Risk::default(),
        }
    }
}

#[async_trait]
impl Worker for Census {
    fn name(&self) -> &'static str {
        "census"
    }

    /// It changes nothing, and each process shows what it counted.
    fn leased(&mut self) -> Option<&mut Metadata> {
        None
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => self.begin(),
        };
        let page = self.metadata.placements_page(pass.after, PAGE).await?;
        if let Some(last) = page.last() {
            let bad = pass.debts.up_to(last.blob, &self.metadata).await?;
            for placed in &page {
                pass.risk.count(placed, &pass.drives, &bad);
            }
            pass.after = Some(last.blob);
            self.pass = Some(pass);
            return Ok(Progress::Busy);
        }
        pass.risk.as_of_ms = self.clock.now_ms();
        self.last_took = pass.began.elapsed();
        self.last_drives = pass.drives.states;
        self.result.send_replace(Some(pass.risk));
        Ok(Progress::Idle)
    }

    /// Until a drive changes its state, what is owed has changed, or the count has grown old.
    async fn wait(&mut self) {
        let began = tokio::time::Instant::now();
        let until = began + PAUSE.max(self.last_took * 10);
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            let owes_else = self
                .changes
                .as_ref()
                .is_some_and(|changes| changes.has_changed().unwrap_or(false));
            // While much is repaired it changes all the time: a tenth of the time is enough.
            if owes_else && began.elapsed() >= self.last_took * 10 {
                return;
            }
            let changed = self
                .store
                .drives()
                .iter()
                .any(|drive| self.last_drives.get(&drive.id) != Some(&drive.state));
            if changed {
                return;
            }
        }
    }

    fn doing(&self) -> String {
        match (&self.pass, &*self.result.borrow()) {
            (Some(pass), _) => format!("{} blobs counted in this pass", pass.risk.blobs),
            (None, Some(risk)) => {
                format!("{} blobs, {} of them at risk", risk.blobs, risk.at_risk())
            }
            (None, None) => "has not begun".to_owned(),
        }
    }
}

struct Pass {
    began: Instant,
    after: Option<BlobId>,
    drives: Drives,
    debts: DebtPages,
    risk: Risk,
}

/// The debts, read in blob order beside the placements, a page at a time.
#[derive(Default)]
pub(crate) struct DebtPages {
    ahead: VecDeque<Debt>,
    last: Option<Debt>,
    ended: bool,
}

impl DebtPages {
    /// The fragments owed by blobs up to `blob` that were not given before.
    pub(crate) async fn up_to(
        &mut self,
        blob: BlobId,
        metadata: &Metadata,
    ) -> Result<Bad, WorkError> {
        let mut bad = Bad::new();
        loop {
            while let Some(debt) = self.ahead.pop_front_if(|debt| debt.blob <= blob) {
                bad.insert((debt.blob, debt.generation, debt.index));
            }
            if self.ended || !self.ahead.is_empty() {
                return Ok(bad);
            }
            let page = metadata.debts(self.last.as_ref(), PAGE).await?;
            self.ended = page.is_empty();
            self.last = page.last().cloned().or(self.last.take());
            self.ahead = page.into();
        }
    }
}

struct Drives {
    states: HashMap<DriveId, DriveState>,
    readable: HashSet<DriveId>,
}

impl Drives {
    fn new(states: HashMap<DriveId, DriveState>) -> Self {
        let readable = states
            .iter()
            .filter(|(_, state)| state.readable())
            .map(|(id, _)| *id)
            .collect();
        Self { states, readable }
    }
}

pub(crate) type Bad = HashSet<(BlobId, Generation, FragmentIndex)>;

/// Rows of one step: a few milliseconds.
const PAGE: usize = 500;
/// How old a count may grow when nothing changes; ten times as long as a pass took, if that is
/// more, so that a big store is not counted all the time.
const PAUSE: Duration = Duration::from_secs(30);
/// How soon a drive that went or came is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
