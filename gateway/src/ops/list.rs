//! Listings of objects: version 1 and version 2, which differ in how a page says where it ended.
//!
//! A page costs what it shows: the metadata jumps over common prefixes, and an entry (a key or a
//! common prefix) after which the next page begins is all that has to be remembered.

use holdfast_metadata::model::{BucketId, ListEntry, ListPage, ListQuery, Version};

use super::Gateway;
use super::convert;
use super::error::{Target, corrupt};
use crate::s3::error::S3Error;
use crate::s3::op::{
    ListFilter, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ListPosition, MAX_KEYS, ObjectEntry,
};
use crate::s3::time::Timestamp;

impl Gateway {
    pub(super) async fn objects(
        &self,
        input: &ListObjectsInput,
    ) -> Result<ListObjectsOutput, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let Some(query) = query(bucket.id, &input.filter, input.marker.as_bytes()) else {
            return Ok(ListObjectsOutput::default());
        };
        let found = self.metadata.list_objects(&query).await;
        let page = object_page(found.map_err(|e| Target::bucket(&input.bucket).error(e))?)?;
        Ok(ListObjectsOutput {
            objects: page.objects,
            common_prefixes: page.common_prefixes,
            next_marker: page.next.map(convert::text).transpose()?,
        })
    }

    pub(super) async fn objects_v2(
        &self,
        input: &ListObjectsV2Input,
    ) -> Result<ListObjectsV2Output, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let start_after = input.start_after.as_bytes();
        let after = input
            .continuation
            .as_ref()
            .map_or(start_after, |position| &position.0);
        let Some(query) = query(bucket.id, &input.filter, after) else {
            return Ok(ListObjectsV2Output::default());
        };
        let found = self.metadata.list_objects(&query).await;
        let page = object_page(found.map_err(|e| Target::bucket(&input.bucket).error(e))?)?;
        Ok(ListObjectsV2Output {
            objects: page.objects,
            common_prefixes: page.common_prefixes,
            next: page.next.map(ListPosition),
        })
    }
}

/// What the metadata is asked; `None` where a page of no entries was asked for.
pub(super) fn query(bucket: BucketId, filter: &ListFilter, after: &[u8]) -> Option<ListQuery> {
    let limit = filter.max_keys.min(MAX_KEYS) as usize;
    (limit > 0).then(|| ListQuery {
        bucket,
        prefix: filter.prefix.as_bytes().to_vec(),
        delimiter: delimiter(filter).map(<[u8]>::to_vec),
        after: (!after.is_empty()).then(|| after.to_vec()),
        after_version: None,
        limit,
    })
}

/// The delimiter, if there is one: an empty one is none.
pub(super) fn delimiter(filter: &ListFilter) -> Option<&[u8]> {
    filter
        .delimiter
        .as_deref()
        .filter(|text| !text.is_empty())
        .map(str::as_bytes)
}

/// A page of objects.
struct ObjectPage {
    objects: Vec<ObjectEntry>,
    common_prefixes: Vec<String>,
    /// The last entry, if more follow.
    next: Option<Vec<u8>>,
}

fn object_page(page: ListPage) -> Result<ObjectPage, S3Error> {
    let last = page.entries.last().map(|entry| match entry {
        ListEntry::Version(version) => version.key.clone(),
        ListEntry::CommonPrefix(prefix) => prefix.clone(),
    });
    let mut shown = ObjectPage {
        objects: Vec::new(),
        common_prefixes: Vec::new(),
        next: last.filter(|_| page.truncated),
    };
    for entry in page.entries {
        match entry {
            ListEntry::Version(version) => shown.objects.push(object_entry(version)?),
            ListEntry::CommonPrefix(prefix) => shown.common_prefixes.push(convert::text(prefix)?),
        }
    }
    Ok(shown)
}

fn object_entry(version: Version) -> Result<ObjectEntry, S3Error> {
    if version.is_delete_marker {
        return Err(corrupt(MarkerListed(version.sequence)));
    }
    Ok(ObjectEntry {
        last_modified: Timestamp::from_ms(version.last_modified_ms),
        etag: convert::etag(&version.etag),
        size: version.size,
        storage_class: convert::storage_class(version.attributes.storage_class.as_deref())?,
        checksum: convert::listed_checksum(version.attributes.checksum.as_ref())?,
        key: convert::object_key(version.key)?,
    })
}

/// The index of current objects holds a delete marker.
#[derive(Debug, thiserror::Error)]
#[error("a delete marker (sequence {0}) is among the current objects")]
struct MarkerListed(u64);
