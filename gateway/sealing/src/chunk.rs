//! One chunk, sealed and opened.
//!
//! The nonce is the chunk's number as 11 bytes, most significant first, and one byte that is 1 for
//! the last chunk and 0 for all others. A data key seals one blob, so no nonce is used twice; and a
//! chunk that is moved, or is made the last one, or no longer is, does not open.

use bytes::BytesMut;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use crate::key::DataKey;
use crate::span::{TAG_LEN, chunk_len, chunks_of};

/// A chunk is not what was sealed: nothing of it was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk} of a sealed blob is not what was sealed")]
pub struct Tampered {
    /// Its number, from 0.
    pub chunk: u64,
}

/// The chunks of one blob.
pub(crate) struct Chunks {
    cipher: LessSafeKey,
    content_len: u64,
}

impl Chunks {
    pub(crate) fn new(key: &DataKey, content_len: u64) -> Self {
        Self {
            cipher: key.cipher(),
            content_len,
        }
    }

    /// How many content bytes chunk `chunk` has; 0 behind the last.
    pub(crate) fn len(&self, chunk: u64) -> usize {
        // At most 64 KiB.
        chunk_len(self.content_len, chunk) as usize
    }

    fn nonce(&self, chunk: u64) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[3..11].copy_from_slice(&chunk.to_be_bytes());
        nonce[11] = u8::from(chunk + 1 == chunks_of(self.content_len));
        Nonce::assume_unique_for_key(nonce)
    }

    /// Turns a chunk's content into the sealed chunk.
    pub(crate) fn seal(&self, chunk: u64, bytes: &mut BytesMut) {
        debug_assert_eq!(bytes.len(), self.len(chunk), "a chunk is sealed whole");
        let nonce = self.nonce(chunk);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(nonce, Aad::empty(), bytes)
            .expect("64 KiB are not too long for AES-GCM");
        bytes.extend_from_slice(tag.as_ref());
    }

    /// Turns a sealed chunk into its content.
    pub(crate) fn open(&self, chunk: u64, bytes: &mut BytesMut) -> Result<(), Tampered> {
        let tampered = Tampered { chunk };
        if bytes.len() != self.len(chunk) + TAG_LEN as usize {
            return Err(tampered);
        }
        let nonce = self.nonce(chunk);
        let opened = self.cipher.open_in_place(nonce, Aad::empty(), bytes);
        let len = opened.map_err(|_| tampered)?.len();
        bytes.truncate(len);
        Ok(())
    }
}
