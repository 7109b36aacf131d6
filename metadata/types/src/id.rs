//! Ids: who a blob, a drive, a fragment is.
//!
//! A fragment's identity is (blob, region, placement generation, index), everywhere: in its file
//! name, its header, every call and every garbage row, so that nothing old can kill or mix with
//! something new.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}")]
pub struct InvalidId {
    /// What was expected, in words.
    pub what: &'static str,
    /// What was found.
    pub text: String,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $new:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id that nothing else has.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::$new())
            }

            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id, big-endian: their order is the id's order.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidId;

            fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
                Uuid::from_slice(bytes).map(Self).map_err(|_| InvalidId {
                    what: $what,
                    text: format!("{} bytes", bytes.len()),
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InvalidId { what: $what, text: text.to_owned() })
            }
        }
    };
}

uuid_id!(
    /// One immutable run of bytes: a PUT body or one part. Time-ordered (UUID version 7).
    BlobId,
    "blob id",
    now_v7
);
impl BlobId {
    /// When the id was made, in milliseconds since 1970, by the clock of its maker; `None` if it is
    /// not a time-ordered id.
    #[must_use]
    pub fn made_ms(&self) -> Option<u64> {
        let bytes = self.as_bytes();
        let is_time_ordered = bytes[6] >> 4 == 7;
        is_time_ordered.then(|| {
            bytes[..6]
                .iter()
                .fold(0, |ms, byte| (ms << 8) | u64::from(*byte))
        })
    }
}

uuid_id!(
    /// One drive: a folder on a file system of its own, for life, wherever it is mounted.
    DriveId,
    "drive id",
    new_v4
);
uuid_id!(
    /// One Holdfast, whatever its regions.
    ClusterId,
    "cluster id",
    new_v4
);

/// A region's name: 1 to 32 characters of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

impl Region {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Reads a region's name.
    ///
    /// # Errors
    /// If it is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let fits = !text.is_empty() && text.len() <= Self::MAX_LEN;
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && plain {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId {
                what: "region name",
                text: text.to_owned(),
            })
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Region {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0.as_ref().to_owned()
    }
}

/// The generation of a placement: a re-encode or a move writes fragments of a new one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u32);

/// Which fragment of a blob: `0..k` hold data, `k..k + m` hold parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FragmentIndex(pub u8);

/// A fragment's whole identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FragmentId {
    /// The blob it is a part of.
    pub blob: BlobId,
    /// The region whose placement it belongs to.
    pub region: Region,
    /// That placement's generation.
    pub generation: Generation,
    /// Its place among the blob's fragments.
    pub index: FragmentIndex,
}

impl fmt::Display for FragmentId {
    /// `<blob>.<region>.<generation>.<index>`, which is also the name of its file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}.{}",
            self.blob, self.region, self.generation.0, self.index.0
        )
    }
}

impl FromStr for FragmentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "fragment id",
            text: text.to_owned(),
        };
        let mut fields = text.split('.');
        let mut field = || fields.next().ok_or_else(invalid);
        let id = Self {
            blob: field()?.parse()?,
            region: Region::parse(field()?)?,
            generation: Generation(field()?.parse().map_err(|_| invalid())?),
            index: FragmentIndex(field()?.parse().map_err(|_| invalid())?),
        };
        // Only the canonical text is the id: `007`, `+7` or upper case would be a second name.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(invalid())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_id_has_one_text() {
        let id = FragmentId {
            blob: BlobId::generate(),
            region: Region::parse("us-east-1").unwrap(),
            generation: Generation(7),
            index: FragmentIndex(3),
        };
        let text = id.to_string();
        assert_eq!(text.parse::<FragmentId>().unwrap(), id);
        assert!(text.to_uppercase().parse::<FragmentId>().is_err());
        assert!(format!("{text}.1").parse::<FragmentId>().is_err());
        assert!(text.replace(".7.", ".07.").parse::<FragmentId>().is_err());
        assert!(text.replace(".7.", ".+7.").parse::<FragmentId>().is_err());
    }

    #[test]
    fn blob_ids_are_ordered_by_time() {
        let earlier = BlobId::generate();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(earlier < BlobId::generate());
    }

    #[test]
    fn a_blob_id_says_when_it_was_made() {
        let before = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64;
        let made = BlobId::generate().made_ms().unwrap();
        assert!((before..before + 10_000).contains(&made), "{made}");
        assert_eq!(BlobId::from_bytes([0xFF; 16]).made_ms(), None);
    }

    #[test]
    fn a_region_is_plain_and_short() {
        for good in ["a", "us-east-1", &"x".repeat(32)] {
            assert_eq!(Region::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "a.b", "a/b", "ü", &"x".repeat(33)] {
            assert!(Region::parse(bad).is_err(), "{bad}");
        }
    }
}
