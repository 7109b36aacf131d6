//! DeleteObject and DeleteObjects.
//!
//! Only the metadata changes: the bytes stay for their grace and are then the sweeper's. Many
//! deletes of one request run side by side, so that they share the syncs of a few commits.

use futures::StreamExt;
use holdfast_metadata::MetadataError;
use holdfast_metadata::command::DeleteObject;
use holdfast_metadata::model::{Bypass, OpId};

use super::Gateway;
use super::convert;
use super::error::Target;
use crate::s3::error::S3Error;
use crate::s3::name::BucketName;
use crate::s3::op::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeleteResult,
    ObjectToDelete, WriteCondition,
};

/// Deletes of one request that are under way at once: enough to fill a group commit, few enough
/// that one request leaves room in the queue for others.
const SIDE_BY_SIDE: usize = 64;

impl Gateway {
    pub(super) async fn delete(
        &self,
        input: DeleteObjectInput,
    ) -> Result<DeleteObjectOutput, S3Error> {
        let object = ObjectToDelete {
            key: input.key,
            version_id: input.version_id,
            condition: input.condition,
        };
        let bypass = self.bypass(input.bypass);
        self.delete_one(&input.bucket, &object, bypass).await
    }

    pub(super) async fn delete_many(
        &self,
        input: DeleteObjectsInput,
    ) -> Result<DeleteObjectsOutput, S3Error> {
        // A missing bucket is the request's failure, not that of each object.
        self.bucket(&input.bucket).await?;
        let bucket = &input.bucket;
        let bypass = self.bypass(input.bypass);
        let results = futures::stream::iter(input.objects)
            .map(|object| async move {
                let outcome = self.delete_one(bucket, &object, bypass).await;
                DeleteResult {
                    key: object.key,
                    version_id: object.version_id,
                    outcome,
                }
            })
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await;
        Ok(DeleteObjectsOutput { results })
    }

    async fn delete_one(
        &self,
        bucket: &BucketName,
        object: &ObjectToDelete,
        bypass: Bypass,
    ) -> Result<DeleteObjectOutput, S3Error> {
        let target = Target::object(bucket, &object.key, object.version_id.as_ref());
        let command = DeleteObject {
            op: OpId::generate(),
            bucket: bucket.as_str().to_owned(),
            key: object.key.as_bytes().to_vec(),
            version: convert::selector(object.version_id.as_ref())?,
            condition: convert::stored_condition(&object.condition),
            bypass,
            origin: self.origin.clone(),
        };
        match self.metadata.delete_object(command).await {
            Ok(outcome) => Ok(DeleteObjectOutput {
                version_id: convert::maybe_version_id(outcome.version_id.as_ref())?,
                delete_marker: outcome.delete_marker,
            }),
            // What is not there need not be deleted: AWS answers 204.
            Err(MetadataError::NoSuchKey | MetadataError::NoSuchVersion)
                if object.condition == WriteCondition::Always =>
            {
                Ok(DeleteObjectOutput {
                    version_id: object.version_id.clone(),
                    delete_marker: false,
                })
            }
            Err(error) => Err(target.conditional(&object.condition, error)),
        }
    }
}
