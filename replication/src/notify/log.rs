//! What a delivery asks of the metadata: rows of the log, the rules they are under, its own place.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_metadata::model::{Change, ChangeCursor};
use holdfast_metadata::notification::{
    AskedLetter, Backlog, ChangeConsumer, DeadLetter, LetterCount, LetterEnd, Notifications,
    TestMessage, Webhook,
};
use holdfast_metadata::{Metadata, MetadataError};

/// Where a delivery begins, and what it lost before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// Everything up to here is done.
    pub(super) cursor: ChangeCursor,
    /// Its dead letters.
    pub(super) letters: LetterCount,
}

/// The metadata, as one delivery sees it. Whatever `Ok` says is durable.
#[async_trait]
pub(super) trait Log: Send + Sync + 'static {
    /// The webhook's name.
    fn webhook(&self) -> &str;

    /// The webhook's number.
    fn number(&self) -> u64;

    /// Whether this delivery is the only one, as far as can be told without asking: nothing is posted
    /// while it may not be.
    fn may_post(&self) -> bool;

    /// The log after a cursor, without gaps, a key's rows in the order of its changes.
    async fn changes(
        &self,
        after: ChangeCursor,
        limit: usize,
    ) -> Result<Vec<Change>, MetadataError>;

    /// The rules of a number.
    async fn rules(&self, number: u64) -> Result<Option<Arc<Notifications>>, MetadataError>;

    /// Says that everything up to a cursor is done.
    async fn pass(&self, cursor: ChangeCursor) -> Result<(), MetadataError>;

    /// Puts an event aside.
    async fn put_aside(&self, letter: DeadLetter) -> Result<(), MetadataError>;

    /// The first letter behind a place that an operator wants posted again.
    async fn asked_letter(&self, after: ChangeCursor)
    -> Result<Option<AskedLetter>, MetadataError>;

    /// Says what became of it.
    async fn settle_letter(&self, asked: AskedLetter, end: LetterEnd) -> Result<(), MetadataError>;

    /// How many letters there are.
    async fn letter_count(&self) -> Result<LetterCount, MetadataError>;

    /// What comes after a cursor, as far as `limit` rows.
    async fn backlog(&self, after: ChangeCursor, limit: usize) -> Result<Backlog, MetadataError>;

    /// How this consumer stands, if the webhook is still there.
    async fn consumer(&self) -> Result<Option<ChangeConsumer>, MetadataError>;

    /// The oldest message that is about no change.
    async fn message(&self) -> Result<Option<TestMessage>, MetadataError>;

    /// Says that a message is done.
    async fn drop_message(&self, number: u64) -> Result<(), MetadataError>;
}

/// A webhook's view of the real metadata.
pub(super) struct MetadataLog {
    metadata: Metadata,
    webhook: String,
    number: u64,
    consumer: String,
}

impl MetadataLog {
    pub(super) fn new(metadata: Metadata, webhook: &Webhook) -> Self {
        Self {
            metadata,
            webhook: webhook.name.clone(),
            number: webhook.number,
            consumer: webhook.consumer(),
        }
    }

    /// Where the delivery begins; `None` if the webhook is gone.
    pub(super) async fn begin(&self) -> Result<Option<Begin>, MetadataError> {
        let Some(consumer) = self.consumer().await? else {
            return Ok(None);
        };
        Ok(Some(Begin {
            cursor: consumer.cursor,
            letters: self.metadata.dead_letter_count(&self.consumer).await?,
        }))
    }
}

#[async_trait]
impl Log for MetadataLog {
    fn webhook(&self) -> &str {
        &self.webhook
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn may_post(&self) -> bool {
        self.metadata.may_act()
    }

    async fn changes(
        &self,
        after: ChangeCursor,
        limit: usize,
    ) -> Result<Vec<Change>, MetadataError> {
        self.metadata.changes(after, limit).await
    }

    async fn rules(&self, number: u64) -> Result<Option<Arc<Notifications>>, MetadataError> {
        let found = self.metadata.numbered_notifications(number).await?;
        Ok(found.map(Arc::new))
    }

    async fn pass(&self, cursor: ChangeCursor) -> Result<(), MetadataError> {
        self.metadata.pass_changes(&self.consumer, cursor).await
    }

    async fn put_aside(&self, letter: DeadLetter) -> Result<(), MetadataError> {
        self.metadata.put_dead_letter(letter).await
    }

    async fn asked_letter(
        &self,
        after: ChangeCursor,
    ) -> Result<Option<AskedLetter>, MetadataError> {
        self.metadata.asked_dead_letter(&self.consumer, after).await
    }

    async fn settle_letter(&self, asked: AskedLetter, end: LetterEnd) -> Result<(), MetadataError> {
        self.metadata
            .settle_dead_letter(&self.consumer, asked, end)
            .await
    }

    async fn letter_count(&self) -> Result<LetterCount, MetadataError> {
        self.metadata.dead_letter_count(&self.consumer).await
    }

    async fn backlog(&self, after: ChangeCursor, limit: usize) -> Result<Backlog, MetadataError> {
        self.metadata.change_backlog(after, limit).await
    }

    async fn consumer(&self) -> Result<Option<ChangeConsumer>, MetadataError> {
        self.metadata.change_consumer(&self.consumer).await
    }

    async fn message(&self) -> Result<Option<TestMessage>, MetadataError> {
        let found = self.metadata.webhook_messages(&self.consumer, 1).await?;
        Ok(found.into_iter().next())
    }

    async fn drop_message(&self, number: u64) -> Result<(), MetadataError> {
        self.metadata
            .drop_webhook_message(&self.consumer, number)
            .await
    }
}
