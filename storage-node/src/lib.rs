//! Fragments on drives: format, store, states, never a bad byte.
//!
//! [`LocalStore`] keeps fragments on the drives of this machine. A fragment that was acknowledged
//! survives a power cut; a block that is not as it was written is never returned; a bad drive is a
//! state with a name, never a panic. What a fragment is a part of, nobody here knows.
//!
//! The disk is a seam ([`disk`]): everything runs on the operating system's and on a simulated one
//! that does the worst. [`memory`] is a store for other crates' tests, [`conformance`] is what all
//! stores must pass. The formats are described in `docs/formats.md`.

pub mod conformance;
pub mod disk;
pub mod memory;

mod checksum;
mod counters;
mod drive;
mod failure;
mod format;
mod identity;
mod scrub;
mod shelf;
mod staged;
mod store;

pub use counters::DriveStats;
pub use drive::MAX_READ_BYTES;
pub use identity::{
    DriveIdentity, FormatError, IdentityError, format_disk, format_drive, read_identity,
};
pub use scrub::{Finding, NotTaken, Scrub, ScrubProgress, ScrubReport, ScrubStep};
pub use shelf::{ReadShelf, Shelf, ShelfFolder, ShelfReader, ShelfWriter};
pub use store::{AddError, DriveConfig, LocalStore, OpenError, StoreConfig};
