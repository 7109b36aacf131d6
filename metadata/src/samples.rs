//! Which writes are read again to see whether they are still what they were, and when.
//!
//! A share of all blobs is chosen by their own ids, which are random: whether one is chosen costs
//! its write nothing, and the row of one that is chosen is written in the write's own transaction,
//! so that none is forgotten. The idea is Dropbox's: production is asked to prove itself.

use std::fmt;
use std::time::Duration;

use holdfast_types::BlobId;
use serde::{Deserialize, Serialize};

/// A share of something, 0 to 1, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(u32);

/// A share that is not between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a share: it is 0 to 1, like 0.01 for one in a hundred")]
pub struct NoShare(f64);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// One in a hundred.
    pub const PERCENT: Self = Self(10_000);
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// Whether a blob is in this share. Of two shares the larger has all that the smaller has.
    #[must_use]
    pub fn has(self, blob: &BlobId) -> bool {
        let bytes = blob.as_bytes();
        let chance = u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        (u64::from(chance) * u64::from(Self::ALL.0)) >> 32 < u64::from(self.0)
    }
}

impl TryFrom<f64> for Share {
    type Error = NoShare;

    fn try_from(share: f64) -> Result<Self, NoShare> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self((share * f64::from(Self::ALL.0)).round() as u32))
        } else {
            Err(NoShare(share))
        }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        Self::from(share.0) / Self::from(Share::ALL.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(*self) * 100.0)
    }
}

/// Which writes, and how long after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleRule {
    /// How many of them.
    pub share: Share,
    /// When each is read again, counted from the write, in rising order.
    pub after_seconds: [u64; 3],
}

impl Default for SampleRule {
    /// One in a hundred, after a minute, an hour and a day: what a cache, a restart and a slow
    /// disaster take to show.
    fn default() -> Self {
        Self {
            share: Share::PERCENT,
            after_seconds: [60, 3600, 24 * 3600],
        }
    }
}

impl SampleRule {
    /// How long after the write look number `stage` (from 0) is due; `None` after the last.
    #[must_use]
    pub fn after(&self, stage: u32) -> Option<Duration> {
        let seconds = self.after_seconds.get(usize::try_from(stage).ok()?)?;
        Some(Duration::from_secs(*seconds))
    }
}

/// A blob that is to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Not before this time.
    pub due_ms: u64,
    /// The blob.
    pub blob: BlobId,
    /// The how manieth look this is, from 0.
    pub stage: u32,
    /// When it was written.
    pub written_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_so_many_are_chosen_and_a_larger_share_has_them_too() {
        let blobs: Vec<BlobId> = (0..20_000).map(|_| BlobId::generate()).collect();
        let count = |share: Share| blobs.iter().filter(|blob| share.has(blob)).count();
        assert_eq!(count(Share::NONE), 0);
        assert_eq!(count(Share::ALL), blobs.len());
        let percent = count(Share::PERCENT);
        assert!((100..300).contains(&percent), "{percent} of 20,000");
        let half = Share::try_from(0.5).unwrap();
        let in_both = |blob: &&BlobId| Share::PERCENT.has(blob) && half.has(blob);
        assert_eq!(blobs.iter().filter(in_both).count(), percent);
    }

    #[test]
    fn a_share_is_written_as_people_write_it() {
        assert_eq!(Share::try_from(0.01).unwrap(), Share::PERCENT);
        assert_eq!(f64::from(Share::PERCENT), 0.01);
        for wrong in [-0.1, 1.5, f64::NAN] {
            assert!(Share::try_from(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_are_three_looks() {
        let rule = SampleRule::default();
        let looks: Vec<_> = (0..5).filter_map(|stage| rule.after(stage)).collect();
        assert_eq!(looks, [60, 3600, 86_400].map(Duration::from_secs));
    }
}
