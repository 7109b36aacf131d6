//! Re-encode jobs: made, told to pause, go on or end, taken by one worker at a time, saved.
//!
//! A lease is a holder and a time. It only keeps two workers from doing the same work twice: what a
//! job does to a blob is safe whoever else does it.

use uuid::Uuid;

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::queries::reencode::{job_columns, read_job};
use crate::reencode::{JobKind, JobProgress, JobState, ReencodeJob, SaveJob};
use crate::sql::{Tx, Value, values};

/// Makes a job for a bucket that has no open one; forgets its ended ones.
pub(crate) struct StartJob {
    pub(crate) bucket: String,
    pub(crate) prefix: Vec<u8>,
    pub(crate) kind: JobKind,
}

impl Apply for StartJob {
    type Outcome = ReencodeJob;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<ReencodeJob, MetadataError> {
        let bucket = super::buckets::lock_for_publish(tx, &self.bucket).await?;
        tx.execute(
            "DELETE FROM reencode_jobs WHERE bucket_id = $1 AND is_open = 0",
            values![bucket.id.0],
        )
        .await?;
        let created_ms = tx.now_ms();
        let progress = super::json(&JobProgress::default())?;
        let row = tx
            .fetch_one(
                concat!(
                    "INSERT INTO reencode_jobs (bucket_id, bucket_name, prefix, kind, state, \
                     is_open, created_ms, lease_until_ms, progress) \
                     VALUES ($1, $2, $3, $4, 'running', 1, $5, 0, $6) \
                     ON CONFLICT DO NOTHING RETURNING ",
                    job_columns!()
                ),
                values![
                    bucket.id.0,
                    &bucket.name,
                    self.prefix.as_slice(),
                    kind_text(self.kind),
                    created_ms,
                    &progress
                ],
            )
            .await?;
        read_job(&row.ok_or(MetadataError::Exists("re-encode of this bucket"))?)
    }
}

/// Tells a bucket's open job to run, pause or end.
pub(crate) struct TellJob {
    pub(crate) bucket: String,
    pub(crate) state: JobState,
}

impl Apply for TellJob {
    type Outcome = ReencodeJob;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<ReencodeJob, MetadataError> {
        let bucket = super::buckets::lock_for_publish(tx, &self.bucket).await?;
        let ended_ms = (!self.state.is_open()).then_some(tx.now_ms());
        let row = tx
            .fetch_one(
                concat!(
                    "UPDATE reencode_jobs SET state = $2, is_open = $3, ended_ms = $4 \
                     WHERE bucket_id = $1 AND is_open = 1 RETURNING ",
                    job_columns!()
                ),
                values![
                    bucket.id.0,
                    self.state.as_str(),
                    self.state.is_open(),
                    ended_ms.map_or(Value::Number(None), Value::from)
                ],
            )
            .await?;
        read_job(&row.ok_or(MetadataError::NotFound(
            "re-encode of this bucket under way",
        ))?)
    }
}
/// Takes the lease of the oldest running job that nobody else holds one of.
pub(crate) struct TakeJob {
    pub(crate) holder: Uuid,
    pub(crate) lease_ms: u64,
}

impl Apply for TakeJob {
    type Outcome = Option<ReencodeJob>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Option<ReencodeJob>, MetadataError> {
        let now_ms = tx.database_now_ms().await?;
        let until_ms = now_ms.saturating_add(self.lease_ms);
        let row = tx
            .fetch_one(
                "SELECT job_number FROM reencode_jobs WHERE is_open = 1 AND state = 'running' \
                 AND (lease_until_ms <= $1 OR lease_holder = $2) \
                 ORDER BY job_number LIMIT 1 FOR UPDATE",
                values![now_ms, &self.holder],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let row = tx
            .fetch_one(
                concat!(
                    "UPDATE reencode_jobs SET lease_holder = $2, lease_until_ms = $3 \
                     WHERE job_number = $1 RETURNING ",
                    job_columns!()
                ),
                values![row.number(0)?, &self.holder, until_ms],
            )
            .await?;
        row.as_ref().map(read_job).transpose()
    }
}

impl Apply for SaveJob {
    /// How the job stands now; `None` if the lease is another's.
    type Outcome = Option<JobState>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Option<JobState>, MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT state FROM reencode_jobs WHERE job_number = $1 AND lease_holder = $2 \
                 FOR UPDATE",
                values![self.number, &self.holder],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let now_ms = tx.now_ms();
        let until_ms = tx.database_now_ms().await?.saturating_add(self.lease_ms);
        let told = job_state(&row.text(0)?)?;
        // What was cancelled meanwhile stays so, with its counts as they are at the end.
        let (state, ended_ms) = match told {
            JobState::Running | JobState::Paused if self.done => {
                (JobState::Done, Value::from(now_ms))
            }
            JobState::Running | JobState::Paused => (told, Value::Number(None)),
            JobState::Cancelled | JobState::Done => (told, Value::from(now_ms)),
        };
        let progress = super::json(&self.progress)?;
        tx.execute(
            "UPDATE reencode_jobs SET progress = $2, state = $3, is_open = $4, ended_ms = $5, \
             lease_until_ms = $6 WHERE job_number = $1",
            values![
                self.number,
                &progress,
                state.as_str(),
                state.is_open(),
                ended_ms,
                until_ms
            ],
        )
        .await?;
        Ok(Some(state))
    }
}

const fn kind_text(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Reencode => "reencode",
        JobKind::DryRun => "dry-run",
    }
}

/// A job's kind from its column.
pub(crate) fn job_kind(text: &str) -> Result<JobKind, MetadataError> {
    match text {
        "reencode" => Ok(JobKind::Reencode),
        "dry-run" => Ok(JobKind::DryRun),
        other => Err(MetadataError::Corrupt(format!("a job is `{other}`"))),
    }
}

/// A job's state from its column.
pub(crate) fn job_state(text: &str) -> Result<JobState, MetadataError> {
    [
        JobState::Running,
        JobState::Paused,
        JobState::Cancelled,
        JobState::Done,
    ]
    .into_iter()
    .find(|state| state.as_str() == text)
    .ok_or_else(|| MetadataError::Corrupt(format!("a job's state is `{text}`")))
}
