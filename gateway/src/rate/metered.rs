//! A body that takes what flows through it off of the limits of its request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::Meters;

/// Passes a body on unchanged, and never holds it up.
#[derive(Debug)]
pub struct Metered<B> {
    inner: Pin<Box<B>>,
    meters: Meters,
}

impl<B> Metered<B> {
    /// This body, metered by these.
    pub fn new(inner: B, meters: Meters) -> Self {
        Self {
            inner: Box::pin(inner),
            meters,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Metered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(self.inner.as_mut().poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(piece) = frame.data_ref()
            && !self.meters.is_none()
        {
            self.meters.take_bytes(piece.len() as u64, Instant::now());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
