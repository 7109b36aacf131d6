//! Compares what the metadata says with what lies on the drives, both ways, in one merge.
//!
//! Placements are read in the order of blob ids, a page at a time; beside each page every drive's
//! list of fragments is walked over the same ids. What a placement wants and the drive does not have
//! becomes a debt, without a reader. What lies on the drive and no placement wants goes the condemn
//! way: only when its id is older than any publish can take, the metadata is asked what it is, and
//! condemns the id if it never heard of it, so that no publish can win later; then it is noted as a
//! stray and lies in quarantine; the repair's sweep of strays deletes it much later, after
//! everything was asked again.
//!
//! Nothing is concluded from an absence in one list: both are read at different moments. A fragment
//! that seems missing is asked for by name, and the debt is only taken if the placement still names
//! the drive. One that seems unknown is judged under its blob's lock. A drive that is not online, or
//! stops being so, is skipped until it is back. (When a restored metadata can be told from one that
//! was not, [`Inventory::note`] is the place that must refuse until it is reconciled.)

mod walk;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::Metadata;
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::inventory::{FoundFragment, FoundVerdict, NoteFound};
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{BlobId, Clock, DriveId, FragmentId, FragmentStore, Region, StoreError};
use tokio::sync::watch;

use crate::config::WorkerConfig;
use crate::worker::{Progress, WorkError, Worker};
use walk::{Expected, Walk};

/// What a cycle found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InventoryReport {
    /// When the cycle ended; 0 while it goes on.
    pub as_of_ms: u64,
    /// Fragments that placements want, on drives that were looked at.
    pub expected: u64,
    /// Of these, those that the drive did not have.
    pub missing: u64,
    /// Fragments that nothing needs and that were noted in this cycle: their quarantine began.
    pub noted: u64,
    /// Fragments that nothing needs and that were noted before.
    pub in_quarantine: u64,
    /// Fragments of live blobs that lie on a second drive and were not seen on the first.
    pub surplus_kept: u64,
    /// Fragments that no placement wants and that are too young to be judged, or whose id says no
    /// age.
    pub young: u64,
    /// Drives that were not online for a part of the cycle.
    pub skipped: BTreeSet<DriveId>,
}

/// When an unknown fragment is judged, and how long it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A fragment whose blob's id is younger is not asked about.
    pub unknown_age_ms: u64,
    /// How long a noted one lies before it may be deleted.
    pub quarantine_ms: u64,
    /// From the begin of a cycle to that of the next.
    pub period: Duration,
}

impl From<&WorkerConfig> for Patience {
    fn from(config: &WorkerConfig) -> Self {
        Self {
            unknown_age_ms: config.unknown_age_seconds.saturating_mul(1000),
            quarantine_ms: config.quarantine_seconds.saturating_mul(1000),
            period: Duration::from_secs(config.inventory_period_seconds),
        }
    }
}

/// The worker that compares.
pub struct Inventory {
    metadata: Metadata,
    store: Arc<dyn FragmentStore>,
    clock: Arc<dyn Clock>,
    region: Region,
    patience: Patience,
    cycle: Option<Cycle>,
    last: watch::Sender<InventoryReport>,
    began: tokio::time::Instant,
}

/// A cycle that is under way.
struct Cycle {
    report: InventoryReport,
    /// All blobs up to this one were compared.
    after: Option<BlobId>,
    walks: Vec<Walk>,
    page: Option<Page>,
}

/// The blobs after the last page's up to `up_to` (`None`: all that are left).
struct Page {
    up_to: Option<BlobId>,
    expected: Expected,
    /// Drives of which this page is still to be walked.
    todo: VecDeque<usize>,
}

impl Inventory {
    /// An inventory of `region`. The receiver has what the last whole cycle found.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        store: Arc<dyn FragmentStore>,
        clock: Arc<dyn Clock>,
        region: Region,
        patience: Patience,
    ) -> (Self, watch::Receiver<InventoryReport>) {
        let (last, receiver) = watch::channel(InventoryReport::default());
        let inventory = Self {
            metadata,
            store,
            clock,
            region,
            patience,
            cycle: None,
            last,
            began: tokio::time::Instant::now(),
        };
        (inventory, receiver)
    }

    fn is_online(&self, drive: DriveId) -> bool {
        self.store
            .drives()
            .iter()
            .any(|found| found.id == drive && found.state.is_well())
    }

    fn begin(&mut self) -> Cycle {
        self.began = tokio::time::Instant::now();
        let drives = self.store.drives();
        Cycle {
            report: InventoryReport::default(),
            after: None,
            walks: drives.iter().map(|drive| Walk::new(drive.id)).collect(),
            page: None,
        }
    }

    async fn next_page(&self, cycle: &Cycle) -> Result<Page, WorkError> {
        let placed = self.metadata.placements_page(cycle.after, PAGE).await?;
        Ok(Page {
            up_to: placed.last().map(|last| last.blob),
            expected: Expected::of(&placed),
            todo: (0..cycle.walks.len()).collect(),
        })
    }

    /// Walks one drive on by one list of fragments; whether the drive is done with the page.
    async fn walk(
        &self,
        walk: &mut Walk,
        page: &mut Page,
        report: &mut InventoryReport,
    ) -> Result<bool, WorkError> {
        let drive = walk.drive();
        if !self.is_online(drive) {
            return Ok(skip(walk, page, report));
        }
        let found = match walk.next(&*self.store, page.up_to).await {
            Ok(found) => found,
            Err(_) => return Ok(skip(walk, page, report)),
        };
        for fragment in &found.fragments {
            if !page.expected.take(drive, fragment) {
                self.judge(drive, fragment, report).await?;
            }
        }
        if !found.is_end {
            return Ok(false);
        }
        report.expected += page.expected.count(drive);
        for fragment in page.expected.left(drive) {
            match self.is_missing(drive, &fragment).await {
                Some(true) => {
                    report.missing += 1;
                    self.report_missing(drive, &fragment).await?;
                }
                Some(false) => {}
                None => return Ok(skip(walk, page, report)),
            }
        }
        Ok(true)
    }

    /// Whether an online drive says that it does not have the fragment; `None` where it says
    /// nothing.
    async fn is_missing(&self, drive: DriveId, fragment: &FragmentId) -> Option<bool> {
        match self.store.stat(drive, fragment).await {
            Err(StoreError::NotFound { .. }) => self.is_online(drive).then_some(true),
            // It came between the list and now, or is bad, which is for the scrub to say.
            Ok(_) | Err(StoreError::Corrupt { .. }) => Some(false),
            Err(_) => None,
        }
    }

    async fn report_missing(&self, drive: DriveId, fragment: &FragmentId) -> Result<(), WorkError> {
        let debt = Debt {
            blob: fragment.blob,
            region: fragment.region.clone(),
            generation: fragment.generation,
            index: fragment.index,
            drive: Some(drive),
            kind: DebtKind::Missing,
            created_ms: self.clock.now_ms(),
        };
        // Taken only if the placement still names the drive.
        let report = ReportDebts { debts: vec![debt] };
        Ok(self.metadata.report_debts(report).await?)
    }

    /// What to do about a fragment that no placement wanted when the page was read.
    async fn judge(
        &self,
        drive: DriveId,
        fragment: &FragmentId,
        report: &mut InventoryReport,
    ) -> Result<(), WorkError> {
        if !self.is_old(fragment) {
            report.young += 1;
            return Ok(());
        }
        if mutant::active(Mutant::DeleteByAbsence) {
            let _ = self.store.delete(drive, fragment).await;
        }
        let elsewhere = match self.note(drive, fragment, None, report).await? {
            FoundVerdict::Surplus { elsewhere } => elsewhere,
            _ => return Ok(()),
        };
        if let Some(other) = elsewhere
            && self.is_online(other)
            && self.is_whole(other, fragment).await
            && !matches!(
                self.note(drive, fragment, Some(other), report).await?,
                FoundVerdict::Surplus { .. }
            )
        {
            return Ok(());
        }
        report.surplus_kept += 1;
        Ok(())
    }

    /// An id that says no time is none of ours; one of a time to come is not old.
    fn is_old(&self, fragment: &FragmentId) -> bool {
        fragment.blob.made_ms().is_some_and(|made_ms| {
            self.clock.now_ms().saturating_sub(made_ms) >= self.patience.unknown_age_ms
                && made_ms <= self.clock.now_ms()
        })
    }

    async fn note(
        &self,
        drive: DriveId,
        fragment: &FragmentId,
        seen_on: Option<DriveId>,
        report: &mut InventoryReport,
    ) -> Result<FoundVerdict, WorkError> {
        let note = NoteFound {
            found: FoundFragment {
                drive,
                fragment: fragment.clone(),
            },
            seen_on,
            quarantine_ms: self.patience.quarantine_ms,
        };
        let verdict = self.metadata.note_found(note).await?;
        match verdict {
            FoundVerdict::Noted => {
                tracing::info!(%drive, %fragment, "a fragment that nothing needs is in quarantine");
                report.noted += 1;
            }
            FoundVerdict::Known => report.in_quarantine += 1,
            FoundVerdict::Placed | FoundVerdict::Surplus { .. } => {}
        }
        Ok(verdict)
    }

    /// Whether the drive has the fragment with every block as it was written: the other one may be
    /// the only good one.
    async fn is_whole(&self, drive: DriveId, fragment: &FragmentId) -> bool {
        let Ok(header) = self.store.stat(drive, fragment).await else {
            return false;
        };
        let at_once = (READ_BYTES / u64::from(header.layout.block_len()).max(1)).max(1);
        let mut first = 0;
        while first < header.blocks() {
            let count = at_once.min(header.blocks() - first);
            match self.store.read(drive, &header, first, count).await {
                Ok(read) if read.blocks.iter().all(Option::is_some) => first += count,
                _ => return false,
            }
        }
        true
    }
}

/// A drive that is not online is left out of the page: nothing is concluded.
fn skip(walk: &mut Walk, page: &mut Page, report: &mut InventoryReport) -> bool {
    report.skipped.insert(walk.drive());
    page.expected.forget(walk.drive());
    walk.skip_to(page.up_to);
    true
}

#[async_trait]
impl Worker for Inventory {
    fn name(&self) -> &'static str {
        "inventory"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let mut cycle = match self.cycle.take() {
            Some(cycle) => cycle,
            None => self.begin(),
        };
        let step = self.step(&mut cycle).await;
        if !matches!(step, Ok(Progress::Idle)) {
            // A step that failed is done again; what it did is done again with it, to no effect.
            self.cycle = Some(cycle);
            return step;
        }
        cycle.report.as_of_ms = self.clock.now_ms();
        self.last.send_replace(cycle.report);
        Ok(Progress::Idle)
    }

    /// Until the next cycle is due, or a drive that was skipped is back.
    async fn wait(&mut self) {
        let due = self.began + self.patience.period;
        loop {
            let left = due.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                // Never one after the other without a breath, whatever the period is.
                return tokio::time::sleep(SHORTEST_PAUSE).await;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            let skipped = self.last.borrow().skipped.clone();
            if skipped.into_iter().any(|drive| self.is_online(drive)) {
                return;
            }
        }
    }

    fn doing(&self) -> String {
        let (words, report) = match &self.cycle {
            Some(cycle) => ("compared so far", cycle.report.clone()),
            None => ("compared", self.last.borrow().clone()),
        };
        format!(
            "{} fragments {words}: {} missing, {} that nothing needs ({} of them new), {} too young \
             to judge, {} drives skipped",
            report.expected,
            report.missing,
            report.noted + report.in_quarantine + report.surplus_kept,
            report.noted,
            report.young,
            report.skipped.len()
        )
    }
}

impl Inventory {
    async fn step(&self, cycle: &mut Cycle) -> Result<Progress, WorkError> {
        let mut page = match cycle.page.take() {
            Some(page) => page,
            None => self.next_page(cycle).await?,
        };
        let Some(&at) = page.todo.front() else {
            cycle.after = page.up_to;
            // A page without an end was the last: all that the drives have beyond it was walked.
            return Ok(match page.up_to {
                Some(_) => Progress::Busy,
                None => Progress::Idle,
            });
        };
        let mut walked = cycle.report.clone();
        let before = cycle.walks[at].clone();
        match self
            .walk(&mut cycle.walks[at], &mut page, &mut walked)
            .await
        {
            Ok(is_done) => {
                cycle.report = walked;
                if is_done {
                    page.todo.pop_front();
                }
                cycle.page = Some(page);
                Ok(Progress::Busy)
            }
            Err(error) => {
                cycle.walks[at] = before;
                cycle.page = Some(page);
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventory")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Blobs of one page: some thousand expected fragments, a few hundred kilobytes.
const PAGE: usize = 500;
/// Bytes read at once of a fragment that must be whole.
const READ_BYTES: u64 = 1 << 20;
/// How soon a drive that is back is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two cycles at least.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
