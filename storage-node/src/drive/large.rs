//! Large fragments: one file each.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{Deleted, FragmentHeader, FragmentId, FragmentWriter, StoreError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::blocks::{Source, check_block};
use super::index::{Reservation, Slot};
use super::{Core, FRAGMENTS, Lanes, on_thread, stopped};
use crate::checksum::{self, BlockChecksum};
use crate::disk::DiskFile;
use crate::failure::{Context, Op};
use crate::format::fragment_file::{self, ENTRY_LEN, Geometry, HEAD_LEN};
use crate::format::u64_at;
use crate::staged::{PublishError, Staged};

/// The folder of a fragment's file: by the last byte of the blob's id, which is random (the first
/// ones are the time, and would put all new files into one folder).
pub(super) fn folder(id: &FragmentId) -> String {
    format!("{FRAGMENTS}/{:02x}", id.blob.as_bytes()[15])
}

fn path(id: &FragmentId) -> String {
    format!("{}/{id}", folder(id))
}

/// A fragment that is being written: while one block goes to the disk the caller makes the next.
pub(super) struct LargeWriter {
    core: Arc<Core>,
    lanes: Lanes,
    header: FragmentHeader,
    next: u64,
    stage: Stage,
}

enum Stage {
    Ready(Box<Draft>),
    Writing(JoinHandle<Result<Box<Draft>, StoreError>>),
    Failed,
}

/// The staged file and what belongs to it. It goes to the thread that writes, and comes back.
struct Draft {
    staged: Staged,
    geometry: Geometry,
    checksum: BlockChecksum,
    table: Vec<u64>,
    _reservation: Reservation,
}

impl Draft {
    fn write(&mut self, block: &[u8]) -> Result<(), crate::failure::Failure> {
        let number = self.table.len() as u64;
        self.table.push(self.checksum.of(number, block));
        self.staged.write(block, self.geometry.block_at(number))
    }
}

impl LargeWriter {
    pub(super) async fn create(
        core: Arc<Core>,
        lanes: Lanes,
        header: FragmentHeader,
        reservation: Reservation,
    ) -> Result<Self, StoreError> {
        let (beginner, id, len) = (Arc::clone(&core), header.id.clone(), header.len());
        let staged = on_thread(core.id, &lanes.writes, move || {
            let core = beginner;
            let _gate = core.enter()?;
            core.check_room(len)?;
            Staged::create(&core.tree, &id.to_string()).map_err(|failure| core.fail(failure))
        })
        .await?;
        let draft = Draft {
            staged,
            geometry: Geometry::of(&header),
            checksum: BlockChecksum::new(&header.id),
            table: Vec::with_capacity(header.blocks() as usize),
            _reservation: reservation,
        };
        Ok(Self {
            core,
            lanes,
            header,
            next: 0,
            stage: Stage::Ready(Box::new(draft)),
        })
    }

    /// Waits for the block that is being written. If the caller goes away meanwhile, nothing is
    /// lost: the stage stays as it is.
    async fn settle(&mut self) -> Result<Box<Draft>, StoreError> {
        if let Stage::Writing(job) = &mut self.stage {
            let done = job.await.unwrap_or_else(|_| Err(stopped(self.core.id)));
            self.stage = match done {
                Ok(draft) => Stage::Ready(draft),
                Err(error) => {
                    self.stage = Stage::Failed;
                    return Err(error);
                }
            };
        }
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Ready(draft) => Ok(draft),
            _ => Err(StoreError::Contract("a writer that failed was used again")),
        }
    }
}

#[async_trait]
impl FragmentWriter for LargeWriter {
    async fn write_block(&mut self, block: Bytes) -> Result<(), StoreError> {
        check_block(&self.header, self.next, &block)?;
        let lane = Arc::clone(&self.lanes.writes);
        let permit = lane
            .acquire_owned()
            .await
            .map_err(|_| stopped(self.core.id))?;
        let mut draft = self.settle().await?;
        let core = Arc::clone(&self.core);
        self.next += 1;
        self.stage = Stage::Writing(tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match draft.write(&block) {
                Ok(()) => Ok(draft),
                Err(failure) => Err(core.fail(failure)),
            }
        }));
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.next != self.header.blocks() {
            return Err(StoreError::Contract(
                "commit before all blocks were written",
            ));
        }
        let lane = Arc::clone(&self.lanes.writes);
        let permit = lane
            .acquire_owned()
            .await
            .map_err(|_| stopped(self.core.id))?;
        let draft = self.settle().await?;
        let (core, header) = (Arc::clone(&self.core), self.header.clone());
        let (acknowledge, acknowledged) = oneshot::channel();
        // From here on it is done or cleaned up, whether or not the caller waits for it.
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut acknowledge = Some(acknowledge);
            let done = publish(&core, &header, *draft, &mut acknowledge);
            if let Some(acknowledge) = acknowledge {
                // The caller may be gone: then nobody needs the answer.
                let _ = acknowledge.send(done);
            }
        });
        acknowledged
            .await
            .unwrap_or_else(|_| Err(stopped(self.core.id)))
    }
}

impl Drop for LargeWriter {
    fn drop(&mut self) {
        // Removing a long file takes long: not on a thread that serves others.
        if let Stage::Ready(draft) = std::mem::replace(&mut self.stage, Stage::Failed)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(draft));
        }
    }
}

type Acknowledge = Option<oneshot::Sender<Result<(), StoreError>>>;

fn publish(
    core: &Core,
    header: &FragmentHeader,
    draft: Draft,
    acknowledge: &mut Acknowledge,
) -> Result<(), StoreError> {
    let _gate = core.enter()?;
    core.health.check_writable()?;
    let head = fragment_file::encode(header, &draft.table);
    draft
        .staged
        .write(&head, 0)
        .map_err(|failure| core.fail(failure))?;
    if mutant::active(Mutant::AckBeforeFsync)
        && let Some(acknowledge) = acknowledge.take()
    {
        let _ = acknowledge.send(Ok(()));
    }
    match draft
        .staged
        .publish(&folder(&header.id), &header.id.to_string())
    {
        Ok(_) => {
            core.index.insert(header.id.clone(), Slot::File);
            core.counters.commits.one();
            Ok(())
        }
        Err(PublishError::Exists) => Err(core.exists(&header.id)),
        Err(PublishError::Failed(failure)) => Err(core.fail(failure)),
    }
}

/// Opens a fragment's file; one that is gone without our doing may mean that the drive is.
fn open(core: &Core, id: &FragmentId, path: &str) -> Result<Arc<dyn DiskFile>, StoreError> {
    core.tree
        .volume
        .open(path)
        .during(Op::Open, path)
        .map_err(|failure| {
            if failure.kind() != io::ErrorKind::NotFound {
                return core.fail(failure);
            }
            match core.check_in_place() {
                Ok(()) => {
                    forget_vanished(core, id, path);
                    core.not_found(id)
                }
                Err(unavailable) => unavailable,
            }
        })
}

/// Takes a fragment whose file is gone from the index, so that it is listed no more and can be
/// written anew. While the index has it nobody can begin to write it, and under the lock nobody
/// can remove it either: what is not there now was taken away by someone else.
fn forget_vanished(core: &Core, id: &FragmentId, path: &str) {
    let _one_by_one = core.removal(id);
    let is_gone = core.index.get(id) == Some(Slot::File)
        && core
            .tree
            .volume
            .open(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        && core.check_in_place().is_ok();
    if is_gone {
        tracing::warn!(drive = %core.id, fragment = %id, "the fragment's file vanished");
        core.index.remove(id);
    }
}

/// Asks that the fragment be read from the device, not from memory.
pub(super) fn forget_cache(core: &Core, id: &FragmentId) {
    // If it can't be opened, the read that follows says why.
    if let Ok(file) = core.tree.volume.open(&path(id)) {
        file.forget_cache();
    }
}

/// Reads the header page and, in the same go, a page of the table.
fn read_head(
    core: &Core,
    id: &FragmentId,
    file: &dyn DiskFile,
    path: &str,
) -> Result<(FragmentHeader, Geometry, Vec<u8>), StoreError> {
    let mut head = vec![0; 2 * HEAD_LEN];
    let count = file
        .read_at(&mut head, 0)
        .during(Op::Read, path)
        .map_err(|failure| core.fail(failure))?;
    head.truncate(count);
    match fragment_file::decode(&head) {
        Ok((header, geometry)) => Ok((header, geometry, head)),
        Err(bad) => Err(core.corrupt(id, bad)),
    }
}

pub(super) fn read(
    core: &Core,
    header: &FragmentHeader,
    first: u64,
    count: u64,
) -> Result<Vec<Option<Bytes>>, StoreError> {
    let path = path(&header.id);
    let file = open(core, &header.id, &path)?;
    let (found, geometry, head) = read_head(core, &header.id, &*file, &path)?;
    if !checksum::is_same(&found, header) {
        return Err(core.another(&header.id, "file", &found));
    }
    if first + count > found.blocks() {
        return Err(StoreError::Contract(
            "blocks that the fragment does not have",
        ));
    }
    let from = geometry.entry_at(first) as usize;
    let len = count as usize * ENTRY_LEN;
    let entries = match head.get(from..from + len) {
        Some(entries) => entries.to_vec(),
        None => {
            let mut entries = vec![0; len];
            file.read_at(&mut entries, from as u64)
                .during(Op::Read, &path)
                .map_err(|failure| core.fail(failure))?;
            entries
        }
    };
    let table: Vec<u64> = (0..count as usize)
        .map(|at| u64_at(&entries, at * ENTRY_LEN))
        .collect();
    let data_at = geometry.block_at(0);
    let source = Source {
        file: &*file,
        path: &path,
        data_at,
        header: &found,
    };
    // Its failures were noted where they happened.
    source
        .read(core, first, &table)
        .map_err(|failure| failure.into_store_error(core.id))
}

pub(super) fn stat(core: &Core, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
    let path = path(id);
    let file = open(core, id, &path)?;
    let (found, _, _) = read_head(core, id, &*file, &path)?;
    if found.id != *id && !mutant::active(Mutant::SkipIdentity) {
        return Err(core.another(id, "file", &found));
    }
    Ok(found)
}

pub(super) fn delete(core: &Core, id: &FragmentId) -> Result<Deleted, StoreError> {
    // Held until the removal is durable: a second caller that finds nothing must be able to rely
    // on it.
    let _one_by_one = core.removal(id);
    let _gate = core.enter()?;
    core.health.check_deletable()?;
    if core.index.get(id) != Some(Slot::File) {
        return Ok(Deleted::Absent);
    }
    core.tree
        .remove(&folder(id), &id.to_string())
        .map_err(|failure| core.fail(failure))?;
    core.index.remove(id);
    core.counters.deletes.one();
    Ok(Deleted::Removed)
}
