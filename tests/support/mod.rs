//! What the end-to-end tests stand on: the real binary, a small signed client, digests, XML and
//! seeded randomness. Nothing here uses Holdfast's own code, so that no mistake is made twice.

pub(crate) mod admin;
pub(crate) mod client;
pub(crate) mod digest;
pub(crate) mod form;
pub(crate) mod http;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod verify;
pub(crate) mod xml;
