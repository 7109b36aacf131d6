//! What a request that fails is told: AWS's code, status and words.
//!
//! One enum holds every code that is used, with its status and AWS's message. An [`S3Error`] adds
//! the elements that AWS puts beside the message (`BucketName`, `Condition`, `MinSizeAllowed`, ...)
//! and headers that belong to the answer (`Content-Range` of a 416, `Allow` of a 405). It is written
//! as XML in `xml::write_error`. The cause inside the store is for the log only and is never sent.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_RANGE, ETAG, LAST_MODIFIED, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use super::header;
use super::name::{BucketName, ObjectKey, UploadId, VersionId};
use super::op::ETag;
use super::time::Timestamp;

macro_rules! codes {
    ($($name:ident $status:literal $message:literal)*) => {
        /// AWS's error codes.
        #[allow(missing_docs, reason = "each is documented by its message")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = $message] $name,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as AWS writes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Its HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// AWS's message for it.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                }
            }
        }
    };
}

codes! {
    AccessDenied 403 "Access Denied"
    AccessForbidden 403 "Access Forbidden"
    AccessControlListNotSupported 400 "The bucket does not allow ACLs"
    AuthorizationHeaderMalformed 400 "The authorization header that you provided is not valid."
    AuthorizationQueryParametersError 400 "The authorization query parameters that you provided are not valid."
    BadDigest 400 "The Content-MD5 or checksum value that you specified did not match what the server received."
    BadRequest 400 "Bad Request"
    BucketAlreadyExists 409 "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."
    BucketAlreadyOwnedByYou 409 "Your previous request to create the named bucket succeeded and you already own it."
    BucketNotEmpty 409 "The bucket you tried to delete is not empty"
    ConditionalRequestConflict 409 "The conditional request cannot succeed due to a conflicting operation against this resource."
    CredentialsNotSupported 400 "This request does not support credentials."
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed object size."
    EntityTooSmall 400 "Your proposed upload is smaller than the minimum allowed size"
    ExpiredToken 400 "The provided token has expired."
    IllegalLocationConstraintException 400 "The specified location-constraint is not valid for the region this request was sent to."
    IllegalVersioningConfigurationException 400 "The versioning configuration specified in the request is invalid."
    IncompleteBody 400 "You did not provide the number of bytes specified by the Content-Length HTTP header"
    InternalError 500 "We encountered an internal error. Please try again."
    InvalidAccessKeyId 403 "The AWS Access Key Id you provided does not exist in our records."
    InvalidArgument 400 "Invalid Argument"
    InvalidBucketName 400 "The specified bucket is not valid."
    InvalidBucketState 409 "The request is not valid with the current state of the bucket."
    InvalidChunkSizeError 403 "Only the last chunk is allowed to have a size less than 8192 bytes"
    InvalidDigest 400 "The Content-MD5 you specified was invalid."
    InvalidEncryptionAlgorithmError 400 "The encryption request that you specified is not valid. The valid value is AES256."
    InvalidLocationConstraint 400 "The specified location-constraint is not valid"
    InvalidObjectState 403 "The operation is not valid for the object's storage class"
    InvalidPart 400 "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    InvalidPartNumber 416 "The requested partnumber is not satisfiable"
    InvalidPartOrder 400 "The list of parts was not in ascending order. Parts must be ordered by part number."
    InvalidPolicyDocument 400 "The content of the form does not meet the conditions specified in the policy document."
    InvalidRange 416 "The requested range is not satisfiable"
    InvalidRequest 400 "Invalid Request"
    InvalidRetentionPeriod 400 "The retention period that you specified is not valid."
    InvalidSecurity 403 "The provided security credentials are not valid."
    InvalidStorageClass 400 "The storage class you specified is not valid"
    InvalidTag 400 "The tag provided was not a valid tag."
    InvalidToken 400 "The provided token is malformed or otherwise invalid."
    InvalidURI 400 "Couldn't parse the specified URI."
    KeyTooLongError 400 "Your key is too long"
    MalformedPOSTRequest 400 "The body of your POST request is not well-formed multipart/form-data."
    MalformedTrailerError 400 "The request contained trailing data that was not well-formed or did not conform to our published schema."
    MalformedXML 400 "The XML you provided was not well-formed or did not validate against our published schema"
    MaxMessageLengthExceeded 400 "Your request was too big."
    MaxPostPreDataLengthExceeded 400 "Your POST request fields preceding the upload file were too large."
    MetadataTooLarge 400 "Your metadata headers exceed the maximum allowed metadata size"
    MethodNotAllowed 405 "The specified method is not allowed against this resource."
    MissingContentLength 411 "You must provide the Content-Length HTTP header."
    MissingRequestBodyError 400 "Request Body is empty"
    MissingSecurityHeader 400 "Your request was missing a required header"
    NoSuchBucket 404 "The specified bucket does not exist"
    NoSuchBucketPolicy 404 "The bucket policy does not exist"
    NoSuchCORSConfiguration 404 "The CORS configuration does not exist"
    NoSuchKey 404 "The specified key does not exist."
    NoSuchLifecycleConfiguration 404 "The lifecycle configuration does not exist"
    NoSuchObjectLockConfiguration 404 "The specified object does not have a ObjectLock configuration"
    NoSuchPublicAccessBlockConfiguration 404 "The public access block configuration was not found"
    NoSuchTagSet 404 "The TagSet does not exist"
    NoSuchUpload 404 "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    NoSuchVersion 404 "The specified version does not exist."
    NoSuchWebsiteConfiguration 404 "The specified bucket does not have a website configuration"
    NotImplemented 501 "A header you provided implies functionality that is not implemented"
    NotModified 304 "Not Modified"
    ObjectLockConfigurationNotFoundError 404 "Object Lock configuration does not exist for this bucket"
    OperationAborted 409 "A conflicting conditional operation is currently in progress against this resource. Please try again."
    OwnershipControlsNotFoundError 404 "The bucket ownership controls were not found"
    PermanentRedirect 301 "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."
    PreconditionFailed 412 "At least one of the pre-conditions you specified did not hold"
    QuotaExceeded 403 "The quota of the bucket does not allow this request."
    ReplicationConfigurationNotFoundError 404 "The replication configuration was not found"
    RequestHeaderSectionTooLarge 400 "Your request header section exceeds the maximum allowed size."
    RequestTimeTooSkewed 403 "The difference between the request time and the current time is too large."
    RequestTimeout 400 "Your socket connection to the server was not read from or written to within the timeout period."
    ServerSideEncryptionConfigurationNotFoundError 404 "The server side encryption configuration was not found"
    ServiceUnavailable 503 "Service is unable to handle request."
    SignatureDoesNotMatch 403 "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    SlowDown 503 "Please reduce your request rate."
    TooManyBuckets 400 "You have attempted to create more buckets than allowed"
    UnexpectedContent 400 "This request does not support content"
    UnsupportedArgument 400 "The request contained an unsupported argument."
    XAmzContentChecksumMismatch 400 "The provided 'x-amz-checksum' header does not match what was computed."
    XAmzContentSHA256Mismatch 400 "The provided 'x-amz-content-sha256' header does not match what was computed."
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request failed, in AWS's terms.
///
/// Cheap to pass around: what is rarely there sits behind one pointer.
#[derive(Debug, Clone)]
pub struct S3Error {
    code: ErrorCode,
    message: Cow<'static, str>,
    detail: Option<Box<Detail>>,
}

#[derive(Debug, Clone, Default)]
struct Detail {
    extras: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
    must_close: bool,
}

impl S3Error {
    /// An error with AWS's own message for its code.
    #[must_use]
    pub const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: Cow::Borrowed(code.message()),
            detail: None,
        }
    }

    /// An error with a message of its own.
    #[must_use]
    pub fn message(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: None,
        }
    }

    /// Adds an element beside the message. The client reads it: no path, no internal name.
    #[must_use]
    pub fn with(mut self, element: &'static str, text: impl Into<String>) -> Self {
        self.detail().extras.push((element, text.into()));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.detail().headers.push((name, value));
        self
    }

    /// Adds what went wrong inside, for the log. It is never sent.
    #[must_use]
    pub fn because(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.detail().cause = Some(Arc::new(cause));
        self
    }

    /// Says that the connection can't be used after this answer: what is left of the request's body
    /// is unread or unreadable.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.detail().must_close = true;
        self
    }

    fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    /// AWS's code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The answer's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The message.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.message
    }

    /// The elements beside the message, in order.
    pub fn extras(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.detail
            .iter()
            .flat_map(|detail| &detail.extras)
            .map(|(name, text)| (*name, &**text))
    }

    /// One element beside the message.
    #[must_use]
    pub fn extra(&self, element: &str) -> Option<&str> {
        self.extras()
            .find(|(name, _)| *name == element)
            .map(|(_, text)| text)
    }

    /// The headers that the answer carries.
    pub fn headers(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.detail.iter().flat_map(|detail| &detail.headers)
    }

    /// What went wrong inside, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync)> {
        self.detail
            .as_ref()
            .and_then(|detail| detail.cause.as_deref())
    }

    /// Whether the connection must be closed after the answer.
    #[must_use]
    pub fn must_close(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.must_close)
    }
}

/// The errors that are built in many places.
impl S3Error {
    /// `InvalidArgument`, naming the argument and its value.
    #[must_use]
    pub fn invalid_argument(
        message: impl Into<Cow<'static, str>>,
        name: &str,
        value: &str,
    ) -> Self {
        Self::message(ErrorCode::InvalidArgument, message)
            .with("ArgumentName", name)
            .with("ArgumentValue", value)
    }

    /// `InvalidRequest` with a message.
    #[must_use]
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::message(ErrorCode::InvalidRequest, message)
    }

    /// `NotImplemented` for a header whose feature is not built.
    #[must_use]
    pub fn header_not_implemented(header: &str, value: &str) -> Self {
        Self::new(ErrorCode::NotImplemented)
            .with("Header", header)
            .with("Value", value)
    }

    /// `NotImplemented` for an operation, a sub-resource or a feature that is not built.
    #[must_use]
    pub fn not_implemented(what: impl Into<Cow<'static, str>>) -> Self {
        Self::message(ErrorCode::NotImplemented, what)
    }

    /// `NoSuchBucket`.
    #[must_use]
    pub fn no_such_bucket(bucket: &BucketName) -> Self {
        Self::new(ErrorCode::NoSuchBucket).with("BucketName", bucket.as_str())
    }

    /// `NoSuchKey`.
    #[must_use]
    pub fn no_such_key(key: &ObjectKey) -> Self {
        Self::new(ErrorCode::NoSuchKey).with("Key", key.as_str())
    }

    /// `NoSuchKey` where the current version is a delete marker.
    #[must_use]
    pub fn deleted(key: &ObjectKey, marker: &VersionId) -> Self {
        Self::no_such_key(key).with_delete_marker(marker)
    }

    /// `MethodNotAllowed` where the version that was named is a delete marker.
    #[must_use]
    pub fn version_is_delete_marker(marker: &VersionId, last_modified: Timestamp) -> Self {
        Self::new(ErrorCode::MethodNotAllowed)
            .with("Method", "GET")
            .with("ResourceType", "DeleteMarker")
            .with_delete_marker(marker)
            .with_header(ALLOW, HeaderValue::from_static("DELETE"))
            .with_text_header(LAST_MODIFIED, &last_modified.http_date())
    }

    /// `NoSuchVersion`.
    #[must_use]
    pub fn no_such_version(key: &ObjectKey, version: &VersionId) -> Self {
        Self::new(ErrorCode::NoSuchVersion)
            .with("Key", key.as_str())
            .with("VersionId", version.as_str())
    }

    /// `NoSuchUpload`.
    #[must_use]
    pub fn no_such_upload(upload: &UploadId) -> Self {
        Self::new(ErrorCode::NoSuchUpload).with("UploadId", upload.as_str())
    }

    /// `PreconditionFailed`, naming the condition's header.
    #[must_use]
    pub fn precondition_failed(condition: &str) -> Self {
        Self::new(ErrorCode::PreconditionFailed).with("Condition", condition)
    }

    /// `NotModified`: 304, with the headers by which a cache knows what it has.
    #[must_use]
    pub fn not_modified(etag: &ETag, last_modified: Timestamp) -> Self {
        Self::new(ErrorCode::NotModified)
            .with_text_header(ETAG, &etag.quoted())
            .with_text_header(LAST_MODIFIED, &last_modified.http_date())
    }

    /// `InvalidRange`, saying how long the object is.
    #[must_use]
    pub fn invalid_range(requested: &str, object_len: u64) -> Self {
        Self::new(ErrorCode::InvalidRange)
            .with("RangeRequested", requested)
            .with("ActualObjectSize", object_len.to_string())
            .with_text_header(CONTENT_RANGE, &format!("bytes */{object_len}"))
    }

    /// `MalformedXML`.
    #[must_use]
    pub const fn malformed_xml() -> Self {
        Self::new(ErrorCode::MalformedXML)
    }

    /// `SlowDown` for a while, with the reason.
    #[must_use]
    pub fn slow_down(reason: &str, retry_after_seconds: u64) -> Self {
        let message = format!("Please reduce your request rate: {reason}.");
        Self::message(ErrorCode::SlowDown, message)
            .with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// `InternalError`, with its cause for the log.
    #[must_use]
    pub fn internal(cause: impl StdError + Send + Sync + 'static) -> Self {
        Self::new(ErrorCode::InternalError).because(cause)
    }

    fn with_delete_marker(self, marker: &VersionId) -> Self {
        self.with_header(header::DELETE_MARKER, HeaderValue::from_static("true"))
            .with_text_header(header::VERSION_ID, marker.as_str())
    }

    /// Adds a header if its text can be one. What can't be one is left out, not garbled.
    #[must_use]
    pub fn with_text_header(self, name: HeaderName, text: &str) -> Self {
        match HeaderValue::from_str(text) {
            Ok(value) => self.with_header(name, value),
            Err(_) => self,
        }
    }
}

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl StdError for S3Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.detail
            .as_ref()
            .and_then(|detail| detail.cause.as_deref())
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_a_message() {
        for code in ErrorCode::ALL {
            assert!((301..=503).contains(&code.status()), "{code}");
            assert!(!code.message().is_empty(), "{code}");
            let error = S3Error::new(*code);
            assert_eq!(error.status().as_u16(), code.status());
            assert_eq!(error.text(), code.message());
        }
    }

    #[test]
    fn a_range_error_says_how_long_the_object_is() {
        let error = S3Error::invalid_range("bytes=9-", 4);
        assert_eq!(error.extra("RangeRequested"), Some("bytes=9-"));
        assert_eq!(error.extra("ActualObjectSize"), Some("4"));
        let headers: Vec<_> = error.headers().collect();
        assert_eq!(
            headers,
            [&(CONTENT_RANGE, HeaderValue::from_static("bytes */4"))]
        );
    }

    #[test]
    fn the_cause_is_for_the_log_only() {
        let error = S3Error::internal(std::io::Error::other("/var/lib/secret"));
        assert_eq!(
            error.to_string(),
            "InternalError: We encountered an internal error. Please try again."
        );
        assert_eq!(error.cause().unwrap().to_string(), "/var/lib/secret");
        assert_eq!(error.extras().count(), 0);
    }
}
