//! From the bytes on the wire to the bytes of an object, verified.
//!
//! A body comes plain, in signed chunks, or in chunks with a trailer, and may be claimed to hash to
//! this or that. The stream that [`object_body`] returns gives the decoded bytes while they arrive,
//! whatever the size of the client's chunks, so memory is bounded by one piece of input. It follows
//! that bytes are seen before the signature that covers them: a consumer may stage them, and must
//! not publish them before the stream has ended without an `Err`. As a second line of defence the
//! last piece is held back until everything has been verified, so that not even a consumer that
//! counts bytes and forgets to wait for the end gets them all.

mod chunked;
mod digest;
mod framing;
mod reader;
#[cfg(test)]
mod tests;
mod trailer;

pub(crate) use digest::BodyHasher;
pub use reader::{object_body, read_small};
