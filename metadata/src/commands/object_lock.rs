//! Object lock, decided under the key's lock: whether a version may go, what a new one gets, and
//! how retention and legal hold change.
//!
//! A version's row is removed by one function alone, and that takes an [`Unlocked`], which only
//! [`release`] makes. So every path that removes a version asks here, those of later days too.

use holdfast_types::mutant::{self, Mutant};
use uuid::Uuid;

use crate::command::{PutLegalHold, PutRetention};
use crate::commands::buckets;
use crate::commands::write::{self, Existing, Head};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{
    Bucket, BucketLock, Bypass, ChangeEvent, DefaultRetention, LockState, Retention, RetentionMode,
    VersionLock, VersionSelector, Versioning,
};
use crate::sql::{Row, Tx, values};

/// A version that may go: its lock was looked at, under its key's lock.
pub(crate) struct Unlocked(Uuid);

impl Unlocked {
    /// The version's `uid`.
    pub(crate) const fn uid(&self) -> &Uuid {
        &self.0
    }
}

/// Lets a version go if nothing holds it now. The caller has its key's lock.
pub(crate) fn release(
    tx: &Tx<'_>,
    bucket: &Bucket,
    existing: &Existing,
    bypass: Bypass,
) -> Result<Unlocked, MetadataError> {
    if bucket.object_lock == BucketLock::Unreadable || existing.lock.is_locked(tx.now_ms(), bypass)
    {
        return Err(MetadataError::Locked);
    }
    Ok(Unlocked(existing.uid))
}

/// The same for a null version in whose place another is put.
pub(crate) fn release_replaced(
    tx: &Tx<'_>,
    bucket: &Bucket,
    replaced: &Existing,
) -> Result<Unlocked, MetadataError> {
    if mutant::active(Mutant::SkipObjectLock) {
        return Ok(Unlocked(replaced.uid));
    }
    release(tx, bucket, replaced, Bypass::No)
}

/// The lock of a version that is made now: what was asked for, and the bucket's default.
pub(crate) fn of_new(
    bucket: &Bucket,
    head: Head,
    asked: &LockState,
) -> Result<LockState, MetadataError> {
    match bucket.object_lock {
        BucketLock::Off if asked.is_empty() => Ok(LockState::default()),
        BucketLock::Off => Err(MetadataError::NoObjectLock),
        BucketLock::On(default) => Ok(LockState {
            // From the key's own time, which never goes back.
            retention: asked
                .retention
                .or_else(|| default.map(|default| default.from(head.last_modified_ms))),
            legal_hold: asked.legal_hold,
        }),
        BucketLock::Unreadable => Err(unreadable(bucket)),
    }
}

fn unreadable(bucket: &Bucket) -> MetadataError {
    MetadataError::Corrupt(format!("the object lock of bucket `{}`", bucket.name))
}

/// Gives a version its lock.
pub(crate) async fn set(
    tx: &mut Tx<'_>,
    version: &Uuid,
    lock: &LockState,
) -> Result<(), MetadataError> {
    tx.execute(
        "UPDATE versions SET lock_mode = $2, retain_until_ms = $3, legal_hold = $4 WHERE uid = $1",
        values![
            version,
            lock.retention.map(|retention| retention.mode.text()),
            lock.retention.map(|retention| retention.until_ms),
            lock.legal_hold
        ],
    )
    .await?;
    Ok(())
}

/// The lock in three columns of a row, from `first` on. What can't be read is locked.
pub(crate) fn read(row: &Row, first: usize) -> VersionLock {
    try_read(row, first).unwrap_or(VersionLock::Unreadable)
}

fn try_read(row: &Row, first: usize) -> Result<VersionLock, MetadataError> {
    let mode = row.optional_text(first)?;
    let until_ms: Option<u64> = row.optional_small(first + 1)?;
    let hold: Option<u64> = row.optional_small(first + 2)?;
    let retention = match (mode.as_deref().map(RetentionMode::parse), until_ms) {
        (None, None) => None,
        (Some(Some(mode)), Some(until_ms)) => Some(Retention { mode, until_ms }),
        _ => return Ok(VersionLock::Unreadable),
    };
    let legal_hold = match hold {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(_) => return Ok(VersionLock::Unreadable),
    };
    Ok(VersionLock::Known(LockState {
        retention,
        legal_hold,
    }))
}

/// Lets a bucket's versions be locked, for ever, or changes what new ones get.
pub(crate) struct SetObjectLock {
    pub(crate) bucket: String,
    pub(crate) default: Option<DefaultRetention>,
}

impl Apply for SetObjectLock {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let bucket = buckets::lock_alone(tx, &self.bucket).await?;
        match bucket.object_lock {
            BucketLock::Unreadable => return Err(unreadable(&bucket)),
            BucketLock::Off if bucket.versioning != Versioning::Enabled => {
                return Err(MetadataError::VersioningNotEnabled);
            }
            BucketLock::Off | BucketLock::On(_) => {}
        }
        let stored = super::json(&BucketLock::stored(self.default))?;
        tx.execute(
            "UPDATE buckets SET object_lock = $2 WHERE bucket_id = $1",
            values![bucket.id.0, &stored],
        )
        .await?;
        Ok(())
    }
}

impl Apply for PutRetention {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let (bucket, head, existing) = find(tx, &self.bucket, &self.key, &self.version).await?;
        let new = self.retention.as_ref();
        if !existing.lock.may_retain(new, tx.now_ms(), self.bypass) {
            return Err(MetadataError::Locked);
        }
        tx.execute(
            "UPDATE versions SET lock_mode = $2, retain_until_ms = $3 WHERE uid = $1",
            values![
                &existing.uid,
                new.map(|new| new.mode.text()),
                new.map(|new| new.until_ms)
            ],
        )
        .await?;
        let logged = self.origin.logs(ChangeEvent::PutRetention);
        let changed = existing.changed();
        write::log_change(tx, bucket.id, &self.key, head, &changed, logged).await
    }
}

impl Apply for PutLegalHold {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let (bucket, head, existing) = find(tx, &self.bucket, &self.key, &self.version).await?;
        if existing.lock == VersionLock::Unreadable {
            return Err(MetadataError::Locked);
        }
        tx.execute(
            "UPDATE versions SET legal_hold = $2 WHERE uid = $1",
            values![&existing.uid, self.on],
        )
        .await?;
        let logged = self.origin.logs(ChangeEvent::PutLegalHold);
        let changed = existing.changed();
        write::log_change(tx, bucket.id, &self.key, head, &changed, logged).await
    }
}

/// The version that is meant, under its key's lock, in a bucket whose versions can be locked.
async fn find(
    tx: &mut Tx<'_>,
    bucket: &str,
    key: &[u8],
    version: &VersionSelector,
) -> Result<(Bucket, Head, Existing), MetadataError> {
    let absent = || match version {
        VersionSelector::Current => MetadataError::NoSuchKey,
        VersionSelector::Exact(_) => MetadataError::NoSuchVersion,
    };
    let bucket = buckets::lock_for_publish(tx, bucket).await?;
    match bucket.object_lock {
        BucketLock::On(_) => {}
        BucketLock::Off => return Err(MetadataError::NoObjectLock),
        BucketLock::Unreadable => return Err(unreadable(&bucket)),
    }
    let head = write::lock_known_key(tx, bucket.id, key)
        .await?
        .ok_or_else(absent)?;
    let existing = match version {
        VersionSelector::Current => write::current(tx, bucket.id, key).await?,
        VersionSelector::Exact(id) => write::exact(tx, bucket.id, key, id).await?,
    };
    // A marker has no lock.
    let existing = existing
        .filter(|existing| !existing.is_marker)
        .ok_or_else(absent)?;
    Ok((bucket, head, existing))
}
