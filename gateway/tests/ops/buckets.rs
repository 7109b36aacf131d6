//! Buckets: made, found, listed, removed.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::op::{
    DeleteBucketInput, GetBucketLocationInput, GetBucketVersioningInput, HeadBucketInput,
    ListBucketsInput, S3Service, VersioningStatus,
};

use crate::lab::{Lab, bucket, code, noise};

fn list(prefix: Option<&str>, after: Option<&str>, max: Option<u32>) -> ListBucketsInput {
    ListBucketsInput {
        prefix: prefix.map(str::to_owned),
        after: after.map(str::to_owned),
        max_buckets: max,
        region: None,
    }
}

#[tokio::test]
async fn a_bucket_is_made_once() {
    let lab = Lab::new().await;
    assert_eq!(
        code(lab.make_bucket("films", None).await),
        ErrorCode::BucketAlreadyOwnedByYou
    );
    lab.make_bucket("here", Some("us-east-1")).await.unwrap();
    lab.make_bucket("mirrored", Some("mirror")).await.unwrap();
    let elsewhere = lab
        .make_bucket("elsewhere", Some("eu-west-9"))
        .await
        .unwrap_err();
    assert_eq!(elsewhere.code(), ErrorCode::InvalidLocationConstraint);

    assert_eq!(
        lab.metadata.bucket("here").await.unwrap().policy,
        "standard"
    );
    assert_eq!(
        lab.metadata.bucket("mirrored").await.unwrap().policy,
        "mirror"
    );
    for name in ["here", "mirrored"] {
        let input = GetBucketLocationInput {
            bucket: bucket(name),
        };
        let location = lab
            .gateway
            .get_bucket_location(&lab.context, input)
            .await
            .unwrap();
        assert_eq!(location.region, "us-east-1", "what clients sign for");
        let head = HeadBucketInput {
            bucket: bucket(name),
        };
        assert_eq!(
            lab.gateway
                .head_bucket(&lab.context, head)
                .await
                .unwrap()
                .region,
            "us-east-1"
        );
    }
    let head = HeadBucketInput {
        bucket: bucket("elsewhere"),
    };
    let missing = lab
        .gateway
        .head_bucket(&lab.context, head)
        .await
        .unwrap_err();
    assert_eq!(missing.code(), ErrorCode::NoSuchBucket);
    assert_eq!(missing.extra("BucketName"), Some("elsewhere"));
}

#[tokio::test]
async fn buckets_are_listed_in_pages() {
    let lab = Lab::new().await;
    for name in ["clips", "films-2", "films-3", "zoo"] {
        lab.make_bucket(name, None).await.unwrap();
    }
    let page = async |input| {
        let output = lab.gateway.list_buckets(&lab.context, input).await.unwrap();
        let names = output.buckets.iter().map(|b| b.name.as_str().to_owned());
        (names.collect::<Vec<_>>(), output.next_after)
    };
    let next = |name: &str| Some(name.to_owned());
    assert_eq!(
        page(list(None, None, None)).await,
        (
            ["clips", "films", "films-2", "films-3", "zoo"]
                .map(str::to_owned)
                .to_vec(),
            None
        )
    );
    assert_eq!(
        page(list(Some("films"), None, Some(2))).await,
        (
            ["films", "films-2"].map(str::to_owned).to_vec(),
            next("films-2")
        )
    );
    assert_eq!(
        page(list(Some("films"), Some("films-2"), Some(2))).await,
        (vec!["films-3".to_owned()], None)
    );
    let other = ListBucketsInput {
        region: Some("mars".to_owned()),
        ..list(None, None, None)
    };
    assert_eq!(page(other).await, (Vec::new(), None));
}

#[tokio::test]
async fn only_an_empty_bucket_is_removed() {
    let lab = Lab::new().await;
    let remove = async || {
        let input = DeleteBucketInput {
            bucket: bucket("films"),
        };
        lab.gateway
            .delete_bucket(&lab.context, input)
            .await
            .map(|_| ())
    };
    lab.versioning(VersioningStatus::Enabled).await;
    let put = lab.put("a", &noise(1, 10)).await.unwrap();
    assert_eq!(code(remove().await), ErrorCode::BucketNotEmpty);
    let marker = lab.delete("a", None).await.unwrap();
    lab.delete("a", Some(put.version_id.unwrap().as_str()))
        .await
        .unwrap();
    assert_eq!(
        code(remove().await),
        ErrorCode::BucketNotEmpty,
        "a marker counts"
    );
    lab.delete("a", Some(marker.version_id.unwrap().as_str()))
        .await
        .unwrap();
    let upload = lab.begin("b", None).await;
    remove().await.unwrap();
    let part = lab.put_part("b", &upload, 1, b"x").await;
    assert_eq!(
        code(part),
        ErrorCode::NoSuchBucket,
        "an open upload goes with its bucket"
    );
    assert_eq!(code(remove().await), ErrorCode::NoSuchBucket);
    assert_eq!(code(lab.put("a", b"x").await), ErrorCode::NoSuchBucket);
}

#[tokio::test]
async fn versioning_is_switched_and_shown() {
    let lab = Lab::new().await;
    let status = async || {
        let input = GetBucketVersioningInput {
            bucket: bucket("films"),
        };
        lab.gateway
            .get_bucket_versioning(&lab.context, input)
            .await
            .unwrap()
            .status
    };
    assert_eq!(status().await, None);
    for switched in [VersioningStatus::Enabled, VersioningStatus::Suspended] {
        lab.versioning(switched).await;
        assert_eq!(status().await, Some(switched));
    }
}
