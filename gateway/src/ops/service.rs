//! [`Gateway`] as an [`S3Service`]: who answers what, and which of it must run to its end.

use async_trait::async_trait;
use holdfast_metadata::model::ChangeCause;

use super::Gateway;
use crate::s3::error::S3Error;
use crate::s3::name::BucketName;
use crate::s3::op::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, BucketEncryption, BucketInput,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput,
    CorsConfiguration, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteBucketInput, DeleteBucketOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput,
    GetBucketLocationOutput, GetBucketVersioningInput, GetBucketVersioningOutput,
    GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, LifecycleConfiguration,
    ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    NotificationConfiguration, ObjectBody, ObjectLock, ObjectLockConfiguration, ObjectLockInput,
    ObjectTaggingInput, ObjectTaggingOutput, PutBucketCorsInput, PutBucketEncryptionInput,
    PutBucketLifecycleInput, PutBucketNotificationConfigurationInput,
    PutBucketOwnershipControlsInput, PutBucketTaggingInput, PutBucketVersioningInput,
    PutBucketVersioningOutput, PutObjectInput, PutObjectLegalHoldInput,
    PutObjectLockConfigurationInput, PutObjectOutput, PutObjectRetentionInput,
    PutObjectTaggingInput, RequestContext, S3Service, TagSet, UploadPartCopyInput,
    UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};

/// Reads are answered where they are asked: a client that leaves ends them.
macro_rules! here {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        $self.$method($($argument),*).await
    };
}

/// Writes run to their end, whoever leaves.
macro_rules! to_its_end {
    ($self:ident, $method:ident($($argument:expr),*)) => {{
        let gateway = $self.clone();
        $self.to_its_end(async move { gateway.$method($($argument),*).await }).await
    }};
}

/// The same for what the change log does not tell of and takes memory.
macro_rules! with_memory {
    ($self:ident, $context:ident, $method:ident($($argument:expr),*)) => {{
        let gateway = $self.on_behalf_of($context);
        $self.to_its_end(async move { gateway.$method($($argument),*).await }).await
    }};
}

/// The same for what the change log tells of, with who asked for it.
macro_rules! logged {
    ($self:ident, $context:ident, $cause:ident, $method:ident($($argument:expr),*)) => {{
        let gateway = $self.asked_by($context, ChangeCause::$cause);
        $self.to_its_end(async move { gateway.$method($($argument),*).await }).await
    }};
}

#[async_trait]
impl S3Service for Gateway {
    async fn create_bucket(
        &self,
        _context: &RequestContext,
        input: CreateBucketInput,
    ) -> Result<CreateBucketOutput, S3Error> {
        to_its_end!(self, make_bucket(input))
    }

    async fn delete_bucket(
        &self,
        _context: &RequestContext,
        input: DeleteBucketInput,
    ) -> Result<DeleteBucketOutput, S3Error> {
        to_its_end!(self, remove_bucket(input))
    }

    async fn head_bucket(
        &self,
        _context: &RequestContext,
        input: HeadBucketInput,
    ) -> Result<HeadBucketOutput, S3Error> {
        here!(self, bucket_head(&input))
    }

    async fn list_buckets(
        &self,
        _context: &RequestContext,
        input: ListBucketsInput,
    ) -> Result<ListBucketsOutput, S3Error> {
        here!(self, bucket_list(&input))
    }

    async fn get_bucket_location(
        &self,
        _context: &RequestContext,
        input: GetBucketLocationInput,
    ) -> Result<GetBucketLocationOutput, S3Error> {
        here!(self, bucket_location(&input))
    }

    async fn put_bucket_versioning(
        &self,
        _context: &RequestContext,
        input: PutBucketVersioningInput,
    ) -> Result<PutBucketVersioningOutput, S3Error> {
        to_its_end!(self, switch_versioning(input))
    }

    async fn get_bucket_versioning(
        &self,
        _context: &RequestContext,
        input: GetBucketVersioningInput,
    ) -> Result<GetBucketVersioningOutput, S3Error> {
        here!(self, versioning(&input))
    }

    async fn put_object(
        &self,
        context: &RequestContext,
        input: PutObjectInput,
        body: ObjectBody,
    ) -> Result<PutObjectOutput, S3Error> {
        logged!(self, context, Request, put(input, body))
    }

    async fn post_object(
        &self,
        context: &RequestContext,
        input: PutObjectInput,
        body: ObjectBody,
    ) -> Result<PutObjectOutput, S3Error> {
        logged!(self, context, Form, put(input, body))
    }

    async fn get_object(
        &self,
        context: &RequestContext,
        input: GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error> {
        self.on_behalf_of(context).get(&input).await
    }

    async fn head_object(
        &self,
        _context: &RequestContext,
        input: HeadObjectInput,
    ) -> Result<HeadObjectOutput, S3Error> {
        here!(self, head(&input))
    }

    async fn delete_object(
        &self,
        context: &RequestContext,
        input: DeleteObjectInput,
    ) -> Result<DeleteObjectOutput, S3Error> {
        logged!(self, context, Request, delete(input))
    }

    async fn delete_objects(
        &self,
        context: &RequestContext,
        input: DeleteObjectsInput,
    ) -> Result<DeleteObjectsOutput, S3Error> {
        logged!(self, context, Request, delete_many(input))
    }

    async fn copy_object(
        &self,
        context: &RequestContext,
        input: CopyObjectInput,
    ) -> Result<CopyObjectOutput, S3Error> {
        logged!(self, context, Copy, copy(input))
    }

    async fn list_objects(
        &self,
        _context: &RequestContext,
        input: ListObjectsInput,
    ) -> Result<ListObjectsOutput, S3Error> {
        here!(self, objects(&input))
    }

    async fn list_objects_v2(
        &self,
        _context: &RequestContext,
        input: ListObjectsV2Input,
    ) -> Result<ListObjectsV2Output, S3Error> {
        here!(self, objects_v2(&input))
    }

    async fn list_object_versions(
        &self,
        _context: &RequestContext,
        input: ListObjectVersionsInput,
    ) -> Result<ListObjectVersionsOutput, S3Error> {
        here!(self, versions(&input))
    }

    async fn create_multipart_upload(
        &self,
        context: &RequestContext,
        input: CreateMultipartUploadInput,
    ) -> Result<CreateMultipartUploadOutput, S3Error> {
        logged!(self, context, Request, begin_upload(input))
    }

    async fn upload_part(
        &self,
        context: &RequestContext,
        input: UploadPartInput,
        body: ObjectBody,
    ) -> Result<UploadPartOutput, S3Error> {
        with_memory!(self, context, put_part(input, body))
    }

    async fn list_parts(
        &self,
        _context: &RequestContext,
        input: ListPartsInput,
    ) -> Result<ListPartsOutput, S3Error> {
        here!(self, parts(&input))
    }

    async fn list_multipart_uploads(
        &self,
        _context: &RequestContext,
        input: ListMultipartUploadsInput,
    ) -> Result<ListMultipartUploadsOutput, S3Error> {
        here!(self, uploads(&input))
    }

    async fn complete_multipart_upload(
        &self,
        context: &RequestContext,
        input: CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput, S3Error> {
        logged!(self, context, Request, complete(input))
    }

    async fn abort_multipart_upload(
        &self,
        _context: &RequestContext,
        input: AbortMultipartUploadInput,
    ) -> Result<AbortMultipartUploadOutput, S3Error> {
        to_its_end!(self, abort(input))
    }

    async fn upload_part_copy(
        &self,
        context: &RequestContext,
        input: UploadPartCopyInput,
    ) -> Result<UploadPartCopyOutput, S3Error> {
        with_memory!(self, context, copy_part(input))
    }

    async fn get_object_attributes(
        &self,
        _context: &RequestContext,
        input: GetObjectAttributesInput,
    ) -> Result<GetObjectAttributesOutput, S3Error> {
        here!(self, object_attributes(&input))
    }

    async fn put_object_tagging(
        &self,
        context: &RequestContext,
        input: PutObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error> {
        logged!(self, context, Request, tag(input))
    }

    async fn get_object_tagging(
        &self,
        _context: &RequestContext,
        input: ObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error> {
        here!(self, tags(&input))
    }

    async fn put_bucket_tagging(
        &self,
        _context: &RequestContext,
        input: PutBucketTaggingInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, tag_bucket(input))
    }

    async fn get_bucket_tagging(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<TagSet, S3Error> {
        here!(self, bucket_tags(&input))
    }

    async fn delete_bucket_tagging(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, untag_bucket(input))
    }

    async fn put_bucket_ownership_controls(
        &self,
        _context: &RequestContext,
        input: PutBucketOwnershipControlsInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, enforce_owner(input))
    }

    async fn get_bucket_ownership_controls(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        here!(self, owner_is_enforced(&input))
    }

    async fn delete_bucket_ownership_controls(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, unsay_ownership(input))
    }

    async fn put_object_lock_configuration(
        &self,
        _context: &RequestContext,
        input: PutObjectLockConfigurationInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, put_object_lock(input))
    }

    async fn get_object_lock_configuration(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<ObjectLockConfiguration, S3Error> {
        here!(self, object_lock(&input))
    }

    async fn put_object_retention(
        &self,
        context: &RequestContext,
        input: PutObjectRetentionInput,
    ) -> Result<(), S3Error> {
        logged!(self, context, Request, retain(input))
    }

    async fn put_object_legal_hold(
        &self,
        context: &RequestContext,
        input: PutObjectLegalHoldInput,
    ) -> Result<(), S3Error> {
        logged!(self, context, Request, hold(input))
    }

    async fn get_object_lock(
        &self,
        _context: &RequestContext,
        input: ObjectLockInput,
    ) -> Result<ObjectLock, S3Error> {
        here!(self, lock_of(&input))
    }

    async fn put_bucket_encryption(
        &self,
        _context: &RequestContext,
        input: PutBucketEncryptionInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, set_bucket_encryption(input))
    }

    async fn get_bucket_encryption(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<BucketEncryption, S3Error> {
        here!(self, bucket_encryption(&input))
    }

    async fn delete_bucket_encryption(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, unset_bucket_encryption(input))
    }

    async fn put_bucket_notification_configuration(
        &self,
        context: &RequestContext,
        input: PutBucketNotificationConfigurationInput,
    ) -> Result<(), S3Error> {
        let request_id = context.request_id.to_string();
        to_its_end!(self, put_notifications(input, request_id))
    }

    async fn get_bucket_notification_configuration(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<NotificationConfiguration, S3Error> {
        here!(self, get_notifications(&input))
    }

    async fn put_bucket_lifecycle(
        &self,
        _context: &RequestContext,
        input: PutBucketLifecycleInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, put_lifecycle(input))
    }

    async fn get_bucket_lifecycle(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<LifecycleConfiguration, S3Error> {
        here!(self, get_lifecycle(&input))
    }

    async fn delete_bucket_lifecycle(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, delete_lifecycle(input))
    }

    async fn put_bucket_cors(
        &self,
        _context: &RequestContext,
        input: PutBucketCorsInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, put_cors(input))
    }

    async fn get_bucket_cors(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<CorsConfiguration, S3Error> {
        here!(self, get_cors(&input))
    }

    async fn delete_bucket_cors(
        &self,
        _context: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        to_its_end!(self, delete_cors(input))
    }

    async fn cors_rules(&self, bucket: &BucketName) -> Result<Option<CorsConfiguration>, S3Error> {
        here!(self, rules_of(bucket))
    }
}
