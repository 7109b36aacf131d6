//! All digests of a body in one pass, and their comparison with what the client claimed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::s3::checksum::ChecksumHasher;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::body::{BodyClaims, BodyDigests, ChecksumClaim, Claimed};
use crate::s3::op::checksum::{Checksum, ChecksumAlgorithm};
use crate::s3::sigv4::PayloadMode;

/// Computes a body's digests.
#[derive(Debug)]
pub(crate) struct BodyHasher {
    claims: BodyClaims,
    len: u64,
    md5: Md5,
    checksum: ChecksumHasher,
    /// Only where the whole body's hash is signed: it costs as much as all others but MD5.
    sha256: Option<(Sha256, [u8; 32])>,
}

impl BodyHasher {
    /// Computes what is claimed, and what is always kept.
    pub(crate) fn new(claims: BodyClaims, payload: PayloadMode) -> Self {
        let algorithm = claims.checksum.algorithm().unwrap_or(DEFAULT_ALGORITHM);
        let sha256 = match payload {
            PayloadMode::Signed(expected) => Some((Sha256::new(), expected)),
            _ => None,
        };
        Self {
            claims,
            len: 0,
            md5: Md5::new(),
            checksum: ChecksumHasher::new(algorithm),
            sha256,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.md5.update(bytes);
        self.checksum.update(bytes);
        if let Some((sha256, _)) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    /// The digests, if they are what was claimed in the head and in the trailer.
    pub(crate) fn finish(self, in_trailer: Option<Checksum>) -> Result<BodyDigests, S3Error> {
        if let Some((sha256, expected)) = self.sha256 {
            compare_sha256(sha256.finalize().into(), expected)?;
        }
        let md5 = self.md5.finalize().into();
        if let Some(expected) = self.claims.md5 {
            compare_md5(md5, expected)?;
        }
        let checksum = self.checksum.finish();
        let (claimed, expected) = match self.claims.checksum {
            ChecksumClaim::None => (Claimed::Default, None),
            ChecksumClaim::Algorithm(_) => (Claimed::ByClient, None),
            ChecksumClaim::Value(expected) => (Claimed::ByClient, Some(expected)),
            // Without its value a trailer would have been refused before.
            ChecksumClaim::Trailer(_) => (Claimed::ByClient, in_trailer),
        };
        if expected.is_some_and(|expected| expected != checksum) {
            return Err(S3Error::message(
                ErrorCode::BadDigest,
                format!(
                    "The {} you specified did not match the calculated checksum.",
                    checksum.algorithm.as_str()
                ),
            ));
        }
        Ok(BodyDigests {
            md5,
            object_len: self.len,
            checksum,
            claimed,
        })
    }
}

fn compare_sha256(calculated: [u8; 32], expected: [u8; 32]) -> Result<(), S3Error> {
    if calculated == expected {
        return Ok(());
    }
    Err(S3Error::new(ErrorCode::XAmzContentSHA256Mismatch)
        .with("ClientComputedContentSHA256", hex::encode(expected))
        .with("S3ComputedContentSHA256", hex::encode(calculated)))
}

fn compare_md5(calculated: [u8; 16], expected: [u8; 16]) -> Result<(), S3Error> {
    if calculated == expected {
        return Ok(());
    }
    let message = "The Content-MD5 you specified did not match what we received.";
    Err(S3Error::message(ErrorCode::BadDigest, message)
        .with("ExpectedDigest", STANDARD.encode(expected))
        .with("CalculatedDigest", STANDARD.encode(calculated)))
}

/// As AWS does where the client names none.
const DEFAULT_ALGORITHM: ChecksumAlgorithm = ChecksumAlgorithm::Crc64Nvme;
