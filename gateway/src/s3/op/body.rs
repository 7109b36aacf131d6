//! The bytes of a request, as an operation gets them, and the bytes of an answer.
//!
//! Everything that the client claims about a body (its length, Content-MD5, x-amz-content-sha256,
//! chunk signatures, x-amz-checksum-* in a header or a trailer) is verified *inside* the stream:
//! where something does not hold, the stream's last item is an `Err`. A stream that ended with
//! `None` after its last `Ok` gave exactly `len` bytes, all of them right. So an operation publishes
//! only after it has seen the end, and never after an `Err`.
//!
//! The producing side is in `s3::body`; it fills the [`DigestSlot`] before the stream ends.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream::BoxStream;

use super::checksum::{Checksum, ChecksumAlgorithm};
use crate::s3::error::S3Error;

/// Bytes in order, in pieces of any size. After an `Err` it is over.
pub type ByteStream = BoxStream<'static, Result<Bytes, S3Error>>;

/// The decoded body of a PutObject or an UploadPart.
pub struct ObjectBody {
    /// How many bytes the client says that there are (decoded: without chunk framing). The stream
    /// gives exactly as many, or ends in an `Err`.
    pub len: u64,
    /// The bytes.
    pub stream: ByteStream,
    /// What was computed over them: there once the stream has ended without an `Err`.
    pub digests: DigestSlot,
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBody")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// What was computed over a body while it was read, all verified against what the client claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyDigests {
    /// The MD5: the ETag of a plain object or a part.
    pub md5: [u8; 16],
    /// How many of the stream's bytes, from its first on, they are over: all, or all but the zeros
    /// behind the file of a form.
    pub object_len: u64,
    /// By the client's algorithm, or by CRC64NVME where it named none.
    pub checksum: Checksum,
    /// Whether the client named the algorithm. An upload of parts that was created with an
    /// algorithm takes only parts that name the same.
    pub claimed: Claimed,
}

/// Who chose the algorithm of a body's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The client, and the value was compared with its own if it sent one.
    ByClient,
    /// Nobody: CRC64NVME was computed by default.
    Default,
}

/// A place for the digests that the reader of the body fills and the operation reads.
#[derive(Debug, Clone, Default)]
pub struct DigestSlot(Arc<OnceLock<BodyDigests>>);

impl DigestSlot {
    /// An empty slot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills the slot. Only the first call counts.
    pub fn fill(&self, digests: BodyDigests) {
        // A second filling would be a second end of one stream: the first stands.
        let _already_full = self.0.set(digests);
    }

    /// The digests, once the stream has ended without an `Err`.
    #[must_use]
    pub fn get(&self) -> Option<&BodyDigests> {
        self.0.get()
    }
}

/// What a request's head claims about its body's checksum, for the reader to compute and compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyClaims {
    /// Content-MD5.
    pub md5: Option<[u8; 16]>,
    /// The flexible checksum.
    pub checksum: ChecksumClaim,
}

/// A body's flexible checksum, as the head announces it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ChecksumClaim {
    /// Nothing is claimed: CRC64NVME is computed and kept.
    #[default]
    None,
    /// Computed and kept; the client names the algorithm and sends no value.
    Algorithm(ChecksumAlgorithm),
    /// The value is in a header.
    Value(Checksum),
    /// The value follows in the trailer that the head announced.
    Trailer(ChecksumAlgorithm),
}

impl ChecksumClaim {
    /// The algorithm that the client named.
    #[must_use]
    pub const fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        match self {
            Self::None => None,
            Self::Algorithm(algorithm) | Self::Trailer(algorithm) => Some(*algorithm),
            Self::Value(checksum) => Some(checksum.algorithm),
        }
    }
}
