//! What can be asked. Each query is bounded by its LIMIT or by one key's or blob's rows, and reads
//! through an index that ends where the page ends.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod audit_rows;
pub(crate) mod buckets;
pub(crate) mod dead_letters;
pub(crate) mod duty;
pub(crate) mod horizon;
pub(crate) mod housekeeping;
pub(crate) mod leases;
pub(crate) mod lifecycle;
pub(crate) mod listing;
pub(crate) mod notifications;
pub(crate) mod placements;
pub(crate) mod rate_limits;
pub(crate) mod reencode;
pub(crate) mod repair;
pub(crate) mod samples;
pub(crate) mod scan;
pub(crate) mod sealing;
pub(crate) mod slices;
pub(crate) mod uploads;
pub(crate) mod versions;
