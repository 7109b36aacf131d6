//! Reads a body: input, decoder and digests joined into one stream.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::try_unfold;
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;

use super::chunked::ChunkedDecoder;
use super::digest::BodyHasher;
use super::framing::Framing;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::body::{BodyClaims, DigestSlot, ObjectBody};
use crate::s3::op::checksum::{Checksum, ChecksumAlgorithm};
use crate::s3::op::object::MAX_SINGLE_BODY_LEN;
use crate::s3::sigv4::{Authenticated, ChunkSigner, PayloadMode};
use crate::server::BodyError;

/// The body of a PutObject or an UploadPart, verified while it is read.
///
/// # Errors
/// What the head alone tells: no length (411), more than [`MAX_SINGLE_BODY_LEN`], a trailer that is not
/// announced or not known. Everything else ends the stream.
pub fn object_body<B>(
    headers: &HeaderMap,
    authenticated: &Authenticated,
    claims: BodyClaims,
    raw: B,
) -> Result<ObjectBody, S3Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    let framing = Framing::of(headers, authenticated.payload, &claims.checksum)?
        .at_most(MAX_SINGLE_BODY_LEN)?;
    let digests = DigestSlot::new();
    let reader = BodyReader::new(framing, authenticated, claims, digests.clone(), raw);
    let stream = try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|piece| (piece, reader)))
    });
    Ok(ObjectBody {
        len: framing.decoded_len,
        stream: stream.boxed(),
        digests,
    })
}

/// A whole body of at most `limit` bytes, verified: an XML document. A request without a body gives
/// no bytes.
///
/// # Errors
/// As [`object_body`]; `MaxMessageLengthExceeded` if it is longer than `limit`.
pub async fn read_small<B>(
    headers: &HeaderMap,
    authenticated: &Authenticated,
    claims: BodyClaims,
    raw: B,
    limit: u64,
) -> Result<Bytes, S3Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    let framing = match Framing::of(headers, authenticated.payload, &claims.checksum) {
        // Many clients send no length where they send no body.
        Err(error) if error.code() == ErrorCode::MissingContentLength && raw.is_end_stream() => {
            Framing {
                decoded_len: 0,
                trailer: None,
            }
        }
        framing => framing?,
    };
    if framing.decoded_len > limit {
        return Err(S3Error::new(ErrorCode::MaxMessageLengthExceeded)
            .with("MaxMessageLengthBytes", limit.to_string()));
    }
    let mut reader = BodyReader::new(framing, authenticated, claims, DigestSlot::new(), raw);
    let mut whole = BytesMut::new();
    while let Some(piece) = reader.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

struct BodyReader {
    raw: Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>,
    /// Input that is not decoded yet.
    input: Bytes,
    /// The last piece that was decoded; given when another one, or the verified end, has come.
    held: Option<Bytes>,
    slot: DigestSlot,
    /// `None` once the end has been verified.
    work: Option<Work>,
}

/// What is used up at the end.
struct Work {
    decoder: Decoder,
    hasher: BodyHasher,
    trailer: Option<ChecksumAlgorithm>,
}

enum Decoder {
    Plain { remaining: u64 },
    Chunked(Box<ChunkedDecoder>),
}

impl BodyReader {
    fn new<B>(
        framing: Framing,
        authenticated: &Authenticated,
        claims: BodyClaims,
        slot: DigestSlot,
        raw: B,
    ) -> Self
    where
        B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        let signer = || ChunkSigner::new(authenticated.signing.clone());
        let len = framing.decoded_len;
        let decoder = match authenticated.payload {
            PayloadMode::Signed(_) | PayloadMode::Unsigned => Decoder::Plain { remaining: len },
            PayloadMode::SignedChunks | PayloadMode::SignedChunksTrailer => {
                Decoder::Chunked(Box::new(ChunkedDecoder::new(len, Some(signer()))))
            }
            PayloadMode::UnsignedChunksTrailer => {
                Decoder::Chunked(Box::new(ChunkedDecoder::new(len, None)))
            }
        };
        let hasher = BodyHasher::new(claims, authenticated.payload);
        let work = Some(Work {
            decoder,
            hasher,
            trailer: framing.trailer,
        });
        Self {
            raw: Box::pin(raw),
            input: Bytes::new(),
            held: None,
            slot,
            work,
        }
    }

    /// The next piece; `None` after the last, when all has been verified.
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        while let Some(work) = &mut self.work {
            if let Some(piece) = work.decoder.decode(&mut self.input)? {
                work.hasher.update(&piece);
                if let Some(ready) = self.held.replace(piece) {
                    return Ok(Some(ready));
                }
                continue;
            }
            match self.raw.frame().await {
                // HTTP's own trailers carry nothing that we use.
                Some(frame) => {
                    self.input = frame.map_err(broken)?.into_data().unwrap_or_default();
                }
                None => self.finish()?,
            }
        }
        Ok(self.held.take())
    }

    fn finish(&mut self) -> Result<(), S3Error> {
        if let Some(Work {
            decoder,
            hasher,
            trailer,
        }) = self.work.take()
        {
            let in_trailer = decoder.finish(trailer)?;
            self.slot.fill(hasher.finish(in_trailer)?);
        }
        Ok(())
    }
}

impl Decoder {
    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, S3Error> {
        match self {
            Self::Chunked(decoder) => decoder.decode(input),
            Self::Plain { remaining } => {
                let piece = std::mem::take(input);
                *remaining = remaining
                    .checked_sub(piece.len() as u64)
                    .ok_or(S3Error::new(ErrorCode::IncompleteBody))?;
                Ok(if piece.is_empty() { None } else { Some(piece) })
            }
        }
    }

    fn finish(self, trailer: Option<ChecksumAlgorithm>) -> Result<Option<Checksum>, S3Error> {
        match self {
            Self::Plain { remaining: 0 } => Ok(None),
            Self::Plain { .. } => Err(S3Error::new(ErrorCode::IncompleteBody)),
            Self::Chunked(decoder) => {
                let (tail, signer) = decoder.finish()?;
                tail.verify(trailer, signer)
            }
        }
    }
}

fn broken(error: BodyError) -> S3Error {
    let code = match &error {
        BodyError::TooSlow { .. } => ErrorCode::RequestTimeout,
        BodyError::Broken(_) => ErrorCode::IncompleteBody,
    };
    S3Error::new(code).because(error).closing()
}
