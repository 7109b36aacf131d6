//! What a repair asks the metadata and tells it.
//!
//! The order that makes a repair safe against crashes, deletes and sweeps: *reserve* the drive
//! (a stray row, committed before the first byte is written there), write, *settle* (one transaction
//! that puts the drive into the placement, if that still says what the repair has read). What is
//! left behind on the way, or on the drive that had the fragment before, is a stray: it is *doomed*
//! under the same lock before it is deleted, and a doomed one can neither be reserved nor settled.

use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Region};

use crate::model::{BlobPlacement, DebtKind};

/// A live blob with fragments that are owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedBlob {
    /// Where it is.
    pub blob: BlobPlacement,
    /// What is owed, by index; at least one.
    pub owed: Vec<OwedFragment>,
}

/// A fragment that is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwedFragment {
    /// Which.
    pub index: FragmentIndex,
    /// The drive that was meant to have it; where the placement names none, it may be there.
    pub meant: Option<DriveId>,
    /// Why it is owed.
    pub kind: DebtKind,
    /// Since when.
    pub created_ms: u64,
}

/// Asks for drives to write fragments of one placement to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveTargets {
    /// The blob.
    pub blob: BlobId,
    /// The region of the placement.
    pub region: Region,
    /// Its generation.
    pub generation: Generation,
    /// Which fragment shall go to which drive.
    pub targets: Vec<(FragmentIndex, DriveId)>,
}

/// What became of a [`ReserveTargets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// For each target whether it may be written: a drive that has another fragment of the
    /// placement, or an old one that is about to be deleted, may not.
    Made(Vec<bool>),
    /// The blob or the placement is gone, and with it the debts.
    Gone,
}

/// Says that fragments are durable where they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleDebts {
    /// The blob.
    pub blob: BlobId,
    /// The region of the placement.
    pub region: Region,
    /// Its generation.
    pub generation: Generation,
    /// The fragments.
    pub settled: Vec<Settled>,
}

/// One fragment of a [`SettleDebts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub index: FragmentIndex,
    /// The drive that the placement named when the repair began.
    pub from: Option<DriveId>,
    /// The drive that has it now; another than `from` must have been reserved.
    pub to: DriveId,
}

/// What became of a [`SettleDebts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// For each fragment whether it was settled: not if the placement says something else by now,
    /// or the reservation is gone.
    Made(Vec<bool>),
    /// The blob or the placement is gone, and with it the debts.
    Gone,
}

/// A fragment that may lie on a drive although no placement says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The drive.
    pub drive: DriveId,
    /// The blob.
    pub blob: BlobId,
    /// The region of the placement that it was for.
    pub region: Region,
    /// Its generation.
    pub generation: Generation,
    /// Which fragment.
    pub index: FragmentIndex,
}

/// Whether a stray may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrayVerdict {
    /// Yes, and it will never be taken into a placement: delete it, then say that it is gone.
    Doomed,
    /// No: it is where the placement wants it, and no stray any more.
    Placed,
    /// Not yet: the fragment is still owed.
    Kept,
}
