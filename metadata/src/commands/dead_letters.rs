//! Events that their targets refused: put aside, asked for again by an operator, settled.
//!
//! A letter that an operator asked to be posted again is the same row with the time of the asking in
//! it: durable before the operator hears of it, and taken out only when the target acknowledged the
//! event. The time is also the asking's number. Whoever posts settles the asking that it saw, so that
//! one that came while it was posting is not lost with it.

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::ChangeCursor;
use crate::notification::{AskedLetter, DeadLetter, LetterEnd, Letters, MAX_DEAD_LETTERS};
use crate::sql::{Tx, values};

/// Puts an event aside. Doing it twice is doing it once.
pub(crate) struct PutLetter(pub(crate) DeadLetter);

impl Apply for PutLetter {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let letter = &self.0;
        tx.execute(
            "INSERT INTO dead_letters (webhook, transaction_id, change_number, bucket_id, \
             bucket_name, key, event, body, reason, at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (webhook, transaction_id, change_number) DO NOTHING",
            values![
                &letter.webhook,
                letter.cursor.transaction,
                letter.cursor.number,
                letter.bucket.0,
                &letter.bucket_name,
                &letter.key,
                &letter.event,
                &letter.body,
                &letter.reason,
                letter.at_ms
            ],
        )
        .await?;
        tx.execute(
            "DELETE FROM dead_letters WHERE webhook = $1 AND (transaction_id, change_number) < \
             (SELECT transaction_id, change_number FROM dead_letters WHERE webhook = $1 \
             ORDER BY transaction_id DESC, change_number DESC LIMIT 1 OFFSET $2)",
            values![&letter.webhook, MAX_DEAD_LETTERS - 1],
        )
        .await?;
        Ok(())
    }
}

/// What is done to letters at an operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetterOrder {
    /// They are to be posted again.
    Retry,
    /// They are forgotten.
    Discard,
}

/// Does it to one letter, or to one page of them all.
pub(crate) struct OrderLetters {
    pub(crate) webhook: String,
    pub(crate) letters: Letters,
    pub(crate) order: LetterOrder,
}

/// What was done.
pub(crate) struct Ordered {
    pub(crate) count: u64,
    /// Where the next page begins, if there may be one.
    pub(crate) next: Option<ChangeCursor>,
}

impl Apply for OrderLetters {
    type Outcome = Ordered;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Ordered, MetadataError> {
        match &self.letters {
            Letters::These(cursors) => {
                for last in cursors {
                    let before = ChangeCursor {
                        number: last.number.saturating_sub(1),
                        ..*last
                    };
                    if self.range(tx, before, *last).await? == 0 {
                        return Err(MetadataError::NotFound("dead letter"));
                    }
                }
                Ok(Ordered {
                    count: cursors.len() as u64,
                    next: None,
                })
            }
            Letters::After(after) => self.page(tx, *after).await,
        }
    }
}

impl OrderLetters {
    async fn page(&self, tx: &mut Tx<'_>, after: ChangeCursor) -> Result<Ordered, MetadataError> {
        let rows = tx
            .fetch(
                "SELECT transaction_id, change_number FROM dead_letters \
                 WHERE webhook = $1 AND (transaction_id, change_number) > ($2, $3) \
                 ORDER BY transaction_id, change_number LIMIT $4",
                values![&self.webhook, after.transaction, after.number, PAGE],
            )
            .await?;
        let Some(last) = rows.last() else {
            return Ok(Ordered {
                count: 0,
                next: None,
            });
        };
        let last = ChangeCursor {
            transaction: last.number(0)?,
            number: last.number(1)?,
        };
        Ok(Ordered {
            count: self.range(tx, after, last).await?,
            next: (rows.len() == PAGE).then_some(last),
        })
    }

    /// Those behind `after`, up to and with `last`.
    async fn range(
        &self,
        tx: &mut Tx<'_>,
        after: ChangeCursor,
        last: ChangeCursor,
    ) -> Result<u64, MetadataError> {
        let now_ms = tx.now_ms();
        let webhook = &self.webhook;
        let (from, to) = (after, last);
        match self.order {
            // Later than any asking before, whatever the clock says: it is the asking's number.
            LetterOrder::Retry => {
                tx.execute(
                    "UPDATE dead_letters SET asked_ms = \
                     CASE WHEN asked_ms >= $6 THEN asked_ms + 1 ELSE $6 END \
                     WHERE webhook = $1 AND (transaction_id, change_number) > ($2, $3) \
                     AND (transaction_id, change_number) <= ($4, $5)",
                    values![
                        webhook,
                        from.transaction,
                        from.number,
                        to.transaction,
                        to.number,
                        now_ms
                    ],
                )
                .await
            }
            LetterOrder::Discard => {
                tx.execute(
                    "DELETE FROM dead_letters \
                     WHERE webhook = $1 AND (transaction_id, change_number) > ($2, $3) \
                     AND (transaction_id, change_number) <= ($4, $5)",
                    values![
                        webhook,
                        from.transaction,
                        from.number,
                        to.transaction,
                        to.number
                    ],
                )
                .await
            }
        }
    }
}

/// Says what became of a letter that was asked for.
pub(crate) struct SettleLetter {
    pub(crate) webhook: String,
    pub(crate) asked: AskedLetter,
    pub(crate) end: LetterEnd,
}

impl Apply for SettleLetter {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let cursor = self.asked.letter.cursor;
        match &self.end {
            LetterEnd::Taken => {
                tx.execute(
                    "DELETE FROM dead_letters \
                     WHERE webhook = $1 AND transaction_id = $2 AND change_number = $3",
                    values![&self.webhook, cursor.transaction, cursor.number],
                )
                .await?;
            }
            LetterEnd::Refused { reason } => {
                let now_ms = tx.now_ms();
                tx.execute(
                    "UPDATE dead_letters SET asked_ms = NULL, reason = $5, at_ms = $6 \
                     WHERE webhook = $1 AND transaction_id = $2 AND change_number = $3 \
                     AND asked_ms = $4",
                    values![
                        &self.webhook,
                        cursor.transaction,
                        cursor.number,
                        self.asked.asked_ms,
                        reason,
                        now_ms
                    ],
                )
                .await?;
            }
        }
        Ok(())
    }
}

/// Letters that one command changes: with the largest keys a few megabytes of the journal.
const PAGE: usize = 500;
