//! S3 in front: protocol, auth, operations and the admin API.

pub mod admin;
pub mod metrics;
pub mod ops;
pub mod rate;
pub mod s3;
pub mod server;
