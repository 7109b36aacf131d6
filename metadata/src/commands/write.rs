//! The way of every write to a key: lock the key, look at what is there, put the new version in its
//! place, let the old one's bytes go.
//!
//! The key's head row is the lock, and it hands out sequence and Last-Modified, so neither depends
//! on a clock that may go back or on ids.

use uuid::Uuid;

use crate::commands::lifecycle::Dating;
use crate::commands::quota::{self, Growth};
use crate::commands::{drop_bytes, object_lock};
use crate::error::MetadataError;
use crate::model::{
    Attributes, Bucket, BucketId, Bypass, LockState, Logged, Origin, RemovedLock, VersionId,
    VersionLock, Versioning,
};
use crate::sql::{Row, Tx, values};

/// What a key's lock gives to the write that holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) last_modified_ms: u64,
    /// Under which transaction the change log has the change: see the schema.
    transaction_id: u64,
}

/// A version that is there, as far as a write must know it.
#[derive(Debug, Clone)]
pub(crate) struct Existing {
    pub(crate) uid: Uuid,
    pub(crate) version_id: VersionId,
    pub(crate) is_current: bool,
    pub(crate) is_marker: bool,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) last_modified_ms: u64,
    pub(crate) lock: VersionLock,
}

/// The version that a write makes.
pub(crate) struct NewVersion<'v> {
    pub(crate) uid: Uuid,
    pub(crate) version_id: VersionId,
    pub(crate) is_marker: bool,
    pub(crate) size: u64,
    pub(crate) etag: &'v str,
    /// How many of its bytes were counted as those of parts until now.
    pub(crate) of_parts: u64,
    pub(crate) parts: Option<u32>,
    pub(crate) attributes: &'v Attributes,
    pub(crate) lock: LockState,
    pub(crate) logged: Logged<'v>,
}

macro_rules! lock_key {
    ($transaction:literal) => {
        concat!(
            "INSERT INTO heads (bucket_id, key, last_sequence, last_modified_ms, last_transaction) \
             VALUES ($1, $2, 1, $3, ",
            $transaction,
            ") ON CONFLICT (bucket_id, key) DO UPDATE SET \
             last_sequence = heads.last_sequence + 1, \
             last_modified_ms = CASE WHEN heads.last_modified_ms > excluded.last_modified_ms \
             THEN heads.last_modified_ms ELSE excluded.last_modified_ms END, \
             last_transaction = CASE WHEN heads.last_transaction > excluded.last_transaction \
             THEN heads.last_transaction ELSE excluded.last_transaction END \
             RETURNING last_sequence, last_modified_ms, last_transaction"
        )
    };
}

/// Takes the key's lock until the transaction ends, and the next sequence.
pub(crate) async fn lock_key(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    key: &[u8],
) -> Result<Head, MetadataError> {
    let now_ms = tx.now_ms();
    let sql = tx.dialect().pick(
        lock_key!("0"),
        lock_key!("CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"),
    );
    let row = tx.fetch_one(sql, values![bucket.0, key, now_ms]).await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("a key without a head".to_owned()))?;
    Ok(Head {
        sequence: row.number(0)?,
        last_modified_ms: row.number(1)?,
        transaction_id: row.number(2)?,
    })
}

/// Takes the key's lock if it was ever written; else there is nothing to lock.
pub(crate) async fn lock_known_key(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    key: &[u8],
) -> Result<Option<Head>, MetadataError> {
    let known = tx
        .fetch_one(
            "SELECT last_sequence FROM heads WHERE bucket_id = $1 AND key = $2",
            values![bucket.0, key],
        )
        .await?;
    match known {
        Some(_) => lock_key(tx, bucket, key).await.map(Some),
        None => Ok(None),
    }
}

macro_rules! existing_columns {
    () => {
        "uid, version_id, is_current, is_marker, size, etag, last_modified_ms, lock_mode, \
         retain_until_ms, legal_hold"
    };
}

/// The key's current version, object or marker.
pub(crate) async fn current(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    key: &[u8],
) -> Result<Option<Existing>, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                existing_columns!(),
                " FROM versions WHERE bucket_id = $1 AND key = $2 \
                 ORDER BY sequence DESC LIMIT 1"
            ),
            values![bucket.0, key],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The key's version with this id.
pub(crate) async fn exact(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    key: &[u8],
    version_id: &VersionId,
) -> Result<Option<Existing>, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                existing_columns!(),
                " FROM versions WHERE bucket_id = $1 AND key = $2 AND version_id = $3"
            ),
            values![bucket.0, key, &version_id.0],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Existing, MetadataError> {
    Ok(Existing {
        uid: row.uuid(0)?,
        version_id: VersionId(row.text(1)?),
        is_current: row.truth(2)?,
        is_marker: row.truth(3)?,
        size: row.number(4)?,
        etag: row.text(5)?,
        last_modified_ms: row.number(6)?,
        lock: object_lock::read(row, 7),
    })
}

/// The id of a version that is written now.
pub(crate) fn new_version_id(versioning: Versioning, uid: &Uuid) -> VersionId {
    match versioning {
        Versioning::Enabled => VersionId(uid.simple().to_string()),
        Versioning::Unversioned | Versioning::Suspended => VersionId::null(),
    }
}

/// Makes `new` the key's current version. Where the bucket keeps no versions, the null version
/// makes room and its bytes are let go; the new version's slices must be there already, so that a
/// copy onto itself never loses its last reference.
pub(crate) async fn replace(
    tx: &mut Tx<'_>,
    bucket: &Bucket,
    key: &[u8],
    head: Head,
    current: Option<&Existing>,
    new: &NewVersion<'_>,
) -> Result<(), MetadataError> {
    let is_null = |existing: &&Existing| existing.version_id.is_null();
    let replaced = match (bucket.versioning, current.filter(is_null)) {
        (Versioning::Enabled, _) => None,
        (_, Some(null)) => Some(null.clone()),
        // The null version, if any, is an old one.
        (Versioning::Suspended, None) => exact(tx, bucket.id, key, &VersionId::null()).await?,
        (Versioning::Unversioned, None) => None,
    };
    if let Some(replaced) = &replaced {
        let unlocked = object_lock::release_replaced(tx, bucket, replaced)?;
        drop_bytes::drop_version(tx, &unlocked).await?;
    }
    let dating = Dating::of(tx, bucket).await?;
    let stays = current.filter(|current| {
        replaced
            .as_ref()
            .is_none_or(|replaced| replaced.uid != current.uid)
    });
    if let Some(stays) = stays {
        let since_ms = head.last_modified_ms;
        tx.execute(
            "UPDATE versions SET is_current = 0, noncurrent_since_ms = $2, lifecycle_due_ms = $3 \
             WHERE uid = $1",
            values![
                &stays.uid,
                since_ms,
                dating.of_replaced(key, stays, since_ms)
            ],
        )
        .await?;
    }
    let due_ms = dating.of_new(key, new, head.last_modified_ms, stays.is_none());
    let attributes = super::json(new.attributes)?;
    tx.execute(
        "INSERT INTO versions (uid, bucket_id, key, sequence, version_id, is_current, is_marker, \
         size, etag, last_modified_ms, parts, attributes, lifecycle_due_ms) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, $11, $12)",
        values![
            &new.uid,
            bucket.id.0,
            key,
            head.sequence,
            &new.version_id.0,
            new.is_marker,
            new.size,
            new.etag,
            head.last_modified_ms,
            new.parts,
            &attributes,
            due_ms
        ],
    )
    .await?;
    if stays.is_some() {
        dating.one_more_noncurrent(tx, bucket.id, key).await?;
    }
    if !new.lock.is_empty() {
        object_lock::set(tx, &new.uid, &new.lock).await?;
    }
    let removed = replaced
        .as_ref()
        .map_or((0, 0), |old| weight(old.is_marker, old.size));
    let added = weight(new.is_marker, new.size);
    let growth = Growth {
        versions: added.0 - removed.0,
        bytes: added.1 - removed.1,
        part_bytes: -new.of_parts.cast_signed(),
    };
    quota::count(tx, bucket, growth).await?;
    let replaced_lock = replaced.as_ref().map(|old| &old.lock);
    let changed = Changed {
        version_id: &new.version_id,
        size: new.size,
        etag: new.etag,
        removed_lock: replaced_lock.and_then(|lock| RemovedLock::of(lock, Bypass::No)),
    };
    log_change(tx, bucket.id, key, head, &changed, new.logged).await
}

/// How a version is removed.
pub(crate) struct Removal<'r> {
    /// What may be bypassed of its lock.
    pub(crate) bypass: Bypass,
    /// What the change log says of it.
    pub(crate) logged: Logged<'r>,
}

/// Removes one version for good, if its lock lets it go; the next newest becomes the current one.
pub(crate) async fn remove(
    tx: &mut Tx<'_>,
    bucket: &Bucket,
    key: &[u8],
    head: Head,
    removed: &Existing,
    how: Removal<'_>,
) -> Result<(), MetadataError> {
    let unlocked = object_lock::release(tx, bucket, removed, how.bypass)?;
    drop_bytes::drop_version(tx, &unlocked).await?;
    if removed.is_current
        && let Some(next) = current(tx, bucket.id, key).await?
    {
        tx.execute(
            "UPDATE versions SET is_current = 1, noncurrent_since_ms = NULL, \
             lifecycle_due_ms = NULL WHERE uid = $1",
            values![&next.uid],
        )
        .await?;
    }
    let dating = Dating::of(tx, bucket).await?;
    dating.one_less(tx, bucket.id, key, removed).await?;
    let gone = weight(removed.is_marker, removed.size);
    let growth = Growth {
        versions: -gone.0,
        bytes: -gone.1,
        part_bytes: 0,
    };
    quota::count(tx, bucket, growth).await?;
    let changed = Changed {
        removed_lock: RemovedLock::of(&removed.lock, how.bypass),
        ..removed.changed()
    };
    log_change(tx, bucket.id, key, head, &changed, how.logged).await
}

/// How a version counts in the totals: versions and bytes. Markers don't.
const fn weight(is_marker: bool, size: u64) -> (i64, i64) {
    if is_marker {
        (0, 0)
    } else {
        (1, size.cast_signed())
    }
}

/// The version that a row of the change log is about.
pub(crate) struct Changed<'v> {
    pub(crate) version_id: &'v VersionId,
    pub(crate) size: u64,
    pub(crate) etag: &'v str,
    /// Of the version that was removed or replaced.
    pub(crate) removed_lock: Option<RemovedLock>,
}

impl Existing {
    /// This version in the change log.
    pub(crate) fn changed(&self) -> Changed<'_> {
        Changed {
            version_id: &self.version_id,
            size: self.size,
            etag: &self.etag,
            removed_lock: None,
        }
    }
}

/// Writes the change log's row of what this transaction does to a version.
pub(crate) async fn log_change(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    key: &[u8],
    head: Head,
    changed: &Changed<'_>,
    logged: Logged<'_>,
) -> Result<(), MetadataError> {
    let asked = |field: fn(&Origin) -> &Option<String>| {
        logged.origin.and_then(|origin| field(origin).as_deref())
    };
    let removed_lock = match &changed.removed_lock {
        Some(lock) => Some(super::json(lock)?),
        None => None,
    };
    // The bucket is locked: what it wants to be told of can't be replaced before this commits.
    tx.execute(
        "INSERT INTO changes (transaction_id, bucket_id, key, sequence, kind, event, version_id, \
         size, etag, principal, source_address, request_id, at_ms, removed_lock, notification) \
         VALUES ($13, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $14, \
         COALESCE((SELECT notification FROM buckets WHERE bucket_id = $1), 0))",
        values![
            bucket.0,
            key,
            head.sequence,
            logged.event.kind().text(),
            logged.event.text(),
            &changed.version_id.0,
            changed.size,
            changed.etag,
            asked(|origin| &origin.principal),
            asked(|origin| &origin.source_address),
            asked(|origin| &origin.request_id),
            head.last_modified_ms,
            head.transaction_id,
            removed_lock.as_deref()
        ],
    )
    .await?;
    Ok(())
}
