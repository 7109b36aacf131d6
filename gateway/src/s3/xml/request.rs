//! The four documents that clients send.

use super::reader::Element;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::{ObjectKey, PartNumber, VersionId};
use crate::s3::op::{
    Checksum, ChecksumAlgorithm, CompletedPart, DeleteObjectsInput, ETag, ETagCondition,
    ObjectToDelete, VersioningStatus, WriteCondition,
};
use crate::s3::parse::{Comparison, etag_condition};

/// The most bytes of a document that configures a bucket.
pub const MAX_CONFIGURATION_LEN: usize = 256 << 10;
/// The most bytes of a Delete or a CompleteMultipartUpload: 10,000 parts with checksums, or 1000
/// keys of 1024 bytes written as references, fit many times over.
pub const MAX_LIST_LEN: usize = 8 << 20;

/// The LocationConstraint of a CreateBucketConfiguration; no body at all is one without.
///
/// # Errors
/// `MalformedXML`; `NotImplemented` for directory buckets and tags.
pub fn create_bucket_configuration(body: &[u8]) -> Result<Option<String>, S3Error> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut root = Element::parse(body, "CreateBucketConfiguration")?;
    let location = root.take_text("LocationConstraint")?;
    for element in ["Bucket", "Location", "Tags"] {
        if root.take(element)?.is_some() {
            let message = "Directory buckets and bucket tags are not implemented";
            return Err(S3Error::not_implemented(message).with("Element", element));
        }
    }
    root.finish()?;
    Ok(location.filter(|location| !location.is_empty()))
}

/// The status of a VersioningConfiguration.
///
/// # Errors
/// `MalformedXML`; `IllegalVersioningConfigurationException` if there is no status;
/// `NotImplemented` for MFA delete.
pub fn versioning_configuration(body: &[u8]) -> Result<VersioningStatus, S3Error> {
    let mut root = Element::parse(body, "VersioningConfiguration")?;
    let status = root.take_text("Status")?;
    match root.take_text("MfaDelete")?.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled") => return Err(S3Error::not_implemented("MFA delete is not implemented")),
        Some(_) => return Err(S3Error::malformed_xml()),
    }
    root.finish()?;
    match status.as_deref() {
        Some("Enabled") => Ok(VersioningStatus::Enabled),
        Some("Suspended") => Ok(VersioningStatus::Suspended),
        Some(_) => Err(S3Error::malformed_xml()),
        None => Err(S3Error::new(
            ErrorCode::IllegalVersioningConfigurationException,
        )),
    }
}

/// The objects of a Delete, and whether it is quiet.
///
/// # Errors
/// `MalformedXML` for none or more than 1000 objects; `KeyTooLongError`, `InvalidArgument` for
/// what can be the name of nothing.
pub fn delete(body: &[u8]) -> Result<(Vec<ObjectToDelete>, bool), S3Error> {
    let mut root = Element::parse(body, "Delete")?;
    let quiet = match root.take_text("Quiet")?.as_deref() {
        None | Some("" | "false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => return Err(S3Error::malformed_xml()),
    };
    let objects = root.take_all("Object");
    root.finish()?;
    if objects.is_empty() || objects.len() > DeleteObjectsInput::MAX_OBJECTS {
        return Err(S3Error::malformed_xml());
    }
    let objects = objects
        .into_iter()
        .map(object_to_delete)
        .collect::<Result<_, _>>()?;
    Ok((objects, quiet))
}

fn object_to_delete(mut element: Element) -> Result<ObjectToDelete, S3Error> {
    let key = element.require_text("Key")?;
    if key.is_empty() {
        return Err(S3Error::malformed_xml());
    }
    let version_id = element
        .take_text("VersionId")?
        .filter(|version| !version.is_empty());
    let etag = element.take_text("ETag")?.filter(|etag| !etag.is_empty());
    for name in ["LastModifiedTime", "Size"] {
        if element.take(name)?.is_some() {
            let message = "Conditions on size and time are for directory buckets only";
            return Err(S3Error::not_implemented(message).with("Element", name));
        }
    }
    element.finish()?;
    let condition = match etag
        .map(|etag| etag_condition(&etag, Comparison::Strong))
        .transpose()?
    {
        None => WriteCondition::Always,
        Some(ETagCondition::Any) => WriteCondition::IfPresent,
        Some(ETagCondition::OneOf(tags)) => match <[ETag; 1]>::try_from(tags) {
            Ok([etag]) => WriteCondition::IfETag(etag),
            Err(_) => return Err(S3Error::malformed_xml()),
        },
    };
    Ok(ObjectToDelete {
        key: ObjectKey::parse(&key)?,
        version_id: version_id.as_deref().map(VersionId::parse).transpose()?,
        condition,
    })
}

/// The parts of a CompleteMultipartUpload, in rising order.
///
/// # Errors
/// `MalformedXML` for none or more than 10,000; `InvalidPartOrder`; `InvalidPart` for a number that
/// no part has.
pub fn complete_multipart_upload(body: &[u8]) -> Result<Vec<CompletedPart>, S3Error> {
    if body.is_empty() {
        return Err(S3Error::invalid_request(
            "You must specify at least one part",
        ));
    }
    let mut root = Element::parse(body, "CompleteMultipartUpload")?;
    let parts = root.take_all("Part");
    root.finish()?;
    if parts.is_empty() || parts.len() > usize::from(PartNumber::MAX) {
        return Err(S3Error::malformed_xml());
    }
    let parts: Vec<CompletedPart> = parts
        .into_iter()
        .map(completed_part)
        .collect::<Result<_, _>>()?;
    if parts
        .windows(2)
        .any(|pair| pair[0].part_number >= pair[1].part_number)
    {
        return Err(S3Error::new(ErrorCode::InvalidPartOrder));
    }
    Ok(parts)
}

fn completed_part(mut element: Element) -> Result<CompletedPart, S3Error> {
    let number = element.require_text("PartNumber")?;
    let etag = element.require_text("ETag")?;
    let mut checksum = None;
    for algorithm in ChecksumAlgorithm::ALL {
        if let Some(text) = element.take_text(algorithm.element())? {
            // One part has one checksum: a second would be left unverified.
            if checksum
                .replace(Checksum::parse(algorithm, &text)?)
                .is_some()
            {
                return Err(S3Error::malformed_xml());
            }
        }
    }
    element.finish()?;
    let number: u32 = number
        .trim()
        .parse()
        .map_err(|_| S3Error::malformed_xml())?;
    let part_number = PartNumber::new(number).ok_or_else(|| {
        let message = "PartNumber must be between 1 and 10000";
        S3Error::invalid_argument(message, "partNumber", &number.to_string())
    })?;
    Ok(CompletedPart {
        part_number,
        etag: ETag::from_text(&etag),
        checksum,
    })
}

#[cfg(test)]
mod tests;
