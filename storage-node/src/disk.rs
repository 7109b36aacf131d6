//! The seam between Holdfast and a disk: the few synchronous file operations that drives need.
//!
//! Two implementations: [`RealDisk`] (the operating system) and [`SimDisk`] (in memory, seeded,
//! with power cuts and every fault we could think of). A [`Disk`] is a *place* that may or may not
//! have a drive in it just now; a [`Volume`] is what was found there and stays bound to it, so that
//! a folder that was swapped or unmounted under us can never be written by mistake.
//!
//! All paths are relative to the drive's folder, with `/` between names, and are made by this crate
//! only: nothing that a client or peer says becomes a part of one.

mod look;
mod real;
mod sim;

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

pub use look::LookDisk;
pub use real::RealDisk;
pub use sim::{Fault, SimDisk, SimOp, Survival};

/// Pages are the unit in which a disk writes: nothing smaller is ever assumed to be untouched.
pub const PAGE: usize = 4096;

/// A place where a drive may be.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Opens what is there now.
    ///
    /// # Errors
    /// `NotFound` where there is no folder; else what the operating system says.
    fn attach(&self) -> io::Result<Arc<dyn Volume>>;

    /// The place, for people.
    fn place(&self) -> String;
}

/// A drive's folder that was found and opened.
pub trait Volume: Send + Sync + 'static {
    /// Makes a new file, to write and read.
    ///
    /// # Errors
    /// `AlreadyExists`; else what the operating system says.
    fn create_new(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file, to read.
    ///
    /// # Errors
    /// `NotFound`; else what the operating system says.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, never over another.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`; else what the operating system says.
    fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// `NotFound`; else what the operating system says.
    fn unlink(&self, path: &str) -> io::Result<()>;

    /// Makes one folder.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` (of its parent); else what the operating system says.
    fn make_folder(&self, path: &str) -> io::Result<()>;

    /// The names in a folder (`""` is the drive's own), in no order.
    ///
    /// # Errors
    /// `NotFound`; else what the operating system says.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Makes a folder's names durable.
    ///
    /// # Errors
    /// What the operating system says. Must not be retried: see [`DiskFile::sync_data`].
    fn sync_folder(&self, path: &str) -> io::Result<()>;

    /// Room in the file system.
    ///
    /// # Errors
    /// What the operating system says.
    fn space(&self) -> io::Result<Space>;

    /// Looks a file up **afresh from the drive's place** (not in the opened folder), so that a
    /// folder which vanished or was swapped gives another answer than before.
    ///
    /// # Errors
    /// `NotFound`; else what the operating system says.
    fn stamp(&self, path: &str) -> io::Result<Stamp>;

    /// Takes the one lock on a file, until the returned guard is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` where another has it; else what the operating system says.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the operating system says; any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads into `buffer` from `offset`; less than its length only at the end of the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// What the operating system says. It must never be retried: after a failure the kernel marks
    /// the pages clean, and the retry reports a success that is none (Rebello et al., ATC'20).
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Asks that clean cached pages be read again from the device. Only a hint.
    fn forget_cache(&self);
}

/// Room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// What it can hold.
    pub capacity_bytes: u64,
    /// What is free to us now; 0 where no more files can be made.
    pub free_bytes: u64,
}

/// What tells one file from another that took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
    /// When the file last changed, in nanoseconds: inode numbers are used again.
    pub changed_ns: i128,
}
