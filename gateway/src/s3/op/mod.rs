//! The operations of S3 as types: what each is asked, what it answers, and the trait behind them.
//!
//! An input is fully parsed and checked: what a store still has to refuse depends on what it holds.
//! The trait [`S3Service`] is the whole seam between the protocol and a store. Names are AWS's.

pub mod attributes;
pub mod body;
pub mod bucket;
pub mod checksum;
pub mod condition;
pub mod configuration;
pub mod cors;
pub mod encryption;
pub mod lifecycle;
pub mod list;
pub mod multipart;
pub mod notification;
pub mod object;
pub mod object_attributes;
pub mod object_lock;
pub mod post;
pub mod range;
pub mod service;
pub mod tags;

pub use attributes::{
    ContentHeaders, OWNER_DISPLAY_NAME, OWNER_ID, ObjectAttributes, Owner, StorageClass,
    UserMetadata,
};
pub use body::{
    BodyClaims, BodyDigests, ByteStream, ChecksumClaim, Claimed, DigestSlot, ObjectBody,
};
pub use bucket::{
    BucketEntry, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, PutBucketVersioningInput, PutBucketVersioningOutput, VersioningStatus,
};
pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumType, ObjectChecksum};
pub use condition::{ETag, ETagCondition, ReadConditions, Verdict, WriteCondition};
pub use configuration::{BucketInput, ObjectAclInput, PutBucketOwnershipControlsInput};
pub use cors::{CorsConfiguration, CorsMethod, CorsRule, OriginMatch, PutBucketCorsInput};
pub use encryption::{
    AppliedEncryption, BlockedEncryption, BucketEncryption, PutBucketEncryptionInput,
    WriteEncryption,
};
pub use lifecycle::{
    LifecycleConfiguration, LifecycleExpiration, LifecycleFilter, LifecycleNotice, LifecycleRule,
    LifecycleScope, LifecycleStatus, NoncurrentVersionExpiration, PutBucketLifecycleInput,
    TransitionMinimum,
};
pub use list::{
    Encoding, ListFilter, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, ListPosition, MAX_KEYS, ObjectEntry, UploadEntry,
    VersionEntry, VersionKind,
};
pub use multipart::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ListPartsInput, ListPartsOutput, MIN_PART_LEN, PartEntry,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
pub use notification::{
    EVENTS, NotificationConfiguration, NotificationRule, PutBucketNotificationConfigurationInput,
    TargetArn, TargetKind,
};
pub use object::{
    ChecksumMode, CopyObjectInput, CopyObjectOutput, CopySource, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeleteResult, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, MAX_SINGLE_BODY_LEN, MetadataDirective,
    ObjectHead, ObjectToDelete, PutObjectInput, PutObjectOutput, ResponseOverrides, Select,
};
pub use object_attributes::{
    GetObjectAttributesInput, GetObjectAttributesOutput, ObjectAttribute, ObjectPartEntry,
    ObjectPartsPage,
};
pub use object_lock::{
    DefaultRetention, GovernanceBypass, LegalHold, ObjectLock, ObjectLockConfiguration,
    ObjectLockInput, PutObjectLegalHoldInput, PutObjectLockConfigurationInput,
    PutObjectRetentionInput, Retention, RetentionMode, RetentionPeriod,
};
pub use post::{PostObjectInput, SuccessAction};
pub use range::ByteRange;
pub use service::{Operation, OperationKind, RequestContext, S3Service};
pub use tags::{
    ObjectTaggingInput, ObjectTaggingOutput, PutBucketTaggingInput, PutObjectTaggingInput, TagSet,
    Tagged, TaggingDirective,
};
