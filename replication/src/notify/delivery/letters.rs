//! Letters that an operator asked for: events that were put aside, posted again.
//!
//! One at a time, the oldest first, and while one is under way no event of its key is. It comes later
//! than what was told of its key since: its `sequencer` says so. One that the target does not want is
//! put aside again at once; where the target fails, others are tried in between, and it is put aside
//! again when it has been tried for long enough. Nothing is lost by that: it is still a letter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::ChangeCursor;
use holdfast_metadata::notification::{AskedLetter, LetterCount, LetterEnd};
use tokio::time::Instant;

use super::super::window::Patience;
use super::{Answer, Delivery, Log, Post, Target, pause};

/// What is known of a webhook's letters.
pub(super) struct LetterBox {
    count: LetterCount,
    look_at: Instant,
    /// Where the next one is looked for.
    after: ChangeCursor,
    /// The next one, while its key is held for it.
    next: Option<Next>,
    /// Those that were tried in vain.
    tried: BTreeMap<ChangeCursor, Patience>,
}

struct Next {
    asked: AskedLetter,
    is_under_way: bool,
}

impl LetterBox {
    pub(super) fn new(count: LetterCount, now: Instant) -> Self {
        Self {
            count,
            look_at: now,
            after: ChangeCursor::default(),
            next: None,
            tried: BTreeMap::new(),
        }
    }

    pub(super) const fn count(&self) -> LetterCount {
        self.count
    }

    /// How many there are in truth.
    pub(super) const fn counted(&mut self, count: LetterCount) {
        self.count = count;
    }

    /// An event was put aside.
    pub(super) const fn one_more(&mut self) {
        self.count.all += 1;
    }

    /// When to look for one, or to post the one that waits; `None` if an answer comes before.
    pub(super) fn next_at(&self) -> Option<Instant> {
        match &self.next {
            // Its key's event is under way: that one's answer wakes us.
            Some(_) => None,
            None => (self.count.all > 0).then_some(self.look_at),
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next_at().is_some_and(|at| at <= now)
    }

    fn refused(&mut self, cursor: ChangeCursor, now: Instant) -> Patience {
        let tried = self.tried.entry(cursor).or_insert(Patience {
            tries: 0,
            since: now,
        });
        tried.tries = tried.tries.saturating_add(1);
        *tried
    }
}

impl<L: Log, T: Target> Delivery<L, T> {
    /// Posts the next letter, if there is one and its turn has come.
    pub(super) async fn look_at_letters(&mut self) -> Result<(), MetadataError> {
        let now = Instant::now();
        if self.under_way >= self.limit(now) || !self.log.may_post() {
            return Ok(());
        }
        if self.letters.is_due(now) {
            self.letters.look_at = now + LETTERS_EVERY;
            match self.log.asked_letter(self.letters.after).await? {
                Some(asked) => {
                    let key = asked.letter.key.as_slice().into();
                    self.window.hold((asked.letter.bucket, key));
                    self.letters.next = Some(Next {
                        asked,
                        is_under_way: false,
                    });
                }
                // From the beginning, the next time: some were passed over.
                None => self.letters.after = ChangeCursor::default(),
            }
        }
        let is_free = self.window.is_free();
        let Some(next) = &mut self.letters.next else {
            return Ok(());
        };
        if next.is_under_way || !is_free {
            return Ok(());
        }
        next.is_under_way = true;
        let asked = next.asked.clone();
        self.under_way += 1;
        let target = Arc::clone(&self.target);
        self.posts.spawn(async move {
            let answer = target.post(asked.letter.body.clone()).await;
            (Post::Letter(asked), now, answer)
        });
        Ok(())
    }

    pub(super) async fn letter_answered(
        &mut self,
        asked: AskedLetter,
        began: Instant,
        answer: Answer,
    ) -> Result<(), MetadataError> {
        self.under_way -= 1;
        let now = Instant::now();
        let cursor = asked.letter.cursor;
        // Whatever becomes of what follows, its key goes on, and so do other letters.
        self.window.release();
        self.letters.next = None;
        self.letters.after = cursor;
        self.letters.look_at = now;
        let end = match answer {
            Answer::Taken => {
                self.breaker.failures = 0;
                self.last_taken = Some(now);
                self.telling.sent(self.clock.now_ms());
                LetterEnd::Taken
            }
            Answer::Poison(refusal) => {
                self.breaker.failures = 0;
                self.telling.refused(&refusal.0);
                LetterEnd::Refused { reason: refusal.0 }
            }
            Answer::Failing(refusal) => {
                self.breaker.failed(began, now);
                self.telling.failed(&refusal.0, self.clock.now_ms());
                let patience = self.letters.refused(cursor, now);
                // Events are tried first, or a letter that is hopeless would keep them waiting.
                let open_until = self.breaker.open_until.max(now);
                self.letters.look_at = open_until + pause(patience.tries);
                if now.duration_since(patience.since) < self.patience {
                    return Ok(());
                }
                LetterEnd::Refused { reason: refusal.0 }
            }
        };
        let is_taken = end == LetterEnd::Taken;
        self.log.settle_letter(asked, end).await?;
        self.letters.tried.remove(&cursor);
        if is_taken {
            self.telling.change(|status| status.retried += 1);
        } else {
            self.telling.change(|status| status.parked += 1);
        }
        let count = self.log.letter_count().await?;
        self.letters.counted(count);
        self.telling.count_letters(count);
        Ok(())
    }
}

/// How soon a letter that is asked for is noticed.
const LETTERS_EVERY: Duration = Duration::from_secs(1);
