//! The metadata's journal on the drives: joins what metadata asks of a drive to what a drive lends,
//! restores a lost database before anything is served, and keeps the journal from then on.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use holdfast_metadata::Metadata;
use holdfast_metadata::journal::{
    JournalConfig, Permission, Recovered, Recovery, Shelf, ShelfFile, ShelfRead, recover,
    setting_of,
};
use holdfast_storage_node::{self as node, LocalStore, ReadShelf, ShelfFolder};
use holdfast_types::{ClusterId, DriveId, Layout};

use super::data_folder::DataFolder;
use super::first_start::{Fixed, SETTING};

/// Brings the database to what the drives below the data folder have of it. To be called before
/// the database is opened.
pub(crate) async fn restore(
    data: &DataFolder,
    permission: Permission,
) -> anyhow::Result<Recovered> {
    let shelves = closed_shelves(data, ShelfFolder::Metadata).await?;
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
        shelves: Arc::new(move || open_shelves(&store, ShelfFolder::Metadata)),
        rebase_bytes: JournalConfig::REBASE_BYTES,
    };
    match metadata.keep_journal(config).await {
        Ok(()) => Ok(()),
        Err(reason) => bail!("can't keep the metadata's journal on the drives: {reason}"),
    }
}

/// The shelves of the drives of an open store.
pub(crate) fn open_shelves(store: &LocalStore, folder: ShelfFolder) -> Vec<Arc<dyn Shelf>> {
    store.shelves(folder).into_iter().map(open_shelf).collect()
}

/// The shelves of all folders below DATA/drives that are drives of this store.
///
/// A drive of another store among them (it was in its way, or is on its way there) is passed over
/// where the database says which is ours; where it does not, nobody knows whose metadata to restore.
pub(crate) async fn closed_shelves(
    data: &DataFolder,
    folder: ShelfFolder,
) -> anyhow::Result<Vec<Arc<dyn Shelf>>> {
    let drives = data.drives();
    let mut found = tokio::task::spawn_blocking(move || read_shelves(&drives, folder)).await??;
    let clusters: BTreeSet<ClusterId> =
        found.iter().map(|shelf| shelf.identity().cluster).collect();
    if clusters.len() > 1 {
        let fixed = setting_of(&data.database(), SETTING).await;
        let fixed: Option<Fixed> = fixed.and_then(|text| serde_json::from_str(&text).ok());
        let Some(Fixed { cluster, .. }) = fixed else {
            bail!(
                "{} has drives of several clusters ({}), and there is no database that says which \
                 of them this store is: take out those that are of another one",
                data.drives().display(),
                clusters
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        };
        found.retain(|shelf| shelf.identity().cluster == cluster);
    }
    found.sort_by_key(|shelf| shelf.identity().drive);
    let shelf = |shelf| Arc::new(Closed(shelf)) as Arc<dyn Shelf>;
    Ok(found.into_iter().map(shelf).collect())
}

fn read_shelves(drives: &Path, folder: ShelfFolder) -> anyhow::Result<Vec<ReadShelf>> {
    let entries = match std::fs::read_dir(drives) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("can't read {}", drives.display()));
        }
    };
    let mut shelves = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("can't read {}", drives.display()))?
            .path();
        shelves.extend(ReadShelf::at(&path, folder));
    }
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

#[cfg(test)]
mod tests {
    use holdfast_metadata::MetadataConfig;
    use holdfast_storage_node::format_drive;
    use holdfast_types::{Region, SystemClock};

    use super::*;

    #[tokio::test]
    async fn a_drive_of_another_store_is_never_taken_for_ours() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::take(&folder.path().join("data")).unwrap();
        data.make_database_folder().unwrap();
        assert!(
            closed_shelves(&data, ShelfFolder::Metadata)
                .await
                .unwrap()
                .is_empty()
        );
        let (ours, theirs) = (ClusterId::generate(), ClusterId::generate());
        let ids: Vec<DriveId> = (1..=3).map(|n| DriveId::from_bytes([n; 16])).collect();
        // Theirs is the first in order.
        for (number, cluster) in [(0, theirs), (1, ours), (2, ours)] {
            format_drive(&data.drive(number + 1), cluster, ids[usize::from(number)]).unwrap();
        }
        let refused = closed_shelves(&data, ShelfFolder::Metadata)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(refused.contains("several clusters"), "{refused}");
        let config = MetadataConfig::new(format!("sqlite:{}", data.database().display()));
        let region = Region::parse("us-east-1").unwrap();
        let metadata = Metadata::open(&config, region.clone(), Arc::new(SystemClock));
        let metadata = metadata.await.unwrap();
        let fixed = Fixed {
            cluster: ours,
            region,
            layout: "2+1".parse().unwrap(),
            drives: 2,
        };
        let text = serde_json::to_string(&fixed).unwrap();
        metadata.fix_setting(SETTING, &text).await.unwrap();
        metadata.close().await;
        let found = closed_shelves(&data, ShelfFolder::Metadata).await.unwrap();
        let found: Vec<DriveId> = found.iter().map(|shelf| shelf.drive()).collect();
        assert_eq!(found, ids[1..]);
    }
}
