//! Compares parity with data for a sample of all blobs, cycle after cycle, each cycle another one.
//!
//! A scrub finds bits that changed since they were written; this finds parity that was wrong when
//! it was written, which no checksum shows and which would be found out on the day a drive is lost.
//! What does not fit is told loudly and left as it is: whether it is the parity or a codec that is
//! wrong, and what to do about it, is for a person.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_erasure::{BlobLocation, Blobs, ParityCheck};
use holdfast_metadata::Metadata;
use holdfast_metadata::model::BlobPlacement;
use holdfast_metadata::samples::Share;
use holdfast_types::BlobId;
use tokio::sync::watch;

use crate::worker::{Progress, WorkError, Worker};

/// What was compared since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParityReport {
    /// Whole walks over all blobs.
    pub cycles: u64,
    /// Blobs whose parity was compared with their data.
    pub checked: u64,
    /// Of these, those whose parity does not fit.
    pub wrong: u64,
    /// Blobs that were chosen and had a fragment missing, rotten or out of reach.
    pub not_whole: u64,
}

/// The worker that compares.
pub struct ParitySampler {
    metadata: Metadata,
    blobs: Blobs,
    share: Share,
    period: Duration,
    /// Gives each cycle another sample.
    salt: u8,
    after: Option<BlobId>,
    /// Chosen blobs of the last page that are still to be looked at, the next one last.
    chosen: Vec<BlobPlacement>,
    report: watch::Sender<ParityReport>,
    began: tokio::time::Instant,
}

impl ParitySampler {
    /// Compares `share` of all blobs in each `period`. The receiver has what was compared so far.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        blobs: Blobs,
        share: Share,
        period: Duration,
    ) -> (Self, watch::Receiver<ParityReport>) {
        let (report, receiver) = watch::channel(ParityReport::default());
        let sampler = Self {
            metadata,
            blobs,
            share,
            period,
            salt: 0,
            after: None,
            chosen: Vec::new(),
            report,
            began: tokio::time::Instant::now(),
        };
        (sampler, receiver)
    }

    /// Whether a blob is of this cycle's sample.
    fn chooses(&self, blob: &BlobId) -> bool {
        let mut bytes = *blob.as_bytes();
        // Another order of the same random bytes: the blobs that come first in it are others.
        let turn = usize::from(self.salt) % 4;
        bytes[12..].rotate_left(turn);
        bytes[12] ^= self.salt;
        self.share.has(&BlobId::from_bytes(bytes))
    }

    async fn next_page(&mut self) -> Result<Progress, WorkError> {
        let page = self.metadata.placements_page(self.after, PAGE).await?;
        let Some(last) = page.last().map(|placed| placed.blob) else {
            self.after = None;
            self.salt = self.salt.wrapping_add(1);
            self.report.send_modify(|report| report.cycles += 1);
            return Ok(Progress::Idle);
        };
        self.after = Some(last);
        self.chosen = page
            .into_iter()
            .filter(|placed| placed.len > 0 && placed.placement.layout.m() > 0)
            .filter(|placed| self.chooses(&placed.blob))
            .collect();
        self.chosen.reverse();
        Ok(Progress::Busy)
    }

    async fn check(&self, placed: BlobPlacement) -> Result<(), WorkError> {
        let location = BlobLocation {
            blob: placed.blob,
            len: placed.len,
            placement: placed.placement,
        };
        match self.blobs.check_parity(&location).await {
            ParityCheck::Fits => self.report.send_modify(|report| report.checked += 1),
            ParityCheck::NotWhole(why) => {
                tracing::debug!(blob = %location.blob, "its parity is not compared now: {why}");
                self.report.send_modify(|report| report.not_whole += 1);
            }
            ParityCheck::Wrong { stripe, fragments } => {
                let owners = self.metadata.audit_owners(location.blob, OWNERS).await?;
                let objects: Vec<String> = owners
                    .iter()
                    .map(|owner| {
                        let bucket = owner.bucket.as_deref().unwrap_or("?");
                        format!("{bucket}/{}", String::from_utf8_lossy(&owner.key))
                    })
                    .collect();
                tracing::error!(
                    blob = %location.blob, stripe, ?fragments, ?objects,
                    "parity does not fit its data: a lost drive would not be rebuilt rightly"
                );
                self.report.send_modify(|report| {
                    report.checked += 1;
                    report.wrong += 1;
                });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Worker for ParitySampler {
    fn name(&self) -> &'static str {
        "parity-check"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        if self.after.is_none() && self.chosen.is_empty() {
            self.began = tokio::time::Instant::now();
        }
        match self.chosen.pop() {
            Some(placed) => {
                self.check(placed).await?;
                Ok(Progress::Busy)
            }
            None => self.next_page().await,
        }
    }

    async fn wait(&mut self) {
        let due = self.began + self.period;
        let left = due.saturating_duration_since(tokio::time::Instant::now());
        tokio::time::sleep(left.max(SHORTEST_PAUSE)).await;
    }

    fn doing(&self) -> String {
        let report = *self.report.borrow();
        format!(
            "cycle {}: parity of {} blobs compared with their data, {} of them wrong; {} were not \
             whole",
            report.cycles + 1,
            report.checked,
            report.wrong,
            report.not_whole
        )
    }
}

impl fmt::Debug for ParitySampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParitySampler").finish_non_exhaustive()
    }
}

/// Blobs of one page.
const PAGE: usize = 500;
/// Objects that are named when parity is wrong.
const OWNERS: usize = 3;
/// Between two cycles at least.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn all_blobs_of_a_sample_are_compared_and_damage_is_not_called_wrong_parity() {
        let world = World::new().await;
        for number in 0..5 {
            world.put(&format!("object {number}")).await;
        }
        let blob = world.put("thin").await;
        let (mut worker, report) = ParitySampler::new(
            world.metadata.clone(),
            world.blobs.clone(),
            Share::ALL,
            Duration::from_secs(1),
        );
        let id = holdfast_types::FragmentId {
            blob,
            region: world.region.clone(),
            generation: holdfast_types::Generation(0),
            index: holdfast_types::FragmentIndex(5),
        };
        let version = world.version("thin").await;
        let slices = world.metadata.slices(version.uid, 0..1).await.unwrap();
        let drive = slices[0].blob.placement.drives[5].unwrap();
        assert!(holdfast_storage_node::memory::MemoryStore::lose(
            &world.store,
            drive,
            &id
        ));
        while worker.work().await.unwrap() == Progress::Busy {}
        assert_eq!(
            *report.borrow(),
            ParityReport {
                cycles: 1,
                checked: 5,
                wrong: 0,
                not_whole: 1
            }
        );
    }

    #[test]
    fn each_cycle_has_another_sample() {
        let blobs: Vec<BlobId> = (0..10_000).map(|_| BlobId::generate()).collect();
        let share = Share::PERCENT;
        let chosen = |salt: u8| {
            let rotated = move |blob: &&BlobId| {
                let mut bytes = *blob.as_bytes();
                bytes[12..].rotate_left(usize::from(salt) % 4);
                bytes[12] ^= salt;
                share.has(&BlobId::from_bytes(bytes))
            };
            blobs.iter().filter(rotated).count()
        };
        for salt in [0, 1, 2, 3, 4, 77] {
            let count = chosen(salt);
            assert!((40..180).contains(&count), "{salt}: {count}");
        }
    }
}
