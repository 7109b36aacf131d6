//! The simulated metadata, as a delivery asks it.

use holdfast_metadata::notification::{Backlog, ChangeConsumer, LetterCount, LetterEnd};

use super::*;

pub(super) struct SimLog(pub(super) Arc<World>);

#[async_trait]
impl Log for SimLog {
    fn webhook(&self) -> &str {
        "hook"
    }

    fn number(&self) -> u64 {
        1
    }

    fn may_post(&self) -> bool {
        !self.0.lock().is_barred
    }

    async fn changes(
        &self,
        after: ChangeCursor,
        limit: usize,
    ) -> Result<Vec<Change>, MetadataError> {
        let fails = self.0.metadata().await?;
        let page = {
            let inner = self.0.lock();
            let later = inner.changes.iter().filter(|change| change.cursor > after);
            later.take(limit).cloned().collect()
        };
        self.0.reply(fails, page).await
    }

    async fn rules(&self, number: u64) -> Result<Option<Arc<Notifications>>, MetadataError> {
        let fails = self.0.metadata().await?;
        self.0.reply(fails, Some(Arc::new(rules_of(number)))).await
    }

    async fn pass(&self, cursor: ChangeCursor) -> Result<(), MetadataError> {
        let fails = self.0.metadata().await?;
        {
            let mut inner = self.0.lock();
            inner.cursor = inner.cursor.max(cursor);
            let wanted: Vec<(String, String)> = inner
                .changes
                .iter()
                .filter(|change| change.cursor <= cursor)
                .map(|change| {
                    let key = String::from_utf8(change.key.clone()).unwrap();
                    (key, format!("{:016X}{:016X}", 1, change.sequence))
                })
                .collect();
            for (key, sequencer) in wanted {
                let is_wanted = inner
                    .expected
                    .get(&key)
                    .is_some_and(|e| e.contains(&sequencer));
                assert!(
                    !is_wanted || inner.is_done(&key, &sequencer),
                    "the place moved beyond {sequencer} of {key}, which is not done"
                );
            }
        }
        self.0.reply(fails, ()).await
    }

    async fn put_aside(&self, letter: DeadLetter) -> Result<(), MetadataError> {
        let fails = self.0.metadata().await?;
        {
            let mut inner = self.0.lock();
            if inner.letters.iter().all(|one| one.cursor != letter.cursor) {
                inner.letters.push(letter);
            }
        }
        self.0.reply(fails, ()).await
    }

    async fn asked_letter(
        &self,
        after: ChangeCursor,
    ) -> Result<Option<AskedLetter>, MetadataError> {
        let fails = self.0.metadata().await?;
        let found = {
            let inner = self.0.lock();
            let mut asked: Vec<&DeadLetter> = inner.letters.iter().collect();
            asked.retain(|letter| letter.asked_ms.is_some());
            asked.sort_by_key(|letter| letter.cursor);
            let is_first = |one: &&&DeadLetter| {
                let mut earlier = asked.iter().take_while(|other| other.cursor < one.cursor);
                one.cursor > after && earlier.all(|other| other.key != one.key)
            };
            asked.iter().find(is_first).map(|letter| AskedLetter {
                letter: (*letter).clone(),
                asked_ms: letter.asked_ms.unwrap(),
            })
        };
        self.0.reply(fails, found).await
    }

    async fn settle_letter(&self, asked: AskedLetter, end: LetterEnd) -> Result<(), MetadataError> {
        let fails = self.0.metadata().await?;
        {
            let mut inner = self.0.lock();
            let cursor = asked.letter.cursor;
            match end {
                LetterEnd::Taken => {
                    let seen = seen_in(&asked.letter.body);
                    assert!(inner.acknowledged.contains(&seen), "{seen:?} was not taken");
                    inner.letters.retain(|letter| letter.cursor != cursor);
                }
                LetterEnd::Refused { reason } => {
                    for letter in &mut inner.letters {
                        if letter.cursor == cursor && letter.asked_ms == Some(asked.asked_ms) {
                            letter.asked_ms = None;
                            letter.reason.clone_from(&reason);
                        }
                    }
                }
            }
        }
        self.0.reply(fails, ()).await
    }

    async fn letter_count(&self) -> Result<LetterCount, MetadataError> {
        let fails = self.0.metadata().await?;
        let count = self.0.lock().letter_count();
        self.0.reply(fails, count).await
    }

    async fn backlog(&self, after: ChangeCursor, _: usize) -> Result<Backlog, MetadataError> {
        let fails = self.0.metadata().await?;
        let changes = {
            let inner = self.0.lock();
            inner
                .changes
                .iter()
                .filter(|change| change.cursor > after)
                .count() as u64
        };
        let backlog = Backlog {
            changes,
            ..Backlog::default()
        };
        self.0.reply(fails, backlog).await
    }

    async fn consumer(&self) -> Result<Option<ChangeConsumer>, MetadataError> {
        let fails = self.0.metadata().await?;
        self.0.reply(fails, None).await
    }

    async fn message(&self) -> Result<Option<TestMessage>, MetadataError> {
        let fails = self.0.metadata().await?;
        let first = self.0.lock().messages.first().cloned();
        self.0.reply(fails, first).await
    }

    async fn drop_message(&self, number: u64) -> Result<(), MetadataError> {
        let fails = self.0.metadata().await?;
        self.0
            .lock()
            .messages
            .retain(|message| message.number != number);
        self.0.reply(fails, ()).await
    }
}
