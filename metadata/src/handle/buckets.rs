//! Buckets and what they are configured with.

use super::{MAX_ROWS, Metadata, Result};
use crate::commands::bucket_settings::SetBucketSetting;
use crate::commands::buckets::{CreateBucket, DeleteBucket, SetVersioning};
use crate::commands::object_lock::SetObjectLock;
use crate::commands::quota::{self, SetQuota};
use crate::model::{Bucket, BucketId, DefaultRetention, Quota, Usage, Versioning};
use crate::queries::buckets;

/// Buckets.
impl Metadata {
    /// Makes a bucket, unversioned, that follows `policy`.
    ///
    /// # Errors
    /// `BucketExists`; `NotFound` if there is no such policy; `Unavailable`, `Database`.
    pub async fn create_bucket(
        &self,
        name: &str,
        policy: &str,
        location: Option<String>,
    ) -> Result<Bucket> {
        self.run(CreateBucket {
            name: name.to_owned(),
            policy: policy.to_owned(),
            location,
            object_lock: false,
        })
        .await
    }

    /// Makes a bucket with versions that can be locked, for ever.
    ///
    /// # Errors
    /// As `create_bucket`.
    pub async fn create_lockable_bucket(
        &self,
        name: &str,
        policy: &str,
        location: Option<String>,
    ) -> Result<Bucket> {
        self.run(CreateBucket {
            name: name.to_owned(),
            policy: policy.to_owned(),
            location,
            object_lock: true,
        })
        .await
    }

    /// Lets a bucket's versions be locked, for ever, and says what new ones get.
    ///
    /// # Errors
    /// `NoSuchBucket`, `VersioningNotEnabled`; `Unavailable`, `Database`, `Corrupt`.
    pub async fn set_object_lock(
        &self,
        bucket: &str,
        default: Option<DefaultRetention>,
    ) -> Result<()> {
        self.run(SetObjectLock {
            bucket: bucket.to_owned(),
            default,
        })
        .await
    }

    /// Deletes a bucket without versions or markers; its open uploads are aborted.
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`; `Unavailable`, `Database`.
    pub async fn delete_bucket(&self, name: &str) -> Result<()> {
        self.run(DeleteBucket {
            name: name.to_owned(),
        })
        .await
    }

    /// The bucket of this name.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable`, `Database`, `Corrupt`.
    pub async fn bucket(&self, name: &str) -> Result<Bucket> {
        query!(self.reader, buckets::bucket(name))
    }

    /// Switches versioning on, or suspends it.
    ///
    /// # Errors
    /// `NoSuchBucket`; `PreconditionFailed` for `Unversioned` where it was ever on; `HasObjectLock`
    /// for all but `Enabled`; `Unavailable`, `Database`.
    pub async fn set_versioning(&self, name: &str, versioning: Versioning) -> Result<()> {
        self.run(SetVersioning {
            name: name.to_owned(),
            versioning,
        })
        .await
    }

    /// Gives a bucket a quota, or (the default) takes it away. What is there already stays.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable`, `Database`.
    pub async fn set_quota(&self, bucket: &str, quota: Quota) -> Result<()> {
        self.run(SetQuota {
            bucket: bucket.to_owned(),
            quota,
        })
        .await
    }

    /// What counts against a bucket's quota: versions, and their bytes with those of the parts of
    /// open uploads.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn bucket_stored(&self, bucket: BucketId) -> Result<Usage> {
        query!(self.reader, quota::stored(bucket))
    }

    /// The value of a bucket's setting, as the edge wrote it.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn bucket_setting(&self, bucket: BucketId, name: &str) -> Result<Option<String>> {
        query!(self.reader, buckets::setting(bucket, name))
    }

    /// Gives a bucket's setting a value, or takes it away.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable`, `Database`.
    pub async fn set_bucket_setting(
        &self,
        bucket: &str,
        name: &str,
        value: Option<String>,
    ) -> Result<()> {
        self.run(SetBucketSetting {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            value,
        })
        .await
    }

    /// Buckets whose names begin with `prefix`, after the name `after`, in the order of bytes.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn buckets(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Bucket>> {
        query!(
            self.reader,
            buckets::buckets(prefix, after, limit.min(MAX_ROWS))
        )
    }
}
