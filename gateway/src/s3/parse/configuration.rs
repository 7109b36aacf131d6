//! What a bucket is configured with.

use super::Request;
use crate::s3::error::S3Error;
use crate::s3::header;
use crate::s3::op::{
    BucketInput, ObjectAclInput, PutBucketCorsInput, PutBucketEncryptionInput,
    PutBucketLifecycleInput, PutBucketNotificationConfigurationInput,
    PutBucketOwnershipControlsInput, TransitionMinimum,
};
use crate::s3::xml::configuration::ownership_controls;
use crate::s3::xml::cors::cors_configuration;
use crate::s3::xml::encryption::encryption_configuration;
use crate::s3::xml::lifecycle::lifecycle_configuration;
use crate::s3::xml::notification::notification_configuration;

pub(super) fn of_bucket(request: &Request<'_>) -> Result<BucketInput, S3Error> {
    Ok(BucketInput {
        bucket: request.bucket()?,
    })
}

pub(super) fn object_acl(request: &Request<'_>) -> Result<ObjectAclInput, S3Error> {
    Ok(ObjectAclInput {
        bucket: request.bucket()?,
        key: request.key()?,
        version_id: request.version_id()?,
    })
}

pub(super) fn put_cors(request: &Request<'_>) -> Result<PutBucketCorsInput, S3Error> {
    Ok(PutBucketCorsInput {
        bucket: request.bucket()?,
        configuration: cors_configuration(request.document)?,
    })
}

pub(super) fn put_encryption(request: &Request<'_>) -> Result<PutBucketEncryptionInput, S3Error> {
    Ok(PutBucketEncryptionInput {
        bucket: request.bucket()?,
        encryption: encryption_configuration(request.document)?,
    })
}

pub(super) fn put_notification(
    request: &Request<'_>,
) -> Result<PutBucketNotificationConfigurationInput, S3Error> {
    let skip = request.headers.get(&header::SKIP_DESTINATION_VALIDATION)?;
    Ok(PutBucketNotificationConfigurationInput {
        bucket: request.bucket()?,
        configuration: notification_configuration(request.document)?,
        skip_destination_validation: match skip {
            None => false,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) => {
                let name = header::SKIP_DESTINATION_VALIDATION;
                let message = "x-amz-skip-destination-validation is true or false";
                return Err(S3Error::invalid_argument(message, name.as_str(), text));
            }
        },
    })
}

pub(super) fn put_lifecycle(request: &Request<'_>) -> Result<PutBucketLifecycleInput, S3Error> {
    let minimum = request
        .headers
        .get(&header::TRANSITION_DEFAULT_MINIMUM_OBJECT_SIZE)?
        .filter(|text| !text.is_empty())
        .map(TransitionMinimum::parse)
        .transpose()?;
    Ok(PutBucketLifecycleInput {
        bucket: request.bucket()?,
        configuration: lifecycle_configuration(request.document, minimum.unwrap_or_default())?,
    })
}

pub(super) fn put_ownership(
    request: &Request<'_>,
) -> Result<PutBucketOwnershipControlsInput, S3Error> {
    ownership_controls(request.document)?;
    Ok(PutBucketOwnershipControlsInput {
        bucket: request.bucket()?,
    })
}
