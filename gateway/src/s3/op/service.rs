//! The seam between the protocol and a store: one method an operation.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::body::ObjectBody;
use super::bucket::{
    CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, PutBucketVersioningInput, PutBucketVersioningOutput,
};
use super::configuration::{BucketInput, ObjectAclInput, PutBucketOwnershipControlsInput};
use super::cors::{CorsConfiguration, PutBucketCorsInput};
use super::encryption::{BucketEncryption, PutBucketEncryptionInput};
use super::lifecycle::{LifecycleConfiguration, PutBucketLifecycleInput};
use super::list::{
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectVersionsInput,
    ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output,
};
use super::multipart::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    ListPartsInput, ListPartsOutput, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use super::notification::{NotificationConfiguration, PutBucketNotificationConfigurationInput};
use super::object::{
    CopyObjectInput, CopyObjectOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    PutObjectInput, PutObjectOutput,
};
use super::object_attributes::{GetObjectAttributesInput, GetObjectAttributesOutput};
use super::object_lock::{
    ObjectLock, ObjectLockConfiguration, ObjectLockInput, PutObjectLegalHoldInput,
    PutObjectLockConfigurationInput, PutObjectRetentionInput,
};
use super::post::PostObjectInput;
use super::tags::{
    ObjectTaggingInput, ObjectTaggingOutput, PutBucketTaggingInput, PutObjectTaggingInput, TagSet,
};
use crate::s3::error::S3Error;
use crate::s3::name::BucketName;
use crate::s3::time::Timestamp;

/// Who asks, and under which name it is logged.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The request's id: in the answer, in every log line.
    pub request_id: Arc<str>,
    /// The access key that signed the request. Anonymous requests never reach a service.
    pub access_key_id: Arc<str>,
    /// From where it came, a trusted proxy's word included: who shares the store's memory with
    /// others, and what the change log says.
    pub client: IpAddr,
    /// The region that this gateway serves.
    pub region: Arc<str>,
    /// When the request's head was read.
    pub received: Timestamp,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($input:ty),)*) => {
        /// The operations that are built, by AWS's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum OperationKind {
            $($(#[$doc])* $name,)*
        }

        impl OperationKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// AWS's name: in logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }

        /// An operation with what it is asked.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* $name($input),)*
        }

        impl Operation {
            /// Which operation it is.
            #[must_use]
            pub const fn kind(&self) -> OperationKind {
                match self {
                    $(Self::$name(_) => OperationKind::$name,)*
                }
            }
        }
    };
}

operations! {
    /// Makes a bucket.
    CreateBucket(CreateBucketInput),
    /// Removes an empty bucket.
    DeleteBucket(DeleteBucketInput),
    /// Says whether a bucket is there.
    HeadBucket(HeadBucketInput),
    /// Lists buckets.
    ListBuckets(ListBucketsInput),
    /// Says where a bucket is.
    GetBucketLocation(GetBucketLocationInput),
    /// Switches versioning.
    PutBucketVersioning(PutBucketVersioningInput),
    /// Says whether a bucket keeps versions.
    GetBucketVersioning(GetBucketVersioningInput),
    /// Writes an object.
    PutObject(PutObjectInput),
    /// Writes an object that a browser sends in a form.
    PostObject(PostObjectInput),
    /// Reads an object.
    GetObject(GetObjectInput),
    /// Reads an object's headers.
    HeadObject(HeadObjectInput),
    /// Deletes an object or a version.
    DeleteObject(DeleteObjectInput),
    /// Deletes many.
    DeleteObjects(DeleteObjectsInput),
    /// Copies an object.
    CopyObject(CopyObjectInput),
    /// Lists objects, version 1.
    ListObjects(ListObjectsInput),
    /// Lists objects, version 2.
    ListObjectsV2(ListObjectsV2Input),
    /// Lists versions.
    ListObjectVersions(ListObjectVersionsInput),
    /// Begins an upload of parts.
    CreateMultipartUpload(CreateMultipartUploadInput),
    /// Writes a part.
    UploadPart(UploadPartInput),
    /// Lists an upload's parts.
    ListParts(ListPartsInput),
    /// Lists open uploads.
    ListMultipartUploads(ListMultipartUploadsInput),
    /// Makes an object of parts.
    CompleteMultipartUpload(CompleteMultipartUploadInput),
    /// Drops an upload.
    AbortMultipartUpload(AbortMultipartUploadInput),
    /// Makes a part of another object's bytes.
    UploadPartCopy(UploadPartCopyInput),
    /// Says what is known of an object.
    GetObjectAttributes(GetObjectAttributesInput),
    /// Gives an object tags.
    PutObjectTagging(PutObjectTaggingInput),
    /// Reads an object's tags.
    GetObjectTagging(ObjectTaggingInput),
    /// Takes an object's tags away.
    DeleteObjectTagging(ObjectTaggingInput),
    /// Gives a bucket tags.
    PutBucketTagging(PutBucketTaggingInput),
    /// Reads a bucket's tags.
    GetBucketTagging(BucketInput),
    /// Takes a bucket's tags away.
    DeleteBucketTagging(BucketInput),
    /// Gives a bucket cross-origin rules.
    PutBucketCors(PutBucketCorsInput),
    /// Reads a bucket's cross-origin rules.
    GetBucketCors(BucketInput),
    /// Takes a bucket's cross-origin rules away.
    DeleteBucketCors(BucketInput),
    /// Says that the owner may do everything with a bucket.
    GetBucketAcl(BucketInput),
    /// Is refused: the owner is enforced.
    PutBucketAcl(BucketInput),
    /// Says that the owner may do everything with an object.
    GetObjectAcl(ObjectAclInput),
    /// Is refused: the owner is enforced.
    PutObjectAcl(ObjectAclInput),
    /// Says that the owner is enforced.
    PutBucketOwnershipControls(PutBucketOwnershipControlsInput),
    /// Reads that.
    GetBucketOwnershipControls(BucketInput),
    /// Takes the saying away; the owner stays enforced.
    DeleteBucketOwnershipControls(BucketInput),
    /// There is no policy.
    GetBucketPolicy(BucketInput),
    /// There is no policy.
    GetBucketPolicyStatus(BucketInput),
    /// Sets how objects are encrypted whose writer does not say.
    PutBucketEncryption(PutBucketEncryptionInput),
    /// Reads that.
    GetBucketEncryption(BucketInput),
    /// Takes that away.
    DeleteBucketEncryption(BucketInput),
    /// Lets a bucket's versions be locked, and says what new ones get.
    PutObjectLockConfiguration(PutObjectLockConfigurationInput),
    /// Reads that.
    GetObjectLockConfiguration(BucketInput),
    /// Keeps a version until a time.
    PutObjectRetention(PutObjectRetentionInput),
    /// Reads that.
    GetObjectRetention(ObjectLockInput),
    /// Keeps a version until somebody says otherwise.
    PutObjectLegalHold(PutObjectLegalHoldInput),
    /// Reads that.
    GetObjectLegalHold(ObjectLockInput),
    /// Gives a bucket lifecycle rules.
    PutBucketLifecycleConfiguration(PutBucketLifecycleInput),
    /// Reads a bucket's lifecycle rules.
    GetBucketLifecycleConfiguration(BucketInput),
    /// Takes a bucket's lifecycle rules away.
    DeleteBucketLifecycle(BucketInput),
    /// There is no replication.
    GetBucketReplication(BucketInput),
    /// There is no website.
    GetBucketWebsite(BucketInput),
    /// There is no public access block.
    GetPublicAccessBlock(BucketInput),
    /// Reads who is told of what happens in a bucket.
    GetBucketNotificationConfiguration(BucketInput),
    /// Says who is told of what happens in a bucket.
    PutBucketNotificationConfiguration(PutBucketNotificationConfigurationInput),
    /// There is no logging.
    GetBucketLogging(BucketInput),
    /// The owner pays.
    GetBucketRequestPayment(BucketInput),
    /// There is no acceleration.
    GetBucketAccelerateConfiguration(BucketInput),
}

/// A store, as S3 sees it. Errors are AWS's codes; the edge adds resource and ids.
///
/// A future may be dropped at any await (the client left): a commit that has begun must end
/// nevertheless, in a task of its own.
#[async_trait]
pub trait S3Service: Send + Sync + 'static {
    /// Makes a bucket.
    async fn create_bucket(
        &self,
        context: &RequestContext,
        input: CreateBucketInput,
    ) -> Result<CreateBucketOutput, S3Error>;

    /// Removes an empty bucket.
    async fn delete_bucket(
        &self,
        context: &RequestContext,
        input: DeleteBucketInput,
    ) -> Result<DeleteBucketOutput, S3Error>;

    /// Says whether a bucket is there.
    async fn head_bucket(
        &self,
        context: &RequestContext,
        input: HeadBucketInput,
    ) -> Result<HeadBucketOutput, S3Error>;

    /// Lists buckets.
    async fn list_buckets(
        &self,
        context: &RequestContext,
        input: ListBucketsInput,
    ) -> Result<ListBucketsOutput, S3Error>;

    /// Says where a bucket is.
    async fn get_bucket_location(
        &self,
        context: &RequestContext,
        input: GetBucketLocationInput,
    ) -> Result<GetBucketLocationOutput, S3Error>;

    /// Switches versioning.
    async fn put_bucket_versioning(
        &self,
        context: &RequestContext,
        input: PutBucketVersioningInput,
    ) -> Result<PutBucketVersioningOutput, S3Error>;

    /// Says whether a bucket keeps versions.
    async fn get_bucket_versioning(
        &self,
        context: &RequestContext,
        input: GetBucketVersioningInput,
    ) -> Result<GetBucketVersioningOutput, S3Error>;

    /// Writes an object. Publishes only after the body's stream has ended without an `Err`.
    async fn put_object(
        &self,
        context: &RequestContext,
        input: PutObjectInput,
        body: ObjectBody,
    ) -> Result<PutObjectOutput, S3Error>;

    /// Writes an object that a form brought: as `put_object`, but for what is logged of it.
    async fn post_object(
        &self,
        context: &RequestContext,
        input: PutObjectInput,
        body: ObjectBody,
    ) -> Result<PutObjectOutput, S3Error> {
        self.put_object(context, input, body).await
    }

    /// Reads an object.
    async fn get_object(
        &self,
        context: &RequestContext,
        input: GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error>;

    /// Reads an object's headers.
    async fn head_object(
        &self,
        context: &RequestContext,
        input: HeadObjectInput,
    ) -> Result<HeadObjectOutput, S3Error>;

    /// Deletes an object or a version.
    async fn delete_object(
        &self,
        context: &RequestContext,
        input: DeleteObjectInput,
    ) -> Result<DeleteObjectOutput, S3Error>;

    /// Deletes many objects; each has its own outcome.
    async fn delete_objects(
        &self,
        context: &RequestContext,
        input: DeleteObjectsInput,
    ) -> Result<DeleteObjectsOutput, S3Error>;

    /// Copies an object.
    async fn copy_object(
        &self,
        context: &RequestContext,
        input: CopyObjectInput,
    ) -> Result<CopyObjectOutput, S3Error>;

    /// Lists objects, version 1.
    async fn list_objects(
        &self,
        context: &RequestContext,
        input: ListObjectsInput,
    ) -> Result<ListObjectsOutput, S3Error>;

    /// Lists objects, version 2.
    async fn list_objects_v2(
        &self,
        context: &RequestContext,
        input: ListObjectsV2Input,
    ) -> Result<ListObjectsV2Output, S3Error>;

    /// Lists versions.
    async fn list_object_versions(
        &self,
        context: &RequestContext,
        input: ListObjectVersionsInput,
    ) -> Result<ListObjectVersionsOutput, S3Error>;

    /// Begins an upload of parts.
    async fn create_multipart_upload(
        &self,
        context: &RequestContext,
        input: CreateMultipartUploadInput,
    ) -> Result<CreateMultipartUploadOutput, S3Error>;

    /// Writes a part. Publishes only after the body's stream has ended without an `Err`.
    async fn upload_part(
        &self,
        context: &RequestContext,
        input: UploadPartInput,
        body: ObjectBody,
    ) -> Result<UploadPartOutput, S3Error>;

    /// Lists an upload's parts.
    async fn list_parts(
        &self,
        context: &RequestContext,
        input: ListPartsInput,
    ) -> Result<ListPartsOutput, S3Error>;

    /// Lists open uploads.
    async fn list_multipart_uploads(
        &self,
        context: &RequestContext,
        input: ListMultipartUploadsInput,
    ) -> Result<ListMultipartUploadsOutput, S3Error>;

    /// Makes an object of parts.
    async fn complete_multipart_upload(
        &self,
        context: &RequestContext,
        input: CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput, S3Error>;

    /// Makes a part of another object's bytes.
    async fn upload_part_copy(
        &self,
        context: &RequestContext,
        input: UploadPartCopyInput,
    ) -> Result<UploadPartCopyOutput, S3Error>;

    /// Says what is known of an object.
    async fn get_object_attributes(
        &self,
        context: &RequestContext,
        input: GetObjectAttributesInput,
    ) -> Result<GetObjectAttributesOutput, S3Error>;

    /// Gives an object's version other tags.
    async fn put_object_tagging(
        &self,
        context: &RequestContext,
        input: PutObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error>;

    /// Reads the tags of an object's version.
    async fn get_object_tagging(
        &self,
        context: &RequestContext,
        input: ObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error>;

    /// Gives a bucket other tags.
    async fn put_bucket_tagging(
        &self,
        context: &RequestContext,
        input: PutBucketTaggingInput,
    ) -> Result<(), S3Error>;

    /// Reads a bucket's tags; `NoSuchTagSet` if it was given none.
    async fn get_bucket_tagging(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<TagSet, S3Error>;

    /// Takes a bucket's tags away.
    async fn delete_bucket_tagging(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error>;

    /// Lets a bucket's versions be locked, and says what new ones get.
    async fn put_object_lock_configuration(
        &self,
        context: &RequestContext,
        input: PutObjectLockConfigurationInput,
    ) -> Result<(), S3Error>;

    /// Reads that; `ObjectLockConfigurationNotFoundError` where they can't be locked.
    async fn get_object_lock_configuration(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<ObjectLockConfiguration, S3Error>;

    /// Keeps a version until a time.
    async fn put_object_retention(
        &self,
        context: &RequestContext,
        input: PutObjectRetentionInput,
    ) -> Result<(), S3Error>;

    /// Keeps a version until somebody says otherwise.
    async fn put_object_legal_hold(
        &self,
        context: &RequestContext,
        input: PutObjectLegalHoldInput,
    ) -> Result<(), S3Error>;

    /// Reads what locks a version, in a bucket whose versions can be locked.
    async fn get_object_lock(
        &self,
        context: &RequestContext,
        input: ObjectLockInput,
    ) -> Result<ObjectLock, S3Error>;

    /// Sets how objects are encrypted whose writer does not say.
    async fn put_bucket_encryption(
        &self,
        context: &RequestContext,
        input: PutBucketEncryptionInput,
    ) -> Result<(), S3Error>;

    /// Reads that; `ServerSideEncryptionConfigurationNotFoundError` if nothing was set.
    async fn get_bucket_encryption(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<BucketEncryption, S3Error>;

    /// Takes that away.
    async fn delete_bucket_encryption(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error>;

    /// Gives a bucket other cross-origin rules.
    async fn put_bucket_cors(
        &self,
        context: &RequestContext,
        input: PutBucketCorsInput,
    ) -> Result<(), S3Error>;

    /// Reads a bucket's cross-origin rules; `NoSuchCORSConfiguration` if it was given none.
    async fn get_bucket_cors(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<CorsConfiguration, S3Error>;

    /// Takes a bucket's cross-origin rules away.
    async fn delete_bucket_cors(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error>;

    /// A bucket's cross-origin rules, for the edge itself, which asks on behalf of browsers that
    /// have not signed anything. `None` for a bucket that is not there, too.
    async fn cors_rules(&self, bucket: &BucketName) -> Result<Option<CorsConfiguration>, S3Error>;

    /// Gives a bucket other rules of who is told of what happens in it. A target that is not there
    /// is `InvalidArgument`.
    async fn put_bucket_notification_configuration(
        &self,
        context: &RequestContext,
        input: PutBucketNotificationConfigurationInput,
    ) -> Result<(), S3Error>;

    /// Reads them; there may be none.
    async fn get_bucket_notification_configuration(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<NotificationConfiguration, S3Error>;

    /// Gives a bucket other lifecycle rules.
    async fn put_bucket_lifecycle(
        &self,
        context: &RequestContext,
        input: PutBucketLifecycleInput,
    ) -> Result<(), S3Error>;

    /// Reads a bucket's lifecycle rules; `NoSuchLifecycleConfiguration` if it was given none.
    async fn get_bucket_lifecycle(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<LifecycleConfiguration, S3Error>;

    /// Takes a bucket's lifecycle rules away.
    async fn delete_bucket_lifecycle(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error>;

    /// Says that the owner is enforced, as it is anyway.
    async fn put_bucket_ownership_controls(
        &self,
        context: &RequestContext,
        input: PutBucketOwnershipControlsInput,
    ) -> Result<(), S3Error>;

    /// Whether it is said that the owner is enforced; `OwnershipControlsNotFoundError` if that was
    /// taken away.
    async fn get_bucket_ownership_controls(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error>;

    /// Takes the saying away.
    async fn delete_bucket_ownership_controls(
        &self,
        context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error>;

    /// Drops an upload and its parts.
    async fn abort_multipart_upload(
        &self,
        context: &RequestContext,
        input: AbortMultipartUploadInput,
    ) -> Result<AbortMultipartUploadOutput, S3Error>;
}
