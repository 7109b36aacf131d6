//! Cross-origin rules: a setting of their bucket.

use holdfast_metadata::MetadataError;

use super::Gateway;
use super::error::{Target, corrupt};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::BucketName;
use crate::s3::op::{BucketInput, CorsConfiguration, PutBucketCorsInput};

/// The setting: the rules as JSON.
const SETTING: &str = "cors";

impl Gateway {
    pub(super) async fn put_cors(&self, input: PutBucketCorsInput) -> Result<(), S3Error> {
        let stored = serde_json::to_string(&input.configuration).map_err(corrupt)?;
        self.set_setting(&input.bucket, SETTING, Some(stored)).await
    }

    pub(super) async fn get_cors(&self, input: &BucketInput) -> Result<CorsConfiguration, S3Error> {
        match self.setting(&input.bucket, SETTING).await? {
            Some(stored) => serde_json::from_str(&stored).map_err(corrupt),
            None => Err(S3Error::new(ErrorCode::NoSuchCORSConfiguration)
                .with("BucketName", input.bucket.as_str())),
        }
    }

    pub(super) async fn delete_cors(&self, input: BucketInput) -> Result<(), S3Error> {
        self.set_setting(&input.bucket, SETTING, None).await
    }

    /// The rules, if there are some; a bucket that is not there has none.
    pub(super) async fn rules_of(
        &self,
        name: &BucketName,
    ) -> Result<Option<CorsConfiguration>, S3Error> {
        let of = Target::bucket(name);
        let bucket = match self.metadata.bucket(name.as_str()).await {
            Ok(bucket) => bucket,
            Err(MetadataError::NoSuchBucket) => return Ok(None),
            Err(error) => return Err(of.error(error)),
        };
        let stored = self.metadata.bucket_setting(bucket.id, SETTING).await;
        let stored = stored.map_err(|e| of.error(e))?;
        stored
            .map(|stored| serde_json::from_str(&stored).map_err(corrupt))
            .transpose()
    }
}
