//! CopyObject: no byte moves, and the copy stands on its own.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::op::{
    ChecksumAlgorithm, ContentHeaders, CopyObjectInput, ETagCondition, MetadataDirective,
    ObjectAttributes, ObjectChecksum, PutObjectInput, ReadConditions, S3Service, StorageClass,
    UserMetadata, VersioningStatus, WriteCondition,
};

use crate::lab::{
    Lab, STRIPE, body, checksum, code, copy_input, etag_of, get_input, get_version, noise,
    put_input, version_id,
};

fn attributes(colour: &str) -> ObjectAttributes {
    ObjectAttributes {
        content: ContentHeaders {
            content_type: Some(format!("image/{colour}")),
            ..ContentHeaders::default()
        },
        metadata: UserMetadata::new([("colour".to_owned(), colour.to_owned())]).unwrap(),
        ..ObjectAttributes::default()
    }
}

#[tokio::test]
async fn a_copy_shares_bytes_and_outlives_its_source() {
    let lab = Lab::new().await;
    let bytes = noise(1, 3 * STRIPE);
    let input = PutObjectInput {
        attributes: attributes("red"),
        ..put_input("a")
    };
    let put = lab.put_as(input, body(&bytes)).await.unwrap();
    let fragments = lab.drives.fragment_count();
    lab.clock.advance_ms(5000);
    let copy = lab
        .gateway
        .copy_object(&lab.context, copy_input("a", "b"))
        .await
        .unwrap();
    assert_eq!((copy.etag, copy.checksum), (put.etag, put.checksum));
    assert_eq!(copy.last_modified.as_ms(), 1_700_000_005_000);
    assert_eq!((copy.version_id, copy.source_version_id), (None, None));
    assert_eq!(lab.drives.fragment_count(), fragments, "no byte moved");
    assert_eq!(
        lab.head(get_input("b")).await.unwrap().head.attributes,
        attributes("red")
    );

    lab.put("a", b"overwritten").await.unwrap();
    assert_eq!(lab.get("b").await.unwrap(), bytes);
    lab.delete("a", None).await.unwrap();
    assert_eq!(lab.get("b").await.unwrap(), bytes);
    let gone = lab
        .gateway
        .copy_object(&lab.context, copy_input("a", "c"))
        .await;
    assert_eq!(code(gone), ErrorCode::NoSuchKey);
}

#[tokio::test]
async fn a_copy_can_carry_other_metadata_even_onto_itself() {
    let lab = Lab::new().await;
    let bytes = noise(1, 3 * STRIPE);
    let input = PutObjectInput {
        attributes: attributes("red"),
        ..put_input("a")
    };
    lab.put_as(input, body(&bytes)).await.unwrap();
    let input = CopyObjectInput {
        metadata: MetadataDirective::Replace(attributes("blue")),
        storage_class: Some(StorageClass::parse("mirror").unwrap()),
        ..copy_input("a", "a")
    };
    lab.gateway.copy_object(&lab.context, input).await.unwrap();
    let head = lab.head(get_input("a")).await.unwrap().head;
    assert_eq!(head.attributes, attributes("blue"));
    assert_eq!(head.storage_class.as_str(), "mirror");
    assert_eq!(head.etag, etag_of(&bytes));
    assert_eq!(
        lab.get("a").await.unwrap(),
        bytes,
        "the old version let go, the new one holds"
    );
    let unknown = CopyObjectInput {
        storage_class: Some(StorageClass::parse("GLACIER").unwrap()),
        ..copy_input("a", "b")
    };
    let refused = lab.gateway.copy_object(&lab.context, unknown).await;
    assert_eq!(code(refused), ErrorCode::InvalidStorageClass);
}

#[tokio::test]
async fn another_checksum_is_computed_from_the_bytes() {
    let lab = Lab::new().await;
    let bytes = noise(1, 3 * STRIPE + 9);
    lab.put("a", &bytes).await.unwrap();
    let algorithm = ChecksumAlgorithm::Sha1;
    let input = CopyObjectInput {
        checksum_algorithm: Some(algorithm),
        ..copy_input("a", "b")
    };
    let copy = lab.gateway.copy_object(&lab.context, input).await.unwrap();
    let expected = Some(ObjectChecksum::full_object(checksum(algorithm, &bytes)));
    assert_eq!(copy.checksum, expected);
    assert_eq!(
        lab.head(get_input("b")).await.unwrap().head.checksum,
        expected
    );
}

#[tokio::test]
async fn conditions_hold_for_source_and_target_each() {
    let lab = Lab::new().await;
    lab.put("a", b"source").await.unwrap();
    lab.put("b", b"target").await.unwrap();
    let this = |bytes: &[u8]| Some(ETagCondition::OneOf(vec![etag_of(bytes)]));
    let source = |source_conditions| CopyObjectInput {
        source_conditions,
        ..copy_input("a", "b")
    };
    let target = |condition| CopyObjectInput {
        condition,
        ..copy_input("a", "b")
    };
    for (input, condition) in [
        (
            source(ReadConditions {
                if_match: this(b"x"),
                ..ReadConditions::default()
            }),
            "x-amz-copy-source-If-Match",
        ),
        (
            source(ReadConditions {
                if_none_match: this(b"source"),
                ..ReadConditions::default()
            }),
            "x-amz-copy-source-If-None-Match",
        ),
        (target(WriteCondition::IfAbsent), "If-None-Match"),
        (target(WriteCondition::IfETag(etag_of(b"x"))), "If-Match"),
    ] {
        let failed = lab
            .gateway
            .copy_object(&lab.context, input)
            .await
            .unwrap_err();
        assert_eq!(failed.code(), ErrorCode::PreconditionFailed);
        assert_eq!(failed.extra("Condition"), Some(condition));
        assert_eq!(lab.get("b").await.unwrap(), b"target");
    }
    let input = target(WriteCondition::IfETag(etag_of(b"target")));
    lab.gateway.copy_object(&lab.context, input).await.unwrap();
    assert_eq!(lab.get("b").await.unwrap(), b"source");
}

#[tokio::test]
async fn an_old_version_can_be_brought_back() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    let old = lab.put("a", b"old").await.unwrap().version_id.unwrap();
    lab.put("a", b"new").await.unwrap();
    let mut input = copy_input("a", "a");
    input.source.version_id = Some(old.clone());
    let copy = lab.gateway.copy_object(&lab.context, input).await.unwrap();
    assert_eq!(copy.source_version_id, Some(old.clone()));
    assert_eq!(lab.get("a").await.unwrap(), b"old");
    let id = copy.version_id.unwrap();
    assert_ne!(id, old);
    assert_eq!(
        lab.read(get_version("a", id.as_str())).await.unwrap(),
        b"old"
    );

    let marker = lab.delete("a", None).await.unwrap().version_id.unwrap();
    let mut input = copy_input("a", "b");
    assert_eq!(
        code(lab.gateway.copy_object(&lab.context, input.clone()).await),
        ErrorCode::NoSuchKey
    );
    input.source.version_id = Some(version_id(marker.as_str()));
    let of_marker = lab.gateway.copy_object(&lab.context, input).await;
    assert_eq!(
        code(of_marker),
        ErrorCode::InvalidRequest,
        "AWS: a marker can't be copied"
    );
}

#[tokio::test]
async fn empty_objects_are_copied_too() {
    let lab = Lab::new().await;
    lab.put("a", b"").await.unwrap();
    lab.gateway
        .copy_object(&lab.context, copy_input("a", "b"))
        .await
        .unwrap();
    assert_eq!(lab.get("b").await.unwrap(), b"");
}
