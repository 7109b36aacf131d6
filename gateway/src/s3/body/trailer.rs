//! What follows the last chunk: the announced trailer, no more and no less.
//!
//! AWS's documents and clients end their lines in different ways (CRLF, or LF and then CRLF; some
//! leave out the last one), so everything up to the end of the body is taken and empty lines are
//! skipped. Every other line must be one that was announced, so nothing can be appended.

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::checksum::{Checksum, ChecksumAlgorithm};
use crate::s3::sigv4::ChunkSigner;

/// Bounds what is kept of a tail; the largest real one has about 200 bytes.
pub(super) const MAX_TAIL_BYTES: usize = 4 << 10;

/// The lines behind the last chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Names in lower case, values without outer spaces.
    fields: Vec<(String, String)>,
}

impl Tail {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, S3Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
        let mut fields = Vec::new();
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(malformed)?;
            fields.push((
                name.to_ascii_lowercase(),
                value.trim_matches([' ', '\t']).to_owned(),
            ));
        }
        Ok(Self { fields })
    }

    /// Checks that there is nothing but the announced checksum, and its signature where chunks are
    /// signed. Gives the checksum.
    pub(super) fn verify(
        self,
        announced: Option<ChecksumAlgorithm>,
        signer: Option<ChunkSigner>,
    ) -> Result<Option<Checksum>, S3Error> {
        let Some(algorithm) = announced else {
            return if self.fields.is_empty() {
                Ok(None)
            } else {
                Err(malformed())
            };
        };
        let mut fields = self.fields.into_iter();
        let (name, value) = fields.next().ok_or_else(malformed)?;
        if name != algorithm.header().as_str() {
            return Err(malformed());
        }
        if let Some(mut signer) = signer {
            let (signature_name, signature) = fields.next().ok_or_else(malformed)?;
            if signature_name != SIGNATURE {
                return Err(malformed());
            }
            if !signer.verify_trailer(format!("{name}:{value}\n").as_bytes(), &signature) {
                return Err(S3Error::new(ErrorCode::SignatureDoesNotMatch));
            }
        }
        match fields.next() {
            None => Checksum::parse(algorithm, &value).map(Some),
            Some(_) => Err(malformed()),
        }
    }
}

fn malformed() -> S3Error {
    S3Error::new(ErrorCode::MalformedTrailerError)
}

const SIGNATURE: &str = "x-amz-trailer-signature";

#[cfg(test)]
mod tests {
    use super::*;

    const CRC32C: ChecksumAlgorithm = ChecksumAlgorithm::Crc32c;

    #[test]
    fn every_way_in_which_clients_end_their_lines_is_read() {
        for tail in [
            "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n",
            "X-Amz-Checksum-CRC32C: sOO8/Q== \r\n\r\n",
            "x-amz-checksum-crc32c:sOO8/Q==\n\r\n\r\n",
            "\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n",
            "x-amz-checksum-crc32c:sOO8/Q==",
        ] {
            let checksum = Tail::parse(tail.as_bytes())
                .unwrap()
                .verify(Some(CRC32C), None);
            assert_eq!(checksum.unwrap().unwrap().text(), "sOO8/Q==", "{tail:?}");
        }
        let none = Tail::parse(b"\r\n").unwrap().verify(None, None).unwrap();
        assert_eq!(none, None);
    }

    #[test]
    fn what_was_announced_and_nothing_else() {
        for (tail, announced) in [
            ("", Some(CRC32C)),
            ("\r\n\r\n", Some(CRC32C)),
            ("x-amz-checksum-crc32:AAAAAA==\r\n", Some(CRC32C)),
            (
                "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-meta-a:b\r\n",
                Some(CRC32C),
            ),
            (
                "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n",
                Some(CRC32C),
            ),
            ("x-amz-checksum-crc32c:sOO8/Q==\r\n", None),
            ("0\r\n\r\n", None),
        ] {
            let result = Tail::parse(tail.as_bytes()).and_then(|tail| tail.verify(announced, None));
            let code = result.unwrap_err().code();
            assert_eq!(code, ErrorCode::MalformedTrailerError, "{tail:?}");
        }
        let bad_value = Tail::parse(b"x-amz-checksum-crc32c:sOO8\r\n").unwrap();
        let code = bad_value.verify(Some(CRC32C), None).unwrap_err().code();
        assert_eq!(code, ErrorCode::InvalidRequest);
    }
}
