//! Multipart uploads: parts, what becomes of them, and what is refused.

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_erasure::PutSpec;
use holdfast_gateway::s3::error::{ErrorCode, S3Error};
use holdfast_gateway::s3::name::{PartNumber, UploadId};
use holdfast_gateway::s3::op::{
    AbortMultipartUploadInput, BodyClaims, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CreateMultipartUploadInput, ETag, GetObjectInput, ListPartsInput,
    ObjectAttributes, ObjectChecksum, S3Service, Select, StorageClass, UploadPartInput,
    WriteCondition,
};
use holdfast_metadata::command::{CompleteUpload, CreateUpload, NewBlob, PutPart};
use holdfast_metadata::model::{Attributes, OpId, VersionSelector};
use holdfast_types::{BlobId, FailureDomain, Generation, Layout, Region};
use md5::{Digest, Md5};

use crate::lab::{
    Lab, bucket, bytes_of, checksum, code, complete_input, copy_input, etag_of, get_input,
    get_range, noise, object_key, spoilt_body,
};

const MIB: usize = 1 << 20;

fn abort(key: &str, upload: &UploadId) -> AbortMultipartUploadInput {
    AbortMultipartUploadInput {
        bucket: bucket("films"),
        key: object_key(key),
        upload_id: upload.clone(),
    }
}

fn list(key: &str, upload: &UploadId, max: u32, marker: u32) -> ListPartsInput {
    ListPartsInput {
        bucket: bucket("films"),
        key: object_key(key),
        upload_id: upload.clone(),
        max_parts: max,
        part_number_marker: marker,
    }
}

fn multipart_etag(parts: &[&[u8]]) -> ETag {
    let md5s: Vec<u8> = parts.iter().flat_map(Md5::digest).collect();
    ETag::from_text(&format!(
        "{}-{}",
        hex::encode(Md5::digest(md5s)),
        parts.len()
    ))
}

#[tokio::test]
async fn parts_become_an_object() {
    let lab = Lab::new().await;
    let bytes = noise(1, 11 * MIB);
    let cuts = [
        &bytes[..5 * MIB],
        &bytes[5 * MIB..10 * MIB + 3],
        &bytes[10 * MIB + 3..],
    ];
    let upload = lab.begin("a", None).await;
    assert_eq!(code(lab.get("a").await), ErrorCode::NoSuchKey);
    let mut parts = Vec::new();
    for (number, cut) in [2, 3, 7].into_iter().zip(cuts) {
        lab.put_part("a", &upload, number, b"replaced")
            .await
            .unwrap();
        parts.push((
            number,
            lab.put_part("a", &upload, number, cut).await.unwrap(),
        ));
    }
    lab.put_part("a", &upload, 9, b"not listed").await.unwrap();
    let listed: Vec<_> = parts.iter().map(|(number, part)| (*number, part)).collect();
    let crc = ObjectChecksum::full_object(checksum(ChecksumAlgorithm::Crc64Nvme, &bytes));
    let input = CompleteMultipartUploadInput {
        object_len: Some(bytes.len() as u64),
        checksum: Some(crc.clone()),
        checksum_type: Some(ChecksumType::FullObject),
        ..complete_input("a", &upload, &listed)
    };
    let made = lab.complete(input.clone()).await.unwrap();
    assert_eq!(made.etag, multipart_etag(&cuts));
    assert_eq!(made.checksum, Some(crc));
    assert_eq!(lab.get("a").await.unwrap(), bytes);
    assert_eq!(
        lab.complete(input).await.unwrap(),
        made,
        "sent again, answered the same"
    );

    for (number, cut, start) in [(2, cuts[0], 0), (3, cuts[1], 5 * MIB)] {
        let part = Select::Part(PartNumber::new(number).unwrap());
        let output = lab
            .open(GetObjectInput {
                select: part,
                ..get_input("a")
            })
            .await
            .unwrap();
        let range = start as u64..(start + cut.len()) as u64;
        assert_eq!(
            (output.range.clone(), output.head.parts_count),
            (Some(range), Some(3))
        );
        assert_eq!(bytes_of(output).await.unwrap(), cut);
    }
    let part = Select::Part(PartNumber::new(9).unwrap());
    let absent = lab
        .open(GetObjectInput {
            select: part,
            ..get_input("a")
        })
        .await;
    assert_eq!(code(absent), ErrorCode::InvalidPartNumber);
    let across = format!("bytes={}-{}", 5 * MIB - 10, 10 * MIB + 12);
    let expected = &bytes[5 * MIB - 10..10 * MIB + 13];
    assert_eq!(lab.read(get_range("a", &across)).await.unwrap(), expected);

    let late = lab.put_part("a", &upload, 1, b"late").await;
    assert_eq!(code(late), ErrorCode::NoSuchUpload);
    let aborted = lab
        .gateway
        .abort_multipart_upload(&lab.context, abort("a", &upload))
        .await;
    assert_eq!(code(aborted), ErrorCode::NoSuchUpload);
    assert_eq!(lab.get("a").await.unwrap(), bytes);
}

#[tokio::test]
async fn a_list_of_parts_that_is_not_right_is_refused_and_changes_nothing() {
    let lab = Lab::new().await;
    let upload = lab.begin("a", None).await;
    let big = lab
        .put_part("a", &upload, 1, &noise(1, 5 * MIB))
        .await
        .unwrap();
    let small = lab.put_part("a", &upload, 2, b"small").await.unwrap();
    let last = lab.put_part("a", &upload, 3, b"last").await.unwrap();
    let complete = async |parts: &[_]| lab.complete(complete_input("a", &upload, parts)).await;

    assert_eq!(
        code(complete(&[(2, &small), (1, &big)]).await),
        ErrorCode::InvalidPartOrder
    );
    assert_eq!(
        code(complete(&[(1, &big), (1, &big)]).await),
        ErrorCode::InvalidPartOrder
    );
    let absent = complete(&[(1, &big), (4, &last)]).await.unwrap_err();
    assert_eq!(absent.code(), ErrorCode::InvalidPart);
    assert_eq!(absent.extra("PartNumber"), Some("4"));
    assert_eq!(
        code(complete(&[(1, &big), (3, &small)]).await),
        ErrorCode::InvalidPart
    );
    let too_small = complete(&[(1, &big), (2, &small), (3, &last)])
        .await
        .unwrap_err();
    assert_eq!(too_small.code(), ErrorCode::EntityTooSmall);
    assert_eq!(too_small.extra("PartNumber"), Some("2"));
    assert_eq!(too_small.extra("ProposedSize"), Some("5"));

    let good = complete_input("a", &upload, &[(1, &big), (3, &last)]);
    let mut other_crc = good.clone();
    other_crc.parts[1].checksum = small.checksum.clone();
    assert_eq!(code(lab.complete(other_crc).await), ErrorCode::InvalidPart);
    let other_len = CompleteMultipartUploadInput {
        object_len: Some(1),
        ..good.clone()
    };
    assert_eq!(
        code(lab.complete(other_len).await),
        ErrorCode::InvalidRequest
    );
    let composite = Some(ChecksumType::Composite);
    let other_type = CompleteMultipartUploadInput {
        checksum_type: composite,
        ..good.clone()
    };
    assert_eq!(
        code(lab.complete(other_type).await),
        ErrorCode::InvalidRequest
    );
    let wrong = ObjectChecksum::full_object(checksum(ChecksumAlgorithm::Crc64Nvme, b"x"));
    let other_value = CompleteMultipartUploadInput {
        checksum: Some(wrong),
        ..good.clone()
    };
    assert_eq!(code(lab.complete(other_value).await), ErrorCode::BadDigest);
    lab.put("a", b"there").await.unwrap();
    let absent = CompleteMultipartUploadInput {
        condition: WriteCondition::IfAbsent,
        ..good.clone()
    };
    assert_eq!(
        code(lab.complete(absent).await),
        ErrorCode::PreconditionFailed
    );

    assert_eq!(lab.get("a").await.unwrap(), b"there");
    lab.complete(good).await.unwrap();
    assert_eq!(lab.get("a").await.unwrap().len(), 5 * MIB + 4);
}

#[tokio::test]
async fn checksums_follow_what_the_upload_was_begun_with() {
    use ChecksumAlgorithm::{Crc32, Crc32c, Sha256};
    let lab = Lab::new().await;
    let bytes = noise(1, 6 * MIB);
    let (first, last) = bytes.split_at(5 * MIB);
    for (algorithm, kind) in [
        (Crc32, ChecksumType::Composite),
        (Sha256, ChecksumType::Composite),
        (Crc32, ChecksumType::FullObject),
        (Crc32c, ChecksumType::FullObject),
    ] {
        let upload = lab.begin("a", Some((algorithm, kind))).await;
        let named = Some(algorithm);
        let other = Some(ChecksumAlgorithm::Sha1);
        let refused = lab.put_part_by("a", &upload, 1, first, other).await;
        assert_eq!(code(refused), ErrorCode::InvalidRequest);
        let one = lab
            .put_part_by("a", &upload, 1, first, named)
            .await
            .unwrap();
        let unnamed = lab.put_part("a", &upload, 2, last).await;
        let two = match kind {
            ChecksumType::FullObject => unnamed.unwrap(),
            ChecksumType::Composite => {
                assert_eq!(code(unnamed), ErrorCode::InvalidRequest);
                lab.put_part_by("a", &upload, 2, last, named).await.unwrap()
            }
        };
        assert_eq!(two.checksum, Some(checksum(algorithm, last)));
        let input = complete_input("a", &upload, &[(1, &one), (2, &two)]);
        let expected = match kind {
            ChecksumType::FullObject => ObjectChecksum::full_object(checksum(algorithm, &bytes)),
            ChecksumType::Composite => {
                let mut without = input.clone();
                without.parts[1].checksum = None;
                let refused = lab.complete(without).await.unwrap_err();
                assert_eq!(refused.code(), ErrorCode::InvalidRequest);
                let of = |bytes: &[u8]| checksum(algorithm, bytes).digest;
                let both = [of(first), of(last)].concat();
                ObjectChecksum::composite(checksum(algorithm, &both), 2)
            }
        };
        assert_eq!(
            lab.complete(input).await.unwrap().checksum,
            Some(expected.clone())
        );
        assert_eq!(
            lab.head(get_input("a")).await.unwrap().head.checksum,
            Some(expected)
        );
    }
}

#[tokio::test]
async fn parts_of_an_unknown_upload_are_refused_before_they_are_read() {
    let lab = Lab::new().await;
    let upload = lab.begin("a", None).await;
    let unknown = UploadId::parse("00000000000000000000000000000000").unwrap();
    let nonsense = UploadId::parse("nonsense").unwrap();
    for id in [&unknown, &nonsense] {
        assert_eq!(
            code(lab.put_part("a", id, 1, b"x").await),
            ErrorCode::NoSuchUpload
        );
    }
    assert_eq!(
        code(lab.put_part("b", &upload, 1, b"x").await),
        ErrorCode::NoSuchUpload
    );
    lab.put_part("a", &upload, 1, b"x").await.unwrap();
    lab.gateway
        .abort_multipart_upload(&lab.context, abort("a", &upload))
        .await
        .unwrap();
    assert_eq!(
        code(lab.put_part("a", &upload, 1, b"x").await),
        ErrorCode::NoSuchUpload
    );
    let listed = lab
        .gateway
        .list_parts(&lab.context, list("a", &upload, 10, 0))
        .await;
    assert_eq!(code(listed), ErrorCode::NoSuchUpload);
    let again = lab
        .gateway
        .abort_multipart_upload(&lab.context, abort("a", &upload))
        .await;
    assert_eq!(code(again), ErrorCode::NoSuchUpload);
    let received = lab.metrics.bytes_in.get();
    assert_eq!(received, 1, "of all these bodies, one was read");
}

#[tokio::test]
async fn parts_are_listed_in_pages() {
    let lab = Lab::new().await;
    let upload = lab.begin("a", None).await;
    for number in [1, 5, 9, 10_000] {
        lab.put_part("a", &upload, number, &noise(1, number as usize))
            .await
            .unwrap();
    }
    let page = async |max, marker| {
        let input = list("a", &upload, max, marker);
        let output = lab.gateway.list_parts(&lab.context, input).await.unwrap();
        let numbers = output
            .parts
            .iter()
            .map(|part| (part.part_number.get(), part.size));
        (numbers.collect::<Vec<_>>(), output.next_part_number_marker)
    };
    assert_eq!(page(2, 0).await, (vec![(1, 1), (5, 5)], Some(5)));
    assert_eq!(page(2, 5).await, (vec![(9, 9), (10_000, 10_000)], None));
    assert_eq!(page(1000, 0).await.0.len(), 4);
    assert_eq!(page(0, 0).await, (Vec::new(), None));
}

#[tokio::test]
async fn an_upload_of_nothing_is_an_empty_object() {
    let lab = Lab::new().await;
    let upload = lab.begin("a", None).await;
    let part = lab.put_part("a", &upload, 1, b"").await.unwrap();
    let made = lab
        .complete(complete_input("a", &upload, &[(1, &part)]))
        .await
        .unwrap();
    assert_eq!(made.etag, multipart_etag(&[b""]));
    assert_eq!(lab.get("a").await.unwrap(), b"");
}

#[tokio::test]
async fn a_part_that_is_not_what_was_said_is_never_seen() {
    let lab = Lab::new().await;
    let upload = lab.begin("a", None).await;
    lab.put_part("a", &upload, 1, b"good").await.unwrap();
    let fragments = lab.drives.fragment_count();
    let input = UploadPartInput {
        bucket: bucket("films"),
        key: object_key("a"),
        upload_id: upload.clone(),
        part_number: PartNumber::new(1).unwrap(),
        claims: BodyClaims::default(),
        customer_key: None,
    };
    let spoilt = spoilt_body(&noise(1, 20_000));
    let refused = lab.gateway.upload_part(&lab.context, input, spoilt).await;
    assert_eq!(code(refused), ErrorCode::BadDigest);
    lab.gateway.drain().await;
    assert_eq!(lab.drives.fragment_count(), fragments);
    let input = list("a", &upload, 10, 0);
    let output = lab.gateway.list_parts(&lab.context, input).await.unwrap();
    assert_eq!(output.parts.len(), 1);
    assert_eq!(output.parts[0].etag, etag_of(b"good"));
}

#[tokio::test]
async fn an_upload_follows_its_storage_class_and_its_object_keeps_it() {
    let lab = Lab::new().await;
    let input = CreateMultipartUploadInput {
        bucket: bucket("films"),
        key: object_key("a"),
        attributes: ObjectAttributes::default(),
        storage_class: Some(StorageClass::parse("mirror").unwrap()),
        checksum: None,
        lock: Default::default(),
        encryption: Default::default(),
    };
    let unknown = CreateMultipartUploadInput {
        storage_class: Some(StorageClass::parse("GLACIER").unwrap()),
        ..input.clone()
    };
    let refused = lab
        .gateway
        .create_multipart_upload(&lab.context, unknown)
        .await;
    assert_eq!(code(refused), ErrorCode::InvalidStorageClass);
    let begun = lab
        .gateway
        .create_multipart_upload(&lab.context, input)
        .await
        .unwrap();
    let part = lab
        .put_part("a", &begun.upload_id, 1, &noise(1, 20_000))
        .await
        .unwrap();
    assert_eq!(lab.drives.fragment_count(), 3, "three copies");
    let listed = list("a", &begun.upload_id, 10, 0);
    let listed = lab.gateway.list_parts(&lab.context, listed).await.unwrap();
    assert_eq!(listed.storage_class.as_str(), "mirror");
    lab.complete(complete_input("a", &begun.upload_id, &[(1, &part)]))
        .await
        .unwrap();
    let head = lab.head(get_input("a")).await.unwrap().head;
    assert_eq!(head.storage_class.as_str(), "mirror");
}

#[tokio::test]
async fn a_copy_of_an_object_of_parts_has_its_parts() {
    let lab = Lab::new().await;
    let bytes = noise(1, 6 * MIB);
    let (first, last) = bytes.split_at(5 * MIB);
    let upload = lab.begin("a", None).await;
    let one = lab.put_part("a", &upload, 1, first).await.unwrap();
    let two = lab.put_part("a", &upload, 2, last).await.unwrap();
    lab.complete(complete_input("a", &upload, &[(1, &one), (2, &two)]))
        .await
        .unwrap();
    let copy = lab
        .gateway
        .copy_object(&lab.context, copy_input("a", "b"))
        .await
        .unwrap();
    assert_eq!(copy.etag, multipart_etag(&[first, last]));
    lab.delete("a", None).await.unwrap();
    let part = Select::Part(PartNumber::new(2).unwrap());
    let output = lab
        .open(GetObjectInput {
            select: part,
            ..get_input("b")
        })
        .await
        .unwrap();
    assert_eq!(output.head.parts_count, Some(2));
    assert_eq!(bytes_of(output).await.unwrap(), last);
    assert_eq!(lab.get("b").await.unwrap(), bytes);
}

/// Parts of 64 bytes, put past the edge: S3 has no way to make such an object quickly.
async fn object_of_many_parts(lab: &Lab, key: &str, count: u32) -> Vec<u8> {
    let bytes = noise(9, 64 * count as usize);
    let upload = lab
        .metadata
        .create_upload(CreateUpload {
            bucket: "films".to_owned(),
            key: key.as_bytes().to_vec(),
            attributes: Attributes::default(),
            checksum: None,
            lock: Default::default(),
        })
        .await
        .unwrap()
        .id;
    let put = |number: u32| {
        let piece = bytes[64 * (number as usize - 1)..][..64].to_vec();
        async move {
            let spec = PutSpec {
                blob: BlobId::generate(),
                len: 64,
                layout: Layout::copies(3).unwrap(),
                region: Region::parse("us-east-1").unwrap(),
                generation: Generation::default(),
                protect: FailureDomain::Drive,
                quorum: None,
            };
            let body = stream::iter([Ok::<_, S3Error>(Bytes::from(piece.clone()))]);
            let receipt = lab.blobs.put(spec, body).await.unwrap();
            let blob = NewBlob {
                id: receipt.blob,
                len: 64,
                seal: None,
                placement: receipt.placement,
                debts: Vec::new(),
                strays: Vec::new(),
            };
            let part = PutPart {
                op: OpId::from(receipt.blob),
                upload,
                bucket: "films".to_owned(),
                key: key.as_bytes().to_vec(),
                part_number: number,
                blob: Some(blob),
                etag: hex::encode(Md5::digest(&piece)),
                checksum: None,
            };
            (number, lab.metadata.put_part(part).await.unwrap().uid)
        }
    };
    let parts = stream::iter(1..=count)
        .map(put)
        .buffered(256)
        .collect()
        .await;
    let complete = CompleteUpload {
        op: OpId::generate(),
        upload,
        bucket: "films".to_owned(),
        key: key.as_bytes().to_vec(),
        parts,
        etag: "many".to_owned(),
        checksum: None,
        condition: Default::default(),
        origin: Default::default(),
    };
    lab.metadata.complete_upload(complete).await.unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_ten_thousand_parts_needs_few_rows_and_all_of_them_read_back() {
    let lab = Lab::new().await;
    let bytes = object_of_many_parts(&lab, "a", 10_000).await;
    let id = lab.metadata.bucket("films").await.unwrap().id;
    let version = lab
        .metadata
        .version(id, b"a", &VersionSelector::Current)
        .await
        .unwrap();
    assert_eq!((version.size, version.parts), (640_000, Some(10_000)));
    let rows = lab
        .metadata
        .slices(version.uid, 400_010..400_150)
        .await
        .unwrap();
    assert_eq!(
        rows.len(),
        3,
        "rows of the parts that the range touches, and no others"
    );

    lab.drives.take_blocks_read();
    lab.script.take_rows();
    let read = lab.read(get_range("a", "bytes=400010-400149")).await;
    let rows = lab.script.take_rows();
    assert!(
        rows <= 5,
        "bucket, version and three slices, not {rows} rows"
    );
    let read = read.unwrap();
    assert_eq!(read, bytes[400_010..400_150]);
    assert_eq!(lab.drives.take_blocks_read(), 3);
    let part = Select::Part(PartNumber::new(9_999).unwrap());
    let read = lab
        .read(GetObjectInput {
            select: part,
            ..get_input("a")
        })
        .await
        .unwrap();
    assert_eq!(read, bytes[64 * 9_998..64 * 9_999]);
    assert_eq!(lab.get("a").await.unwrap(), bytes);
}
