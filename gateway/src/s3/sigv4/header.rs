//! The `Authorization` header: `AWS4-HMAC-SHA256 Credential=.., SignedHeaders=.., Signature=..`.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::AuthError;
use super::key::ALGORITHM;
use super::scope::{AmzDate, CredentialScope, parse_credential};

/// What a request claims of itself, wherever it says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) access_key: String,
    pub(super) scope: CredentialScope,
    /// Lower-case, sorted, without repeats.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
    pub(super) date: AmzDate,
}

/// Reads the claim of the one `Authorization` header.
pub(super) fn parse(headers: &HeaderMap) -> Result<Claim, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(AuthError::SeveralMechanisms);
    };
    let value = value
        .to_str()
        .map_err(|_| malformed("it is not ASCII text."))?;
    let (algorithm, fields) = value.split_once(' ').unwrap_or((value, ""));
    match algorithm {
        ALGORITHM => {}
        "AWS" => return Err(AuthError::SignatureV2),
        other if other.starts_with("AWS4-") => {
            return Err(AuthError::AlgorithmNotImplemented(other.to_owned()));
        }
        _ => return Err(AuthError::UnsupportedType),
    }
    parse_fields(fields, signed_at(headers)?)
}

fn parse_fields(fields: &str, date: AmzDate) -> Result<Claim, AuthError> {
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in fields.split(',') {
        let (name, value) = field
            .trim_matches(' ')
            .split_once('=')
            .ok_or_else(|| malformed("it must be made of NAME=VALUE parts."))?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(malformed("it has a part that is not known.")),
        };
        if slot.replace(value).is_some() {
            return Err(malformed("it has a part twice."));
        }
    }
    let missing = || {
        malformed(
            "Authorization header requires existence of Credential, SignedHeaders and \
                   Signature.",
        )
    };
    let (access_key, scope) =
        parse_credential(credential.ok_or_else(missing)?).map_err(malformed)?;
    let signed_headers =
        parse_signed_headers(signed_headers.ok_or_else(missing)?).map_err(malformed)?;
    let signature = signature.ok_or_else(missing)?.to_owned();
    Ok(Claim {
        access_key,
        scope,
        signed_headers,
        signature,
        date,
    })
}

/// Names of signed headers from `host;x-amz-date`.
pub(super) fn parse_signed_headers(text: &str) -> Result<Vec<String>, &'static str> {
    let mut names: Vec<String> = text.split(';').map(str::to_owned).collect();
    if names
        .iter()
        .any(|name| name.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase()))
    {
        return Err("SignedHeaders must be lower-case header names, separated by semicolons.");
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// When the request was signed: `x-amz-date`, else `Date`.
fn signed_at(headers: &HeaderMap) -> Result<AmzDate, AuthError> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let date = match (text("x-amz-date"), text("date")) {
        (Some(date), _) => AmzDate::parse(date),
        (None, Some(date)) => AmzDate::parse_http_date(date).or_else(|| AmzDate::parse(date)),
        (None, None) => None,
    };
    date.ok_or(AuthError::DateMissing)
}

fn malformed(reason: &str) -> AuthError {
    AuthError::HeaderMalformed {
        reason: reason.to_owned(),
        expected_region: None,
    }
}
