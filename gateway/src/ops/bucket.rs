//! Operations on buckets.
//!
//! A LocationConstraint names our region or a policy; a policy becomes the bucket's own. Making a
//! bucket that is there already is `BucketAlreadyOwnedByYou` in every region (AWS's us-east-1
//! answers 200 for reasons of its history: a client would believe that it made the bucket).

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{Bucket, Versioning};

use super::Gateway;
use super::error::{Target, corrupt};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::BucketName;
use crate::s3::op::{
    BucketEntry, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, Owner, PutBucketVersioningInput, PutBucketVersioningOutput,
    VersioningStatus,
};
use crate::s3::time::Timestamp;

/// The most buckets of one page: AWS's own.
const MAX_BUCKETS: u32 = 10_000;

impl Gateway {
    /// The bucket of a request.
    pub(super) async fn bucket(&self, name: &BucketName) -> Result<Bucket, S3Error> {
        self.metadata
            .bucket(name.as_str())
            .await
            .map_err(|e| Target::bucket(name).error(e))
    }

    pub(super) async fn make_bucket(
        &self,
        input: CreateBucketInput,
    ) -> Result<CreateBucketOutput, S3Error> {
        let policy = self.policy_of_location(&input).await?;
        let (name, location) = (input.bucket.as_str(), input.location_constraint);
        let made = if input.object_lock {
            let metadata = &self.metadata;
            metadata
                .create_lockable_bucket(name, &policy, location)
                .await
        } else {
            self.metadata.create_bucket(name, &policy, location).await
        };
        made.map_err(|e| Target::bucket(&input.bucket).error(e))?;
        Ok(CreateBucketOutput {
            bucket: input.bucket,
        })
    }

    async fn policy_of_location(&self, input: &CreateBucketInput) -> Result<String, S3Error> {
        let Some(location) = input.location_constraint.as_deref() else {
            return Ok(self.default_policy.to_string());
        };
        if location == self.region.as_str() {
            return Ok(self.default_policy.to_string());
        }
        // Written out where a policy has the name of a region.
        let policy = location.strip_prefix("policy:").unwrap_or(location);
        let policy = self.metadata.policy(policy).await;
        match policy.map_err(|e| Target::bucket(&input.bucket).error(e))? {
            Some(policy) => Ok(policy.name),
            None => Err(S3Error::new(ErrorCode::InvalidLocationConstraint)
                .with("LocationConstraint", location)),
        }
    }

    pub(super) async fn remove_bucket(
        &self,
        input: DeleteBucketInput,
    ) -> Result<DeleteBucketOutput, S3Error> {
        let removed = self.metadata.delete_bucket(input.bucket.as_str()).await;
        removed.map_err(|e| Target::bucket(&input.bucket).error(e))?;
        Ok(DeleteBucketOutput {})
    }

    pub(super) async fn bucket_head(
        &self,
        input: &HeadBucketInput,
    ) -> Result<HeadBucketOutput, S3Error> {
        self.bucket(&input.bucket).await?;
        Ok(HeadBucketOutput {
            region: self.region.to_string(),
        })
    }

    pub(super) async fn bucket_location(
        &self,
        input: &GetBucketLocationInput,
    ) -> Result<GetBucketLocationOutput, S3Error> {
        // Clients sign for the region that they find here, so it is never a policy's name.
        self.bucket(&input.bucket).await?;
        Ok(GetBucketLocationOutput {
            region: self.region.to_string(),
        })
    }

    pub(super) async fn bucket_list(
        &self,
        input: &ListBucketsInput,
    ) -> Result<ListBucketsOutput, S3Error> {
        let owner = Owner::default();
        if input
            .region
            .as_deref()
            .is_some_and(|region| region != self.region.as_str())
        {
            return Ok(ListBucketsOutput {
                owner,
                ..ListBucketsOutput::default()
            });
        }
        let page = input.max_buckets.unwrap_or(MAX_BUCKETS).min(MAX_BUCKETS) as usize;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        // One more than is shown says whether there is more.
        let found = self
            .metadata
            .buckets(prefix, input.after.as_deref(), page + 1)
            .await;
        let mut found = found.map_err(of_all_buckets)?;
        let more = found.len() > page;
        found.truncate(page);
        let next_after = found.last().filter(|_| more).map(|last| last.name.clone());
        let buckets = found.into_iter().map(|bucket| self.bucket_entry(&bucket));
        Ok(ListBucketsOutput {
            owner,
            buckets: buckets.collect::<Result<_, _>>()?,
            next_after,
        })
    }

    fn bucket_entry(&self, bucket: &Bucket) -> Result<BucketEntry, S3Error> {
        Ok(BucketEntry {
            name: BucketName::parse(&bucket.name).map_err(corrupt)?,
            created: Timestamp::from_ms(bucket.created_ms),
            region: self.region.to_string(),
        })
    }

    pub(super) async fn switch_versioning(
        &self,
        input: PutBucketVersioningInput,
    ) -> Result<PutBucketVersioningOutput, S3Error> {
        let versioning = match input.status {
            VersioningStatus::Enabled => Versioning::Enabled,
            VersioningStatus::Suspended => Versioning::Suspended,
        };
        let switched = self
            .metadata
            .set_versioning(input.bucket.as_str(), versioning)
            .await;
        switched.map_err(|e| Target::bucket(&input.bucket).error(e))?;
        Ok(PutBucketVersioningOutput {})
    }

    pub(super) async fn versioning(
        &self,
        input: &GetBucketVersioningInput,
    ) -> Result<GetBucketVersioningOutput, S3Error> {
        let status = match self.bucket(&input.bucket).await?.versioning {
            Versioning::Unversioned => None,
            Versioning::Enabled => Some(VersioningStatus::Enabled),
            Versioning::Suspended => Some(VersioningStatus::Suspended),
        };
        Ok(GetBucketVersioningOutput { status })
    }
}

fn of_all_buckets(error: MetadataError) -> S3Error {
    match error {
        MetadataError::Unavailable(_) => {
            super::error::unavailable("The metadata is not available at the moment. Please retry.")
                .because(error)
        }
        other => S3Error::internal(other),
    }
}
