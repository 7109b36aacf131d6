//! A disk that is only looked at: what would change it is refused, as on a read-only mount.
//!
//! A store over such disks opens, lists and reads, and leaves every byte as it is, what a crash left
//! behind included: for those who only verify.

use std::any::Any;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::{Disk, DiskFile, Space, Stamp, Volume};

/// Any disk, not to be changed.
#[derive(Debug)]
pub struct LookDisk<D>(D);

impl<D: Disk> LookDisk<D> {
    /// The disk, not to be changed.
    #[must_use]
    pub const fn new(disk: D) -> Self {
        Self(disk)
    }
}

fn refused() -> io::Error {
    Errno::ROFS.into()
}

impl<D: Disk> Disk for LookDisk<D> {
    fn attach(&self) -> io::Result<Arc<dyn Volume>> {
        Ok(Arc::new(LookVolume(self.0.attach()?)))
    }

    fn place(&self) -> String {
        self.0.place()
    }
}

struct LookVolume(Arc<dyn Volume>);

impl Volume for LookVolume {
    fn create_new(&self, _path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(refused())
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(LookFile(self.0.open(path)?)))
    }

    fn rename_no_replace(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(refused())
    }

    fn unlink(&self, _path: &str) -> io::Result<()> {
        Err(refused())
    }

    fn make_folder(&self, _path: &str) -> io::Result<()> {
        Err(refused())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.0.list(path)
    }

    fn sync_folder(&self, _path: &str) -> io::Result<()> {
        Err(refused())
    }

    fn space(&self) -> io::Result<Space> {
        self.0.space()
    }

    fn stamp(&self, path: &str) -> io::Result<Stamp> {
        self.0.stamp(path)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.0.lock(path)
    }
}

struct LookFile(Arc<dyn DiskFile>);

impl DiskFile for LookFile {
    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(refused())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    /// Nothing was written through here, so there is nothing to make durable.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, _len: u64) -> io::Result<()> {
        Err(refused())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn forget_cache(&self) {
        self.0.forget_cache();
    }
}
