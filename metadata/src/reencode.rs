//! What a re-encode asks the metadata and tells it.
//!
//! A blob gets a *new generation* of its placement: fragments of another layout, on drives of their
//! own. The order is a repair's, for a whole blob: *begin* (a generation that no attempt had
//! before, and a stray row for each drive, committed before the first byte is written there),
//! write, *switch* (one transaction that makes the new generation current, if the old one still is,
//! and leaves a stray for each old fragment, to be removed after the grace). An attempt that dies
//! leaves strays that the next begin, or time, makes due. Two attempts never share a generation, so
//! that fragments of different layouts can never be taken for one another.
//!
//! The jobs that bring a bucket's old objects over are rows too: who works at one holds a lease,
//! and saves a cursor and counts with it.

use std::collections::BTreeMap;

use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Placement, Region};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{BlobPlacement, BucketId};

/// Asks for drives to write a new generation of a blob to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginMove {
    /// The blob.
    pub blob: BlobId,
    /// The region of the placement.
    pub region: Region,
    /// The generation that it has now.
    pub from: Generation,
    /// Which drive each fragment shall go to.
    pub targets: Vec<(FragmentIndex, DriveId)>,
}

/// What became of a [`BeginMove`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Write fragments of this generation, on these drives and no others.
    Generation(Generation),
    /// The blob is not live any more, or has another placement by now.
    Gone,
}

/// Makes a generation that is durable on its write quorum the blob's placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchPlacement {
    /// The blob.
    pub blob: BlobId,
    /// The generation that it had when the move began.
    pub from: Generation,
    /// The new one. Each of its drives was asked for with [`BeginMove`].
    pub to: Placement,
    /// Fragments that are owed, each with the drive it was meant for.
    pub debts: Vec<(FragmentIndex, Option<DriveId>)>,
    /// The job that did it: it does not move the blob again.
    pub job: u64,
}

/// What became of a [`SwitchPlacement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    /// The new generation is current, the old one goes when its grace is over.
    Made,
    /// Nothing was changed: the blob is gone, has another placement by now, or a fragment that was
    /// written was given up meanwhile. Abandon what was written.
    Not,
}

/// A blob as a re-encode meets it: through one of the objects or parts that refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetBlob {
    /// Where the walk is after it.
    pub cursor: Cursor,
    /// The key of the object or the upload.
    pub key: Vec<u8>,
    /// Its storage class, where it is not `STANDARD`.
    pub storage_class: Option<String>,
    /// The blob and where it is.
    pub blob: BlobPlacement,
    /// The job that made this placement; 0: no job.
    pub made_by: u64,
}

/// Where a walk over a bucket's blobs is. Parts of open uploads come first: completed later, they
/// are not met again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    /// Behind this slice of a part.
    Part {
        /// The upload.
        upload: Uuid,
        /// The part.
        number: u32,
        /// Where the slice begins.
        start: u64,
    },
    /// Behind this slice of a version.
    Version {
        /// Its key.
        key: Vec<u8>,
        /// Its place among the key's changes.
        sequence: u64,
        /// Where the slice begins.
        start: u64,
    },
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It is worked at, or waits its turn.
    Running,
    /// It waits to be told to go on.
    Paused,
    /// It was ended before its end.
    Cancelled,
    /// It has met every blob.
    Done,
}

impl JobState {
    /// Its name in rows, tables and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }

    /// Whether there is more to come of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What is to be done about a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Blobs that are not kept as the policy says are brought over.
    Reencode,
    /// They are only counted.
    DryRun,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReencodeJob {
    /// Its number: never used again.
    pub number: u64,
    /// Its bucket.
    pub bucket: BucketId,
    /// The bucket's name when the job was made.
    pub bucket_name: String,
    /// Only keys that begin with this.
    pub prefix: Vec<u8>,
    /// What it does.
    pub kind: JobKind,
    /// How it stands.
    pub state: JobState,
    /// When it was made.
    pub created_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// How far it is.
    pub progress: JobProgress,
}

/// How far a job is: what its worker saves, all at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobProgress {
    /// What it is at: first all is counted, then moved.
    pub stage: Stage,
    /// Where; `None`: at the beginning.
    pub cursor: Option<Cursor>,
    /// What there was to move when it was counted, by layouts: `4+2 -> 8+3`. A blob counts once for
    /// each object that refers to it.
    pub planned: BTreeMap<String, Amount>,
    /// Blobs that were met, moved or not.
    pub met: Amount,
    /// Those of them that were planned for, counted as the plan counts.
    pub settled: Amount,
    /// Blobs that were moved, with their own bytes (not those of their fragments).
    pub moved: Amount,
    /// Blobs that could not be moved.
    pub failed: Amount,
    /// Milliseconds that moving has taken so far, with the rests that its pace asks for.
    pub worked_ms: u64,
    /// What went wrong, the last of it.
    pub errors: Vec<JobError>,
    /// Why it does not get on now; empty when it does.
    pub waiting_for: String,
}

impl JobProgress {
    /// All that was planned.
    #[must_use]
    pub fn planned_in_all(&self) -> Amount {
        let mut all = Amount::default();
        for amount in self.planned.values() {
            all.blobs += amount.blobs;
            all.bytes += amount.bytes;
        }
        all
    }

    /// Bytes of the plan that are still ahead.
    #[must_use]
    pub fn remaining_bytes(&self) -> u64 {
        let planned = self.planned_in_all().bytes;
        planned.saturating_sub(self.settled.bytes)
    }

    /// Bytes a second, rests and all; 0 before anything was moved.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        let bytes = u128::from(self.settled.bytes) * 1000;
        u64::try_from(bytes / u128::from(self.worked_ms.max(1))).unwrap_or(u64::MAX)
    }

    /// Seconds that are left at the rate so far; `None` while there is none.
    #[must_use]
    pub fn eta_seconds(&self) -> Option<u64> {
        match (self.stage, self.remaining_bytes(), self.bytes_per_second()) {
            (Stage::Counting, ..) | (_, 1.., 0) => None,
            (_, 0, _) => Some(0),
            (_, remaining, rate) => Some(remaining.div_ceil(rate)),
        }
    }
}

/// What a job is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Counts what there is to move.
    #[default]
    Counting,
    /// Moves it.
    Moving,
}

/// Blobs and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Blobs.
    pub blobs: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    /// One more blob.
    pub const fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }
}

/// A blob that could not be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// The key through which it was met, as text.
    pub key: String,
    /// The blob.
    pub blob: BlobId,
    /// Why.
    pub reason: String,
}

/// Saves what a lease's holder has done, and keeps the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveJob {
    /// The job.
    pub number: u64,
    /// Who has the lease.
    pub holder: Uuid,
    /// How far it is.
    pub progress: JobProgress,
    /// Whether all is done.
    pub done: bool,
    /// How long the lease holds from now on.
    pub lease_ms: u64,
}
