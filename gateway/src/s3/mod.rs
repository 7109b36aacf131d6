//! The S3 protocol, and no store: what comes in is parsed into typed operations, what they answer is
//! written as AWS writes it.
//!
//! The way of a request: `route` (an allow-list of method, resource and sub-resource) ->
//! authentication (`sigv4`) -> body (`body`, `xml`) -> [`op::Operation`] -> [`op::S3Service`] ->
//! `response`. AWS's words, codes and statuses throughout.

pub mod address;
pub mod body;
pub mod checksum;
pub mod cors;
pub mod dispatch;
pub mod encode;
pub mod error;
pub mod head;
pub mod header;
pub mod name;
pub mod op;
pub mod parse;
pub mod pipeline;
pub mod post;
pub mod query;
pub mod response;
pub mod route;
pub mod sigv4;
pub mod time;
pub mod xml;
