//! A disk in memory that does everything a real one may do to us, from a seed.
//!
//! - Writes stay in a cache until they are synced; a power cut keeps any subset of the unsynced
//!   pages, some of them torn in mid-page, and any subset of the folder entries that were not
//!   synced, each on its own. This is harsher than ext4: what survives here survives anywhere.
//! - Any operation can be made to fail; a failed sync marks its pages clean, as Linux does, so that
//!   a second sync "succeeds" and saves nothing.
//! - It fills up, flips bits, and can be pulled out of its place or swapped with another.
//!
//! [`SimDisk`] is the place, a [`SimMedium`] is what lies in it. Operations that change something
//! are counted, so that a test can cut the power after each of them.

mod medium;

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Disk, DiskFile, Space, Stamp, Volume};
use medium::{Fuse, Medium};

/// A kind of operation that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimOp {
    /// Making a file.
    Create,
    /// Opening a file.
    Open,
    /// Writing.
    Write,
    /// Reading.
    Read,
    /// Making a file's bytes durable.
    Sync,
    /// Making a folder's names durable.
    SyncFolder,
    /// Renaming.
    Rename,
    /// Removing a name.
    Unlink,
    /// Making a folder.
    MakeFolder,
    /// Cutting a file.
    Truncate,
    /// Listing a folder.
    List,
}

/// An operation that is going to fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which kind.
    pub op: SimOp,
    /// How many of that kind go well before.
    pub after: u64,
    /// How many then fail.
    pub times: u64,
    /// The error number, as in errno.
    pub errno: i32,
}

impl Fault {
    /// The next `op` fails with EIO, once.
    #[must_use]
    pub const fn once(op: SimOp) -> Self {
        Self {
            op,
            after: 0,
            times: 1,
            errno: Errno::IO.raw_os_error(),
        }
    }

    /// Each `op` from now on fails with EIO.
    #[must_use]
    pub const fn always(op: SimOp) -> Self {
        Self {
            times: u64::MAX,
            ..Self::once(op)
        }
    }

    /// The same, after `after` operations of the kind went well.
    #[must_use]
    pub const fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }

    /// The same with another error number.
    #[must_use]
    pub const fn errno(self, errno: i32) -> Self {
        Self { errno, ..self }
    }
}

/// What of the unsynced survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing: the cache is simply gone.
    Nothing,
    /// Everything: as after `kill -9`.
    Everything,
    /// Any subset, chosen by this seed.
    Random(u64),
}

/// A simulated disk with its cache. Clones are handles of the same one.
#[derive(Clone)]
pub struct SimMedium(Arc<Mutex<Medium>>);

/// A place for a simulated disk. Clones are handles of the same place.
#[derive(Clone)]
pub struct SimDisk {
    slot: Arc<Mutex<Option<SimMedium>>>,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    /// A place with an empty disk of `capacity_bytes` in it.
    #[must_use]
    pub fn new(capacity_bytes: u64) -> Self {
        let medium = SimMedium(Arc::new(Mutex::new(Medium::new(capacity_bytes))));
        Self {
            slot: Arc::new(Mutex::new(Some(medium))),
        }
    }

    /// Pulls the disk out. Whoever has it open can still use it: it is no longer in its place.
    #[must_use]
    pub fn remove(&self) -> Option<SimMedium> {
        hold(&self.slot).take()
    }

    /// Puts a disk in, instead of what was there.
    pub fn insert(&self, medium: SimMedium) {
        *hold(&self.slot) = Some(medium);
    }

    /// An independent copy of the disk as it is now, cache and all, in a place of its own.
    #[must_use]
    pub fn fork(&self) -> Self {
        let medium = hold(&self.medium().0).fork();
        let slot = Some(SimMedium(Arc::new(Mutex::new(medium))));
        Self {
            slot: Arc::new(Mutex::new(slot)),
        }
    }

    fn medium(&self) -> SimMedium {
        hold(&self.slot)
            .clone()
            .expect("the test took the disk out and then asked for it")
    }

    fn with<T>(&self, work: impl FnOnce(&mut Medium) -> T) -> T {
        work(&mut hold(&self.medium().0))
    }

    /// How many operations have changed something so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.with(|medium| medium.operations)
    }

    /// Cuts the power once `operations` more have gone well: the one after them may or may not
    /// take effect, and everything then fails until [`SimDisk::power_cycle`].
    pub fn cut_after(&self, operations: u64) {
        self.with(|medium| medium.cut_at = Some(medium.operations + operations));
    }

    /// The same for several disks: the power of all of them goes at one moment, once `operations`
    /// more have gone well on all of them together.
    pub fn cut_all_after<'d>(disks: impl IntoIterator<Item = &'d Self>, operations: u64) {
        let fuse = Arc::new(Fuse::new(operations));
        for disk in disks {
            disk.with(|medium| medium.fuse = Some(Arc::clone(&fuse)));
        }
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.with(|medium| !medium.is_powered())
    }

    /// Cuts the power (if it is still on), decides what of the unsynced survives, forgets faults
    /// and locks, and switches the power on. What had the disk open gets errors from now on.
    pub fn power_cycle(&self, survival: Survival) {
        self.with(|medium| medium.power_cycle(survival));
    }

    /// Kills the process that uses the disk: its handles and locks are gone, the cache stays as it
    /// is, still unsynced. Forgets faults and cuts.
    pub fn kill(&self) {
        self.with(Medium::kill);
    }

    /// Makes operations fail.
    pub fn inject(&self, fault: Fault) {
        self.with(|medium| medium.faults.push(fault));
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.with(|medium| medium.faults.clear());
    }

    /// Makes the disk larger or smaller.
    pub fn set_capacity(&self, capacity_bytes: u64) {
        self.with(|medium| medium.capacity_bytes = capacity_bytes);
    }

    /// The names in a folder; empty if it is not there.
    #[must_use]
    pub fn names(&self, folder: &str) -> Vec<String> {
        self.with(|medium| medium.list(folder).unwrap_or_default())
    }

    /// All bytes of a file, behind the back of who uses the disk.
    #[must_use]
    pub fn peek(&self, path: &str) -> Option<Vec<u8>> {
        self.with(|medium| medium.peek(path))
    }

    /// Replaces a file's bytes, durably, behind the back of who uses the disk. Makes the file.
    pub fn poke(&self, path: &str, bytes: &[u8]) {
        self.with(|medium| medium.poke(path, bytes));
    }

    /// Removes a name, durably, behind the back of who uses the disk.
    pub fn erase(&self, path: &str) {
        self.with(|medium| medium.erase(path));
    }

    /// Flips one bit of a file, on the disk and in the cache.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn flip_bit(&self, path: &str, byte: usize, bit: u8) {
        let mut bytes = self.peek(path).expect("a file to damage");
        bytes[byte] ^= 1 << bit;
        self.poke(path, &bytes);
    }
}

impl Disk for SimDisk {
    fn attach(&self) -> io::Result<Arc<dyn Volume>> {
        let found = hold(&self.slot).clone();
        let medium = found.ok_or(io::ErrorKind::NotFound)?;
        let boot = {
            let medium = hold(&medium.0);
            medium.check_power(medium.boot)?;
            medium.boot
        };
        Ok(Arc::new(SimVolume {
            medium,
            boot,
            slot: Arc::clone(&self.slot),
        }))
    }

    fn place(&self) -> String {
        "simulated disk".to_owned()
    }
}

struct SimVolume {
    medium: SimMedium,
    boot: u64,
    slot: Arc<Mutex<Option<SimMedium>>>,
}

impl SimVolume {
    fn with<T>(&self, work: impl FnOnce(&mut Medium) -> io::Result<T>) -> io::Result<T> {
        let mut medium = hold(&self.medium.0);
        medium.check_power(self.boot)?;
        work(&mut medium)
    }

    fn file(&self, inode: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            medium: self.medium.clone(),
            boot: self.boot,
            inode,
        })
    }
}

impl Volume for SimVolume {
    fn create_new(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode =
            self.with(|medium| medium.change(SimOp::Create, |medium| medium.add_file(path)))?;
        Ok(self.file(inode))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.with(|medium| {
            medium.fail(SimOp::Open)?;
            medium.find_file(path)
        })?;
        Ok(self.file(inode))
    }

    fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|medium| medium.change(SimOp::Rename, |medium| medium.rename(from, to)))
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        self.with(|medium| medium.change(SimOp::Unlink, |medium| medium.unlink(path)))
    }

    fn make_folder(&self, path: &str) -> io::Result<()> {
        self.with(|medium| medium.change(SimOp::MakeFolder, |medium| medium.add_folder(path)))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.with(|medium| {
            medium.fail(SimOp::List)?;
            medium.list(path)
        })
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        self.with(|medium| {
            if medium.begin_sync()? {
                medium.fail(SimOp::SyncFolder)?;
                medium.sync_folder(path)?;
            }
            Ok(())
        })
    }

    fn space(&self) -> io::Result<Space> {
        self.with(|medium| {
            let capacity_bytes = medium.capacity_bytes;
            let free_bytes = capacity_bytes.saturating_sub(medium.used_bytes());
            Ok(Space {
                capacity_bytes,
                free_bytes,
            })
        })
    }

    fn stamp(&self, path: &str) -> io::Result<Stamp> {
        let found = hold(&self.slot).clone();
        let found = found.ok_or(io::ErrorKind::NotFound)?;
        let medium = hold(&found.0);
        medium.check_power(medium.boot)?;
        let inode = medium.find(path)?;
        Ok(Stamp {
            device: medium.serial,
            inode,
            changed_ns: 0,
        })
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.with(|medium| {
            let inode = medium.find_file(path)?;
            if !medium.locked.insert(inode) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let medium = self.medium.clone();
            Ok(Box::new(SimLock {
                medium,
                boot: self.boot,
                inode,
            }) as Box<dyn Any + Send + Sync>)
        })
    }
}

struct SimLock {
    medium: SimMedium,
    boot: u64,
    inode: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut medium = hold(&self.medium.0);
        if medium.boot == self.boot {
            medium.locked.remove(&self.inode);
        }
    }
}

struct SimFile {
    medium: SimMedium,
    boot: u64,
    inode: u64,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut Medium) -> io::Result<T>) -> io::Result<T> {
        let mut medium = hold(&self.medium.0);
        medium.check_power(self.boot)?;
        work(&mut medium)
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|medium| {
            medium.change(SimOp::Write, |medium| {
                medium.write(self.inode, bytes, offset)
            })
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|medium| {
            medium.fail(SimOp::Read)?;
            medium.read(self.inode, buffer, offset)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|medium| {
            if medium.begin_sync()? {
                medium
                    .fail(SimOp::Sync)
                    .inspect_err(|_| medium.lose_dirty(self.inode))?;
                medium.sync_file(self.inode)?;
            }
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(|medium| {
            medium.change(SimOp::Truncate, |medium| medium.truncate(self.inode, len))
        })
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.with(|medium| medium.len(self.inode))
    }

    fn forget_cache(&self) {
        let _ = self.with(|medium| medium.forget_clean(self.inode));
    }
}
