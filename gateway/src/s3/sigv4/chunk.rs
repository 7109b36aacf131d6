//! Signatures of chunks, each chained to the one before it, the first to the request's.
//!
//! Because of the chain a chunk can't be dropped, repeated or moved, and because the last chunk is
//! empty and signed too, nothing can be cut off or appended.

use super::key::{SigningContext, sha256_hex};

/// Checks a request's chunk signatures in order.
#[derive(Debug)]
pub struct ChunkSigner {
    context: SigningContext,
    previous: String,
}

impl ChunkSigner {
    /// Starts at the request's own signature.
    #[must_use]
    pub fn new(context: SigningContext) -> Self {
        let previous = context.seed_signature.clone();
        Self { context, previous }
    }

    /// Whether `signature` is that of the next chunk, whose data hashes to `data_sha256`.
    #[must_use]
    pub fn verify_chunk(&mut self, data_sha256: &[u8; 32], signature: &str) -> bool {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}",
            self.context.date,
            self.context.scope,
            self.previous,
            sha256_hex(b""),
            hex::encode(data_sha256),
        );
        self.advance(&to_sign, signature)
    }

    /// Whether `signature` is that of the trailer, given as `name:value\n` lines in their order.
    #[must_use]
    pub fn verify_trailer(&mut self, canonical_trailer: &[u8], signature: &str) -> bool {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}",
            self.context.date,
            self.context.scope,
            self.previous,
            sha256_hex(canonical_trailer),
        );
        self.advance(&to_sign, signature)
    }

    fn advance(&mut self, to_sign: &str, signature: &str) -> bool {
        let good = self.context.key.verify(to_sign, signature);
        if good {
            signature.clone_into(&mut self.previous);
        }
        good
    }
}
