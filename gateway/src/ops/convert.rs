//! Between the edge's types and the metadata's: attributes, checksums, conditions, ids.
//!
//! The edge's types are parsed and bounded, the metadata's are plain values. What is read back was
//! once written by this very file, so that a value that does not parse is a corrupt row and is
//! answered as `InternalError`, never guessed at.

use std::collections::BTreeMap;

use holdfast_metadata::command::{EtagSet, WriteCondition as StoredCondition};
use holdfast_metadata::model::{
    Attributes, StoredChecksum, UploadChecksum, Version, VersionId as StoredVersionId,
    VersionSelector, Versioning,
};
use uuid::Uuid;

use crate::ops::error::corrupt;
pub(super) use crate::ops::object_lock::stored_lock;
use crate::s3::error::S3Error;
use crate::s3::name::{ObjectKey, UploadId, VersionId};
use crate::s3::op::{
    Checksum, ChecksumAlgorithm, ChecksumType, ContentHeaders, ETag, ObjectAttributes,
    ObjectChecksum, StorageClass, TagSet, Tagged, UserMetadata, WriteCondition,
};

const CONTENT_TYPE: &str = "content-type";
const CACHE_CONTROL: &str = "cache-control";
const CONTENT_DISPOSITION: &str = "content-disposition";
const CONTENT_ENCODING: &str = "content-encoding";
const CONTENT_LANGUAGE: &str = "content-language";
const EXPIRES: &str = "expires";

/// What is kept with an object.
pub(super) fn stored_attributes(
    attributes: ObjectAttributes,
    checksum: Option<&ObjectChecksum>,
    class: Option<&StorageClass>,
) -> Attributes {
    let content = attributes.content;
    let headers: BTreeMap<String, String> = [
        (CONTENT_TYPE, content.content_type),
        (CACHE_CONTROL, content.cache_control),
        (CONTENT_DISPOSITION, content.content_disposition),
        (CONTENT_ENCODING, content.content_encoding),
        (CONTENT_LANGUAGE, content.content_language),
        (EXPIRES, content.expires),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect();
    let user = attributes
        .metadata
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Attributes {
        headers,
        user: user.collect(),
        tags: stored_tags(&attributes.tags),
        checksum: checksum.map(stored_checksum),
        storage_class: stored_class(class),
        encryption: None,
    }
}

/// A storage class as it is kept: `STANDARD` is the absence of one.
pub(super) fn stored_class(class: Option<&StorageClass>) -> Option<String> {
    class
        .filter(|class| !class.is_standard())
        .map(|class| class.as_str().to_owned())
}

/// What a client sees of what is kept with an object.
pub(super) fn object_attributes(stored: &Attributes) -> Result<ObjectAttributes, S3Error> {
    let header = |name: &str| stored.headers.get(name).cloned();
    let user = stored
        .user
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    Ok(ObjectAttributes {
        content: ContentHeaders {
            content_type: header(CONTENT_TYPE),
            cache_control: header(CACHE_CONTROL),
            content_disposition: header(CONTENT_DISPOSITION),
            content_encoding: header(CONTENT_ENCODING),
            content_language: header(CONTENT_LANGUAGE),
            expires: header(EXPIRES),
        },
        metadata: UserMetadata::new(user).map_err(corrupt)?,
        tags: tags(stored)?,
    })
}

/// Tags as they are kept.
pub(super) fn stored_tags(tags: &TagSet) -> BTreeMap<String, String> {
    tags.iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// An object's tags as they were kept.
pub(super) fn tags(stored: &Attributes) -> Result<TagSet, S3Error> {
    TagSet::new(stored.tags.clone(), Tagged::Object).map_err(corrupt)
}

/// The storage class that a client sees.
pub(super) fn storage_class(stored: Option<&str>) -> Result<StorageClass, S3Error> {
    stored.map_or_else(
        || Ok(StorageClass::standard()),
        |name| StorageClass::parse(name).map_err(corrupt),
    )
}

/// An object's checksum as it is kept.
pub(super) fn stored_checksum(checksum: &ObjectChecksum) -> StoredChecksum {
    StoredChecksum {
        algorithm: checksum.checksum.algorithm.as_str().to_owned(),
        value: checksum.text(),
        composite: checksum.kind == ChecksumType::Composite,
    }
}

/// An object's checksum as it was kept.
pub(super) fn object_checksum(stored: &StoredChecksum) -> Result<ObjectChecksum, S3Error> {
    ObjectChecksum::parse(algorithm(&stored.algorithm)?, &stored.value).map_err(corrupt)
}

/// A part's checksum as it was kept.
pub(super) fn part_checksum(stored: &StoredChecksum) -> Result<Checksum, S3Error> {
    object_checksum(stored).map(|checksum| checksum.checksum)
}

/// An object's checksum as a listing shows it.
pub(super) fn listed_checksum(
    stored: Option<&StoredChecksum>,
) -> Result<Option<(ChecksumAlgorithm, ChecksumType)>, S3Error> {
    stored
        .map(|stored| {
            Ok((
                algorithm(&stored.algorithm)?,
                checksum_type(stored.composite),
            ))
        })
        .transpose()
}

/// An upload's checksum as it is kept.
pub(super) fn stored_upload_checksum(
    (algorithm, kind): (ChecksumAlgorithm, ChecksumType),
) -> UploadChecksum {
    UploadChecksum {
        algorithm: algorithm.as_str().to_owned(),
        composite: kind == ChecksumType::Composite,
    }
}

/// An upload's checksum as it was kept.
pub(super) fn upload_checksum(
    stored: Option<&UploadChecksum>,
) -> Result<Option<(ChecksumAlgorithm, ChecksumType)>, S3Error> {
    stored
        .map(|stored| {
            Ok((
                algorithm(&stored.algorithm)?,
                checksum_type(stored.composite),
            ))
        })
        .transpose()
}

fn algorithm(name: &str) -> Result<ChecksumAlgorithm, S3Error> {
    ChecksumAlgorithm::from_name(name).ok_or_else(|| corrupt(UnknownName(name.to_owned())))
}

const fn checksum_type(composite: bool) -> ChecksumType {
    if composite {
        ChecksumType::Composite
    } else {
        ChecksumType::FullObject
    }
}

/// A write's condition as the metadata decides it.
pub(super) fn stored_condition(condition: &WriteCondition) -> StoredCondition {
    let none = StoredCondition::default();
    match condition {
        WriteCondition::Always => none,
        WriteCondition::IfAbsent => StoredCondition {
            if_none_match: Some(EtagSet::Any),
            ..none
        },
        WriteCondition::IfPresent => StoredCondition {
            if_match: Some(EtagSet::Any),
            ..none
        },
        WriteCondition::IfETag(etag) => StoredCondition {
            if_match: Some(EtagSet::OneOf(vec![etag.as_str().to_owned()])),
            ..none
        },
    }
}

/// Which version a request means.
///
/// # Errors
/// `InvalidArgument` for an id that this store never gives out.
pub(super) fn selector(version: Option<&VersionId>) -> Result<VersionSelector, S3Error> {
    version.map_or(Ok(VersionSelector::Current), |id| {
        stored_version_id(id).map(VersionSelector::Exact)
    })
}

/// A version's id as the metadata knows it.
///
/// # Errors
/// `InvalidArgument` for an id that this store never gives out.
pub(super) fn stored_version_id(id: &VersionId) -> Result<StoredVersionId, S3Error> {
    let hex_digits = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if id.is_null() || (id.as_str().len() == 32 && hex_digits(id.as_str())) {
        Ok(StoredVersionId(id.as_str().to_owned()))
    } else {
        Err(VersionId::invalid(id.as_str()))
    }
}

/// A version's id as the edge writes it.
pub(super) fn version_id(stored: &StoredVersionId) -> Result<VersionId, S3Error> {
    VersionId::parse(&stored.0).map_err(corrupt)
}

/// The same of one that may not be there.
pub(super) fn maybe_version_id(
    stored: Option<&StoredVersionId>,
) -> Result<Option<VersionId>, S3Error> {
    stored.map(version_id).transpose()
}

/// The id that is sent with a version: none where its bucket never had versions.
pub(super) fn shown_version_id(
    versioning: Versioning,
    version: &Version,
) -> Result<Option<VersionId>, S3Error> {
    match versioning {
        Versioning::Unversioned => Ok(None),
        Versioning::Enabled | Versioning::Suspended => version_id(&version.version_id).map(Some),
    }
}

/// A key as the edge writes it.
pub(super) fn object_key(stored: Vec<u8>) -> Result<ObjectKey, S3Error> {
    ObjectKey::parse(&text(stored)?).map_err(corrupt)
}

/// A key or prefix as text: it was UTF-8 when it came in, and prefixes end where a delimiter, which
/// is UTF-8 too, ends.
pub(super) fn text(stored: Vec<u8>) -> Result<String, S3Error> {
    String::from_utf8(stored).map_err(corrupt)
}

/// A tag as the edge writes it.
pub(super) fn etag(stored: &str) -> ETag {
    ETag::from_text(stored)
}

/// An upload's id as the metadata knows it.
///
/// # Errors
/// `NoSuchUpload` for an id that this store never gives out.
pub(super) fn upload_uuid(id: &UploadId) -> Result<Uuid, S3Error> {
    let parsed = Uuid::try_parse(id.as_str()).ok();
    // Only the canonical text is the id: a second spelling would be a second name.
    parsed
        .filter(|uuid| uuid.as_simple().to_string() == id.as_str())
        .ok_or_else(|| S3Error::no_such_upload(id))
}

/// An upload's id as the edge writes it.
pub(super) fn upload_id(uuid: Uuid) -> Result<UploadId, S3Error> {
    UploadId::parse(&uuid.as_simple().to_string()).map_err(corrupt)
}

/// A stored name that this binary does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no algorithm that is known")]
struct UnknownName(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    #[test]
    fn what_is_kept_with_an_object_comes_back() {
        let attributes = ObjectAttributes {
            content: ContentHeaders {
                content_type: Some("text/plain".to_owned()),
                expires: Some("whenever".to_owned()),
                ..ContentHeaders::default()
            },
            metadata: UserMetadata::new([("colour".to_owned(), "blue".to_owned())]).unwrap(),
            tags: TagSet::new([("k".to_owned(), "v".to_owned())], Tagged::Object).unwrap(),
        };
        let crc = Checksum::parse(ChecksumAlgorithm::Crc32, "AAAAAQ==").unwrap();
        let checksum = ObjectChecksum::composite(crc, 7);
        let class = StorageClass::parse("archive").unwrap();
        let stored = stored_attributes(attributes.clone(), Some(&checksum), Some(&class));

        assert_eq!(object_attributes(&stored).unwrap(), attributes);
        assert_eq!(
            object_checksum(stored.checksum.as_ref().unwrap()).unwrap(),
            checksum
        );
        assert_eq!(
            storage_class(stored.storage_class.as_deref()).unwrap(),
            class
        );
        assert_eq!(stored_class(Some(&StorageClass::standard())), None);
        assert_eq!(storage_class(None).unwrap(), StorageClass::standard());
    }

    #[test]
    fn only_ids_that_were_given_out_are_looked_up() {
        let given = ["null", "0123456789abcdef0123456789abcdef"];
        for text in given {
            let id = VersionId::parse(text).unwrap();
            assert_eq!(stored_version_id(&id).unwrap().0, text);
        }
        for text in [
            "NULL",
            "x",
            "0123456789ABCDEF0123456789ABCDEF",
            &"0".repeat(33),
        ] {
            let error = stored_version_id(&VersionId::parse(text).unwrap()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{text}");
        }
        let uuid = Uuid::now_v7();
        assert_eq!(upload_uuid(&upload_id(uuid).unwrap()).unwrap(), uuid);
        for text in [
            "x",
            &uuid.to_string(),
            &uuid.as_simple().to_string().to_uppercase(),
        ] {
            let error = upload_uuid(&UploadId::parse(text).unwrap()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::NoSuchUpload, "{text}");
        }
    }

    #[test]
    fn a_row_that_can_not_be_is_an_internal_error() {
        let checksum = StoredChecksum {
            algorithm: "MD4".to_owned(),
            value: "AAAAAQ==".to_owned(),
            composite: false,
        };
        assert_eq!(
            object_checksum(&checksum).unwrap_err().code(),
            ErrorCode::InternalError
        );
        assert_eq!(
            object_key(vec![0xFF]).unwrap_err().code(),
            ErrorCode::InternalError
        );
    }
}
