//! Fragments on drives, behind one small trait: local, remote or in memory.
//!
//! A store keeps fragments and never returns a bad one. It does not know what an object is. All
//! implementations pass one conformance suite (in `storage-node`).

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::id::{DriveId, FragmentId};
use crate::layout::Layout;
use crate::topology::{Drive, DriveState};

/// What a fragment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentHeader {
    /// Who it is.
    pub id: FragmentId,
    /// How its blob is laid out.
    pub layout: Layout,
    /// Bytes of its blob: with the layout it gives the fragment's length and each block's.
    pub blob_len: u64,
}

impl FragmentHeader {
    /// How many blocks it has.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.layout.stripes(self.blob_len)
    }

    /// Bytes of block `block`.
    #[must_use]
    pub const fn block_len(&self, block: u64) -> u32 {
        self.layout.block_len_at(block, self.blob_len)
    }

    /// Bytes of all its blocks.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.layout.fragment_len(self.blob_len)
    }

    /// Whether it has no bytes: then there is nothing to store, and a store may refuse it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.blob_len == 0
    }
}

/// Why a store could not do it, by what the caller does now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The drive has no such fragment. Read: use others and report a debt. Delete: it is done.
    #[error("drive {drive} has no fragment {id}")]
    NotFound {
        /// The drive that was asked.
        drive: DriveId,
        /// The fragment.
        id: FragmentId,
    },
    /// The fragment is there and is bad as a whole: header, identity or length. Use others and
    /// report a debt. (A single bad block is reported in [`ReadBlocks`].)
    #[error("fragment {id} on drive {drive} is corrupt: {what}")]
    Corrupt {
        /// The drive that has it.
        drive: DriveId,
        /// The fragment.
        id: FragmentId,
        /// What does not hold.
        what: String,
        /// Which fragment it says it is, where that is another one.
        found: Option<Box<FragmentId>>,
    },
    /// A fragment of this identity is already there: it is never replaced.
    #[error("drive {drive} already has fragment {id}")]
    Exists {
        /// The drive.
        drive: DriveId,
        /// The fragment.
        id: FragmentId,
    },
    /// The drive is not in a state for this. Use another.
    #[error("drive {drive} is {state}: {reason}")]
    Unavailable {
        /// The drive.
        drive: DriveId,
        /// Its state.
        state: DriveState,
        /// Why, in words for an operator.
        reason: String,
    },
    /// The drive failed at it. Use another; the drive's state has been set by what happened.
    #[error("drive {drive} failed: {source}")]
    Io {
        /// The drive.
        drive: DriveId,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The caller broke the contract: wrong block length, too many or too few blocks.
    #[error("wrong use of the fragment store: {0}")]
    Contract(&'static str),
}

/// The blocks of one read, in order. `None`: that block did not match its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBlocks {
    /// One entry for each block that was asked for.
    pub blocks: Vec<Option<Bytes>>,
}

/// Whether a delete found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It was there, and is gone.
    Removed,
    /// It was not there.
    Absent,
}

/// Takes a fragment's blocks in order. Dropped before `commit`, it leaves nothing visible.
#[async_trait]
pub trait FragmentWriter: Send {
    /// Takes the next block; its length must be `header.block_len(n)` for the `n`-th call. May
    /// return before the bytes are on the drive.
    ///
    /// # Errors
    /// After an error the writer can only be dropped.
    async fn write_block(&mut self, block: Bytes) -> Result<(), StoreError>;

    /// Makes the whole fragment durable (data, file, folder) and visible. `Ok` is a promise that a
    /// power cut does not break.
    ///
    /// # Errors
    /// `Contract` unless all blocks were written; `Exists`; else what the drive said. After an
    /// error other than `Exists` and `Contract` the fragment may or may not be there.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Fragments on drives.
#[async_trait]
pub trait FragmentStore: Send + Sync + 'static {
    /// Begins to write a fragment. Refused early where the drive can't take it.
    ///
    /// # Errors
    /// `Unavailable`, `Exists`, `Io`; `Contract` for an empty fragment.
    async fn create(
        &self,
        drive: DriveId,
        header: FragmentHeader,
    ) -> Result<Box<dyn FragmentWriter>, StoreError>;

    /// Reads `count` blocks from `first` on, each verified against its checksum, the fragment's
    /// header against `header`.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`, `Io`; `Contract` where the blocks do not exist.
    async fn read(
        &self,
        drive: DriveId,
        header: &FragmentHeader,
        first: u64,
        count: u64,
    ) -> Result<ReadBlocks, StoreError>;

    /// What the fragment says of itself.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`, `Io`.
    async fn stat(&self, drive: DriveId, id: &FragmentId) -> Result<FragmentHeader, StoreError>;

    /// Removes a fragment, durably: it does not come back after a power cut.
    ///
    /// # Errors
    /// `Unavailable`, `Io`.
    async fn delete(&self, drive: DriveId, id: &FragmentId) -> Result<Deleted, StoreError>;

    /// Up to `limit` ids of fragments on the drive, in order, after `after`.
    ///
    /// # Errors
    /// `Unavailable`, `Io`.
    async fn list(
        &self,
        drive: DriveId,
        after: Option<&FragmentId>,
        limit: usize,
    ) -> Result<Vec<FragmentId>, StoreError>;

    /// The drives of this store as they are now.
    fn drives(&self) -> Vec<Drive>;
}
