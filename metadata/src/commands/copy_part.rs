//! A part of bytes that another object has: its slices are sub-slices of the source's.
//!
//! The upload is shared like by any other part. The source's row is not locked (see `publish.rs`):
//! its blobs are, and afterwards every byte of the range must be there.

use std::ops::Range;

use uuid::Uuid;

use crate::command::CopyPart;
use crate::commands::{buckets, multipart, outcomes};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{OpId, Part};
use crate::sql::{Tx, values};

impl Apply for CopyPart {
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
        multipart::check_open(row.as_ref())?;
        outcomes::record(tx, self.op).await?;
        let part = Part {
            part_number: self.part_number,
            uid: Uuid::now_v7(),
            size: self.range.end.saturating_sub(self.range.start),
            etag: self.etag.clone(),
            last_modified_ms: tx.now_ms(),
            checksum: self.checksum.clone(),
        };
        check_source(tx, &self.source, &self.range).await?;
        take_references(tx, &self.source, &self.range, &part).await?;
        multipart::insert_part(tx, &bucket, &self.upload, &part).await?;
        Ok(part)
    }
}

async fn check_source(
    tx: &mut Tx<'_>,
    source: &Uuid,
    range: &Range<u64>,
) -> Result<(), MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT size FROM versions WHERE uid = $1 AND is_marker = 0",
            values![source],
        )
        .await?;
    match row.ok_or(MetadataError::SourceChanged)?.number(0)? {
        size if range.end <= size => Ok(()),
        _ => Err(MetadataError::SourceChanged),
    }
}

/// Makes the part refer to the bytes of `range` that `source` refers to. The blobs are locked
/// against the sweeper and must be live.
async fn take_references(
    tx: &mut Tx<'_>,
    source: &Uuid,
    range: &Range<u64>,
    part: &Part,
) -> Result<(), MetadataError> {
    if part.size == 0 {
        return Ok(());
    }
    // Slices lie end to end: the one that holds the first byte is the last that begins at or
    // before it.
    let blobs = tx
        .fetch(
            "SELECT state FROM blobs WHERE blob_id IN \
             (SELECT blob_id FROM slices WHERE owner = $1 AND start < $3 \
             AND start >= COALESCE((SELECT MAX(first.start) FROM slices AS first \
             WHERE first.owner = $1 AND first.start <= $2), 0)) ORDER BY blob_id FOR SHARE",
            values![source, range.start, range.end],
        )
        .await?;
    for blob in &blobs {
        if blob.text(0)? != "live" {
            return Err(MetadataError::SourceChanged);
        }
    }
    tx.execute(
        "INSERT INTO slices (owner, start, part_number, blob_id, blob_offset, len) \
         SELECT $4, \
         CASE WHEN start > $2 THEN start - $2 ELSE 0 END, \
         $5, blob_id, \
         blob_offset + CASE WHEN start > $2 THEN 0 ELSE $2 - start END, \
         CASE WHEN start + len < $3 THEN start + len ELSE $3 END \
         - CASE WHEN start > $2 THEN start ELSE $2 END \
         FROM slices WHERE owner = $1 AND start < $3 AND start + len > $2 \
         AND start >= COALESCE((SELECT MAX(first.start) FROM slices AS first \
         WHERE first.owner = $1 AND first.start <= $2), 0)",
        values![source, range.start, range.end, &part.uid, part.part_number],
    )
    .await?;
    let row = tx
        .fetch_one(
            "SELECT CAST(COALESCE(SUM(len), 0) AS BIGINT) FROM slices WHERE owner = $1",
            values![&part.uid],
        )
        .await?;
    let taken = row.map_or(Ok(0), |row| row.number(0))?;
    if taken != part.size {
        return Err(MetadataError::SourceChanged);
    }
    Ok(())
}
