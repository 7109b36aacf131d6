//! The data folder: where things are in it, and that one process at a time has it.
//!
//! ```text
//! DATA/lock             held while a process serves
//! DATA/root-key.env     the root key, when it was made here; mode 0600
//! DATA/master-keys      the master keys of encryption; mode 0600
//! DATA/metadata/        the metadata database
//! DATA/drives/01, 02... the drives; each may be a mount point or a link to one
//! ```

use std::fs::{self, File};
use std::io;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// A data folder that this process has to itself.
#[derive(Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
    /// Unlocked by the kernel when the process ends, however it ends.
    _lock: File,
}

impl DataFolder {
    /// Takes the folder; makes it if it is not there.
    pub(crate) fn take(root: &Path) -> anyhow::Result<Self> {
        make_folder(root)
            .with_context(|| format!("can't make the data folder {}", root.display()))?;
        let root = fs::canonicalize(root)
            .with_context(|| format!("can't open the data folder {}", root.display()))?;
        let lock = lock(&root)?;
        Ok(Self { root, _lock: lock })
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the drives.
    pub(crate) fn drives(&self) -> PathBuf {
        self.root.join("drives")
    }

    /// The folder of drive `number`, counted from 1.
    pub(crate) fn drive(&self, number: u16) -> PathBuf {
        self.drives().join(format!("{number:02}"))
    }

    /// The metadata's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("metadata").join("holdfast.db")
    }

    /// Makes the database's folder.
    pub(crate) fn make_database_folder(&self) -> anyhow::Result<()> {
        let folder = self.root.join("metadata");
        make_folder(&folder).with_context(|| format!("can't make {}", folder.display()))
    }

    /// The file of the root key.
    pub(crate) fn master_keys(&self) -> PathBuf {
        self.root.join("master-keys")
    }

    /// The file of the root key.
    pub(crate) fn root_key(&self) -> PathBuf {
        root_key_file(&self.root)
    }
}

/// The file of the root key in a data folder, for those who only read it.
pub(crate) fn root_key_file(root: &Path) -> PathBuf {
    root.join("root-key.env")
}

/// Makes a folder that only we may enter (it holds keys and other people's data), durably.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        make_folder(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

fn lock(root: &Path) -> anyhow::Result<File> {
    let path = root.join("lock");
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("can't open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Who holds it is a courtesy: an unreadable file only makes the message shorter.
            let _unreadable = file.read_to_string(&mut holder);
            bail!(
                "the data folder {} is in use by another holdfast process{}",
                root.display(),
                holder_words(&holder)
            );
        }
        Err(error) => {
            return Err(error).with_context(|| format!("can't lock {}", path.display()));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

fn holder_words(holder: &str) -> String {
    match holder.trim().parse::<u32>() {
        Ok(pid) => format!(" (process {pid})"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_made_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let data = DataFolder::take(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(
            data.drive(7),
            fs::canonicalize(&path).unwrap().join("drives/07")
        );
    }

    #[test]
    fn two_processes_can_not_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::take(folder.path()).unwrap();
        let message = DataFolder::take(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("is in use by another holdfast process"),
            "{message}"
        );
        assert!(
            message.contains(&format!("(process {})", std::process::id())),
            "{message}"
        );
        drop(first);
        DataFolder::take(folder.path()).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        assert!(DataFolder::take(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }
}
