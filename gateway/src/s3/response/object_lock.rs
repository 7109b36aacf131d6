//! The answers about what locks a version.

use http::Response;

use super::{ResponseBody, document};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::ObjectLock;
use crate::s3::xml::object_lock::{legal_hold_document, retention_document};

/// The answer of GetObjectRetention.
///
/// # Errors
/// `NoSuchObjectLockConfiguration` for a version without one.
pub fn get_object_retention(lock: &ObjectLock) -> Result<Response<ResponseBody>, S3Error> {
    let retention = lock.retention.ok_or_else(not_locked)?;
    Ok(document(retention_document(&retention)))
}

/// The answer of GetObjectLegalHold.
///
/// # Errors
/// `NoSuchObjectLockConfiguration` for a version of which nobody ever spoke.
pub fn get_object_legal_hold(lock: &ObjectLock) -> Result<Response<ResponseBody>, S3Error> {
    let hold = lock.legal_hold.ok_or_else(not_locked)?;
    Ok(document(legal_hold_document(hold)))
}

const fn not_locked() -> S3Error {
    S3Error::new(ErrorCode::NoSuchObjectLockConfiguration)
}
