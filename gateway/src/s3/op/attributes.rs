//! What an object carries besides its bytes: content headers, user metadata, storage class, owner.

use super::tags::TagSet;
use crate::s3::error::{ErrorCode, S3Error};

/// The headers that are stored with an object and sent back with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentHeaders {
    /// Content-Type. Absent: `binary/octet-stream` is sent.
    pub content_type: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Content-Disposition.
    pub content_disposition: Option<String>,
    /// Content-Encoding, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// Content-Language.
    pub content_language: Option<String>,
    /// Expires, as the client wrote it.
    pub expires: Option<String>,
}

impl ContentHeaders {
    /// What is sent for an object that was stored without a Content-Type.
    pub const DEFAULT_CONTENT_TYPE: &'static str = "binary/octet-stream";
}

/// User metadata: names (lower case, without `x-amz-meta-`) and values, in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserMetadata(Vec<(String, String)>);

impl UserMetadata {
    /// The most bytes that all names and values together may have.
    pub const MAX_LEN: usize = 2048;

    /// Takes names and values. Values of one name are joined with a comma, as AWS does.
    ///
    /// # Errors
    /// `MetadataTooLarge` beyond [`Self::MAX_LEN`] bytes.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, S3Error> {
        let mut joined: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            match joined.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => {
                    values.push(',');
                    values.push_str(&value);
                }
                None => joined.push((name, value)),
            }
        }
        let len: usize = joined
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if len > Self::MAX_LEN {
            return Err(S3Error::new(ErrorCode::MetadataTooLarge)
                .with("Size", len.to_string())
                .with("MaxSizeAllowed", Self::MAX_LEN.to_string()));
        }
        joined.sort();
        Ok(Self(joined))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All that a client says of an object besides its key and bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectAttributes {
    /// The headers that are sent back with it.
    pub content: ContentHeaders,
    /// The client's own metadata.
    pub metadata: UserMetadata,
    /// Its tags. They may be changed later, unlike the rest.
    pub tags: TagSet,
}

/// A storage class as the client wrote it: `STANDARD`, or a policy's name, which the store knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StorageClass(String);

impl StorageClass {
    /// The class that means: the bucket's policy.
    pub const STANDARD: &'static str = "STANDARD";
    /// The longest name that is looked at, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Takes a class's name.
    ///
    /// # Errors
    /// `InvalidStorageClass` if it can be the name of nothing.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::MAX_LEN || !plain {
            return Err(Self::invalid(text));
        }
        Ok(Self(text.to_owned()))
    }

    /// What a store answers for a name that is no policy.
    #[must_use]
    pub fn invalid(text: &str) -> S3Error {
        S3Error::new(ErrorCode::InvalidStorageClass).with("StorageClassRequested", text)
    }

    /// `STANDARD`.
    #[must_use]
    pub fn standard() -> Self {
        Self(Self::STANDARD.to_owned())
    }

    /// Whether it is `STANDARD`.
    #[must_use]
    pub fn is_standard(&self) -> bool {
        self.0 == Self::STANDARD
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for StorageClass {
    fn default() -> Self {
        Self::standard()
    }
}

/// Who owns a bucket or an object. All keys of a Holdfast act for one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The canonical user id: 64 hex digits.
    pub id: String,
    /// A name to show.
    pub display_name: String,
}

/// The canonical id of the one owner: SHA-256 of `holdfast`.
pub const OWNER_ID: &str = "d1580d2df7f24b6f5e2a861eba2918755c3a7246b7068817e349d8adc66a8566";
/// The one owner's name.
pub const OWNER_DISPLAY_NAME: &str = "holdfast";

impl Default for Owner {
    fn default() -> Self {
        Self {
            id: OWNER_ID.to_owned(),
            display_name: OWNER_DISPLAY_NAME.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_bounded_and_joined() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let metadata = UserMetadata::new([pair("b", "1"), pair("a", "x"), pair("b", "2")]).unwrap();
        assert_eq!(
            metadata.iter().collect::<Vec<_>>(),
            [("a", "x"), ("b", "1,2")]
        );
        assert!(UserMetadata::new([pair("a", &"v".repeat(2047))]).is_ok());
        let error = UserMetadata::new([pair("a", &"v".repeat(2048))]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::MetadataTooLarge);
        assert_eq!(error.extra("Size"), Some("2049"));
    }

    #[test]
    fn the_owner_is_the_digest_it_says() {
        use sha2::Digest;
        assert_eq!(hex::encode(sha2::Sha256::digest(b"holdfast")), OWNER_ID);
    }

    #[test]
    fn a_storage_class_is_a_plain_name() {
        assert!(StorageClass::parse("STANDARD").unwrap().is_standard());
        assert_eq!(
            StorageClass::parse("archive-8-3").unwrap().as_str(),
            "archive-8-3"
        );
        for bad in ["", "a b", "é", &"x".repeat(65)] {
            let error = StorageClass::parse(bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidStorageClass);
        }
    }
}
