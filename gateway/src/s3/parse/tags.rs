//! Tags: in `x-amz-tagging`, and in documents.

use super::Request;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::head::Headers;
use crate::s3::header;
use crate::s3::op::{
    ObjectTaggingInput, PutBucketTaggingInput, PutObjectTaggingInput, TagSet, Tagged,
    TaggingDirective,
};
use crate::s3::query::Query;
use crate::s3::xml::tags::tagging;

/// The tags of `x-amz-tagging`, which are written like a query.
pub(super) fn of_headers(headers: &Headers) -> Result<TagSet, S3Error> {
    let text = headers.get(&header::TAGGING)?.unwrap_or_default();
    let malformed = || {
        S3Error::invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
             parameters without tag name duplicates.",
            header::TAGGING.as_str(),
            text,
        )
    };
    let query = Query::parse(text).map_err(|_| malformed())?;
    let pairs: Vec<(String, String)> = query
        .iter()
        .filter(|(key, value)| !(key.is_empty() && value.is_empty()))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let twice = pairs
        .iter()
        .enumerate()
        .any(|(at, (key, _))| pairs[..at].iter().any(|(other, _)| other == key));
    if twice {
        return Err(malformed());
    }
    TagSet::new(pairs, Tagged::Object)
}

/// Which tags a copy carries. With COPY, which is the default, `x-amz-tagging` means nothing, as at
/// AWS.
pub(super) fn directive(headers: &Headers) -> Result<TaggingDirective, S3Error> {
    match headers.get(&header::TAGGING_DIRECTIVE)? {
        None | Some("COPY") => Ok(TaggingDirective::Copy),
        Some("REPLACE") => of_headers(headers).map(TaggingDirective::Replace),
        Some(other) => Err(S3Error::message(
            ErrorCode::InvalidArgument,
            "Unknown tagging directive.",
        )
        .with("ArgumentName", header::TAGGING_DIRECTIVE.as_str())
        .with("ArgumentValue", other)),
    }
}

pub(super) fn of_object(request: &Request<'_>) -> Result<ObjectTaggingInput, S3Error> {
    Ok(ObjectTaggingInput {
        bucket: request.bucket()?,
        key: request.key()?,
        version_id: request.version_id()?,
    })
}

pub(super) fn put_object(request: &Request<'_>) -> Result<PutObjectTaggingInput, S3Error> {
    Ok(PutObjectTaggingInput {
        object: of_object(request)?,
        tags: tagging(request.document, Tagged::Object)?,
    })
}

pub(super) fn put_bucket(request: &Request<'_>) -> Result<PutBucketTaggingInput, S3Error> {
    Ok(PutBucketTaggingInput {
        bucket: request.bucket()?,
        tags: tagging(request.document, Tagged::Bucket)?,
    })
}
