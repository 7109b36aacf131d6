//! The metadata's journal on the drives: joins what metadata asks of a drive to what a drive lends,
//! restores a lost database before anything is served, and keeps the journal from then on.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use holdfast_metadata::Metadata;
use holdfast_metadata::journal::{
    JournalConfig, Permission, Recovered, Recovery, Shelf, ShelfFile, ShelfRead, recover,
};
use holdfast_storage_node::{self as node, LocalStore, ReadShelf};
use holdfast_types::{ClusterId, DriveId, Layout};

use super::data_folder::DataFolder;

/// Brings the database to what the drives below the data folder have of it. To be called before
/// the database is opened.
pub(crate) async fn restore(
    data: &DataFolder,
    permission: Permission,
) -> anyhow::Result<Recovered> {
    let drives = data.drives();
    let shelves = tokio::task::spawn_blocking(move || closed_shelves(&drives)).await??;
    let recovered = recover(Recovery {
        database: data.database(),
        shelves,
        permission,
    })
    .await?;
    match &recovered {
        Recovered::New | Recovered::Kept => {}
        Recovered::RolledForward { to } => {
            tracing::info!(
                group = to.group,
                "the metadata's last group was on the drives and not in the database: done again"
            );
        }
        Recovered::Restored {
            to,
            rows,
            groups,
            set_aside,
        } => tracing::warn!(
            epoch = to.epoch,
            group = to.group,
            rows,
            groups,
            set_aside = set_aside.as_ref().map(|path| path.display().to_string()),
            "the metadata's database was made anew from the drives"
        ),
    }
    Ok(recovered)
}

/// Keeps the journal on the drives of `store` from now on.
pub(crate) async fn keep(
    metadata: &Metadata,
    store: &Arc<LocalStore>,
    cluster: ClusterId,
    layout: Layout,
) -> anyhow::Result<()> {
    let store = Arc::clone(store);
    let (k, m) = (usize::from(layout.k()), usize::from(layout.m()));
    let config = JournalConfig {
        cluster,
        may_lose: m,
        write_quorum: k + m.div_ceil(2),
        shelves: Arc::new(move || store.shelves().into_iter().map(open_shelf).collect()),
        rebase_bytes: JournalConfig::REBASE_BYTES,
    };
    match metadata.keep_journal(config).await {
        Ok(()) => Ok(()),
        Err(reason) => bail!("can't keep the metadata's journal on the drives: {reason}"),
    }
}

/// The shelves of all folders below `drives` that are drives. Of several that say they are one
/// drive none is read twice: a copy is of no more use.
pub(crate) fn closed_shelves(drives: &Path) -> anyhow::Result<Vec<Arc<dyn Shelf>>> {
    let entries = match std::fs::read_dir(drives) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("can't read {}", drives.display()));
        }
    };
    let mut shelves: Vec<Arc<dyn Shelf>> = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("can't read {}", drives.display()))?
            .path();
        if let Ok(shelf) = ReadShelf::at(&path) {
            shelves.push(Arc::new(Closed(shelf)));
        }
    }
    shelves.sort_by_key(|shelf| shelf.drive());
    Ok(shelves)
}

/// The shelf of a drive that is open.
fn open_shelf(shelf: node::Shelf) -> Arc<dyn Shelf> {
    Arc::new(Open(shelf))
}

struct Open(node::Shelf);

struct Closed(ReadShelf);

struct Reading(node::ShelfReader);

struct Writing(node::ShelfWriter);

impl Shelf for Open {
    fn drive(&self) -> DriveId {
        self.0.drive()
    }

    fn is_writable(&self) -> bool {
        self.0.is_writable()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ShelfRead>> {
        Ok(Box::new(Reading(self.0.open(name)?)))
    }

    fn create(&self) -> io::Result<Box<dyn ShelfFile>> {
        Ok(Box::new(Writing(self.0.create()?)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}

/// Nothing is written to a drive that nobody has opened.
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the drive is only read")
}

impl Shelf for Closed {
    fn drive(&self) -> DriveId {
        self.0.identity().drive
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ShelfRead>> {
        Ok(Box::new(Reading(self.0.open(name)?)))
    }

    fn create(&self) -> io::Result<Box<dyn ShelfFile>> {
        Err(closed())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(closed())
    }
}

impl ShelfRead for Reading {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }
}

impl ShelfFile for Writing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn publish(&mut self, name: &str) -> io::Result<()> {
        self.0.publish(name)
    }
}
