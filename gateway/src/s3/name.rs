//! The names that a request carries: bucket, key, version, upload and part number.
//!
//! Each is parsed once, at the edge, and needs no check after that. A key is any UTF-8 of 1 to 1024
//! bytes: it is never a path, so `../`, a leading slash, `//`, control characters and emoji are
//! bytes like all others. Bucket names follow AWS's rules for general purpose buckets, reserved
//! prefixes and suffixes included, so that a bucket made here can be made there.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::error::{ErrorCode, S3Error};

/// A bucket's name: 3 to 63 of `a-z`, `0-9`, `.` and `-`, by AWS's rules.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// The shortest name, in bytes.
    pub const MIN_LEN: usize = 3;
    /// The longest name, in bytes: a DNS label.
    pub const MAX_LEN: usize = 63;

    /// Reads a bucket's name.
    ///
    /// # Errors
    /// `InvalidBucketName`, with the name, if it breaks a rule.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        if follows_the_rules(text) {
            Ok(Self(text.into()))
        } else {
            Err(S3Error::new(ErrorCode::InvalidBucketName).with("BucketName", text))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Names that AWS keeps for itself.
const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

fn follows_the_rules(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    (BucketName::MIN_LEN..=BucketName::MAX_LEN).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| alphanumeric(b) || *b == b'.' || *b == b'-')
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && !text.contains("..")
        && text.parse::<Ipv4Addr>().is_err()
        && !looks_like_an_address(text)
        && !RESERVED_PREFIXES
            .iter()
            .any(|prefix| text.starts_with(prefix))
        && !RESERVED_SUFFIXES
            .iter()
            .any(|suffix| text.ends_with(suffix))
}

/// `999.01.2.3` is no address, and AWS refuses it for looking like one.
fn looks_like_an_address(text: &str) -> bool {
    let fields: Vec<&str> = text.split('.').collect();
    fields.len() == 4
        && fields
            .iter()
            .all(|field| field.bytes().all(|b| b.is_ascii_digit()))
}

/// An object's key: UTF-8 of 1 to 1024 bytes, and nothing but bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// The longest key, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Takes a key that is already decoded.
    ///
    /// # Errors
    /// `KeyTooLongError` beyond [`Self::MAX_LEN`] bytes, `InvalidArgument` if it is empty.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        if text.is_empty() {
            return Err(S3Error::invalid_argument(
                "Object key must not be empty",
                "Key",
                "",
            ));
        }
        if text.len() > Self::MAX_LEN {
            return Err(S3Error::new(ErrorCode::KeyTooLongError)
                .with("Size", text.len().to_string())
                .with("MaxSizeAllowed", Self::MAX_LEN.to_string()));
        }
        Ok(Self(text.into()))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes: their order is the order of listings.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A version's id as it is written at the edge: `null`, or a text that the store gave out.
///
/// The edge only bounds it: a text that names no version is the store's to refuse.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(Arc<str>);

impl VersionId {
    /// The id of a version written while its bucket was not versioned.
    pub const NULL: &'static str = "null";
    /// The longest id that is looked at, in bytes. AWS's own are at most 1024.
    pub const MAX_LEN: usize = 1024;

    /// Takes a version's id.
    ///
    /// # Errors
    /// `InvalidArgument` if it is empty, too long, or not printable ASCII.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        if text.is_empty() {
            let message = "Version id cannot be the empty string";
            return Err(S3Error::invalid_argument(message, "versionId", text));
        }
        if text.len() > Self::MAX_LEN || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Self::invalid(text));
        }
        Ok(Self(text.into()))
    }

    /// What a store answers for an id that it never gave out.
    #[must_use]
    pub fn invalid(text: &str) -> S3Error {
        S3Error::invalid_argument("Invalid version id specified", "versionId", text)
    }

    /// The null version's id.
    #[must_use]
    pub fn null() -> Self {
        Self(Self::NULL.into())
    }

    /// Whether it names the null version.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &*self.0 == Self::NULL
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A multipart upload's id, opaque at the edge.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Arc<str>);

impl UploadId {
    /// The longest id that is looked at, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Takes an upload's id.
    ///
    /// # Errors
    /// `NoSuchUpload` if it is empty, too long or not printable ASCII: no upload has such an id.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::MAX_LEN || !plain {
            return Err(S3Error::new(ErrorCode::NoSuchUpload).with("UploadId", text));
        }
        Ok(Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! show {
    ($($name:ident)*) => {
        $(
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{:?}", &self.0)
                }
            }
        )*
    };
}

show!(BucketName ObjectKey VersionId UploadId);

/// A part's number: 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(u16);

impl PartNumber {
    /// The highest number, which also bounds how many parts an upload has.
    pub const MAX: u16 = 10_000;

    /// A part's number, if it is one.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= Self::MAX as u32 {
            Some(Self(number as u16))
        } else {
            None
        }
    }

    /// Reads the number from `partNumber=`.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no number from 1 to 10,000.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        text.parse::<u32>().ok().and_then(Self::new).ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            S3Error::invalid_argument(message, "partNumber", text)
        })
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
