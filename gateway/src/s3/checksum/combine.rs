//! The checksum of an object that was uploaded in parts, from the checksums of the parts.

use super::hasher::{ChecksumHasher, crc_algorithm, from_crc};
use crate::s3::op::checksum::{Checksum, ChecksumAlgorithm};

/// A part's checksum and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartChecksum {
    /// Of the part's bytes.
    pub checksum: Checksum,
    /// How many bytes.
    pub len_bytes: u64,
}

/// The caller asked for what has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There are no parts.
    #[error("there are no parts to combine")]
    NoParts,
    /// A part's checksum is by another algorithm.
    #[error("a part's checksum is by another algorithm")]
    AnotherAlgorithm,
    /// Only CRCs can be combined into one over the bytes.
    #[error("a {} over all bytes can't be computed from its parts'", .0.as_str())]
    NotACrc(ChecksumAlgorithm),
}

/// The checksum of the parts' checksums, in order. A client sees it as `BASE64-N`.
///
/// # Errors
/// `NoParts`, `AnotherAlgorithm`.
pub fn composite(
    algorithm: ChecksumAlgorithm,
    parts: &[PartChecksum],
) -> Result<Checksum, CombineError> {
    check(algorithm, parts)?;
    let mut hasher = ChecksumHasher::new(algorithm);
    for part in parts {
        hasher.update(&part.checksum.digest);
    }
    Ok(hasher.finish())
}

/// The checksum that the parts' bytes have when joined, without reading them.
///
/// Cost: O(log length) a part.
///
/// # Errors
/// `NotACrc`, `NoParts`, `AnotherAlgorithm`.
pub fn full_object(
    algorithm: ChecksumAlgorithm,
    parts: &[PartChecksum],
) -> Result<Checksum, CombineError> {
    let crc = crc_algorithm(algorithm).ok_or(CombineError::NotACrc(algorithm))?;
    check(algorithm, parts)?;
    let (first, rest) = parts.split_first().ok_or(CombineError::NoParts)?;
    let combined = rest.iter().fold(number(&first.checksum), |before, part| {
        crc_fast::checksum_combine(crc, before, number(&part.checksum), part.len_bytes)
    });
    Ok(from_crc(algorithm, combined))
}

fn check(algorithm: ChecksumAlgorithm, parts: &[PartChecksum]) -> Result<(), CombineError> {
    if parts.is_empty() {
        return Err(CombineError::NoParts);
    }
    if parts
        .iter()
        .any(|part| part.checksum.algorithm != algorithm)
    {
        return Err(CombineError::AnotherAlgorithm);
    }
    Ok(())
}

fn number(checksum: &Checksum) -> u64 {
    checksum
        .digest
        .iter()
        .fold(0, |crc, byte| crc << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(algorithm: ChecksumAlgorithm, parts: &[&[u8]]) -> Vec<PartChecksum> {
        parts
            .iter()
            .map(|part| PartChecksum {
                checksum: ChecksumHasher::checksum(algorithm, part),
                len_bytes: part.len() as u64,
            })
            .collect()
    }

    #[test]
    fn combined_crcs_are_those_of_the_joined_bytes() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n * 31 % 253) as u8).collect();
        let cuts: [&[usize]; 5] = [&[0], &[1], &[35_000], &[1, 2, 3, 69_999], &[0, 70_000]];
        let crcs = [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32c,
            ChecksumAlgorithm::Crc64Nvme,
        ];
        for algorithm in crcs {
            for cut in cuts {
                let edges = [&[0], cut, &[bytes.len()]].concat();
                let parts: Vec<&[u8]> = edges.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
                assert_eq!(
                    full_object(algorithm, &parts_of(algorithm, &parts)),
                    Ok(ChecksumHasher::checksum(algorithm, &bytes)),
                    "{algorithm:?} cut at {cut:?}"
                );
            }
        }
    }

    #[test]
    fn a_composite_is_the_checksum_of_checksums() {
        let algorithm = ChecksumAlgorithm::Sha256;
        let parts = parts_of(algorithm, &[b"one", b"two"]);
        let joined = [&parts[0].checksum.digest[..], &parts[1].checksum.digest[..]].concat();
        assert_eq!(
            composite(algorithm, &parts),
            Ok(ChecksumHasher::checksum(algorithm, &joined))
        );
    }

    #[test]
    fn shas_mixtures_and_nothing_are_refused() {
        let sha1 = ChecksumAlgorithm::Sha1;
        let parts = parts_of(sha1, &[b"one"]);
        assert_eq!(full_object(sha1, &parts), Err(CombineError::NotACrc(sha1)));
        let other = composite(ChecksumAlgorithm::Crc32, &parts);
        assert_eq!(other, Err(CombineError::AnotherAlgorithm));
        assert_eq!(composite(sha1, &[]), Err(CombineError::NoParts));
        assert_eq!(
            full_object(ChecksumAlgorithm::Crc32, &[]),
            Err(CombineError::NoParts)
        );
    }
}
