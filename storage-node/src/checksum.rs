//! CRC-64/NVME, the one checksum of everything on a drive.
//!
//! A block's checksum is seeded with its fragment's identity and its number, so that a block that
//! landed in the wrong place, or in the wrong fragment, never verifies.

use crc_fast::{CrcAlgorithm, Digest};
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{FragmentHeader, FragmentId};

/// The checksum of `bytes` on their own.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(bytes);
    digest.finalize()
}

/// Makes the checksums of one fragment's blocks.
#[derive(Clone)]
pub(crate) struct BlockChecksum {
    seeded: Digest,
}

impl BlockChecksum {
    pub(crate) fn new(id: &FragmentId) -> Self {
        let mut seeded = Digest::new(CrcAlgorithm::Crc64Nvme);
        seeded.update(id.blob.as_bytes());
        seeded.update(&[id.region.as_str().len() as u8]);
        seeded.update(id.region.as_str().as_bytes());
        seeded.update(&id.generation.0.to_le_bytes());
        seeded.update(&[id.index.0]);
        Self { seeded }
    }

    pub(crate) fn of(&self, number: u64, block: &[u8]) -> u64 {
        let mut digest = self.seeded;
        digest.update(&number.to_le_bytes());
        digest.update(block);
        digest.finalize()
    }

    /// Whether `block` is what was written as block `number`.
    pub(crate) fn holds(&self, number: u64, block: &[u8], expected: u64) -> bool {
        mutant::active(Mutant::SkipChecksum) || self.of(number, block) == expected
    }
}

/// Whether a fragment is the one that was asked for.
pub(crate) fn is_same(found: &FragmentHeader, expected: &FragmentHeader) -> bool {
    mutant::active(Mutant::SkipIdentity) || found == expected
}
