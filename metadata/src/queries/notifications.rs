//! Webhooks, rules, and how far readers of the change log have come.

use crate::commands::change_log::read_consumer;
use crate::error::MetadataError;
use crate::model::{BucketId, ChangeCursor};
use crate::notification::{
    Backlog, ChangeConsumer, NotificationRule, Notifications, TestMessage, Webhook,
};
use crate::sql::{Tx, values};

/// All webhooks, by name. There are few: an operator makes each by hand.
pub(crate) async fn webhooks(tx: &mut Tx<'_>) -> Result<Vec<Webhook>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT name, webhook_number, detail, token FROM webhooks ORDER BY name",
            values![],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Webhook {
                name: row.text(0)?,
                number: row.number(1)?,
                detail: row.json(2)?,
                token: row.optional_text(3)?,
            })
        })
        .collect()
}

/// What a bucket wants to be told of now.
pub(crate) async fn of_bucket(
    tx: &mut Tx<'_>,
    bucket: BucketId,
) -> Result<Vec<NotificationRule>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT rules FROM notifications WHERE notification_number = \
             (SELECT notification FROM buckets WHERE bucket_id = $1)",
            values![bucket.0],
        )
        .await?;
    Ok(row.map(|row| row.json(0)).transpose()?.unwrap_or_default())
}

/// The rules of a number, until the last change under them was trimmed.
pub(crate) async fn numbered(
    tx: &mut Tx<'_>,
    number: u64,
) -> Result<Option<Notifications>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT bucket_name, rules FROM notifications WHERE notification_number = $1",
            values![number],
        )
        .await?;
    row.map(|row| {
        Ok(Notifications {
            bucket_name: row.text(0)?,
            rules: row.json(1)?,
        })
    })
    .transpose()
}

/// A consumer of the change log.
pub(crate) async fn consumer(
    tx: &mut Tx<'_>,
    name: &str,
) -> Result<Option<ChangeConsumer>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT name, transaction_id, change_number, skipped, skipped_ms \
             FROM change_consumers WHERE name = $1",
            values![name],
        )
        .await?;
    row.as_ref().map(read_consumer).transpose()
}

/// What comes after a cursor, looking at `limit` rows at most.
pub(crate) async fn backlog(
    tx: &mut Tx<'_>,
    after: ChangeCursor,
    limit: usize,
) -> Result<Backlog, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT COUNT(CASE WHEN notification <> 0 THEN 1 END), COUNT(*), \
             MIN(CASE WHEN notification <> 0 THEN at_ms END) FROM \
             (SELECT notification, at_ms FROM changes \
             WHERE (transaction_id, change_number) > ($1, $2) \
             ORDER BY transaction_id, change_number LIMIT $3) AS ahead",
            values![after.transaction, after.number, limit],
        )
        .await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no backlog".to_owned()))?;
    Ok(Backlog {
        changes: row.number(0)?,
        more: row.number(1)? >= limit as u64,
        oldest_ms: row.optional_small(2)?,
    })
}

/// Messages that a webhook is yet to be sent, oldest first.
pub(crate) async fn messages(
    tx: &mut Tx<'_>,
    webhook: &str,
    limit: usize,
) -> Result<Vec<TestMessage>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT message_number, bucket_name, request_id, at_ms FROM webhook_messages \
             WHERE webhook = $1 ORDER BY message_number LIMIT $2",
            values![webhook, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(TestMessage {
                number: row.number(0)?,
                bucket_name: row.text(1)?,
                request_id: row.text(2)?,
                at_ms: row.number(3)?,
            })
        })
        .collect()
}
