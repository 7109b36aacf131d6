//! Master keys and what they wrap; a bucket's default encryption.

use holdfast_types::BlobId;

use super::{MAX_ROWS, Metadata, Result};
use crate::commands::buckets::SetDefaultEncryption;
use crate::commands::sealing::{AdmitMasterKeys, RetireMasterKey, Rewrap};
use crate::model::{MasterKeyUse, Rewrapped, WrappedRow};
use crate::queries::sealing;

/// Master keys and what they wrap.
impl Metadata {
    /// Makes master keys known by name, before the first data key is wrapped by one of them. One
    /// that was retired stays so.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn admit_master_keys(&self, keys: Vec<String>) -> Result<()> {
        self.run(AdmitMasterKeys(keys)).await
    }

    /// Makes sure that nothing will be wrapped by a master key any more, if nothing is; whether
    /// that is so now.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`, `Database`.
    pub async fn retire_master_key(&self, key: &str) -> Result<bool> {
        self.run(RetireMasterKey(key.to_owned())).await
    }

    /// Every master key that was ever admitted, and how much it wraps.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn master_keys(&self) -> Result<Vec<MasterKeyUse>> {
        query!(self.reader, sealing::master_keys())
    }

    /// A page of the data keys that a master key wraps, by blob, after one.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn wrapped_by(
        &self,
        master_key: &str,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<WrappedRow>> {
        let limit = limit.min(MAX_ROWS);
        query!(
            self.reader,
            sealing::wrapped_by(master_key, after.as_ref(), limit)
        )
    }

    /// Puts data keys under master key `to`, where they are still as they were read; how many.
    ///
    /// # Errors
    /// `KeyRetired`; `Unavailable`, `Database`.
    pub async fn rewrap(&self, to: &str, keys: Vec<Rewrapped>) -> Result<u64> {
        let to = to.to_owned();
        self.run(Rewrap { to, keys }).await
    }

    /// Sets how a bucket's objects are encrypted whose writer does not say: text that only the edge
    /// reads; `None`: not at all.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable`, `Database`.
    pub async fn set_default_encryption(&self, bucket: &str, value: Option<String>) -> Result<()> {
        self.run(SetDefaultEncryption {
            bucket: bucket.to_owned(),
            value,
        })
        .await
    }
}
