//! A version's tags change in place, under its key's lock.

use crate::command::PutTags;
use crate::commands::lifecycle::Dating;
use crate::commands::{buckets, write};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Attributes, ChangeEvent, VersionSelector};
use crate::sql::{Tx, values};

impl Apply for PutTags {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let absent = || match self.version {
            VersionSelector::Current => MetadataError::NoSuchKey,
            VersionSelector::Exact(_) => MetadataError::NoSuchVersion,
        };
        let bucket = buckets::lock_for_publish(tx, &self.bucket).await?;
        let head = write::lock_known_key(tx, bucket.id, &self.key)
            .await?
            .ok_or_else(absent)?;
        let existing = match &self.version {
            VersionSelector::Current => write::current(tx, bucket.id, &self.key).await?,
            VersionSelector::Exact(id) => write::exact(tx, bucket.id, &self.key, id).await?,
        };
        // A marker has no tags.
        let existing = existing
            .filter(|existing| !existing.is_marker)
            .ok_or_else(absent)?;
        let row = tx
            .fetch_one(
                "SELECT attributes FROM versions WHERE uid = $1",
                values![&existing.uid],
            )
            .await?;
        let stored: Attributes = row.ok_or_else(absent)?.json(0)?;
        let attributes = super::json(&Attributes {
            tags: self.tags.clone(),
            ..stored
        })?;
        tx.execute(
            "UPDATE versions SET attributes = $2 WHERE uid = $1",
            values![&existing.uid, &attributes],
        )
        .await?;
        let dating = Dating::of(tx, &bucket).await?;
        dating
            .other_tags(tx, &self.key, &existing, &self.tags)
            .await?;
        let event = if self.tags.is_empty() {
            ChangeEvent::DeleteTags
        } else {
            ChangeEvent::PutTags
        };
        let (changed, logged) = (existing.changed(), self.origin.logs(event));
        write::log_change(tx, bucket.id, &self.key, head, &changed, logged).await
    }
}
