//! Metadata with a journal on simulated drives that all lose their power at one moment, and what
//! must be so afterwards, with nothing left but those drives.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use holdfast_metadata::command::{DeleteObject, NewBlob, PutObject, WriteCondition};
use holdfast_metadata::image::ImageReader;
use holdfast_metadata::journal::{
    JournalConfig, JournalState, Permission, Position, Recovered, Recovery, Shelf, ShelfFile,
    ShelfRead, recover,
};
use holdfast_metadata::model::{
    Attributes, Bypass, LockState, OpId, Origin, Policy, VersionSelector,
};
use holdfast_metadata::{Metadata, MetadataConfig, MetadataError};
use holdfast_storage_node::disk::{Disk, Fault, SimDisk, SimOp, Survival};
use holdfast_storage_node::{
    self as node, DriveConfig, DriveIdentity, LocalStore, ReadShelf, ShelfFolder, StoreConfig,
    format_disk,
};
use holdfast_types::{
    BlobId, ClusterId, DriveId, FailureDomain, Generation, Placement, Region, SizeRule, SystemClock,
};
use sqlx::Connection as _;
use tempfile::TempDir;

use super::forbidden::FORBIDDEN;

pub(crate) const CLUSTER: ClusterId = ClusterId::from_bytes([0xC1; 16]);

/// As many as three holders, and the two that replace the two that may be lost.
pub(crate) const DRIVES: usize = 5;
pub(crate) const MAY_LOSE: usize = 2;
/// Drives by number that are holders first: the journal takes them in the order of their ids.
pub(crate) const HOLDERS: [usize; MAY_LOSE + 1] = [0, 1, 2];
const BUCKET: &str = "b";
const DEADLINE: Duration = Duration::from_secs(60);

/// What stays when the process dies: the drives, and the folder of a database that will be lost.
pub(crate) struct Lab {
    pub(crate) disks: Vec<SimDisk>,
    pub(crate) gate: Arc<Gate>,
    /// Bytes of records after which the journal begins a new image.
    pub(crate) rebase_bytes: u64,
    folder: Arc<TempDir>,
}

/// Metadata that is served.
pub(crate) struct Process {
    pub(crate) metadata: Metadata,
    store: Arc<LocalStore>,
}

/// Where a history was, and every row of it then, as digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    position: Position,
    tables: Vec<(String, u64, u64)>,
}

/// What callers were told of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    There,
    Gone,
    Unknown,
}

pub(crate) type Ledger = BTreeMap<String, Told>;

/// Holds images back just before they get their name, so that a story can go on meanwhile.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Whether an image waits.
    pub(crate) fn is_reached(&self) -> bool {
        self.state.lock().unwrap().1 > 0
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        // The journal gives a drive up that takes longer than this for one step.
        let limit = Duration::from_secs(10);
        let waited = self.changed.wait_timeout_while(state, limit, |s| s.0);
        waited.unwrap().0.1 -= 1;
    }
}

/// Drive `number`, as metadata knows it.
pub(crate) const fn id(number: usize) -> DriveId {
    DriveId::from_bytes([number as u8 + 1; 16])
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn region() -> Region {
    Region::parse("here").unwrap()
}

pub(crate) async fn open(database: &Path) -> Metadata {
    let config = MetadataConfig::new(format!("sqlite:{}", database.display()));
    let opened = Metadata::open(&config, region(), Arc::new(SystemClock)).await;
    opened.unwrap()
}

/// Every table with its number of rows and a digest of them.
async fn tables(metadata: &Metadata) -> Vec<(String, u64, u64)> {
    let mut stream = metadata.image(Some(CLUSTER), None).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.chunks.recv().await {
        bytes.extend_from_slice(&chunk);
    }
    stream.done.await.unwrap().unwrap();
    let image = ImageReader::new(Box::new(io::Cursor::new(bytes))).unwrap();
    image.verify().unwrap().tables
}

/// The database is lost in every story: it may lie in memory.
fn memory_folder() -> Arc<TempDir> {
    Arc::new(TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap()))
}

impl Lab {
    /// Formatted drives and no database.
    pub(crate) fn new() -> Self {
        let disks: Vec<SimDisk> = (0..DRIVES).map(|_| SimDisk::new(256 << 20)).collect();
        for (number, disk) in disks.iter().enumerate() {
            let identity = DriveIdentity {
                cluster: CLUSTER,
                drive: id(number),
            };
            format_disk(disk, identity).unwrap();
        }
        Self {
            disks,
            gate: Arc::default(),
            rebase_bytes: u64::MAX,
            folder: memory_folder(),
        }
    }

    /// The same drives in another universe, without the database.
    pub(crate) fn fork(&self) -> Self {
        Self {
            disks: self.disks.iter().map(SimDisk::fork).collect(),
            gate: Arc::default(),
            rebase_bytes: self.rebase_bytes,
            folder: memory_folder(),
        }
    }

    /// The same with the database, which must be closed.
    pub(crate) fn fork_whole(&self) -> Self {
        let fork = self.fork();
        std::fs::copy(self.database(), fork.database()).unwrap();
        fork
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("metadata.db")
    }

    pub(crate) fn lose_database(&self) {
        for ending in ["", "-wal", "-shm"] {
            let path = format!("{}{ending}", self.database().display());
            let _not_there = std::fs::remove_file(path);
        }
    }

    /// Puts an empty disk in the place of drive `number`.
    pub(crate) fn lose_drive(&self, number: usize) {
        let empty = SimDisk::new(256 << 20).remove().unwrap();
        self.disks[number].insert(empty);
    }

    /// From now on nothing becomes durable on drive `number`.
    pub(crate) fn fail_drive(&self, number: usize) {
        self.disks[number].inject(Fault::always(SimOp::Sync));
        self.disks[number].inject(Fault::always(SimOp::SyncFolder));
    }

    pub(crate) fn cut_after(&self, operations: u64) {
        SimDisk::cut_all_after(&self.disks, operations);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.disks.iter().any(SimDisk::is_cut)
    }

    pub(crate) fn power_cycle(&self, survival: Survival) {
        for (disk, number) in self.disks.iter().zip(0..) {
            disk.power_cycle(match survival {
                Survival::Random(seed) => Survival::Random(seed * 100 + number),
                other => other,
            });
        }
    }

    /// Opens the drives as a start does.
    pub(crate) async fn open_drives(&self) -> Arc<LocalStore> {
        let drives = self.disks.iter().enumerate().map(|(number, disk)| {
            let config = DriveConfig {
                id: id(number),
                path: number.to_string().into(),
                region: region(),
                zone: "zone".to_owned(),
                node: "node".to_owned(),
            };
            (config, Arc::new(disk.clone()) as Arc<dyn Disk>)
        });
        let config = StoreConfig {
            reserve_bytes: 1 << 20,
            ..StoreConfig::default()
        };
        let store = LocalStore::open_on(CLUSTER, drives.collect(), config).await;
        Arc::new(store.unwrap())
    }

    /// Opens the database and journals it on the drives of `store`; else why it can't.
    pub(crate) async fn begin(&self, store: Arc<LocalStore>) -> Result<Process, String> {
        let metadata = open(&self.database()).await;
        let (lent, gate) = (Arc::clone(&store), Arc::clone(&self.gate));
        let config = JournalConfig {
            cluster: CLUSTER,
            may_lose: MAY_LOSE,
            write_quorum: MAY_LOSE + 1,
            shelves: Arc::new(move || {
                let open = |shelf| Arc::new(Open(shelf, Arc::clone(&gate))) as Arc<dyn Shelf>;
                lent.shelves(ShelfFolder::Metadata)
                    .into_iter()
                    .map(open)
                    .collect()
            }),
            rebase_bytes: self.rebase_bytes,
        };
        if let Err(why) = metadata.keep_journal(config).await {
            metadata.close().await;
            return Err(why);
        }
        Ok(Process { metadata, store })
    }

    /// Makes the database anew from nothing but the drives.
    pub(crate) async fn recover(&self, story: &str) -> Position {
        let disks = self.disks.iter();
        let read = disks.filter_map(|disk| ReadShelf::on(disk, ShelfFolder::Metadata).ok());
        let recovered = recover(Recovery {
            database: self.database(),
            shelves: read
                .map(|s| Arc::new(Closed(s)) as Arc<dyn Shelf>)
                .collect(),
            permission: Permission::Careful,
        });
        match recovered.await {
            Ok(Recovered::Restored { to, .. }) => to,
            other => panic!("{story}: {other:?}"),
        }
    }

    /// No group is there by half.
    async fn check_rows(&self, story: &str) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.database());
        let connected = sqlx::SqliteConnection::connect_with(&options).await;
        let mut connection = connected.unwrap();
        for (name, sql) in FORBIDDEN {
            let count = sqlx::query_scalar::<_, i64>(*sql);
            let found = count.fetch_one(&mut connection).await.unwrap();
            assert_eq!(found, 0, "{story}: {name}");
        }
        connection.close().await.unwrap();
    }

    /// After a cut, with no database: what callers were told is so, all of the last moment is there
    /// and at most one group more, whole; and it goes on from there.
    pub(crate) async fn check(&self, told: &Ledger, live: &Moment, story: &str) -> Process {
        let to = self.recover(story).await;
        let process = self.begin(self.open_drives().await).await;
        let process = process.unwrap_or_else(|why| panic!("{story}: it can't go on: {why}"));
        let now = process.moment().await;
        assert_eq!(now.position, to, "{story}");
        if to == live.position {
            assert_eq!(now.tables, live.tables, "{story}");
        } else {
            let ahead = to.group.checked_sub(live.position.group);
            assert_eq!(ahead, Some(1), "{story}: {to:?} after {:?}", live.position);
        }
        self.check_rows(story).await;
        let bucket = process.metadata.bucket(BUCKET).await.unwrap();
        for (key, told) in told {
            let current = VersionSelector::Current;
            let found = process
                .metadata
                .version(bucket.id, key.as_bytes(), &current);
            let found = match found.await {
                Ok(version) => Some((version.etag, version.size)),
                Err(MetadataError::NoSuchKey) => None,
                Err(other) => panic!("{story}: {key}: {other}"),
            };
            let whole = Some((format!("etag of {key}"), key.len() as u64));
            let holds = match told {
                Told::There => found == whole,
                Told::Gone => found.is_none(),
                Told::Unknown => found.is_none() || found == whole,
            };
            assert!(holds, "{story}: {key} is {told:?} and is {found:?}");
        }
        let mut told = Ledger::new();
        process.put(&mut told, "written after the cut").await;
        assert_eq!(told.values().next(), Some(&Told::There), "{story}");
        process
    }

    /// And what was seen since is durable itself.
    pub(crate) async fn check_again(&self, process: Process, story: &str) {
        let live = process.moment().await;
        self.power_cycle(Survival::Nothing);
        process.end().await;
        self.lose_database();
        let to = self.recover(story).await;
        assert_eq!(to, live.position, "{story}, and again");
        let metadata = open(&self.database()).await;
        assert_eq!(tables(&metadata).await, live.tables, "{story}, again");
        metadata.close().await;
    }
}

impl Process {
    /// Makes the bucket that everything is in.
    pub(crate) async fn make_bucket(&self) {
        let policy = Policy {
            name: "standard".to_owned(),
            rule: SizeRule::new("2+2".parse().unwrap()),
            protect: FailureDomain::Drive,
            generation: 1,
            rules: Vec::new(),
            quorum: None,
        };
        self.metadata.put_policy(policy).await.unwrap();
        let made = self.metadata.create_bucket(BUCKET, "standard", None);
        made.await.unwrap();
    }

    /// Puts an object whose row says which key it is of.
    pub(crate) async fn put(&self, ledger: &mut Ledger, key: &str) {
        let blob = NewBlob {
            id: BlobId::generate(),
            len: key.len() as u64,
            seal: None,
            placement: Placement {
                region: region(),
                generation: Generation(0),
                layout: "2+2".parse().unwrap(),
                drives: (0..4).map(|number| Some(id(number))).collect(),
            },
            debts: Vec::new(),
            strays: Vec::new(),
        };
        let put = PutObject {
            op: blob.id.into(),
            bucket: BUCKET.to_owned(),
            key: key.as_bytes().to_vec(),
            blob: Some(blob),
            taken_len: None,
            etag: format!("etag of {key}"),
            attributes: Attributes::default(),
            condition: WriteCondition::default(),
            lock: LockState::default(),
            origin: Origin::default(),
        };
        let told = match self.metadata.put_object(put).await {
            Ok(_) => Told::There,
            Err(_) => Told::Unknown,
        };
        ledger.insert(key.to_owned(), told);
    }

    pub(crate) async fn delete(&self, ledger: &mut Ledger, key: &str) {
        let delete = DeleteObject {
            op: OpId::generate(),
            bucket: BUCKET.to_owned(),
            key: key.as_bytes().to_vec(),
            version: VersionSelector::Current,
            condition: WriteCondition::default(),
            bypass: Bypass::No,
            origin: Origin::default(),
        };
        let told = match self.metadata.delete_object(delete).await {
            Ok(_) => Told::Gone,
            Err(_) => Told::Unknown,
        };
        ledger.insert(key.to_owned(), told);
    }

    /// All rows that are committed here, and where that is.
    pub(crate) async fn moment(&self) -> Moment {
        let status = self.metadata.journal_status().unwrap();
        Moment {
            position: status.position,
            tables: tables(&self.metadata).await,
        }
    }

    /// Waits until `holds`, or until the power is gone.
    pub(crate) async fn until(&self, lab: &Lab, what: &str, holds: impl Fn() -> bool) {
        let limit = tokio::time::Instant::now() + DEADLINE;
        while !lab.is_cut() && !holds() {
            let status = self.metadata.journal_status();
            assert!(tokio::time::Instant::now() < limit, "{what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the journal is on as many drives as it should be, and not on `failed`.
    pub(crate) async fn until_whole_without(&self, lab: &Lab, failed: &[usize]) {
        self.until(lab, "the journal is whole", || {
            let status = self.metadata.journal_status().unwrap();
            let without = failed.iter().all(|n| !status.holders.contains(&id(*n)));
            status.state == JournalState::Whole && without
        })
        .await;
    }

    pub(crate) async fn end(self) {
        self.metadata.close().await;
        drop(self.store);
    }
}

/// The shelf of an open drive.
pub(crate) struct Open(pub(crate) node::Shelf, pub(crate) Arc<Gate>);

pub(crate) struct Closed(pub(crate) ReadShelf);

struct Reading(node::ShelfReader);

struct Writing(node::ShelfWriter, Arc<Gate>);

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
        Ok(Box::new(Writing(self.0.create()?, Arc::clone(&self.1))))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
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
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
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
        if name.starts_with("image-") {
            self.1.pass();
        }
        self.0.publish(name)
    }
}
