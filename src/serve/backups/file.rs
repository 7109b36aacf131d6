//! A backup in a file of the server's machine.

use std::io;
use std::path::{Path, PathBuf};

use holdfast_gateway::admin::NotDone;
use holdfast_metadata::backup::Backup;
use tokio::io::AsyncWriteExt as _;

use super::Keeper;

/// Refuses what can't be a new file.
pub(super) fn check(file: &Path) -> Result<(), NotDone> {
    if !file.is_absolute() {
        return Err(NotDone::Invalid(
            "the file is named from the root of the server's machine: /...".to_owned(),
        ));
    }
    if file.exists() {
        return Err(NotDone::Conflict(format!(
            "{} is there already: a backup replaces nothing",
            file.display()
        )));
    }
    Ok(())
}

impl Keeper {
    /// Writes the image beside its place, and gives it its name when it is whole and durable.
    pub(super) async fn write_file(&self, place: &Path, backup: &Backup) -> Result<u64, NotDone> {
        let failed = |error: io::Error| NotDone::Failed(format!("{}: {error}", place.display()));
        let mut partial = place.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut file = tokio::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .await
            .map_err(failed)?;
        let stream = self
            .metadata
            .image(Some(self.cluster), Some(backup.id))
            .await;
        let mut stream = stream.map_err(|error| NotDone::Failed(error.to_string()))?;
        let mut bytes = 0;
        while let Some(chunk) = stream.chunks.recv().await {
            file.write_all(&chunk).await.map_err(failed)?;
            bytes += chunk.len() as u64;
        }
        let ended = stream.done.await.map_err(|error| error.to_string());
        ended
            .and_then(|ended| ended.map_err(|error| error.to_string()))
            .map_err(NotDone::Failed)?;
        file.sync_all().await.map_err(failed)?;
        tokio::fs::rename(&partial, place).await.map_err(failed)?;
        let folder = place.parent().unwrap_or(Path::new("/")).to_owned();
        let synced = tokio::task::spawn_blocking(move || std::fs::File::open(folder)?.sync_all());
        synced
            .await
            .map_err(|error| failed(io::Error::other(error)))?
            .map_err(failed)?;
        Ok(bytes)
    }
}
