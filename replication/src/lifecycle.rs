//! Does what lifecycle rules say, when its time has come.
//!
//! The queue is in the metadata: every version and upload that a rule is about carries the time at
//! which it is to be looked at, and a question for what is due costs what is due. Each step takes a
//! page of that and has the metadata look at each, which decides anew, under the key's lock, from
//! the version and the rules as they are then; and it walks one page of a bucket whose rules are
//! new, to date what was there before them. The worker keeps nothing: killed at any point, the next
//! one finds the same queue. One look that fails does not hold up the others; it is tried again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_metadata::lifecycle::{DueLifecycle, LifecycleBacklog, LifecycleDay, LifecycleTurn};
use holdfast_metadata::{Metadata, MetadataError};
use tokio::sync::watch;

use crate::worker::{Progress, WorkError, Worker};

/// What has been done since the process began, and what waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LifecycleReport {
    /// Looks, by what they did.
    pub turns: BTreeMap<LifecycleTurn, u64>,
    /// Versions and uploads that were there before their bucket's rules, and were dated.
    pub walked: u64,
    /// What waits.
    pub backlog: LifecycleBacklog,
}

impl LifecycleReport {
    /// How many looks did this.
    #[must_use]
    pub fn count(&self, turn: LifecycleTurn) -> u64 {
        self.turns.get(&turn).copied().unwrap_or_default()
    }
}

/// The worker that looks.
pub struct Lifecycle {
    metadata: Metadata,
    report: watch::Sender<LifecycleReport>,
    days_compared: bool,
    after_version: Option<DueLifecycle>,
    after_upload: Option<DueLifecycle>,
    steps: u64,
    failure: Option<MetadataError>,
}

impl Lifecycle {
    /// The worker, and a view of what it does.
    #[must_use]
    pub fn new(metadata: Metadata) -> (Self, watch::Receiver<LifecycleReport>) {
        let (report, receiver) = watch::channel(LifecycleReport::default());
        let worker = Self {
            metadata,
            report,
            days_compared: false,
            after_version: None,
            after_upload: None,
            steps: 0,
            failure: None,
        };
        (worker, receiver)
    }

    /// Dates of days of another length are made anew, once.
    async fn compare_days(&mut self) -> Result<(), WorkError> {
        if self.days_compared {
            return Ok(());
        }
        let restarted = self.metadata.restart_lifecycle_walks().await?;
        if restarted > 0 {
            tracing::info!(
                buckets = restarted,
                "a lifecycle day has another length than before: all dates are made anew"
            );
        }
        self.days_compared = true;
        Ok(())
    }

    /// Looks at a page of what is due; how many those were.
    async fn look(&mut self) -> Result<usize, WorkError> {
        let metadata = &self.metadata;
        let after = self.after_version.as_ref();
        let versions = metadata.due_versions(after, PAGE).await?;
        let after = self.after_upload.as_ref();
        let uploads = metadata.due_uploads(after, PAGE).await?;
        if let Some(last) = versions.last() {
            self.after_version = Some(last.clone());
        }
        if let Some(last) = uploads.last() {
            self.after_upload = Some(last.clone());
        }
        let count = versions.len() + uploads.len();
        // Side by side, so that their transactions share a commit.
        let turns: Vec<Result<LifecycleTurn, MetadataError>> =
            stream::iter(versions.into_iter().chain(uploads))
                .map(|due| metadata.examine_lifecycle(due))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
        self.report.send_modify(|report| {
            for turn in turns.iter().flatten() {
                *report.turns.entry(*turn).or_default() += 1;
            }
        });
        if let Some(failure) = turns.into_iter().find_map(Result::err) {
            self.failure = Some(failure);
        }
        Ok(count)
    }

    /// Walks a page; whether there may be more.
    async fn walk(&self) -> Result<bool, WorkError> {
        let Some(page) = self.metadata.walk_lifecycle(WALK_PAGE).await? else {
            return Ok(false);
        };
        self.report
            .send_modify(|report| report.walked += page.walked);
        Ok(true)
    }

    async fn count_backlog(&self) -> Result<(), WorkError> {
        let backlog = self.metadata.lifecycle_backlog().await?;
        self.report.send_modify(|report| report.backlog = backlog);
        Ok(())
    }
}

#[async_trait]
impl Worker for Lifecycle {
    fn name(&self) -> &'static str {
        "lifecycle"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        self.compare_days().await?;
        let looked = self.look().await?;
        let walked = self.walk().await?;
        self.steps += 1;
        if looked > 0 || walked {
            if self.steps.is_multiple_of(STEPS_BETWEEN_COUNTS) {
                self.count_backlog().await?;
            }
            return Ok(Progress::Busy);
        }
        // The round is over: what failed, and what has become due before the place where the round
        // is, is met in the next.
        (self.after_version, self.after_upload) = (None, None);
        self.count_backlog().await?;
        match self.failure.take() {
            Some(failure) => Err(failure.into()),
            None => Ok(Progress::Idle),
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(pause(self.metadata.lifecycle_day())).await;
    }

    fn doing(&self) -> String {
        let report = self.report.borrow();
        let count = |turn| report.count(turn);
        let mut text = format!(
            "{} objects expired, {} delete markers put and {} removed, {} noncurrent versions \
             removed, {} uploads aborted",
            count(LifecycleTurn::Expired),
            count(LifecycleTurn::MarkerPut),
            count(LifecycleTurn::MarkerRemoved),
            count(LifecycleTurn::NoncurrentRemoved),
            count(LifecycleTurn::UploadAborted),
        );
        let locked = count(LifecycleTurn::Locked);
        if locked > 0 {
            text.push_str(&format!(", {locked} times held by object lock"));
        }
        let backlog = report.backlog;
        if backlog.overdue > 0 {
            text.push_str(&format!("; {} due", backlog.overdue));
        }
        if backlog.buckets_to_walk > 0 {
            text.push_str(&format!(
                "; dating what is in {} buckets with new rules",
                backlog.buckets_to_walk
            ));
        }
        text
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").finish_non_exhaustive()
    }
}

/// Between two rounds: three questions to indexes that are mostly empty.
fn pause(day: LifecycleDay) -> Duration {
    Duration::from_millis(day.as_ms() / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Looks of one step: some hundred statements, a fraction of a second.
const PAGE: usize = 64;
/// Looks at once.
const AT_ONCE: usize = 16;
/// Versions that one step walks over: one transaction of some ten milliseconds.
const WALK_PAGE: usize = 256;
/// Counting the backlog costs as much as a few steps where it is long.
const STEPS_BETWEEN_COUNTS: u64 = 64;
/// Rules act at midnight, so seconds don't matter.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Where a day lasts seconds they do.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
