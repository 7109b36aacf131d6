//! DeleteObject and DeleteObjects, in buckets of each kind.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::op::{
    DeleteObjectOutput, DeleteObjectsInput, ETag, ObjectToDelete, S3Service, VersioningStatus,
    WriteCondition,
};

use crate::lab::{Lab, bucket, code, etag_of, get_version, object_key, version_id};

#[tokio::test]
async fn an_unversioned_object_is_gone() {
    let lab = Lab::new().await;
    lab.put("a", b"bytes").await.unwrap();
    assert_eq!(
        lab.delete("a", None).await.unwrap(),
        DeleteObjectOutput::default()
    );
    assert_eq!(code(lab.get("a").await), ErrorCode::NoSuchKey);
    let again = lab.delete("a", None).await.unwrap();
    assert_eq!(
        again,
        DeleteObjectOutput::default(),
        "what is not there need not be deleted"
    );
    lab.put("a", b"bytes").await.unwrap();
    lab.delete("a", Some("null")).await.unwrap();
    assert_eq!(code(lab.get("a").await), ErrorCode::NoSuchKey);
}

#[tokio::test]
async fn a_versioned_object_gets_a_marker_and_comes_back_without_it() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    let put = lab.put("a", b"bytes").await.unwrap().version_id.unwrap();
    let marker = lab.delete("a", None).await.unwrap();
    assert!(marker.delete_marker);
    let id = marker.version_id.unwrap();
    assert_eq!(code(lab.get("a").await), ErrorCode::NoSuchKey);
    assert_eq!(
        lab.read(get_version("a", put.as_str())).await.unwrap(),
        b"bytes"
    );
    let removed = lab.delete("a", Some(id.as_str())).await.unwrap();
    assert_eq!(
        removed,
        DeleteObjectOutput {
            version_id: Some(id),
            delete_marker: true
        }
    );
    assert_eq!(lab.get("a").await.unwrap(), b"bytes");
    let removed = lab.delete("a", Some(put.as_str())).await.unwrap();
    assert_eq!(
        removed,
        DeleteObjectOutput {
            version_id: Some(put),
            delete_marker: false
        }
    );
    assert_eq!(code(lab.get("a").await), ErrorCode::NoSuchKey);
    let absent = lab.delete("never", None).await.unwrap();
    assert!(absent.delete_marker, "AWS lays a marker on what never was");
}

#[tokio::test]
async fn a_suspended_bucket_keeps_one_null_version() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    let kept = lab.put("a", b"kept").await.unwrap().version_id.unwrap();
    lab.versioning(VersioningStatus::Suspended).await;
    let null = lab.put("a", b"one").await.unwrap().version_id.unwrap();
    assert!(null.is_null());
    lab.put("a", b"two").await.unwrap();
    assert_eq!(lab.get("a").await.unwrap(), b"two");
    let marker = lab.delete("a", None).await.unwrap();
    assert!(marker.delete_marker && marker.version_id.unwrap().is_null());
    assert_eq!(
        code(lab.read(get_version("a", "null")).await),
        ErrorCode::MethodNotAllowed
    );
    assert_eq!(
        lab.read(get_version("a", kept.as_str())).await.unwrap(),
        b"kept"
    );
}

#[tokio::test]
async fn a_condition_keeps_what_it_does_not_name() {
    let lab = Lab::new().await;
    lab.put("a", b"bytes").await.unwrap();
    let other = WriteCondition::IfETag(ETag::from_text("other"));
    let failed = lab.delete_if("a", None, other.clone()).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::PreconditionFailed);
    assert_eq!(failed.extra("Condition"), Some("If-Match"));
    assert_eq!(lab.get("a").await.unwrap(), b"bytes");
    lab.delete_if("a", None, WriteCondition::IfETag(etag_of(b"bytes")))
        .await
        .unwrap();
    assert_eq!(
        code(lab.delete_if("a", None, other).await),
        ErrorCode::NoSuchKey
    );
    let any = lab.delete_if("a", None, WriteCondition::IfPresent).await;
    assert_eq!(code(any), ErrorCode::PreconditionFailed);
}

#[tokio::test]
async fn one_of_many_spoils_none_of_the_others() {
    let lab = Lab::new().await;
    for n in 0..300 {
        lab.put(&format!("k{n:03}"), b"bytes").await.unwrap();
    }
    let object = |key: String| ObjectToDelete {
        key: object_key(&key),
        version_id: None,
        condition: WriteCondition::Always,
    };
    let mut objects: Vec<_> = (0..300).map(|n| object(format!("k{n:03}"))).collect();
    objects[7].condition = WriteCondition::IfETag(ETag::from_text("other"));
    objects[8].version_id = Some(version_id("nonsense"));
    objects.push(object("never".to_owned()));
    let input = DeleteObjectsInput {
        bucket: bucket("films"),
        objects,
        quiet: false,
        bypass: Default::default(),
    };
    let output = lab
        .gateway
        .delete_objects(&lab.context, input.clone())
        .await
        .unwrap();
    assert_eq!(output.results.len(), 301);
    for (n, result) in output.results.iter().enumerate() {
        assert_eq!(result.key, input.objects[n].key, "in the order asked");
        let failed = result.outcome.as_ref().err().map(|error| error.code());
        match n {
            7 => assert_eq!(failed, Some(ErrorCode::PreconditionFailed)),
            8 => assert_eq!(failed, Some(ErrorCode::InvalidArgument)),
            _ => assert_eq!(failed, None),
        }
        let there = lab.get(input.objects[n].key.as_str()).await.is_ok();
        assert_eq!(there, n == 7 || n == 8);
    }
    let nowhere = DeleteObjectsInput {
        bucket: bucket("nowhere"),
        ..input
    };
    let missing = lab.gateway.delete_objects(&lab.context, nowhere).await;
    assert_eq!(code(missing), ErrorCode::NoSuchBucket);
}
