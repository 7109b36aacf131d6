//! A get: the blocks that a range needs, in order, each verified before a byte of it is sent.
//!
//! Stripes are read in runs, and a few runs ahead of what the reader has taken; each run is a task
//! of its own, so reading goes on while the client is being sent to. The first run is one stripe,
//! and its first block is sent without waiting for the others. See `run.rs` for what happens to
//! blocks that can't be had.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use holdfast_types::Layout;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::blobs::Blobs;
use crate::budget::{Busy, Share};
use crate::failure::{FragmentFailure, Reasons};
use crate::location::{BlobLocation, MalformedPlacement};
use crate::reading::{Reading, Unavailable, Wanted};
use crate::run::Run;

/// Runs that are read at once: the one that is being sent and those that will be next.
const RUNS_AHEAD: usize = 3;

/// Data bytes of a run, where blocks are small: a call to a drive costs as much as 100 KiB of it.
const RUN_DATA_BYTES: u64 = 512 << 10;

/// Stripes of a run at most, for the smallest blocks.
const RUN_STRIPES_MAX: u64 = 128;

/// Why a read ended early, by what the caller does now. What came before is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GetError {
    /// Fewer fragments than needed can be read now. 503; an operator must look.
    #[error(
        "at most {have} blocks of a stripe can be read, {need} are needed{}",
        Reasons(reasons)
    )]
    Unavailable {
        /// How many blocks of the stripe are not known to be lost.
        have: usize,
        /// How many it takes.
        need: usize,
        /// What is wrong with the others.
        reasons: Vec<FragmentFailure>,
    },
    /// The memory budget is used up. 503, slow down.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The range is not within the blob. The caller's fault.
    #[error("bytes {}..{} are not in a blob of {len} bytes", range.start, range.end)]
    Range {
        /// What was asked for.
        range: Range<u64>,
        /// The blob's length.
        len: u64,
    },
    /// The location can't be right. The caller's fault.
    #[error(transparent)]
    Placement(#[from] MalformedPlacement),
}

impl From<Unavailable> for GetError {
    fn from(
        Unavailable {
            have,
            need,
            reasons,
        }: Unavailable,
    ) -> Self {
        Self::Unavailable {
            have,
            need,
            reasons,
        }
    }
}

/// A blob's bytes, in order. Ends after the first error.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, GetError>> + Send>>;

impl Blobs {
    /// Reads a range of a blob. Nothing is done before the stream is polled; the first item is
    /// an error if nothing can be read, so look at it before you answer.
    ///
    /// Memory: three runs of stripes (512 KiB of data each, or one stripe), out of the budget,
    /// until the stream ends or is dropped.
    #[must_use]
    pub fn get(&self, location: BlobLocation, range: Range<u64>) -> BlobStream {
        let start = Reader::Start {
            blobs: self.clone(),
            location,
            range,
        };
        Box::pin(stream::unfold(start, Reader::step))
    }
}

enum Reader {
    Start {
        blobs: Blobs,
        location: BlobLocation,
        range: Range<u64>,
    },
    Open(Box<Open>),
    End,
}

impl Reader {
    async fn step(self) -> Option<(Result<Bytes, GetError>, Self)> {
        let mut open = match self {
            Self::Start {
                blobs,
                location,
                range,
            } => match Open::start(&blobs, location, range).await {
                Ok(open) => Box::new(open),
                Err(error) => return Some((Err(error), Self::End)),
            },
            Self::Open(open) => open,
            Self::End => return None,
        };
        match open.next().await? {
            Ok(bytes) => Some((Ok(bytes), Self::Open(open))),
            Err(error) => Some((Err(error), Self::End)),
        }
    }
}

/// A read under way.
struct Open {
    reading: Arc<Reading>,
    range: Range<u64>,
    /// The first stripe that no run has.
    next_stripe: u64,
    end_stripe: u64,
    runs: VecDeque<RunTask>,
    _share: Share,
}

impl Open {
    async fn start(
        blobs: &Blobs,
        location: BlobLocation,
        range: Range<u64>,
    ) -> Result<Self, GetError> {
        location.check()?;
        let len = location.len;
        if range.start > range.end || range.end > len {
            return Err(GetError::Range { range, len });
        }
        let layout = location.placement.layout;
        let stripes = range.start / layout.stripe_data_len()..if range.is_empty() {
            0
        } else {
            range.end.div_ceil(layout.stripe_data_len())
        };
        let shared = Arc::clone(&blobs.shared);
        let share = shared
            .reads
            .acquire(memory_needed(layout, len, &stripes), blobs.sharer)
            .await?;
        Ok(Self {
            reading: Arc::new(Reading::new(shared, location, &[])),
            range,
            next_stripe: stripes.start,
            end_stripe: stripes.end,
            runs: VecDeque::with_capacity(RUNS_AHEAD),
            _share: share,
        })
    }

    async fn next(&mut self) -> Option<Result<Bytes, GetError>> {
        loop {
            while self.runs.len() < RUNS_AHEAD && self.next_stripe < self.end_stripe {
                let run = self.start_run();
                self.runs.push_back(run);
            }
            match self.runs.front_mut()?.blocks.recv().await {
                Some(block) => {
                    let len = block.as_ref().map_or(0, Bytes::len);
                    self.reading.shared.counting.bytes_got.add(len);
                    return Some(block);
                }
                None => {
                    let run = self.runs.pop_front().expect("it was just there");
                    run.ended_well().await;
                }
            }
        }
    }

    fn start_run(&mut self) -> RunTask {
        let location = &self.reading.location;
        let layout = location.placement.layout;
        let first = self.next_stripe == self.range.start / layout.stripe_data_len();
        let count = if first { 1 } else { run_stripes(layout) };
        let stripes = self.next_stripe..(self.next_stripe + count).min(self.end_stripe);
        self.next_stripe = stripes.end;
        let data_len = layout.stripe_data_len();
        let range = self.range.start.max(stripes.start * data_len)
            ..self.range.end.min(stripes.end.saturating_mul(data_len));
        RunTask::start(Arc::clone(&self.reading), stripes, range)
    }
}

/// How many stripes are read together.
pub(crate) fn run_stripes(layout: Layout) -> u64 {
    (RUN_DATA_BYTES / layout.stripe_data_len()).clamp(1, RUN_STRIPES_MAX)
}

/// Bytes that a read of `stripes` holds at most: all blocks of the runs that are read at once.
pub(crate) fn memory_needed(layout: Layout, blob_len: u64, stripes: &Range<u64>) -> u64 {
    let count = stripes.end.saturating_sub(stripes.start);
    let at_once = count.min(RUNS_AHEAD as u64 * run_stripes(layout));
    let block_len = u64::from(layout.block_len_at(stripes.start, blob_len));
    at_once * block_len * u64::from(layout.width())
}

/// A task that reads one run. Dropped, it stops.
struct RunTask {
    blocks: mpsc::Receiver<Result<Bytes, GetError>>,
    work: JoinHandle<()>,
}

impl RunTask {
    fn start(reading: Arc<Reading>, stripes: Range<u64>, range: Range<u64>) -> Self {
        let (layout, len) = (reading.location.placement.layout, reading.location.len);
        let parts: Vec<_> = layout.blocks(range.clone(), len).collect();
        // Room for all: a run that has read its blocks ends, whoever waits for them.
        let (sender, blocks) = mpsc::channel(parts.len().max(1));
        let work = tokio::spawn(async move {
            let wanted = parts.iter().map(|part| Wanted {
                fragment: usize::from(part.fragment),
                stripe: part.stripe,
            });
            let mut run = Run::start(reading, stripes, wanted);
            for part in &parts {
                let item = match run.next().await.expect("one block for each that is wanted") {
                    Ok((_, block)) => {
                        let from = range.start.saturating_sub(part.blob_start);
                        let to = (range.end - part.blob_start).min(u64::from(part.data_len));
                        Ok(block.slice(from as usize..to as usize))
                    }
                    Err(unavailable) => Err(unavailable.into()),
                };
                let last = item.is_err();
                if sender.send(item).await.is_err() || last {
                    return;
                }
            }
        });
        Self { blocks, work }
    }

    /// Whether the task gave all its blocks: if not, the read must not go on as if it had.
    async fn ended_well(mut self) {
        if let Err(error) = (&mut self.work).await {
            match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going away, and this read with it.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

impl Drop for RunTask {
    fn drop(&mut self) {
        self.work.abort();
    }
}
