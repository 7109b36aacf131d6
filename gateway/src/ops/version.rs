//! Which version a read means, and what of it: lookups, conditions, ranges, parts.

use std::ops::Range;

use holdfast_metadata::model::{Bucket, Version};

use super::Gateway;
use super::convert;
use super::encryption::check_key;
use super::error::{Target, unavailable};
use super::object_lock;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::{BucketName, ObjectKey, PartNumber, VersionId};
use crate::s3::op::{GetObjectInput, HeadObjectInput, HeadObjectOutput, ObjectHead, Select};
use crate::s3::time::Timestamp;

/// How often a version that went away between two questions is looked up again. Two questions are
/// less than a millisecond apart, so even a key that is overwritten all the time is found.
pub(super) const LOOKUPS: u32 = 10;

/// A version that is an object, and the bucket it was found in.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) bucket: Bucket,
    pub(super) version: Version,
}

/// What a read of a version shows.
#[derive(Debug)]
pub(super) struct View {
    pub(super) head: ObjectHead,
    /// The bytes that are sent, if they are not simply all.
    pub(super) range: Option<Range<u64>>,
}

impl View {
    /// The bytes that are sent.
    pub(super) fn bytes(&self) -> Range<u64> {
        self.range.clone().unwrap_or(0..self.head.object_len)
    }
}

impl Found {
    /// The version's tag and Last-Modified, on which conditions are decided.
    pub(super) fn validators(&self) -> (crate::s3::op::ETag, Timestamp) {
        (
            convert::etag(&self.version.etag),
            Timestamp::from_ms(self.version.last_modified_ms),
        )
    }

    /// The version's id as it is sent: none where the bucket never had versions.
    pub(super) fn shown_id(&self) -> Result<Option<VersionId>, S3Error> {
        convert::shown_version_id(self.bucket.versioning, &self.version)
    }

    fn head(&self) -> Result<ObjectHead, S3Error> {
        let (etag, last_modified) = self.validators();
        let stored = &self.version.attributes;
        Ok(ObjectHead {
            etag,
            last_modified,
            object_len: self.version.size,
            version_id: self.shown_id()?,
            attributes: convert::object_attributes(stored)?,
            storage_class: convert::storage_class(stored.storage_class.as_deref())?,
            checksum: stored
                .checksum
                .as_ref()
                .map(convert::object_checksum)
                .transpose()?,
            parts_count: None,
            encryption: None,
            lock: object_lock::shown_lock(&self.version.lock),
            expiration: None,
        })
    }
}

impl Gateway {
    /// The version that a request names, if it is an object.
    ///
    /// # Errors
    /// A delete marker is `NoSuchKey` where it is the current version, and `MethodNotAllowed` where
    /// it was named.
    #[tracing::instrument(level = "debug", skip_all)]
    pub(super) async fn find(
        &self,
        bucket_name: &BucketName,
        key: &ObjectKey,
        version_id: Option<&VersionId>,
    ) -> Result<Found, S3Error> {
        let bucket = self.bucket(bucket_name).await?;
        let selector = convert::selector(version_id)?;
        let version = self
            .metadata
            .version(bucket.id, key.as_bytes(), &selector)
            .await;
        let target = Target::object(bucket_name, key, version_id);
        let version = version.map_err(|e| target.error(e))?;
        if version.is_delete_marker {
            let marker = convert::version_id(&version.version_id)?;
            return Err(match version_id {
                None => S3Error::deleted(key, &marker),
                Some(_) => {
                    let last_modified = Timestamp::from_ms(version.last_modified_ms);
                    S3Error::version_is_delete_marker(&marker, last_modified)
                }
            });
        }
        Ok(Found { bucket, version })
    }

    /// The version that a read means, and what of it is shown, once its conditions hold.
    pub(super) async fn look(&self, input: &GetObjectInput) -> Result<(Found, View), S3Error> {
        for _ in 0..LOOKUPS {
            let version_id = input.version_id.as_ref();
            let found = self.find(&input.bucket, &input.key, version_id).await?;
            if let Some(view) = self.view(&found, input).await? {
                return Ok((found, view));
            }
        }
        Err(kept_changing())
    }

    /// What is shown of this version; `None` if it has gone away.
    async fn view(&self, found: &Found, input: &GetObjectInput) -> Result<Option<View>, S3Error> {
        let key = input.customer_key.as_ref();
        let encryption = check_key(&found.version.attributes, key)?;
        let (etag, last_modified) = found.validators();
        input.conditions.check_read(&etag, last_modified)?;
        let mut head = ObjectHead {
            encryption,
            expiration: self.expiration_of(&found.bucket, &found.version).await,
            ..found.head()?
        };
        let range = match (input.select, found.version.parts) {
            (Select::All, _) => None,
            (Select::Range(range), _) => Some(range.resolve(found.version.size)?),
            (Select::Part(number), None) => whole_as_part(&found.version, number)?,
            (Select::Part(number), Some(count)) => {
                head.parts_count = Some(count);
                match self.part(input, &found.version, number).await? {
                    Some(range) => Some(range),
                    None if self.is_gone(input, &found.version).await? => return Ok(None),
                    None => return Err(no_such_part(number, count)),
                }
            }
        };
        Ok(Some(View { head, range }))
    }

    /// The bytes of a part; `None` if there is no such part, or it is an empty last one, of which a
    /// 206 could name no byte.
    async fn part(
        &self,
        input: &GetObjectInput,
        version: &Version,
        number: PartNumber,
    ) -> Result<Option<Range<u64>>, S3Error> {
        let number = u32::from(number.get());
        let part = self.metadata.object_part(version.uid, number).await;
        let target = Target::object(&input.bucket, &input.key, input.version_id.as_ref());
        let part = part.map_err(|e| target.error(e))?;
        Ok(part
            .filter(|part| part.size > 0)
            .map(|part| part.start..part.start + part.size))
    }

    async fn is_gone(&self, input: &GetObjectInput, version: &Version) -> Result<bool, S3Error> {
        let version_id = input.version_id.as_ref();
        let now = self.find(&input.bucket, &input.key, version_id).await?;
        Ok(now.version.uid != version.uid)
    }

    pub(super) async fn head(&self, input: &HeadObjectInput) -> Result<HeadObjectOutput, S3Error> {
        let (_, View { head, range }) = self.look(input).await?;
        Ok(HeadObjectOutput { head, range })
    }
}

/// A plain object is its own first and only part.
fn whole_as_part(version: &Version, number: PartNumber) -> Result<Option<Range<u64>>, S3Error> {
    match number.get() {
        1 => Ok((version.size > 0).then_some(0..version.size)),
        _ => Err(no_such_part(number, 1)),
    }
}

/// What a read is told whose version went away each time it looked.
pub(super) fn kept_changing() -> S3Error {
    unavailable("Other writes kept replacing the object while it was looked up. Please retry.")
}

fn no_such_part(number: PartNumber, count: u32) -> S3Error {
    S3Error::new(ErrorCode::InvalidPartNumber)
        .with("PartNumberRequested", number.to_string())
        .with("ActualPartCount", count.to_string())
}
