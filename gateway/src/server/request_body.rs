//! A request's body, with an end to every wait for it.
//!
//! Only the time that is spent waiting for the client counts: a body that we read slowly, because
//! our drives are slow, is not the client's fault.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::{JUDGED_EVERY, Limits, MIN_BODY_BYTES_PER_SEC};
use super::pace::{Judgement, Pace, Slowest};
use super::pressure::Pressure;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client took too long.
    #[error("the body came too slowly: {received_bytes} bytes so far")]
    TooSlow {
        /// What had come.
        received_bytes: u64,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the body broke off: {0}")]
    Broken(#[source] hyper::Error),
}

/// The body of a request.
#[derive(Debug)]
pub struct RequestBody {
    /// There until it is dropped.
    incoming: Option<Incoming>,
    pace: TimedPace,
    state: Arc<BodyState>,
}

/// What the server knows of a body that the service has.
#[derive(Debug, Default)]
pub(super) struct BodyState {
    touched: AtomicBool,
    ended: AtomicBool,
    received_bytes: AtomicU64,
    /// What the service left of it.
    leftover: Mutex<Option<Incoming>>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, limits: &Limits) -> (Self, Arc<BodyState>) {
        let state = Arc::new(BodyState::default());
        state
            .ended
            .store(incoming.is_end_stream(), Ordering::Relaxed);
        let pace = TimedPace {
            pressure: limits.pressure.clone(),
            usually: Slowest {
                idle_timeout: limits.body_idle_timeout,
                window: limits.body_rate_window,
                bytes_per_sec: MIN_BODY_BYTES_PER_SEC,
            },
            pace: Pace::default(),
            timer: None,
        };
        (
            Self {
                incoming: Some(incoming),
                pace,
                state: Arc::clone(&state),
            },
            state,
        )
    }
}

impl BodyState {
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn take_leftover(&self) -> Option<Incoming> {
        self.leftover
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        this.state.touched.store(true, Ordering::Relaxed);
        let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
            ready!(this.pace.poll_too_slow(cx));
            let received_bytes = this.state.received_bytes();
            return Poll::Ready(Some(Err(BodyError::TooSlow { received_bytes })));
        };
        let len = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            _ => 0,
        };
        this.state.received_bytes.fetch_add(len, Ordering::Relaxed);
        this.pace.pace.moved(Instant::now(), len);
        if frame.is_none() {
            this.state.ended.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.state.ended.store(true, Ordering::Relaxed);
        } else {
            *self
                .state
                .leftover
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = self.incoming.take();
        }
    }
}

/// A pace, and the timer that wakes us when it has become too slow.
#[derive(Debug)]
struct TimedPace {
    pressure: Pressure,
    /// The slowest that is borne without pressure.
    usually: Slowest,
    pace: Pace,
    timer: Option<Pin<Box<Sleep>>>,
}

impl TimedPace {
    /// Ready when the client has been too slow. To be called while nothing has come.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            self.pace.waiting(now);
            let slowest = if self.pressure.is_there() {
                Slowest::under_pressure()
            } else {
                self.usually
            };
            let deadline = match self.pace.judge(now, slowest) {
                Some(Judgement::GoodUntil(deadline)) => deadline.min(now + JUDGED_EVERY),
                _ => return Poll::Ready(()),
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}
