//! Computing a checksum over a stream.

use std::fmt;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest as CrcDigest};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::s3::op::checksum::{Checksum, ChecksumAlgorithm};

/// Computes one checksum.
#[derive(Clone)]
pub struct ChecksumHasher {
    algorithm: ChecksumAlgorithm,
    state: State,
}

#[derive(Clone)]
enum State {
    Crc(CrcDigest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl ChecksumHasher {
    /// Starts with no bytes.
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        let state = match crc_algorithm(algorithm) {
            Some(crc) => State::Crc(CrcDigest::new(crc)),
            None if algorithm == ChecksumAlgorithm::Sha1 => State::Sha1(Sha1::new()),
            None => State::Sha256(Sha256::new()),
        };
        Self { algorithm, state }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(digest) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    /// The checksum of all bytes.
    #[must_use]
    pub fn finish(self) -> Checksum {
        let digest = match self.state {
            State::Crc(digest) => return from_crc(self.algorithm, digest.finalize()),
            State::Sha1(digest) => digest.finalize().to_vec(),
            State::Sha256(digest) => digest.finalize().to_vec(),
        };
        Checksum {
            algorithm: self.algorithm,
            digest: digest.into(),
        }
    }

    /// The checksum of `bytes`.
    #[must_use]
    pub fn checksum(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Self::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Debug for ChecksumHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChecksumHasher({})", self.algorithm.as_str())
    }
}

/// The catalogue's name of a CRC; `None` for a SHA.
pub(super) const fn crc_algorithm(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => None,
    }
}

/// A CRC's number as a checksum: big-endian, as many bytes as the algorithm has.
pub(super) fn from_crc(algorithm: ChecksumAlgorithm, crc: u64) -> Checksum {
    let bytes = crc.to_be_bytes();
    let digest = Bytes::copy_from_slice(&bytes[bytes.len() - algorithm.digest_len()..]);
    Checksum { algorithm, digest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of the CRC catalogue ("123456789") and FIPS 180.
    #[test]
    fn published_check_values_hold() {
        for (algorithm, hex_value) in [
            (ChecksumAlgorithm::Crc32, "cbf43926"),
            (ChecksumAlgorithm::Crc32c, "e3069283"),
            (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
            (
                ChecksumAlgorithm::Sha1,
                "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
            ),
            (
                ChecksumAlgorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let checksum = ChecksumHasher::checksum(algorithm, b"123456789");
            assert_eq!(hex::encode(&checksum.digest), hex_value, "{algorithm:?}");
        }
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        for algorithm in ChecksumAlgorithm::ALL {
            let whole = ChecksumHasher::checksum(algorithm, &bytes);
            assert_eq!(whole.digest.len(), algorithm.digest_len());
            for cut in [1, 7, 255, 4096, 65_537] {
                let mut hasher = ChecksumHasher::new(algorithm);
                bytes.chunks(cut).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.finish(), whole, "{algorithm:?} cut at {cut}");
            }
        }
    }
}
