//! The streams of HTTP/2: each answered in a task of its own, given up when its client starves it.
//!
//! The socket does not show who takes nothing of one stream: HTTP/2 has a window for each, and a
//! client that opens none looks as if it had taken all there is, while its answer holds memory. So
//! each answer notes when its next piece is asked for, and only that stream is reset.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::limits::{JUDGED_EVERY, Limits};
use super::pace::{Judgement, Pace};

tokio::task_local! {
    /// Of the stream that the task answers.
    static TAKING: Arc<Taking>;
}

/// How fast a client takes one answer.
#[derive(Debug, Default)]
pub(super) struct Taking {
    pace: Mutex<(Pace, Handed)>,
}

/// Bytes that were handed over, and not yet known to be taken.
type Handed = u64;

impl Taking {
    /// Of the stream that this task answers; `None` where the connection's socket tells all.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        TAKING.try_with(Arc::clone).ok()
    }

    /// More is asked for: what was handed over is on its way.
    pub(super) fn asked(&self) {
        let (pace, handed) = &mut *self.lock();
        pace.moved(Instant::now(), std::mem::take(handed));
    }

    /// A piece is handed over: from now on we wait for the client.
    pub(super) fn handed(&self, bytes: u64) {
        let (pace, handed) = &mut *self.lock();
        *handed += bytes;
        pace.waiting(Instant::now());
    }

    /// Returns once the client is too slow.
    async fn starved(&self, limits: &Limits) {
        loop {
            let now = Instant::now();
            let soon = now + JUDGED_EVERY;
            let until = match self.lock().0.judge(now, limits.slowest_taker()) {
                Some(Judgement::TooSlow) => return,
                // Pressure may come meanwhile.
                Some(Judgement::GoodUntil(then)) => then.min(soon),
                None => soon,
            };
            sleep_until(until).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Pace, Handed)> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the streams of one connection.
#[derive(Clone)]
pub(super) struct Streams(pub(super) Limits);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let limits = self.0.clone();
        let taking = Arc::new(Taking::default());
        let answering = TAKING.scope(Arc::clone(&taking), stream);
        tokio::spawn(async move {
            tokio::select! {
                _sent = answering => {}
                // Dropping it resets the stream.
                () = taking.starved(&limits) => {
                    debug!("the client takes too little of a stream: it is reset");
                }
            }
        });
    }
}
