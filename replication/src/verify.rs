//! Checks that what was stored is there and that all rows and fragments agree, and says what breaks
//! which invariant, with the names of the objects that it concerns. Changes nothing.
//!
//! It runs on a stopped store, opened only to be looked at, and on a live one beside the requests.
//! The rows of one page are read in one snapshot; what disagrees with a drive is looked at again
//! before it is told. Memory is that of a page, whatever the store's size. The idea is Dropbox's
//! and ShardStore's: what production believes of itself is checked by a program that is simpler
//! than production.

pub(crate) mod content;
mod fragments;
mod judge;
mod progress;
mod report;
mod rows;
mod versions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_erasure::Blobs;
use holdfast_metadata::audit::{OwnerName, VersionAudit, VersionCursor};
use holdfast_metadata::model::{Attributes, VersionId, VersionSelector};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::{BlobId, Clock, FragmentStore, Region};
use tokio_util::sync::CancellationToken;

use self::content::{Content, Hashed, Reader};
use self::judge::Severity;
pub use self::progress::{Phase, Progress, Watch};
pub use self::report::{
    Concerned, Depth, DriveFound, Finding, Findings, Invariant, KEPT, Looked, NotChecked, Report,
};

/// Why a verification has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VerifyError {
    /// The metadata could not be asked, or a column holds what it can't. Nothing more can be said.
    #[error("the metadata can't be read: {0}")]
    Metadata(#[from] MetadataError),
    /// It was told to stop.
    #[error("the verification was stopped")]
    Stopped,
}

/// What a verification needs. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    /// The rows.
    pub metadata: Metadata,
    /// The read path.
    pub blobs: Blobs,
    /// The drives.
    pub store: Arc<dyn FragmentStore>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Whose placements are looked at.
    pub region: Region,
    /// A fragment that no row knows is told only if its blob's id is older than this: the inventory
    /// takes its time.
    pub grace_ms: u64,
    /// Whether requests and workers go on meanwhile: then suspects are looked at again, and the
    /// work is paced.
    pub is_live: bool,
    /// How long all suspects together are waited for, on a live store.
    pub patience: Duration,
}

impl Verifier {
    /// How long suspects are waited for where nothing else is wanted.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// Looks at everything.
    ///
    /// # Errors
    /// See [`VerifyError`]; what was found until then is lost.
    pub async fn run(
        &self,
        depth: Depth,
        watch: &Watch,
        stop: &CancellationToken,
    ) -> Result<Report, VerifyError> {
        let is_reconciled = self.metadata.reconcile_pending().await?.is_none();
        let mut run = Run {
            of: self,
            watch,
            stop,
            is_reconciled,
            report: Report::new(depth, self.clock.now_ms()),
            patience: self.patience,
            worked_since: Instant::now(),
        };
        let size = self.metadata.audit_size().await?;
        run.drives();
        run.database().await?;
        let of_versions = match depth {
            Depth::Deep => size.bytes + size.versions,
            Depth::Quick | Depth::Headers => size.versions,
        };
        run.versions(of_versions).await?;
        run.rows().await?;
        run.fragments(size.blobs).await?;
        run.limits().await?;
        run.report.skip(
            Invariant::I19,
            "all access keys are of one owner, whose buckets may share bytes by copies: there are no \
             tenants to keep apart yet",
        );
        run.report.ended_ms = self.clock.now_ms();
        watch.begin(Phase::Ended, 0);
        Ok(run.report)
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("region", &self.region)
            .field("is_live", &self.is_live)
            .finish_non_exhaustive()
    }
}

/// A verification under way.
struct Run<'v> {
    of: &'v Verifier,
    watch: &'v Watch,
    stop: &'v CancellationToken,
    report: Report,
    /// Whether the metadata knows all that was ever written; one that was restored does not.
    is_reconciled: bool,
    /// How long suspects may still be waited for, all together.
    patience: Duration,
    worked_since: Instant,
}

impl Run<'_> {
    fn drives(&mut self) {
        let drives = self.of.store.drives();
        self.report.drives = drives
            .into_iter()
            .map(|drive| DriveFound {
                drive: drive.id.to_string(),
                path: drive.path,
                readable: drive.state.readable(),
                reason: if drive.state.readable() {
                    String::new()
                } else {
                    drive.reason
                },
            })
            .collect();
    }

    async fn database(&mut self) -> Result<(), VerifyError> {
        if self.report.depth == Depth::Quick {
            return Ok(());
        }
        for what in self.of.metadata.audit_database(ROWS).await? {
            self.rows_finding(Invariant::Rows, format!("the database says: {what}"), None);
        }
        Ok(())
    }

    async fn versions(&mut self, total: u64) -> Result<(), VerifyError> {
        self.watch.begin(Phase::Versions, total);
        if self.report.depth != Depth::Deep {
            self.report.skip(
                Invariant::I2,
                "only a deep verification reads and hashes all bytes",
            );
        }
        let mut after: Option<VersionCursor> = None;
        loop {
            let page = self
                .of
                .metadata
                .audit_versions(after.as_ref(), VERSIONS)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.at.clone());
            for version in &page {
                self.report.looked.versions += 1;
                let now_ms = self.of.clock.now_ms();
                for (invariant, what) in versions::judge(version, now_ms) {
                    self.rows_finding(invariant, what, Some(name(version)));
                }
                let attributes: Option<Attributes> = match serde_json::from_str(&version.attributes)
                {
                    Ok(attributes) => Some(attributes),
                    Err(error) => {
                        let what = format!("its attributes can't be read: {error}");
                        self.rows_finding(Invariant::Rows, what, Some(name(version)));
                        None
                    }
                };
                let mut done = 1;
                if self.report.depth == Depth::Deep
                    && !version.is_marker
                    && let Some(attributes) = attributes
                {
                    done += version.size;
                    self.hash(version, &attributes).await?;
                }
                self.watch.change(|progress| progress.done += done);
                self.go_on().await?;
            }
        }
    }

    async fn hash(
        &mut self,
        version: &VersionAudit,
        attributes: &Attributes,
    ) -> Result<(), VerifyError> {
        let reader = Reader {
            metadata: &self.of.metadata,
            blobs: &self.of.blobs,
        };
        let content = Content::of_audit(version);
        let wrong = match reader.hash(&content, attributes).await? {
            Hashed::Same { bytes } => {
                self.report.looked.hashed += 1;
                self.report.looked.hashed_bytes += bytes;
                return Ok(());
            }
            Hashed::Nothing => {
                self.report.looked.unhashable += 1;
                return Ok(());
            }
            Hashed::Encrypted => {
                self.report.looked.encrypted += 1;
                return Ok(());
            }
            Hashed::Other(wrong) => wrong,
            Hashed::Unreadable(why) => vec![format!("its bytes can't be read: {why}")],
        };
        // It may have been removed, and its bytes with it, since its row was read.
        if self.of.is_live && self.is_gone(version).await? {
            return Ok(());
        }
        if versions::is_locked(version, self.of.clock.now_ms()) {
            let what = format!("it is locked, and {}", wrong.join("; "));
            self.rows_finding(Invariant::I17, what, Some(name(version)));
        }
        for what in wrong {
            self.rows_finding(Invariant::I2, what, Some(name(version)));
        }
        Ok(())
    }

    async fn is_gone(&self, version: &VersionAudit) -> Result<bool, VerifyError> {
        let exact = VersionSelector::Exact(VersionId(version.version_id.clone()));
        let now = self
            .of
            .metadata
            .version(version.at.bucket, &version.at.key, &exact)
            .await;
        match now {
            Ok(now) => Ok(now.uid != version.uid),
            Err(MetadataError::NoSuchKey | MetadataError::NoSuchVersion) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn rows_finding(&mut self, invariant: Invariant, what: String, object: Option<Concerned>) {
        let finding = Finding {
            invariant,
            what,
            objects: object.into_iter().collect(),
            blob: None,
            drive: None,
            fragment: None,
        };
        self.add(Severity::Broken, finding);
    }

    fn add(&mut self, severity: Severity, finding: Finding) {
        match severity {
            Severity::Broken => self.report.broken.add(finding),
            Severity::Degraded => self.report.degraded.add(finding),
        }
        let (broken, degraded) = (self.report.broken.total(), self.report.degraded.total());
        self.watch.change(|progress| {
            progress.broken = broken;
            progress.degraded = degraded;
        });
    }

    /// A few of those that a blob's trouble is the trouble of.
    async fn concerned(&self, blob: BlobId) -> Result<Vec<Concerned>, VerifyError> {
        let owners = self.of.metadata.audit_owners(blob, OWNERS).await?;
        Ok(owners.iter().map(concerned).collect())
    }

    /// Between two pieces of work: ends if it was told to; beside requests, rests as long as it
    /// worked.
    async fn go_on(&mut self) -> Result<(), VerifyError> {
        if self.stop.is_cancelled() {
            return Err(VerifyError::Stopped);
        }
        let worked = self.worked_since.elapsed();
        if self.of.is_live && worked >= WORK {
            tokio::time::sleep(worked.min(LONGEST_REST)).await;
            self.worked_since = Instant::now();
        }
        Ok(())
    }

    /// Waits for a suspect, unless too much was waited already; whether it did.
    async fn may_wait(&mut self, pause: Duration) -> bool {
        let Some(left) = self.patience.checked_sub(pause) else {
            return false;
        };
        self.patience = left;
        tokio::time::sleep(pause).await;
        true
    }
}

fn name(version: &VersionAudit) -> Concerned {
    concerned(&OwnerName {
        bucket: version.bucket.as_ref().map(|bucket| bucket.0.clone()),
        key: version.at.key.clone(),
        version_id: Some(version.version_id.clone()),
    })
}

fn concerned(owner: &OwnerName) -> Concerned {
    Concerned {
        bucket: owner.bucket.clone().unwrap_or_else(|| "?".to_owned()),
        key: String::from_utf8_lossy(&owner.key).into_owned(),
        version: owner.version_id.clone(),
    }
}

/// Versions of one page.
const VERSIONS: usize = 200;
/// What the database says of its own file, at most.
const ROWS: usize = 1000;
/// Objects named with a finding.
const OWNERS: usize = 3;
/// Work at a time, beside requests.
const WORK: Duration = Duration::from_millis(50);
/// And the rest after it at most.
const LONGEST_REST: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
