//! What the metadata can be told to do: each command is one transaction, or a savepoint in a
//! shared one, and is all or nothing.
//!
//! A command that publishes carries the id of its attempt ([`OpId`]), whose row decides what
//! happened when a COMMIT's reply is lost.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use holdfast_types::{BlobId, DriveId, FragmentIndex, Placement};
use uuid::Uuid;

use crate::model::{
    Attributes, Bypass, Debt, LockState, OpId, Origin, Retention, Seal, StoredChecksum,
    UploadChecksum, VersionId, VersionSelector,
};

/// How long removed bytes stay on their drives at least, so that no reader loses them: longer than
/// the longest request.
pub const GARBAGE_GRACE: Duration = Duration::from_secs(3600);

/// How long a completed upload remembers its outcome.
pub const COMPLETED_UPLOAD_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long an open upload without Complete or Abort is kept.
pub const UPLOAD_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long outcome rows and dead or condemned blob rows are kept: far longer than any COMMIT can
/// be under way.
pub const OUTCOME_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A blob whose fragments are durable on its write quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBlob {
    /// Its id; also the operation's [`OpId`].
    pub id: BlobId,
    /// Its bytes as they are on the drives: at least 1.
    pub len: u64,
    /// How they are sealed, if they are.
    pub seal: Option<Seal>,
    /// Where they are.
    pub placement: Placement,
    /// Fragments that are owed, each with the drive it was meant for.
    pub debts: Vec<(FragmentIndex, Option<DriveId>)>,
    /// Fragments that may also lie on a drive that is not in the placement.
    pub strays: Vec<(FragmentIndex, DriveId)>,
}

impl NewBlob {
    /// Its bytes as slices count them.
    #[must_use]
    pub fn content_len(&self) -> u64 {
        self.seal.as_ref().map_or(self.len, |seal| seal.content_len)
    }
}

/// When a write may happen, decided under the key's lock against its current version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteCondition {
    /// `If-Match`: the current version exists, is no marker and has one of these ETags; `*` any.
    pub if_match: Option<EtagSet>,
    /// `If-None-Match`: no current version that is not a marker, with one of these ETags; `*` any.
    pub if_none_match: Option<EtagSet>,
    /// Delete only: the version's Last-Modified in whole seconds is this.
    pub if_last_modified_s: Option<u64>,
    /// Delete only: the version's size is this.
    pub if_size: Option<u64>,
}

/// ETags of a condition, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtagSet {
    /// `*`.
    Any,
    /// One of these.
    OneOf(Vec<String>),
}

impl EtagSet {
    /// Whether `etag` is one of them.
    #[must_use]
    pub fn contains(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(etags) => etags.iter().any(|one| one == etag),
        }
    }
}

/// Makes an object of a blob (or of nothing, when it is empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObject {
    /// The attempt: `blob.id` when there is a blob.
    pub op: OpId,
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// The bytes; `None` for an empty object.
    pub blob: Option<NewBlob>,
    /// How many of the blob's bytes, from its first on, are the object's; `None`: all. At least 1
    /// and at most the blob's. (A form says only at its end how long its file was.)
    pub taken_len: Option<u64>,
    /// Without quotes.
    pub etag: String,
    /// What the edge keeps with it.
    pub attributes: Attributes,
    /// When it may happen.
    pub condition: WriteCondition,
    /// What it is to be locked with; without a retention the bucket's default holds.
    pub lock: LockState,
    /// Who asked for it.
    pub origin: Origin,
}

/// Makes an object that shares another's bytes. The caller has read the source and decided its
/// conditions; the command fails with `SourceChanged` if that very version is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyObject {
    /// The attempt.
    pub op: OpId,
    /// The source version's `uid`.
    pub source: Uuid,
    /// The target bucket's name.
    pub bucket: String,
    /// The target key.
    pub key: Vec<u8>,
    /// What the edge keeps with the target (for directive COPY: the source's).
    pub attributes: Attributes,
    /// When it may happen, against the target's current version.
    pub condition: WriteCondition,
    /// What it is to be locked with; without a retention the bucket's default holds.
    pub lock: LockState,
    /// Who asked for it.
    pub origin: Origin,
}

/// What a publishing command made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// `None` in a bucket whose versioning was never enabled (S3 then sends no header); `null`
    /// where it is suspended.
    pub version_id: Option<VersionId>,
    /// Its Last-Modified.
    pub last_modified_ms: u64,
    /// Its ETag.
    pub etag: String,
    /// Its place among the key's changes.
    pub sequence: u64,
}

/// Removes a key's current version (or puts a marker on it), or one version for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteObject {
    /// The attempt.
    pub op: OpId,
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// `Current`: as the bucket's versioning says. `Exact`: that version is removed.
    pub version: VersionSelector,
    /// When it may happen. A condition on an absent key fails with `NoSuchKey`.
    pub condition: WriteCondition,
    /// What may be bypassed of a version's lock.
    pub bypass: Bypass,
    /// Who asked for it.
    pub origin: Origin,
}

/// What a delete did. Deleting what is not there succeeds and changes nothing (in a versioned
/// bucket a delete of the current version always adds a marker, as on AWS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// `Current`: the marker's id if one was made. `Exact`: the id asked for.
    pub version_id: Option<VersionId>,
    /// A marker was made, or the version removed was a marker.
    pub delete_marker: bool,
}

/// Begins a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateUpload {
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// What its object will have.
    pub attributes: Attributes,
    /// The checksum that its parts follow.
    pub checksum: Option<UploadChecksum>,
    /// What its object is to be locked with; without a retention the default that the bucket has
    /// when it is completed holds.
    pub lock: LockState,
}

/// Commits a part; one of the same number is replaced. Requires the upload to be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutPart {
    /// The attempt: `blob.id` when there is a blob.
    pub op: OpId,
    /// The upload, which must be of this bucket and key.
    pub upload: Uuid,
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// 1 to 10,000.
    pub part_number: u32,
    /// The bytes; `None` for an empty part.
    pub blob: Option<NewBlob>,
    /// Without quotes.
    pub etag: String,
    /// Its checksum.
    pub checksum: Option<StoredChecksum>,
}

/// Commits a part that shares a range of another object's bytes. The caller has read the source and
/// decided its conditions; the command fails with `SourceChanged` if that very version is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPart {
    /// The attempt.
    pub op: OpId,
    /// The source version's `uid`.
    pub source: Uuid,
    /// Which of its bytes.
    pub range: Range<u64>,
    /// The upload, which must be of this bucket and key.
    pub upload: Uuid,
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// 1 to 10,000.
    pub part_number: u32,
    /// Of the range, without quotes.
    pub etag: String,
    /// Of the range.
    pub checksum: Option<StoredChecksum>,
}

/// Gives a version other tags. Neither its id nor its Last-Modified change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutTags {
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// Which version.
    pub version: VersionSelector,
    /// All its tags from now on.
    pub tags: BTreeMap<String, String>,
    /// Who asked for it.
    pub origin: Origin,
}

/// Gives a version another retention, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRetention {
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// Which version.
    pub version: VersionSelector,
    /// Its retention from now on.
    pub retention: Option<Retention>,
    /// What may be bypassed of the one that it has.
    pub bypass: Bypass,
    /// Who asked for it.
    pub origin: Origin,
}

/// Puts a version's legal hold on, or takes it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutLegalHold {
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// Which version.
    pub version: VersionSelector,
    /// Whether it is on.
    pub on: bool,
    /// Who asked for it.
    pub origin: Origin,
}

/// Makes an object of parts. The caller has read the parts, checked the client's list against them
/// and computed ETag and checksum; the command fails with `SourceChanged` if one of the parts has
/// been replaced since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteUpload {
    /// The attempt.
    pub op: OpId,
    /// The upload, which must be of this bucket and key, and open.
    pub upload: Uuid,
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// The parts in order: number and `uid`.
    pub parts: Vec<(u32, Uuid)>,
    /// Of the whole object, without quotes.
    pub etag: String,
    /// Of the whole object; replaces the checksum in the upload's attributes.
    pub checksum: Option<StoredChecksum>,
    /// When it may happen. A failed condition leaves the upload open.
    pub condition: WriteCondition,
    /// Who asked for it.
    pub origin: Origin,
}

/// What the sweeper learns when it asks for a blob's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepOutcome {
    /// No reference is left; the blob is dead for ever and its fragments may be deleted.
    Dead(Vec<Placement>),
    /// It is still referenced: this garbage row has been dropped.
    Referenced,
    /// Metadata does not know it (any more).
    Unknown,
}

/// Who won when an unknown fragment's blob was condemned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CondemnOutcome {
    /// The id can never be published any more.
    Condemned,
    /// The blob is known: it was published first.
    Known,
}

/// What became of an attempt whose COMMIT reply was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// It is committed.
    Happened,
    /// It is not, and can never be.
    Never,
}

/// Fragments that readers or writers found wanting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportDebts {
    /// What was found; recorded only where the placement still says the same.
    pub debts: Vec<Debt>,
}
