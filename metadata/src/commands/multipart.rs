//! Uploads begin, take parts, and are aborted. Their rows are the locks: parts share it, Complete
//! and Abort take it alone, so that exactly one of those two wins and no part comes after.

use uuid::Uuid;

use crate::command::{CreateUpload, NewBlob, PutPart};
use crate::commands::lifecycle::Dating;
use crate::commands::quota::{self, Growth};
use crate::commands::{buckets, drop_bytes, outcomes};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Bucket, BucketId, BucketLock, OpId, Part, Upload, UploadState};
use crate::sql::{Row, Tx, values};

/// Begins an upload with an id that is given, so that a lost reply leaves at most one.
pub(crate) struct BeginUpload {
    pub(crate) id: Uuid,
    pub(crate) create: CreateUpload,
}

impl Apply for BeginUpload {
    type Outcome = Upload;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Upload, MetadataError> {
        let create = &self.create;
        let bucket = buckets::lock_for_publish(tx, &create.bucket).await?;
        let created_ms = tx.now_ms();
        let dating = Dating::of(tx, &bucket).await?;
        let attributes = super::json(&create.attributes)?;
        let checksum = create.checksum.as_ref().map(super::json).transpose()?;
        tx.execute(
            "INSERT INTO uploads \
             (upload_id, bucket_id, key, created_ms, state, since_ms, attributes, checksum, \
             lifecycle_due_ms) VALUES ($1, $2, $3, $4, 'open', $4, $5, $6, $7)",
            values![
                &self.id,
                bucket.id.0,
                &create.key,
                created_ms,
                &attributes,
                checksum.as_deref(),
                dating.of_upload(&create.key, created_ms)
            ],
        )
        .await?;
        if !create.lock.is_empty() {
            if bucket.object_lock == BucketLock::Off {
                return Err(MetadataError::NoObjectLock);
            }
            let lock = super::json(&create.lock)?;
            tx.execute(
                "UPDATE uploads SET object_lock = $2 WHERE upload_id = $1",
                values![&self.id, &lock],
            )
            .await?;
        }
        Ok(Upload {
            id: self.id,
            bucket: bucket.id,
            key: create.key.clone(),
            created_ms,
            state: UploadState::Open,
            attributes: create.attributes.clone(),
            checksum: create.checksum.clone(),
            lock: create.lock,
        })
    }
}

impl Apply for PutPart {
    type Outcome = Part;

    fn op(&self) -> Option<OpId> {
        Some(self.op)
    }

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Part, MetadataError> {
        let bucket = buckets::lock_for_publish(tx, &self.bucket).await?;
        let row = tx
            .fetch_one(
                "SELECT state FROM uploads WHERE upload_id = $1 AND bucket_id = $2 AND key = $3 \
                 FOR SHARE",
                values![&self.upload, bucket.id.0, &self.key],
            )
            .await?;
        check_open(row.as_ref())?;
        outcomes::publish_blob(tx, self.op, self.blob.as_ref()).await?;
        let part = Part {
            part_number: self.part_number,
            uid: Uuid::now_v7(),
            size: self.blob.as_ref().map_or(0, NewBlob::content_len),
            etag: self.etag.clone(),
            last_modified_ms: tx.now_ms(),
            checksum: self.checksum.clone(),
        };
        insert_part(tx, &bucket, &self.upload, &part).await?;
        if let Some(blob) = &self.blob {
            tx.execute(
                "INSERT INTO slices (owner, start, part_number, blob_id, blob_offset, len) \
                 VALUES ($1, 0, $2, $3, 0, $4)",
                values![&part.uid, part.part_number, &blob.id, part.size],
            )
            .await?;
        }
        Ok(part)
    }
}

/// Inserts a part, or puts it in the place of the one that has its number.
pub(crate) async fn insert_part(
    tx: &mut Tx<'_>,
    bucket: &Bucket,
    upload: &Uuid,
    part: &Part,
) -> Result<(), MetadataError> {
    let checksum = part.checksum.as_ref().map(super::json).transpose()?;
    // Waits for another transaction that is just inserting the same number.
    let inserted = tx
        .execute(
            "INSERT INTO parts \
             (upload_id, part_number, uid, size, etag, last_modified_ms, checksum) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (upload_id, part_number) DO NOTHING",
            values![
                upload,
                part.part_number,
                &part.uid,
                part.size,
                &part.etag,
                part.last_modified_ms,
                checksum.as_deref()
            ],
        )
        .await?;
    let more = |than: u64| Growth {
        part_bytes: part.size.cast_signed() - than.cast_signed(),
        ..Growth::default()
    };
    if inserted > 0 {
        return quota::count(tx, bucket, more(0)).await;
    }
    let row = tx
        .fetch_one(
            "SELECT uid, size FROM parts WHERE upload_id = $1 AND part_number = $2 FOR UPDATE",
            values![upload, part.part_number],
        )
        .await?;
    let replaced = row.ok_or(MetadataError::SourceChanged)?;
    quota::count(tx, bucket, more(replaced.number(1)?)).await?;
    drop_bytes::drop_slices(tx, &replaced.uuid(0)?).await?;
    tx.execute(
        "UPDATE parts SET uid = $3, size = $4, etag = $5, last_modified_ms = $6, checksum = $7 \
         WHERE upload_id = $1 AND part_number = $2",
        values![
            upload,
            part.part_number,
            &part.uid,
            part.size,
            &part.etag,
            part.last_modified_ms,
            checksum.as_deref()
        ],
    )
    .await?;
    Ok(())
}

/// Aborts an open upload.
pub(crate) struct AbortUpload {
    pub(crate) bucket: BucketId,
    pub(crate) key: Vec<u8>,
    pub(crate) id: Uuid,
}

impl Apply for AbortUpload {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT state FROM uploads WHERE upload_id = $1 AND bucket_id = $2 AND key = $3 \
                 FOR UPDATE",
                values![&self.id, self.bucket.0, &self.key],
            )
            .await?;
        check_open(row.as_ref())?;
        drop_bytes::abort(tx, &self.id).await
    }
}

/// `NoSuchUpload` unless the row says that the upload is open.
pub(crate) fn check_open(row: Option<&Row>) -> Result<(), MetadataError> {
    let state = row.ok_or(MetadataError::NoSuchUpload)?.text(0)?;
    if state == "open" {
        Ok(())
    } else {
        Err(MetadataError::NoSuchUpload)
    }
}
