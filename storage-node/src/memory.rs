//! A fragment store in memory, for the tests of other crates: the simplest program with the same
//! behaviour, with switches that make a drive fail, stall or rot.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_types::{
    Deleted, Drive, DriveId, DriveState, FragmentHeader, FragmentId, FragmentStore, FragmentWriter,
    ReadBlocks, Region, StoreError,
};

use crate::drive::blocks::{check_block, check_range};

/// What is wrong with a drive in memory. The default: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryFaults {
    /// After how many more blocks and commits each further one fails with an I/O error.
    pub writes_fail_after: Option<u64>,
    /// All reads and stats fail with an I/O error.
    pub reads_fail: bool,
    /// How long each read takes.
    pub read_delay: Duration,
    /// How long each block and each commit takes to write.
    pub write_delay: Duration,
    /// Each commit is done, and its answer is an I/O error: the lost reply.
    pub lose_replies: bool,
}

/// Drives in memory. Clones are handles of the same store.
#[derive(Clone)]
pub struct MemoryStore {
    drives: Arc<Mutex<BTreeMap<DriveId, MemoryDrive>>>,
}

struct MemoryDrive {
    drive: Drive,
    faults: MemoryFaults,
    fragments: BTreeMap<FragmentId, Fragment>,
    pending: HashSet<FragmentId>,
}

struct Fragment {
    header: FragmentHeader,
    blocks: Vec<Bytes>,
    bad: BTreeSet<u64>,
}

impl MemoryStore {
    /// A store with these drives, all of them empty.
    #[must_use]
    pub fn new(drives: Vec<Drive>) -> Self {
        let empty = |drive: Drive| {
            let (faults, fragments, pending) = Default::default();
            (
                drive.id,
                MemoryDrive {
                    drive,
                    faults,
                    fragments,
                    pending,
                },
            )
        };
        Self {
            drives: Arc::new(Mutex::new(drives.into_iter().map(empty).collect())),
        }
    }

    /// A store with `count` online drives of 1 TiB in `zones` zones, one node a zone.
    ///
    /// # Panics
    /// If `zones` is 0.
    #[must_use]
    pub fn with_drives(count: usize, zones: usize) -> Self {
        let drive = |number: usize| Drive {
            id: DriveId::generate(),
            region: Region::parse("local").expect("it is a plain name"),
            zone: format!("zone-{}", number % zones),
            node: format!("node-{}", number % zones),
            state: DriveState::Online,
            reason: String::new(),
            path: format!("memory-{number}"),
            capacity_bytes: 1 << 40,
            free_bytes: 1 << 40,
        };
        Self::new((0..count).map(drive).collect())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DriveId, MemoryDrive>> {
        self.drives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, drive: DriveId, work: impl FnOnce(&mut MemoryDrive) -> T) -> T {
        work(
            self.lock()
                .get_mut(&drive)
                .expect("the test names a drive of this store"),
        )
    }

    /// Sets a drive's state. Its fragments stay.
    pub fn set_state(&self, drive: DriveId, state: DriveState, reason: &str) {
        self.with(drive, |drive| {
            drive.drive.state = state;
            drive.drive.reason = reason.to_owned();
        });
    }

    /// Sets what is wrong with a drive.
    pub fn set_faults(&self, drive: DriveId, faults: MemoryFaults) {
        self.with(drive, |drive| drive.faults = faults);
    }

    /// Sets the room that a drive says it has.
    pub fn set_free_bytes(&self, drive: DriveId, free_bytes: u64) {
        self.with(drive, |drive| drive.drive.free_bytes = free_bytes);
    }

    /// Adds a drive.
    pub fn add_drive(&self, drive: Drive) {
        let (faults, fragments, pending) = Default::default();
        self.lock().insert(
            drive.id,
            MemoryDrive {
                drive,
                faults,
                fragments,
                pending,
            },
        );
    }

    /// Rots a block: it no longer matches its checksum. `false` if it is not there.
    pub fn corrupt_block(&self, drive: DriveId, id: &FragmentId, block: u64) -> bool {
        self.with(drive, |drive| match drive.fragments.get_mut(id) {
            Some(fragment) if block < fragment.header.blocks() => fragment.bad.insert(block),
            _ => false,
        })
    }

    /// Takes a fragment away, as if it had never been written. `false` if it is not there.
    pub fn lose(&self, drive: DriveId, id: &FragmentId) -> bool {
        self.with(drive, |drive| drive.fragments.remove(id).is_some())
    }

    /// Takes all fragments of a drive away.
    pub fn wipe(&self, drive: DriveId) {
        self.with(drive, |drive| drive.fragments.clear());
    }

    fn open<T>(
        &self,
        id: DriveId,
        usable: impl FnOnce(DriveState) -> bool,
        work: impl FnOnce(&mut MemoryDrive) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let unavailable = |state, reason: &str| StoreError::Unavailable {
            drive: id,
            state,
            reason: reason.to_owned(),
        };
        match self.lock().get_mut(&id) {
            None => Err(unavailable(
                DriveState::Missing,
                "it is not a drive of this node",
            )),
            Some(drive) if !usable(drive.drive.state) => {
                Err(unavailable(drive.drive.state, &drive.drive.reason))
            }
            Some(drive) => work(drive),
        }
    }

    async fn pause(&self, drive: DriveId, delay: impl FnOnce(&MemoryFaults) -> Duration) {
        let delay = self
            .lock()
            .get(&drive)
            .map_or(Duration::ZERO, |drive| delay(&drive.faults));
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
    }
}

impl MemoryDrive {
    fn io(&self) -> StoreError {
        let source = Arc::new(io::Error::other("a fault that the test switched on"));
        StoreError::Io {
            drive: self.drive.id,
            source,
        }
    }

    fn count_write(&mut self) -> Result<(), StoreError> {
        match &mut self.faults.writes_fail_after {
            Some(0) => Err(self.io()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn find(&self, id: &FragmentId) -> Result<&Fragment, StoreError> {
        if self.faults.reads_fail {
            return Err(self.io());
        }
        let not_found = || StoreError::NotFound {
            drive: self.drive.id,
            id: id.clone(),
        };
        self.fragments.get(id).ok_or_else(not_found)
    }
}

fn online(state: DriveState) -> bool {
    state == DriveState::Online
}

struct MemoryWriter {
    store: MemoryStore,
    drive: DriveId,
    header: FragmentHeader,
    blocks: Vec<Bytes>,
}

#[async_trait]
impl FragmentWriter for MemoryWriter {
    async fn write_block(&mut self, block: Bytes) -> Result<(), StoreError> {
        check_block(&self.header, self.blocks.len() as u64, &block)?;
        self.store
            .pause(self.drive, |faults| faults.write_delay)
            .await;
        self.store
            .open(self.drive, online, MemoryDrive::count_write)?;
        self.blocks.push(block);
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.blocks.len() as u64 != self.header.blocks() {
            return Err(StoreError::Contract(
                "commit before all blocks were written",
            ));
        }
        self.store
            .pause(self.drive, |faults| faults.write_delay)
            .await;
        let (header, blocks) = (self.header.clone(), std::mem::take(&mut self.blocks));
        self.store.open(self.drive, online, |drive| {
            drive.count_write()?;
            let fragment = Fragment {
                header: header.clone(),
                blocks,
                bad: BTreeSet::new(),
            };
            drive.fragments.insert(header.id, fragment);
            if drive.faults.lose_replies {
                Err(drive.io())
            } else {
                Ok(())
            }
        })
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        if let Some(drive) = self.store.lock().get_mut(&self.drive) {
            drive.pending.remove(&self.header.id);
        }
    }
}

#[async_trait]
impl FragmentStore for MemoryStore {
    async fn create(
        &self,
        drive: DriveId,
        header: FragmentHeader,
    ) -> Result<Box<dyn FragmentWriter>, StoreError> {
        if header.is_empty() {
            return Err(StoreError::Contract("a fragment without bytes"));
        }
        self.open(drive, online, |open| {
            let id = &header.id;
            if open.fragments.contains_key(id) || !open.pending.insert(id.clone()) {
                return Err(StoreError::Exists {
                    drive,
                    id: id.clone(),
                });
            }
            Ok(())
        })?;
        Ok(Box::new(MemoryWriter {
            store: self.clone(),
            drive,
            header,
            blocks: Vec::new(),
        }))
    }

    async fn read(
        &self,
        drive: DriveId,
        header: &FragmentHeader,
        first: u64,
        count: u64,
    ) -> Result<ReadBlocks, StoreError> {
        check_range(header, first, count)?;
        self.pause(drive, |faults| faults.read_delay).await;
        self.open(drive, DriveState::readable, |open| {
            let found = open.find(&header.id)?;
            if found.header != *header {
                let what = "it has another layout or length".to_owned();
                return Err(StoreError::Corrupt {
                    drive,
                    id: header.id.clone(),
                    what,
                    found: None,
                });
            }
            let block = |number: u64| {
                let good = !found.bad.contains(&number);
                good.then(|| found.blocks[number as usize].clone())
            };
            Ok(ReadBlocks {
                blocks: (first..first + count).map(block).collect(),
            })
        })
    }

    async fn stat(&self, drive: DriveId, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
        self.open(drive, DriveState::readable, |open| {
            Ok(open.find(id)?.header.clone())
        })
    }

    async fn delete(&self, drive: DriveId, id: &FragmentId) -> Result<Deleted, StoreError> {
        self.open(drive, DriveState::is_well, |open| {
            open.count_write()?;
            let found = open.fragments.remove(id).is_some();
            Ok(if found {
                Deleted::Removed
            } else {
                Deleted::Absent
            })
        })
    }

    async fn list(
        &self,
        drive: DriveId,
        after: Option<&FragmentId>,
        limit: usize,
    ) -> Result<Vec<FragmentId>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.open(drive, DriveState::readable, |open| {
            let ids = open.fragments.range((from, Bound::Unbounded)).take(limit);
            Ok(ids.map(|(id, _)| id.clone()).collect())
        })
    }

    fn drives(&self) -> Vec<Drive> {
        self.lock()
            .values()
            .map(|drive| drive.drive.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, Sample};

    #[tokio::test]
    async fn it_is_a_fragment_store() {
        conformance::all(&MemoryStore::with_drives(2, 2)).await;
    }

    #[tokio::test]
    async fn its_faults_are_what_they_say() {
        let store = MemoryStore::with_drives(1, 1);
        let drive = store.drives()[0].id;
        let sample = Sample::new("1+0/4096", 10_000, 1);
        sample.put(&store, drive).await.unwrap();
        assert!(store.corrupt_block(drive, &sample.header.id, 1));
        let read = store.read(drive, &sample.header, 0, 3).await.unwrap();
        let good = |number: usize| Some(sample.blocks[number].clone());
        assert_eq!(read.blocks, [good(0), None, good(2)]);

        store.set_faults(
            drive,
            MemoryFaults {
                writes_fail_after: Some(2),
                ..Default::default()
            },
        );
        let other = Sample::new("1+0/4096", 10_000, 2);
        assert!(matches!(
            other.put(&store, drive).await,
            Err(StoreError::Io { .. })
        ));
        store.set_faults(
            drive,
            MemoryFaults {
                lose_replies: true,
                ..Default::default()
            },
        );
        assert!(matches!(
            other.put(&store, drive).await,
            Err(StoreError::Io { .. })
        ));
        assert_eq!(other.read(&store, drive).await.unwrap(), other.whole());

        store.set_state(drive, DriveState::Faulty, "gone mad");
        let refused = other.read(&store, drive).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { reason, .. }) if reason == "gone mad")
        );
    }
}
