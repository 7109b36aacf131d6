//! Listings, against the documents that AWS shows as examples.

use super::*;
use crate::s3::name::{BucketName, ObjectKey, UploadId, VersionId};
use crate::s3::op::{ETag, ListPosition, StorageClass};
use crate::s3::time::Timestamp;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn owner(element: &str) -> String {
    let id = crate::s3::op::OWNER_ID;
    format!("<{element}><ID>{id}</ID><DisplayName>holdfast</DisplayName></{element}>")
}

/// The document that is expected, without the white space that makes it readable here.
fn expected(document: &str) -> String {
    let body: String = document.lines().map(str::trim).collect();
    let body = body.replace("[owner]", &owner("Owner"));
    format!("{HEAD}{}", body.replace("[initiator]", &owner("Initiator")))
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

fn object(key: &str, size: u64) -> ObjectEntry {
    ObjectEntry {
        key: ObjectKey::parse(key).unwrap(),
        last_modified: Timestamp::from_ms(1_255_369_830_000),
        etag: ETag::from_text("fba9dede5f27731c9771645a39863328"),
        size,
        storage_class: StorageClass::standard(),
        checksum: None,
    }
}

fn filter() -> ListFilter {
    ListFilter {
        max_keys: 1000,
        ..ListFilter::default()
    }
}

#[test]
fn a_page_of_objects_is_written_as_aws_does() {
    let input = ListObjectsInput {
        bucket: bucket(),
        filter: filter(),
        marker: String::new(),
    };
    let output = ListObjectsOutput {
        objects: vec![object("my-image.jpg", 434_234)],
        ..ListObjectsOutput::default()
    };
    assert_eq!(
        list_objects(&input, &output),
        expected(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">
             <Name>bucket</Name>
             <Prefix/>
             <Marker/>
             <MaxKeys>1000</MaxKeys>
             <IsTruncated>false</IsTruncated>
             <Contents>
             <Key>my-image.jpg</Key>
             <LastModified>2009-10-12T17:50:30.000Z</LastModified>
             <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag>
             <Size>434234</Size>
             [owner]
             <StorageClass>STANDARD</StorageClass>
             </Contents>
             </ListBucketResult>"
        )
    );
}

#[test]
fn the_next_marker_is_named_with_a_delimiter_only() {
    let output = ListObjectsOutput {
        objects: vec![object("a", 1)],
        common_prefixes: vec!["b/".to_owned()],
        next_marker: Some("b/".to_owned()),
    };
    let mut input = ListObjectsInput {
        bucket: bucket(),
        filter: filter(),
        marker: "0".to_owned(),
    };
    let without = list_objects(&input, &output);
    assert!(without.contains("<IsTruncated>true</IsTruncated>"));
    assert!(!without.contains("NextMarker"));
    input.filter.delimiter = Some("/".to_owned());
    let with = list_objects(&input, &output);
    assert!(
        with.contains("<Marker>0</Marker><NextMarker>b/</NextMarker>"),
        "{with}"
    );
    assert!(with.contains("<Delimiter>/</Delimiter>"), "{with}");
    assert!(
        with.contains("<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>"),
        "{with}"
    );
}

fn v2(encoding: Encoding) -> ListObjectsV2Input {
    ListObjectsV2Input {
        bucket: bucket(),
        filter: ListFilter {
            prefix: "a b/".to_owned(),
            encoding,
            ..filter()
        },
        start_after: "a b/0".to_owned(),
        continuation: None,
        continuation_token: Some("sent".to_owned()),
        fetch_owner: false,
    }
}

#[test]
fn version_2_counts_and_continues() {
    let mut entry = object("a b/1", 0);
    entry.checksum = Some((ChecksumAlgorithm::Crc32, ChecksumType::FullObject));
    let output = ListObjectsV2Output {
        objects: vec![entry],
        common_prefixes: vec!["a b/c/".to_owned()],
        next: Some(ListPosition(b"a b/c/".to_vec())),
    };
    assert_eq!(
        list_objects_v2(&v2(Encoding::Url), &output),
        expected(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">
             <Name>bucket</Name>
             <Prefix>a%20b/</Prefix>
             <ContinuationToken>sent</ContinuationToken>
             <NextContinuationToken>AWEgYi9jLw</NextContinuationToken>
             <StartAfter>a%20b/0</StartAfter>
             <KeyCount>2</KeyCount>
             <MaxKeys>1000</MaxKeys>
             <EncodingType>url</EncodingType>
             <IsTruncated>true</IsTruncated>
             <Contents>
             <Key>a%20b/1</Key>
             <LastModified>2009-10-12T17:50:30.000Z</LastModified>
             <ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag>
             <ChecksumAlgorithm>CRC32</ChecksumAlgorithm>
             <ChecksumType>FULL_OBJECT</ChecksumType>
             <Size>0</Size>
             <StorageClass>STANDARD</StorageClass>
             </Contents>
             <CommonPrefixes><Prefix>a%20b/c/</Prefix></CommonPrefixes>
             </ListBucketResult>"
        )
    );
}

#[test]
fn a_name_that_xml_can_not_carry_makes_the_whole_page_encoded() {
    let page = |keys: &[&str]| {
        let objects = keys.iter().map(|key| object(key, 0)).collect();
        let output = ListObjectsV2Output {
            objects,
            ..ListObjectsV2Output::default()
        };
        list_objects_v2(&v2(Encoding::Plain), &output)
    };
    let plain = page(&["a b/<&>é\r\n🦀"]);
    assert!(!plain.contains("EncodingType"), "{plain}");
    assert!(
        plain.contains("<Key>a b/&lt;&amp;&gt;é&#13;\n🦀</Key>"),
        "{plain}"
    );
    let encoded = page(&["a b/x", "a b/\u{1}\0"]);
    assert!(
        encoded.contains("<EncodingType>url</EncodingType>"),
        "{encoded}"
    );
    assert!(encoded.contains("<Prefix>a%20b/</Prefix>"), "{encoded}");
    assert!(encoded.contains("<Key>a%20b/x</Key>"), "{encoded}");
    assert!(encoded.contains("<Key>a%20b/%01%00</Key>"), "{encoded}");
}

#[test]
fn versions_and_markers_are_told_apart() {
    let input = ListObjectVersionsInput {
        bucket: bucket(),
        filter: ListFilter {
            max_keys: 2,
            ..filter()
        },
        key_marker: "k0".to_owned(),
        version_id_marker: Some(VersionId::parse("v0").unwrap()),
    };
    let version = |id: &str, is_latest, kind| VersionEntry {
        key: ObjectKey::parse("k").unwrap(),
        version_id: VersionId::parse(id).unwrap(),
        is_latest,
        last_modified: Timestamp::from_ms(1_255_369_830_123),
        kind,
    };
    let stored = VersionKind::Object {
        etag: ETag::from_text("aa"),
        size: 5,
        storage_class: StorageClass::parse("archive").unwrap(),
        checksum: None,
    };
    let output = ListObjectVersionsOutput {
        versions: vec![
            version("v2", true, VersionKind::DeleteMarker),
            version("null", false, stored),
        ],
        common_prefixes: Vec::new(),
        next: Some(("k".to_owned(), Some(VersionId::null()))),
    };
    assert_eq!(
        list_object_versions(&input, &output),
        expected(
            "<ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">
             <Name>bucket</Name>
             <Prefix/>
             <KeyMarker>k0</KeyMarker>
             <VersionIdMarker>v0</VersionIdMarker>
             <NextKeyMarker>k</NextKeyMarker>
             <NextVersionIdMarker>null</NextVersionIdMarker>
             <MaxKeys>2</MaxKeys>
             <IsTruncated>true</IsTruncated>
             <DeleteMarker>
             <Key>k</Key>
             <VersionId>v2</VersionId>
             <IsLatest>true</IsLatest>
             <LastModified>2009-10-12T17:50:30.123Z</LastModified>
             [owner]
             </DeleteMarker>
             <Version>
             <Key>k</Key>
             <VersionId>null</VersionId>
             <IsLatest>false</IsLatest>
             <LastModified>2009-10-12T17:50:30.123Z</LastModified>
             <ETag>&quot;aa&quot;</ETag>
             <Size>5</Size>
             [owner]
             <StorageClass>archive</StorageClass>
             </Version>
             </ListVersionsResult>"
        )
    );
}

#[test]
fn open_uploads_are_listed_with_their_owner() {
    let input = ListMultipartUploadsInput {
        bucket: bucket(),
        filter: ListFilter {
            delimiter: Some("/".to_owned()),
            ..filter()
        },
        key_marker: String::new(),
        upload_id_marker: None,
    };
    let output = ListMultipartUploadsOutput {
        uploads: vec![UploadEntry {
            key: ObjectKey::parse("k").unwrap(),
            upload_id: UploadId::parse("u1").unwrap(),
            owner: Owner::default(),
            storage_class: StorageClass::standard(),
            initiated: Timestamp::from_ms(1_255_369_830_000),
            checksum: Some((ChecksumAlgorithm::Sha256, ChecksumType::Composite)),
        }],
        common_prefixes: vec!["p/".to_owned()],
        next: None,
    };
    assert_eq!(
        list_multipart_uploads(&input, &output),
        expected(
            "<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">
             <Bucket>bucket</Bucket>
             <KeyMarker/>
             <UploadIdMarker/>
             <Delimiter>/</Delimiter>
             <Prefix/>
             <MaxUploads>1000</MaxUploads>
             <IsTruncated>false</IsTruncated>
             <Upload>
             <Key>k</Key>
             <UploadId>u1</UploadId>
             [initiator]
             [owner]
             <StorageClass>STANDARD</StorageClass>
             <Initiated>2009-10-12T17:50:30.000Z</Initiated>
             <ChecksumAlgorithm>SHA256</ChecksumAlgorithm>
             <ChecksumType>COMPOSITE</ChecksumType>
             </Upload>
             <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>
             </ListMultipartUploadsResult>"
        )
    );
}
