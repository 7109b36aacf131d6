//! The journal on the drives, and images.

use bytes::Bytes;
use holdfast_types::ClusterId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Metadata;
use crate::image::{About, ImageError, dump};
use crate::journal::{JournalConfig, JournalStatus};

/// Chunks of an image that wait to be taken.
const CHUNKS: usize = 4;

/// An image that is being taken: its bytes in chunks, and how it ended. It is whole only if it
/// ended well.
pub struct ImageStream {
    /// The bytes, in order.
    pub chunks: mpsc::Receiver<Bytes>,
    /// How it ended.
    pub done: JoinHandle<Result<(), ImageError>>,
}

/// The journal.
impl Metadata {
    /// Keeps a journal of the embedded database from now on: see [`crate::journal`]. What was
    /// committed before is in the image that it begins with.
    ///
    /// # Errors
    /// Why it can't, in words for an operator: then nothing must be served.
    pub async fn keep_journal(&self, config: JournalConfig) -> Result<(), String> {
        self.inner.engine.keep_journal(config).await
    }

    /// How the journal is; `None` where none is kept.
    #[must_use]
    pub fn journal_status(&self) -> Option<JournalStatus> {
        self.inner.engine.journal_status()
    }

    /// Takes an image of everything that was committed before, as the backup `backup` if it is one.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn image(
        &self,
        cluster: Option<ClusterId>,
        backup: Option<Uuid>,
    ) -> super::Result<ImageStream> {
        let about = About {
            cluster,
            backup,
            taken_ms: self.inner.engine.now_ms(),
            term: 0,
        };
        let mut snapshot = self.inner.engine.image_snapshot().await?;
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let done =
            tokio::spawn(async move { dump(&mut snapshot, &about, &sender).await.map(drop) });
        Ok(ImageStream { chunks, done })
    }
}
