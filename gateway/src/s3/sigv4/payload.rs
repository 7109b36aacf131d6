//! What `x-amz-content-sha256` says of the body.

use super::error::AuthError;

/// How the body is sent, and what of it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadMode {
    /// As it is; it hashes to this.
    Signed([u8; 32]),
    /// As it is; not signed.
    Unsigned,
    /// In chunks, each signed.
    SignedChunks,
    /// In chunks, each signed, with a signed trailer.
    SignedChunksTrailer,
    /// In chunks, not signed, with a trailer that holds a checksum.
    UnsignedChunksTrailer,
}

impl PayloadMode {
    /// Reads the header's value.
    ///
    /// # Errors
    /// [`AuthError::AlgorithmNotImplemented`] for the modes of SigV4A,
    /// [`AuthError::ContentSha256Invalid`] for anything that AWS does not define.
    pub fn parse(text: &str) -> Result<Self, AuthError> {
        match text {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::SignedChunks),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(Self::SignedChunksTrailer),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::UnsignedChunksTrailer),
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                Err(AuthError::AlgorithmNotImplemented(text.to_owned()))
            }
            _ => Self::parse_hash(text).ok_or(AuthError::ContentSha256Invalid),
        }
    }

    fn parse_hash(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self::Signed(hash))
    }

    /// Whether the body is framed as `aws-chunked`.
    #[must_use]
    pub const fn is_chunked(self) -> bool {
        matches!(
            self,
            Self::SignedChunks | Self::SignedChunksTrailer | Self::UnsignedChunksTrailer
        )
    }

    /// Whether a trailer follows the last chunk.
    #[must_use]
    pub const fn has_trailer(self) -> bool {
        matches!(
            self,
            Self::SignedChunksTrailer | Self::UnsignedChunksTrailer
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_aws_defines_is_a_mode() {
        let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        assert!(matches!(
            PayloadMode::parse(hash),
            Ok(PayloadMode::Signed(_))
        ));
        assert!(
            PayloadMode::parse("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
                .unwrap()
                .has_trailer()
        );
        assert!(!PayloadMode::parse("UNSIGNED-PAYLOAD").unwrap().is_chunked());
        for text in [
            "",
            "unsigned-payload",
            "STREAMING-UNSIGNED-PAYLOAD",
            &hash[1..],
            "UNSIGNED",
            &hash.replace('4', "g"),
        ] {
            let error = PayloadMode::parse(text).unwrap_err();
            assert!(
                matches!(error, AuthError::ContentSha256Invalid),
                "{text}: {error}"
            );
        }
        for text in [
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
        ] {
            let error = PayloadMode::parse(text).unwrap_err();
            assert!(
                matches!(error, AuthError::AlgorithmNotImplemented(_)),
                "{text}: {error}"
            );
        }
    }
}
