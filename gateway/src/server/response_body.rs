//! An answer's body, which knows when the request is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::exchange::Exchange;
use super::limits::H2_PIECE_BYTES;
use super::streams::Taking;

/// Passes the service's body on, counts it, and ends its exchange when dropped.
#[derive(Debug)]
pub(super) struct ResponseBody<B> {
    inner: Pin<Box<B>>,
    exchange: Exchange,
    /// Where it is an answer on HTTP/2.
    stream: Option<Stream>,
}

/// What goes out on a stream of HTTP/2 goes in small pieces: that another one is asked for is all
/// that shows that the client takes something.
#[derive(Debug)]
struct Stream {
    taking: Arc<Taking>,
    /// What is left of the piece that the service gave.
    held: Bytes,
}

impl<B: Body> ResponseBody<B> {
    pub(super) fn new(inner: B, exchange: Exchange) -> Self {
        Self {
            inner: Box::pin(inner),
            exchange,
            stream: Taking::of_this_stream().map(|taking| Stream {
                taking,
                held: Bytes::new(),
            }),
        }
    }
}

impl Stream {
    /// Takes a piece that the service gave, and gives the first of it.
    fn cut(&mut self, piece: Bytes) -> Bytes {
        self.held = piece;
        self.next().unwrap_or_default()
    }

    /// The next of what is held.
    fn next(&mut self) -> Option<Bytes> {
        if self.held.is_empty() {
            return None;
        }
        let piece = self.held.split_to(self.held.len().min(H2_PIECE_BYTES));
        self.taking.handed(piece.len() as u64);
        Some(piece)
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if let Some(stream) = &mut this.stream {
            stream.taking.asked();
            if let Some(piece) = stream.next() {
                this.exchange.sent(piece.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        let frame = match ready!(this.inner.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                this.exchange.broke_off();
                return Poll::Ready(Some(Err(error)));
            }
            None => return Poll::Ready(None),
        };
        let frame = match &mut this.stream {
            Some(stream) => frame.map_data(|piece| stream.cut(piece)),
            None => frame,
        };
        let len = frame.data_ref().map_or(0, Bytes::len);
        this.exchange.sent(len as u64);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(|it| it.held.is_empty()) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.stream.as_ref().map_or(0, |it| it.held.len() as u64);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint.set_lower(inner.lower() + held);
        hint
    }
}
