//! Operations on buckets: what they are asked and what they answer.

use super::attributes::Owner;
use crate::s3::name::BucketName;
use crate::s3::time::Timestamp;

/// CreateBucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateBucketInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The LocationConstraint of the body: our region, or a policy's name. Else the store answers
    /// `InvalidLocationConstraint`.
    pub location_constraint: Option<String>,
    /// Whether its versions can be locked, for ever; it then keeps versions from the start.
    pub object_lock: bool,
}

/// CreateBucket's answer: `Location: /<bucket>`. For a bucket that is there already, the store
/// answers `BucketAlreadyOwnedByYou`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateBucketOutput {
    /// The bucket.
    pub bucket: BucketName,
}

/// DeleteBucket. `NoSuchBucket`, `BucketNotEmpty` (any version or marker counts; open uploads are
/// aborted with the bucket).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteBucketInput {
    /// The bucket.
    pub bucket: BucketName,
}

/// DeleteBucket's answer: 204.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteBucketOutput {}

/// HeadBucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadBucketInput {
    /// The bucket.
    pub bucket: BucketName,
}

/// HeadBucket's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadBucketOutput {
    /// The bucket's region.
    pub region: String,
}

/// ListBuckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListBucketsInput {
    /// Only names that begin so.
    pub prefix: Option<String>,
    /// Only buckets after this name: what the continuation token says.
    pub after: Option<String>,
    /// At most so many: 1 to 10,000. Absent: all, of which the store may still make pages.
    pub max_buckets: Option<u32>,
    /// Only buckets of this region.
    pub region: Option<String>,
}

/// ListBuckets' answer, in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListBucketsOutput {
    /// The owner of all of them.
    pub owner: Owner,
    /// The buckets.
    pub buckets: Vec<BucketEntry>,
    /// The name after which the next page begins; absent on the last page.
    pub next_after: Option<String>,
}

/// A bucket in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEntry {
    /// Its name.
    pub name: BucketName,
    /// When it was made.
    pub created: Timestamp,
    /// Its region: shown only where the request pages or filters, as AWS does.
    pub region: String,
}

/// GetBucketLocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetBucketLocationInput {
    /// The bucket.
    pub bucket: BucketName,
}

/// GetBucketLocation's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetBucketLocationOutput {
    /// The bucket's region. `us-east-1` is written as AWS does: empty.
    pub region: String,
}

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersioningStatus {
    /// Every write makes a version.
    Enabled,
    /// Writes replace the null version; older versions stay.
    Suspended,
}

impl VersioningStatus {
    /// As in XML.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Suspended => "Suspended",
        }
    }
}

/// PutBucketVersioning. MFA delete is refused at the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBucketVersioningInput {
    /// The bucket.
    pub bucket: BucketName,
    /// What it shall be.
    pub status: VersioningStatus,
}

/// PutBucketVersioning's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutBucketVersioningOutput {}

/// GetBucketVersioning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetBucketVersioningInput {
    /// The bucket.
    pub bucket: BucketName,
}

/// GetBucketVersioning's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GetBucketVersioningOutput {
    /// Absent: it was never switched on.
    pub status: Option<VersioningStatus>,
}
