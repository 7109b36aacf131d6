//! Content on its way to the drives: a stream of it becomes a stream of sealed chunks.
//!
//! The chunk that is being filled is all that is held. The last chunk is given out only after the
//! content has ended, and ended well: content that fails its own checks at its end (the edge's do)
//! never becomes a whole sealed blob.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, ready};

use crate::chunk::Chunks;
use crate::key::DataKey;
use crate::span::{CHUNK_LEN, TAG_LEN, chunks_of};

/// Seals content whose length is known. Gives `sealed_len(content_len)` bytes if the content has
/// that length and ends without an error; fewer if it is too short; more if it is too long. So the
/// one who counts the sealed bytes sees what is wrong.
pub struct Seal<S> {
    content: S,
    chunks: Chunks,
    chunk: u64,
    last: u64,
    /// What has been read and not been taken into a chunk yet.
    piece: Bytes,
    filling: BytesMut,
    ended: bool,
}

impl<S> Seal<S> {
    /// Seals `content`, which has `content_len` bytes, at least one.
    #[must_use]
    pub fn new(content: S, key: &DataKey, content_len: u64) -> Self {
        Self {
            content,
            chunks: Chunks::new(key, content_len),
            chunk: 0,
            last: chunks_of(content_len).saturating_sub(1),
            piece: Bytes::new(),
            filling: BytesMut::new(),
            ended: false,
        }
    }

    /// Moves bytes into the chunk; whether it is full.
    fn fill(&mut self) -> bool {
        let wanted = self.chunks.len(self.chunk);
        if self.filling.capacity() == 0 {
            self.filling.reserve((CHUNK_LEN + TAG_LEN) as usize);
        }
        let taken = (wanted - self.filling.len()).min(self.piece.len());
        self.filling.extend_from_slice(&self.piece[..taken]);
        self.piece.advance(taken);
        self.filling.len() == wanted
    }

    fn sealed(&mut self) -> Bytes {
        let mut chunk = std::mem::take(&mut self.filling);
        self.chunks.seal(self.chunk, &mut chunk);
        self.chunk += 1;
        chunk.freeze()
    }
}

impl<S, E> Stream for Seal<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let full = this.chunk <= this.last && this.fill();
            if full && this.chunk < this.last {
                return Poll::Ready(Some(Ok(this.sealed())));
            }
            if !this.piece.is_empty() {
                // More content than was announced: whoever counts refuses it.
                this.ended = true;
                return Poll::Ready(Some(Ok(this.too_long())));
            }
            match ready!(Pin::new(&mut this.content).poll_next(cx)) {
                Some(Ok(piece)) => this.piece = piece,
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.ended = true;
                    if full {
                        return Poll::Ready(Some(Ok(this.sealed())));
                    }
                }
            }
        }
    }
}

impl<S> Seal<S> {
    /// The last chunk and bytes behind it that say nothing but that there were too many.
    fn too_long(&mut self) -> Bytes {
        let beyond = self.piece.len();
        let mut all = BytesMut::from(&self.sealed()[..]);
        all.resize(all.len() + beyond, 0);
        all.freeze()
    }
}

impl<S> std::fmt::Debug for Seal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal")
            .field("chunk", &self.chunk)
            .finish_non_exhaustive()
    }
}
