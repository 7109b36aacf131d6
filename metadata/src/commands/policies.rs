//! Policies made, changed and deleted, and given to buckets.
//!
//! Whoever gives a policy to a bucket locks the policy's row FOR SHARE; deleting it locks the row
//! FOR UPDATE and then looks for buckets, so that no bucket is ever left without its policy.

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::Policy;
use crate::sql::{Tx, values};

/// Makes a policy.
pub(crate) struct CreatePolicy(pub(crate) Policy);

impl Apply for CreatePolicy {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let detail = super::json(&self.0)?;
        let made = tx
            .execute(
                "INSERT INTO policies (name, detail) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                values![&self.0.name, &detail],
            )
            .await?;
        if made == 0 {
            return Err(MetadataError::Exists("policy"));
        }
        Ok(())
    }
}

/// Changes a policy, if it is still of the generation before.
pub(crate) struct UpdatePolicy(pub(crate) Policy);

impl Apply for UpdatePolicy {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let now = locked(tx, &self.0.name).await?;
        if now.generation + 1 != self.0.generation {
            return Err(MetadataError::SourceChanged);
        }
        let detail = super::json(&self.0)?;
        tx.execute(
            "UPDATE policies SET detail = $2 WHERE name = $1",
            values![&self.0.name, &detail],
        )
        .await?;
        Ok(())
    }
}

/// Deletes a policy that no bucket and no open upload follows.
pub(crate) struct DeletePolicy {
    pub(crate) name: String,
}

/// What keeps a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyUse {
    /// Nothing: it is deleted.
    None,
    /// Buckets follow it: one of them.
    Bucket(String),
    /// Open uploads name it as their storage class.
    Upload,
}

impl Apply for DeletePolicy {
    type Outcome = PolicyUse;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<PolicyUse, MetadataError> {
        locked(tx, &self.name).await?;
        let bucket = tx
            .fetch_one(
                "SELECT name FROM buckets WHERE policy = $1 ORDER BY name LIMIT 1",
                values![&self.name],
            )
            .await?;
        if let Some(row) = bucket {
            return Ok(PolicyUse::Bucket(row.text(0)?));
        }
        // `_` matches any one character: that which a class has where the name has `-`, too. That
        // other text of an upload may match as well only keeps the policy.
        let class = format!("%\"storage_class\":\"{}\"%", self.name.replace('-', "_"));
        let upload = tx
            .fetch_one(
                "SELECT upload_id FROM uploads WHERE state = 'open' \
                 AND LOWER(attributes) LIKE $1 LIMIT 1",
                values![&class],
            )
            .await?;
        if upload.is_some() {
            return Ok(PolicyUse::Upload);
        }
        tx.execute("DELETE FROM policies WHERE name = $1", values![&self.name])
            .await?;
        Ok(PolicyUse::None)
    }
}

async fn locked(tx: &mut Tx<'_>, name: &str) -> Result<Policy, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT detail FROM policies WHERE name = $1 FOR UPDATE",
            values![name],
        )
        .await?;
    row.ok_or(MetadataError::NotFound("policy"))?.json(0)
}

/// Gives a bucket another policy, which its new objects follow.
pub(crate) struct SetBucketPolicy {
    pub(crate) bucket: String,
    pub(crate) policy: String,
}

impl Apply for SetBucketPolicy {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        require(tx, &self.policy).await?;
        let changed = tx
            .execute(
                "UPDATE buckets SET policy = $2 WHERE name = $1",
                values![&self.bucket, &self.policy],
            )
            .await?;
        if changed == 0 {
            return Err(MetadataError::NoSuchBucket);
        }
        Ok(())
    }
}

/// Keeps a policy from being deleted until the transaction ends.
pub(crate) async fn require(tx: &mut Tx<'_>, name: &str) -> Result<(), MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT name FROM policies WHERE name = $1 FOR SHARE",
            values![name],
        )
        .await?;
    row.map(|_| ()).ok_or(MetadataError::NotFound("policy"))
}
