//! What is served: one trait, and what it is told.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;

use super::request_body::RequestBody;

/// Names a request in answers and logs: 16 upper-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// Why a request never reached the service, or came back from it without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its head is larger than we take.
    #[error("Your request header section exceeds the maximum allowed size.")]
    HeadTooLarge,
    /// It can be understood in several ways, or not at all.
    #[error("{0}")]
    Malformed(&'static str),
    /// There are too many at once, of this client or in all.
    #[error("Please reduce your request rate.")]
    TooMany,
    /// The service panicked.
    #[error("We encountered an internal error. Please try again.")]
    Panicked,
}

impl Refusal {
    /// The answer's status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLarge | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// How a request went, for metrics: told when its answer has been sent or given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The request's method.
    pub method: Method,
    /// The answer's status.
    pub status: StatusCode,
    /// Bytes of the request's body that were read.
    pub received_bytes: u64,
    /// Bytes of the answer's body that were sent.
    pub sent_bytes: u64,
    /// Whether the whole answer was sent.
    pub complete: bool,
    /// From the request's head to the answer's end.
    pub elapsed: Duration,
}

/// Answers requests. A request carries its [`RequestId`], its client's `SocketAddr` and the
/// [`Scheme`](super::Scheme) by which it came as extensions, and always exactly one `Host` header (on HTTP/2 it is made from `:authority`; it is empty where an
/// HTTP/1.0 client sent none).
pub trait HttpService: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one request. The future is dropped when the client has gone.
    fn call(
        &self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The answer to a request that it did not get or did not answer.
    fn refuse(&self, refusal: Refusal, id: RequestId) -> Response<Self::Body>;

    /// Told how each request went.
    fn observe(&self, _outcome: &Outcome) {}
}
