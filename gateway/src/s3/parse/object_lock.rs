//! Object lock: headers of what makes an object, and the operations of its own.

use http::HeaderName;

use super::Request;
use super::claims::body_claims;
use crate::s3::error::S3Error;
use crate::s3::head::Headers;
use crate::s3::header;
use crate::s3::op::{
    BodyClaims, ChecksumClaim, GovernanceBypass, LegalHold, ObjectLock, ObjectLockInput,
    PutObjectLegalHoldInput, PutObjectLockConfigurationInput, PutObjectRetentionInput, Retention,
    RetentionMode,
};
use crate::s3::time::Timestamp;
use crate::s3::xml::object_lock as xml;

/// What a new object is asked to be locked with. That its date lies ahead is for whoever has a clock
/// to see.
pub(super) fn of_headers(headers: &Headers) -> Result<ObjectLock, S3Error> {
    let mode = text(headers, header::OBJECT_LOCK_MODE)?;
    let until = text(headers, header::OBJECT_LOCK_RETAIN_UNTIL_DATE)?;
    let retention = match (mode, until) {
        (None, None) => None,
        (Some(mode), Some(until)) => Some(Retention {
            mode: RetentionMode::from_name(mode).ok_or_else(|| {
                let name = header::OBJECT_LOCK_MODE;
                S3Error::invalid_argument("Unknown wormMode directive.", name.as_str(), mode)
            })?,
            until: Timestamp::from_iso8601(until).ok_or_else(|| {
                let name = header::OBJECT_LOCK_RETAIN_UNTIL_DATE;
                let message = "The retain until date must be provided in ISO 8601 format";
                S3Error::invalid_argument(message, name.as_str(), until)
            })?,
        }),
        (mode, until) => {
            let message = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must \
                           both be supplied";
            let (name, value) = match until {
                Some(until) => (header::OBJECT_LOCK_RETAIN_UNTIL_DATE, until),
                None => (header::OBJECT_LOCK_MODE, mode.unwrap_or_default()),
            };
            return Err(S3Error::invalid_argument(message, name.as_str(), value));
        }
    };
    let legal_hold = match text(headers, header::OBJECT_LOCK_LEGAL_HOLD)? {
        None => None,
        Some(hold) => Some(LegalHold::from_name(hold).ok_or_else(|| {
            let name = header::OBJECT_LOCK_LEGAL_HOLD;
            let message = "Legal Hold must be either of 'ON' or 'OFF'";
            S3Error::invalid_argument(message, name.as_str(), hold)
        })?),
    };
    Ok(ObjectLock {
        retention,
        legal_hold,
    })
}

/// A header that is empty is not there.
fn text(headers: &Headers, name: HeaderName) -> Result<Option<&str>, S3Error> {
    Ok(headers.get(&name)?.filter(|text| !text.is_empty()))
}

/// Whether the request asks to go past governance. What is not `true` does not, as at AWS.
pub(super) fn bypass(headers: &Headers) -> Result<GovernanceBypass, S3Error> {
    Ok(match headers.get(&header::BYPASS_GOVERNANCE)? {
        Some(text) if text.eq_ignore_ascii_case("true") => GovernanceBypass::Asked,
        _ => GovernanceBypass::NotAsked,
    })
}

pub(super) fn put_configuration(
    request: &Request<'_>,
) -> Result<PutObjectLockConfigurationInput, S3Error> {
    require_checksum(request)?;
    Ok(PutObjectLockConfigurationInput {
        bucket: request.bucket()?,
        configuration: xml::object_lock_configuration(request.document)?,
    })
}

pub(super) fn of_object(request: &Request<'_>) -> Result<ObjectLockInput, S3Error> {
    Ok(ObjectLockInput {
        bucket: request.bucket()?,
        key: request.key()?,
        version_id: request.version_id()?,
    })
}

pub(super) fn put_retention(request: &Request<'_>) -> Result<PutObjectRetentionInput, S3Error> {
    require_checksum(request)?;
    Ok(PutObjectRetentionInput {
        object: of_object(request)?,
        retention: xml::retention(request.document)?,
        bypass: bypass(request.headers)?,
    })
}

pub(super) fn put_legal_hold(request: &Request<'_>) -> Result<PutObjectLegalHoldInput, S3Error> {
    require_checksum(request)?;
    Ok(PutObjectLegalHoldInput {
        object: of_object(request)?,
        hold: xml::legal_hold(request.document)?,
    })
}

/// AWS takes no document about a lock that no digest covers.
fn require_checksum(request: &Request<'_>) -> Result<(), S3Error> {
    if has_digest(&body_claims(request.headers)?) {
        return Ok(());
    }
    Err(S3Error::invalid_request(
        "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
    ))
}

/// Whether a digest of the body comes with it.
pub fn has_digest(claims: &BodyClaims) -> bool {
    claims.md5.is_some()
        || matches!(
            claims.checksum,
            ChecksumClaim::Value(_) | ChecksumClaim::Trailer(_)
        )
}
