//! Bodies without framing, and what the head claims of any body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use http_body::{Body, Frame};
use md5::{Digest, Md5};
use sha2::Sha256;

use super::{Pieces, Upload, data, unsigned_trailer_upload};
use crate::s3::body::{object_body, read_small};
use crate::s3::checksum::ChecksumHasher;
use crate::s3::op::body::{BodyClaims, ChecksumClaim, Claimed};
use crate::s3::op::checksum::ChecksumAlgorithm;
use crate::s3::sigv4::PayloadMode;
use crate::server::BodyError;

#[tokio::test]
async fn a_plain_body_comes_through_with_its_digests() {
    for len in [0, 1, 100_000] {
        let data = data(len);
        let (read, digests) = Upload::plain(&data).read(1000).await.unwrap();
        assert_eq!(read, data);
        assert_eq!(digests.md5, <[u8; 16]>::from(Md5::digest(&data)));
        let crc = ChecksumHasher::checksum(ChecksumAlgorithm::Crc64Nvme, &data);
        assert_eq!((digests.checksum, digests.claimed), (crc, Claimed::Default));
    }
}

#[tokio::test]
async fn every_claim_about_a_plain_body_is_checked() {
    let data = data(10_000);
    let sha256 = Sha256::digest(&data).into();
    let md5: [u8; 16] = Md5::digest(&data).into();
    let good = Upload {
        payload: PayloadMode::Signed(sha256),
        claims: BodyClaims {
            md5: Some(md5),
            ..BodyClaims::default()
        },
        ..Upload::plain(&data)
    };
    for algorithm in ChecksumAlgorithm::ALL {
        let mut upload = good.clone();
        let checksum = ChecksumHasher::checksum(algorithm, &data);
        upload.claims.checksum = ChecksumClaim::Value(checksum.clone());
        let (_, digests) = upload.read(1000).await.unwrap();
        assert_eq!(
            (digests.checksum, digests.claimed),
            (checksum, Claimed::ByClient)
        );

        let other = ChecksumHasher::checksum(algorithm, b"other");
        upload.claims.checksum = ChecksumClaim::Value(other);
        assert_eq!(upload.verdict().await, "400 BadDigest", "{algorithm:?}");
    }
    let other_md5 = BodyClaims {
        md5: Some([7; 16]),
        ..BodyClaims::default()
    };
    let bad = Upload {
        claims: other_md5,
        ..good.clone()
    };
    assert_eq!(bad.verdict().await, "400 BadDigest");
    let bad = Upload {
        payload: PayloadMode::Signed([7; 32]),
        ..good.clone()
    };
    assert_eq!(bad.verdict().await, "400 XAmzContentSHA256Mismatch");
    let error = bad.read(1000).await.unwrap_err().1;
    assert_eq!(
        error.extra("ClientComputedContentSHA256"),
        Some(&*hex::encode([7; 32]))
    );
    assert_eq!(
        error.extra("S3ComputedContentSHA256"),
        Some(&*hex::encode(sha256))
    );
}

#[tokio::test]
async fn lengths_are_required_and_exact() {
    let plain = Upload::plain(&data(5000));
    let chunked = unsigned_trailer_upload(&data(5000), 1000);
    let length = |length: &str| Some(length.to_owned());
    for (upload, expected) in [
        (
            Upload {
                content_length: None,
                ..plain.clone()
            },
            "411 MissingContentLength",
        ),
        (
            Upload {
                content_length: length("4999"),
                ..plain.clone()
            },
            "400 IncompleteBody",
        ),
        (
            Upload {
                content_length: length("5001"),
                ..plain.clone()
            },
            "400 IncompleteBody",
        ),
        (
            Upload {
                content_length: length("-1"),
                ..plain.clone()
            },
            "400 InvalidArgument",
        ),
        (
            Upload {
                content_length: length("5368709121"),
                ..plain
            },
            "400 EntityTooLarge",
        ),
        (
            Upload {
                content_length: None,
                ..chunked.clone()
            },
            "ok",
        ),
        (
            Upload {
                decoded_length: None,
                ..chunked.clone()
            },
            "411 MissingContentLength",
        ),
        (
            Upload {
                decoded_length: length("4999"),
                ..chunked.clone()
            },
            "400 IncompleteBody",
        ),
        (
            Upload {
                decoded_length: length("5001"),
                ..chunked.clone()
            },
            "400 IncompleteBody",
        ),
        (
            Upload {
                decoded_length: length(""),
                ..chunked.clone()
            },
            "400 InvalidArgument",
        ),
        (
            Upload {
                decoded_length: length("5e3"),
                ..chunked.clone()
            },
            "400 InvalidArgument",
        ),
        (
            Upload {
                decoded_length: length("+5000"),
                ..chunked.clone()
            },
            "400 InvalidArgument",
        ),
        (
            Upload {
                decoded_length: length("5368709121"),
                ..chunked
            },
            "400 EntityTooLarge",
        ),
    ] {
        assert_eq!(
            upload.verdict().await,
            expected,
            "{:?}",
            (upload.content_length, upload.decoded_length)
        );
    }
}

#[tokio::test]
async fn a_client_that_is_too_slow_or_gone_is_told_apart() {
    struct TooSlow;
    impl Body for TooSlow {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Err(BodyError::TooSlow { received_bytes: 3 })))
        }
    }
    let upload = Upload::plain(b"0123456789");
    let mut body = object_body(
        &upload.headers(),
        &upload.authenticated(),
        BodyClaims::default(),
        TooSlow,
    )
    .unwrap();
    let error = body.stream.next().await.unwrap().unwrap_err();
    assert_eq!(
        (error.code().as_str(), error.status().as_u16()),
        ("RequestTimeout", 400)
    );
    assert!(error.must_close());
}

#[tokio::test]
async fn a_small_body_is_read_whole_and_bounded() {
    let read = |upload: Upload, limit| async move {
        let raw = Pieces::of(&upload.wire, 3);
        let headers = upload.headers();
        read_small(
            &headers,
            &upload.authenticated(),
            upload.claims.clone(),
            raw,
            limit,
        )
        .await
        .map_err(|error| error.code().as_str())
    };
    let document = b"<Delete></Delete>";
    assert_eq!(
        read(Upload::plain(document), 17).await.unwrap(),
        document.as_slice()
    );
    let chunked = unsigned_trailer_upload(document, 5);
    assert_eq!(read(chunked, 17).await.unwrap(), document.as_slice());
    assert_eq!(
        read(Upload::plain(document), 16).await,
        Err("MaxMessageLengthExceeded")
    );
    let no_body = Upload {
        content_length: None,
        ..Upload::plain(b"")
    };
    assert_eq!(read(no_body, 16).await.unwrap(), Bytes::new());
    let no_length = Upload {
        content_length: None,
        ..Upload::plain(document)
    };
    assert_eq!(read(no_length, 16).await, Err("MissingContentLength"));
    let forged = Upload {
        payload: PayloadMode::Signed([0; 32]),
        ..Upload::plain(document)
    };
    assert_eq!(read(forged, 17).await, Err("XAmzContentSHA256Mismatch"));
}
