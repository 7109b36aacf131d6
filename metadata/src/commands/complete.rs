//! CompleteUpload: parts become an object.
//!
//! The parts' slices change their owner in one statement, whatever their number. No blob needs a
//! lock for that: a reference that only changes hands exists in every snapshot, so the sweeper sees
//! either the old or the new one.

use std::collections::HashMap;

use holdfast_types::mutant::{self, Mutant};
use uuid::Uuid;

use crate::command::{CompleteUpload, Published};
use crate::commands::publish::published;
use crate::commands::write::{self, NewVersion};
use crate::commands::{buckets, condition, drop_bytes, multipart, object_lock, outcomes};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Attributes, BucketId, ChangeEvent, CompletedUpload, LockState, OpId};
use crate::sql::{Tx, values};

/// A part that is there: its number, its `uid` and its size.
type StoredPart = (u32, Uuid, u64);

impl Apply for CompleteUpload {
    type Outcome = Published;

    fn op(&self) -> Option<OpId> {
        Some(self.op)
    }

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Published, MetadataError> {
        let bucket = buckets::lock_for_publish(tx, &self.bucket).await?;
        let (attributes, asked) = self.lock_upload(tx, bucket.id).await?;
        let head = write::lock_key(tx, bucket.id, &self.key).await?;
        let current = write::current(tx, bucket.id, &self.key).await?;
        condition::check(&self.condition, current.as_ref())?;
        let lock = object_lock::of_new(&bucket, head, &asked)?;
        outcomes::record(tx, self.op).await?;
        let size = self.keep_listed_parts(tx).await?;
        let uid = Uuid::now_v7();
        hand_over(tx, &self.upload, &uid).await?;
        let new = NewVersion {
            uid,
            version_id: write::new_version_id(bucket.versioning, &uid),
            is_marker: false,
            size,
            etag: &self.etag,
            of_parts: size,
            parts: Some(self.parts.len() as u32),
            attributes: &attributes,
            lock,
            logged: self.origin.logs(ChangeEvent::Complete),
        };
        write::replace(tx, &bucket, &self.key, head, current.as_ref(), &new).await?;
        let published = published(&bucket, head, new.version_id, &self.etag);
        self.keep_outcome(tx, &published).await?;
        Ok(published)
    }
}

impl CompleteUpload {
    /// Takes the upload, which must be open; what its object will have and be locked with.
    async fn lock_upload(
        &self,
        tx: &mut Tx<'_>,
        bucket: BucketId,
    ) -> Result<(Attributes, LockState), MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT state, attributes, object_lock FROM uploads \
                 WHERE upload_id = $1 AND bucket_id = $2 AND key = $3 FOR UPDATE",
                values![&self.upload, bucket.0, &self.key],
            )
            .await?;
        if !mutant::active(Mutant::CompleteTwice) {
            multipart::check_open(row.as_ref())?;
        }
        let row = row.ok_or(MetadataError::NoSuchUpload)?;
        let mut attributes: Attributes = row.json(1)?;
        let asked: Option<LockState> = row.optional_json(2)?;
        attributes.checksum.clone_from(&self.checksum);
        Ok((attributes, asked.unwrap_or_default()))
    }

    /// Drops the parts that are not listed; the bytes of those that are.
    async fn keep_listed_parts(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        let rows = tx
            .fetch(
                "SELECT part_number, uid, size FROM parts WHERE upload_id = $1 \
                 ORDER BY part_number",
                values![&self.upload],
            )
            .await?;
        let stored = rows
            .iter()
            .map(|row| Ok((row.small(0)?, row.uuid(1)?, row.number(2)?)))
            .collect::<Result<Vec<StoredPart>, MetadataError>>()?;
        let (size, unlisted) = compare(&stored, &self.parts)?;
        for (first, last) in unlisted {
            drop_bytes::drop_parts(tx, &self.upload, first, last).await?;
        }
        Ok(size)
    }

    async fn keep_outcome(
        &self,
        tx: &mut Tx<'_>,
        published: &Published,
    ) -> Result<(), MetadataError> {
        let outcome = super::json(&CompletedUpload {
            version_id: published.version_id.clone(),
            etag: self.etag.clone(),
            checksum: self.checksum.clone(),
        })?;
        let now_ms = tx.now_ms();
        tx.execute(
            "UPDATE uploads SET state = 'completed', since_ms = $2, outcome = $3 \
             WHERE upload_id = $1",
            values![&self.upload, now_ms, &outcome],
        )
        .await?;
        Ok(())
    }
}

/// The bytes of the listed parts, and the runs of numbers that are stored and not listed.
fn compare(
    stored: &[StoredPart],
    listed: &[(u32, Uuid)],
) -> Result<(u64, Vec<(u32, u32)>), MetadataError> {
    let mut missing: HashMap<u32, Uuid> = listed.iter().copied().collect();
    let mut size = 0;
    let mut unlisted: Vec<(u32, u32)> = Vec::new();
    let mut run_is_open = false;
    for (number, uid, part_size) in stored {
        match missing.remove(number) {
            Some(listed) if listed == *uid => {
                size += part_size;
                run_is_open = false;
            }
            Some(_) => return Err(MetadataError::SourceChanged),
            None => match unlisted.last_mut() {
                Some(run) if run_is_open => run.1 = *number,
                _ => {
                    unlisted.push((*number, *number));
                    run_is_open = true;
                }
            },
        }
    }
    if missing.is_empty() || mutant::active(Mutant::CompleteTwice) {
        Ok((size, unlisted))
    } else {
        Err(MetadataError::SourceChanged)
    }
}

/// Makes the version `uid` the owner of all that the upload's parts have, in their order.
async fn hand_over(tx: &mut Tx<'_>, upload: &Uuid, uid: &Uuid) -> Result<(), MetadataError> {
    tx.execute(
        "INSERT INTO object_parts (owner, part_number, start, size, checksum) \
         SELECT $2, part_number, \
         CAST(SUM(size) OVER (ORDER BY part_number) AS BIGINT) - size, size, checksum \
         FROM parts WHERE upload_id = $1",
        values![upload, uid],
    )
    .await?;
    tx.execute(
        "UPDATE slices SET owner = $2, start = slices.start + placed.start, \
         part_number = placed.part_number \
         FROM (SELECT parts.uid, object_parts.part_number, object_parts.start \
         FROM parts JOIN object_parts ON object_parts.part_number = parts.part_number \
         WHERE parts.upload_id = $1 AND object_parts.owner = $2) AS placed \
         WHERE slices.owner = placed.uid",
        values![upload, uid],
    )
    .await?;
    tx.execute("DELETE FROM parts WHERE upload_id = $1", values![upload])
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlisted_parts_come_as_runs() {
        let uids: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
        let stored: Vec<StoredPart> = [1, 2, 3, 5, 9, 10, 11, 12]
            .into_iter()
            .zip(&uids)
            .map(|(number, uid)| (number, *uid, u64::from(number)))
            .collect();
        let listed = |index: usize| (stored[index].0, stored[index].1);
        assert_eq!(
            compare(&stored, &[listed(0), listed(4), listed(6)]).unwrap(),
            (21, vec![(2, 5), (10, 10), (12, 12)])
        );
        assert!(matches!(
            compare(&stored, &[(1, uids[1])]),
            Err(MetadataError::SourceChanged)
        ));
        assert!(matches!(
            compare(&stored, &[(4, uids[1])]),
            Err(MetadataError::SourceChanged)
        ));
    }
}
