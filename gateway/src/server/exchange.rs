//! One request and its answer: when it began, what went by, and what is told when it is over.

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};
use tokio::time::Instant;
use tracing::{Span, field, info, info_span};

use super::activity::Activity;
use super::crowd::RequestPlace;
use super::request_body::BodyState;
use super::service::{Outcome, RequestId};

/// Told how a request went.
type Observer = Box<dyn FnOnce(&Outcome) + Send + Sync>;

/// A request that is being answered. Over when it is dropped.
pub(super) struct Exchange {
    id: RequestId,
    method: Method,
    began: Instant,
    activity: Arc<Activity>,
    /// Of the request; `None` until its head was found good.
    body: Option<Arc<BodyState>>,
    span: Span,
    /// Among the requests in flight; `None` for one that is refused.
    place: Option<RequestPlace>,
    answer: Answer,
    observer: Option<Observer>,
}

/// What is known of the answer.
#[derive(Debug, Default)]
struct Answer {
    /// `None` until the service has answered.
    status: Option<StatusCode>,
    /// `None` where the body does not know its length.
    expected_bytes: Option<u64>,
    sent_bytes: u64,
    broke_off: bool,
}

impl Exchange {
    pub(super) fn begin(
        activity: Arc<Activity>,
        head: &Parts,
        client: SocketAddr,
        observer: Observer,
    ) -> Self {
        activity.request_began(head.version);
        let id = RequestId::generate();
        // Never the query: a presigned one is as good as a key.
        let span = info_span!(
            "request",
            %id,
            client = %client.ip(),
            method = %head.method,
            path = head.uri.path(),
            operation = field::Empty,
            status = field::Empty,
            received_bytes = field::Empty,
            sent_bytes = field::Empty,
            elapsed_ms = field::Empty,
        );
        Self {
            id,
            method: head.method.clone(),
            began: Instant::now(),
            activity,
            body: None,
            span,
            place: None,
            answer: Answer::default(),
            observer: Some(observer),
        }
    }

    pub(super) const fn id(&self) -> RequestId {
        self.id
    }

    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn has_place(&mut self, place: RequestPlace) {
        self.place = Some(place);
    }

    pub(super) fn has_body(&mut self, body: Arc<BodyState>) {
        self.body = Some(body);
    }

    pub(super) fn answered(&mut self, status: StatusCode, expected_bytes: Option<u64>) {
        self.answer.status = Some(status);
        self.answer.expected_bytes = expected_bytes;
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.answer.sent_bytes += bytes;
    }

    pub(super) fn broke_off(&mut self) {
        self.answer.broke_off = true;
    }

    fn outcome(&self, status: StatusCode) -> Outcome {
        let Answer {
            expected_bytes,
            sent_bytes,
            broke_off,
            ..
        } = self.answer;
        let all_sent = expected_bytes.is_none_or(|expected| sent_bytes >= expected);
        Outcome {
            method: self.method.clone(),
            status,
            received_bytes: self.body.as_ref().map_or(0, |body| body.received_bytes()),
            sent_bytes,
            complete: !broke_off && (all_sent || self.method == Method::HEAD),
            elapsed: self.began.elapsed(),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.activity.request_ended();
        self.place = None;
        let Some(status) = self.answer.status else {
            info!(parent: &self.span, "the client left before it was answered");
            return;
        };
        let outcome = self.outcome(status);
        self.span.record("status", status.as_u16());
        self.span.record("received_bytes", outcome.received_bytes);
        self.span.record("sent_bytes", outcome.sent_bytes);
        self.span
            .record("elapsed_ms", outcome.elapsed.as_secs_f64() * 1000.0);
        let message = if outcome.complete {
            "answered"
        } else {
            "the answer was cut off"
        };
        info!(parent: &self.span, "{message}");
        if let Some(observer) = self.observer.take() {
            observer(&outcome);
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
