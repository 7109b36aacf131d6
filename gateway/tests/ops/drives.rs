//! Six drives in memory, which can be taken away, spoilt and stalled.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_types::{
    Deleted, Drive, DriveId, DriveState, FragmentHeader, FragmentId, FragmentStore, FragmentWriter,
    ReadBlocks, Region, StoreError,
};

type Fragments = BTreeMap<FragmentId, (FragmentHeader, Vec<Bytes>)>;

#[derive(Default)]
struct Inner {
    drives: Vec<Drive>,
    fragments: HashMap<DriveId, Fragments>,
    rotten: HashSet<DriveId>,
    blocks_read: u64,
}

/// The drives. Clones are the same drives.
#[derive(Clone, Default)]
pub(crate) struct Drives(Arc<Mutex<Inner>>);

impl Drives {
    pub(crate) fn new(count: usize, region: &Region) -> Self {
        let drive = |n: usize| Drive {
            id: DriveId::generate(),
            region: region.clone(),
            zone: format!("zone-{n}"),
            node: format!("node-{n}"),
            state: DriveState::Online,
            reason: String::new(),
            path: String::new(),
            capacity_bytes: 1 << 40,
            free_bytes: 1 << 39,
        };
        let drives = Self::default();
        drives.0.lock().unwrap().drives = (0..count).map(drive).collect();
        drives
    }

    /// Takes the drive at this place away, or brings it back.
    pub(crate) fn set_state(&self, at: usize, state: DriveState) {
        self.0.lock().unwrap().drives[at].state = state;
    }

    /// Makes every block on the drive at this place rotten.
    pub(crate) fn rot(&self, at: usize) {
        let mut inner = self.0.lock().unwrap();
        let id = inner.drives[at].id;
        inner.rotten.insert(id);
    }

    /// Wipes the drive at this place.
    pub(crate) fn wipe(&self, at: usize) {
        let mut inner = self.0.lock().unwrap();
        let id = inner.drives[at].id;
        inner.fragments.remove(&id);
    }

    /// The fragments on all drives.
    pub(crate) fn fragment_count(&self) -> usize {
        self.0
            .lock()
            .unwrap()
            .fragments
            .values()
            .map(BTreeMap::len)
            .sum()
    }

    /// Whether these bytes lie in a block of any drive.
    pub(crate) fn hold(&self, bytes: &[u8]) -> bool {
        let inner = self.0.lock().unwrap();
        let mut blocks = inner
            .fragments
            .values()
            .flat_map(BTreeMap::values)
            .flat_map(|(_, blocks)| blocks);
        blocks.any(|block| block.windows(bytes.len()).any(|window| window == bytes))
    }

    /// How many blocks were read since the last time.
    pub(crate) fn take_blocks_read(&self) -> u64 {
        std::mem::take(&mut self.0.lock().unwrap().blocks_read)
    }
}

impl Inner {
    fn check(&self, drive: DriveId, writes: bool) -> Result<(), StoreError> {
        let found = self.drives.iter().find(|found| found.id == drive);
        let state = found.map_or(DriveState::Missing, |found| found.state);
        if state == DriveState::Online || (!writes && state.readable()) {
            return Ok(());
        }
        Err(StoreError::Unavailable {
            drive,
            state,
            reason: "taken away".to_owned(),
        })
    }
}

struct Writer {
    drives: Drives,
    drive: DriveId,
    header: FragmentHeader,
    blocks: Vec<Bytes>,
}

#[async_trait]
impl FragmentWriter for Writer {
    async fn write_block(&mut self, block: Bytes) -> Result<(), StoreError> {
        self.drives.0.lock().unwrap().check(self.drive, true)?;
        assert_eq!(
            block.len(),
            self.header.block_len(self.blocks.len() as u64) as usize
        );
        self.blocks.push(block);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        assert_eq!(self.blocks.len() as u64, self.header.blocks());
        let mut inner = self.drives.0.lock().unwrap();
        inner.check(self.drive, true)?;
        let id = self.header.id.clone();
        let on_drive = inner.fragments.entry(self.drive).or_default();
        match on_drive.insert(id.clone(), (self.header, self.blocks)) {
            None => Ok(()),
            Some(_) => Err(StoreError::Exists {
                drive: self.drive,
                id,
            }),
        }
    }
}

#[async_trait]
impl FragmentStore for Drives {
    async fn create(
        &self,
        drive: DriveId,
        header: FragmentHeader,
    ) -> Result<Box<dyn FragmentWriter>, StoreError> {
        self.0.lock().unwrap().check(drive, true)?;
        Ok(Box::new(Writer {
            drives: self.clone(),
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
        let mut inner = self.0.lock().unwrap();
        inner.check(drive, false)?;
        inner.blocks_read += count;
        let rotten = inner.rotten.contains(&drive);
        let found = inner
            .fragments
            .get(&drive)
            .and_then(|on_drive| on_drive.get(&header.id));
        let Some((found, blocks)) = found else {
            return Err(StoreError::NotFound {
                drive,
                id: header.id.clone(),
            });
        };
        assert_eq!(found, header);
        let blocks = &blocks[first as usize..(first + count) as usize];
        Ok(ReadBlocks {
            blocks: blocks
                .iter()
                .map(|b| (!rotten).then(|| b.clone()))
                .collect(),
        })
    }

    async fn stat(&self, drive: DriveId, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
        let inner = self.0.lock().unwrap();
        inner.check(drive, false)?;
        let found = inner
            .fragments
            .get(&drive)
            .and_then(|on_drive| on_drive.get(id));
        found
            .map(|found| found.0.clone())
            .ok_or_else(|| StoreError::NotFound {
                drive,
                id: id.clone(),
            })
    }

    async fn delete(&self, drive: DriveId, id: &FragmentId) -> Result<Deleted, StoreError> {
        let mut inner = self.0.lock().unwrap();
        inner.check(drive, true)?;
        match inner.fragments.entry(drive).or_default().remove(id) {
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
        let inner = self.0.lock().unwrap();
        inner.check(drive, false)?;
        let ids = inner
            .fragments
            .get(&drive)
            .into_iter()
            .flat_map(BTreeMap::keys);
        Ok(ids
            .filter(|id| after.is_none_or(|after| *id > after))
            .take(limit)
            .cloned()
            .collect())
    }

    fn drives(&self) -> Vec<Drive> {
        self.0.lock().unwrap().drives.clone()
    }
}
