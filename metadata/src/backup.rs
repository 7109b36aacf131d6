//! Backups of the metadata: what is known of them, and how one is made a database again.
//!
//! A backup is an image ([`crate::image`]) in a file. While it has not expired, nothing that it
//! knows is destroyed. A restore raises the cluster's epoch, so that what was before it can't come
//! back unnoticed, and destroys nothing until an operator has compared and confirmed.

mod restore;
mod slip;

pub use restore::{Restore, RestoreError, RestoreInto, Restored, restore};
pub use slip::{Slip, SlipPiece, SlipSeal, Slips};

use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How long a backup pins what it knows, unless another time is asked for.
pub const BACKUP_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id.
    pub id: Uuid,
    /// When it was begun: it has all that was committed before.
    pub taken_ms: u64,
    /// Until when nothing that it knows is destroyed.
    pub expires_ms: u64,
    /// Where it was put.
    pub place: String,
    /// Its length; 0 while it is not whole.
    pub bytes: u64,
}
