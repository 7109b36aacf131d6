//! What the metadata knows, as values: buckets, versions, uploads, blobs, debts, garbage.
//!
//! Keys are bytes and names are texts that the edge has already checked; nothing here parses S3.

mod change;
mod object_lock;
mod quota;
mod rate_limit;
mod seal;

use std::collections::BTreeMap;

use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Placement, Region};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::commands::policies::PolicyUse;
pub use crate::policy::{Policy, PolicyError, PolicyRule};

pub(crate) use change::Logged;
pub use change::{Change, ChangeCause, ChangeCursor, ChangeEvent, ChangeKind, Origin};
pub use object_lock::{
    BucketLock, Bypass, DefaultRetention, LockState, RemovedLock, Retention, RetentionMode,
    RetentionPeriod, VersionLock,
};
pub use quota::{OverQuota, Quota};
pub use rate_limit::{NamedRateLimit, RateLimit, RateLimited};
pub use seal::{Encryption, MasterKeyUse, Rewrapped, Seal, WrappedRow};

/// A bucket's number: names can be reused, numbers are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BucketId(pub i64);

/// Names one attempt of one operation, so that a lost COMMIT reply can be resolved. For a write of
/// bytes it is the blob's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpId(pub Uuid);

impl OpId {
    /// A new one. One attempt, one id: a retry after a definite failure takes a new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl From<BlobId> for OpId {
    fn from(blob: BlobId) -> Self {
        Self(Uuid::from_bytes(*blob.as_bytes()))
    }
}

/// Whether a bucket keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// Never switched on: one null version a key, replaced in place.
    Unversioned,
    /// Each write makes a version with an id of its own.
    Enabled,
    /// Was on: writes replace the null version, other versions stay.
    Suspended,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its number.
    pub id: BucketId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_ms: u64,
    /// Whether it keeps old versions.
    pub versioning: Versioning,
    /// The policy that its new objects follow.
    pub policy: String,
    /// What CreateBucket was given as LocationConstraint, answered by GetBucketLocation.
    pub location: Option<String>,
    /// Whether its versions can be locked.
    pub object_lock: BucketLock,
    /// How much it may hold.
    pub quota: Quota,
    /// Names its lifecycle rules; 0: it has none.
    pub lifecycle_generation: u64,
    /// How objects are encrypted whose writer does not say, as the edge wrote it.
    pub encryption: Option<String>,
}

/// An access key. In this release each has full access.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its public half.
    pub access_key: String,
    /// Its secret half.
    pub secret_key: String,
    /// What it is for, in its maker's words.
    pub description: String,
    /// When it was made.
    pub created_ms: u64,
    /// A disabled key is refused as if it did not exist.
    pub disabled: bool,
}

impl std::fmt::Debug for AccessKey {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// A checksum kept with an object or a part, as the edge gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChecksum {
    /// `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1` or `SHA256`.
    pub algorithm: String,
    /// Base64, with `-N` behind it when composite.
    pub value: String,
    /// Over the checksums of the parts rather than over all bytes.
    pub composite: bool,
}

/// What the edge keeps with an object and gets back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attributes {
    /// System metadata by lower-case header name (`content-type`, `cache-control`, ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// User metadata by lower-case name without `x-amz-meta-`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
    /// The object's checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<StoredChecksum>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The storage class when it is not `STANDARD` (then the name of a policy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// A version's id as S3 shows it: `null`, or 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(pub String);

impl VersionId {
    /// The id of null versions.
    #[must_use]
    pub fn null() -> Self {
        Self("null".to_owned())
    }

    /// Whether this is the null version's id.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0 == "null"
    }
}

/// Which version is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSelector {
    /// The newest, whatever it is.
    Current,
    /// The one with this id.
    Exact(VersionId),
}

/// One version of one key: an object or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The owner of its slices: unique over all versions of all keys, never reused.
    pub uid: Uuid,
    /// Its bucket.
    pub bucket: BucketId,
    /// Its key.
    pub key: Vec<u8>,
    /// Its place among the key's changes.
    pub sequence: u64,
    /// Its id.
    pub version_id: VersionId,
    /// Whether it is the newest of its key.
    pub is_current: bool,
    /// Whether it is a delete marker (then it has no bytes and no ETag).
    pub is_delete_marker: bool,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Never goes back within a key.
    pub last_modified_ms: u64,
    /// How many parts it was completed from; `None` for a single PUT.
    pub parts: Option<u32>,
    /// What the edge keeps with it.
    pub attributes: Attributes,
    /// What locks it.
    pub lock: VersionLock,
}

/// Where a blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPlacement {
    /// The blob.
    pub blob: BlobId,
    /// Its bytes.
    pub len: u64,
    /// Which drives hold it in this region.
    pub placement: Placement,
}

/// A run of an object's bytes: `len` bytes from `blob_offset` of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedSlice {
    /// Where it begins in the object.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Where it begins in the blob.
    pub blob_offset: u64,
    /// Where the blob is. Shared blobs are looked up once a page and cloned.
    pub blob: BlobPlacement,
    /// How it is sealed, if it is: `start`, `len` and `blob_offset` then count its content.
    pub seal: Option<Seal>,
}

/// One part of a completed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPart {
    /// 1 to 10,000; as numbered at upload.
    pub part_number: u32,
    /// Where it begins in the object.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Its checksum, if the upload had one.
    pub checksum: Option<StoredChecksum>,
}

/// How a multipart upload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadState {
    /// Takes parts.
    Open,
    /// Became this version; remembered for 7 days so that a retried Complete answers the same.
    Completed(CompletedUpload),
    /// Aborted or expired.
    Aborted,
}

/// What a completed upload became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedUpload {
    /// The version's id; `None` in an unversioned bucket.
    pub version_id: Option<VersionId>,
    /// Its ETag.
    pub etag: String,
    /// Its checksum.
    pub checksum: Option<StoredChecksum>,
}

/// A multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: Uuid,
    /// Its bucket.
    pub bucket: BucketId,
    /// Its key.
    pub key: Vec<u8>,
    /// When it was begun.
    pub created_ms: u64,
    /// How it stands.
    pub state: UploadState,
    /// What its object will have.
    pub attributes: Attributes,
    /// Checksum algorithm and type that its parts follow, as the edge wrote it.
    pub checksum: Option<UploadChecksum>,
    /// What its object is to be locked with.
    pub lock: LockState,
}

/// The checksum that an upload was begun with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadChecksum {
    /// As in [`StoredChecksum`].
    pub algorithm: String,
    /// Composite rather than full-object.
    pub composite: bool,
}

/// An uploaded part of an open upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 1 to 10,000.
    pub part_number: u32,
    /// This upload of it: another upload of the same number has another.
    pub uid: Uuid,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// When it was committed.
    pub last_modified_ms: u64,
    /// Its checksum.
    pub checksum: Option<StoredChecksum>,
}

/// One thing on a page of a listing.
// Nearly all entries are of the larger kind.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListEntry {
    /// A key's current version (or, in a versions listing, any version or marker).
    Version(Version),
    /// All keys that begin with this, which ends with the delimiter.
    CommonPrefix(Vec<u8>),
}

/// What a page of a listing is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// The bucket.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: Vec<u8>,
    /// Rolls keys up into common prefixes.
    pub delimiter: Option<Vec<u8>>,
    /// Only what comes after this key or common prefix (a common prefix equal to it counts as
    /// listed, with all keys below it).
    pub after: Option<Vec<u8>>,
    /// In a versions listing: within key `after`, only versions older than this one.
    pub after_version: Option<VersionId>,
    /// The most entries, versions and common prefixes together.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// In key order; within a key newest version first.
    pub entries: Vec<ListEntry>,
    /// Whether there is more.
    pub truncated: bool,
    /// How many rows the database handed over: its cost, which tests and benchmarks watch.
    pub rows_visited: u64,
}

/// What is owed: a fragment that is not (or no longer) where it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debt {
    /// The blob.
    pub blob: BlobId,
    /// The region and generation of its placement.
    pub region: Region,
    /// See `region`.
    pub generation: Generation,
    /// Which fragment.
    pub index: FragmentIndex,
    /// The drive that should have it, or had it; `None` if none was chosen.
    pub drive: Option<DriveId>,
    /// `unwritten`, `missing` or `corrupt`.
    pub kind: DebtKind,
    /// When it was first recorded.
    pub created_ms: u64,
}

/// Why a fragment is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebtKind {
    /// The write was acknowledged without it.
    Unwritten,
    /// A reader found it gone, or its drive is lost.
    Missing,
    /// A reader found it rotten.
    Corrupt,
}

/// Bytes that may be removed from their drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// The blob.
    pub blob: BlobId,
    /// Not before this time.
    pub not_before_ms: u64,
}

/// Objects and bytes of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Versions with bytes (markers not counted).
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Counts for operators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// All buckets.
    pub buckets: u64,
    /// All versions and their bytes.
    pub usage: Usage,
    /// Blobs with at least one debt.
    pub blobs_at_risk: u64,
    /// All debts.
    pub debts: u64,
    /// Blobs waiting to be removed, and their bytes.
    pub garbage: Usage,
    /// Open uploads.
    pub open_uploads: u64,
}
