//! From a routed request (its headers, its query and, where it has one, its XML) to an operation.
//!
//! Everything that can be refused without looking into the store is refused here, in AWS's words.

mod bucket;
mod claims;
mod conditions;
mod configuration;
mod encryption;
mod list;
mod multipart;
mod object;
mod object_attributes;
mod object_lock;
mod tags;

use super::address::Target;
use super::error::S3Error;
use super::head::Headers;
use super::header;
use super::name::{BucketName, ObjectKey, VersionId};
use super::op::{BucketInput, CorsConfiguration, Operation, OperationKind, PutObjectInput};
use super::query::Query;
use super::route::Route;
use super::xml::request::{MAX_CONFIGURATION_LEN, MAX_LIST_LEN};

pub use claims::{body_claims, document_claims};
pub use conditions::{Comparison, etag_condition};
pub use object_lock::has_digest;

/// What an operation's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyUse {
    /// Not looked at.
    None,
    /// The bytes of an object or a part: streamed.
    Object,
    /// A document: read whole, at most so many bytes.
    Document {
        /// The most bytes.
        max_len: usize,
    },
}

/// What the body of an operation is.
#[must_use]
pub const fn body_use(kind: OperationKind) -> BodyUse {
    match kind {
        OperationKind::PutObject | OperationKind::UploadPart => BodyUse::Object,
        OperationKind::CreateBucket
        | OperationKind::PutBucketVersioning
        | OperationKind::PutObjectTagging
        | OperationKind::PutBucketTagging
        | OperationKind::PutBucketAcl
        | OperationKind::PutObjectAcl
        | OperationKind::PutObjectLockConfiguration
        | OperationKind::PutObjectRetention
        | OperationKind::PutObjectLegalHold
        | OperationKind::PutBucketEncryption
        | OperationKind::PutBucketNotificationConfiguration
        | OperationKind::PutBucketLifecycleConfiguration
        | OperationKind::PutBucketOwnershipControls => BodyUse::Document {
            max_len: MAX_CONFIGURATION_LEN,
        },
        OperationKind::PutBucketCors => BodyUse::Document {
            max_len: CorsConfiguration::MAX_DOCUMENT_LEN,
        },
        OperationKind::DeleteObjects | OperationKind::CompleteMultipartUpload => {
            BodyUse::Document {
                max_len: MAX_LIST_LEN,
            }
        }
        _ => BodyUse::None,
    }
}

/// A routed request that is being parsed.
struct Request<'r> {
    target: &'r Target,
    query: &'r Query,
    headers: &'r Headers,
    document: &'r [u8],
}

/// Parses a routed request. `document`: the body where [`body_use`] says that it is one, else empty.
///
/// # Errors
/// What is wrong with it, in AWS's codes.
pub fn operation(route: &Route, headers: &Headers, document: &[u8]) -> Result<Operation, S3Error> {
    let request = Request {
        target: &route.target,
        query: &route.query,
        headers,
        document,
    };
    let r = &request;
    if !takes_a_version(route.kind) && r.query.has("versionId") {
        let message = "This operation does not accept a version-id.";
        let version = r.query.get("versionId")?.unwrap_or_default();
        return Err(S3Error::invalid_argument(message, "versionId", version));
    }
    check_headers(route.kind, headers)?;
    Ok(match route.kind {
        OperationKind::ListBuckets => Operation::ListBuckets(bucket::list_buckets(r)?),
        OperationKind::CreateBucket => Operation::CreateBucket(bucket::create(r)?),
        OperationKind::DeleteBucket => Operation::DeleteBucket(bucket::delete(r)?),
        OperationKind::HeadBucket => Operation::HeadBucket(bucket::head(r)?),
        OperationKind::GetBucketLocation => Operation::GetBucketLocation(bucket::location(r)?),
        OperationKind::PutBucketVersioning => {
            Operation::PutBucketVersioning(bucket::put_versioning(r)?)
        }
        OperationKind::GetBucketVersioning => {
            Operation::GetBucketVersioning(bucket::get_versioning(r)?)
        }
        OperationKind::PutObject => Operation::PutObject(object::put(r)?),
        OperationKind::GetObject => Operation::GetObject(object::get(r)?),
        OperationKind::HeadObject => Operation::HeadObject(object::get(r)?),
        OperationKind::DeleteObject => Operation::DeleteObject(object::delete(r)?),
        OperationKind::DeleteObjects => Operation::DeleteObjects(object::delete_many(r)?),
        OperationKind::CopyObject => Operation::CopyObject(object::copy(r)?),
        OperationKind::ListObjects => Operation::ListObjects(list::objects(r)?),
        OperationKind::ListObjectsV2 => Operation::ListObjectsV2(list::objects_v2(r)?),
        OperationKind::ListObjectVersions => Operation::ListObjectVersions(list::versions(r)?),
        OperationKind::ListMultipartUploads => Operation::ListMultipartUploads(list::uploads(r)?),
        OperationKind::CreateMultipartUpload => {
            Operation::CreateMultipartUpload(multipart::create(r)?)
        }
        OperationKind::UploadPart => Operation::UploadPart(multipart::upload_part(r)?),
        OperationKind::ListParts => Operation::ListParts(multipart::list_parts(r)?),
        OperationKind::CompleteMultipartUpload => {
            Operation::CompleteMultipartUpload(multipart::complete(r)?)
        }
        OperationKind::AbortMultipartUpload => {
            Operation::AbortMultipartUpload(multipart::abort(r)?)
        }
        OperationKind::UploadPartCopy => Operation::UploadPartCopy(multipart::upload_part_copy(r)?),
        OperationKind::GetObjectAttributes => {
            Operation::GetObjectAttributes(object_attributes::get(r)?)
        }
        OperationKind::PutObjectTagging => Operation::PutObjectTagging(tags::put_object(r)?),
        OperationKind::GetObjectTagging => Operation::GetObjectTagging(tags::of_object(r)?),
        OperationKind::DeleteObjectTagging => Operation::DeleteObjectTagging(tags::of_object(r)?),
        OperationKind::PutBucketTagging => Operation::PutBucketTagging(tags::put_bucket(r)?),
        OperationKind::PutObjectLockConfiguration => {
            Operation::PutObjectLockConfiguration(object_lock::put_configuration(r)?)
        }
        OperationKind::PutObjectRetention => {
            Operation::PutObjectRetention(object_lock::put_retention(r)?)
        }
        OperationKind::GetObjectRetention => {
            Operation::GetObjectRetention(object_lock::of_object(r)?)
        }
        OperationKind::PutObjectLegalHold => {
            Operation::PutObjectLegalHold(object_lock::put_legal_hold(r)?)
        }
        OperationKind::GetObjectLegalHold => {
            Operation::GetObjectLegalHold(object_lock::of_object(r)?)
        }
        OperationKind::PutBucketCors => Operation::PutBucketCors(configuration::put_cors(r)?),
        OperationKind::PutBucketNotificationConfiguration => {
            Operation::PutBucketNotificationConfiguration(configuration::put_notification(r)?)
        }
        OperationKind::PutBucketLifecycleConfiguration => {
            Operation::PutBucketLifecycleConfiguration(configuration::put_lifecycle(r)?)
        }
        OperationKind::GetObjectAcl => Operation::GetObjectAcl(configuration::object_acl(r)?),
        OperationKind::PutObjectAcl => Operation::PutObjectAcl(configuration::object_acl(r)?),
        OperationKind::PutBucketEncryption => {
            Operation::PutBucketEncryption(configuration::put_encryption(r)?)
        }
        OperationKind::PutBucketOwnershipControls => {
            Operation::PutBucketOwnershipControls(configuration::put_ownership(r)?)
        }
        kind => of_bucket(kind, configuration::of_bucket(r)?)?,
    })
}

/// The operations that need to know their bucket and nothing more.
fn of_bucket(kind: OperationKind, bucket: BucketInput) -> Result<Operation, S3Error> {
    Ok(match kind {
        OperationKind::GetBucketTagging => Operation::GetBucketTagging(bucket),
        OperationKind::DeleteBucketTagging => Operation::DeleteBucketTagging(bucket),
        OperationKind::GetBucketCors => Operation::GetBucketCors(bucket),
        OperationKind::DeleteBucketCors => Operation::DeleteBucketCors(bucket),
        OperationKind::GetBucketAcl => Operation::GetBucketAcl(bucket),
        OperationKind::PutBucketAcl => Operation::PutBucketAcl(bucket),
        OperationKind::GetBucketOwnershipControls => Operation::GetBucketOwnershipControls(bucket),
        OperationKind::DeleteBucketOwnershipControls => {
            Operation::DeleteBucketOwnershipControls(bucket)
        }
        OperationKind::GetBucketPolicy => Operation::GetBucketPolicy(bucket),
        OperationKind::GetBucketPolicyStatus => Operation::GetBucketPolicyStatus(bucket),
        OperationKind::GetBucketEncryption => Operation::GetBucketEncryption(bucket),
        OperationKind::DeleteBucketEncryption => Operation::DeleteBucketEncryption(bucket),
        OperationKind::GetObjectLockConfiguration => Operation::GetObjectLockConfiguration(bucket),
        OperationKind::GetBucketLifecycleConfiguration => {
            Operation::GetBucketLifecycleConfiguration(bucket)
        }
        OperationKind::DeleteBucketLifecycle => Operation::DeleteBucketLifecycle(bucket),
        OperationKind::GetBucketReplication => Operation::GetBucketReplication(bucket),
        OperationKind::GetBucketWebsite => Operation::GetBucketWebsite(bucket),
        OperationKind::GetPublicAccessBlock => Operation::GetPublicAccessBlock(bucket),
        OperationKind::GetBucketNotificationConfiguration => {
            Operation::GetBucketNotificationConfiguration(bucket)
        }
        OperationKind::GetBucketLogging => Operation::GetBucketLogging(bucket),
        OperationKind::GetBucketRequestPayment => Operation::GetBucketRequestPayment(bucket),
        OperationKind::GetBucketAccelerateConfiguration => {
            Operation::GetBucketAccelerateConfiguration(bucket)
        }
        kind => {
            return Err(
                S3Error::not_implemented("The requested operation is not implemented")
                    .with("Operation", kind.name()),
            );
        }
    })
}

/// Refuses headers whose feature only other operations have: what they ask for would not be done.
fn check_headers(kind: OperationKind, headers: &Headers) -> Result<(), S3Error> {
    let makes_an_object = matches!(
        kind,
        OperationKind::PutObject | OperationKind::CopyObject | OperationKind::CreateMultipartUpload
    );
    if !makes_an_object {
        encryption::refuse_on_reads(headers)?;
    }
    for (name, has_a_use) in [
        (
            header::COPY_SOURCE_RANGE,
            kind == OperationKind::UploadPartCopy,
        ),
        (header::TAGGING, makes_an_object),
        (header::OBJECT_LOCK_MODE, makes_an_object),
        (header::OBJECT_LOCK_RETAIN_UNTIL_DATE, makes_an_object),
        (header::OBJECT_LOCK_LEGAL_HOLD, makes_an_object),
    ] {
        let value = headers.get(&name)?.unwrap_or_default();
        if !has_a_use && !value.is_empty() {
            return Err(S3Error::header_not_implemented(name.as_str(), value));
        }
    }
    // `false` asks for nothing.
    for (name, has_a_use) in [
        (
            header::BUCKET_OBJECT_LOCK_ENABLED,
            kind == OperationKind::CreateBucket,
        ),
        (header::BYPASS_GOVERNANCE, bypasses_governance(kind)),
    ] {
        let value = headers.get(&name)?.unwrap_or_default();
        if !has_a_use && value.eq_ignore_ascii_case("true") {
            return Err(S3Error::header_not_implemented(name.as_str(), value));
        }
    }
    Ok(())
}

/// What may weaken a lock.
const fn bypasses_governance(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::DeleteObject
            | OperationKind::DeleteObjects
            | OperationKind::PutObjectRetention
    )
}

/// What a form puts, whose fields count as headers.
///
/// # Errors
/// What is wrong with them, in AWS's codes.
pub fn post_object(
    bucket: BucketName,
    key: ObjectKey,
    fields: &Headers,
) -> Result<PutObjectInput, S3Error> {
    object::of_form(bucket, key, fields)
}

/// On all other operations a version's id would be dropped silently: a PUT can't write one.
const fn takes_a_version(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::GetObject
            | OperationKind::HeadObject
            | OperationKind::DeleteObject
            | OperationKind::GetObjectAttributes
            | OperationKind::GetObjectTagging
            | OperationKind::PutObjectTagging
            | OperationKind::DeleteObjectTagging
            | OperationKind::GetObjectAcl
            | OperationKind::PutObjectAcl
            | OperationKind::GetObjectRetention
            | OperationKind::PutObjectRetention
            | OperationKind::GetObjectLegalHold
            | OperationKind::PutObjectLegalHold
    )
}

impl Request<'_> {
    fn bucket(&self) -> Result<BucketName, S3Error> {
        self.target.bucket().cloned().ok_or_else(no_such_resource)
    }

    fn key(&self) -> Result<ObjectKey, S3Error> {
        self.target.key().cloned().ok_or_else(no_such_resource)
    }

    fn version_id(&self) -> Result<Option<VersionId>, S3Error> {
        self.query
            .get("versionId")?
            .map(VersionId::parse)
            .transpose()
    }

    /// A parameter that means nothing where it is empty.
    fn parameter(&self, name: &str) -> Result<Option<&str>, S3Error> {
        Ok(self.query.get(name)?.filter(|value| !value.is_empty()))
    }

    /// A count of entries: absent or empty means `most`, and more than that means it too.
    fn count(&self, name: &str, most: u32) -> Result<u32, S3Error> {
        let Some(text) = self.parameter(name)? else {
            return Ok(most);
        };
        count(name, text).map(|count| count.min(most))
    }
}

/// A count: 0 to 2,147,483,647.
fn count(name: &str, text: &str) -> Result<u32, S3Error> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let value = if digits {
        text.parse::<u32>().ok()
    } else {
        None
    };
    value
        .filter(|count| *count <= i32::MAX as u32)
        .ok_or_else(|| {
            let message = match text.strip_prefix('-') {
                Some(rest) if rest.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("Argument {name} must be an integer between 0 and 2147483647")
                }
                _ => format!("Provided {name} not an integer or within integer range"),
            };
            S3Error::invalid_argument(message, name, text)
        })
}

/// The table routes no operation on a bucket or an object without one: this would be our mistake.
fn no_such_resource() -> S3Error {
    S3Error::new(super::error::ErrorCode::InternalError)
}

#[cfg(test)]
mod compatibility;
#[cfg(test)]
mod tests;
