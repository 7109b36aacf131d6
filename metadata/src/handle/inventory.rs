//! What an inventory asks.

use super::{Metadata, Result};
use crate::inventory::{FoundVerdict, NoteFound};

impl Metadata {
    /// Asks what a fragment is that no placement is known to want where it was found. One that
    /// nothing needs is noted as a stray.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn note_found(&self, note: NoteFound) -> Result<FoundVerdict> {
        self.number_drives([Some(note.found.drive), note.seen_on].into_iter())
            .await?;
        self.run(note).await
    }
}
