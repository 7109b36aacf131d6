//! Who asks: every admin request is signed, header and whole body.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::AdminError;
use crate::s3::sigv4::{AuthMethod, PayloadMode, Verifier};

/// The longest body: a key with its description is far below.
pub(super) const MAX_BODY_LEN: usize = 64 << 10;
/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Checks the signature of the head; gives the hash that the body must have.
pub(super) async fn authenticate(
    verifier: &Verifier,
    head: &Parts,
) -> Result<[u8; 32], AdminError> {
    let authenticated = verifier.authenticate(head).await?;
    match (authenticated.method, authenticated.payload) {
        (AuthMethod::Header, PayloadMode::Signed(hash)) => Ok(hash),
        // A presigned address is a secret in a log; an unsigned body could be anyone's.
        _ => Err(AdminError::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "admin requests are signed in the Authorization header, with the body's SHA-256 in \
             x-amz-content-sha256",
        )),
    }
}

/// Reads the body, which must hash to `hash`.
pub(super) async fn verified_body<B>(body: B, hash: [u8; 32]) -> Result<Bytes, AdminError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: std::fmt::Display,
{
    // `Limited` needs an error that can be boxed; ours only needs to be shown.
    let body = std::pin::pin!(body.map_err(|error| error.to_string()));
    let limited = Limited::new(body, MAX_BODY_LEN);
    let collected = tokio::time::timeout(BODY_DEADLINE, limited.collect())
        .await
        .map_err(|_| AdminError::invalid("the body did not arrive in time"))?
        .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))?;
    let bytes = collected.to_bytes();
    let found: [u8; 32] = Sha256::digest(&bytes).into();
    if bool::from(found.ct_eq(&hash)) {
        Ok(bytes)
    } else {
        Err(AdminError::new(
            StatusCode::FORBIDDEN,
            "XAmzContentSHA256Mismatch",
            "the body is not the one that was signed",
        ))
    }
}
