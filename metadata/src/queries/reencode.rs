//! The blobs of a bucket, each through an object or part that refers to it; and the jobs.

use holdfast_types::Region;

use super::placements::{self, PackedBlob};
use super::scan::successor;
use crate::commands::reencode_jobs::{job_kind, job_state};
use crate::error::MetadataError;
use crate::model::{Attributes, BucketId};
use crate::reencode::{Cursor, ReencodeJob};
use crate::sql::{Row, Tx, values};

/// A blob that was met, still packed: all of [`crate::reencode::MetBlob`].
pub(crate) struct PackedMet {
    pub(crate) cursor: Cursor,
    pub(crate) key: Vec<u8>,
    pub(crate) storage_class: Option<String>,
    pub(crate) blob: PackedBlob,
    pub(crate) made_by: u64,
}

/// What follows a slice: its blob, where that is, and the attributes of what it belongs to.
macro_rules! met_columns {
    ($owner:literal) => {
        concat!(
            "slices.start, slices.blob_id, blobs.len, placements.generation, placements.layout, \
             placements.drives, placements.made_by, ",
            $owner,
            ".attributes "
        )
    };
}

/// The joins from a slice to its blob's newest placement in region `$1`.
macro_rules! placed {
    () => {
        "JOIN blobs ON blobs.blob_id = slices.blob_id \
         JOIN placements ON placements.blob_id = slices.blob_id AND placements.region = $1 \
         AND placements.generation = (SELECT MAX(newest.generation) FROM placements AS newest \
         WHERE newest.blob_id = slices.blob_id AND newest.region = $1) "
    };
}

/// The next blobs of a bucket after a cursor, at most `limit`; the walk is over when there is none.
pub(crate) async fn page(
    tx: &mut Tx<'_>,
    region: &Region,
    bucket: BucketId,
    prefix: &[u8],
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<PackedMet>, MetadataError> {
    let mut found = Vec::new();
    if !matches!(after, Some(Cursor::Version { .. })) {
        found = parts(tx, region, bucket, prefix, after, limit).await?;
    }
    if found.len() < limit {
        let rest = limit - found.len();
        found.extend(versions(tx, region, bucket, prefix, after, rest).await?);
    }
    Ok(found)
}

async fn parts(
    tx: &mut Tx<'_>,
    region: &Region,
    bucket: BucketId,
    prefix: &[u8],
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<PackedMet>, MetadataError> {
    let (upload, number, start) = match after {
        Some(Cursor::Part {
            upload,
            number,
            start,
        }) => (upload.as_bytes().to_vec(), *number, start.cast_signed()),
        _ => (Vec::new(), 0, -1),
    };
    let end = end_of(prefix);
    let rows = tx
        .fetch(
            concat!(
                "SELECT uploads.key, uploads.upload_id, parts.part_number, ",
                met_columns!("uploads"),
                "FROM uploads JOIN parts ON parts.upload_id = uploads.upload_id \
                 JOIN slices ON slices.owner = parts.uid ",
                placed!(),
                "WHERE uploads.bucket_id = $2 AND uploads.state = 'open' \
                 AND (uploads.upload_id, parts.part_number, slices.start) > ($3, $4, $5) \
                 AND uploads.key >= $6 AND uploads.key < $7 \
                 ORDER BY uploads.upload_id, parts.part_number, slices.start LIMIT $8"
            ),
            values![
                region.as_str(),
                bucket.0,
                upload.as_slice(),
                number,
                start,
                prefix,
                end.as_slice(),
                limit
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = row.bytes(0)?;
        let cursor = Cursor::Part {
            upload: row.uuid(1)?,
            number: row.small(2)?,
            start: row.number(3)?,
        };
        found.push(met(row, 3, region, key, cursor)?);
    }
    Ok(found)
}

/// What comes behind every key with this prefix. Where nothing ends the prefix, it is longer than
/// any key.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    successor(prefix).unwrap_or_else(|| vec![0xFF; 1100])
}

async fn versions(
    tx: &mut Tx<'_>,
    region: &Region,
    bucket: BucketId,
    prefix: &[u8],
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<PackedMet>, MetadataError> {
    let mut found = Vec::new();
    let (key, is_first) = match after {
        Some(Cursor::Version {
            key,
            sequence,
            start,
        }) => {
            let rows = tx
                .fetch(
                    concat!(
                        "SELECT versions.key, versions.sequence, ",
                        met_columns!("versions"),
                        "FROM versions JOIN slices ON slices.owner = versions.uid ",
                        placed!(),
                        "WHERE versions.bucket_id = $2 AND versions.key = $3 \
                         AND versions.sequence = $4 AND slices.start > $5 \
                         ORDER BY slices.start LIMIT $6"
                    ),
                    values![
                        region.as_str(),
                        bucket.0,
                        key.as_slice(),
                        *sequence,
                        *start,
                        limit
                    ],
                )
                .await?;
            read_versions(&rows, region, &mut found)?;
            if found.len() < limit {
                let rows = tx
                    .fetch(
                        concat!(
                            "SELECT versions.key, versions.sequence, ",
                            met_columns!("versions"),
                            "FROM versions JOIN slices ON slices.owner = versions.uid ",
                            placed!(),
                            "WHERE versions.bucket_id = $2 AND versions.key = $3 \
                             AND versions.sequence < $4 \
                             ORDER BY versions.sequence DESC, slices.start LIMIT $5"
                        ),
                        values![
                            region.as_str(),
                            bucket.0,
                            key.as_slice(),
                            *sequence,
                            limit - found.len()
                        ],
                    )
                    .await?;
                read_versions(&rows, region, &mut found)?;
            }
            (key.as_slice(), false)
        }
        _ => (prefix, true),
    };
    if found.len() >= limit {
        return Ok(found);
    }
    let end = end_of(prefix);
    let sql = if is_first {
        concat!(
            "SELECT versions.key, versions.sequence, ",
            met_columns!("versions"),
            "FROM versions JOIN slices ON slices.owner = versions.uid ",
            placed!(),
            "WHERE versions.bucket_id = $2 AND versions.key >= $3 AND versions.key < $4 \
             ORDER BY versions.key, versions.sequence DESC, slices.start LIMIT $5"
        )
    } else {
        concat!(
            "SELECT versions.key, versions.sequence, ",
            met_columns!("versions"),
            "FROM versions JOIN slices ON slices.owner = versions.uid ",
            placed!(),
            "WHERE versions.bucket_id = $2 AND versions.key > $3 AND versions.key < $4 \
             ORDER BY versions.key, versions.sequence DESC, slices.start LIMIT $5"
        )
    };
    let rows = tx
        .fetch(
            sql,
            values![
                region.as_str(),
                bucket.0,
                key,
                end.as_slice(),
                limit - found.len()
            ],
        )
        .await?;
    read_versions(&rows, region, &mut found)?;
    Ok(found)
}

fn read_versions(
    rows: &[Row],
    region: &Region,
    found: &mut Vec<PackedMet>,
) -> Result<(), MetadataError> {
    for row in rows {
        let key = row.bytes(0)?;
        let cursor = Cursor::Version {
            key: key.clone(),
            sequence: row.number(1)?,
            start: row.number(2)?,
        };
        found.push(met(row, 2, region, key, cursor)?);
    }
    Ok(())
}

/// A met blob from a row whose column `at` is the slice's start.
fn met(
    row: &Row,
    at: usize,
    region: &Region,
    key: Vec<u8>,
    cursor: Cursor,
) -> Result<PackedMet, MetadataError> {
    let attributes: Attributes = row.json(at + 7)?;
    Ok(PackedMet {
        cursor,
        key,
        storage_class: attributes.storage_class,
        blob: (
            row.blob(at + 1)?,
            row.number(at + 2)?,
            placements::read(row, at + 3, region)?,
        ),
        made_by: row.number(at + 6)?,
    })
}

/// The columns of a job, in the order of [`read_job`].
macro_rules! job_columns {
    () => {
        "job_number, bucket_id, bucket_name, prefix, kind, state, created_ms, ended_ms, progress"
    };
}
pub(crate) use job_columns;

/// A job from its row.
pub(crate) fn read_job(row: &Row) -> Result<ReencodeJob, MetadataError> {
    Ok(ReencodeJob {
        number: row.number(0)?,
        bucket: BucketId(row.signed(1)?),
        bucket_name: row.text(2)?,
        prefix: row.bytes(3)?,
        kind: job_kind(&row.text(4)?)?,
        state: job_state(&row.text(5)?)?,
        created_ms: row.number(6)?,
        ended_ms: row.optional_small(7)?,
        progress: row.json(8)?,
    })
}

/// The last job of each bucket that ever had one, newest first.
pub(crate) async fn jobs(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<ReencodeJob>, MetadataError> {
    let rows = tx
        .fetch(
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM reencode_jobs ORDER BY job_number DESC LIMIT $1"
            ),
            values![limit],
        )
        .await?;
    rows.iter().map(read_job).collect()
}

/// The newest job of a bucket.
pub(crate) async fn job_of(
    tx: &mut Tx<'_>,
    bucket: BucketId,
) -> Result<Option<ReencodeJob>, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM reencode_jobs WHERE bucket_id = $1 ORDER BY job_number DESC LIMIT 1"
            ),
            values![bucket.0],
        )
        .await?;
    row.as_ref().map(read_job).transpose()
}
