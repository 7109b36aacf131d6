//! Writes that are read again: see [`crate::samples`].

use super::{MAX_ROWS, Metadata, Result};
use crate::commands::samples::SettleSample;
use crate::queries::samples;
use crate::samples::Sample;

/// Samples.
impl Metadata {
    /// Blobs that are due to be read again, the longest due first.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn due_samples(&self, limit: usize) -> Result<Vec<Sample>> {
        query!(self.reader, samples::due(limit.min(MAX_ROWS)))
    }

    /// How many looks wait, due or not.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn pending_samples(&self) -> Result<u64> {
        query!(self.reader, samples::pending())
    }

    /// Says that a sample was looked at; the next look at the same blob is then due in its time.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn settle_sample(&self, sample: Sample) -> Result<()> {
        self.run(SettleSample(sample)).await
    }
}
