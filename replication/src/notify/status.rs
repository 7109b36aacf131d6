//! What an operator sees of webhooks: what was delivered, what waits, and why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_metadata::notification::{LetterCount, TestMessage, Webhook};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_outbound::Net;
use holdfast_types::Clock;

use super::event::test_body;
use super::target::{Answer, HttpTarget, Target};

/// How a webhook's delivery stands. Counts are since the process began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookStatus {
    /// The webhook's name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Events that were acknowledged.
    pub sent: u64,
    /// Attempts that were not.
    pub failed: u64,
    /// Events that were put aside.
    pub parked: u64,
    /// Events that are put aside, those of earlier processes too.
    pub dead_letters: u64,
    /// Of those: to be posted again.
    pub dead_letters_asked: u64,
    /// Of those that were put aside, how many were acknowledged when they were posted again.
    pub retried: u64,
    /// Whether an operator paused all deliveries.
    pub paused: bool,
    /// Changes that it never saw, because the change log was cut before it.
    pub skipped: u64,
    /// Events that wait, or (beyond what was read) changes that may be events.
    pub backlog: u64,
    /// Whether there are more than were counted.
    pub backlog_is_more: bool,
    /// When the oldest event that waits happened.
    pub oldest_unsent_ms: Option<u64>,
    /// When the last one was acknowledged.
    pub last_sent_ms: Option<u64>,
    /// Since when nothing is acknowledged, while something is tried.
    pub failing_since_ms: Option<u64>,
    /// Why the last attempt failed that did.
    pub last_error: Option<String>,
}

/// One webhook's status, written by its delivery.
#[derive(Debug)]
pub(super) struct Telling(Mutex<WebhookStatus>);

impl Telling {
    pub(super) fn new(webhook: &Webhook) -> Self {
        Self(Mutex::new(WebhookStatus {
            name: webhook.name.clone(),
            url: webhook.detail.url.clone(),
            ..WebhookStatus::default()
        }))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut WebhookStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// So many letters there are.
    pub(super) fn count_letters(&self, count: LetterCount) {
        self.change(|status| {
            status.dead_letters = count.all;
            status.dead_letters_asked = count.asked;
        });
    }

    /// An event was acknowledged.
    pub(super) fn sent(&self, now_ms: u64) {
        self.change(|status| {
            status.sent += 1;
            status.last_sent_ms = Some(now_ms);
            if status.failing_since_ms.take().is_some() {
                tracing::info!(webhook = status.name, "a webhook takes events again");
            }
        });
    }

    /// The target does not want one event.
    pub(super) fn refused(&self, why: &str) {
        self.change(|status| {
            status.failed += 1;
            status.last_error = Some(why.to_owned());
        });
    }

    /// The target failed. It is logged once, when a target begins to fail.
    pub(super) fn failed(&self, why: &str, now_ms: u64) {
        self.change(|status| {
            status.failed += 1;
            status.last_error = Some(why.to_owned());
            if status.failing_since_ms.is_none() {
                status.failing_since_ms = Some(now_ms);
                tracing::warn!(webhook = status.name, "a webhook takes no events: {why}");
            }
        });
    }

    pub(super) fn get(&self) -> WebhookStatus {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The statuses of all webhooks, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    tellings: Arc<Mutex<BTreeMap<String, Arc<Telling>>>>,
    paused: Arc<AtomicBool>,
}

impl Board {
    /// The telling of a webhook whose delivery could not be begun before, so that it is not told of
    /// as if it were new; else a new one.
    pub(super) fn of(&self, webhook: &Webhook) -> Arc<Telling> {
        let mut board = self.lock();
        let known = board.get(&webhook.name).filter(|telling| {
            let status = telling.get();
            status.failing_since_ms.is_some() && status.sent == 0
        });
        let telling = known.map_or_else(|| Arc::new(Telling::new(webhook)), Arc::clone);
        board.insert(webhook.name.clone(), Arc::clone(&telling));
        telling
    }

    pub(super) fn retain(&self, stays: impl Fn(&str) -> bool) {
        let mut board = self.lock();
        board.retain(|name, _| stays(name));
    }

    pub(super) fn list(&self) -> Vec<WebhookStatus> {
        let paused = self.paused.load(Ordering::Relaxed);
        let all = self.lock();
        let shown = all.values().map(|telling| WebhookStatus {
            paused,
            ..telling.get()
        });
        shown.collect()
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Telling>>> {
        self.tellings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the rest of the process may see and ask of webhooks.
#[derive(Clone)]
pub struct WebhookBoard {
    board: Board,
    metadata: Metadata,
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
}

impl WebhookBoard {
    pub(super) fn new(
        board: Board,
        metadata: Metadata,
        net: Arc<dyn Net>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            board,
            metadata,
            net,
            clock,
        }
    }

    /// How each webhook's delivery stands, by name.
    #[must_use]
    pub fn list(&self) -> Vec<WebhookStatus> {
        self.board.list()
    }

    /// Posts a test event to a webhook now, outside of any order; `Err` says why it was not taken.
    ///
    /// # Errors
    /// If there is no such webhook, or the metadata can't be asked.
    pub async fn test(&self, name: &str) -> Result<Result<(), String>, MetadataError> {
        let webhooks = self.metadata.webhooks().await?;
        let webhook = webhooks.iter().find(|webhook| webhook.name == name);
        let webhook = webhook.ok_or(MetadataError::NotFound("webhook"))?;
        let target = match HttpTarget::new(webhook, Arc::clone(&self.net)).await {
            Ok(target) => target,
            Err(why) => return Ok(Err(why)),
        };
        let message = TestMessage {
            number: 0,
            bucket_name: String::new(),
            request_id: "test".to_owned(),
            at_ms: self.clock.now_ms(),
        };
        Ok(match target.post(test_body(&message)).await {
            Answer::Taken => Ok(()),
            Answer::Poison(refusal) | Answer::Failing(refusal) => Err(refusal.to_string()),
        })
    }
}

impl std::fmt::Debug for WebhookBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookBoard").finish_non_exhaustive()
    }
}
