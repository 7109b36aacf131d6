//! Server-side encryption as requests ask for it and answers show it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_sealing::CustomerKey;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::s3::name::BucketName;

/// How an object that is written shall be encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WriteEncryption {
    /// The writer does not say: as its bucket says.
    #[default]
    BucketDefault,
    /// `AES256`: by keys that the store has (SSE-S3).
    ServerKey,
    /// By this key, which the client sends again for every read (SSE-C).
    CustomerKey(CustomerKey),
}

impl WriteEncryption {
    /// The customer's key, where there is one.
    #[must_use]
    pub const fn customer_key(&self) -> Option<&CustomerKey> {
        match self {
            Self::CustomerKey(key) => Some(key),
            Self::BucketDefault | Self::ServerKey => None,
        }
    }
}

/// How an object is encrypted, as answers show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppliedEncryption {
    /// By keys that the store has.
    ServerKey,
    /// By the key that the request carried.
    CustomerKey {
        /// Its MD5, Base64: what the client sent beside it.
        key_md5: String,
    },
}

impl AppliedEncryption {
    /// By this key.
    #[must_use]
    pub fn by_customer(key: &CustomerKey) -> Self {
        Self::CustomerKey {
            key_md5: STANDARD.encode(Md5::digest(key.bytes())),
        }
    }
}

/// What a bucket says about encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketEncryption {
    /// What is written without a word about it is encrypted by keys that the store has.
    pub by_default: bool,
    /// `BucketKeyEnabled`: kept and shown. It saves calls to AWS's key service, which is not used.
    pub bucket_key: bool,
    /// `BlockedEncryptionTypes`, as they were given: `None` where the element was not.
    pub blocked: Option<BlockedEncryption>,
}

/// Which encryption a bucket refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockedEncryption {
    /// `NONE`: none.
    Nothing,
    /// `SSE-C`: writes with a customer's key.
    CustomerKeys,
}

impl BucketEncryption {
    /// Whether writes with a customer's key are refused.
    #[must_use]
    pub fn blocks_customer_keys(&self) -> bool {
        self.blocked == Some(BlockedEncryption::CustomerKeys)
    }
}

/// PutBucketEncryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBucketEncryptionInput {
    /// The bucket.
    pub bucket: BucketName,
    /// What it says from now on.
    pub encryption: BucketEncryption,
}
