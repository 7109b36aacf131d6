//! Signing keys and the two signatures made with them: of a request, and of a chunk.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::credential::SecretKey;
use super::scope::{AmzDate, CredentialScope};

/// The key that a scope's requests are signed with, derived from the secret. Never printed.
#[derive(Clone)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// HMAC chain over day, region, service and terminator.
    #[must_use]
    pub fn derive(secret: &SecretKey, scope: &CredentialScope) -> Self {
        let first = hmac_sha256(format!("AWS4{}", secret.expose()).as_bytes(), &scope.day);
        let region = hmac_sha256(&first, &scope.region);
        let service = hmac_sha256(&region, &scope.service);
        Self(hmac_sha256(&service, "aws4_request"))
    }

    /// The signature of `string_to_sign`: 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn sign(&self, string_to_sign: &str) -> String {
        hex::encode(hmac_sha256(&self.0, string_to_sign))
    }

    /// Whether `signature` is that of `string_to_sign`, in a time that does not depend on where
    /// they differ.
    #[must_use]
    pub fn verify(&self, string_to_sign: &str, signature: &str) -> bool {
        self.sign(string_to_sign)
            .as_bytes()
            .ct_eq(signature.as_bytes())
            .into()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// All that is needed to check the signatures that follow the request's own: those of its chunks.
#[derive(Debug, Clone)]
pub struct SigningContext {
    /// The key of the request's scope.
    pub key: SigningKey,
    /// When the request was signed.
    pub date: AmzDate,
    /// What the key is good for.
    pub scope: CredentialScope,
    /// The request's signature: the first chunk's is chained to it.
    pub seed_signature: String,
}

/// What is signed for a request.
pub(super) fn string_to_sign(
    date: AmzDate,
    scope: &CredentialScope,
    canonical_request: &[u8],
) -> String {
    format!(
        "{ALGORITHM}\n{date}\n{scope}\n{}",
        sha256_hex(canonical_request)
    )
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac_sha256(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length, even none");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The one algorithm that is accepted.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
