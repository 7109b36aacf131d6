//! What a head claims about its body: Content-MD5 and the flexible checksums.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::head::Headers;
use crate::s3::header;
use crate::s3::op::{BodyClaims, Checksum, ChecksumAlgorithm, ChecksumClaim, OperationKind};

/// Reads the claims, which the body's reader verifies.
///
/// # Errors
/// `InvalidDigest`, `InvalidRequest`.
pub fn body_claims(headers: &Headers) -> Result<BodyClaims, S3Error> {
    Ok(BodyClaims {
        md5: content_md5(headers)?,
        checksum: checksum_claim(headers)?,
    })
}

/// What the head claims about a body that is a document. A Complete's `x-amz-checksum-*` is that of
/// the object to be, not of the list of its parts.
///
/// # Errors
/// As [`body_claims`].
pub fn document_claims(kind: OperationKind, headers: &Headers) -> Result<BodyClaims, S3Error> {
    if kind == OperationKind::CompleteMultipartUpload {
        let checksum = match trailer(headers)? {
            Some(algorithm) => ChecksumClaim::Trailer(algorithm),
            None => ChecksumClaim::None,
        };
        return Ok(BodyClaims {
            md5: content_md5(headers)?,
            checksum,
        });
    }
    body_claims(headers)
}

fn content_md5(headers: &Headers) -> Result<Option<[u8; 16]>, S3Error> {
    let Some(text) = headers.get(&header::CONTENT_MD5)? else {
        return Ok(None);
    };
    let digest = STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    digest
        .map(Some)
        .ok_or_else(|| S3Error::new(ErrorCode::InvalidDigest).with("Content-MD5", text))
}

fn checksum_claim(headers: &Headers) -> Result<ChecksumClaim, S3Error> {
    let named = named_algorithm(headers)?;
    let claim = match (value(headers)?, trailer(headers)?) {
        (Some(_), Some(_)) => return Err(several()),
        (Some(value), None) => ChecksumClaim::Value(value),
        (None, Some(algorithm)) => ChecksumClaim::Trailer(algorithm),
        (None, None) => ChecksumClaim::None,
    };
    match (named, claim.algorithm()) {
        (Some((header, _)), None) if header == header::SDK_CHECKSUM_ALGORITHM.as_str() => {
            Err(S3Error::invalid_request(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* \
                 or x-amz-trailer headers were found.",
            ))
        }
        (Some((_, algorithm)), None) => Ok(ChecksumClaim::Algorithm(algorithm)),
        (Some((header, named)), Some(found)) if named != found => Err(S3Error::invalid_request(
            format!("Value for {header} header is invalid."),
        )),
        _ => Ok(claim),
    }
}

/// The one checksum that is in a header.
fn value(headers: &Headers) -> Result<Option<Checksum>, S3Error> {
    let mut found = None;
    for algorithm in ChecksumAlgorithm::ALL {
        if let Some(text) = headers.get(&algorithm.header())?
            && found.replace(Checksum::parse(algorithm, text)?).is_some()
        {
            return Err(several());
        }
    }
    Ok(found)
}

/// The one checksum that is announced for the trailer. Its signature may be announced too.
fn trailer(headers: &Headers) -> Result<Option<ChecksumAlgorithm>, S3Error> {
    let Some(names) = headers.joined(&header::TRAILER)? else {
        return Ok(None);
    };
    let mut found = None;
    for name in names.split(',').map(str::trim) {
        if name.eq_ignore_ascii_case("x-amz-trailer-signature") {
            continue;
        }
        let algorithm = ChecksumAlgorithm::from_header(name).ok_or_else(|| {
            let message = "The value specified in the x-amz-trailer header is not supported";
            S3Error::invalid_request(message)
        })?;
        if found.replace(algorithm).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

/// The algorithm that the client names, and in which header.
fn named_algorithm(
    headers: &Headers,
) -> Result<Option<(&'static str, ChecksumAlgorithm)>, S3Error> {
    for (name, text) in [
        (
            "x-amz-sdk-checksum-algorithm",
            headers.get(&header::SDK_CHECKSUM_ALGORITHM)?,
        ),
        (
            "x-amz-checksum-algorithm",
            headers.get(&header::CHECKSUM_ALGORITHM)?,
        ),
    ] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            return algorithm(name, text).map(|algorithm| Some((name, algorithm)));
        }
    }
    Ok(None)
}

/// The algorithm of this name.
pub(super) fn algorithm(header: &str, text: &str) -> Result<ChecksumAlgorithm, S3Error> {
    ChecksumAlgorithm::from_name(text).ok_or_else(|| {
        let all = "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]";
        let message = format!("Checksum algorithm provided is unsupported. Please try again with any of the valid types: {all}");
        S3Error::message(ErrorCode::InvalidRequest, message).with("Header", header)
    })
}

pub(super) fn several() -> S3Error {
    S3Error::invalid_request(
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )
}
