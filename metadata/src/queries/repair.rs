//! What is owed, blob by blob, and the strays of a drive.

use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Region};

use super::horizon;
use super::placements::{self, PackedBlob};
use crate::commands::debts::kind;
use crate::error::MetadataError;
use crate::repair::{OwedFragment, Stray};
use crate::sql::{Tx, values};

/// A blob, and its owed fragments with the number of the drive that each was meant for.
pub(crate) type NumberedOwed = (PackedBlob, Vec<(OwedFragment, u32)>);

/// Live blobs with debts of their newest placement in a region, by id, after one of them. At most
/// `limit` debts; a blob's are never torn apart (which needs a limit above a blob's fragments).
pub(crate) async fn owed(
    tx: &mut Tx<'_>,
    region: &Region,
    after: Option<BlobId>,
    limit: usize,
) -> Result<Vec<NumberedOwed>, MetadataError> {
    let after: &[u8] = after.as_ref().map_or(&[], |blob| blob.as_bytes());
    let rows = tx
        .fetch(
            "SELECT debts.blob_id, blobs.len, placements.generation, placements.layout, \
             placements.drives, debts.fragment_index, debts.drive_number, debts.kind, \
             debts.created_ms FROM debts \
             JOIN blobs ON blobs.blob_id = debts.blob_id \
             JOIN placements ON placements.blob_id = debts.blob_id \
             AND placements.region = debts.region AND placements.generation = debts.generation \
             WHERE debts.blob_id > $1 AND debts.region = $2 AND blobs.state = 'live' \
             AND placements.generation = (SELECT MAX(newest.generation) FROM placements AS newest \
             WHERE newest.blob_id = placements.blob_id AND newest.region = placements.region) \
             ORDER BY debts.blob_id, debts.fragment_index LIMIT $3",
            values![after, region.as_str(), limit],
        )
        .await?;
    let is_cut = rows.len() == limit;
    let mut found: Vec<NumberedOwed> = Vec::new();
    for row in &rows {
        let blob = row.blob(0)?;
        let fragment = OwedFragment {
            index: FragmentIndex(row.small(5)?),
            meant: None,
            kind: kind(&row.text(7)?)?,
            created_ms: row.number(8)?,
        };
        let owed = (fragment, row.small(6)?);
        match found.last_mut().filter(|last| last.0.0 == blob) {
            Some((_, fragments)) => fragments.push(owed),
            None => {
                let placement = placements::read(row, 2, region)?;
                found.push(((blob, row.number(1)?, placement), vec![owed]));
            }
        }
    }
    if is_cut && found.len() > 1 {
        found.pop();
    }
    Ok(found)
}

/// Strays on one drive that may be looked at now, in order, after one of them.
pub(crate) async fn strays(
    tx: &mut Tx<'_>,
    drive: DriveId,
    number: u32,
    after: Option<&Stray>,
    limit: usize,
) -> Result<Vec<Stray>, MetadataError> {
    let (blob, region, generation, index): (&[u8], &str, u32, i64) = match after {
        Some(stray) => (
            stray.blob.as_bytes(),
            stray.region.as_str(),
            stray.generation.0,
            i64::from(stray.index.0),
        ),
        None => (&[], "", 0, -1),
    };
    let due_ms = horizon::due_ms(tx).await?;
    if due_ms == horizon::NOTHING {
        return Ok(Vec::new());
    }
    let rows = tx
        .fetch(
            "SELECT blob_id, region, generation, fragment_index FROM strays \
             WHERE drive_number = $1 \
             AND (blob_id, region, generation, fragment_index) > ($2, $3, $4, $5) \
             AND (not_before_ms <= $6 OR doomed = 1) \
             ORDER BY blob_id, region, generation, fragment_index LIMIT $7",
            values![number, blob, region, generation, index, due_ms, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Stray {
                drive,
                blob: row.blob(0)?,
                region: Region::parse(&row.text(1)?)
                    .map_err(|error| MetadataError::Corrupt(error.to_string()))?,
                generation: Generation(row.small(2)?),
                index: FragmentIndex(row.small(3)?),
            })
        })
        .collect()
}

/// A live blob's placement of one generation in a region.
pub(crate) async fn placement(
    tx: &mut Tx<'_>,
    region: &Region,
    blob: BlobId,
    generation: Generation,
) -> Result<Option<PackedBlob>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT placements.blob_id, blobs.len, placements.generation, placements.layout, \
             placements.drives FROM placements \
             JOIN blobs ON blobs.blob_id = placements.blob_id \
             WHERE placements.blob_id = $1 AND placements.region = $2 \
             AND placements.generation = $3 AND blobs.state = 'live'",
            values![&blob, region.as_str(), generation.0],
        )
        .await?;
    row.map(|row| {
        Ok((
            row.blob(0)?,
            row.number(1)?,
            placements::read(&row, 2, region)?,
        ))
    })
    .transpose()
}

/// All strays, due or not.
pub(crate) async fn stray_count(tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
    let row = tx
        .fetch_one("SELECT COUNT(*) FROM strays", values![])
        .await?;
    row.ok_or_else(|| MetadataError::Corrupt("no count".to_owned()))?
        .number(0)
}
