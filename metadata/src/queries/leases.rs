//! Who works at what.

use uuid::Uuid;

use crate::error::MetadataError;
use crate::lease::{LeaseAnswer, WorkerLease};
use crate::sql::{Row, Tx, values};

/// A lease's row but for its name.
pub(crate) struct LeaseRow {
    pub(crate) generation: u64,
    pub(crate) holder: Uuid,
    pub(crate) holder_name: String,
    pub(crate) since_ms: u64,
    pub(crate) until_ms: u64,
}

impl LeaseRow {
    /// What one is answered who may not have it.
    pub(crate) fn theirs(self, now_ms: u64) -> LeaseAnswer {
        LeaseAnswer::Theirs {
            holder_name: self.holder_name,
            since_ms: self.since_ms,
            left_ms: self.until_ms.saturating_sub(now_ms),
        }
    }
}

/// Reads generation, holder, its name, since and until, from column `first`.
pub(crate) fn read_lease(row: &Row, first: usize) -> Result<LeaseRow, MetadataError> {
    Ok(LeaseRow {
        generation: row.number(first)?,
        holder: row.uuid(first + 1)?,
        holder_name: row.text(first + 2)?,
        since_ms: row.number(first + 3)?,
        until_ms: row.number(first + 4)?,
    })
}

/// All leases that ever were, by name.
pub(crate) async fn all(tx: &mut Tx<'_>) -> Result<Vec<WorkerLease>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT name, generation, holder, holder_name, since_ms, until_ms \
             FROM worker_leases ORDER BY name",
            values![],
        )
        .await?;
    let now_ms = tx.database_now_ms().await?;
    rows.iter()
        .map(|row| {
            let lease = read_lease(row, 1)?;
            Ok(WorkerLease {
                name: row.text(0)?,
                generation: lease.generation,
                holder: lease.holder,
                holder_name: lease.holder_name,
                since_ms: lease.since_ms,
                left_ms: lease.until_ms.saturating_sub(now_ms),
            })
        })
        .collect()
}
