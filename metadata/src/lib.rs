//! The truth: buckets, versions, blobs, placements, policies, topology and the change log.
//!
//! [`Metadata`] is the handle; [`command`] says what it can be told, [`model`] what it knows. One
//! set of commands and queries runs on two databases, SQLite and PostgreSQL, and passes one
//! conformance suite on both.

pub mod audit;
pub mod backup;
pub mod command;
mod commands;
mod drive_numbers;
pub mod drives;
mod engine;
pub mod error;
pub mod handle;
pub mod hook;
pub mod image;
pub mod inventory;
pub mod journal;
pub mod lease;
pub mod lifecycle;
pub mod model;
pub mod notification;
mod policy;
mod queries;
pub mod reencode;
pub mod repair;
mod rule_cache;
pub mod samples;
mod schema;
mod sql;

pub use error::{MetadataError, OpenError};
pub use handle::{ImageStream, Metadata, MetadataConfig, UploadEntry, UploadPage};
pub use hook::StatementHook;
