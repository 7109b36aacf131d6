//! Fragments removed, all drives at once. Which may be removed is decided elsewhere.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use holdfast_types::{DriveId, FragmentId};

use crate::blobs::Blobs;

/// How many deletes run at once for one call: a whole blob of the widest layout.
const CONCURRENT: usize = 48;

/// How long a drive may take. What did not answer may be gone or not, and is tried again.
const DEADLINE: Duration = Duration::from_secs(30);

/// What became of the fragments that were to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deletion {
    /// Gone for good: removed now, or not there.
    pub gone: Vec<(DriveId, FragmentId)>,
    /// Perhaps still there, and why. Deleting is idempotent: try again later.
    pub unreached: Vec<(DriveId, FragmentId, String)>,
}

impl Blobs {
    /// Removes fragments, durably (see [`BlobLocation::fragments`]).
    ///
    /// [`BlobLocation::fragments`]: crate::BlobLocation::fragments
    pub async fn delete(
        &self,
        fragments: impl IntoIterator<Item = (DriveId, FragmentId)>,
    ) -> Deletion {
        let fragments: Vec<_> = fragments.into_iter().collect();
        let mut outcomes = stream::iter(fragments)
            .map(|(drive, id)| async move {
                let outcome = self.delete_one(drive, &id).await;
                (drive, id, outcome)
            })
            .buffered(CONCURRENT);
        let mut deletion = Deletion::default();
        while let Some((drive, id, outcome)) = outcomes.next().await {
            match outcome {
                Ok(()) => deletion.gone.push((drive, id)),
                Err(reason) => deletion.unreached.push((drive, id, reason)),
            }
        }
        deletion
    }

    async fn delete_one(&self, drive: DriveId, id: &FragmentId) -> Result<(), String> {
        match tokio::time::timeout(DEADLINE, self.shared.store.delete(drive, id)).await {
            Ok(Ok(_removed_or_absent)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "drive {drive} did not answer in {} s",
                DEADLINE.as_secs()
            )),
        }
    }
}
