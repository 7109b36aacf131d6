//! The keys in the metadata, as both listeners' signature checks ask for them.

use async_trait::async_trait;
use holdfast_metadata::Metadata;

use crate::s3::sigv4::{Credential, CredentialStore, CredentialStoreError, SecretKey};

/// Access keys out of the metadata. A removed key is refused from the next request on: nothing is
/// remembered here.
#[derive(Debug, Clone)]
pub struct MetadataCredentials(Metadata);

impl MetadataCredentials {
    /// The keys of this metadata.
    #[must_use]
    pub const fn new(metadata: Metadata) -> Self {
        Self(metadata)
    }
}

#[async_trait]
impl CredentialStore for MetadataCredentials {
    async fn credential(
        &self,
        access_key: &str,
    ) -> Result<Option<Credential>, CredentialStoreError> {
        let key = self
            .0
            .key(access_key)
            .await
            .map_err(|error| CredentialStoreError {
                reason: error.to_string(),
            })?;
        Ok(key.filter(|key| !key.disabled).map(|key| Credential {
            secret: SecretKey::new(key.secret_key),
        }))
    }
}
