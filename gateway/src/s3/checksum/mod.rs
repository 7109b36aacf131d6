//! Computing S3's checksums: over a stream, and over an object from those of its parts.
//!
//! What a checksum *is* (algorithms, values, their words in headers and XML) is in
//! [`op::checksum`](crate::s3::op::checksum). Every body gets one: by the client's algorithm, or by
//! CRC-64/NVME, which AWS too adds where the client names none and which costs next to nothing
//! (70 GB/s a core). Here too: the MD5 of MD5s that is a multipart object's ETag.

mod combine;
mod etag;
mod hasher;

pub use combine::{CombineError, PartChecksum, composite, full_object};
pub use etag::multipart_etag;
pub use hasher::ChecksumHasher;
