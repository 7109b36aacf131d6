//! One drive: its folder, its index, its log of small fragments, its state.
//!
//! A [`LocalDrive`] lives as long as the store. What is open now (the [`Core`] and the log's
//! thread) comes and goes with the folder: when the folder vanishes or is swapped, the core is
//! *retired* (nothing that still holds it can write or acknowledge any more), and a new one is
//! built from a scan when a drive with the right identity is there again.

pub(crate) mod blocks;
mod compact;
mod health;
mod index;
mod large;
mod log;
mod open;
mod scan;
mod small;
pub(crate) mod verify;

use std::any::Any;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use holdfast_types::{
    ClusterId, Deleted, Drive, DriveId, DriveState, FragmentHeader, FragmentId, FragmentWriter,
    Layout, ReadBlocks, StoreError,
};
use tokio::sync::Semaphore;

use crate::counters::{Counters, DriveStats};
use crate::disk::{Disk, PAGE, Space, Stamp};
use crate::failure::Failure;
use crate::format::segment::SMALL_UP_TO;
use crate::identity::IDENTITY;
use crate::scrub::ScrubProgress;
use crate::staged::Tree;
use crate::store::{DriveConfig, StoreConfig};
use health::Health;
use index::{Index, Slot};
use log::Log;

/// Where large fragments are.
pub(crate) const FRAGMENTS: &str = "fragments";
/// Where small fragments are.
pub(crate) const SEGMENTS: &str = "segments";

/// Reads, and as many writes, that one drive works on at once. The threads that wait for disks are
/// shared by all drives (512 of them): one that hangs must not take them all.
const OPERATIONS_AT_ONCE: usize = 16;
/// A drive whose scan failed is not scanned again sooner: it may take minutes.
const SCAN_AGAIN: Duration = Duration::from_secs(60);
/// The most blocks in a fragment: their checksums are in memory while it is written (32 MiB).
const MAX_BLOCKS: u64 = 4 << 20;
/// The most bytes that one read may ask for: they are all in memory at once, for each read that a
/// drive works on. Four of the longest blocks.
pub const MAX_READ_BYTES: u64 = 16 << 20;
const _: () = assert!(MAX_READ_BYTES >= 4 * Layout::MAX_BLOCK_LEN as u64);

/// Why a drive that is well takes nothing new.
const DRAINING: &str = "its fragments are moved to other drives, as an operator asked";

/// What a fragment takes besides its blocks: header, table, padding, its name in a folder.
const OVERHEAD_BYTES: u64 = 4 * PAGE as u64;

/// What is open of a drive.
pub(crate) struct Core {
    id: DriveId,
    tree: Arc<Tree>,
    index: Arc<Index>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    config: StoreConfig,
    /// Of the identity file, when it was verified.
    stamp: Stamp,
    free_bytes: AtomicU64,
    retired: RwLock<bool>,
    /// On the identity file, so that no second process opens the drive.
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    /// Removals in one folder go one after the other.
    removals: [Mutex<()>; 16],
}

impl Core {
    /// Draws the conclusions from `failure`, and makes it one for a caller.
    fn fail(&self, failure: Failure) -> StoreError {
        self.health.note(&failure, &self.counters);
        failure.into_store_error(self.id)
    }

    /// Whether the drive's place still leads to the identity file that was verified.
    fn check_in_place(&self) -> Result<(), StoreError> {
        let reason = match self.tree.volume.stamp(IDENTITY) {
            Ok(stamp) if stamp == self.stamp => return Ok(()),
            Ok(_) => "another folder, or another identity file, took its place".to_owned(),
            Err(error) => format!("its identity file can't be found: {error}"),
        };
        self.health.set_absent(DriveState::Missing, reason);
        self.health.check_readable()
    }

    /// Lets a change begin, unless the drive was retired or is not in its place; it can't be
    /// retired before the guard is dropped.
    fn enter(&self) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let retired = self.retired.read().unwrap_or_else(PoisonError::into_inner);
        if *retired {
            self.health.check_writable()?;
            return Err(StoreError::Unavailable {
                drive: self.id,
                state: DriveState::Missing,
                reason: "it was opened anew meanwhile".to_owned(),
            });
        }
        self.check_in_place()?;
        Ok(retired)
    }

    /// See [`Core::enter`].
    pub(crate) fn enter_here(&self) -> Result<impl Drop + use<'_>, StoreError> {
        self.enter()
    }

    /// The drive's folder.
    pub(crate) const fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Draws the conclusions from `failure`.
    pub(crate) fn note_failure(&self, failure: &Failure) {
        self.health.note(failure, &self.counters);
    }

    /// Waits for changes that have begun, lets no other begin, and gives up the lock.
    fn retire(&self) {
        *self.retired.write().unwrap_or_else(PoisonError::into_inner) = true;
        drop(
            self.lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Refuses a write of `len` bytes that would eat into the reserve.
    fn check_room(&self, len: u64) -> Result<(), StoreError> {
        let len = len.next_multiple_of(PAGE as u64) + OVERHEAD_BYTES;
        let needed = self.config.reserve_bytes.saturating_add(len);
        if self.free_bytes.load(Ordering::Relaxed) < needed {
            let space = self.measure();
            if space.free_bytes < needed {
                self.health.set_full(format!(
                    "full: {} bytes are free, {} of them kept in reserve",
                    space.free_bytes, self.config.reserve_bytes
                ));
                return self.health.check_writable();
            }
        }
        let taken = |free: u64| Some(free.saturating_sub(len));
        let _ = self
            .free_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        Ok(())
    }

    fn measure(&self) -> Space {
        let space = self.tree.volume.space().unwrap_or_default();
        self.free_bytes.store(space.free_bytes, Ordering::Relaxed);
        space
    }

    fn removal(&self, id: &FragmentId) -> MutexGuard<'_, ()> {
        let stripe = usize::from(id.blob.as_bytes()[15]) % self.removals.len();
        self.removals[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn exists(&self, id: &FragmentId) -> StoreError {
        StoreError::Exists {
            drive: self.id,
            id: id.clone(),
        }
    }

    fn not_found(&self, id: &FragmentId) -> StoreError {
        StoreError::NotFound {
            drive: self.id,
            id: id.clone(),
        }
    }

    fn corrupt(&self, id: &FragmentId, what: impl ToString) -> StoreError {
        self.corrupt_as(id, what.to_string(), None)
    }

    /// What lies in the fragment's place (`what`: a file, a record) says that it is another one, or
    /// made otherwise.
    fn another(&self, id: &FragmentId, what: &str, found: &FragmentHeader) -> StoreError {
        let other = (found.id != *id).then(|| Box::new(found.id.clone()));
        let how = match other {
            Some(_) => "",
            None => " with another layout or length",
        };
        self.corrupt_as(
            id,
            format!("the {what} is fragment {}{how}", found.id),
            other,
        )
    }

    fn corrupt_as(
        &self,
        id: &FragmentId,
        what: String,
        found: Option<Box<FragmentId>>,
    ) -> StoreError {
        self.counters.bad_headers.one();
        tracing::debug!(drive = %self.id, fragment = %id, what, "fragment is corrupt");
        StoreError::Corrupt {
            drive: self.id,
            id: id.clone(),
            what,
            found,
        }
    }
}

/// What is open: dropped, it ends the log's thread.
struct Running {
    core: Arc<Core>,
    log: Log,
}

/// How many operations a drive works on at once.
#[derive(Clone)]
pub(crate) struct Lanes {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

/// Runs `work` on a thread that may block, when the lane has room. If the caller is gone before
/// the work began, it does not begin; once begun, it ends.
async fn on_thread<T: Send + 'static>(
    drive: DriveId,
    lane: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let permit = Arc::clone(lane)
        .acquire_owned()
        .await
        .map_err(|_| stopped(drive))?;
    let job = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    job.await.unwrap_or_else(|_| Err(stopped(drive)))
}

/// The thread that should have answered is gone.
fn stopped(drive: DriveId) -> StoreError {
    let source = Arc::new(std::io::Error::other(
        "the thread that served the drive ended",
    ));
    StoreError::Io { drive, source }
}

/// A folder, and how it is reached.
#[derive(Clone)]
struct Place {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

/// A drive of this machine, in whatever state.
pub(crate) struct LocalDrive {
    cluster: ClusterId,
    config: DriveConfig,
    store: StoreConfig,
    /// Where it is now; `config` says where it was when it was opened first.
    place: RwLock<Place>,
    is_draining: AtomicBool,
    is_closed: AtomicBool,
    health: Arc<Health>,
    counters: Arc<Counters>,
    lanes: Lanes,
    running: RwLock<Option<Arc<Running>>>,
    space: Mutex<Space>,
    scrub: Mutex<ScrubProgress>,
    /// One refresh at a time: a drive that hangs must not collect threads. Holds when to open a
    /// drive again that could not be scanned.
    refreshing: Mutex<Option<Instant>>,
}

impl LocalDrive {
    pub(crate) fn new(
        cluster: ClusterId,
        config: DriveConfig,
        disk: Arc<dyn Disk>,
        store: StoreConfig,
    ) -> Self {
        let lane = || Arc::new(Semaphore::new(OPERATIONS_AT_ONCE));
        Self {
            cluster,
            health: Arc::new(Health::new(config.id)),
            place: RwLock::new(Place {
                path: config.path.clone(),
                disk,
            }),
            is_draining: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            config,
            store,
            counters: Arc::default(),
            lanes: Lanes {
                reads: lane(),
                writes: lane(),
            },
            running: RwLock::default(),
            space: Mutex::default(),
            scrub: Mutex::default(),
            refreshing: Mutex::default(),
        }
    }

    fn at(&self) -> Place {
        self.place
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where it is, for people.
    pub(crate) fn path(&self) -> PathBuf {
        self.at().path
    }

    /// Looks for it elsewhere from now on, unless it is open where it is. Whether it will.
    pub(crate) fn move_to(&self, path: PathBuf, disk: Arc<dyn Disk>) -> bool {
        if self.running().is_some() && !self.health.is_absent() {
            return false;
        }
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = Place { path, disk };
        true
    }

    /// Takes nothing new from now on, or does so again.
    pub(crate) fn set_draining(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Ordering::SeqCst);
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Lets nobody write or acknowledge any more, and gives up its folder. For good.
    pub(crate) fn close(&self) {
        // A refresh under way must not open it again after this.
        let _refreshing = self
            .refreshing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.is_closed.store(true, Ordering::SeqCst);
        if let Some(running) = self.running() {
            self.health
                .set_absent(DriveState::Missing, "it was removed".to_owned());
            self.set_running(None);
            running.core.retire();
        }
    }

    fn running(&self) -> Option<Arc<Running>> {
        self.running
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_running(&self, running: Option<Arc<Running>>) {
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = running;
    }

    /// Looks whether the drive is as it was; opens it if it is back. Blocks on the disk.
    pub(crate) fn refresh(&self) {
        let Ok(mut not_before) = self.refreshing.try_lock() else {
            return;
        };
        if self.is_closed.load(Ordering::SeqCst) {
            return;
        }
        if let Some(running) = self.running() {
            let _ = running.core.check_in_place();
            if self.health.is_absent() {
                self.set_running(None);
                running.core.retire();
            } else {
                return self.refresh_space(&running.core);
            }
        }
        if not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return;
        }
        match open::open(self.at().disk.as_ref(), self.cluster, &self.config, self) {
            Ok(running) => {
                self.health.clear_absent();
                self.refresh_space(&running.core);
                self.set_running(Some(Arc::new(running)));
            }
            Err(absent) => {
                *not_before = absent.scanned.then(|| Instant::now() + SCAN_AGAIN);
                self.health.set_absent(absent.state, absent.reason);
            }
        }
    }

    fn refresh_space(&self, core: &Core) {
        let space = core.measure();
        *self.space.lock().unwrap_or_else(PoisonError::into_inner) = space;
        if self.health.is_full() && space.free_bytes > self.store.reserve_bytes {
            self.health.clear_full();
        }
    }

    pub(crate) fn describe(&self) -> Drive {
        let (mut state, mut reason) = self.health.state();
        if state == DriveState::Online && self.is_draining() {
            state = DriveState::Draining;
            reason = DRAINING.to_owned();
        }
        let space = *self.space.lock().unwrap_or_else(PoisonError::into_inner);
        Drive {
            id: self.config.id,
            region: self.config.region.clone(),
            zone: self.config.zone.clone(),
            node: self.config.node.clone(),
            state,
            reason,
            path: self.at().path.display().to_string(),
            capacity_bytes: space.capacity_bytes,
            free_bytes: space.free_bytes,
        }
    }

    pub(crate) fn stats(&self) -> DriveStats {
        self.counters.snapshot()
    }

    /// What is open, where `check` lets the caller have it.
    fn open_for(
        &self,
        check: impl FnOnce(&Health) -> Result<(), StoreError>,
    ) -> Result<Arc<Running>, StoreError> {
        check(&self.health)?;
        self.running().ok_or_else(|| StoreError::Unavailable {
            drive: self.config.id,
            state: DriveState::Missing,
            reason: "it is being opened".to_owned(),
        })
    }

    /// What is open, to read files that are no fragments.
    pub(crate) fn core_to_read(&self) -> Result<Arc<Core>, StoreError> {
        Ok(Arc::clone(&self.open_for(Health::check_readable)?.core))
    }

    /// What is open, to write files that may use the reserve.
    pub(crate) fn core_to_keep(&self) -> Result<Arc<Core>, StoreError> {
        Ok(Arc::clone(&self.open_for(Health::check_deletable)?.core))
    }

    pub(crate) async fn create(
        &self,
        header: FragmentHeader,
    ) -> Result<Box<dyn FragmentWriter>, StoreError> {
        if header.is_empty() {
            return Err(StoreError::Contract("a fragment without bytes"));
        }
        if header.layout.checked().is_err() || header.blocks() > MAX_BLOCKS {
            return Err(StoreError::Contract(
                "a layout that can't be, or too many blocks",
            ));
        }
        let running = self.open_for(Health::check_writable)?;
        if self.is_draining() {
            return Err(StoreError::Unavailable {
                drive: self.config.id,
                state: DriveState::Draining,
                reason: DRAINING.to_owned(),
            });
        }
        let core = Arc::clone(&running.core);
        let reservation = core
            .index
            .reserve(&header.id)
            .ok_or_else(|| core.exists(&header.id))?;
        if header.len() <= SMALL_UP_TO {
            let log = running.log.sender();
            return Ok(Box::new(small::SmallWriter::new(
                core,
                log,
                header,
                reservation,
            )));
        }
        let lanes = self.lanes.clone();
        Ok(Box::new(
            large::LargeWriter::create(core, lanes, header, reservation).await?,
        ))
    }

    pub(crate) async fn read(
        &self,
        header: &FragmentHeader,
        first: u64,
        count: u64,
    ) -> Result<ReadBlocks, StoreError> {
        blocks::check_range(header, first, count)?;
        let core = Arc::clone(&self.open_for(Health::check_readable)?.core);
        let header = header.clone();
        on_thread(self.config.id, &self.lanes.reads, move || {
            let blocks = match core.index.get(&header.id) {
                None => return Err(core.not_found(&header.id)),
                Some(Slot::File) => large::read(&core, &header, first, count)?,
                Some(Slot::Packed(_)) => small::read(&core, &header, first, count)?,
            };
            core.health.note_good_read();
            Ok(ReadBlocks { blocks })
        })
        .await
    }

    pub(crate) async fn stat(&self, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
        let core = Arc::clone(&self.open_for(Health::check_readable)?.core);
        let id = id.clone();
        on_thread(self.config.id, &self.lanes.reads, move || {
            match core.index.get(&id) {
                None => Err(core.not_found(&id)),
                Some(Slot::File) => large::stat(&core, &id),
                Some(Slot::Packed(_)) => small::stat(&core, &id),
            }
        })
        .await
    }

    pub(crate) async fn delete(&self, id: &FragmentId) -> Result<Deleted, StoreError> {
        let running = self.open_for(Health::check_deletable)?;
        match running.core.index.get(id) {
            None => Ok(Deleted::Absent),
            Some(Slot::Packed(_)) => small::delete(&running.core, running.log.sender(), id).await,
            Some(Slot::File) => {
                let (core, id) = (Arc::clone(&running.core), id.clone());
                on_thread(self.config.id, &self.lanes.writes, move || {
                    large::delete(&core, &id)
                })
                .await
            }
        }
    }

    pub(crate) fn list(
        &self,
        after: Option<&FragmentId>,
        limit: usize,
    ) -> Result<Vec<FragmentId>, StoreError> {
        let running = self.open_for(Health::check_readable)?;
        Ok(running.core.index.list(after, limit))
    }
}

impl Drop for LocalDrive {
    fn drop(&mut self) {
        // Writers that outlive the store can't acknowledge anything, and the lock is free at once.
        if let Some(running) = self.running() {
            running.core.retire();
        }
    }
}
