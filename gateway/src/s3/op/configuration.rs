//! What a bucket is configured with: access control, ownership, and what can't be configured here.
//!
//! All objects belong to the one owner (`BucketOwnerEnforced`), so access control lists can be read
//! and not changed. A configuration that can't be made is answered truthfully when it is read: there
//! is none.

use crate::s3::name::{BucketName, ObjectKey, VersionId};

/// An operation that needs to know its bucket and nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInput {
    /// The bucket.
    pub bucket: BucketName,
}

/// GetObjectAcl and PutObjectAcl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectAclInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// A version, or the current one.
    pub version_id: Option<VersionId>,
}

/// PutBucketOwnershipControls. Its one rule that is built is `BucketOwnerEnforced`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBucketOwnershipControlsInput {
    /// The bucket.
    pub bucket: BucketName,
}
