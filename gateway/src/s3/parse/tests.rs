//! Requests as clients send them, and what operations they become.

use super::*;
use crate::s3::address::Addressing;
use crate::s3::encode;
use crate::s3::error::ErrorCode;
use crate::s3::op::{
    ByteRange, ChecksumAlgorithm, ChecksumClaim, ChecksumMode, ChecksumType, ETag, ETagCondition,
    Encoding, MetadataDirective, ObjectAttribute, ObjectAttributes, Select, TaggingDirective,
    WriteCondition,
};
use crate::s3::time::Timestamp;

fn parse_with(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    document: &str,
) -> Result<Operation, S3Error> {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let route = Route::of(&head, &Addressing::default())?;
    let headers = Headers::of(&head, &route.query)?;
    operation(&route, &headers, document.as_bytes())
}

fn parse(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Operation, S3Error> {
    parse_with(method, uri, headers, "")
}

macro_rules! parsed {
    ($kind:ident, $method:literal, $uri:expr, $headers:expr) => {
        match parse($method, $uri, $headers).unwrap() {
            Operation::$kind(input) => input,
            other => panic!("{other:?}"),
        }
    };
}

fn refused(method: &str, uri: &str, headers: &[(&str, &str)]) -> ErrorCode {
    match parse(method, uri, headers) {
        Err(error) => error.code(),
        Ok(operation) => panic!("{method} {uri} {headers:?} became {operation:?}"),
    }
}

#[test]
fn a_put_carries_what_its_headers_say() {
    let input = parsed!(
        PutObject,
        "PUT",
        "/buc/a%2F%2e%2e/b",
        &[
            ("content-type", "text/plain"),
            ("cache-control", "no-store"),
            ("content-encoding", "aws-chunked, gzip"),
            ("content-disposition", "inline"),
            ("content-language", "de, en"),
            ("expires", "Thu, 01 Dec 1994 16:00:00 GMT"),
            ("x-amz-meta-b", " two "),
            ("x-amz-meta-a", "é"),
            ("x-amz-storage-class", "archive"),
            ("if-none-match", "*"),
            ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
            ("x-amz-checksum-crc32c", "AAAAAQ=="),
            ("x-amz-sdk-checksum-algorithm", "CRC32C"),
        ]
    );
    assert_eq!(input.bucket.as_str(), "buc");
    assert_eq!(input.key.as_str(), "a/../b");
    let content = &input.attributes.content;
    assert_eq!(content.content_type.as_deref(), Some("text/plain"));
    assert_eq!(content.cache_control.as_deref(), Some("no-store"));
    assert_eq!(content.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(content.content_disposition.as_deref(), Some("inline"));
    assert_eq!(content.content_language.as_deref(), Some("de, en"));
    assert_eq!(
        content.expires.as_deref(),
        Some("Thu, 01 Dec 1994 16:00:00 GMT")
    );
    let metadata: Vec<_> = input.attributes.metadata.iter().collect();
    assert_eq!(metadata, [("a", "é"), ("b", "two")]);
    assert_eq!(input.storage_class.unwrap().as_str(), "archive");
    assert_eq!(input.condition, WriteCondition::IfAbsent);
    assert_eq!(
        hex::encode(input.claims.md5.unwrap()),
        "5d41402abc4b2a76b9719d911017c592"
    );
    assert_eq!(
        input.claims.checksum.algorithm(),
        Some(ChecksumAlgorithm::Crc32c)
    );
    assert!(matches!(input.claims.checksum, ChecksumClaim::Value(_)));
}

#[test]
fn a_bare_put_carries_nothing() {
    let input = parsed!(
        PutObject,
        "PUT",
        "/buc/k",
        &[("content-encoding", "aws-chunked")]
    );
    assert_eq!(input.attributes, ObjectAttributes::default());
    assert_eq!(
        (input.storage_class, input.condition),
        (None, WriteCondition::Always)
    );
    assert_eq!(
        (input.claims.md5, input.claims.checksum),
        (None, ChecksumClaim::None)
    );
}

#[test]
fn what_a_put_claims_of_its_body_must_make_sense() {
    let crc = ("x-amz-checksum-crc32", "AAAAAQ==");
    for (headers, code) in [
        (&[("content-md5", "abc")][..], ErrorCode::InvalidDigest),
        (&[("content-md5", "")], ErrorCode::InvalidDigest),
        (
            &[("x-amz-checksum-crc32", "AAAA")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[crc, ("x-amz-checksum-sha1", "qUqP5cyxm6YcTAhz05Hph5gvu9M=")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[crc, ("x-amz-trailer", "x-amz-checksum-crc32")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[crc, ("x-amz-sdk-checksum-algorithm", "SHA1")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[("x-amz-sdk-checksum-algorithm", "CRC32")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[("x-amz-sdk-checksum-algorithm", "MD5")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[("x-amz-trailer", "x-amz-meta-a")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[("x-amz-trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1")],
            ErrorCode::InvalidRequest,
        ),
        (
            &[("x-amz-checksum-xxhash3", "AAAAAQ==")],
            ErrorCode::NotImplemented,
        ),
    ] {
        assert_eq!(refused("PUT", "/buc/k", headers), code, "{headers:?}");
    }
    let trailer = parsed!(
        PutObject,
        "PUT",
        "/buc/k",
        &[
            ("x-amz-trailer", "x-amz-checksum-crc64nvme"),
            ("x-amz-sdk-checksum-algorithm", "CRC64NVME"),
        ]
    );
    assert_eq!(
        trailer.claims.checksum,
        ChecksumClaim::Trailer(ChecksumAlgorithm::Crc64Nvme)
    );
}

#[test]
fn metadata_over_2_kib_is_refused() {
    let value = "v".repeat(2047);
    assert!(parse("PUT", "/buc/k", &[("x-amz-meta-a", &value)]).is_ok());
    let headers = [("x-amz-meta-a", value.as_str()), ("x-amz-meta-b", "")];
    assert_eq!(
        refused("PUT", "/buc/k", &headers),
        ErrorCode::MetadataTooLarge
    );
}

#[test]
fn a_write_has_one_condition_that_can_be_kept() {
    let condition = |name: &'static str, value: &'static str| {
        parsed!(PutObject, "PUT", "/buc/k", &[(name, value)]).condition
    };
    let tag = || WriteCondition::IfETag(ETag::from_text("aa"));
    assert_eq!(condition("if-match", "\"aa\""), tag());
    assert_eq!(condition("if-match", "aa"), tag());
    assert_eq!(condition("if-none-match", "*"), WriteCondition::IfAbsent);
    for headers in [
        &[("if-none-match", "\"aa\"")][..],
        &[("if-match", "*")],
        &[("if-match", "\"aa\", \"bb\"")],
        &[("if-match", "\"aa\""), ("if-none-match", "*")],
    ] {
        assert_eq!(
            refused("PUT", "/buc/k", headers),
            ErrorCode::NotImplemented,
            "{headers:?}"
        );
    }
    let delete =
        |value| parsed!(DeleteObject, "DELETE", "/buc/k", &[("if-match", value)]).condition;
    assert_eq!(delete("*"), WriteCondition::IfPresent);
    assert_eq!(delete("\"aa\""), tag());
}

#[test]
fn a_weak_tag_matches_nothing_that_a_write_or_a_read_insists_on() {
    let weak = [("if-match", "W/\"aa\"")];
    let ours = ETag::from_text("aa");
    let put = parsed!(PutObject, "PUT", "/buc/k", &weak);
    assert_ne!(put.condition, WriteCondition::IfETag(ours.clone()));
    let get = parsed!(GetObject, "GET", "/buc/k", &weak);
    assert!(!get.conditions.if_match.unwrap().names(&ours));
    let any = parsed!(GetObject, "GET", "/buc/k", &[("if-match", "*")]);
    assert_eq!(any.conditions.if_match, Some(ETagCondition::Any));
}

#[test]
fn a_version_is_read_and_deleted_but_never_written() {
    let get = parsed!(GetObject, "GET", "/buc/k?versionId=null", &[]);
    assert!(get.version_id.unwrap().is_null());
    let delete = parsed!(DeleteObject, "DELETE", "/buc/k?versionId=v1", &[]);
    assert_eq!(delete.version_id.unwrap().as_str(), "v1");
    for (method, uri) in [
        ("PUT", "/buc/k?versionId=v1"),
        ("GET", "/buc/k?versionId="),
        ("DELETE", "/buc/k?versionId="),
        ("GET", "/buc/k?versionId=a&versionId=b"),
        ("GET", "/buc?versionId=v1"),
    ] {
        assert_eq!(
            refused(method, uri, &[]),
            ErrorCode::InvalidArgument,
            "{method} {uri}"
        );
    }
}

#[test]
fn a_read_selects_bytes() {
    let select =
        |uri: &str, headers: &[(&str, &str)]| parsed!(GetObject, "GET", uri, headers).select;
    assert_eq!(select("/buc/k", &[]), Select::All);
    let range = ByteRange::FromTo { first: 1, last: 5 };
    assert_eq!(
        select("/buc/k", &[("range", "bytes=1-5")]),
        Select::Range(range)
    );
    assert_eq!(select("/buc/k", &[("range", "bytes=5-1")]), Select::All);
    assert_eq!(select("/buc/k", &[("range", "bytes=0-1,3-4")]), Select::All);
    let conditional = [("range", "bytes=1-5"), ("if-range", "\"aa\"")];
    assert_eq!(select("/buc/k", &conditional), Select::All);
    assert!(matches!(select("/buc/k?partNumber=7", &[]), Select::Part(part) if part.get() == 7));
    let both = refused("GET", "/buc/k?partNumber=7", &[("range", "bytes=0-1")]);
    assert_eq!(both, ErrorCode::InvalidRequest);
    for part in ["0", "10001", "x", ""] {
        let uri = format!("/buc/k?partNumber={part}");
        assert_eq!(refused("HEAD", &uri, &[]), ErrorCode::InvalidArgument);
    }
}

#[test]
fn a_read_has_conditions_and_overrides() {
    let input = parsed!(
        GetObject,
        "GET",
        "/buc/k?response-content-type=text%2Fhtml&response-content-disposition=a%3B%20b",
        &[
            ("if-match", "\"aa\", bb"),
            ("if-none-match", "W/\"aa\""),
            ("if-modified-since", "Mon, 12 Oct 2009 17:50:30 GMT"),
            ("if-unmodified-since", "not a date"),
            ("x-amz-checksum-mode", "ENABLED"),
        ]
    );
    let tags = ["aa", "bb"].map(ETag::from_text).to_vec();
    assert_eq!(input.conditions.if_match, Some(ETagCondition::OneOf(tags)));
    let weak = ETagCondition::OneOf(vec![ETag::from_text("aa")]);
    assert_eq!(
        input.conditions.if_none_match,
        Some(weak),
        "compared weakly"
    );
    let since = Timestamp::from_ms(1_255_369_830_000);
    assert_eq!(input.conditions.if_modified_since, Some(since));
    assert_eq!(input.conditions.if_unmodified_since, None);
    assert_eq!(input.overrides.content_type.as_deref(), Some("text/html"));
    assert_eq!(input.overrides.content_disposition.as_deref(), Some("a; b"));
    assert_eq!(input.checksum_mode, ChecksumMode::Enabled);
    let split = "/buc/k?response-content-type=a%0D%0ASet-Cookie:%20x";
    assert_eq!(refused("GET", split, &[]), ErrorCode::InvalidArgument);
}

fn copy(source: &str, more: &[(&str, &str)]) -> Result<Operation, S3Error> {
    let mut headers = vec![("x-amz-copy-source", source)];
    headers.extend_from_slice(more);
    parse("PUT", "/buc/k", &headers)
}

#[test]
fn a_copy_names_its_source_in_any_of_its_forms() {
    for (text, bucket, key, version) in [
        ("/src/key", "src", "key", None),
        ("src/key", "src", "key", None),
        ("src%2Fkey", "src", "key", None),
        ("/src/a%20b/../c", "src", "a b/../c", None),
        ("/src/a+b", "src", "a+b", None),
        ("/src//k", "src", "/k", None),
        ("/src/k?versionId=v1", "src", "k", Some("v1")),
        ("/src/k%3FversionId=v1", "src", "k?versionId=v1", None),
        (
            "/src/k%3FversionId=v1?versionId=null",
            "src",
            "k?versionId=v1",
            Some("null"),
        ),
    ] {
        let Operation::CopyObject(input) = copy(text, &[]).unwrap() else {
            panic!("{text}")
        };
        assert_eq!(input.source.bucket.as_str(), bucket, "{text}");
        assert_eq!(input.source.key.as_str(), key, "{text}");
        assert_eq!(
            input.source.version_id.as_ref().map(VersionId::as_str),
            version,
            "{text}"
        );
        assert_eq!(input.metadata, MetadataDirective::Copy);
    }
    let long = format!("/src/{}", "k".repeat(1025));
    for (text, code) in [
        ("", ErrorCode::InvalidArgument),
        ("/", ErrorCode::InvalidArgument),
        ("src", ErrorCode::InvalidArgument),
        ("/src/", ErrorCode::InvalidArgument),
        ("/SRC/k", ErrorCode::InvalidArgument),
        ("//src/k", ErrorCode::InvalidArgument),
        ("/src/k?versionId=", ErrorCode::InvalidArgument),
        ("/src/%FF", ErrorCode::InvalidURI),
        (&long, ErrorCode::KeyTooLongError),
        (
            "arn:aws:s3:us-east-1:1:accesspoint/a/object/k",
            ErrorCode::NotImplemented,
        ),
    ] {
        assert_eq!(copy(text, &[]).unwrap_err().code(), code, "{text}");
    }
}

#[test]
fn a_copy_onto_itself_must_change_something() {
    assert_eq!(
        copy("/buc/k", &[]).unwrap_err().code(),
        ErrorCode::InvalidRequest
    );
    for more in [
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-checksum-algorithm", "SHA256"),
    ] {
        assert!(copy("/buc/k", &[more]).is_ok(), "{more:?}");
    }
    assert!(
        copy("/buc/k?versionId=v1", &[]).is_ok(),
        "an old version made current again"
    );
}

#[test]
fn a_copy_replaces_metadata_only_when_told() {
    let replace = ("x-amz-metadata-directive", "REPLACE");
    let more = [
        replace,
        ("x-amz-meta-a", "1"),
        ("content-type", "text/plain"),
    ];
    let Operation::CopyObject(input) = copy("/src/k", &more).unwrap() else {
        panic!()
    };
    let MetadataDirective::Replace(attributes) = input.metadata else {
        panic!()
    };
    assert_eq!(attributes.metadata.iter().collect::<Vec<_>>(), [("a", "1")]);
    assert_eq!(
        attributes.content.content_type.as_deref(),
        Some("text/plain")
    );
    let bad = [("x-amz-metadata-directive", "replace")];
    assert_eq!(
        copy("/src/k", &bad).unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
    let Operation::CopyObject(input) = copy(
        "/src/k",
        &[("x-amz-copy-source-if-match", "aa"), ("if-none-match", "*")],
    )
    .unwrap() else {
        panic!()
    };
    assert!(input.source_conditions.if_match.is_some());
    assert_eq!(input.condition, WriteCondition::IfAbsent);
}

#[test]
fn listings_have_bounded_pages() {
    for (value, expected) in [
        ("", 1000),
        ("0", 0),
        ("7", 7),
        ("1000", 1000),
        ("1001", 1000),
        ("2147483647", 1000),
    ] {
        let uri = format!("/buc?max-keys={value}");
        assert_eq!(
            parsed!(ListObjects, "GET", &uri, &[]).filter.max_keys,
            expected,
            "{value}"
        );
    }
    for uri in [
        "/buc?max-keys=-1",
        "/buc?max-keys=x",
        "/buc?max-keys=2147483648",
        "/buc?max-keys=1.5",
        "/buc?encoding-type=base64",
        "/buc?list-type=2&continuation-token=",
        "/buc?list-type=2&continuation-token=nonsense!",
        "/buc?versions&version-id-marker=v",
        "/buc?uploads&max-uploads=-1",
        "/?max-buckets=0",
        "/?max-buckets=10001",
        "/?continuation-token=!",
        "/buc/k?uploadId=u&max-parts=-1",
        "/buc/k?uploadId=u&part-number-marker=x",
    ] {
        assert_eq!(
            refused("GET", uri, &[]),
            ErrorCode::InvalidArgument,
            "{uri}"
        );
    }
}

#[test]
fn listings_carry_what_their_query_says() {
    let input = parsed!(
        ListObjectsV2,
        "GET",
        &format!(
            "/buc?list-type=2&prefix=a%2Fb&delimiter=%2F&start-after=c+d&fetch-owner=true\
             &encoding-type=url&max-keys=5&continuation-token={}",
            encode::token(b"a/b/c")
        ),
        &[]
    );
    assert_eq!(input.filter.prefix, "a/b");
    assert_eq!(input.filter.delimiter.as_deref(), Some("/"));
    assert_eq!(
        (input.filter.max_keys, input.filter.encoding),
        (5, Encoding::Url)
    );
    assert_eq!(input.start_after, "c d");
    assert_eq!(input.continuation.unwrap().0, b"a/b/c");
    assert!(input.fetch_owner);
    let v1 = parsed!(ListObjects, "GET", "/buc?delimiter=&marker=m", &[]);
    assert_eq!((v1.filter.delimiter, v1.marker.as_str()), (None, "m"));
    let versions = parsed!(
        ListObjectVersions,
        "GET",
        "/buc?versions&key-marker=k&version-id-marker=v",
        &[]
    );
    assert_eq!(versions.key_marker, "k");
    assert_eq!(versions.version_id_marker.unwrap().as_str(), "v");
    let uploads = parsed!(
        ListMultipartUploads,
        "GET",
        "/buc?uploads&upload-id-marker=u",
        &[]
    );
    assert_eq!(
        uploads.upload_id_marker, None,
        "void without a key's marker"
    );
    let buckets = parsed!(
        ListBuckets,
        "GET",
        &format!(
            "/?max-buckets=2&prefix=p&continuation-token={}",
            encode::token(b"abc")
        ),
        &[]
    );
    assert_eq!(
        (buckets.max_buckets, buckets.after.as_deref()),
        (Some(2), Some("abc"))
    );
}

#[test]
fn an_upload_names_a_checksum_that_exists() {
    let checksum = |headers: &[(&str, &str)]| {
        parse("POST", "/buc/k?uploads", headers).map(|operation| match operation {
            Operation::CreateMultipartUpload(input) => input.checksum,
            other => panic!("{other:?}"),
        })
    };
    let algorithm = |name| ("x-amz-checksum-algorithm", name);
    let kind = |name| ("x-amz-checksum-type", name);
    assert_eq!(checksum(&[]).unwrap(), None);
    for (headers, expected) in [
        (
            &[algorithm("CRC32")][..],
            (ChecksumAlgorithm::Crc32, ChecksumType::Composite),
        ),
        (
            &[algorithm("CRC64NVME")],
            (ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject),
        ),
        (
            &[algorithm("crc32c"), kind("FULL_OBJECT")],
            (ChecksumAlgorithm::Crc32c, ChecksumType::FullObject),
        ),
    ] {
        assert_eq!(checksum(headers).unwrap(), Some(expected), "{headers:?}");
    }
    for headers in [
        &[algorithm("SHA256"), kind("FULL_OBJECT")][..],
        &[algorithm("CRC64NVME"), kind("COMPOSITE")],
        &[algorithm("MD5")],
        &[kind("COMPOSITE")],
        &[algorithm("CRC32"), kind("HALF")],
    ] {
        let error = checksum(headers).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequest, "{headers:?}");
    }
}

#[test]
fn a_complete_says_what_it_expects_to_get() {
    let document = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>\
                    </CompleteMultipartUpload>";
    let headers = [
        ("x-amz-checksum-crc32", "AAAAAQ==-1"),
        ("x-amz-checksum-type", "COMPOSITE"),
        ("x-amz-mp-object-size", "42"),
        ("if-none-match", "*"),
    ];
    let uri = "/buc/k?uploadId=u1";
    let Operation::CompleteMultipartUpload(input) =
        parse_with("POST", uri, &headers, document).unwrap()
    else {
        panic!()
    };
    assert_eq!(input.upload_id.as_str(), "u1");
    assert_eq!(input.checksum.unwrap().text(), "AAAAAQ==-1");
    assert_eq!(input.checksum_type, Some(ChecksumType::Composite));
    assert_eq!(input.object_len, Some(42));
    assert_eq!(input.condition, WriteCondition::IfAbsent);
    for bad in [
        ("x-amz-mp-object-size", "-1"),
        ("x-amz-checksum-crc32", "x"),
    ] {
        let error = parse_with("POST", uri, &[bad], document).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequest, "{bad:?}");
    }
    let nameless = parse_with("POST", "/buc/k?uploadId=", &[], document).unwrap_err();
    assert_eq!(nameless.code(), ErrorCode::NoSuchUpload);
}

#[test]
fn a_document_is_not_checked_against_the_checksum_of_the_object_to_be() {
    let request = http::Request::post("/buc/k?uploadId=u")
        .header("x-amz-checksum-crc32", "AAAAAQ==-1")
        .header("content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    let (head, ()) = request.body(()).unwrap().into_parts();
    let headers = Headers::of(&head, &Query::default()).unwrap();
    let claims = document_claims(OperationKind::CompleteMultipartUpload, &headers).unwrap();
    assert_eq!(claims.checksum, ChecksumClaim::None);
    assert!(claims.md5.is_some());
}

#[test]
fn tags_in_a_header_are_written_like_a_query() {
    let uri = "/buc/k";
    let of = |text: &str| match parse("PUT", uri, &[("x-amz-tagging", text)])? {
        Operation::PutObject(input) => Ok(input
            .attributes
            .tags
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()),
        other => panic!("{other:?}"),
    };
    let code = |text: &str| of(text).map_err(|error: S3Error| error.code());
    assert_eq!(code(""), Ok(vec![]));
    assert_eq!(
        code("b=2&a=x%2By+z&c"),
        Ok(vec!["a=x+y z".into(), "b=2".into(), "c=".into()])
    );
    assert_eq!(code("a=1&a=1"), Err(ErrorCode::InvalidArgument));
    assert_eq!(code("a=%FF"), Err(ErrorCode::InvalidArgument));
    assert_eq!(code("=v"), Err(ErrorCode::InvalidTag));
    assert_eq!(code("aws:x=v"), Err(ErrorCode::InvalidTag));
    assert_eq!(
        code("a=1&b=&c=&d=&e=&f=&g=&h=&i=&j=").map(|tags| tags.len()),
        Ok(10)
    );
    assert_eq!(
        code("a=1&b=&c=&d=&e=&f=&g=&h=&i=&j=&k="),
        Err(ErrorCode::BadRequest)
    );
    for (method, uri) in [("GET", "/buc/k"), ("PUT", "/buc"), ("DELETE", "/buc/k")] {
        let elsewhere = refused(method, uri, &[("x-amz-tagging", "a=b")]);
        assert_eq!(elsewhere, ErrorCode::NotImplemented, "{method} {uri}");
    }
}

#[test]
fn a_copy_takes_the_tags_of_its_source_unless_told() {
    let copy = |directive: &str| {
        let headers = [
            ("x-amz-copy-source", "/src/k"),
            ("x-amz-tagging-directive", directive),
            ("x-amz-tagging", "a=b"),
            ("x-amz-metadata-directive", "REPLACE"),
        ];
        match parse("PUT", "/buc/k", &headers).unwrap() {
            Operation::CopyObject(input) => input,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(copy("COPY").tagging, TaggingDirective::Copy);
    assert!(matches!(copy("REPLACE").tagging, TaggingDirective::Replace(tags) if tags.len() == 1));
    let headers = [
        ("x-amz-copy-source", "/src/k"),
        ("x-amz-tagging-directive", "MERGE"),
    ];
    assert_eq!(
        refused("PUT", "/buc/k", &headers),
        ErrorCode::InvalidArgument
    );
}

#[test]
fn a_copied_part_names_both_ends_of_its_range() {
    let uri = "/buc/k?partNumber=3&uploadId=u";
    let of = |range: &str| {
        let headers = [
            ("x-amz-copy-source", "src/a%20b?versionId=null"),
            ("x-amz-copy-source-range", range),
        ];
        match parse("PUT", uri, &headers)? {
            Operation::UploadPartCopy(input) => Ok(input),
            other => panic!("{other:?}"),
        }
    };
    let input = of("bytes=5-9").unwrap();
    assert_eq!(input.source_range, Some((5, 9)));
    assert_eq!(
        (input.source.key.as_str(), input.part_number.get()),
        ("a b", 3)
    );
    assert_eq!(input.source.version_id, Some(VersionId::null()));
    assert_eq!(of("").unwrap().source_range, None);
    for bad in [
        "bytes=5-",
        "bytes=-5",
        "5-9",
        "bytes=9-5",
        "bytes=1-2,4-5",
        "bytes=a-b",
    ] {
        let error: S3Error = of(bad).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{bad}");
    }
    for (method, uri) in [("PUT", "/buc/k?partNumber=3&uploadId=u"), ("GET", "/buc/k")] {
        let elsewhere = refused(method, uri, &[("x-amz-copy-source-range", "bytes=0-1")]);
        assert_eq!(elsewhere, ErrorCode::NotImplemented);
    }
}

#[test]
fn attributes_are_asked_for_by_name() {
    let of = |names: &str| {
        let headers = [
            ("x-amz-object-attributes", names),
            ("x-amz-max-parts", "7"),
            ("x-amz-part-number-marker", "2"),
        ];
        match parse("GET", "/buc/k?attributes&versionId=null", &headers)? {
            Operation::GetObjectAttributes(input) => Ok(input),
            other => panic!("{other:?}"),
        }
    };
    let input = of("ETag, ObjectParts,ETag").unwrap();
    assert_eq!(
        input.wanted,
        [ObjectAttribute::ETag, ObjectAttribute::ObjectParts]
    );
    assert_eq!((input.max_parts, input.part_number_marker), (7, 2));
    assert_eq!(input.version_id, Some(VersionId::null()));
    let code = |names| {
        let error: S3Error = of(names).unwrap_err();
        error.code()
    };
    assert_eq!(code(""), ErrorCode::InvalidRequest);
    assert_eq!(code("ETag,Secrets"), ErrorCode::InvalidArgument);
}
