//! The disk that the operating system gives us.
//!
//! Every operation is relative to the folder that was opened, so that after an unmount or a swap
//! we still hold the file system we checked, and never write to what is under the mount point.

use std::any::Any;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    Advice, AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, fadvise, flock, fstatvfs,
    linkat, mkdirat, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::{Disk, DiskFile, Space, Stamp, Volume};

/// A folder of this machine.
#[derive(Debug, Clone)]
pub struct RealDisk {
    path: PathBuf,
}

impl RealDisk {
    /// The folder at `path`, whether or not it is there.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Disk for RealDisk {
    fn attach(&self) -> io::Result<Arc<dyn Volume>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.path, flags, Mode::empty())?;
        Ok(Arc::new(RealVolume {
            path: self.path.clone(),
            root,
        }))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct RealVolume {
    path: PathBuf,
    root: OwnedFd,
}

impl RealVolume {
    fn open_with(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        Ok(openat(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )?)
    }

    fn open_folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.open_with(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }
}

impl Volume for RealVolume {
    fn create_new(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.open_with(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        Ok(Arc::new(RealFile(file.into())))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.open_with(path, OFlags::RDONLY | OFlags::NOFOLLOW)?;
        Ok(Arc::new(RealFile(file.into())))
    }

    fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()> {
        match renameat_with(&self.root, from, &self.root, to, RenameFlags::NOREPLACE) {
            // Some file systems can't; a link never replaces anything either. A crash between the
            // two leaves the old name too, which is in a folder that is swept.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(&self.root, from, &self.root, to, AtFlags::empty())?;
                self.unlink(from)
            }
            other => Ok(other?),
        }
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        Ok(unlinkat(&self.root, path, AtFlags::empty())?)
    }

    fn make_folder(&self, path: &str) -> io::Result<()> {
        Ok(mkdirat(&self.root, path, Mode::RWXU)?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = self.open_folder(path)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.open_folder(path)?)?)
    }

    fn space(&self) -> io::Result<Space> {
        let found = fstatvfs(&self.root)?;
        let capacity_bytes = found.f_blocks.saturating_mul(found.f_frsize);
        // File systems without a fixed number of inodes report 0 of 0.
        let out_of_inodes = found.f_files > 0 && found.f_favail == 0;
        let free_bytes = if out_of_inodes {
            0
        } else {
            found.f_bavail.saturating_mul(found.f_frsize)
        };
        Ok(Space {
            capacity_bytes,
            free_bytes,
        })
    }

    fn stamp(&self, path: &str) -> io::Result<Stamp> {
        let found = std::fs::metadata(Path::new(&self.path).join(path))?;
        let changed_ns = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
        Ok(Stamp {
            device: found.dev(),
            inode: found.ino(),
            changed_ns,
        })
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = self.open_with(path, OFlags::RDONLY)?;
        flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn forget_cache(&self) {
        // A hint: where the file system has no such thing, nothing is lost.
        let _ = fadvise(&self.0, 0, None, Advice::DontNeed);
    }
}
