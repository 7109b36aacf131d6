//! Lifecycle: rules, what is due, and the walk over what was there before them.

use std::sync::Arc;

use uuid::Uuid;

use super::{MAX_ROWS, Metadata, Result};
use crate::commands::lifecycle::examine::{ExamineUpload, ExamineVersion};
use crate::commands::lifecycle::rules::{RestartWalks, SETTING, SetLifecycle};
use crate::commands::lifecycle::walk::WalkLifecycle;
use crate::lifecycle::{
    DueLifecycle, LifecycleBacklog, LifecycleChange, LifecycleDay, LifecycleRules,
    LifecycleSubject, LifecycleTurn, LifecycleWalk,
};
use crate::model::{Bucket, BucketId};
use crate::queries::{buckets, lifecycle};

/// Lifecycle.
impl Metadata {
    /// How long a day is to lifecycle rules.
    #[must_use]
    pub fn lifecycle_day(&self) -> LifecycleDay {
        self.inner.rules.day()
    }

    /// Gives a bucket other lifecycle rules, or takes them away.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable`, `Database`.
    pub async fn set_lifecycle(&self, bucket: &str, change: Option<LifecycleChange>) -> Result<()> {
        self.run(SetLifecycle {
            bucket: bucket.to_owned(),
            change,
            generation: new_generation(),
        })
        .await
    }

    /// A bucket's lifecycle rules as the edge wrote them.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn lifecycle_document(&self, bucket: BucketId) -> Result<Option<String>> {
        query!(self.reader, buckets::setting(bucket, SETTING))
    }

    /// The rules that are enabled, if there are some; those of a bucket that was read before are
    /// remembered.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn lifecycle_rules(&self, bucket: &Bucket) -> Result<Option<Arc<LifecycleRules>>> {
        match bucket.lifecycle_generation {
            0 => return Ok(None),
            generation => {
                if let Some(rules) = self.inner.rules.get(generation) {
                    return Ok(Some(rules));
                }
            }
        }
        query!(self.reader, lifecycle::rules(bucket))
    }

    /// Versions that lifecycle is to look at now, the longest due first, after one of them.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn due_versions(
        &self,
        after: Option<&DueLifecycle>,
        limit: usize,
    ) -> Result<Vec<DueLifecycle>> {
        query!(
            self.reader,
            lifecycle::due_versions(after, limit.min(MAX_ROWS))
        )
    }

    /// Uploads that lifecycle is to look at now, the longest due first, after one of them.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn due_uploads(
        &self,
        after: Option<&DueLifecycle>,
        limit: usize,
    ) -> Result<Vec<DueLifecycle>> {
        query!(
            self.reader,
            lifecycle::due_uploads(after, limit.min(MAX_ROWS))
        )
    }

    /// Looks at what is due, and does what the rules that hold now say of it as it is now.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`: it is still due, and may be asked again.
    pub async fn examine_lifecycle(&self, due: DueLifecycle) -> Result<LifecycleTurn> {
        match due.subject {
            LifecycleSubject::Version => {
                self.run(ExamineVersion {
                    bucket: due.bucket,
                    key: due.key,
                    uid: due.id,
                })
                .await
            }
            LifecycleSubject::Upload => {
                self.run(ExamineUpload {
                    bucket: due.bucket,
                    key: due.key,
                    id: due.id,
                })
                .await
            }
        }
    }

    /// Dates one page of what was there before a bucket's rules; `None` when there is no more.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn walk_lifecycle(&self, limit: usize) -> Result<Option<LifecycleWalk>> {
        self.run(WalkLifecycle {
            limit: limit.clamp(1, MAX_ROWS),
        })
        .await
    }

    /// Has everything dated anew whose dates are of days of another length; in how many buckets.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn restart_lifecycle_walks(&self) -> Result<u64> {
        self.run(RestartWalks).await
    }

    /// How much waits, up to a bound.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn lifecycle_backlog(&self) -> Result<LifecycleBacklog> {
        query!(self.snapshot, lifecycle::backlog(MAX_ROWS))
    }
}

/// 62 random bits with a bit before them, so that it fits a BIGINT and is never 0.
fn new_generation() -> u64 {
    let random = Uuid::new_v4().as_u64_pair().1;
    (random & (u64::MAX >> 2)) | (1 << 62)
}
