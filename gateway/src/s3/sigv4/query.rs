//! Presigned requests: the claim is in `X-Amz-*` query parameters.

use super::error::AuthError;
use super::header::{Claim, parse_signed_headers};
use super::key::ALGORITHM;
use super::scope::{AmzDate, parse_credential};
use super::verify::MAX_PRESIGN_SECS;

/// A claim made in the query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Presigned {
    pub(super) claim: Claim,
    pub(super) expires_secs: u64,
    /// `X-Amz-Content-Sha256`, which some signers put here rather than in a header.
    pub(super) content_sha256: Option<String>,
}

/// Query parameters, decoded.
pub(super) type Parameters = [(Vec<u8>, Vec<u8>)];

/// Whether the query claims to authenticate, by any version of the signature.
pub(super) fn claims(parameters: &Parameters) -> bool {
    let names: [&[u8]; 5] = [
        b"X-Amz-Algorithm",
        b"X-Amz-Credential",
        b"X-Amz-Signature",
        b"Signature",
        b"AWSAccessKeyId",
    ];
    parameters
        .iter()
        .any(|(name, _)| names.contains(&name.as_slice()))
}

/// Reads the claim.
pub(super) fn parse(parameters: &Parameters) -> Result<Presigned, AuthError> {
    let algorithm = optional(parameters, "X-Amz-Algorithm")?;
    match algorithm.as_deref() {
        Some(ALGORITHM) => {}
        Some(other) if other.starts_with("AWS4-") => {
            return Err(AuthError::AlgorithmNotImplemented(other.to_owned()));
        }
        Some(_) => {
            return Err(malformed(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"",
            ));
        }
        None if parameters.iter().any(|(name, _)| name == b"Signature") => {
            return Err(AuthError::SignatureV2);
        }
        None => return Err(incomplete()),
    }
    if optional(parameters, "X-Amz-Security-Token")?.is_some() {
        return Err(AuthError::InvalidToken);
    }
    let (access_key, scope) = parse_credential(&required(parameters, "X-Amz-Credential")?)
        .map_err(|reason| {
            malformed(&format!(
                "Error parsing the X-Amz-Credential parameter; {reason}"
            ))
        })?;
    let date = AmzDate::parse(&required(parameters, "X-Amz-Date")?).ok_or_else(|| {
        malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    })?;
    let expires_secs = parse_expires(&required(parameters, "X-Amz-Expires")?)?;
    let signed_headers =
        parse_signed_headers(&required(parameters, "X-Amz-SignedHeaders")?).map_err(malformed)?;
    let signature = required(parameters, "X-Amz-Signature")?;
    let content_sha256 = optional(parameters, "X-Amz-Content-Sha256")?;
    let claim = Claim {
        access_key,
        scope,
        signed_headers,
        signature,
        date,
    };
    Ok(Presigned {
        claim,
        expires_secs,
        content_sha256,
    })
}

fn parse_expires(text: &str) -> Result<u64, AuthError> {
    // `u64::from_str` takes a leading plus.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed("X-Amz-Expires should be a number"));
    }
    match text.parse() {
        Ok(0) => Err(malformed("X-Amz-Expires must be greater than 0")),
        Ok(secs) if secs <= MAX_PRESIGN_SECS => Ok(secs),
        _ => Err(malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given \
             X-Amz-Expires must be less than 604800 seconds",
        )),
    }
}

fn required(parameters: &Parameters, name: &str) -> Result<String, AuthError> {
    optional(parameters, name)?.ok_or_else(incomplete)
}

/// The one value of a parameter. Two values could be read two ways, so they are refused.
fn optional(parameters: &Parameters, name: &str) -> Result<Option<String>, AuthError> {
    let mut values = parameters
        .iter()
        .filter(|(found, _)| found == name.as_bytes());
    let Some((_, value)) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(malformed(&format!("{name} must be given once")));
    }
    match String::from_utf8(value.clone()) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(malformed(&format!("{name} must be text"))),
    }
}

fn incomplete() -> AuthError {
    malformed(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
         X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
    )
}

fn malformed(reason: &str) -> AuthError {
    AuthError::QueryMalformed {
        reason: reason.to_owned(),
        expected_region: None,
    }
}
