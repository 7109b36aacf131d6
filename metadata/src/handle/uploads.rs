//! Multipart uploads.

use uuid::Uuid;

use super::{MAX_ROWS, Metadata, Result, UploadEntry, UploadPage};
use crate::command::{CompleteUpload, CopyPart, CreateUpload, Published, PutPart};
use crate::commands::multipart::{AbortUpload, BeginUpload};
use crate::model::{BucketId, Part, Upload};
use crate::queries::scan::{Entry, Scan};
use crate::queries::uploads;

/// Multipart uploads.
impl Metadata {
    /// Begins an upload.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Unavailable`, `Database`.
    pub async fn create_upload(&self, create: CreateUpload) -> Result<Upload> {
        let id = Uuid::now_v7();
        self.run(BeginUpload { id, create }).await
    }

    /// An upload of this bucket and key, in any state.
    ///
    /// # Errors
    /// `NoSuchUpload`; `Unavailable`, `Database`, `Corrupt`.
    pub async fn upload(&self, bucket: BucketId, key: &[u8], id: Uuid) -> Result<Upload> {
        query!(self.reader, uploads::upload(bucket, key, &id))
    }

    /// Commits a part.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`, `Fenced`, `OutcomeUnknown`; `Unavailable`, `Database`.
    pub async fn put_part(&self, put: PutPart) -> Result<Part> {
        if let Some(blob) = &put.blob {
            self.number_drives(blob.placement.drives.iter().copied())
                .await?;
            self.number_drives(blob.debts.iter().map(|debt| debt.1))
                .await?;
            self.number_drives(blob.strays.iter().map(|stray| Some(stray.1)))
                .await?;
        }
        self.run(put).await
    }

    /// Commits a part of bytes that another object has.
    ///
    /// # Errors
    /// As `put_part`, and `SourceChanged`.
    pub async fn copy_part(&self, copy: CopyPart) -> Result<Part> {
        self.run(copy).await
    }

    /// Parts of an open upload, after a part number. Empty once it is completed or aborted.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn parts(&self, upload: Uuid, after_part: u32, limit: usize) -> Result<Vec<Part>> {
        query!(
            self.reader,
            uploads::parts(&upload, after_part, limit.min(MAX_ROWS))
        )
    }

    /// Makes an object of parts.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchUpload`, `NoSuchKey`, `PreconditionFailed`, `SourceChanged`,
    /// `Fenced`, `OutcomeUnknown`; `Unavailable`, `Database`.
    pub async fn complete_upload(&self, complete: CompleteUpload) -> Result<Published> {
        self.run(complete).await
    }

    /// Aborts an open upload; its parts become garbage.
    ///
    /// # Errors
    /// `NoSuchUpload`; `Unavailable`, `Database`.
    pub async fn abort_upload(&self, bucket: BucketId, key: &[u8], id: Uuid) -> Result<()> {
        self.run(AbortUpload {
            bucket,
            key: key.to_vec(),
            id,
        })
        .await
    }

    /// A page of open uploads, after a key and, within it, after an upload.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn list_uploads(
        &self,
        bucket: BucketId,
        prefix: &[u8],
        delimiter: Option<&[u8]>,
        after: Option<(&[u8], Option<Uuid>)>,
        limit: usize,
    ) -> Result<UploadPage> {
        let scan = Scan::new(prefix, delimiter, limit);
        let page = query!(self.snapshot, uploads::page(&scan, bucket, after))?;
        let entries = page.entries.into_iter().map(|entry| match entry {
            Entry::Item(upload) => UploadEntry::Upload(upload),
            Entry::CommonPrefix(prefix) => UploadEntry::CommonPrefix(prefix),
        });
        Ok(UploadPage {
            entries: entries.collect(),
            truncated: page.truncated,
            rows_visited: page.rows_visited,
        })
    }
}
