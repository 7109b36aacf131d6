//! End-to-end stories over the real binary.
//!
//! One test binary with a module for each story, because linking is what costs. `tests/run` runs
//! them one after the other: `tests/run model` is the model test alone.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't go on fails where it stands"
)]

#[path = "../support/mod.rs"]
mod support;

mod stories;
