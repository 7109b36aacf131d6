//! Reed-Solomon over GF(2^8) behind a trait: the one crate that may hold unsafe kernels.
//!
//! A [`Codec`] does arithmetic on equal blocks of bytes and knows nothing of stripes, drives or
//! blobs. The code itself is part of the disk format: GF(2^8) with polynomial 0x11D, the
//! systematic Vandermonde matrix that Backblaze, klauspost and `reed-solomon-erasure` use. Every
//! implementation must give the same parity bit for bit; `golden/parity.txt` says which, and
//! [`Reference`] is the oracle.

mod decode;
mod reference;

pub use reference::Reference;

/// How many data and parity blocks a stripe has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    k: u8,
    m: u8,
}

impl Code {
    /// The most data blocks.
    pub const MAX_K: u8 = 32;
    /// The most parity blocks.
    pub const MAX_M: u8 = 16;

    /// `k` data and `m` parity blocks.
    ///
    /// # Errors
    /// `Unsupported` unless `1 <= k <= 32` and `m <= 16`.
    pub const fn new(k: u8, m: u8) -> Result<Self, CodecError> {
        if k == 0 || k > Self::MAX_K || m > Self::MAX_M {
            return Err(CodecError::Unsupported { k, m });
        }
        Ok(Self { k, m })
    }

    /// Data blocks of a stripe.
    #[must_use]
    pub const fn k(self) -> usize {
        self.k as usize
    }

    /// Parity blocks of a stripe.
    #[must_use]
    pub const fn m(self) -> usize {
        self.m as usize
    }

    /// Blocks of a stripe: `k + m`.
    #[must_use]
    pub const fn width(self) -> usize {
        self.k() + self.m()
    }
}

/// The caller broke the contract; nothing was computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// No such code.
    #[error("no code with {k} data and {m} parity blocks: k is 1 to 32 and m 0 to 16")]
    Unsupported {
        /// Data blocks.
        k: u8,
        /// Parity blocks.
        m: u8,
    },
    /// Too few or too many blocks were given.
    #[error("{expected} {what} blocks are needed, {found} were given")]
    BlockCount {
        /// Which blocks.
        what: &'static str,
        /// How many there should be (at least).
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// Blocks of one stripe differ in length.
    #[error("blocks of one stripe must have one length, found {expected} and {found} bytes")]
    BlockLen {
        /// Bytes of the first block.
        expected: usize,
        /// Bytes of the one that differs.
        found: usize,
    },
    /// A block that the stripe does not have, or that was given twice.
    #[error("block {0} is not in the stripe or was given twice")]
    BlockIndex(usize),
}

/// Fills and rebuilds the blocks of a stripe.
///
/// Blocks `0..k` are data, `k..k + m` parity. Implementations keep no state between calls that a
/// result depends on, and may be called from any thread.
pub trait Codec: Send + Sync + 'static {
    /// Fills `parity` from `data`.
    ///
    /// Shape: `k` data and `m` parity slices of one length `L`; `L` and `m` may be 0.
    /// Cost: `k * m * L` multiply-adds over GF(2^8). Allocates nothing that grows with `L`.
    /// Source: Plank, "A tutorial on Reed-Solomon coding" (1997) with its 2005 correction.
    ///
    /// # Errors
    /// `BlockCount` and `BlockLen`.
    fn encode(
        &self,
        code: Code,
        data: &[&[u8]],
        parity: &mut [&mut [u8]],
    ) -> Result<(), CodecError>;

    /// Fills the chosen `missing` blocks from any `k` others, and touches no other.
    ///
    /// Shape: at least `k` sources (only the first `k` are read) and any number of missing blocks,
    /// each with its index in the stripe, all of one length `L`.
    /// Cost: `k * missing * L` multiply-adds and the inversion of a `k * k` matrix.
    ///
    /// # Errors
    /// `BlockCount`, `BlockLen` and `BlockIndex`.
    fn reconstruct(
        &self,
        code: Code,
        sources: &[(usize, &[u8])],
        missing: &mut [(usize, &mut [u8])],
    ) -> Result<(), CodecError>;
}

/// Checks the shape of an [`Codec::encode`] and gives the blocks' length.
fn checked_encode(code: Code, data: &[&[u8]], parity: &[&mut [u8]]) -> Result<usize, CodecError> {
    check_count("data", code.k(), data.len())?;
    check_count("parity", code.m(), parity.len())?;
    let lens = data.iter().map(|block| block.len());
    one_len(lens.chain(parity.iter().map(|block| block.len())))
}

/// Checks the shape of a [`Codec::reconstruct`] and gives the blocks' length.
fn checked_reconstruct(
    code: Code,
    sources: &[(usize, &[u8])],
    missing: &[(usize, &mut [u8])],
) -> Result<usize, CodecError> {
    if sources.len() < code.k() {
        let found = sources.len();
        return Err(CodecError::BlockCount {
            what: "source",
            expected: code.k(),
            found,
        });
    }
    check_indices(code, sources.iter().map(|source| source.0))?;
    check_indices(code, missing.iter().map(|block| block.0))?;
    let lens = sources.iter().map(|source| source.1.len());
    one_len(lens.chain(missing.iter().map(|block| block.1.len())))
}

fn check_count(what: &'static str, expected: usize, found: usize) -> Result<(), CodecError> {
    if expected == found {
        Ok(())
    } else {
        Err(CodecError::BlockCount {
            what,
            expected,
            found,
        })
    }
}

fn check_indices(code: Code, indices: impl Iterator<Item = usize>) -> Result<(), CodecError> {
    let mut seen = 0_u64;
    for index in indices {
        if index >= code.width() || seen & (1 << index) != 0 {
            return Err(CodecError::BlockIndex(index));
        }
        seen |= 1 << index;
    }
    Ok(())
}

fn one_len(mut lens: impl Iterator<Item = usize>) -> Result<usize, CodecError> {
    let expected = lens.next().unwrap_or(0);
    match lens.find(|&len| len != expected) {
        Some(found) => Err(CodecError::BlockLen { expected, found }),
        None => Ok(expected),
    }
}
