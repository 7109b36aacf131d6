//! Many workers, each with a connection of its own, carry out operations until the count or the
//! time is reached, or somebody says stop. What is under way then is finished and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Connection, Endpoint, Failure};
use super::content::Pattern;
use super::objects::{Chooser, Objects};
use super::operation::Operator;
use super::progress::Progress;
use super::stats::Stats;

/// What all workers of one run share.
pub(crate) struct Load {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) pattern: Pattern,
    pub(crate) objects: Objects,
    pub(crate) chooser: Chooser,
    pub(crate) range_len: u64,
    pub(crate) part_len: u64,
    pub(crate) page: u64,
    pub(crate) concurrency: u16,
    pub(crate) until: Until,
    pub(crate) counters: Counters,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) count: Option<u64>,
    pub(crate) duration: Option<Duration>,
}

/// What can be seen while it runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    begun: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) failed: AtomicU64,
    stopped: AtomicBool,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) stats: Stats,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// How many object numbers may have been used.
    pub(crate) used: u64,
}

impl Load {
    /// Runs to the end, with a line of progress called `name` where somebody watches.
    pub(crate) async fn run(self, name: &'static str) -> anyhow::Result<Outcome> {
        let load = Arc::new(self);
        let began = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..load.concurrency {
            workers.spawn(Arc::clone(&load).work(began));
        }
        let progress = Progress::begin(name, Arc::clone(&load), began);
        let mut stats = Stats::default();
        let mut interrupted = false;
        loop {
            tokio::select! {
                ended = workers.join_next() => match ended {
                    Some(ended) => stats.merge(ended.context("a worker ended early")?),
                    None => break,
                },
                told = tokio::signal::ctrl_c(), if !interrupted => {
                    told.context("can't wait for an interruption")?;
                    interrupted = true;
                    load.counters.stopped.store(true, Ordering::Relaxed);
                }
            }
        }
        let took = began.elapsed();
        progress.end();
        let begun = load.counters.begun.load(Ordering::Relaxed);
        let begun = load.until.count.map_or(begun, |count| begun.min(count));
        let used = load.chooser.used(begun, &load.objects);
        Ok(Outcome { stats, took, used })
    }

    async fn work(self: Arc<Self>, began: Instant) -> Stats {
        let mut stats = Stats::default();
        let mut operator = Operator {
            connection: Connection::new(Arc::clone(&self.endpoint)),
            pattern: &self.pattern,
            objects: &self.objects,
            range_len: self.range_len,
            part_len: self.part_len,
            page: self.page,
        };
        while let Some(number) = self.next(began) {
            let step = self.chooser.choose(number, &self.objects, self.range_len);
            let start = Instant::now();
            let done = timeout(OPERATION_DEADLINE, operator.carry_out(step, &mut stats)).await;
            let done = done.unwrap_or_else(|_| {
                Err(Failure::NoAnswer("not done before the deadline".to_owned()))
            });
            self.chooser.done(step, done.is_ok());
            match done {
                Ok(bytes) => {
                    stats.record(step.kind(), start.elapsed(), bytes);
                    self.counters.done.fetch_add(1, Ordering::Relaxed);
                    self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                }
                Err(failure) => {
                    stats.record_failure(step.kind(), &failure);
                    operator.connection.close();
                    self.failed();
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
        stats
    }

    /// The number of the next operation, unless it is time to stop.
    fn next(&self, began: Instant) -> Option<u64> {
        let counters = &self.counters;
        let is_over = self
            .until
            .duration
            .is_some_and(|limit| began.elapsed() >= limit);
        if is_over || counters.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let number = counters.begun.fetch_add(1, Ordering::Relaxed);
        self.until
            .count
            .is_none_or(|count| number < count)
            .then_some(number)
    }

    /// A run in which nothing goes well is not worth its time.
    fn failed(&self) {
        let failed = self.counters.failed.fetch_add(1, Ordering::Relaxed) + 1;
        if failed >= HOPELESS && self.counters.done.load(Ordering::Relaxed) == 0 {
            self.counters.stopped.store(true, Ordering::Relaxed);
        }
    }
}

/// Of a whole operation: an upload of 5 TiB in parts would be no benchmark.
const OPERATION_DEADLINE: Duration = Duration::from_secs(600);
/// So that an endpoint which is down is not asked a hundred thousand times a second.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
/// Failures without a success after which a run gives up.
const HOPELESS: u64 = 100;
