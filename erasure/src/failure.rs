//! What went wrong with one fragment, in words for an operator; and reports of damage.

use std::fmt;

use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Region};

/// Why one fragment could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentFailure {
    /// Which fragment.
    pub index: FragmentIndex,
    /// The drive that was asked, where there is one.
    pub drive: Option<DriveId>,
    /// What happened.
    pub reason: String,
}

impl fmt::Display for FragmentFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fragment {}: {}", self.index.0, self.reason)
    }
}

/// Several failures in one line.
pub(crate) struct Reasons<'a>(pub(crate) &'a [FragmentFailure]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|failure| write!(f, "; {failure}"))
    }
}

/// What is wrong with a fragment that a read found damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Damage {
    /// The drive does not have it.
    Missing,
    /// It, or a block of it, does not match its checksum, identity or length.
    Corrupt,
}

/// A fragment that should be repaired, as a read found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentReport {
    /// Its blob.
    pub blob: BlobId,
    /// The region of the placement.
    pub region: Region,
    /// The generation of the placement.
    pub generation: Generation,
    /// Which fragment.
    pub index: FragmentIndex,
    /// Where it should be.
    pub drive: DriveId,
    /// What is wrong with it.
    pub damage: Damage,
}

/// Hears of damaged fragments. Called from the data path: it must return at once, and may drop
/// reports when too many come (scrubbing will find the same). A fragment may have been moved while
/// it was read: compare the placement's generation and drive with the truth before acting on one.
pub trait DebtObserver: Send + Sync + 'static {
    /// A fragment was found damaged. At most once for each fragment and read.
    fn report(&self, report: FragmentReport);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl DebtObserver for NoObserver {
    fn report(&self, _report: FragmentReport) {}
}
