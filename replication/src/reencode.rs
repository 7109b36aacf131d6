//! Brings a bucket's old objects over to what its policy says now: the re-encode.
//!
//! A job is a row that an operator makes; this worker takes it, holds its lease, and saves a cursor
//! and counts after every step, so that a restart, or another worker, goes on from there. First all
//! is counted, then moved: parts of open uploads, then every version of every key. A blob whose
//! layout is not the policy's for its key, class and size is read, written as a new generation of
//! its placement, and switched to when that is durable (`one.rs`); whoever reads or writes goes on.
//! A blob that several objects share is moved once a job, through the first of them that is met:
//! each placement says which job has made it.
//!
//! Drives that are too few, or a store that is busy, only make the job wait; a blob that can't be
//! read is counted, named, and passed over.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use holdfast_erasure::Blobs;
use holdfast_metadata::model::Policy;
use holdfast_metadata::reencode::{
    JobError, JobKind, JobProgress, JobState, MetBlob, ReencodeJob, SaveJob, Stage,
};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::{Layout, Region};
use uuid::Uuid;

use crate::worker::{Advance, Progress, WorkError, Worker};

mod one;
mod status;

use self::one::{Move, Outcome};
pub use self::status::{ReencodeHandle, ReencodeStatus};

/// The worker that re-encodes.
pub struct Reencoder {
    metadata: Metadata,
    blobs: Blobs,
    region: Region,
    handle: ReencodeHandle,
    /// Who holds the leases: another process, or this one after a restart, is somebody else.
    holder: Uuid,
    active: Option<Active>,
}

/// The job that is worked at.
struct Active {
    job: ReencodeJob,
    policies: BTreeMap<String, Policy>,
    /// When the last step ended, to count the time that the job takes, rests and all.
    since: Instant,
    /// How often the blob behind the cursor was tried in vain.
    attempts: u32,
}

/// What came of a step.
enum Step {
    /// There is more.
    On,
    /// All is behind.
    Done,
    /// It can't go on now.
    Blocked(String),
}

impl Reencoder {
    /// Re-encodes what is in the region that `metadata` answers for.
    #[must_use]
    pub fn new(metadata: Metadata, blobs: Blobs, region: Region) -> (Self, ReencodeHandle) {
        let handle = ReencodeHandle::default();
        let reencoder = Self {
            metadata,
            blobs,
            region,
            handle: handle.clone(),
            holder: Uuid::now_v7(),
            active: None,
        };
        (reencoder, handle)
    }

    /// The job to work at, with the policies as they are now.
    async fn activate(&mut self) -> Result<bool, WorkError> {
        if self.active.is_none() {
            let jobs = self.metadata.reencodes(JOBS).await?;
            if !jobs.iter().any(|job| job.state == JobState::Running) {
                return Ok(false);
            }
            let taken = self.metadata.take_reencode(self.holder, LEASE_MS).await?;
            let Some(job) = taken else {
                return Ok(false);
            };
            self.active = Some(Active {
                job,
                policies: BTreeMap::new(),
                since: Instant::now(),
                attempts: 0,
            });
        }
        Ok(true)
    }

    async fn step(&self, active: &mut Active) -> Result<Step, WorkError> {
        let bucket = match self.metadata.bucket(&active.job.bucket_name).await {
            Ok(bucket) if bucket.id == active.job.bucket => bucket,
            Ok(_) | Err(MetadataError::NoSuchBucket) => return Ok(Step::Done),
            Err(error) => return Err(error.into()),
        };
        let policies = self.metadata.policies().await?.into_iter();
        active.policies = policies
            .map(|policy| (policy.name.clone(), policy))
            .collect();
        let page = self
            .metadata
            .met_blobs(
                active.job.bucket,
                &active.job.prefix,
                active.job.progress.cursor.as_ref(),
                PAGE,
            )
            .await?;
        let progress = &mut active.job.progress;
        if page.is_empty() {
            return Ok(match (progress.stage, active.job.kind) {
                (Stage::Counting, JobKind::Reencode) => {
                    progress.stage = Stage::Moving;
                    progress.cursor = None;
                    Step::On
                }
                (Stage::Counting, JobKind::DryRun) | (Stage::Moving, _) => Step::Done,
            });
        }
        match progress.stage {
            Stage::Counting => {
                count(
                    progress,
                    &active.policies,
                    &bucket.policy,
                    active.job.number,
                    page,
                );
                Ok(Step::On)
            }
            Stage::Moving => self.move_some(active, &bucket.policy, page).await,
        }
    }

    /// Moves the first blobs of a page that need it, a few at once, and passes over the others.
    async fn move_some(
        &self,
        active: &mut Active,
        bucket_policy: &str,
        page: Vec<MetBlob>,
    ) -> Result<Step, WorkError> {
        let Active {
            job,
            policies,
            attempts,
            ..
        } = active;
        let batch = Batch::of(page, policies, bucket_policy, job.number);
        let moving = self.run(job.number, batch.moves);
        let outcomes = self.keeping_the_lease(job, moving).await;
        let mut blocked = None;
        let progress = &mut job.progress;
        let mut failed = Vec::new();
        for (met, outcome) in outcomes {
            match outcome? {
                Outcome::Moved { stored_bytes } => {
                    progress.moved.add(met.blob.len);
                    self.handle.moved(met.blob.len, stored_bytes);
                }
                Outcome::Passed => {}
                Outcome::Blocked(_) if *attempts >= ATTEMPTS => {
                    failed.push((met, "it was tried too often".to_owned()));
                }
                Outcome::Blocked(reason) => blocked = Some(reason),
                Outcome::Unreadable(reason) if *attempts < UNREADABLE_ATTEMPTS => {
                    blocked = Some(reason);
                }
                Outcome::Unreadable(reason) | Outcome::Refused(reason) => {
                    failed.push((met, reason));
                }
            }
        }
        if let Some(reason) = blocked {
            // The same page again: what was moved is passed over then, and what could not be read
            // is looked up anew.
            *attempts += 1;
            return Ok(Step::Blocked(reason));
        }
        *attempts = 0;
        for (met, reason) in failed {
            fail(progress, &met, reason);
            self.handle.failed();
        }
        for bytes in batch.met {
            progress.met.add(bytes);
        }
        for bytes in batch.settled {
            progress.settled.add(bytes);
        }
        progress.cursor = batch.cursor;
        Ok(Step::On)
    }

    async fn run(&self, job: u64, moves: Vec<Wanted>) -> Vec<Done> {
        let one = Move {
            metadata: &self.metadata,
            blobs: &self.blobs,
            region: &self.region,
            job,
        };
        let one = &one;
        stream::iter(moves)
            .map(|wanted| async move {
                let outcome = one.run(&wanted).await;
                (wanted.met, outcome)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// A big blob takes longer than a lease.
    async fn keeping_the_lease<T>(&self, job: &ReencodeJob, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(Duration::from_millis(LEASE_MS / 3)) => {
                    // Where it is lost, somebody else does the same work: a waste, no harm.
                    if let Err(error) = self.metadata.save_reencode(self.save(job, false)).await {
                        tracing::debug!(%error, "a re-encode's lease could not be kept");
                    }
                }
            }
        }
    }

    fn save(&self, job: &ReencodeJob, done: bool) -> SaveJob {
        SaveJob {
            number: job.number,
            holder: self.holder,
            progress: job.progress.clone(),
            done,
            lease_ms: LEASE_MS,
        }
    }
}

#[async_trait]
impl Worker for Reencoder {
    fn name(&self) -> &'static str {
        "re-encode"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        if !self.activate().await? {
            self.handle.at(None);
            return Ok(Progress::Idle);
        }
        let Some(mut active) = self.active.take() else {
            return Ok(Progress::Idle);
        };
        // What fails here was not saved: the job is taken anew, from its last saved state.
        let step = self.step(&mut active).await?;
        let worked = active.since.elapsed();
        active.since = Instant::now();
        let progress = &mut active.job.progress;
        if progress.stage == Stage::Moving {
            progress.worked_ms += u64::try_from(worked.as_millis()).unwrap_or(u64::MAX);
        }
        progress.waiting_for = match &step {
            Step::Blocked(reason) => reason.clone(),
            Step::On | Step::Done => String::new(),
        };
        let done = matches!(step, Step::Done);
        let state = self
            .metadata
            .save_reencode(self.save(&active.job, done))
            .await?;
        self.handle.at(Some(&active.job.progress));
        match state {
            Some(JobState::Running) => self.active = Some(active),
            Some(state) => {
                let bucket = &active.job.bucket_name;
                tracing::info!(bucket, state = state.as_str(), "a re-encode stands still");
            }
            None => tracing::info!("a re-encode is worked at by somebody else"),
        }
        match step {
            Step::Blocked(reason) => Err(WorkError::Waiting(reason)),
            Step::On | Step::Done => Ok(Progress::Busy),
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(PAUSE).await;
    }

    fn doing(&self) -> String {
        let status = self.handle.status();
        match &self.active {
            None => format!("{} blobs moved", status.moved_blobs),
            Some(active) => {
                let progress = &active.job.progress;
                let planned = progress.planned_in_all();
                let verb = match progress.stage {
                    Stage::Counting => "counting",
                    Stage::Moving => "moving",
                };
                format!(
                    "{verb} in bucket {}: {} of {} blobs done, {} failed",
                    active.job.bucket_name,
                    progress.settled.blobs,
                    planned.blobs,
                    progress.failed.blobs
                )
            }
        }
    }

    fn subject(&self) -> Option<String> {
        None
    }

    fn advance(&self) -> Option<Advance> {
        let progress = &self.active.as_ref()?.job.progress;
        (progress.stage == Stage::Moving).then(|| Advance {
            done: progress.settled.bytes,
            total: progress.planned_in_all().bytes,
            unit: "bytes",
        })
    }

    fn longest_rest(&self) -> Duration {
        LONGEST_REST
    }
}

impl fmt::Debug for Reencoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reencoder").finish_non_exhaustive()
    }
}

/// A blob, and what came of its move.
type Done = (MetBlob, Result<Outcome, MetadataError>);

/// A blob that is to be moved.
struct Wanted {
    met: MetBlob,
    layout: Layout,
    policy: Policy,
}

/// As much of a page as one step takes.
struct Batch {
    moves: Vec<Wanted>,
    /// Bytes of each blob that is behind the cursor then.
    met: Vec<u64>,
    /// The same of those that were planned for.
    settled: Vec<u64>,
    cursor: Option<holdfast_metadata::reencode::Cursor>,
}

impl Batch {
    fn of(
        page: Vec<MetBlob>,
        policies: &BTreeMap<String, Policy>,
        bucket_policy: &str,
        job: u64,
    ) -> Self {
        let mut batch = Self {
            moves: Vec::new(),
            met: Vec::new(),
            settled: Vec::new(),
            cursor: None,
        };
        let mut taken = HashSet::new();
        let mut bytes = 0;
        for met in page {
            let wanted = wanted(&met, policies, bucket_policy, job);
            let is_new = wanted.is_some() && !taken.contains(&met.blob.blob);
            let is_full = batch.moves.len() >= STEP_BLOBS || bytes >= STEP_BYTES;
            if is_new && is_full {
                break;
            }
            batch.cursor = Some(met.cursor.clone());
            batch.met.push(met.blob.len);
            if wanted.is_some() || met.made_by == job {
                batch.settled.push(met.blob.len);
            }
            if let Some((layout, policy)) = wanted
                && is_new
            {
                taken.insert(met.blob.blob);
                bytes += met.blob.len;
                batch.moves.push(Wanted {
                    met,
                    layout,
                    policy,
                });
            }
        }
        batch
    }
}

/// What the policy of a blob's class (or, where that is no policy any more, of its bucket) says;
/// `None` if it is kept so already, or this job has moved it.
fn wanted(
    met: &MetBlob,
    policies: &BTreeMap<String, Policy>,
    bucket_policy: &str,
    job: u64,
) -> Option<(Layout, Policy)> {
    if met.made_by == job {
        return None;
    }
    let of_class = met.storage_class.as_deref();
    let policy = of_class
        .and_then(|class| policies.get(&Policy::name_of_class(class)))
        .or_else(|| policies.get(bucket_policy))?;
    let policy = policy.clone().for_key(&met.key);
    let layout = policy.layout_for(met.blob.len);
    (layout != met.blob.placement.layout).then_some((layout, policy))
}

fn count(
    progress: &mut JobProgress,
    policies: &BTreeMap<String, Policy>,
    bucket_policy: &str,
    job: u64,
    page: Vec<MetBlob>,
) {
    for met in page {
        if let Some((layout, _)) = wanted(&met, policies, bucket_policy, job) {
            let change = format!("{} -> {layout}", met.blob.placement.layout);
            progress
                .planned
                .entry(change)
                .or_default()
                .add(met.blob.len);
        }
        progress.cursor = Some(met.cursor);
    }
}

fn fail(progress: &mut JobProgress, met: &MetBlob, reason: String) {
    let key = String::from_utf8_lossy(&met.key).into_owned();
    tracing::warn!(blob = %met.blob.blob, key, reason, "a blob could not be re-encoded");
    progress.failed.add(met.blob.len);
    progress.errors.push(JobError {
        key,
        blob: met.blob.blob,
        reason,
    });
    let too_many = progress.errors.len().saturating_sub(ERRORS);
    progress.errors.drain(..too_many);
}

/// Jobs that are looked through for one to work at.
const JOBS: usize = 1000;
/// Blobs that one query gives.
const PAGE: usize = 256;
/// Blobs of one step at most, and bytes after which it takes no other.
const STEP_BLOBS: usize = 32;
const STEP_BYTES: u64 = 32 << 20;
/// Blobs at once: enough that drives and processors have something to do while one commits.
const AT_ONCE: usize = 4;
/// Errors that are kept: what is wrong shows in fewer.
const ERRORS: usize = 20;
/// Steps that wait for drives before a blob is passed over: at a pause of up to a minute, a while.
const ATTEMPTS: u32 = 60;
/// The same for a blob that can't be read: it may have moved while it was being read.
const UNREADABLE_ATTEMPTS: u32 = 2;
/// How long a worker that has died keeps others from its job.
const LEASE_MS: u64 = 10_000;
/// Between two looks for a job.
const PAUSE: Duration = Duration::from_secs(1);
/// A step may take seconds, and is to be followed by a rest of its share.
const LONGEST_REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
