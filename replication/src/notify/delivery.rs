//! One webhook's delivery: reads the log into its window, posts what may be posted, remembers how
//! far all is done.
//!
//! It may be cut at any await: the place in the log moves only after the acknowledgements, so what
//! is lost with it is posted again. Failures are of two kinds. An answer about one event holds back
//! that event's key alone, and in the end it is put aside. A target that fails pauses for
//! all keys, and is then tried with one event at a time until it takes one. An event of a target
//! that fails is put aside only if the target took others since: then it is the event. What was put
//! aside and is asked for again is posted beside the rest: see [`letters`].

mod letters;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{Change, ChangeCursor};
use holdfast_metadata::notification::{
    AskedLetter, DeadLetter, Notifications, TestMessage, webhook_consumer,
};
use holdfast_types::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::letters::LetterBox;
use super::EventFacts;
use super::event::{body, name, rule_for, test_body};
use super::log::{Begin, Log};
use super::status::Telling;
use super::target::{Answer, Refusal, Target};
use super::window::{Event, Slot, Window};

/// See the module.
pub(super) struct Delivery<L, T> {
    log: Arc<L>,
    target: Arc<T>,
    facts: Arc<EventFacts>,
    telling: Arc<Telling>,
    clock: Arc<dyn Clock>,
    window: Window,
    /// The durable place.
    saved: ChangeCursor,
    save_at: Instant,
    /// The same, where nothing was posted since.
    idle_save_at: Instant,
    posted_since: bool,
    read_at: Instant,
    look_at: Instant,
    /// There may be more to read at once.
    more: bool,
    /// Rules that never change, by number.
    rules: HashMap<u64, Option<Arc<Notifications>>>,
    posts: JoinSet<(Post, Instant, Answer)>,
    under_way: usize,
    message: Messages,
    letters: LetterBox,
    breaker: Breaker,
    last_taken: Option<Instant>,
    /// Nothing is posted while this is so.
    paused: watch::Receiver<bool>,
    patience: Duration,
}

/// What a delivery lives among.
pub(super) struct Surroundings {
    pub(super) facts: Arc<EventFacts>,
    pub(super) telling: Arc<Telling>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether an operator paused all deliveries.
    pub(super) paused: watch::Receiver<bool>,
    /// How long an event is refused before it is put aside.
    pub(super) patience: Duration,
}

/// What was posted.
enum Post {
    Event(Slot, Arc<Event>),
    Message(TestMessage),
    Letter(AskedLetter),
}

/// Messages that are about no change: one at a time, beside the events.
struct Messages {
    under_way: bool,
    tries: u32,
    look_at: Instant,
}

/// Whether the target takes events.
#[derive(Debug, Clone, Copy)]
struct Breaker {
    failures: u32,
    /// Nothing is posted before.
    open_until: Instant,
    /// Posts that began before tell nothing new.
    opened_at: Instant,
}

impl Breaker {
    fn failed(&mut self, began: Instant, now: Instant) {
        if self.failures > 0 && began < self.opened_at {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.opened_at = now;
        self.open_until = now + pause(self.failures);
    }

    /// How many may be under way now.
    fn limit(&self, now: Instant) -> usize {
        match self.failures {
            0 => AT_ONCE,
            _ if now < self.open_until => 0,
            _ => 1,
        }
    }
}

impl<L: Log, T: Target> Delivery<L, T> {
    pub(super) fn new(
        log: Arc<L>,
        target: Arc<T>,
        surroundings: Surroundings,
        begin: Begin,
    ) -> Self {
        let now = Instant::now();
        let Surroundings {
            facts,
            telling,
            clock,
            paused,
            patience,
        } = surroundings;
        telling.count_letters(begin.letters);
        Self {
            log,
            target,
            facts,
            telling,
            clock,
            window: Window::new(begin.cursor),
            saved: begin.cursor,
            save_at: now,
            idle_save_at: now,
            posted_since: false,
            read_at: now,
            look_at: now,
            more: true,
            rules: HashMap::new(),
            posts: JoinSet::new(),
            under_way: 0,
            message: Messages {
                under_way: false,
                tries: 0,
                look_at: now,
            },
            letters: LetterBox::new(begin.letters, now),
            breaker: Breaker {
                failures: 0,
                open_until: now,
                opened_at: now,
            },
            last_taken: None,
            paused,
            patience,
        }
    }

    /// Delivers until it is dropped.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.turn().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        let webhook = self.log.webhook();
                        tracing::warn!(
                            webhook,
                            "a webhook's events wait for the metadata: {error}"
                        );
                    }
                    tokio::time::sleep(pause(failures)).await;
                }
            }
        }
    }

    /// Does what can be done, then waits until there may be more.
    async fn turn(&mut self) -> Result<(), MetadataError> {
        self.read().await?;
        self.look_at_messages().await?;
        self.look_at_letters().await?;
        self.post();
        self.save().await?;
        self.show().await?;
        let next = self.next_at();
        let answer = tokio::select! {
            Some(joined) = self.posts.join_next() => Some(joined),
            () = tokio::time::sleep_until(next) => None,
            Ok(()) = self.paused.changed() => None,
        };
        let Some(joined) = answer else {
            return Ok(());
        };
        let (post, began, answer) = match joined {
            Ok(done) => done,
            // A post that panicked is our mistake; its event is lost to this delivery, so that only
            // a new one, from the durable place, delivers it.
            Err(died) => std::panic::resume_unwind(died.into_panic()),
        };
        match post {
            Post::Event(slot, event) => self.answered(slot, &event, began, answer).await,
            Post::Message(message) => self.message_answered(&message, answer).await,
            Post::Letter(asked) => self.letter_answered(asked, began, answer).await,
        }
    }

    fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// How many may be under way now.
    fn limit(&self, now: Instant) -> usize {
        if self.is_paused() {
            0
        } else {
            self.breaker.limit(now)
        }
    }

    /// When something that may be posted at `ready` can be: `None` if something else happens before.
    fn postable_at(&self, ready: Instant, now: Instant) -> Option<Instant> {
        if self.is_paused() {
            return None;
        }
        match self.breaker.limit(now) {
            0 => Some(ready.max(self.breaker.open_until)),
            limit => (self.under_way < limit).then_some(ready),
        }
    }

    fn next_at(&self) -> Instant {
        let now = Instant::now();
        if !self.log.may_post() {
            // Until the lease is renewed, or this is ended.
            return now + READ_EVERY;
        }
        let mut next = self.look_at;
        if !self.is_paused() && !self.message.under_way {
            next = next.min(self.message.look_at);
        }
        if self.window.len() < WINDOW {
            next = next.min(if self.more { now } else { self.read_at });
        }
        if let Some(due) = self.save_due() {
            next = next.min(due);
        }
        for ready in [self.window.next_at(), self.letters.next_at()] {
            if let Some(at) = ready.and_then(|ready| self.postable_at(ready, now)) {
                next = next.min(at);
            }
        }
        next
    }

    /// Reads on, if there is room.
    async fn read(&mut self) -> Result<(), MetadataError> {
        let now = Instant::now();
        if self.window.len() >= WINDOW || (!self.more && now < self.read_at) {
            return Ok(());
        }
        let changes = self.log.changes(self.window.read_to(), PAGE).await?;
        self.more = changes.len() == PAGE;
        for change in &changes {
            self.take_in(change).await?;
        }
        self.read_at = Instant::now() + READ_EVERY;
        Ok(())
    }

    async fn take_in(&mut self, change: &Change) -> Result<(), MetadataError> {
        let event = self.event_of(change).await?;
        match event {
            None => self.window.pass(change.cursor),
            Some(event) => {
                let key = (change.bucket, change.key.as_slice().into());
                self.window.push(key, event, Instant::now());
            }
        }
        Ok(())
    }

    async fn event_of(&mut self, change: &Change) -> Result<Option<Event>, MetadataError> {
        if change.notification == 0 {
            return Ok(None);
        }
        let rules = match self.rules.get(&change.notification) {
            Some(known) => known.clone(),
            None => {
                let found = self.log.rules(change.notification).await?;
                if self.rules.len() >= MOST_RULES {
                    self.rules.clear();
                }
                self.rules.insert(change.notification, found.clone());
                found
            }
        };
        Ok(rules.and_then(|notifications| {
            let rule = rule_for(&notifications, self.log.number(), change)?;
            Some(Event {
                cursor: change.cursor,
                name: name(change.event)?,
                bucket_name: notifications.bucket_name.clone(),
                body: body(&self.facts, change, &notifications.bucket_name, rule),
                at_ms: change.at_ms,
            })
        }))
    }

    /// Posts what may be posted.
    fn post(&mut self) {
        let now = Instant::now();
        if !self.log.may_post() {
            return;
        }
        while self.under_way < self.limit(now) {
            let Some((slot, event)) = self.window.take(now) else {
                return;
            };
            self.under_way += 1;
            let target = Arc::clone(&self.target);
            self.posts.spawn(async move {
                let answer = target.post(event.body.clone()).await;
                (Post::Event(slot, event), now, answer)
            });
        }
    }

    async fn answered(
        &mut self,
        slot: Slot,
        event: &Event,
        began: Instant,
        answer: Answer,
    ) -> Result<(), MetadataError> {
        self.under_way -= 1;
        let now = Instant::now();
        let (refusal, is_poison) = match answer {
            Answer::Taken => {
                self.breaker.failures = 0;
                self.last_taken = Some(now);
                self.posted_since = true;
                self.window.done(slot, now);
                self.telling.sent(self.clock.now_ms());
                return Ok(());
            }
            Answer::Poison(refusal) => {
                // It speaks, so others may be taken.
                self.breaker.failures = 0;
                (refusal, true)
            }
            Answer::Failing(refusal) => {
                self.breaker.failed(began, now);
                (refusal, false)
            }
        };
        if is_poison {
            self.telling.refused(&refusal.0);
        } else {
            self.telling.failed(&refusal.0, self.clock.now_ms());
        }
        let Some(patience) = self.window.refused(slot, now) else {
            return Ok(());
        };
        let takes_others = self.last_taken.is_some_and(|taken| taken > patience.since);
        let is_hopeless = now.duration_since(patience.since) >= self.patience;
        // Until it is put aside for good it may be tried again.
        self.window.again(slot, now + pause(patience.tries));
        if is_hopeless && (is_poison || takes_others) {
            self.put_aside(slot, event, &refusal).await?;
        }
        Ok(())
    }

    /// Remembers an event for a person to look at, and goes on without it.
    async fn put_aside(
        &mut self,
        slot: Slot,
        event: &Event,
        refusal: &Refusal,
    ) -> Result<(), MetadataError> {
        let Some((bucket, key)) = self.window.key(slot).cloned() else {
            return Ok(());
        };
        let letter = DeadLetter {
            webhook: webhook_consumer(self.log.webhook(), self.log.number()),
            cursor: event.cursor,
            bucket,
            bucket_name: event.bucket_name.clone(),
            key: key.to_vec(),
            event: event.name.to_owned(),
            body: event.body.clone(),
            reason: refusal.to_string(),
            at_ms: self.clock.now_ms(),
            asked_ms: None,
        };
        self.log.put_aside(letter).await?;
        tracing::error!(
            webhook = self.log.webhook(),
            bucket = event.bucket_name,
            event = event.name,
            "an event was refused for so long that it was put aside: {refusal}"
        );
        self.telling.change(|status| status.parked += 1);
        self.letters.one_more();
        self.telling.count_letters(self.letters.count());
        self.posted_since = true;
        self.window.drop_retry(slot);
        self.window.done(slot, Instant::now());
        Ok(())
    }

    /// Remembers how far all is done: soon, but not for each event.
    async fn save(&mut self) -> Result<(), MetadataError> {
        let now = Instant::now();
        if self.save_due().is_none_or(|due| now < due) {
            return Ok(());
        }
        let done_to = self.window.done_to();
        self.save_at = now + SAVE_EVERY;
        self.idle_save_at = now + IDLE_SAVE_EVERY;
        self.log.pass(done_to).await?;
        self.saved = done_to;
        self.posted_since = false;
        Ok(())
    }

    fn save_due(&self) -> Option<Instant> {
        let due = if self.posted_since {
            self.save_at
        } else {
            self.idle_save_at
        };
        (self.window.done_to() > self.saved).then_some(due)
    }

    async fn look_at_messages(&mut self) -> Result<(), MetadataError> {
        let now = Instant::now();
        if self.is_paused()
            || self.message.under_way
            || now < self.message.look_at
            || !self.log.may_post()
        {
            return Ok(());
        }
        self.message.look_at = now + MESSAGES_EVERY;
        let Some(message) = self.log.message().await? else {
            return Ok(());
        };
        self.message.under_way = true;
        let target = Arc::clone(&self.target);
        self.posts.spawn(async move {
            let answer = target.post(test_body(&message)).await;
            (Post::Message(message), now, answer)
        });
        Ok(())
    }

    /// A message that is refused, or that is a day old, is done too: nobody waits for it.
    async fn message_answered(
        &mut self,
        message: &TestMessage,
        answer: Answer,
    ) -> Result<(), MetadataError> {
        self.message.under_way = false;
        let now_ms = self.clock.now_ms();
        let is_old = now_ms.saturating_sub(message.at_ms) > MESSAGE_KEPT_MS;
        if let Answer::Poison(refusal) | Answer::Failing(refusal) = &answer {
            self.telling.failed(&refusal.0, now_ms);
        }
        if matches!(answer, Answer::Failing(_)) && !is_old {
            self.message.tries = self.message.tries.saturating_add(1);
            self.message.look_at = Instant::now() + pause(self.message.tries);
            return Ok(());
        }
        self.message.tries = 0;
        self.message.look_at = Instant::now();
        if answer == Answer::Taken {
            self.telling.change(|status| status.failing_since_ms = None);
        }
        self.log.drop_message(message.number).await
    }

    /// Tells operators, every now and then.
    async fn show(&mut self) -> Result<(), MetadataError> {
        let now = Instant::now();
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + SHOW_EVERY;
        let behind = if self.more || self.window.len() >= WINDOW {
            let after = self.window.read_to();
            self.log.backlog(after, COUNTED).await?
        } else {
            Default::default()
        };
        let letters = self.log.letter_count().await?;
        self.letters.counted(letters);
        self.telling.count_letters(letters);
        let skipped = self.log.consumer().await?.map_or(0, |one| one.skipped);
        let oldest = self.window.oldest().map(|event| event.at_ms);
        let waiting = self.window.len() as u64 + behind.changes;
        self.telling.change(|status| {
            status.backlog = waiting;
            status.backlog_is_more = behind.more;
            status.oldest_unsent_ms = oldest.or(behind.oldest_ms);
            status.skipped = skipped;
        });
        Ok(())
    }
}

/// The pause after failure number `failures`: from one second, doubling, to a minute.
fn pause(failures: u32) -> Duration {
    crate::worker::pause_after(failures)
}

/// Events that are read ahead (and at most a page more): what a dead target costs in memory, a few
/// megabytes, and how far others may go ahead of one that is refused.
const WINDOW: usize = 1000;
/// Rows of the log that are read at once.
const PAGE: usize = 250;
/// Keys whose events are under way at once.
const AT_ONCE: usize = 32;
/// Rules that are remembered.
const MOST_RULES: usize = 1000;
/// How soon a change is noticed.
const READ_EVERY: Duration = Duration::from_millis(250);
/// What is posted again after a crash, at most, besides what waits for an event before it.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// A place behind which nothing would be posted again may wait longer: each is a commit.
const IDLE_SAVE_EVERY: Duration = Duration::from_secs(5);
/// How soon a message is noticed.
const MESSAGES_EVERY: Duration = Duration::from_secs(1);
/// How long a message is worth being sent: a day.
const MESSAGE_KEPT_MS: u64 = 24 * 3600 * 1000;
/// How old what operators see may be.
const SHOW_EVERY: Duration = Duration::from_secs(2);
/// Rows that are counted behind the window.
const COUNTED: usize = 10_000;

#[cfg(test)]
mod tests;
