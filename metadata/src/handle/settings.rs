//! Settings, policies, keys, drives.

use std::collections::BTreeSet;

use holdfast_types::{Drive, DriveId};

use super::{Metadata, Result};
use crate::commands::access::{CreateKey, DeleteKey};
use crate::commands::drives::{NumberDrives, UpsertDrives};
use crate::commands::settings::{FixSetting, PutPolicy};
use crate::drive_numbers::{DriveNumbers, UnknownNumber};
use crate::error::MetadataError;
use crate::model::{AccessKey, Policy};
use crate::queries::access;

/// Settings, policies, keys, drives.
impl Metadata {
    /// The value of a setting.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        query!(self.reader, access::setting(key))
    }

    /// Sets a setting if it has no value yet; the value that holds.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn fix_setting(&self, key: &str, value: &str) -> Result<String> {
        self.run(FixSetting {
            name: key.to_owned(),
            value: value.to_owned(),
        })
        .await
    }

    /// Makes or changes a policy.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn put_policy(&self, policy: Policy) -> Result<()> {
        self.run(PutPolicy(policy)).await
    }

    /// The policy of this name.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn policy(&self, name: &str) -> Result<Option<Policy>> {
        query!(self.reader, access::policy(name))
    }

    /// All policies, by name.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn policies(&self) -> Result<Vec<Policy>> {
        query!(self.reader, access::policies())
    }

    /// Adds an access key.
    ///
    /// # Errors
    /// `Exists`; `Unavailable`, `Database`.
    pub async fn create_key(&self, key: AccessKey) -> Result<()> {
        self.run(CreateKey(key)).await
    }

    /// The access key of this name, disabled or not.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn key(&self, access_key: &str) -> Result<Option<AccessKey>> {
        query!(self.reader, access::key(access_key))
    }

    /// All access keys, by name.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn keys(&self) -> Result<Vec<AccessKey>> {
        query!(self.reader, access::keys())
    }

    /// Removes an access key.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`, `Database`.
    pub async fn delete_key(&self, access_key: &str) -> Result<()> {
        self.run(DeleteKey {
            access_key: access_key.to_owned(),
        })
        .await
    }

    /// Records how drives are.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn upsert_drives(&self, drives: Vec<Drive>) -> Result<()> {
        self.run(UpsertDrives(drives)).await?;
        self.learn_drives().await
    }

    /// All drives as they were last recorded, in the order of their ids, without removed ones.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn drives(&self) -> Result<Vec<Drive>> {
        query!(self.reader, access::drives())
    }

    /// Reads all committed numbers of drives.
    pub(super) async fn learn_drives(&self) -> Result<()> {
        let numbers = query!(self.reader, access::drive_numbers())?;
        self.inner.drives.remember(numbers);
        Ok(())
    }

    /// Makes sure that the drives that a command names have numbers.
    pub(super) async fn number_drives(
        &self,
        drives: impl Iterator<Item = Option<DriveId>>,
    ) -> Result<()> {
        let numbers = &self.inner.drives;
        let is_new = |id: &DriveId| numbers.number(*id).is_none();
        let new: BTreeSet<DriveId> = drives.flatten().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.run(NumberDrives(new.into_iter().collect())).await?;
        self.learn_drives().await
    }

    /// Turns drive numbers into drives; reads the numbers anew if one is not known here yet.
    pub(super) async fn named<T>(
        &self,
        unpack: impl Fn(&DriveNumbers) -> std::result::Result<T, UnknownNumber>,
    ) -> Result<T> {
        if let Ok(done) = unpack(&self.inner.drives) {
            return Ok(done);
        }
        self.learn_drives().await?;
        unpack(&self.inner.drives).map_err(|UnknownNumber(number)| {
            MetadataError::Corrupt(format!("there is no drive number {number}"))
        })
    }
}
