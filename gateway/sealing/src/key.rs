//! Data keys, and how one is kept: wrapped by a key that is somewhere else.
//!
//! Keys are wiped from memory when they are dropped, are never printed, and can't be compared or
//! cloned by accident. A wrapped key is `nonce (12) ‖ AES-256-GCM(data key) (32) ‖ tag (16)`, bound to
//! what wraps it and to the blob that it seals: moved to another blob's row it opens nothing.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of every key.
pub(crate) const KEY_LEN: usize = 32;

/// Bytes of a wrapped key.
const WRAPPED_LEN: usize = NONCE_LEN + KEY_LEN + 16;

/// A key of 256 bits that is wiped when it is dropped.
pub(crate) struct Secret(Zeroizing<[u8; KEY_LEN]>);

impl Secret {
    pub(crate) fn random() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        fill(&mut *bytes);
        Self(bytes)
    }

    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if bytes.len() != KEY_LEN {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// A copy, for who has to hold the key for longer than this one lives.
    pub(crate) fn copy(&self) -> Self {
        Self(self.0.clone())
    }

    /// A value that only who has the key can compute, different for each `purpose`.
    pub(crate) fn derive(&self, purpose: &str, about: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(purpose.as_bytes());
        for part in about {
            context.update(part);
        }
        let mut derived = [0; 32];
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }
}

/// Fills bytes with chance from the operating system.
pub(crate) fn fill(bytes: &mut [u8]) {
    SystemRandom::new()
        .fill(bytes)
        .expect("the operating system gives random bytes, or nothing can be encrypted at all");
}

/// The cipher under a key.
pub(crate) fn cipher(key: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key of 256 bits has 256 bits"))
}

/// The key that seals one blob.
pub struct DataKey(Secret);

impl DataKey {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::random())
    }

    pub(crate) fn cipher(&self) -> LessSafeKey {
        cipher(self.0.bytes())
    }

    #[cfg(test)]
    pub(crate) fn fixed(byte: u8) -> Self {
        Self(Secret::of(&[byte; KEY_LEN]).expect("32 bytes"))
    }

    #[cfg(test)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey")
    }
}

/// A data key as it is kept.
pub type WrappedKey = Vec<u8>;

/// The key does not open what was wrapped: it is another key, or the row is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data key can't be unwrapped: another key wrapped it, or its row was changed")]
pub struct NoKey;

/// Wraps `data` for blob `blob` by `by`, which wraps for `purpose` and for nothing else.
pub(crate) fn wrap(by: &Secret, purpose: &str, blob: &[u8; 16], data: &DataKey) -> WrappedKey {
    let mut nonce = [0; NONCE_LEN];
    fill(&mut nonce);
    let mut wrapping = by.derive(purpose, &[]);
    let mut sealed = *data.0.bytes();
    let tag = cipher(&wrapping)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(blob),
            &mut sealed,
        )
        .expect("32 bytes are not too long for AES-GCM");
    wrapping.zeroize();
    [&nonce[..], &sealed[..], tag.as_ref()].concat()
}

/// Unwraps what [`wrap`] wrapped.
pub(crate) fn unwrap(
    by: &Secret,
    purpose: &str,
    blob: &[u8; 16],
    wrapped: &[u8],
) -> Result<DataKey, NoKey> {
    let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(NoKey)?;
    if wrapped.len() != WRAPPED_LEN {
        return Err(NoKey);
    }
    let mut wrapping = by.derive(purpose, &[]);
    let mut opened = Zeroizing::new(sealed.to_vec());
    let key = cipher(&wrapping)
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(blob),
            &mut opened,
        )
        .map_err(|_| NoKey)
        .and_then(|key| Secret::of(key).ok_or(NoKey));
    wrapping.zeroize();
    key.map(DataKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_for_its_key_purpose_and_blob_only() {
        let (by, other) = (Secret::random(), Secret::random());
        let data = DataKey::random();
        let blob = [7; 16];
        let wrapped = wrap(&by, "a", &blob, &data);
        assert_eq!(wrapped.len(), WRAPPED_LEN);
        assert!(unwrap(&by, "a", &blob, &wrapped).unwrap().is(&data));
        assert_eq!(unwrap(&other, "a", &blob, &wrapped).unwrap_err(), NoKey);
        assert_eq!(unwrap(&by, "b", &blob, &wrapped).unwrap_err(), NoKey);
        assert_eq!(unwrap(&by, "a", &[8; 16], &wrapped).unwrap_err(), NoKey);
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert_eq!(unwrap(&by, "a", &blob, &changed).unwrap_err(), NoKey);
            assert_eq!(unwrap(&by, "a", &blob, &wrapped[..at]).unwrap_err(), NoKey);
        }
        let longer = [&wrapped[..], &[0]].concat();
        assert_eq!(unwrap(&by, "a", &blob, &longer).unwrap_err(), NoKey);
    }

    /// What was once wrapped must open for ever.
    #[test]
    fn the_golden_key_unwraps() {
        let by = Secret::of(&[1; KEY_LEN]).unwrap();
        let wrapped = hex::decode(
            "aa312fd77038ff34d1c2e5a25423f5fbc715bea99123bbc5d7b345508b16\
             1dcea9be2dda8d54faab202e8eac40a91b4fa0eb00bde9bbac2bb63a9a3f",
        )
        .unwrap();
        let opened = unwrap(&by, "golden", &[2; 16], &wrapped).unwrap();
        assert!(opened.is(&DataKey::fixed(3)));
    }

    #[test]
    fn no_two_wraps_are_alike_and_no_key_is_printed() {
        let (by, data) = (Secret::random(), DataKey::fixed(1));
        assert_ne!(
            wrap(&by, "a", &[0; 16], &data),
            wrap(&by, "a", &[0; 16], &data)
        );
        assert_eq!(format!("{data:?}"), "DataKey");
    }
}
