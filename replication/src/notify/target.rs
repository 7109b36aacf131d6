//! Posting to a webhook, and what its answer means.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_metadata::notification::Webhook;
use holdfast_outbound::{Allowance, HttpUrl, Net, Poster, Wire};
use http::{HeaderValue, StatusCode};

/// What became of a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// 2xx.
    Taken,
    /// This event is not wanted: it will not be, however often it is posted.
    Poison(Refusal),
    /// The target is not as it must be, or not there: other events would fare no better.
    Failing(Refusal),
}

/// Why an event was not taken, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where events go.
#[async_trait]
pub(super) trait Target: Send + Sync + 'static {
    /// Posts once, within a deadline. Whatever the answer, it may have been received.
    async fn post(&self, body: String) -> Answer;
}

/// A webhook over HTTP.
pub(super) struct HttpTarget(Poster);

impl HttpTarget {
    /// The target of a webhook.
    ///
    /// # Errors
    /// Why it can't be posted to, in words for an operator.
    pub(super) async fn new(webhook: &Webhook, net: Arc<dyn Net>) -> Result<Self, String> {
        let detail = &webhook.detail;
        let url = HttpUrl::parse(&detail.url).map_err(|error| error.to_string())?;
        let allowance = Allowance {
            private: detail.allow_private,
            loopback: detail.allow_loopback,
            link_local: detail.allow_link_local,
        };
        let authorization = webhook
            .token
            .as_ref()
            .map(|token| HeaderValue::from_str(&format!("Bearer {token}")))
            .transpose()
            .map_err(|_| "its token can't be in a header".to_owned())?;
        let wire = if url.is_tls() {
            let host = url.host().to_owned();
            // Reads the certificates that this machine trusts.
            tokio::task::spawn_blocking(move || Wire::tls(&host))
                .await
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?
        } else {
            Wire::Plain
        };
        Ok(Self(Poster::new(
            url,
            wire,
            allowance,
            authorization,
            net,
            POST_DEADLINE,
        )))
    }
}

#[async_trait]
impl Target for HttpTarget {
    async fn post(&self, body: String) -> Answer {
        match self.0.post(Bytes::from(body)).await {
            Ok(status) => meaning(status),
            Err(error) => Answer::Failing(Refusal(error.to_string())),
        }
    }
}

/// Codes of 400 to 499 say that this event is wrong, but for those that say that we are not let in,
/// that there is nothing at this address, or that now is not the time.
pub(super) fn meaning(status: StatusCode) -> Answer {
    if status.is_success() {
        return Answer::Taken;
    }
    let refusal = Refusal(format!("the target answered {status}"));
    let about_the_target = [401, 402, 403, 404, 405, 407, 408, 410, 421, 423, 425, 429];
    if status.is_client_error() && !about_the_target.contains(&status.as_u16()) {
        Answer::Poison(refusal)
    } else {
        Answer::Failing(refusal)
    }
}

/// For one POST, from looking up the name to the answer's head.
const POST_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_about_the_event_or_about_the_target() {
        for (status, taken, poison) in [
            (200, true, false),
            (204, true, false),
            (299, true, false),
            (301, false, false),
            (307, false, false),
            (400, false, true),
            (401, false, false),
            (403, false, false),
            (404, false, false),
            (408, false, false),
            (413, false, true),
            (415, false, true),
            (422, false, true),
            (429, false, false),
            (500, false, false),
            (503, false, false),
        ] {
            let answer = meaning(StatusCode::from_u16(status).unwrap());
            assert_eq!(answer == Answer::Taken, taken, "{status}");
            assert_eq!(matches!(answer, Answer::Poison(_)), poison, "{status}");
        }
    }
}
