//! Operations on objects.

use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
    IF_RANGE, RANGE,
};

use super::claims::{algorithm, body_claims};
use super::{Request, conditions, encryption, object_lock, tags};
use crate::s3::encode::decode_path;
use crate::s3::error::S3Error;
use crate::s3::head::Headers;
use crate::s3::header;
use crate::s3::name::{BucketName, ObjectKey, PartNumber, VersionId};
use crate::s3::op::{
    ByteRange, ChecksumMode, ContentHeaders, CopyObjectInput, CopySource, DeleteObjectInput,
    DeleteObjectsInput, GetObjectInput, MetadataDirective, ObjectAttributes, PutObjectInput,
    ResponseOverrides, Select, StorageClass, TagSet, UserMetadata, WriteCondition, WriteEncryption,
};
use crate::s3::xml::request;

pub(super) fn put(request: &Request<'_>) -> Result<PutObjectInput, S3Error> {
    Ok(PutObjectInput {
        bucket: request.bucket()?,
        key: request.key()?,
        attributes: tagged_attributes(request.headers)?,
        storage_class: storage_class(request.headers)?,
        condition: conditions::publish(request.headers)?,
        claims: body_claims(request.headers)?,
        lock: object_lock::of_headers(request.headers)?,
        encryption: encryption::of_write(request.headers)?,
    })
}

/// What a form puts, whose fields count as headers.
pub(super) fn of_form(
    bucket: BucketName,
    key: ObjectKey,
    headers: &Headers,
) -> Result<PutObjectInput, S3Error> {
    Ok(PutObjectInput {
        bucket,
        key,
        attributes: tagged_attributes(headers)?,
        storage_class: storage_class(headers)?,
        condition: WriteCondition::Always,
        claims: body_claims(headers)?,
        lock: object_lock::of_headers(headers)?,
        encryption: encryption::of_write(headers)?,
    })
}

/// Content headers, user metadata and tags.
pub(super) fn tagged_attributes(headers: &Headers) -> Result<ObjectAttributes, S3Error> {
    Ok(ObjectAttributes {
        tags: tags::of_headers(headers)?,
        ..attributes(headers)?
    })
}

/// Content headers and user metadata.
fn attributes(headers: &Headers) -> Result<ObjectAttributes, S3Error> {
    let text = |name: &HeaderName| Ok::<_, S3Error>(headers.get(name)?.map(str::to_owned));
    Ok(ObjectAttributes {
        content: ContentHeaders {
            content_type: text(&CONTENT_TYPE)?.filter(|text| !text.is_empty()),
            cache_control: headers.joined(&CACHE_CONTROL)?,
            content_disposition: text(&CONTENT_DISPOSITION)?,
            content_encoding: content_encoding(headers)?,
            content_language: headers.joined(&CONTENT_LANGUAGE)?,
            expires: text(&EXPIRES)?,
        },
        metadata: UserMetadata::new(headers.with_prefix(header::USER_METADATA_PREFIX)?)?,
        tags: TagSet::default(),
    })
}

/// `aws-chunked` says how the body was sent, not what it is.
fn content_encoding(headers: &Headers) -> Result<Option<String>, S3Error> {
    let Some(text) = headers.joined(&CONTENT_ENCODING)? else {
        return Ok(None);
    };
    let kept: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    Ok((!kept.is_empty()).then(|| kept.join(",")))
}

pub(super) fn storage_class(headers: &Headers) -> Result<Option<StorageClass>, S3Error> {
    headers
        .get(&header::STORAGE_CLASS)?
        .map(StorageClass::parse)
        .transpose()
}

pub(super) fn get(request: &Request<'_>) -> Result<GetObjectInput, S3Error> {
    let checksum_mode = match request.headers.get(&header::CHECKSUM_MODE)? {
        Some(text) if text.eq_ignore_ascii_case("ENABLED") => ChecksumMode::Enabled,
        _ => ChecksumMode::Disabled,
    };
    Ok(GetObjectInput {
        bucket: request.bucket()?,
        key: request.key()?,
        version_id: request.version_id()?,
        select: select(request)?,
        conditions: conditions::read(request.headers)?,
        overrides: overrides(request)?,
        checksum_mode,
        customer_key: encryption::customer_key(request.headers)?,
    })
}

fn select(request: &Request<'_>) -> Result<Select, S3Error> {
    let part = request
        .query
        .get("partNumber")?
        .map(PartNumber::parse)
        .transpose()?;
    let range = request.headers.get(&RANGE)?;
    match (part, range) {
        (Some(_), Some(_)) => Err(S3Error::invalid_request(
            "Cannot specify both Range header and partNumber query parameter",
        )),
        (Some(part), None) => Ok(Select::Part(part)),
        // A range that depends on If-Range may always be answered with all: it is not evaluated.
        (None, Some(text)) if request.headers.get(&IF_RANGE)?.is_none() => {
            Ok(ByteRange::parse(text).map_or(Select::All, Select::Range))
        }
        _ => Ok(Select::All),
    }
}

fn overrides(request: &Request<'_>) -> Result<ResponseOverrides, S3Error> {
    let value = |name: &str| {
        let Some(text) = request.parameter(name)? else {
            return Ok(None);
        };
        // A line's end in it would let whoever makes links write headers of their own.
        if text
            .chars()
            .any(|character| character.is_control() && character != '\t')
        {
            return Err(S3Error::invalid_argument(
                "Header value cannot be represented",
                name,
                "",
            ));
        }
        Ok(Some(text.to_owned()))
    };
    Ok(ResponseOverrides {
        content_type: value("response-content-type")?,
        cache_control: value("response-cache-control")?,
        content_disposition: value("response-content-disposition")?,
        content_encoding: value("response-content-encoding")?,
        content_language: value("response-content-language")?,
        expires: value("response-expires")?,
    })
}

pub(super) fn delete(request: &Request<'_>) -> Result<DeleteObjectInput, S3Error> {
    Ok(DeleteObjectInput {
        bucket: request.bucket()?,
        key: request.key()?,
        version_id: request.version_id()?,
        condition: conditions::delete(request.headers)?,
        bypass: object_lock::bypass(request.headers)?,
    })
}

pub(super) fn delete_many(request: &Request<'_>) -> Result<DeleteObjectsInput, S3Error> {
    let (objects, quiet) = request::delete(request.document)?;
    Ok(DeleteObjectsInput {
        bucket: request.bucket()?,
        objects,
        quiet,
        bypass: object_lock::bypass(request.headers)?,
    })
}

pub(super) fn copy(request: &Request<'_>) -> Result<CopyObjectInput, S3Error> {
    let headers = request.headers;
    let input = CopyObjectInput {
        source: copy_source(headers)?,
        source_conditions: conditions::copy_source(headers)?,
        bucket: request.bucket()?,
        key: request.key()?,
        metadata: directive(headers)?,
        tagging: tags::directive(headers)?,
        storage_class: storage_class(headers)?,
        checksum_algorithm: match headers.get(&header::CHECKSUM_ALGORITHM)? {
            Some(text) => Some(algorithm(header::CHECKSUM_ALGORITHM.as_str(), text)?),
            None => None,
        },
        condition: conditions::publish(headers)?,
        lock: object_lock::of_headers(headers)?,
        source_key: encryption::source_key(headers)?,
        encryption: encryption::of_write(headers)?,
    };
    if changes_nothing(&input) {
        return Err(S3Error::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself \
             without changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        ));
    }
    Ok(input)
}

fn changes_nothing(input: &CopyObjectInput) -> bool {
    input.source.bucket == input.bucket
        && input.source.key == input.key
        && input.source.version_id.is_none()
        && input.metadata == MetadataDirective::Copy
        && input.storage_class.is_none()
        && input.checksum_algorithm.is_none()
        && input.encryption == WriteEncryption::BucketDefault
}

fn directive(headers: &Headers) -> Result<MetadataDirective, S3Error> {
    match headers.get(&header::METADATA_DIRECTIVE)? {
        None | Some("COPY") => Ok(MetadataDirective::Copy),
        Some("REPLACE") => Ok(MetadataDirective::Replace(attributes(headers)?)),
        Some(other) => Err(S3Error::invalid_argument(
            "Unknown metadata directive.",
            header::METADATA_DIRECTIVE.as_str(),
            other,
        )),
    }
}

/// `/bucket/key?versionId=id`, encoded, with or without the leading slash. What follows the last
/// literal `?versionId=` is the version; an encoded `?` belongs to the key.
pub(super) fn copy_source(headers: &Headers) -> Result<CopySource, S3Error> {
    let text = headers.get(&header::COPY_SOURCE)?.unwrap_or_default();
    let invalid = |message: &'static str| {
        S3Error::invalid_argument(message, header::COPY_SOURCE.as_str(), text)
    };
    let path = text.strip_prefix('/').unwrap_or(text);
    if path.starts_with("arn:") {
        return Err(S3Error::not_implemented(
            "Access points are not implemented",
        ));
    }
    let (path, version) = match path.rsplit_once("?versionId=") {
        Some((path, version)) => (path, Some(decode_path(version)?)),
        None => (path, None),
    };
    // Some clients encode the whole path, the slash between bucket and key too.
    let path = decode_path(path)?;
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    if bucket.is_empty() || key.is_empty() {
        return Err(invalid("Invalid copy source object key"));
    }
    Ok(CopySource {
        bucket: BucketName::parse(bucket)
            .map_err(|_| invalid("Invalid copy source bucket name"))?,
        key: ObjectKey::parse(key)?,
        version_id: version.as_deref().map(VersionId::parse).transpose()?,
    })
}
