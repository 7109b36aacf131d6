//! Drives, where they are, how they are; and which of them hold a blob.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{DriveId, Generation, InvalidId, Region};
use crate::layout::Layout;

/// How a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriveState {
    /// Reads and writes.
    Online,
    /// Well, and being emptied because an operator wants it so: reads and removals, nothing new.
    Draining,
    /// Reads only: full, or a write or a sync failed. What is on it counts as durable.
    ReadOnly,
    /// Not to be trusted: reads fail, or its identity file is foreign, newer or unreadable.
    Faulty,
    /// Its folder or identity file is not there.
    Missing,
}

impl DriveState {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [
        Self::Online,
        Self::Draining,
        Self::ReadOnly,
        Self::Faulty,
        Self::Missing,
    ];

    /// Whether fragments on it can be read.
    #[must_use]
    pub const fn readable(self) -> bool {
        matches!(self, Self::Online | Self::Draining | Self::ReadOnly)
    }

    /// Whether nothing is wrong with it, wanted or not: what it says it has and has not is so.
    #[must_use]
    pub const fn is_well(self) -> bool {
        matches!(self, Self::Online | Self::Draining)
    }

    /// The state's name, as people and programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Draining => "draining",
            Self::ReadOnly => "read-only",
            Self::Faulty => "faulty",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for DriveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DriveState {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| InvalidId {
                what: "drive state",
                text: text.to_owned(),
            })
    }
}

/// One drive as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// Who it is.
    pub id: DriveId,
    /// The region, zone and node that it is in.
    pub region: Region,
    /// See `region`.
    pub zone: String,
    /// See `region`.
    pub node: String,
    /// How it is.
    pub state: DriveState,
    /// Why it is so, in words for an operator; empty when online.
    pub reason: String,
    /// Where its node has it: for people only, never used to find a fragment.
    pub path: String,
    /// Bytes that its file system can hold.
    pub capacity_bytes: u64,
    /// Bytes that are free now.
    pub free_bytes: u64,
}

/// What may be lost at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureDomain {
    /// One drive.
    Drive,
    /// All drives of a node.
    Node,
    /// All drives of a zone.
    Zone,
}

/// All drives that are known, in any state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// The drives, in the order of their ids.
    pub drives: Vec<Drive>,
}

impl Topology {
    /// The drive with this id.
    #[must_use]
    pub fn drive(&self, id: DriveId) -> Option<&Drive> {
        self.drives.iter().find(|drive| drive.id == id)
    }
}

/// Which drives hold a blob's fragments in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The region.
    pub region: Region,
    /// A decode uses fragments of one generation only.
    pub generation: Generation,
    /// How the fragments were made. All placements of a blob give the same bytes.
    pub layout: Layout,
    /// The drive of each fragment, `layout.width()` of them; `None` = not written (a debt).
    pub drives: Vec<Option<DriveId>>,
}
