//! Tags: names and values that a client gives to an object or a bucket.
//!
//! The limits are AWS's, counted in characters. A set is kept in the order of its keys.

use std::collections::BTreeMap;

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::{BucketName, ObjectKey, VersionId};

/// What a set of tags is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    /// An object: at most 10 tags.
    Object,
    /// A bucket: at most 50.
    Bucket,
}

/// Tags by key: none twice, none longer than allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagSet(BTreeMap<String, String>);

impl TagSet {
    /// The most tags of an object.
    pub const MAX_OF_OBJECT: usize = 10;
    /// The most tags of a bucket.
    pub const MAX_OF_BUCKET: usize = 50;
    /// The longest key, in characters.
    pub const MAX_KEY_CHARS: usize = 128;
    /// The longest value, in characters.
    pub const MAX_VALUE_CHARS: usize = 256;

    /// Takes keys and values.
    ///
    /// # Errors
    /// `InvalidTag` for a key or value that is too long or has a character that is not allowed, for
    /// a key given twice, and for keys that are AWS's own; `BadRequest` for too many.
    pub fn new(
        pairs: impl IntoIterator<Item = (String, String)>,
        of: Tagged,
    ) -> Result<Self, S3Error> {
        let mut tags = BTreeMap::new();
        for (key, value) in pairs {
            check(&key, &value)?;
            if tags.insert(key.clone(), value).is_some() {
                let message = "Cannot provide multiple Tags with the same key";
                return Err(S3Error::message(ErrorCode::InvalidTag, message).with("TagKey", key));
            }
        }
        let (most, message) = match of {
            Tagged::Object => (Self::MAX_OF_OBJECT, "Object tags cannot be greater than 10"),
            Tagged::Bucket => (
                Self::MAX_OF_BUCKET,
                "Bucket tag count cannot be greater than 50",
            ),
        };
        if tags.len() > most {
            return Err(S3Error::message(ErrorCode::BadRequest, message));
        }
        Ok(Self(tags))
    }

    /// Keys and values, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check(key: &str, value: &str) -> Result<(), S3Error> {
    let invalid = |message: &'static str| {
        S3Error::message(ErrorCode::InvalidTag, message).with("TagKey", key)
    };
    let len = key.chars().count();
    if len == 0 || len > TagSet::MAX_KEY_CHARS || !key.chars().all(is_allowed) {
        return Err(invalid("The TagKey you have provided is invalid"));
    }
    if value.chars().count() > TagSet::MAX_VALUE_CHARS || !value.chars().all(is_allowed) {
        return Err(invalid("The TagValue you have provided is invalid"));
    }
    if key
        .get(..4)
        .is_some_and(|begin| begin.eq_ignore_ascii_case("aws:"))
    {
        return Err(invalid("System tags cannot be added/updated by requester"));
    }
    Ok(())
}

/// Letters, digits and spaces of any script, and `+ - = . _ : / @`.
fn is_allowed(character: char) -> bool {
    character.is_alphanumeric()
        || (character.is_whitespace() && !character.is_control())
        || "+-=._:/@".contains(character)
}

/// What a copy's tags are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TaggingDirective {
    /// The source's.
    #[default]
    Copy,
    /// These.
    Replace(TagSet),
}

/// GetObjectTagging and DeleteObjectTagging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTaggingInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// A version, or the current one.
    pub version_id: Option<VersionId>,
}

/// PutObjectTagging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObjectTaggingInput {
    /// The object.
    pub object: ObjectTaggingInput,
    /// All its tags from now on.
    pub tags: TagSet,
}

/// What GetObjectTagging, PutObjectTagging and DeleteObjectTagging answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTaggingOutput {
    /// The version, where the bucket has versions.
    pub version_id: Option<VersionId>,
    /// Its tags now.
    pub tags: TagSet,
}

/// PutBucketTagging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBucketTaggingInput {
    /// The bucket.
    pub bucket: BucketName,
    /// All its tags from now on.
    pub tags: TagSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    fn numbered(count: usize) -> Vec<(String, String)> {
        (0..count).map(|n| pair(&format!("k{n}"), "")).collect()
    }

    #[test]
    fn each_limit_holds_one_below_and_not_one_above() {
        let one = |key: &str, value: &str| TagSet::new([pair(key, value)], Tagged::Object);
        assert!(one(&"é".repeat(128), &"é".repeat(256)).is_ok());
        assert!(one("a+-=._:/@ b\u{a0}1", "").is_ok());
        for (key, value, message) in [
            (
                "k".repeat(129),
                String::new(),
                "The TagKey you have provided is invalid",
            ),
            (
                String::new(),
                String::new(),
                "The TagKey you have provided is invalid",
            ),
            (
                "a\nb".to_owned(),
                String::new(),
                "The TagKey you have provided is invalid",
            ),
            (
                "a&b".to_owned(),
                String::new(),
                "The TagKey you have provided is invalid",
            ),
            (
                "k".to_owned(),
                "v".repeat(257),
                "The TagValue you have provided is invalid",
            ),
            (
                "k".to_owned(),
                "<v>".to_owned(),
                "The TagValue you have provided is invalid",
            ),
            (
                "aws:k".to_owned(),
                String::new(),
                "System tags cannot be added/updated by requester",
            ),
            (
                "AWS:k".to_owned(),
                String::new(),
                "System tags cannot be added/updated by requester",
            ),
        ] {
            let error = one(&key, &value).unwrap_err();
            assert_eq!(
                (error.code(), error.text()),
                (ErrorCode::InvalidTag, message),
                "{key}"
            );
        }
        let twice = TagSet::new([pair("k", "1"), pair("k", "2")], Tagged::Object).unwrap_err();
        assert_eq!(
            twice.text(),
            "Cannot provide multiple Tags with the same key"
        );
        for (of, most) in [(Tagged::Object, 10), (Tagged::Bucket, 50)] {
            assert_eq!(TagSet::new(numbered(most), of).unwrap().len(), most);
            let error = TagSet::new(numbered(most + 1), of).unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadRequest);
        }
    }
}
