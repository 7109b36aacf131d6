//! A put: a body becomes fragments on `k + m` drives, all written at once.
//!
//! The body is cut into stripes, each is encoded and handed to the fragments' tasks, each of which
//! has a queue of one block: three stripes are in memory at most, whatever the blob's length.
//! Nothing is asked to commit before the body has ended as it should, so a wrong, short or broken
//! body, or a client that leaves, leaves nothing visible.
//!
//! **A drive that fails** is replaced by a spare while the first two stripes are at hand (so blobs
//! of up to two stripes can be re-placed until their very commit); later it is a debt. One that
//! stalls, or is many times slower, while the others could finish without it is given up.
//!
//! **Acknowledgement.** The put ends well when the durable fragments meet the write rule
//! (`quorum.rs`) and the others have had a grace, which follows how long the quorum took. A
//! straggler's commit goes on behind the receipt's back: its fragment is a debt *with its drive*,
//! and a repair that writes it there finds it already done. A fragment is in the placement only if
//! it was durable when the receipt was made.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use holdfast_types::{
    BlobId, DriveId, FailureDomain, FragmentIndex, Generation, Layout, LayoutError, Placement,
    Region,
};

use crate::blobs::Blobs;
use crate::budget::Busy;
use crate::failure::{FragmentFailure, Reasons};
use crate::health::Use;
use crate::placement::{Plan, TooFewDrives, Want, place};
use crate::quorum::write_quorum;
use crate::stripe::{BodyError, StripeReader};

mod writing;

use writing::Writing;

/// Stripes that a put holds: one being filled, one waiting in the queues, one being written. (A
/// fragment that was just re-placed may hold two blocks more.)
const STRIPES_IN_MEMORY: u64 = 3;

/// How long a fragment may take no block while the write rule could be met without it. Busy
/// drives pause for a second or two while they flush; a debt costs a repair. (One that is only
/// somewhat slow is waited for over and over: see `SLOW_FACTOR`.)
pub(crate) const STALL: Duration = Duration::from_secs(5);

/// The same for a drive that has just failed or stalled in another put.
pub(crate) const STALL_SUSPECT: Duration = Duration::from_millis(250);

/// How long a put waits for drives without which it can't end well.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// What is to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSpec {
    /// The blob's id, never used before.
    pub blob: BlobId,
    /// The body's exact length; not 0.
    pub len: u64,
    /// How it is to be kept.
    pub layout: Layout,
    /// The region whose drives take it.
    pub region: Region,
    /// The generation of the placement that comes out.
    pub generation: Generation,
    /// The failure domain whose loss must leave it readable.
    pub protect: FailureDomain,
    /// How many fragments must be durable for it to end well, where it is not as many as the
    /// layout says. Never taken for fewer than `k + 1` where there is parity.
    pub quorum: Option<u8>,
}

impl PutSpec {
    /// How many fragments must be durable at least.
    #[must_use]
    pub fn write_quorum(&self) -> u8 {
        write_quorum(self.layout, self.quorum)
    }
}

/// What a put has made durable. It is not visible to anyone until it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The blob.
    pub blob: BlobId,
    /// Its length in bytes.
    pub len: u64,
    /// The drive of each fragment that is durable.
    pub placement: Placement,
    /// The fragments that are not, one entry for each `None` in the placement.
    pub debts: Vec<Debt>,
    /// Fragments that may also lie on a drive that is not in the placement: garbage.
    pub strays: Vec<Stray>,
}

/// A fragment that is still to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debt {
    /// Which.
    pub index: FragmentIndex,
    /// The drive that was to take it, and may even have it; `None` if there was none.
    pub drive: Option<DriveId>,
    /// Why it is owed.
    pub reason: String,
}

/// A fragment that was written elsewhere after this drive failed to commit it, perhaps wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stray {
    /// Which fragment.
    pub index: FragmentIndex,
    /// The drive that may have it.
    pub drive: DriveId,
}

/// Why nothing was put, by what the caller does now. `E` is the body's own error.
#[derive(Debug, thiserror::Error)]
pub enum PutError<E> {
    /// The body's stream failed. The client's fault, or its leaving.
    #[error("the body failed")]
    Body(#[source] E),
    /// The body is shorter or longer than announced. The client's fault.
    #[error("the body should have {expected} bytes, {found} came")]
    LengthMismatch {
        /// As announced.
        expected: u64,
        /// What came; of a body that is too long, what was seen of it.
        found: u64,
    },
    /// An empty blob has no fragments: do not store it. The caller's fault.
    #[error("an empty blob has nothing to put")]
    Empty,
    /// No such layout. The caller's fault.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The drives there are can't take a blob of this layout. Nothing of the body was read. 503.
    #[error(transparent)]
    TooFewDrives(#[from] TooFewDrives),
    /// Too many drives failed on the way. What is durable is garbage. 503.
    #[error(transparent)]
    Quorum(#[from] QuorumLost),
    /// The memory budget is used up. Nothing of the body was read. 503, slow down.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// Too few fragments could be made durable, or too many of them in one failure domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct QuorumLost {
    /// The layout of the blob.
    pub layout: Layout,
    /// The failure domain whose loss must leave the blob readable.
    pub protect: FailureDomain,
    /// How many durable fragments are needed at least.
    pub needed: usize,
    /// How many were, or could still have become, durable.
    pub durable: usize,
    /// What happened to the others.
    pub reasons: Vec<FragmentFailure>,
}

impl fmt::Display for QuorumLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            layout,
            needed,
            durable,
            ..
        } = self;
        write!(
            f,
            "a write of {layout} needs {needed} durable fragments, {durable} could be had"
        )?;
        match self.protect {
            FailureDomain::Drive => {}
            FailureDomain::Node => f.write_str(" (the loss of one node must leave it readable)")?,
            FailureDomain::Zone => f.write_str(" (the loss of one zone must leave it readable)")?,
        }
        write!(f, "{}", Reasons(&self.reasons))
    }
}

impl<E> From<BodyErrorOf<E>> for PutError<E> {
    fn from(BodyErrorOf { error, expected }: BodyErrorOf<E>) -> Self {
        match error {
            BodyError::Body(error) => Self::Body(error),
            BodyError::Length { found } => Self::LengthMismatch { expected, found },
        }
    }
}

struct BodyErrorOf<E> {
    error: BodyError<E>,
    expected: u64,
}

impl Blobs {
    /// Puts a body of exactly `spec.len` bytes on the region's drives.
    ///
    /// Memory: three stripes of `k + m` blocks (less for a shorter blob), out of the budget.
    /// Cancelled at any point it leaves garbage at most and blocks nobody.
    ///
    /// # Errors
    /// See [`PutError`]. `TooFewDrives` and `Busy` come before the body is touched.
    pub async fn put<S, E>(&self, spec: PutSpec, body: S) -> Result<Receipt, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
    {
        let layout = spec.layout.checked()?;
        if spec.len == 0 {
            return Err(PutError::Empty);
        }
        let shared = &self.shared;
        let plan = {
            let want = Want {
                layout,
                blob_len: spec.len,
                region: &spec.region,
                protect: spec.protect,
                quorum: spec.quorum,
            };
            let drives = shared.store.drives();
            let avoid = |drive| shared.health.suspect(drive, Use::Write);
            let mut rng = shared.rng.lock().expect("choosing does not panic");
            place(&drives, &want, avoid, &mut *rng)?
        };
        self.put_as_planned(spec, plan, body).await
    }

    /// Chooses drives for a put that must name them before it writes: see [`Blobs::put_on`].
    ///
    /// # Errors
    /// `TooFewDrives` if the drives there are can't take a blob of this layout.
    pub fn choose(&self, spec: &PutSpec) -> Result<Vec<Option<DriveId>>, TooFewDrives> {
        let shared = &self.shared;
        let want = Want {
            layout: spec.layout,
            blob_len: spec.len,
            region: &spec.region,
            protect: spec.protect,
            quorum: spec.quorum,
        };
        let drives = shared.store.drives();
        let avoid = |drive| shared.health.suspect(drive, Use::Write);
        let mut rng = shared.rng.lock().expect("choosing does not panic");
        let plan = place(&drives, &want, avoid, &mut *rng)?;
        let chosen = plan.chosen.into_iter();
        Ok(chosen.map(|drive| drive.map(|drive| drive.id)).collect())
    }

    /// Like [`Blobs::put`], on the drives that [`Blobs::choose`] gave, one for each fragment, and on
    /// no others: a drive that fails is not replaced, its fragment is a debt.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn put_on<S, E>(
        &self,
        spec: PutSpec,
        drives: &[Option<DriveId>],
        body: S,
    ) -> Result<Receipt, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
    {
        spec.layout.checked()?;
        if spec.len == 0 {
            return Err(PutError::Empty);
        }
        let known = self.shared.store.drives();
        let of_id = |id: &DriveId| known.iter().find(|drive| drive.id == *id).cloned();
        let width = usize::from(spec.layout.width());
        let chosen = (0..width)
            .map(|index| drives.get(index)?.as_ref().and_then(of_id))
            .collect();
        let plan = Plan {
            chosen,
            spares: Vec::new(),
        };
        self.put_as_planned(spec, plan, body).await
    }

    async fn put_as_planned<S, E>(
        &self,
        spec: PutSpec,
        plan: Plan,
        body: S,
    ) -> Result<Receipt, PutError<E>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
    {
        let shared = &self.shared;
        let (layout, expected) = (spec.layout, spec.len);
        let _share = shared
            .writes
            .acquire(memory_needed(layout, spec.len), self.sharer)
            .await?;
        let body = pin!(body);
        let mut body = StripeReader::new(body, layout, spec.len);
        let mut writing = Writing::start(shared, spec, plan);
        let of_body = |error| BodyErrorOf { error, expected };
        while let Some(data) = body.next().await.map_err(of_body)? {
            writing
                .send(shared.coder.encode(layout, data).await)
                .await?;
        }
        body.finish().await.map_err(of_body)?;
        Ok(writing.commit().await?)
    }
}

/// Bytes that a put of a blob holds at most.
pub(crate) fn memory_needed(layout: Layout, len: u64) -> u64 {
    let blocks = match layout {
        Layout::Copies { .. } => 1, // All copies are one block in memory.
        Layout::Erasure { .. } => u64::from(layout.width()),
    };
    let stripes = layout.stripes(len).min(STRIPES_IN_MEMORY);
    stripes * blocks * u64::from(layout.block_len_at(0, len))
}
