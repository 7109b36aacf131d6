//! Requests that meet at one exact statement, and commits whose replies are lost.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::name::PartNumber;
use holdfast_gateway::s3::op::{
    AbortMultipartUploadInput, GetObjectInput, PutObjectInput, S3Service, Select, VersioningStatus,
    WriteCondition,
};

use crate::lab::{
    Lab, STRIPE, body, bucket, code, complete_input, copy_input, get_input, get_version, noise,
    object_key, put_input,
};
use crate::script::Loss;

/// A part of the statement that finds a version, by key alone.
const FINDS_CURRENT: &str = "FROM versions WHERE bucket_id = $1 AND key = $2";
/// A part of the statement that finds an upload.
const FINDS_UPLOAD: &str = "FROM uploads WHERE upload_id = $1";
/// A part of the statement that reads parts.
const READS_PARTS: &str = "FROM parts WHERE upload_id = $1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_goes_away_under_a_read_is_looked_up_again() {
    let lab = Lab::new().await;
    let (old, new) = (noise(1, 3 * STRIPE), noise(2, 5 * STRIPE));
    lab.put("a", &old).await.unwrap();
    let held = lab.script.hold(FINDS_CURRENT);
    let meddle = async {
        held.reached().await;
        lab.put("a", &new).await.unwrap();
        held.let_go();
    };
    let (read, ()) = tokio::join!(lab.get("a"), meddle);
    assert_eq!(read.unwrap(), new, "the old version's slices are gone");

    let held = lab.script.hold(FINDS_CURRENT);
    let meddle = async {
        held.reached().await;
        lab.delete("a", None).await.unwrap();
        held.let_go();
    };
    let (read, ()) = tokio::join!(lab.get("a"), meddle);
    assert_eq!(code(read), ErrorCode::NoSuchKey);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_an_object_that_is_replaced_is_that_of_the_new_one() {
    let lab = Lab::new().await;
    let (old, new) = (noise(1, 20_000), noise(2, 30_000));
    let make = async |bytes: &[u8]| {
        let upload = lab.begin("a", None).await;
        let part = lab.put_part("a", &upload, 1, bytes).await.unwrap();
        let input = complete_input("a", &upload, &[(1, &part)]);
        lab.complete(input).await.unwrap();
    };
    make(&old).await;
    let held = lab.script.hold(FINDS_CURRENT);
    let meddle = async {
        held.reached().await;
        make(&new).await;
        held.let_go();
    };
    let input = GetObjectInput {
        select: Select::Part(PartNumber::new(1).unwrap()),
        ..get_input("a")
    };
    let (read, ()) = tokio::join!(lab.read(input), meddle);
    assert_eq!(read.unwrap(), new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_version_that_goes_away_under_a_read_is_not_there() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    let id = lab
        .put("a", &noise(1, STRIPE))
        .await
        .unwrap()
        .version_id
        .unwrap();
    let held = lab.script.hold(FINDS_CURRENT);
    let meddle = async {
        held.reached().await;
        lab.delete("a", Some(id.as_str())).await.unwrap();
        held.let_go();
    };
    let (read, ()) = tokio::join!(lab.read(get_version("a", id.as_str())), meddle);
    assert_eq!(code(read), ErrorCode::NoSuchVersion);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_source_is_replaced_copies_what_is_there() {
    let lab = Lab::new().await;
    let (old, new) = (noise(1, 3 * STRIPE), noise(2, 5 * STRIPE));
    lab.put("a", &old).await.unwrap();
    let held = lab.script.hold(FINDS_CURRENT);
    let meddle = async {
        held.reached().await;
        lab.put("a", &new).await.unwrap();
        held.let_go();
    };
    let copy = lab.gateway.copy_object(&lab.context, copy_input("a", "b"));
    let (copy, ()) = tokio::join!(copy, meddle);
    assert_eq!(copy.unwrap().etag, crate::lab::etag_of(&new));
    assert_eq!(lab.get("b").await.unwrap(), new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_an_upload_that_is_aborted_meanwhile_leaves_nothing() {
    let lab = Lab::new().await;
    let upload = lab.begin("a", None).await;
    let held = lab.script.hold(FINDS_UPLOAD);
    let meddle = async {
        held.reached().await;
        let abort = AbortMultipartUploadInput {
            bucket: bucket("films"),
            key: object_key("a"),
            upload_id: upload.clone(),
        };
        lab.gateway
            .abort_multipart_upload(&lab.context, abort)
            .await
            .unwrap();
        held.let_go();
    };
    let bytes = noise(1, 3 * STRIPE);
    let (part, ()) = tokio::join!(lab.put_part("a", &upload, 1, &bytes), meddle);
    assert_eq!(code(part), ErrorCode::NoSuchUpload);
    assert_eq!(
        lab.metrics.bytes_in.get(),
        bytes.len() as u64,
        "its body was read and stored"
    );
    lab.gateway.drain().await;
    assert_eq!(lab.drives.fragment_count(), 0, "condemned, then removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_replaced_under_a_complete_is_seen() {
    let lab = Lab::new().await;
    let (old, new) = (noise(1, 3 * STRIPE), noise(2, 3 * STRIPE));
    for same in [true, false] {
        let upload = lab.begin("a", None).await;
        let part = lab.put_part("a", &upload, 1, &old).await.unwrap();
        let held = lab.script.hold(READS_PARTS);
        let meddle = async {
            held.reached().await;
            let again = if same { &old } else { &new };
            lab.put_part("a", &upload, 1, again).await.unwrap();
            held.let_go();
        };
        let complete = lab.complete(complete_input("a", &upload, &[(1, &part)]));
        let (complete, ()) = tokio::join!(complete, meddle);
        if same {
            complete.unwrap();
            assert_eq!(
                lab.get("a").await.unwrap(),
                old,
                "another part of the same bytes"
            );
            lab.delete("a", None).await.unwrap();
        } else {
            assert_eq!(code(complete), ErrorCode::InvalidPart);
            assert_eq!(code(lab.get("a").await), ErrorCode::NoSuchKey);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_is_overtaken_is_decided_by_the_commit() {
    let lab = Lab::new().await;
    // The look before the body sees nothing; the commit sees the other's object.
    let held = lab.script.hold(FINDS_CURRENT);
    let meddle = async {
        held.reached().await;
        lab.put("a", b"first").await.unwrap();
        held.let_go();
    };
    let input = PutObjectInput {
        condition: WriteCondition::IfAbsent,
        ..put_input("a")
    };
    let (second, ()) = tokio::join!(lab.put_as(input, body(&noise(1, 3 * STRIPE))), meddle);
    let second = second.unwrap_err();
    assert_eq!(second.code(), ErrorCode::PreconditionFailed);
    assert_eq!(second.extra("Condition"), Some("If-None-Match"));
    assert_eq!(lab.get("a").await.unwrap(), b"first");
    lab.gateway.drain().await;
    assert_eq!(
        lab.drives.fragment_count(),
        3,
        "the three copies of the first"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_reply_is_lost_is_found_out_and_frees_nothing_that_is_live() {
    let lab = Lab::new().await;
    let (old, new) = (noise(1, 3 * STRIPE), noise(2, 5 * STRIPE));
    lab.put("a", &old).await.unwrap();
    lab.script.lose_commit(Loss::Reply);
    let answer = lab.put("a", &new).await;
    lab.gateway.drain().await;
    assert_eq!(
        lab.get("a").await.unwrap(),
        new,
        "it happened, whatever was answered"
    );
    match answer {
        Ok(_) => {}
        Err(error) => assert_eq!(error.code(), ErrorCode::ServiceUnavailable),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrives_changes_nothing() {
    let lab = Lab::new().await;
    let old = noise(1, 3 * STRIPE);
    lab.put("a", &old).await.unwrap();
    lab.script.lose_commit(Loss::Request);
    let answer = lab.put("a", &noise(2, 5 * STRIPE)).await;
    assert_eq!(code(answer), ErrorCode::ServiceUnavailable);
    lab.gateway.drain().await;
    assert_eq!(lab.get("a").await.unwrap(), old);
    lab.put("a", b"new").await.unwrap();
    assert_eq!(lab.get("a").await.unwrap(), b"new");
}
