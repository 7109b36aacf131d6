//! Backups come and go, and a restored metadata is taken for reconciled.

use uuid::Uuid;

use crate::backup::Backup;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::queries::horizon;
use crate::sql::{Tx, values};

/// Backups that are remembered at most: each is pinned to its end, so nobody needs more.
const MAX_BACKUPS: usize = 1000;

/// Records that a backup is begun: from now on nothing that it may have is destroyed. Those that
/// expired more than their own time ago are forgotten.
pub(crate) struct BeginBackup {
    pub(crate) id: Uuid,
    pub(crate) place: String,
    pub(crate) keep_ms: u64,
}

impl Apply for BeginBackup {
    type Outcome = Backup;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Backup, MetadataError> {
        let taken_ms = tx.now_ms();
        let backup = Backup {
            id: self.id,
            taken_ms,
            expires_ms: taken_ms.saturating_add(self.keep_ms),
            place: self.place.clone(),
            bytes: 0,
        };
        let known = horizon::backups(tx).await?;
        if known.len() >= MAX_BACKUPS {
            let oldest = known
                .iter()
                .filter(|known| known.expires_ms <= taken_ms)
                .min_by_key(|known| known.expires_ms);
            match oldest {
                Some(oldest) => forget(tx, &oldest.id).await?,
                None => return Err(MetadataError::Exists("backup a thousand times")),
            };
        }
        tx.execute(
            "INSERT INTO backups (backup_id, taken_ms, expires_ms, place, bytes) \
             VALUES ($1, $2, $3, $4, 0) ON CONFLICT (backup_id) DO NOTHING",
            values![
                &self.id,
                backup.taken_ms,
                backup.expires_ms,
                self.place.as_str()
            ],
        )
        .await?;
        Ok(backup)
    }
}

/// Records that a backup is whole.
pub(crate) struct FinishBackup {
    pub(crate) id: Uuid,
    pub(crate) bytes: u64,
}

impl Apply for FinishBackup {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let found = tx
            .execute(
                "UPDATE backups SET bytes = $2 WHERE backup_id = $1",
                values![&self.id, self.bytes],
            )
            .await?;
        match found {
            0 => Err(MetadataError::NotFound("backup")),
            _ => Ok(()),
        }
    }
}

/// Forgets a backup: what it pinned may go.
pub(crate) struct ForgetBackup(pub(crate) Uuid);

impl Apply for ForgetBackup {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        match forget(tx, &self.0).await? {
            0 => Err(MetadataError::NotFound("backup")),
            _ => Ok(()),
        }
    }
}

async fn forget(tx: &mut Tx<'_>, id: &Uuid) -> Result<u64, MetadataError> {
    tx.execute("DELETE FROM backups WHERE backup_id = $1", values![id])
        .await
}

/// Takes a restored metadata for compared with the drives. Whether it was waiting for that.
pub(crate) struct ConfirmReconciled;

impl Apply for ConfirmReconciled {
    type Outcome = bool;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<bool, MetadataError> {
        let waited = tx
            .execute(
                "DELETE FROM meta WHERE name = 'reconcile_pending'",
                values![],
            )
            .await?;
        Ok(waited > 0)
    }
}
