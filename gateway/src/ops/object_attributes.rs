//! GetObjectAttributes: a version's row, and a page of its parts if they are asked for.

use holdfast_metadata::model::{ObjectPart, Version};

use super::Gateway;
use super::convert;
use super::encryption::check_key;
use super::error::{Target, corrupt};
use super::part::NoPartNumber;
use super::version::{LOOKUPS, kept_changing};
use crate::s3::error::S3Error;
use crate::s3::name::PartNumber;
use crate::s3::op::{
    GetObjectAttributesInput, GetObjectAttributesOutput, ObjectAttribute, ObjectPartEntry,
    ObjectPartsPage,
};

impl Gateway {
    pub(super) async fn object_attributes(
        &self,
        input: &GetObjectAttributesInput,
    ) -> Result<GetObjectAttributesOutput, S3Error> {
        for _ in 0..LOOKUPS {
            let found = self
                .find(&input.bucket, &input.key, input.version_id.as_ref())
                .await?;
            let stored = &found.version.attributes;
            check_key(stored, input.customer_key.as_ref())?;
            let parts = match (
                input.wants(ObjectAttribute::ObjectParts),
                found.version.parts,
            ) {
                (true, Some(total)) => match self.parts_page(input, &found.version, total).await? {
                    Some(page) => Some(page),
                    // The version has gone away since.
                    None => continue,
                },
                _ => None,
            };
            let (etag, last_modified) = found.validators();
            return Ok(GetObjectAttributesOutput {
                version_id: found.shown_id()?,
                last_modified,
                etag,
                checksum: stored
                    .checksum
                    .as_ref()
                    .map(convert::object_checksum)
                    .transpose()?,
                storage_class: convert::storage_class(stored.storage_class.as_deref())?,
                object_len: found.version.size,
                parts,
            });
        }
        Err(kept_changing())
    }

    /// A page of the parts that a version was made of; `None` if it has none any more.
    async fn parts_page(
        &self,
        input: &GetObjectAttributesInput,
        version: &Version,
        total: u32,
    ) -> Result<Option<ObjectPartsPage>, S3Error> {
        let target = Target::object(&input.bucket, &input.key, input.version_id.as_ref());
        // One more than is shown says whether there is more; a page of none, whether there is any.
        let limit = input.max_parts as usize;
        let found = self
            .metadata
            .object_parts(version.uid, input.part_number_marker, limit + 1)
            .await;
        let mut found = found.map_err(|e| target.error(e))?;
        if found.is_empty() {
            // Behind the last part, or gone.
            let first = self.metadata.object_parts(version.uid, 0, 1).await;
            if first.map_err(|e| target.error(e))?.is_empty() {
                return Ok(None);
            }
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.part_number);
        Ok(Some(ObjectPartsPage {
            total,
            parts: found.iter().map(part_entry).collect::<Result<_, _>>()?,
            next_part_number_marker: next,
        }))
    }
}

fn part_entry(part: &ObjectPart) -> Result<ObjectPartEntry, S3Error> {
    Ok(ObjectPartEntry {
        part_number: PartNumber::new(part.part_number)
            .ok_or_else(|| corrupt(NoPartNumber(part.part_number)))?,
        size: part.size,
        checksum: part
            .checksum
            .as_ref()
            .map(convert::part_checksum)
            .transpose()?,
    })
}
