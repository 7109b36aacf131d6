//! How a blob's bytes are encrypted, as far as the metadata knows: it keeps wrapped keys, and has
//! none that opens one.

use serde::{Deserialize, Serialize};

/// A sealed blob's key, and how many bytes of content it has. Slices count content.
#[derive(Clone, PartialEq, Eq)]
pub struct Seal {
    /// The master key that wraps the data key; `None`: a customer's key does, which nobody keeps.
    pub master_key: Option<String>,
    /// The data key, wrapped. Only who wrapped it can read it.
    pub wrapped_key: Vec<u8>,
    /// Bytes of content; the blob itself is longer.
    pub content_len: u64,
}

impl std::fmt::Debug for Seal {
    /// Without the key, wrapped as it is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal")
            .field("master_key", &self.master_key)
            .field("content_len", &self.content_len)
            .finish_non_exhaustive()
    }
}

/// How an object is encrypted, kept with its version (or its upload).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// By keys that the store has (SSE-S3).
    ServerKey,
    /// By the customer's key (SSE-C), of which this is what verifies it.
    CustomerKey {
        /// Random, Base64.
        salt: String,
        /// A keyed hash of the salt, Base64.
        code: String,
    },
}

/// A data key to be wrapped by another master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedRow {
    /// The blob.
    pub blob: holdfast_types::BlobId,
    /// The master key that wraps it.
    pub master_key: String,
    /// The data key, wrapped by it.
    pub wrapped_key: Vec<u8>,
}

/// A data key that has been wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// The row as it was read.
    pub row: WrappedRow,
    /// The data key, wrapped by the new master key.
    pub wrapped_key: Vec<u8>,
}

/// A master key as the metadata knows it: by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeyUse {
    /// Its name.
    pub key: String,
    /// Whether it was retired: nothing may be wrapped by it any more.
    pub retired: bool,
    /// How many blobs' keys it wraps, counted up to [`MasterKeyUse::COUNTED`].
    pub blobs: u64,
}

impl MasterKeyUse {
    /// The most that is counted: an index scan of a fraction of a second.
    pub const COUNTED: u64 = 1_000_000;
}
