//! An object out of a stream whose length nobody knows beforehand: what this process itself keeps in
//! a bucket.
//!
//! It takes the way of a client's multipart upload, so that the bucket's policy, encryption, lock,
//! quota and notifications hold for it too, and nobody sees it before it is whole. One part is held
//! in memory at a time.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use holdfast_metadata::model::Version;

use super::Gateway;
use super::convert;
use super::copy_bytes::digested;
use super::error::Target;
use crate::s3::checksum::ChecksumHasher;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::{BucketName, ObjectKey, PartNumber, UploadId, VersionId};
use crate::s3::op::{
    AbortMultipartUploadInput, BodyClaims, ChecksumAlgorithm, ChecksumClaim,
    CompleteMultipartUploadInput, CompletedPart, CreateMultipartUploadInput, ObjectAttributes,
    ObjectLock, RequestContext, S3Service, UploadPartInput, WriteCondition, WriteEncryption,
};

/// Bytes of a part, and of memory: 10,000 of them are 156 GiB.
const PART_LEN: usize = 16 << 20;

/// Where an object shall be that is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
}

/// An upload under way.
struct Parts<'a> {
    gateway: &'a Gateway,
    context: &'a RequestContext,
    object: &'a NewObject,
    upload: UploadId,
    done: Vec<CompletedPart>,
    len: u64,
}

impl Gateway {
    /// Makes an object of `chunks`, which replaces none. After an error nothing of it is visible,
    /// unless it is the last question that fails: what became of it.
    ///
    /// Memory: 16 MiB and one chunk, and what a part's write takes.
    ///
    /// # Errors
    /// What a client would be told; `PreconditionFailed` if there is an object; the stream's own.
    pub async fn put_stream(
        &self,
        context: &RequestContext,
        object: &NewObject,
        chunks: impl Stream<Item = Result<Bytes, S3Error>> + Send,
    ) -> Result<Version, S3Error> {
        let begin = CreateMultipartUploadInput {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            attributes: ObjectAttributes::default(),
            storage_class: None,
            checksum: None,
            encryption: WriteEncryption::BucketDefault,
            lock: ObjectLock::default(),
        };
        let begun = self.create_multipart_upload(context, begin).await?;
        let mut parts = Parts {
            gateway: self,
            context,
            object,
            upload: begun.upload_id,
            done: Vec::new(),
            len: 0,
        };
        let done = match parts.put_all(chunks).await {
            Ok(()) => parts.complete().await,
            Err(error) => Err(error),
        };
        let version = match done {
            Ok(version) => version,
            Err(error) => {
                parts.abort().await;
                return Err(error);
            }
        };
        let bucket = self.bucket(&object.bucket).await?;
        let selector = convert::selector(version.as_ref())?;
        let key = object.key.as_bytes();
        let found = self.metadata.version(bucket.id, key, &selector).await;
        let target = Target::object(&object.bucket, &object.key, version.as_ref());
        found.map_err(|error| target.error(error))
    }
}

impl Parts<'_> {
    async fn put_all(
        &mut self,
        chunks: impl Stream<Item = Result<Bytes, S3Error>> + Send,
    ) -> Result<(), S3Error> {
        let mut chunks = std::pin::pin!(chunks);
        let (mut part, mut len) = (Vec::new(), 0);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            len += chunk.len();
            part.push(chunk);
            if len >= PART_LEN {
                self.put(std::mem::take(&mut part), std::mem::take(&mut len))
                    .await?;
            }
        }
        if len > 0 {
            self.put(part, len).await?;
        }
        Ok(())
    }

    async fn put(&mut self, part: Vec<Bytes>, len: usize) -> Result<(), S3Error> {
        let number = PartNumber::new(self.done.len() as u32 + 1)
            .ok_or_else(|| S3Error::new(ErrorCode::EntityTooLarge))?;
        let mut hasher = ChecksumHasher::new(ChecksumAlgorithm::Crc64Nvme);
        part.iter().for_each(|chunk| hasher.update(chunk));
        let claims = BodyClaims {
            md5: None,
            checksum: ChecksumClaim::Value(hasher.finish()),
        };
        let input = UploadPartInput {
            bucket: self.object.bucket.clone(),
            key: self.object.key.clone(),
            upload_id: self.upload.clone(),
            part_number: number,
            claims: claims.clone(),
            customer_key: None,
        };
        let bytes = stream::iter(part.into_iter().map(Ok)).boxed();
        let body = digested(bytes, len as u64, claims);
        let put = self.gateway.upload_part(self.context, input, body).await?;
        self.len += len as u64;
        self.done.push(CompletedPart {
            part_number: number,
            etag: put.etag,
            checksum: put.checksum,
        });
        Ok(())
    }

    async fn complete(&mut self) -> Result<Option<VersionId>, S3Error> {
        let input = CompleteMultipartUploadInput {
            bucket: self.object.bucket.clone(),
            key: self.object.key.clone(),
            upload_id: self.upload.clone(),
            parts: std::mem::take(&mut self.done),
            condition: WriteCondition::IfAbsent,
            checksum: None,
            checksum_type: None,
            object_len: Some(self.len),
            customer_key: None,
        };
        let completed = self
            .gateway
            .complete_multipart_upload(self.context, input)
            .await?;
        Ok(completed.version_id)
    }

    async fn abort(&self) {
        let input = AbortMultipartUploadInput {
            bucket: self.object.bucket.clone(),
            key: self.object.key.clone(),
            upload_id: self.upload.clone(),
        };
        // If that fails too, it is an open upload that anybody can see and abort.
        let aborted = self.gateway.abort_multipart_upload(self.context, input);
        if let Err(error) = aborted.await {
            tracing::warn!(%error, bucket = self.object.bucket.as_str(), "an upload was left open");
        }
    }
}
