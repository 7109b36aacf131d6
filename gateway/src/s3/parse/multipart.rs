//! Operations on multipart uploads.

use super::claims::{algorithm, body_claims, several};
use super::object::{copy_source, storage_class, tagged_attributes};
use super::{Request, conditions, encryption, object_lock};
use crate::s3::error::S3Error;
use crate::s3::header;
use crate::s3::name::{PartNumber, UploadId};
use crate::s3::op::{
    AbortMultipartUploadInput, ByteRange, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CreateMultipartUploadInput, ListPartsInput, MAX_KEYS,
    ObjectChecksum, UploadPartCopyInput, UploadPartInput,
};
use crate::s3::xml::request::complete_multipart_upload;

pub(super) fn create(request: &Request<'_>) -> Result<CreateMultipartUploadInput, S3Error> {
    Ok(CreateMultipartUploadInput {
        bucket: request.bucket()?,
        key: request.key()?,
        attributes: tagged_attributes(request.headers)?,
        storage_class: storage_class(request.headers)?,
        checksum: checksum(request)?,
        lock: object_lock::of_headers(request.headers)?,
        encryption: encryption::of_write(request.headers)?,
    })
}

fn checksum(request: &Request<'_>) -> Result<Option<(ChecksumAlgorithm, ChecksumType)>, S3Error> {
    let name = header::CHECKSUM_ALGORITHM;
    let algorithm = match request.headers.get(&name)?.filter(|text| !text.is_empty()) {
        Some(text) => Some(algorithm(name.as_str(), text)?),
        None => None,
    };
    match (algorithm, checksum_type(request)?) {
        (None, None) => Ok(None),
        (Some(algorithm), None) => Ok(Some((algorithm, algorithm.default_type()))),
        (Some(algorithm), Some(kind)) if algorithm.allows(kind) => Ok(Some((algorithm, kind))),
        (Some(algorithm), Some(kind)) => Err(S3Error::invalid_request(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.as_str(),
            algorithm.as_str().to_ascii_lowercase(),
        ))),
        (None, Some(_)) => Err(S3Error::invalid_request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm \
             header.",
        )),
    }
}

fn checksum_type(request: &Request<'_>) -> Result<Option<ChecksumType>, S3Error> {
    let Some(text) = request.headers.get(&header::CHECKSUM_TYPE)? else {
        return Ok(None);
    };
    ChecksumType::from_name(text)
        .map(Some)
        .ok_or_else(|| S3Error::invalid_request("Value for x-amz-checksum-type header is invalid."))
}

fn upload_id(request: &Request<'_>) -> Result<UploadId, S3Error> {
    UploadId::parse(request.query.get("uploadId")?.unwrap_or_default())
}

pub(super) fn upload_part(request: &Request<'_>) -> Result<UploadPartInput, S3Error> {
    Ok(UploadPartInput {
        bucket: request.bucket()?,
        key: request.key()?,
        upload_id: upload_id(request)?,
        part_number: PartNumber::parse(request.query.get("partNumber")?.unwrap_or_default())?,
        claims: body_claims(request.headers)?,
        customer_key: encryption::customer_key(request.headers)?,
    })
}

pub(super) fn upload_part_copy(request: &Request<'_>) -> Result<UploadPartCopyInput, S3Error> {
    Ok(UploadPartCopyInput {
        source: copy_source(request.headers)?,
        source_conditions: conditions::copy_source(request.headers)?,
        source_range: source_range(request)?,
        bucket: request.bucket()?,
        key: request.key()?,
        upload_id: upload_id(request)?,
        part_number: PartNumber::parse(request.query.get("partNumber")?.unwrap_or_default())?,
        source_key: encryption::source_key(request.headers)?,
        customer_key: encryption::customer_key(request.headers)?,
    })
}

/// Unlike the range of a read, one that can't be read is refused, and it needs both its ends.
fn source_range(request: &Request<'_>) -> Result<Option<(u64, u64)>, S3Error> {
    let name = header::COPY_SOURCE_RANGE;
    let Some(text) = request.headers.get(&name)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match ByteRange::parse(text) {
        Some(ByteRange::FromTo { first, last }) => Ok(Some((first, last))),
        _ => Err(S3Error::invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
            name.as_str(),
            text,
        )),
    }
}

pub(super) fn list_parts(request: &Request<'_>) -> Result<ListPartsInput, S3Error> {
    let marker = match request.parameter("part-number-marker")? {
        Some(text) => super::count("part-number-marker", text)?,
        None => 0,
    };
    Ok(ListPartsInput {
        bucket: request.bucket()?,
        key: request.key()?,
        upload_id: upload_id(request)?,
        max_parts: request.count("max-parts", MAX_KEYS)?,
        part_number_marker: marker,
    })
}

pub(super) fn complete(request: &Request<'_>) -> Result<CompleteMultipartUploadInput, S3Error> {
    Ok(CompleteMultipartUploadInput {
        bucket: request.bucket()?,
        key: request.key()?,
        upload_id: upload_id(request)?,
        parts: complete_multipart_upload(request.document)?,
        condition: conditions::publish(request.headers)?,
        checksum: object_checksum(request)?,
        checksum_type: checksum_type(request)?,
        object_len: object_len(request)?,
        customer_key: encryption::customer_key(request.headers)?,
    })
}

/// The object's checksum: here `x-amz-checksum-*` is not that of the body, which is XML.
fn object_checksum(request: &Request<'_>) -> Result<Option<ObjectChecksum>, S3Error> {
    let mut found = None;
    for algorithm in ChecksumAlgorithm::ALL {
        if let Some(text) = request.headers.get(&algorithm.header())?
            && found
                .replace(ObjectChecksum::parse(algorithm, text)?)
                .is_some()
        {
            return Err(several());
        }
    }
    Ok(found)
}

fn object_len(request: &Request<'_>) -> Result<Option<u64>, S3Error> {
    let Some(text) = request.headers.get(&header::MP_OBJECT_SIZE)? else {
        return Ok(None);
    };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .map(Some)
        .ok_or_else(|| {
            S3Error::invalid_request("Value for x-amz-mp-object-size header is invalid.")
        })
}

pub(super) fn abort(request: &Request<'_>) -> Result<AbortMultipartUploadInput, S3Error> {
    Ok(AbortMultipartUploadInput {
        bucket: request.bucket()?,
        key: request.key()?,
        upload_id: upload_id(request)?,
    })
}
