//! Which bytes a version consists of, for a range: only rows that overlap it are read, whatever the
//! number of parts.

use std::ops::Range;

use holdfast_types::Region;
use uuid::Uuid;

use crate::error::MetadataError;
use crate::model::Seal;
use crate::queries::placements::{self, PackedBlob};
use crate::sql::{Row, Tx, values};

/// A slice with its blob still packed.
pub(crate) struct PackedSlice {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) blob_offset: u64,
    pub(crate) blob: PackedBlob,
    pub(crate) seal: Option<Seal>,
}

/// The slices of `uid` that overlap `range`, in order. One statement, so one snapshot.
pub(crate) async fn slices(
    tx: &mut Tx<'_>,
    uid: &Uuid,
    range: &Range<u64>,
    region: &Region,
) -> Result<Vec<PackedSlice>, MetadataError> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    // Slices lie end to end: the one that holds the first byte is the last that begins at or
    // before it.
    let rows = tx
        .fetch(
            "SELECT slices.start, slices.len, slices.blob_offset, slices.blob_id, blobs.len, \
             placements.generation, placements.layout, placements.drives, \
             blobs.content_len, blobs.wrapped_key, blobs.master_key \
             FROM slices JOIN blobs ON blobs.blob_id = slices.blob_id \
             LEFT JOIN placements ON placements.blob_id = slices.blob_id \
             AND placements.region = $4 \
             AND placements.generation = (SELECT MAX(newest.generation) FROM placements AS newest \
             WHERE newest.blob_id = slices.blob_id AND newest.region = $4) \
             WHERE slices.owner = $1 AND slices.start < $3 \
             AND slices.start >= COALESCE((SELECT MAX(first.start) FROM slices AS first \
             WHERE first.owner = $1 AND first.start <= $2), 0) \
             ORDER BY slices.start",
            values![uid, range.start, range.end, region.as_str()],
        )
        .await?;
    let mut slices = Vec::with_capacity(rows.len());
    for row in &rows {
        let blob = row.blob(3)?;
        if row.optional_text(6)?.is_none() {
            return Err(MetadataError::Corrupt(format!(
                "blob {blob} has no placement in {region}"
            )));
        }
        let slice = PackedSlice {
            start: row.number(0)?,
            len: row.number(1)?,
            blob_offset: row.number(2)?,
            blob: (blob, row.number(4)?, placements::read(row, 5, region)?),
            seal: seal(row, 8)?,
        };
        // A range that begins behind the last byte finds the last slice, which it does not overlap.
        if slice.start + slice.len > range.start {
            slices.push(slice);
        }
    }
    Ok(slices)
}

/// How a blob is sealed: its content's length, its wrapped key and its master key from `column` on.
fn seal(row: &Row, column: usize) -> Result<Option<Seal>, MetadataError> {
    let Some(content_len) = row.optional_small(column)? else {
        return Ok(None);
    };
    Ok(Some(Seal {
        content_len,
        wrapped_key: row.bytes(column + 1)?,
        master_key: row.optional_text(column + 2)?,
    }))
}
