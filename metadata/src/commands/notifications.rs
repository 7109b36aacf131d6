//! Webhooks and what buckets want to be told of.
//!
//! A bucket's row is locked FOR UPDATE when it is given other rules, so that every change that was
//! committed with the old ones has ended. Webhooks are locked after the bucket, in the order of
//! their names.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::notification::{NotificationRule, Webhook, webhook_consumer};
use crate::sql::{Tx, values};

/// Makes a webhook, which reads the change log from now on.
pub(crate) struct CreateWebhook(pub(crate) Webhook);

impl Apply for CreateWebhook {
    /// Its number.
    type Outcome = u64;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        let detail = super::json(&self.0.detail)?;
        let made = tx
            .fetch_one(
                "INSERT INTO webhooks (name, detail, token) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO NOTHING RETURNING webhook_number",
                values![&self.0.name, &detail, self.0.token.as_deref()],
            )
            .await?;
        let number = made.ok_or(MetadataError::Exists("webhook"))?.number(0)?;
        register(tx, &webhook_consumer(&self.0.name, number)).await?;
        Ok(number)
    }
}

/// Lets a consumer begin with what is committed from now on: on PostgreSQL at the oldest
/// transaction that has not ended, because rows of it are still to come.
async fn register(tx: &mut Tx<'_>, name: &str) -> Result<(), MetadataError> {
    let sql = tx.dialect().pick(
        "INSERT INTO change_consumers (name, transaction_id, change_number, skipped) \
         SELECT $1, 0, COALESCE(MAX(change_number), 0), 0 FROM changes \
         WHERE true ON CONFLICT (name) DO NOTHING",
        "INSERT INTO change_consumers (name, transaction_id, change_number, skipped) \
         VALUES ($1, CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT), 0, 0) \
         ON CONFLICT (name) DO NOTHING",
    );
    tx.execute(sql, values![name]).await?;
    Ok(())
}

/// Removes a webhook with all that waits for it, unless a bucket sends events to it.
pub(crate) struct DeleteWebhook {
    pub(crate) name: String,
}

impl Apply for DeleteWebhook {
    /// A bucket that still sends events to it: then nothing was removed.
    type Outcome = Option<String>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Option<String>, MetadataError> {
        let found = tx
            .fetch_one(
                "SELECT webhook_number FROM webhooks WHERE name = $1 FOR UPDATE",
                values![&self.name],
            )
            .await?;
        let found = found.ok_or(MetadataError::NotFound("webhook"))?;
        let consumer = webhook_consumer(&self.name, found.number(0)?);
        let user = tx
            .fetch_one(
                "SELECT bucket_name FROM notification_uses JOIN notifications \
                 ON notifications.notification_number = notification_uses.notification_number \
                 WHERE webhook = $1 ORDER BY notification_uses.notification_number LIMIT 1",
                values![&self.name],
            )
            .await?;
        if let Some(user) = user {
            return user.text(0).map(Some);
        }
        for sql in [
            "DELETE FROM webhook_messages WHERE webhook = $1",
            "DELETE FROM dead_letters WHERE webhook = $1",
            "DELETE FROM change_consumers WHERE name = $1",
        ] {
            tx.execute(sql, values![&consumer]).await?;
        }
        tx.execute("DELETE FROM webhooks WHERE name = $1", values![&self.name])
            .await?;
        Ok(None)
    }
}

/// Gives a bucket other rules, or none.
pub(crate) struct SetNotifications {
    pub(crate) bucket: String,
    pub(crate) rules: Vec<NotificationRule>,
    /// Sends each webhook a message about it, in the name of this request.
    pub(crate) test: Option<String>,
}

impl Apply for SetNotifications {
    /// The webhooks that are not there: then nothing was changed.
    type Outcome = Vec<String>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Vec<String>, MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT bucket_id, notification FROM buckets WHERE name = $1 FOR UPDATE",
                values![&self.bucket],
            )
            .await?;
        let row = row.ok_or(MetadataError::NoSuchBucket)?;
        let (bucket, old) = (row.signed(0)?, row.signed(1)?);
        let webhooks: BTreeSet<&str> = self
            .rules
            .iter()
            .map(|rule| rule.webhook.as_str())
            .collect();
        let numbers = lock_webhooks(tx, &webhooks).await?;
        let missing = |webhook: &&&str| !numbers.contains_key(**webhook);
        let missing: Vec<String> = webhooks
            .iter()
            .filter(missing)
            .map(|webhook| (*webhook).to_owned())
            .collect();
        if !missing.is_empty() {
            return Ok(missing);
        }
        end(tx, old).await?;
        let number = self.begin(tx, bucket, &numbers).await?;
        tx.execute(
            "UPDATE buckets SET notification = $2 WHERE bucket_id = $1",
            values![bucket, number],
        )
        .await?;
        if let Some(request_id) = &self.test {
            let now_ms = tx.now_ms();
            for (webhook, number) in numbers {
                let consumer = webhook_consumer(webhook, number);
                tx.execute(
                    "INSERT INTO webhook_messages (webhook, bucket_name, request_id, at_ms) \
                     VALUES ($1, $2, $3, $4)",
                    values![&consumer, &self.bucket, request_id, now_ms],
                )
                .await?;
            }
        }
        Ok(Vec::new())
    }
}

/// Webhooks by name, with their numbers.
type Numbers<'w> = BTreeMap<&'w str, u64>;

/// Those of the webhooks that are there, which stay until this ends.
async fn lock_webhooks<'w>(
    tx: &mut Tx<'_>,
    webhooks: &BTreeSet<&'w str>,
) -> Result<Numbers<'w>, MetadataError> {
    let mut numbers = BTreeMap::new();
    for webhook in webhooks {
        let found = tx
            .fetch_one(
                "SELECT webhook_number FROM webhooks WHERE name = $1 FOR SHARE",
                values![*webhook],
            )
            .await?;
        if let Some(found) = found {
            numbers.insert(*webhook, found.number(0)?);
        }
    }
    Ok(numbers)
}

impl SetNotifications {
    /// The number of the new rules; 0 for none.
    async fn begin(
        &self,
        tx: &mut Tx<'_>,
        bucket: i64,
        numbers: &Numbers<'_>,
    ) -> Result<i64, MetadataError> {
        if self.rules.is_empty() {
            return Ok(0);
        }
        let mut rules = self.rules.clone();
        for rule in &mut rules {
            rule.webhook_number = numbers.get(rule.webhook.as_str()).copied().unwrap_or(0);
        }
        let rules = super::json(&rules)?;
        let row = tx
            .fetch_one(
                "INSERT INTO notifications (bucket_id, bucket_name, rules) VALUES ($1, $2, $3) \
                 RETURNING notification_number",
                values![bucket, &self.bucket, &rules],
            )
            .await?;
        let row = row.ok_or_else(|| MetadataError::Corrupt("no number of rules".to_owned()))?;
        let number = row.signed(0)?;
        for webhook in numbers.keys() {
            tx.execute(
                "INSERT INTO notification_uses (webhook, notification_number) VALUES ($1, $2)",
                values![*webhook, number],
            )
            .await?;
        }
        Ok(number)
    }
}

/// Says that no change will be committed under these rules any more. The bucket is locked FOR
/// UPDATE: whatever was committed under them stands before the place that is remembered here.
pub(crate) async fn end(tx: &mut Tx<'_>, number: i64) -> Result<(), MetadataError> {
    if number == 0 {
        return Ok(());
    }
    let sql = tx.dialect().pick(
        "UPDATE notifications SET until_transaction = 0, \
         until_number = (SELECT COALESCE(MAX(change_number), 0) + 1 FROM changes) \
         WHERE notification_number = $1",
        "UPDATE notifications SET until_transaction = \
         CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT), until_number = 0 \
         WHERE notification_number = $1",
    );
    tx.execute(sql, values![number]).await?;
    tx.execute(
        "DELETE FROM notification_uses WHERE notification_number = $1",
        values![number],
    )
    .await?;
    Ok(())
}

/// Forgets messages that were delivered.
pub(crate) struct DropMessage {
    pub(crate) webhook: String,
    pub(crate) number: u64,
}

impl Apply for DropMessage {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        tx.execute(
            "DELETE FROM webhook_messages WHERE webhook = $1 AND message_number = $2",
            values![&self.webhook, self.number],
        )
        .await?;
        Ok(())
    }
}
