//! Webhooks, as the admin API shows and takes them. A token is taken and never shown.

use serde::{Deserialize, Serialize};

/// `GET /admin/v1/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhooksView {
    /// All webhooks, by name.
    pub webhooks: Vec<WebhookView>,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookView {
    /// Its name.
    pub name: String,
    /// How buckets name it.
    pub arn: String,
    /// Where events are posted to.
    pub url: String,
    /// Whether a token is sent with them.
    pub has_token: bool,
    /// Whether it may be in a private network.
    pub allow_private: bool,
    /// Whether it may be on this machine.
    pub allow_loopback: bool,
    /// Whether it may be on this link.
    pub allow_link_local: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// How its delivery stands; `null` before it has begun.
    pub delivery: Option<WebhookDeliveryView>,
}

/// How a webhook's delivery stands. Counts are since the process began, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WebhookDeliveryView {
    /// Events that were acknowledged.
    pub sent: u64,
    /// Attempts that were not.
    pub failed: u64,
    /// Events that were put aside.
    pub parked: u64,
    /// Events that are put aside now, from whenever.
    pub dead_letters: u64,
    /// Of those: to be posted again.
    pub dead_letters_asked: u64,
    /// Events that were put aside, posted again and acknowledged.
    pub retried: u64,
    /// Whether an operator paused the deliveries of all webhooks.
    pub paused: bool,
    /// Changes that were never looked at, ever, because the change log was cut before them.
    pub skipped: u64,
    /// Events that wait to be sent, with changes that may turn out to be some.
    pub backlog: u64,
    /// Whether there are more than were counted.
    pub backlog_is_more: bool,
    /// When the oldest event that waits happened, in milliseconds since 1970.
    pub oldest_unsent_ms: Option<u64>,
    /// When the last one was acknowledged, in milliseconds since 1970.
    pub last_sent_ms: Option<u64>,
    /// Since when the target takes nothing, in milliseconds since 1970; `null` while it does.
    pub failing_since_ms: Option<u64>,
    /// Why the last attempt failed that did.
    pub last_error: Option<String>,
}

/// `GET /admin/v1/webhooks/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookStatusView {
    /// The webhook.
    pub webhook: WebhookView,
    /// The newest events that were put aside, newest first.
    pub dead_letters: Vec<DeadLetterView>,
}

/// `GET /admin/v1/webhooks/NAME/dead-letters?after=ID&limit=N`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettersView {
    /// Oldest first.
    pub dead_letters: Vec<DeadLetterView>,
    /// The `after` of the next page, if there is one.
    pub next: Option<String>,
}

/// The body of `POST /admin/v1/webhooks/NAME/dead-letters/retry` and `.../discard`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LettersAsked {
    /// These: all of them, or nothing is done.
    #[serde(default)]
    pub letters: Vec<String>,
    /// All that the webhook has.
    #[serde(default)]
    pub all: bool,
}

/// The answer to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersDoneView {
    /// The webhook's name.
    pub webhook: String,
    /// How many letters.
    pub letters: u64,
}

/// An event that was refused for so long that it was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// Its name among the webhook's letters.
    pub id: String,
    /// The bucket.
    pub bucket: String,
    /// The key, as far as it is text.
    pub key: String,
    /// S3's name of the event.
    pub event: String,
    /// What the target said last.
    pub reason: String,
    /// When it was put aside, in milliseconds since 1970.
    pub at_ms: u64,
    /// When it was asked to be posted again, in milliseconds since 1970, until that has an end.
    pub asked_ms: Option<u64>,
    /// What would have been posted.
    pub body: String,
}

/// The body of `POST /admin/v1/webhooks`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateWebhook {
    /// Its name.
    pub name: String,
    /// Where events are posted to.
    pub url: String,
    /// What is sent as a bearer token.
    pub token: Option<String>,
    /// See [`WebhookView`].
    pub allow_private: bool,
    /// See [`WebhookView`].
    pub allow_loopback: bool,
    /// See [`WebhookView`].
    pub allow_link_local: bool,
}

/// The answer to `POST /admin/v1/webhooks/NAME/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTestView {
    /// The webhook's name.
    pub webhook: String,
    /// Whether it took a test event.
    pub taken: bool,
    /// Why not.
    pub error: Option<String>,
}
