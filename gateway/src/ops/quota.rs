//! Quotas: what is sure to be refused is refused before its bytes are read.
//!
//! The command that publishes decides. Here only a write that adds all its bytes, whatever it
//! replaces, is looked at, so that nothing is refused that might fit.

use holdfast_metadata::model::{Bucket, ChangeCause, OverQuota, VersionSelector, Versioning};

use uuid::Uuid;

use super::Gateway;
use super::error::{Target, over_quota};
use crate::s3::error::S3Error;
use crate::s3::name::ObjectKey;

/// What a body becomes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Adds<'k> {
    /// An object of this key.
    Object(&'k ObjectKey),
    /// The part of an upload that has this number.
    Part(Uuid, u32),
}

impl Gateway {
    /// Refuses `len` bytes that the bucket's quota has no room for now.
    pub(super) async fn check_quota(
        &self,
        bucket: &Bucket,
        len: u64,
        adds: Adds<'_>,
        target: Target<'_>,
    ) -> Result<(), S3Error> {
        // A form says only at its end how long its file was.
        if bucket.quota.is_none() || self.origin.cause == ChangeCause::Form {
            return Ok(());
        }
        let used = self.metadata.bucket_stored(bucket.id).await;
        let used = used.map_err(|e| target.error(e))?;
        let over = |what, used: u64, more: u64, limit: Option<u64>| {
            let limit = limit.filter(|limit| used.saturating_add(more) > *limit)?;
            (more > 0).then_some(OverQuota { what, limit })
        };
        let objects = match adds {
            Adds::Object(_) => 1,
            Adds::Part(..) => 0,
        };
        let over = over("bytes", used.bytes, len, bucket.quota.bytes)
            .or_else(|| over("objects", used.versions, objects, bucket.quota.objects));
        match over {
            Some(over) if !self.may_replace(bucket, adds).await => Err(over_quota(over)),
            _ => Ok(()),
        }
    }

    /// Whether something may go that makes room.
    async fn may_replace(&self, bucket: &Bucket, adds: Adds<'_>) -> bool {
        match (bucket.versioning, adds) {
            (_, Adds::Part(upload, number)) => {
                let parts = self
                    .metadata
                    .parts(upload, number.saturating_sub(1), 1)
                    .await;
                parts.is_ok_and(|parts| parts.iter().any(|part| part.part_number == number))
            }
            (Versioning::Suspended, _) => true,
            (Versioning::Enabled, _) => false,
            (Versioning::Unversioned, Adds::Object(key)) => {
                let current = VersionSelector::Current;
                let found = self.metadata.version(bucket.id, key.as_bytes(), &current);
                found.await.is_ok()
            }
        }
    }
}
