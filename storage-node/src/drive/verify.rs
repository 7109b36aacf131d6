//! Reading a fragment for no other reason than to see whether it is still as it was written.
//!
//! A look reads one piece of a fragment, at most [`PIECE_BYTES`] (or one block, where that is
//! longer), through the same lane, checks and counters as any read. The pages are asked to be read
//! from the device: what rots there does not show in memory.

use std::sync::{Arc, PoisonError};

use holdfast_types::{DriveId, FragmentHeader, FragmentId, StoreError};

use super::health::{Health, is_the_disks_fault};
use super::index::Slot;
use super::{LocalDrive, large, on_thread};
use crate::disk::DiskFile;
use crate::failure::Failure;
use crate::format::segment;
use crate::scrub::ScrubProgress;
use crate::scrub::cursor::{self, Cursor, Stored};

/// Bytes that are read at once: a fraction of a tenth of a second of any disk.
const PIECE_BYTES: u64 = 1 << 20;

/// What a look at a piece of a fragment found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Looked {
    /// The piece is as it was written.
    Sound {
        /// Bytes that were read.
        bytes: u64,
        /// The block to go on from; `None`: that was the last.
        next: Option<u64>,
    },
    /// The drive has no such fragment.
    NotFound,
    /// A block or the header is not as it was written, or can't be read.
    Corrupt,
}

impl LocalDrive {
    pub(crate) const fn id(&self) -> DriveId {
        self.config.id
    }

    pub(crate) const fn scrub_period_ms(&self) -> u64 {
        self.store.scrub_period_seconds.saturating_mul(1000)
    }

    pub(crate) fn place(&self) -> String {
        self.path().display().to_string()
    }

    pub(crate) fn scrub_progress(&self) -> ScrubProgress {
        *self.scrub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_scrub_progress(&self, progress: ScrubProgress) {
        *self.scrub.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// How many fragments the drive has.
    pub(crate) fn fragment_count(&self) -> Result<u64, StoreError> {
        Ok(self.open_for(Health::check_readable)?.core.index.count())
    }

    /// Reads a piece of a fragment, from block `first` on.
    ///
    /// Errors: where nothing can be said, because the drive is away or the process is short of
    /// something.
    pub(crate) async fn look(&self, id: &FragmentId, first: u64) -> Result<Looked, StoreError> {
        let header = match self.stat(id).await {
            Ok(header) => header,
            Err(error) => return self.judge(error),
        };
        let count = piece(&header, first);
        match self.read(&header, first, count).await {
            Ok(read) if read.blocks.iter().any(Option::is_none) => Ok(Looked::Corrupt),
            Ok(read) => {
                let bytes = read.blocks.iter().flatten().map(|b| b.len() as u64).sum();
                self.counters.scrubbed_bytes.add(bytes);
                let next = first + count;
                Ok(Looked::Sound {
                    bytes,
                    next: (next < header.blocks()).then_some(next),
                })
            }
            Err(error) => self.judge(error),
        }
    }

    /// What a failed read says of the fragment, if it says anything.
    fn judge(&self, error: StoreError) -> Result<Looked, StoreError> {
        match &error {
            StoreError::NotFound { .. } => Ok(Looked::NotFound),
            StoreError::Corrupt { .. } => Ok(Looked::Corrupt),
            // The drive may have become faulty by it: then it is the drive that is bad.
            StoreError::Io { source, .. } if self.health.check_readable().is_ok() => {
                let failure = source.get_ref().and_then(|e| e.downcast_ref::<Failure>());
                match failure {
                    Some(failure) if is_the_disks_fault(failure) => Ok(Looked::Corrupt),
                    _ => Err(error),
                }
            }
            _ => Err(error),
        }
    }

    /// Counts a fragment whose last block was looked at, or that was found bad.
    pub(crate) fn count_looked(&self, found_bad: bool) {
        self.counters.scrubbed_fragments.one();
        if found_bad {
            self.counters.scrub_findings.one();
        }
    }

    /// Asks that a fragment's pages be read from the device. Small fragments follow each other in
    /// one segment: only when it is another than `segment` is that one asked for.
    pub(crate) async fn forget_cache(
        &self,
        id: &FragmentId,
        segment: Option<u64>,
    ) -> Result<Option<u64>, StoreError> {
        let core = Arc::clone(&self.open_for(Health::check_readable)?.core);
        let id = id.clone();
        on_thread(self.config.id, &self.lanes.reads, move || {
            match core.index.get(&id) {
                None => Ok(segment),
                Some(Slot::File) => {
                    large::forget_cache(&core, &id);
                    Ok(segment)
                }
                Some(Slot::Packed(packed)) => {
                    let number = packed.at.segment;
                    let path = format!("{}/{}", super::SEGMENTS, segment::file_name(number));
                    if segment != Some(number)
                        && let Ok(file) = core.tree.volume.open(&path)
                    {
                        DiskFile::forget_cache(&*file);
                    }
                    Ok(Some(number))
                }
            }
        })
        .await
    }

    /// Where the scrub was when it last said so; `None` where no (readable) note of it is left.
    pub(crate) async fn load_cursor(&self) -> Result<Stored, StoreError> {
        let core = Arc::clone(&self.open_for(Health::check_readable)?.core);
        on_thread(self.config.id, &self.lanes.reads, move || {
            cursor::load(&core.tree, core.id).map_err(|failure| core.fail(failure))
        })
        .await
    }

    /// Makes a cursor durable in the place of those in `stored`.
    pub(crate) async fn save_cursor(
        &self,
        cursor: Cursor,
        mut stored: Stored,
    ) -> Result<Stored, StoreError> {
        let core = Arc::clone(&self.open_for(Health::check_deletable)?.core);
        on_thread(self.config.id, &self.lanes.writes, move || {
            let _gate = core.enter()?;
            core.health.check_deletable()?;
            cursor::save(&core.tree, core.id, cursor, &mut stored)
                .map_err(|failure| core.fail(failure))?;
            Ok(stored)
        })
        .await
    }
}

fn piece(header: &FragmentHeader, first: u64) -> u64 {
    let at_once = (PIECE_BYTES / u64::from(header.layout.block_len()).max(1)).max(1);
    at_once.min(header.blocks().saturating_sub(first))
}
