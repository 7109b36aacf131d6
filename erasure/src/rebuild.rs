//! Fragments made anew on other drives, from any `k` of the blob's others.
//!
//! The same reading, verifying and hedging as a get (`run.rs`), stripe by stripe, so that a blob
//! of any length takes the memory of a few stripes. What is to be rebuilt is never read itself.

mod copy;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_types::{DriveId, FragmentIndex, FragmentWriter, StoreError};
use tokio::time::timeout;

use crate::blobs::Blobs;
use crate::budget::Busy;
use crate::failure::{FragmentFailure, Reasons};
use crate::get::{memory_needed, run_stripes};
use crate::location::{BlobLocation, MalformedPlacement};
use crate::reading::{Reading, Unavailable, Wanted};
use crate::run::Run;

pub use self::copy::CopyError;

/// How long a drive may take for one block or the commit.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// What became of one fragment that was to be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuilt {
    /// It is durable on its drive.
    Written,
    /// The drive has a fragment of this identity already, whose header is right: a write that was
    /// given up has landed after all. (If it is known to be rotten, delete it first.)
    AlreadyThere,
    /// The drive could not take it. Try another drive.
    Failed(String),
}

/// Why nothing could be rebuilt, by what the caller does now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// Fewer fragments than needed can be read now: try again later; the data is at risk.
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
    /// The memory budget is used up: try again later.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The location can't be right. The caller's fault.
    #[error(transparent)]
    Placement(#[from] MalformedPlacement),
    /// A target is not in the placement, or is named twice, or the blob is empty.
    #[error("fragment {} can't be rebuilt: no such fragment, or named twice", .0.0)]
    NoSuchFragment(FragmentIndex),
}

/// A fragment on its way to a drive.
struct Target {
    index: usize,
    drive: DriveId,
    state: State,
}

enum State {
    Open(Box<dyn FragmentWriter>),
    Ended(Rebuilt),
}

impl Blobs {
    /// Rebuilds fragments of a blob, each onto the drive that is named with it, and says what
    /// became of each, in the order of `targets`. Record what you are about to do before.
    ///
    /// # Errors
    /// See [`RebuildError`]; then nothing has become visible.
    pub async fn rebuild(
        &self,
        location: BlobLocation,
        targets: &[(FragmentIndex, DriveId)],
    ) -> Result<Vec<Rebuilt>, RebuildError> {
        location.check()?;
        check_targets(&location, targets)?;
        let layout = location.placement.layout;
        let stripes = layout.stripes(location.len);
        let needed = memory_needed(layout, location.len, &(0..stripes.min(run_stripes(layout))));
        let _share = self.shared.reads.acquire(needed, self.sharer).await?;

        let indices: Vec<usize> = targets
            .iter()
            .map(|target| usize::from(target.0.0))
            .collect();
        let mut open = Vec::with_capacity(targets.len());
        for (&index, &(_, drive)) in indices.iter().zip(targets) {
            let state = self.open(&location, index, drive).await;
            open.push(Target {
                index,
                drive,
                state,
            });
        }
        let reading = Arc::new(Reading::new(Arc::clone(&self.shared), location, &indices));
        let mut next = 0;
        while next < stripes && open.iter().any(Target::is_open) {
            let run = next..(next + run_stripes(layout)).min(stripes);
            next = run.end;
            let wanted = run.clone().flat_map(|stripe| {
                indices
                    .iter()
                    .map(move |&fragment| Wanted { fragment, stripe })
            });
            let mut run = Run::start(Arc::clone(&reading), run, wanted.collect::<Vec<_>>());
            while let Some(block) = run.next().await {
                let (wanted, block) = block?;
                let target = open
                    .iter_mut()
                    .find(|target| target.index == wanted.fragment);
                target.expect("only targets are wanted").write(block).await;
            }
        }
        let mut outcomes = Vec::with_capacity(open.len());
        for target in open {
            outcomes.push(target.commit().await);
        }
        Ok(outcomes)
    }

    async fn open(&self, location: &BlobLocation, index: usize, drive: DriveId) -> State {
        let header = location.header(index);
        let store = &self.shared.store;
        match in_time(store.create(drive, header.clone())).await {
            Ok(writer) => State::Open(writer),
            Err(Some(StoreError::Exists { .. })) => {
                State::Ended(match in_time(store.stat(drive, &header.id)).await {
                    Ok(found) if found == header => Rebuilt::AlreadyThere,
                    Ok(_) => Rebuilt::Failed(format!("drive {drive} has it with another header")),
                    Err(error) => failed(drive, error),
                })
            }
            Err(error) => State::Ended(failed(drive, error)),
        }
    }
}

impl Target {
    const fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    async fn write(&mut self, block: Bytes) {
        if let State::Open(writer) = &mut self.state
            && let Err(error) = in_time(writer.write_block(block)).await
        {
            self.state = State::Ended(failed(self.drive, error));
        }
    }

    async fn commit(self) -> Rebuilt {
        match self.state {
            State::Ended(outcome) => outcome,
            State::Open(writer) => match in_time(writer.commit()).await {
                Ok(()) => Rebuilt::Written,
                Err(error) => failed(self.drive, error),
            },
        }
    }
}

/// The outcome of a store call, or `None` as the error if it took too long.
async fn in_time<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Option<StoreError>> {
    match timeout(WRITE_DEADLINE, call).await {
        Ok(result) => result.map_err(Some),
        Err(_) => Err(None),
    }
}

fn failed(drive: DriveId, error: Option<StoreError>) -> Rebuilt {
    Rebuilt::Failed(match error {
        Some(error) => error.to_string(),
        None => format!(
            "drive {drive} did not answer in {} s",
            WRITE_DEADLINE.as_secs()
        ),
    })
}

fn check_targets(
    location: &BlobLocation,
    targets: &[(FragmentIndex, DriveId)],
) -> Result<(), RebuildError> {
    let mut seen = std::collections::BTreeSet::new();
    for &(index, _) in targets {
        let known = index.0 < location.placement.layout.width() && location.len > 0;
        if !known || !seen.insert(index) {
            return Err(RebuildError::NoSuchFragment(index));
        }
    }
    Ok(())
}

impl From<Unavailable> for RebuildError {
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
