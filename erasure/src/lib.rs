//! A byte stream to fragments and back: stripes, placement, put, get, rebuild.
//!
//! [`Blobs`] is given a layout and drives (behind a [`FragmentStore`](holdfast_types::FragmentStore)) and gives back a receipt;
//! it knows neither objects nor metadata. Memory is bounded by one budget ([`Config`]); the first
//! byte of a read waits for one block and not for the object; a byte that is handed out was
//! verified; what is missing, rotten or slow is rebuilt from others on the way and reported.
//!
//! Fragment `i` is block `i` of every stripe; the arithmetic is in [`holdfast_types::layout`].

mod blobs;
mod budget;
mod check;
mod coder;
mod counters;
mod delete;
pub mod durability;
mod failure;
mod get;
mod health;
mod location;
mod parity;
mod placement;
mod put;
mod quorum;
mod reading;
mod rebuild;
mod run;
mod stripe;
pub mod what_if;
mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use blobs::{Blobs, Config, MemoryUse};
pub use budget::{Busy, Sharer};
pub use check::FragmentCheck;
pub use counters::Counters;
pub use delete::Deletion;
pub use failure::{Damage, DebtObserver, FragmentFailure, FragmentReport, NoObserver};
pub use get::{BlobStream, GetError};
pub use location::{BlobLocation, MalformedPlacement};
pub use parity::ParityCheck;
pub use placement::TooFewDrives;
pub use put::{Debt, PutError, PutSpec, QuorumLost, Receipt, Stray};
pub use rebuild::{CopyError, RebuildError, Rebuilt};
