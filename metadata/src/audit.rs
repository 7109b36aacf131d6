//! What an audit reads: rows as they are, each with what must agree with it, in pages.
//!
//! Other queries take for granted that rows agree with one another; these don't. Everything of one
//! page is read in one snapshot, so that what disagrees on a page is wrong in the metadata itself
//! and not a write that came in between. Nothing here is changed.

use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Layout};
use uuid::Uuid;

use crate::model::{BucketId, DebtKind, VersionLock};

/// Where an audit of versions goes on: after this one. Buckets come in the order of their numbers,
/// a bucket's keys in theirs, a key's versions newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionCursor {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Vec<u8>,
    /// The version's sequence.
    pub sequence: u64,
}

/// Runs of bytes that should lie end to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// How many there are.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many do not begin where the one before them ends.
    pub gaps: u64,
}

impl Span {
    /// Whether they are `bytes` long together, without a gap.
    #[must_use]
    pub const fn fills(&self, bytes: u64) -> bool {
        self.bytes == bytes && self.gaps == 0
    }
}

/// A version with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionAudit {
    /// The owner of its slices.
    pub uid: Uuid,
    /// Its place.
    pub at: VersionCursor,
    /// The bucket's name and versioning; `None` if there is no such bucket.
    pub bucket: Option<(String, String)>,
    /// As in its row.
    pub version_id: String,
    /// As in its row.
    pub is_current: bool,
    /// As in its row.
    pub is_marker: bool,
    /// As in its row.
    pub size: u64,
    /// As in its row.
    pub etag: String,
    /// As in its row.
    pub last_modified_ms: u64,
    /// As in its row.
    pub parts: Option<u64>,
    /// As in its row: JSON, not yet read.
    pub attributes: String,
    /// Last sequence and Last-Modified of its key; `None` if the key has no head.
    pub head: Option<(u64, u64)>,
    /// Whether the key has a version of a higher sequence.
    pub has_newer: bool,
    /// Last-Modified of the version before it.
    pub older_modified_ms: Option<u64>,
    /// Its slices.
    pub slices: Span,
    /// Slices whose blob is not live, is not there, or is too short for them.
    pub bad_slices: u64,
    /// Its parts.
    pub object_parts: Span,
    /// What locks it.
    pub lock: VersionLock,
    /// Whether the change log says that it appeared, or may have said so before its oldest rows
    /// were removed.
    pub is_logged: bool,
}

/// What a row names as a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedDrive {
    /// None.
    None,
    /// This one.
    Drive(DriveId),
    /// A number that no drive has.
    Unknown(u32),
}

impl NamedDrive {
    /// The drive, if one is named and known.
    #[must_use]
    pub const fn drive(self) -> Option<DriveId> {
        match self {
            Self::Drive(drive) => Some(drive),
            Self::None | Self::Unknown(_) => None,
        }
    }
}

/// A placement as its row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementAudit {
    /// Its generation.
    pub generation: Generation,
    /// Its layout, or why the column is none.
    pub layout: Result<Layout, String>,
    /// The drive of each fragment.
    pub drives: Vec<NamedDrive>,
}

/// A debt as its row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebtAudit {
    /// Of which generation.
    pub generation: Generation,
    /// Which fragment.
    pub index: FragmentIndex,
    /// The drive that should have it, or had it.
    pub drive: NamedDrive,
    /// Why.
    pub kind: DebtKind,
}

/// A blob with what belongs to it in this region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobAudit {
    /// The blob.
    pub blob: BlobId,
    /// `live`, `dead`, `condemned` or `aborted`; `None` if there are rows of it and no blob.
    pub state: Option<String>,
    /// Its bytes.
    pub len: u64,
    /// Whether a slice refers to it.
    pub is_referenced: bool,
    /// Whether a garbage row will make the sweeper look at it.
    pub is_garbage: bool,
    /// Whether the attempt that published it was declared to have never happened.
    pub is_denied: bool,
    /// Its placements, oldest generation first.
    pub placements: Vec<PlacementAudit>,
    /// Its debts.
    pub debts: Vec<DebtAudit>,
}

/// A page of blobs: all rows of ids after the page before, up to `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPage {
    /// In the order of their ids.
    pub blobs: Vec<BlobAudit>,
    /// The last id that the page covers; `None`: it covers all that are left.
    pub end: Option<BlobId>,
}

/// What the metadata says of a fragment that lies on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAudit {
    /// The state of its blob; `None` if it has no row.
    pub state: Option<String>,
    /// Where the placement of its generation wants it; `None` if there is no such placement.
    pub placed: Option<NamedDrive>,
    /// Whether it is recorded that it may lie there: a repair is about to write it, or it is to be
    /// removed.
    pub is_stray: bool,
    /// Whether a debt says that it was being written there.
    pub is_owed_there: bool,
}

/// An object version by the names that people use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerName {
    /// Its bucket; `None` if there is no such bucket.
    pub bucket: Option<String>,
    /// Its key.
    pub key: Vec<u8>,
    /// The version's id; `None` for a part of an open upload.
    pub version_id: Option<String>,
}

/// Totals of a bucket. They may be negative if they are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Objects of any age; markers don't count.
    pub versions: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Bytes of the parts of open uploads.
    pub part_bytes: i64,
}

/// What a bucket's totals say, and what its rows add up to in the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageAudit {
    /// The bucket.
    pub bucket: BucketId,
    /// Its name.
    pub name: String,
    /// By the totals: what quotas go by.
    pub told: Totals,
    /// By its rows.
    pub counted: Totals,
}

/// A row of the change log that other rows contradict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeAudit {
    /// The row's number.
    pub number: u64,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Vec<u8>,
    /// The key's sequence in the row.
    pub sequence: u64,
    /// As in the row.
    pub kind: String,
    /// As in the row.
    pub version_id: String,
    /// The sequence of the version that it is about; `None` if there is none (any more).
    pub version_sequence: Option<u64>,
    /// The last sequence of its key; `None` if the key has no head.
    pub head_sequence: Option<u64>,
    /// Whether the version is not there, and no later row says that it went or was replaced.
    pub is_vanished: bool,
    /// Whether the bucket's versions can be locked.
    pub in_locked_bucket: bool,
    /// Why the version that it removed might not go.
    pub forbidden: Option<&'static str>,
}

/// A page of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// How many rows it has.
    pub rows: u64,
    /// Those of them that something is wrong with.
    pub bad: Vec<ChangeAudit>,
    /// After which number to go on; `None`: there are no more.
    pub next: Option<u64>,
}

/// A queue that is longer than it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitAudit {
    /// Which one, in words for an operator.
    pub what: String,
    /// How long it is.
    pub found: u64,
    /// How long it may be.
    pub limit: u64,
}

/// A part of an upload whose rows do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartAudit {
    /// The upload.
    pub upload: Uuid,
    /// The part.
    pub part_number: u64,
    /// Its bytes, as its row says.
    pub size: u64,
    /// The upload's state; `None` if there is no such upload.
    pub state: Option<String>,
    /// The part's slices.
    pub slices: Span,
}

/// How much there is to audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditSize {
    /// Versions and markers.
    pub versions: u64,
    /// Blobs in any state.
    pub blobs: u64,
    /// Bytes of live blobs.
    pub bytes: u64,
}
