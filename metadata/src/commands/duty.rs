//! What is wanted of a drive is changed, and what is wanted of the workers.

use holdfast_types::DriveId;

use crate::drives::{DriveDuty, WorkerOrders};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::sql::{Tx, values};

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
        if now == self.to.as_str() {
            return Ok(true);
        }
        let now_ms = tx.now_ms();
        tx.execute(
            "UPDATE drives SET duty = $2, duty_since_ms = $3 WHERE drive_number = $1",
            values![number, self.to.as_str(), now_ms],
        )
        .await?;
        if self.to == DriveDuty::Removed {
            // Nobody can delete them there any more; and a repair that has reserved the drive must
            // not settle on it.
            tx.execute(
                "DELETE FROM strays WHERE drive_number = $1",
                values![number],
            )
            .await?;
        }
        Ok(true)
    }
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
