//! The fragment store over the drives of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use holdfast_types::{
    Clock, ClusterId, Deleted, Drive, DriveId, DriveState, FragmentHeader, FragmentId,
    FragmentStore, FragmentWriter, ReadBlocks, Region, StoreError,
};
use serde::{Deserialize, Serialize};

use crate::counters::DriveStats;
use crate::disk::{Disk, RealDisk};
use crate::drive::LocalDrive;
use crate::scrub::{Scrub, ScrubProgress};
use crate::shelf::{Shelf, ShelfFolder};

/// How long a refresh waits for one drive; one that hangs goes on by itself.
const REFRESH_PATIENCE: Duration = Duration::from_secs(5);
/// How long opening the store waits for one drive's scan before the store serves without it.
const OPEN_PATIENCE: Duration = Duration::from_secs(300);

/// A drive of this machine and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriveConfig {
    /// Who it must be.
    pub id: DriveId,
    /// Its folder.
    pub path: PathBuf,
    /// The region, zone and node that it is in.
    pub region: Region,
    /// See `region`.
    pub zone: String,
    /// See `region`.
    pub node: String,
}

/// How drives are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Bytes of each file system that writes leave free: removals and compaction need some room,
    /// and file systems that are full to the brim are slow.
    pub reserve_bytes: u64,
    /// Bytes after which a segment is sealed and the next one begun.
    pub segment_bytes: u64,
    /// Within so many seconds every block of every fragment is read and compared with its checksum.
    pub scrub_period_seconds: u64,
}

impl StoreConfig {
    /// 14 days: at a thousandth of the data rotting in a year a longer period begins to cost nines.
    pub const DEFAULT_SCRUB_PERIOD_SECONDS: u64 = 14 * 24 * 3600;
    /// The least and most: below a second nothing else would be done, above a year nothing at all.
    pub const SCRUB_PERIOD_SECONDS: (u64, u64) = (1, 366 * 24 * 3600);
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            reserve_bytes: 1 << 30,
            segment_bytes: 64 << 20,
            scrub_period_seconds: Self::DEFAULT_SCRUB_PERIOD_SECONDS,
        }
    }
}

/// Why a store can't be opened. (A bad drive is no reason: it is a state.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Two of the configured drives have one id.
    #[error("drive {0} is configured twice")]
    Twice(DriveId),
    /// The configuration can't be.
    #[error("segment_bytes must be {min} to {max}, not {found}")]
    SegmentBytes {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
        /// What was asked for.
        found: u64,
    },
    /// See `SegmentBytes`.
    #[error("scrub_period_seconds must be {min} to {max}, not {found}")]
    ScrubPeriod {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
        /// What was asked for.
        found: u64,
    },
}

/// Why a drive was not taken into an open store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// It is one of the store's already.
    #[error("drive {0} is a drive of this store already")]
    Twice(DriveId),
    /// It can't be used now.
    #[error("drive {drive} is {state}: {reason}")]
    Unusable {
        /// The drive.
        drive: DriveId,
        /// Its state.
        state: DriveState,
        /// Why.
        reason: String,
    },
}

/// The least and most bytes of a segment: room for one record; offsets and lengths of 32 bits.
const SEGMENT_BYTES: (u64, u64) = (4096, 1 << 30);

/// The drives of this machine.
pub struct LocalStore {
    cluster: ClusterId,
    config: StoreConfig,
    drives: RwLock<BTreeMap<DriveId, Arc<LocalDrive>>>,
}

impl LocalStore {
    /// Opens the drives, each in its state, all at once.
    ///
    /// # Errors
    /// See [`OpenError`]; never because of what a drive is like.
    pub async fn open(
        cluster: ClusterId,
        drives: Vec<DriveConfig>,
        config: StoreConfig,
    ) -> Result<Self, OpenError> {
        let on_disk = |drive: DriveConfig| {
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&drive.path));
            (drive, disk)
        };
        Self::open_on(cluster, drives.into_iter().map(on_disk).collect(), config).await
    }

    /// The same on any disks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_on(
        cluster: ClusterId,
        disks: Vec<(DriveConfig, Arc<dyn Disk>)>,
        config: StoreConfig,
    ) -> Result<Self, OpenError> {
        let (min, max) = SEGMENT_BYTES;
        if !(min..=max).contains(&config.segment_bytes) {
            return Err(OpenError::SegmentBytes {
                min,
                max,
                found: config.segment_bytes,
            });
        }
        let (min, max) = StoreConfig::SCRUB_PERIOD_SECONDS;
        if !(min..=max).contains(&config.scrub_period_seconds) {
            return Err(OpenError::ScrubPeriod {
                min,
                max,
                found: config.scrub_period_seconds,
            });
        }
        let mut drives: BTreeMap<DriveId, Arc<LocalDrive>> = BTreeMap::new();
        for (drive, disk) in disks {
            let id = drive.id;
            let drive = LocalDrive::new(cluster, drive, disk, config.clone());
            if drives.insert(id, Arc::new(drive)).is_some() {
                return Err(OpenError::Twice(id));
            }
        }
        let store = Self {
            cluster,
            config,
            drives: RwLock::new(drives),
        };
        store.refresh_within(OPEN_PATIENCE).await;
        Ok(store)
    }

    /// Looks at each drive: notices one that vanished or was swapped, opens one that is back,
    /// measures the room. To be called every second or so.
    pub async fn refresh(&self) {
        self.refresh_within(REFRESH_PATIENCE).await;
    }

    async fn refresh_within(&self, patience: Duration) {
        let each = self.all().into_iter().map(|drive| {
            let job = tokio::task::spawn_blocking(move || drive.refresh());
            tokio::time::timeout(patience, job)
        });
        futures::future::join_all(each).await;
    }

    /// What each drive has done since the store was opened.
    #[must_use]
    pub fn stats(&self) -> Vec<(DriveId, DriveStats)> {
        let drives = self.all().into_iter();
        drives.map(|drive| (drive.id(), drive.stats())).collect()
    }

    /// The scrubs of the drives, one each, to be stepped for as long as the process runs. Only one
    /// set of them must be in use.
    #[must_use]
    pub fn scrubs(&self, clock: &Arc<dyn Clock>) -> Vec<Scrub> {
        let drives = self.all().into_iter();
        drives
            .map(|drive| Scrub::new(drive, Arc::clone(clock)))
            .collect()
    }

    /// The scrub of one drive: see [`LocalStore::scrubs`].
    #[must_use]
    pub fn scrub(&self, id: DriveId, clock: &Arc<dyn Clock>) -> Option<Scrub> {
        let drive = self.drive(id).ok()?;
        Some(Scrub::new(drive, Arc::clone(clock)))
    }

    /// Takes one more drive into the store, if it is well. Its folder must have been formatted.
    ///
    /// # Errors
    /// [`AddError`]; the store is then as it was.
    pub async fn add(&self, drive: DriveConfig) -> Result<(), AddError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&drive.path));
        self.add_on(drive, disk).await
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn add_on(&self, drive: DriveConfig, disk: Arc<dyn Disk>) -> Result<(), AddError> {
        let id = drive.id;
        if self.drive(id).is_ok() {
            return Err(AddError::Twice(id));
        }
        let drive = Arc::new(LocalDrive::new(
            self.cluster,
            drive,
            disk,
            self.config.clone(),
        ));
        let opened = Arc::clone(&drive);
        let opening = tokio::task::spawn_blocking(move || opened.refresh());
        // One that hangs is not taken in: it stays "not opened yet".
        let _in_time = tokio::time::timeout(REFRESH_PATIENCE, opening).await;
        let seen = drive.describe();
        if seen.state != DriveState::Online {
            drive.close();
            return Err(AddError::Unusable {
                drive: id,
                state: seen.state,
                reason: seen.reason,
            });
        }
        let mut drives = self.drives.write().unwrap_or_else(PoisonError::into_inner);
        if drives.contains_key(&id) {
            drive.close();
            return Err(AddError::Twice(id));
        }
        drives.insert(id, drive);
        Ok(())
    }

    /// Parts with a drive: whatever is under way on it fails, and its folder is free. Whether it
    /// was one of the store's. Nothing on it is touched.
    pub async fn remove(&self, id: DriveId) -> bool {
        let removed = self
            .drives
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        let Some(drive) = removed else {
            return false;
        };
        // Closing waits for what the drive is at, which may hang.
        let closing = tokio::task::spawn_blocking(move || drive.close());
        let _in_time = tokio::time::timeout(REFRESH_PATIENCE, closing).await;
        true
    }

    /// Has a drive take nothing new, or take it again. Whether it is one of the store's.
    pub fn set_draining(&self, id: DriveId, is_draining: bool) -> bool {
        self.drive(id)
            .map(|drive| drive.set_draining(is_draining))
            .is_ok()
    }

    /// Looks for a drive in another folder from now on: it is opened there by the next refresh if
    /// its identity is right. Refused while it is open where it is.
    pub fn move_to(&self, id: DriveId, path: &Path) -> bool {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(path));
        self.drive(id)
            .is_ok_and(|drive| drive.move_to(path.to_owned(), disk))
    }

    /// The files in one folder of each drive.
    #[must_use]
    pub fn shelves(&self, folder: ShelfFolder) -> Vec<Shelf> {
        let drives = self.drives.read().unwrap_or_else(PoisonError::into_inner);
        let drives = drives.values();
        drives
            .map(|drive| Shelf::new(Arc::clone(drive), folder))
            .collect()
    }

    /// How far each drive's scrub is.
    #[must_use]
    pub fn scrub_progress(&self) -> Vec<(DriveId, ScrubProgress)> {
        let drives = self.all().into_iter();
        drives
            .map(|drive| (drive.id(), drive.scrub_progress()))
            .collect()
    }

    fn all(&self) -> Vec<Arc<LocalDrive>> {
        let drives = self.drives.read().unwrap_or_else(PoisonError::into_inner);
        drives.values().cloned().collect()
    }

    fn drive(&self, id: DriveId) -> Result<Arc<LocalDrive>, StoreError> {
        let drives = self.drives.read().unwrap_or_else(PoisonError::into_inner);
        drives
            .get(&id)
            .cloned()
            .ok_or_else(|| StoreError::Unavailable {
                drive: id,
                state: DriveState::Missing,
                reason: "it is not a drive of this node".to_owned(),
            })
    }
}

#[async_trait]
impl FragmentStore for LocalStore {
    async fn create(
        &self,
        drive: DriveId,
        header: FragmentHeader,
    ) -> Result<Box<dyn FragmentWriter>, StoreError> {
        self.drive(drive)?.create(header).await
    }

    async fn read(
        &self,
        drive: DriveId,
        header: &FragmentHeader,
        first: u64,
        count: u64,
    ) -> Result<ReadBlocks, StoreError> {
        self.drive(drive)?.read(header, first, count).await
    }

    async fn stat(&self, drive: DriveId, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
        self.drive(drive)?.stat(id).await
    }

    async fn delete(&self, drive: DriveId, id: &FragmentId) -> Result<Deleted, StoreError> {
        self.drive(drive)?.delete(id).await
    }

    async fn list(
        &self,
        drive: DriveId,
        after: Option<&FragmentId>,
        limit: usize,
    ) -> Result<Vec<FragmentId>, StoreError> {
        self.drive(drive)?.list(after, limit)
    }

    fn drives(&self) -> Vec<Drive> {
        self.all().iter().map(|drive| drive.describe()).collect()
    }
}
