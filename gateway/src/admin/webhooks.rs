//! Webhooks over the admin API: made, shown, tried and removed.
//!
//! The gateway does not know who posts: the process hands in [`Webhooks`]. An address that may not
//! be connected to is refused here already where it can be seen; one that hides behind a name is
//! refused when it is connected to.

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_metadata::MetadataError;
use holdfast_metadata::notification::{Webhook, WebhookDetail};
use holdfast_outbound::{Allowance, HttpUrl};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;

use super::dead_letters::LetterRoute;
use super::error::AdminError;
use super::view::{
    CreateWebhook, DeadLetterView, DeletedView, WebhookDeliveryView, WebhookStatusView,
    WebhookTestView, WebhookView, WebhooksView,
};
use super::{Admin, json};

/// What is asked of the process.
#[async_trait]
pub trait Webhooks: Send + Sync + 'static {
    /// How deliveries stand, by the webhook's name.
    fn deliveries(&self) -> Vec<(String, WebhookDeliveryView)>;

    /// Posts a test event now; the inner `Err` says why it was not taken.
    ///
    /// # Errors
    /// If there is no such webhook, or the metadata can't be asked.
    async fn test(&self, name: &str) -> Result<Result<(), String>, MetadataError>;
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WebhookRoute {
    /// `GET /admin/v1/webhooks`.
    List,
    /// `POST /admin/v1/webhooks`.
    Create,
    /// `GET /admin/v1/webhooks/NAME`.
    Look { name: String },
    /// `DELETE /admin/v1/webhooks/NAME`.
    Delete { name: String },
    /// `POST /admin/v1/webhooks/NAME/test`.
    Test { name: String },
    /// Events that its target refused.
    Letters { name: String, route: LetterRoute },
}

impl WebhookRoute {
    /// The route below `/admin/v1/webhooks`, if there is one.
    pub(super) fn of(
        method: &Method,
        below: &[&str],
        query: &str,
    ) -> Result<Option<Self>, AdminError> {
        let found = Self::simple(method, below);
        if let (None, [one, "dead-letters", rest @ ..]) = (&found, below)
            && !one.is_empty()
            && let Some(route) = LetterRoute::of(method, rest, query)?
        {
            let name = percent_decode_str(one).decode_utf8_lossy().into_owned();
            return Ok(Some(Self::Letters { name, route }));
        }
        Ok(found)
    }

    fn simple(method: &Method, below: &[&str]) -> Option<Self> {
        let name = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        match (method, below) {
            (&Method::GET, []) => Some(Self::List),
            (&Method::POST, []) => Some(Self::Create),
            (_, [""] | ["", ..]) => None,
            (&Method::GET, [one]) => Some(Self::Look { name: name(one) }),
            (&Method::DELETE, [one]) => Some(Self::Delete { name: name(one) }),
            (&Method::POST, [one, "test"]) => Some(Self::Test { name: name(one) }),
            _ => None,
        }
    }
}

impl Admin {
    pub(super) async fn webhook(
        &self,
        route: WebhookRoute,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        match route {
            WebhookRoute::List => {
                let all = self.metadata.webhooks().await?;
                let webhooks = all.into_iter().map(|one| self.shown(one)).collect();
                Ok(json(StatusCode::OK, &WebhooksView { webhooks }))
            }
            WebhookRoute::Create => {
                Ok(json(StatusCode::CREATED, &self.create_webhook(body).await?))
            }
            WebhookRoute::Look { name } => Ok(json(StatusCode::OK, &self.look(&name).await?)),
            WebhookRoute::Delete { name } => {
                if let Some(bucket) = self.metadata.delete_webhook(&name).await? {
                    return Err(AdminError::exists(format!(
                        "bucket {bucket} sends events to {name}: give it other notifications first"
                    )));
                }
                tracing::info!(webhook = name, "a webhook was removed");
                Ok(json(StatusCode::OK, &DeletedView { deleted: name }))
            }
            WebhookRoute::Test { name } => Ok(json(StatusCode::OK, &self.test(name).await?)),
            WebhookRoute::Letters { name, route } => self.letters(name, route, body).await,
        }
    }

    async fn create_webhook(&self, body: &[u8]) -> Result<WebhookView, AdminError> {
        // What can't be read is not repeated: it may hold the token.
        let asked: CreateWebhook = serde_json::from_slice(body)
            .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))?;
        check(&asked)?;
        let mut webhook = Webhook {
            name: asked.name,
            number: 0,
            detail: WebhookDetail {
                url: asked.url,
                allow_private: asked.allow_private,
                allow_loopback: asked.allow_loopback,
                allow_link_local: asked.allow_link_local,
                created_ms: self.clock.now_ms(),
            },
            token: asked.token,
        };
        if self.metadata.webhooks().await?.len() >= MAX_WEBHOOKS {
            return Err(AdminError::exists(format!(
                "there are {MAX_WEBHOOKS} webhooks, which is the most: remove one first"
            )));
        }
        match self.metadata.create_webhook(webhook.clone()).await {
            Ok(number) => {
                tracing::info!(webhook = webhook.name, "a webhook was made");
                webhook.number = number;
                Ok(self.shown(webhook))
            }
            Err(MetadataError::Exists(_)) => Err(AdminError::exists(format!(
                "there is a webhook {} already",
                webhook.name
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// The webhook of a name.
    pub(super) async fn found(&self, name: &str) -> Result<Webhook, AdminError> {
        let all = self.metadata.webhooks().await?;
        let found = all.into_iter().find(|one| one.name == name);
        Ok(found.ok_or(MetadataError::NotFound("webhook"))?)
    }

    async fn look(&self, name: &str) -> Result<WebhookStatusView, AdminError> {
        let found = self.found(name).await?;
        let letters = self
            .metadata
            .dead_letters(&found.consumer(), SHOWN_LETTERS)
            .await?;
        Ok(WebhookStatusView {
            webhook: self.shown(found),
            dead_letters: letters.into_iter().map(DeadLetterView::from).collect(),
        })
    }

    async fn test(&self, name: String) -> Result<WebhookTestView, AdminError> {
        let webhooks = self
            .surroundings
            .webhooks()
            .ok_or_else(|| AdminError::not_found("this process posts to no webhooks"))?;
        let error = webhooks.test(&name).await?.err();
        Ok(WebhookTestView {
            webhook: name,
            taken: error.is_none(),
            error,
        })
    }

    fn shown(&self, webhook: Webhook) -> WebhookView {
        let deliveries = self.surroundings.webhooks().map(|all| all.deliveries());
        let own = |(name, _): &(String, WebhookDeliveryView)| *name == webhook.name;
        let delivery = deliveries.into_iter().flatten().find(own);
        WebhookView {
            arn: format!("arn:holdfast:sqs::{}:webhook", webhook.name),
            name: webhook.name,
            url: webhook.detail.url,
            has_token: webhook.token.is_some(),
            allow_private: webhook.detail.allow_private,
            allow_loopback: webhook.detail.allow_loopback,
            allow_link_local: webhook.detail.allow_link_local,
            created_ms: webhook.detail.created_ms,
            delivery: delivery.map(|(_, delivery)| delivery),
        }
    }
}

fn check(asked: &CreateWebhook) -> Result<(), AdminError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !(1..=64).contains(&asked.name.len()) || !asked.name.bytes().all(is_plain) {
        return Err(AdminError::invalid(
            "a webhook's name is 1 to 64 letters, digits, `.`, `_` or `-`",
        ));
    }
    let is_token = |token: &String| {
        (1..=1024).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
    };
    if !asked.token.as_ref().is_none_or(is_token) {
        return Err(AdminError::invalid(
            "a token is 1 to 1024 printable ASCII characters without spaces",
        ));
    }
    let url = HttpUrl::parse(&asked.url)
        .map_err(|error| AdminError::invalid(format!("the address can't be used: {error}")))?;
    let allowance = Allowance {
        private: asked.allow_private,
        loopback: asked.allow_loopback,
        link_local: asked.allow_link_local,
    };
    if url.ip().is_some_and(|ip| !allowance.admits(ip)) {
        return Err(AdminError::invalid(format!(
            "{} may not be posted to: if that is meant, allow its kind of address (allow_private, \
             allow_loopback or allow_link_local)",
            url.host()
        )));
    }
    Ok(())
}

/// Each has a reader of the change log.
const MAX_WEBHOOKS: usize = 100;
/// Of those that were put aside.
const SHOWN_LETTERS: usize = 100;

#[cfg(test)]
mod tests {
    use holdfast_metadata::model::ChangeCursor;

    use super::*;

    #[test]
    fn a_webhook_that_could_not_work_is_refused_at_once() {
        let good = CreateWebhook {
            name: "hook".to_owned(),
            url: "https://events.example/hook".to_owned(),
            token: Some("secret-token".to_owned()),
            ..CreateWebhook::default()
        };
        let with = |change: &dyn Fn(&mut CreateWebhook)| {
            let mut asked = good.clone();
            change(&mut asked);
            check(&asked).map_err(|error| error.message)
        };
        assert_eq!(with(&|_| {}), Ok(()));
        for name in ["", "a b", "a/b", "a:b", "é", &"x".repeat(65)] {
            assert!(
                with(&|asked| asked.name = name.to_owned()).is_err(),
                "{name}"
            );
        }
        for token in ["", "a b", "a\r\nx: y", "é", &"x".repeat(1025)] {
            let refused = with(&|asked| asked.token = Some(token.to_owned())).unwrap_err();
            assert!(token.is_empty() || !refused.contains(token), "{refused}");
        }
        for url in [
            "",
            "ftp://h/",
            "http://u:p@h/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://0.0.0.0/",
        ] {
            assert!(with(&|asked| asked.url = url.to_owned()).is_err(), "{url}");
        }
        for (url, allow) in [
            ("http://127.0.0.1/", "loopback"),
            ("http://10.0.0.1/", "private"),
            ("http://169.254.169.254/", "link-local"),
        ] {
            let allowed = with(&|asked| {
                asked.url = url.to_owned();
                asked.allow_loopback = allow == "loopback";
                asked.allow_private = allow == "private";
                asked.allow_link_local = allow == "link-local";
            });
            assert_eq!(allowed, Ok(()), "{url}");
        }
    }

    #[test]
    fn each_route_is_found_and_nothing_else() {
        let name = || "a-b".to_owned();
        for (method, below, expected) in [
            ("GET", &[][..], Some(WebhookRoute::List)),
            ("POST", &[], Some(WebhookRoute::Create)),
            ("GET", &["a%2Db"], Some(WebhookRoute::Look { name: name() })),
            (
                "DELETE",
                &["a-b"],
                Some(WebhookRoute::Delete { name: name() }),
            ),
            (
                "POST",
                &["a-b", "test"],
                Some(WebhookRoute::Test { name: name() }),
            ),
            ("PUT", &[], None),
            ("GET", &[""], None),
            ("DELETE", &[""], None),
            ("POST", &["", "test"], None),
            ("GET", &["a", "test"], None),
            ("POST", &["a"], None),
            ("POST", &["a", "test", "b"], None),
            (
                "GET",
                &["a-b", "dead-letters"],
                Some(WebhookRoute::Letters {
                    name: name(),
                    route: LetterRoute::List {
                        after: ChangeCursor::default(),
                        limit: 100,
                    },
                }),
            ),
            (
                "POST",
                &["a-b", "dead-letters", "retry"],
                Some(WebhookRoute::Letters {
                    name: name(),
                    route: LetterRoute::Retry,
                }),
            ),
            (
                "POST",
                &["a-b", "dead-letters", "discard"],
                Some(WebhookRoute::Letters {
                    name: name(),
                    route: LetterRoute::Discard,
                }),
            ),
            ("POST", &["a-b", "dead-letters"], None),
            ("DELETE", &["a-b", "dead-letters"], None),
            ("GET", &["", "dead-letters"], None),
            ("POST", &["a-b", "dead-letters", "other"], None),
        ] {
            let method: Method = method.parse().unwrap();
            assert_eq!(
                WebhookRoute::of(&method, below, ""),
                Ok(expected),
                "{method} {below:?}"
            );
        }
    }
}
