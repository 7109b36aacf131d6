//! Dates what was there before the rules: one page at a time, from where the last page ended.
//!
//! A page reads without the keys' locks, so a version may change between the read and its date.
//! Therefore the walk only ever brings a date forward: a date that is too early costs a look, one
//! that is too late would be a rule not followed. What is written meanwhile is dated by its writer.

use crate::commands::buckets;
use crate::commands::lifecycle::rules_of;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::lifecycle::{LifecycleDay, LifecycleRules, LifecycleWalk, Standing, Subject};
use crate::model::BucketId;
use crate::sql::{Row, Tx, values};

/// Walks one page of the bucket that has been walked least; `None` if no bucket is to be walked.
pub(crate) struct WalkLifecycle {
    pub(crate) limit: usize,
}

/// Where a walk is.
struct Place {
    key: Option<Vec<u8>>,
    sequence: Option<u64>,
    upload: Option<uuid::Uuid>,
}

impl Apply for WalkLifecycle {
    type Outcome = Option<LifecycleWalk>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Option<LifecycleWalk>, MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT bucket_id FROM lifecycle_rules WHERE walk <> 'done' \
                 ORDER BY walked, bucket_id LIMIT 1",
                values![],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let id = BucketId(row.signed(0)?);
        let nothing = LifecycleWalk {
            bucket: id,
            walked: 0,
        };
        let Some(bucket) = buckets::lock_by_id(tx, id).await? else {
            return Ok(Some(nothing));
        };
        // Another process may be at the same page: the second finds the walk further on.
        let row = tx
            .fetch_one(
                "SELECT walk, after_key, after_sequence, after_upload FROM lifecycle_rules \
                 WHERE bucket_id = $1 AND walk <> 'done' FOR UPDATE",
                values![id.0],
            )
            .await?;
        let (Some(row), Some(rules)) = (row, rules_of(tx, &bucket).await?) else {
            return Ok(Some(nothing));
        };
        let place = Place {
            key: row.optional_bytes(1)?,
            sequence: row.optional_number(2)?,
            upload: row.optional_uuid(3)?,
        };
        let walked = match row.text(0)?.as_str() {
            "versions" => self.versions(tx, id, &rules, place).await?,
            _ => self.uploads(tx, id, &rules, place).await?,
        };
        Ok(Some(LifecycleWalk { bucket: id, walked }))
    }
}

impl WalkLifecycle {
    async fn versions(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
        rules: &LifecycleRules,
        place: Place,
    ) -> Result<u64, MetadataError> {
        let prefix = rules.common_prefix().as_bytes();
        // One more than is dated: whether a marker is alone is seen from what comes after it.
        let rows = self.versions_after(tx, bucket, prefix, &place).await?;
        let day = tx.rules().day();
        let mut walked = 0;
        let mut end = None;
        for (index, row) in rows.iter().take(self.limit).enumerate() {
            let key = row.bytes(1)?;
            if !key.starts_with(prefix) {
                end = None;
                break;
            }
            let next_key = rows.get(index + 1).map(|next| next.bytes(1)).transpose()?;
            let alone = next_key.as_ref() != Some(&key);
            if let Some(due_ms) = look_at(rules, row, &key, alone, day)? {
                tx.execute(
                    "UPDATE versions SET lifecycle_due_ms = $2 WHERE uid = $1 \
                     AND (lifecycle_due_ms IS NULL OR lifecycle_due_ms > $2)",
                    values![&row.uuid(0)?, due_ms],
                )
                .await?;
            }
            walked += 1;
            end = Some((key, row.number(2)?));
        }
        match end.filter(|_| rows.len() > self.limit) {
            Some((key, sequence)) => {
                tx.execute(
                    "UPDATE lifecycle_rules SET after_key = $2, after_sequence = $3, \
                     walked = walked + $4 WHERE bucket_id = $1",
                    values![bucket.0, &key, sequence, walked],
                )
                .await?;
            }
            None => self.begin_uploads(tx, bucket, walked).await?,
        }
        Ok(walked)
    }

    async fn versions_after(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
        prefix: &[u8],
        place: &Place,
    ) -> Result<Vec<Row>, MetadataError> {
        let limit = self.limit + 1;
        let (Some(key), Some(sequence)) = (&place.key, place.sequence) else {
            return tx
                .fetch(
                    "SELECT uid, key, sequence, is_current, is_marker, size, last_modified_ms, \
                     noncurrent_since_ms FROM versions WHERE bucket_id = $1 AND key >= $2 \
                     ORDER BY key, sequence DESC LIMIT $3",
                    values![bucket.0, prefix, limit],
                )
                .await;
        };
        let mut rows = tx
            .fetch(
                "SELECT uid, key, sequence, is_current, is_marker, size, last_modified_ms, \
                 noncurrent_since_ms FROM versions WHERE bucket_id = $1 AND key = $2 \
                 AND sequence < $3 ORDER BY sequence DESC LIMIT $4",
                values![bucket.0, key, sequence, limit],
            )
            .await?;
        let room = limit - rows.len();
        if room > 0 {
            let later = tx
                .fetch(
                    "SELECT uid, key, sequence, is_current, is_marker, size, last_modified_ms, \
                     noncurrent_since_ms FROM versions WHERE bucket_id = $1 AND key > $2 \
                     ORDER BY key, sequence DESC LIMIT $3",
                    values![bucket.0, key, room],
                )
                .await?;
            rows.extend(later);
        }
        Ok(rows)
    }

    async fn begin_uploads(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
        walked: u64,
    ) -> Result<(), MetadataError> {
        tx.execute(
            "UPDATE lifecycle_rules SET walk = 'uploads', after_key = NULL, \
             after_sequence = NULL, walked = walked + $2 WHERE bucket_id = $1",
            values![bucket.0, walked],
        )
        .await?;
        Ok(())
    }

    async fn uploads(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
        rules: &LifecycleRules,
        place: Place,
    ) -> Result<u64, MetadataError> {
        let mut rows = Vec::new();
        if rules.abort_uploads() {
            rows = self.uploads_after(tx, bucket, &place).await?;
        }
        let day = tx.rules().day();
        for row in &rows {
            if let Some((due_ms, _)) = rules.abort_of(&row.bytes(1)?, row.number(2)?, day) {
                tx.execute(
                    "UPDATE uploads SET lifecycle_due_ms = $2 WHERE upload_id = $1 \
                     AND (lifecycle_due_ms IS NULL OR lifecycle_due_ms > $2)",
                    values![&row.uuid(0)?, due_ms],
                )
                .await?;
            }
        }
        match rows.last().filter(|_| rows.len() == self.limit) {
            Some(last) => {
                tx.execute(
                    "UPDATE lifecycle_rules SET after_key = $2, after_upload = $3, \
                     walked = walked + $4 WHERE bucket_id = $1",
                    values![bucket.0, &last.bytes(1)?, &last.uuid(0)?, rows.len()],
                )
                .await?;
            }
            None => {
                tx.execute(
                    "UPDATE lifecycle_rules SET walk = 'done', after_key = NULL, \
                     after_upload = NULL, walked = walked + $2 WHERE bucket_id = $1",
                    values![bucket.0, rows.len()],
                )
                .await?;
            }
        }
        Ok(rows.len() as u64)
    }

    async fn uploads_after(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
        place: &Place,
    ) -> Result<Vec<Row>, MetadataError> {
        let (Some(key), Some(upload)) = (&place.key, &place.upload) else {
            return tx
                .fetch(
                    "SELECT upload_id, key, created_ms FROM uploads WHERE bucket_id = $1 \
                     AND state = 'open' ORDER BY key, upload_id LIMIT $2",
                    values![bucket.0, self.limit],
                )
                .await;
        };
        let mut rows = tx
            .fetch(
                "SELECT upload_id, key, created_ms FROM uploads WHERE bucket_id = $1 \
                 AND state = 'open' AND key = $2 AND upload_id > $3 ORDER BY upload_id LIMIT $4",
                values![bucket.0, key, upload, self.limit],
            )
            .await?;
        let room = self.limit - rows.len();
        if room > 0 {
            let later = tx
                .fetch(
                    "SELECT upload_id, key, created_ms FROM uploads WHERE bucket_id = $1 \
                     AND state = 'open' AND key > $2 ORDER BY key, upload_id LIMIT $3",
                    values![bucket.0, key, room],
                )
                .await?;
            rows.extend(later);
        }
        Ok(rows)
    }
}

/// When a version that was walked over is to be looked at.
fn look_at(
    rules: &LifecycleRules,
    row: &Row,
    key: &[u8],
    alone: bool,
    day: LifecycleDay,
) -> Result<Option<u64>, MetadataError> {
    let written_ms = row.number(6)?;
    let standing = match (row.truth(3)?, row.truth(4)?) {
        (true, false) => Standing::Current { written_ms },
        (true, true) if alone => Standing::LoneMarker { written_ms },
        (true, true) => Standing::MarkerAbove,
        (false, _) => Standing::Noncurrent {
            since_ms: row.number(7)?,
        },
    };
    let subject = Subject {
        key,
        size: row.number(5)?,
        tags: None,
        standing,
    };
    Ok(rules.look_at_ms(&subject, day))
}
