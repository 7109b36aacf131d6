//! Objects: what is done to them and what is asked of them.

use std::ops::Range;

use holdfast_types::mutant::{self, Mutant};
use uuid::Uuid;

use super::{MAX_ROWS, Metadata, Result, unpack_blob};
use crate::command::{
    CopyObject, DeleteObject, DeleteOutcome, Published, PutLegalHold, PutObject, PutRetention,
    PutTags, WriteCondition,
};
use crate::model::{
    BucketId, ListPage, ListQuery, LocatedSlice, ObjectPart, Version, VersionSelector,
};
use crate::queries::{listing, slices, versions};

/// Objects: commands.
impl Metadata {
    /// Makes an object.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `PreconditionFailed`, `NoObjectLock`, `Locked`, `Fenced`,
    /// `OutcomeUnknown`; `Unavailable`, `Database`.
    pub async fn put_object(&self, put: PutObject) -> Result<Published> {
        if let Some(blob) = &put.blob {
            self.number_drives(blob.placement.drives.iter().copied())
                .await?;
            self.number_drives(blob.debts.iter().map(|debt| debt.1))
                .await?;
            self.number_drives(blob.strays.iter().map(|stray| Some(stray.1)))
                .await?;
        }
        let condition = WriteCondition::default();
        if mutant::active(Mutant::EffectBefore412) && put.condition != condition {
            self.run(PutObject {
                condition,
                ..put.clone()
            })
            .await?;
        }
        self.run(put).await
    }

    /// Makes an object of another's bytes, parts and ETag.
    ///
    /// # Errors
    /// As `put_object`, and `SourceChanged`.
    pub async fn copy_object(&self, copy: CopyObject) -> Result<Published> {
        self.run(copy).await
    }

    /// Gives a version other tags.
    ///
    /// # Errors
    /// `NoSuchBucket`; `NoSuchKey` for `Current`, `NoSuchVersion` for `Exact`, of a delete marker
    /// too; `Unavailable`, `Database`.
    pub async fn put_tags(&self, put: PutTags) -> Result<()> {
        self.run(put).await
    }

    /// Gives a version another retention, or none. The caller has made sure that its time is yet to
    /// come.
    ///
    /// # Errors
    /// As `put_tags`; `NoObjectLock`; `Locked` where the version's retention can't be made weaker.
    pub async fn put_retention(&self, put: PutRetention) -> Result<()> {
        self.run(put).await
    }

    /// Puts a version's legal hold on, or takes it off.
    ///
    /// # Errors
    /// As `put_tags`; `NoObjectLock`; `Locked` where the version's lock can't be read.
    pub async fn put_legal_hold(&self, put: PutLegalHold) -> Result<()> {
        self.run(put).await
    }

    /// Removes an object or a version, or puts a marker on the key.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `PreconditionFailed`, `Locked`, `Fenced`, `OutcomeUnknown`;
    /// `Unavailable`, `Database`.
    pub async fn delete_object(&self, delete: DeleteObject) -> Result<DeleteOutcome> {
        self.run(delete).await
    }
}

/// Objects: queries.
impl Metadata {
    /// One version of a key, object or marker.
    ///
    /// # Errors
    /// `NoSuchKey` for `Current`, `NoSuchVersion` for `Exact`; `Unavailable`, `Database`,
    /// `Corrupt`.
    pub async fn version(
        &self,
        bucket: BucketId,
        key: &[u8],
        version: &VersionSelector,
    ) -> Result<Version> {
        query!(self.reader, versions::version(bucket, key, version))
    }

    /// The slices that overlap `range`, in order, with where their blobs are in this region. Empty
    /// if the version is gone. Reads only the rows it gives (and one before an open end).
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn slices(&self, version_uid: Uuid, range: Range<u64>) -> Result<Vec<LocatedSlice>> {
        let packed = query!(
            self.reader,
            slices::slices(&version_uid, &range, &self.inner.region)
        )?;
        self.named(|numbers| {
            packed
                .iter()
                .map(|slice| {
                    Ok(LocatedSlice {
                        start: slice.start,
                        len: slice.len,
                        blob_offset: slice.blob_offset,
                        blob: unpack_blob(numbers, &slice.blob)?,
                        seal: slice.seal.clone(),
                    })
                })
                .collect()
        })
        .await
    }

    /// Parts of a completed object, after a part number.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn object_parts(
        &self,
        version_uid: Uuid,
        after_part: u32,
        limit: usize,
    ) -> Result<Vec<ObjectPart>> {
        query!(
            self.reader,
            versions::object_parts(&version_uid, after_part, limit.min(MAX_ROWS))
        )
    }

    /// One part of a completed object.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn object_part(
        &self,
        version_uid: Uuid,
        part_number: u32,
    ) -> Result<Option<ObjectPart>> {
        query!(
            self.reader,
            versions::object_part(&version_uid, part_number)
        )
    }

    /// A page of current objects.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn list_objects(&self, query: &ListQuery) -> Result<ListPage> {
        query!(self.snapshot, listing::objects(query))
    }

    /// A page of versions and markers.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn list_versions(&self, query: &ListQuery) -> Result<ListPage> {
        query!(self.snapshot, listing::versions(query))
    }
}
