//! Dates versions in the transaction that writes them.
//!
//! The tags of a version that becomes noncurrent, or current again, are not read for this: a rule
//! that asks for tags is taken to fit, and the look at the version finds out.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::commands::write::{Existing, NewVersion};
use crate::error::MetadataError;
use crate::lifecycle::{LifecycleDay, LifecycleRules, Standing, Subject};
use crate::model::{Bucket, BucketId};
use crate::sql::{Tx, values};

/// The rules of a bucket; `None` where it has none. They are the bucket's own as long as its row is
/// locked.
pub(crate) async fn rules_of(
    tx: &mut Tx<'_>,
    bucket: &Bucket,
) -> Result<Option<Arc<LifecycleRules>>, MetadataError> {
    let generation = bucket.lifecycle_generation;
    if generation == 0 {
        return Ok(None);
    }
    if let Some(rules) = tx.rules().get(generation) {
        return Ok(Some(rules));
    }
    let row = tx
        .fetch_one(
            "SELECT generation, rules FROM lifecycle_rules WHERE bucket_id = $1",
            values![bucket.id.0],
        )
        .await?;
    // A reader that holds no lock may come when they have just been taken away, or changed.
    row.map(|row| Ok(tx.rules().remember(row.number(0)?, row.json(1)?)))
        .transpose()
}

/// What a bucket's rules say of the versions that a write touches.
pub(crate) struct Dating {
    rules: Option<Arc<LifecycleRules>>,
    day: LifecycleDay,
}

impl Dating {
    /// By the rules of a bucket that the transaction has locked.
    pub(crate) async fn of(tx: &mut Tx<'_>, bucket: &Bucket) -> Result<Self, MetadataError> {
        Ok(Self {
            rules: rules_of(tx, bucket).await?,
            day: tx.rules().day(),
        })
    }

    /// When a version that is written now is to be looked at. `may_be_alone`: there may be no other
    /// version of its key.
    pub(crate) fn of_new(
        &self,
        key: &[u8],
        new: &NewVersion<'_>,
        written_ms: u64,
        may_be_alone: bool,
    ) -> Option<u64> {
        let standing = match (new.is_marker, may_be_alone) {
            (false, _) => Standing::Current { written_ms },
            (true, true) => Standing::LoneMarker { written_ms },
            (true, false) => Standing::MarkerAbove,
        };
        self.look_at(&Subject {
            key,
            size: new.size,
            tags: Some(&new.attributes.tags),
            standing,
        })
    }

    /// When the version is to be looked at whose successor is written now.
    pub(crate) fn of_replaced(
        &self,
        key: &[u8],
        replaced: &Existing,
        since_ms: u64,
    ) -> Option<u64> {
        self.look_at(&Subject {
            key,
            size: replaced.size,
            tags: None,
            standing: Standing::Noncurrent { since_ms },
        })
    }

    /// After a write has made one more version noncurrent: those that just so many newer ones are
    /// enough for may now have one too many above them.
    pub(crate) async fn one_more_noncurrent(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
        key: &[u8],
    ) -> Result<(), MetadataError> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        let now_ms = tx.now_ms();
        for keep in rules.kept_newer(key) {
            // The current one is the first, so the first that has `keep` noncurrent ones above it
            // comes after `keep` and one more.
            tx.execute(
                "UPDATE versions SET lifecycle_due_ms = $4 WHERE uid = (SELECT uid FROM versions \
                 WHERE bucket_id = $1 AND key = $2 ORDER BY sequence DESC LIMIT 1 OFFSET $3) \
                 AND (lifecycle_due_ms IS NULL OR lifecycle_due_ms > $4)",
                values![bucket.0, key, keep + 1, now_ms],
            )
            .await?;
        }
        Ok(())
    }

    /// After a version was removed: the newest one that is left may have become current, or a
    /// marker that is alone.
    pub(crate) async fn one_less(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
        key: &[u8],
        removed: &Existing,
    ) -> Result<(), MetadataError> {
        if self.rules.is_none() {
            return Ok(());
        }
        let rows = tx
            .fetch(
                "SELECT uid, is_marker, size, last_modified_ms FROM versions \
                 WHERE bucket_id = $1 AND key = $2 ORDER BY sequence DESC LIMIT 2",
                values![bucket.0, key],
            )
            .await?;
        let Some(newest) = rows.first() else {
            return Ok(());
        };
        let written_ms = newest.number(3)?;
        let standing = match (newest.truth(1)?, rows.len()) {
            (false, _) if !removed.is_current => return Ok(()),
            (false, _) => Standing::Current { written_ms },
            (true, 1) => Standing::LoneMarker { written_ms },
            (true, _) => Standing::MarkerAbove,
        };
        let subject = Subject {
            key,
            size: newest.number(2)?,
            tags: None,
            standing,
        };
        date(tx, &newest.uuid(0)?, self.look_at(&subject)).await
    }

    /// After a version was given other tags.
    pub(crate) async fn other_tags(
        &self,
        tx: &mut Tx<'_>,
        key: &[u8],
        tagged: &Existing,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), MetadataError> {
        if !self
            .rules
            .as_ref()
            .is_some_and(|rules| rules.look_at_tags())
        {
            return Ok(());
        }
        let row = tx
            .fetch_one(
                "SELECT noncurrent_since_ms FROM versions WHERE uid = $1",
                values![&tagged.uid],
            )
            .await?;
        let since_ms = row.map_or(Ok(None), |row| row.optional_number(0))?;
        let standing = since_ms.map_or(
            Standing::Current {
                written_ms: tagged.last_modified_ms,
            },
            |since_ms| Standing::Noncurrent { since_ms },
        );
        let subject = Subject {
            key,
            size: tagged.size,
            tags: Some(tags),
            standing,
        };
        date(tx, &tagged.uid, self.look_at(&subject)).await
    }

    /// When an upload that is begun now is to be looked at.
    pub(crate) fn of_upload(&self, key: &[u8], begun_ms: u64) -> Option<u64> {
        let rules = self.rules.as_ref()?;
        rules.abort_of(key, begun_ms, self.day).map(|due| due.0)
    }

    fn look_at(&self, subject: &Subject<'_>) -> Option<u64> {
        self.rules.as_ref()?.look_at_ms(subject, self.day)
    }
}

/// Gives a version its place in the queue, or takes it out.
pub(super) async fn date(
    tx: &mut Tx<'_>,
    uid: &Uuid,
    due_ms: Option<u64>,
) -> Result<(), MetadataError> {
    tx.execute(
        "UPDATE versions SET lifecycle_due_ms = $2 WHERE uid = $1",
        values![uid, due_ms],
    )
    .await?;
    Ok(())
}
