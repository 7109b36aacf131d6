//! One POST to one fixed address, bounded in every way.
//!
//! Redirects are not followed: a 3xx is an answer like any other. What the other side sends back is
//! thrown away up to a limit, beyond which the connection is closed. Connections are kept for the
//! next POST for a while; one that was kept and turns out to be closed is replaced once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::address::Allowance;
use crate::guard::{DialError, Net, dial};
use crate::url::HttpUrl;
use crate::wire::Wire;

/// Why a POST was not answered.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// TLS failed: the certificate is not trusted, or is another's.
    #[error("no TLS with {host}: {source}")]
    Tls {
        /// The host.
        host: String,
        /// What the handshake said.
        source: std::io::Error,
    },
    /// The other side closed the connection, or spoke no HTTP.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// The request can't be written.
    #[error("the request can't be written: {0}")]
    Request(#[from] http::Error),
}

/// Posts to one address.
pub struct Poster {
    url: HttpUrl,
    wire: Wire,
    allowance: Allowance,
    authorization: Option<HeaderValue>,
    net: Arc<dyn Net>,
    deadline: Duration,
    idle: Mutex<Vec<Kept>>,
}

/// A connection between two POSTs.
struct Kept {
    sender: http1::SendRequest<Full<Bytes>>,
    opened: Instant,
    /// Of the task that moves its bytes, which must not outlive it.
    task: Task,
}

struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Poster {
    /// Posts to `url` over `wire`, with this Authorization header, each within `deadline`.
    #[must_use]
    pub fn new(
        url: HttpUrl,
        wire: Wire,
        allowance: Allowance,
        authorization: Option<HeaderValue>,
        net: Arc<dyn Net>,
        deadline: Duration,
    ) -> Self {
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Self {
            url,
            wire,
            allowance,
            authorization,
            net,
            deadline,
            idle: Mutex::default(),
        }
    }

    /// Posts JSON; what the other side answered.
    ///
    /// # Errors
    /// Why there is no answer. It may have been received nevertheless.
    pub async fn post(&self, body: Bytes) -> Result<StatusCode, PostError> {
        tokio::time::timeout(self.deadline, self.exchange(body))
            .await
            .map_err(|_| PostError::Late(self.deadline))?
    }

    async fn exchange(&self, body: Bytes) -> Result<StatusCode, PostError> {
        if let Some(mut kept) = self.take() {
            // It may have been closed while nobody looked: then nothing was lost by trying.
            if let Ok(response) = kept.sender.send_request(self.request(body.clone())?).await {
                return Ok(self.finish(response, kept).await);
            }
        }
        let mut fresh = self.open().await?;
        let response = fresh.sender.send_request(self.request(body)?).await?;
        Ok(self.finish(response, fresh).await)
    }

    async fn open(&self) -> Result<Kept, PostError> {
        let host = self.url.host();
        let stream = dial(&*self.net, host, self.url.port(), self.allowance).await?;
        let stream = self
            .wire
            .over(stream)
            .await
            .map_err(|source| PostError::Tls {
                host: host.to_owned(),
                source,
            })?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_LEN)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await?;
        let task = tokio::spawn(async move {
            // Its end shows in the sender.
            let _ = connection.await;
        });
        Ok(Kept {
            sender,
            opened: Instant::now(),
            task: Task(task.abort_handle()),
        })
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, PostError> {
        let mut request = Request::post(self.url.path_and_query())
            .header(HOST, self.url.authority())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request.body(Full::new(body))?)
    }

    /// Throws the body away; keeps the connection if it came to its end soon.
    async fn finish(&self, response: http::Response<Incoming>, kept: Kept) -> StatusCode {
        let (head, body) = response.into_parts();
        let drained = tokio::time::timeout(DRAIN_DEADLINE, drain(body)).await;
        if drained == Ok(true) {
            self.keep(kept);
        }
        head.status
    }

    fn take(&self) -> Option<Kept> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.opened.elapsed() < LONGEST_KEPT && !kept.sender.is_closed());
        let ready = idle.iter().rposition(|kept| kept.sender.is_ready())?;
        Some(idle.swap_remove(ready))
    }

    fn keep(&self, kept: Kept) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_KEPT && !kept.task.0.is_finished() {
            idle.push(kept);
        }
    }
}

/// Whether the body ended within what is read of one.
async fn drain(mut body: Incoming) -> bool {
    let mut left = MAX_BODY_LEN;
    while !body.is_end_stream() {
        match body.frame().await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(len) {
                    Some(rest) => left = rest,
                    None => return false,
                }
            }
        }
    }
    true
}

impl fmt::Debug for Poster {
    /// Never shows the Authorization.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Of an answer's head.
const MAX_HEAD_LEN: usize = 64 << 10;
/// See [`MAX_HEAD_LEN`].
const MAX_HEADERS: usize = 100;
/// Of an answer's body, all of which is thrown away.
const MAX_BODY_LEN: usize = 64 << 10;
/// An answer counts when its head is here; its body may not take long.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);
/// A name is looked up again at least so often.
const LONGEST_KEPT: Duration = Duration::from_secs(60);
/// More than are ever posted at once to one address.
const MOST_KEPT: usize = 64;

#[cfg(test)]
mod tests;
