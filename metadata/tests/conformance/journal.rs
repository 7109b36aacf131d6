//! The journal: what the drives have is what the database has, after every story there is, and
//! through every way to lose one of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_metadata::image::{ImageInfo, ImageReader};
use holdfast_metadata::journal::{
    JournalConfig, JournalState, Permission, RecoverError, Recovered, Recovery, Shelf, ShelfFile,
    ShelfRead, recover,
};
use holdfast_metadata::{Metadata, MetadataConfig, MetadataError};
use holdfast_types::{ClusterId, DriveId, SystemClock};
use uuid::Uuid;

use super::hooks::{Loss, LostCommit};
use super::world::{Place, World, region};

pub(crate) const CLUSTER: ClusterId = ClusterId::from_bytes([0xC1; 16]);

/// A folder that plays a drive, without syncs: nobody pulls its plug.
pub(crate) struct FolderShelf {
    drive: DriveId,
    folder: PathBuf,
    /// What takes no writes.
    pub(crate) broken: AtomicBool,
    /// What takes no images, but all else: they are long.
    pub(crate) no_images: AtomicBool,
}

struct FolderFile {
    shelf: Arc<FolderShelf>,
    path: PathBuf,
    file: File,
}

struct FolderRead(File);

impl FolderShelf {
    pub(crate) fn new(folder: &Path, number: u8) -> Arc<Self> {
        let folder = folder.join(format!("drive-{number}"));
        fs::create_dir_all(&folder).unwrap();
        Arc::new(Self {
            drive: DriveId::from_bytes([number; 16]),
            folder,
            broken: AtomicBool::new(false),
            no_images: AtomicBool::new(false),
        })
    }

    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the drive is broken"));
        }
        Ok(())
    }

    /// Damages every image at its end, which nobody reads before all of it; how many there were.
    pub(crate) fn damage_images(&self) -> usize {
        let names = self.names().into_iter();
        let images = names.filter(|name| name.starts_with("image"));
        let damage = |name: String| {
            let path = self.folder.join(name);
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        };
        images.map(damage).count()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }
}

/// The trait is for the handle, because files know their shelf.
pub(crate) struct Handle(pub(crate) Arc<FolderShelf>);

impl Shelf for Handle {
    fn drive(&self) -> DriveId {
        self.0.drive
    }

    fn is_writable(&self) -> bool {
        !self.0.broken.load(Ordering::SeqCst)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.names())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ShelfRead>> {
        Ok(Box::new(FolderRead(File::open(self.0.folder.join(name))?)))
    }

    fn create(&self) -> io::Result<Box<dyn ShelfFile>> {
        self.0.check()?;
        let path = self.0.folder.join(format!(".{}", uuid::Uuid::new_v4()));
        Ok(Box::new(FolderFile {
            shelf: Arc::clone(&self.0),
            file: File::create_new(&path)?,
            path,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.check()?;
        fs::remove_file(self.0.folder.join(name))
    }
}

impl ShelfRead for FolderRead {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl ShelfFile for FolderFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.shelf.check()?;
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.shelf.check()
    }

    fn publish(&mut self, name: &str) -> io::Result<()> {
        self.shelf.check()?;
        if name.starts_with("image") && self.shelf.no_images.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let target = self.shelf.folder.join(name);
        if target.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.path, &target)?;
        self.path = target;
        Ok(())
    }
}

/// Drives in a story's folder.
pub(crate) fn shelves(folder: &Path, count: u8) -> Vec<Arc<FolderShelf>> {
    (1..=count)
        .map(|number| FolderShelf::new(folder, number))
        .collect()
}

pub(crate) fn config(shelves: &[Arc<FolderShelf>], may_lose: usize) -> JournalConfig {
    let shelves: Vec<Arc<FolderShelf>> = shelves.to_vec();
    JournalConfig {
        cluster: CLUSTER,
        may_lose,
        write_quorum: 1 + may_lose,
        shelves: Arc::new(move || handles(&shelves)),
        // Small enough that stories see images come and go.
        rebase_bytes: 200 << 10,
    }
}

fn handles(shelves: &[Arc<FolderShelf>]) -> Vec<Arc<dyn Shelf>> {
    shelves
        .iter()
        .map(|shelf| Arc::new(Handle(Arc::clone(shelf))) as Arc<dyn Shelf>)
        .collect()
}

pub(crate) async fn restore(
    database: &Path,
    shelves: &[Arc<FolderShelf>],
    permission: Permission,
) -> Result<Recovered, RecoverError> {
    recover(Recovery {
        database: database.to_owned(),
        shelves: handles(shelves),
        permission,
    })
    .await
}

pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("metadata.db")
}

pub(crate) async fn open(database: &Path) -> Metadata {
    let config = MetadataConfig::new(format!("sqlite:{}", database.display()));
    let limit = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        // Whoever had it open may still be closing it.
        match Metadata::open(&config, region(), Arc::new(SystemClock)).await {
            Ok(metadata) => return metadata,
            Err(error) if std::time::Instant::now() > limit => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Every row of everything, as digests.
pub(crate) async fn content(metadata: &Metadata) -> BTreeMap<String, (u64, u64)> {
    info(metadata)
        .await
        .tables
        .into_iter()
        .map(|(name, rows, digest)| (name, (rows, digest)))
        .collect()
}

pub(crate) async fn image(metadata: &Metadata) -> Vec<u8> {
    image_of(metadata, None).await
}

/// The image that is the backup `backup`.
pub(crate) async fn image_of(metadata: &Metadata, backup: Option<Uuid>) -> Vec<u8> {
    let mut stream = metadata.image(Some(CLUSTER), backup).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.chunks.recv().await {
        bytes.extend_from_slice(&chunk);
    }
    stream.done.await.unwrap().unwrap();
    bytes
}

pub(crate) async fn info(metadata: &Metadata) -> ImageInfo {
    let bytes = image(metadata).await;
    let reader = ImageReader::new(Box::new(io::Cursor::new(bytes))).unwrap();
    reader.verify().unwrap()
}

/// After a story: what the drives tell is what the database has, row by row. A story that opened
/// the database again without a journal, or changed rows behind its back, is left aside.
pub(crate) async fn check_restorable(folder: &Path, shelves: &[Arc<FolderShelf>]) {
    let path = database(folder);
    if !path.exists() || folder.join("behind-its-back").exists() {
        return;
    }
    let metadata = open(&path).await;
    let expected = info(&metadata).await;
    metadata.close().await;
    let anew = folder.join("anew.db");
    let recovered = restore(&anew, shelves, Permission::Careful).await.unwrap();
    let metadata = open(&anew).await;
    let found = info(&metadata).await;
    metadata.close().await;
    assert!(matches!(recovered, Recovered::Restored { .. }));
    let last_group = |info: &ImageInfo| {
        let meta = info.tables.iter().find(|table| table.0 == "meta");
        meta.cloned().unwrap()
    };
    if last_group(&found) == last_group(&expected) {
        assert_eq!(found.tables, expected.tables);
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap()
}

/// A database with a journal on `count` drives, of which `may_lose` may go.
pub(crate) struct Journaled {
    folder: Arc<tempfile::TempDir>,
    pub(crate) shelves: Vec<Arc<FolderShelf>>,
    pub(crate) may_lose: usize,
    pub(crate) world: World,
}

impl Journaled {
    pub(crate) async fn new(count: u8, may_lose: usize) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let world = World::new(Place::Sqlite(Arc::clone(&folder))).await;
        let shelves = shelves(folder.path(), count);
        let config = config(&shelves, may_lose);
        world.metadata.keep_journal(config).await.unwrap();
        world.bucket("b").await;
        Self {
            folder,
            shelves,
            may_lose,
            world,
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        database(self.folder.path())
    }

    pub(crate) async fn put(&self, number: u64) {
        self.world
            .put("b", &format!("key {number}"), number + 1, "etag")
            .await;
    }

    pub(crate) async fn content(&self) -> BTreeMap<String, (u64, u64)> {
        content(&self.world.metadata).await
    }

    /// Closes the database, as a stop does.
    pub(crate) async fn stop(&self) {
        self.world.metadata.clone().close().await;
    }

    /// Opens it again, as a start does.
    pub(crate) async fn start(&mut self) -> Result<Recovered, RecoverError> {
        self.start_with(Permission::Careful).await
    }

    async fn start_with(&mut self, permission: Permission) -> Result<Recovered, RecoverError> {
        let recovered = restore(&self.database(), &self.shelves, permission).await?;
        self.world.metadata = open(&self.database()).await;
        let config = config(&self.shelves, self.may_lose);
        self.world.metadata.keep_journal(config).await.unwrap();
        Ok(recovered)
    }

    pub(crate) fn lose_database(&self) {
        for ending in ["", "-wal", "-shm"] {
            let path = format!("{}{ending}", self.database().display());
            let _not_there = fs::remove_file(path);
        }
    }

    pub(crate) fn handles(&self) -> Vec<Arc<dyn Shelf>> {
        handles(&self.shelves)
    }

    /// The shelves that hold the journal now.
    pub(crate) fn holders(&self) -> Vec<Arc<FolderShelf>> {
        let holders = self.world.metadata.journal_status().unwrap().holders;
        let shelves = self.shelves.iter();
        let of = shelves.filter(|shelf| holders.contains(&shelf.drive));
        of.cloned().collect()
    }

    fn lose_drive(&self, number: usize) {
        let folder = &self.shelves[number].folder;
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(folder).unwrap();
    }

    pub(crate) async fn state(&self, wanted: JournalState) {
        let limit = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let status = self.world.metadata.journal_status().unwrap();
            if status.state == wanted {
                return;
            }
            assert!(std::time::Instant::now() < limit, "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[test]
fn a_lost_database_comes_back_from_the_drives_again_and_again() {
    runtime().block_on(async {
        let mut store = Journaled::new(6, 2).await;
        for round in 0..12 {
            for number in 0..40 {
                store.put(round * 40 + number).await;
            }
            let before = store.content().await;
            store.stop().await;
            store.lose_database();
            // Any two drives may go with it, but not their notices for ever.
            let recovered = store.start().await.unwrap();
            assert!(matches!(recovered, Recovered::Restored { .. }), "{round}");
            assert_eq!(store.content().await, before, "{round}");
        }
    });
}

#[test]
fn any_drives_that_may_be_lost_may_be_lost_with_the_database() {
    runtime().block_on(async {
        for first in 0..6 {
            for second in (first + 1)..6 {
                let mut store = Journaled::new(6, 2).await;
                for number in 0..10 {
                    store.put(number).await;
                }
                let before = store.content().await;
                store.stop().await;
                store.lose_database();
                store.lose_drive(first);
                store.lose_drive(second);
                store.start().await.unwrap();
                assert_eq!(store.content().await, before, "{first} {second}");
                store.state(JournalState::Whole).await;
            }
        }
    });
}

#[test]
fn too_few_drives_prove_nothing_and_a_person_decides() {
    runtime().block_on(async {
        let mut store = Journaled::new(4, 1).await;
        store.put(1).await;
        let before = store.content().await;
        store.stop().await;
        store.lose_database();
        store.lose_drive(2);
        store.lose_drive(3);
        let refused = store.start().await.unwrap_err();
        assert!(
            matches!(&refused, RecoverError::NotProven { missing } if missing.len() == 2),
            "{refused}"
        );
        assert!(!store.database().exists(), "no empty database was made");
        store
            .start_with(Permission::RestoreFromDrives)
            .await
            .unwrap();
        assert_eq!(store.content().await, before);
    });
}

#[test]
fn a_holder_that_fails_is_replaced_and_nothing_is_lost() {
    runtime().block_on(async {
        let mut store = Journaled::new(5, 2).await;
        store.put(1).await;
        let holders = store.world.metadata.journal_status().unwrap().holders;
        let failing = |drive: &DriveId| {
            let mut shelves = store.shelves.iter();
            Arc::clone(shelves.find(|shelf| shelf.drive == *drive).unwrap())
        };
        let broken = failing(&holders[0]);
        broken.broken.store(true, Ordering::SeqCst);
        for number in 2..20 {
            store.put(number).await;
        }
        store.state(JournalState::Whole).await;
        let after = store.world.metadata.journal_status().unwrap().holders;
        assert!(
            !after.contains(&holders[0]) && after.len() == 3,
            "{after:?}"
        );
        let before = store.content().await;
        store.stop().await;
        // The broken drive is back as it was, and the two that were holders with it are gone.
        broken.broken.store(false, Ordering::SeqCst);
        store.lose_database();
        for drive in &holders[1..] {
            let at = store.shelves.iter().position(|s| s.drive == *drive);
            store.lose_drive(at.unwrap());
        }
        store.start().await.unwrap();
        assert_eq!(store.content().await, before);
    });
}

#[test]
fn a_stale_drive_alone_is_never_taken_for_the_newest() {
    runtime().block_on(async {
        let mut store = Journaled::new(3, 1).await;
        store.put(1).await;
        let holder = store.world.metadata.journal_status().unwrap().holders[0];
        let stale = store
            .shelves
            .iter()
            .position(|s| s.drive == holder)
            .unwrap();
        store.shelves[stale].broken.store(true, Ordering::SeqCst);
        store.put(2).await;
        store.state(JournalState::Whole).await;
        store.put(3).await;
        store.stop().await;
        store.shelves[stale].broken.store(false, Ordering::SeqCst);
        store.lose_database();
        (0..3)
            .filter(|number| *number != stale)
            .for_each(|number| store.lose_drive(number));
        let refused = store.start().await.unwrap_err();
        assert!(
            matches!(refused, RecoverError::NotProven { .. }),
            "{refused}"
        );
    });
}

#[test]
fn without_enough_drives_nothing_is_committed_and_reads_go_on() {
    runtime().block_on(async {
        let store = Journaled::new(3, 2).await;
        store.put(1).await;
        store.state(JournalState::Whole).await;
        for shelf in &store.shelves[1..] {
            shelf.broken.store(true, Ordering::SeqCst);
        }
        let put = store.world.put_of("b", "refused", 1, "etag");
        let refused = store.world.metadata.put_object(put).await.unwrap_err();
        assert!(
            matches!(
                refused,
                MetadataError::OutcomeUnknown(_) | MetadataError::Unavailable(_)
            ),
            "{refused}"
        );
        let bucket = store.world.metadata.bucket("b").await.unwrap();
        assert!(store.world.current(&bucket, "key 1").await.is_ok());
        assert!(store.world.current(&bucket, "refused").await.is_err());
        store.state(JournalState::Stopped).await;
        for shelf in &store.shelves {
            shelf.broken.store(false, Ordering::SeqCst);
        }
    });
}

/// F43: the log is deleted, the file is an old copy, the file is no database.
#[test]
fn f43_a_database_that_is_not_what_it_was_is_refused_and_restored_on_demand() {
    runtime().block_on(async {
        let mut store = Journaled::new(3, 1).await;
        store.put(1).await;
        store.stop().await;
        let old = fs::read(store.database()).unwrap();
        store.start().await.unwrap();
        for number in 2..6 {
            store.put(number).await;
        }
        let before = store.content().await;
        store.stop().await;

        for (bytes, what) in [(old.as_slice(), "old copy"), (&[0x5A; 9000], "is damaged")] {
            fs::write(store.database(), bytes).unwrap();
            let refused = store.start().await.unwrap_err().to_string();
            assert!(refused.contains(what), "{refused}");
            assert!(refused.contains("--restore-from-drives"), "{refused}");
            assert_eq!(fs::read(store.database()).unwrap(), bytes, "left alone");
            let restored = store.start_with(Permission::RestoreFromDrives).await;
            let Ok(Recovered::Restored { set_aside, .. }) = restored else {
                panic!("{what}: {restored:?}");
            };
            assert_eq!(fs::read(set_aside.unwrap()).unwrap(), bytes);
            assert_eq!(store.content().await, before, "{what}");
            store.stop().await;
        }
        // An empty file in its place is no fresh start.
        fs::write(store.database(), b"").unwrap();
        assert!(store.start().await.is_err());
    });
}

#[test]
fn a_group_that_the_drives_have_and_the_database_lacks_is_done_again() {
    runtime().block_on(async {
        let mut store = Journaled::new(3, 1).await;
        for number in 0..5 {
            store.put(number).await;
        }
        store.stop().await;
        let before_last = fs::read(store.database()).unwrap();
        store.start().await.unwrap();
        store.put(9).await;
        let after = store.content().await;
        store.stop().await;
        fs::write(store.database(), before_last).unwrap();
        let recovered = store.start().await.unwrap();
        assert!(
            matches!(recovered, Recovered::RolledForward { .. }),
            "{recovered:?}"
        );
        assert_eq!(store.content().await, after);
    });
}

#[test]
fn images_replace_the_records_before_them() {
    runtime().block_on(async {
        let mut store = Journaled::new(3, 1).await;
        for number in 0..150 {
            store.put(number).await;
        }
        let limit = std::time::Instant::now() + Duration::from_secs(60);
        let images = || {
            let of = |shelf: &FolderShelf| {
                let names = shelf.names();
                names.into_iter().filter(|name| name.starts_with("image"))
            };
            store.shelves.iter().flat_map(|s| of(s)).collect::<Vec<_>>()
        };
        let first = images();
        while images() == first {
            assert!(std::time::Instant::now() < limit, "no new image");
            store.put(1000).await;
        }
        let before = store.content().await;
        store.stop().await;
        store.lose_database();
        store.start().await.unwrap();
        assert_eq!(store.content().await, before);
    });
}

/// A COMMIT that fails after the drives have the group: it has happened, and is done again.
#[test]
fn a_commit_that_fails_after_the_journal_has_it_is_done_again() {
    runtime().block_on(async {
        for loss in [Loss::Request, Loss::Reply] {
            let mut store = Journaled::new(3, 1).await;
            store.stop().await;
            let hook = Arc::new(LostCommit::default());
            store.world = store.world.reopened(hook.clone()).await;
            let config = config(&store.shelves, store.may_lose);
            store.world.metadata.keep_journal(config).await.unwrap();
            hook.lose(loss);
            store.put(1).await;
            store.put(2).await;
            let before = store.content().await;
            store.stop().await;
            store.lose_database();
            store.start().await.unwrap();
            assert_eq!(store.content().await, before, "{loss:?}");
        }
    });
}
