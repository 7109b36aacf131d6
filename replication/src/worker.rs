//! What a worker is: something that does a bit, rests when there is nothing to do, and can be
//! killed at any moment.
//!
//! The state of the work lives in the metadata and on the drives, never in the worker: one that
//! starts again finds what is left to do. The idea is Garage's: one trait for all background work,
//! so that one loop paces it and one table shows it.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::{Metadata, MetadataError};

/// Whether there is more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is: ask again soon.
    Busy,
    /// There is not: wait first.
    Idle,
}

/// How far a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// How much of it is done.
    pub done: u64,
    /// How much it is in all.
    pub total: u64,
    /// Of what, in the plural.
    pub unit: &'static str,
}

/// Why a step was not done. It is tried again, after a pause that grows with each failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WorkError {
    /// The metadata could not be asked or told.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// It waits for drives, memory or something else that may come; in words for an operator.
    #[error("{0}")]
    Waiting(String),
    /// A step broke off: a defect, which a person must look at. The others go on.
    #[error("a step broke off: {0}")]
    Panicked(String),
}

/// Background work, one step at a time.
#[async_trait]
pub trait Worker: Send + 'static {
    /// Its name, for logs and tables: one or two words with a hyphen.
    fn name(&self) -> &'static str;

    /// Does one step of bounded size. It is never cancelled by the runner, but the process may die
    /// in the middle: whatever it leaves must be right, or be put right by a later step.
    ///
    /// # Errors
    /// What stood in the way; the same step is tried again later.
    async fn work(&mut self) -> Result<Progress, WorkError>;

    /// Returns when there may be more to do. Dropped half-way when the process stops.
    async fn wait(&mut self);

    /// The handle through which it changes the metadata, where only one process at a time may run it:
    /// the runner puts it under the worker's lease, anew with each term. `None` says that every
    /// process may run it at once.
    fn leased(&mut self) -> Option<&mut Metadata>;

    /// Told between two steps that the lease was lost: lets go of what works beside its steps.
    /// Another may have worked since, when the next step comes.
    fn lease_lost(&mut self) {}

    /// What it has done or is doing, in words for an operator.
    fn doing(&self) -> String;

    /// What it works on, where there is one worker for each of several things.
    fn subject(&self) -> Option<String> {
        None
    }

    /// How far it is with the piece of work that it is at, where it knows.
    fn advance(&self) -> Option<Advance> {
        None
    }

    /// The share of the time that it works while it has work, in percent, unless an operator says
    /// otherwise.
    fn usual_pace(&self) -> u8 {
        50
    }

    /// Told before each step which share of the time it shall work, in percent. Only one that paces
    /// itself needs to listen: the runner rests after every step that leaves work to do.
    fn set_pace(&mut self, percent: u8) {
        let _ = percent;
    }

    /// Told when an operator pauses it, and when it may go on, between two steps. Only one that also
    /// works beside its steps needs to listen: while it is paused no step is asked for.
    fn set_paused(&mut self, paused: bool) {
        let _ = paused;
    }

    /// The longest rest after a step, at a pace of one half. A worker whose steps are short needs
    /// none of seconds; one whose steps take seconds keeps its share of the time only with it.
    fn longest_rest(&self) -> Duration {
        LONGEST_REST
    }
}

/// The pause after failure number `failures` (from 1): from one second, doubling, to a minute.
#[must_use]
pub(crate) fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

/// See [`Worker::longest_rest`].
const LONGEST_REST: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = (1..=9).map(|n| pause_after(n).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause_after(u32::MAX).as_secs(), 60);
    }
}
