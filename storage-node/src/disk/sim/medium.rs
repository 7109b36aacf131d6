//! The simulated disk's contents: what is durable, what is only cached, and what a power cut does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::{Fault, SimOp, Survival};
use crate::disk::PAGE;

const ROOT: u64 = 1;
/// What a real disk writes as one: a page can be torn between sectors.
const SECTOR: usize = 512;

pub(super) struct Medium {
    pub(super) serial: u64,
    pub(super) capacity_bytes: u64,
    pub(super) powered: bool,
    pub(super) boot: u64,
    pub(super) operations: u64,
    pub(super) cut_at: Option<u64>,
    /// What its power comes through, if that is shared with other disks.
    pub(super) fuse: Option<Arc<Fuse>>,
    pub(super) faults: Vec<Fault>,
    pub(super) locked: HashSet<u64>,
    nodes: HashMap<u64, Node>,
    next_inode: u64,
}

/// Power for several disks at once: it lasts for so many operations on all of them together.
pub(super) struct Fuse {
    /// One more than the operations that are left; 0 once the power is gone.
    left: AtomicU64,
}

impl Fuse {
    pub(super) const fn new(operations: u64) -> Self {
        Self {
            left: AtomicU64::new(operations.saturating_add(1)),
        }
    }

    /// Uses an operation up; `false` if the power fails during it.
    fn take(&self) -> bool {
        let taken = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        taken.is_ok_and(|before| before > 1)
    }

    fn is_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

#[derive(Clone)]
enum Node {
    File(FileNode),
    Folder(FolderNode),
}

#[derive(Clone, Default)]
struct FileNode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    len_dirty: bool,
}

#[derive(Clone, Default)]
struct FolderNode {
    cached: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
}

impl Medium {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        Self {
            serial: next_serial(),
            capacity_bytes,
            powered: true,
            boot: 0,
            operations: 0,
            cut_at: None,
            fuse: None,
            faults: Vec::new(),
            locked: HashSet::new(),
            nodes: HashMap::from([(ROOT, Node::Folder(FolderNode::default()))]),
            next_inode: ROOT + 1,
        }
    }

    pub(super) fn fork(&self) -> Self {
        Self {
            serial: next_serial(),
            fuse: self.fuse.clone(),
            faults: self.faults.clone(),
            locked: HashSet::new(),
            nodes: self.nodes.clone(),
            ..*self
        }
    }

    pub(super) fn check_power(&self, boot: u64) -> io::Result<()> {
        if self.is_powered() && self.boot == boot {
            Ok(())
        } else {
            Err(Errno::IO.into())
        }
    }

    /// Fails if a fault says so.
    pub(super) fn fail(&mut self, op: SimOp) -> io::Result<()> {
        for fault in &mut self.faults {
            if fault.op != op || fault.times == 0 {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times -= 1;
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        Ok(())
    }

    pub(super) fn is_powered(&self) -> bool {
        self.powered && !self.fuse.as_ref().is_some_and(|fuse| fuse.is_blown())
    }

    /// Counts an operation; `false` if the power fails during it.
    fn count(&mut self) -> bool {
        let is_over = self.cut_at.is_some_and(|cut_at| self.operations >= cut_at);
        if is_over || self.fuse.as_ref().is_some_and(|fuse| !fuse.take()) {
            self.powered = false;
        } else {
            self.operations += 1;
        }
        self.powered
    }

    /// Does what changes the cached state. If the power fails during it, it may have happened.
    pub(super) fn change<T>(
        &mut self,
        op: SimOp,
        work: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        self.fail(op)?;
        let survived = self.count();
        let done = work(self)?;
        if survived {
            Ok(done)
        } else {
            Err(Errno::IO.into())
        }
    }

    /// Counts a sync; one that the power cut hits makes nothing durable.
    pub(super) fn begin_sync(&mut self) -> io::Result<bool> {
        if self.count() {
            Ok(true)
        } else {
            Err(Errno::IO.into())
        }
    }

    fn file(&mut self, inode: u64) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::STALE.into()),
        }
    }

    fn folder(&mut self, inode: u64) -> io::Result<&mut FolderNode> {
        match self.nodes.get_mut(&inode) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::STALE.into()),
        }
    }

    pub(super) fn find(&self, path: &str) -> io::Result<u64> {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Some(Node::Folder(folder)) = self.nodes.get(&at) else {
                return Err(Errno::NOTDIR.into());
            };
            at = *folder.cached.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    pub(super) fn find_file(&self, path: &str) -> io::Result<u64> {
        let inode = self.find(path)?;
        match self.nodes.get(&inode) {
            Some(Node::File(_)) => Ok(inode),
            _ => Err(Errno::ISDIR.into()),
        }
    }

    fn parent<'p>(&mut self, path: &'p str) -> io::Result<(&mut FolderNode, &'p str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let inode = self.find(parent)?;
        Ok((self.folder(inode)?, name))
    }

    fn add(&mut self, path: &str, node: Node) -> io::Result<u64> {
        let inode = self.next_inode;
        let (folder, name) = self.parent(path)?;
        if folder.cached.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        folder.cached.insert(name.to_owned(), inode);
        self.nodes.insert(inode, node);
        self.next_inode += 1;
        Ok(inode)
    }

    pub(super) fn add_file(&mut self, path: &str) -> io::Result<u64> {
        self.add(path, Node::File(FileNode::default()))
    }

    pub(super) fn add_folder(&mut self, path: &str) -> io::Result<()> {
        self.add(path, Node::Folder(FolderNode::default()))
            .map(drop)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.find(from)?;
        let (folder, name) = self.parent(to)?;
        if folder.cached.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        folder.cached.insert(name.to_owned(), inode);
        let (folder, name) = self.parent(from)?;
        folder.cached.remove(name);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &str) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        folder
            .cached
            .remove(name)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    pub(super) fn list(&mut self, path: &str) -> io::Result<Vec<String>> {
        let inode = self.find(path)?;
        Ok(self.folder(inode)?.cached.keys().cloned().collect())
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let mut named = HashSet::<u64>::new();
        for node in self.nodes.values() {
            if let Node::Folder(folder) = node {
                named.extend(folder.cached.values());
            }
        }
        let pages = |node: &Node| match node {
            Node::File(file) => file.cached.len().div_ceil(PAGE),
            Node::Folder(_) => 1,
        };
        let used: usize = self
            .nodes
            .iter()
            .filter(|(inode, _)| named.contains(inode))
            .map(|(_, n)| pages(n))
            .sum();
        (used * PAGE) as u64
    }

    pub(super) fn write(&mut self, inode: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let free = self.capacity_bytes.saturating_sub(self.used_bytes()) as usize;
        let file = self.file(inode)?;
        let start = offset as usize;
        let room = file.cached.len().next_multiple_of(PAGE) + free / PAGE * PAGE;
        let fits = bytes.len().min(room.saturating_sub(start));
        let end = start + fits;
        if end > file.cached.len() {
            file.cached.resize(end, 0);
            file.len_dirty = true;
        }
        file.cached[start..end].copy_from_slice(&bytes[..fits]);
        if fits > 0 {
            file.dirty.extend(start / PAGE..end.div_ceil(PAGE));
        }
        if fits == bytes.len() {
            Ok(())
        } else {
            Err(Errno::NOSPC.into())
        }
    }

    pub(super) fn read(&mut self, inode: u64, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let file = self.file(inode)?;
        let start = (at as usize).min(file.cached.len());
        let count = buffer.len().min(file.cached.len() - start);
        buffer[..count].copy_from_slice(&file.cached[start..start + count]);
        Ok(count)
    }

    pub(super) fn truncate(&mut self, inode: u64, len: u64) -> io::Result<()> {
        let file = self.file(inode)?;
        file.cached.resize(len as usize, 0);
        file.len_dirty = true;
        let pages = file.cached.len().div_ceil(PAGE);
        file.dirty.retain(|page| *page < pages);
        Ok(())
    }

    pub(super) fn len(&mut self, inode: u64) -> io::Result<u64> {
        Ok(self.file(inode)?.cached.len() as u64)
    }

    pub(super) fn sync_file(&mut self, inode: u64) -> io::Result<()> {
        let file = self.file(inode)?;
        file.durable.resize(file.cached.len(), 0);
        for page in std::mem::take(&mut file.dirty) {
            let bytes = page * PAGE..((page + 1) * PAGE).min(file.cached.len());
            file.durable[bytes.clone()].copy_from_slice(&file.cached[bytes]);
        }
        file.len_dirty = false;
        Ok(())
    }

    pub(super) fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        let inode = self.find(path)?;
        let folder = self.folder(inode)?;
        folder.durable = folder.cached.clone();
        Ok(())
    }

    /// What Linux does when a sync fails: the pages are marked clean, and are still not on disk.
    pub(super) fn lose_dirty(&mut self, inode: u64) {
        if let Ok(file) = self.file(inode) {
            file.dirty.clear();
            file.len_dirty = false;
        }
    }

    /// Reads clean pages from the disk again.
    pub(super) fn forget_clean(&mut self, inode: u64) -> io::Result<()> {
        let file = self.file(inode)?;
        if !file.len_dirty {
            file.cached.resize(file.durable.len(), 0);
        }
        for page in 0..file.cached.len().div_ceil(PAGE) {
            let bytes = page * PAGE..((page + 1) * PAGE).min(file.cached.len());
            if !file.dirty.contains(&page) && bytes.end <= file.durable.len() {
                file.cached[bytes.clone()].copy_from_slice(&file.durable[bytes]);
            }
        }
        Ok(())
    }

    pub(super) fn peek(&mut self, path: &str) -> Option<Vec<u8>> {
        let inode = self.find_file(path).ok()?;
        self.file(inode).ok().map(|file| file.cached.clone())
    }

    pub(super) fn poke(&mut self, path: &str, bytes: &[u8]) {
        let inode = match self.find_file(path) {
            Ok(inode) => inode,
            Err(_) => self
                .add_file(path)
                .expect("the test names a folder that is there"),
        };
        let file = self.file(inode).expect("it was just found");
        *file = FileNode {
            cached: bytes.to_vec(),
            durable: bytes.to_vec(),
            ..FileNode::default()
        };
        let (folder, name) = self.parent(path).expect("its folder is there");
        folder.durable.insert(name.to_owned(), inode);
    }

    pub(super) fn erase(&mut self, path: &str) {
        let (folder, name) = self
            .parent(path)
            .expect("the test names a folder that is there");
        folder.cached.remove(name);
        folder.durable.remove(name);
    }

    pub(super) fn power_cycle(&mut self, survival: Survival) {
        let mut choice = Choice::new(survival);
        let mut inodes: Vec<u64> = self.nodes.keys().copied().collect();
        inodes.sort_unstable();
        for inode in inodes {
            match self.nodes.get_mut(&inode) {
                Some(Node::File(file)) => file.settle(&mut choice),
                Some(Node::Folder(folder)) => folder.settle(&mut choice),
                None => {}
            }
        }
        self.kill();
    }

    pub(super) fn kill(&mut self) {
        self.powered = true;
        self.boot += 1;
        self.cut_at = None;
        self.fuse = None;
        self.faults.clear();
        self.locked.clear();
    }
}

impl FileNode {
    fn settle(&mut self, choice: &mut Choice) {
        let mut bytes = std::mem::take(&mut self.durable);
        if self.len_dirty && choice.survives() {
            bytes.resize(self.cached.len(), 0);
        }
        for page in std::mem::take(&mut self.dirty) {
            for start in (page * PAGE..(page + 1) * PAGE).step_by(SECTOR) {
                let end = (start + SECTOR).min(bytes.len()).min(self.cached.len());
                if start < end && choice.sector_survives(start % PAGE == 0) {
                    bytes[start..end].copy_from_slice(&self.cached[start..end]);
                }
            }
        }
        *self = Self {
            cached: bytes.clone(),
            durable: bytes,
            ..Self::default()
        };
    }
}

impl FolderNode {
    fn settle(&mut self, choice: &mut Choice) {
        let names: BTreeSet<String> = self
            .durable
            .keys()
            .chain(self.cached.keys())
            .cloned()
            .collect();
        let mut left = BTreeMap::new();
        for name in names {
            let (old, new) = (self.durable.get(&name), self.cached.get(&name));
            let kept = if old == new || !choice.survives() {
                old
            } else {
                new
            };
            if let Some(inode) = kept {
                left.insert(name, *inode);
            }
        }
        self.durable = left.clone();
        self.cached = left;
    }
}

/// Decides what survives.
struct Choice {
    survival: Survival,
    state: u64,
    page_survives: bool,
    torn: bool,
}

impl Choice {
    fn new(survival: Survival) -> Self {
        let state = if let Survival::Random(seed) = survival {
            seed
        } else {
            0
        };
        Self {
            survival,
            state,
            page_survives: false,
            torn: false,
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn survives(&mut self) -> bool {
        match self.survival {
            Survival::Nothing => false,
            Survival::Everything => true,
            Survival::Random(_) => self.next().is_multiple_of(2),
        }
    }

    /// Most pages survive or vanish whole; one in eight is torn between sectors.
    fn sector_survives(&mut self, first_of_page: bool) -> bool {
        if first_of_page {
            self.page_survives = self.survives();
            self.torn =
                matches!(self.survival, Survival::Random(_)) && self.next().is_multiple_of(8);
        }
        if self.torn {
            self.survives()
        } else {
            self.page_survives
        }
    }
}

fn next_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}
