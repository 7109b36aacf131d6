//! What is asked when the fragments on a drive are compared with the placements.

use holdfast_types::{DriveId, FragmentId};

/// A fragment that lies on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFragment {
    /// The drive.
    pub drive: DriveId,
    /// The fragment.
    pub fragment: FragmentId,
}

/// Asks what a found fragment is; one that nothing needs is noted, and its quarantine begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteFound {
    /// The fragment. If its blob is not known, the blob's id is condemned: ask only for one that is
    /// older than any publish can take.
    pub found: FoundFragment,
    /// The drive on which the caller has just seen the same fragment, whole.
    pub seen_on: Option<DriveId>,
    /// How long it must lie before it may be deleted.
    pub quarantine_ms: u64,
}

/// What a found fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundVerdict {
    /// Where it should be: it was published or moved there since, or its sweep is under way.
    Placed,
    /// The blob is live and wants this fragment on the other drive, if it says where: nothing is
    /// noted until it was seen there.
    Surplus {
        /// Where the placement wants it.
        elsewhere: Option<DriveId>,
    },
    /// Nothing needs it: it was noted now.
    Noted,
    /// Nothing needs it, and that was noted before.
    Known,
}
