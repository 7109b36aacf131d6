//! Readers of the change log: how far they have come, and what may go.
//!
//! A row goes when every consumer has passed it, and on PostgreSQL only from below the oldest
//! transaction that has not ended: a consumer that is being registered begins there. Where one does
//! not come for too long the log is cut before it, and how much it lost is counted.

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::ChangeCursor;
use crate::notification::{ChangeConsumer, LogBounds, Trimmed};
use crate::sql::{Row, Tx, values};

/// Remembers how far a consumer has come. It never goes back.
pub(crate) struct PassChanges {
    pub(crate) consumer: String,
    pub(crate) cursor: ChangeCursor,
}

impl Apply for PassChanges {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        tx.execute(
            "UPDATE change_consumers SET transaction_id = $2, change_number = $3 \
             WHERE name = $1 AND (transaction_id, change_number) < ($2, $3)",
            values![&self.consumer, self.cursor.transaction, self.cursor.number],
        )
        .await?;
        Ok(())
    }
}

/// Removes up to `limit` rows of the change log that nobody needs any more, or that are too many.
pub(crate) struct TrimChanges {
    pub(crate) bounds: LogBounds,
    pub(crate) limit: usize,
}

/// A row of the log, as far as trimming looks at it.
struct Aged {
    cursor: ChangeCursor,
    at_ms: u64,
}

impl Apply for TrimChanges {
    type Outcome = Trimmed;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Trimmed, MetadataError> {
        let passed = self.trim_passed(tx).await?;
        if passed >= self.limit as u64 {
            return Ok(Trimmed {
                passed,
                ..Trimmed::default()
            });
        }
        let (forced, late) = self.cut(tx).await?;
        if passed + forced > 0 {
            forget_rules(tx).await?;
        }
        Ok(Trimmed {
            passed,
            forced,
            late,
        })
    }
}

impl TrimChanges {
    async fn trim_passed(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        // One statement, so that who registers later begins no earlier than the place it gives.
        let sql = tx.dialect().pick(
            "SELECT transaction_id, change_number FROM \
             (SELECT transaction_id, change_number FROM change_consumers \
             UNION ALL SELECT 0, 9223372036854775807) AS floors \
             ORDER BY transaction_id, change_number LIMIT 1",
            "SELECT transaction_id, change_number FROM \
             (SELECT transaction_id, change_number FROM change_consumers UNION ALL \
             SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT), 0) \
             AS floors ORDER BY transaction_id, change_number LIMIT 1",
        );
        let row = tx.fetch_one(sql, values![]).await?;
        let row = row.ok_or_else(|| MetadataError::Corrupt("no floor of changes".to_owned()))?;
        tx.execute(
            "DELETE FROM changes WHERE change_number IN (SELECT change_number FROM changes \
             WHERE (transaction_id, change_number) <= ($1, $2) \
             ORDER BY transaction_id, change_number LIMIT $3)",
            values![row.number(0)?, row.number(1)?, self.limit],
        )
        .await
    }

    /// Cuts the log where it is longer than it may be.
    async fn cut(&self, tx: &mut Tx<'_>) -> Result<(u64, Vec<ChangeConsumer>), MetadataError> {
        let newest = tx
            .fetch_one(
                "SELECT change_number FROM changes \
                 ORDER BY transaction_id DESC, change_number DESC LIMIT 1",
                values![],
            )
            .await?;
        let Some(newest) = newest else {
            return Ok((0, Vec::new()));
        };
        let keep_from = newest.number(0)?.saturating_sub(self.bounds.rows);
        let keep_since_ms = tx.now_ms().saturating_sub(self.bounds.age_ms);
        let sql = tx.dialect().pick(
            "SELECT transaction_id, change_number, at_ms FROM changes \
             ORDER BY transaction_id, change_number LIMIT $1",
            "SELECT transaction_id, change_number, at_ms FROM changes WHERE transaction_id < \
             CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) \
             ORDER BY transaction_id, change_number LIMIT $1",
        );
        let rows = tx.fetch(sql, values![self.limit]).await?;
        let rows: Vec<Aged> = rows.iter().map(read_aged).collect::<Result<_, _>>()?;
        let too_much = |row: &&Aged| row.cursor.number < keep_from || row.at_ms < keep_since_ms;
        let Some(last) = rows.iter().take_while(too_much).last() else {
            return Ok((0, Vec::new()));
        };
        let late = pass_by_force(tx, last.cursor).await?;
        let removed = tx
            .execute(
                "DELETE FROM changes WHERE (transaction_id, change_number) <= ($1, $2)",
                values![last.cursor.transaction, last.cursor.number],
            )
            .await?;
        Ok((removed, late))
    }
}

fn read_aged(row: &Row) -> Result<Aged, MetadataError> {
    Ok(Aged {
        cursor: ChangeCursor {
            transaction: row.number(0)?,
            number: row.number(1)?,
        },
        at_ms: row.number(2)?,
    })
}

/// Takes along who has not come as far as `to`, and counts what each of them never saw.
async fn pass_by_force(
    tx: &mut Tx<'_>,
    to: ChangeCursor,
) -> Result<Vec<ChangeConsumer>, MetadataError> {
    let now_ms = tx.now_ms();
    let rows = tx
        .fetch(
            "UPDATE change_consumers SET skipped = skipped + (SELECT COUNT(*) FROM changes \
             WHERE changes.notification <> 0 \
             AND (changes.transaction_id, changes.change_number) > \
             (change_consumers.transaction_id, change_consumers.change_number) \
             AND (changes.transaction_id, changes.change_number) <= ($1, $2)), \
             skipped_ms = $3, transaction_id = $1, change_number = $2 \
             WHERE (transaction_id, change_number) < ($1, $2) \
             RETURNING name, transaction_id, change_number, skipped, skipped_ms",
            values![to.transaction, to.number, now_ms],
        )
        .await?;
    rows.iter().map(read_consumer).collect()
}

/// A consumer from its row.
pub(crate) fn read_consumer(row: &Row) -> Result<ChangeConsumer, MetadataError> {
    Ok(ChangeConsumer {
        name: row.text(0)?,
        cursor: ChangeCursor {
            transaction: row.number(1)?,
            number: row.number(2)?,
        },
        skipped: row.number(3)?,
        skipped_ms: row.optional_small(4)?,
    })
}

/// Rules that no row is under any more, and none will be.
async fn forget_rules(tx: &mut Tx<'_>) -> Result<(), MetadataError> {
    tx.execute(
        "DELETE FROM notifications WHERE until_transaction IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM changes WHERE (changes.transaction_id, changes.change_number) < \
         (notifications.until_transaction, notifications.until_number))",
        values![],
    )
    .await?;
    Ok(())
}
