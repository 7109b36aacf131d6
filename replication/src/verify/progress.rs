//! How far a verification is, for those who wait for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun.
    Waiting,
    /// The rows of versions; deep: their bytes too.
    Versions,
    /// The change log, totals and what belongs to nothing.
    Rows,
    /// Blobs and fragments.
    Fragments,
    /// It has ended.
    Ended,
}

impl Phase {
    /// What it is, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Waiting => "begins",
            Self::Versions => "versions",
            Self::Rows => "change log and totals",
            Self::Fragments => "blobs and their fragments",
            Self::Ended => "done",
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// How much of the phase is done.
    pub done: u64,
    /// How much there was when it began; more may have come since.
    pub total: u64,
    /// What is broken so far.
    pub broken: u64,
    /// What is thin so far.
    pub degraded: u64,
    /// When the phase began.
    pub since: Instant,
}

impl Progress {
    /// How many seconds the phase will still take, if it goes on as it did; `None` while nothing
    /// can be said.
    #[must_use]
    pub fn left_seconds(&self) -> Option<u64> {
        let elapsed = self.since.elapsed().as_secs_f64();
        let left = self.total.saturating_sub(self.done);
        (self.done > 0 && elapsed >= 1.0)
            .then(|| (elapsed * left as f64 / self.done as f64).ceil() as u64)
    }
}

/// A live view of how far it is, cheap to clone.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Mutex<Progress>>);

impl Watch {
    /// Of a verification that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Progress {
            phase: Phase::Waiting,
            done: 0,
            total: 0,
            broken: 0,
            degraded: 0,
            since: Instant::now(),
        })))
    }

    /// How far it is now.
    #[must_use]
    pub fn read(&self) -> Progress {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, phase: Phase, total: u64) {
        self.change(|progress| {
            progress.phase = phase;
            progress.done = 0;
            progress.total = total;
            progress.since = Instant::now();
        });
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
