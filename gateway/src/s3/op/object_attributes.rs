//! GetObjectAttributes: what is known of an object, without its bytes.

use holdfast_sealing::CustomerKey;

use super::attributes::StorageClass;
use super::checksum::{Checksum, ObjectChecksum};
use super::condition::ETag;
use crate::s3::name::{BucketName, ObjectKey, PartNumber, VersionId};
use crate::s3::time::Timestamp;

/// What GetObjectAttributes may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectAttribute {
    /// Its tag.
    ETag,
    /// Its checksum.
    Checksum,
    /// The parts it was made of.
    ObjectParts,
    /// Its storage class.
    StorageClass,
    /// Its length.
    ObjectSize,
}

impl ObjectAttribute {
    /// Reads a name as `x-amz-object-attributes` has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ETag" => Some(Self::ETag),
            "Checksum" => Some(Self::Checksum),
            "ObjectParts" => Some(Self::ObjectParts),
            "StorageClass" => Some(Self::StorageClass),
            "ObjectSize" => Some(Self::ObjectSize),
            _ => None,
        }
    }
}

/// GetObjectAttributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetObjectAttributesInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// A version, or the current one.
    pub version_id: Option<VersionId>,
    /// What is asked for: at least one thing.
    pub wanted: Vec<ObjectAttribute>,
    /// At most so many parts: 0 to 1000.
    pub max_parts: u32,
    /// Only parts of a higher number; 0: from the first.
    pub part_number_marker: u32,
    /// The key that the object was written with, if it was a customer's.
    pub customer_key: Option<CustomerKey>,
}

impl GetObjectAttributesInput {
    /// Whether it asks for this.
    #[must_use]
    pub fn wants(&self, attribute: ObjectAttribute) -> bool {
        self.wanted.contains(&attribute)
    }
}

/// GetObjectAttributes' answer. The edge shows what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetObjectAttributesOutput {
    /// Its version, where the bucket has versions.
    pub version_id: Option<VersionId>,
    /// When it was written.
    pub last_modified: Timestamp,
    /// Its tag.
    pub etag: ETag,
    /// Its checksum.
    pub checksum: Option<ObjectChecksum>,
    /// Its storage class.
    pub storage_class: StorageClass,
    /// Its length in bytes.
    pub object_len: u64,
    /// The parts it was made of, if they were asked for and it was made of parts.
    pub parts: Option<ObjectPartsPage>,
}

/// A page of an object's parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectPartsPage {
    /// How many parts the object has.
    pub total: u32,
    /// Those of the page, by number.
    pub parts: Vec<ObjectPartEntry>,
    /// The page's last part, if more follow.
    pub next_part_number_marker: Option<u32>,
}

/// One part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPartEntry {
    /// Its number.
    pub part_number: PartNumber,
    /// Its length in bytes.
    pub size: u64,
    /// Its checksum.
    pub checksum: Option<Checksum>,
}
