//! Operations on multipart uploads: what they are asked and what they answer.

use holdfast_sealing::CustomerKey;

use super::attributes::{ObjectAttributes, Owner, StorageClass};
use super::body::BodyClaims;
use super::checksum::{Checksum, ChecksumAlgorithm, ChecksumType, ObjectChecksum};
use super::condition::{ETag, ReadConditions, WriteCondition};
use super::encryption::{AppliedEncryption, WriteEncryption};
use super::lifecycle::LifecycleNotice;
use super::object::CopySource;
use super::object_lock::ObjectLock;
use crate::s3::name::{BucketName, ObjectKey, PartNumber, UploadId, VersionId};
use crate::s3::time::Timestamp;

/// The shortest part that is not the last, in bytes: AWS's 5 MiB.
pub const MIN_PART_LEN: u64 = 5 << 20;

/// CreateMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMultipartUploadInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// Content headers and user metadata of the object to be.
    pub attributes: ObjectAttributes,
    /// Absent or `STANDARD`: the bucket's policy.
    pub storage_class: Option<StorageClass>,
    /// The checksum that parts must have and the object will have. Absent: CRC64NVME over all
    /// bytes, without the parts having to name it.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// How its parts shall be encrypted.
    pub encryption: WriteEncryption,
    /// What it is asked to be locked with.
    pub lock: ObjectLock,
}

/// CreateMultipartUpload's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMultipartUploadOutput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload_id: UploadId,
    /// The checksum that was asked for.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// How its parts are encrypted.
    pub encryption: Option<AppliedEncryption>,
    /// When a lifecycle rule aborts it.
    pub abort: Option<LifecycleNotice>,
}

/// UploadPart. Its body comes beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPartInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload_id: UploadId,
    /// The part.
    pub part_number: PartNumber,
    /// What the head claims about the body; the body's stream has verified it at its end.
    pub claims: BodyClaims,
    /// The key that the upload was begun with, if it was a customer's.
    pub customer_key: Option<CustomerKey>,
}

/// UploadPart's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPartOutput {
    /// The part's tag.
    pub etag: ETag,
    /// The part's checksum.
    pub checksum: Option<Checksum>,
    /// How it was encrypted.
    pub encryption: Option<AppliedEncryption>,
}

/// UploadPartCopy: a part of bytes that another object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPartCopyInput {
    /// Where from.
    pub source: CopySource,
    /// On the source; [`ReadConditions::check_copy_source`] gives the answer.
    pub source_conditions: ReadConditions,
    /// Which of its bytes: first and last, which must both be there. Absent: all.
    pub source_range: Option<(u64, u64)>,
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload_id: UploadId,
    /// The part.
    pub part_number: PartNumber,
    /// The key that the source was written with, if it was a customer's.
    pub source_key: Option<CustomerKey>,
    /// The key that the upload was begun with, if it was a customer's.
    pub customer_key: Option<CustomerKey>,
}

/// UploadPartCopy's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPartCopyOutput {
    /// The part's tag.
    pub etag: ETag,
    /// When it was made.
    pub last_modified: Timestamp,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// The version that was copied, where its bucket has versions.
    pub source_version_id: Option<VersionId>,
    /// How it was encrypted.
    pub encryption: Option<AppliedEncryption>,
}

/// ListParts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPartsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload_id: UploadId,
    /// At most so many: 0 to 1000.
    pub max_parts: u32,
    /// Only parts of a higher number; 0: from the first.
    pub part_number_marker: u32,
}

/// ListParts' answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPartsOutput {
    /// The parts, by number.
    pub parts: Vec<PartEntry>,
    /// The page's last part, if more follow.
    pub next_part_number_marker: Option<u32>,
    /// The storage class that was asked for.
    pub storage_class: StorageClass,
    /// Who began the upload.
    pub owner: Owner,
    /// The checksum that was asked for.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// When a lifecycle rule aborts it.
    pub abort: Option<LifecycleNotice>,
}

/// A part in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartEntry {
    /// Its number.
    pub part_number: PartNumber,
    /// When it was written.
    pub last_modified: Timestamp,
    /// Its tag.
    pub etag: ETag,
    /// Its length in bytes.
    pub size: u64,
    /// Its checksum.
    pub checksum: Option<Checksum>,
}

/// CompleteMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteMultipartUploadInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload_id: UploadId,
    /// The object's parts: 1 to 10,000, numbers rising. Others that were uploaded are dropped.
    pub parts: Vec<CompletedPart>,
    /// Decided by the store, in the transaction that publishes.
    pub condition: WriteCondition,
    /// What the client says the object's checksum is; `BadDigest` if it is not.
    pub checksum: Option<ObjectChecksum>,
    /// What the client says the upload's checksum type is; `InvalidRequest` if it is not.
    pub checksum_type: Option<ChecksumType>,
    /// What the client says the object's length is; `InvalidRequest` if it is not.
    pub object_len: Option<u64>,
    /// The key that the upload was begun with, if it was a customer's.
    pub customer_key: Option<CustomerKey>,
}

/// A part that a Complete names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number.
    pub part_number: PartNumber,
    /// Its tag; `InvalidPart` if the part has another.
    pub etag: ETag,
    /// Its checksum, if it is given; `InvalidPart` if the part has another. An upload created with
    /// a composite checksum needs it.
    pub checksum: Option<Checksum>,
}

/// CompleteMultipartUpload's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteMultipartUploadOutput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The object's tag.
    pub etag: ETag,
    /// Its version, where the bucket has versions.
    pub version_id: Option<VersionId>,
    /// Its checksum.
    pub checksum: Option<ObjectChecksum>,
    /// How it is encrypted.
    pub encryption: Option<AppliedEncryption>,
    /// When a lifecycle rule removes it.
    pub expiration: Option<LifecycleNotice>,
}

/// AbortMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortMultipartUploadInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The upload.
    pub upload_id: UploadId,
}

/// AbortMultipartUpload's answer: 204.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AbortMultipartUploadOutput {}
