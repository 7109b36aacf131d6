//! What the objects are made of: bytes that follow from key and length alone, so that any reader
//! can check any byte of them, and that cost the client next to nothing.
//!
//! An object is a stamp of 32 bytes (a magic, the length, the key's fingerprint) and then a window
//! into one shared pattern of pseudo-random bytes, wrapping around; where the window begins follows
//! from the fingerprint. The pattern's length is a prime, so that blocks which change places, at
//! any distance that a store might be wrong by, do not fit. Bodies are slices of the pattern:
//! nothing is copied to send them, and a comparison is all it takes to check them.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};

/// The bytes that all objects are cut from.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Bytes);

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut bytes = Vec::with_capacity(PATTERN_LEN + 8);
        let mut state = PATTERN_SEED;
        while bytes.len() < PATTERN_LEN {
            bytes.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        bytes.truncate(PATTERN_LEN);
        Self(Bytes::from(bytes))
    }

    /// What the object `key` of `len` bytes consists of.
    pub(crate) fn object(&self, key: &str, len: u64) -> Content {
        let digest = Sha256::digest(key.as_bytes());
        let fingerprint: [u8; 8] = digest[..8].try_into().expect("a SHA-256 has 32 bytes");
        let mut stamp = [0; STAMP_LEN];
        stamp[..16].copy_from_slice(MAGIC);
        stamp[16..24].copy_from_slice(&len.to_le_bytes());
        stamp[24..].copy_from_slice(&fingerprint);
        Content {
            pattern: self.0.clone(),
            stamp: Arc::new(stamp),
            begins_at: u64::from_le_bytes(fingerprint) % PATTERN_LEN as u64,
            len,
        }
    }
}

/// The bytes of one object.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pattern: Bytes,
    stamp: Arc<[u8; STAMP_LEN]>,
    /// Where in the pattern the object's byte 0 would be.
    begins_at: u64,
    len: u64,
}

impl Content {
    /// A body of the bytes in `range`, which lies within the object.
    pub(crate) fn body(&self, range: Range<u64>) -> ContentBody {
        assert!(range.start <= range.end && range.end <= self.len);
        ContentBody {
            content: self.clone(),
            rest: range,
        }
    }

    /// The SHA-256 of the bytes in `range`, in hexadecimal.
    pub(crate) fn sha256_hex(&self, range: Range<u64>) -> String {
        let mut hasher = Sha256::new();
        let mut rest = range;
        while let Some(piece) = self.take(&mut rest) {
            hasher.update(&piece);
        }
        hex::encode(hasher.finalize())
    }

    /// The next piece of `rest`, which it is taken off.
    fn take(&self, rest: &mut Range<u64>) -> Option<Bytes> {
        if rest.is_empty() {
            return None;
        }
        let wanted = usize::try_from(rest.end - rest.start).unwrap_or(usize::MAX);
        let piece = if rest.start < STAMP_LEN as u64 {
            let from = rest.start as usize;
            Bytes::copy_from_slice(&self.stamp[from..STAMP_LEN.min(from.saturating_add(wanted))])
        } else {
            let from = ((self.begins_at + rest.start) % PATTERN_LEN as u64) as usize;
            let len = wanted.min(PIECE_LEN).min(PATTERN_LEN - from);
            self.pattern.slice(from..from + len)
        };
        rest.start += piece.len() as u64;
        Some(piece)
    }

    /// Checks what arrives of the bytes in `range`.
    pub(crate) fn check(&self, range: Range<u64>) -> Check<'_> {
        Check {
            content: self,
            rest: range,
        }
    }
}

/// Compares arriving bytes with what they must be.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    content: &'a Content,
    rest: Range<u64>,
}

impl Check<'_> {
    /// The next bytes that arrived; fails with what is wrong about them.
    pub(crate) fn next(&mut self, mut arrived: &[u8]) -> Result<(), String> {
        while !arrived.is_empty() {
            let mut within = self.rest.start
                ..self
                    .rest
                    .end
                    .min(self.rest.start.saturating_add(arrived.len() as u64));
            let Some(piece) = self.content.take(&mut within) else {
                return Err(format!("more than the {} bytes asked for", self.rest.end));
            };
            let (now, later) = arrived.split_at(piece.len());
            if now != piece {
                let differs = now.iter().zip(&piece).position(|(one, other)| one != other);
                let at = self.rest.start + differs.unwrap_or(0) as u64;
                return Err(format!("wrong from byte {at} on"));
            }
            self.rest.start += piece.len() as u64;
            arrived = later;
        }
        Ok(())
    }

    /// All that arrived was right; was it all?
    pub(crate) fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "ended at byte {} instead of {}",
                self.rest.start, self.rest.end
            ))
        }
    }
}

/// A body of known length whose frames are slices of the pattern.
#[derive(Debug)]
pub(crate) struct ContentBody {
    content: Content,
    rest: Range<u64>,
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        Poll::Ready(
            this.content
                .take(&mut this.rest)
                .map(|piece| Ok(Frame::data(piece))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.end - self.rest.start)
    }
}

/// The next of a sequence of well mixed numbers.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The first prime above 4 MiB.
const PATTERN_LEN: usize = 4_194_319;
/// Large enough to cost few calls, small enough to go into a socket's buffer.
const PIECE_LEN: usize = 256 << 10;
const STAMP_LEN: usize = 32;
const MAGIC: &[u8; 16] = b"holdfast-bench-1";
/// Part of the format: objects of one run are checked by the next.
const PATTERN_SEED: u64 = 0x686f_6c64_6661_7374;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn bytes_of(content: &Content, mut range: Range<u64>) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = content.take(&mut range) {
            all.extend_from_slice(&piece);
        }
        all
    }

    #[test]
    fn the_pattern_has_a_prime_length() {
        assert!((2..2048).all(|divisor| !PATTERN_LEN.is_multiple_of(divisor)));
    }

    #[test]
    fn an_object_follows_from_key_and_length() {
        let pattern = Pattern::new();
        let one = bytes_of(&pattern.object("k", 100_000), 0..100_000);
        assert_eq!(
            one,
            bytes_of(&Pattern::new().object("k", 100_000), 0..100_000)
        );
        assert_eq!(&one[..16], MAGIC);
        assert_ne!(
            one,
            bytes_of(&pattern.object("K", 100_000), 0..100_000),
            "another key, other bytes"
        );
        let longer = bytes_of(&pattern.object("k", 100_001), 0..100_000);
        assert_ne!(one, longer, "the stamp knows the length");
        // Kept, so that a later version can check the objects of an earlier one.
        assert_eq!(
            pattern.object("k", 100_000).sha256_hex(0..100_000),
            hex::encode(Sha256::digest(&one))
        );
    }

    #[test]
    fn every_range_is_that_part_of_the_whole() {
        let len = PATTERN_LEN as u64 * 2 + 5;
        let content = Pattern::new().object("some/key", len);
        let whole = bytes_of(&content, 0..len);
        assert_eq!(whole.len() as u64, len);
        for range in [
            0..0,
            0..1,
            5..31,
            5..33,
            32..40,
            4_000_000..4_500_000,
            len - 1..len,
            0..len,
        ] {
            let expected = &whole[range.start as usize..range.end as usize];
            assert!(
                bytes_of(&content, range.clone()) == expected,
                "{range:?} is cut out of the whole"
            );
        }
    }

    #[test]
    fn a_check_finds_any_wrong_byte_and_any_wrong_end() {
        let content = Pattern::new().object("k", 1000);
        let good = bytes_of(&content, 0..1000);
        for piece in [1, 7, 32, 33, 1000] {
            let mut check = content.check(0..1000);
            for arrived in good.chunks(piece) {
                check.next(arrived).unwrap();
            }
            check.end().unwrap();
        }
        for at in [0, 20, 31, 32, 999] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let said = content.check(0..1000).next(&bad).unwrap_err();
            assert_eq!(said, format!("wrong from byte {at} on"));
        }
        let mut short = content.check(0..1000);
        short.next(&good[..999]).unwrap();
        assert_eq!(
            short.end().unwrap_err(),
            "ended at byte 999 instead of 1000"
        );
        let mut long = content.check(0..1000);
        long.next(&good).unwrap();
        assert_eq!(
            long.next(b"x").unwrap_err(),
            "more than the 1000 bytes asked for"
        );
        let mut middle = content.check(500..600);
        middle.next(&good[500..600]).unwrap();
        middle.end().unwrap();
    }

    #[tokio::test]
    async fn a_body_is_the_same_bytes_and_says_how_many() {
        let content = Pattern::new().object("k", 1 << 20);
        let body = content.body(10..700_000);
        assert_eq!(body.size_hint().exact(), Some(699_990));
        let sent = body.collect().await.unwrap().to_bytes();
        assert!(sent == bytes_of(&content, 10..700_000));
        assert!(content.body(3..3).is_end_stream());
    }
}
