//! A bucket gets other lifecycle rules, or none.
//!
//! The bucket's row is locked FOR UPDATE: every write that was under way has ended, and every later
//! one sees the new generation and dates what it writes by it. So the walk, which begins after this
//! has been committed, meets all that was dated by other rules.

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::lifecycle::{LifecycleChange, LifecycleRules};
use crate::sql::{Tx, values};

/// The setting that holds the rules as the edge wrote them.
pub(crate) const SETTING: &str = "lifecycle";

/// See the module. `generation` is a number that no other rules have, and not 0.
pub(crate) struct SetLifecycle {
    pub(crate) bucket: String,
    pub(crate) change: Option<LifecycleChange>,
    pub(crate) generation: u64,
}

impl Apply for SetLifecycle {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT bucket_id FROM buckets WHERE name = $1 FOR UPDATE",
                values![&self.bucket],
            )
            .await?;
        let bucket = row.ok_or(MetadataError::NoSuchBucket)?.signed(0)?;
        let enabled = self
            .change
            .as_ref()
            .filter(|change| !change.rules.0.is_empty());
        match enabled {
            Some(change) => self.put_rules(tx, bucket, &change.rules).await?,
            None => {
                tx.execute(
                    "DELETE FROM lifecycle_rules WHERE bucket_id = $1",
                    values![bucket],
                )
                .await?;
            }
        }
        match &self.change {
            Some(change) => {
                tx.execute(
                    "INSERT INTO bucket_settings (bucket_id, name, value) VALUES ($1, $2, $3) \
                     ON CONFLICT (bucket_id, name) DO UPDATE SET value = excluded.value",
                    values![bucket, SETTING, &change.document],
                )
                .await?
            }
            None => {
                tx.execute(
                    "DELETE FROM bucket_settings WHERE bucket_id = $1 AND name = $2",
                    values![bucket, SETTING],
                )
                .await?
            }
        };
        let generation = enabled.map_or(0, |_| self.generation);
        tx.execute(
            "UPDATE buckets SET lifecycle_generation = $2 WHERE bucket_id = $1",
            values![bucket, generation],
        )
        .await?;
        Ok(())
    }
}

impl SetLifecycle {
    async fn put_rules(
        &self,
        tx: &mut Tx<'_>,
        bucket: i64,
        rules: &LifecycleRules,
    ) -> Result<(), MetadataError> {
        let day_ms = tx.rules().day().as_ms();
        let json = crate::commands::json(rules)?;
        let walk = if rules.look_at_versions() {
            "versions"
        } else {
            "uploads"
        };
        tx.execute(
            "INSERT INTO lifecycle_rules (bucket_id, generation, rules, day_ms, walk, walked) \
             VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (bucket_id) DO UPDATE SET \
             generation = excluded.generation, rules = excluded.rules, day_ms = excluded.day_ms, \
             walk = excluded.walk, after_key = NULL, after_sequence = NULL, after_upload = NULL, \
             walked = 0",
            values![bucket, self.generation, &json, day_ms, walk],
        )
        .await?;
        Ok(())
    }
}

/// Begins all walks anew whose dates are of days of another length; how many.
pub(crate) struct RestartWalks;

impl Apply for RestartWalks {
    type Outcome = u64;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        let day_ms = tx.rules().day().as_ms();
        tx.execute(
            "UPDATE lifecycle_rules SET day_ms = $1, walk = 'versions', after_key = NULL, \
             after_sequence = NULL, after_upload = NULL, walked = 0 WHERE day_ms <> $1",
            values![day_ms],
        )
        .await
    }
}
