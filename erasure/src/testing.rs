//! A small fragment store for tests: in memory, with drives that can be made to fail.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_types::{
    Deleted, Drive, DriveId, DriveState, FragmentHeader, FragmentId, FragmentStore, FragmentWriter,
    ReadBlocks, Region, StoreError,
};

pub(crate) fn region() -> Region {
    Region::parse("here").unwrap()
}

/// A healthy drive on the given node of the given zone.
pub(crate) fn drive_in(zone: &str, node: &str) -> Drive {
    Drive {
        id: DriveId::generate(),
        region: region(),
        zone: zone.to_owned(),
        node: node.to_owned(),
        state: DriveState::Online,
        reason: String::new(),
        path: String::new(),
        capacity_bytes: 1 << 40,
        free_bytes: 1 << 39,
    }
}

/// What a drive is made to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Create,
    /// Block `n` and all after it.
    Write(u64),
    Commit,
    Read,
    /// Never answers a create, a write from block `n` on, a commit, a read.
    HangCreate,
    HangWrite(u64),
    HangCommit,
    HangRead,
    /// Answers reads after a while.
    SlowRead(Duration),
    /// Takes each block after a while.
    SlowWrite(Duration),
    /// Commits after a while.
    SlowCommit(Duration),
}

type Fragments = BTreeMap<FragmentId, (FragmentHeader, Vec<Option<Bytes>>)>;

#[derive(Default)]
struct Inner {
    drives: Mutex<Vec<Drive>>,
    fragments: Mutex<HashMap<DriveId, Fragments>>,
    faults: Mutex<HashMap<DriveId, Vec<Fault>>>,
    reads: Mutex<Vec<(DriveId, u8, u64, u64)>>,
    /// Blocks that writers have taken and not let go of.
    held_blocks: AtomicUsize,
    writers: AtomicUsize,
    write_delay_ms: AtomicU64,
}

#[derive(Clone, Default)]
pub(crate) struct TestStore(Arc<Inner>);

impl TestStore {
    pub(crate) fn new(drives: Vec<Drive>) -> Self {
        let store = Self::default();
        *store.0.drives.lock().unwrap() = drives;
        store
    }

    /// `count` drives, each on a node and in a zone of its own.
    pub(crate) fn with_drives(count: usize) -> Self {
        let names = (0..count).map(|n| n.to_string());
        Self::new(names.map(|name| drive_in(&name, &name)).collect())
    }

    pub(crate) fn fault(&self, drive: DriveId, fault: Fault) {
        self.0
            .faults
            .lock()
            .unwrap()
            .entry(drive)
            .or_default()
            .push(fault);
    }

    pub(crate) fn heal(&self) {
        self.0.faults.lock().unwrap().clear();
    }

    pub(crate) fn slow_writes(&self, delay: Duration) {
        self.0
            .write_delay_ms
            .store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    pub(crate) fn set_state(&self, drive: DriveId, state: DriveState) {
        let mut drives = self.0.drives.lock().unwrap();
        drives
            .iter_mut()
            .find(|found| found.id == drive)
            .unwrap()
            .state = state;
    }

    /// Loses one fragment.
    pub(crate) fn lose(&self, drive: DriveId, id: &FragmentId) {
        self.0
            .fragments
            .lock()
            .unwrap()
            .get_mut(&drive)
            .unwrap()
            .remove(id)
            .unwrap();
    }

    /// Makes one block rotten: its checksum would not match.
    pub(crate) fn rot(&self, drive: DriveId, id: &FragmentId, block: usize) {
        let mut fragments = self.0.fragments.lock().unwrap();
        fragments.get_mut(&drive).unwrap().get_mut(id).unwrap().1[block] = None;
    }

    /// All that is visible on all drives.
    pub(crate) fn fragment_count(&self) -> usize {
        self.0
            .fragments
            .lock()
            .unwrap()
            .values()
            .map(BTreeMap::len)
            .sum()
    }

    pub(crate) fn has(&self, drive: DriveId, id: &FragmentId) -> bool {
        self.0
            .fragments
            .lock()
            .unwrap()
            .get(&drive)
            .is_some_and(|found| found.contains_key(id))
    }

    pub(crate) fn block(&self, drive: DriveId, id: &FragmentId, block: usize) -> Option<Bytes> {
        self.0.fragments.lock().unwrap()[&drive][id].1[block].clone()
    }

    /// The reads since the last time: drive, fragment, first block, count.
    pub(crate) fn take_reads(&self) -> Vec<(DriveId, u8, u64, u64)> {
        std::mem::take(&mut self.0.reads.lock().unwrap())
    }

    pub(crate) fn open_writers(&self) -> usize {
        self.0.writers.load(Ordering::SeqCst)
    }

    pub(crate) fn held_blocks(&self) -> usize {
        self.0.held_blocks.load(Ordering::SeqCst)
    }

    fn faults(&self, drive: DriveId) -> Vec<Fault> {
        self.0
            .faults
            .lock()
            .unwrap()
            .get(&drive)
            .cloned()
            .unwrap_or_default()
    }
}

fn io(drive: DriveId) -> StoreError {
    StoreError::Io {
        drive,
        source: Arc::new(std::io::Error::other("injected")),
    }
}

struct TestWriter {
    store: TestStore,
    drive: DriveId,
    header: FragmentHeader,
    blocks: Vec<Option<Bytes>>,
}

impl Drop for TestWriter {
    fn drop(&mut self) {
        self.store.0.writers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl FragmentWriter for TestWriter {
    async fn write_block(&mut self, block: Bytes) -> Result<(), StoreError> {
        let at = self.blocks.len() as u64;
        assert_eq!(
            block.len(),
            self.header.block_len(at) as usize,
            "block {at}"
        );
        self.store.0.held_blocks.fetch_add(1, Ordering::SeqCst);
        let held = Held(&self.store.0.held_blocks);
        for fault in self.store.faults(self.drive) {
            match fault {
                Fault::Write(from) if at >= from => return Err(io(self.drive)),
                Fault::HangWrite(from) if at >= from => std::future::pending().await,
                Fault::SlowWrite(delay) => tokio::time::sleep(delay).await,
                _ => {}
            }
        }
        let delay = self.store.0.write_delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        // A copy, as a drive would have: what is held is only what is still being written.
        self.blocks.push(Some(Bytes::copy_from_slice(&block)));
        drop(held);
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        for fault in self.store.faults(self.drive) {
            match fault {
                Fault::Commit => return Err(io(self.drive)),
                Fault::HangCommit => std::future::pending().await,
                Fault::SlowCommit(delay) => tokio::time::sleep(delay).await,
                _ => {}
            }
        }
        assert_eq!(
            self.blocks.len() as u64,
            self.header.blocks(),
            "all blocks before the commit"
        );
        let mut fragments = self.store.0.fragments.lock().unwrap();
        let blocks = std::mem::take(&mut self.blocks);
        let header = self.header.clone();
        let on_drive = fragments.entry(self.drive).or_default();
        match on_drive.insert(header.id.clone(), (header.clone(), blocks)) {
            None => Ok(()),
            Some(_) => Err(StoreError::Exists {
                drive: self.drive,
                id: header.id,
            }),
        }
    }
}

struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl FragmentStore for TestStore {
    async fn create(
        &self,
        drive: DriveId,
        header: FragmentHeader,
    ) -> Result<Box<dyn FragmentWriter>, StoreError> {
        for fault in self.faults(drive) {
            match fault {
                Fault::Create => return Err(io(drive)),
                Fault::HangCreate => std::future::pending().await,
                _ => {}
            }
        }
        if self.has(drive, &header.id) {
            return Err(StoreError::Exists {
                drive,
                id: header.id,
            });
        }
        self.0.writers.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(TestWriter {
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
        self.0
            .reads
            .lock()
            .unwrap()
            .push((drive, header.id.index.0, first, count));
        for fault in self.faults(drive) {
            match fault {
                Fault::Read => return Err(io(drive)),
                Fault::HangRead => std::future::pending().await,
                Fault::SlowRead(delay) => tokio::time::sleep(delay).await,
                _ => {}
            }
        }
        let fragments = self.0.fragments.lock().unwrap();
        let Some((found, blocks)) = fragments
            .get(&drive)
            .and_then(|drive| drive.get(&header.id))
        else {
            return Err(StoreError::NotFound {
                drive,
                id: header.id.clone(),
            });
        };
        assert_eq!(found, header);
        Ok(ReadBlocks {
            blocks: blocks[first as usize..(first + count) as usize].to_vec(),
        })
    }

    async fn stat(&self, drive: DriveId, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
        let fragments = self.0.fragments.lock().unwrap();
        let found = fragments.get(&drive).and_then(|drive| drive.get(id));
        found
            .map(|found| found.0.clone())
            .ok_or_else(|| StoreError::NotFound {
                drive,
                id: id.clone(),
            })
    }

    async fn delete(&self, drive: DriveId, id: &FragmentId) -> Result<Deleted, StoreError> {
        if self.faults(drive).contains(&Fault::Read) {
            return Err(io(drive));
        }
        let mut fragments = self.0.fragments.lock().unwrap();
        match fragments.entry(drive).or_default().remove(id) {
            Some(_) => Ok(Deleted::Removed),
            None => Ok(Deleted::Absent),
        }
    }

    async fn list(
        &self,
        drive: DriveId,
        after: Option<&FragmentId>,
        limit: usize,
    ) -> Result<Vec<FragmentId>, StoreError> {
        let fragments = self.0.fragments.lock().unwrap();
        let ids = fragments.get(&drive).into_iter().flat_map(BTreeMap::keys);
        Ok(ids
            .filter(|id| after.is_none_or(|after| *id > after))
            .take(limit)
            .cloned()
            .collect())
    }

    fn drives(&self) -> Vec<Drive> {
        self.0.drives.lock().unwrap().clone()
    }
}
