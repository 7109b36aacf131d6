//! DeleteObject: a marker appears, or a version goes.

use uuid::Uuid;

use crate::command::{DeleteObject, DeleteOutcome};
use crate::commands::write::{self, NewVersion, Removal};
use crate::commands::{buckets, condition, outcomes};
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{
    Attributes, Bucket, ChangeCause, ChangeEvent, LockState, OpId, VersionId, VersionSelector,
    Versioning,
};
use crate::sql::Tx;

impl Apply for DeleteObject {
    type Outcome = DeleteOutcome;

    fn op(&self) -> Option<OpId> {
        Some(self.op)
    }

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<DeleteOutcome, MetadataError> {
        let bucket = buckets::lock_for_publish(tx, &self.bucket).await?;
        outcomes::record(tx, self.op).await?;
        match (&self.version, bucket.versioning) {
            (VersionSelector::Exact(version_id), _) => {
                self.remove_exact(tx, &bucket, version_id).await
            }
            (VersionSelector::Current, Versioning::Unversioned) => {
                self.remove_null(tx, &bucket).await
            }
            (VersionSelector::Current, Versioning::Enabled | Versioning::Suspended) => {
                self.put_marker(tx, &bucket).await
            }
        }
    }
}

impl DeleteObject {
    fn removal(&self) -> Removal<'_> {
        Removal {
            bypass: self.bypass,
            logged: self.origin.logs(match self.origin.cause {
                ChangeCause::Lifecycle => ChangeEvent::ExpireDelete,
                ChangeCause::Request | ChangeCause::Form | ChangeCause::Copy => ChangeEvent::Delete,
            }),
        }
    }

    /// Removes that very version.
    async fn remove_exact(
        &self,
        tx: &mut Tx<'_>,
        bucket: &Bucket,
        version_id: &VersionId,
    ) -> Result<DeleteOutcome, MetadataError> {
        let mut delete_marker = false;
        match write::lock_known_key(tx, bucket.id, &self.key).await? {
            None => condition::check(&self.condition, None)?,
            Some(head) => {
                let existing = write::exact(tx, bucket.id, &self.key, version_id).await?;
                condition::check(&self.condition, existing.as_ref())?;
                if let Some(existing) = existing {
                    delete_marker = existing.is_marker;
                    write::remove(tx, bucket, &self.key, head, &existing, self.removal()).await?;
                }
            }
        }
        Ok(DeleteOutcome {
            version_id: Some(version_id.clone()),
            delete_marker,
        })
    }

    /// Removes the only version that an unversioned bucket can have.
    async fn remove_null(
        &self,
        tx: &mut Tx<'_>,
        bucket: &Bucket,
    ) -> Result<DeleteOutcome, MetadataError> {
        match write::lock_known_key(tx, bucket.id, &self.key).await? {
            None => condition::check(&self.condition, None)?,
            Some(head) => {
                let current = write::current(tx, bucket.id, &self.key).await?;
                condition::check(&self.condition, current.as_ref())?;
                if let Some(current) = current {
                    write::remove(tx, bucket, &self.key, head, &current, self.removal()).await?;
                }
            }
        }
        Ok(DeleteOutcome {
            version_id: None,
            delete_marker: false,
        })
    }

    /// Puts a marker on the key; where versioning is suspended it takes the null version's place.
    async fn put_marker(
        &self,
        tx: &mut Tx<'_>,
        bucket: &Bucket,
    ) -> Result<DeleteOutcome, MetadataError> {
        let head = write::lock_key(tx, bucket.id, &self.key).await?;
        let current = write::current(tx, bucket.id, &self.key).await?;
        condition::check(&self.condition, current.as_ref())?;
        let uid = Uuid::now_v7();
        let attributes = Attributes::default();
        let marker = NewVersion {
            uid,
            version_id: write::new_version_id(bucket.versioning, &uid),
            is_marker: true,
            size: 0,
            etag: "",
            of_parts: 0,
            parts: None,
            attributes: &attributes,
            lock: LockState::default(),
            logged: self.origin.logs(match self.origin.cause {
                ChangeCause::Lifecycle => ChangeEvent::ExpireMarker,
                ChangeCause::Request | ChangeCause::Form | ChangeCause::Copy => ChangeEvent::Marker,
            }),
        };
        write::replace(tx, bucket, &self.key, head, current.as_ref(), &marker).await?;
        Ok(DeleteOutcome {
            version_id: Some(marker.version_id),
            delete_marker: true,
        })
    }
}
