//! Listings.

use super::Request;
use crate::s3::encode;
use crate::s3::error::S3Error;
use crate::s3::name::{UploadId, VersionId};
use crate::s3::op::{
    Encoding, ListFilter, ListMultipartUploadsInput, ListObjectVersionsInput, ListObjectsInput,
    ListObjectsV2Input, MAX_KEYS,
};

fn filter(request: &Request<'_>, count: &str) -> Result<ListFilter, S3Error> {
    Ok(ListFilter {
        prefix: text(request, "prefix")?,
        delimiter: request.parameter("delimiter")?.map(str::to_owned),
        max_keys: request.count(count, MAX_KEYS)?,
        encoding: encoding(request)?,
    })
}

fn text(request: &Request<'_>, name: &str) -> Result<String, S3Error> {
    Ok(request.query.get(name)?.unwrap_or_default().to_owned())
}

fn encoding(request: &Request<'_>) -> Result<Encoding, S3Error> {
    match request.parameter("encoding-type")? {
        None => Ok(Encoding::Plain),
        Some("url") => Ok(Encoding::Url),
        Some(other) => Err(S3Error::invalid_argument(
            "Invalid Encoding Method specified in Request",
            "encoding-type",
            other,
        )),
    }
}

pub(super) fn objects(request: &Request<'_>) -> Result<ListObjectsInput, S3Error> {
    Ok(ListObjectsInput {
        bucket: request.bucket()?,
        filter: filter(request, "max-keys")?,
        marker: text(request, "marker")?,
    })
}

pub(super) fn objects_v2(request: &Request<'_>) -> Result<ListObjectsV2Input, S3Error> {
    let token = request.query.get("continuation-token")?;
    Ok(ListObjectsV2Input {
        bucket: request.bucket()?,
        filter: filter(request, "max-keys")?,
        start_after: text(request, "start-after")?,
        continuation: token.map(encode::position).transpose()?,
        continuation_token: token.map(str::to_owned),
        fetch_owner: request.query.get("fetch-owner")? == Some("true"),
    })
}

pub(super) fn versions(request: &Request<'_>) -> Result<ListObjectVersionsInput, S3Error> {
    let key_marker = text(request, "key-marker")?;
    let version_id_marker = request.parameter("version-id-marker")?;
    if let (Some(version), true) = (version_id_marker, key_marker.is_empty()) {
        let message = "A version-id marker cannot be specified without a key marker.";
        return Err(S3Error::invalid_argument(
            message,
            "version-id-marker",
            version,
        ));
    }
    Ok(ListObjectVersionsInput {
        bucket: request.bucket()?,
        filter: filter(request, "max-keys")?,
        key_marker,
        version_id_marker: version_id_marker.map(VersionId::parse).transpose()?,
    })
}

pub(super) fn uploads(request: &Request<'_>) -> Result<ListMultipartUploadsInput, S3Error> {
    let key_marker = text(request, "key-marker")?;
    // Without a key's marker AWS ignores it.
    let upload_id_marker = request
        .parameter("upload-id-marker")?
        .filter(|_| !key_marker.is_empty());
    Ok(ListMultipartUploadsInput {
        bucket: request.bucket()?,
        filter: filter(request, "max-uploads")?,
        upload_id_marker: upload_id_marker
            .map(|text| {
                UploadId::parse(text).map_err(|_| {
                    let message = "Invalid uploadId marker";
                    S3Error::invalid_argument(message, "upload-id-marker", text)
                })
            })
            .transpose()?,
        key_marker,
    })
}
