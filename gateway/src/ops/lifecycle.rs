//! Lifecycle rules: kept as the client said them, followed as the metadata understands them.
//!
//! The rules are decided in the metadata, where versions are dated by them; here they are only
//! translated, and asked what to tell a client of one object.

use std::sync::Arc;

use holdfast_metadata::lifecycle::{
    Expiration, LifecycleChange, LifecycleFilter, LifecycleRule, LifecycleRules,
    NoncurrentExpiration, Standing, Subject,
};
use holdfast_metadata::model::{Bucket, Version};

use super::Gateway;
use super::error::{Target, corrupt};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::BucketName;
use crate::s3::op;
use crate::s3::op::{
    BucketInput, LifecycleConfiguration, LifecycleExpiration, LifecycleNotice, LifecycleStatus,
    PutBucketLifecycleInput,
};
use crate::s3::time::Timestamp;

impl Gateway {
    pub(super) async fn put_lifecycle(
        &self,
        input: PutBucketLifecycleInput,
    ) -> Result<(), S3Error> {
        let change = LifecycleChange {
            rules: enabled(&input.configuration),
            document: serde_json::to_string(&input.configuration).map_err(corrupt)?,
        };
        self.set_lifecycle(&input.bucket, Some(change)).await
    }

    pub(super) async fn delete_lifecycle(&self, input: BucketInput) -> Result<(), S3Error> {
        self.set_lifecycle(&input.bucket, None).await
    }

    async fn set_lifecycle(
        &self,
        bucket: &BucketName,
        change: Option<LifecycleChange>,
    ) -> Result<(), S3Error> {
        let set = self.metadata.set_lifecycle(bucket.as_str(), change).await;
        set.map_err(|e| Target::bucket(bucket).error(e))
    }

    pub(super) async fn get_lifecycle(
        &self,
        input: &BucketInput,
    ) -> Result<LifecycleConfiguration, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let stored = self.metadata.lifecycle_document(bucket.id).await;
        match stored.map_err(|e| Target::bucket(&input.bucket).error(e))? {
            Some(stored) => serde_json::from_str(&stored).map_err(corrupt),
            None => Err(S3Error::new(ErrorCode::NoSuchLifecycleConfiguration)
                .with("BucketName", input.bucket.as_str())),
        }
    }

    /// When a current object expires, and by which rule. What can't be found out is not said: the
    /// object itself is answered.
    pub(super) async fn expiration(
        &self,
        bucket: &Bucket,
        key: &[u8],
        size: u64,
        tags: &std::collections::BTreeMap<String, String>,
        written_ms: u64,
    ) -> Option<LifecycleNotice> {
        let rules = self.rules(bucket).await?;
        let subject = Subject {
            key,
            size,
            tags: Some(tags),
            standing: Standing::Current { written_ms },
        };
        notice(rules.expiry_of(&subject, self.metadata.lifecycle_day()))
    }

    /// The same of a version that was found.
    pub(super) async fn expiration_of(
        &self,
        bucket: &Bucket,
        version: &Version,
    ) -> Option<LifecycleNotice> {
        if !version.is_current || version.is_delete_marker {
            return None;
        }
        let (tags, written_ms) = (&version.attributes.tags, version.last_modified_ms);
        self.expiration(bucket, &version.key, version.size, tags, written_ms)
            .await
    }

    /// When an upload is aborted, and by which rule.
    pub(super) async fn abortion_of(
        &self,
        bucket: &Bucket,
        key: &[u8],
        begun_ms: u64,
    ) -> Option<LifecycleNotice> {
        let rules = self.rules(bucket).await?;
        notice(rules.abort_of(key, begun_ms, self.metadata.lifecycle_day()))
    }

    async fn rules(&self, bucket: &Bucket) -> Option<Arc<LifecycleRules>> {
        match self.metadata.lifecycle_rules(bucket).await {
            Ok(rules) => rules,
            Err(error) => {
                tracing::debug!(%error, "an answer goes without what lifecycle says of it");
                None
            }
        }
    }
}

fn notice(due: Option<(u64, &LifecycleRule)>) -> Option<LifecycleNotice> {
    due.map(|(at_ms, rule)| LifecycleNotice {
        at: Timestamp::from_ms(at_ms),
        rule_id: rule.id.clone(),
    })
}

/// The rules that are to be followed.
fn enabled(configuration: &LifecycleConfiguration) -> LifecycleRules {
    let enabled = configuration
        .rules()
        .iter()
        .filter(|rule| rule.status == LifecycleStatus::Enabled);
    LifecycleRules(enabled.map(stored).collect())
}

fn stored(rule: &op::LifecycleRule) -> LifecycleRule {
    let filter = rule.filter();
    LifecycleRule {
        id: rule.id.clone(),
        filter: LifecycleFilter {
            prefix: filter.prefix.unwrap_or_default(),
            tags: filter.tags.into_iter().collect(),
            larger_than: filter.larger_than,
            smaller_than: filter.smaller_than,
        },
        expiration: rule.expiration.map(|expiration| match expiration {
            LifecycleExpiration::Days(days) => Expiration::Days(days),
            LifecycleExpiration::Date(at_ms) => Expiration::AtMs(at_ms),
            LifecycleExpiration::ExpiredObjectDeleteMarker => Expiration::LoneMarker,
        }),
        noncurrent: rule.noncurrent.map(|noncurrent| NoncurrentExpiration {
            days: noncurrent.days,
            keep_newer: noncurrent.newer.unwrap_or_default(),
        }),
        abort_upload_days: rule.abort_days,
    }
}
