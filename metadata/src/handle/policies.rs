//! Policies as operators make, change and delete them, and give them to buckets.

use super::{Metadata, Result};
use crate::commands::policies::{
    CreatePolicy, DeletePolicy, PolicyUse, SetBucketPolicy, UpdatePolicy,
};
use crate::model::Policy;

/// Policies.
impl Metadata {
    /// Makes a policy.
    ///
    /// # Errors
    /// `Exists`; `Unavailable`, `Database`.
    pub async fn create_policy(&self, policy: Policy) -> Result<()> {
        self.run(CreatePolicy(policy)).await
    }

    /// Changes a policy: `policy.generation` is one more than that of the policy that was read.
    ///
    /// # Errors
    /// `NotFound`; `SourceChanged` if it was changed since; `Unavailable`, `Database`.
    pub async fn update_policy(&self, policy: Policy) -> Result<()> {
        self.run(UpdatePolicy(policy)).await
    }

    /// Deletes a policy, or says what keeps it.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`, `Database`.
    pub async fn delete_policy(&self, name: &str) -> Result<PolicyUse> {
        self.run(DeletePolicy {
            name: name.to_owned(),
        })
        .await
    }

    /// Gives a bucket another policy, which its new objects follow.
    ///
    /// # Errors
    /// `NoSuchBucket`; `NotFound` if there is no such policy; `Unavailable`, `Database`.
    pub async fn set_bucket_policy(&self, bucket: &str, policy: &str) -> Result<()> {
        self.run(SetBucketPolicy {
            bucket: bucket.to_owned(),
            policy: policy.to_owned(),
        })
        .await
    }
}
