//! Listing of versions and delete markers: by key, within a key the newest first.

use holdfast_metadata::model::{ListEntry, Version};

use super::Gateway;
use super::convert;
use super::error::Target;
use super::list;
use crate::s3::error::S3Error;
use crate::s3::name::VersionId;
use crate::s3::op::{ListObjectVersionsInput, ListObjectVersionsOutput, VersionEntry, VersionKind};
use crate::s3::time::Timestamp;

impl Gateway {
    pub(super) async fn versions(
        &self,
        input: &ListObjectVersionsInput,
    ) -> Result<ListObjectVersionsOutput, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let after_version = input
            .version_id_marker
            .as_ref()
            .map(convert::stored_version_id)
            .transpose()?;
        let Some(mut query) = list::query(bucket.id, &input.filter, input.key_marker.as_bytes())
        else {
            return Ok(ListObjectVersionsOutput::default());
        };
        query.after_version = after_version.filter(|_| query.after.is_some());
        let page = self.metadata.list_versions(&query).await;
        let page = page.map_err(|e| Target::bucket(&input.bucket).error(e))?;
        let next = page
            .entries
            .last()
            .filter(|_| page.truncated)
            .map(position)
            .transpose()?;
        let mut output = ListObjectVersionsOutput {
            next,
            ..ListObjectVersionsOutput::default()
        };
        for entry in page.entries {
            match entry {
                ListEntry::Version(version) => output.versions.push(version_entry(version)?),
                ListEntry::CommonPrefix(prefix) => {
                    output.common_prefixes.push(convert::text(prefix)?);
                }
            }
        }
        Ok(output)
    }
}

fn position(last: &ListEntry) -> Result<(String, Option<VersionId>), S3Error> {
    match last {
        ListEntry::Version(version) => {
            let id = convert::version_id(&version.version_id)?;
            Ok((convert::text(version.key.clone())?, Some(id)))
        }
        ListEntry::CommonPrefix(prefix) => Ok((convert::text(prefix.clone())?, None)),
    }
}

fn version_entry(version: Version) -> Result<VersionEntry, S3Error> {
    let kind = if version.is_delete_marker {
        VersionKind::DeleteMarker
    } else {
        VersionKind::Object {
            etag: convert::etag(&version.etag),
            size: version.size,
            storage_class: convert::storage_class(version.attributes.storage_class.as_deref())?,
            checksum: convert::listed_checksum(version.attributes.checksum.as_ref())?,
        }
    };
    Ok(VersionEntry {
        version_id: convert::version_id(&version.version_id)?,
        is_latest: version.is_current,
        last_modified: Timestamp::from_ms(version.last_modified_ms),
        kind,
        key: convert::object_key(version.key)?,
    })
}
