//! Stories about S3's operations, told to the gateway over SQLite and six drives in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod buckets;
mod copied_parts;
mod copies;
mod deletes;
mod drives;
mod encrypted;
mod lab;
mod lists;
mod meetings;
mod parts;
mod puts;
mod races;
mod reads;
mod script;
mod streams;
mod tags;
