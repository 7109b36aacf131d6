//! How a blob is kept, and the arithmetic of its stripes and blocks.
//!
//! A *stripe* is `k` data blocks and `m` parity blocks. All stripes but the last are full
//! (`k * block_len` bytes of data); the last one has shorter blocks, all of one length, the last
//! data block padded with zeros for the codec. A *fragment* is block `i` of every stripe, in order.
//! `copies(n)` is the same with `k = 1`, `m = n - 1` and parity equal to the data.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a blob's bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `n` whole copies on `n` drives.
    Copies {
        /// How many copies, 1 to [`Layout::MAX_COPIES`].
        n: u8,
    },
    /// `k` data and `m` parity fragments on `k + m` drives.
    Erasure {
        /// Data fragments, 1 to [`Layout::MAX_K`].
        k: u8,
        /// Parity fragments, 0 to [`Layout::MAX_M`].
        m: u8,
        /// Bytes of one block of a full stripe: a multiple of 4096, at most
        /// [`Layout::MAX_BLOCK_LEN`].
        block_len: u32,
    },
}

/// Why a layout can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A number is out of range.
    #[error("{what} must be {min} to {max}, not {found}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
        /// What was asked for.
        found: u64,
    },
    /// A block length that is not a multiple of 4096.
    #[error("block_len must be a multiple of 4096, not {0}")]
    BlockLen(u32),
    /// A text that is no layout.
    #[error("`{0}` is not a layout: write K+M (like 4+2) or copies:N")]
    Syntax(String),
}

/// Where one byte, or the rest of its block, is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Which stripe; also the number of the block within its fragment.
    pub stripe: u64,
    /// Which data fragment, `0..k`.
    pub fragment: u8,
    /// Which bytes of the blob the block holds.
    pub blob_start: u64,
    /// How many bytes of the blob it holds (padding not counted).
    pub data_len: u32,
}

impl Layout {
    /// The most data fragments.
    pub const MAX_K: u8 = 32;
    /// The most parity fragments.
    pub const MAX_M: u8 = 16;
    /// The most copies: one and as many more as there may be parity fragments.
    pub const MAX_COPIES: u8 = Self::MAX_M + 1;
    /// The longest block, in bytes.
    pub const MAX_BLOCK_LEN: u32 = 4 << 20;
    /// 128 KiB: a 4+2 stripe (768 KiB) is encoded while it is in a 1 MiB L2 cache.
    pub const DEFAULT_BLOCK_LEN: u32 = 128 << 10;

    /// `n` copies.
    ///
    /// # Errors
    /// `OutOfRange` unless `1 <= n <= MAX_COPIES`.
    pub fn copies(n: u8) -> Result<Self, LayoutError> {
        in_range("copies", n.into(), 1, Self::MAX_COPIES.into())?;
        Ok(Self::Copies { n })
    }

    /// `k` data and `m` parity fragments, in blocks of `block_len` bytes.
    ///
    /// # Errors
    /// `OutOfRange` unless `1 <= k <= 32`, `m <= 16` and `4096 <= block_len <= 4 MiB`; `BlockLen`
    /// unless `block_len` is a multiple of 4096.
    pub fn erasure(k: u8, m: u8, block_len: u32) -> Result<Self, LayoutError> {
        in_range("k", k.into(), 1, Self::MAX_K.into())?;
        in_range("m", m.into(), 0, Self::MAX_M.into())?;
        in_range(
            "block_len",
            block_len.into(),
            4096,
            Self::MAX_BLOCK_LEN.into(),
        )?;
        if !block_len.is_multiple_of(4096) {
            return Err(LayoutError::BlockLen(block_len));
        }
        Ok(Self::Erasure { k, m, block_len })
    }

    /// Checks a layout that came from outside (a row, a header, a config).
    ///
    /// # Errors
    /// As [`Layout::copies`] and [`Layout::erasure`].
    pub fn checked(self) -> Result<Self, LayoutError> {
        match self {
            Self::Copies { n } => Self::copies(n),
            Self::Erasure { k, m, block_len } => Self::erasure(k, m, block_len),
        }
    }

    /// How many fragments give the blob back.
    #[must_use]
    pub const fn k(self) -> u8 {
        match self {
            Self::Copies { .. } => 1,
            Self::Erasure { k, .. } => k,
        }
    }

    /// How many fragments may be lost.
    #[must_use]
    pub const fn m(self) -> u8 {
        match self {
            Self::Copies { n } => n - 1,
            Self::Erasure { m, .. } => m,
        }
    }

    /// How many fragments there are: `k + m`.
    #[must_use]
    pub const fn width(self) -> u8 {
        self.k() + self.m()
    }

    /// How many fragments must be durable before a write is acknowledged: `k + ceil(m / 2)`,
    /// which is at least `k + 1` when there is parity, and `k` when there is none.
    #[must_use]
    pub const fn write_quorum(self) -> u8 {
        self.k() + self.m().div_ceil(2)
    }

    /// Bytes of a block in a full stripe.
    #[must_use]
    pub const fn block_len(self) -> u32 {
        match self {
            Self::Copies { .. } => Self::DEFAULT_BLOCK_LEN,
            Self::Erasure { block_len, .. } => block_len,
        }
    }

    /// Data bytes of a full stripe: `k * block_len`.
    #[must_use]
    pub const fn stripe_data_len(self) -> u64 {
        self.k() as u64 * self.block_len() as u64
    }

    /// How many stripes a blob of `blob_len` bytes has: 0 for an empty one.
    #[must_use]
    pub const fn stripes(self, blob_len: u64) -> u64 {
        blob_len.div_ceil(self.stripe_data_len())
    }

    /// Bytes of each block of stripe `stripe` of a blob of `blob_len` bytes: `block_len`, or less
    /// in the last stripe, or 0 past it.
    #[must_use]
    pub const fn block_len_at(self, stripe: u64, blob_len: u64) -> u32 {
        let start = stripe.saturating_mul(self.stripe_data_len());
        let rest = blob_len.saturating_sub(start);
        if rest >= self.stripe_data_len() {
            self.block_len()
        } else {
            rest.div_ceil(self.k() as u64) as u32
        }
    }

    /// Bytes of each fragment of a blob of `blob_len` bytes (blocks only, no header).
    #[must_use]
    pub const fn fragment_len(self, blob_len: u64) -> u64 {
        let full = blob_len / self.stripe_data_len();
        let rest = blob_len % self.stripe_data_len();
        full * self.block_len() as u64 + rest.div_ceil(self.k() as u64)
    }

    /// Bytes on drives for a blob of `blob_len` bytes (blocks only).
    #[must_use]
    pub const fn stored_len(self, blob_len: u64) -> u64 {
        self.fragment_len(blob_len) * self.width() as u64
    }

    /// The data block that holds byte `offset` of a blob of `blob_len` bytes.
    ///
    /// # Panics
    /// If `offset >= blob_len`.
    #[must_use]
    pub fn block_at(self, offset: u64, blob_len: u64) -> Block {
        assert!(
            offset < blob_len,
            "offset {offset} is not in a blob of {blob_len} bytes"
        );
        let stripe = offset / self.stripe_data_len();
        let stripe_start = stripe * self.stripe_data_len();
        let block_len = u64::from(self.block_len_at(stripe, blob_len));
        let fragment = (offset - stripe_start) / block_len;
        let blob_start = stripe_start + fragment * block_len;
        Block {
            stripe,
            fragment: fragment as u8,
            blob_start,
            data_len: (blob_len - blob_start).min(block_len) as u32,
        }
    }

    /// The data blocks that hold `range` of a blob of `blob_len` bytes, in order.
    ///
    /// # Panics
    /// If `range.end > blob_len`.
    pub fn blocks(self, range: Range<u64>, blob_len: u64) -> impl Iterator<Item = Block> {
        assert!(
            range.end <= blob_len,
            "range {range:?} is not in a blob of {blob_len} bytes"
        );
        let mut next = range.start;
        std::iter::from_fn(move || {
            (next < range.end).then(|| {
                let block = self.block_at(next, blob_len);
                next = block.blob_start + u64::from(block.data_len);
                block
            })
        })
    }
}

fn in_range(what: &'static str, found: u64, min: u64, max: u64) -> Result<(), LayoutError> {
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(LayoutError::OutOfRange {
            what,
            min,
            max,
            found,
        })
    }
}

impl fmt::Display for Layout {
    /// `4+2` (with `/BLOCK_LEN` where it is not the default) or `copies:3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Copies { n } => write!(f, "copies:{n}"),
            Self::Erasure {
                k,
                m,
                block_len: Self::DEFAULT_BLOCK_LEN,
            } => write!(f, "{k}+{m}"),
            Self::Erasure { k, m, block_len } => write!(f, "{k}+{m}/{block_len}"),
        }
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let syntax = || LayoutError::Syntax(text.to_owned());
        if let Some(n) = text.strip_prefix("copies:") {
            return Self::copies(n.parse().map_err(|_| syntax())?);
        }
        let (km, block_len) = match text.split_once('/') {
            Some((km, block_len)) => (km, block_len.parse().map_err(|_| syntax())?),
            None => (text, Self::DEFAULT_BLOCK_LEN),
        };
        let (k, m) = km.split_once('+').ok_or_else(syntax)?;
        Self::erasure(
            k.parse().map_err(|_| syntax())?,
            m.parse().map_err(|_| syntax())?,
            block_len,
        )
    }
}

/// Picks a blob's layout by its size: objects too small to be worth splitting are kept as
/// `copies(m + 1)`, which lose no less and cost one packed record a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeRule {
    /// The layout of blobs above the threshold.
    pub layout: Layout,
    /// Blobs of at most this many bytes are kept as `copies(m + 1)`.
    pub copies_up_to_bytes: u64,
    /// How many copies of those; `None`: `m + 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_copies: Option<u8>,
}

impl SizeRule {
    /// 64 KiB: at 4+2 a copy costs 2x the space of a split, but half the records and syncs.
    pub const DEFAULT_COPIES_UP_TO_BYTES: u64 = 64 << 10;

    /// The rule for `layout` with the default threshold.
    #[must_use]
    pub const fn new(layout: Layout) -> Self {
        Self {
            layout,
            copies_up_to_bytes: Self::DEFAULT_COPIES_UP_TO_BYTES,
            small_copies: None,
        }
    }

    /// The layout for a blob of `blob_len` bytes.
    #[must_use]
    pub const fn layout_for(self, blob_len: u64) -> Layout {
        match self.layout {
            Layout::Erasure { k, m, .. } if k > 1 && blob_len <= self.copies_up_to_bytes => {
                match self.small_copies {
                    Some(n) => Layout::Copies { n },
                    None => Layout::Copies { n: m + 1 },
                }
            }
            layout => layout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_are_those_of_the_architecture() {
        let quorum = |text: &str| text.parse::<Layout>().unwrap().write_quorum();
        assert_eq!(quorum("4+2"), 5);
        assert_eq!(quorum("4+1"), 5);
        assert_eq!(quorum("8+3"), 10);
        assert_eq!(quorum("4+0"), 4);
        assert_eq!(quorum("copies:1"), 1);
        assert_eq!(quorum("copies:2"), 2);
        assert_eq!(quorum("copies:3"), 2);
    }

    #[test]
    fn a_layout_reads_back_as_it_is_written() {
        for text in ["4+2", "1+0", "32+16", "4+2/4096", "copies:1", "copies:17"] {
            assert_eq!(text.parse::<Layout>().unwrap().to_string(), text);
        }
        for text in [
            "", "4", "4+", "0+2", "33+1", "4+17", "4+2/100", "4+2/0", "copies:0", "-1+2",
        ] {
            assert!(text.parse::<Layout>().is_err(), "{text}");
        }
    }

    #[test]
    fn blocks_cover_each_byte_once() {
        for layout in ["4+2/4096", "1+1/4096", "3+0/8192", "copies:3"] {
            let layout: Layout = layout.parse().unwrap();
            let stripe = layout.stripe_data_len();
            for blob_len in [
                1,
                2,
                3,
                4,
                5,
                4095,
                stripe - 1,
                stripe,
                stripe + 1,
                3 * stripe + 7,
            ] {
                let mut at = 0;
                let mut fragments = vec![0; usize::from(layout.k())];
                for block in layout.blocks(0..blob_len, blob_len) {
                    assert_eq!(block.blob_start, at);
                    assert!(block.data_len > 0);
                    assert!(block.data_len <= layout.block_len_at(block.stripe, blob_len));
                    at += u64::from(block.data_len);
                    fragments[usize::from(block.fragment)] += u64::from(block.data_len);
                }
                assert_eq!(at, blob_len);
                assert_eq!(
                    fragments[0],
                    layout.fragment_len(blob_len),
                    "fragment 0 is never padded: {layout} {blob_len}"
                );
                let by_stripe: u64 = (0..layout.stripes(blob_len))
                    .map(|stripe| u64::from(layout.block_len_at(stripe, blob_len)))
                    .sum();
                assert_eq!(by_stripe, layout.fragment_len(blob_len));
            }
        }
    }

    #[test]
    fn small_blobs_are_copied() {
        let rule = SizeRule::new("4+2".parse().unwrap());
        assert_eq!(rule.layout_for(65536), Layout::Copies { n: 3 });
        assert_eq!(rule.layout_for(65537), rule.layout);
        let mirror = SizeRule::new("copies:2".parse().unwrap());
        assert_eq!(mirror.layout_for(1), Layout::Copies { n: 2 });
    }
}
