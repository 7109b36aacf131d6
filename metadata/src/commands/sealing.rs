//! Master keys by name, and data keys wrapped by them.
//!
//! Whoever publishes a blob whose data key a master key wraps locks that key's row FOR SHARE and
//! requires that it is not retired; retiring locks it FOR UPDATE and requires that nothing is
//! wrapped by it. So no row ever names a key that was thrown away, however long a write took.

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Rewrapped, Seal};
use crate::sql::{Tx, values};

/// Makes master keys known. One that was retired stays so.
pub(crate) struct AdmitMasterKeys(pub(crate) Vec<String>);

impl Apply for AdmitMasterKeys {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let now_ms = tx.now_ms();
        for key in &self.0 {
            tx.execute(
                "INSERT INTO master_keys (master_key, admitted_ms, retired) VALUES ($1, $2, 0) \
                 ON CONFLICT (master_key) DO NOTHING",
                values![key, now_ms],
            )
            .await?;
        }
        Ok(())
    }
}

/// Declares that nothing will be wrapped by a master key any more, if nothing is; whether it did.
pub(crate) struct RetireMasterKey(pub(crate) String);

impl Apply for RetireMasterKey {
    type Outcome = bool;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<bool, MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT retired FROM master_keys WHERE master_key = $1 FOR UPDATE",
                values![&self.0],
            )
            .await?;
        row.ok_or(MetadataError::NotFound("master key"))?;
        let used = tx
            .fetch_one(
                "SELECT 1 FROM blobs WHERE master_key = $1 LIMIT 1",
                values![&self.0],
            )
            .await?;
        if used.is_some() {
            return Ok(false);
        }
        tx.execute(
            "UPDATE master_keys SET retired = 1 WHERE master_key = $1",
            values![&self.0],
        )
        .await?;
        Ok(true)
    }
}

/// Makes sure that the seal of a blob that is published now can be opened later.
pub(crate) async fn hold(tx: &mut Tx<'_>, seal: &Seal) -> Result<(), MetadataError> {
    match &seal.master_key {
        Some(key) => hold_key(tx, key).await,
        None => Ok(()),
    }
}

async fn hold_key(tx: &mut Tx<'_>, key: &str) -> Result<(), MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT retired FROM master_keys WHERE master_key = $1 FOR SHARE",
            values![key],
        )
        .await?;
    match row.map(|row| row.truth(0)).transpose()? {
        Some(false) => Ok(()),
        Some(true) | None => Err(MetadataError::KeyRetired),
    }
}

/// Puts data keys under another master key, where they are still as they were read; how many.
pub(crate) struct Rewrap {
    pub(crate) to: String,
    pub(crate) keys: Vec<Rewrapped>,
}

impl Apply for Rewrap {
    type Outcome = u64;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<u64, MetadataError> {
        hold_key(tx, &self.to).await?;
        let mut done = 0;
        for Rewrapped { row, wrapped_key } in &self.keys {
            done += tx
                .execute(
                    "UPDATE blobs SET master_key = $3, wrapped_key = $4 \
                     WHERE blob_id = $1 AND master_key = $2",
                    values![&row.blob, &row.master_key, &self.to, wrapped_key.as_slice()],
                )
                .await?;
        }
        Ok(done)
    }
}
