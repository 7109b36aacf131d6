//! The names of AWS's own headers, in one place.

use http::HeaderName;

macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: HeaderName = HeaderName::from_static($text);
        )*
    };
}

headers! {
    ABORT_DATE "x-amz-abort-date"
    ABORT_RULE_ID "x-amz-abort-rule-id"
    ACL "x-amz-acl"
    BUCKET_OBJECT_LOCK_ENABLED "x-amz-bucket-object-lock-enabled"
    BUCKET_REGION "x-amz-bucket-region"
    BYPASS_GOVERNANCE "x-amz-bypass-governance-retention"
    CHECKSUM_ALGORITHM "x-amz-checksum-algorithm"
    CHECKSUM_MODE "x-amz-checksum-mode"
    CHECKSUM_TYPE "x-amz-checksum-type"
    CONTENT_MD5 "content-md5"
    CONTENT_SHA256 "x-amz-content-sha256"
    COPY_SOURCE "x-amz-copy-source"
    COPY_SOURCE_CUSTOMER_ALGORITHM "x-amz-copy-source-server-side-encryption-customer-algorithm"
    COPY_SOURCE_CUSTOMER_KEY "x-amz-copy-source-server-side-encryption-customer-key"
    COPY_SOURCE_CUSTOMER_KEY_MD5 "x-amz-copy-source-server-side-encryption-customer-key-md5"
    COPY_SOURCE_IF_MATCH "x-amz-copy-source-if-match"
    COPY_SOURCE_IF_MODIFIED_SINCE "x-amz-copy-source-if-modified-since"
    COPY_SOURCE_IF_NONE_MATCH "x-amz-copy-source-if-none-match"
    COPY_SOURCE_IF_UNMODIFIED_SINCE "x-amz-copy-source-if-unmodified-since"
    COPY_SOURCE_RANGE "x-amz-copy-source-range"
    COPY_SOURCE_VERSION_ID "x-amz-copy-source-version-id"
    CUSTOMER_ALGORITHM "x-amz-server-side-encryption-customer-algorithm"
    CUSTOMER_KEY "x-amz-server-side-encryption-customer-key"
    CUSTOMER_KEY_MD5 "x-amz-server-side-encryption-customer-key-md5"
    DATE "x-amz-date"
    DECODED_CONTENT_LENGTH "x-amz-decoded-content-length"
    DELETE_MARKER "x-amz-delete-marker"
    ENCRYPTION "x-amz-server-side-encryption"
    ENCRYPTION_BUCKET_KEY "x-amz-server-side-encryption-bucket-key-enabled"
    EXPECTED_BUCKET_OWNER "x-amz-expected-bucket-owner"
    EXPIRATION "x-amz-expiration"
    HOST_ID "x-amz-id-2"
    MAX_PARTS "x-amz-max-parts"
    METADATA_DIRECTIVE "x-amz-metadata-directive"
    MISSING_META "x-amz-missing-meta"
    MP_OBJECT_SIZE "x-amz-mp-object-size"
    MP_PARTS_COUNT "x-amz-mp-parts-count"
    OBJECT_ATTRIBUTES "x-amz-object-attributes"
    OBJECT_LOCK_LEGAL_HOLD "x-amz-object-lock-legal-hold"
    OBJECT_LOCK_MODE "x-amz-object-lock-mode"
    OBJECT_LOCK_RETAIN_UNTIL_DATE "x-amz-object-lock-retain-until-date"
    OBJECT_OWNERSHIP "x-amz-object-ownership"
    OPTIONAL_OBJECT_ATTRIBUTES "x-amz-optional-object-attributes"
    PART_NUMBER_MARKER "x-amz-part-number-marker"
    REQUEST_ID "x-amz-request-id"
    SDK_CHECKSUM_ALGORITHM "x-amz-sdk-checksum-algorithm"
    SECURITY_TOKEN "x-amz-security-token"
    SKIP_DESTINATION_VALIDATION "x-amz-skip-destination-validation"
    SOURCE_EXPECTED_BUCKET_OWNER "x-amz-source-expected-bucket-owner"
    STORAGE_CLASS "x-amz-storage-class"
    TAGGING "x-amz-tagging"
    TAGGING_COUNT "x-amz-tagging-count"
    TAGGING_DIRECTIVE "x-amz-tagging-directive"
    TRAILER "x-amz-trailer"
    TRANSITION_DEFAULT_MINIMUM_OBJECT_SIZE "x-amz-transition-default-minimum-object-size"
    VERSION_ID "x-amz-version-id"
}

/// What user metadata's headers begin with.
pub const USER_METADATA_PREFIX: &str = "x-amz-meta-";
