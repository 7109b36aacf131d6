//! The master keys through the admin API: which there are, a new one, and an old one's end.
//!
//! Where the keys are kept is not the gateway's business: a [`MasterKeyKeeper`] does that. What
//! uses them is the metadata's.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use holdfast_metadata::model::MasterKeyUse;
use holdfast_sealing::{MasterKey, MasterKeyId};

use super::error::AdminError;
use super::{Admin, view};

/// Who keeps the master keys of this process.
#[async_trait]
pub trait MasterKeyKeeper: Send + Sync {
    /// All keys that can be used now, newest first.
    fn keys(&self) -> Vec<Arc<MasterKey>>;

    /// Makes a key that is the newest from now on, and keeps it durably before it is used.
    ///
    /// # Errors
    /// Why not, for an operator.
    async fn rotate(&self) -> Result<MasterKeyId, KeeperError>;

    /// Forgets a key, by which nothing is wrapped any more.
    ///
    /// # Errors
    /// Why not, for an operator.
    async fn retire(&self, id: &MasterKeyId) -> Result<(), KeeperError>;
}

/// Why a master key was not made or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// Do something else first: the message says what.
    #[error("{0}")]
    Refused(String),
    /// There is no such key.
    #[error("there is no master key {0}")]
    NoSuchKey(MasterKeyId),
    /// It failed; try again when the reason is gone.
    #[error("{0}")]
    Failed(String),
}

impl From<KeeperError> for AdminError {
    fn from(error: KeeperError) -> Self {
        let message = error.to_string();
        match error {
            KeeperError::Refused(_) => Self::exists(message),
            KeeperError::NoSuchKey(_) => Self::not_found(message),
            KeeperError::Failed(_) => Self::internal(message),
        }
    }
}

impl Admin {
    fn keeper(&self) -> Result<Arc<dyn MasterKeyKeeper>, AdminError> {
        let missing = || AdminError::not_found("this process keeps no master keys".to_owned());
        self.surroundings.master_keys().ok_or_else(missing)
    }

    pub(super) async fn master_keys(&self) -> Result<view::MasterKeysView, AdminError> {
        let here = self.keeper()?.keys();
        let known = self.metadata.master_keys().await?;
        let mut uses: BTreeMap<String, MasterKeyUse> = known
            .into_iter()
            .map(|known| (known.key.clone(), known))
            .collect();
        let mut keys = Vec::with_capacity(here.len());
        for (place, key) in here.iter().enumerate() {
            let known = uses.remove(key.id().as_str());
            let state = match &known {
                Some(known) if known.retired => "retired",
                _ if place == 0 => "newest",
                _ => "opens",
            };
            let made = (key.created_ms() > 0).then(|| key.created_ms());
            keys.push(master_key(
                key.id().to_string(),
                state,
                made,
                known.as_ref(),
            ));
        }
        for (id, known) in uses {
            let state = if known.retired { "retired" } else { "missing" };
            keys.push(master_key(id, state, None, Some(&known)));
        }
        Ok(view::MasterKeysView { keys })
    }

    pub(super) async fn rotate_master_key(&self) -> Result<view::MasterKeyView, AdminError> {
        let id = self.keeper()?.rotate().await?;
        Ok(master_key(
            id.to_string(),
            "newest",
            Some(self.clock.now_ms()),
            None,
        ))
    }

    pub(super) async fn retire_master_key(&self, id: &str) -> Result<(), AdminError> {
        let id: MasterKeyId = id
            .parse()
            .map_err(|error| AdminError::invalid(format!("{error}")))?;
        Ok(self.keeper()?.retire(&id).await?)
    }
}

fn master_key(
    id: String,
    state: &str,
    made_ms: Option<u64>,
    known: Option<&MasterKeyUse>,
) -> view::MasterKeyView {
    let blobs = known.map_or(0, |known| known.blobs);
    view::MasterKeyView {
        id,
        state: state.to_owned(),
        made_ms,
        blobs,
        or_more: blobs >= MasterKeyUse::COUNTED,
    }
}
