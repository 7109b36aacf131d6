//! The image of a database with very many rows is restored in little memory: by a process of its
//! own, which is asked what it took.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use holdfast_metadata::journal::{JournalConfig, Permission, Recovery, Shelf, recover};
use holdfast_storage_node::{
    DriveConfig, LocalStore, ReadShelf, ShelfFolder, StoreConfig, format_drive, read_identity,
};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::lab::{CLUSTER, Closed, Gate, Open, id, open, region, runtime};

const CHILD: &str = "HOLDFAST_RESTORE_CHILD";
const ROWS: i64 = 100_000;
/// What a restore may take: far less than the rows have bytes.
const MEMORY_KIB: u64 = 40 << 10;
const DRIVES: usize = 2;

/// Rows that nothing asks for, as many as a store of many objects has.
const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
    INSERT INTO meta (name, value) SELECT 'row ' || i, hex(randomblob(400)) FROM n";

/// How much the rows are: their number, and the bytes in them.
async fn rows(database: &Path) -> (i64, i64) {
    let mut connection = connect(database).await;
    let sql = "SELECT COUNT(*), SUM(LENGTH(value)) FROM meta WHERE name LIKE 'row %'";
    let found = sqlx::query_as(sql).fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    found.unwrap()
}

async fn connect(database: &Path) -> sqlx::SqliteConnection {
    let options = SqliteConnectOptions::new().filename(database);
    sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap()
}

/// Fills a database and journals it on drives below `folder`.
async fn fill(folder: &Path) {
    let database = folder.join("metadata.db");
    open(&database).await.close().await;
    let mut connection = connect(&database).await;
    let filled = sqlx::query(FILL).bind(ROWS).execute(&mut connection).await;
    filled.unwrap();
    connection.close().await.unwrap();

    let drives = (0..DRIVES).map(|number| {
        let path = folder.join(number.to_string());
        std::fs::create_dir(&path).unwrap();
        format_drive(&path, CLUSTER, id(number)).unwrap();
        DriveConfig {
            id: id(number),
            path,
            region: region(),
            zone: "zone".to_owned(),
            node: "node".to_owned(),
        }
    });
    let config = StoreConfig {
        reserve_bytes: 1 << 20,
        ..StoreConfig::default()
    };
    let store = LocalStore::open(CLUSTER, drives.collect(), config).await;
    let store = Arc::new(store.unwrap());
    let metadata = open(&database).await;
    let config = JournalConfig {
        cluster: CLUSTER,
        may_lose: DRIVES - 1,
        write_quorum: DRIVES,
        shelves: Arc::new(move || {
            let open = |shelf| Arc::new(Open(shelf, Arc::<Gate>::default())) as Arc<dyn Shelf>;
            store
                .shelves(ShelfFolder::Metadata)
                .into_iter()
                .map(open)
                .collect()
        }),
        rebase_bytes: u64::MAX,
    };
    metadata.keep_journal(config).await.unwrap();
    metadata.close().await;
}

/// The most memory that this process ever held.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.unwrap().trim().trim_end_matches("kB").trim();
    number.parse().unwrap()
}

/// Not a test by itself: the process that restores, and says by how much its peak rose.
#[test]
fn the_process_that_restores() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    runtime().block_on(async {
        let folder = Path::new(&folder);
        let shelves = (0..DRIVES).map(|number| {
            let path = folder.join(number.to_string());
            assert_eq!(read_identity(&path).unwrap().drive, id(number));
            Arc::new(Closed(ReadShelf::at(&path, ShelfFolder::Metadata).unwrap())) as Arc<dyn Shelf>
        });
        let recovery = Recovery {
            database: folder.join("metadata.db"),
            shelves: shelves.collect(),
            permission: Permission::Careful,
        };
        let before = peak_kib();
        recover(recovery).await.unwrap();
        println!("\nrestored with {}\n", peak_kib() - before);
    });
}

#[test]
fn a_database_of_very_many_rows_is_restored_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("metadata.db");
    runtime().block_on(fill(folder.path()));
    let before = runtime().block_on(rows(&database));
    assert_eq!(before.0, ROWS);
    std::fs::remove_file(&database).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "large::the_process_that_restores", "--nocapture"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let took = said
        .lines()
        .find_map(|line| line.strip_prefix("restored with "))
        .unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&child.stderr)));
    let took: u64 = took.parse().unwrap();
    assert_eq!(runtime().block_on(rows(&database)), before);
    assert!(
        took < MEMORY_KIB,
        "it took {took} KiB for {} bytes of rows",
        before.1
    );
}
