//! GetObject: the bytes of a version, whole or in part, from the blobs that hold them.
//!
//! Where the bytes are is read from the metadata as far as the range needs, and before the answer
//! begins: the rows of the first stretch at once, those of the rest while the first block is being
//! read. From then on the read owns its map, so that an overwrite or a delete in the meantime does
//! not end it (the bytes stay for their grace). The first bytes are read before the answer's head
//! is made: what can't be read is an S3 error then, and later it cuts the connection. A read never
//! ends short and well.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_erasure::{BlobLocation, BlobStream, GetError};
use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{BlobPlacement, LocatedSlice, Version};
use holdfast_sealing::{CustomerKey, Open, OpenError, Tampered};
use holdfast_types::mutant::{self, Mutant};

use super::Gateway;
use super::encryption::Unopened;
use super::error::{Target, corrupt, get_error};
use super::version::{LOOKUPS, View, kept_changing};
use crate::s3::error::S3Error;
use crate::s3::op::{ByteStream, GetObjectInput, GetObjectOutput};

/// The stretch whose rows are read before the first block: at parts of 5 MiB or more some 50 rows.
const FIRST_STRETCH_BYTES: u64 = 256 << 20;

impl Gateway {
    pub(super) async fn get(&self, input: &GetObjectInput) -> Result<GetObjectOutput, S3Error> {
        for _ in 0..LOOKUPS {
            let (found, view) = self.look(input).await?;
            let target = Target::object(&input.bucket, &input.key, input.version_id.as_ref());
            let key = input.customer_key.as_ref();
            let opened = self.open(&found.version, view.bytes(), key).await;
            if let Some(body) = opened.map_err(|failure| failure.of(&target))? {
                let View { head, range } = view;
                return Ok(GetObjectOutput { head, range, body });
            }
        }
        Err(kept_changing())
    }

    /// The bytes of a range, the first of them at hand; `None` if the version has gone away.
    /// `key`: the customer's, which has been checked, where the version needs one.
    #[tracing::instrument(level = "debug", skip_all, fields(?range))]
    pub(super) async fn open(
        &self,
        version: &Version,
        range: Range<u64>,
        key: Option<&CustomerKey>,
    ) -> Result<Option<ByteStream>, Failure> {
        if range.is_empty() {
            return Ok(Some(stream::empty().boxed()));
        }
        let stretch_end = range
            .end
            .min(range.start.saturating_add(FIRST_STRETCH_BYTES));
        let slices = self
            .metadata
            .slices(version.uid, range.start..stretch_end)
            .await?;
        let Some(mapped) = slices.last().map(|slice| slice.start + slice.len) else {
            return Ok(None);
        };
        let mut reading = Reading::new(self, version, range.clone(), slices, key);
        let rest = async {
            if mapped >= range.end {
                return Ok(Vec::new());
            }
            self.metadata.slices(version.uid, mapped..range.end).await
        };
        let (first, rest) = tokio::join!(reading.next(), rest);
        let rest = rest?;
        if mapped < range.end && rest.is_empty() {
            return Ok(None);
        }
        reading.slices.extend(rest);
        let Some(first) = first? else {
            return Err(Failure::Hole { at: range.start });
        };
        let later = stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(reading))),
                Ok(None) => None,
                Err(failure) => {
                    tracing::warn!(%failure, at = reading.at, "a read ended in the middle");
                    Some((Err(failure.in_the_middle()), None))
                }
            }
        });
        let sent = self.metrics.bytes_out.clone();
        let body = stream::once(async move { Ok(first) })
            .chain(later)
            .inspect(move |piece| {
                if let Ok(bytes) = piece {
                    sent.inc_by(bytes.len() as u64);
                }
            });
        Ok(Some(body.boxed()))
    }
}

/// A read under way: the map of what is to come, and the blob that is being read.
struct Reading {
    gateway: Gateway,
    version: uuid::Uuid,
    customer_key: Option<CustomerKey>,
    slices: VecDeque<LocatedSlice>,
    current: Option<Current>,
    /// The next byte of the object.
    at: u64,
    end: u64,
}

/// The slice that is being read.
struct Current {
    bytes: BlobBytes,
    placed: BlobPlacement,
    /// Where it ends in the object.
    end: u64,
    looked_again: LookedAgain,
}

/// A blob's bytes, or those of its content.
enum BlobBytes {
    Plain(BlobStream),
    Sealed(Box<Open<BlobStream>>),
}

impl BlobBytes {
    async fn next(&mut self) -> Option<Result<Bytes, OpenError<GetError>>> {
        match self {
            Self::Plain(bytes) => Some(bytes.next().await?.map_err(OpenError::Source)),
            Self::Sealed(open) => open.next().await,
        }
    }
}

/// Whether a blob's placement has been read a second time, after the first could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookedAgain {
    No,
    Yes,
}

impl Reading {
    fn new(
        gateway: &Gateway,
        version: &Version,
        range: Range<u64>,
        slices: Vec<LocatedSlice>,
        key: Option<&CustomerKey>,
    ) -> Self {
        Self {
            gateway: gateway.clone(),
            version: version.uid,
            customer_key: key.cloned(),
            slices: slices.into(),
            current: None,
            at: range.start,
            end: range.end,
        }
    }

    /// The next bytes; `None` when all have been given.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while self.at < self.end {
            let Some(current) = &mut self.current else {
                let slice = self
                    .slices
                    .pop_front()
                    .ok_or(Failure::Hole { at: self.at })?;
                match self.begin(slice, LookedAgain::No) {
                    Err(Failure::Key(Unopened::MasterKey(_))) => self.begin_rewrapped().await?,
                    begun => begun?,
                }
                continue;
            };
            match current.bytes.next().await {
                Some(Ok(bytes)) => {
                    self.at += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Some(Err(OpenError::Source(error))) => self.look_again(error).await?,
                Some(Err(OpenError::Tampered(tampered))) => return Err(tampered.into()),
                None if self.at == current.end => self.current = None,
                None => return Err(Failure::Hole { at: self.at }),
            }
        }
        Ok(None)
    }

    fn begin(&mut self, slice: LocatedSlice, looked_again: LookedAgain) -> Result<(), Failure> {
        let slice_end = slice.start + slice.len;
        if !(slice.start..slice_end).contains(&self.at) {
            return Err(Failure::Hole { at: self.at });
        }
        let end = slice_end.min(self.end);
        let in_blob = |at: u64| slice.blob_offset + (at - slice.start);
        let range = in_blob(self.at)..in_blob(end);
        let location = BlobLocation {
            blob: slice.blob.blob,
            len: slice.blob.len,
            placement: slice.blob.placement.clone(),
        };
        let blobs = &self.gateway.blobs;
        let bytes = match &slice.seal {
            None => BlobBytes::Plain(blobs.get(location, range)),
            // The mutant: what a range asks for is taken out of the sealed bytes.
            Some(seal) if mutant::active(Mutant::SkipDecrypt) && range != (0..seal.content_len) => {
                BlobBytes::Plain(blobs.get(location, range))
            }
            Some(seal) => {
                let (blob, customer) = (location.blob, self.customer_key.as_ref());
                let key = self.gateway.unseal(blob, seal, customer)?;
                let open = Open::range(&key, seal.content_len, &range, |sealed| {
                    blobs.get(location, sealed)
                });
                BlobBytes::Sealed(Box::new(open.ok_or(Failure::Hole { at: self.at })?))
            }
        };
        self.current = Some(Current {
            bytes,
            placed: slice.blob,
            end,
            looked_again,
        });
        Ok(())
    }

    /// Begins with the slice as it is now: its key was wrapped anew, and the master key that wrapped
    /// it before was taken away, since its row was read.
    async fn begin_rewrapped(&mut self) -> Result<(), Failure> {
        let slices = self
            .gateway
            .metadata
            .slices(self.version, self.at..self.at + 1)
            .await?;
        let slice = slices.into_iter().next();
        self.begin(slice.ok_or(Failure::Hole { at: self.at })?, LookedAgain::No)
    }

    /// Reads the placement once more: the blob may have been moved since. If it was, the read goes
    /// on from where it is.
    async fn look_again(&mut self, error: GetError) -> Result<(), Failure> {
        let Some(current) = self.current.take() else {
            return Err(error.into());
        };
        if current.looked_again == LookedAgain::Yes || matches!(error, GetError::Busy(_)) {
            return Err(error.into());
        }
        let slices = self
            .gateway
            .metadata
            .slices(self.version, self.at..self.at + 1)
            .await?;
        match slices.into_iter().next() {
            Some(slice) if slice.blob != current.placed => self.begin(slice, LookedAgain::Yes),
            _ => Err(error.into()),
        }
    }
}

/// Why a read could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The bytes can't be had.
    #[error(transparent)]
    Bytes(#[from] GetError),
    /// Where they are can't be found out.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The key of a blob can't be had.
    #[error(transparent)]
    Key(#[from] Unopened),
    /// A blob is not what was sealed, although its fragments are what was written.
    #[error(transparent)]
    Tampered(#[from] Tampered),
    /// The slices of a version leave a byte out.
    #[error("no slice holds byte {at} of the version")]
    Hole {
        /// The byte.
        at: u64,
    },
}

impl Failure {
    /// As the answer to a request.
    pub(super) fn of(self, target: &Target<'_>) -> S3Error {
        match self {
            Self::Bytes(error) => get_error(error),
            Self::Metadata(error) => target.error(error),
            wrong @ (Self::Key(_) | Self::Tampered(_) | Self::Hole { .. }) => corrupt(wrong),
        }
    }

    /// As the last item of a body: nobody sees more of it than that the connection ends.
    fn in_the_middle(self) -> S3Error {
        match self {
            Self::Bytes(error) => get_error(error),
            other => S3Error::internal(other),
        }
    }
}
