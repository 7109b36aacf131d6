//! Events that webhooks refused, over the admin API: shown, posted again, thrown away.
//!
//! Posting again is an order that is durable when it is answered: the deliveries take it from the
//! metadata, after a restart too.

use bytes::Bytes;
use holdfast_metadata::model::ChangeCursor;
use holdfast_metadata::notification::{DeadLetter, Letters};
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use super::error::AdminError;
use super::route::parameter;
use super::view::{DeadLetterView, DeadLettersView, LettersAsked, LettersDoneView};
use super::{Admin, json};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LetterRoute {
    /// `GET .../dead-letters?after=ID&limit=N`.
    List { after: ChangeCursor, limit: usize },
    /// `POST .../dead-letters/retry`.
    Retry,
    /// `POST .../dead-letters/discard`.
    Discard,
}

impl LetterRoute {
    /// The route below `/admin/v1/webhooks/NAME/dead-letters`, if there is one.
    pub(super) fn of(
        method: &Method,
        below: &[&str],
        query: &str,
    ) -> Result<Option<Self>, AdminError> {
        Ok(match (method, below) {
            (&Method::GET, []) => Some(Self::List {
                after: match parameter(query, "after") {
                    Some(id) => cursor(&id)?,
                    None => ChangeCursor::default(),
                },
                limit: limit(query)?,
            }),
            (&Method::POST, ["retry"]) => Some(Self::Retry),
            (&Method::POST, ["discard"]) => Some(Self::Discard),
            _ => None,
        })
    }
}

impl Admin {
    pub(super) async fn letters(
        &self,
        name: String,
        route: LetterRoute,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        let webhook = self.found(&name).await?.consumer();
        let letters = match route {
            LetterRoute::List { after, limit } => {
                let page = self.page_of_letters(&webhook, after, limit).await?;
                return Ok(json(StatusCode::OK, &page));
            }
            LetterRoute::Retry => {
                let letters = self
                    .metadata
                    .retry_dead_letters(&webhook, which(body)?)
                    .await?;
                tracing::info!(webhook = name, letters, "dead letters are posted again");
                letters
            }
            LetterRoute::Discard => {
                let letters = self
                    .metadata
                    .discard_dead_letters(&webhook, which(body)?)
                    .await?;
                tracing::info!(webhook = name, letters, "dead letters were thrown away");
                letters
            }
        };
        let done = LettersDoneView {
            webhook: name,
            letters,
        };
        Ok(json(StatusCode::OK, &done))
    }

    async fn page_of_letters(
        &self,
        webhook: &str,
        after: ChangeCursor,
        limit: usize,
    ) -> Result<DeadLettersView, AdminError> {
        let found = self
            .metadata
            .dead_letters_after(webhook, after, limit)
            .await?;
        let last = found.last().filter(|_| found.len() == limit);
        Ok(DeadLettersView {
            next: last.map(|last| id(last.cursor)),
            dead_letters: found.into_iter().map(DeadLetterView::from).collect(),
        })
    }
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: id(letter.cursor),
            bucket: letter.bucket_name,
            key: String::from_utf8_lossy(&letter.key).into_owned(),
            event: letter.event,
            reason: letter.reason,
            at_ms: letter.at_ms,
            asked_ms: letter.asked_ms,
            body: letter.body,
        }
    }
}

/// The letters that a body names. It must say which: nothing named is not all.
fn which(body: &[u8]) -> Result<Letters, AdminError> {
    let asked: LettersAsked = serde_json::from_slice(body)
        .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))?;
    match (asked.all, asked.letters.as_slice()) {
        (true, []) => Ok(Letters::After(ChangeCursor::default())),
        (false, [_, ..]) if asked.letters.len() <= MAX_PAGE => {
            let cursors = asked.letters.iter().map(|id| cursor(id));
            Ok(Letters::These(cursors.collect::<Result<_, _>>()?))
        }
        _ => Err(AdminError::invalid(format!(
            "name 1 to {MAX_PAGE} letters, or say all"
        ))),
    }
}

/// A letter's name: the place of its change in the log.
fn id(cursor: ChangeCursor) -> String {
    format!("{}-{}", cursor.transaction, cursor.number)
}

fn cursor(id: &str) -> Result<ChangeCursor, AdminError> {
    let number = |text: &str| {
        text.parse()
            .ok()
            .filter(|n: &u64| i64::try_from(*n).is_ok())
    };
    id.split_once('-')
        .and_then(|(transaction, of_it)| {
            Some(ChangeCursor {
                transaction: number(transaction)?,
                number: number(of_it)?,
            })
        })
        .ok_or_else(|| AdminError::invalid(format!("`{id}` names no letter: an id is like 0-17")))
}

fn limit(query: &str) -> Result<usize, AdminError> {
    match parameter(query, "limit") {
        None => Ok(PAGE),
        Some(text) => match text.parse() {
            Ok(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
            _ => Err(AdminError::invalid(format!("limit is 1 to {MAX_PAGE}"))),
        },
    }
}

/// Letters of a page, unless the request says otherwise.
const PAGE: usize = 100;
/// The most letters of one request.
const MAX_PAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_its_place() {
        let place = ChangeCursor {
            transaction: 3,
            number: 17,
        };
        assert_eq!(id(place), "3-17");
        assert_eq!(cursor("3-17"), Ok(place));
        for bad in [
            "",
            "3",
            "-",
            "3-",
            "-3",
            "a-b",
            "3-17-1",
            "3-99999999999999999999",
        ] {
            assert_eq!(cursor(bad).unwrap_err().status, 400, "{bad}");
        }
    }

    #[test]
    fn nothing_named_is_not_all() {
        let start = ChangeCursor::default();
        assert_eq!(which(br#"{"all": true}"#), Ok(Letters::After(start)));
        let one = which(br#"{"letters": ["0-1"]}"#);
        assert!(matches!(one, Ok(Letters::These(these)) if these.len() == 1));
        let many = format!("{{\"letters\": [{}\"0-1\"]}}", "\"0-1\",".repeat(MAX_PAGE));
        for bad in [
            "",
            "{}",
            r#"{"letters": []}"#,
            r#"{"all": false}"#,
            r#"{"all": true, "letters": ["0-1"]}"#,
            r#"{"letters": ["x"]}"#,
            r#"{"every": true}"#,
            &many,
        ] {
            assert_eq!(which(bad.as_bytes()).unwrap_err().status, 400, "{bad}");
        }
    }

    #[test]
    fn a_page_is_bounded() {
        let of = |query| LetterRoute::of(&Method::GET, &[], query);
        let list = |number, limit| LetterRoute::List {
            after: ChangeCursor {
                transaction: 0,
                number,
            },
            limit,
        };
        assert_eq!(of("after=0-7&limit=5"), Ok(Some(list(7, 5))));
        assert_eq!(of(""), Ok(Some(list(0, PAGE))));
        for bad in ["limit=0", "limit=1001", "limit=x", "after=x"] {
            assert_eq!(of(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
