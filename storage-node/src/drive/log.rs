//! The log of small fragments: one thread that appends what all writers wait for, with one sync.
//!
//! A batch begins on a new page, is written in one go, synced once, and only then becomes visible
//! and acknowledged. A page that was synced with a record is never written again: the last page of
//! a batch is padded. The thread is the only one that changes segments, so that puts, tombstones
//! and compaction are always in one order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{Deleted, FragmentHeader, FragmentId, StoreError};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::compact::Compaction;
use super::index::{Packed, Reservation, Slot};
use super::scan::{Grave, Segment};
use super::{Core, SEGMENTS};
use crate::checksum::BlockChecksum;
use crate::disk::{DiskFile, PAGE};
use crate::failure::{Context, Failure, Op};
use crate::format::segment::{self, Place, Position, SegmentHead, Tombstone};
use crate::staged::{PublishError, Staged};

/// How many writers can wait before the next one waits for a place in the queue.
const QUEUE: usize = 256;
/// A batch takes no more after this many bytes: it bounds the buffer and the wait of the first.
const BATCH_BYTES: usize = 2 << 20;

/// A fragment to be put into the log.
pub(super) struct PutJob {
    pub(super) header: FragmentHeader,
    pub(super) blocks: Vec<Bytes>,
    pub(super) reservation: Reservation,
}

/// What the log's thread is asked for.
pub(super) enum Job {
    Put(PutJob, oneshot::Sender<Result<(), StoreError>>),
    Delete(FragmentId, oneshot::Sender<Result<Deleted, StoreError>>),
}

impl Job {
    fn refuse(self, error: StoreError) {
        // Whoever waited may be gone: then nobody needs the answer.
        match self {
            Self::Put(put, done) => {
                // The identity is free before the caller is told, who may try again at once.
                drop(put);
                drop(done.send(Err(error)));
            }
            Self::Delete(_, done) => drop(done.send(Err(error))),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Put(put, _) => put.header.len() as usize,
            Self::Delete(..) => PAGE,
        }
    }
}

/// The log's thread; it ends when this and all senders are dropped.
pub(super) struct Log {
    sender: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    pub(super) fn start(
        core: Arc<Core>,
        segments: BTreeMap<u64, Segment>,
    ) -> Result<Self, std::io::Error> {
        let (sender, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name(format!("log-{:.8}", core.id.to_string()))
            .spawn(move || Appender::new(core, segments).run(jobs))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    pub(super) fn sender(&self) -> mpsc::Sender<Job> {
        self.sender
            .clone()
            .expect("it is taken only when the log is dropped")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Small writers keep the channel open for as long as they live: then the thread is not
        // waited for, and can change nothing, since its core is retired. Else it ends at once, and
        // with it the last hold on the drive's folder.
        let alone = self
            .sender
            .take()
            .is_some_and(|sender| sender.strong_count() == 1);
        if let Some(thread) = self.thread.take().filter(|_| alone) {
            // A panic in it was shown when it happened.
            let _ = thread.join();
        }
    }
}

/// The segment that is appended to.
pub(super) struct Active {
    pub(super) segment: u64,
    pub(super) generation: u64,
    file: Arc<dyn DiskFile>,
    path: String,
    /// Where the next batch begins: all before is durable.
    pub(super) tail: u64,
}

/// The thread's own state.
pub(super) struct Appender {
    pub(super) core: Arc<Core>,
    /// All segments that there are, the active one included.
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) active: Option<Active>,
    pub(super) compaction: Option<Compaction>,
    /// Something died or was sealed since a victim was looked for.
    pub(super) look_for_victims: bool,
    next_segment: u64,
    pub(super) buffer: Vec<u8>,
}

/// What becomes visible when the batch is durable.
enum Effect {
    Put {
        put: PutJob,
        packed: Packed,
        done: Option<oneshot::Sender<Result<(), StoreError>>>,
    },
    Bury {
        grave: Option<Buried>,
        done: Option<oneshot::Sender<Result<Deleted, StoreError>>>,
    },
}

struct Buried {
    id: FragmentId,
    was: Packed,
    grave: Grave,
}

impl Appender {
    fn new(core: Arc<Core>, segments: BTreeMap<u64, Segment>) -> Self {
        // Never append to a segment of an earlier life: its last page may be torn.
        let next_segment = segments.keys().next_back().map_or(1, |last| last + 1);
        Self {
            core,
            segments,
            active: None,
            compaction: None,
            look_for_victims: true,
            next_segment,
            buffer: Vec::new(),
        }
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let first = if self.has_compaction_to_do() {
                match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::error::TryRecvError::Empty) => None,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            } else {
                match jobs.blocking_recv() {
                    Some(job) => Some(job),
                    None => return,
                }
            };
            if let Some(first) = first {
                self.serve(first, &mut jobs);
            }
            self.compact();
        }
    }

    /// Serves `first` and all who wait with it.
    fn serve(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) {
        let mut len = first.len();
        let mut batch = vec![first];
        while len < BATCH_BYTES {
            let Ok(job) = jobs.try_recv() else { break };
            len += job.len();
            batch.push(job);
        }
        self.core.counters.shared_syncs.add(batch.len() as u64 - 1);
        let core = Arc::clone(&self.core);
        let _gate = match core.enter() {
            Ok(gate) => gate,
            Err(error) => return batch.into_iter().for_each(|job| job.refuse(error.clone())),
        };
        if let Some(effects) = self.prepare(batch) {
            self.append_batch(effects);
        }
    }

    /// Refuses what can't be, and puts the rest into the buffer.
    fn prepare(&mut self, batch: Vec<Job>) -> Option<Vec<Effect>> {
        self.buffer.clear();
        let mut admitted = Vec::with_capacity(batch.len());
        for job in batch {
            match self.admit(&job) {
                Ok(()) => admitted.push(job),
                Err(error) => job.refuse(error),
            }
        }
        if admitted.is_empty() {
            return None;
        }
        if let Err(error) = self.ensure_active() {
            admitted
                .into_iter()
                .for_each(|job| job.refuse(error.clone()));
            return None;
        }
        let mut buried = HashSet::new();
        Some(
            admitted
                .into_iter()
                .map(|job| self.encode(job, &mut buried))
                .collect(),
        )
    }

    fn admit(&self, job: &Job) -> Result<(), StoreError> {
        match job {
            Job::Put(put, _) => {
                self.core.health.check_writable()?;
                self.core.check_room(put.header.len())
            }
            Job::Delete(..) => self.core.health.check_deletable(),
        }
    }

    fn encode(&mut self, job: Job, buried: &mut HashSet<FragmentId>) -> Effect {
        match job {
            Job::Put(put, done) => {
                let checksum = BlockChecksum::new(&put.header.id);
                let table: Vec<u64> = (0..)
                    .zip(&put.blocks)
                    .map(|(number, block)| checksum.of(number, block))
                    .collect();
                let place = self.next_place();
                let pieces = put.blocks.iter().map(|block| &block[..]);
                let start = self.buffer.len();
                segment::encode_put(&mut self.buffer, place, &put.header, &table, pieces);
                let len = (self.buffer.len() - start) as u32;
                let packed = Packed {
                    at: place.at,
                    len,
                    oldest: place.at.segment,
                };
                Effect::Put {
                    put,
                    packed,
                    done: Some(done),
                }
            }
            Job::Delete(id, done) => {
                // A second removal in one batch waits with the first and finds nothing.
                let was = self
                    .core
                    .index
                    .packed(&id)
                    .filter(|_| buried.insert(id.clone()));
                let grave = was.map(|was| self.bury(id, was));
                Effect::Bury {
                    grave,
                    done: Some(done),
                }
            }
        }
    }

    fn bury(&mut self, id: FragmentId, was: Packed) -> Buried {
        let place = self.next_place();
        let (oldest, newest) = (was.oldest, was.at.segment);
        let tombstone = Tombstone {
            id: id.clone(),
            horizon: place.at,
            oldest,
            newest,
        };
        let grave = self.add_tombstone(place, &tombstone);
        Buried { id, was, grave }
    }

    /// Puts a tombstone into the buffer.
    pub(super) fn add_tombstone(&mut self, place: Place, tombstone: &Tombstone) -> Grave {
        let start = self.buffer.len();
        segment::encode_tombstone(&mut self.buffer, place, tombstone);
        let len = (self.buffer.len() - start) as u32;
        Grave {
            oldest: tombstone.oldest,
            newest: tombstone.newest,
            len,
        }
    }

    /// Where the next record of the buffer will be.
    pub(super) fn next_place(&self) -> Place {
        let active = self
            .active
            .as_ref()
            .expect("a batch is made only for an active segment");
        let offset = active.tail + self.buffer.len() as u64;
        Place {
            at: Position {
                segment: active.segment,
                offset,
            },
            generation: active.generation,
            synced_to: active.tail,
        }
    }

    /// Writes the buffer, makes it durable, and lets its effects be seen.
    fn append_batch(&mut self, mut effects: Vec<Effect>) {
        match self.append(|| acknowledge_early(&mut effects)) {
            Ok(()) => effects.into_iter().for_each(|effect| self.apply(effect)),
            Err(error) => effects
                .into_iter()
                .for_each(|effect| effect.fail(error.clone())),
        }
    }

    /// Appends the buffer to the active segment, durably. After an error nothing of it counts.
    pub(super) fn append(&mut self, before_sync: impl FnOnce()) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.buffer
            .resize(self.buffer.len().next_multiple_of(PAGE), 0);
        let active = self
            .active
            .as_mut()
            .expect("a batch is made only for an active segment");
        if let Err(error) = active.file.write_at(&self.buffer, active.tail) {
            let failure = Failure {
                op: Op::Write,
                path: active.path.clone(),
                source: error,
            };
            let error = self.core.fail(failure);
            self.take_back();
            return Err(error);
        }
        before_sync();
        if let Err(failure) = self.core.tree.sync_file(&*active.file, &active.path) {
            // The drive takes no more writes: the segment is not written again.
            return Err(self.core.fail(failure));
        }
        active.tail += self.buffer.len() as u64;
        self.core
            .counters
            .written_bytes
            .add(self.buffer.len() as u64);
        if let Some(segment) = self.segments.get_mut(&active.segment) {
            segment.len = active.tail;
        }
        Ok(())
    }

    /// After a write that failed half-way (no room): nothing of it may be found by a later scan,
    /// or a fragment that was refused, and then removed for good measure, could come back.
    fn take_back(&mut self) {
        let Some(active) = &self.active else { return };
        let cut = active
            .file
            .truncate(active.tail)
            .during(Op::Truncate, &active.path)
            .and_then(|()| self.core.tree.sync_file(&*active.file, &active.path));
        if let Err(failure) = cut {
            self.core.health.note(&failure, &self.core.counters);
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Put { put, packed, done } => {
                if let Some(segment) = self.segments.get_mut(&packed.at.segment) {
                    segment.add_live(packed.len);
                }
                self.core
                    .index
                    .insert(put.header.id.clone(), Slot::Packed(packed));
                drop(put.reservation);
                self.core.counters.commits.one();
                let _ = done.map(|done| done.send(Ok(())));
            }
            Effect::Bury { grave: None, done } => {
                let _ = done.map(|done| done.send(Ok(Deleted::Absent)));
            }
            Effect::Bury {
                grave: Some(buried),
                done,
            } => {
                self.core.index.remove(&buried.id);
                self.look_for_victims = true;
                if let Some(segment) = self.segments.get_mut(&buried.was.at.segment) {
                    segment.remove_live(buried.was.len);
                }
                if let Some(active) = &self.active
                    && let Some(segment) = self.segments.get_mut(&active.segment)
                {
                    segment.add_grave(buried.grave);
                }
                self.core.counters.deletes.one();
                let _ = done.map(|done| done.send(Ok(Deleted::Removed)));
            }
        }
    }

    /// Makes sure that there is a segment with room to append to.
    pub(super) fn ensure_active(&mut self) -> Result<(), StoreError> {
        let full = |active: &Active| active.tail >= self.core.config.segment_bytes;
        if self.active.as_ref().is_some_and(|active| !full(active)) {
            return Ok(());
        }
        self.active = None;
        self.look_for_victims = true;
        let number = self.next_segment;
        let generation = Uuid::new_v4().as_u64_pair().0;
        let active = self
            .make_segment(number, generation)
            .map_err(|error| match error {
                PublishError::Failed(failure) => self.core.fail(failure),
                PublishError::Exists => {
                    let path = segment::file_name(number);
                    let source = std::io::ErrorKind::AlreadyExists.into();
                    self.core.fail(Failure {
                        op: Op::Rename,
                        path,
                        source,
                    })
                }
            });
        // A number is never used twice, not even one whose segment did not come to be.
        self.next_segment += 1;
        let active = active?;
        self.segments
            .insert(number, Segment::new(active.tail, Some(generation)));
        self.active = Some(active);
        Ok(())
    }

    fn make_segment(&self, number: u64, generation: u64) -> Result<Active, PublishError> {
        let name = segment::file_name(number);
        let head = segment::encode_head(SegmentHead {
            drive: self.core.id,
            segment: number,
            generation,
        });
        let staged = Staged::create(&self.core.tree, &name)?;
        staged.write(&head, 0)?;
        let file = staged.publish(SEGMENTS, &name)?;
        let path = format!("{SEGMENTS}/{name}");
        Ok(Active {
            segment: number,
            generation,
            file,
            path,
            tail: head.len() as u64,
        })
    }
}

impl Effect {
    fn fail(self, error: StoreError) {
        match self {
            Self::Put { put, done, .. } => {
                drop(put);
                drop(done.map(|done| done.send(Err(error))));
            }
            Self::Bury { done, .. } => drop(done.map(|done| done.send(Err(error)))),
        }
    }
}

/// The mutant that answers before the sync.
fn acknowledge_early(effects: &mut [Effect]) {
    if !mutant::active(Mutant::AckBeforeFsync) {
        return;
    }
    for effect in effects {
        match effect {
            Effect::Put { done, .. } => drop(done.take().map(|done| done.send(Ok(())))),
            Effect::Bury { grave, done } => {
                let found = if grave.is_some() {
                    Deleted::Removed
                } else {
                    Deleted::Absent
                };
                drop(done.take().map(|done| done.send(Ok(found))));
            }
        }
    }
}
