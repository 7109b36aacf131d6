//! Multipart uploads: begun and aborted.

use holdfast_metadata::command::CreateUpload;
use holdfast_metadata::model::{Attributes, Bucket, Upload, UploadState};

use super::Gateway;
use super::convert;
use super::error::Target;
use crate::s3::error::S3Error;
use crate::s3::name::{BucketName, ObjectKey, UploadId};
use crate::s3::op::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput,
};

impl Gateway {
    pub(super) async fn begin_upload(
        &self,
        input: CreateMultipartUploadInput,
    ) -> Result<CreateMultipartUploadOutput, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        self.policy(&input.bucket, &bucket, input.storage_class.as_ref())
            .await?;
        self.check_lock(&bucket, &input.lock)?;
        let chosen = Self::encryption_of_write(&bucket, &input.encryption)?;
        let class = input.storage_class.as_ref();
        let command = CreateUpload {
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            attributes: Attributes {
                encryption: chosen.stored(),
                ..convert::stored_attributes(input.attributes, None, class)
            },
            checksum: input.checksum.map(convert::stored_upload_checksum),
            lock: convert::stored_lock(input.lock),
        };
        let begun = self.metadata.create_upload(command).await;
        let target = Target::object(&input.bucket, &input.key, None);
        let begun = begun.map_err(|e| target.error(e))?;
        let abort = self
            .abortion_of(&bucket, input.key.as_bytes(), begun.created_ms)
            .await;
        Ok(CreateMultipartUploadOutput {
            upload_id: convert::upload_id(begun.id)?,
            abort,
            bucket: input.bucket,
            key: input.key,
            checksum: input.checksum,
            encryption: chosen.shown(),
        })
    }

    pub(super) async fn abort(
        &self,
        input: AbortMultipartUploadInput,
    ) -> Result<AbortMultipartUploadOutput, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let id = convert::upload_uuid(&input.upload_id)?;
        let aborted = self
            .metadata
            .abort_upload(bucket.id, input.key.as_bytes(), id)
            .await;
        let target = Target::upload(&input.bucket, &input.key, &input.upload_id);
        aborted.map_err(|e| target.error(e))?;
        Ok(AbortMultipartUploadOutput {})
    }

    /// An upload in any state, and its bucket.
    pub(super) async fn upload(
        &self,
        bucket_name: &BucketName,
        key: &ObjectKey,
        id: &UploadId,
    ) -> Result<(Bucket, Upload), S3Error> {
        let bucket = self.bucket(bucket_name).await?;
        let uuid = convert::upload_uuid(id)?;
        let upload = self.metadata.upload(bucket.id, key.as_bytes(), uuid).await;
        let target = Target::upload(bucket_name, key, id);
        Ok((bucket, upload.map_err(|e| target.error(e))?))
    }

    /// An upload that takes parts, and its bucket.
    pub(super) async fn open_upload(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        id: &UploadId,
    ) -> Result<(Bucket, Upload), S3Error> {
        let (bucket, upload) = self.upload(bucket, key, id).await?;
        match upload.state {
            UploadState::Open => Ok((bucket, upload)),
            UploadState::Completed(_) | UploadState::Aborted => Err(S3Error::no_such_upload(id)),
        }
    }
}
