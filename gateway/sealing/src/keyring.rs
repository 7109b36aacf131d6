//! The master keys: the newest wraps, all of them unwrap.
//!
//! A key's id is derived from the key, so that an id can't stand beside the wrong key, and a typing
//! error in a key is noticed. All clones of a ring share one set of keys, so that a rotation counts
//! for the next request. The text form is what the key file and the environment hold.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::key::{self, DataKey, NoKey, Secret, WrappedKey};

/// Names a master key: 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId(String);

impl MasterKeyId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MasterKeyId {
    type Err = BadKeyring;

    fn from_str(text: &str) -> Result<Self, BadKeyring> {
        let digits = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 16 && text.bytes().all(digits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadKeyring::Id)
        }
    }
}

/// One master key.
pub struct MasterKey {
    id: MasterKeyId,
    secret: Secret,
    created_ms: u64,
}

impl MasterKey {
    /// A new one.
    #[must_use]
    pub fn random(now_ms: u64) -> Self {
        Self::of(Secret::random(), now_ms)
    }

    /// One from its Base64.
    ///
    /// # Errors
    /// `Key` unless it is 32 bytes of it.
    pub fn parse(text: &str, created_ms: u64) -> Result<Self, BadKeyring> {
        let bytes = STANDARD.decode(text).map(Zeroizing::new);
        let secret = bytes.ok().and_then(|bytes| Secret::of(&bytes));
        Ok(Self::of(secret.ok_or(BadKeyring::Key)?, created_ms))
    }

    fn of(secret: Secret, created_ms: u64) -> Self {
        let id = hex::encode(&secret.derive(NAMES, &[])[..8]);
        Self {
            id: MasterKeyId(id),
            secret,
            created_ms,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &MasterKeyId {
        &self.id
    }

    /// When it was made, if that is known; else 0.
    #[must_use]
    pub const fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// As a line of the key file: id, key and time.
    #[must_use]
    pub fn line(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(STANDARD.encode(self.secret.bytes()));
        Zeroizing::new(format!("{} {} {}", self.id, *key, self.created_ms))
    }

    /// A key from such a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_line(line: &str) -> Result<Self, BadKeyring> {
        let mut words = line.split_ascii_whitespace();
        let (Some(id), Some(key), Some(time), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(BadKeyring::Line);
        };
        let key = Self::parse(key, time.parse().map_err(|_| BadKeyring::Line)?)?;
        if key.id.as_str() == id {
            Ok(key)
        } else {
            Err(BadKeyring::Mismatch(id.to_owned()))
        }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MasterKey").field(&self.id.0).finish()
    }
}

/// A key or an id that can't be one. The text itself is never repeated: it may be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyring {
    /// Not an id.
    #[error("a master key's id is 16 hexadecimal digits")]
    Id,
    /// Not a key.
    #[error("a master key is 32 random bytes in Base64 (`openssl rand -base64 32` makes one)")]
    Key,
    /// Not a line.
    #[error("a line of the key file is an id, a key and a time in milliseconds")]
    Line,
    /// The key does not belong to the id.
    #[error("the key beside id {0} is another one: one of its letters was changed")]
    Mismatch(String),
    /// There is none.
    #[error("there is no master key")]
    Empty,
}

/// A data key was wrapped by a master key that is not here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("master key {0} is not in the keyring: bring it back from its backup")]
pub struct UnknownMasterKey(pub String);

/// The master keys of a process. Cheap to clone; all clones are one ring.
#[derive(Clone)]
pub struct Keyring(Arc<RwLock<Vec<Arc<MasterKey>>>>);

impl Keyring {
    /// A ring of these keys, newest first; a key given twice counts where it stands first.
    ///
    /// # Errors
    /// `Empty`.
    pub fn new(keys: impl IntoIterator<Item = MasterKey>) -> Result<Self, BadKeyring> {
        let mut kept: Vec<Arc<MasterKey>> = Vec::new();
        for key in keys {
            if kept.iter().all(|other| other.id != key.id) {
                kept.push(Arc::new(key));
            }
        }
        if kept.is_empty() {
            return Err(BadKeyring::Empty);
        }
        Ok(Self(Arc::new(RwLock::new(kept))))
    }

    /// All keys, newest first.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<MasterKey>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The one that wraps.
    #[must_use]
    pub fn newest(&self) -> Arc<MasterKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            keys.first()
                .expect("a ring is made with a key and keeps one"),
        )
    }

    /// Adds a key, which wraps from now on.
    pub fn add(&self, key: MasterKey) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|other| other.id != key.id);
        keys.insert(0, Arc::new(key));
    }

    /// Takes a key away; whether it was there and is not the newest, which stays.
    pub fn remove(&self, id: &MasterKeyId) -> bool {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let at = keys.iter().position(|key| key.id == *id);
        match at {
            None | Some(0) => false,
            Some(at) => {
                keys.remove(at);
                true
            }
        }
    }

    /// Wraps a blob's data key by the newest master key, and says which that is.
    #[must_use]
    pub fn wrap(&self, blob: &[u8; 16], data: &DataKey) -> (MasterKeyId, WrappedKey) {
        let newest = self.newest();
        let wrapped = key::wrap(&newest.secret, WRAPS, blob, data);
        (newest.id.clone(), wrapped)
    }

    /// Unwraps a blob's data key by the master key that wrapped it.
    ///
    /// # Errors
    /// The outer: that key is not here. The inner: the row is not what was written.
    pub fn unwrap(
        &self,
        by: &str,
        blob: &[u8; 16],
        wrapped: &[u8],
    ) -> Result<Result<DataKey, NoKey>, UnknownMasterKey> {
        let keys = self.keys();
        let key = keys.iter().find(|key| key.id.as_str() == by);
        let key = key.ok_or_else(|| UnknownMasterKey(by.to_owned()))?;
        Ok(key::unwrap(&key.secret, WRAPS, blob, wrapped))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

/// What a derived key or code is for: none is good for another purpose.
const WRAPS: &str = "holdfast 1: a master key wraps a data key";
const NAMES: &str = "holdfast 1: a master key's name";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wraps_and_all_unwrap() {
        let ring = Keyring::new([MasterKey::random(1)]).unwrap();
        let clone = ring.clone();
        let (data, blob) = (DataKey::random(), [5; 16]);
        let (old, by_old) = ring.wrap(&blob, &data);
        clone.add(MasterKey::random(2));
        let (new, by_new) = ring.wrap(&blob, &data);
        assert_ne!(old, new);
        for (id, wrapped) in [(&old, &by_old), (&new, &by_new)] {
            let opened = ring.unwrap(id.as_str(), &blob, wrapped).unwrap().unwrap();
            assert!(opened.is(&data));
        }
        let swapped = ring.unwrap(new.as_str(), &blob, &by_old).unwrap();
        assert_eq!(swapped.unwrap_err(), NoKey);

        assert!(!ring.remove(&new), "the newest stays");
        assert!(ring.remove(&old) && !ring.remove(&old));
        let gone = ring.unwrap(old.as_str(), &blob, &by_old).unwrap_err();
        assert_eq!(gone, UnknownMasterKey(old.as_str().to_owned()));
        assert!(Keyring::new([]).is_err());
    }

    #[test]
    fn a_key_survives_its_line_and_a_typing_error_is_noticed() {
        let key = MasterKey::random(42);
        let line = key.line();
        let again = MasterKey::from_line(&line).unwrap();
        assert_eq!((again.id(), again.created_ms()), (key.id(), 42));
        assert_eq!(again.secret.bytes(), key.secret.bytes());
        let words: Vec<&str> = line.split(' ').collect();
        let other = MasterKey::random(1).line();
        let others = other.split(' ').nth(1).unwrap();
        for (wrong, error) in [
            (format!("{} {others} 42", words[0]), None),
            (
                format!("{} {} x", words[0], words[1]),
                Some(BadKeyring::Line),
            ),
            (format!("{} {}", words[0], words[1]), Some(BadKeyring::Line)),
            (format!("{} short 42", words[0]), Some(BadKeyring::Key)),
            (String::new(), Some(BadKeyring::Line)),
        ] {
            let found = MasterKey::from_line(&wrong).unwrap_err();
            let mismatch = BadKeyring::Mismatch(words[0].to_owned());
            assert_eq!(found, error.unwrap_or(mismatch), "{wrong}");
            assert!(!found.to_string().contains(others));
        }
        assert!(!format!("{key:?}").contains(words[1]));
    }

    /// Files that were written must stay readable: an id is what rows name.
    #[test]
    fn an_id_is_the_same_for_ever() {
        let key = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", 0).unwrap();
        assert_eq!(key.id().as_str(), "450b25e9df484c70");
        assert!("abc".parse::<MasterKeyId>().is_err());
        assert_eq!(key.id().as_str().parse::<MasterKeyId>().unwrap(), *key.id());
    }
}
