//! Buckets by name.

use crate::commands::buckets::{bucket_columns, read};
use crate::error::MetadataError;
use crate::model::{Bucket, BucketId};
use crate::sql::{Tx, values};

/// The bucket of this name.
pub(crate) async fn bucket(tx: &mut Tx<'_>, name: &str) -> Result<Bucket, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                bucket_columns!(),
                " FROM buckets WHERE name = $1"
            ),
            values![name],
        )
        .await?;
    read(&row.ok_or(MetadataError::NoSuchBucket)?)
}

/// Buckets whose names begin with `prefix`, after `after`, in the order of bytes.
pub(crate) async fn buckets(
    tx: &mut Tx<'_>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Bucket>, MetadataError> {
    // `after` with anything behind it is the first name after it; names have no U+0000, so `>`
    // on `after` and `>=` on `prefix` are all that is needed.
    let rows = tx
        .fetch(
            concat!(
                "SELECT ",
                bucket_columns!(),
                " FROM buckets WHERE name >= $1 AND name > $2 ORDER BY name LIMIT $3"
            ),
            values![prefix, after.unwrap_or_default(), limit],
        )
        .await?;
    let mut buckets = Vec::with_capacity(rows.len());
    for row in &rows {
        let bucket = read(row)?;
        if !bucket.name.starts_with(prefix) {
            break;
        }
        buckets.push(bucket);
    }
    Ok(buckets)
}

/// The value of a bucket's setting.
pub(crate) async fn setting(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    name: &str,
) -> Result<Option<String>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT value FROM bucket_settings WHERE bucket_id = $1 AND name = $2",
            values![bucket.0, name],
        )
        .await?;
    row.map(|row| row.text(0)).transpose()
}
