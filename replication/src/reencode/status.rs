//! What metrics see of the re-encode: counts of this process. How far a job is stands in its row.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_metadata::reencode::JobProgress;

/// What this process has re-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReencodeStatus {
    /// Blobs that were moved.
    pub moved_blobs: u64,
    /// Their bytes.
    pub moved_bytes: u64,
    /// Bytes of the fragments that were written for them.
    pub written_bytes: u64,
    /// Blobs that could not be moved.
    pub failed_blobs: u64,
    /// Whether a job is worked at.
    pub is_active: bool,
    /// Bytes that the job at hand has still to move; 0 without one.
    pub remaining_bytes: u64,
}

/// The re-encode as others see it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ReencodeHandle(Arc<Mutex<ReencodeStatus>>);

impl ReencodeHandle {
    /// How it is now.
    #[must_use]
    pub fn status(&self) -> ReencodeStatus {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn moved(&self, bytes: u64, stored_bytes: u64) {
        self.change(|status| {
            status.moved_blobs += 1;
            status.moved_bytes += bytes;
            status.written_bytes += stored_bytes;
        });
    }

    pub(super) fn failed(&self) {
        self.change(|status| status.failed_blobs += 1);
    }

    pub(super) fn at(&self, progress: Option<&JobProgress>) {
        let remaining_bytes = progress.map_or(0, JobProgress::remaining_bytes);
        self.change(|status| {
            status.is_active = progress.is_some();
            status.remaining_bytes = remaining_bytes;
        });
    }

    fn change(&self, change: impl FnOnce(&mut ReencodeStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
