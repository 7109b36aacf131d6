//! Tells webhooks what happens in buckets, out of the change log.
//!
//! Each webhook has a reader of its own with a durable place in the log, so that a target that is
//! slow or dead holds up nobody else, and no request waits for any. What is promised: every change
//! that was committed under rules that fit it is posted until it is acknowledged with a 2xx, at
//! least once, through crashes and restarts; a key's next event is not posted before the one before
//! it was acknowledged (or put aside as a dead letter, which is remembered first).
//!
//! * [`event`]: from a row of the log to what is posted.
//! * [`window`]: which of the events that were read may be posted now, and how far all is done.
//! * [`delivery`]: one webhook's loop over the two, with its patience.
//! * [`target`]: posting, and what an answer means.
//! * [`status`]: what an operator sees.

mod delivery;
mod event;
mod log;
mod status;
mod target;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::Metadata;
use holdfast_metadata::notification::Webhook;
use holdfast_outbound::{Net, SystemNet};
use holdfast_types::{Clock, Region};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::delivery::{Delivery, Surroundings};
use self::log::MetadataLog;
use self::status::Board;
use self::target::HttpTarget;
use crate::worker::{Progress, WorkError, Worker};

pub use self::status::{WebhookBoard, WebhookStatus};

/// What is said in every event.
#[derive(Debug, Clone)]
pub struct EventFacts {
    /// This region.
    pub region: Region,
    /// Who owns all buckets.
    pub owner_id: String,
}

/// Runs a delivery for each webhook that there is.
pub struct Notifier {
    metadata: Metadata,
    facts: Arc<EventFacts>,
    clock: Arc<dyn Clock>,
    net: Arc<dyn Net>,
    board: Board,
    running: BTreeMap<u64, Running>,
    paused: watch::Sender<bool>,
    patience: Duration,
}

/// Ends its delivery when it is dropped.
struct Running {
    name: String,
    task: JoinSet<()>,
}

impl Notifier {
    /// The worker, and what it tells operators. `patience`: how long an event is refused before it
    /// is put aside.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        facts: EventFacts,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> (Self, WebhookBoard) {
        let net: Arc<dyn Net> = Arc::new(SystemNet);
        let board = Board::default();
        let shown = WebhookBoard::new(
            board.clone(),
            metadata.clone(),
            Arc::clone(&net),
            Arc::clone(&clock),
        );
        let notifier = Self {
            metadata,
            facts: Arc::new(facts),
            clock,
            net,
            board,
            running: BTreeMap::new(),
            paused: watch::Sender::new(false),
            patience,
        };
        (notifier, shown)
    }

    async fn start(&mut self, webhook: Webhook) -> Result<(), WorkError> {
        let (name, number) = (webhook.name.clone(), webhook.number);
        let telling = self.board.of(&webhook);
        let target = match HttpTarget::new(&webhook, Arc::clone(&self.net)).await {
            Ok(target) => target,
            Err(why) => {
                // Tried again in the next round: what this machine trusts may be mended.
                telling.failed(&why, self.clock.now_ms());
                return Ok(());
            }
        };
        let log = MetadataLog::new(self.metadata.clone(), &webhook);
        let Some(begin) = log.begin().await? else {
            // Deleted since it was listed.
            return Ok(());
        };
        let delivery = Delivery::new(
            Arc::new(log),
            Arc::new(target),
            Surroundings {
                facts: Arc::clone(&self.facts),
                telling,
                clock: Arc::clone(&self.clock),
                paused: self.paused.subscribe(),
                patience: self.patience,
            },
            begin,
        );
        let mut task = JoinSet::new();
        task.spawn(delivery.run());
        tracing::info!(webhook = name, "events are delivered to a webhook");
        self.running.insert(number, Running { name, task });
        Ok(())
    }
}

#[async_trait]
impl Worker for Notifier {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    /// Ends all deliveries: whoever has the lease goes on from the durable places in the log.
    fn lease_lost(&mut self) {
        self.running.clear();
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let webhooks = self.metadata.webhooks().await?;
        let is_there = |number: &u64| webhooks.iter().any(|one| one.number == *number);
        self.running.retain(|number, running| {
            if running.task.try_join_next().is_some() {
                tracing::error!(webhook = running.name, "a delivery died and is begun anew");
                return false;
            }
            let stays = is_there(number);
            if !stays {
                tracing::info!(webhook = running.name, "a webhook is gone");
            }
            stays
        });
        self.board
            .retain(|name| webhooks.iter().any(|one| one.name == name));
        for webhook in webhooks {
            if !self.running.contains_key(&webhook.number) {
                self.start(webhook).await?;
            }
        }
        Ok(Progress::Idle)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK).await;
    }

    /// The deliveries go on beside the steps: they stop posting, each after what is under way.
    fn set_paused(&mut self, paused: bool) {
        self.board.set_paused(paused);
        self.paused.send_replace(paused);
    }

    fn doing(&self) -> String {
        let all = self.board.list();
        let sent: u64 = all.iter().map(|one| one.sent).sum();
        let failing = all.iter().filter(|one| one.failing_since_ms.is_some());
        format!(
            "{} webhooks, {} failing, {sent} events delivered",
            all.len(),
            failing.count()
        )
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

/// How soon a webhook that was made or removed is noticed.
const LOOK: Duration = Duration::from_secs(1);
