//! Events that their targets refused.

use super::{MAX_ROWS, Metadata, Result};
use crate::commands::dead_letters::{LetterOrder, OrderLetters, PutLetter, SettleLetter};
use crate::model::ChangeCursor;
use crate::notification::{AskedLetter, DeadLetter, LetterCount, LetterEnd, Letters};
use crate::queries::dead_letters;

/// Dead letters.
impl Metadata {
    /// Puts an event aside that its target refuses. The oldest beyond `MAX_DEAD_LETTERS` go.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn put_dead_letter(&self, letter: DeadLetter) -> Result<()> {
        self.run(PutLetter(letter)).await
    }

    /// A webhook's letters, newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn dead_letters(&self, webhook: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        query!(
            self.reader,
            dead_letters::newest(webhook, limit.min(MAX_ROWS))
        )
    }

    /// A webhook's letters behind a place, oldest first.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn dead_letters_after(
        &self,
        webhook: &str,
        after: ChangeCursor,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        query!(
            self.reader,
            dead_letters::after(webhook, after, limit.min(MAX_ROWS))
        )
    }

    /// How many letters a webhook has.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn dead_letter_count(&self, webhook: &str) -> Result<LetterCount> {
        query!(self.reader, dead_letters::count(webhook))
    }

    /// Has letters posted again; how many. Of `These` all or none; of all, as many as were there
    /// when it failed, if it fails.
    ///
    /// # Errors
    /// `NotFound` if one of `These` is not there; `Unavailable`, `Database`.
    pub async fn retry_dead_letters(&self, webhook: &str, letters: Letters) -> Result<u64> {
        self.order_letters(webhook, letters, LetterOrder::Retry)
            .await
    }

    /// Forgets letters; how many. See [`Self::retry_dead_letters`].
    ///
    /// # Errors
    /// `NotFound` if one of `These` is not there; `Unavailable`, `Database`.
    pub async fn discard_dead_letters(&self, webhook: &str, letters: Letters) -> Result<u64> {
        self.order_letters(webhook, letters, LetterOrder::Discard)
            .await
    }

    async fn order_letters(
        &self,
        webhook: &str,
        letters: Letters,
        order: LetterOrder,
    ) -> Result<u64> {
        let mut done = 0;
        let mut next = Some(letters);
        while let Some(letters) = next {
            let page = OrderLetters {
                webhook: webhook.to_owned(),
                letters,
                order,
            };
            let ordered = self.run(page).await?;
            done += ordered.count;
            next = ordered.next.map(Letters::After);
        }
        Ok(done)
    }

    /// The first letter behind a place that is to be posted again: never one of a key of which an
    /// earlier one is to be.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn asked_dead_letter(
        &self,
        webhook: &str,
        after: ChangeCursor,
    ) -> Result<Option<AskedLetter>> {
        query!(self.reader, dead_letters::asked(webhook, after))
    }

    /// Says what became of a letter that was posted again. One that was discarded, or asked for anew,
    /// meanwhile stays as it is.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn settle_dead_letter(
        &self,
        webhook: &str,
        asked: AskedLetter,
        end: LetterEnd,
    ) -> Result<()> {
        self.run(SettleLetter {
            webhook: webhook.to_owned(),
            asked,
            end,
        })
        .await
    }
}
