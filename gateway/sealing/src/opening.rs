//! Sealed bytes on their way to a reader: the chunks of a span, opened one after the other.
//!
//! Every chunk is whole and its tag verified before a byte of it is given. A stream of sealed bytes
//! that ends too early is an error, never a short read.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, ready};

use crate::chunk::{Chunks, Tampered};
use crate::key::DataKey;
use crate::span::{Span, TAG_LEN};

/// Why no more content comes. What came before is right.
#[derive(Debug, thiserror::Error)]
pub enum OpenError<E> {
    /// The sealed bytes could not be read.
    #[error(transparent)]
    Source(E),
    /// They are not what was sealed.
    #[error(transparent)]
    Tampered(#[from] Tampered),
}

/// Opens the chunks of a span, and gives its range of the content.
pub struct Open<S> {
    sealed: S,
    chunks: Chunks,
    chunk: u64,
    filling: BytesMut,
    /// What has been read and not been taken into a chunk yet.
    piece: Bytes,
    skip: u64,
    /// Content bytes still to come.
    left: u64,
}

impl<S> Open<S> {
    /// Opens `sealed`, which gives the bytes `span.sealed` of a blob of `content_len` bytes of
    /// content.
    #[must_use]
    pub fn new(sealed: S, key: &DataKey, content_len: u64, span: &Span) -> Self {
        Self {
            sealed,
            chunks: Chunks::new(key, content_len),
            chunk: span.first_chunk,
            filling: BytesMut::new(),
            piece: Bytes::new(),
            skip: span.skip,
            left: span.len,
        }
    }

    /// The same for a range of the content, or `None` where it is not within it.
    #[must_use]
    pub fn range(
        key: &DataKey,
        content_len: u64,
        range: &Range<u64>,
        sealed: impl FnOnce(Range<u64>) -> S,
    ) -> Option<Self> {
        let span = Span::of(content_len, range)?;
        Some(Self::new(
            sealed(span.sealed.clone()),
            key,
            content_len,
            &span,
        ))
    }

    /// The content of the chunk, as far as it is asked for, if all of the chunk is there.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Tampered> {
        let wanted = self.chunks.len(self.chunk) + TAG_LEN as usize;
        if self.filling.capacity() == 0 {
            self.filling.reserve(wanted);
        }
        let taken = (wanted - self.filling.len()).min(self.piece.len());
        self.filling.extend_from_slice(&self.piece[..taken]);
        self.piece.advance(taken);
        if self.filling.len() < wanted {
            return Ok(None);
        }
        let mut chunk = std::mem::take(&mut self.filling);
        self.chunks.open(self.chunk, &mut chunk)?;
        self.chunk += 1;
        // A chunk has at most 64 KiB.
        chunk.advance(self.skip as usize);
        self.skip = 0;
        chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= chunk.len() as u64;
        Ok(Some(chunk.freeze()))
    }
}

impl<S, E> Stream for Open<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, OpenError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let failed = |this: &mut Self, error| {
            this.left = 0;
            Poll::Ready(Some(Err(error)))
        };
        loop {
            if this.left == 0 {
                return Poll::Ready(None);
            }
            match this.next_chunk() {
                Ok(Some(content)) => return Poll::Ready(Some(Ok(content))),
                Ok(None) => {}
                Err(tampered) => return failed(this, tampered.into()),
            }
            match ready!(Pin::new(&mut this.sealed).poll_next(cx)) {
                Some(Ok(piece)) => this.piece = piece,
                Some(Err(error)) => return failed(this, OpenError::Source(error)),
                None => {
                    let chunk = this.chunk;
                    return failed(this, Tampered { chunk }.into());
                }
            }
        }
    }
}

impl<S> std::fmt::Debug for Open<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("chunk", &self.chunk)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
