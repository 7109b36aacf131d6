//! Answers: status, headers and body, whole.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::HeaderMap;

use super::*;
use crate::s3::error::ErrorCode;
use crate::s3::name::{BucketName, ObjectKey, VersionId};
use crate::s3::op::{
    Checksum, ChecksumAlgorithm, ChecksumMode, ContentHeaders, ETag, GetObjectInput,
    GetObjectOutput, HeadObjectOutput, ObjectAttributes, ObjectChecksum, ObjectHead, ObjectLock,
    ReadConditions, ResponseOverrides, Select, StorageClass, TagSet, Tagged, UserMetadata,
};
use crate::s3::time::Timestamp;

fn input() -> GetObjectInput {
    GetObjectInput {
        bucket: BucketName::parse("bucket").unwrap(),
        key: ObjectKey::parse("k").unwrap(),
        version_id: None,
        select: Select::All,
        conditions: ReadConditions::default(),
        overrides: ResponseOverrides::default(),
        checksum_mode: ChecksumMode::Disabled,
        customer_key: None,
    }
}

fn object() -> ObjectHead {
    let crc = Checksum::parse(ChecksumAlgorithm::Crc32, "AAAAAQ==").unwrap();
    ObjectHead {
        expiration: None,
        etag: ETag::from_text("aa"),
        last_modified: Timestamp::from_ms(1_255_369_830_500),
        object_len: 10,
        version_id: Some(VersionId::null()),
        attributes: ObjectAttributes {
            content: ContentHeaders {
                content_language: Some("de".to_owned()),
                content_disposition: Some("inline".to_owned()),
                ..ContentHeaders::default()
            },
            metadata: UserMetadata::new([
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), "é".to_owned()),
                ("not a name".to_owned(), "x".to_owned()),
            ])
            .unwrap(),
            tags: TagSet::new([("k".to_owned(), "v".to_owned())], Tagged::Object).unwrap(),
        },
        storage_class: StorageClass::standard(),
        checksum: Some(ObjectChecksum::full_object(crc)),
        parts_count: None,
        lock: ObjectLock::default(),
        encryption: None,
    }
}

fn headers(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut all: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    all.sort_unstable();
    all
}

async fn body(response: Response<ResponseBody>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_whole_object_comes_with_all_it_was_stored_with() {
    let bytes = stream::iter([
        Ok(Bytes::from_static(b"01234")),
        Ok(Bytes::from_static(b"56789")),
    ]);
    let output = GetObjectOutput {
        head: object(),
        range: None,
        body: bytes.boxed(),
    };
    let response = get_object(&input(), output);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        headers(response.headers()),
        [
            ("accept-ranges", "bytes"),
            ("content-disposition", "inline"),
            ("content-language", "de"),
            ("content-length", "10"),
            ("content-type", "binary/octet-stream"),
            ("etag", "\"aa\""),
            ("last-modified", "Mon, 12 Oct 2009 17:50:30 GMT"),
            ("x-amz-meta-a", "1"),
            ("x-amz-meta-b", "=?UTF-8?B?w6k=?="),
            ("x-amz-missing-meta", "1"),
            ("x-amz-tagging-count", "1"),
            ("x-amz-version-id", "null"),
        ]
    );
    assert_eq!(body(response).await, "0123456789");
}

#[tokio::test]
async fn a_range_says_where_it_lies_and_has_no_checksum() {
    let mut input = input();
    input.checksum_mode = ChecksumMode::Enabled;
    let bytes = stream::iter([Ok(Bytes::from_static(b"345"))]);
    let mut head = object();
    head.parts_count = Some(4);
    head.storage_class = StorageClass::parse("archive").unwrap();
    let response = get_object(
        &input,
        GetObjectOutput {
            head,
            range: Some(3..6),
            body: bytes.boxed(),
        },
    );
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    let get = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    assert_eq!(get("content-range"), Some("bytes 3-5/10"));
    assert_eq!(get("content-length"), Some("3"));
    assert_eq!(get("x-amz-mp-parts-count"), Some("4"));
    assert_eq!(get("x-amz-storage-class"), Some("archive"));
    assert_eq!(get("x-amz-checksum-crc32"), None);
    assert_eq!(body(response).await, "345");
}

#[tokio::test]
async fn a_head_says_the_same_without_the_bytes() {
    let mut input = input();
    input.checksum_mode = ChecksumMode::Enabled;
    input.overrides.content_type = Some("text/html".to_owned());
    input.overrides.content_disposition = Some("attachment".to_owned());
    let response = head_object(
        &input,
        &HeadObjectOutput {
            head: object(),
            range: None,
        },
    );
    let get = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    assert_eq!(get("content-length"), Some("10"));
    assert_eq!(get("content-type"), Some("text/html"));
    assert_eq!(get("content-disposition"), Some("attachment"));
    assert_eq!(get("x-amz-checksum-crc32"), Some("AAAAAQ=="));
    assert_eq!(get("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(body(response).await, "");
}

#[tokio::test]
async fn an_error_has_a_document_except_after_head_and_304() {
    let error = S3Error::invalid_range("bytes=10-", 10);
    let response = super::error(&error, false, "/bucket/k", "ID", "HOST");
    assert_eq!(response.status().as_u16(), 416);
    let all = headers(response.headers());
    assert_eq!(
        all,
        [
            ("content-range", "bytes */10"),
            ("content-type", "application/xml")
        ]
    );
    let document = body(response).await;
    let document = std::str::from_utf8(&document).unwrap();
    assert!(document.contains("<Code>InvalidRange</Code>"), "{document}");
    assert!(document.contains("<Resource>/bucket/k</Resource><RequestId>ID</RequestId>"));

    let missing = S3Error::deleted(&input().key, &VersionId::parse("m1").unwrap());
    let response = super::error(&missing, true, "/bucket/k", "ID", "HOST");
    assert_eq!(response.status().as_u16(), 404);
    assert_eq!(
        headers(response.headers()),
        [
            ("content-type", "application/xml"),
            ("x-amz-delete-marker", "true"),
            ("x-amz-version-id", "m1"),
        ]
    );
    assert_eq!(body(response).await, "");

    let unchanged = S3Error::not_modified(&ETag::from_text("aa"), Timestamp::from_ms(0));
    let response = super::error(&unchanged, false, "/bucket/k", "ID", "HOST");
    assert_eq!(response.status().as_u16(), 304);
    assert_eq!(
        headers(response.headers()),
        [
            ("etag", "\"aa\""),
            ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")
        ]
    );
    assert_eq!(body(response).await, "");

    let broken = S3Error::new(ErrorCode::IncompleteBody).closing();
    let response = super::error(&broken, false, "/bucket/k", "ID", "HOST");
    assert_eq!(response.headers().get("connection").unwrap(), "close");
}
