//! A store that writes down what it is asked, and holds one object at a time.

use std::io;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::BucketName;
use crate::s3::op::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, BucketEncryption, BucketInput,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput,
    CorsConfiguration, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteBucketInput, DeleteBucketOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeleteResult, ETag,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    LifecycleConfiguration, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput,
    ListPartsOutput, NotificationConfiguration, ObjectBody, ObjectChecksum, ObjectHead, ObjectLock,
    ObjectLockConfiguration, ObjectLockInput, ObjectTaggingInput, ObjectTaggingOutput, Operation,
    PutBucketCorsInput, PutBucketEncryptionInput, PutBucketLifecycleInput,
    PutBucketNotificationConfigurationInput, PutBucketOwnershipControlsInput,
    PutBucketTaggingInput, PutBucketVersioningInput, PutBucketVersioningOutput, PutObjectInput,
    PutObjectLegalHoldInput, PutObjectLockConfigurationInput, PutObjectOutput,
    PutObjectRetentionInput, PutObjectTaggingInput, RequestContext, S3Service, Select,
    StorageClass, TagSet, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use crate::s3::time::Timestamp;

#[derive(Default)]
pub(super) struct RecordingStore {
    asked: Mutex<Vec<Operation>>,
    object: Mutex<Option<(PutObjectInput, ObjectHead, Bytes)>>,
    cors: Mutex<Option<(BucketName, CorsConfiguration)>>,
}

impl RecordingStore {
    pub(super) fn asked(&self) -> Vec<Operation> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn last(&self) -> Operation {
        self.asked().pop().unwrap()
    }

    pub(super) fn published(&self) -> bool {
        self.object.lock().unwrap().is_some()
    }

    fn record(&self, operation: Operation) {
        self.asked.lock().unwrap().push(operation);
    }

    /// The object that is read and which of its bytes.
    fn read(&self, input: &GetObjectInput) -> Result<(ObjectHead, Bytes), S3Error> {
        let held = self.object.lock().unwrap().clone();
        match held {
            Some((put, head, bytes)) if put.bucket == input.bucket && put.key == input.key => {
                input
                    .conditions
                    .check_read(&head.etag, head.last_modified)?;
                Ok((head, bytes))
            }
            _ => Err(S3Error::no_such_key(&input.key)),
        }
    }
}

/// Operations that no test here asks of a store.
fn unasked() -> S3Error {
    S3Error::not_implemented("not in this store")
}

#[async_trait]
impl S3Service for RecordingStore {
    async fn put_object(
        &self,
        _: &RequestContext,
        input: PutObjectInput,
        body: ObjectBody,
    ) -> Result<PutObjectOutput, S3Error> {
        self.record(Operation::PutObject(input.clone()));
        let mut bytes: BytesMut = body.stream.try_collect().await?;
        assert_eq!(bytes.len() as u64, body.len, "a body is as long as it says");
        let digests = body.digests.get().unwrap();
        bytes.truncate(digests.object_len as usize);
        let head = ObjectHead {
            expiration: None,
            etag: ETag::from_md5(&digests.md5),
            last_modified: Timestamp::from_ms(1_000),
            object_len: digests.object_len,
            version_id: None,
            attributes: input.attributes.clone(),
            storage_class: StorageClass::standard(),
            checksum: Some(ObjectChecksum::full_object(digests.checksum.clone())),
            parts_count: None,
            lock: ObjectLock::default(),
            encryption: None,
        };
        let output = PutObjectOutput {
            expiration: None,
            etag: head.etag.clone(),
            version_id: None,
            checksum: head.checksum.clone(),
            encryption: None,
        };
        *self.object.lock().unwrap() = Some((input, head, bytes.freeze()));
        Ok(output)
    }

    async fn get_object(
        &self,
        _: &RequestContext,
        input: GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error> {
        let (head, bytes) = self.read(&input)?;
        let range = match input.select {
            Select::Range(range) => Some(range.resolve(head.object_len)?),
            _ => None,
        };
        let sent = match &range {
            Some(range) => bytes.slice(range.start as usize..range.end as usize),
            None => bytes,
        };
        Ok(GetObjectOutput {
            head,
            range,
            body: stream::iter([Ok(sent)]).boxed(),
        })
    }

    async fn head_object(
        &self,
        _: &RequestContext,
        input: HeadObjectInput,
    ) -> Result<HeadObjectOutput, S3Error> {
        let (head, _) = self.read(&input)?;
        Ok(HeadObjectOutput { head, range: None })
    }

    async fn delete_objects(
        &self,
        _: &RequestContext,
        input: DeleteObjectsInput,
    ) -> Result<DeleteObjectsOutput, S3Error> {
        self.record(Operation::DeleteObjects(input.clone()));
        let deleted = |object: crate::s3::op::ObjectToDelete| DeleteResult {
            key: object.key,
            version_id: object.version_id,
            outcome: Ok(DeleteObjectOutput::default()),
        };
        Ok(DeleteObjectsOutput {
            results: input.objects.into_iter().map(deleted).collect(),
        })
    }

    async fn get_bucket_location(
        &self,
        _: &RequestContext,
        _: GetBucketLocationInput,
    ) -> Result<GetBucketLocationOutput, S3Error> {
        Err(S3Error::internal(io::Error::other(
            "/var/lib/holdfast is on fire",
        )))
    }

    async fn complete_multipart_upload(
        &self,
        _: &RequestContext,
        input: CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput, S3Error> {
        Ok(CompleteMultipartUploadOutput {
            bucket: input.bucket,
            key: input.key,
            etag: ETag::from_text("a-1"),
            version_id: None,
            checksum: None,
            encryption: None,
            expiration: None,
        })
    }

    async fn upload_part(
        &self,
        _: &RequestContext,
        _: UploadPartInput,
        _: ObjectBody,
    ) -> Result<UploadPartOutput, S3Error> {
        Err(unasked())
    }

    async fn create_bucket(
        &self,
        _: &RequestContext,
        input: CreateBucketInput,
    ) -> Result<CreateBucketOutput, S3Error> {
        self.record(Operation::CreateBucket(input));
        Err(unasked())
    }

    async fn delete_bucket(
        &self,
        _: &RequestContext,
        input: DeleteBucketInput,
    ) -> Result<DeleteBucketOutput, S3Error> {
        self.record(Operation::DeleteBucket(input));
        Err(unasked())
    }

    async fn head_bucket(
        &self,
        _: &RequestContext,
        input: HeadBucketInput,
    ) -> Result<HeadBucketOutput, S3Error> {
        self.record(Operation::HeadBucket(input));
        Err(unasked())
    }

    async fn list_buckets(
        &self,
        _: &RequestContext,
        input: ListBucketsInput,
    ) -> Result<ListBucketsOutput, S3Error> {
        self.record(Operation::ListBuckets(input));
        Err(unasked())
    }

    async fn put_bucket_versioning(
        &self,
        _: &RequestContext,
        input: PutBucketVersioningInput,
    ) -> Result<PutBucketVersioningOutput, S3Error> {
        self.record(Operation::PutBucketVersioning(input));
        Err(unasked())
    }

    async fn get_bucket_versioning(
        &self,
        _: &RequestContext,
        input: GetBucketVersioningInput,
    ) -> Result<GetBucketVersioningOutput, S3Error> {
        self.record(Operation::GetBucketVersioning(input));
        Err(unasked())
    }

    async fn delete_object(
        &self,
        _: &RequestContext,
        input: DeleteObjectInput,
    ) -> Result<DeleteObjectOutput, S3Error> {
        self.record(Operation::DeleteObject(input));
        Err(unasked())
    }

    async fn copy_object(
        &self,
        _: &RequestContext,
        input: CopyObjectInput,
    ) -> Result<CopyObjectOutput, S3Error> {
        self.record(Operation::CopyObject(input));
        Err(unasked())
    }

    async fn list_objects(
        &self,
        _: &RequestContext,
        input: ListObjectsInput,
    ) -> Result<ListObjectsOutput, S3Error> {
        self.record(Operation::ListObjects(input));
        Err(unasked())
    }

    async fn list_objects_v2(
        &self,
        _: &RequestContext,
        input: ListObjectsV2Input,
    ) -> Result<ListObjectsV2Output, S3Error> {
        self.record(Operation::ListObjectsV2(input));
        Err(unasked())
    }

    async fn list_object_versions(
        &self,
        _: &RequestContext,
        input: ListObjectVersionsInput,
    ) -> Result<ListObjectVersionsOutput, S3Error> {
        self.record(Operation::ListObjectVersions(input));
        Err(unasked())
    }

    async fn create_multipart_upload(
        &self,
        _: &RequestContext,
        input: CreateMultipartUploadInput,
    ) -> Result<CreateMultipartUploadOutput, S3Error> {
        self.record(Operation::CreateMultipartUpload(input));
        Err(unasked())
    }

    async fn list_parts(
        &self,
        _: &RequestContext,
        input: ListPartsInput,
    ) -> Result<ListPartsOutput, S3Error> {
        self.record(Operation::ListParts(input));
        Err(unasked())
    }

    async fn list_multipart_uploads(
        &self,
        _: &RequestContext,
        input: ListMultipartUploadsInput,
    ) -> Result<ListMultipartUploadsOutput, S3Error> {
        self.record(Operation::ListMultipartUploads(input));
        Err(unasked())
    }

    async fn abort_multipart_upload(
        &self,
        _: &RequestContext,
        input: AbortMultipartUploadInput,
    ) -> Result<AbortMultipartUploadOutput, S3Error> {
        self.record(Operation::AbortMultipartUpload(input));
        Err(unasked())
    }

    async fn upload_part_copy(
        &self,
        _: &RequestContext,
        input: UploadPartCopyInput,
    ) -> Result<UploadPartCopyOutput, S3Error> {
        self.record(Operation::UploadPartCopy(input));
        Err(unasked())
    }

    async fn get_object_attributes(
        &self,
        _: &RequestContext,
        input: GetObjectAttributesInput,
    ) -> Result<GetObjectAttributesOutput, S3Error> {
        self.record(Operation::GetObjectAttributes(input));
        Err(unasked())
    }

    async fn put_object_tagging(
        &self,
        _: &RequestContext,
        input: PutObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error> {
        self.record(Operation::PutObjectTagging(input));
        Err(unasked())
    }

    async fn get_object_tagging(
        &self,
        _: &RequestContext,
        input: ObjectTaggingInput,
    ) -> Result<ObjectTaggingOutput, S3Error> {
        self.record(Operation::GetObjectTagging(input));
        Err(unasked())
    }

    async fn put_bucket_tagging(
        &self,
        _: &RequestContext,
        input: PutBucketTaggingInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutBucketTagging(input));
        Err(unasked())
    }

    async fn get_bucket_tagging(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<TagSet, S3Error> {
        self.record(Operation::GetBucketTagging(input));
        Err(unasked())
    }

    async fn delete_bucket_tagging(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::DeleteBucketTagging(input));
        Err(unasked())
    }

    async fn put_bucket_ownership_controls(
        &self,
        _: &RequestContext,
        input: PutBucketOwnershipControlsInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutBucketOwnershipControls(input));
        Err(unasked())
    }

    async fn get_bucket_ownership_controls(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::GetBucketOwnershipControls(input));
        Err(unasked())
    }

    async fn delete_bucket_ownership_controls(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::DeleteBucketOwnershipControls(input));
        Err(unasked())
    }

    async fn put_bucket_encryption(
        &self,
        _: &RequestContext,
        input: PutBucketEncryptionInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutBucketEncryption(input));
        Err(unasked())
    }

    async fn get_bucket_encryption(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<BucketEncryption, S3Error> {
        self.record(Operation::GetBucketEncryption(input));
        Err(unasked())
    }

    async fn delete_bucket_encryption(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::DeleteBucketEncryption(input));
        Err(unasked())
    }

    async fn put_bucket_notification_configuration(
        &self,
        _: &RequestContext,
        input: PutBucketNotificationConfigurationInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutBucketNotificationConfiguration(input));
        Ok(())
    }

    async fn get_bucket_notification_configuration(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<NotificationConfiguration, S3Error> {
        self.record(Operation::GetBucketNotificationConfiguration(input));
        Err(unasked())
    }

    async fn put_object_lock_configuration(
        &self,
        _: &RequestContext,
        input: PutObjectLockConfigurationInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutObjectLockConfiguration(input));
        Ok(())
    }

    async fn get_object_lock_configuration(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<ObjectLockConfiguration, S3Error> {
        self.record(Operation::GetObjectLockConfiguration(input));
        Err(S3Error::new(
            ErrorCode::ObjectLockConfigurationNotFoundError,
        ))
    }

    async fn put_object_retention(
        &self,
        _: &RequestContext,
        input: PutObjectRetentionInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutObjectRetention(input));
        Ok(())
    }

    async fn put_object_legal_hold(
        &self,
        _: &RequestContext,
        input: PutObjectLegalHoldInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutObjectLegalHold(input));
        Ok(())
    }

    async fn get_object_lock(
        &self,
        _: &RequestContext,
        input: ObjectLockInput,
    ) -> Result<ObjectLock, S3Error> {
        self.record(Operation::GetObjectRetention(input));
        Ok(ObjectLock::default())
    }

    async fn put_bucket_cors(
        &self,
        _: &RequestContext,
        input: PutBucketCorsInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutBucketCors(input.clone()));
        *self.cors.lock().unwrap() = Some((input.bucket, input.configuration));
        Ok(())
    }

    async fn put_bucket_lifecycle(
        &self,
        _: &RequestContext,
        input: PutBucketLifecycleInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::PutBucketLifecycleConfiguration(input));
        Ok(())
    }

    async fn get_bucket_lifecycle(
        &self,
        _: &RequestContext,
        _: BucketInput,
    ) -> Result<LifecycleConfiguration, S3Error> {
        Err(S3Error::new(ErrorCode::NoSuchLifecycleConfiguration))
    }

    async fn delete_bucket_lifecycle(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::DeleteBucketLifecycle(input));
        Ok(())
    }

    async fn get_bucket_cors(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<CorsConfiguration, S3Error> {
        let rules = self.cors_rules(&input.bucket).await?;
        rules.ok_or(S3Error::new(ErrorCode::NoSuchCORSConfiguration))
    }

    async fn delete_bucket_cors(
        &self,
        _: &RequestContext,
        input: BucketInput,
    ) -> Result<(), S3Error> {
        self.record(Operation::DeleteBucketCors(input));
        *self.cors.lock().unwrap() = None;
        Ok(())
    }

    async fn cors_rules(&self, bucket: &BucketName) -> Result<Option<CorsConfiguration>, S3Error> {
        let held = self.cors.lock().unwrap().clone();
        Ok(held.filter(|(of, _)| of == bucket).map(|(_, rules)| rules))
    }
}
