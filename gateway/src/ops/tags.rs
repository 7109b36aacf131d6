//! Tags of objects and buckets.
//!
//! An object's tags are part of its version's row and change in place; a bucket's are a setting.

use std::collections::BTreeMap;

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::PutTags;
use holdfast_metadata::model::VersionSelector;

use super::Gateway;
use super::convert;
use super::error::{Target, corrupt};
use super::version::{LOOKUPS, kept_changing};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::BucketName;
use crate::s3::op::{
    BucketInput, ObjectTaggingInput, ObjectTaggingOutput, PutBucketTaggingInput,
    PutObjectTaggingInput, TagSet, Tagged,
};

/// The setting that a bucket's tags are: a JSON object.
const SETTING: &str = "tags";

impl Gateway {
    pub(super) async fn tags(
        &self,
        input: &ObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error> {
        let found = self
            .find(&input.bucket, &input.key, input.version_id.as_ref())
            .await?;
        Ok(ObjectTaggingOutput {
            version_id: found.shown_id()?,
            tags: convert::tags(&found.version.attributes)?,
        })
    }

    /// Tags the very version that was found, so that the answer names the one that was changed.
    pub(super) async fn tag(
        &self,
        input: PutObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error> {
        let PutObjectTaggingInput { object, tags } = input;
        let target = Target::object(&object.bucket, &object.key, object.version_id.as_ref());
        for _ in 0..LOOKUPS {
            let found = self
                .find(&object.bucket, &object.key, object.version_id.as_ref())
                .await?;
            let command = PutTags {
                bucket: object.bucket.as_str().to_owned(),
                key: object.key.as_bytes().to_vec(),
                version: VersionSelector::Exact(found.version.version_id.clone()),
                tags: convert::stored_tags(&tags),
                origin: self.origin.clone(),
            };
            match self.metadata.put_tags(command).await {
                Ok(()) => {
                    return Ok(ObjectTaggingOutput {
                        version_id: found.shown_id()?,
                        tags,
                    });
                }
                // It went away since: look again which one is meant.
                Err(MetadataError::NoSuchVersion) => {}
                Err(error) => return Err(target.error(error)),
            }
        }
        Err(kept_changing())
    }

    pub(super) async fn bucket_tags(&self, input: &BucketInput) -> Result<TagSet, S3Error> {
        let stored = self.setting(&input.bucket, SETTING).await?;
        let Some(stored) = stored else {
            return Err(
                S3Error::new(ErrorCode::NoSuchTagSet).with("BucketName", input.bucket.as_str())
            );
        };
        let tags: BTreeMap<String, String> = serde_json::from_str(&stored).map_err(corrupt)?;
        TagSet::new(tags, Tagged::Bucket).map_err(corrupt)
    }

    pub(super) async fn tag_bucket(&self, input: PutBucketTaggingInput) -> Result<(), S3Error> {
        let stored = serde_json::to_string(&convert::stored_tags(&input.tags)).map_err(corrupt)?;
        self.set_setting(&input.bucket, SETTING, Some(stored)).await
    }

    pub(super) async fn untag_bucket(&self, input: BucketInput) -> Result<(), S3Error> {
        self.set_setting(&input.bucket, SETTING, None).await
    }

    /// A bucket's setting, as it was written.
    pub(super) async fn setting(
        &self,
        name: &BucketName,
        setting: &str,
    ) -> Result<Option<String>, S3Error> {
        let bucket = self.bucket(name).await?;
        let found = self.metadata.bucket_setting(bucket.id, setting).await;
        found.map_err(|e| Target::bucket(name).error(e))
    }

    /// Gives a bucket's setting a value, or takes it away.
    pub(super) async fn set_setting(
        &self,
        name: &BucketName,
        setting: &str,
        value: Option<String>,
    ) -> Result<(), S3Error> {
        let set = self
            .metadata
            .set_bucket_setting(name.as_str(), setting, value)
            .await;
        set.map_err(|e| Target::bucket(name).error(e))
    }
}
