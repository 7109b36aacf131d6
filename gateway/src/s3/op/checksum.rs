//! Checksums as values: which algorithm, over what, and what it came to.
//!
//! A plain body has a checksum of its bytes. An object made of parts has either one over all its
//! bytes (`FULL_OBJECT`, CRCs only) or one over its parts' checksums (`COMPOSITE`, written with
//! `-<parts>` after it). How they are computed is in `s3::checksum`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderName;

use crate::s3::error::{ErrorCode, S3Error};

/// The algorithms that S3 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO 3309).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME. What is computed when the client asks for nothing.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// As in `x-amz-checksum-algorithm`: `CRC32`, ...
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The element of XML that holds its value: `ChecksumCRC32`, ...
    #[must_use]
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// The header that holds its value: `x-amz-checksum-crc32`, ...
    #[must_use]
    pub const fn header(self) -> HeaderName {
        match self {
            Self::Crc32 => HeaderName::from_static("x-amz-checksum-crc32"),
            Self::Crc32c => HeaderName::from_static("x-amz-checksum-crc32c"),
            Self::Crc64Nvme => HeaderName::from_static("x-amz-checksum-crc64nvme"),
            Self::Sha1 => HeaderName::from_static("x-amz-checksum-sha1"),
            Self::Sha256 => HeaderName::from_static("x-amz-checksum-sha256"),
        }
    }

    /// Bytes of its value.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The algorithm of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// The algorithm whose value this header (in any case) holds.
    #[must_use]
    pub fn from_header(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.header().as_str().eq_ignore_ascii_case(name))
    }

    /// What an upload of parts gets when it names the algorithm and no type: AWS's default.
    #[must_use]
    pub const fn default_type(self) -> ChecksumType {
        match self {
            Self::Crc64Nvme => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        }
    }

    /// Whether an object of parts can have a checksum of this type by this algorithm.
    #[must_use]
    pub const fn allows(self, kind: ChecksumType) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c => true,
            Self::Crc64Nvme => matches!(kind, ChecksumType::FullObject),
            Self::Sha1 | Self::Sha256 => matches!(kind, ChecksumType::Composite),
        }
    }
}

/// What an object's checksum is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumType {
    /// All its bytes.
    FullObject,
    /// The checksums of its parts, one after another.
    Composite,
}

impl ChecksumType {
    /// As in `x-amz-checksum-type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite]
            .into_iter()
            .find(|t| t.as_str() == name)
    }
}

/// The checksum of a run of bytes: a body's or a part's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// By which algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// Its value, `algorithm.digest_len()` bytes, big-endian.
    pub digest: Bytes,
}

impl Checksum {
    /// Reads the base64 of a header or an element.
    ///
    /// # Errors
    /// `InvalidRequest`, in AWS's words, if it is no base64 of the right length.
    pub fn parse(algorithm: ChecksumAlgorithm, text: &str) -> Result<Self, S3Error> {
        match STANDARD.decode(text.trim()) {
            Ok(digest) if digest.len() == algorithm.digest_len() => Ok(Self {
                algorithm,
                digest: digest.into(),
            }),
            _ => Err(S3Error::message(
                ErrorCode::InvalidRequest,
                format!("Value for {} header is invalid.", algorithm.header()),
            )),
        }
    }

    /// The base64 of it.
    #[must_use]
    pub fn text(&self) -> String {
        STANDARD.encode(&self.digest)
    }
}

/// The checksum of an object, as it is stored and returned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectChecksum {
    /// The value.
    pub checksum: Checksum,
    /// What it is taken over.
    pub kind: ChecksumType,
    /// How many parts a composite one is over.
    pub parts: Option<u32>,
}

impl ObjectChecksum {
    /// A checksum over all bytes.
    #[must_use]
    pub const fn full_object(checksum: Checksum) -> Self {
        Self {
            checksum,
            kind: ChecksumType::FullObject,
            parts: None,
        }
    }

    /// A checksum over the checksums of `parts` parts.
    #[must_use]
    pub const fn composite(checksum: Checksum, parts: u32) -> Self {
        Self {
            checksum,
            kind: ChecksumType::Composite,
            parts: Some(parts),
        }
    }

    /// As AWS writes it: base64, and `-<parts>` after a composite one.
    #[must_use]
    pub fn text(&self) -> String {
        match self.parts {
            Some(parts) if self.kind == ChecksumType::Composite => {
                format!("{}-{parts}", self.checksum.text())
            }
            _ => self.checksum.text(),
        }
    }

    /// Reads what a client claims an object's checksum to be: base64, maybe with `-<parts>`.
    ///
    /// # Errors
    /// `InvalidRequest` as [`Checksum::parse`].
    pub fn parse(algorithm: ChecksumAlgorithm, text: &str) -> Result<Self, S3Error> {
        // Base64 has no `-`, so what follows one can only be the number of parts.
        let Some((value, parts)) = text.trim().split_once('-') else {
            return Checksum::parse(algorithm, text).map(Self::full_object);
        };
        let checksum = Checksum::parse(algorithm, value)?;
        match parts.parse::<u32>() {
            Ok(parts) => Ok(Self::composite(checksum, parts)),
            Err(_) => Checksum::parse(algorithm, text).map(Self::full_object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_base64_of_the_right_length() {
        let crc = Checksum::parse(ChecksumAlgorithm::Crc32, "AAAAAQ==").unwrap();
        assert_eq!(&crc.digest[..], [0, 0, 0, 1]);
        assert_eq!(crc.text(), "AAAAAQ==");
        for bad in ["", "AAAA", "AAAAAQ", "!!!!", "AAAAAAAAAAE="] {
            let error = Checksum::parse(ChecksumAlgorithm::Crc32, bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidRequest);
            assert_eq!(
                error.text(),
                "Value for x-amz-checksum-crc32 header is invalid."
            );
        }
    }

    #[test]
    fn a_composite_value_says_of_how_many_parts() {
        let text = "AAAAAQ==-3";
        let checksum = ObjectChecksum::parse(ChecksumAlgorithm::Crc32, text).unwrap();
        assert_eq!(
            (checksum.kind, checksum.parts),
            (ChecksumType::Composite, Some(3))
        );
        assert_eq!(checksum.text(), text);
        assert!(ObjectChecksum::parse(ChecksumAlgorithm::Crc32, "AAAAAQ==-x").is_err());
    }

    #[test]
    fn names_and_headers_lead_to_the_algorithm() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(
                ChecksumAlgorithm::from_name(algorithm.as_str()),
                Some(algorithm)
            );
            let header = algorithm.header();
            assert_eq!(
                ChecksumAlgorithm::from_header(header.as_str()),
                Some(algorithm)
            );
            assert!(algorithm.allows(algorithm.default_type()));
        }
        assert_eq!(ChecksumAlgorithm::from_name("MD5"), None);
    }
}
