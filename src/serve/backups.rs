//! Backups of the metadata that an operator asks for: an image in a file of this machine, made
//! durable under its name only when it is whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_gateway::admin::view::{BackupView, BackupsView};
use holdfast_gateway::admin::{Backups, NotDone, Verification, view};
use holdfast_metadata::backup::Backup;
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::ClusterId;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

/// Takes backups of one metadata, and ends the wait after a restore.
pub(crate) struct Keeper {
    metadata: Metadata,
    cluster: ClusterId,
    verification: Arc<dyn Verification>,
}

impl Keeper {
    /// Of `metadata`, which is `cluster`'s.
    pub(crate) fn new(
        metadata: Metadata,
        cluster: ClusterId,
        verification: Arc<dyn Verification>,
    ) -> Self {
        Self {
            metadata,
            cluster,
            verification,
        }
    }

    /// Writes the image beside its place, and gives it its name when it is whole and durable.
    async fn write(&self, place: &Path) -> Result<u64, NotDone> {
        let failed = |error: io::Error| NotDone::Failed(format!("{}: {error}", place.display()));
        let mut partial = place.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut file = tokio::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .await
            .map_err(failed)?;
        let stream = self.metadata.image(Some(self.cluster)).await;
        let mut stream = stream.map_err(|error| NotDone::Failed(error.to_string()))?;
        let mut bytes = 0;
        while let Some(chunk) = stream.chunks.recv().await {
            file.write_all(&chunk).await.map_err(failed)?;
            bytes += chunk.len() as u64;
        }
        let ended = stream.done.await.map_err(|error| error.to_string());
        ended
            .and_then(|ended| ended.map_err(|error| error.to_string()))
            .map_err(NotDone::Failed)?;
        file.sync_all().await.map_err(failed)?;
        tokio::fs::rename(&partial, place).await.map_err(failed)?;
        let folder = place.parent().unwrap_or(Path::new("/")).to_owned();
        let synced = tokio::task::spawn_blocking(move || std::fs::File::open(folder)?.sync_all());
        synced
            .await
            .map_err(|error| failed(io::Error::other(error)))?
            .map_err(failed)?;
        Ok(bytes)
    }
}

#[async_trait]
impl Backups for Keeper {
    async fn take(&self, file: PathBuf, keep: Duration) -> Result<BackupView, NotDone> {
        if !file.is_absolute() {
            return Err(NotDone::Invalid(
                "the file is named from the root of the server's machine: /...".to_owned(),
            ));
        }
        if file.exists() {
            return Err(NotDone::Conflict(format!(
                "{} is there already: a backup replaces nothing",
                file.display()
            )));
        }
        // Recorded first: what it may have is destroyed by nobody from now on.
        let place = file.display().to_string();
        let begun = self.metadata.begin_backup(&place, keep).await;
        let mut backup = begun.map_err(not_done)?;
        match self.write(&file).await {
            Ok(bytes) => {
                let noted = self.metadata.finish_backup(backup.id, bytes).await;
                noted.map_err(not_done)?;
                backup.bytes = bytes;
                Ok(shown(&backup))
            }
            Err(error) => {
                // A pin without a backup only keeps garbage a while longer.
                let _pinned = self.metadata.forget_backup(backup.id).await;
                Err(error)
            }
        }
    }

    async fn list(&self) -> Result<BackupsView, NotDone> {
        let backups = self.metadata.backups().await.map_err(not_done)?;
        let pending = self.metadata.reconcile_pending().await.map_err(not_done)?;
        Ok(BackupsView {
            backups: backups.iter().map(shown).collect(),
            reconcile_pending_since_ms: pending,
        })
    }

    async fn forget(&self, id: Uuid) -> Result<(), NotDone> {
        self.metadata.forget_backup(id).await.map_err(not_done)
    }

    async fn confirm(&self) -> Result<bool, NotDone> {
        let pending = self.metadata.reconcile_pending().await.map_err(not_done)?;
        let Some(since_ms) = pending else {
            return Ok(false);
        };
        let look = self.verification.look();
        let is_compared = look.state == view::VerifyState::Ended
            && began_ms(&look).is_some_and(|at| at >= since_ms);
        if !is_compared {
            return Err(NotDone::Conflict(
                "the drives have not been compared with the restored metadata: run `holdfast admin \
                 metadata reconcile` first, and look at what it says"
                    .to_owned(),
            ));
        }
        self.metadata.confirm_reconciled().await.map_err(not_done)
    }
}

fn began_ms(look: &view::VerifyView) -> Option<u64> {
    look.report.as_ref()?.get("began_ms")?.as_u64()
}

fn shown(backup: &Backup) -> BackupView {
    BackupView {
        id: backup.id.simple().to_string(),
        taken_ms: backup.taken_ms,
        expires_ms: backup.expires_ms,
        place: backup.place.clone(),
        bytes: backup.bytes,
    }
}

fn not_done(error: MetadataError) -> NotDone {
    match error {
        MetadataError::NotFound(_) => NotDone::NotFound("there is no such backup".to_owned()),
        MetadataError::Exists(_) => {
            NotDone::Conflict("there are a thousand unexpired backups: forget some".to_owned())
        }
        error => NotDone::Failed(error.to_string()),
    }
}
