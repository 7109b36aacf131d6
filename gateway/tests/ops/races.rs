//! Requests that meet each other, as they do in life: exactly one wins, and the store agrees.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::op::{
    AbortMultipartUploadInput, CopyObjectInput, PutObjectInput, S3Service, VersioningStatus,
    WriteCondition,
};

use crate::lab::{
    Lab, STRIPE, body, bucket, code, complete_input, copy_input, etag_of, noise, object_key,
    put_input,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_completed_or_aborted_and_never_both() {
    let lab = Lab::new().await;
    let (mut completed, mut aborted) = (0, 0);
    for round in 0..40_u64 {
        let key = format!("k{round}");
        let bytes = noise(round, 20_000);
        let upload = lab.begin(&key, None).await;
        let part = lab.put_part(&key, &upload, 1, &bytes).await.unwrap();
        let abort = AbortMultipartUploadInput {
            bucket: bucket("films"),
            key: object_key(&key),
            upload_id: upload.clone(),
        };
        let complete = lab.complete(complete_input(&key, &upload, &[(1, &part)]));
        let abort = lab.gateway.abort_multipart_upload(&lab.context, abort);
        let (complete, abort) = if round % 2 == 0 {
            tokio::join!(complete, abort)
        } else {
            let (abort, complete) = tokio::join!(abort, complete);
            (complete, abort)
        };
        match (complete, abort) {
            (Ok(_), Err(error)) => {
                assert_eq!(error.code(), ErrorCode::NoSuchUpload);
                assert_eq!(lab.get(&key).await.unwrap(), bytes);
                completed += 1;
            }
            (Err(error), Ok(_)) => {
                assert_eq!(error.code(), ErrorCode::NoSuchUpload);
                assert_eq!(code(lab.get(&key).await), ErrorCode::NoSuchKey);
                aborted += 1;
            }
            both => panic!("round {round}: {both:?}"),
        }
    }
    assert_eq!(completed + aborted, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_completes_are_one_object_and_one_answer() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    for round in 0..20_u64 {
        let key = format!("k{round}");
        let upload = lab.begin(&key, None).await;
        let part = lab
            .put_part(&key, &upload, 1, &noise(round, 9000))
            .await
            .unwrap();
        let input = complete_input(&key, &upload, &[(1, &part)]);
        let (one, other) = tokio::join!(lab.complete(input.clone()), lab.complete(input));
        let one = one.unwrap();
        assert!(one.version_id.is_some());
        assert_eq!(one, other.unwrap(), "the same version");
        assert_eq!(lab.get(&key).await.unwrap(), noise(round, 9000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_part_is_never_mixed_into_an_object() {
    let lab = Lab::new().await;
    for round in 0..20_u64 {
        let key = format!("k{round}");
        let (old, new) = (noise(round, 9000), noise(round + 1000, 9000));
        let upload = lab.begin(&key, None).await;
        let part = lab.put_part(&key, &upload, 1, &old).await.unwrap();
        let input = complete_input(&key, &upload, &[(1, &part)]);
        let replace = lab.put_part(&key, &upload, 1, &new);
        let (completed, replaced) = tokio::join!(lab.complete(input), replace);
        match completed {
            // The list named the old part, so it is the old part or nothing.
            Ok(_) => assert_eq!(lab.get(&key).await.unwrap(), old),
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::InvalidPart);
                replaced.unwrap();
                assert_eq!(code(lab.get(&key).await), ErrorCode::NoSuchKey);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_kept_with_if_match_never_loses_a_step() {
    let lab = Lab::new().await;
    lab.put("n", b"0").await.unwrap();
    let step = async || loop {
        let now = lab.get("n").await.unwrap();
        let next = String::from_utf8(now.clone())
            .unwrap()
            .parse::<u32>()
            .unwrap()
            + 1;
        let condition = WriteCondition::IfETag(etag_of(&now));
        let input = PutObjectInput {
            condition,
            ..put_input("n")
        };
        match lab.put_as(input, body(next.to_string().as_bytes())).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.code(), ErrorCode::PreconditionFailed),
        }
    };
    futures::future::join_all((0..20).map(|_| step())).await;
    assert_eq!(lab.get("n").await.unwrap(), b"20");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_version_or_another_and_never_a_mixture() {
    let lab = Lab::new().await;
    let versions: Vec<Vec<u8>> = (0..4)
        .map(|n| noise(n, (n as usize + 1) * 5 * STRIPE + 11))
        .collect();
    lab.put("a", &versions[0]).await.unwrap();
    let write = async {
        for round in 0..40 {
            lab.put("a", &versions[round % 4]).await.unwrap();
            let copy = CopyObjectInput {
                ..copy_input("a", "b")
            };
            lab.gateway.copy_object(&lab.context, copy).await.unwrap();
            lab.delete("b", None).await.unwrap();
        }
    };
    let read = async || {
        for _ in 0..60 {
            let bytes = lab.get("a").await.unwrap();
            assert!(
                versions.contains(&bytes),
                "{} bytes of no version",
                bytes.len()
            );
            match lab.get("b").await {
                Ok(bytes) => assert!(versions.contains(&bytes)),
                Err(error) => assert_eq!(error.code(), ErrorCode::NoSuchKey),
            }
        }
    };
    tokio::join!(write, read(), read());
}
