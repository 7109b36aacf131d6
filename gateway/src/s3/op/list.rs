//! Listings: what they are asked and what they answer.
//!
//! All of them go through keys in the order of their bytes. With a delimiter, keys that share what
//! comes up to the first delimiter after the prefix are one *common prefix*; an object and a common
//! prefix each count as one of the page. Names are as stored: the edge encodes them.

use std::fmt;

use super::attributes::{Owner, StorageClass};
use super::checksum::{ChecksumAlgorithm, ChecksumType};
use super::condition::ETag;
use crate::s3::name::{BucketName, ObjectKey, UploadId, VersionId};
use crate::s3::time::Timestamp;

/// The most entries of one page, and how many there are if the client names no number.
pub const MAX_KEYS: u32 = 1000;

/// What all listings of keys are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only keys that begin so. Empty: all.
    pub prefix: String,
    /// What common prefixes end in. Absent (or empty at the edge): none are made.
    pub delimiter: Option<String>,
    /// At most so many entries: 0 to [`MAX_KEYS`].
    pub max_keys: u32,
    /// Whether names shall be url-encoded in the answer. Only the edge looks at it.
    pub encoding: Encoding,
}

/// How names are written in a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As XML text, where XML can carry them.
    #[default]
    Plain,
    /// `encoding-type=url`.
    Url,
}

/// Where a page ended, as the store says it and gets it back. Opaque to the edge, which turns it
/// into a continuation token.
#[derive(Clone, PartialEq, Eq)]
pub struct ListPosition(pub Vec<u8>);

impl fmt::Debug for ListPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListPosition({:?})", String::from_utf8_lossy(&self.0))
    }
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Its key.
    pub key: ObjectKey,
    /// When it was written.
    pub last_modified: Timestamp,
    /// Its tag.
    pub etag: ETag,
    /// Its length in bytes.
    pub size: u64,
    /// Its storage class.
    pub storage_class: StorageClass,
    /// Its checksum's algorithm and type.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}

/// ListObjects (version 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjectsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// Prefix, delimiter and page.
    pub filter: ListFilter,
    /// Only entries after this one, which is a key or a common prefix. Empty: from the start.
    pub marker: String,
}

/// ListObjects' answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListObjectsOutput {
    /// The objects of the page.
    pub objects: Vec<ObjectEntry>,
    /// The common prefixes of the page.
    pub common_prefixes: Vec<String>,
    /// The page's last entry (a key or a common prefix) if more follow. The edge shows it as
    /// NextMarker where AWS does (with a delimiter).
    pub next_marker: Option<String>,
}

/// ListObjectsV2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjectsV2Input {
    /// The bucket.
    pub bucket: BucketName,
    /// Prefix, delimiter and page.
    pub filter: ListFilter,
    /// Only keys after this one. Empty: from the start. Void where there is a continuation.
    pub start_after: String,
    /// Where the last page ended.
    pub continuation: Option<ListPosition>,
    /// The token as the client sent it, to be echoed. Only the edge looks at it.
    pub continuation_token: Option<String>,
    /// Whether each object shall name its owner. Only the edge looks at it.
    pub fetch_owner: bool,
}

/// ListObjectsV2's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListObjectsV2Output {
    /// The objects of the page.
    pub objects: Vec<ObjectEntry>,
    /// The common prefixes of the page.
    pub common_prefixes: Vec<String>,
    /// Where the page ended, if more follow.
    pub next: Option<ListPosition>,
}

/// ListObjectVersions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjectVersionsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// Prefix, delimiter and page.
    pub filter: ListFilter,
    /// Only entries after this key (or common prefix); with a version, from that version of the key
    /// on. Empty: from the start.
    pub key_marker: String,
    /// Only versions of `key_marker` older than this one, then later keys.
    pub version_id_marker: Option<VersionId>,
}

/// ListObjectVersions' answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListObjectVersionsOutput {
    /// Versions and markers: by key, within it the newest first.
    pub versions: Vec<VersionEntry>,
    /// The common prefixes of the page.
    pub common_prefixes: Vec<String>,
    /// The page's last entry, if more follow: its key (or common prefix) and its version.
    pub next: Option<(String, Option<VersionId>)>,
}

/// A version in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// Its key.
    pub key: ObjectKey,
    /// Its id (`null` for the null version).
    pub version_id: VersionId,
    /// Whether it is the key's newest.
    pub is_latest: bool,
    /// When it was written.
    pub last_modified: Timestamp,
    /// What it is.
    pub kind: VersionKind,
}

/// What a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionKind {
    /// An object.
    Object {
        /// Its tag.
        etag: ETag,
        /// Its length in bytes.
        size: u64,
        /// Its storage class.
        storage_class: StorageClass,
        /// Its checksum's algorithm and type.
        checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    },
    /// A delete marker.
    DeleteMarker,
}

/// ListMultipartUploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMultipartUploadsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// Prefix, delimiter and page (`max-uploads`).
    pub filter: ListFilter,
    /// Only uploads of later keys. Empty: from the start.
    pub key_marker: String,
    /// With it, also uploads of `key_marker` whose id comes after this one. Void without a marker.
    pub upload_id_marker: Option<UploadId>,
}

/// ListMultipartUploads' answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListMultipartUploadsOutput {
    /// Open uploads: by key, within it by when they began (then by id).
    pub uploads: Vec<UploadEntry>,
    /// The common prefixes of the page.
    pub common_prefixes: Vec<String>,
    /// The page's last entry, if more follow: its key (or common prefix) and its upload.
    pub next: Option<(String, Option<UploadId>)>,
}

/// An open upload in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadEntry {
    /// Its key.
    pub key: ObjectKey,
    /// Its id.
    pub upload_id: UploadId,
    /// Who began it.
    pub owner: Owner,
    /// The storage class that was asked for.
    pub storage_class: StorageClass,
    /// When it began.
    pub initiated: Timestamp,
    /// The checksum that was asked for.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
}
