//! A body cut into stripes: `k` data blocks of one length, the last one padded with zeros.
//!
//! The body must have exactly the announced length. That it ends there is checked by
//! [`StripeReader::finish`], before anything becomes visible: a body's stream may report a wrong
//! checksum or signature as late as its end.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use holdfast_types::Layout;

/// What was wrong with the body.
#[derive(Debug)]
pub(crate) enum BodyError<E> {
    /// The stream's own error.
    Body(E),
    /// It ended early, or has more (then `found` is what was seen of it).
    Length { found: u64 },
}

/// Reads a body by stripes.
pub(crate) struct StripeReader<S> {
    body: S,
    layout: Layout,
    len: u64,
    taken: u64,
    stripe: u64,
    chunk: Bytes,
}

impl<S, E> StripeReader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    pub(crate) fn new(body: S, layout: Layout, len: u64) -> Self {
        Self {
            body,
            layout,
            len,
            taken: 0,
            stripe: 0,
            chunk: Bytes::new(),
        }
    }

    /// The data blocks of the next stripe; `None` when `len` bytes were taken.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, BodyError<E>> {
        let block_len = self.layout.block_len_at(self.stripe, self.len) as usize;
        if block_len == 0 {
            return Ok(None);
        }
        let mut blocks = Vec::with_capacity(usize::from(self.layout.k()));
        for _ in 0..self.layout.k() {
            blocks.push(self.block(block_len).await?);
        }
        self.stripe += 1;
        Ok(Some(blocks))
    }

    /// Reads the body to its end, which must be here.
    pub(crate) async fn finish(&mut self) -> Result<(), BodyError<E>> {
        if self.fill().await? {
            return Err(BodyError::Length {
                found: self.taken + self.chunk.len() as u64,
            });
        }
        Ok(())
    }

    async fn block(&mut self, block_len: usize) -> Result<Vec<u8>, BodyError<E>> {
        let left = self.len - self.taken;
        let wanted = usize::try_from(left).map_or(block_len, |left| left.min(block_len));
        let mut block = Vec::with_capacity(block_len);
        while block.len() < wanted {
            if !self.fill().await? {
                return Err(BodyError::Length { found: self.taken });
            }
            let part = self
                .chunk
                .split_to(self.chunk.len().min(wanted - block.len()));
            self.taken += part.len() as u64;
            block.extend_from_slice(&part);
        }
        block.resize(block_len, 0);
        Ok(block)
    }

    /// Makes sure that there are bytes at hand; `false` at the body's end.
    async fn fill(&mut self) -> Result<bool, BodyError<E>> {
        while self.chunk.is_empty() {
            match self.body.next().await {
                Some(chunk) => self.chunk = chunk.map_err(BodyError::Body)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
