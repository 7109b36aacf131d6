//! Bodies as clients send them, and as nobody may.

mod chunks;
mod plain;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use http_body::{Body, Frame};
use sha2::{Digest, Sha256};

use super::object_body;
use crate::s3::checksum::ChecksumHasher;
use crate::s3::error::S3Error;
use crate::s3::op::body::{BodyClaims, BodyDigests, ChecksumClaim};
use crate::s3::op::checksum::ChecksumAlgorithm;
use crate::s3::sigv4::{
    AmzDate, AuthMethod, Authenticated, CredentialScope, PayloadMode, SecretKey, SigningContext,
    SigningKey,
};
use crate::server::BodyError;

const SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

fn signing() -> SigningContext {
    let scope = CredentialScope {
        day: "20130524".to_owned(),
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
    };
    SigningContext {
        key: SigningKey::derive(
            &SecretKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            &scope,
        ),
        date: AmzDate::parse("20130524T000000Z").unwrap(),
        scope,
        seed_signature: SEED.to_owned(),
    }
}

/// Input that comes in pieces, counted as they are taken.
struct Pieces {
    pieces: VecDeque<Bytes>,
    taken: Arc<AtomicUsize>,
}

impl Pieces {
    fn of(body: &[u8], piece_len: usize) -> Self {
        let pieces = body
            .chunks(piece_len.max(1))
            .map(Bytes::copy_from_slice)
            .collect();
        Self {
            pieces,
            taken: Arc::default(),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = self.pieces.pop_front();
        self.taken
            .fetch_add(piece.as_ref().map_or(0, Bytes::len), Ordering::Relaxed);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// A request's body, and all that its head says of it.
#[derive(Clone)]
struct Upload {
    payload: PayloadMode,
    content_length: Option<String>,
    decoded_length: Option<String>,
    claims: BodyClaims,
    wire: Vec<u8>,
}

impl Upload {
    fn plain(data: &[u8]) -> Self {
        Self {
            payload: PayloadMode::Unsigned,
            content_length: Some(data.len().to_string()),
            decoded_length: None,
            claims: BodyClaims::default(),
            wire: data.to_vec(),
        }
    }

    fn chunked(payload: PayloadMode, decoded_len: usize, wire: Vec<u8>) -> Self {
        let mut claims = BodyClaims::default();
        if payload.has_trailer() {
            claims.checksum = ChecksumClaim::Trailer(ChecksumAlgorithm::Crc32c);
        }
        Self {
            payload,
            content_length: Some(wire.len().to_string()),
            decoded_length: Some(decoded_len.to_string()),
            claims,
            wire,
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(length) = &self.content_length {
            headers.insert("content-length", length.parse().unwrap());
        }
        if let Some(length) = &self.decoded_length {
            headers.insert("x-amz-decoded-content-length", length.parse().unwrap());
        }
        headers
    }

    fn authenticated(&self) -> Authenticated {
        Authenticated {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            method: AuthMethod::Header,
            signing: signing(),
            payload: self.payload,
        }
    }

    /// What an operation sees of it: all bytes and the digests, or how many bytes came before the
    /// error.
    async fn read(&self, piece_len: usize) -> Result<(Vec<u8>, BodyDigests), (usize, S3Error)> {
        let raw = Pieces::of(&self.wire, piece_len);
        let mut body = object_body(
            &self.headers(),
            &self.authenticated(),
            self.claims.clone(),
            raw,
        )
        .map_err(|error| (0, error))?;
        let mut data = Vec::new();
        while let Some(piece) = body.stream.next().await {
            match piece {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(error) => {
                    assert!(
                        body.stream.next().await.is_none(),
                        "an error is the last item"
                    );
                    assert!(body.digests.get().is_none(), "no digests of what is wrong");
                    return Err((data.len(), error));
                }
            }
        }
        assert_eq!(data.len() as u64, body.len);
        Ok((
            data,
            body.digests
                .get()
                .expect("digests are there at the end")
                .clone(),
        ))
    }

    /// The code that it is refused with, however it is cut into pieces; `ok` if it is taken.
    async fn verdict(&self) -> String {
        let mut verdicts = Vec::new();
        for piece_len in [usize::MAX, 4096, 7] {
            verdicts.push(match self.read(piece_len).await {
                Ok(_) => "ok".to_owned(),
                Err((given, error)) => {
                    let len = self
                        .decoded_length
                        .as_ref()
                        .or(self.content_length.as_ref());
                    let len = len.and_then(|len| len.parse().ok()).unwrap_or(usize::MAX);
                    assert!(
                        given == 0 || given < len,
                        "the last byte is held back: {given}"
                    );
                    format!("{} {}", error.status().as_u16(), error.code())
                }
            });
        }
        assert!(
            verdicts.iter().all(|verdict| *verdict == verdicts[0]),
            "{verdicts:?}"
        );
        verdicts.swap_remove(0)
    }
}

/// `len` bytes in which no run repeats soon.
fn data(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 131 % 251) as u8).collect()
}

/// A client's side of signed chunks: each chunk as it goes over the wire.
fn signed_chunks(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut previous = SEED.to_owned();
    let last: &[u8] = b"";
    let mut wire = Vec::new();
    for data in chunks.iter().chain([&last]) {
        previous = chunk_signature(&previous, data);
        let mut chunk = format!("{:x};chunk-signature={previous}\r\n", data.len()).into_bytes();
        chunk.extend_from_slice(data);
        chunk.extend_from_slice(b"\r\n");
        wire.push(chunk);
    }
    wire
}

fn chunk_signature(previous: &str, data: &[u8]) -> String {
    let (empty, hash) = (Sha256::digest(b""), Sha256::digest(data));
    signing().key.sign(&format!(
        "AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n\
         {previous}\n{}\n{}",
        hex::encode(empty),
        hex::encode(hash)
    ))
}

fn signed_upload(chunks: &[&[u8]]) -> Upload {
    let len = chunks.iter().map(|chunk| chunk.len()).sum();
    Upload::chunked(
        PayloadMode::SignedChunks,
        len,
        signed_chunks(chunks).concat(),
    )
}

/// A client's side of signed chunks with a trailer.
fn signed_trailer_upload(chunks: &[&[u8]], trailer_line: &str) -> Upload {
    let len = chunks.iter().map(|chunk| chunk.len()).sum();
    let mut wire = signed_chunks(chunks);
    let last = wire.pop().unwrap();
    let last = std::str::from_utf8(&last).unwrap().trim_end();
    let previous = last.rsplit_once('=').unwrap().1;
    let signature = signing().key.sign(&format!(
        "AWS4-HMAC-SHA256-TRAILER\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n\
         {previous}\n{}",
        hex::encode(Sha256::digest(format!("{trailer_line}\n")))
    ));
    let tail = format!("{last}\r\n{trailer_line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n");
    wire.push(tail.into_bytes());
    Upload::chunked(PayloadMode::SignedChunksTrailer, len, wire.concat())
}

fn crc32c_line(data: &[u8]) -> String {
    let checksum = ChecksumHasher::checksum(ChecksumAlgorithm::Crc32c, data);
    format!("x-amz-checksum-crc32c:{}", checksum.text())
}

fn unsigned_trailer_upload(data: &[u8], chunk_len: usize) -> Upload {
    let mut wire = Vec::new();
    for chunk in data.chunks(chunk_len) {
        wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(format!("0\r\n{}\r\n\r\n", crc32c_line(data)).as_bytes());
    Upload::chunked(PayloadMode::UnsignedChunksTrailer, data.len(), wire)
}

fn replaced(wire: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = wire
        .windows(from.len())
        .position(|w| w == from.as_bytes())
        .expect("it is there");
    [&wire[..at], to.as_bytes(), &wire[at + from.len()..]].concat()
}
