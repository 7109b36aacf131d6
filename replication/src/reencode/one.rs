//! One blob's move to another layout: choose drives, record them, read, write, switch.
//!
//! Nothing of the old generation is touched. The bytes are moved as they are (sealed ones stay
//! sealed), each block verified as it is read. Killed anywhere before the switch, the blob is where
//! it was, and what was written is recorded as stray; after it, the old fragments are.

use futures::TryStreamExt;
use holdfast_erasure::{Blobs, GetError, PutError, PutSpec, Receipt};
use holdfast_metadata::model::BlobPlacement;
use holdfast_metadata::reencode::{BeginMove, Begun, SwitchPlacement, Switched};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{BlobId, FragmentIndex, Generation, Region};

use super::Wanted;
use crate::moves::location_of;

/// What came of one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has its new layout.
    Moved {
        /// Bytes that were written for it.
        stored_bytes: u64,
    },
    /// It was removed, or moved by somebody else.
    Passed,
    /// Drives or memory are wanting: try again later.
    Blocked(String),
    /// It can't be read as it was found: look it up again.
    Unreadable(String),
    /// It can't be moved.
    Refused(String),
}

pub(super) struct Move<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) blobs: &'a Blobs,
    pub(super) region: &'a Region,
    pub(super) job: u64,
}

impl Move<'_> {
    pub(super) async fn run(&self, wanted: &Wanted) -> Result<Outcome, MetadataError> {
        let placed = &wanted.met.blob;
        let from = placed.placement.generation;
        let mut spec = PutSpec {
            blob: placed.blob,
            len: placed.len,
            layout: wanted.layout,
            region: self.region.clone(),
            generation: from,
            protect: wanted.policy.protect,
            quorum: wanted.policy.quorum_for(wanted.layout),
        };
        let drives = match self.blobs.choose(&spec) {
            Ok(drives) => drives,
            Err(few) => return Ok(Outcome::Blocked(few.to_string())),
        };
        // A client's write would be taken with fragments owed; what is whole need not be made worse.
        let found = drives.iter().flatten().count();
        if found < drives.len() {
            return Ok(Outcome::Blocked(format!(
                "{} needs {} drives, {found} can take it now",
                wanted.layout,
                drives.len()
            )));
        }
        let targets = (0..).map(FragmentIndex).zip(drives.iter().flatten());
        let begin = BeginMove {
            blob: placed.blob,
            region: self.region.clone(),
            from,
            targets: targets.map(|(index, drive)| (index, *drive)).collect(),
        };
        let generation = match self.metadata.begin_move(begin).await? {
            Begun::Generation(generation) => generation,
            Begun::Gone => return self.refused(placed.blob, from).await,
        };
        spec.generation = generation;
        let body = self
            .blobs
            .get(location_of(placed), 0..placed.len)
            .map_err(Box::new);
        match self.blobs.put_on(spec, &drives, body).await {
            Ok(receipt) => self.switch(placed, receipt).await,
            Err(error) => {
                self.metadata.abandon_move(placed.blob, generation).await?;
                Ok(why(error))
            }
        }
    }

    /// The new generation is durable on its write quorum.
    pub(super) async fn switch(
        &self,
        placed: &BlobPlacement,
        receipt: Receipt,
    ) -> Result<Outcome, MetadataError> {
        let from = placed.placement.generation;
        if mutant::active(Mutant::RemoveBeforeSwitch) {
            self.blobs.delete(location_of(placed).fragments()).await;
        }
        let (blob, generation) = (receipt.blob, receipt.placement.generation);
        let written = receipt.placement.drives.iter().flatten().count() as u64;
        let stored_bytes = written * receipt.placement.layout.fragment_len(receipt.len);
        let switch = SwitchPlacement {
            blob,
            from,
            to: receipt.placement,
            debts: receipt
                .debts
                .into_iter()
                .map(|debt| (debt.index, debt.drive))
                .collect(),
            job: self.job,
        };
        match self.metadata.switch_placement(switch).await? {
            Switched::Made => Ok(Outcome::Moved { stored_bytes }),
            Switched::Not => {
                self.metadata.abandon_move(blob, generation).await?;
                self.refused(blob, from).await
            }
        }
    }

    /// Where the blob is as it was, it was a drive that was refused: it was removed, say.
    async fn refused(&self, blob: BlobId, from: Generation) -> Result<Outcome, MetadataError> {
        Ok(match self.metadata.placement(blob, from).await? {
            None => Outcome::Passed,
            Some(_) => Outcome::Blocked(
                "a drive, or what was written there, was given up meanwhile".to_owned(),
            ),
        })
    }
}

fn why(error: PutError<Box<GetError>>) -> Outcome {
    match error {
        PutError::Body(read) => match *read {
            GetError::Busy(busy) => Outcome::Blocked(busy.to_string()),
            GetError::Unavailable { .. } => Outcome::Unreadable(read.to_string()),
            GetError::Range { .. } | GetError::Placement(_) => Outcome::Refused(read.to_string()),
        },
        PutError::TooFewDrives(_) | PutError::Quorum(_) | PutError::Busy(_) => {
            Outcome::Blocked(error.to_string())
        }
        PutError::LengthMismatch { .. } | PutError::Empty | PutError::Layout(_) => {
            Outcome::Refused(error.to_string())
        }
    }
}
