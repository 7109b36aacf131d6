//! What is answered about configurations that a bucket has by itself, or can't have at all.

use http::Response;

use super::{ResponseBody, document};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::OperationKind;
use crate::s3::xml::configuration::{empty, request_payment};

/// The answer of reading a configuration of a bucket that is there. None can be made, so that there
/// is none is the truth.
///
/// # Errors
/// AWS's code for a configuration that was never made, where AWS has one.
pub fn not_configured(kind: OperationKind) -> Result<Response<ResponseBody>, S3Error> {
    let code = match kind {
        OperationKind::GetBucketPolicy | OperationKind::GetBucketPolicyStatus => {
            ErrorCode::NoSuchBucketPolicy
        }
        OperationKind::GetBucketReplication => ErrorCode::ReplicationConfigurationNotFoundError,
        OperationKind::GetBucketWebsite => ErrorCode::NoSuchWebsiteConfiguration,
        OperationKind::GetPublicAccessBlock => ErrorCode::NoSuchPublicAccessBlockConfiguration,
        OperationKind::GetBucketLogging => return Ok(document(empty("BucketLoggingStatus"))),
        OperationKind::GetBucketAccelerateConfiguration => {
            return Ok(document(empty("AccelerateConfiguration")));
        }
        OperationKind::GetBucketRequestPayment => return Ok(document(request_payment())),
        _ => ErrorCode::NotImplemented,
    };
    Err(S3Error::new(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configurations_are_answered_without_being_kept() {
        let answered = OperationKind::ALL
            .iter()
            .filter(|kind| match not_configured(**kind) {
                Ok(_) => true,
                Err(error) => error.code() != ErrorCode::NotImplemented,
            });
        assert_eq!(answered.count(), 8);
    }
}
