//! PutObject and CopyObject: a version appears.

use uuid::Uuid;

use crate::command::{CopyObject, NewBlob, Published, PutObject};
use crate::commands::write::{self, Head, NewVersion};
use crate::commands::{buckets, condition, object_lock, outcomes};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Bucket, ChangeCause, ChangeEvent, OpId, VersionId, Versioning};
use crate::sql::{Tx, values};

/// What a publishing command answers.
pub(crate) fn published(
    bucket: &Bucket,
    head: Head,
    version_id: VersionId,
    etag: &str,
) -> Published {
    let version_id = match bucket.versioning {
        Versioning::Unversioned => None,
        Versioning::Enabled | Versioning::Suspended => Some(version_id),
    };
    Published {
        version_id,
        last_modified_ms: head.last_modified_ms,
        etag: etag.to_owned(),
        sequence: head.sequence,
    }
}

impl Apply for PutObject {
    type Outcome = Published;

    fn op(&self) -> Option<OpId> {
        Some(self.op)
    }

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Published, MetadataError> {
        let bucket = buckets::lock_for_publish(tx, &self.bucket).await?;
        let head = write::lock_key(tx, bucket.id, &self.key).await?;
        let current = write::current(tx, bucket.id, &self.key).await?;
        condition::check(&self.condition, current.as_ref())?;
        let lock = object_lock::of_new(&bucket, head, &self.lock)?;
        outcomes::publish_blob(tx, self.op, self.blob.as_ref()).await?;
        let uid = Uuid::now_v7();
        let size = self.size()?;
        if let Some(blob) = &self.blob {
            tx.execute(
                "INSERT INTO slices (owner, start, blob_id, blob_offset, len) \
                 VALUES ($1, 0, $2, 0, $3)",
                values![&uid, &blob.id, size],
            )
            .await?;
        }
        let new = NewVersion {
            uid,
            version_id: write::new_version_id(bucket.versioning, &uid),
            is_marker: false,
            size,
            etag: &self.etag,
            of_parts: 0,
            parts: None,
            attributes: &self.attributes,
            lock,
            logged: self.origin.logs(self.event()),
        };
        write::replace(tx, &bucket, &self.key, head, current.as_ref(), &new).await?;
        Ok(published(&bucket, head, new.version_id, &self.etag))
    }
}

impl PutObject {
    const fn event(&self) -> ChangeEvent {
        match self.origin.cause {
            ChangeCause::Form => ChangeEvent::Post,
            ChangeCause::Copy => ChangeEvent::Copy,
            ChangeCause::Request | ChangeCause::Lifecycle => ChangeEvent::Put,
        }
    }

    /// The object's bytes: the blob's, or as many of them as are taken.
    fn size(&self) -> Result<u64, MetadataError> {
        let blob_len = self.blob.as_ref().map_or(0, NewBlob::content_len);
        match self.taken_len {
            None => Ok(blob_len),
            Some(taken) if (1..=blob_len).contains(&taken) => Ok(taken),
            Some(taken) => Err(MetadataError::Corrupt(format!(
                "{taken} bytes were to be taken of a blob of {blob_len}"
            ))),
        }
    }
}

impl Apply for CopyObject {
    type Outcome = Published;

    fn op(&self) -> Option<OpId> {
        Some(self.op)
    }

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Published, MetadataError> {
        let bucket = buckets::lock_for_publish(tx, &self.bucket).await?;
        let head = write::lock_key(tx, bucket.id, &self.key).await?;
        let current = write::current(tx, bucket.id, &self.key).await?;
        condition::check(&self.condition, current.as_ref())?;
        let lock = object_lock::of_new(&bucket, head, &self.lock)?;
        outcomes::record(tx, self.op).await?;
        let source = read_source(tx, &self.source).await?;
        let uid = Uuid::now_v7();
        take_references(tx, &self.source, &uid, source.size).await?;
        let new = NewVersion {
            uid,
            version_id: write::new_version_id(bucket.versioning, &uid),
            is_marker: false,
            size: source.size,
            etag: &source.etag,
            of_parts: 0,
            parts: source.parts,
            attributes: &self.attributes,
            lock,
            logged: self.origin.logs(ChangeEvent::Copy),
        };
        write::replace(tx, &bucket, &self.key, head, current.as_ref(), &new).await?;
        Ok(published(&bucket, head, new.version_id, &source.etag))
    }
}

/// What a copy takes over from its source.
struct Source {
    size: u64,
    etag: String,
    parts: Option<u32>,
}

/// The source as it is now. Its row is not locked, because a copy in the other direction would then
/// be a deadlock: what must not go away meanwhile are its blobs, and those get locked.
async fn read_source(tx: &mut Tx<'_>, uid: &Uuid) -> Result<Source, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT size, etag, parts FROM versions WHERE uid = $1 AND is_marker = 0",
            values![uid],
        )
        .await?;
    let row = row.ok_or(MetadataError::SourceChanged)?;
    Ok(Source {
        size: row.number(0)?,
        etag: row.text(1)?,
        parts: row.optional_small(2)?,
    })
}

/// Makes `owner` refer to all that `source` refers to. The blobs are locked against the sweeper and
/// must be live; afterwards all `size` bytes must be there, because the source may have been
/// deleted between any two of these statements.
async fn take_references(
    tx: &mut Tx<'_>,
    source: &Uuid,
    owner: &Uuid,
    size: u64,
) -> Result<(), MetadataError> {
    let blobs = tx
        .fetch(
            "SELECT state FROM blobs WHERE blob_id IN \
             (SELECT blob_id FROM slices WHERE owner = $1) ORDER BY blob_id FOR SHARE",
            values![source],
        )
        .await?;
    for blob in &blobs {
        if blob.text(0)? != "live" {
            return Err(MetadataError::SourceChanged);
        }
    }
    tx.execute(
        "INSERT INTO slices (owner, start, part_number, blob_id, blob_offset, len) \
         SELECT $2, start, part_number, blob_id, blob_offset, len FROM slices WHERE owner = $1",
        values![source, owner],
    )
    .await?;
    tx.execute(
        "INSERT INTO object_parts (owner, part_number, start, size, checksum) \
         SELECT $2, part_number, start, size, checksum FROM object_parts WHERE owner = $1",
        values![source, owner],
    )
    .await?;
    let row = tx
        .fetch_one(
            "SELECT CAST(COALESCE(SUM(len), 0) AS BIGINT) FROM slices WHERE owner = $1",
            values![owner],
        )
        .await?;
    let copied = row.map_or(Ok(0), |row| row.number(0))?;
    if copied != size {
        return Err(MetadataError::SourceChanged);
    }
    Ok(())
}
