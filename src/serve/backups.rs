//! Backups of the metadata that an operator asks for: an image in a file of this machine, made
//! durable under its name only when it is whole, or in a bucket of this very store, with a slip on
//! every drive that says how to find it when the metadata is lost.

mod bucket;
mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_gateway::admin::view::{BackupView, BackupsView};
use holdfast_gateway::admin::{
    BackupTarget, Backups, NotDone, Upkeep, Verification, WorkerOrder, view,
};
use holdfast_gateway::ops::{Gateway, NewObject};
use holdfast_metadata::backup::Backup;
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_storage_node::LocalStore;
use holdfast_types::{Clock, ClusterId};
use uuid::Uuid;

/// Takes backups of one metadata, and ends the wait after a restore.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) metadata: Metadata,
    /// The metadata's cluster.
    pub(crate) cluster: ClusterId,
    pub(crate) verification: Arc<dyn Verification>,
    /// Puts objects into buckets.
    pub(crate) gateway: Gateway,
    /// The drives that get slips.
    pub(crate) store: Arc<LocalStore>,
    /// Drives that must have a slip before a backup counts.
    pub(crate) slips_needed: usize,
    pub(crate) clock: Arc<dyn Clock>,
    /// Orders the inventory once fragments may be judged again.
    pub(crate) upkeep: Arc<dyn Upkeep>,
}

impl Keeper {
    async fn take_now(&self, target: BackupTarget, keep: Duration) -> Result<BackupView, NotDone> {
        let (place, write) = match target {
            BackupTarget::File(file) => {
                file::check(&file)?;
                (file.display().to_string(), To::File(file))
            }
            BackupTarget::Bucket { bucket, key } => {
                let object = bucket::name(bucket, key, self.clock.now_ms())?;
                (bucket::place(&object), To::Bucket(object))
            }
        };
        // Recorded first: what it may have is destroyed by nobody from now on.
        let begun = self.metadata.begin_backup(&place, keep).await;
        let mut backup = begun.map_err(not_done)?;
        let written = match &write {
            To::File(file) => self.write_file(file, &backup).await,
            To::Bucket(object) => self.write_object(object, &backup).await,
        };
        match written {
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
}

/// A target that was looked at.
enum To {
    File(PathBuf),
    Bucket(NewObject),
}

#[async_trait]
impl Backups for Keeper {
    async fn take(&self, target: BackupTarget, keep: Duration) -> Result<BackupView, NotDone> {
        let keeper = self.clone();
        let taken = tokio::spawn(async move { keeper.take_now(target, keep).await });
        taken
            .await
            .map_err(|died| NotDone::Failed(died.to_string()))?
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
        self.metadata.forget_backup(id).await.map_err(not_done)?;
        self.tidy_slips().await;
        Ok(())
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
        let confirmed = self.metadata.confirm_reconciled().await.map_err(not_done)?;
        // What nothing needs is noted now rather than at the inventory's next time.
        if let Err(error) = self.upkeep.order("inventory", WorkerOrder::Run).await {
            tracing::debug!("the inventory looks when it is due: {error}");
        }
        Ok(confirmed)
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
