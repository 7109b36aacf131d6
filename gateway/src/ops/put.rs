//! PutObject.
//!
//! A condition is decided by the command that publishes, under the key's lock. It is also looked at
//! before the body is read: what fails now need not be uploaded first.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::PutObject;
use holdfast_metadata::model::{Attributes, Bucket, VersionSelector};

use super::Gateway;
use super::convert;
use super::error::Target;
use super::object_lock::Carrier;
use super::quota::Adds;
use super::write::Written;
use crate::s3::error::S3Error;
use crate::s3::name::ObjectKey;
use crate::s3::op::{ObjectBody, ObjectChecksum, PutObjectInput, PutObjectOutput, WriteCondition};

impl Gateway {
    pub(super) async fn put(
        &self,
        input: PutObjectInput,
        body: ObjectBody,
    ) -> Result<PutObjectOutput, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let policy = self
            .policy(&input.bucket, &bucket, input.storage_class.as_ref())
            .await?
            .for_key(input.key.as_bytes());
        self.check_lock(&bucket, &input.lock)?;
        let is_asked = !input.lock.is_empty();
        self.check_digest(&bucket, is_asked, &input.claims, Carrier::Object)?;
        let chosen = Self::encryption_of_write(&bucket, &input.encryption)?;
        let target = Target::object(&input.bucket, &input.key, None);
        self.check_early(&bucket, &input.key, &input.condition, target)
            .await?;
        let adds = Adds::Object(&input.key);
        self.check_quota(&bucket, body.len, adds, target).await?;

        let Written {
            op,
            blob,
            digests,
            unpublished,
            taken_len,
        } = self.write(&policy, body, &chosen).await?;
        let etag = chosen.etag(op, &digests.md5);
        let checksum = ObjectChecksum::full_object(digests.checksum);
        let attributes = Attributes {
            encryption: chosen.stored(),
            ..convert::stored_attributes(
                input.attributes,
                Some(&checksum),
                input.storage_class.as_ref(),
            )
        };
        let tags = attributes.tags.clone();
        let command = PutObject {
            op,
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            blob,
            taken_len,
            etag: etag.as_str().to_owned(),
            attributes,
            condition: convert::stored_condition(&input.condition),
            lock: convert::stored_lock(input.lock),
            origin: self.origin.clone(),
        };
        let published = self
            .publish(unpublished, self.metadata.put_object(command))
            .await;
        let published = published.map_err(|e| target.conditional(&input.condition, e))?;
        let (key, written_ms) = (input.key.as_bytes(), published.last_modified_ms);
        let expiration = self
            .expiration(&bucket, key, digests.object_len, &tags, written_ms)
            .await;
        Ok(PutObjectOutput {
            expiration,
            etag,
            version_id: convert::maybe_version_id(published.version_id.as_ref())?,
            checksum: Some(checksum),
            encryption: chosen.shown(),
        })
    }

    /// Fails if the condition does not hold now. That it holds now means nothing yet.
    pub(super) async fn check_early(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        condition: &WriteCondition,
        target: Target<'_>,
    ) -> Result<(), S3Error> {
        if *condition == WriteCondition::Always {
            return Ok(());
        }
        let current = self
            .metadata
            .version(bucket.id, key.as_bytes(), &VersionSelector::Current)
            .await;
        let etag = match current {
            Ok(version) if !version.is_delete_marker => Some(convert::etag(&version.etag)),
            Ok(_) | Err(MetadataError::NoSuchKey) => None,
            Err(error) => return Err(target.error(error)),
        };
        match (condition, etag) {
            (WriteCondition::IfAbsent, Some(_)) => {
                Err(S3Error::precondition_failed("If-None-Match"))
            }
            (WriteCondition::IfPresent, None) => Err(S3Error::precondition_failed("If-Match")),
            (WriteCondition::IfETag(_), None) => Err(S3Error::no_such_key(key)),
            (WriteCondition::IfETag(wanted), Some(found)) if *wanted != found => {
                Err(S3Error::precondition_failed("If-Match"))
            }
            _ => Ok(()),
        }
    }
}
