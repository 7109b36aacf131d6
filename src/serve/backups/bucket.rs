//! A backup in a bucket: an object like any other, and a slip on every drive that says of which blobs
//! it is made, because without the metadata nobody could tell.

use bytes::Bytes;
use futures::{Stream, stream};
use holdfast_gateway::admin::{ADMIN_SERVICE, NotDone};
use holdfast_gateway::ops::NewObject;
use holdfast_gateway::s3::error::S3Error;
use holdfast_gateway::s3::name::{BucketName, ObjectKey};
use holdfast_gateway::s3::op::RequestContext;
use holdfast_gateway::s3::time::Timestamp;
use holdfast_metadata::backup::{Backup, Slip, SlipPiece, SlipSeal, Slips};
use holdfast_metadata::model::{LocatedSlice, Version};
use holdfast_metadata::{ImageStream, MetadataError};
use holdfast_storage_node::ShelfFolder;
use http::StatusCode;

use super::Keeper;
use crate::serve::journal::open_shelves;
use crate::sign::amz_date;

/// The object that a backup becomes.
pub(super) fn name(
    bucket: BucketName,
    key: Option<ObjectKey>,
    now_ms: u64,
) -> Result<NewObject, NotDone> {
    let key = match key {
        Some(key) => key,
        None => {
            let (time, ms) = (amz_date(now_ms / 1000), now_ms % 1000);
            ObjectKey::parse(&format!("holdfast-metadata-{time}-{ms:03}.image"))
                .map_err(not_done)?
        }
    };
    Ok(NewObject { bucket, key })
}

/// How a backup's place is written.
pub(super) fn place(object: &NewObject) -> String {
    format!("s3://{}/{}", object.bucket.as_str(), object.key.as_str())
}

impl Keeper {
    /// Puts an image into a bucket, and slips on the drives.
    pub(super) async fn write_object(
        &self,
        object: &NewObject,
        backup: &Backup,
    ) -> Result<u64, NotDone> {
        // The image is of a moment before the upload begins: it knows nothing of it.
        let image = self.metadata.image(Some(self.cluster), Some(backup.id));
        let image = image.await.map_err(super::not_done)?;
        let context = RequestContext {
            request_id: backup.id.simple().to_string().into(),
            access_key_id: ADMIN_SERVICE.into(),
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            region: "".into(),
            received: Timestamp::from_ms(self.clock.now_ms()),
        };
        let put = self.gateway.put_stream(&context, object, chunks(image));
        let version = put.await.map_err(not_done)?;
        let slip = self.slip(object, backup, &version).await?;
        self.post(slip).await.map_err(|why| {
            NotDone::Failed(format!(
                "{} is there, and could not be found if the metadata were lost: {why}",
                place(object)
            ))
        })?;
        self.tidy_slips().await;
        Ok(version.size)
    }

    async fn slip(
        &self,
        object: &NewObject,
        backup: &Backup,
        version: &Version,
    ) -> Result<Slip, NotDone> {
        let slices = self.metadata.slices(version.uid, 0..version.size).await;
        let slices = slices.map_err(super::not_done)?;
        let pieces: Vec<SlipPiece> = slices.iter().map(piece).collect();
        let len: u64 = pieces.iter().map(|piece| piece.len).sum();
        if len != version.size {
            return Err(NotDone::Failed(format!(
                "{} was removed meanwhile",
                place(object)
            )));
        }
        Ok(Slip {
            cluster: self.cluster,
            backup: backup.id,
            taken_ms: backup.taken_ms,
            expires_ms: backup.expires_ms,
            bucket: object.bucket.as_str().to_owned(),
            key: object.key.as_str().to_owned(),
            bytes: version.size,
            pieces,
        })
    }

    async fn post(&self, slip: Slip) -> Result<(), String> {
        let shelves = open_shelves(&self.store, ShelfFolder::Backups);
        let posted = tokio::task::spawn_blocking(move || slip.post(&shelves));
        let (have, failed) = posted.await.map_err(|error| error.to_string())?;
        for why in &failed {
            tracing::warn!("a drive has no slip of a backup: {why}");
        }
        if have < self.slips_needed {
            return Err(format!(
                "{have} drives say of which fragments it is and {} must: {}",
                self.slips_needed,
                failed.join("; ")
            ));
        }
        Ok(())
    }

    /// Removes the slips of backups that have expired or were forgotten and whose objects are gone,
    /// and gives the others to drives that came later. What can't be found out keeps its slip, and
    /// so does everything while a restored metadata waits to be compared: it does not know what came
    /// after it.
    pub(super) async fn tidy_slips(&self) {
        if let Err(error) = self.try_tidy().await {
            tracing::debug!("slips of backups are left: {error}");
        }
    }

    async fn try_tidy(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if self.metadata.reconcile_pending().await?.is_some() {
            return Ok(());
        }
        let shelves = open_shelves(&self.store, ShelfFolder::Backups);
        let read = shelves.clone();
        let slips = tokio::task::spawn_blocking(move || Slips::read(&read)).await?;
        let pinned = self.metadata.backups().await?;
        let now_ms = self.clock.now_ms();
        for slip in slips.found {
            let is_pinned = pinned
                .iter()
                .any(|backup| backup.id == slip.backup && backup.expires_ms > now_ms);
            let is_needed = is_pinned || self.is_there(&slip).await?;
            let shelves = shelves.clone();
            tokio::task::spawn_blocking(move || {
                if is_needed {
                    // A drive that does not take it now is asked again the next time.
                    let _most_have_it = slip.post(&shelves);
                } else {
                    Slips::remove(&shelves, slip.backup);
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Whether something refers to the bytes of a slip's object.
    async fn is_there(&self, slip: &Slip) -> Result<bool, MetadataError> {
        let Some(first) = slip.pieces.first() else {
            return Ok(false);
        };
        let blob = self.metadata.audit_blob(first.blob).await?;
        Ok(blob.is_some_and(|blob| blob.is_referenced))
    }
}

fn piece(slice: &LocatedSlice) -> SlipPiece {
    SlipPiece {
        blob: slice.blob.blob,
        len: slice.len,
        seal: slice.seal.as_ref().and_then(|seal| {
            Some(SlipSeal {
                master_key: seal.master_key.clone()?,
                wrapped_key: hex::encode(&seal.wrapped_key),
            })
        }),
    }
}

/// An image's bytes. They end well only if the image did.
fn chunks(image: ImageStream) -> impl Stream<Item = Result<Bytes, S3Error>> + Send {
    stream::unfold(Some(image), |image| async move {
        let mut image = image?;
        if let Some(chunk) = image.chunks.recv().await {
            return Some((Ok(chunk), Some(image)));
        }
        match image.done.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((Err(S3Error::internal(error)), None)),
            Err(died) => Some((Err(S3Error::internal(died)), None)),
        }
    })
}

/// What S3 would have answered, as the admin API answers it.
fn not_done(error: S3Error) -> NotDone {
    let text = match error.cause() {
        Some(cause) => format!("{} ({cause})", error.text()),
        None => error.text().to_owned(),
    };
    match error.status() {
        StatusCode::NOT_FOUND => NotDone::NotFound(text),
        StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => NotDone::Conflict(
            "there is such an object already: a backup replaces nothing".to_owned(),
        ),
        status if status.is_client_error() => NotDone::Invalid(text),
        _ => NotDone::Failed(text),
    }
}
