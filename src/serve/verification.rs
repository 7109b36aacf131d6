//! The verification of the live store: one at a time, in a task of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_gateway::admin::Verification;
use holdfast_gateway::admin::view::{VerifyDepth, VerifyState, VerifyView};
use holdfast_replication::verify::{Depth, Report, Verifier, VerifyError, Watch};
use tokio_util::sync::CancellationToken;

/// See the module.
pub(crate) struct LiveVerification(Arc<Mutex<Inner>>);

struct Inner {
    /// `None` once the process stops: what it holds must be let go then.
    verifier: Option<Verifier>,
    last: Option<Attempt>,
}

/// A verification that goes on or has ended.
struct Attempt {
    depth: VerifyDepth,
    watch: Watch,
    stop: CancellationToken,
    result: Option<Result<Box<Report>, VerifyError>>,
}

impl LiveVerification {
    /// None goes on yet.
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            verifier: Some(verifier),
            last: None,
        })))
    }

    /// Ends it for good, and lets go of the rooms.
    pub(crate) fn close(&self) {
        let mut inner = self.inner();
        inner.verifier = None;
        if let Some(last) = &inner.last {
            last.stop.cancel();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        hold(&self.0)
    }
}

fn hold(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn view(&self) -> VerifyView {
        let Some(last) = &self.last else {
            return VerifyView {
                state: VerifyState::Never,
                depth: VerifyDepth::default(),
                phase: String::new(),
                done: 0,
                total: 0,
                left_seconds: None,
                broken: 0,
                degraded: 0,
                error: None,
                report: None,
            };
        };
        let progress = last.watch.read();
        let (state, error, report) = match &last.result {
            None => (VerifyState::Running, None, None),
            // A report is maps with text keys and plain values.
            Some(Ok(report)) => (VerifyState::Ended, None, serde_json::to_value(report).ok()),
            Some(Err(VerifyError::Stopped)) => (VerifyState::Stopped, None, None),
            Some(Err(error)) => (VerifyState::Failed, Some(error.to_string()), None),
        };
        VerifyView {
            state,
            depth: last.depth,
            phase: progress.phase.words().to_owned(),
            done: progress.done,
            total: progress.total,
            left_seconds: progress.left_seconds(),
            broken: progress.broken,
            degraded: progress.degraded,
            error,
            report,
        }
    }
}

impl Verification for LiveVerification {
    fn begin(&self, depth: VerifyDepth) -> Option<VerifyView> {
        let mut inner = self.inner();
        if inner
            .last
            .as_ref()
            .is_some_and(|last| last.result.is_none())
        {
            return None;
        }
        let verifier = inner.verifier.clone()?;
        let (watch, stop) = (Watch::new(), CancellationToken::new());
        inner.last = Some(Attempt {
            depth,
            watch: watch.clone(),
            stop: stop.clone(),
            result: None,
        });
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let result = verifier.run(asked(depth), &watch, &stop).await;
            tell(&result);
            // Before it is said to have ended: who waits for that may close the rooms.
            drop(verifier);
            if let Some(last) = &mut hold(&shared).last {
                last.result = Some(result.map(Box::new));
            }
        });
        Some(inner.view())
    }

    fn look(&self) -> VerifyView {
        self.inner().view()
    }

    fn stop(&self) -> VerifyView {
        let inner = self.inner();
        if let Some(last) = &inner.last {
            last.stop.cancel();
        }
        inner.view()
    }
}

fn tell(result: &Result<Report, VerifyError>) {
    match result {
        Ok(report) if report.is_clean() => tracing::info!(
            versions = report.looked.versions,
            fragments = report.looked.fragments,
            degraded = report.degraded.total(),
            "a verification found nothing broken"
        ),
        Ok(report) => tracing::error!(
            broken = report.broken.total(),
            degraded = report.degraded.total(),
            "a verification found what is broken: see `holdfast admin verify --last`"
        ),
        Err(VerifyError::Stopped) => tracing::info!("a verification was stopped"),
        Err(error) => tracing::error!("a verification could not go on: {error}"),
    }
}

const fn asked(depth: VerifyDepth) -> Depth {
    match depth {
        VerifyDepth::Quick => Depth::Quick,
        VerifyDepth::Headers => Depth::Headers,
        VerifyDepth::Deep => Depth::Deep,
    }
}
