//! The nouns that every room shares: ids, layouts, topology and the fragment store trait.
//!
//! No I/O and no policy: what is here is either a value that is right by construction or a trait
//! with two real implementations. Everything may import this crate; it imports none of the others.

pub mod clock;
pub mod fragment_store;
pub mod id;
pub mod layout;
pub mod mutant;
pub mod topology;

pub use clock::{Clock, ManualClock, SystemClock};
pub use fragment_store::{
    Deleted, FragmentHeader, FragmentStore, FragmentWriter, ReadBlocks, StoreError,
};
pub use id::{
    BlobId, ClusterId, DriveId, FragmentId, FragmentIndex, Generation, InvalidId, Region,
};
pub use layout::{Block, Layout, LayoutError, SizeRule};
pub use topology::{Drive, DriveState, FailureDomain, Placement, Topology};
