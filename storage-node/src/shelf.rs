//! A few files on a drive that are kept for others, in a folder for each purpose.
//!
//! What is in them, nobody here knows. They come to be like every file on a drive (staged, synced,
//! renamed, folder synced) and may then be added to; failures have the consequences that they have
//! for fragments. They may use the reserve of a full drive: without them nothing could be removed.
//!
//! A [`Shelf`] belongs to a drive of an open store. [`ReadShelf`] reads the folder of a drive that
//! nobody has open, before there is a store.

use std::io;
use std::path::Path;
use std::sync::Arc;

use holdfast_types::{DriveId, StoreError};

use crate::disk::{Disk, DiskFile, RealDisk, Volume};
use crate::drive::{Core, LocalDrive};
use crate::failure::{Context, Failure, Op};
use crate::identity::{self, DriveIdentity, IdentityError};
use crate::staged::{PublishError, Staged};

/// What files are kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShelfFolder {
    /// `metadata/`: the metadata's journal.
    Metadata,
    /// `backups/`: where the bytes of backups are.
    Backups,
}

impl ShelfFolder {
    const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Backups => "backups",
        }
    }
}

/// The files in one folder of a drive of an open store.
#[derive(Clone)]
pub struct Shelf {
    drive: Arc<LocalDrive>,
    folder: ShelfFolder,
}

/// The files in one folder of a drive that is not open.
pub struct ReadShelf {
    identity: DriveIdentity,
    volume: Arc<dyn Volume>,
    folder: ShelfFolder,
}

/// An open file.
pub struct ShelfReader {
    file: Arc<dyn DiskFile>,
    whose: Option<Arc<Core>>,
    path: String,
}

/// A file that is being written.
pub struct ShelfWriter {
    core: Arc<Core>,
    folder: ShelfFolder,
    state: State,
    path: String,
    len: u64,
}

enum State {
    Staged(Staged),
    Published(Arc<dyn DiskFile>),
    /// A write or a sync failed: nobody knows what is in it.
    Broken,
}

impl Shelf {
    pub(crate) const fn new(drive: Arc<LocalDrive>, folder: ShelfFolder) -> Self {
        Self { drive, folder }
    }

    /// Whose it is.
    #[must_use]
    pub fn drive(&self) -> DriveId {
        self.drive.id()
    }

    /// Whether files can be written now; a drive that is only full takes them.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.drive.core_to_keep().is_ok()
    }

    /// The names of the files, in no order.
    ///
    /// # Errors
    /// The drive can't be read, or is not there.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let core = self.drive.core_to_read().map_err(unavailable)?;
        list(&*core.tree().volume, self.folder).map_err(|failure| core.fail_io(failure))
    }

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`; the drive can't be read, or is not there.
    pub fn open(&self, name: &str) -> io::Result<ShelfReader> {
        let core = self.drive.core_to_read().map_err(unavailable)?;
        let path = path(self.folder, name)?;
        let file = core.tree().volume.open(&path);
        let file = file
            .during(Op::Open, &path)
            .map_err(|failure| core.fail_io(failure))?;
        Ok(ShelfReader {
            file,
            whose: Some(core),
            path,
        })
    }

    /// Begins a file.
    ///
    /// # Errors
    /// The drive takes no writes, or fails.
    pub fn create(&self) -> io::Result<ShelfWriter> {
        let core = self.drive.core_to_keep().map_err(unavailable)?;
        let staged = {
            let _here = core.enter_io()?;
            Staged::create(core.tree(), self.folder.name())
                .map_err(|failure| core.fail_io(failure))?
        };
        Ok(ShelfWriter {
            core,
            folder: self.folder,
            state: State::Staged(staged),
            path: self.folder.name().to_owned(),
            len: 0,
        })
    }

    /// Removes a file, durably; no error if it is not there.
    ///
    /// # Errors
    /// The drive takes no writes, or fails.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let core = self.drive.core_to_keep().map_err(unavailable)?;
        path(self.folder, name)?;
        let _here = core.enter_io()?;
        let removed = core.tree().remove(self.folder.name(), name);
        removed.map_err(|failure| core.fail_io(failure))
    }
}

impl ReadShelf {
    /// Looks at the drive in the folder at `path`.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn at(path: &Path, folder: ShelfFolder) -> Result<Self, IdentityError> {
        Self::on(&RealDisk::new(path), folder)
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn on(disk: &dyn Disk, folder: ShelfFolder) -> Result<Self, IdentityError> {
        let place = disk.place();
        let volume = identity::attach(disk, &place)?;
        let identity = identity::read_from(&*volume, &place)?;
        Ok(Self {
            identity,
            volume,
            folder,
        })
    }

    /// Whose it is.
    #[must_use]
    pub const fn identity(&self) -> DriveIdentity {
        self.identity
    }

    /// The names of the files, in no order.
    ///
    /// # Errors
    /// What the disk says.
    pub fn list(&self) -> io::Result<Vec<String>> {
        list(&*self.volume, self.folder).map_err(plain)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`; else what the disk says.
    pub fn open(&self, name: &str) -> io::Result<ShelfReader> {
        let path = path(self.folder, name)?;
        let file = self.volume.open(&path)?;
        Ok(ShelfReader {
            file,
            whose: None,
            path,
        })
    }
}

impl ShelfReader {
    /// Reads into `buffer` from `offset`; less than its length only at the end of the file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset);
        read.during(Op::Read, &self.path)
            .map_err(|failure| match &self.whose {
                Some(core) => core.fail_io(failure),
                None => plain(failure),
            })
    }

    /// The file's length.
    ///
    /// # Errors
    /// What the disk says.
    pub fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }
}

impl ShelfWriter {
    /// Adds bytes.
    ///
    /// # Errors
    /// The drive is gone or failed; the file can't be used any more.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (core, path, len) = (Arc::clone(&self.core), self.path.clone(), self.len);
        self.step(&core, |state| match state {
            State::Staged(staged) => staged.write(bytes, len),
            State::Published(file) => file.write_at(bytes, len).during(Op::Write, &path),
            State::Broken => Err(broken(&path)),
        })?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was added durable.
    ///
    /// # Errors
    /// The drive is gone or failed; the file can't be used any more.
    pub fn sync(&mut self) -> io::Result<()> {
        let (core, path) = (Arc::clone(&self.core), self.path.clone());
        self.step(&core, |state| match state {
            State::Staged(staged) => staged.sync(),
            State::Published(file) => core.tree().sync_file(&**file, &path),
            State::Broken => Err(broken(&path)),
        })
    }

    /// Makes what was added durable under a name that nothing has yet. It can still be added to.
    ///
    /// # Errors
    /// `AlreadyExists`; the drive is gone or failed. The file can't be used any more.
    pub fn publish(&mut self, name: &str) -> io::Result<()> {
        let target = path(self.folder, name)?;
        let core = Arc::clone(&self.core);
        let _here = core.enter_io()?;
        let State::Staged(staged) = std::mem::replace(&mut self.state, State::Broken) else {
            return Err(plain(broken(&self.path)));
        };
        match staged.publish(self.folder.name(), name) {
            Ok(file) => {
                self.state = State::Published(file);
                self.path = target;
                Ok(())
            }
            Err(PublishError::Exists) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(PublishError::Failed(failure)) => Err(core.fail_io(failure)),
        }
    }

    /// One step on a drive that is in its place; a step that fails is the last.
    fn step(
        &mut self,
        core: &Core,
        step: impl FnOnce(&State) -> Result<(), Failure>,
    ) -> io::Result<()> {
        let _here = core.enter_io()?;
        step(&self.state).map_err(|failure| {
            self.state = State::Broken;
            core.fail_io(failure)
        })
    }
}

fn list(volume: &dyn Volume, folder: ShelfFolder) -> Result<Vec<String>, Failure> {
    match volume.list(folder.name()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.during(Op::List, folder.name()),
    }
}

/// Where the file `name` is: no name leads out of the folder.
fn path(folder: ShelfFolder, name: &str) -> io::Result<String> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of a file that is kept",
        ));
    }
    Ok(format!("{}/{name}", folder.name()))
}

fn broken(path: &str) -> Failure {
    Failure {
        op: Op::Write,
        path: path.to_owned(),
        source: io::Error::other("the file was given up after a failure"),
    }
}

fn plain(failure: Failure) -> io::Error {
    io::Error::new(failure.kind(), failure)
}

fn unavailable(error: StoreError) -> io::Error {
    io::Error::other(error)
}

/// What shelves need of a drive that is open.
impl Core {
    fn fail_io(&self, failure: Failure) -> io::Error {
        self.note_failure(&failure);
        plain(failure)
    }

    fn enter_io(&self) -> io::Result<impl Drop + use<'_>> {
        self.enter_here().map_err(unavailable)
    }
}
