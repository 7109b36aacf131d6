//! Parts of an upload: written and listed.
//!
//! That the upload is open is looked at before the body is read, and decided again by the command
//! that commits the part. A part must name the checksum algorithm that its upload was begun with,
//! as on AWS; where the upload's checksum is one over all bytes, a part that names none gets it
//! computed here. So does a part of an upload that was begun with none: what it names is verified,
//! and CRC64NVME is kept. (boto3 by default begins uploads with none and sends parts with CRC32.)

use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use holdfast_metadata::command::PutPart;
use holdfast_metadata::model::{Part, Upload};

use super::Gateway;
use super::convert;
use super::error::{Target, corrupt};
use super::object_lock::Carrier;
use super::quota::Adds;
use super::write::Written;
use crate::s3::checksum::ChecksumHasher;
use crate::s3::error::S3Error;
use crate::s3::name::PartNumber;
use crate::s3::op::{
    Checksum, ChecksumAlgorithm, ChecksumType, ListPartsInput, ListPartsOutput, ObjectBody,
    ObjectChecksum, Owner, PartEntry, UploadPartInput, UploadPartOutput,
};
use crate::s3::time::Timestamp;

/// The most parts of one page: AWS's own.
const MAX_PARTS: u32 = 1000;

impl Gateway {
    pub(super) async fn put_part(
        &self,
        input: UploadPartInput,
        body: ObjectBody,
    ) -> Result<UploadPartOutput, S3Error> {
        let target = Target::upload(&input.bucket, &input.key, &input.upload_id);
        let (bucket, upload) = self
            .open_upload(&input.bucket, &input.key, &input.upload_id)
            .await?;
        let wanted = convert::upload_checksum(upload.checksum.as_ref())?;
        let by_whom = who_computes(wanted, input.claims.checksum.algorithm())?;
        let chosen = Self::encryption_of_part(&upload, input.customer_key.as_ref())?;
        let is_asked = !upload.lock.is_empty();
        self.check_digest(&bucket, is_asked, &input.claims, Carrier::Part)?;
        let adds = Adds::Part(upload.id, input.part_number.get().into());
        self.check_quota(&bucket, body.len, adds, target).await?;
        let class = convert::storage_class(upload.attributes.storage_class.as_deref())?;
        let policy = self.policy(&input.bucket, &bucket, Some(&class)).await?;
        let policy = policy.for_key(input.key.as_bytes());

        let (body, extra) = match by_whom {
            Computes::Reader => (body, None),
            Computes::Us(algorithm) => {
                let (body, hasher) = hashed(body, algorithm);
                (body, Some(hasher))
            }
        };
        let written = self.write(&policy, body, &chosen).await?;
        let checksum = match extra {
            None => written.digests.checksum.clone(),
            Some(hasher) => hasher.finish(),
        };
        let etag = chosen.etag(written.op, &written.digests.md5);
        let Written {
            op,
            blob,
            unpublished,
            ..
        } = written;
        let command = PutPart {
            op,
            upload: upload.id,
            bucket: input.bucket.as_str().to_owned(),
            key: input.key.as_bytes().to_vec(),
            part_number: u32::from(input.part_number.get()),
            blob,
            etag: etag.as_str().to_owned(),
            checksum: Some(convert::stored_checksum(&ObjectChecksum::full_object(
                checksum.clone(),
            ))),
        };
        let committed = self
            .publish(unpublished, self.metadata.put_part(command))
            .await;
        committed.map_err(|e| target.error(e))?;
        Ok(UploadPartOutput {
            etag,
            checksum: Some(checksum),
            encryption: chosen.shown(),
        })
    }

    pub(super) async fn parts(&self, input: &ListPartsInput) -> Result<ListPartsOutput, S3Error> {
        let (bucket, upload) = self
            .open_upload(&input.bucket, &input.key, &input.upload_id)
            .await?;
        let mut output = parts_head(&upload)?;
        output.abort = self
            .abortion_of(&bucket, &upload.key, upload.created_ms)
            .await;
        let limit = input.max_parts.min(MAX_PARTS) as usize;
        if limit == 0 {
            return Ok(output);
        }
        // One more than is shown says whether there is more.
        let found = self
            .metadata
            .parts(upload.id, input.part_number_marker, limit + 1)
            .await;
        let target = Target::upload(&input.bucket, &input.key, &input.upload_id);
        let mut found = found.map_err(|e| target.error(e))?;
        let more = found.len() > limit;
        found.truncate(limit);
        output.next_part_number_marker = found.last().filter(|_| more).map(|last| last.part_number);
        output.parts = found.iter().map(part_entry).collect::<Result<_, _>>()?;
        Ok(output)
    }
}

/// Who computes a part's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Computes {
    /// The body's reader: by the algorithm that the request names, or CRC64NVME.
    Reader,
    /// The operation, beside the reader.
    Us(ChecksumAlgorithm),
}

/// Compares what a part names with what its upload was begun with.
fn who_computes(
    wanted: Option<(ChecksumAlgorithm, ChecksumType)>,
    named: Option<ChecksumAlgorithm>,
) -> Result<Computes, S3Error> {
    let by_default = ChecksumAlgorithm::Crc64Nvme;
    match (wanted, named) {
        (None, None | Some(ChecksumAlgorithm::Crc64Nvme)) => Ok(Computes::Reader),
        (Some((wanted, _)), Some(named)) if wanted == named => Ok(Computes::Reader),
        (Some((wanted, ChecksumType::FullObject)), None) if wanted == by_default => {
            Ok(Computes::Reader)
        }
        (Some((wanted, ChecksumType::FullObject)), None) => Ok(Computes::Us(wanted)),
        (None, Some(_)) => Ok(Computes::Us(by_default)),
        (wanted, named) => Err(mismatch(wanted.map(|(algorithm, _)| algorithm), named)),
    }
}

fn mismatch(wanted: Option<ChecksumAlgorithm>, named: Option<ChecksumAlgorithm>) -> S3Error {
    let name = |algorithm: Option<ChecksumAlgorithm>| {
        algorithm.map_or_else(|| "null".to_owned(), |a| a.as_str().to_ascii_lowercase())
    };
    S3Error::invalid_request(format!(
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        name(wanted),
        name(named)
    ))
}

/// A hasher that sees a body go by.
struct Beside(Arc<Mutex<ChecksumHasher>>);

impl Beside {
    fn finish(self) -> Checksum {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .finish()
    }
}

fn hashed(body: ObjectBody, algorithm: ChecksumAlgorithm) -> (ObjectBody, Beside) {
    let hasher = Arc::new(Mutex::new(ChecksumHasher::new(algorithm)));
    let sees = Arc::clone(&hasher);
    let stream = body.stream.inspect_ok(move |bytes| {
        sees.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .update(bytes);
    });
    (
        ObjectBody {
            stream: stream.boxed(),
            ..body
        },
        Beside(hasher),
    )
}

fn parts_head(upload: &Upload) -> Result<ListPartsOutput, S3Error> {
    Ok(ListPartsOutput {
        parts: Vec::new(),
        next_part_number_marker: None,
        storage_class: convert::storage_class(upload.attributes.storage_class.as_deref())?,
        owner: Owner::default(),
        checksum: convert::upload_checksum(upload.checksum.as_ref())?,
        abort: None,
    })
}

fn part_entry(part: &Part) -> Result<PartEntry, S3Error> {
    Ok(PartEntry {
        part_number: PartNumber::new(part.part_number)
            .ok_or_else(|| corrupt(NoPartNumber(part.part_number)))?,
        last_modified: Timestamp::from_ms(part.last_modified_ms),
        etag: convert::etag(&part.etag),
        size: part.size,
        checksum: part
            .checksum
            .as_ref()
            .map(convert::part_checksum)
            .transpose()?,
    })
}

/// A stored part has a number that no part can have.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no part number")]
pub(super) struct NoPartNumber(pub(super) u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_names_the_algorithm_of_its_upload() {
        use ChecksumAlgorithm::{Crc32, Crc64Nvme, Sha256};
        use ChecksumType::{Composite, FullObject};
        let cases = [
            (None, None, Some(Computes::Reader)),
            (None, Some(Crc64Nvme), Some(Computes::Reader)),
            (None, Some(Crc32), Some(Computes::Us(Crc64Nvme))),
            (
                Some((Crc32, Composite)),
                Some(Crc32),
                Some(Computes::Reader),
            ),
            (Some((Crc32, Composite)), None, None),
            (Some((Sha256, Composite)), Some(Crc32), None),
            (Some((Crc32, FullObject)), None, Some(Computes::Us(Crc32))),
            (Some((Crc32, FullObject)), Some(Crc64Nvme), None),
            (Some((Crc64Nvme, FullObject)), None, Some(Computes::Reader)),
        ];
        for (wanted, named, expected) in cases {
            assert_eq!(
                who_computes(wanted, named).ok(),
                expected,
                "{wanted:?} {named:?}"
            );
        }
        assert_eq!(
            who_computes(Some((Crc32, Composite)), None)
                .unwrap_err()
                .text(),
            "Checksum Type mismatch occurred, expected checksum Type: crc32, actual checksum Type: \
             null"
        );
    }
}
