//! The answers of GetObject and HeadObject: an object's headers, and its bytes.

use std::ops::Range;

use futures::TryStreamExt;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::headers::{HeadersExt, metadata_value};
use super::{ResponseBody, bare};
use crate::s3::header;
use crate::s3::op::{
    ChecksumMode, ContentHeaders, GetObjectInput, GetObjectOutput, HeadObjectOutput, ObjectHead,
    ResponseOverrides,
};

/// The answer of GetObject.
#[must_use]
pub fn get_object(input: &GetObjectInput, output: GetObjectOutput) -> Response<ResponseBody> {
    let mut response = head(input, &output.head, output.range.as_ref());
    *response.body_mut() = StreamBody::new(output.body.map_ok(Frame::data)).boxed_unsync();
    response
}

/// The answer of HeadObject: what GetObject would say, without the bytes.
#[must_use]
pub fn head_object(input: &GetObjectInput, output: &HeadObjectOutput) -> Response<ResponseBody> {
    head(input, &output.head, output.range.as_ref())
}

fn head(
    input: &GetObjectInput,
    object: &ObjectHead,
    range: Option<&Range<u64>>,
) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.put(ETAG, &object.etag.quoted());
    headers.put(LAST_MODIFIED, &object.last_modified.http_date());
    headers.put_version(object.version_id.as_ref());
    content(headers, &object.attributes.content, &input.overrides);
    metadata(headers, object);
    if !object.storage_class.is_standard() {
        headers.put(header::STORAGE_CLASS, object.storage_class.as_str());
    }
    let tags = object.attributes.tags.len();
    if tags > 0 {
        headers.put(header::TAGGING_COUNT, &tags.to_string());
    }
    headers.put_encryption(object.encryption.as_ref());
    headers.put_expiration(object.expiration.as_ref());
    if let Some(retention) = object.lock.retention {
        headers.put(header::OBJECT_LOCK_MODE, retention.mode.as_str());
        let until = retention.until.iso8601();
        headers.put(header::OBJECT_LOCK_RETAIN_UNTIL_DATE, &until);
    }
    if let Some(hold) = object.lock.legal_hold {
        headers.put(header::OBJECT_LOCK_LEGAL_HOLD, hold.as_str());
    }
    if let Some(parts) = object.parts_count {
        headers.put(header::MP_PARTS_COUNT, &parts.to_string());
    }
    // Of a range there is no checksum that the client could compare.
    if input.checksum_mode == ChecksumMode::Enabled && range.is_none() {
        headers.put_object_checksum(object.checksum.as_ref());
    }
    let len = range.map_or(object.object_len, |range| range.end - range.start);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    if let Some(range) = range {
        let last = range.end.saturating_sub(1);
        headers.put(
            CONTENT_RANGE,
            &format!("bytes {}-{last}/{}", range.start, object.object_len),
        );
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn content(headers: &mut HeaderMap, stored: &ContentHeaders, overrides: &ResponseOverrides) {
    let mut put = |name: HeaderName, chosen: &Option<String>, stored: &Option<String>| {
        headers.put_if(name, chosen.as_deref().or(stored.as_deref()));
    };
    let default_type = Some(ContentHeaders::DEFAULT_CONTENT_TYPE.to_owned());
    let content_type = stored.content_type.clone().or(default_type);
    put(CONTENT_TYPE, &overrides.content_type, &content_type);
    put(
        CACHE_CONTROL,
        &overrides.cache_control,
        &stored.cache_control,
    );
    put(
        CONTENT_DISPOSITION,
        &overrides.content_disposition,
        &stored.content_disposition,
    );
    put(
        CONTENT_ENCODING,
        &overrides.content_encoding,
        &stored.content_encoding,
    );
    put(
        CONTENT_LANGUAGE,
        &overrides.content_language,
        &stored.content_language,
    );
    put(EXPIRES, &overrides.expires, &stored.expires);
}

/// What can't be written as a header is counted in `x-amz-missing-meta`, as AWS does.
fn metadata(headers: &mut HeaderMap, object: &ObjectHead) {
    let mut missing = 0_u32;
    for (name, value) in object.attributes.metadata.iter() {
        let name = format!("{}{name}", header::USER_METADATA_PREFIX);
        match (
            HeaderName::from_bytes(name.as_bytes()),
            metadata_value(value),
        ) {
            (Ok(name), Some(value)) => drop(headers.insert(name, value)),
            _ => missing += 1,
        }
    }
    if missing > 0 {
        headers.put(header::MISSING_META, &missing.to_string());
    }
}
