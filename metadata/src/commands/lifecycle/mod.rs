//! Lifecycle: rules change, versions and uploads are dated, and what is due is looked at.
//!
//! The queue is a column: each version and upload carries the time at which it is to be looked at,
//! under an index of its own, so that what is due costs what is due. Whoever writes a version dates
//! it, in the same transaction and under the key's lock; a walk dates what was there before the
//! rules. A date may be too early, never too late: [`examine`] decides anew from the version as it
//! is and the rules as they are, under the same locks as a request, and dates it again if its time
//! has not come.

pub(crate) mod dating;
pub(crate) mod examine;
pub(crate) mod rules;
pub(crate) mod walk;

pub(crate) use dating::{Dating, rules_of};
