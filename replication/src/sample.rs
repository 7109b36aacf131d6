//! Reads a share of all writes again, after a minute, an hour and a day, as any reader would and
//! fragment by fragment, and says loudly if anything is not as it was written.
//!
//! Which writes is decided in their own transactions (see [`holdfast_metadata::samples`]), so none
//! is forgotten and none is chosen twice. A look that finds damage makes debts of it, which the
//! repair settles, and is an ERROR all the same: what is wrong within a day was not rot.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use holdfast_erasure::{BlobLocation, Blobs, FragmentCheck};
use holdfast_metadata::Metadata;
use holdfast_metadata::audit::OwnerName;
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::{Debt, DebtKind, VersionId, VersionSelector};
use holdfast_metadata::samples::Sample;
use holdfast_types::{BlobId, DriveId, FragmentId, Placement, Region};
use tokio::sync::watch;

use crate::verify::content::{Content, Hashed, Reader};
use crate::worker::{Progress, WorkError, Worker};

/// What was looked at since the process began, and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleReport {
    /// Looks whose bytes and fragments were all as they were written.
    pub good: u64,
    /// Looks that found something wrong.
    pub failed: u64,
    /// Looks that found fragments out of reach, and nothing wrong with the others.
    pub unreached: u64,
    /// Blobs that were removed before their look.
    pub gone: u64,
    /// Objects that were hashed and compared with their ETag or checksum.
    pub hashed: u64,
    /// Looks that wait, due or not.
    pub pending: u64,
}

/// The worker that reads again.
pub struct Sampler {
    metadata: Metadata,
    blobs: Blobs,
    region: Region,
    report: watch::Sender<SampleReport>,
}

/// What one look found.
enum Found {
    Good,
    Gone,
    Unreached(String),
    /// What is wrong, and the fragments of which debts are to be made.
    Wrong(Vec<String>, Vec<Debt>),
}

impl Sampler {
    /// Looks at the samples of `region`. The receiver has what was found so far.
    #[must_use]
    pub fn new(
        metadata: Metadata,
        blobs: Blobs,
        region: Region,
    ) -> (Self, watch::Receiver<SampleReport>) {
        let (report, receiver) = watch::channel(SampleReport::default());
        let sampler = Self {
            metadata,
            blobs,
            region,
            report,
        };
        (sampler, receiver)
    }

    /// Where a blob is now, if it is there.
    async fn locate(&self, blob: BlobId) -> Result<Option<BlobLocation>, WorkError> {
        let Some(audit) = self.metadata.audit_blob(blob).await? else {
            return Ok(None);
        };
        let is_live = audit.state.as_deref() == Some("live");
        let newest = audit.placements.last().filter(|_| is_live);
        let Some((placement, layout)) =
            newest.and_then(|newest| Some((newest, *newest.layout.as_ref().ok()?)))
        else {
            return Ok(None);
        };
        Ok(Some(BlobLocation {
            blob,
            len: audit.len,
            placement: Placement {
                region: self.region.clone(),
                generation: placement.generation,
                layout,
                drives: placement.drives.iter().map(|named| named.drive()).collect(),
            },
        }))
    }

    async fn look(&self, sample: &Sample) -> Result<Found, WorkError> {
        let Some(mut location) = self.locate(sample.blob).await? else {
            return Ok(Found::Gone);
        };
        let mut found = self.read(&location).await?;
        if matches!(found, Found::Wrong(..)) {
            // It may have been removed, moved or repaired meanwhile: what counts is how it is now.
            match self.locate(sample.blob).await? {
                None => return Ok(Found::Gone),
                Some(now) if now != location => {
                    location = now;
                    found = self.read(&location).await?;
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    async fn read(&self, location: &BlobLocation) -> Result<Found, WorkError> {
        let mut wrong = Vec::new();
        let mut debts = Vec::new();
        let mut unreached = None;
        let mut stream = self.blobs.get(location.clone(), 0..location.len);
        while let Some(bytes) = stream.next().await {
            if let Err(error) = bytes {
                wrong.push(format!("it can't be read: {error}"));
            }
        }
        drop(stream);
        for (drive, fragment) in location.fragments() {
            let kind = match self
                .blobs
                .check_fragment(location, fragment.index, drive)
                .await
            {
                FragmentCheck::Good => continue,
                FragmentCheck::Unreadable(why) => {
                    unreached = Some(why);
                    continue;
                }
                FragmentCheck::Missing => {
                    wrong.push(format!("fragment {fragment} is not on drive {drive}"));
                    DebtKind::Missing
                }
                FragmentCheck::Corrupt(why) => {
                    wrong.push(format!("fragment {fragment} on drive {drive}: {why}"));
                    DebtKind::Corrupt
                }
            };
            debts.push(debt(drive, &fragment, kind));
        }
        wrong.extend(self.hash(location).await?);
        Ok(match (wrong.is_empty(), unreached) {
            (false, _) => Found::Wrong(wrong, debts),
            (true, Some(why)) => Found::Unreached(why),
            (true, None) => Found::Good,
        })
    }

    /// Compares the object that was written with this blob at once, if there is one, with what was
    /// stored with it.
    async fn hash(&self, location: &BlobLocation) -> Result<Vec<String>, WorkError> {
        let owners = self.metadata.audit_owners(location.blob, 1).await?;
        let Some(OwnerName {
            bucket: Some(bucket),
            key,
            version_id: Some(version_id),
        }) = owners.into_iter().next()
        else {
            return Ok(Vec::new());
        };
        let exact = VersionSelector::Exact(VersionId(version_id));
        // Whatever is not there any more was removed just now.
        let Ok(bucket) = self.metadata.bucket(&bucket).await else {
            return Ok(Vec::new());
        };
        let Ok(version) = self.metadata.version(bucket.id, &key, &exact).await else {
            return Ok(Vec::new());
        };
        // An object of parts would be read whole for each of its parts that is a sample.
        if version.parts.is_some() || version.size != location.len {
            return Ok(Vec::new());
        }
        let reader = Reader {
            metadata: &self.metadata,
            blobs: &self.blobs,
        };
        let content = Content::of_version(&version);
        match reader.hash(&content, &version.attributes).await? {
            Hashed::Same { .. } => {
                self.report.send_modify(|report| report.hashed += 1);
                Ok(Vec::new())
            }
            Hashed::Other(wrong) => Ok(wrong),
            // Told already, by the read before.
            Hashed::Unreadable(_) | Hashed::Nothing | Hashed::Encrypted => Ok(Vec::new()),
        }
    }

    async fn conclude(&self, sample: &Sample, found: Found) -> Result<(), WorkError> {
        let (blob, stage) = (sample.blob, sample.stage);
        match found {
            Found::Good => self.report.send_modify(|report| report.good += 1),
            Found::Gone => self.report.send_modify(|report| report.gone += 1),
            Found::Unreached(why) => {
                tracing::debug!(%blob, stage, "a sample was not read whole: {why}");
                self.report.send_modify(|report| report.unreached += 1);
            }
            Found::Wrong(wrong, debts) => {
                let owners = self.metadata.audit_owners(blob, OWNERS).await?;
                let objects: Vec<String> = owners
                    .iter()
                    .map(|owner| {
                        let bucket = owner.bucket.as_deref().unwrap_or("?");
                        format!("{bucket}/{}", String::from_utf8_lossy(&owner.key))
                    })
                    .collect();
                tracing::error!(
                    %blob, stage, ?objects, ?wrong,
                    "a write that was read again is not as it was written"
                );
                if !debts.is_empty() {
                    self.metadata.report_debts(ReportDebts { debts }).await?;
                }
                self.report.send_modify(|report| report.failed += 1);
            }
        }
        Ok(())
    }
}

fn debt(drive: DriveId, fragment: &FragmentId, kind: DebtKind) -> Debt {
    Debt {
        blob: fragment.blob,
        region: fragment.region.clone(),
        generation: fragment.generation,
        index: fragment.index,
        drive: Some(drive),
        kind,
        // The metadata's clock says when.
        created_ms: 0,
    }
}

#[async_trait]
impl Worker for Sampler {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let due = self.metadata.due_samples(1).await?;
        let pending = self.metadata.pending_samples().await?;
        self.report.send_modify(|report| report.pending = pending);
        let Some(sample) = due.into_iter().next() else {
            return Ok(Progress::Idle);
        };
        let found = self.look(&sample).await?;
        self.conclude(&sample, found).await?;
        self.metadata.settle_sample(sample).await?;
        Ok(Progress::Busy)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(PAUSE).await;
    }

    fn doing(&self) -> String {
        let report = *self.report.borrow();
        format!(
            "{} writes read again, {} of them not as they were written; {} out of reach, {} gone, \
             {} to come",
            report.good + report.failed,
            report.failed,
            report.unreached,
            report.gone,
            report.pending
        )
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// How soon after it is due a sample is looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// Objects that are named when something is wrong.
const OWNERS: usize = 3;

#[cfg(test)]
mod tests;
