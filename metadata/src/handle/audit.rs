//! What an audit asks: see [`crate::audit`].

use holdfast_types::{BlobId, DriveId, FragmentId};
use uuid::Uuid;

use super::{MAX_ROWS, Metadata, Result};
use crate::audit::{
    AuditSize, BlobAudit, BlobPage, ChangePage, DebtAudit, FoundAudit, LimitAudit, NamedDrive,
    OwnerName, PartAudit, PlacementAudit, UsageAudit, VersionAudit, VersionCursor,
};
use crate::model::BucketId;
use crate::notification::LogBounds;
use crate::queries::{audit, audit_rows};

/// Audit. All of these answer `Unavailable` and `Database` when the database can't be asked, and
/// `Corrupt` where a column does not hold what its type can be.
impl Metadata {
    /// How much there is to audit.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_size(&self) -> Result<AuditSize> {
        query!(self.reader, audit::size())
    }

    /// What the database finds wrong with its own file, if it can say.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_database(&self, limit: usize) -> Result<Vec<String>> {
        query!(self.reader, audit::database(limit))
    }

    /// Versions after one of them.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_versions(
        &self,
        after: Option<&VersionCursor>,
        limit: usize,
    ) -> Result<Vec<VersionAudit>> {
        let limit = limit.min(MAX_ROWS);
        let mut bucket = after.map_or(BucketId(i64::MIN), |after| after.bucket);
        if after.is_some() {
            let page = query!(self.reader, audit::versions(bucket, after, limit))?;
            if !page.is_empty() {
                return Ok(page);
            }
        }
        loop {
            match query!(self.reader, audit::next_bucket(bucket))? {
                None => return Ok(Vec::new()),
                Some(next) => bucket = next,
            }
            let page = query!(self.reader, audit::versions(bucket, None, limit))?;
            // Its last version may have gone since.
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }

    /// Blobs in any state, and rows of ids that have no blob, after one of them.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_blobs(&self, after: Option<BlobId>, limit: usize) -> Result<BlobPage> {
        self.blob_page(&audit::Ids::After(after), limit.clamp(1, MAX_ROWS))
            .await
    }

    /// One blob as it is now; `None` if there are no rows of it.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_blob(&self, blob: BlobId) -> Result<Option<BlobAudit>> {
        let mut page = self.blob_page(&audit::Ids::Only(blob), 2).await?;
        Ok(page.blobs.pop())
    }

    async fn blob_page(&self, ids: &audit::Ids, limit: usize) -> Result<BlobPage> {
        let region = &self.inner.region;
        let (packed, end) = query!(self.snapshot, audit::blobs(region, ids, limit))?;
        let is_known = |number: &u32| self.inner.drives.drive(*number).is_ok();
        let all_known = packed.iter().all(|blob| {
            blob.placements
                .iter()
                .all(|p| p.drives.iter().all(is_known))
                && blob.debts.iter().all(|debt| is_known(&debt.drive))
        });
        if !all_known {
            self.learn_drives().await?;
        }
        Ok(BlobPage {
            blobs: packed.into_iter().map(|blob| self.unpack(blob)).collect(),
            end,
        })
    }

    fn unpack(&self, packed: audit::PackedBlobAudit) -> BlobAudit {
        let placements = packed.placements.into_iter().map(|placement| {
            let parsed = placement.layout.parse();
            PlacementAudit {
                generation: placement.generation,
                layout: parsed.map_err(|error| format!("layout `{}`: {error}", placement.layout)),
                drives: placement.drives.iter().map(|&n| self.name(n)).collect(),
            }
        });
        let debts = packed.debts.into_iter().map(|debt| DebtAudit {
            generation: debt.generation,
            index: debt.index,
            drive: self.name(debt.drive),
            kind: debt.kind,
        });
        BlobAudit {
            blob: packed.blob,
            state: packed.state,
            len: packed.len,
            is_referenced: packed.is_referenced,
            is_garbage: packed.is_garbage,
            is_denied: packed.is_denied,
            placements: placements.collect(),
            debts: debts.collect(),
        }
    }

    fn name(&self, number: u32) -> NamedDrive {
        match self.inner.drives.drive(number) {
            Ok(Some(drive)) => NamedDrive::Drive(drive),
            Ok(None) => NamedDrive::None,
            Err(unknown) => NamedDrive::Unknown(unknown.0),
        }
    }

    /// What is known of a fragment that lies on a drive.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_found(&self, drive: DriveId, fragment: &FragmentId) -> Result<FoundAudit> {
        let number = match self.inner.drives.number(drive) {
            Some(number) => number,
            None => {
                self.learn_drives().await?;
                // No row names a drive that has no number.
                self.inner.drives.number(drive).unwrap_or(0)
            }
        };
        let found = query!(self.snapshot, audit::found(number, fragment))?;
        Ok(FoundAudit {
            state: found.state,
            placed: found.placed.map(|number| self.name(number)),
            is_stray: found.is_stray,
            is_owed_there: found.is_owed_there && number != 0,
        })
    }

    /// Who refers to a blob.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_owners(&self, blob: BlobId, limit: usize) -> Result<Vec<OwnerName>> {
        query!(self.snapshot, audit::owners(&blob, limit))
    }

    /// Versions that refer to a blob and are locked at `now_ms`.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_locked_owners(
        &self,
        blob: BlobId,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<OwnerName>> {
        query!(self.reader, audit::locked_owners(&blob, now_ms, limit))
    }

    /// A page of references: those whose owner is not there (owner and blob), and where to go on,
    /// if there may be more.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_ownerless_slices(
        &self,
        after: Option<(Uuid, u64)>,
        limit: usize,
    ) -> Result<(Vec<(Uuid, BlobId)>, Option<(Uuid, u64)>)> {
        let limit = limit.clamp(1, MAX_ROWS);
        query!(self.reader, audit_rows::ownerless_slices(after, limit))
    }

    /// A page of parts of objects: the owners that are not there, and where to go on.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_ownerless_parts(
        &self,
        after: Option<(Uuid, u64)>,
        limit: usize,
    ) -> Result<(Vec<Uuid>, Option<(Uuid, u64)>)> {
        let limit = limit.clamp(1, MAX_ROWS);
        query!(self.reader, audit_rows::ownerless_parts(after, limit))
    }

    /// A page of parts of uploads: those that do not agree with their upload or their bytes, and
    /// where to go on.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_bad_parts(
        &self,
        after: Option<(Uuid, u64)>,
        limit: usize,
    ) -> Result<(Vec<PartAudit>, Option<(Uuid, u64)>)> {
        let limit = limit.clamp(1, MAX_ROWS);
        query!(self.reader, audit_rows::bad_parts(after, limit))
    }

    /// What buckets after one are said to hold, and what they do.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_usage(&self, after: BucketId, limit: usize) -> Result<Vec<UsageAudit>> {
        query!(self.reader, audit_rows::usage(after, limit.min(MAX_ROWS)))
    }

    /// Rows of the change log after a number, and those of them that other rows contradict, or that
    /// tell of a removal that a lock forbade.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_changes(&self, after: u64, limit: usize) -> Result<ChangePage> {
        let limit = limit.clamp(1, MAX_ROWS);
        query!(self.reader, audit_rows::contradicted(after, limit))
    }

    /// Queues in the metadata that are longer than they may be: dead letters, and the change log by
    /// these bounds.
    ///
    /// # Errors
    /// See above.
    pub async fn audit_limits(&self, log: LogBounds, limit: usize) -> Result<Vec<LimitAudit>> {
        query!(self.snapshot, audit_rows::limits(log, limit))
    }
}
