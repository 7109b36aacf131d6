//! One signed request to the admin API over one connection, with a deadline.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use bytes::Bytes;
use holdfast_gateway::admin::ADMIN_SERVICE;
use holdfast_gateway::admin::view::ErrorView;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use crate::endpoint::Endpoint;
use crate::sign::{Key, ToSign, sha256_hex, sign};

/// Asks one server, with or without a key.
pub(super) struct Client {
    endpoint: Endpoint,
    region: String,
    key: Option<Key>,
}

/// What the server said.
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Client {
    pub(super) fn new(endpoint: &str, region: &str, key: Option<Key>) -> anyhow::Result<Self> {
        Ok(Self {
            endpoint: Endpoint::parse(endpoint)?,
            region: region.to_owned(),
            key,
        })
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        self.send_within(DEADLINE, method, path_and_query, body)
            .await
    }

    /// The same for what may read all that is known of what is stored.
    pub(super) async fn send_patiently(
        &self,
        method: Method,
        path_and_query: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        self.send_within(LONG_DEADLINE, method, path_and_query, body)
            .await
    }

    async fn send_within(
        &self,
        deadline: Duration,
        method: Method,
        path_and_query: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let what = format!("the admin API at {}", self.endpoint);
        let exchange = self.exchange(method, path_and_query, body);
        match tokio::time::timeout(deadline, exchange).await {
            Ok(answer) => answer.with_context(|| format!("can't ask {what}")),
            Err(_) => bail!("{what} did not answer in {} s", deadline.as_secs()),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path_and_query: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let request = self.request(method, path_and_query, body)?;
        let stream = self.endpoint.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped or the server closes.
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_LEN)
            .collect()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        Ok(Answer {
            status: head.status,
            body: body.to_bytes(),
        })
    }

    fn request(
        &self,
        method: Method,
        path_and_query: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        let mut request = Request::builder()
            .method(&method)
            .uri(path_and_query)
            .header(HOST, self.endpoint.authority())
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            let content_sha256 = sha256_hex(&body);
            let signed = sign(
                key,
                &ToSign {
                    method: &method,
                    host: self.endpoint.authority(),
                    path,
                    query,
                    content_sha256: &content_sha256,
                    service: ADMIN_SERVICE,
                    region: &self.region,
                    now_secs: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
                },
            );
            request = request
                .header("x-amz-date", signed.date)
                .header("x-amz-content-sha256", content_sha256)
                .header(AUTHORIZATION, signed.authorization);
        }
        Ok(request.body(Full::new(Bytes::from(body)))?)
    }
}

impl Answer {
    /// The answer if it is no refusal; else what the server said of it.
    pub(super) fn good(self) -> anyhow::Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        match serde_json::from_slice::<ErrorView>(&self.body) {
            Ok(view) => bail!(
                "{} ({}, request {})",
                view.error.message,
                view.error.code,
                view.error.request_id
            ),
            Err(_) => bail!("the server answered {}: {}", self.status, self.text()),
        }
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json<V: DeserializeOwned>(&self) -> anyhow::Result<V> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!(
                "the server answered {} with what is no such answer: {}",
                self.status,
                self.text()
            )
        })
    }
}

/// For connecting, asking and the whole answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// For an answer that takes a walk over all placements: some hundred million of them.
const LONG_DEADLINE: Duration = Duration::from_secs(3600);
/// A status with a hundred drives is far below.
const MAX_ANSWER_LEN: usize = 16 << 20;
