//! Who is told of changes: webhooks, what buckets want to be told of, and how far each reader of the
//! change log has come.
//!
//! What a bucket wants is a row with a number, and each row of the change log carries the number
//! that held when it was committed: it is read under the lock that the change holds on its bucket,
//! and given another value only under the exclusive one. So which rules apply to a change is a fact
//! and no guess, whenever and by whomever the log is read.

use serde::{Deserialize, Serialize};

use crate::model::{BucketId, ChangeCursor};

/// Where events are posted to. Made by an operator.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, in ARNs.
    pub name: String,
    /// Its number: a name may be used again, a number is not. 0 before it is made.
    pub number: u64,
    /// What is known of it.
    pub detail: WebhookDetail,
    /// Sent as a bearer token.
    pub token: Option<String>,
}

impl std::fmt::Debug for Webhook {
    /// Never shows the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("number", &self.number)
            .field("detail", &self.detail)
            .finish_non_exhaustive()
    }
}

/// See [`Webhook`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDetail {
    /// The address.
    pub url: String,
    /// Whether it may be an address of a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// Whether it may be this machine.
    #[serde(default)]
    pub allow_loopback: bool,
    /// Whether it may be an address of this link or a cloud's metadata service.
    #[serde(default)]
    pub allow_link_local: bool,
    /// When it was made.
    pub created_ms: u64,
}

/// What one rule of a bucket wants to be told, and who is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationRule {
    /// The rule's id, which is in its events.
    pub id: String,
    /// The webhook's name.
    pub webhook: String,
    /// Its number, which is found out when the rule is set.
    #[serde(default)]
    pub webhook_number: u64,
    /// What kind of target the client took it for; only the edge reads it.
    pub kind: String,
    /// The target as the client wrote it; only the edge reads it.
    pub arn: String,
    /// S3's names of events; one that ends with `:*` stands for all that begin so.
    pub events: Vec<String>,
    /// Only keys that begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only keys that end so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
}

/// What a bucket wanted for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifications {
    /// The bucket's name.
    pub bucket_name: String,
    /// Its rules.
    pub rules: Vec<NotificationRule>,
}

/// Who reads the change log, and how far it has come: rows up to here are not needed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeConsumer {
    /// Its name.
    pub name: String,
    /// How far.
    pub cursor: ChangeCursor,
    /// Changes with rules that it never saw, because the log was cut before it came.
    pub skipped: u64,
    /// When that happened last.
    pub skipped_ms: Option<u64>,
}

/// An event that its target refused for so long that it was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The webhook, as a consumer.
    pub webhook: String,
    /// The change that it is about.
    pub cursor: ChangeCursor,
    /// The bucket.
    pub bucket: BucketId,
    /// The bucket's name.
    pub bucket_name: String,
    /// The key.
    pub key: Vec<u8>,
    /// S3's name of the event.
    pub event: String,
    /// What would have been posted.
    pub body: String,
    /// What the target said last.
    pub reason: String,
    /// When it was put aside.
    pub at_ms: u64,
    /// When an operator asked for it to be posted again, while that has no end.
    pub asked_ms: Option<u64>,
}

/// A letter that is to be posted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedLetter {
    /// The letter.
    pub letter: DeadLetter,
    /// By which asking: one that comes later has a greater one.
    pub asked_ms: u64,
}

/// Which letters of a webhook are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letters {
    /// These.
    These(Vec<ChangeCursor>),
    /// All behind a place.
    After(ChangeCursor),
}

/// What became of a letter that was posted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterEnd {
    /// The target acknowledged it.
    Taken,
    /// It is put aside again.
    Refused {
        /// What the target said.
        reason: String,
    },
}

/// How many letters a webhook has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetterCount {
    /// In all.
    pub all: u64,
    /// Of those: asked for by an operator.
    pub asked: u64,
}

/// A message that says that a bucket will send events to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestMessage {
    /// Its number.
    pub number: u64,
    /// The bucket's name.
    pub bucket_name: String,
    /// The request that asked for it.
    pub request_id: String,
    /// When.
    pub at_ms: u64,
}

/// What has not been passed yet by a consumer, as far as it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Changes in buckets that had rules.
    pub changes: u64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// When the oldest of them happened.
    pub oldest_ms: Option<u64>,
}

/// How long the change log is kept for a consumer that does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Rows may become so old.
    pub age_ms: u64,
    /// There may be so many of them.
    pub rows: u64,
}

/// What a step of trimming did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Rows that every consumer had passed.
    pub passed: u64,
    /// Rows that had to go although a consumer had not passed them.
    pub forced: u64,
    /// Who had not, as it stands now.
    pub late: Vec<ChangeConsumer>,
}

/// The most letters that are kept for a webhook; the oldest go first.
pub const MAX_DEAD_LETTERS: u64 = 10_000;

/// The name of a webhook among the consumers of the change log, and of what waits for it: it is
/// never used again, though the webhook's may be.
#[must_use]
pub fn webhook_consumer(name: &str, number: u64) -> String {
    format!("webhook/{number}/{name}")
}

impl Webhook {
    /// See [`webhook_consumer`].
    #[must_use]
    pub fn consumer(&self) -> String {
        webhook_consumer(&self.name, self.number)
    }
}
