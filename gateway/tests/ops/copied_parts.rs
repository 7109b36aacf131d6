//! UploadPartCopy: parts of bytes that are there already.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::name::{PartNumber, UploadId};
use holdfast_gateway::s3::op::{
    ChecksumAlgorithm, ChecksumType, CopySource, ETagCondition, ObjectChecksum, ReadConditions,
    S3Service, UploadPartCopyInput, UploadPartOutput, VersioningStatus,
};

use crate::lab::{
    Lab, bucket, checksum, code, complete_input, etag_of, noise, object_key, version_id,
};

const MIB: usize = 1 << 20;

fn part_of(source: &str, upload: &UploadId, number: u32) -> UploadPartCopyInput {
    UploadPartCopyInput {
        source: CopySource {
            bucket: bucket("films"),
            key: object_key(source),
            version_id: None,
        },
        source_conditions: ReadConditions::default(),
        source_range: None,
        bucket: bucket("films"),
        key: object_key("made"),
        upload_id: upload.clone(),
        part_number: PartNumber::new(number).unwrap(),
        source_key: None,
        customer_key: None,
    }
}

fn range_of(
    source: &str,
    upload: &UploadId,
    number: u32,
    range: std::ops::Range<usize>,
) -> UploadPartCopyInput {
    UploadPartCopyInput {
        source_range: Some((range.start as u64, range.end as u64 - 1)),
        ..part_of(source, upload, number)
    }
}

#[tokio::test]
async fn ranges_of_an_object_become_another_without_moving_a_byte() {
    let lab = Lab::new().await;
    let bytes = noise(1, 12 * MIB);
    lab.put("source", &bytes).await.unwrap();
    let upload = lab.begin("made", None).await;
    let fragments = lab.drives.fragment_count();
    let mut parts = Vec::new();
    for (number, range) in [(1, 3..5 * MIB + 3), (2, 5 * MIB + 3..12 * MIB), (3, 0..1)] {
        let input = range_of("source", &upload, number, range.clone());
        let copied = lab
            .gateway
            .upload_part_copy(&lab.context, input)
            .await
            .unwrap();
        let of_range = &bytes[range];
        assert_eq!(copied.etag, etag_of(of_range));
        let crc = checksum(ChecksumAlgorithm::Crc64Nvme, of_range);
        assert_eq!(copied.checksum, Some(crc));
        assert_eq!(copied.source_version_id, None);
        parts.push((
            number,
            UploadPartOutput {
                etag: copied.etag,
                checksum: copied.checksum,
                encryption: None,
            },
        ));
    }
    assert_eq!(lab.drives.fragment_count(), fragments, "no byte moved");
    lab.delete("source", None).await.unwrap();
    let listed: Vec<_> = parts.iter().map(|(number, part)| (*number, part)).collect();
    let made = lab
        .complete(complete_input("made", &upload, &listed))
        .await
        .unwrap();
    let expected = [&bytes[3..], &bytes[..1]].concat();
    let crc = checksum(ChecksumAlgorithm::Crc64Nvme, &expected);
    assert_eq!(made.checksum, Some(ObjectChecksum::full_object(crc)));
    assert_eq!(lab.get("made").await.unwrap(), expected);
}

#[tokio::test]
async fn a_part_has_the_checksum_of_its_upload() {
    let lab = Lab::new().await;
    let bytes = noise(2, 300_000);
    lab.put("source", &bytes).await.unwrap();
    for (algorithm, kind) in [
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite),
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject),
    ] {
        let upload = lab.begin("made", Some((algorithm, kind))).await;
        let input = part_of("source", &upload, 1);
        let copied = lab
            .gateway
            .upload_part_copy(&lab.context, input)
            .await
            .unwrap();
        assert_eq!(copied.etag, etag_of(&bytes));
        assert_eq!(copied.checksum, Some(checksum(algorithm, &bytes)));
    }
    // One of parts has no MD5 for a tag: its bytes are read.
    let upload = lab.begin("parts", None).await;
    let part = lab.put_part("parts", &upload, 1, &bytes).await.unwrap();
    let complete = complete_input("parts", &upload, &[(1, &part)]);
    lab.complete(complete).await.unwrap();
    let upload = lab.begin("made", None).await;
    let input = part_of("parts", &upload, 1);
    let copied = lab
        .gateway
        .upload_part_copy(&lab.context, input)
        .await
        .unwrap();
    assert_eq!(copied.etag, etag_of(&bytes));
}

#[tokio::test]
async fn a_whole_plain_object_is_not_read() {
    let lab = Lab::new().await;
    let bytes = noise(3, 300_000);
    lab.put("source", &bytes).await.unwrap();
    lab.put("empty", b"").await.unwrap();
    let upload = lab.begin("made", None).await;
    let sent = lab.metrics.bytes_out.get();
    for (number, source, expected) in [(1, "source", bytes.as_slice()), (2, "empty", b"")] {
        let input = part_of(source, &upload, number);
        let copied = lab
            .gateway
            .upload_part_copy(&lab.context, input)
            .await
            .unwrap();
        assert_eq!(copied.etag, etag_of(expected));
        let crc = checksum(ChecksumAlgorithm::Crc64Nvme, expected);
        assert_eq!(copied.checksum, Some(crc));
    }
    assert_eq!(lab.metrics.bytes_out.get(), sent, "nothing was read");
}

#[tokio::test]
async fn what_can_not_be_copied_is_refused() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    let old = lab.put("source", b"0123456789").await.unwrap();
    let old = old.version_id.unwrap();
    lab.put("source", b"new").await.unwrap();
    let upload = lab.begin("made", None).await;
    let copy = |input| async { lab.gateway.upload_part_copy(&lab.context, input).await };

    let past = range_of("source", &upload, 1, 2..4);
    let error = copy(past).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert_eq!(
        error.text(),
        "Range specified is not valid for source object of size: 3"
    );
    let absent = part_of("absent", &upload, 1);
    assert_eq!(code(copy(absent).await), ErrorCode::NoSuchKey);
    let unknown = UploadId::parse(&"0".repeat(32)).unwrap();
    let unknown = part_of("source", &unknown, 1);
    assert_eq!(code(copy(unknown).await), ErrorCode::NoSuchUpload);
    let condition = UploadPartCopyInput {
        source_conditions: ReadConditions {
            if_match: Some(ETagCondition::OneOf(vec![etag_of(b"x")])),
            ..ReadConditions::default()
        },
        ..part_of("source", &upload, 1)
    };
    assert_eq!(code(copy(condition).await), ErrorCode::PreconditionFailed);

    let mut of_old = range_of("source", &upload, 1, 2..4);
    of_old.source.version_id = Some(version_id(old.as_str()));
    let copied = copy(of_old).await.unwrap();
    assert_eq!(copied.etag, etag_of(b"23"));
    assert_eq!(copied.source_version_id, Some(old));

    let marker = lab.delete("source", None).await.unwrap().version_id;
    let deleted = part_of("source", &upload, 1);
    assert_eq!(code(copy(deleted).await), ErrorCode::NoSuchKey);
    let mut of_marker = part_of("source", &upload, 1);
    of_marker.source.version_id = marker;
    assert_eq!(code(copy(of_marker).await), ErrorCode::InvalidRequest);
}
