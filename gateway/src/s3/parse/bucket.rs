//! Operations on buckets.

use super::Request;
use crate::s3::encode;
use crate::s3::error::S3Error;
use crate::s3::header;
use crate::s3::op::{
    CreateBucketInput, DeleteBucketInput, GetBucketLocationInput, GetBucketVersioningInput,
    HeadBucketInput, ListBucketsInput, PutBucketVersioningInput,
};
use crate::s3::xml::request::{create_bucket_configuration, versioning_configuration};

/// The most buckets of one page: AWS's.
const MAX_BUCKETS: u32 = 10_000;

pub(super) fn list_buckets(request: &Request<'_>) -> Result<ListBucketsInput, S3Error> {
    let max_buckets = match request.parameter("max-buckets")? {
        Some(text) => Some(parse_max_buckets(text)?),
        None => None,
    };
    let after = match request.parameter("continuation-token")? {
        Some(token) => Some(decode_after(token)?),
        None => None,
    };
    Ok(ListBucketsInput {
        prefix: request.parameter("prefix")?.map(str::to_owned),
        after,
        max_buckets,
        region: request.parameter("bucket-region")?.map(str::to_owned),
    })
}

fn parse_max_buckets(text: &str) -> Result<u32, S3Error> {
    text.parse()
        .ok()
        .filter(|count| (1..=MAX_BUCKETS).contains(count))
        .ok_or_else(|| {
            let message = "Argument max-buckets must be an integer between 1 and 10000";
            S3Error::invalid_argument(message, "max-buckets", text)
        })
}

fn decode_after(token: &str) -> Result<String, S3Error> {
    String::from_utf8(encode::position(token)?.0).map_err(|_| {
        let message = "The continuation token provided is incorrect";
        S3Error::invalid_argument(message, "continuation-token", token)
    })
}

pub(super) fn create(request: &Request<'_>) -> Result<CreateBucketInput, S3Error> {
    Ok(CreateBucketInput {
        bucket: request.bucket()?,
        location_constraint: create_bucket_configuration(request.document)?,
        object_lock: request
            .headers
            .get(&header::BUCKET_OBJECT_LOCK_ENABLED)?
            .is_some_and(|text| text.eq_ignore_ascii_case("true")),
    })
}

pub(super) fn delete(request: &Request<'_>) -> Result<DeleteBucketInput, S3Error> {
    Ok(DeleteBucketInput {
        bucket: request.bucket()?,
    })
}

pub(super) fn head(request: &Request<'_>) -> Result<HeadBucketInput, S3Error> {
    Ok(HeadBucketInput {
        bucket: request.bucket()?,
    })
}

pub(super) fn location(request: &Request<'_>) -> Result<GetBucketLocationInput, S3Error> {
    Ok(GetBucketLocationInput {
        bucket: request.bucket()?,
    })
}

pub(super) fn put_versioning(request: &Request<'_>) -> Result<PutBucketVersioningInput, S3Error> {
    Ok(PutBucketVersioningInput {
        bucket: request.bucket()?,
        status: versioning_configuration(request.document)?,
    })
}

pub(super) fn get_versioning(request: &Request<'_>) -> Result<GetBucketVersioningInput, S3Error> {
    Ok(GetBucketVersioningInput {
        bucket: request.bucket()?,
    })
}
