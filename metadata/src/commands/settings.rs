//! What is fixed at first start, and policies.

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::Policy;
use crate::sql::{Tx, values};

/// Sets a setting if it has no value yet.
pub(crate) struct FixSetting {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Apply for FixSetting {
    type Outcome = String;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<String, MetadataError> {
        tx.execute(
            "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
            values![&self.name, &self.value],
        )
        .await?;
        let row = tx
            .fetch_one(
                "SELECT value FROM settings WHERE name = $1",
                values![&self.name],
            )
            .await?;
        row.ok_or(MetadataError::NotFound("setting"))?.text(0)
    }
}

/// Makes a policy, or changes it.
pub(crate) struct PutPolicy(pub(crate) Policy);

impl Apply for PutPolicy {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let detail = super::json(&self.0)?;
        tx.execute(
            "INSERT INTO policies (name, detail) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET detail = excluded.detail",
            values![&self.0.name, &detail],
        )
        .await?;
        Ok(())
    }
}
