//! What an operator wants of the drives, and of the workers.
//!
//! Whether a drive is well is seen by looking at it; whether it shall be used is said by a person,
//! and stands here. The order that makes a removal safe: *drain* (placement passes the drive by,
//! what it has is moved away), count what placements still name it, then *remove*.

use holdfast_types::{Drive, DriveId};
use serde::{Deserialize, Serialize};

/// What an operator wants of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriveDuty {
    /// It takes and keeps fragments.
    InUse,
    /// It takes none, and those it has are moved to others.
    Draining,
    /// It is no drive of this store any more. For good: its id is never used again.
    Removed,
}

impl DriveDuty {
    /// Its name, as people and programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::Draining => "draining",
            Self::Removed => "removed",
        }
    }
}

/// A drive that was ever recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveRecord {
    /// Who it is.
    pub id: DriveId,
    /// How it was when it was last looked at; `None`: only its number is known.
    pub drive: Option<Drive>,
    /// What is wanted of it.
    pub duty: DriveDuty,
    /// Since when.
    pub since_ms: u64,
}

/// The transactions that were under way at a moment, by their order. What was committed before the
/// moment is seen by every transaction that has begun since; so once none of the moment's is left,
/// nobody acts on what was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The oldest that had not ended; `next` if all had.
    pub(crate) oldest: u64,
    /// The first that had not begun.
    pub(crate) next: u64,
}

impl Running {
    /// Whether all that were under way at an earlier moment have ended.
    #[must_use]
    pub const fn are_later_than(self, earlier: Self) -> bool {
        self.oldest >= earlier.next
    }
}

/// What placements name a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlacedOn {
    /// Fragments of live blobs, of any generation.
    pub fragments: u64,
    /// Bytes of these.
    pub bytes: u64,
}

/// What an operator told all workers of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOrders {
    /// The name.
    pub name: String,
    /// The share of the time, in percent; `None`: as by default.
    pub pace_percent: Option<u8>,
    /// Whether they rest until told otherwise.
    pub paused: bool,
}
