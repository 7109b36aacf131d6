//! PutObject: what is kept, when it is refused, and what is left of what was refused.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::op::{
    ChecksumAlgorithm, ContentHeaders, ETag, ObjectAttributes, ObjectChecksum, PutObjectInput,
    S3Service, StorageClass, UserMetadata, VersioningStatus, WriteCondition,
};
use holdfast_types::DriveState;

use crate::lab::{
    Lab, STRIPE, body, body_by, checksum, code, copy_input, etag_of, get_input, get_range, noise,
    padded_body, put_input, spoilt_body,
};

#[tokio::test]
async fn objects_of_all_sizes_read_back() {
    let lab = Lab::new().await;
    let sizes = [
        0,
        1,
        4096,
        4097,
        STRIPE - 1,
        STRIPE,
        STRIPE + 1,
        3 * STRIPE + 17,
        1 << 20,
    ];
    for (seed, size) in sizes.into_iter().enumerate() {
        let (key, bytes) = (format!("{size}"), noise(seed as u64, size));
        let put = lab.put(&key, &bytes).await.unwrap();
        assert_eq!(put.etag, etag_of(&bytes), "{size}");
        assert_eq!(put.version_id, None);
        let crc = ObjectChecksum::full_object(checksum(ChecksumAlgorithm::Crc64Nvme, &bytes));
        assert_eq!(put.checksum, Some(crc.clone()));
        assert_eq!(lab.get(&key).await.unwrap(), bytes, "{size}");
        let head = lab.head(get_input(&key)).await.unwrap().head;
        assert_eq!((head.object_len, head.etag), (size as u64, etag_of(&bytes)));
        assert_eq!((head.checksum, head.parts_count), (Some(crc), None));
        assert_eq!(head.last_modified.as_ms(), 1_700_000_000_000);
    }
}

#[tokio::test]
async fn what_is_said_of_an_object_is_kept_with_it() {
    let lab = Lab::new().await;
    let attributes = ObjectAttributes {
        content: ContentHeaders {
            content_type: Some("video/mp4".to_owned()),
            cache_control: Some("no-cache".to_owned()),
            content_disposition: Some("inline".to_owned()),
            content_encoding: Some("gzip".to_owned()),
            content_language: Some("de".to_owned()),
            expires: Some("Thu, 01 Dec 2030 16:00:00 GMT".to_owned()),
        },
        metadata: UserMetadata::new([("director".to_owned(), "Lang".to_owned())]).unwrap(),
        ..ObjectAttributes::default()
    };
    let input = PutObjectInput {
        attributes: attributes.clone(),
        storage_class: Some(StorageClass::parse("mirror").unwrap()),
        ..put_input("m")
    };
    let bytes = noise(3, 20_000);
    let sha = Some(ChecksumAlgorithm::Sha256);
    let put = lab.put_as(input, body_by(&bytes, sha)).await.unwrap();
    let expected = ObjectChecksum::full_object(checksum(ChecksumAlgorithm::Sha256, &bytes));
    assert_eq!(put.checksum, Some(expected.clone()));
    assert_eq!(
        lab.drives.fragment_count(),
        3,
        "the class's policy is three copies"
    );
    let head = lab.head(get_input("m")).await.unwrap().head;
    assert_eq!(head.attributes, attributes);
    assert_eq!(head.storage_class.as_str(), "mirror");
    assert_eq!(head.checksum, Some(expected));
    assert_eq!(lab.get("m").await.unwrap(), bytes);
}

#[tokio::test]
async fn an_unknown_storage_class_is_refused() {
    let lab = Lab::new().await;
    let input = PutObjectInput {
        storage_class: Some(StorageClass::parse("GLACIER").unwrap()),
        ..put_input("a")
    };
    let refused = lab.put_as(input, body(b"x")).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidStorageClass);
    assert_eq!(refused.extra("StorageClassRequested"), Some("GLACIER"));
    let standard = PutObjectInput {
        storage_class: Some(StorageClass::standard()),
        ..put_input("a")
    };
    lab.put_as(standard, body(b"x")).await.unwrap();
    assert!(
        lab.head(get_input("a"))
            .await
            .unwrap()
            .head
            .storage_class
            .is_standard()
    );
}

#[tokio::test]
async fn a_body_that_is_not_what_was_said_is_never_seen() {
    let lab = Lab::new().await;
    lab.put("a", b"before").await.unwrap();
    let fragments = lab.drives.fragment_count();
    for len in [0, 100, 5000, 3 * STRIPE] {
        let refused = lab
            .put_as(put_input("a"), spoilt_body(&noise(1, len)))
            .await;
        assert_eq!(code(refused), ErrorCode::BadDigest, "{len}");
    }
    let mut short = body(&noise(1, 100));
    short.len = 101;
    assert_eq!(
        code(lab.put_as(put_input("a"), short).await),
        ErrorCode::IncompleteBody
    );
    lab.gateway.drain().await;
    assert_eq!(lab.get("a").await.unwrap(), b"before");
    assert_eq!(
        lab.drives.fragment_count(),
        fragments,
        "nothing was committed to a drive"
    );
}

#[tokio::test]
async fn conditions_are_decided_against_what_is_there() {
    let lab = Lab::new().await;
    let put_if = async |key: &str, bytes: &[u8], condition: WriteCondition| {
        let input = PutObjectInput {
            condition,
            ..put_input(key)
        };
        lab.put_as(input, body(bytes)).await
    };
    put_if("a", b"one", WriteCondition::IfAbsent).await.unwrap();
    let there = put_if("a", b"two", WriteCondition::IfAbsent)
        .await
        .unwrap_err();
    assert_eq!(there.code(), ErrorCode::PreconditionFailed);
    assert_eq!(there.extra("Condition"), Some("If-None-Match"));
    let other = put_if("a", b"two", WriteCondition::IfETag(etag_of(b"x")))
        .await
        .unwrap_err();
    assert_eq!(other.code(), ErrorCode::PreconditionFailed);
    assert_eq!(other.extra("Condition"), Some("If-Match"));
    put_if("a", b"two", WriteCondition::IfETag(etag_of(b"one")))
        .await
        .unwrap();
    assert_eq!(lab.get("a").await.unwrap(), b"two");
    let absent = put_if("b", b"x", WriteCondition::IfETag(ETag::from_text("x"))).await;
    assert_eq!(code(absent), ErrorCode::NoSuchKey);

    lab.versioning(VersioningStatus::Enabled).await;
    lab.delete("a", None).await.unwrap();
    put_if("a", b"three", WriteCondition::IfAbsent)
        .await
        .unwrap();
    assert_eq!(
        lab.get("a").await.unwrap(),
        b"three",
        "a marker is no object"
    );
}

#[tokio::test]
async fn a_refused_commit_leaves_no_bytes() {
    let lab = Lab::new().await;
    // Both look before their bodies are read, and both see nothing: the commit decides.
    let attempts = (0..8_u64).map(|n| {
        let input = PutObjectInput {
            condition: WriteCondition::IfAbsent,
            ..put_input("a")
        };
        lab.put_as(input, body(&noise(n, 3 * STRIPE)))
    });
    let outcomes = futures::future::join_all(attempts).await;
    let won: Vec<usize> = (0..8).filter(|n| outcomes[*n].is_ok()).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for refused in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(code(refused), ErrorCode::PreconditionFailed);
    }
    assert_eq!(
        lab.get("a").await.unwrap(),
        noise(won[0] as u64, 3 * STRIPE)
    );
    lab.gateway.drain().await;
    assert_eq!(
        lab.drives.fragment_count(),
        6,
        "the fragments of the seven others are gone"
    );
}

#[tokio::test]
async fn too_few_drives_are_said_in_words_and_reads_go_on() {
    let lab = Lab::new().await;
    let bytes = noise(1, 3 * STRIPE);
    lab.put("a", &bytes).await.unwrap();
    lab.drives.set_state(0, DriveState::Missing);
    lab.put("b", &bytes).await.unwrap();
    lab.drives.set_state(1, DriveState::Missing);
    let refused = lab.put("c", &bytes).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ServiceUnavailable);
    assert_eq!(
        refused.text(),
        "Not enough drives: a write of 4+2/4096 needs 5, and 4 can take it at the moment."
    );
    assert_eq!(lab.get("a").await.unwrap(), bytes);
    assert_eq!(lab.get("b").await.unwrap(), bytes);
    assert_eq!(code(lab.get("c").await), ErrorCode::NoSuchKey);
    lab.drives.set_state(1, DriveState::Online);
    lab.put("c", &bytes).await.unwrap();
    assert_eq!(lab.get("c").await.unwrap(), bytes);
    let page = lab.metrics.render().unwrap();
    assert!(
        page.contains(r#"holdfast_put_failures_total{reason="quorum"} 1"#),
        "{page}"
    );
}

#[tokio::test]
async fn a_write_without_a_drive_is_a_debt() {
    let lab = Lab::new().await;
    lab.drives.set_state(5, DriveState::ReadOnly);
    lab.put("a", &noise(1, 3 * STRIPE)).await.unwrap();
    let debts = lab.metadata.debts(None, 10).await.unwrap();
    assert_eq!(debts.len(), 1);
    assert_eq!(debts[0].kind, holdfast_metadata::model::DebtKind::Unwritten);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_its_write() {
    let lab = Lab::new().await;
    let bytes = noise(1, 3 * STRIPE);
    let gateway = lab.gateway.clone();
    let (context, whole) = (lab.context.clone(), body(&bytes));
    let request = async move {
        use holdfast_gateway::s3::op::S3Service;
        gateway.put_object(&context, put_input("a"), whole).await
    };
    let mut request = Box::pin(request);
    // Polled once, it has begun; then nobody waits for it any more.
    assert!(futures::poll!(&mut request).is_pending());
    drop(request);
    lab.gateway.drain().await;
    assert_eq!(lab.get("a").await.unwrap(), bytes);
}

#[tokio::test]
async fn what_pads_the_file_of_a_form_is_never_seen() {
    let lab = Lab::new().await;
    for len in [1, 7, STRIPE, 3 * STRIPE - 50, 3 * STRIPE] {
        let bytes = noise(len as u64, len);
        let put = lab
            .put_as(put_input("form"), padded_body(&bytes, 100))
            .await
            .unwrap();
        assert_eq!(put.etag, etag_of(&bytes));
        assert_eq!(lab.get("form").await.unwrap(), bytes, "{len}");
        let head = lab.head(get_input("form")).await.unwrap().head;
        assert_eq!((head.object_len, head.checksum), (len as u64, put.checksum));
        assert_eq!(
            lab.read(get_range("form", "bytes=-1")).await.unwrap(),
            bytes[len - 1..]
        );
        let past = get_range("form", &format!("bytes={len}-"));
        assert_eq!(code(lab.read(past).await), ErrorCode::InvalidRange);
        lab.gateway
            .copy_object(&lab.context, copy_input("form", "copy"))
            .await
            .unwrap();
        assert_eq!(lab.get("copy").await.unwrap(), bytes);
    }
    let fragments = lab.drives.fragment_count();
    lab.put_as(put_input("empty"), padded_body(b"", 100))
        .await
        .unwrap();
    assert_eq!(lab.get("empty").await.unwrap(), b"");
    lab.gateway.drain().await;
    assert_eq!(
        lab.drives.fragment_count(),
        fragments,
        "an empty file keeps no byte"
    );
}
