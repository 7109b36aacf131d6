//! Encryption: what lies on the drives, who can read it, and what copies and parts do with keys.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::name::PartNumber;
use holdfast_gateway::s3::op::{
    AppliedEncryption, BlockedEncryption, BucketEncryption, BucketInput, CopyObjectInput,
    CreateMultipartUploadInput, ETag, GetObjectAttributesInput, GetObjectInput, ObjectAttribute,
    ObjectAttributes, ObjectChecksum, PutBucketEncryptionInput, PutObjectInput, ReadConditions,
    S3Service, UploadPartCopyInput, UploadPartInput, UploadPartOutput, WriteEncryption,
};
use holdfast_gateway::s3::op::{ChecksumAlgorithm, CopySource};
use holdfast_sealing::{CHUNK_LEN, CustomerKey, MasterKey};

use crate::lab::{
    Lab, body, bucket, checksum, code, complete_input, copy_input, etag_of, get_input, get_range,
    noise, object_key, padded_body, put_input, spoilt_body,
};

const CANARY: &[u8] = b"canary-in-the-mine";
const CHUNK: usize = CHUNK_LEN as usize;

fn customer(byte: u8) -> CustomerKey {
    CustomerKey::new(&[byte; 32]).unwrap()
}

fn by_customer(byte: u8) -> WriteEncryption {
    WriteEncryption::CustomerKey(customer(byte))
}

/// Bytes that would be known again on any drive.
fn canaries(len: usize) -> Vec<u8> {
    CANARY.iter().copied().cycle().take(len).collect()
}

fn put_by(key: &str, encryption: WriteEncryption) -> PutObjectInput {
    PutObjectInput {
        encryption,
        ..put_input(key)
    }
}

fn get_by(key: &str, byte: u8) -> GetObjectInput {
    GetObjectInput {
        customer_key: Some(customer(byte)),
        ..get_input(key)
    }
}

fn shown(byte: u8) -> Option<AppliedEncryption> {
    Some(AppliedEncryption::by_customer(&customer(byte)))
}

/// Ranges that begin and end around every chunk's boundary.
fn boundary_ranges(len: usize) -> Vec<std::ops::Range<usize>> {
    let mut places = vec![0, 1, len - 1, len];
    for chunk in 1..=len / CHUNK {
        places.extend([chunk * CHUNK - 1, chunk * CHUNK, chunk * CHUNK + 1]);
    }
    places.retain(|place| *place <= len);
    places.sort_unstable();
    places.dedup();
    let starts = places.clone();
    starts
        .iter()
        .flat_map(|start| places.iter().map(move |end| *start..*end))
        .filter(|range| range.start < range.end)
        .collect()
}

#[tokio::test]
async fn what_is_encrypted_is_nowhere_in_the_clear_and_comes_back() {
    let lab = Lab::new().await;
    for (key, encryption, len) in [
        ("small", WriteEncryption::ServerKey, 300),
        ("chunk", WriteEncryption::ServerKey, CHUNK),
        ("large", WriteEncryption::ServerKey, 3 * CHUNK + 77),
        ("own", by_customer(1), 2 * CHUNK + 5),
        ("own-empty", by_customer(1), 0),
        ("empty", WriteEncryption::ServerKey, 0),
    ] {
        let bytes = canaries(len);
        let is_own = encryption.customer_key().is_some();
        let output = lab
            .put_as(put_by(key, encryption), body(&bytes))
            .await
            .unwrap();
        let input = if is_own {
            get_by(key, 1)
        } else {
            get_input(key)
        };
        let expected = if is_own {
            shown(1)
        } else {
            Some(AppliedEncryption::ServerKey)
        };
        assert_eq!(output.encryption, expected, "{key}");
        assert_eq!(output.etag == etag_of(&bytes), !is_own, "{key}");
        let head = lab.head(input.clone()).await.unwrap().head;
        assert_eq!(head.encryption, expected);
        assert_eq!(head.object_len, len as u64);
        assert_eq!(head.etag, output.etag);
        let crc = checksum(ChecksumAlgorithm::Crc64Nvme, &bytes);
        assert_eq!(head.checksum, Some(ObjectChecksum::full_object(crc)));
        assert_eq!(lab.read(input).await.unwrap(), bytes, "{key}");
    }
    assert!(!lab.drives.hold(CANARY), "a drive has it in the clear");
    // And the search finds what is there to be found.
    lab.put("plain", &canaries(CHUNK)).await.unwrap();
    assert!(lab.drives.hold(CANARY));
}

#[tokio::test]
async fn ranges_open_the_chunks_they_need() {
    let lab = Lab::new().await;
    let bytes = noise(1, 5 * CHUNK + 4321);
    lab.put_as(put_by("k", WriteEncryption::ServerKey), body(&bytes))
        .await
        .unwrap();
    for range in boundary_ranges(bytes.len()) {
        let text = format!("bytes={}-{}", range.start, range.end - 1);
        let got = lab.read(get_range("k", &text)).await.unwrap();
        assert!(got == bytes[range], "{text}");
    }
    // Blocks of 4 KiB: one chunk with its tag lies in at most 18 of them.
    for at in [0, 2 * CHUNK + 5, bytes.len() - 1] {
        lab.drives.take_blocks_read();
        let got = lab.read(get_range("k", &format!("bytes={at}-{at}"))).await;
        assert_eq!(got.unwrap(), bytes[at..=at]);
        let blocks = lab.drives.take_blocks_read();
        assert!((1..=18).contains(&blocks), "{blocks} blocks for a byte");
    }
    let suffix = lab.read(get_range("k", "bytes=-9")).await.unwrap();
    assert_eq!(suffix, bytes[bytes.len() - 9..]);
}

#[tokio::test]
async fn a_customers_object_shows_nothing_without_its_key() {
    let lab = Lab::new().await;
    for (key, len) in [("k", 1000), ("empty", 0)] {
        lab.put_as(put_by(key, by_customer(1)), body(&noise(1, len)))
            .await
            .unwrap();
        let attributes = |customer_key| GetObjectAttributesInput {
            bucket: bucket("films"),
            key: object_key(key),
            version_id: None,
            wanted: vec![ObjectAttribute::ObjectSize],
            max_parts: 1,
            part_number_marker: 0,
            customer_key,
        };
        for (input, expected) in [
            (get_input(key), ErrorCode::InvalidRequest),
            (get_by(key, 2), ErrorCode::AccessDenied),
        ] {
            let asked = attributes(input.customer_key.clone());
            let answer = lab.gateway.get_object_attributes(&lab.context, asked).await;
            assert_eq!(code(answer), expected);
            assert_eq!(code(lab.head(input.clone()).await), expected);
            assert_eq!(code(lab.open(input).await.map(|_| ())), expected);
        }
        let own = attributes(Some(customer(1)));
        let answer = lab.gateway.get_object_attributes(&lab.context, own).await;
        assert_eq!(answer.unwrap().object_len, len as u64);
        let copies = [None, Some(customer(2))].map(|source_key| CopyObjectInput {
            source_key,
            ..copy_input(key, "stolen")
        });
        for (input, expected) in copies
            .into_iter()
            .zip([ErrorCode::InvalidRequest, ErrorCode::AccessDenied])
        {
            let copied = lab.gateway.copy_object(&lab.context, input).await;
            assert_eq!(code(copied), expected);
        }
    }
    lab.put_as(put_by("server", WriteEncryption::ServerKey), body(b"x"))
        .await
        .unwrap();
    lab.put("plain", b"x").await.unwrap();
    for key in ["server", "plain"] {
        let answer = lab.head(get_by(key, 1)).await;
        assert_eq!(code(answer), ErrorCode::InvalidRequest, "{key}");
    }
}

#[tokio::test]
async fn copies_share_what_may_be_shared_and_change_the_rest() {
    let lab = Lab::new().await;
    let bytes = canaries(2 * CHUNK + 100);
    let kinds = |byte| {
        [
            (None, WriteEncryption::BucketDefault),
            (None, WriteEncryption::ServerKey),
            (Some(customer(byte)), by_customer(byte)),
        ]
    };
    for (from, (source_key, source)) in kinds(1).into_iter().enumerate() {
        let name = format!("source-{from}");
        lab.put_as(put_by(&name, source.clone()), body(&bytes))
            .await
            .unwrap();
        for (to, (key, target)) in kinds(2).into_iter().enumerate() {
            let copy = format!("copy-{from}-{to}");
            let fragments = lab.drives.fragment_count();
            let input = CopyObjectInput {
                source_key: source_key.clone(),
                encryption: target.clone(),
                ..copy_input(&name, &copy)
            };
            let output = lab.gateway.copy_object(&lab.context, input).await.unwrap();
            let shares = from == to && from < 2;
            let moved = lab.drives.fragment_count() - fragments;
            assert_eq!(moved == 0, shares, "{from} to {to} wrote {moved} fragments");
            assert_eq!(output.etag == etag_of(&bytes), to < 2, "{from} to {to}");
            let input = GetObjectInput {
                customer_key: key,
                ..get_input(&copy)
            };
            let head = lab.head(input.clone()).await.unwrap().head;
            assert_eq!(head.encryption, output.encryption);
            assert_eq!(head.etag, output.etag);
            let crc = checksum(ChecksumAlgorithm::Crc64Nvme, &bytes);
            assert_eq!(head.checksum, Some(ObjectChecksum::full_object(crc)));
            assert_eq!(lab.read(input).await.unwrap(), bytes);
        }
        // The copies hold on to what they share.
        lab.delete(&name, None).await.unwrap();
        let first = format!("copy-{from}-1");
        assert_eq!(lab.get(&first).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn an_object_can_be_encrypted_in_its_place() {
    let lab = Lab::new().await;
    let bytes = noise(3, CHUNK + 1);
    lab.put("k", &bytes).await.unwrap();
    for (source_key, encryption, byte) in [
        (None, WriteEncryption::ServerKey, None),
        (None, by_customer(1), Some(1)),
        (Some(customer(1)), by_customer(2), Some(2)),
        (Some(customer(2)), WriteEncryption::BucketDefault, None),
    ] {
        let input = CopyObjectInput {
            source_key,
            encryption,
            ..copy_input("k", "k")
        };
        lab.gateway.copy_object(&lab.context, input).await.unwrap();
        let input = byte.map_or_else(|| get_input("k"), |byte| get_by("k", byte));
        assert_eq!(lab.read(input).await.unwrap(), bytes);
    }
    assert_eq!(
        lab.head(get_input("k")).await.unwrap().head.encryption,
        None
    );
}

fn part(key: &str, upload: &holdfast_gateway::s3::name::UploadId, number: u32) -> UploadPartInput {
    UploadPartInput {
        bucket: bucket("films"),
        key: object_key(key),
        upload_id: upload.clone(),
        part_number: PartNumber::new(number).unwrap(),
        claims: Default::default(),
        customer_key: None,
    }
}

#[tokio::test]
async fn parts_follow_their_upload_and_each_has_a_key_of_its_own() {
    let lab = Lab::new().await;
    let bytes = canaries(6 << 20);
    lab.put("source", &bytes).await.unwrap();
    for (name, encryption, key) in [
        ("server", WriteEncryption::ServerKey, None),
        ("own", by_customer(1), Some(customer(1))),
    ] {
        let begun = CreateMultipartUploadInput {
            bucket: bucket("films"),
            key: object_key(name),
            attributes: ObjectAttributes::default(),
            storage_class: None,
            checksum: None,
            encryption,
            lock: Default::default(),
        };
        let begun = lab
            .gateway
            .create_multipart_upload(&lab.context, begun)
            .await
            .unwrap();
        let expected = begun.encryption.clone();
        assert!(expected.is_some());
        let upload = begun.upload_id;
        let wrong_keys: &[Option<CustomerKey>] = match &key {
            None => &[Some(customer(1))],
            Some(_) => &[None, Some(customer(2))],
        };
        for wrong in wrong_keys {
            let input = UploadPartInput {
                customer_key: wrong.clone(),
                ..part(name, &upload, 1)
            };
            let refused = lab
                .gateway
                .upload_part(&lab.context, input, body(b"no"))
                .await;
            assert_eq!(code(refused), ErrorCode::InvalidRequest, "{name}");
        }
        let input = UploadPartInput {
            customer_key: key.clone(),
            ..part(name, &upload, 1)
        };
        let first = lab
            .gateway
            .upload_part(&lab.context, input, body(&bytes))
            .await
            .unwrap();
        assert_eq!(first.encryption, expected);
        assert_eq!(first.etag == etag_of(&bytes), key.is_none());
        let range = 5 << 20..(5 << 20) + 200_001;
        let copied = UploadPartCopyInput {
            source: CopySource {
                bucket: bucket("films"),
                key: object_key("source"),
                version_id: None,
            },
            source_conditions: ReadConditions::default(),
            source_range: Some((range.start as u64, range.end as u64 - 1)),
            bucket: bucket("films"),
            key: object_key(name),
            upload_id: upload.clone(),
            part_number: PartNumber::new(2).unwrap(),
            source_key: None,
            customer_key: key.clone(),
        };
        let second = lab
            .gateway
            .upload_part_copy(&lab.context, copied)
            .await
            .unwrap();
        assert_eq!(second.encryption, expected);
        let crc = checksum(ChecksumAlgorithm::Crc64Nvme, &bytes[range.clone()]);
        assert_eq!(second.checksum, Some(crc));
        let second = UploadPartOutput {
            etag: second.etag,
            checksum: None,
            encryption: None,
        };
        let first = UploadPartOutput {
            checksum: None,
            ..first
        };
        let mut input = complete_input(name, &upload, &[(1, &first), (2, &second)]);
        if key.is_some() {
            input.customer_key = Some(customer(2));
            let refused = lab.complete(input.clone()).await;
            assert_eq!(code(refused), ErrorCode::InvalidRequest);
        }
        input.customer_key.clone_from(&key);
        let made = lab.complete(input.clone()).await.unwrap();
        assert_eq!(made.encryption, expected);
        assert_eq!(lab.complete(input).await.unwrap(), made, "sent again");

        let whole = [&bytes[..], &bytes[range]].concat();
        let input = GetObjectInput {
            customer_key: key.clone(),
            ..get_input(name)
        };
        let head = lab.head(input.clone()).await.unwrap().head;
        assert_eq!((head.etag.clone(), head.encryption), (made.etag, expected));
        let crc = checksum(ChecksumAlgorithm::Crc64Nvme, &whole);
        assert_eq!(head.checksum, Some(ObjectChecksum::full_object(crc)));
        assert!(lab.read(input).await.unwrap() == whole);
        // Around the seam of the two blobs, and by part.
        for (text, expected) in [
            ("bytes=6291455-6291456", &whole[(6 << 20) - 1..=6 << 20]),
            ("bytes=6291456-6356991", &whole[6 << 20..(6 << 20) + CHUNK]),
        ] {
            let input = GetObjectInput {
                customer_key: key.clone(),
                ..get_range(name, text)
            };
            assert!(lab.read(input).await.unwrap() == expected, "{text}");
        }
    }
}

#[tokio::test]
async fn parts_copied_between_encrypted_objects_share_their_bytes() {
    let lab = Lab::new().await;
    let bytes = noise(5, 11 << 20);
    lab.put_as(put_by("source", WriteEncryption::ServerKey), body(&bytes))
        .await
        .unwrap();
    lab.default_encryption(Some(by_default())).await;
    let upload = lab.begin("made", None).await;
    let fragments = lab.drives.fragment_count();
    let mut parts = Vec::new();
    for (number, range) in [(1, 1..(5 << 20) + 70_000), (2, 1_000_003..1_000_004)] {
        let input = UploadPartCopyInput {
            source: CopySource {
                bucket: bucket("films"),
                key: object_key("source"),
                version_id: None,
            },
            source_conditions: ReadConditions::default(),
            source_range: Some((range.start as u64, range.end as u64 - 1)),
            bucket: bucket("films"),
            key: object_key("made"),
            upload_id: upload.clone(),
            part_number: PartNumber::new(number).unwrap(),
            source_key: None,
            customer_key: None,
        };
        let copied = lab
            .gateway
            .upload_part_copy(&lab.context, input)
            .await
            .unwrap();
        assert_eq!(copied.etag, etag_of(&bytes[range.clone()]));
        let output = UploadPartOutput {
            etag: copied.etag,
            checksum: None,
            encryption: None,
        };
        parts.push((number, range, output));
    }
    assert_eq!(lab.drives.fragment_count(), fragments, "no byte moved");
    let listed: Vec<_> = parts.iter().map(|(n, _, part)| (*n, part)).collect();
    lab.complete(complete_input("made", &upload, &listed))
        .await
        .unwrap();
    lab.delete("source", None).await.unwrap();
    let whole: Vec<u8> = parts
        .iter()
        .flat_map(|(_, range, _)| bytes[range.clone()].to_vec())
        .collect();
    assert!(lab.get("made").await.unwrap() == whole);
    let at = (5 << 20) + 70_000 - 2;
    let text = format!("bytes={at}-");
    assert_eq!(
        lab.read(get_range("made", &text)).await.unwrap(),
        whole[at..]
    );
}

fn by_default() -> BucketEncryption {
    BucketEncryption {
        by_default: true,
        bucket_key: true,
        blocked: None,
    }
}

impl Lab {
    async fn default_encryption(&self, encryption: Option<BucketEncryption>) {
        let films = bucket("films");
        let done = match encryption {
            Some(encryption) => {
                let input = PutBucketEncryptionInput {
                    bucket: films,
                    encryption,
                };
                self.gateway
                    .put_bucket_encryption(&self.context, input)
                    .await
            }
            None => {
                let input = BucketInput { bucket: films };
                self.gateway
                    .delete_bucket_encryption(&self.context, input)
                    .await
            }
        };
        done.unwrap();
    }
}

#[tokio::test]
async fn a_buckets_default_counts_where_the_writer_is_silent() {
    let lab = Lab::new().await;
    let films = || BucketInput {
        bucket: bucket("films"),
    };
    let read = || async {
        lab.gateway
            .get_bucket_encryption(&lab.context, films())
            .await
    };
    assert_eq!(
        code(read().await),
        ErrorCode::ServerSideEncryptionConfigurationNotFoundError
    );
    lab.put("before", b"x").await.unwrap();
    lab.default_encryption(Some(by_default())).await;
    assert_eq!(read().await.unwrap(), by_default());
    let server = Some(AppliedEncryption::ServerKey);
    assert_eq!(lab.put("after", b"x").await.unwrap().encryption, server);
    let copy = copy_input("before", "copied");
    let copied = lab.gateway.copy_object(&lab.context, copy).await.unwrap();
    assert_eq!(copied.encryption, server);
    let own = lab.put_as(put_by("own", by_customer(1)), body(b"x")).await;
    assert_eq!(own.unwrap().encryption, shown(1));
    let before = lab.head(get_input("before")).await.unwrap().head;
    assert_eq!(before.encryption, None, "what was there stays as it is");

    let blocks = BucketEncryption {
        blocked: Some(BlockedEncryption::CustomerKeys),
        ..by_default()
    };
    lab.default_encryption(Some(blocks)).await;
    let refused = lab.put_as(put_by("own", by_customer(1)), body(b"x")).await;
    assert_eq!(code(refused), ErrorCode::AccessDenied);
    assert_eq!(lab.read(get_by("own", 1)).await.unwrap(), b"x");

    lab.default_encryption(None).await;
    assert_eq!(lab.put("plain", b"x").await.unwrap().encryption, None);
    assert_eq!(lab.get("after").await.unwrap(), b"x");
}

#[tokio::test]
async fn a_form_whose_file_is_shorter_than_its_frame_is_encrypted_too() {
    let lab = Lab::new().await;
    let bytes = canaries(CHUNK + 10);
    for (name, len, padding) in [("a", CHUNK + 10, 500), ("b", CHUNK, CHUNK), ("c", 0, 700)] {
        let bytes = &bytes[..len];
        lab.put_as(
            put_by(name, WriteEncryption::ServerKey),
            padded_body(bytes, padding),
        )
        .await
        .unwrap();
        assert!(lab.get(name).await.unwrap() == bytes);
        let head = lab.head(get_input(name)).await.unwrap().head;
        assert_eq!(head.object_len, len as u64);
        assert_eq!(head.encryption, Some(AppliedEncryption::ServerKey));
    }
    assert!(!lab.drives.hold(CANARY));
}

#[tokio::test]
async fn a_body_that_turns_out_wrong_leaves_nothing() {
    let lab = Lab::new().await;
    for len in [100, CHUNK, 3 * CHUNK + 1] {
        let input = put_by("k", WriteEncryption::ServerKey);
        let refused = lab.put_as(input, spoilt_body(&noise(1, len))).await;
        assert!(refused.is_err());
        assert_eq!(code(lab.get("k").await), ErrorCode::NoSuchKey);
    }
    lab.gateway.drain().await;
    assert_eq!(lab.drives.fragment_count(), 0);
}

#[tokio::test]
async fn master_keys_change_while_objects_are_read_and_written() {
    let lab = Lab::new().await;
    let bytes = noise(9, 3 * CHUNK);
    lab.put_as(put_by("old", WriteEncryption::ServerKey), body(&bytes))
        .await
        .unwrap();
    let old = lab.keyring.newest().id().clone();
    lab.keyring.add(MasterKey::random(2));
    let new = lab.keyring.newest().id().clone();
    // Not known to the metadata yet: nothing may be wrapped by it.
    let input = put_by("early", WriteEncryption::ServerKey);
    let refused = lab.put_as(input, body(b"x")).await;
    assert_eq!(code(refused), ErrorCode::ServiceUnavailable);
    lab.metadata
        .admit_master_keys(vec![new.to_string()])
        .await
        .unwrap();
    lab.put_as(put_by("new", WriteEncryption::ServerKey), body(&bytes))
        .await
        .unwrap();
    for key in ["old", "new"] {
        assert!(lab.get(key).await.unwrap() == bytes, "{key}");
    }
    lab.keyring.remove(&old);
    assert_eq!(code(lab.get("old").await), ErrorCode::InternalError);
    assert!(lab.get("new").await.unwrap() == bytes);
    let wrapped = lab
        .metadata
        .wrapped_by(new.as_str(), None, 9)
        .await
        .unwrap();
    assert_eq!(wrapped.len(), 1);
}

#[tokio::test]
async fn an_etag_of_a_customers_object_is_no_md5_and_holds_in_conditions() {
    let lab = Lab::new().await;
    let first = lab
        .put_as(put_by("a", by_customer(1)), body(b"same"))
        .await
        .unwrap();
    let second = lab
        .put_as(put_by("b", by_customer(1)), body(b"same"))
        .await
        .unwrap();
    assert_ne!(first.etag, second.etag);
    assert_ne!(first.etag, etag_of(b"same"));
    assert_eq!(first.etag.as_str().len(), 32);
    assert_eq!(ETag::from_text(first.etag.as_str()), first.etag);
    let same = GetObjectInput {
        conditions: ReadConditions {
            if_match: Some(holdfast_gateway::s3::op::ETagCondition::OneOf(vec![
                first.etag.clone(),
            ])),
            ..ReadConditions::default()
        },
        ..get_by("a", 1)
    };
    assert_eq!(lab.read(same).await.unwrap(), b"same");
}
