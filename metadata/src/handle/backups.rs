//! Backups, and what waits after a restore.

use std::time::Duration;

use uuid::Uuid;

use super::{Metadata, Result};
use crate::backup::Backup;
use crate::commands::backups::{BeginBackup, ConfirmReconciled, FinishBackup, ForgetBackup};
use crate::queries::horizon;

/// Backups.
impl Metadata {
    /// Records that a backup to `place` is begun: until it expires, nothing is destroyed that an
    /// image taken from now on knows.
    ///
    /// # Errors
    /// `Exists` (there are too many), `Unavailable`, `Database`.
    pub async fn begin_backup(&self, place: &str, keep: Duration) -> Result<Backup> {
        self.run(BeginBackup {
            id: Uuid::now_v7(),
            place: place.to_owned(),
            keep_ms: u64::try_from(keep.as_millis()).unwrap_or(u64::MAX >> 2),
        })
        .await
    }

    /// Records that a backup is whole.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Database`.
    pub async fn finish_backup(&self, id: Uuid, bytes: u64) -> Result<()> {
        self.run(FinishBackup { id, bytes }).await
    }

    /// Forgets a backup: what it pinned may be destroyed.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Database`.
    pub async fn forget_backup(&self, id: Uuid) -> Result<()> {
        self.run(ForgetBackup(id)).await
    }

    /// All backups, newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn backups(&self) -> Result<Vec<Backup>> {
        query!(self.reader, horizon::backups())
    }

    /// Since when this metadata, which was restored, waits to be compared with the drives: until
    /// then nothing is destroyed. `None`: it does not.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn reconcile_pending(&self) -> Result<Option<u64>> {
        query!(self.reader, horizon::reconcile_pending())
    }

    /// Lets things be destroyed again after a restore. Whether that was not so.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn confirm_reconciled(&self) -> Result<bool> {
        self.run(ConfirmReconciled).await
    }
}
