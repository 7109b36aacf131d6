//! What a drive has done since it was opened, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a drive has done since the process started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct DriveStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> DriveStats {
                DriveStats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Bytes of fragments that were read, verified or not.
    read_bytes,
    /// Bytes that were written to files and segments, with headers and padding.
    written_bytes,
    /// Fragments that were made durable.
    commits,
    /// Fragments that were removed.
    deletes,
    /// Syncs of files and segments.
    file_syncs,
    /// Syncs of folders.
    folder_syncs,
    /// Small writes and deletes that shared a sync with others; `file_syncs` does not grow by them.
    shared_syncs,
    /// Reads that the disk failed.
    read_errors,
    /// Writes, renames and removals that the disk failed.
    write_errors,
    /// Syncs that the disk failed.
    sync_errors,
    /// Blocks that did not match their checksum.
    bad_blocks,
    /// Fragments whose header was bad or not theirs.
    bad_headers,
    /// Damaged regions that the scan of the segments found at the last opening.
    bad_records,
    /// Segments that were compacted away.
    compactions,
    /// Fragments of which the scrub read every block.
    scrubbed_fragments,
    /// Bytes that the scrub read.
    scrubbed_bytes,
    /// Fragments that the scrub found missing or corrupt.
    scrub_findings,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}
