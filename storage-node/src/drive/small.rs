//! Small fragments: records in the drive's log.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{Deleted, FragmentHeader, FragmentId, FragmentWriter, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::blocks::{Source, check_block};
use super::index::{Packed, Reservation};
use super::log::{Job, PutJob};
use super::{Core, SEGMENTS, stopped};
use crate::checksum;
use crate::disk::DiskFile;
use crate::failure::{Context, Op};
use crate::format::segment::{self, Body, MAX_RECORD_HEAD, Record, put_head_len};

/// How often a read looks again for a record that compaction moved meanwhile.
const LOOKS: usize = 8;

/// A fragment that is collected in memory (it is small) and handed to the log as a whole.
pub(super) struct SmallWriter {
    core: Arc<Core>,
    log: mpsc::Sender<Job>,
    put: PutJob,
}

impl SmallWriter {
    pub(super) fn new(
        core: Arc<Core>,
        log: mpsc::Sender<Job>,
        header: FragmentHeader,
        reservation: Reservation,
    ) -> Self {
        let blocks = Vec::with_capacity(header.blocks() as usize);
        Self {
            core,
            log,
            put: PutJob {
                header,
                blocks,
                reservation,
            },
        }
    }
}

#[async_trait]
impl FragmentWriter for SmallWriter {
    async fn write_block(&mut self, block: Bytes) -> Result<(), StoreError> {
        check_block(&self.put.header, self.put.blocks.len() as u64, &block)?;
        self.put.blocks.push(block);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { core, log, put } = *self;
        if put.blocks.len() as u64 != put.header.blocks() {
            return Err(StoreError::Contract(
                "commit before all blocks were written",
            ));
        }
        let (done, answer) = oneshot::channel();
        log.send(Job::Put(put, done))
            .await
            .map_err(|_| stopped(core.id))?;
        answer.await.unwrap_or_else(|_| Err(stopped(core.id)))
    }
}

pub(super) async fn delete(
    core: &Core,
    log: mpsc::Sender<Job>,
    id: &FragmentId,
) -> Result<Deleted, StoreError> {
    let (done, answer) = oneshot::channel();
    log.send(Job::Delete(id.clone(), done))
        .await
        .map_err(|_| stopped(core.id))?;
    answer.await.unwrap_or_else(|_| Err(stopped(core.id)))
}

/// An opened segment and the record in it.
struct Opened {
    file: Arc<dyn DiskFile>,
    path: String,
    packed: Packed,
}

/// Opens the segment that holds `id`. A compaction may move the record and remove the segment
/// between the look and the open: then the index knows the new place.
fn open(core: &Core, id: &FragmentId) -> Result<Opened, StoreError> {
    let mut gone = None;
    for _ in 0..LOOKS {
        let Some(packed) = core.index.packed(id) else {
            return Err(core.not_found(id));
        };
        let path = format!("{SEGMENTS}/{}", segment::file_name(packed.at.segment));
        match core.tree.volume.open(&path) {
            Ok(file) => return Ok(Opened { file, path, packed }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => gone = Some(()),
            Err(error) => {
                return Err(core.fail(crate::failure::Failure {
                    op: Op::Open,
                    path,
                    source: error,
                }));
            }
        }
    }
    debug_assert!(
        gone.is_some(),
        "only a vanished segment makes it look again"
    );
    core.check_in_place()?;
    Err(core.not_found(id))
}

fn read_record(
    core: &Core,
    id: &FragmentId,
    head_len: usize,
) -> Result<(Opened, Record), StoreError> {
    let opened = open(core, id)?;
    let len = head_len.min(opened.packed.len as usize);
    let mut head = vec![0; len];
    let count = opened
        .file
        .read_at(&mut head, opened.packed.at.offset)
        .during(Op::Read, &opened.path)
        .map_err(|failure| core.fail(failure))?;
    let record = segment::decode_record(&head[..count], opened.packed.at, None)
        .ok_or_else(|| core.corrupt(id, "its record in the segment is damaged"))?;
    Ok((opened, record))
}

pub(super) fn read(
    core: &Core,
    header: &FragmentHeader,
    first: u64,
    count: u64,
) -> Result<Vec<Option<Bytes>>, StoreError> {
    let (opened, record) = read_record(core, &header.id, put_head_len(header.blocks()))?;
    let Body::Put {
        header: found,
        table,
    } = &record.body
    else {
        return Err(core.corrupt(&header.id, "its record in the segment is a tombstone"));
    };
    if !checksum::is_same(found, header) {
        return Err(core.another(&header.id, "record", found));
    }
    let Some(table) = table.get(first as usize..(first + count) as usize) else {
        return Err(StoreError::Contract(
            "blocks that the fragment does not have",
        ));
    };
    let data_at = opened.packed.at.offset + record.head_len as u64;
    let source = Source {
        file: &*opened.file,
        path: &opened.path,
        data_at,
        header: found,
    };
    source
        .read(core, first, table)
        .map_err(|failure| failure.into_store_error(core.id))
}

pub(super) fn stat(core: &Core, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
    let (_, record) = read_record(core, id, MAX_RECORD_HEAD)?;
    match record.body {
        Body::Put { header, .. } if header.id == *id || mutant::active(Mutant::SkipIdentity) => {
            Ok(header)
        }
        Body::Put { header, .. } => Err(core.another(id, "record", &header)),
        Body::Tombstone(_) => Err(core.corrupt(id, "its record in the segment is a tombstone")),
    }
}
