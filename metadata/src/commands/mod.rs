//! The commands, each the statements of one transaction.
//!
//! Rows are locked in one order: bucket, upload, key, blobs by id. What two requests for different
//! keys both need is locked FOR SHARE only.

pub(crate) mod access;
pub(crate) mod backups;
pub(crate) mod bucket_settings;
pub(crate) mod buckets;
pub(crate) mod change_log;
pub(crate) mod complete;
pub(crate) mod condition;
pub(crate) mod copy_part;
pub(crate) mod dead_letters;
pub(crate) mod debts;
pub(crate) mod delete;
pub(crate) mod drives;
pub(crate) mod drop_bytes;
pub(crate) mod duty;
pub(crate) mod expiry;
pub(crate) mod fold;
pub(crate) mod leases;
pub(crate) mod lifecycle;
pub(crate) mod multipart;
pub(crate) mod note_stray;
pub(crate) mod notifications;
pub(crate) mod object_lock;
pub(crate) mod outcomes;
pub(crate) mod policies;
pub(crate) mod publish;
pub(crate) mod quota;
pub(crate) mod rate_limits;
pub(crate) mod reencode;
pub(crate) mod reencode_jobs;
pub(crate) mod repair;
pub(crate) mod samples;
pub(crate) mod sealing;
pub(crate) mod settings;
pub(crate) mod strays;
pub(crate) mod sweep;
pub(crate) mod tags;
pub(crate) mod write;

use serde::Serialize;

use crate::error::MetadataError;

/// A value as the JSON that its column holds.
fn json<T: Serialize>(value: &T) -> Result<String, MetadataError> {
    serde_json::to_string(value).map_err(|error| MetadataError::Corrupt(error.to_string()))
}
