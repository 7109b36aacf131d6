//! Key pairs: how they are made, and what an imported one must be.

use std::fmt;

use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};

/// The description of the root key's row: nobody else's key may have it, because the rows that have
/// it are replaced when the root key changes.
pub const ROOT_KEY_DESCRIPTION: &str = "root key";

/// An access key and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
}

impl fmt::Debug for KeyPair {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// What an imported key is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRuleBroken {
    /// The access key's rule.
    #[error("an access key is 3 to 128 letters, digits, `.`, `_` or `-`")]
    AccessKey,
    /// The secret's rule.
    #[error("a secret key is 8 to 128 printable ASCII characters without spaces, quotes or `\\`")]
    SecretKey,
    /// The description's rule.
    #[error(
        "a description is at most 200 characters without line breaks, and not `{ROOT_KEY_DESCRIPTION}`"
    )]
    Description,
}

impl KeyPair {
    /// A new pair: `HF` and 18 characters; 40 characters of secret, which are 238 bits.
    #[must_use]
    pub fn generate() -> Self {
        let mut random = rand::rng();
        let access_key = std::iter::once("HF".to_owned())
            .chain((0..18).map(|_| {
                let at = random.random_range(0..ACCESS_KEY_LETTERS.len());
                ACCESS_KEY_LETTERS[at..=at].to_owned()
            }))
            .collect();
        Self {
            access_key,
            secret_key: Alphanumeric.sample_string(&mut random, 40),
        }
    }

    /// A pair that was made elsewhere.
    ///
    /// # Errors
    /// If it could not be used everywhere that a pair is used: in headers, scopes, addresses and
    /// shells.
    pub fn import(access_key: String, secret_key: String) -> Result<Self, KeyRuleBroken> {
        let access_good = (3..=128).contains(&access_key.len())
            && access_key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !access_good {
            return Err(KeyRuleBroken::AccessKey);
        }
        let secret_good = (8..=128).contains(&secret_key.len())
            && secret_key
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\'));
        if !secret_good {
            return Err(KeyRuleBroken::SecretKey);
        }
        Ok(Self {
            access_key,
            secret_key,
        })
    }
}

pub(super) fn check_description(description: &str) -> Result<(), KeyRuleBroken> {
    let good = description.chars().count() <= 200
        && !description.chars().any(char::is_control)
        && description != ROOT_KEY_DESCRIPTION;
    if good {
        Ok(())
    } else {
        Err(KeyRuleBroken::Description)
    }
}

/// Without the letters and digits that look alike.
const ACCESS_KEY_LETTERS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_pair_could_be_imported_and_is_not_made_twice() {
        let pair = KeyPair::generate();
        assert_eq!(pair.access_key.len(), 20);
        assert_eq!(pair.secret_key.len(), 40);
        let again = KeyPair::import(pair.access_key.clone(), pair.secret_key.clone()).unwrap();
        assert_eq!(again, pair);
        let other = KeyPair::generate();
        assert!(other.access_key != pair.access_key && other.secret_key != pair.secret_key);
        assert!(!format!("{pair:?}").contains(&pair.secret_key));
    }

    #[test]
    fn what_would_break_elsewhere_is_refused() {
        let import = |access: &str, secret: &str| {
            KeyPair::import(access.to_owned(), secret.to_owned()).map(|_| ())
        };
        assert_eq!(import("minioadmin", "minioadmin"), Ok(()));
        assert_eq!(
            import(
                "AKIAIOSFODNN7EXAMPLE",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
            ),
            Ok(())
        );
        for access in ["", "ab", "a b c", "a/b/c", "schlüssel", &"a".repeat(129)] {
            assert_eq!(
                import(access, "longenough"),
                Err(KeyRuleBroken::AccessKey),
                "{access}"
            );
        }
        for secret in [
            "",
            "short",
            "with space",
            "quote'd-secret",
            "new\nline-secret",
            &"a".repeat(129),
        ] {
            assert_eq!(
                import("abc", secret),
                Err(KeyRuleBroken::SecretKey),
                "{secret}"
            );
        }
    }

    #[test]
    fn a_description_is_one_line_and_not_the_roots() {
        assert_eq!(check_description("for backups"), Ok(()));
        for bad in [ROOT_KEY_DESCRIPTION, "a\nb", &"x".repeat(201)] {
            assert_eq!(check_description(bad), Err(KeyRuleBroken::Description));
        }
    }
}
