//! Why a request was not authenticated, in AWS's terms.

use super::credential::CredentialStoreError;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::time::Timestamp;

/// Why a request was not authenticated. Its words go to the client; they hold no secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// Nothing is signed, and nothing is public.
    #[error("Access Denied")]
    Anonymous,
    /// Both the header and the query (or two headers) claim to authenticate.
    #[error(
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature \
         query string parameter or the Authorization header should be specified"
    )]
    SeveralMechanisms,
    /// Signature Version 2.
    #[error(
        "The authorization mechanism you have provided is not supported. Please use \
         AWS4-HMAC-SHA256."
    )]
    SignatureV2,
    /// Signature Version 4A or another algorithm of AWS that is not built.
    #[error("The signature algorithm `{0}` is not implemented. Please use AWS4-HMAC-SHA256.")]
    AlgorithmNotImplemented(String),
    /// An `Authorization` header of another kind.
    #[error("Unsupported Authorization Type")]
    UnsupportedType,
    /// The `Authorization` header can't be read, or its scope is not ours.
    #[error("The authorization header is malformed; {reason}")]
    HeaderMalformed {
        /// What is wrong with it.
        reason: String,
        /// The region it should name, where that is what is wrong.
        expected_region: Option<String>,
    },
    /// The query parameters of a presigned request can't be read, or their scope is not ours.
    #[error("{reason}")]
    QueryMalformed {
        /// What is wrong with them.
        reason: String,
        /// The region they should name, where that is what is wrong.
        expected_region: Option<String>,
    },
    /// Neither `x-amz-date` nor `Date` says when the request was signed.
    #[error("AWS authentication requires a valid Date or x-amz-date header")]
    DateMissing,
    /// It was signed too long ago, or in the future.
    #[error("The difference between the request time and the current time is too large.")]
    TimeTooSkewed {
        /// When it says it was signed, as it says it.
        request_time: String,
        /// Our time, in milliseconds since 1970.
        server_time_ms: u64,
        /// How far apart they may be.
        max_skew_ms: u64,
    },
    /// A presigned request came too late.
    #[error("Request has expired")]
    Expired {
        /// How long it was good for.
        expires_secs: u64,
        /// When it stopped being good, in seconds since 1970.
        expired_at_secs: u64,
        /// Our time, in milliseconds since 1970.
        server_time_ms: u64,
    },
    /// A presigned request came before it was signed.
    #[error("Request is not valid yet")]
    NotYetValid,
    /// Headers that must be signed are there and are not.
    #[error("There were headers present in the request which were not signed")]
    HeadersNotSigned {
        /// Their names, joined with `, `.
        headers: String,
    },
    /// No such key, or it is disabled.
    #[error("The AWS Access Key Id you provided does not exist in our records.")]
    UnknownAccessKey {
        /// The key.
        access_key: String,
    },
    /// It was signed with another secret, or changed after it was signed.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check \
         your key and signing method."
    )]
    SignatureMismatch {
        /// The key it claims.
        access_key: String,
    },
    /// Session tokens are not issued here.
    #[error("The provided token is malformed or otherwise invalid.")]
    InvalidToken,
    /// `x-amz-content-sha256` is not there.
    #[error("Missing required header for this request: x-amz-content-sha256")]
    ContentSha256Missing,
    /// `x-amz-content-sha256` is none of the values that it may have.
    #[error(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
         STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a \
         valid sha256 value."
    )]
    ContentSha256Invalid,
    /// The secrets can't be read now.
    #[error(transparent)]
    Store(#[from] CredentialStoreError),
}

impl From<AuthError> for S3Error {
    fn from(error: AuthError) -> Self {
        let answer = Self::message(code(&error), error.to_string());
        match error {
            AuthError::HeaderMalformed {
                expected_region: Some(region),
                ..
            }
            | AuthError::QueryMalformed {
                expected_region: Some(region),
                ..
            } => answer.with("Region", region),
            AuthError::TimeTooSkewed {
                request_time,
                server_time_ms,
                max_skew_ms,
            } => answer
                .with("RequestTime", request_time)
                .with("ServerTime", Timestamp::from_ms(server_time_ms).iso8601())
                .with("MaxAllowedSkewMilliseconds", max_skew_ms.to_string()),
            AuthError::Expired {
                expires_secs,
                expired_at_secs,
                server_time_ms,
            } => answer
                .with("X-Amz-Expires", expires_secs.to_string())
                .with(
                    "Expires",
                    Timestamp::from_ms(expired_at_secs * 1000).iso8601(),
                )
                .with("ServerTime", Timestamp::from_ms(server_time_ms).iso8601()),
            AuthError::HeadersNotSigned { headers } => answer.with("HeadersNotSigned", headers),
            AuthError::UnknownAccessKey { access_key }
            | AuthError::SignatureMismatch { access_key } => {
                answer.with("AWSAccessKeyId", access_key)
            }
            AuthError::Store(cause) => Self::new(ErrorCode::ServiceUnavailable).because(cause),
            _ => answer,
        }
    }
}

fn code(error: &AuthError) -> ErrorCode {
    match error {
        AuthError::Anonymous
        | AuthError::DateMissing
        | AuthError::Expired { .. }
        | AuthError::NotYetValid
        | AuthError::HeadersNotSigned { .. } => ErrorCode::AccessDenied,
        AuthError::SeveralMechanisms
        | AuthError::UnsupportedType
        | AuthError::ContentSha256Invalid => ErrorCode::InvalidArgument,
        AuthError::SignatureV2 | AuthError::ContentSha256Missing => ErrorCode::InvalidRequest,
        AuthError::AlgorithmNotImplemented(_) => ErrorCode::NotImplemented,
        AuthError::HeaderMalformed { .. } => ErrorCode::AuthorizationHeaderMalformed,
        AuthError::QueryMalformed { .. } => ErrorCode::AuthorizationQueryParametersError,
        AuthError::TimeTooSkewed { .. } => ErrorCode::RequestTimeTooSkewed,
        AuthError::UnknownAccessKey { .. } => ErrorCode::InvalidAccessKeyId,
        AuthError::SignatureMismatch { .. } => ErrorCode::SignatureDoesNotMatch,
        AuthError::InvalidToken => ErrorCode::InvalidToken,
        AuthError::Store(_) => ErrorCode::ServiceUnavailable,
    }
}
