//! Webhooks, what buckets want to be told of, and readers of the change log.

use super::{MAX_ROWS, Metadata, Result};
use crate::commands::change_log::{PassChanges, TrimChanges};
use crate::commands::notifications::{CreateWebhook, DeleteWebhook, DropMessage, SetNotifications};
use crate::model::{BucketId, ChangeCursor};
use crate::notification::{
    Backlog, ChangeConsumer, LogBounds, NotificationRule, Notifications, TestMessage, Trimmed,
    Webhook,
};
use crate::queries::notifications;

/// Webhooks and notifications.
impl Metadata {
    /// Makes a webhook; its number. It is told of what is committed from now on.
    ///
    /// # Errors
    /// `Exists`; `Unavailable`, `Database`.
    pub async fn create_webhook(&self, webhook: Webhook) -> Result<u64> {
        self.run(CreateWebhook(webhook)).await
    }

    /// All webhooks, by name.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>> {
        query!(self.reader, notifications::webhooks())
    }

    /// Removes a webhook and what waits for it. `Some`: a bucket that still sends events to it, and
    /// nothing was removed.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`, `Database`.
    pub async fn delete_webhook(&self, name: &str) -> Result<Option<String>> {
        self.run(DeleteWebhook {
            name: name.to_owned(),
        })
        .await
    }

    /// Gives a bucket other rules, or none. Every change that is committed after this has returned
    /// follows them, and none that was committed before it began. With `test` each webhook is sent a
    /// message in the name of that request. The answer names the webhooks that are not there: if
    /// there are some, nothing was changed.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable`, `Database`.
    pub async fn set_notifications(
        &self,
        bucket: &str,
        rules: Vec<NotificationRule>,
        test: Option<String>,
    ) -> Result<Vec<String>> {
        self.run(SetNotifications {
            bucket: bucket.to_owned(),
            rules,
            test,
        })
        .await
    }

    /// What a bucket wants to be told of.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn notifications(&self, bucket: BucketId) -> Result<Vec<NotificationRule>> {
        query!(self.reader, notifications::of_bucket(bucket))
    }

    /// The rules of a number that a row of the change log carries. They never change.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn numbered_notifications(&self, number: u64) -> Result<Option<Notifications>> {
        query!(self.reader, notifications::numbered(number))
    }

    /// Messages that a webhook is yet to be sent, oldest first.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn webhook_messages(&self, webhook: &str, limit: usize) -> Result<Vec<TestMessage>> {
        query!(
            self.reader,
            notifications::messages(webhook, limit.min(MAX_ROWS))
        )
    }

    /// Says that a message was delivered.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn drop_webhook_message(&self, webhook: &str, number: u64) -> Result<()> {
        self.run(DropMessage {
            webhook: webhook.to_owned(),
            number,
        })
        .await
    }
}

/// Readers of the change log.
impl Metadata {
    /// A consumer of the change log, and how far it has come.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn change_consumer(&self, name: &str) -> Result<Option<ChangeConsumer>> {
        query!(self.reader, notifications::consumer(name))
    }

    /// Says that a consumer needs nothing up to `cursor` any more. It never goes back.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn pass_changes(&self, consumer: &str, cursor: ChangeCursor) -> Result<()> {
        self.run(PassChanges {
            consumer: consumer.to_owned(),
            cursor,
        })
        .await
    }

    /// What comes after a cursor, looking at `limit` rows at most.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn change_backlog(&self, after: ChangeCursor, limit: usize) -> Result<Backlog> {
        query!(
            self.reader,
            notifications::backlog(after, limit.min(MAX_ROWS))
        )
    }

    /// Removes rows of the change log that every consumer has passed and, beyond `bounds`, those
    /// that one has not: about `limit` rows.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn trim_changes(&self, bounds: LogBounds, limit: usize) -> Result<Trimmed> {
        self.run(TrimChanges { bounds, limit }).await
    }
}
