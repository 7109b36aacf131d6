//! The change log's rows: what happened to which version, in which order, by whom.
//!
//! A row is written in the transaction of what it describes. A key's rows stand in the order of its
//! [`Change::sequence`]; a reader that remembers its [`ChangeCursor`] misses nothing.

use serde::{Deserialize, Serialize};

use super::{BucketId, VersionId};
use crate::error::MetadataError;

/// One row of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where the reader is after this row.
    pub cursor: ChangeCursor,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Vec<u8>,
    /// The key's sequence: a reader orders a key's changes by it.
    pub sequence: u64,
    /// What became of the version.
    pub kind: ChangeKind,
    /// Which operation it was.
    pub event: ChangeEvent,
    /// The version it happened to.
    pub version_id: VersionId,
    /// That version's bytes; 0 for a marker.
    pub size: u64,
    /// That version's ETag without quotes; empty for a marker.
    pub etag: String,
    /// The access key that asked for it; `None` where nobody did (lifecycle).
    pub principal: Option<String>,
    /// Where that request came from; `None` where there was none.
    pub source_address: Option<String>,
    /// That request's id; `None` where there was none.
    pub request_id: Option<String>,
    /// The time of the change.
    pub at_ms: u64,
    /// Number of the rules of who is told that its bucket had then; 0 for none.
    pub notification: u64,
}

/// What a change did: all that a follower needs to keep a copy of the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A version appeared.
    Put,
    /// A delete marker appeared.
    Marker,
    /// A version or marker is gone.
    Delete,
    /// A version is as it was but for what is kept with it: tags, retention, legal hold.
    Update,
}

impl ChangeKind {
    /// As its column holds it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Marker => "marker",
            Self::Delete => "delete",
            Self::Update => "update",
        }
    }

    /// From its column.
    pub(crate) fn parse(text: &str) -> Result<Self, MetadataError> {
        let all = [Self::Put, Self::Marker, Self::Delete, Self::Update];
        all.into_iter()
            .find(|kind| kind.text() == text)
            .ok_or_else(|| MetadataError::Corrupt(format!("a change is `{text}`")))
    }
}

/// Which operation changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeEvent {
    /// PutObject made the version.
    Put,
    /// A form made it.
    Post,
    /// CopyObject made it.
    Copy,
    /// CompleteMultipartUpload made it.
    Complete,
    /// A request removed the version for good.
    Delete,
    /// A request put a marker on the key.
    Marker,
    /// Lifecycle removed the version for good.
    ExpireDelete,
    /// Lifecycle put a marker on the key.
    ExpireMarker,
    /// The version has other tags.
    PutTags,
    /// The version has no tags any more.
    DeleteTags,
    /// The version has another retention.
    PutRetention,
    /// The version's legal hold was put on or taken off.
    PutLegalHold,
}

impl ChangeEvent {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Put,
        Self::Post,
        Self::Copy,
        Self::Complete,
        Self::Delete,
        Self::Marker,
        Self::ExpireDelete,
        Self::ExpireMarker,
        Self::PutTags,
        Self::DeleteTags,
        Self::PutRetention,
        Self::PutLegalHold,
    ];

    /// What it does to a version.
    #[must_use]
    pub const fn kind(self) -> ChangeKind {
        match self {
            Self::Put | Self::Post | Self::Copy | Self::Complete => ChangeKind::Put,
            Self::Marker | Self::ExpireMarker => ChangeKind::Marker,
            Self::Delete | Self::ExpireDelete => ChangeKind::Delete,
            Self::PutTags | Self::DeleteTags | Self::PutRetention | Self::PutLegalHold => {
                ChangeKind::Update
            }
        }
    }

    /// As its column holds it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Post => "post",
            Self::Copy => "copy",
            Self::Complete => "complete",
            Self::Delete => "delete",
            Self::Marker => "marker",
            Self::ExpireDelete => "expire_delete",
            Self::ExpireMarker => "expire_marker",
            Self::PutTags => "put_tags",
            Self::DeleteTags => "delete_tags",
            Self::PutRetention => "put_retention",
            Self::PutLegalHold => "put_legal_hold",
        }
    }

    /// From its column.
    pub(crate) fn parse(text: &str) -> Result<Self, MetadataError> {
        Self::ALL
            .into_iter()
            .find(|event| event.text() == text)
            .ok_or_else(|| MetadataError::Corrupt(format!("a change's event is `{text}`")))
    }
}

/// What set a command off. With the command it decides the [`ChangeEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangeCause {
    /// A request.
    #[default]
    Request,
    /// A form that a browser sent.
    Form,
    /// A copy whose bytes are written anew.
    Copy,
    /// A lifecycle rule.
    Lifecycle,
}

/// Who asked for a change, and by what: for the change log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// What set it off.
    pub cause: ChangeCause,
    /// The access key that asked for it.
    pub principal: Option<String>,
    /// The client's address: behind a trusted proxy the one that the proxy names.
    pub source_address: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

impl Origin {
    /// Its change as `event`.
    pub(crate) fn logs(&self, event: ChangeEvent) -> Logged<'_> {
        Logged {
            event,
            origin: Some(self),
        }
    }
}

/// What a write says of itself in the change log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logged<'o> {
    pub(crate) event: ChangeEvent,
    /// Who asked for it, if anybody did.
    pub(crate) origin: Option<&'o Origin>,
}

/// A place in the change log: (transaction id, number); transaction id is 0 on SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ChangeCursor {
    /// PostgreSQL's 64-bit transaction id.
    pub transaction: u64,
    /// The row's number.
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_schema_allows_it() {
        let schema = include_str!("../schema/0001_first.sql");
        let changes = schema.split("CREATE TABLE changes").nth(1).unwrap();
        let table = changes.split("CREATE ").next().unwrap();
        for event in ChangeEvent::ALL {
            assert_eq!(ChangeEvent::parse(event.text()).unwrap(), event);
            let kind = event.kind();
            assert_eq!(ChangeKind::parse(kind.text()).unwrap(), kind);
            assert!(table.contains(&format!("'{}'", event.text())), "{event:?}");
            assert!(table.contains(&format!("'{}'", kind.text())), "{kind:?}");
        }
        assert!(ChangeEvent::parse("x").is_err());
        assert!(ChangeKind::parse("x").is_err());
    }
}
