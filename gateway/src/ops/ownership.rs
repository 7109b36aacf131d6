//! Ownership controls: the owner of a bucket owns its objects, whatever is said.
//!
//! What can be said is kept, because the tools that say it read it back: that the owner is enforced
//! (as in a new bucket), or, after a delete, nothing.

use super::Gateway;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::{BucketInput, PutBucketOwnershipControlsInput};

/// The setting that is there while nothing is said.
const SETTING: &str = "ownership_controls";
const DELETED: &str = "\"deleted\"";

impl Gateway {
    pub(super) async fn enforce_owner(
        &self,
        input: PutBucketOwnershipControlsInput,
    ) -> Result<(), S3Error> {
        self.set_setting(&input.bucket, SETTING, None).await
    }

    pub(super) async fn owner_is_enforced(&self, input: &BucketInput) -> Result<(), S3Error> {
        match self.setting(&input.bucket, SETTING).await? {
            None => Ok(()),
            Some(_) => Err(S3Error::new(ErrorCode::OwnershipControlsNotFoundError)
                .with("BucketName", input.bucket.as_str())),
        }
    }

    pub(super) async fn unsay_ownership(&self, input: BucketInput) -> Result<(), S3Error> {
        let deleted = Some(DELETED.to_owned());
        self.set_setting(&input.bucket, SETTING, deleted).await
    }
}
