//! Copies whose bytes have to be written anew, because they shall be encrypted in another way.
//!
//! The source is read, opened, and written like the body of a PUT: nothing is held but what is
//! between the two. What comes out is what a PUT of the same bytes would have made, with a tag and a
//! checksum of its own, as on AWS. The source's bytes stay while they are read, so a source that is
//! replaced meanwhile is copied as it was when it was looked up.

use std::ops::Range;

use futures::{StreamExt, stream};
use holdfast_metadata::command::{PutObject, PutPart};
use holdfast_metadata::model::{Attributes, Bucket, Policy, Upload};
use holdfast_sealing::CustomerKey;

use super::Gateway;
use super::convert;
use super::encryption::Chosen;
use super::error::Target;
use super::object_lock;
use super::version::Found;
use super::write::Written;
use crate::s3::body::BodyHasher;
use crate::s3::error::S3Error;
use crate::s3::op::{
    BodyClaims, ByteStream, ChecksumAlgorithm, ChecksumClaim, CopyObjectInput, CopyObjectOutput,
    CopySource, DigestSlot, ObjectBody, ObjectChecksum, UploadPartCopyInput, UploadPartCopyOutput,
};
use crate::s3::sigv4::PayloadMode;
use crate::s3::time::Timestamp;

impl Gateway {
    /// CopyObject through the pipeline; `None` if the source has gone away.
    #[tracing::instrument(level = "debug", skip_all)]
    pub(super) async fn copy_bytes(
        &self,
        input: &CopyObjectInput,
        found: &Found,
        policy: &Policy,
        chosen: &Chosen,
    ) -> Result<Option<CopyObjectOutput>, S3Error> {
        let target = Target::object(&input.bucket, &input.key, None);
        let stored = found.version.attributes.checksum.as_ref();
        let stored = stored.map(convert::object_checksum).transpose()?;
        let algorithm = input
            .checksum_algorithm
            .or(stored.map(|stored| stored.checksum.algorithm))
            .unwrap_or(ChecksumAlgorithm::Crc64Nvme);
        let whole = 0..found.version.size;
        let source_key = input.source_key.as_ref();
        let Some(body) = self
            .source_body(&input.source, found, whole, source_key, algorithm)
            .await?
        else {
            return Ok(None);
        };
        let Written {
            op,
            blob,
            digests,
            unpublished,
            ..
        } = self.write(policy, body, chosen).await?;
        let checksum = ObjectChecksum::full_object(digests.checksum);
        let command = PutObject {
            op,
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            blob,
            taken_len: None,
            etag: chosen.etag(op, &digests.md5).as_str().to_owned(),
            attributes: Attributes {
                encryption: chosen.stored(),
                ..Self::copied_attributes(input, found, Some(&checksum))
            },
            condition: convert::stored_condition(&input.condition),
            lock: object_lock::stored_lock(input.lock),
            origin: self.origin.clone(),
        };
        let published = self
            .publish(unpublished, self.metadata.put_object(command))
            .await;
        let published = published.map_err(|e| target.conditional(&input.condition, e))?;
        Ok(Some(CopyObjectOutput {
            etag: convert::etag(&published.etag),
            last_modified: Timestamp::from_ms(published.last_modified_ms),
            version_id: convert::maybe_version_id(published.version_id.as_ref())?,
            source_version_id: found.shown_id()?,
            checksum: Some(checksum),
            encryption: chosen.shown(),
            expiration: None,
        }))
    }

    /// UploadPartCopy through the pipeline; `None` if the source has gone away.
    #[tracing::instrument(level = "debug", skip_all, fields(?range))]
    pub(super) async fn copy_part_bytes(
        &self,
        input: &UploadPartCopyInput,
        (bucket, upload): (&Bucket, &Upload),
        (found, range): (&Found, Range<u64>),
        algorithm: ChecksumAlgorithm,
        chosen: &Chosen,
    ) -> Result<Option<UploadPartCopyOutput>, S3Error> {
        let target = Target::upload(&input.bucket, &input.key, &input.upload_id);
        let class = convert::storage_class(upload.attributes.storage_class.as_deref())?;
        let policy = self.policy(&input.bucket, bucket, Some(&class)).await?;
        let policy = policy.for_key(input.key.as_bytes());
        let source_key = input.source_key.as_ref();
        let Some(body) = self
            .source_body(&input.source, found, range, source_key, algorithm)
            .await?
        else {
            return Ok(None);
        };
        let Written {
            op,
            blob,
            digests,
            unpublished,
            ..
        } = self.write(&policy, body, chosen).await?;
        let etag = chosen.etag(op, &digests.md5);
        let checksum = ObjectChecksum::full_object(digests.checksum.clone());
        let command = PutPart {
            op,
            upload: upload.id,
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            part_number: u32::from(input.part_number.get()),
            blob,
            etag: etag.as_str().to_owned(),
            checksum: Some(convert::stored_checksum(&checksum)),
        };
        let committed = self
            .publish(unpublished, self.metadata.put_part(command))
            .await;
        let part = committed.map_err(|e| target.error(e))?;
        Ok(Some(UploadPartCopyOutput {
            etag,
            last_modified: Timestamp::from_ms(part.last_modified_ms),
            checksum: Some(digests.checksum),
            source_version_id: found.shown_id()?,
            encryption: chosen.shown(),
        }))
    }

    /// The source's bytes as the body of a write; `None` if it has gone away.
    async fn source_body(
        &self,
        source: &CopySource,
        found: &Found,
        range: Range<u64>,
        key: Option<&CustomerKey>,
        algorithm: ChecksumAlgorithm,
    ) -> Result<Option<ObjectBody>, S3Error> {
        let target = Target::object(&source.bucket, &source.key, source.version_id.as_ref());
        let len = range.end - range.start;
        let opened = self.open(&found.version, range, key).await;
        let opened = opened.map_err(|failure| failure.of(&target))?;
        // Nobody makes claims about them.
        let claims = BodyClaims {
            md5: None,
            checksum: ChecksumClaim::Algorithm(algorithm),
        };
        Ok(opened.map(|bytes| digested(bytes, len, claims)))
    }
}

/// Bytes that come from within, as a body.
pub(super) fn digested(bytes: ByteStream, len: u64, claims: BodyClaims) -> ObjectBody {
    let digests = DigestSlot::new();
    let hashing = Hashing {
        bytes,
        hasher: Some(BodyHasher::new(claims, PayloadMode::Unsigned)),
        slot: digests.clone(),
    };
    let stream = stream::try_unfold(hashing, |mut hashing| async move {
        Ok(hashing.next().await?.map(|piece| (piece, hashing)))
    });
    ObjectBody {
        len,
        stream: stream.boxed(),
        digests,
    }
}

struct Hashing {
    bytes: ByteStream,
    /// `None` once the end has been reached.
    hasher: Option<BodyHasher>,
    slot: DigestSlot,
}

impl Hashing {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, S3Error> {
        if let Some(piece) = self.bytes.next().await {
            let piece = piece?;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&piece);
            }
            return Ok(Some(piece));
        }
        if let Some(hasher) = self.hasher.take() {
            self.slot.fill(hasher.finish(None)?);
        }
        Ok(None)
    }
}
