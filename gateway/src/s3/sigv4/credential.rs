//! Where secrets come from: a store that is asked for one access key.

use std::fmt;

use async_trait::async_trait;

/// The secret half of a key pair. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// Takes the secret as its owner knows it.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// What the store knows of an access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The secret that its requests are signed with.
    pub secret: SecretKey,
}

/// The store could not be asked. The request may be sent again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credentials can't be read: {reason}")]
pub struct CredentialStoreError {
    /// What went wrong, for the log.
    pub reason: String,
}

/// Knows the secrets.
#[async_trait]
pub trait CredentialStore: Send + Sync + 'static {
    /// The credential of `access_key`; `None` where there is no such key or it is disabled.
    ///
    /// # Errors
    /// If it can't be known now.
    async fn credential(
        &self,
        access_key: &str,
    ) -> Result<Option<Credential>, CredentialStoreError>;
}
