//! What the admin API answers about background work and about drives that come and go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a piece of background work is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// How much of it is done.
    pub done: u64,
    /// How much it is in all.
    pub total: u64,
    /// Of what, in the plural.
    pub unit: String,
    /// Seconds that the rest will take at the present rate; `null`: not known.
    pub eta_seconds: Option<u64>,
}

/// A background worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its name.
    pub name: String,
    /// What it works on, where there is one for each of several things.
    #[serde(default)]
    pub subject: Option<String>,
    /// `busy`, `idle`, `failing`, `standby` (another process runs it), `paused` or `stopped`.
    pub state: String,
    /// What it has done or is doing.
    pub doing: String,
    /// How far it is, where it knows.
    #[serde(default)]
    pub progress: Option<ProgressView>,
    /// The share of the time that it works while it has work, in percent.
    #[serde(default)]
    pub pace_percent: u8,
    /// Steps that failed since the process began.
    pub errors: u64,
    /// The last failure, if the last step failed.
    pub last_error: Option<String>,
    /// Who may run it, where only one process at a time may.
    #[serde(default)]
    pub lease: Option<LeaseView>,
}

/// Whose a worker's lease is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// The process that holds it.
    pub holder: String,
    /// Whether that is the one that was asked.
    pub here: bool,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// `GET /admin/v1/workers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkersView {
    /// All workers, in the order they were started.
    pub workers: Vec<WorkerView>,
}

/// The body of `POST /admin/v1/workers/NAME/pace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPace {
    /// The share of the time, 1 to 100.
    pub percent: u8,
}

/// Fragments that are owed by blobs which can all lose as many more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OwedView {
    /// Blobs.
    pub blobs: u64,
    /// Their owed fragments.
    pub fragments: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// For how long the oldest of them is owed.
    pub oldest_seconds: u64,
}

/// `GET /admin/v1/repair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairView {
    /// `busy`, `idle`, `failing` or `paused`.
    pub state: String,
    /// When the debts were last counted whole, in milliseconds since 1970; 0: not yet.
    pub as_of_ms: u64,
    /// What was owed then, by how many more fragments the blobs could lose; negative: they can't
    /// be read.
    pub by_spares: BTreeMap<i16, OwedView>,
    /// Bytes owed by that count, and how many of them are repaired.
    pub progress: ProgressView,
    /// Fragments that were made anew since the process began.
    pub repaired_fragments: u64,
    /// Bytes of these.
    pub repaired_bytes: u64,
    /// Debts that ended without a copy, because the fragment was found whole.
    pub found_whole: u64,
    /// Fragments that could not be repaired in the last round, for want of drives or sources.
    pub blocked: u64,
    /// Attempts that failed since the process began.
    pub failures: u64,
    /// Bytes a second while there is something to repair, rests included.
    pub bytes_per_second: u64,
    /// The share of the time that it works while it has work, in percent.
    pub pace_percent: u8,
    /// What last stood in the way; empty when the last round went well.
    pub last_error: String,
}

/// The answer to an order that has nothing more to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneView {
    /// What was done, in words for an operator.
    pub done: String,
}

/// How far a drive that is to be emptied is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainView {
    /// Fragments that are left on it; `null` until they were counted.
    pub fragments_left: Option<u64>,
    /// Bytes, and how many of them have left.
    pub progress: ProgressView,
    /// Whether nothing is left: it may be removed.
    pub drained: bool,
    /// What stands in the way of the rest; empty when nothing does.
    pub obstacle: String,
}

/// The body of `POST /admin/v1/drives` and `POST /admin/v1/drives/ID/replace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddDrive {
    /// An empty folder on the server.
    pub path: String,
    /// Whether it may be on a file system that another drive is on.
    #[serde(default)]
    pub shared_disk: bool,
}

/// The answer to `POST /admin/v1/drives`, and what became of the old one where there was one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedView {
    /// The new drive's id.
    pub drive: String,
    /// Its folder.
    pub path: String,
    /// What follows, in words for an operator.
    pub note: String,
    /// What the loss of the old drive means, where it is lost.
    pub stake: Option<StakeView>,
}

/// What it means that a drive does not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StakeView {
    /// Fragments that placements name it for.
    pub fragments: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Blobs with such a fragment, by how many more fragments they can lose then.
    pub blobs_by_spares: BTreeMap<i16, u64>,
}

impl StakeView {
    /// Blobs that could not be read any more.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.blobs_by_spares
            .range(..0)
            .map(|(_, blobs)| blobs)
            .sum()
    }
}

/// The answer to `DELETE /admin/v1/drives/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedView {
    /// The drive.
    pub drive: String,
    /// Whether it is removed now; `false`: it was only asked what that would mean.
    pub removed: bool,
    /// What its loss means, where it was not drained.
    pub stake: Option<StakeView>,
}
