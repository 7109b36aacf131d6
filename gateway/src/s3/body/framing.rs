//! How a body is framed and how long it is, from the request's head.

use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::body::ChecksumClaim;
use crate::s3::op::checksum::ChecksumAlgorithm;
use crate::s3::sigv4::PayloadMode;

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Bytes of the object in it.
    pub(super) decoded_len: u64,
    /// The checksum that the head announced for the trailer.
    pub(super) trailer: Option<ChecksumAlgorithm>,
}

impl Framing {
    /// Reads it. `claim` is what was read of the same head about its checksum.
    pub(super) fn of(
        headers: &HeaderMap,
        payload: PayloadMode,
        claim: &ChecksumClaim,
    ) -> Result<Self, S3Error> {
        let trailer = announced_trailer(payload, claim)?;
        let decoded_len = if payload.is_chunked() {
            length(headers, DECODED_CONTENT_LENGTH)?
        } else {
            length(headers, CONTENT_LENGTH.as_str())?
        };
        let decoded_len = decoded_len.ok_or(S3Error::new(ErrorCode::MissingContentLength))?;
        Ok(Self {
            decoded_len,
            trailer,
        })
    }

    /// Refuses a body that is longer than `max`.
    pub(super) fn at_most(self, max: u64) -> Result<Self, S3Error> {
        if self.decoded_len <= max {
            return Ok(self);
        }
        Err(S3Error::new(ErrorCode::EntityTooLarge)
            .with("ProposedSize", self.decoded_len.to_string())
            .with("MaxSizeAllowed", max.to_string()))
    }
}

/// A length header. Digits only: no sign, no list.
pub(super) fn length(headers: &HeaderMap, name: &str) -> Result<Option<u64>, S3Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (digits, text.parse(), values.next()) {
        (true, Ok(length), None) => Ok(Some(length)),
        _ => Err(S3Error::invalid_argument(
            format!("{name} must be a number."),
            name,
            text,
        )),
    }
}

/// The checksum that the trailer must hold. Whoever announces a trailer must send one, and be in a
/// mode that has one.
fn announced_trailer(
    payload: PayloadMode,
    claim: &ChecksumClaim,
) -> Result<Option<ChecksumAlgorithm>, S3Error> {
    match (payload.has_trailer(), claim) {
        (true, ChecksumClaim::Trailer(algorithm)) => Ok(Some(*algorithm)),
        (true, _) => Err(S3Error::invalid_request(
            "x-amz-trailer is required where x-amz-content-sha256 ends in -TRAILER.",
        )),
        (false, ChecksumClaim::Trailer(_)) => Err(S3Error::invalid_request(
            "x-amz-trailer requires an x-amz-content-sha256 that ends in -TRAILER.",
        )),
        (false, _) => Ok(None),
    }
}

const DECODED_CONTENT_LENGTH: &str = "x-amz-decoded-content-length";
