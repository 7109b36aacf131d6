//! What the rooms behind the gateway say when they fail, in S3's codes.
//!
//! The one place that knows both. A reason that a client or an operator can act on (too few drives,
//! too many writes) is put into the message in words; everything else inside goes to the log as the
//! error's cause and is never sent.

use std::error::Error as StdError;

use holdfast_erasure::{GetError, PutError};
use holdfast_metadata::MetadataError;
use holdfast_metadata::model::OverQuota;

use crate::metrics::PutFailure;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::{BucketName, ObjectKey, UploadId, VersionId};
use crate::s3::op::WriteCondition;

/// What a request is about: the names that go into an error's details.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    bucket: &'a BucketName,
    key: Option<&'a ObjectKey>,
    version: Option<&'a VersionId>,
    upload: Option<&'a UploadId>,
}

impl<'a> Target<'a> {
    /// A bucket.
    pub(super) const fn bucket(bucket: &'a BucketName) -> Self {
        Self {
            bucket,
            key: None,
            version: None,
            upload: None,
        }
    }

    /// An object.
    pub(super) const fn object(
        bucket: &'a BucketName,
        key: &'a ObjectKey,
        version: Option<&'a VersionId>,
    ) -> Self {
        Self {
            bucket,
            key: Some(key),
            version,
            upload: None,
        }
    }

    /// An upload.
    pub(super) const fn upload(
        bucket: &'a BucketName,
        key: &'a ObjectKey,
        upload: &'a UploadId,
    ) -> Self {
        Self {
            bucket,
            key: Some(key),
            version: None,
            upload: Some(upload),
        }
    }

    /// A metadata error about it, in S3's codes.
    pub(super) fn error(&self, error: MetadataError) -> S3Error {
        match error {
            MetadataError::NoSuchBucket => S3Error::no_such_bucket(self.bucket),
            MetadataError::NoSuchKey => match self.key {
                Some(key) => S3Error::no_such_key(key),
                None => S3Error::new(ErrorCode::NoSuchKey),
            },
            MetadataError::NoSuchVersion => match (self.key, self.version) {
                (Some(key), Some(version)) => S3Error::no_such_version(key, version),
                _ => S3Error::new(ErrorCode::NoSuchVersion),
            },
            MetadataError::NoSuchUpload => match self.upload {
                Some(upload) => S3Error::no_such_upload(upload),
                None => S3Error::new(ErrorCode::NoSuchUpload),
            },
            MetadataError::BucketExists => self.of_bucket(ErrorCode::BucketAlreadyOwnedByYou),
            MetadataError::BucketNotEmpty => self.of_bucket(ErrorCode::BucketNotEmpty),
            MetadataError::PreconditionFailed { condition } => {
                S3Error::precondition_failed(condition)
            }
            MetadataError::Locked => S3Error::message(
                ErrorCode::AccessDenied,
                "Access Denied because object protected by object lock.",
            ),
            MetadataError::NoObjectLock => no_object_lock(),
            MetadataError::OverQuota(over) => over_quota(over),
            MetadataError::VersioningNotEnabled => S3Error::message(
                ErrorCode::InvalidBucketState,
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
            ),
            MetadataError::HasObjectLock => S3Error::message(
                ErrorCode::InvalidBucketState,
                "An Object Lock configuration is present on this bucket, so the versioning state \
                 cannot be changed.",
            ),
            MetadataError::SourceChanged => {
                unavailable("Other writes kept changing what this request reads. Please retry.")
            }
            MetadataError::Fenced => {
                unavailable("The write took so long that it was given up. Please retry.")
            }
            MetadataError::KeyRetired => {
                unavailable("A master key was replaced during the write. Please retry.")
                    .because(error)
            }
            MetadataError::OutcomeUnknown(_) => unavailable(
                "It is not known whether the request took effect. Please look before you retry.",
            )
            .because(error),
            MetadataError::Unavailable(_) => {
                unavailable("The metadata is not available at the moment. Please retry.")
                    .because(error)
            }
            MetadataError::NotFound(_)
            | MetadataError::Exists(_)
            | MetadataError::LeaseLost(_)
            | MetadataError::Database(_)
            | MetadataError::Corrupt(_) => S3Error::internal(error),
        }
    }

    /// A metadata error of a conditional write about it.
    pub(super) fn conditional(&self, condition: &WriteCondition, error: MetadataError) -> S3Error {
        match (condition, error) {
            (WriteCondition::IfPresent, MetadataError::NoSuchKey) => {
                S3Error::precondition_failed("If-Match")
            }
            (_, error) => self.error(error),
        }
    }

    fn of_bucket(&self, code: ErrorCode) -> S3Error {
        S3Error::new(code).with("BucketName", self.bucket.as_str())
    }
}

/// 400: versions of this bucket can't be locked.
pub(super) fn no_object_lock() -> S3Error {
    S3Error::invalid_request("Bucket is missing Object Lock Configuration")
}

/// 403: a retry does not help until something was removed.
pub(super) fn over_quota(over: OverQuota) -> S3Error {
    let OverQuota { what, limit } = over;
    let message =
        format!("The quota of the bucket does not allow this request: at most {limit} {what}.");
    S3Error::message(ErrorCode::QuotaExceeded, message)
        .with("QuotaOf", what)
        .with("Quota", limit.to_string())
}

/// 503 with a reason. Clients retry it by themselves.
pub(super) fn unavailable(reason: &'static str) -> S3Error {
    S3Error::message(ErrorCode::ServiceUnavailable, reason)
}

/// 500: a row or a value inside is not what was once written.
pub(super) fn corrupt(cause: impl StdError + Send + Sync + 'static) -> S3Error {
    S3Error::internal(cause)
}

/// The metric under which a failed commit is counted.
pub(super) const fn commit_failure(error: &MetadataError) -> PutFailure {
    match error {
        MetadataError::OutcomeUnknown(_) | MetadataError::Unavailable(_) => PutFailure::Metadata,
        MetadataError::Database(_) | MetadataError::Corrupt(_) => PutFailure::Internal,
        _ => PutFailure::Refused,
    }
}

/// Why bytes were not stored, in S3's codes, and the metric under which it is counted.
pub(super) fn put_error(error: PutError<S3Error>) -> (PutFailure, S3Error) {
    match error {
        PutError::Body(error) => (PutFailure::Body, error),
        PutError::LengthMismatch { .. } => (
            PutFailure::Body,
            S3Error::new(ErrorCode::IncompleteBody).closing(),
        ),
        PutError::Busy(busy) => (
            PutFailure::Busy,
            S3Error::new(ErrorCode::SlowDown).because(busy),
        ),
        PutError::TooFewDrives(few) => {
            let words = format!(
                "Not enough drives: a write of {} needs {}, and {} can take it at the moment.",
                few.layout, few.needed, few.eligible
            );
            (PutFailure::Quorum, drives_failed(words).because(few))
        }
        PutError::Quorum(lost) => {
            let words = format!(
                "Drives failed during the write: {} needs {} durable fragments, and {} could be had.",
                lost.layout, lost.needed, lost.durable
            );
            (PutFailure::Quorum, drives_failed(words).because(lost))
        }
        wrong @ (PutError::Empty | PutError::Layout(_)) => {
            (PutFailure::Internal, S3Error::internal(wrong))
        }
    }
}

fn drives_failed(words: String) -> S3Error {
    S3Error::message(ErrorCode::ServiceUnavailable, words)
}

/// Why bytes could not be read, in S3's codes.
pub(super) fn get_error(error: GetError) -> S3Error {
    match error {
        GetError::Busy(busy) => S3Error::new(ErrorCode::SlowDown).because(busy),
        GetError::Unavailable { have, need, .. } => drives_failed(format!(
            "Too few fragments can be read at the moment: {need} are needed, and {have} can be had."
        ))
        .because(error),
        wrong @ (GetError::Range { .. } | GetError::Placement(_)) => S3Error::internal(wrong),
    }
}
