//! What is wanted of drives and workers, and how much is on a drive.

use holdfast_types::{BlobId, DriveId, Region};

use super::placements::{self, PackedBlob};
use crate::drives::{DriveDuty, DriveRecord, Running, WorkerOrders};
use crate::error::MetadataError;
use crate::sql::{Row, Tx, values};

/// All drives that ever were, in the order of their ids.
pub(crate) async fn records(tx: &mut Tx<'_>) -> Result<Vec<DriveRecord>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT drive_id, duty, duty_since_ms, detail FROM drives ORDER BY drive_id",
            values![],
        )
        .await?;
    rows.iter().map(record).collect()
}

fn record(row: &Row) -> Result<DriveRecord, MetadataError> {
    let id = DriveId::try_from(row.bytes(0)?.as_slice())
        .map_err(|error| MetadataError::Corrupt(error.to_string()))?;
    let duty = row.text(1)?;
    let known = [DriveDuty::InUse, DriveDuty::Draining, DriveDuty::Removed];
    Ok(DriveRecord {
        id,
        duty: known
            .into_iter()
            .find(|known| known.as_str() == duty)
            .ok_or_else(|| MetadataError::Corrupt(format!("a drive's duty is `{duty}`")))?,
        since_ms: row.number(2)?,
        drive: row.optional_json(3)?,
    })
}

/// All placements of live blobs in a region, past generations too, after one of them.
pub(crate) async fn all_placements(
    tx: &mut Tx<'_>,
    region: &Region,
    after: Option<(BlobId, u32)>,
    limit: usize,
) -> Result<Vec<PackedBlob>, MetadataError> {
    let (blob, generation): (&[u8], i64) =
        after.as_ref().map_or((&[], -1), |(blob, generation)| {
            (blob.as_bytes(), i64::from(*generation))
        });
    let rows = tx
        .fetch(
            "SELECT placements.blob_id, blobs.len, placements.generation, placements.layout, \
             placements.drives FROM placements \
             JOIN blobs ON blobs.blob_id = placements.blob_id \
             WHERE placements.region = $1 AND blobs.state = 'live' \
             AND (placements.blob_id > $2 \
             OR (placements.blob_id = $2 AND placements.generation > $3)) \
             ORDER BY placements.blob_id, placements.generation LIMIT $4",
            values![region.as_str(), blob, generation, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.blob(0)?,
                row.number(1)?,
                placements::read(row, 2, region)?,
            ))
        })
        .collect()
}

/// Which transactions are under way. SQLite's one writer has ended what its readers can see.
pub(crate) async fn running(tx: &mut Tx<'_>) -> Result<Running, MetadataError> {
    let sql = tx.dialect().pick(
        "SELECT 0, 0",
        "SELECT CAST(CAST(pg_snapshot_xmin(now) AS TEXT) AS BIGINT), \
         CAST(CAST(pg_snapshot_xmax(now) AS TEXT) AS BIGINT) \
         FROM (SELECT pg_current_snapshot() AS now) AS snapshot",
    );
    let row = tx.fetch_one(sql, values![]).await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no snapshot".to_owned()))?;
    Ok(Running {
        oldest: row.number(0)?,
        next: row.number(1)?,
    })
}

/// What operators told workers.
pub(crate) async fn orders(tx: &mut Tx<'_>) -> Result<Vec<WorkerOrders>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT name, pace_percent, paused FROM worker_orders ORDER BY name",
            values![],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let pace_percent: u8 = row.small(1)?;
            Ok(WorkerOrders {
                name: row.text(0)?,
                pace_percent: (pace_percent > 0).then_some(pace_percent),
                paused: row.truth(2)?,
            })
        })
        .collect()
}
