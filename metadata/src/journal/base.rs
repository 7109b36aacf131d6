//! Writing an image to several drives at once, while everything else goes on.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use holdfast_types::DriveId;
use tokio::sync::mpsc;

use super::Position;
use super::names::Name;
use super::shelf::{Shelf, ShelfFile};
use crate::engine::Snapshot;
use crate::error::MetadataError;
use crate::image::{About, dump};

/// Gives snapshots of the database that is journaled.
pub(crate) type Snapshots =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Snapshot, MetadataError>> + Send + Sync>;

/// Chunks that wait for the slowest drive.
const CHUNKS: usize = 4;
/// So much is written between syncs: a sync of more would hold up those of the records.
const SYNC_BYTES: u64 = 8 << 20;
/// How long a drive may take for one step.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The longest that one chunk is made to wait.
const MAX_PAUSE: Duration = Duration::from_millis(200);

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Everybody waits for it.
    Full,
    /// Half the time, so that requests have the drives for the other half.
    Half,
}

/// An image that is on some drives now.
pub(super) struct Done {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) on: Vec<DriveId>,
}

/// Does `work`, which blocks on a disk, with a limit to how long it is waited for.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the drive did not answer within {PATIENCE:?}"),
        )),
    }
}

/// A drive that the image is being written to.
struct Target {
    shelf: Arc<dyn Shelf>,
    file: Box<dyn ShelfFile>,
    unsynced: u64,
}

impl Target {
    async fn begin(shelf: Arc<dyn Shelf>) -> Option<Self> {
        let maker = Arc::clone(&shelf);
        match on_disk(move || maker.create()).await {
            Ok(file) => Some(Self {
                shelf,
                file,
                unsynced: 0,
            }),
            Err(error) => {
                dropped(&*shelf, &error);
                None
            }
        }
    }

    async fn append(self, chunk: Bytes) -> Option<Self> {
        let shelf = Arc::clone(&self.shelf);
        let appended = on_disk(move || {
            let mut target = self;
            target.file.append(&chunk)?;
            target.unsynced += chunk.len() as u64;
            if target.unsynced >= SYNC_BYTES {
                target.file.sync()?;
                target.unsynced = 0;
            }
            Ok(target)
        })
        .await;
        appended.inspect_err(|error| dropped(&*shelf, error)).ok()
    }

    async fn publish(self, name: String) -> Option<DriveId> {
        let shelf = Arc::clone(&self.shelf);
        let published = on_disk(move || {
            let mut target = self;
            match target.file.publish(&name) {
                // The same moment of the same history: it is there already.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        })
        .await;
        match published {
            Ok(()) => Some(shelf.drive()),
            Err(error) => {
                dropped(&*shelf, &error);
                None
            }
        }
    }
}

fn dropped(shelf: &dyn Shelf, error: &io::Error) {
    tracing::warn!(drive = %shelf.drive(), %error, "an image of the metadata could not be written");
}

/// Writes an image of the database as it is now to all of `shelves`; those that fail are left out.
pub(super) async fn write(
    snapshots: Snapshots,
    about: About,
    shelves: Vec<Arc<dyn Shelf>>,
    pace: Pace,
) -> Result<Done, String> {
    let targets = join_all(shelves.into_iter().map(Target::begin)).await;
    let mut targets: Vec<Target> = targets.into_iter().flatten().collect();
    let mut snapshot = snapshots().await.map_err(|error| error.to_string())?;
    let (sender, mut chunks) = mpsc::channel(CHUNKS);
    let term = about.term;
    let dumping = tokio::spawn(async move { dump(&mut snapshot, &about, &sender).await });
    let mut bytes = 0;
    while let Some(chunk) = chunks.recv().await {
        let began = Instant::now();
        bytes += chunk.len() as u64;
        let appends = targets
            .into_iter()
            .map(|target| target.append(chunk.clone()));
        targets = join_all(appends).await.into_iter().flatten().collect();
        if targets.is_empty() {
            return Err("no drive takes an image of the metadata".to_owned());
        }
        if pace == Pace::Half {
            tokio::time::sleep(began.elapsed().min(MAX_PAUSE)).await;
        }
    }
    let header = dumping
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let position = Position {
        epoch: header.epoch,
        group: header.group,
        mark: header.mark,
    };
    let name = Name::base(term, &position).to_string();
    let published = targets
        .into_iter()
        .map(|target| target.publish(name.clone()));
    let on: Vec<DriveId> = join_all(published).await.into_iter().flatten().collect();
    if on.is_empty() {
        return Err("no drive keeps an image of the metadata".to_owned());
    }
    Ok(Done { name, bytes, on })
}
