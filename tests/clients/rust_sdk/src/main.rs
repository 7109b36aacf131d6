//! What AWS's SDK for Rust does every day, against the endpoint that the environment names: put, get,
//! ranges, conditions, multipart with checksums, listings, copies, versions, presigned URLs.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete,
    ObjectIdentifier, VersioningConfiguration,
};
use aws_sdk_s3::{Client, Config};
use aws_smithy_http_client::Builder;

const MIB: usize = 1 << 20;

type Done = Result<(), Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let credentials = Credentials::from_keys(
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
        None,
    );
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(variable("AWS_DEFAULT_REGION")))
        .endpoint_url(variable("ENDPOINT"))
        .credentials_provider(credentials)
        .force_path_style(true)
        .http_client(Builder::new().build_http())
        .build();
    let client = Client::from_conf(config);
    let bucket = variable("BUCKET");
    objects(&client, &bucket).await?;
    conditions(&client, &bucket).await?;
    multipart(&client, &bucket).await?;
    listings(&client, &bucket).await?;
    versions(&client, &bucket).await?;
    presigned(&client, &bucket).await?;
    println!("rust sdk: all as it must be");
    Ok(())
}

/// Bytes that repeat nowhere near.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

async fn read(
    client: &Client,
    bucket: &str,
    key: &str,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let got = client.get_object().bucket(bucket).key(key).send().await?;
    Ok(got.body.collect().await?.to_vec())
}

async fn objects(client: &Client, bucket: &str) -> Done {
    let body = bytes(300_000, 1);
    client
        .put_object()
        .bucket(bucket)
        .key("a/ü b+c")
        .content_type("text/x-test")
        .metadata("colour", "blue")
        .body(ByteStream::from(body.clone()))
        .send()
        .await?;
    assert!(read(client, bucket, "a/ü b+c").await? == body);
    let head = client
        .head_object()
        .bucket(bucket)
        .key("a/ü b+c")
        .send()
        .await?;
    assert_eq!(head.content_length(), Some(300_000));
    assert_eq!(head.content_type(), Some("text/x-test"));
    assert_eq!(
        head.metadata()
            .and_then(|it| it.get("colour"))
            .map(String::as_str),
        Some("blue")
    );
    let part = client
        .get_object()
        .bucket(bucket)
        .key("a/ü b+c")
        .range("bytes=1000-1999");
    let part = part.send().await?.body.collect().await?.to_vec();
    assert!(part == body[1000..2000]);
    let source = format!("{bucket}/a%2F%C3%BC%20b%2Bc");
    client
        .copy_object()
        .bucket(bucket)
        .key("copy")
        .copy_source(source)
        .send()
        .await?;
    assert!(read(client, bucket, "copy").await? == body);
    let missing = client
        .get_object()
        .bucket(bucket)
        .key("missing")
        .send()
        .await;
    assert!(missing.unwrap_err().into_service_error().is_no_such_key());
    Ok(())
}

async fn conditions(client: &Client, bucket: &str) -> Done {
    let put = || {
        client
            .put_object()
            .bucket(bucket)
            .key("once")
            .body(ByteStream::from_static(b"1"))
    };
    let first = put().if_none_match("*").send().await?;
    let second = put().if_none_match("*").send().await.unwrap_err();
    assert_eq!(second.code(), Some("PreconditionFailed"));
    put()
        .if_match(first.e_tag().unwrap_or_default())
        .send()
        .await?;
    let etag = first.e_tag().unwrap_or_default();
    let unchanged = client
        .get_object()
        .bucket(bucket)
        .key("once")
        .if_none_match(etag);
    let answer = unchanged.send().await.unwrap_err();
    assert_eq!(
        answer.raw_response().map(|it| it.status().as_u16()),
        Some(304)
    );
    Ok(())
}

async fn multipart(client: &Client, bucket: &str) -> Done {
    for algorithm in [
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Sha256,
        ChecksumAlgorithm::Crc64Nvme,
    ] {
        let begun = client
            .create_multipart_upload()
            .bucket(bucket)
            .key("parts")
            .checksum_algorithm(algorithm.clone())
            .send()
            .await?;
        let upload = begun.upload_id().unwrap_or_default();
        let body = bytes(12 * MIB + 5, 2);
        let mut parts = Vec::new();
        for (number, piece) in (1..).zip(body.chunks(5 * MIB)) {
            let put = client
                .upload_part()
                .bucket(bucket)
                .key("parts")
                .upload_id(upload)
                .part_number(number)
                .checksum_algorithm(algorithm.clone())
                .body(ByteStream::from(piece.to_vec()))
                .send()
                .await?;
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(put.e_tag().map(str::to_owned))
                    .set_checksum_crc32_c(put.checksum_crc32_c().map(str::to_owned))
                    .set_checksum_sha256(put.checksum_sha256().map(str::to_owned))
                    .set_checksum_crc64_nvme(put.checksum_crc64_nvme().map(str::to_owned))
                    .build(),
            );
        }
        client
            .complete_multipart_upload()
            .bucket(bucket)
            .key("parts")
            .upload_id(upload)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts))
                    .build(),
            )
            .send()
            .await?;
        assert!(read(client, bucket, "parts").await? == body, "{algorithm}");
    }
    Ok(())
}

async fn listings(client: &Client, bucket: &str) -> Done {
    for number in 0..25 {
        let key = format!("list/{}/{number:02}", number % 3);
        client.put_object().bucket(bucket).key(key).send().await?;
    }
    let mut pages = client
        .list_objects_v2()
        .bucket(bucket)
        .prefix("list/")
        .max_keys(7)
        .into_paginator()
        .send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(
            page?
                .contents()
                .iter()
                .filter_map(|it| it.key().map(str::to_owned)),
        );
    }
    assert_eq!(keys.len(), 25);
    assert!(keys.is_sorted());
    let folders = client
        .list_objects_v2()
        .bucket(bucket)
        .prefix("list/")
        .delimiter("/");
    assert_eq!(folders.send().await?.common_prefixes().len(), 3);
    let objects = keys
        .iter()
        .map(|key| ObjectIdentifier::builder().key(key).build());
    let objects = objects.collect::<Result<Vec<_>, _>>()?;
    let delete = Delete::builder().set_objects(Some(objects)).build()?;
    let deleted = client
        .delete_objects()
        .bucket(bucket)
        .delete(delete)
        .send()
        .await?;
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (25, 0));
    Ok(())
}

async fn versions(client: &Client, bucket: &str) -> Done {
    let enabled = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    client
        .put_bucket_versioning()
        .bucket(bucket)
        .versioning_configuration(enabled)
        .send()
        .await?;
    let mut ids = Vec::new();
    for text in ["one", "two"] {
        let body = ByteStream::from(text.as_bytes().to_vec());
        let put = client
            .put_object()
            .bucket(bucket)
            .key("versioned")
            .body(body)
            .send()
            .await?;
        ids.push(put.version_id().unwrap_or_default().to_owned());
    }
    client
        .delete_object()
        .bucket(bucket)
        .key("versioned")
        .send()
        .await?;
    let old = client
        .get_object()
        .bucket(bucket)
        .key("versioned")
        .version_id(&ids[0])
        .send()
        .await?;
    assert_eq!(old.body.collect().await?.to_vec(), b"one");
    let listed = client
        .list_object_versions()
        .bucket(bucket)
        .prefix("versioned")
        .send()
        .await?;
    assert_eq!(
        (listed.versions().len(), listed.delete_markers().len()),
        (2, 1)
    );
    Ok(())
}

async fn presigned(client: &Client, bucket: &str) -> Done {
    let minute = PresigningConfig::expires_in(Duration::from_secs(60))?;
    let signed = client
        .get_object()
        .bucket(bucket)
        .key("copy")
        .presigned(minute)
        .await?;
    assert!(signed.uri().contains("X-Amz-Signature="));
    println!("PRESIGNED {}", signed.uri());
    Ok(())
}
