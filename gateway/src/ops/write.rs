//! The way of a body: durable first, then published, or made sure that it never is.
//!
//! A body that fails its own checks is never stored; one that is stored and whose commit is refused
//! is garbage: its id is condemned in the metadata, in the very table that a publish inserts into,
//! and only then are its fragments removed. Where the outcome of a commit is unknown nothing is
//! freed. What a crash, or drives that were not in the receipt, leave behind is the census's to
//! find.

use std::future::Future;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use holdfast_erasure::{BlobLocation, PutSpec, Receipt};
use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{CondemnOutcome, NewBlob};
use holdfast_metadata::model::{Bucket, OpId, Policy};
use holdfast_sealing::{Seal, sealed_len};
use holdfast_types::{BlobId, DriveId, FragmentId, Generation};

use super::Gateway;
use super::encryption::Chosen;
use super::error::{Target, commit_failure, corrupt, put_error};
use crate::metrics::PutFailure;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::BucketName;
use crate::s3::op::{BodyDigests, MAX_SINGLE_BODY_LEN, ObjectBody, StorageClass};

/// A body that is durable and visible to nobody.
pub(super) struct Written {
    /// The attempt to publish it.
    pub(super) op: OpId,
    /// Its bytes; `None` if there are none.
    pub(super) blob: Option<NewBlob>,
    /// What was computed over them.
    pub(super) digests: BodyDigests,
    /// How many of the blob's bytes are the body's, where it has some behind them that are padding.
    pub(super) taken_len: Option<u64>,
    /// What is to be removed if it is never published.
    pub(super) unpublished: Option<Unpublished>,
}

/// The fragments of a blob that is not published yet.
#[derive(Debug)]
pub(super) struct Unpublished {
    blob: BlobId,
    fragments: Vec<(DriveId, FragmentId)>,
}

impl Unpublished {
    /// All fragments that a put may have left: those of its placement, those that were late, and
    /// those whose drive failed at the end.
    fn of(receipt: &Receipt) -> Self {
        let location = BlobLocation {
            blob: receipt.blob,
            len: receipt.len,
            placement: receipt.placement.clone(),
        };
        let late = receipt
            .debts
            .iter()
            .filter_map(|debt| Some((debt.drive?, debt.index)));
        let strays = receipt
            .strays
            .iter()
            .map(|stray| (stray.drive, stray.index));
        let elsewhere = late
            .chain(strays)
            .map(|(drive, index)| (drive, location.fragment_id(index)));
        let fragments = location.fragments().chain(elsewhere).collect();
        Self {
            blob: receipt.blob,
            fragments,
        }
    }
}

impl Gateway {
    /// The policy that new bytes follow: the storage class's, or the bucket's.
    pub(super) async fn policy(
        &self,
        name: &BucketName,
        bucket: &Bucket,
        class: Option<&StorageClass>,
    ) -> Result<Policy, S3Error> {
        let class = class.filter(|class| !class.is_standard());
        let policy = class.map_or_else(
            || bucket.policy.clone(),
            |class| Policy::name_of_class(class.as_str()),
        );
        let found = self.metadata.policy(&policy).await;
        match (found.map_err(|e| Target::bucket(name).error(e))?, class) {
            (Some(policy), _) => Ok(policy),
            (None, Some(class)) => Err(StorageClass::invalid(class.as_str())),
            (None, None) => Err(corrupt(NoPolicy(bucket.policy.clone()))),
        }
    }

    /// Reads a body to its end and makes it durable on its write quorum.
    #[tracing::instrument(level = "debug", skip_all, fields(len = body.len))]
    pub(super) async fn write(
        &self,
        policy: &Policy,
        body: ObjectBody,
        chosen: &Chosen,
    ) -> Result<Written, S3Error> {
        let written = self.write_body(policy, body, chosen).await;
        written.map_err(|(reason, error)| {
            self.metrics.put_failed(reason);
            error
        })
    }

    async fn write_body(
        &self,
        policy: &Policy,
        body: ObjectBody,
        chosen: &Chosen,
    ) -> Result<Written, (PutFailure, S3Error)> {
        let ObjectBody {
            len,
            stream,
            digests,
        } = body;
        if len > MAX_SINGLE_BODY_LEN {
            return Err((PutFailure::Body, too_large(len)));
        }
        let received = self.metrics.bytes_in.clone();
        let stream = stream.inspect_ok(move |piece| received.inc_by(piece.len() as u64));
        let key = chosen.data_key();
        let receipt = if len == 0 {
            end_of_nothing(stream)
                .await
                .map_err(|error| (PutFailure::Body, error))?;
            None
        } else {
            let receipt = match &key {
                None => self.blobs.put(self.put_spec(policy, len), stream).await,
                Some(key) => {
                    let spec = self.put_spec(policy, sealed_len(len));
                    self.blobs.put(spec, Seal::new(stream, key, len)).await
                }
            };
            Some(receipt.map_err(put_error)?)
        };
        let unpublished = receipt.as_ref().map(Unpublished::of);
        let blob = receipt.map(new_blob).map(|blob| NewBlob {
            // By the master key that is the newest now, not when the body began.
            seal: key
                .as_ref()
                .and_then(|key| self.seal(chosen, blob.id, key, len)),
            ..blob
        });
        let op = blob
            .as_ref()
            .map_or_else(OpId::generate, |blob| blob.id.into());
        match digests.get().cloned() {
            Some(digests) if digests.object_len == 0 => {
                // All of it is padding.
                self.discard(unpublished);
                Ok(Written {
                    op: OpId::generate(),
                    blob: None,
                    digests,
                    taken_len: None,
                    unpublished: None,
                })
            }
            Some(digests) => Ok(Written {
                op,
                blob,
                taken_len: (digests.object_len < len).then_some(digests.object_len),
                digests,
                unpublished,
            }),
            None => {
                self.discard(unpublished);
                Err((PutFailure::Internal, corrupt(NoDigests)))
            }
        }
    }

    fn put_spec(&self, policy: &Policy, len: u64) -> PutSpec {
        let layout = policy.layout_for(len);
        PutSpec {
            blob: BlobId::generate(),
            len,
            layout,
            region: self.region.clone(),
            generation: Generation::default(),
            protect: policy.protect,
            quorum: policy.quorum_for(layout),
        }
    }

    /// Awaits the command that publishes, and sees to the bytes if it was refused.
    #[tracing::instrument(level = "debug", skip_all)]
    pub(super) async fn publish<T>(
        &self,
        unpublished: Option<Unpublished>,
        commit: impl Future<Output = Result<T, MetadataError>>,
    ) -> Result<T, MetadataError> {
        let committed = commit.await;
        if let Err(error) = &committed {
            self.metrics.put_failed(commit_failure(error));
            if !matches!(error, MetadataError::OutcomeUnknown(_)) {
                self.discard(unpublished);
            }
        }
        committed
    }

    /// Removes fragments that were not published, in the background.
    fn discard(&self, unpublished: Option<Unpublished>) {
        if let Some(unpublished) = unpublished {
            let gateway = self.clone();
            self.tasks
                .spawn(async move { gateway.condemn_and_delete(unpublished).await });
        }
    }

    async fn condemn_and_delete(&self, unpublished: Unpublished) {
        let Unpublished { blob, fragments } = unpublished;
        match self.metadata.condemn(blob).await {
            Ok(CondemnOutcome::Condemned) => {
                let deletion = self.blobs.delete(fragments).await;
                let (gone, unreached) = (deletion.gone.len(), deletion.unreached.len());
                tracing::debug!(%blob, gone, unreached, "removed what was not published");
            }
            Ok(CondemnOutcome::Known) => {
                tracing::warn!(%blob, "a blob whose commit was refused is published: kept");
            }
            // The bytes stay: the census finds blobs that the metadata does not know.
            Err(error) => tracing::info!(%blob, %error, "left what was not published"),
        }
    }
}

/// Reads a body of no bytes to its end: what the client claims of it is checked there.
async fn end_of_nothing(
    stream: impl Stream<Item = Result<Bytes, S3Error>> + Send,
) -> Result<(), S3Error> {
    let mut stream = std::pin::pin!(stream);
    while let Some(piece) = stream.next().await {
        if !piece?.is_empty() {
            return Err(S3Error::new(ErrorCode::IncompleteBody).closing());
        }
    }
    Ok(())
}

fn new_blob(receipt: Receipt) -> NewBlob {
    NewBlob {
        id: receipt.blob,
        len: receipt.len,
        seal: None,
        placement: receipt.placement,
        debts: receipt
            .debts
            .into_iter()
            .map(|debt| (debt.index, debt.drive))
            .collect(),
        strays: receipt
            .strays
            .into_iter()
            .map(|stray| (stray.index, stray.drive))
            .collect(),
    }
}

fn too_large(len: u64) -> S3Error {
    S3Error::new(ErrorCode::EntityTooLarge)
        .with("ProposedSize", len.to_string())
        .with("MaxSizeAllowed", MAX_SINGLE_BODY_LEN.to_string())
        .closing()
}

/// A bucket names a policy that is not there.
#[derive(Debug, thiserror::Error)]
#[error("the bucket's policy `{0}` does not exist")]
struct NoPolicy(String);

/// The reader of a body broke its contract.
#[derive(Debug, thiserror::Error)]
#[error("a body ended well without its digests")]
struct NoDigests;
