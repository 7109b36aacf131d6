//! What may be destroyed now: never what a backup may still need, and nothing at all while a
//! restored metadata has not been compared with the drives.
//!
//! A backup has what was committed before it was begun. What was let go since carries a time of its
//! own (garbage and strays: not before when they may go, which is later than when they were let go),
//! so one time divides what it may need from what it can't.

use holdfast_types::mutant::{self, Mutant};

use crate::backup::Backup;
use crate::error::MetadataError;
use crate::sql::{Row, Tx, values};

/// Nothing may be destroyed: the time before all times.
pub(crate) const NOTHING: u64 = 0;

/// Garbage and strays whose time is not later than this may go.
pub(crate) async fn due_ms(tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
    let now_ms = tx.now_ms();
    let row = tx
        .fetch_one(
            "SELECT (SELECT COUNT(*) FROM meta WHERE name = 'reconcile_pending'), \
             (SELECT COALESCE(MIN(taken_ms), $1) FROM backups WHERE expires_ms > $2)",
            values![u64::MAX >> 1, now_ms],
        )
        .await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no horizon".to_owned()))?;
    if row.truth(0)? && !mutant::active(Mutant::IgnoreEpoch) {
        return Ok(NOTHING);
    }
    if mutant::active(Mutant::IgnoreBackups) {
        return Ok(now_ms);
    }
    Ok(now_ms.min(row.number(1)?.saturating_sub(1)))
}

/// Since when a restored metadata waits to be compared with the drives; `None`: it does not.
pub(crate) async fn reconcile_pending(tx: &mut Tx<'_>) -> Result<Option<u64>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT value FROM meta WHERE name = 'reconcile_pending'",
            values![],
        )
        .await?;
    let text = row.map(|row| row.text(0)).transpose()?;
    text.map(|text| {
        text.parse()
            .map_err(|_| MetadataError::Corrupt("reconcile_pending is no time".to_owned()))
    })
    .transpose()
}

/// All backups, newest first.
pub(crate) async fn backups(tx: &mut Tx<'_>) -> Result<Vec<Backup>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT backup_id, taken_ms, expires_ms, place, bytes FROM backups \
             ORDER BY taken_ms DESC, backup_id",
            values![],
        )
        .await?;
    rows.iter().map(read_backup).collect()
}

fn read_backup(row: &Row) -> Result<Backup, MetadataError> {
    Ok(Backup {
        id: row.uuid(0)?,
        taken_ms: row.number(1)?,
        expires_ms: row.number(2)?,
        place: row.text(3)?,
        bytes: row.number(4)?,
    })
}
