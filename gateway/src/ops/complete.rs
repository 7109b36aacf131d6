//! CompleteMultipartUpload: an object made of parts, without touching a byte.
//!
//! The client's list is checked against the parts that are there, ETag and checksum are computed
//! from theirs, and one command makes the object, if no part was replaced in between. A Complete
//! that is sent again after it succeeded is given the same answer for seven days.

use std::collections::HashMap;

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{CompleteUpload, Published};
use holdfast_metadata::model::{
    Bucket, CompletedUpload, Encryption, OpId, Part, Upload, UploadState, VersionId,
    VersionSelector,
};

use super::Gateway;
use super::convert;
use super::error::{Target, corrupt, unavailable};
use crate::s3::checksum::{PartChecksum, composite, full_object, multipart_etag};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::{
    AppliedEncryption, ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, LifecycleNotice, MIN_PART_LEN, ObjectChecksum,
};

/// How often parts that were replaced between the lookup and the command are looked up again.
const ATTEMPTS: u32 = 3;

/// Parts of one question to the metadata.
const PAGE: usize = 1000;

impl Gateway {
    pub(super) async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput, S3Error> {
        let target = Target::upload(&input.bucket, &input.key, &input.upload_id);
        for _ in 0..ATTEMPTS {
            let (bucket, upload) = self
                .upload(&input.bucket, &input.key, &input.upload_id)
                .await?;
            match &upload.state {
                UploadState::Open => {}
                UploadState::Completed(outcome) => {
                    let encryption = shown(&input, &upload)?;
                    let expiration = self.expiration_again(&bucket, &upload, outcome).await;
                    return completed_before(input, outcome, encryption, expiration);
                }
                UploadState::Aborted => return Err(S3Error::no_such_upload(&input.upload_id)),
            }
            let encryption = shown(&input, &upload)?;
            let chosen = match self.chosen_parts(&input, &upload).await {
                Ok(chosen) => chosen,
                // Another Complete or an Abort may have taken the parts since: look again.
                Err(error) if error.code() == ErrorCode::InvalidPart => {
                    let (_, now) = self
                        .upload(&input.bucket, &input.key, &input.upload_id)
                        .await?;
                    if now.state == UploadState::Open {
                        return Err(error);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let object = Object::of(&input, &upload, &chosen)?;
            self.check_early(&bucket, &input.key, &input.condition, target)
                .await?;
            match self.publish_parts(&input, &upload, &chosen, &object).await {
                Ok(published) => {
                    let (key, tags) = (input.key.as_bytes(), &upload.attributes.tags);
                    let size = chosen.iter().map(|part| part.size).sum();
                    let expiration = self
                        .expiration(&bucket, key, size, tags, published.last_modified_ms)
                        .await;
                    let output = completed(input, &published, object.checksum, encryption)?;
                    return Ok(CompleteMultipartUploadOutput {
                        expiration,
                        ..output
                    });
                }
                // A part was replaced, or another Complete or an Abort came first: look again.
                Err(MetadataError::SourceChanged | MetadataError::NoSuchUpload) => {}
                Err(error) => return Err(target.conditional(&input.condition, error)),
            }
        }
        Err(unavailable(
            "The upload's parts kept changing while it was completed. Please retry.",
        ))
    }

    /// When lifecycle will remove what an upload became, as long as it is the current version.
    async fn expiration_again(
        &self,
        bucket: &Bucket,
        upload: &Upload,
        outcome: &CompletedUpload,
    ) -> Option<LifecycleNotice> {
        let current = self
            .metadata
            .version(bucket.id, &upload.key, &VersionSelector::Current)
            .await
            .ok()?;
        let id = outcome.version_id.clone().unwrap_or_else(VersionId::null);
        if current.version_id != id || current.etag != outcome.etag {
            return None;
        }
        self.expiration_of(bucket, &current).await
    }

    /// The stored parts that the client lists, in its order.
    #[tracing::instrument(level = "debug", skip_all, fields(parts = input.parts.len()))]
    async fn chosen_parts(
        &self,
        input: &CompleteMultipartUploadInput,
        upload: &Upload,
    ) -> Result<Vec<Part>, S3Error> {
        let mut stored = self.all_parts(input, upload).await?;
        let mut chosen: Vec<Part> = Vec::with_capacity(input.parts.len());
        for listed in &input.parts {
            let number = u32::from(listed.part_number.get());
            if chosen.last().is_some_and(|last| last.part_number >= number) {
                return Err(S3Error::new(ErrorCode::InvalidPartOrder)
                    .with("UploadId", input.upload_id.as_str()));
            }
            let part = stored
                .remove(&number)
                .ok_or_else(|| invalid_part(input, listed))?;
            check_part(input, listed, &part)?;
            chosen.push(part);
        }
        if chosen.is_empty() {
            return Err(S3Error::malformed_xml());
        }
        check_sizes(&chosen)?;
        Ok(chosen)
    }

    async fn all_parts(
        &self,
        input: &CompleteMultipartUploadInput,
        upload: &Upload,
    ) -> Result<HashMap<u32, Part>, S3Error> {
        let target = Target::upload(&input.bucket, &input.key, &input.upload_id);
        let mut all = HashMap::new();
        let mut after = 0;
        loop {
            let page = self.metadata.parts(upload.id, after, PAGE).await;
            let page = page.map_err(|e| target.error(e))?;
            let Some(last) = page.last() else {
                return Ok(all);
            };
            after = last.part_number;
            let more = page.len() == PAGE;
            all.extend(page.into_iter().map(|part| (part.part_number, part)));
            if !more {
                return Ok(all);
            }
        }
    }

    #[tracing::instrument(level = "debug", skip_all)]
    async fn publish_parts(
        &self,
        input: &CompleteMultipartUploadInput,
        upload: &Upload,
        chosen: &[Part],
        object: &Object,
    ) -> Result<Published, MetadataError> {
        let command = CompleteUpload {
            op: OpId::generate(),
            upload: upload.id,
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            parts: chosen
                .iter()
                .map(|part| (part.part_number, part.uid))
                .collect(),
            etag: object.etag.clone(),
            checksum: object.checksum.as_ref().map(convert::stored_checksum),
            condition: convert::stored_condition(&input.condition),
            origin: self.origin.clone(),
        };
        self.metadata.complete_upload(command).await
    }
}

/// What the parts come to.
struct Object {
    etag: String,
    checksum: Option<ObjectChecksum>,
}

impl Object {
    /// Computes it, and compares it with what the client claims.
    fn of(
        input: &CompleteMultipartUploadInput,
        upload: &Upload,
        parts: &[Part],
    ) -> Result<Self, S3Error> {
        let asked = convert::upload_checksum(upload.checksum.as_ref())?;
        let (algorithm, kind) =
            asked.unwrap_or((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject));
        check_type(input, kind)?;
        if kind == ChecksumType::Composite {
            check_all_listed(input, algorithm)?;
        }
        let checksum = of_parts(algorithm, kind, parts)?;
        if checksum.is_none() && asked.is_some() {
            return Err(corrupt(NoPartChecksum(algorithm.as_str())));
        }
        check_claim(input, checksum.as_ref())?;
        check_len(input, parts.iter().map(|part| part.size).sum())?;
        let md5s: Vec<[u8; 16]> = parts.iter().map(md5_of).collect::<Result<_, _>>()?;
        Ok(Self {
            etag: multipart_etag(&md5s),
            checksum,
        })
    }
}

/// The object's checksum from those of its parts; `None` if one has none by this algorithm.
fn of_parts(
    algorithm: ChecksumAlgorithm,
    kind: ChecksumType,
    parts: &[Part],
) -> Result<Option<ObjectChecksum>, S3Error> {
    let mut checksums = Vec::with_capacity(parts.len());
    for part in parts {
        let stored = part
            .checksum
            .as_ref()
            .map(convert::part_checksum)
            .transpose()?;
        let Some(stored) = stored.filter(|stored| stored.algorithm == algorithm) else {
            return Ok(None);
        };
        checksums.push(PartChecksum {
            checksum: stored,
            len_bytes: part.size,
        });
    }
    let count = u32::try_from(parts.len()).map_err(corrupt)?;
    Ok(Some(match kind {
        ChecksumType::FullObject => {
            ObjectChecksum::full_object(full_object(algorithm, &checksums).map_err(corrupt)?)
        }
        ChecksumType::Composite => {
            ObjectChecksum::composite(composite(algorithm, &checksums).map_err(corrupt)?, count)
        }
    }))
}

fn md5_of(part: &Part) -> Result<[u8; 16], S3Error> {
    let mut md5 = [0; 16];
    hex::decode_to_slice(&part.etag, &mut md5).map_err(corrupt)?;
    Ok(md5)
}

fn check_part(
    input: &CompleteMultipartUploadInput,
    listed: &CompletedPart,
    part: &Part,
) -> Result<(), S3Error> {
    if listed.etag != convert::etag(&part.etag) {
        return Err(invalid_part(input, listed));
    }
    let Some(claimed) = &listed.checksum else {
        return Ok(());
    };
    let stored = part
        .checksum
        .as_ref()
        .map(convert::part_checksum)
        .transpose()?;
    if stored.as_ref() == Some(claimed) {
        Ok(())
    } else {
        Err(invalid_part(input, listed))
    }
}

fn check_sizes(parts: &[Part]) -> Result<(), S3Error> {
    let before_the_last = &parts[..parts.len().saturating_sub(1)];
    match before_the_last.iter().find(|part| part.size < MIN_PART_LEN) {
        None => Ok(()),
        Some(small) => Err(S3Error::new(ErrorCode::EntityTooSmall)
            .with("ProposedSize", small.size.to_string())
            .with("MinSizeAllowed", MIN_PART_LEN.to_string())
            .with("PartNumber", small.part_number.to_string())
            .with("ETag", small.etag.as_str())),
    }
}

fn check_type(input: &CompleteMultipartUploadInput, kind: ChecksumType) -> Result<(), S3Error> {
    match input.checksum_type {
        Some(claimed) if claimed != kind => Err(S3Error::invalid_request(format!(
            "The upload was created using the {} checksum mode. The complete request must use the \
             same checksum mode.",
            kind.as_str()
        ))),
        _ => Ok(()),
    }
}

fn check_all_listed(
    input: &CompleteMultipartUploadInput,
    algorithm: ChecksumAlgorithm,
) -> Result<(), S3Error> {
    match input.parts.iter().find(|part| part.checksum.is_none()) {
        None => Ok(()),
        Some(part) => Err(S3Error::invalid_request(format!(
            "The upload was created using a {} checksum. The complete request must include the \
             checksum for each part. It was missing for part {} in the request.",
            algorithm.as_str().to_ascii_lowercase(),
            part.part_number
        ))),
    }
}

fn check_claim(
    input: &CompleteMultipartUploadInput,
    found: Option<&ObjectChecksum>,
) -> Result<(), S3Error> {
    let Some(claimed) = &input.checksum else {
        return Ok(());
    };
    let same = found.is_some_and(|found| {
        // The `-N` behind a composite value may be left out, but not be wrong.
        found.checksum == claimed.checksum && (claimed.parts.is_none() || claimed == found)
    });
    if same {
        return Ok(());
    }
    Err(S3Error::message(
        ErrorCode::BadDigest,
        format!(
            "The {} you specified did not match the calculated checksum.",
            claimed.checksum.algorithm.as_str()
        ),
    ))
}

fn check_len(input: &CompleteMultipartUploadInput, len: u64) -> Result<(), S3Error> {
    match input.object_len {
        Some(claimed) if claimed != len => Err(S3Error::invalid_request(format!(
            "The provided 'x-amz-mp-object-size' header value {claimed} does not match what was \
             computed: {len}"
        ))),
        _ => Ok(()),
    }
}

fn invalid_part(input: &CompleteMultipartUploadInput, listed: &CompletedPart) -> S3Error {
    S3Error::new(ErrorCode::InvalidPart)
        .with("UploadId", input.upload_id.as_str())
        .with("PartNumber", listed.part_number.to_string())
        .with("ETag", listed.etag.as_str())
}

fn completed(
    input: CompleteMultipartUploadInput,
    published: &Published,
    checksum: Option<ObjectChecksum>,
    encryption: Option<AppliedEncryption>,
) -> Result<CompleteMultipartUploadOutput, S3Error> {
    Ok(CompleteMultipartUploadOutput {
        bucket: input.bucket,
        key: input.key,
        etag: convert::etag(&published.etag),
        version_id: convert::maybe_version_id(published.version_id.as_ref())?,
        checksum,
        encryption,
        expiration: None,
    })
}

/// How the object is encrypted. Nothing is encrypted here, so the customer's key need not be sent;
/// one that is sent must be the right one.
fn shown(
    input: &CompleteMultipartUploadInput,
    upload: &Upload,
) -> Result<Option<AppliedEncryption>, S3Error> {
    match (&upload.attributes.encryption, &input.customer_key) {
        (Some(Encryption::CustomerKey { .. }), None) => Ok(None),
        (_, key) => Ok(Gateway::encryption_of_part(upload, key.as_ref())?.shown()),
    }
}

fn completed_before(
    input: CompleteMultipartUploadInput,
    outcome: &CompletedUpload,
    encryption: Option<AppliedEncryption>,
    expiration: Option<LifecycleNotice>,
) -> Result<CompleteMultipartUploadOutput, S3Error> {
    Ok(CompleteMultipartUploadOutput {
        bucket: input.bucket,
        key: input.key,
        etag: convert::etag(&outcome.etag),
        version_id: convert::maybe_version_id(outcome.version_id.as_ref())?,
        checksum: outcome
            .checksum
            .as_ref()
            .map(convert::object_checksum)
            .transpose()?,
        encryption,
        expiration,
    })
}

/// A part of an upload that was begun with a checksum has none.
#[derive(Debug, thiserror::Error)]
#[error("a part has no {0} checksum, with which its upload was begun")]
struct NoPartChecksum(&'static str);
