//! Buckets: made, deleted, switched, and locked by those who publish into them.

use uuid::Uuid;

use crate::commands::{drop_bytes, rate_limits};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Bucket, BucketId, BucketLock, Quota, RateLimited, Versioning};
use crate::sql::{Row, Tx, values};

/// Open uploads that a bucket's deletion aborts at a time.
const UPLOADS_AT_ONCE: u64 = 256;

/// Makes a bucket.
pub(crate) struct CreateBucket {
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) location: Option<String>,
    /// Whether its versions can be locked: it then has versions from the start.
    pub(crate) object_lock: bool,
}

impl Apply for CreateBucket {
    type Outcome = Bucket;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Bucket, MetadataError> {
        super::policies::require(tx, &self.policy).await?;
        let created_ms = tx.now_ms();
        let (versioning, object_lock) = if self.object_lock {
            (Versioning::Enabled, BucketLock::On(None))
        } else {
            (Versioning::Unversioned, BucketLock::Off)
        };
        let stored = self
            .object_lock
            .then(|| super::json(&BucketLock::stored(None)))
            .transpose()?;
        let row = tx
            .fetch_one(
                "INSERT INTO buckets \
                 (name, created_ms, versioning, policy, location, object_lock) \
                 VALUES ($1, $2, $5, $3, $4, $6) \
                 ON CONFLICT (name) DO NOTHING RETURNING bucket_id",
                values![
                    &self.name,
                    created_ms,
                    &self.policy,
                    self.location.as_deref(),
                    versioning_text(versioning),
                    stored.as_deref()
                ],
            )
            .await?;
        let row = row.ok_or(MetadataError::BucketExists)?;
        Ok(Bucket {
            id: BucketId(row.signed(0)?),
            name: self.name.clone(),
            created_ms,
            versioning,
            policy: self.policy.clone(),
            location: self.location.clone(),
            object_lock,
            quota: Quota::default(),
            lifecycle_generation: 0,
            encryption: None,
        })
    }
}

/// Deletes a bucket that has neither versions nor markers; its open uploads are aborted, as on AWS.
pub(crate) struct DeleteBucket {
    pub(crate) name: String,
}

impl Apply for DeleteBucket {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT bucket_id, notification FROM buckets WHERE name = $1 FOR UPDATE",
                values![&self.name],
            )
            .await?;
        let row = row.ok_or(MetadataError::NoSuchBucket)?;
        let (bucket, notification) = (row.signed(0)?, row.signed(1)?);
        let left = tx
            .fetch_one(
                "SELECT sequence FROM versions WHERE bucket_id = $1 LIMIT 1",
                values![bucket],
            )
            .await?;
        if left.is_some() {
            return Err(MetadataError::BucketNotEmpty);
        }
        abort_uploads(tx, bucket).await?;
        tx.execute(
            "DELETE FROM bucket_settings WHERE bucket_id = $1",
            values![bucket],
        )
        .await?;
        tx.execute(
            "DELETE FROM lifecycle_rules WHERE bucket_id = $1",
            values![bucket],
        )
        .await?;
        tx.execute(
            "DELETE FROM reencode_jobs WHERE bucket_id = $1",
            values![bucket],
        )
        .await?;
        super::notifications::end(tx, notification).await?;
        rate_limits::remove(tx, RateLimited::Bucket, &self.name).await?;
        tx.execute("DELETE FROM buckets WHERE bucket_id = $1", values![bucket])
            .await?;
        Ok(())
    }
}

async fn abort_uploads(tx: &mut Tx<'_>, bucket: i64) -> Result<(), MetadataError> {
    loop {
        let uploads = tx
            .fetch(
                "SELECT upload_id FROM uploads WHERE bucket_id = $1 AND state = 'open' \
                 ORDER BY key, upload_id LIMIT $2 FOR UPDATE",
                values![bucket, UPLOADS_AT_ONCE],
            )
            .await?;
        for upload in &uploads {
            let upload: Uuid = upload.uuid(0)?;
            drop_bytes::abort(tx, &upload).await?;
        }
        if (uploads.len() as u64) < UPLOADS_AT_ONCE {
            return Ok(());
        }
    }
}

/// Switches versioning on, or suspends it. It can't be made as if it had never been on.
pub(crate) struct SetVersioning {
    pub(crate) name: String,
    pub(crate) versioning: Versioning,
}

impl Apply for SetVersioning {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let bucket = lock_alone(tx, &self.name).await?;
        let now = bucket.versioning;
        if bucket.object_lock != BucketLock::Off && self.versioning != Versioning::Enabled {
            return Err(MetadataError::HasObjectLock);
        }
        if self.versioning == Versioning::Unversioned && now != Versioning::Unversioned {
            return Err(MetadataError::PreconditionFailed {
                condition: "versioning was never enabled",
            });
        }
        tx.execute(
            "UPDATE buckets SET versioning = $2 WHERE name = $1",
            values![&self.name, versioning_text(self.versioning)],
        )
        .await?;
        Ok(())
    }
}

/// Sets how objects are encrypted whose writer does not say. A write that has begun may still
/// follow what was set before.
pub(crate) struct SetDefaultEncryption {
    pub(crate) bucket: String,
    pub(crate) value: Option<String>,
}

impl Apply for SetDefaultEncryption {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let changed = tx
            .execute(
                "UPDATE buckets SET encryption = $2 WHERE name = $1",
                values![&self.bucket, self.value.as_deref()],
            )
            .await?;
        if changed == 0 {
            return Err(MetadataError::NoSuchBucket);
        }
        Ok(())
    }
}

/// The columns of a bucket, in the order of [`read`].
macro_rules! bucket_columns {
    () => {
        "bucket_id, name, created_ms, versioning, policy, location, encryption, \
         lifecycle_generation, object_lock, quota_bytes, quota_objects"
    };
}
pub(crate) use bucket_columns;

/// Takes the bucket for a publishing transaction: until it ends, nobody deletes the bucket or
/// switches its versioning.
pub(crate) async fn lock_for_publish(tx: &mut Tx<'_>, name: &str) -> Result<Bucket, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                bucket_columns!(),
                " FROM buckets WHERE name = $1 FOR SHARE"
            ),
            values![name],
        )
        .await?;
    read(&row.ok_or(MetadataError::NoSuchBucket)?)
}

/// Like [`lock_for_publish`], by the bucket's number; `None` if it is gone.
pub(crate) async fn lock_by_id(
    tx: &mut Tx<'_>,
    bucket: BucketId,
) -> Result<Option<Bucket>, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                bucket_columns!(),
                " FROM buckets WHERE bucket_id = $1 FOR SHARE"
            ),
            values![bucket.0],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Takes the bucket for a change of what publishing looks at: nobody publishes meanwhile.
pub(crate) async fn lock_alone(tx: &mut Tx<'_>, name: &str) -> Result<Bucket, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                bucket_columns!(),
                " FROM buckets WHERE name = $1 FOR UPDATE"
            ),
            values![name],
        )
        .await?;
    read(&row.ok_or(MetadataError::NoSuchBucket)?)
}

/// A bucket from its row.
pub(crate) fn read(row: &Row) -> Result<Bucket, MetadataError> {
    Ok(Bucket {
        id: BucketId(row.signed(0)?),
        name: row.text(1)?,
        created_ms: row.number(2)?,
        versioning: versioning(&row.text(3)?)?,
        policy: row.text(4)?,
        location: row.optional_text(5)?,
        object_lock: BucketLock::read(row.optional_text(8)?.as_deref()),
        quota: Quota {
            bytes: row.optional_small(9)?,
            objects: row.optional_small(10)?,
        },
        encryption: row.optional_text(6)?,
        lifecycle_generation: row.number(7)?,
    })
}

fn versioning(text: &str) -> Result<Versioning, MetadataError> {
    match text {
        "unversioned" => Ok(Versioning::Unversioned),
        "enabled" => Ok(Versioning::Enabled),
        "suspended" => Ok(Versioning::Suspended),
        other => Err(MetadataError::Corrupt(format!("versioning is `{other}`"))),
    }
}

const fn versioning_text(versioning: Versioning) -> &'static str {
    match versioning {
        Versioning::Unversioned => "unversioned",
        Versioning::Enabled => "enabled",
        Versioning::Suspended => "suspended",
    }
}
