//! Framed bodies: signed chunks, trailers, in pieces of any size.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use holdfast_gateway::s3::body::object_body;
use holdfast_gateway::s3::head::Headers;
use holdfast_gateway::s3::parse;
use holdfast_gateway::s3::query::Query;
use holdfast_gateway::s3::sigv4::Authenticated;
use holdfast_gateway::server::BodyError;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;

use super::fuzz;
use super::signing::{DATE, authenticate, head, key, scope, sha256_hex, signed, verifier};

const WORDS: [&str; 14] = [
    ";chunk-signature=",
    "0;chunk-signature=",
    "0\r\n",
    "0\r\n\r\n",
    "a\r\n",
    "ffffffffffffffff\r\n",
    "1000001\r\n",
    "x-amz-checksum-crc32:",
    "x-amz-trailer-signature:",
    "x-amz-checksum-crc32:AAAAAA==\r\n",
    ";ext=1",
    "A",
    "\r",
    "00000000000000000000000001\r\n",
];

const DATA: &[u8] = b"what the client meant to send, all of it";
const CHUNK_LEN: usize = 16;
/// All signed chunks but the last are at least this long.
const SIGNED_CHUNK_LEN: usize = 8192;

/// A request whose body is framed.
struct Framed {
    data: Vec<u8>,
    head: HeaderMap,
    headers: Headers,
    authenticated: Authenticated,
}

impl Framed {
    fn new(mode: &str, data: Vec<u8>, trailer: Option<&str>) -> Self {
        let len = data.len().to_string();
        let mut more = vec![("x-amz-decoded-content-length", len.as_str())];
        more.extend(trailer.map(|name| ("x-amz-trailer", name)));
        let text = signed("PUT", "/bucket/key", "", mode, &more);
        let head = head(text.as_bytes()).unwrap();
        let authenticated = authenticate(&verifier(), &head).unwrap();
        Self {
            data,
            headers: Headers::of(&head, &Query::parse("").unwrap()).unwrap(),
            head: head.headers,
            authenticated,
        }
    }

    /// The body, framed rightly.
    fn frame(&self, signs: bool, trailer: Option<&str>) -> Vec<u8> {
        let mut previous = self.authenticated.signing.seed_signature.clone();
        let mut sign = |kind: &str, hashes: &str| {
            let text = format!(
                "AWS4-HMAC-SHA256-{kind}\n{DATE}\n{}\n{previous}\n{hashes}",
                scope()
            );
            previous = key().sign(&text);
            previous.clone()
        };
        let mut framed = Vec::new();
        let chunk_len = if signs { SIGNED_CHUNK_LEN } else { CHUNK_LEN };
        for chunk in self.data.chunks(chunk_len).chain([&b""[..]]) {
            framed.extend(format!("{:x}", chunk.len()).bytes());
            if signs {
                let hashes = format!("{}\n{}", sha256_hex(b""), sha256_hex(chunk));
                framed.extend(format!(";chunk-signature={}", sign("PAYLOAD", &hashes)).bytes());
            }
            framed.extend(b"\r\n");
            framed.extend(chunk);
            if !chunk.is_empty() {
                framed.extend(b"\r\n");
            }
        }
        if let Some(line) = trailer {
            framed.extend(format!("{line}\r\n").bytes());
            if signs {
                let hash = sha256_hex(format!("{line}\n").as_bytes());
                let signature = sign("TRAILER", &hash);
                framed.extend(format!("x-amz-trailer-signature:{signature}\r\n").bytes());
            }
        }
        framed.extend(b"\r\n");
        framed
    }

    /// What comes out, if it is found good.
    fn read(&self, input: &[u8]) -> Option<Vec<u8>> {
        // As the network cuts it: the input itself says where.
        let piece_len = 1 + input.len() % 97;
        let pieces: Vec<Result<Frame<Bytes>, BodyError>> = input
            .chunks(piece_len)
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let claims = parse::body_claims(&self.headers).unwrap();
        let raw = StreamBody::new(stream::iter(pieces));
        let body = object_body(&self.head, &self.authenticated, claims, raw).ok()?;
        let pieces: Vec<_> = body.stream.collect().now_or_never().expect("all is there");
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(piece.ok()?);
        }
        Some(all)
    }
}

/// Whatever is done to the frame, what is taken for verified is what was sent.
fn fuzz_framed(name: &str, mode: &str, trailer: Option<Trailer>) {
    let signs = !mode.contains("UNSIGNED");
    let filling = if signs { SIGNED_CHUNK_LEN } else { 0 };
    let data = [vec![b'.'; filling], DATA.to_vec()].concat();
    let line = trailer.map(|Trailer| crc32_line(&data));
    let framed = Framed::new(mode, data, trailer.map(|Trailer| "x-amz-checksum-crc32"));
    let seeds = [framed.frame(signs, line.as_deref())];
    fuzz(name, &seeds, &WORDS, |input| match framed.read(input) {
        Some(bytes) => {
            assert!(bytes == framed.data, "altered bytes pass for verified");
            true
        }
        None => false,
    });
}

/// The body ends with a checksum.
#[derive(Clone, Copy)]
struct Trailer;

fn crc32_line(data: &[u8]) -> String {
    use base64::Engine;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, data) as u32;
    let text = base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes());
    format!("x-amz-checksum-crc32:{text}")
}

#[test]
fn signed_chunks() {
    fuzz_framed("signed_chunks", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", None);
}

#[test]
fn signed_chunks_with_a_trailer() {
    let mode = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
    fuzz_framed("signed_trailer", mode, Some(Trailer));
}

#[test]
fn unsigned_chunks_with_a_trailer() {
    let mode = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    fuzz_framed("unsigned_trailer", mode, Some(Trailer));
}
