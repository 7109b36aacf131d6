//! Where blobs are.

use holdfast_types::{BlobId, Generation, Region};

use crate::drive_numbers::PackedPlacement;
use crate::error::MetadataError;
use crate::sql::{Row, Tx, values};

/// A blob, its length and its packed placement.
pub(crate) type PackedBlob = (BlobId, u64, PackedPlacement);

/// A placement from three columns of a row, from `column` on: generation, layout, drives.
pub(crate) fn read(
    row: &Row,
    column: usize,
    region: &Region,
) -> Result<PackedPlacement, MetadataError> {
    let layout = row.text(column + 1)?;
    Ok(PackedPlacement {
        region: region.clone(),
        generation: Generation(row.small(column)?),
        layout: layout
            .parse()
            .map_err(|error| MetadataError::Corrupt(format!("layout `{layout}`: {error}")))?,
        drives: row.bytes(column + 2)?,
    })
}

/// All placements of a blob in a region, oldest generation first.
pub(crate) async fn of_blob(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    region: &Region,
) -> Result<Vec<PackedPlacement>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT generation, layout, drives FROM placements \
             WHERE blob_id = $1 AND region = $2 ORDER BY generation",
            values![blob, region.as_str()],
        )
        .await?;
    rows.iter().map(|row| read(row, 0, region)).collect()
}

/// Live blobs with their newest placement in a region, in the order of their ids.
pub(crate) async fn page(
    tx: &mut Tx<'_>,
    region: &Region,
    after: Option<BlobId>,
    limit: usize,
) -> Result<Vec<PackedBlob>, MetadataError> {
    let after: &[u8] = after.as_ref().map_or(&[], |blob| blob.as_bytes());
    let rows = tx
        .fetch(
            "SELECT placements.blob_id, blobs.len, placements.generation, placements.layout, \
             placements.drives FROM placements \
             JOIN blobs ON blobs.blob_id = placements.blob_id \
             WHERE placements.blob_id > $1 AND placements.region = $2 AND blobs.state = 'live' \
             AND placements.generation = (SELECT MAX(newest.generation) FROM placements AS newest \
             WHERE newest.blob_id = placements.blob_id AND newest.region = placements.region) \
             ORDER BY placements.blob_id LIMIT $3",
            values![after, region.as_str(), limit],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.blob(0)?, row.number(1)?, read(row, 2, region)?)))
        .collect()
}
