//! What is wanted of a drive is changed, and what is wanted of the workers.
//!
//! A drive may be removed while a write, a repair or a re-encode that had chosen it is under way.
//! Whoever makes a placement name a drive asks [`removed_of`] in the same transaction, after its
//! first write there, and refuses or owes the fragment. One that asked a moment before the removal
//! is committed may still end after it: whoever searches the placements for what was on the drive
//! must do so (again) when all transactions of that time have ended (`Metadata::running`).

use holdfast_types::DriveId;

use crate::drives::{DriveDuty, WorkerOrders};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::sql::{Dialect, Tx, values};

/// Gives a drive another duty if it has one of those in `from`; whether it had.
pub(crate) struct SetDuty {
    pub(crate) drive: DriveId,
    pub(crate) from: Vec<DriveDuty>,
    pub(crate) to: DriveDuty,
}

impl Apply for SetDuty {
    type Outcome = bool;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<bool, MetadataError> {
        let number = tx.drives().stored_number(Some(self.drive))?;
        let row = tx
            .fetch_one(
                "SELECT duty FROM drives WHERE drive_number = $1 FOR UPDATE",
                values![number],
            )
            .await?;
        let now = row.ok_or(MetadataError::NotFound("drive"))?.text(0)?;
        if !self.from.iter().any(|duty| duty.as_str() == now) {
            return Ok(false);
        }
        if self.to == DriveDuty::Removed {
            // Nobody can delete them there any more; and a repair that has reserved the drive must
            // not settle on it. Said again, it ends those that came while it was said first.
            tx.execute(
                "DELETE FROM strays WHERE drive_number = $1",
                values![number],
            )
            .await?;
        }
        if now == self.to.as_str() {
            return Ok(true);
        }
        let now_ms = tx.now_ms();
        tx.execute(
            "UPDATE drives SET duty = $2, duty_since_ms = $3 WHERE drive_number = $1",
            values![number, self.to.as_str(), now_ms],
        )
        .await?;
        Ok(true)
    }
}

/// Those of some drives (their numbers, in any order) that were removed for good.
pub(crate) async fn removed_of(
    tx: &mut Tx<'_>,
    drives: impl IntoIterator<Item = u32>,
) -> Result<Vec<u32>, MetadataError> {
    let named: Vec<String> = drives
        .into_iter()
        .filter(|number| *number != 0)
        .map(|number| number.to_string())
        .collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let named = named.join(",");
    let (sql, named) = match tx.dialect() {
        Dialect::Sqlite => (
            "SELECT drive_number FROM drives WHERE duty = 'removed' \
             AND drive_number IN (SELECT value FROM json_each($1))",
            format!("[{named}]"),
        ),
        Dialect::Postgres => (
            "SELECT drive_number FROM drives WHERE duty = 'removed' \
             AND drive_number = ANY(CAST($1 AS BIGINT[]))",
            format!("{{{named}}}"),
        ),
    };
    let rows = tx.fetch(sql, values![&named]).await?;
    rows.iter().map(|row| row.small(0)).collect()
}

/// Remembers what an operator told the workers of one name.
pub(crate) struct PutOrders(pub(crate) WorkerOrders);

impl Apply for PutOrders {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let WorkerOrders {
            name,
            pace_percent,
            paused,
        } = &self.0;
        tx.execute(
            "INSERT INTO worker_orders (name, pace_percent, paused) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET pace_percent = excluded.pace_percent, \
             paused = excluded.paused",
            values![
                name,
                u32::from(pace_percent.unwrap_or_default()),
                u32::from(*paused)
            ],
        )
        .await?;
        Ok(())
    }
}
