//! Runs workers, each in a task of its own: paces them, pauses after failures, shows their state,
//! and stops them between two steps.
//!
//! A step is never cancelled: on stop the runner lets each worker finish the step it is in. One that
//! panics has failed like any other: a repair that has silently ended would be worse than a defect.
//! A worker that only one process at a time may run begins no step without its lease.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use holdfast_metadata::MetadataError;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::lease::Leases;
use crate::worker::{Progress, WorkError, Worker, pause_after};

mod forecast;
mod table;
mod tenure;

use self::forecast::Forecast;
pub use self::table::{LeaseStatus, Orders, WorkerState, WorkerStatus, WorkerTable};
use self::tenure::{Tenure, Turn};

/// The workers of this process. Cheap to clone: all clones are one set.
#[derive(Debug, Clone, Default)]
pub struct Workers(Arc<Running>);

#[derive(Debug, Default)]
struct Running {
    tasks: Mutex<JoinSet<()>>,
    stop: CancellationToken,
    table: WorkerTable,
    leases: Option<(Leases, AbortHandle)>,
}

impl Workers {
    /// No workers yet, and no leases: what is started is run, whoever else runs it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No workers yet; what only one process at a time may run is run under its lease. Must be
    /// called within a tokio runtime.
    #[must_use]
    pub fn leased(leases: Leases) -> Self {
        let table = WorkerTable::default();
        let keeper = tokio::spawn(tenure::keep(leases.clone(), table.clone())).abort_handle();
        Self(Arc::new(Running {
            table,
            leases: Some((leases, keeper)),
            ..Running::default()
        }))
    }

    /// Starts a worker. Must be called within a tokio runtime. The token ends this one alone, after
    /// the step that it is in; it is then no longer shown.
    pub fn start(&self, mut worker: impl Worker) -> CancellationToken {
        let table = self.0.table.clone();
        let (row, nudge) = table.add(&worker);
        let leases = self.0.leases.as_ref().map(|(leases, _)| leases);
        let tenure = Tenure::new(leases, &mut worker);
        let (all, own) = (self.0.stop.clone(), self.0.stop.child_token());
        let ended = own.clone();
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let seat = Seat {
                stop: &ended,
                nudge: &nudge,
                table: &table,
                row,
            };
            run(worker, tenure, &seat).await;
            if all.is_cancelled() {
                table.change(row, |status| status.state = WorkerState::Stopped);
            } else {
                table.remove(row);
            }
        });
        own
    }

    /// A live view of the workers.
    #[must_use]
    pub fn table(&self) -> WorkerTable {
        self.0.table.clone()
    }

    /// Asks all to stop and waits until each has finished its step. What has not by `deadline` is
    /// abandoned: steps are safe to be cut. Returns whether all finished.
    pub async fn stop(self, deadline: Duration) -> bool {
        self.0.stop.cancel();
        let mut tasks =
            std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        let finished = tokio::time::timeout(deadline, all).await.is_ok();
        tasks.abort_all();
        if let Some((leases, keeper)) = &self.0.leases {
            keeper.abort();
            // What was cut short may still be at its drives: its leases end in their time.
            if finished {
                leases.end().await;
            }
        }
        finished
    }
}

/// Where a worker is run.
struct Seat<'a> {
    stop: &'a CancellationToken,
    nudge: &'a Notify,
    table: &'a WorkerTable,
    row: u64,
}

async fn run<W: Worker>(mut worker: W, mut tenure: Option<Tenure>, seat: &Seat<'_>) {
    let Seat {
        stop,
        nudge,
        table,
        row,
    } = *seat;
    let (mut failures, mut is_paused) = (0, false);
    let mut forecast = Forecast::default();
    let (name, usual_pace) = (worker.name(), worker.usual_pace());
    while !stop.is_cancelled() {
        if let Some(tenure) = &mut tenure {
            tenure.notice(&mut worker, seat);
        }
        let orders = table.orders(name);
        if orders.paused != is_paused {
            is_paused = orders.paused;
            worker.set_paused(is_paused);
        }
        if is_paused {
            table.change(row, |status| status.state = WorkerState::Paused);
            forecast = Forecast::default();
            tokio::select! {
                () = stop.cancelled() => {}
                () = nudge.notified() => {}
                () = tenure::lost(tenure.as_ref()) => {}
            }
            continue;
        }
        if let Some(tenure) = &mut tenure {
            match tenure.turn(&mut worker, seat).await {
                Turn::Ours => {}
                Turn::Theirs(ask_again) => {
                    forecast = Forecast::default();
                    failures = 0;
                    rest(stop, Some(nudge), ask_again).await;
                    continue;
                }
                Turn::Unknown(error) => {
                    failures += 1;
                    fail(&error.into(), name, failures, seat);
                    rest(stop, Some(nudge), pause_after(failures)).await;
                    continue;
                }
            }
        }
        worker.set_pace(orders.pace_percent(usual_pace));
        let began = Instant::now();
        let step = AssertUnwindSafe(worker.work()).catch_unwind().await;
        let step = step.unwrap_or_else(|panic| Err(WorkError::Panicked(said(&*panic))));
        let doing = worker.doing();
        let advance = worker.advance();
        let eta = advance.and_then(|advance| forecast.after(advance));
        match step {
            Ok(progress) => {
                failures = 0;
                table.change(row, |status| {
                    status.state = match progress {
                        Progress::Busy => WorkerState::Busy,
                        Progress::Idle => WorkerState::Idle,
                    };
                    status.doing = doing;
                    status.advance = advance;
                    status.eta = eta;
                    status.last_error = None;
                });
                match progress {
                    Progress::Busy => {
                        let pace = table.orders(name).pace_percent(usual_pace);
                        let longest = worker.longest_rest();
                        rest(stop, None, rest_after(began.elapsed(), pace, longest)).await;
                    }
                    Progress::Idle => {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = nudge.notified() => {}
                            () = worker.wait() => {}
                            () = tenure::lost(tenure.as_ref()) => {}
                        }
                    }
                }
            }
            // No failure: the next turn says who has it.
            Err(WorkError::Metadata(MetadataError::LeaseLost(_))) if tenure.is_some() => {
                if let Some(tenure) = &mut tenure {
                    tenure.give_up(&mut worker);
                }
            }
            Err(error) => {
                failures += 1;
                table.change(row, |status| {
                    status.doing = doing;
                    status.advance = advance;
                });
                fail(&error, name, failures, seat);
                rest(stop, Some(nudge), pause_after(failures)).await;
            }
        }
    }
}

/// What a panic says of itself.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it says nothing".to_owned())
}

/// Tells of failure number `failures`.
fn fail(error: &WorkError, name: &'static str, failures: u32, seat: &Seat<'_>) {
    report(name, error, failures, pause_after(failures));
    seat.table.change(seat.row, |status| {
        status.state = WorkerState::Failing;
        status.eta = None;
        status.errors += 1;
        status.last_error = Some(error.to_string());
    });
}

/// Once when it begins to fail, then each time the pause is at its longest.
fn report(name: &'static str, error: &WorkError, failures: u32, pause: Duration) {
    if failures == 1 || failures.is_multiple_of(10) {
        tracing::warn!(
            worker = name,
            failures,
            pause_seconds = pause.as_secs(),
            "background work failed and will be tried again: {error}"
        );
    }
}

/// A rest that follows a failure ends when an operator asks for work; one for the sake of others
/// does not.
async fn rest(stop: &CancellationToken, nudge: Option<&Notify>, pause: Duration) {
    let asked = async {
        match nudge {
            Some(nudge) => nudge.notified().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = asked => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// A busy worker works at most its share of the time, so that requests find the drives and the
/// metadata's writer free in between; a long step is not followed by a long gap.
fn rest_after(worked: Duration, pace_percent: u8, longest: Duration) -> Duration {
    let pace = u32::from(pace_percent.clamp(1, 100));
    let share = |time: Duration| time * (100 - pace) / pace;
    share(worked).min(share(longest)).max(SHORTEST_REST)
}

const SHORTEST_REST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use holdfast_metadata::{Metadata, MetadataError};

    use super::*;

    /// Fails twice, works three times, then waits for ever.
    struct Scripted {
        steps: Arc<AtomicU64>,
    }

    #[async_trait]
    impl Worker for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn leased(&mut self) -> Option<&mut Metadata> {
            None
        }

        async fn work(&mut self) -> Result<Progress, WorkError> {
            match self.steps.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err(MetadataError::Unavailable("away".to_owned()).into()),
                2..=4 => Ok(Progress::Busy),
                _ => Ok(Progress::Idle),
            }
        }

        async fn wait(&mut self) {
            std::future::pending().await
        }

        fn doing(&self) -> String {
            format!("{} steps", self.steps.load(Ordering::SeqCst))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_fails_recovers_works_waits_and_stops() {
        let steps = Arc::new(AtomicU64::new(0));
        let workers = Workers::new();
        workers.start(Scripted {
            steps: Arc::clone(&steps),
        });
        let table = workers.table();

        tokio::time::sleep(Duration::from_millis(500)).await;
        let status = table.list().remove(0);
        assert_eq!(status.state, WorkerState::Failing);
        assert_eq!(status.errors, 1);
        assert!(status.last_error.unwrap().contains("away"));

        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(
            table.list(),
            [WorkerStatus {
                name: "scripted",
                subject: None,
                state: WorkerState::Idle,
                doing: "6 steps".to_owned(),
                advance: None,
                eta: None,
                errors: 2,
                last_error: None,
                pace_percent: 50,
                lease: None,
            }]
        );
        assert!(table.set_pace("scripted", 200));
        assert!(!table.set_pace("nobody", 10));
        assert_eq!(table.list()[0].pace_percent, 100);

        assert!(workers.stop(Duration::from_secs(1)).await, "it was waiting");
        assert_eq!(table.list()[0].state, WorkerState::Stopped);
        assert_eq!(steps.load(Ordering::SeqCst), 6);
    }

    /// One of several of a name; counts steps and the pace that it was told.
    struct OneOfSome {
        subject: &'static str,
        seen: Arc<Mutex<Vec<(&'static str, u8)>>>,
    }

    #[async_trait]
    impl Worker for OneOfSome {
        fn name(&self) -> &'static str {
            "some"
        }

        fn leased(&mut self) -> Option<&mut Metadata> {
            None
        }

        fn subject(&self) -> Option<String> {
            Some(self.subject.to_owned())
        }

        fn set_pace(&mut self, percent: u8) {
            self.seen.lock().unwrap().push((self.subject, percent));
        }

        async fn work(&mut self) -> Result<Progress, WorkError> {
            Ok(Progress::Idle)
        }

        async fn wait(&mut self) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }

        fn doing(&self) -> String {
            String::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn orders_reach_all_of_a_name_and_those_that_start_later() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let one = |subject| OneOfSome {
            subject,
            seen: Arc::clone(&seen),
        };
        let workers = Workers::new();
        let table = workers.table();
        table.remember(
            "some",
            Orders {
                pace: Some(7),
                paused: false,
            },
        );
        workers.start(one("a"));
        let own = workers.start(one("b"));
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(
            std::mem::take(&mut *seen.lock().unwrap()),
            [("a", 7), ("b", 7)]
        );

        assert!(table.set_pace("some", 20));
        let paused = table.order("some", |orders| orders.paused = true);
        assert!(paused.is_some_and(|orders| orders.paused));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(
            seen.lock().unwrap().is_empty(),
            "a paused worker does nothing"
        );
        let states: Vec<_> = table.list().iter().map(|row| row.state).collect();
        assert_eq!(states, [WorkerState::Paused; 2]);

        own.cancel();
        workers.start(one("c"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let subjects: Vec<_> = table
            .list()
            .into_iter()
            .filter_map(|row| row.subject)
            .collect();
        assert_eq!(
            subjects,
            ["a", "c"],
            "one that was ended alone is not shown"
        );
        let resumed = table.order("some", |orders| orders.paused = false);
        assert!(resumed.is_some());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(*seen.lock().unwrap(), [("a", 20), ("c", 20)]);
        assert_eq!(table.list()[1].pace_percent, 20);
        assert!(workers.stop(Duration::from_secs(5)).await);
    }

    /// Notes what it is told and done.
    struct Told(Arc<Mutex<Vec<&'static str>>>);

    #[async_trait]
    impl Worker for Told {
        fn leased(&mut self) -> Option<&mut Metadata> {
            None
        }

        fn name(&self) -> &'static str {
            "told"
        }

        fn set_paused(&mut self, paused: bool) {
            let word = if paused { "pause" } else { "go on" };
            self.0.lock().unwrap().push(word);
        }

        async fn work(&mut self) -> Result<Progress, WorkError> {
            self.0.lock().unwrap().push("work");
            Ok(Progress::Idle)
        }

        async fn wait(&mut self) {
            std::future::pending().await
        }

        fn doing(&self) -> String {
            String::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_told_of_pauses_also_of_one_before_its_first_step() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let workers = Workers::new();
        let table = workers.table();
        let paused = Orders {
            pace: None,
            paused: true,
        };
        table.remember("told", paused);
        workers.start(Told(Arc::clone(&told)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*told.lock().unwrap(), ["pause"]);
        for is_paused in [false, true, false] {
            let ordered = table.order("told", |orders| orders.paused = is_paused);
            assert!(ordered.is_some());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let expected = ["pause", "go on", "work", "pause", "go on", "work"];
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_waits_looks_at_once_when_asked_to() {
        let steps = Arc::new(AtomicU64::new(5));
        let workers = Workers::new();
        workers.start(Scripted {
            steps: Arc::clone(&steps),
        });
        let table = workers.table();
        for expected in 6..9 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(steps.load(Ordering::SeqCst), expected);
            assert!(table.wake("scripted"));
        }
        assert!(!table.wake("nobody"));
    }

    #[test]
    fn rests_are_the_rest_of_the_time() {
        let [worked, longest] = [100, 250].map(Duration::from_millis);
        let rest = |worked, pace| rest_after(worked, pace, longest).as_millis();
        assert_eq!(rest(worked, 50), 100);
        assert_eq!(rest(worked, 20), 400);
        assert_eq!(rest(worked, 100), 1);
        assert_eq!(rest(worked * 10, 50), 250);
        assert_eq!(rest(worked * 100, 10), 2250);
    }

    /// Panics once.
    struct Panicking(Arc<AtomicU64>);

    #[async_trait]
    impl Worker for Panicking {
        fn leased(&mut self) -> Option<&mut Metadata> {
            None
        }

        fn name(&self) -> &'static str {
            "panicking"
        }

        async fn work(&mut self) -> Result<Progress, WorkError> {
            assert!(
                self.0.fetch_add(1, Ordering::SeqCst) > 0,
                "a broken invariant"
            );
            Ok(Progress::Idle)
        }

        async fn wait(&mut self) {
            std::future::pending().await
        }

        fn doing(&self) -> String {
            String::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_panics_is_shown_and_tried_again() {
        let steps = Arc::new(AtomicU64::new(0));
        let workers = Workers::new();
        workers.start(Panicking(Arc::clone(&steps)));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let status = workers.table().list().remove(0);
        assert_eq!(status.state, WorkerState::Failing);
        assert!(status.last_error.unwrap().contains("a broken invariant"));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(workers.table().list()[0].state, WorkerState::Idle);
        assert_eq!(steps.load(Ordering::SeqCst), 2);
        assert!(workers.stop(Duration::from_secs(1)).await);
    }

    /// Its one step takes ten seconds.
    struct Slow(Arc<AtomicU64>);

    #[async_trait]
    impl Worker for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        fn leased(&mut self) -> Option<&mut Metadata> {
            None
        }

        async fn work(&mut self) -> Result<Progress, WorkError> {
            tokio::time::sleep(Duration::from_secs(10)).await;
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Progress::Busy)
        }

        async fn wait(&mut self) {}

        fn doing(&self) -> String {
            String::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_under_way_is_finished_before_the_stop() {
        let done = Arc::new(AtomicU64::new(0));
        let workers = Workers::new();
        workers.start(Slow(Arc::clone(&done)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(workers.stop(Duration::from_secs(30)).await);
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_does_not_end_does_not_hold_up_the_stop() {
        let workers = Workers::new();
        workers.start(Slow(Arc::new(AtomicU64::new(0))));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!workers.stop(Duration::from_secs(2)).await);
    }
}
