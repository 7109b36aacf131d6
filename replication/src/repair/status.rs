//! What an operator sees of the repair.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Debts of blobs that can all lose as many more fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owed {
    /// Blobs.
    pub blobs: u64,
    /// Their owed fragments.
    pub fragments: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// When the oldest of these debts was recorded.
    pub oldest_ms: u64,
}

/// The repair as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairStatus {
    /// When the debts were last counted whole; 0: not yet.
    pub as_of_ms: u64,
    /// What was owed then, by how many more fragments the blobs could lose; negative: they can't
    /// be read.
    pub by_spares: BTreeMap<i16, Owed>,
    /// Fragments that were made anew since the process began.
    pub repaired_fragments: u64,
    /// Bytes of these.
    pub repaired_bytes: u64,
    /// Debts that ended without a copy, because the fragment was found whole.
    pub found_well: u64,
    /// Attempts at a blob that ended with something in the way, since the process began.
    pub failures: u64,
    /// Fragments that could not be repaired in the last round, for want of drives or sources.
    pub blocked: u64,
    /// Bytes a second while there is something to repair, rests included.
    pub bytes_per_second: u64,
    /// Bytes owed by the last count that were not repaired since.
    pub remaining_bytes: u64,
    /// What last stood in the way; empty when the last round went well.
    pub last_error: String,
}

impl RepairStatus {
    /// Seconds until nothing is owed, at the present rate; `None` while nothing is repaired.
    #[must_use]
    pub fn eta_seconds(&self) -> Option<u64> {
        if self.remaining_bytes == 0 {
            return Some(0);
        }
        (self.bytes_per_second > 0).then(|| self.remaining_bytes.div_ceil(self.bytes_per_second))
    }
}

/// The repair as others see it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RepairHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    status: Mutex<RepairStatus>,
    changes: watch::Sender<()>,
}

impl RepairHandle {
    /// How it is now.
    #[must_use]
    pub fn status(&self) -> RepairStatus {
        let status = self.0.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }

    /// Tells when what is owed has become more or less.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut RepairStatus)) {
        change(&mut self.0.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn debts_changed(&self) {
        self.0.changes.send_replace(());
    }
}
