//! From an operation to the store and back: one arm an operation, no decisions.

use http::{Response, StatusCode};

use super::error::{ErrorCode, S3Error};
use super::op::{
    BucketInput, HeadBucketInput, ObjectAclInput, ObjectBody, ObjectTaggingInput, Operation,
    PutObjectTaggingInput, RequestContext, S3Service, TagSet,
};
use super::post;
use super::response::{self, ResponseBody};
use super::xml;

/// Asks the store, and writes its answer. `body`: of PutObject, PostObject and UploadPart. `location`: where
/// the request's object is, for the answer of CompleteMultipartUpload.
///
/// # Errors
/// What the store says.
pub async fn dispatch(
    service: &dyn S3Service,
    context: &RequestContext,
    operation: Operation,
    body: Option<ObjectBody>,
    location: &str,
) -> Result<Response<ResponseBody>, S3Error> {
    // Only those operations are given one, and they always are: the pipeline sees to it.
    let body = || body.ok_or(S3Error::new(ErrorCode::InternalError));
    let kind = operation.kind();
    Ok(match operation {
        Operation::CreateBucket(input) => {
            response::create_bucket(&service.create_bucket(context, input).await?)
        }
        Operation::DeleteBucket(input) => {
            response::delete_bucket(&service.delete_bucket(context, input).await?)
        }
        Operation::HeadBucket(input) => {
            response::head_bucket(&service.head_bucket(context, input).await?)
        }
        Operation::ListBuckets(input) => {
            let output = service.list_buckets(context, input.clone()).await?;
            response::document(xml::list_buckets(&input, &output))
        }
        Operation::GetBucketLocation(input) => {
            response::get_bucket_location(&service.get_bucket_location(context, input).await?)
        }
        Operation::PutBucketVersioning(input) => {
            response::put_bucket_versioning(&service.put_bucket_versioning(context, input).await?)
        }
        Operation::GetBucketVersioning(input) => {
            response::get_bucket_versioning(&service.get_bucket_versioning(context, input).await?)
        }
        Operation::PutObject(input) => {
            response::put_object(&service.put_object(context, input, body()?).await?)
        }
        Operation::PostObject(input) => {
            let output = service
                .post_object(context, input.put.clone(), body()?)
                .await?;
            post::post_object(&input, &output, location)
        }
        Operation::GetObject(input) => {
            let output = service.get_object(context, input.clone()).await?;
            response::get_object(&input, output)
        }
        Operation::HeadObject(input) => {
            let output = service.head_object(context, input.clone()).await?;
            response::head_object(&input, &output)
        }
        Operation::DeleteObject(input) => {
            response::delete_object(&service.delete_object(context, input).await?)
        }
        Operation::DeleteObjects(input) => {
            let quiet = input.quiet;
            response::delete_objects(&service.delete_objects(context, input).await?, quiet)
        }
        Operation::CopyObject(input) => {
            response::copy_object(&service.copy_object(context, input).await?)
        }
        Operation::ListObjects(input) => {
            let output = service.list_objects(context, input.clone()).await?;
            response::document(xml::list_objects(&input, &output))
        }
        Operation::ListObjectsV2(input) => {
            let output = service.list_objects_v2(context, input.clone()).await?;
            response::document(xml::list_objects_v2(&input, &output))
        }
        Operation::ListObjectVersions(input) => {
            let output = service.list_object_versions(context, input.clone()).await?;
            response::document(xml::list_object_versions(&input, &output))
        }
        Operation::CreateMultipartUpload(input) => response::create_multipart_upload(
            &service.create_multipart_upload(context, input).await?,
        ),
        Operation::UploadPart(input) => {
            response::upload_part(&service.upload_part(context, input, body()?).await?)
        }
        Operation::ListParts(input) => {
            let output = service.list_parts(context, input.clone()).await?;
            response::list_parts(&input, &output)
        }
        Operation::ListMultipartUploads(input) => {
            let output = service
                .list_multipart_uploads(context, input.clone())
                .await?;
            response::document(xml::list_multipart_uploads(&input, &output))
        }
        Operation::CompleteMultipartUpload(input) => {
            let output = service.complete_multipart_upload(context, input).await?;
            response::complete_multipart_upload(&output, location)
        }
        Operation::AbortMultipartUpload(input) => {
            response::abort_multipart_upload(&service.abort_multipart_upload(context, input).await?)
        }
        Operation::UploadPartCopy(input) => {
            response::upload_part_copy(&service.upload_part_copy(context, input).await?)
        }
        Operation::GetObjectAttributes(input) => {
            let output = service
                .get_object_attributes(context, input.clone())
                .await?;
            response::get_object_attributes(&input, &output)
        }
        Operation::PutObjectTagging(input) => {
            response::put_object_tagging(&service.put_object_tagging(context, input).await?)
        }
        Operation::GetObjectTagging(input) => {
            response::get_object_tagging(&service.get_object_tagging(context, input).await?)
        }
        Operation::DeleteObjectTagging(input) => {
            let input = PutObjectTaggingInput {
                object: input,
                tags: TagSet::default(),
            };
            response::delete_object_tagging(&service.put_object_tagging(context, input).await?)
        }
        Operation::PutObjectLockConfiguration(input) => {
            service
                .put_object_lock_configuration(context, input)
                .await?;
            response::bare(StatusCode::OK)
        }
        Operation::GetObjectLockConfiguration(input) => {
            let configuration = service
                .get_object_lock_configuration(context, input)
                .await?;
            response::document(xml::object_lock::object_lock_document(&configuration))
        }
        Operation::PutObjectRetention(input) => {
            service.put_object_retention(context, input).await?;
            response::bare(StatusCode::OK)
        }
        Operation::GetObjectRetention(input) => {
            let lock = service.get_object_lock(context, input).await?;
            response::get_object_retention(&lock)?
        }
        Operation::PutObjectLegalHold(input) => {
            service.put_object_legal_hold(context, input).await?;
            response::bare(StatusCode::OK)
        }
        Operation::GetObjectLegalHold(input) => {
            let lock = service.get_object_lock(context, input).await?;
            response::get_object_legal_hold(&lock)?
        }
        Operation::PutBucketTagging(input) => {
            service.put_bucket_tagging(context, input).await?;
            response::bare(StatusCode::NO_CONTENT)
        }
        Operation::GetBucketTagging(input) => {
            let tags = service.get_bucket_tagging(context, input).await?;
            response::document(xml::tags::tagging_document(&tags))
        }
        Operation::DeleteBucketTagging(input) => {
            service.delete_bucket_tagging(context, input).await?;
            response::bare(StatusCode::NO_CONTENT)
        }
        Operation::PutBucketCors(input) => {
            service.put_bucket_cors(context, input).await?;
            response::bare(StatusCode::OK)
        }
        Operation::GetBucketCors(input) => {
            let configuration = service.get_bucket_cors(context, input).await?;
            response::document(xml::cors::cors_document(&configuration))
        }
        Operation::DeleteBucketCors(input) => {
            service.delete_bucket_cors(context, input).await?;
            response::bare(StatusCode::NO_CONTENT)
        }
        Operation::PutBucketEncryption(input) => {
            service.put_bucket_encryption(context, input).await?;
            response::bare(StatusCode::OK)
        }
        Operation::GetBucketEncryption(input) => {
            let encryption = service.get_bucket_encryption(context, input).await?;
            response::document(xml::encryption::encryption_document(&encryption))
        }
        Operation::DeleteBucketEncryption(input) => {
            service.delete_bucket_encryption(context, input).await?;
            response::bare(StatusCode::NO_CONTENT)
        }
        Operation::PutBucketLifecycleConfiguration(input) => {
            let minimum = input.configuration.transition_minimum;
            service.put_bucket_lifecycle(context, input).await?;
            response::put_lifecycle(minimum)
        }
        Operation::GetBucketLifecycleConfiguration(input) => {
            response::get_lifecycle(&service.get_bucket_lifecycle(context, input).await?)
        }
        Operation::DeleteBucketLifecycle(input) => {
            service.delete_bucket_lifecycle(context, input).await?;
            response::bare(StatusCode::NO_CONTENT)
        }
        Operation::GetBucketAcl(input) => {
            bucket_is_there(service, context, input).await?;
            response::access_control_policy()
        }
        Operation::PutBucketAcl(input) => {
            bucket_is_there(service, context, input).await?;
            return Err(S3Error::new(ErrorCode::AccessControlListNotSupported));
        }
        Operation::GetObjectAcl(input) => {
            object_is_there(service, context, input).await?;
            response::access_control_policy()
        }
        Operation::PutObjectAcl(input) => {
            object_is_there(service, context, input).await?;
            return Err(S3Error::new(ErrorCode::AccessControlListNotSupported));
        }
        Operation::PutBucketOwnershipControls(input) => {
            service
                .put_bucket_ownership_controls(context, input)
                .await?;
            response::bare(StatusCode::OK)
        }
        Operation::GetBucketOwnershipControls(input) => {
            service
                .get_bucket_ownership_controls(context, input)
                .await?;
            response::document(xml::configuration::ownership_controls_document())
        }
        Operation::DeleteBucketOwnershipControls(input) => {
            service
                .delete_bucket_ownership_controls(context, input)
                .await?;
            response::bare(StatusCode::NO_CONTENT)
        }
        Operation::PutBucketNotificationConfiguration(input) => {
            service
                .put_bucket_notification_configuration(context, input)
                .await?;
            response::bare(StatusCode::OK)
        }
        Operation::GetBucketNotificationConfiguration(input) => {
            let configuration = service
                .get_bucket_notification_configuration(context, input)
                .await?;
            response::document(xml::notification::notification_document(&configuration))
        }
        Operation::GetBucketPolicy(input)
        | Operation::GetBucketPolicyStatus(input)
        | Operation::GetBucketReplication(input)
        | Operation::GetBucketWebsite(input)
        | Operation::GetPublicAccessBlock(input)
        | Operation::GetBucketLogging(input)
        | Operation::GetBucketRequestPayment(input)
        | Operation::GetBucketAccelerateConfiguration(input) => {
            let bucket = input.bucket.clone();
            bucket_is_there(service, context, input).await?;
            response::not_configured(kind)
                .map_err(|error| error.with("BucketName", bucket.as_str()))?
        }
    })
}

/// Fails as a HEAD of the bucket fails.
async fn bucket_is_there(
    service: &dyn S3Service,
    context: &RequestContext,
    input: BucketInput,
) -> Result<(), S3Error> {
    let bucket = input.bucket;
    service
        .head_bucket(context, HeadBucketInput { bucket })
        .await
        .map(drop)
}

/// Fails as a HEAD of the object fails.
async fn object_is_there(
    service: &dyn S3Service,
    context: &RequestContext,
    input: ObjectAclInput,
) -> Result<(), S3Error> {
    // Not by a HEAD, which asks for the key that the object may be encrypted with.
    let input = ObjectTaggingInput {
        bucket: input.bucket,
        key: input.key,
        version_id: input.version_id,
    };
    service.get_object_tagging(context, input).await.map(drop)
}
