//! Objects of streams whose length nobody knows beforehand.

use bytes::Bytes;
use futures::stream;
use holdfast_gateway::ops::NewObject;
use holdfast_gateway::s3::error::{ErrorCode, S3Error};
use holdfast_gateway::s3::op::{ListMultipartUploadsInput, S3Service};

use crate::lab::{Lab, Outcome, bucket, code, filter, get_input, noise, object_key};

fn film(key: &str) -> NewObject {
    NewObject {
        bucket: bucket("films"),
        key: object_key(key),
    }
}

/// In pieces of a length that fits no part.
fn pieces(bytes: &[u8]) -> Vec<Outcome<Bytes>> {
    let pieces = bytes.chunks(700_001);
    pieces
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect()
}

async fn open_uploads(lab: &Lab) -> usize {
    let input = ListMultipartUploadsInput {
        bucket: bucket("films"),
        filter: filter("", None, 1000),
        key_marker: String::new(),
        upload_id_marker: None,
    };
    let page = lab
        .gateway
        .list_multipart_uploads(&lab.context, input)
        .await;
    page.unwrap().uploads.len()
}

#[tokio::test]
async fn a_stream_becomes_an_object_of_parts_and_replaces_none() {
    let lab = Lab::new().await;
    for len in [1, 700_001, 35 << 20] {
        let (key, bytes) = (format!("{len}"), noise(1, len));
        let chunks = stream::iter(pieces(&bytes));
        let object = film(&key);
        let put = lab.gateway.put_stream(&lab.context, &object, chunks);
        assert_eq!(put.await.unwrap().size, len as u64);
        assert!(lab.get(&key).await.unwrap() == bytes, "{len}");
        let again = stream::iter(pieces(b"other"));
        let again = lab.gateway.put_stream(&lab.context, &object, again).await;
        assert_eq!(code(again), ErrorCode::PreconditionFailed);
        assert!(lab.get(&key).await.unwrap() == bytes, "{len} is as it was");
    }
    assert_eq!(open_uploads(&lab).await, 0);
}

#[tokio::test]
async fn a_stream_that_fails_leaves_nothing() {
    let lab = Lab::new().await;
    let mut broken = pieces(&noise(2, 20 << 20));
    broken.push(Err(S3Error::new(ErrorCode::InternalError)));
    let object = film("broken");
    let put = lab
        .gateway
        .put_stream(&lab.context, &object, stream::iter(broken));
    assert_eq!(code(put.await), ErrorCode::InternalError);
    let read = lab.read(get_input("broken")).await;
    assert_eq!(code(read), ErrorCode::NoSuchKey);
    assert_eq!(open_uploads(&lab).await, 0);
}
