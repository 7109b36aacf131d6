//! From what an operation answers to the HTTP response.

mod configuration;
mod headers;
mod object;
mod object_lock;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

use super::error::S3Error;
use super::header;
use super::op::{
    AbortMultipartUploadOutput, CompleteMultipartUploadOutput, CopyObjectOutput,
    CreateBucketOutput, CreateMultipartUploadOutput, DeleteBucketOutput, DeleteObjectOutput,
    DeleteObjectsOutput, GetBucketLocationOutput, GetBucketVersioningOutput,
    GetObjectAttributesInput, GetObjectAttributesOutput, HeadBucketOutput, LifecycleConfiguration,
    ListPartsInput, ListPartsOutput, ObjectTaggingOutput, Owner, PutBucketVersioningOutput,
    PutObjectOutput, TransitionMinimum, UploadPartCopyOutput, UploadPartOutput,
};
use super::xml;
use headers::HeadersExt;

pub use configuration::not_configured;
pub use object::{get_object, head_object};
pub use object_lock::{get_object_legal_hold, get_object_retention};

/// The body of an answer: bytes, a document, or nothing. An `Err` in it cuts the connection.
pub type ResponseBody = UnsyncBoxBody<Bytes, S3Error>;

/// A body without bytes.
#[must_use]
pub fn empty() -> ResponseBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer without a body.
#[must_use]
pub fn bare(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

/// 200 with a document.
#[must_use]
pub fn document(text: String) -> Response<ResponseBody> {
    let mut response = Response::new(full(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

pub(super) fn create_bucket(output: &CreateBucketOutput) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::OK);
    response
        .headers_mut()
        .put(LOCATION, &format!("/{}", output.bucket));
    response
}

pub(super) fn delete_bucket(_: &DeleteBucketOutput) -> Response<ResponseBody> {
    bare(StatusCode::NO_CONTENT)
}

pub(super) fn head_bucket(output: &HeadBucketOutput) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::OK);
    response
        .headers_mut()
        .put(header::BUCKET_REGION, &output.region);
    response.headers_mut().put(CONTENT_TYPE, "application/xml");
    response
}

pub(super) fn get_bucket_location(output: &GetBucketLocationOutput) -> Response<ResponseBody> {
    document(xml::get_bucket_location(output))
}

pub(super) fn put_bucket_versioning(_: &PutBucketVersioningOutput) -> Response<ResponseBody> {
    bare(StatusCode::OK)
}

pub(super) fn get_bucket_versioning(output: &GetBucketVersioningOutput) -> Response<ResponseBody> {
    document(xml::get_bucket_versioning(output))
}

pub(super) fn put_object(output: &PutObjectOutput) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::OK);
    let headers = response.headers_mut();
    headers.put(ETAG, &output.etag.quoted());
    headers.put_version(output.version_id.as_ref());
    headers.put_object_checksum(output.checksum.as_ref());
    headers.put_encryption(output.encryption.as_ref());
    headers.put_expiration(output.expiration.as_ref());
    response
}

pub(super) fn delete_object(output: &DeleteObjectOutput) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.put_version(output.version_id.as_ref());
    if output.delete_marker {
        headers.put(header::DELETE_MARKER, "true");
    }
    response
}

pub(super) fn delete_objects(output: &DeleteObjectsOutput, quiet: bool) -> Response<ResponseBody> {
    document(xml::delete_objects(output, quiet))
}

pub(super) fn copy_object(output: &CopyObjectOutput) -> Response<ResponseBody> {
    let mut response = document(xml::copy_object(output));
    let headers = response.headers_mut();
    headers.put_version(output.version_id.as_ref());
    if let Some(version) = &output.source_version_id {
        headers.put(header::COPY_SOURCE_VERSION_ID, version.as_str());
    }
    headers.put_encryption(output.encryption.as_ref());
    headers.put_expiration(output.expiration.as_ref());
    response
}

pub(super) fn create_multipart_upload(
    output: &CreateMultipartUploadOutput,
) -> Response<ResponseBody> {
    let mut response = document(xml::create_multipart_upload(output));
    if let Some((algorithm, kind)) = output.checksum {
        response
            .headers_mut()
            .put(header::CHECKSUM_ALGORITHM, algorithm.as_str());
        response
            .headers_mut()
            .put(header::CHECKSUM_TYPE, kind.as_str());
    }
    let headers = response.headers_mut();
    headers.put_encryption(output.encryption.as_ref());
    headers.put_abort(output.abort.as_ref());
    response
}

pub(super) fn list_parts(
    input: &ListPartsInput,
    output: &ListPartsOutput,
) -> Response<ResponseBody> {
    let mut response = document(xml::list_parts(input, output));
    response.headers_mut().put_abort(output.abort.as_ref());
    response
}

pub(super) fn upload_part(output: &UploadPartOutput) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::OK);
    let headers = response.headers_mut();
    headers.put(ETAG, &output.etag.quoted());
    if let Some(checksum) = &output.checksum {
        headers.put(checksum.algorithm.header(), &checksum.text());
    }
    headers.put_encryption(output.encryption.as_ref());
    response
}

pub(super) fn complete_multipart_upload(
    output: &CompleteMultipartUploadOutput,
    location: &str,
) -> Response<ResponseBody> {
    let mut response = document(xml::complete_multipart_upload(output, location));
    let headers = response.headers_mut();
    headers.put_version(output.version_id.as_ref());
    headers.put_encryption(output.encryption.as_ref());
    headers.put_expiration(output.expiration.as_ref());
    response
}

pub(super) fn abort_multipart_upload(_: &AbortMultipartUploadOutput) -> Response<ResponseBody> {
    bare(StatusCode::NO_CONTENT)
}

pub(super) fn upload_part_copy(output: &UploadPartCopyOutput) -> Response<ResponseBody> {
    let mut response = document(xml::upload_part_copy(output));
    if let Some(version) = &output.source_version_id {
        response
            .headers_mut()
            .put(header::COPY_SOURCE_VERSION_ID, version.as_str());
    }
    response
        .headers_mut()
        .put_encryption(output.encryption.as_ref());
    response
}

pub(super) fn get_object_attributes(
    input: &GetObjectAttributesInput,
    output: &GetObjectAttributesOutput,
) -> Response<ResponseBody> {
    let mut response = document(xml::get_object_attributes(input, output));
    let headers = response.headers_mut();
    headers.put(LAST_MODIFIED, &output.last_modified.http_date());
    headers.put_version(output.version_id.as_ref());
    response
}

pub(super) fn put_object_tagging(output: &ObjectTaggingOutput) -> Response<ResponseBody> {
    of_version(bare(StatusCode::OK), output)
}

pub(super) fn get_object_tagging(output: &ObjectTaggingOutput) -> Response<ResponseBody> {
    of_version(document(xml::tags::tagging_document(&output.tags)), output)
}

pub(super) fn delete_object_tagging(output: &ObjectTaggingOutput) -> Response<ResponseBody> {
    of_version(bare(StatusCode::NO_CONTENT), output)
}

fn of_version(
    mut response: Response<ResponseBody>,
    output: &ObjectTaggingOutput,
) -> Response<ResponseBody> {
    response
        .headers_mut()
        .put_version(output.version_id.as_ref());
    response
}

pub(super) fn put_lifecycle(minimum: TransitionMinimum) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::OK);
    let header = header::TRANSITION_DEFAULT_MINIMUM_OBJECT_SIZE;
    response.headers_mut().put(header, minimum.as_str());
    response
}

pub(super) fn get_lifecycle(configuration: &LifecycleConfiguration) -> Response<ResponseBody> {
    let mut response = document(xml::lifecycle::lifecycle_document(configuration));
    let header = header::TRANSITION_DEFAULT_MINIMUM_OBJECT_SIZE;
    let minimum = configuration.transition_minimum;
    response.headers_mut().put(header, minimum.as_str());
    response
}

pub(super) fn access_control_policy() -> Response<ResponseBody> {
    document(xml::configuration::access_control_policy(&Owner::default()))
}

/// An error's answer. A HEAD and a 304 have no body, whatever happened.
#[must_use]
pub fn error(
    error: &S3Error,
    is_head: bool,
    resource: &str,
    request_id: &str,
    host_id: &str,
) -> Response<ResponseBody> {
    let has_body = !is_head && error.status() != StatusCode::NOT_MODIFIED;
    let mut response = if has_body {
        document(xml::error_document(error, resource, request_id, host_id))
    } else {
        bare(error.status())
    };
    *response.status_mut() = error.status();
    for (name, value) in error.headers() {
        response.headers_mut().insert(name, value.clone());
    }
    if is_head && error.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().put(CONTENT_TYPE, "application/xml");
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if error.must_close() {
        response
            .headers_mut()
            .put(http::header::CONNECTION, "close");
    }
    response
}

#[cfg(test)]
mod tests;
