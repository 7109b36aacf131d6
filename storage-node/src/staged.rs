//! The one way in which a file comes to be on a drive: staged, synced, renamed, its folder synced.
//!
//! [`Staged::publish`] does all of it and consumes the file, so that no step can be left out; a
//! file that is not published is removed. What a crash leaves in `staging/` is swept at open.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_types::mutant::{self, Mutant};

use crate::counters::Counters;
use crate::disk::{DiskFile, Volume};
use crate::failure::{Context, Failure, Op};

/// Where files are written before they have a name.
pub(crate) const STAGING: &str = "staging";

/// A drive's folder and what is known of it.
pub(crate) struct Tree {
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) counters: Arc<Counters>,
    durable_folders: Mutex<HashSet<String>>,
}

/// Why a file was not published.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// There is a file of that name.
    Exists,
    /// The disk failed; before the rename the file was removed, after it, it may or may not stay.
    Failed(Failure),
}

impl From<Failure> for PublishError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Tree {
    pub(crate) fn new(volume: Arc<dyn Volume>, counters: Arc<Counters>) -> Self {
        Self {
            volume,
            counters,
            durable_folders: Mutex::default(),
        }
    }

    /// Makes sure that `folder` (one level below a durable one) is there, and durably so.
    pub(crate) fn ensure_folder(&self, folder: &str) -> Result<(), Failure> {
        // Held over the sync: a second caller must not take the folder for durable before it is.
        let mut durable = self
            .durable_folders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if folder.is_empty() || durable.contains(folder) {
            return Ok(());
        }
        match self.volume.make_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).during(Op::MakeFolder, folder);
            }
            _ => {}
        }
        let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.sync_folder(parent)?;
        durable.insert(folder.to_owned());
        Ok(())
    }

    pub(crate) fn sync_folder(&self, folder: &str) -> Result<(), Failure> {
        if mutant::active(Mutant::NoFolderFsync) {
            return Ok(());
        }
        self.counters.folder_syncs.one();
        self.volume
            .sync_folder(folder)
            .during(Op::SyncFolder, folder)
    }

    pub(crate) fn sync_file(&self, file: &dyn DiskFile, path: &str) -> Result<(), Failure> {
        if mutant::active(Mutant::NoFileFsync) {
            return Ok(());
        }
        self.counters.file_syncs.one();
        let synced = file.sync_data();
        if synced.is_err() && mutant::active(Mutant::RetryFsync) {
            return file.sync_data().during(Op::Sync, path);
        }
        synced.during(Op::Sync, path)
    }

    /// Removes a file, durably. It is no error if it is not there.
    pub(crate) fn remove(&self, folder: &str, name: &str) -> Result<(), Failure> {
        let path = format!("{folder}/{name}");
        match self.volume.unlink(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.during(Op::Unlink, &path)?,
        }
        self.sync_folder(folder)
    }
}

/// A file that has no name yet.
pub(crate) struct Staged {
    tree: Arc<Tree>,
    file: Arc<dyn DiskFile>,
    path: String,
    published: bool,
}

impl Staged {
    /// Begins a file; `hint` is a part of its temporary name, for people.
    pub(crate) fn create(tree: &Arc<Tree>, hint: &str) -> Result<Self, Failure> {
        // Counted over the whole process: a writer from before the drive was opened anew must not
        // remove a file that was begun since.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("{STAGING}/{hint}.{number}");
        let file = tree.volume.create_new(&path).during(Op::Create, &path)?;
        Ok(Self {
            tree: Arc::clone(tree),
            file,
            path,
            published: false,
        })
    }

    /// Writes `bytes` at `offset`.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        self.file
            .write_at(bytes, offset)
            .during(Op::Write, &self.path)?;
        self.tree.counters.written_bytes.add(bytes.len() as u64);
        Ok(())
    }

    /// Makes durable what was written so far.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        self.tree.sync_file(&*self.file, &self.path)
    }

    /// Makes the file durable under `folder`/`name`, which nothing had before.
    pub(crate) fn publish(
        mut self,
        folder: &str,
        name: &str,
    ) -> Result<Arc<dyn DiskFile>, PublishError> {
        self.tree.ensure_folder(folder)?;
        self.tree.sync_file(&*self.file, &self.path)?;
        let target = if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        let moved = if mutant::active(Mutant::RenameAcross) {
            self.copy_to(&target)
        } else {
            self.tree.volume.rename_no_replace(&self.path, &target)
        };
        match moved {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(PublishError::Exists);
            }
            other => other.during(Op::Rename, &target)?,
        }
        self.published = true;
        self.tree.sync_folder(folder)?;
        Ok(Arc::clone(&self.file))
    }

    /// What a rename over two file systems comes down to: for [`Mutant::RenameAcross`] alone.
    fn copy_to(&self, target: &str) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(self.file.len_bytes()?).unwrap_or(usize::MAX)];
        let len = self.file.read_at(&mut bytes, 0)?;
        let copy = self.tree.volume.create_new(target)?;
        copy.write_at(&bytes[..len], 0)?;
        copy.sync_data()?;
        self.tree.volume.unlink(&self.path)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // If it fails, the file is swept when the drive is opened next.
            let _ = self.tree.volume.unlink(&self.path);
        }
    }
}
