//! What the data path has done since the process began, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the process began.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The counters while they count.
        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: Count,)*
        }

        impl Counting {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Blobs that were put.
    blobs_put,
    /// Data bytes that were put.
    bytes_put,
    /// Fragments that were not durable when their blob's receipt was made.
    fragments_owed,
    /// Fragments that a spare drive took over.
    fragments_replaced,
    /// Data bytes that were handed out by reads.
    bytes_got,
    /// Calls to drives for blocks.
    reads,
    /// Those that were late, so that others were asked.
    reads_late,
    /// Those that failed.
    reads_failed,
    /// Blocks that were rebuilt from others.
    blocks_rebuilt,
    /// Blocks that did not match their checksums.
    blocks_rotten,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }
}
