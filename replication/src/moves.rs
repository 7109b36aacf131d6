//! Moves one fragment of a live blob to another drive: reserve, copy, settle.
//!
//! The order is the repair's: the target is a recorded stray before the first byte is written there,
//! and one transaction puts it into the placement if that still says what was read. The fragment
//! that was there stays, as a stray, until the grace is over and the new one was seen there: so
//! whatever dies between two steps, the placement names a drive that has the fragment whole.

use std::sync::Arc;

use holdfast_erasure::{BlobLocation, Blobs, CopyError, FragmentCheck, Rebuilt};
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::{BlobPlacement, Debt, DebtKind};
use holdfast_metadata::repair::{Reservation, ReserveTargets, SettleDebts, Settled, Settlement};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::{DriveId, FragmentIndex, FragmentStore};

/// A fragment that shall go from one drive to another.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub(crate) location: BlobLocation,
    pub(crate) index: FragmentIndex,
    pub(crate) from: DriveId,
    pub(crate) to: DriveId,
}

impl Move {
    pub(crate) fn bytes(&self) -> u64 {
        let layout = self.location.placement.layout;
        layout.fragment_len(self.location.len)
    }
}

/// What became of a [`Move`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It is there now, and the placement says so.
    Done,
    /// The blob is gone, or somebody else has moved the fragment.
    Changed,
    /// It is not whole where it is: it is owed now, and the repair makes it anew elsewhere.
    Owed,
    /// Not now, and why.
    Blocked(String),
}

/// Moves fragments. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mover {
    pub(crate) metadata: Metadata,
    pub(crate) blobs: Blobs,
    pub(crate) store: Arc<dyn FragmentStore>,
}

impl Mover {
    pub(crate) async fn run(&self, one: &Move) -> Result<Moved, MetadataError> {
        let placement = &one.location.placement;
        let reserve = ReserveTargets {
            blob: one.location.blob,
            region: placement.region.clone(),
            generation: placement.generation,
            targets: vec![(one.index, one.to)],
        };
        match self.metadata.reserve_targets(reserve).await? {
            Reservation::Gone => return Ok(Moved::Changed),
            Reservation::Made(made) if made != [true] => {
                return Ok(Moved::Blocked(format!(
                    "drive {} has something of blob {} already",
                    one.to, one.location.blob
                )));
            }
            Reservation::Made(_) => {}
        }
        if let Some(otherwise) = self.write(one).await? {
            return Ok(otherwise);
        }
        let settle = SettleDebts {
            blob: one.location.blob,
            region: placement.region.clone(),
            generation: placement.generation,
            settled: vec![Settled {
                index: one.index,
                from: Some(one.from),
                to: one.to,
            }],
        };
        Ok(match self.metadata.settle_debts(settle).await? {
            Settlement::Made(made) if made == [true] => Moved::Done,
            Settlement::Made(_) | Settlement::Gone => Moved::Changed,
        })
    }

    /// Makes it durable on its new drive; what came instead, if it is not.
    async fn write(&self, one: &Move) -> Result<Option<Moved>, MetadataError> {
        let copied = self
            .blobs
            .copy_fragment(&one.location, one.index, one.from, one.to)
            .await;
        let outcome = match copied {
            Ok(outcome) => outcome,
            Err(CopyError::Source(FragmentCheck::Missing)) => {
                return self.owe(one, DebtKind::Missing).await.map(Some);
            }
            Err(CopyError::Source(FragmentCheck::Corrupt(_))) => {
                return self.owe(one, DebtKind::Corrupt).await.map(Some);
            }
            // The drive can't be read: the others can.
            Err(CopyError::Source(_)) => {
                let targets = [(one.index, one.to)];
                match self.blobs.rebuild(one.location.clone(), &targets).await {
                    Ok(outcomes) => match outcomes.into_iter().next() {
                        Some(outcome) => outcome,
                        None => return Ok(Some(Moved::Changed)),
                    },
                    Err(error) => return Ok(Some(blocked(one, &error))),
                }
            }
            Err(error) => return Ok(Some(blocked(one, &error))),
        };
        Ok(match outcome {
            Rebuilt::Written => None,
            Rebuilt::Failed(reason) => Some(Moved::Blocked(reason)),
            Rebuilt::AlreadyThere => self.take_as_it_is(one).await,
        })
    }

    /// An earlier attempt was cut after its write: whole, it is as good as written now. Rotten, it
    /// goes: it was reserved, and no placement names it.
    async fn take_as_it_is(&self, one: &Move) -> Option<Moved> {
        let check = self.blobs.check_fragment(&one.location, one.index, one.to);
        match check.await {
            FragmentCheck::Good => None,
            FragmentCheck::Corrupt(what) => {
                let id = one.location.fragment_id(one.index);
                self.blobs.delete([(one.to, id)]).await;
                Some(blocked(one, &what))
            }
            other => Some(blocked(one, &format!("{other:?}"))),
        }
    }

    async fn owe(&self, one: &Move, kind: DebtKind) -> Result<Moved, MetadataError> {
        let placement = &one.location.placement;
        let debt = Debt {
            blob: one.location.blob,
            region: placement.region.clone(),
            generation: placement.generation,
            index: one.index,
            drive: Some(one.from),
            kind,
            // The metadata's clock says when.
            created_ms: 0,
        };
        let report = ReportDebts { debts: vec![debt] };
        self.metadata.report_debts(report).await?;
        Ok(Moved::Owed)
    }
}

fn blocked(one: &Move, why: &impl ToString) -> Moved {
    Moved::Blocked(format!(
        "fragment {} of blob {}: {}",
        one.index.0,
        one.location.blob,
        why.to_string()
    ))
}

/// Where a blob is, as the data path wants it.
pub(crate) fn location_of(placed: &BlobPlacement) -> BlobLocation {
    BlobLocation {
        blob: placed.blob,
        len: placed.len,
        placement: placed.placement.clone(),
    }
}
