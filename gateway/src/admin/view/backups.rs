//! Backups of the metadata.

use serde::{Deserialize, Serialize};

/// The body of `POST /admin/v1/metadata/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeBackup {
    /// A new file on the server's machine, from its root. Give this or `bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A bucket of this Holdfast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The key of a new object there; one with the time in it unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How long nothing that it knows is destroyed; seven days unless said.
    #[serde(default)]
    pub keep_seconds: Option<u64>,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupView {
    /// Its id.
    pub id: String,
    /// When it was begun, in milliseconds since 1970: it has all that was committed before.
    pub taken_ms: u64,
    /// Until when nothing that it knows is destroyed.
    pub expires_ms: u64,
    /// Where it was put.
    pub place: String,
    /// Its length; 0 while it is not whole.
    pub bytes: u64,
}

/// `GET /admin/v1/metadata/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupsView {
    /// All, newest first.
    pub backups: Vec<BackupView>,
    /// Since when the metadata, which was restored, waits to be compared with the drives; nothing
    /// is destroyed meanwhile. `null`: it does not wait.
    pub reconcile_pending_since_ms: Option<u64>,
}
