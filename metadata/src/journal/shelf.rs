//! What a drive lends the metadata: a few files of its own, whose meaning it does not know.
//!
//! All calls block on the disk. `storage-node` has it for real and simulated disks; `src/` joins
//! the two.

use std::io;

use holdfast_types::DriveId;

/// The metadata's files on one drive.
pub trait Shelf: Send + Sync + 'static {
    /// The drive.
    fn drive(&self) -> DriveId;

    /// Whether it takes new files just now.
    fn is_writable(&self) -> bool;

    /// The names of the files, in no order. None were ever made: an empty list.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`; else what the disk says.
    fn open(&self, name: &str) -> io::Result<Box<dyn ShelfRead>>;

    /// Begins a file that has no name yet.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&self) -> io::Result<Box<dyn ShelfFile>>;

    /// Removes a file, durably; no error if it is not there.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// An open file.
pub trait ShelfRead: Send + Sync {
    /// Reads into `buffer` from `offset`; less than its length only at the end of the file.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The file's length.
    ///
    /// # Errors
    /// What the disk says.
    fn len_bytes(&self) -> io::Result<u64>;
}

/// A file that is being written, from its beginning on.
pub trait ShelfFile: Send {
    /// Adds bytes.
    ///
    /// # Errors
    /// What the disk says. The file must not be used any more.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was added durable.
    ///
    /// # Errors
    /// What the disk says. The file must not be used any more: a sync is never repeated.
    fn sync(&mut self) -> io::Result<()>;

    /// Makes what was added durable and gives the file its name, durably. It can be added to.
    ///
    /// # Errors
    /// `AlreadyExists`; else what the disk says. The file must not be used any more.
    fn publish(&mut self, name: &str) -> io::Result<()>;
}
