//! CopyObject: a second version that shares the source's bytes.
//!
//! Where the copy shall be encrypted as its source is, no byte moves: the copy's manifest names the
//! same blobs, and keeps their layout. So its ETag and checksum are the source's, a multipart one
//! included (AWS, which rewrites the bytes, makes new ones). Only where another checksum algorithm
//! is asked for are the bytes read through.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{CopyObject, Published};
use holdfast_metadata::model::{Attributes, Bucket, OpId};

use super::Gateway;
use super::convert;
use super::encryption::check_key;
use super::error::{Target, unavailable};
use super::version::Found;
use crate::s3::checksum::ChecksumHasher;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::{
    AppliedEncryption, ChecksumAlgorithm, CopyObjectInput, CopyObjectOutput, ETag,
    MAX_SINGLE_BODY_LEN, MetadataDirective, ObjectChecksum, TaggingDirective,
};
use crate::s3::time::Timestamp;

/// How often a source that went away between the lookup and the command is looked up again.
const ATTEMPTS: u32 = 3;

impl Gateway {
    pub(super) async fn copy(&self, input: CopyObjectInput) -> Result<CopyObjectOutput, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        // The class must exist, although the bytes may stay as they are.
        let policy = self
            .policy(&input.bucket, &bucket, input.storage_class.as_ref())
            .await?
            .for_key(input.key.as_bytes());
        self.check_lock(&bucket, &input.lock)?;
        let chosen = Self::encryption_of_write(&bucket, &input.encryption)?;
        let target = Target::object(&input.bucket, &input.key, None);
        for _ in 0..ATTEMPTS {
            let found = self.copy_source(&input).await?;
            if !chosen.is_as(found.version.attributes.encryption.as_ref()) {
                match self.copy_bytes(&input, &found, &policy, &chosen).await? {
                    Some(copied) => return Ok(self.dated(&bucket, &input, &found, copied).await),
                    None => continue,
                }
            }
            let Some(checksum) = self.copied_checksum(&input, &found).await? else {
                continue;
            };
            match self.publish_copy(&input, &found, checksum.as_ref()).await {
                Ok(published) => {
                    let copied = copied(&found, published, checksum, chosen.shown())?;
                    return Ok(self.dated(&bucket, &input, &found, copied).await);
                }
                Err(MetadataError::SourceChanged) => {}
                Err(error) => return Err(target.conditional(&input.condition, error)),
            }
        }
        Err(unavailable(
            "Other writes kept replacing the source of the copy. Please retry.",
        ))
    }

    /// The answer with when lifecycle will remove the copy.
    async fn dated(
        &self,
        bucket: &Bucket,
        input: &CopyObjectInput,
        found: &Found,
        copied: CopyObjectOutput,
    ) -> CopyObjectOutput {
        let (key, written_ms) = (input.key.as_bytes(), copied.last_modified.as_ms());
        let tags = Self::copied_tags(input, found);
        let expiration = self
            .expiration(bucket, key, found.version.size, &tags, written_ms)
            .await;
        CopyObjectOutput {
            expiration,
            ..copied
        }
    }

    async fn copy_source(&self, input: &CopyObjectInput) -> Result<Found, S3Error> {
        let source = &input.source;
        let found = self
            .find(&source.bucket, &source.key, source.version_id.as_ref())
            .await;
        let found = found.map_err(of_source)?;
        check_key(&found.version.attributes, input.source_key.as_ref())?;
        let (etag, last_modified) = found.validators();
        input
            .source_conditions
            .check_copy_source(&etag, last_modified)?;
        if found.version.size > MAX_SINGLE_BODY_LEN {
            return Err(S3Error::invalid_request(format!(
                "The specified copy source is larger than the maximum allowable size for a copy \
                 source: {MAX_SINGLE_BODY_LEN}"
            )));
        }
        Ok(found)
    }

    #[tracing::instrument(level = "debug", skip_all)]
    async fn publish_copy(
        &self,
        input: &CopyObjectInput,
        found: &Found,
        checksum: Option<&ObjectChecksum>,
    ) -> Result<Published, MetadataError> {
        let attributes = Attributes {
            // The bytes are shared, and so is how they are encrypted.
            encryption: found.version.attributes.encryption.clone(),
            ..Self::copied_attributes(input, found, checksum)
        };
        let command = CopyObject {
            op: OpId::generate(),
            source: found.version.uid,
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            attributes,
            condition: convert::stored_condition(&input.condition),
            lock: convert::stored_lock(input.lock),
            origin: self.origin.clone(),
        };
        self.metadata.copy_object(command).await
    }

    /// What is kept with the copy, but for how it is encrypted.
    pub(super) fn copied_attributes(
        input: &CopyObjectInput,
        found: &Found,
        checksum: Option<&ObjectChecksum>,
    ) -> Attributes {
        let mut attributes = match &input.metadata {
            MetadataDirective::Replace(attributes) => convert::stored_attributes(
                attributes.clone(),
                checksum,
                input.storage_class.as_ref(),
            ),
            MetadataDirective::Copy => Attributes {
                checksum: checksum.map(convert::stored_checksum),
                storage_class: convert::stored_class(input.storage_class.as_ref()),
                encryption: None,
                ..found.version.attributes.clone()
            },
        };
        attributes.tags = Self::copied_tags(input, found);
        attributes
    }

    fn copied_tags(input: &CopyObjectInput, found: &Found) -> BTreeMap<String, String> {
        match &input.tagging {
            TaggingDirective::Copy => found.version.attributes.tags.clone(),
            TaggingDirective::Replace(tags) => convert::stored_tags(tags),
        }
    }

    /// The copy's checksum: the source's, unless another algorithm is wanted. The outer `None`: the
    /// source has gone away.
    async fn copied_checksum(
        &self,
        input: &CopyObjectInput,
        found: &Found,
    ) -> Result<Option<Option<ObjectChecksum>>, S3Error> {
        let stored = found.version.attributes.checksum.as_ref();
        let stored = stored.map(convert::object_checksum).transpose()?;
        let has = stored.as_ref().map(|stored| stored.checksum.algorithm);
        match input.checksum_algorithm {
            Some(wanted) if has != Some(wanted) => {
                Ok(self.read_through(input, found, wanted).await?.map(Some))
            }
            _ => Ok(Some(stored)),
        }
    }

    #[tracing::instrument(level = "debug", skip_all)]
    async fn read_through(
        &self,
        input: &CopyObjectInput,
        found: &Found,
        algorithm: ChecksumAlgorithm,
    ) -> Result<Option<ObjectChecksum>, S3Error> {
        let source = &input.source;
        let target = Target::object(&source.bucket, &source.key, source.version_id.as_ref());
        let opened = self.open(&found.version, 0..found.version.size, None).await;
        let Some(mut body) = opened.map_err(|failure| failure.of(&target))? else {
            return Ok(None);
        };
        let mut hasher = ChecksumHasher::new(algorithm);
        while let Some(bytes) = body.try_next().await? {
            hasher.update(&bytes);
        }
        Ok(Some(ObjectChecksum::full_object(hasher.finish())))
    }
}

/// A delete marker that was named is no source, in other words than those of a read.
pub(super) fn of_source(error: S3Error) -> S3Error {
    match error.code() {
        ErrorCode::MethodNotAllowed => S3Error::invalid_request(
            "The source of a copy request may not specifically refer to a delete marker by \
             version id.",
        ),
        _ => error,
    }
}

fn copied(
    found: &Found,
    published: Published,
    checksum: Option<ObjectChecksum>,
    encryption: Option<AppliedEncryption>,
) -> Result<CopyObjectOutput, S3Error> {
    Ok(CopyObjectOutput {
        etag: ETag::from_text(&published.etag),
        last_modified: Timestamp::from_ms(published.last_modified_ms),
        version_id: convert::maybe_version_id(published.version_id.as_ref())?,
        source_version_id: found.shown_id()?,
        checksum,
        encryption,
        expiration: None,
    })
}
