//! Operations on objects: what they are asked and what they answer.

use std::fmt;
use std::ops::Range;

use holdfast_sealing::CustomerKey;

use super::attributes::{ObjectAttributes, StorageClass};
use super::body::{BodyClaims, ByteStream};
use super::checksum::{ChecksumAlgorithm, ObjectChecksum};
use super::condition::{ETag, ReadConditions, WriteCondition};
use super::encryption::{AppliedEncryption, WriteEncryption};
use super::lifecycle::LifecycleNotice;
use super::object_lock::{GovernanceBypass, ObjectLock};
use super::range::ByteRange;
use super::tags::TaggingDirective;
use crate::s3::error::S3Error;
use crate::s3::name::{BucketName, ObjectKey, PartNumber, VersionId};
use crate::s3::time::Timestamp;

/// PutObject. Its body comes beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObjectInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// Content headers and user metadata.
    pub attributes: ObjectAttributes,
    /// Absent or `STANDARD`: the bucket's policy.
    pub storage_class: Option<StorageClass>,
    /// Decided by the store, in the transaction that publishes.
    pub condition: WriteCondition,
    /// What the head claims about the body; the body's stream has verified it at its end.
    pub claims: BodyClaims,
    /// How it shall be encrypted.
    pub encryption: WriteEncryption,
    /// What it is asked to be locked with.
    pub lock: ObjectLock,
}

/// The longest body of one PutObject, UploadPart or copy, in bytes: AWS's 5 GiB.
pub const MAX_SINGLE_BODY_LEN: u64 = 5 << 30;

/// PutObject's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObjectOutput {
    /// The object's tag.
    pub etag: ETag,
    /// Its version, where the bucket has versions.
    pub version_id: Option<VersionId>,
    /// Its checksum.
    pub checksum: Option<ObjectChecksum>,
    /// How it was encrypted.
    pub encryption: Option<AppliedEncryption>,
    /// When a lifecycle rule lets it expire.
    pub expiration: Option<LifecycleNotice>,
}

/// GetObject, and HeadObject, which asks the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetObjectInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// A version, or the current one.
    pub version_id: Option<VersionId>,
    /// Which part of it; at most one of the two selections is there.
    pub select: Select,
    /// On the version that is read; [`ReadConditions::check_read`] gives the answer.
    pub conditions: ReadConditions,
    /// Headers of the answer that the client chose itself. The edge applies them.
    pub overrides: ResponseOverrides,
    /// Whether the client wants the checksum (`x-amz-checksum-mode: ENABLED`).
    pub checksum_mode: ChecksumMode,
    /// The key that the object was written with, if it was a customer's.
    pub customer_key: Option<CustomerKey>,
}

/// Which bytes of an object a read asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Select {
    /// All.
    #[default]
    All,
    /// `Range`.
    Range(ByteRange),
    /// `partNumber`: one part of a multipart object; part 1 of a plain object is all of it, any
    /// other is `InvalidPartNumber`.
    Part(PartNumber),
}

/// Whether a read asks for the object's checksum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChecksumMode {
    /// It does.
    Enabled,
    /// It does not.
    #[default]
    Disabled,
}

/// `response-content-type` and its like: what the answer's headers shall say instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseOverrides {
    /// Content-Type.
    pub content_type: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Content-Disposition.
    pub content_disposition: Option<String>,
    /// Content-Encoding.
    pub content_encoding: Option<String>,
    /// Content-Language.
    pub content_language: Option<String>,
    /// Expires.
    pub expires: Option<String>,
}

/// HeadObject asks what GetObject asks.
pub type HeadObjectInput = GetObjectInput;

/// What GetObject and HeadObject both say of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its tag.
    pub etag: ETag,
    /// When it was written.
    pub last_modified: Timestamp,
    /// Its whole length, whatever part of it was asked for.
    pub object_len: u64,
    /// Its version, where the bucket has (or had) versions.
    pub version_id: Option<VersionId>,
    /// Content headers and user metadata.
    pub attributes: ObjectAttributes,
    /// Its storage class; `STANDARD` is not sent.
    pub storage_class: StorageClass,
    /// Its checksum. The edge sends it if asked for, and only where it covers what is sent.
    pub checksum: Option<ObjectChecksum>,
    /// How many parts it was made of: for a read by `partNumber` of a multipart object.
    pub parts_count: Option<u32>,
    /// How it is encrypted.
    pub encryption: Option<AppliedEncryption>,
    /// What locks it.
    pub lock: ObjectLock,
    /// When a lifecycle rule lets it expire.
    pub expiration: Option<LifecycleNotice>,
}

/// HeadObject's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadObjectOutput {
    /// The object.
    pub head: ObjectHead,
    /// The bytes that a GET would send; `Some` makes it 206 with Content-Range.
    pub range: Option<Range<u64>>,
}

/// GetObject's answer.
pub struct GetObjectOutput {
    /// The object.
    pub head: ObjectHead,
    /// The bytes that the body holds if they are not all: 206 with Content-Range.
    pub range: Option<Range<u64>>,
    /// Exactly the bytes of `range`, or all. An `Err` in it cuts the connection: the status is out.
    pub body: ByteStream,
}

impl fmt::Debug for GetObjectOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetObjectOutput")
            .field("head", &self.head)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// DeleteObject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteObjectInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// A version, for good; or the current one, over which a versioned bucket lays a marker.
    pub version_id: Option<VersionId>,
    /// Decided by the store, in the transaction that deletes.
    pub condition: WriteCondition,
    /// Whether governance is to be bypassed.
    pub bypass: GovernanceBypass,
}

/// DeleteObject's answer: 204, for a key that isn't there too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteObjectOutput {
    /// The version that was deleted, or the marker that was laid.
    pub version_id: Option<VersionId>,
    /// Whether that version is (or was) a delete marker.
    pub delete_marker: bool,
}

/// DeleteObjects: at most [`DeleteObjectsInput::MAX_OBJECTS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteObjectsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// What to delete, in this order.
    pub objects: Vec<ObjectToDelete>,
    /// Whether the answer shall name the failures only. The edge drops the rest.
    pub quiet: bool,
    /// Whether governance is to be bypassed.
    pub bypass: GovernanceBypass,
}

impl DeleteObjectsInput {
    /// The most objects of one request.
    pub const MAX_OBJECTS: usize = 1000;
}

/// One object of DeleteObjects. A version that the store never gave out is an error of its own in the
/// answer, and spoils none of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectToDelete {
    /// The key.
    pub key: ObjectKey,
    /// A version, or the current one.
    pub version_id: Option<VersionId>,
    /// `ETag`, if it was given.
    pub condition: WriteCondition,
}

/// DeleteObjects' answer: one entry for each object, in the order asked.
#[derive(Debug, Clone, Default)]
pub struct DeleteObjectsOutput {
    /// What became of each.
    pub results: Vec<DeleteResult>,
}

/// What became of one object of DeleteObjects.
#[derive(Debug, Clone)]
pub struct DeleteResult {
    /// Its key.
    pub key: ObjectKey,
    /// The version that was asked for.
    pub version_id: Option<VersionId>,
    /// What was done, or why not.
    pub outcome: Result<DeleteObjectOutput, S3Error>,
}

/// Where a copy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// A version, or the current one.
    pub version_id: Option<VersionId>,
}

/// CopyObject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyObjectInput {
    /// Where from.
    pub source: CopySource,
    /// On the source; [`ReadConditions::check_copy_source`] gives the answer.
    pub source_conditions: ReadConditions,
    /// The bucket to copy to.
    pub bucket: BucketName,
    /// The key to copy to.
    pub key: ObjectKey,
    /// What the copy carries. The edge has refused a copy onto itself that changes nothing
    /// (no version named, directive COPY, no storage class).
    pub metadata: MetadataDirective,
    /// Which tags it carries.
    pub tagging: TaggingDirective,
    /// Absent or `STANDARD`: the target bucket's policy.
    pub storage_class: Option<StorageClass>,
    /// The algorithm that the copy's checksum shall have, if not the source's.
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    /// On the target; decided by the store, in the transaction that publishes.
    pub condition: WriteCondition,
    /// The key that the source was written with, if it was a customer's.
    pub source_key: Option<CustomerKey>,
    /// How the copy shall be encrypted.
    pub encryption: WriteEncryption,
    /// What it is asked to be locked with.
    pub lock: ObjectLock,
}

/// What a copy carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataDirective {
    /// What the source carries.
    Copy,
    /// This; its tags do not count.
    Replace(ObjectAttributes),
}

/// CopyObject's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyObjectOutput {
    /// The copy's tag.
    pub etag: ETag,
    /// When the copy was made.
    pub last_modified: Timestamp,
    /// The copy's version, where its bucket has versions.
    pub version_id: Option<VersionId>,
    /// The version that was copied, where its bucket has versions.
    pub source_version_id: Option<VersionId>,
    /// The copy's checksum.
    pub checksum: Option<ObjectChecksum>,
    /// How it was encrypted.
    pub encryption: Option<AppliedEncryption>,
    /// When a lifecycle rule removes it.
    pub expiration: Option<LifecycleNotice>,
}
