//! Access keys.

use super::rate_limits;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{AccessKey, RateLimited};
use crate::sql::{Tx, values};

/// Adds a key.
pub(crate) struct CreateKey(pub(crate) AccessKey);

impl Apply for CreateKey {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let key = &self.0;
        let inserted = tx
            .execute(
                "INSERT INTO access_keys \
                 (access_key, secret_key, description, created_ms, disabled) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (access_key) DO NOTHING",
                values![
                    &key.access_key,
                    &key.secret_key,
                    &key.description,
                    key.created_ms,
                    key.disabled
                ],
            )
            .await?;
        if inserted == 0 {
            return Err(MetadataError::Exists("access key"));
        }
        Ok(())
    }
}

/// Removes a key.
pub(crate) struct DeleteKey {
    pub(crate) access_key: String,
}

impl Apply for DeleteKey {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let deleted = tx
            .execute(
                "DELETE FROM access_keys WHERE access_key = $1",
                values![&self.access_key],
            )
            .await?;
        if deleted == 0 {
            return Err(MetadataError::NotFound("access key"));
        }
        rate_limits::remove(tx, RateLimited::Key, &self.access_key).await
    }
}
