//! Looks at what is due, and does what the rules say of it now.
//!
//! The bucket and the key are locked as a request locks them, then the version is read: what it is,
//! whether it is still noncurrent and since when, its tags, and the rules that hold now. Nothing is
//! believed of the date but that it is time to look. What has gone meanwhile took its date along.
//! Doing it twice does it once: after a lost reply the next look finds what the first left.

use uuid::Uuid;

use super::dating::{date, rules_of};
use crate::commands::write::{self, Existing, Head, NewVersion, Removal};
use crate::commands::{buckets, drop_bytes};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::lifecycle::{LifecycleTurn, Standing, Subject, Verdict};
use crate::model::{
    Attributes, Bucket, BucketId, Bypass, ChangeEvent, LockState, Logged, VersionId, Versioning,
};
use crate::sql::{Tx, values};

/// Looks at a version.
pub(crate) struct ExamineVersion {
    pub(crate) bucket: BucketId,
    pub(crate) key: Vec<u8>,
    pub(crate) uid: Uuid,
}

/// A version as it is now.
struct Found {
    existing: Existing,
    since_ms: Option<u64>,
    attributes: Attributes,
}

impl Apply for ExamineVersion {
    type Outcome = LifecycleTurn;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<LifecycleTurn, MetadataError> {
        let Some(bucket) = buckets::lock_by_id(tx, self.bucket).await? else {
            return Ok(LifecycleTurn::Nothing);
        };
        let head = write::lock_key(tx, bucket.id, &self.key).await?;
        let Some(found) = self.read(tx).await? else {
            return Ok(LifecycleTurn::Nothing);
        };
        let Some(rules) = rules_of(tx, &bucket).await? else {
            date(tx, &self.uid, None).await?;
            return Ok(LifecycleTurn::Nothing);
        };
        let subject = Subject {
            key: &self.key,
            size: found.existing.size,
            tags: Some(&found.attributes.tags),
            standing: self.standing(tx, &found).await?,
        };
        let most = rules.kept_newer(&self.key).last().copied();
        let newer = self.newer_noncurrent(tx, &found, most).await?;
        match rules.decide(&subject, newer, tx.rules().day(), tx.now_ms()) {
            Verdict::NotBefore(due_ms) => {
                date(tx, &self.uid, Some(due_ms)).await?;
                Ok(LifecycleTurn::Nothing)
            }
            Verdict::Never => {
                date(tx, &self.uid, None).await?;
                Ok(LifecycleTurn::Nothing)
            }
            Verdict::Now(_) => match self.act(tx, &bucket, head, &found.existing).await {
                Err(MetadataError::Locked) => self.try_again_tomorrow(tx).await,
                done => done,
            },
        }
    }
}

impl ExamineVersion {
    async fn read(&self, tx: &mut Tx<'_>) -> Result<Option<Found>, MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT version_id, noncurrent_since_ms, attributes FROM versions \
                 WHERE uid = $1 AND bucket_id = $2 AND key = $3",
                values![&self.uid, self.bucket.0, &self.key],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let version_id = VersionId(row.text(0)?);
        let existing = write::exact(tx, self.bucket, &self.key, &version_id).await?;
        let Some(existing) = existing.filter(|existing| existing.uid == self.uid) else {
            return Ok(None);
        };
        Ok(Some(Found {
            existing,
            since_ms: row.optional_number(1)?,
            attributes: row.json(2)?,
        }))
    }

    async fn standing(&self, tx: &mut Tx<'_>, found: &Found) -> Result<Standing, MetadataError> {
        if let Some(since_ms) = found.since_ms {
            return Ok(Standing::Noncurrent { since_ms });
        }
        let written_ms = found.existing.last_modified_ms;
        if !found.existing.is_marker {
            return Ok(Standing::Current { written_ms });
        }
        let newest = tx
            .fetch(
                "SELECT sequence FROM versions WHERE bucket_id = $1 AND key = $2 \
                 ORDER BY sequence DESC LIMIT 2",
                values![self.bucket.0, &self.key],
            )
            .await?;
        Ok(match newest.len() {
            1 => Standing::LoneMarker { written_ms },
            _ => Standing::MarkerAbove,
        })
    }

    /// How many noncurrent versions are newer; at most `most` are counted.
    async fn newer_noncurrent(
        &self,
        tx: &mut Tx<'_>,
        found: &Found,
        most: Option<u32>,
    ) -> Result<u32, MetadataError> {
        let (Some(most), Some(_)) = (most, found.since_ms) else {
            return Ok(0);
        };
        let rows = tx
            .fetch(
                "SELECT sequence FROM versions WHERE bucket_id = $1 AND key = $2 \
                 AND sequence > (SELECT sequence FROM versions WHERE uid = $3) \
                 ORDER BY sequence LIMIT $4",
                // The current one is among them, if the rows go so far.
                values![self.bucket.0, &self.key, &self.uid, most + 1],
            )
            .await?;
        Ok(u32::try_from(rows.len()).map_or(most, |found| found.saturating_sub(1)))
    }

    async fn act(
        &self,
        tx: &mut Tx<'_>,
        bucket: &Bucket,
        head: Head,
        existing: &Existing,
    ) -> Result<LifecycleTurn, MetadataError> {
        let expires = existing.is_current && !existing.is_marker;
        if expires && bucket.versioning != Versioning::Unversioned {
            self.put_marker(tx, bucket, head, existing).await?;
            return Ok(LifecycleTurn::MarkerPut);
        }
        let how = Removal {
            bypass: Bypass::No,
            logged: Logged {
                event: ChangeEvent::ExpireDelete,
                origin: None,
            },
        };
        write::remove(tx, bucket, &self.key, head, existing, how).await?;
        Ok(match (existing.is_current, existing.is_marker) {
            (true, false) => LifecycleTurn::Expired,
            (true, true) => LifecycleTurn::MarkerRemoved,
            (false, _) => LifecycleTurn::NoncurrentRemoved,
        })
    }

    /// Nothing was changed: whether a version may go is decided before anything else.
    async fn try_again_tomorrow(&self, tx: &mut Tx<'_>) -> Result<LifecycleTurn, MetadataError> {
        let tomorrow = tx.rules().day().midnight_after(tx.now_ms(), 0);
        date(tx, &self.uid, Some(tomorrow)).await?;
        Ok(LifecycleTurn::Locked)
    }

    async fn put_marker(
        &self,
        tx: &mut Tx<'_>,
        bucket: &Bucket,
        head: Head,
        current: &Existing,
    ) -> Result<(), MetadataError> {
        let uid = Uuid::now_v7();
        let attributes = Attributes::default();
        let marker = NewVersion {
            uid,
            version_id: write::new_version_id(bucket.versioning, &uid),
            is_marker: true,
            size: 0,
            etag: "",
            of_parts: 0,
            parts: None,
            attributes: &attributes,
            lock: LockState::default(),
            logged: Logged {
                event: ChangeEvent::ExpireMarker,
                origin: None,
            },
        };
        write::replace(tx, bucket, &self.key, head, Some(current), &marker).await
    }
}

/// Looks at an upload.
pub(crate) struct ExamineUpload {
    pub(crate) bucket: BucketId,
    pub(crate) key: Vec<u8>,
    pub(crate) id: Uuid,
}

impl Apply for ExamineUpload {
    type Outcome = LifecycleTurn;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<LifecycleTurn, MetadataError> {
        let Some(bucket) = buckets::lock_by_id(tx, self.bucket).await? else {
            return Ok(LifecycleTurn::Nothing);
        };
        let row = tx
            .fetch_one(
                "SELECT state, created_ms FROM uploads \
                 WHERE upload_id = $1 AND bucket_id = $2 FOR UPDATE",
                values![&self.id, bucket.id.0],
            )
            .await?;
        let Some(row) = row else {
            return Ok(LifecycleTurn::Nothing);
        };
        if row.text(0)? != "open" {
            return Ok(LifecycleTurn::Nothing);
        }
        let rules = rules_of(tx, &bucket).await?;
        let (day, begun_ms) = (tx.rules().day(), row.number(1)?);
        let due_ms = rules
            .as_ref()
            .and_then(|rules| rules.abort_of(&self.key, begun_ms, day))
            .map(|due| due.0);
        if due_ms.is_some_and(|due_ms| due_ms <= tx.now_ms()) {
            drop_bytes::abort(tx, &self.id).await?;
            return Ok(LifecycleTurn::UploadAborted);
        }
        tx.execute(
            "UPDATE uploads SET lifecycle_due_ms = $2 WHERE upload_id = $1",
            values![&self.id, due_ms],
        )
        .await?;
        Ok(LifecycleTurn::Nothing)
    }
}
