//! What went wrong on a disk, in which operation: that decides what becomes of the drive.

use std::fmt;
use std::io;
use std::sync::Arc;

use holdfast_types::{DriveId, StoreError};

/// An operation on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Write,
    Sync,
    SyncFolder,
    Rename,
    Unlink,
    MakeFolder,
    Truncate,
    Open,
    Read,
    List,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "fdatasync",
            Self::SyncFolder => "fsync of folder",
            Self::Rename => "rename",
            Self::Unlink => "unlink",
            Self::MakeFolder => "mkdir",
            Self::Truncate => "truncate",
            Self::Open => "open",
            Self::Read => "read",
            Self::List => "list",
        })
    }
}

/// A disk operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{op} `{path}`: {source}")]
pub(crate) struct Failure {
    pub(crate) op: Op,
    pub(crate) path: String,
    pub(crate) source: io::Error,
}

impl Failure {
    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The same for a caller of the store.
    pub(crate) fn into_store_error(self, drive: DriveId) -> StoreError {
        StoreError::Io {
            drive,
            source: Arc::new(io::Error::new(self.kind(), self)),
        }
    }
}

/// Says which operation on which path it was.
pub(crate) trait Context<T> {
    fn during(self, op: Op, path: &str) -> Result<T, Failure>;
}

impl<T> Context<T> for io::Result<T> {
    fn during(self, op: Op, path: &str) -> Result<T, Failure> {
        self.map_err(|source| Failure {
            op,
            path: path.to_owned(),
            source,
        })
    }
}
