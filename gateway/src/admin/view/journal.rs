//! The metadata's journal on the drives.

use holdfast_metadata::journal::{JournalState, JournalStatus};
use serde::{Deserialize, Serialize};

/// How the journal is: a part of `GET /admin/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// `whole`; `degraded`: on fewer drives than it should be, and writes go on; `stopped`: on too
    /// few for anything to be committed.
    pub state: String,
    /// Why it is not whole; empty when it is.
    pub reason: String,
    /// The drives that it is on.
    pub holders: Vec<String>,
    /// How many it should be on.
    pub holders_wanted: u64,
    /// Rises with every change of holders.
    pub term: u64,
    /// Groups that were committed.
    pub group: u64,
    /// Bytes of records since the last image: a start without a database reads the image and these.
    pub record_bytes: u64,
    /// Bytes of the last image that this process has made; 0: none.
    pub image_bytes: u64,
    /// When the last image was begun, in milliseconds since 1970.
    pub image_ms: Option<u64>,
    /// Since when it is not whole; `null` while it is.
    pub not_whole_since_ms: Option<u64>,
}

impl From<JournalStatus> for JournalView {
    fn from(status: JournalStatus) -> Self {
        let state = match status.state {
            JournalState::Whole => "whole",
            JournalState::Degraded => "degraded",
            JournalState::Stopped => "stopped",
        };
        Self {
            state: state.to_owned(),
            reason: status.reason,
            holders: status.holders.iter().map(ToString::to_string).collect(),
            holders_wanted: status.holders_wanted as u64,
            term: status.term,
            group: status.position.group,
            record_bytes: status.record_bytes,
            image_bytes: status.image_bytes,
            image_ms: status.image_ms,
            not_whole_since_ms: status.not_whole_since_ms,
        }
    }
}
