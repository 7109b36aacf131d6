//! Listing of open uploads: by key, within a key by when they began.

use holdfast_metadata::model::Upload;
use holdfast_metadata::{UploadEntry as FoundEntry, UploadPage};

use super::Gateway;
use super::convert;
use super::error::Target;
use super::list;
use crate::s3::error::S3Error;
use crate::s3::name::UploadId;
use crate::s3::op::{
    ListMultipartUploadsInput, ListMultipartUploadsOutput, MAX_KEYS, Owner, UploadEntry,
};
use crate::s3::time::Timestamp;

impl Gateway {
    pub(super) async fn uploads(
        &self,
        input: &ListMultipartUploadsInput,
    ) -> Result<ListMultipartUploadsOutput, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        let limit = input.filter.max_keys.min(MAX_KEYS) as usize;
        if limit == 0 {
            return Ok(ListMultipartUploadsOutput::default());
        }
        // A marker that is no upload's id names no place among them: all of the key's are past it.
        let marker = input
            .upload_id_marker
            .as_ref()
            .and_then(|id| convert::upload_uuid(id).ok());
        let after = Some((input.key_marker.as_bytes(), marker)).filter(|(key, _)| !key.is_empty());
        let (prefix, delimiter) = (
            input.filter.prefix.as_bytes(),
            list::delimiter(&input.filter),
        );
        let page = self
            .metadata
            .list_uploads(bucket.id, prefix, delimiter, after, limit)
            .await;
        shown(page.map_err(|e| Target::bucket(&input.bucket).error(e))?)
    }
}

fn shown(page: UploadPage) -> Result<ListMultipartUploadsOutput, S3Error> {
    let next = page
        .entries
        .last()
        .filter(|_| page.truncated)
        .map(position)
        .transpose()?;
    let mut output = ListMultipartUploadsOutput {
        next,
        ..ListMultipartUploadsOutput::default()
    };
    for entry in page.entries {
        match entry {
            FoundEntry::Upload(upload) => output.uploads.push(upload_entry(upload)?),
            FoundEntry::CommonPrefix(prefix) => {
                output.common_prefixes.push(convert::text(prefix)?);
            }
        }
    }
    Ok(output)
}

fn position(last: &FoundEntry) -> Result<(String, Option<UploadId>), S3Error> {
    match last {
        FoundEntry::Upload(upload) => {
            let id = convert::upload_id(upload.id)?;
            Ok((convert::text(upload.key.clone())?, Some(id)))
        }
        FoundEntry::CommonPrefix(prefix) => Ok((convert::text(prefix.clone())?, None)),
    }
}

fn upload_entry(upload: Upload) -> Result<UploadEntry, S3Error> {
    Ok(UploadEntry {
        upload_id: convert::upload_id(upload.id)?,
        owner: Owner::default(),
        storage_class: convert::storage_class(upload.attributes.storage_class.as_deref())?,
        initiated: Timestamp::from_ms(upload.created_ms),
        checksum: convert::upload_checksum(upload.checksum.as_ref())?,
        key: convert::object_key(upload.key)?,
    })
}
