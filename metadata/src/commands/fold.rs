//! Folds what requests have appended to the totals into one row a bucket.

use std::collections::BTreeMap;

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::sql::{Tx, values};

/// Folds up to `limit` deltas; how many there were.
pub(crate) struct FoldUsage {
    pub(crate) limit: usize,
}

impl Apply for FoldUsage {
    type Outcome = u64;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        // What is folded is what was deleted: a row that commits late is simply folded later.
        let deltas = tx
            .fetch(
                "DELETE FROM usage_deltas WHERE delta_number IN \
                 (SELECT delta_number FROM usage_deltas ORDER BY delta_number LIMIT $1) \
                 RETURNING bucket_id, versions, bytes, part_bytes",
                values![self.limit],
            )
            .await?;
        let mut sums: BTreeMap<i64, [i64; 3]> = BTreeMap::new();
        for delta in &deltas {
            let sum = sums.entry(delta.signed(0)?).or_default();
            for (column, of_column) in sum.iter_mut().enumerate() {
                *of_column += delta.signed(column + 1)?;
            }
        }
        for (bucket, [versions, bytes, part_bytes]) in sums {
            tx.execute(
                "INSERT INTO usage (bucket_id, versions, bytes, part_bytes) \
                 VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (bucket_id) DO UPDATE SET \
                 versions = usage.versions + excluded.versions, \
                 bytes = usage.bytes + excluded.bytes, \
                 part_bytes = usage.part_bytes + excluded.part_bytes",
                values![bucket, versions, bytes, part_bytes],
            )
            .await?;
        }
        Ok(deltas.len() as u64)
    }
}
