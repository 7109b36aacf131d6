//! A customer's own key (SSE-C): it comes with each request, and is kept nowhere.
//!
//! What is kept is what it wraps, and with each version a salted [`KeyVerifier`], so that a wrong
//! key is known as such although an object may have no bytes, or its head alone is asked for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::key::{self, DataKey, NoKey, Secret, WrappedKey, fill};

/// A customer's key. Never printed, wiped when it is dropped.
pub struct CustomerKey(Secret);

impl CustomerKey {
    /// A key of these bytes; `None` unless there are 32.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Secret::of(bytes).map(Self)
    }

    /// The key's bytes, for who computes what the client has to have computed.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        self.0.bytes()
    }

    /// Wraps the data key of a blob.
    #[must_use]
    pub fn wrap(&self, blob: &[u8; 16], data: &DataKey) -> WrappedKey {
        key::wrap(&self.0, WRAPS, blob, data)
    }

    /// Unwraps the data key of a blob.
    ///
    /// # Errors
    /// `NoKey` if another key wrapped it.
    pub fn unwrap(&self, blob: &[u8; 16], wrapped: &[u8]) -> Result<DataKey, NoKey> {
        key::unwrap(&self.0, WRAPS, blob, wrapped)
    }

    /// An ETag for content with this MD5, which does not show the MD5 to whoever has not the key.
    /// `write` names the write, so that no two writes have the same.
    #[must_use]
    pub fn etag(&self, write: &[u8; 16], md5: &[u8; 16]) -> [u8; 16] {
        let derived = self.0.derive(ETAG, &[write, md5]);
        let mut etag = [0; 16];
        etag.copy_from_slice(&derived[..16]);
        etag
    }

    /// What later requests' keys are compared with.
    #[must_use]
    pub fn verifier(&self) -> KeyVerifier {
        let mut salt = [0; 16];
        fill(&mut salt);
        KeyVerifier {
            salt: STANDARD.encode(salt),
            code: STANDARD.encode(self.0.derive(VERIFIES, &[&salt])),
        }
    }

    /// Whether this is the key that the verifier was made with. Takes as long for every other key.
    #[must_use]
    pub fn is_of(&self, verifier: &KeyVerifier) -> bool {
        let (Ok(salt), Ok(code)) = (
            STANDARD.decode(&verifier.salt),
            STANDARD.decode(&verifier.code),
        ) else {
            return false;
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.bytes());
        let message = [VERIFIES.as_bytes(), &salt].concat();
        hmac::verify(&key, &message, &code).is_ok()
    }
}

impl Clone for CustomerKey {
    fn clone(&self) -> Self {
        Self(self.0.copy())
    }
}

impl PartialEq for CustomerKey {
    fn eq(&self, other: &Self) -> bool {
        self.is_of(&other.verifier())
    }
}

impl Eq for CustomerKey {}

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomerKey")
    }
}

/// What shows that a key is the one that an object was written with, and nothing else of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVerifier {
    /// Random, Base64.
    pub salt: String,
    /// HMAC-SHA256 under the key, Base64.
    pub code: String,
}

/// What a derived key or code is for: none is good for another purpose.
const WRAPS: &str = "holdfast 1: a customer's key wraps a data key";
const VERIFIES: &str = "holdfast 1: a customer's key is the one of this object";
const ETAG: &str = "holdfast 1: an ETag under a customer's key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_again_and_never_shown() {
        let key = CustomerKey::new(&[3; 32]).unwrap();
        let other = CustomerKey::new(&[4; 32]).unwrap();
        let verifier = key.verifier();
        assert!(key.is_of(&verifier) && !other.is_of(&verifier));
        assert_ne!(key.verifier(), verifier, "salted");
        let broken = KeyVerifier {
            salt: "?".to_owned(),
            ..verifier
        };
        assert!(!key.is_of(&broken));
        assert_eq!(format!("{key:?}"), "CustomerKey");
        assert!(CustomerKey::new(&[0; 31]).is_none() && CustomerKey::new(&[0; 33]).is_none());
        assert!(key == key.clone() && key != other);
    }

    #[test]
    fn an_etag_depends_on_key_write_and_content() {
        let key = CustomerKey::new(&[3; 32]).unwrap();
        let other = CustomerKey::new(&[4; 32]).unwrap();
        let etag = key.etag(&[1; 16], &[2; 16]);
        assert_eq!(etag, key.etag(&[1; 16], &[2; 16]));
        for different in [
            key.etag(&[9; 16], &[2; 16]),
            key.etag(&[1; 16], &[9; 16]),
            other.etag(&[1; 16], &[2; 16]),
            [2; 16],
        ] {
            assert_ne!(etag, different);
        }
    }
}
