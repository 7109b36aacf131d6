//! UploadPartCopy: a part of bytes that another object has.
//!
//! Where the part is encrypted as its source is, no byte is stored again: the part's slices are sub-slices of the source's. But its ETag is the
//! MD5 of its bytes, as on AWS, and its checksum follows its upload, so the bytes are read through
//! to compute the two; not where the part is a whole object whose ETag is an MD5 and whose checksum
//! is the one that is needed. Whether the source is still there is decided by the command.

use futures::TryStreamExt;
use holdfast_metadata::MetadataError;
use holdfast_metadata::command::CopyPart;
use holdfast_metadata::model::{OpId, Part, Upload, Version};
use md5::{Digest, Md5};
use std::ops::Range;

use super::Gateway;
use super::convert;
use super::copy::of_source;
use super::encryption::check_key;
use super::error::{Target, unavailable};
use super::version::Found;
use crate::s3::checksum::ChecksumHasher;
use crate::s3::error::S3Error;
use crate::s3::op::{
    Checksum, ChecksumAlgorithm, ChecksumType, ETag, MAX_SINGLE_BODY_LEN, ObjectChecksum,
    UploadPartCopyInput, UploadPartCopyOutput,
};
use crate::s3::time::Timestamp;

/// How often a source that went away between the lookup and the command is looked up again.
const ATTEMPTS: u32 = 3;

impl Gateway {
    pub(super) async fn copy_part(
        &self,
        input: UploadPartCopyInput,
    ) -> Result<UploadPartCopyOutput, S3Error> {
        let target = Target::upload(&input.bucket, &input.key, &input.upload_id);
        let (bucket, upload) = self
            .open_upload(&input.bucket, &input.key, &input.upload_id)
            .await?;
        let algorithm = convert::upload_checksum(upload.checksum.as_ref())?
            .map_or(ChecksumAlgorithm::Crc64Nvme, |(algorithm, _)| algorithm);
        let chosen = Self::encryption_of_part(&upload, input.customer_key.as_ref())?;
        for _ in 0..ATTEMPTS {
            let (found, range) = self.part_source(&input).await?;
            if !chosen.is_as(found.version.attributes.encryption.as_ref()) {
                let source = (&found, range);
                let copied = self
                    .copy_part_bytes(&input, (&bucket, &upload), source, algorithm, &chosen)
                    .await?;
                match copied {
                    Some(output) => return Ok(output),
                    None => continue,
                }
            }
            let known = known_digests(&found.version, &range, algorithm)?;
            let digests = match known {
                Some(digests) => Some(digests),
                None => self.digest(&input, &found, &range, algorithm).await?,
            };
            let Some((etag, checksum)) = digests else {
                continue;
            };
            let stored = ObjectChecksum::full_object(checksum.clone());
            let committed = self
                .commit_copied_part(&input, &upload, &found, range, &etag, &stored)
                .await;
            match committed {
                Ok(part) => {
                    return Ok(UploadPartCopyOutput {
                        etag,
                        last_modified: Timestamp::from_ms(part.last_modified_ms),
                        checksum: Some(checksum),
                        source_version_id: found.shown_id()?,
                        encryption: chosen.shown(),
                    });
                }
                Err(MetadataError::SourceChanged) => {}
                Err(error) => return Err(target.error(error)),
            }
        }
        Err(unavailable(
            "Other writes kept replacing the source of the copy. Please retry.",
        ))
    }

    /// The source, whose conditions hold, and which of its bytes are copied.
    async fn part_source(
        &self,
        input: &UploadPartCopyInput,
    ) -> Result<(Found, Range<u64>), S3Error> {
        let source = &input.source;
        let found = self
            .find(&source.bucket, &source.key, source.version_id.as_ref())
            .await
            .map_err(of_source)?;
        check_key(&found.version.attributes, input.source_key.as_ref())?;
        let (etag, last_modified) = found.validators();
        input
            .source_conditions
            .check_copy_source(&etag, last_modified)?;
        let range = source_range(input.source_range, found.version.size)?;
        Ok((found, range))
    }

    /// Reads the bytes through; `None` if the source has gone away.
    #[tracing::instrument(level = "debug", skip_all, fields(?range))]
    async fn digest(
        &self,
        input: &UploadPartCopyInput,
        found: &Found,
        range: &Range<u64>,
        algorithm: ChecksumAlgorithm,
    ) -> Result<Option<(ETag, Checksum)>, S3Error> {
        let source = &input.source;
        let target = Target::object(&source.bucket, &source.key, source.version_id.as_ref());
        let opened = self.open(&found.version, range.clone(), None).await;
        let Some(mut bytes) = opened.map_err(|failure| failure.of(&target))? else {
            return Ok(None);
        };
        let (mut md5, mut checksum) = (Md5::new(), ChecksumHasher::new(algorithm));
        while let Some(piece) = bytes.try_next().await? {
            md5.update(&piece);
            checksum.update(&piece);
        }
        let etag = ETag::from_md5(&md5.finalize().into());
        Ok(Some((etag, checksum.finish())))
    }

    #[tracing::instrument(level = "debug", skip_all)]
    async fn commit_copied_part(
        &self,
        input: &UploadPartCopyInput,
        upload: &Upload,
        found: &Found,
        range: Range<u64>,
        etag: &ETag,
        checksum: &ObjectChecksum,
    ) -> Result<Part, MetadataError> {
        let command = CopyPart {
            op: OpId::generate(),
            source: found.version.uid,
            range,
            upload: upload.id,
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            part_number: u32::from(input.part_number.get()),
            etag: etag.as_str().to_owned(),
            checksum: Some(convert::stored_checksum(checksum)),
        };
        self.metadata.copy_part(command).await
    }
}

/// The bytes that are copied: at most those of one part, and all of them in the source.
fn source_range(asked: Option<(u64, u64)>, source_len: u64) -> Result<Range<u64>, S3Error> {
    let range = match asked {
        None => 0..source_len,
        Some((first, last)) if last < source_len => first..last + 1,
        Some((first, last)) => {
            return Err(S3Error::invalid_argument(
                format!("Range specified is not valid for source object of size: {source_len}"),
                "x-amz-copy-source-range",
                &format!("bytes={first}-{last}"),
            ));
        }
    };
    if range.end - range.start > MAX_SINGLE_BODY_LEN {
        return Err(S3Error::invalid_request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy \
             source: {MAX_SINGLE_BODY_LEN}"
        )));
    }
    Ok(range)
}

/// Tag and checksum of a part that is a whole plain object, where it has the right ones already.
fn known_digests(
    source: &Version,
    range: &Range<u64>,
    algorithm: ChecksumAlgorithm,
) -> Result<Option<(ETag, Checksum)>, S3Error> {
    let is_md5 = source.parts.is_none()
        && source.etag.len() == 32
        && source.etag.bytes().all(|b| b.is_ascii_hexdigit());
    if *range != (0..source.size) || !is_md5 {
        return Ok(None);
    }
    let stored = source.attributes.checksum.as_ref();
    let stored = stored.map(convert::object_checksum).transpose()?;
    Ok(stored
        .filter(|stored| {
            stored.kind == ChecksumType::FullObject && stored.checksum.algorithm == algorithm
        })
        .map(|stored| (convert::etag(&source.etag), stored.checksum)))
}
