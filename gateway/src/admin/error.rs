//! What an admin request that fails is told.

use bytes::Bytes;
use holdfast_metadata::MetadataError;
use http::{Response, StatusCode};
use http_body_util::Full;

use super::key::KeyRuleBroken;
use super::view::{ErrorDetail, ErrorView};
use crate::s3::error::S3Error;
use crate::s3::sigv4::AuthError;
use crate::server::RequestId;

/// A refusal or a failure, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdminError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl AdminError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn exists(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn response(&self, request_id: RequestId) -> Response<Full<Bytes>> {
        let view = ErrorView {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message.clone(),
                request_id: request_id.to_string(),
            },
        };
        super::json(self.status, &view)
    }
}

impl From<AuthError> for AdminError {
    /// Whoever is not authenticated gets 403, whatever the reason; the reason is in the words.
    fn from(error: AuthError) -> Self {
        if matches!(error, AuthError::Store(_)) {
            tracing::error!("admin requests can't be authenticated: {error}");
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "access keys can't be read now",
            );
        }
        let message = error.to_string();
        let code = S3Error::from(error).code().as_str();
        Self::new(StatusCode::FORBIDDEN, code, message)
    }
}

impl From<KeyRuleBroken> for AdminError {
    fn from(broken: KeyRuleBroken) -> Self {
        Self::invalid(broken.to_string())
    }
}

impl From<MetadataError> for AdminError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NotFound(_)
            | MetadataError::NoSuchBucket
            | MetadataError::NoSuchKey
            | MetadataError::NoSuchVersion
            | MetadataError::NoSuchUpload => Self::not_found(error.to_string()),
            MetadataError::Exists(_)
            | MetadataError::BucketExists
            | MetadataError::BucketNotEmpty => Self::exists(error.to_string()),
            MetadataError::Unavailable(_)
            | MetadataError::OutcomeUnknown(_)
            | MetadataError::Fenced
            | MetadataError::LeaseLost(_)
            | MetadataError::KeyRetired
            | MetadataError::SourceChanged => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                error.to_string(),
            ),
            MetadataError::PreconditionFailed { .. }
            | MetadataError::Locked
            | MetadataError::OverQuota(_)
            | MetadataError::NoObjectLock
            | MetadataError::VersioningNotEnabled
            | MetadataError::HasObjectLock
            | MetadataError::Database(_)
            | MetadataError::Corrupt(_) => {
                tracing::error!("the metadata failed an admin request: {error}");
                Self::internal("the metadata failed; the log says how")
            }
        }
    }
}
