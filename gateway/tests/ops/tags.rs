//! Tags of objects and buckets, ownership, and what GetObjectAttributes says.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::op::{
    BucketInput, ChecksumAlgorithm, CopyObjectInput, CorsConfiguration, CorsMethod, CorsRule,
    CreateMultipartUploadInput, GetObjectAttributesInput, ObjectAttribute, ObjectAttributes,
    ObjectChecksum, ObjectTaggingInput, PutBucketCorsInput, PutBucketOwnershipControlsInput,
    PutBucketTaggingInput, PutObjectInput, PutObjectTaggingInput, S3Service, TagSet, Tagged,
    TaggingDirective, VersioningStatus,
};

use crate::lab::{
    Lab, Outcome, body, bucket, checksum, code, complete_input, copy_input, etag_of, get_input,
    noise, object_key, put_input, version_id,
};

fn tags(pairs: &[(&str, &str)]) -> TagSet {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    TagSet::new(pairs.iter().map(owned), Tagged::Object).unwrap()
}

fn tagged(pairs: &[(&str, &str)]) -> ObjectAttributes {
    ObjectAttributes {
        tags: tags(pairs),
        ..ObjectAttributes::default()
    }
}

fn of(key: &str, version: Option<&str>) -> ObjectTaggingInput {
    ObjectTaggingInput {
        bucket: bucket("films"),
        key: object_key(key),
        version_id: version.map(version_id),
    }
}

async fn tags_of(lab: &Lab, key: &str, version: Option<&str>) -> Outcome<TagSet> {
    let output = lab
        .gateway
        .get_object_tagging(&lab.context, of(key, version));
    output.await.map(|output| output.tags)
}

async fn tag(lab: &Lab, object: ObjectTaggingInput, pairs: &[(&str, &str)]) -> Outcome<()> {
    let input = PutObjectTaggingInput {
        object,
        tags: tags(pairs),
    };
    let output = lab.gateway.put_object_tagging(&lab.context, input).await?;
    assert_eq!(output.tags, tags(pairs));
    Ok(())
}

#[tokio::test]
async fn tags_come_with_a_write_and_change_without_one() {
    let lab = Lab::new().await;
    let input = PutObjectInput {
        attributes: tagged(&[("a", "1"), ("b", "")]),
        ..put_input("k")
    };
    lab.put_as(input, body(b"bytes")).await.unwrap();
    let before = lab.head(get_input("k")).await.unwrap().head;
    assert_eq!(before.attributes.tags.len(), 2);
    assert_eq!(
        tags_of(&lab, "k", None).await.unwrap(),
        tags(&[("a", "1"), ("b", "")])
    );
    lab.clock.advance_ms(60_000);
    tag(&lab, of("k", None), &[("c", "3")]).await.unwrap();
    let after = lab.head(get_input("k")).await.unwrap().head;
    assert_eq!(after.attributes.tags, tags(&[("c", "3")]));
    assert_eq!(
        (after.etag, after.last_modified),
        (before.etag, before.last_modified)
    );
    assert_eq!(lab.get("k").await.unwrap(), b"bytes");
    tag(&lab, of("k", None), &[]).await.unwrap();
    assert!(tags_of(&lab, "k", None).await.unwrap().is_empty());
    assert_eq!(
        code(tags_of(&lab, "absent", None).await),
        ErrorCode::NoSuchKey
    );
    assert_eq!(
        code(tag(&lab, of("absent", None), &[]).await),
        ErrorCode::NoSuchKey
    );
}

#[tokio::test]
async fn each_version_has_its_own_tags() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    let one = lab.put("k", b"one").await.unwrap().version_id.unwrap();
    let two = lab.put("k", b"two").await.unwrap().version_id.unwrap();
    tag(&lab, of("k", Some(one.as_str())), &[("v", "1")])
        .await
        .unwrap();
    tag(&lab, of("k", None), &[("v", "2")]).await.unwrap();
    assert_eq!(
        tags_of(&lab, "k", Some(one.as_str())).await.unwrap(),
        tags(&[("v", "1")])
    );
    assert_eq!(
        tags_of(&lab, "k", Some(two.as_str())).await.unwrap(),
        tags(&[("v", "2")])
    );
    let marker = lab.delete("k", None).await.unwrap().version_id.unwrap();
    assert_eq!(
        code(tag(&lab, of("k", None), &[]).await),
        ErrorCode::NoSuchKey
    );
    let of_marker = tag(&lab, of("k", Some(marker.as_str())), &[]).await;
    assert_eq!(code(of_marker), ErrorCode::MethodNotAllowed);
    let unknown = tags_of(&lab, "k", Some(&"0".repeat(32))).await;
    assert_eq!(code(unknown), ErrorCode::NoSuchVersion);
}

#[tokio::test]
async fn copies_and_uploads_carry_tags() {
    let lab = Lab::new().await;
    let input = PutObjectInput {
        attributes: tagged(&[("from", "source")]),
        ..put_input("a")
    };
    lab.put_as(input, body(b"bytes")).await.unwrap();
    let copies = [
        ("b", TaggingDirective::Copy, tags(&[("from", "source")])),
        (
            "c",
            TaggingDirective::Replace(tags(&[("new", "1")])),
            tags(&[("new", "1")]),
        ),
        (
            "d",
            TaggingDirective::Replace(TagSet::default()),
            TagSet::default(),
        ),
    ];
    for (to, tagging, expected) in copies {
        let input = CopyObjectInput {
            tagging,
            ..copy_input("a", to)
        };
        lab.gateway.copy_object(&lab.context, input).await.unwrap();
        assert_eq!(tags_of(&lab, to, None).await.unwrap(), expected, "{to}");
    }
    let begin = CreateMultipartUploadInput {
        bucket: bucket("films"),
        key: object_key("m"),
        attributes: tagged(&[("up", "load")]),
        storage_class: None,
        checksum: None,
        lock: Default::default(),
        encryption: Default::default(),
    };
    let begun = lab
        .gateway
        .create_multipart_upload(&lab.context, begin)
        .await;
    let upload = begun.unwrap().upload_id;
    let part = lab.put_part("m", &upload, 1, b"part").await.unwrap();
    lab.complete(complete_input("m", &upload, &[(1, &part)]))
        .await
        .unwrap();
    assert_eq!(
        tags_of(&lab, "m", None).await.unwrap(),
        tags(&[("up", "load")])
    );
}

#[tokio::test]
async fn a_bucket_has_tags_and_says_whose_it_is() {
    let lab = Lab::new().await;
    let films = || BucketInput {
        bucket: bucket("films"),
    };
    let (gateway, context) = (&lab.gateway, &lab.context);
    let none = gateway.get_bucket_tagging(context, films()).await;
    assert_eq!(code(none), ErrorCode::NoSuchTagSet);
    let input = PutBucketTaggingInput {
        bucket: bucket("films"),
        tags: tags(&[("team", "archive")]),
    };
    gateway.put_bucket_tagging(context, input).await.unwrap();
    let found = gateway.get_bucket_tagging(context, films()).await.unwrap();
    assert_eq!(found, tags(&[("team", "archive")]));
    gateway
        .delete_bucket_tagging(context, films())
        .await
        .unwrap();
    let none = gateway.get_bucket_tagging(context, films()).await;
    assert_eq!(code(none), ErrorCode::NoSuchTagSet);

    gateway
        .get_bucket_ownership_controls(context, films())
        .await
        .unwrap();
    gateway
        .delete_bucket_ownership_controls(context, films())
        .await
        .unwrap();
    let deleted = gateway
        .get_bucket_ownership_controls(context, films())
        .await;
    assert_eq!(code(deleted), ErrorCode::OwnershipControlsNotFoundError);
    let input = PutBucketOwnershipControlsInput {
        bucket: bucket("films"),
    };
    gateway
        .put_bucket_ownership_controls(context, input)
        .await
        .unwrap();
    gateway
        .get_bucket_ownership_controls(context, films())
        .await
        .unwrap();
    let nowhere = BucketInput {
        bucket: bucket("nowhere"),
    };
    let nowhere = gateway.get_bucket_tagging(context, nowhere).await;
    assert_eq!(code(nowhere), ErrorCode::NoSuchBucket);
}

#[tokio::test]
async fn attributes_say_what_is_known_of_an_object() {
    let lab = Lab::new().await;
    let bytes = noise(1, (5 << 20) + 7);
    let upload = lab.begin("m", None).await;
    let mut parts = Vec::new();
    for (number, piece) in [(2, &bytes[..5 << 20]), (5, &bytes[5 << 20..])] {
        parts.push((
            number,
            lab.put_part("m", &upload, number, piece).await.unwrap(),
        ));
    }
    let listed: Vec<_> = parts.iter().map(|(number, part)| (*number, part)).collect();
    lab.complete(complete_input("m", &upload, &listed))
        .await
        .unwrap();
    lab.put("plain", b"plain").await.unwrap();
    let input = |key: &str, wanted: &[ObjectAttribute], max_parts, part_number_marker| {
        GetObjectAttributesInput {
            bucket: bucket("films"),
            key: object_key(key),
            version_id: None,
            wanted: wanted.to_vec(),
            max_parts,
            part_number_marker,
            customer_key: None,
        }
    };
    let ask = |input| async { lab.gateway.get_object_attributes(&lab.context, input).await };
    let of_parts = [ObjectAttribute::ObjectParts];
    let all = ask(input("m", &of_parts, 1000, 0)).await.unwrap();
    assert_eq!(all.object_len, bytes.len() as u64);
    let crc = checksum(ChecksumAlgorithm::Crc64Nvme, &bytes);
    assert_eq!(all.checksum, Some(ObjectChecksum::full_object(crc)));
    let page = all.parts.unwrap();
    assert_eq!((page.total, page.next_part_number_marker), (2, None));
    let shown: Vec<_> = page
        .parts
        .iter()
        .map(|p| (p.part_number.get(), p.size))
        .collect();
    assert_eq!(shown, [(2, 5 << 20), (5, 7)]);
    assert_eq!(page.parts[1].checksum, parts[1].1.checksum);
    for (max, marker, numbers, next) in [
        (1, 0, vec![2], Some(2)),
        (1, 2, vec![5], None),
        (9, 5, vec![], None),
        (0, 0, vec![], None),
    ] {
        let page = ask(input("m", &of_parts, max, marker))
            .await
            .unwrap()
            .parts
            .unwrap();
        let shown: Vec<_> = page
            .parts
            .iter()
            .map(|part| part.part_number.get())
            .collect();
        assert_eq!(
            (shown, page.next_part_number_marker),
            (numbers, next),
            "{max} {marker}"
        );
        assert_eq!(page.total, 2);
    }
    let unasked = ask(input("m", &[ObjectAttribute::ETag], 1000, 0))
        .await
        .unwrap();
    assert_eq!(unasked.parts, None);
    let plain = ask(input("plain", &of_parts, 1000, 0)).await.unwrap();
    assert_eq!((plain.parts, plain.etag), (None, etag_of(b"plain")));
    let absent = ask(input("absent", &of_parts, 1000, 0)).await;
    assert_eq!(code(absent), ErrorCode::NoSuchKey);
}

#[tokio::test]
async fn a_bucket_keeps_its_cross_origin_rules() {
    let lab = Lab::new().await;
    let (gateway, context) = (&lab.gateway, &lab.context);
    let films = || BucketInput {
        bucket: bucket("films"),
    };
    let none = gateway.get_bucket_cors(context, films()).await;
    assert_eq!(code(none), ErrorCode::NoSuchCORSConfiguration);
    assert_eq!(gateway.cors_rules(&bucket("films")).await.unwrap(), None);
    let rule = CorsRule {
        id: Some("one".to_owned()),
        origins: vec!["https://*.example.com".to_owned()],
        methods: vec![CorsMethod::Get, CorsMethod::Delete],
        headers: vec!["*".to_owned()],
        expose: vec!["ETag".to_owned()],
        max_age_seconds: Some(5),
    };
    let configuration = CorsConfiguration::new(vec![rule]).unwrap();
    let input = PutBucketCorsInput {
        bucket: bucket("films"),
        configuration: configuration.clone(),
    };
    gateway.put_bucket_cors(context, input).await.unwrap();
    let found = gateway.get_bucket_cors(context, films()).await.unwrap();
    assert_eq!(found, configuration);
    let found = gateway.cors_rules(&bucket("films")).await.unwrap();
    assert_eq!(found, Some(configuration.clone()));
    gateway.delete_bucket_cors(context, films()).await.unwrap();
    assert_eq!(gateway.cors_rules(&bucket("films")).await.unwrap(), None);

    let nowhere = bucket("nowhere");
    assert_eq!(gateway.cors_rules(&nowhere).await.unwrap(), None);
    let input = PutBucketCorsInput {
        bucket: nowhere,
        configuration,
    };
    let refused = gateway.put_bucket_cors(context, input).await;
    assert_eq!(code(refused), ErrorCode::NoSuchBucket);
}
