//! What a re-encode asks and tells: see [`crate::reencode`] for the order.

use holdfast_types::{BlobId, Generation};
use uuid::Uuid;

use super::{MAX_ROWS, Metadata, Result, unpack_blob};
use crate::commands::reencode::AbandonMove;
use crate::commands::reencode_jobs::{StartJob, TakeJob, TellJob};
use crate::error::MetadataError;
use crate::model::BucketId;
use crate::queries::reencode;
use crate::reencode::{
    BeginMove, Begun, Cursor, JobKind, JobState, MetBlob, ReencodeJob, SaveJob, SwitchPlacement,
    Switched,
};

/// Re-encode.
impl Metadata {
    /// The blobs of a bucket, each through an object or an open upload's part whose key begins with
    /// `prefix`, after a cursor. A blob that several refer to comes several times. An empty page is
    /// the end.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn met_blobs(
        &self,
        bucket: BucketId,
        prefix: &[u8],
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Vec<MetBlob>> {
        let limit = limit.clamp(1, MAX_ROWS);
        let packed = query!(
            self.reader,
            reencode::page(&self.inner.region, bucket, prefix, after, limit)
        )?;
        self.named(|numbers| {
            packed
                .iter()
                .map(|met| {
                    Ok(MetBlob {
                        cursor: met.cursor.clone(),
                        key: met.key.clone(),
                        storage_class: met.storage_class.clone(),
                        blob: unpack_blob(numbers, &met.blob)?,
                        made_by: met.made_by,
                    })
                })
                .collect()
        })
        .await
    }

    /// Asks for drives for a new generation of a blob, before anything is written there.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn begin_move(&self, begin: BeginMove) -> Result<Begun> {
        self.number_drives(begin.targets.iter().map(|target| Some(target.1)))
            .await?;
        self.run(begin).await
    }

    /// Makes the new generation current, if the old one still is.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `OutcomeUnknown`: it may have happened; look at the placement.
    pub async fn switch_placement(&self, switch: SwitchPlacement) -> Result<Switched> {
        match self.run(switch).await {
            Err(MetadataError::SourceChanged) => Ok(Switched::Not),
            outcome => outcome,
        }
    }

    /// Says that a move in this region is over without a switch. Harmless if it has happened.
    ///
    /// # Errors
    /// `Unavailable`, `Database`: then what was written waits for its time.
    pub async fn abandon_move(&self, blob: BlobId, generation: Generation) -> Result<()> {
        self.run(AbandonMove {
            blob,
            region: self.inner.region.clone(),
            generation,
        })
        .await
    }

    /// Begins a re-encode of a bucket's objects whose keys begin with `prefix`.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Exists` while the bucket has an open one; `Unavailable`, `Database`.
    pub async fn start_reencode(
        &self,
        bucket: &str,
        prefix: &[u8],
        kind: JobKind,
    ) -> Result<ReencodeJob> {
        self.run(StartJob {
            bucket: bucket.to_owned(),
            prefix: prefix.to_vec(),
            kind,
        })
        .await
    }

    /// Tells a bucket's open re-encode to run, pause or end.
    ///
    /// # Errors
    /// `NoSuchBucket`; `NotFound` if none is open; `Unavailable`, `Database`.
    pub async fn tell_reencode(&self, bucket: &str, state: JobState) -> Result<ReencodeJob> {
        self.run(TellJob {
            bucket: bucket.to_owned(),
            state,
        })
        .await
    }

    /// The newest re-encode of a bucket.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn reencode_of(&self, bucket: BucketId) -> Result<Option<ReencodeJob>> {
        query!(self.reader, reencode::job_of(bucket))
    }

    /// The newest re-encode of each bucket, newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn reencodes(&self, limit: usize) -> Result<Vec<ReencodeJob>> {
        query!(self.reader, reencode::jobs(limit.min(MAX_ROWS)))
    }

    /// Takes a running job that nobody else works at, for `lease_ms`.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn take_reencode(&self, holder: Uuid, lease_ms: u64) -> Result<Option<ReencodeJob>> {
        self.run(TakeJob { holder, lease_ms }).await
    }

    /// Saves how far a job is and keeps the lease; how the job stands now, or `None` if another
    /// works at it.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn save_reencode(&self, save: SaveJob) -> Result<Option<JobState>> {
        self.run(save).await
    }
}
