//! `aws-chunked`: `SIZE[;chunk-signature=HEX]CRLF DATA CRLF ... 0[;..]CRLF TRAILER`.
//!
//! A state machine that is given input in pieces of any size and gives back slices of it, never a
//! copy. Data of a signed chunk is hashed as it passes; its signature is checked when its last byte
//! has passed. Only a chunk head and the tail are ever kept, both bounded.

use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};

use super::trailer::{MAX_TAIL_BYTES, Tail};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::sigv4::ChunkSigner;

/// Decodes one body.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
    signer: Option<ChunkSigner>,
    /// Decoded bytes that may still come.
    remaining: u64,
    /// Whether the last chunk was smaller than all but the last may be.
    saw_short_chunk: bool,
}

#[derive(Debug)]
enum State {
    /// In a chunk's head: what of it has come.
    Head(Vec<u8>),
    /// In a chunk's data.
    Data(Chunk),
    /// In the line end behind a chunk's data: how much of it has come.
    DataEnd(usize),
    /// Behind the last chunk: what has come.
    Tail(Vec<u8>),
}

#[derive(Debug)]
struct Chunk {
    remaining: u64,
    signed: Option<SignedChunk>,
}

#[derive(Debug)]
struct SignedChunk {
    signature: String,
    data_sha256: Sha256,
}

impl ChunkedDecoder {
    /// Decodes a body of `decoded_len` bytes. With a signer every chunk must be signed.
    pub(super) fn new(decoded_len: u64, signer: Option<ChunkSigner>) -> Self {
        let state = State::Head(Vec::new());
        Self {
            state,
            signer,
            remaining: decoded_len,
            saw_short_chunk: false,
        }
    }

    /// Takes input from the front of `input` until there is data to give or nothing is left.
    pub(super) fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, S3Error> {
        while !input.is_empty() {
            match &mut self.state {
                State::Head(head) => {
                    if let Some(line) = take_line(head, input)? {
                        self.state = self.begin_chunk(&line)?;
                    }
                }
                State::Data(chunk) => {
                    let data = chunk.take(input);
                    self.remaining -= data.len() as u64;
                    if chunk.remaining == 0 {
                        self.end_chunk()?;
                    }
                    return Ok(Some(data));
                }
                State::DataEnd(matched) => {
                    if input.get_u8() != b"\r\n"[*matched] {
                        return Err(malformed("chunk data must end with CRLF"));
                    }
                    *matched += 1;
                    if *matched == 2 {
                        self.state = State::Head(Vec::new());
                    }
                }
                State::Tail(tail) => {
                    if tail.len() + input.len() > MAX_TAIL_BYTES {
                        return Err(S3Error::new(ErrorCode::MalformedTrailerError));
                    }
                    tail.extend_from_slice(input);
                    input.clear();
                }
            }
        }
        Ok(None)
    }

    /// What followed the last chunk, and who checks its signature. To be called at the end of the
    /// input.
    pub(super) fn finish(self) -> Result<(Tail, Option<ChunkSigner>), S3Error> {
        match self.state {
            State::Tail(tail) if self.remaining == 0 => Ok((Tail::parse(&tail)?, self.signer)),
            _ => Err(S3Error::new(ErrorCode::IncompleteBody)),
        }
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<State, S3Error> {
        let ChunkHead { size, signature } = ChunkHead::parse(line)?;
        if size > self.remaining {
            return Err(S3Error::new(ErrorCode::IncompleteBody));
        }
        if self.signer.is_some() && size > 0 {
            if self.saw_short_chunk {
                return Err(S3Error::new(ErrorCode::InvalidChunkSizeError));
            }
            self.saw_short_chunk = size < MIN_SIGNED_CHUNK_BYTES;
        }
        let signed = match (&self.signer, signature) {
            (Some(_), Some(signature)) => Some(SignedChunk {
                signature,
                data_sha256: Sha256::new(),
            }),
            (Some(_), None) => return Err(malformed("chunk-signature is missing")),
            (None, _) => None,
        };
        let chunk = Chunk {
            remaining: size,
            signed,
        };
        if size > 0 {
            return Ok(State::Data(chunk));
        }
        self.verify(chunk)?;
        Ok(State::Tail(Vec::new()))
    }

    fn end_chunk(&mut self) -> Result<(), S3Error> {
        if let State::Data(chunk) = std::mem::replace(&mut self.state, State::DataEnd(0)) {
            self.verify(chunk)?;
        }
        Ok(())
    }

    fn verify(&mut self, chunk: Chunk) -> Result<(), S3Error> {
        let (Some(signer), Some(signed)) = (&mut self.signer, chunk.signed) else {
            return Ok(());
        };
        if signer.verify_chunk(&signed.data_sha256.finalize().into(), &signed.signature) {
            Ok(())
        } else {
            Err(S3Error::new(ErrorCode::SignatureDoesNotMatch))
        }
    }
}

impl Chunk {
    fn take(&mut self, input: &mut Bytes) -> Bytes {
        let here = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(input.len());
        let data = input.split_to(here);
        self.remaining -= here as u64;
        if let Some(signed) = &mut self.signed {
            signed.data_sha256.update(&data);
        }
        data
    }
}

/// `SIZE[;NAME=VALUE]..`, without its line end.
#[derive(Debug, PartialEq, Eq)]
struct ChunkHead {
    size: u64,
    signature: Option<String>,
}

impl ChunkHead {
    fn parse(line: &[u8]) -> Result<Self, S3Error> {
        let line = std::str::from_utf8(line).map_err(|_| malformed("a chunk head is not text"))?;
        let mut parts = line.split(';');
        let size = parts.next().unwrap_or_default();
        let is_hex = size.bytes().all(|byte| byte.is_ascii_hexdigit());
        if size.is_empty() || size.len() > MAX_SIZE_DIGITS || !is_hex {
            return Err(malformed("a chunk's size is not a hexadecimal number"));
        }
        let size = u64::from_str_radix(size, 16)
            .map_err(|_| malformed("a chunk's size is not a hexadecimal number"))?;
        let mut signature = None;
        for extension in parts {
            if let Some(value) = extension.strip_prefix("chunk-signature=")
                && signature.replace(value.to_owned()).is_some()
            {
                return Err(malformed("a chunk has two signatures"));
            }
        }
        Ok(Self { size, signature })
    }
}

/// Moves a line from `input` to `line`. Gives it, without its CRLF, once it is whole.
fn take_line(line: &mut Vec<u8>, input: &mut Bytes) -> Result<Option<Vec<u8>>, S3Error> {
    let end = input.iter().position(|&byte| byte == b'\n');
    let here = end.map_or(input.len(), |end| end + 1);
    if line.len() + here > MAX_HEAD_BYTES {
        return Err(malformed("a chunk's head is too long"));
    }
    line.extend_from_slice(&input.split_to(here));
    if end.is_none() {
        return Ok(None);
    }
    match line.strip_suffix(b"\r\n") {
        Some(whole) => Ok(Some(whole.to_vec())),
        None => Err(malformed("a chunk's head must end with CRLF")),
    }
}

fn malformed(what: &'static str) -> S3Error {
    S3Error::invalid_request(format!("The aws-chunked body is malformed: {what}."))
}

/// 2^60 bytes and more are no chunk; a longer number would not fit its type.
const MAX_SIZE_DIGITS: usize = 15;
/// Extensions of a chunk are no place to send data in.
const MAX_EXTENSION_BYTES: usize = 4 << 10;
const MAX_HEAD_BYTES: usize = MAX_SIZE_DIGITS + MAX_EXTENSION_BYTES + 2;
/// AWS's: all chunks but the last have at least this many bytes. A signature for each byte would
/// cost us more than it costs the client.
const MIN_SIGNED_CHUNK_BYTES: u64 = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_head_is_a_size_and_maybe_a_signature() {
        let head = |line: &str| ChunkHead::parse(line.as_bytes()).ok();
        assert_eq!(
            head("0"),
            Some(ChunkHead {
                size: 0,
                signature: None
            })
        );
        assert_eq!(
            head("1aF;x=y;chunk-signature=abc"),
            Some(ChunkHead {
                size: 0x1af,
                signature: Some("abc".to_owned())
            })
        );
        for line in [
            "",
            " 1",
            "1 ",
            "+1",
            "-1",
            "0x1",
            "g",
            ";chunk-signature=a",
            "1000000000000000",
            "1;chunk-signature=a;chunk-signature=a",
        ] {
            assert_eq!(head(line), None, "{line}");
        }
    }

    #[test]
    fn a_head_is_bounded_and_ends_with_crlf() {
        let decode = |text: String| ChunkedDecoder::new(100, None).decode(&mut Bytes::from(text));
        assert!(decode(format!("1;{}\r\nx", "e".repeat(MAX_EXTENSION_BYTES))).is_ok());
        assert!(decode(format!("1;{}", "e".repeat(MAX_HEAD_BYTES))).is_err());
        assert!(decode("1\nx".to_owned()).is_err());
        assert!(
            decode("1\r\nxy\r\n".to_owned()).is_ok(),
            "the data is given first"
        );
        let mut decoder = ChunkedDecoder::new(100, None);
        let mut input = Bytes::from_static(b"1\r\nxy\r\n");
        assert_eq!(decoder.decode(&mut input).unwrap().unwrap(), "x");
        assert!(decoder.decode(&mut input).is_err());
    }

    #[test]
    fn data_is_given_without_a_copy_and_without_waiting_for_the_chunk() {
        let mut decoder = ChunkedDecoder::new(1 << 30, None);
        let mut input = Bytes::from_static(b"40000000\r\nabc");
        let address = input[10..].as_ptr();
        let data = decoder.decode(&mut input).unwrap().unwrap();
        assert_eq!((data.as_ref(), data.as_ptr()), (b"abc".as_ref(), address));
    }
}
