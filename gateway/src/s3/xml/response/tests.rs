//! Documents other than listings, against AWS's examples.

use super::*;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::{BucketName, ObjectKey, PartNumber, UploadId, VersionId};
use crate::s3::op::{
    BucketEntry, ChecksumAlgorithm, ChecksumType, DeleteObjectOutput, ETag, OWNER_ID, Owner,
    PartEntry, StorageClass, VersioningStatus,
};
use crate::s3::time::Timestamp;

const TIME: Timestamp = Timestamp::from_ms(1_255_369_830_000);

fn expected(document: &str) -> String {
    let body: String = document.lines().map(str::trim).collect();
    let xmlns = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
        body.replace(" xmlns", xmlns)
    )
    .replace("[id]", OWNER_ID)
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

fn key(key: &str) -> ObjectKey {
    ObjectKey::parse(key).unwrap()
}

fn crc() -> Checksum {
    Checksum::parse(ChecksumAlgorithm::Crc32, "AAAAAQ==").unwrap()
}

#[test]
fn buckets_are_listed_with_region_only_where_asked() {
    let mut input = ListBucketsInput {
        prefix: None,
        after: None,
        max_buckets: None,
        region: None,
    };
    let output = ListBucketsOutput {
        owner: Owner::default(),
        buckets: vec![BucketEntry {
            name: bucket(),
            created: TIME,
            region: "us-east-1".to_owned(),
        }],
        next_after: None,
    };
    let owner = "<Owner><ID>[id]</ID><DisplayName>holdfast</DisplayName></Owner>";
    assert_eq!(
        list_buckets(&input, &output),
        expected(&format!(
            "<ListAllMyBucketsResult xmlns>{owner}<Buckets><Bucket><Name>bucket</Name>
             <CreationDate>2009-10-12T17:50:30.000Z</CreationDate></Bucket></Buckets>
             </ListAllMyBucketsResult>"
        ))
    );
    input.max_buckets = Some(1);
    let paged = list_buckets(
        &input,
        &ListBucketsOutput {
            next_after: Some("bucket".to_owned()),
            ..output
        },
    );
    assert!(
        paged.contains("<BucketRegion>us-east-1</BucketRegion></Bucket>"),
        "{paged}"
    );
    assert!(
        paged.contains("<ContinuationToken>AWJ1Y2tldA</ContinuationToken>"),
        "{paged}"
    );
}

#[test]
fn the_first_region_has_no_name() {
    let location = |region: &str| {
        get_bucket_location(&GetBucketLocationOutput {
            region: region.to_owned(),
        })
    };
    assert_eq!(
        location("us-east-1"),
        expected("<LocationConstraint xmlns/>")
    );
    assert_eq!(
        location("eu-west-1"),
        expected("<LocationConstraint xmlns>eu-west-1</LocationConstraint>")
    );
}

#[test]
fn versioning_that_was_never_on_has_no_status() {
    let document = |status| get_bucket_versioning(&GetBucketVersioningOutput { status });
    assert_eq!(
        document(None),
        expected("<VersioningConfiguration xmlns></VersioningConfiguration>")
    );
    assert_eq!(
        document(Some(VersioningStatus::Suspended)),
        expected(
            "<VersioningConfiguration xmlns><Status>Suspended</Status></VersioningConfiguration>"
        )
    );
}

#[test]
fn a_copy_answers_its_tag_time_and_checksum() {
    let output = CopyObjectOutput {
        etag: ETag::from_text("aa"),
        last_modified: TIME,
        version_id: None,
        source_version_id: None,
        checksum: Some(ObjectChecksum::composite(crc(), 3)),
        encryption: None,
        expiration: None,
    };
    assert_eq!(
        copy_object(&output),
        expected(
            "<CopyObjectResult xmlns><LastModified>2009-10-12T17:50:30.000Z</LastModified>
             <ETag>&quot;aa&quot;</ETag><ChecksumCRC32>AAAAAQ==-3</ChecksumCRC32>
             <ChecksumType>COMPOSITE</ChecksumType></CopyObjectResult>"
        )
    );
}

#[test]
fn a_bulk_delete_tells_each_outcome_and_quietly_only_failures() {
    let marker = VersionId::parse("m1").unwrap();
    let done = |version_id, delete_marker| {
        Ok(DeleteObjectOutput {
            version_id,
            delete_marker,
        })
    };
    let output = DeleteObjectsOutput {
        results: vec![
            DeleteResult {
                key: key("plain"),
                version_id: None,
                outcome: done(None, false),
            },
            DeleteResult {
                key: key("laid"),
                version_id: None,
                outcome: done(Some(marker.clone()), true),
            },
            DeleteResult {
                key: key("removed"),
                version_id: Some(marker.clone()),
                outcome: done(Some(marker), true),
            },
            DeleteResult {
                key: key("a\u{1}<"),
                version_id: Some(VersionId::null()),
                outcome: Err(S3Error::new(ErrorCode::AccessDenied)),
            },
        ],
    };
    let failure = "<Error><Key>a&#1;&lt;</Key><VersionId>null</VersionId><Code>AccessDenied</Code>
                   <Message>Access Denied</Message></Error>";
    assert_eq!(
        delete_objects(&output, false),
        expected(&format!(
            "<DeleteResult xmlns>
             <Deleted><Key>plain</Key></Deleted>
             <Deleted><Key>laid</Key><DeleteMarker>true</DeleteMarker>
             <DeleteMarkerVersionId>m1</DeleteMarkerVersionId></Deleted>
             <Deleted><Key>removed</Key><VersionId>m1</VersionId><DeleteMarker>true</DeleteMarker>
             <DeleteMarkerVersionId>m1</DeleteMarkerVersionId></Deleted>
             {failure}
             </DeleteResult>"
        ))
    );
    assert_eq!(
        delete_objects(&output, true),
        expected(&format!("<DeleteResult xmlns>{failure}</DeleteResult>"))
    );
}

#[test]
fn an_upload_is_begun_listed_and_completed() {
    let upload_id = UploadId::parse("u1").unwrap();
    let begun = CreateMultipartUploadOutput {
        abort: None,
        bucket: bucket(),
        key: key("k"),
        upload_id: upload_id.clone(),
        checksum: None,
        encryption: None,
    };
    assert_eq!(
        create_multipart_upload(&begun),
        expected(
            "<InitiateMultipartUploadResult xmlns><Bucket>bucket</Bucket><Key>k</Key>
             <UploadId>u1</UploadId></InitiateMultipartUploadResult>"
        )
    );
    let input = ListPartsInput {
        bucket: bucket(),
        key: key("k"),
        upload_id,
        max_parts: 1,
        part_number_marker: 1,
    };
    let listed = ListPartsOutput {
        parts: vec![PartEntry {
            part_number: PartNumber::new(2).unwrap(),
            last_modified: TIME,
            etag: ETag::from_text("aa"),
            size: 10_485_760,
            checksum: Some(crc()),
        }],
        next_part_number_marker: Some(2),
        storage_class: StorageClass::standard(),
        owner: Owner::default(),
        checksum: Some((ChecksumAlgorithm::Crc32, ChecksumType::Composite)),
        abort: None,
    };
    assert_eq!(
        list_parts(&input, &listed),
        expected(
            "<ListPartsResult xmlns><Bucket>bucket</Bucket><Key>k</Key><UploadId>u1</UploadId>
             <Initiator><ID>[id]</ID><DisplayName>holdfast</DisplayName></Initiator>
             <Owner><ID>[id]</ID><DisplayName>holdfast</DisplayName></Owner>
             <StorageClass>STANDARD</StorageClass>
             <PartNumberMarker>1</PartNumberMarker>
             <NextPartNumberMarker>2</NextPartNumberMarker>
             <MaxParts>1</MaxParts><IsTruncated>true</IsTruncated>
             <ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>
             <Part><PartNumber>2</PartNumber>
             <LastModified>2009-10-12T17:50:30.000Z</LastModified>
             <ETag>&quot;aa&quot;</ETag><Size>10485760</Size>
             <ChecksumCRC32>AAAAAQ==</ChecksumCRC32></Part></ListPartsResult>"
        )
    );
    let completed = CompleteMultipartUploadOutput {
        bucket: bucket(),
        key: key("k"),
        etag: ETag::from_text("3858f62230ac3c915f300c664312c11f-9"),
        version_id: None,
        checksum: None,
        encryption: None,
        expiration: None,
    };
    assert_eq!(
        complete_multipart_upload(&completed, "http://host/bucket/k"),
        expected(
            "<CompleteMultipartUploadResult xmlns><Location>http://host/bucket/k</Location>
             <Bucket>bucket</Bucket><Key>k</Key>
             <ETag>&quot;3858f62230ac3c915f300c664312c11f-9&quot;</ETag>
             </CompleteMultipartUploadResult>"
        )
    );
}
