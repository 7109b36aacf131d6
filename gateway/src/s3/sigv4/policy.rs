//! The signature of a form: of its policy's text, with the key of its scope.

use super::error::AuthError;
use super::header::Claim;
use super::key::{ALGORITHM, SigningKey};
use super::scope::{AmzDate, parse_credential};
use super::verify::Verifier;

/// What a form says of its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyClaim<'f> {
    /// The policy, in Base64, as it was sent: that is what is signed.
    pub policy: Option<&'f str>,
    /// `x-amz-algorithm`.
    pub algorithm: Option<&'f str>,
    /// `x-amz-credential`.
    pub credential: Option<&'f str>,
    /// `x-amz-date`.
    pub date: Option<&'f str>,
    /// `x-amz-signature`.
    pub signature: Option<&'f str>,
    /// Whether there is `x-amz-security-token`.
    pub has_session_token: bool,
    /// Whether it is signed by Signature Version 2.
    pub is_version_2: bool,
}

impl Verifier {
    /// Checks a form's signature; the access key that made it. Until when it is good is said by the
    /// policy, not by its date.
    ///
    /// # Errors
    /// Why it is not authenticated; [`AuthError::Anonymous`] where it does not claim to be.
    pub async fn authenticate_policy(&self, form: PolicyClaim<'_>) -> Result<String, AuthError> {
        let Some(policy) = form.policy else {
            return Err(AuthError::Anonymous);
        };
        if form.signature.is_none() && form.is_version_2 {
            return Err(AuthError::SignatureV2);
        }
        if form.has_session_token {
            return Err(AuthError::InvalidToken);
        }
        match form.algorithm {
            Some(ALGORITHM) => {}
            Some(other) if other.starts_with("AWS4-") => {
                return Err(AuthError::AlgorithmNotImplemented(other.to_owned()));
            }
            _ => {
                return Err(malformed(
                    "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"",
                ));
            }
        }
        let claim = claim(form)?;
        self.check_scope(&claim)
            .map_err(|mismatch| AuthError::QueryMalformed {
                reason: format!(
                    "Error parsing the X-Amz-Credential parameter; {}",
                    mismatch.reason
                ),
                expected_region: mismatch.expected_region,
            })?;
        let credential = self.credential(&claim.access_key).await?;
        if !SigningKey::derive(&credential.secret, &claim.scope).verify(policy, &claim.signature) {
            return Err(AuthError::SignatureMismatch {
                access_key: claim.access_key,
            });
        }
        Ok(claim.access_key)
    }
}

fn claim(form: PolicyClaim<'_>) -> Result<Claim, AuthError> {
    let (Some(credential), Some(date), Some(signature)) =
        (form.credential, form.date, form.signature)
    else {
        return Err(malformed(
            "POST authentication version 4 requires the policy, X-Amz-Algorithm, \
             X-Amz-Credential, X-Amz-Date and X-Amz-Signature fields.",
        ));
    };
    let (access_key, scope) = parse_credential(credential).map_err(|reason| {
        malformed(&format!(
            "Error parsing the X-Amz-Credential parameter; {reason}"
        ))
    })?;
    let date = AmzDate::parse(date).ok_or_else(|| {
        malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    })?;
    Ok(Claim {
        access_key,
        scope,
        signed_headers: Vec::new(),
        signature: signature.to_owned(),
        date,
    })
}

fn malformed(reason: &str) -> AuthError {
    AuthError::QueryMalformed {
        reason: reason.to_owned(),
        expected_region: None,
    }
}
