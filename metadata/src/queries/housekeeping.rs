//! Debts, garbage, totals and the change log.

use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{FragmentIndex, Generation, Region};

use super::horizon;
use crate::commands::debts::kind;
use crate::error::MetadataError;
use crate::model::{
    BucketId, Change, ChangeCursor, ChangeEvent, ChangeKind, Debt, Garbage, Totals, Usage,
    VersionId,
};
use crate::sql::{Row, Tx, values};

/// A debt with the number of its drive.
pub(crate) type NumberedDebt = (Debt, u32);

/// Debts in the order of blob, region, generation, index, after one of them.
pub(crate) async fn debts(
    tx: &mut Tx<'_>,
    after: Option<&Debt>,
    limit: usize,
) -> Result<Vec<NumberedDebt>, MetadataError> {
    let (blob, region, generation, index): (&[u8], &str, u32, i64) = match after {
        Some(debt) => (
            debt.blob.as_bytes(),
            debt.region.as_str(),
            debt.generation.0,
            i64::from(debt.index.0),
        ),
        None => (&[], "", 0, -1),
    };
    let rows = tx
        .fetch(
            "SELECT blob_id, region, generation, fragment_index, drive_number, kind, created_ms \
             FROM debts WHERE (blob_id, region, generation, fragment_index) > ($1, $2, $3, $4) \
             ORDER BY blob_id, region, generation, fragment_index LIMIT $5",
            values![blob, region, generation, index, limit],
        )
        .await?;
    rows.iter().map(read_debt).collect()
}

fn read_debt(row: &Row) -> Result<NumberedDebt, MetadataError> {
    let debt = Debt {
        blob: row.blob(0)?,
        region: Region::parse(&row.text(1)?)
            .map_err(|error| MetadataError::Corrupt(error.to_string()))?,
        generation: Generation(row.small(2)?),
        index: FragmentIndex(row.small(3)?),
        drive: None,
        kind: kind(&row.text(5)?)?,
        created_ms: row.number(6)?,
    };
    Ok((debt, row.small(4)?))
}

/// Garbage that may be looked at now, oldest first.
pub(crate) async fn due_garbage(
    tx: &mut Tx<'_>,
    after: Option<&Garbage>,
    limit: usize,
) -> Result<Vec<Garbage>, MetadataError> {
    let (not_before_ms, blob): (u64, &[u8]) = match after {
        Some(garbage) => (garbage.not_before_ms, garbage.blob.as_bytes()),
        None => (0, &[]),
    };
    let due_ms = horizon::due_ms(tx).await?;
    let rows = tx
        .fetch(
            "SELECT DISTINCT not_before_ms, blob_id FROM garbage \
             WHERE (not_before_ms, blob_id) > ($1, $2) AND not_before_ms <= $3 \
             ORDER BY not_before_ms, blob_id LIMIT $4",
            values![not_before_ms, blob, due_ms, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Garbage {
                not_before_ms: row.number(0)?,
                blob: row.blob(1)?,
            })
        })
        .collect()
}

/// Everything counted, in one statement and so in one state. It reads all debts, all garbage and
/// the index of open uploads: for operators and meters, not for requests.
pub(crate) async fn totals(tx: &mut Tx<'_>) -> Result<Totals, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT (SELECT COUNT(*) FROM buckets), \
             (SELECT CAST(COALESCE(SUM(versions), 0) AS BIGINT) FROM \
             (SELECT versions FROM usage UNION ALL SELECT versions FROM usage_deltas) AS all_v), \
             (SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM \
             (SELECT bytes FROM usage UNION ALL SELECT bytes FROM usage_deltas) AS all_b), \
             (SELECT COUNT(DISTINCT blob_id) FROM debts), \
             (SELECT COUNT(*) FROM debts), \
             (SELECT COUNT(*) FROM (SELECT DISTINCT blob_id FROM garbage) AS waiting), \
             (SELECT CAST(COALESCE(SUM(len), 0) AS BIGINT) FROM blobs WHERE blob_id IN \
             (SELECT blob_id FROM garbage)), \
             (SELECT COUNT(*) FROM uploads WHERE state = 'open')",
            values![],
        )
        .await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no totals".to_owned()))?;
    Ok(Totals {
        buckets: row.number(0)?,
        usage: Usage {
            versions: row.number(1)?,
            bytes: row.number(2)?,
        },
        blobs_at_risk: row.number(3)?,
        debts: row.number(4)?,
        garbage: Usage {
            versions: row.number(5)?,
            bytes: row.number(6)?,
        },
        open_uploads: row.number(7)?,
    })
}

/// What a bucket has.
pub(crate) async fn bucket_usage(
    tx: &mut Tx<'_>,
    bucket: BucketId,
) -> Result<Usage, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT CAST(COALESCE(SUM(versions), 0) AS BIGINT), \
             CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM \
             (SELECT versions, bytes FROM usage WHERE bucket_id = $1 UNION ALL \
             SELECT versions, bytes FROM usage_deltas WHERE bucket_id = $1) AS everything",
            values![bucket.0],
        )
        .await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no usage".to_owned()))?;
    Ok(Usage {
        versions: row.number(0)?,
        bytes: row.number(1)?,
    })
}

/// The change log after a cursor. On PostgreSQL a row is shown only when every transaction that
/// could come before it has ended, so that a reader that remembers its cursor misses nothing.
pub(crate) async fn changes(
    tx: &mut Tx<'_>,
    after: ChangeCursor,
    limit: usize,
) -> Result<Vec<Change>, MetadataError> {
    let numbers_alone = "SELECT transaction_id, change_number, bucket_id, key, sequence, kind, \
         event, version_id, size, etag, principal, source_address, request_id, at_ms, notification \
         FROM changes WHERE (transaction_id, change_number) > ($1, $2) \
         ORDER BY transaction_id, change_number LIMIT $3";
    let sql = tx.dialect().pick(
        numbers_alone,
        "SELECT transaction_id, change_number, bucket_id, key, sequence, kind, event, version_id, \
         size, etag, principal, source_address, request_id, at_ms, notification \
         FROM changes WHERE (transaction_id, change_number) > ($1, $2) AND transaction_id < \
         CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) \
         ORDER BY transaction_id, change_number LIMIT $3",
    );
    let sql = if mutant::active(Mutant::SequenceCursor) {
        numbers_alone
    } else {
        sql
    };
    let rows = tx
        .fetch(sql, values![after.transaction, after.number, limit])
        .await?;
    rows.iter().map(read_change).collect()
}

fn read_change(row: &Row) -> Result<Change, MetadataError> {
    Ok(Change {
        cursor: ChangeCursor {
            transaction: row.number(0)?,
            number: row.number(1)?,
        },
        bucket: BucketId(row.signed(2)?),
        key: row.bytes(3)?,
        sequence: row.number(4)?,
        kind: ChangeKind::parse(&row.text(5)?)?,
        event: ChangeEvent::parse(&row.text(6)?)?,
        version_id: VersionId(row.text(7)?),
        size: row.number(8)?,
        etag: row.text(9)?,
        principal: row.optional_text(10)?,
        source_address: row.optional_text(11)?,
        request_id: row.optional_text(12)?,
        at_ms: row.number(13)?,
        notification: row.number(14)?,
    })
}
