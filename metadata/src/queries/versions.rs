//! One version of one key, and the parts it was made of.

use uuid::Uuid;

use crate::commands::object_lock;
use crate::error::MetadataError;
use crate::model::{BucketId, ObjectPart, Version, VersionId, VersionSelector};
use crate::sql::{Row, Tx, values};

/// The columns of a version, in the order of [`read`].
macro_rules! version_columns {
    () => {
        "uid, bucket_id, key, sequence, version_id, is_current, is_marker, size, etag, \
         last_modified_ms, parts, attributes, lock_mode, retain_until_ms, legal_hold"
    };
}
pub(crate) use version_columns;

/// A version from its row.
pub(crate) fn read(row: &Row) -> Result<Version, MetadataError> {
    Ok(Version {
        uid: row.uuid(0)?,
        bucket: BucketId(row.signed(1)?),
        key: row.bytes(2)?,
        sequence: row.number(3)?,
        version_id: VersionId(row.text(4)?),
        is_current: row.truth(5)?,
        is_delete_marker: row.truth(6)?,
        size: row.number(7)?,
        etag: row.text(8)?,
        last_modified_ms: row.number(9)?,
        parts: row.optional_small(10)?,
        attributes: row.json(11)?,
        lock: object_lock::read(row, 12),
    })
}

/// The version that is meant, object or marker.
pub(crate) async fn version(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    key: &[u8],
    selector: &VersionSelector,
) -> Result<Version, MetadataError> {
    match selector {
        VersionSelector::Current => {
            let row = tx
                .fetch_one(
                    concat!(
                        "SELECT ",
                        version_columns!(),
                        " FROM versions WHERE bucket_id = $1 AND key = $2 \
                         ORDER BY sequence DESC LIMIT 1"
                    ),
                    values![bucket.0, key],
                )
                .await?;
            read(&row.ok_or(MetadataError::NoSuchKey)?)
        }
        VersionSelector::Exact(version_id) => {
            let row = tx
                .fetch_one(
                    concat!(
                        "SELECT ",
                        version_columns!(),
                        " FROM versions WHERE bucket_id = $1 AND key = $2 AND version_id = $3"
                    ),
                    values![bucket.0, key, &version_id.0],
                )
                .await?;
            read(&row.ok_or(MetadataError::NoSuchVersion)?)
        }
    }
}

/// Parts of a completed object, after a part number.
pub(crate) async fn object_parts(
    tx: &mut Tx<'_>,
    uid: &Uuid,
    after_part: u32,
    limit: usize,
) -> Result<Vec<ObjectPart>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT part_number, start, size, checksum FROM object_parts \
             WHERE owner = $1 AND part_number > $2 ORDER BY part_number LIMIT $3",
            values![uid, after_part, limit],
        )
        .await?;
    rows.iter().map(read_part).collect()
}

/// One part of a completed object.
pub(crate) async fn object_part(
    tx: &mut Tx<'_>,
    uid: &Uuid,
    part_number: u32,
) -> Result<Option<ObjectPart>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT part_number, start, size, checksum FROM object_parts \
             WHERE owner = $1 AND part_number = $2",
            values![uid, part_number],
        )
        .await?;
    row.as_ref().map(read_part).transpose()
}

fn read_part(row: &Row) -> Result<ObjectPart, MetadataError> {
    Ok(ObjectPart {
        part_number: row.small(0)?,
        start: row.number(1)?,
        size: row.number(2)?,
        checksum: row.optional_json(3)?,
    })
}
