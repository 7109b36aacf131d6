//! `PUT /admin/v1/buckets/NAME/quota`: how much a bucket may hold.

use holdfast_metadata::model::Quota;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::error::AdminError;
use super::view::BucketView;

/// A bucket's quota; `null` or left out: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaView {
    /// The most bytes, parts of open uploads included.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The most objects: each version of a key is one.
    #[serde(default)]
    pub objects: Option<u64>,
}

impl From<Quota> for QuotaView {
    fn from(quota: Quota) -> Self {
        Self {
            bytes: quota.bytes,
            objects: quota.objects,
        }
    }
}

impl Admin {
    /// Gives a bucket this quota in place of the one it has; how the bucket is then.
    pub(super) async fn set_quota(
        &self,
        name: &str,
        body: &[u8],
    ) -> Result<BucketView, AdminError> {
        let asked: QuotaView = serde_json::from_slice(body)
            .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))?;
        // What the database counts in.
        let most = i64::MAX.unsigned_abs();
        if [asked.bytes, asked.objects]
            .iter()
            .flatten()
            .any(|limit| *limit > most)
        {
            return Err(AdminError::invalid(format!("a quota is at most {most}")));
        }
        let quota = Quota {
            bytes: asked.bytes,
            objects: asked.objects,
        };
        self.metadata.set_quota(name, quota).await?;
        tracing::info!(bucket = name, ?quota, "a bucket's quota was set");
        let bucket = self.metadata.bucket(name).await?;
        self.bucket_view(bucket).await
    }
}
