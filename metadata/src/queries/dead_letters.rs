//! Events that their targets refused.

use crate::error::MetadataError;
use crate::model::{BucketId, ChangeCursor};
use crate::notification::{AskedLetter, DeadLetter, LetterCount};
use crate::sql::{Row, Tx, values};

/// A webhook's letters, newest first.
pub(crate) async fn newest(
    tx: &mut Tx<'_>,
    webhook: &str,
    limit: usize,
) -> Result<Vec<DeadLetter>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT transaction_id, change_number, bucket_id, bucket_name, key, event, body, \
             reason, at_ms, asked_ms FROM dead_letters WHERE webhook = $1 \
             ORDER BY transaction_id DESC, change_number DESC LIMIT $2",
            values![webhook, limit],
        )
        .await?;
    rows.iter().map(|row| read(webhook, row)).collect()
}

/// A webhook's letters behind a place, oldest first: in the order in which they are posted.
pub(crate) async fn after(
    tx: &mut Tx<'_>,
    webhook: &str,
    after: ChangeCursor,
    limit: usize,
) -> Result<Vec<DeadLetter>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT transaction_id, change_number, bucket_id, bucket_name, key, event, body, \
             reason, at_ms, asked_ms FROM dead_letters \
             WHERE webhook = $1 AND (transaction_id, change_number) > ($2, $3) \
             ORDER BY transaction_id, change_number LIMIT $4",
            values![webhook, after.transaction, after.number, limit],
        )
        .await?;
    rows.iter().map(|row| read(webhook, row)).collect()
}

/// The first letter behind a place that an operator asked for and that no other of its key is to be
/// posted before.
pub(crate) async fn asked(
    tx: &mut Tx<'_>,
    webhook: &str,
    after: ChangeCursor,
) -> Result<Option<AskedLetter>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT transaction_id, change_number, bucket_id, bucket_name, key, event, body, \
             reason, at_ms, asked_ms FROM dead_letters AS letter \
             WHERE webhook = $1 AND asked_ms IS NOT NULL \
             AND (transaction_id, change_number) > ($2, $3) AND NOT EXISTS \
             (SELECT 1 FROM dead_letters AS earlier WHERE earlier.webhook = $1 \
             AND earlier.asked_ms IS NOT NULL \
             AND earlier.bucket_id = letter.bucket_id AND earlier.key = letter.key \
             AND (earlier.transaction_id, earlier.change_number) < \
             (letter.transaction_id, letter.change_number)) \
             ORDER BY transaction_id, change_number LIMIT 1",
            values![webhook, after.transaction, after.number],
        )
        .await?;
    let letter = row.map(|row| read(webhook, &row)).transpose()?;
    Ok(letter.and_then(|letter| {
        letter
            .asked_ms
            .map(|asked_ms| AskedLetter { letter, asked_ms })
    }))
}

/// How many there are.
pub(crate) async fn count(tx: &mut Tx<'_>, webhook: &str) -> Result<LetterCount, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT COUNT(*), COUNT(asked_ms) FROM dead_letters WHERE webhook = $1",
            values![webhook],
        )
        .await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no count".to_owned()))?;
    Ok(LetterCount {
        all: row.number(0)?,
        asked: row.number(1)?,
    })
}

fn read(webhook: &str, row: &Row) -> Result<DeadLetter, MetadataError> {
    Ok(DeadLetter {
        webhook: webhook.to_owned(),
        cursor: ChangeCursor {
            transaction: row.number(0)?,
            number: row.number(1)?,
        },
        bucket: BucketId(row.signed(2)?),
        bucket_name: row.text(3)?,
        key: row.bytes(4)?,
        event: row.text(5)?,
        body: row.text(6)?,
        reason: row.text(7)?,
        at_ms: row.number(8)?,
        asked_ms: row.optional_small(9)?,
    })
}
