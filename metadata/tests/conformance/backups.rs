//! Backups: what one knows is not destroyed while it may be needed, it becomes a database of either
//! kind again, row by row, and what was before a restore does not come back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::backup::{Restore, RestoreError, RestoreInto, Restored, restore};
use holdfast_metadata::command::SweepOutcome;
use holdfast_metadata::journal::{Permission, RecoverError};
use holdfast_metadata::lease::{LeaseAnswer, TakeLease};
use holdfast_metadata::{Metadata, MetadataConfig};
use holdfast_types::{ClusterId, ManualClock, SystemClock};

use super::journal::{
    CLUSTER, Journaled, content, image, image_of, restore as restore_from_drives, runtime,
};
use super::postgres_server;
use super::world::{HOUR_MS, Place, START_MS, World, region};

super::on_both! {
    what_a_backup_knows_is_not_swept_before_it_expires,
    garbage_from_before_a_backup_is_swept,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn what_a_backup_knows_is_not_swept_before_it_expires(world: World) {
    world.bucket("b").await;
    world.put("b", "k", 5, "etag").await;
    let backup = world.metadata.begin_backup("/there", DAY).await.unwrap();
    world.metadata.finish_backup(backup.id, 7).await.unwrap();
    world.delete("b", "k").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let due = || async { world.metadata.due_garbage(None, 10).await.unwrap() };
    assert_eq!(due().await, [], "the backup has the object");
    let listed = world.metadata.backups().await.unwrap();
    assert_eq!((listed.len(), listed[0].bytes), (1, 7));

    world.clock.advance_ms(24 * HOUR_MS);
    let garbage = due().await;
    assert_eq!(garbage.len(), 1, "it has expired");
    let swept = world.metadata.begin_sweep(garbage[0].blob, &region()).await;
    assert!(matches!(swept.unwrap(), SweepOutcome::Dead(_)));
}

async fn garbage_from_before_a_backup_is_swept(world: World) {
    world.bucket("b").await;
    world.put("b", "k", 5, "etag").await;
    world.delete("b", "k").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let backup = world.metadata.begin_backup("/there", DAY).await.unwrap();
    assert_eq!(world.metadata.due_garbage(None, 10).await.unwrap().len(), 1);
    world.put("b", "l", 5, "etag").await;
    world.delete("b", "l").await;
    world.clock.advance_ms(2 * HOUR_MS);
    assert_eq!(world.metadata.due_garbage(None, 10).await.unwrap().len(), 1);
    world.metadata.forget_backup(backup.id).await.unwrap();
    assert_eq!(world.metadata.due_garbage(None, 10).await.unwrap().len(), 2);
}

async fn restored(file: &Path, into: RestoreInto) -> Result<Restored, RestoreError> {
    restore(Restore {
        file: file.to_owned(),
        into,
        shelves: Vec::new(),
        cluster: Some(CLUSTER),
        now_ms: 1,
    })
    .await
}

async fn opened(url: String) -> Metadata {
    let config = MetadataConfig::new(url);
    Metadata::open(&config, region(), Arc::new(SystemClock))
        .await
        .unwrap()
}

async fn backed_up(metadata: &Metadata, file: PathBuf) -> PathBuf {
    fs::write(&file, image(metadata).await).unwrap();
    file
}

/// A backup as `admin metadata backup` takes it: recorded, written, and then known to be whole.
async fn taken(metadata: &Metadata, file: PathBuf) -> PathBuf {
    let backup = metadata.begin_backup("/elsewhere", DAY).await.unwrap();
    let bytes = image_of(metadata, Some(backup.id)).await;
    let len = bytes.len() as u64;
    fs::write(&file, bytes).unwrap();
    metadata.finish_backup(backup.id, len).await.unwrap();
    file
}

/// What `backups list` says: each backup's place and length, in the order of places: two that were
/// taken within a millisecond are as old as each other.
async fn listed(metadata: &Metadata) -> Vec<(String, u64)> {
    let backups = metadata.backups().await.unwrap().into_iter();
    let mut listed: Vec<_> = backups.map(|backup| (backup.place, backup.bytes)).collect();
    listed.sort();
    listed
}

/// The image was taken before anybody knew that it would become whole.
#[test]
fn a_restored_backup_knows_that_it_is_whole_and_where_it_is() {
    runtime().block_on(async {
        let store = Journaled::new(3, 1).await;
        store.put(1).await;
        let folder = tempfile::tempdir().unwrap();
        let older = taken(&store.world.metadata, folder.path().join("older")).await;
        let newer = taken(&store.world.metadata, folder.path().join("newer")).await;
        let len = |file: &Path| fs::metadata(file).unwrap().len();
        let place = |file: &Path| file.display().to_string();
        let anew = folder.path().join("anew.db");
        restored(&newer, RestoreInto::Sqlite(anew.clone()))
            .await
            .unwrap();
        let metadata = opened(format!("sqlite:{}", anew.display())).await;
        let mut both = [
            (place(&newer), len(&newer)),
            ("/elsewhere".to_owned(), len(&older)),
        ];
        both.sort();
        assert_eq!(listed(&metadata).await, both);
        metadata.close().await;

        let Some(server) = postgres_server::server() else {
            return;
        };
        let database = server.database().await;
        let url = server.url(&database, "restored");
        restored(&older, RestoreInto::Postgres(url.clone()))
            .await
            .unwrap();
        let metadata = opened(url).await;
        assert_eq!(listed(&metadata).await, [(place(&older), len(&older))]);
        metadata.close().await;
    });
}

/// All tables but the one that says which epoch it is.
async fn rows(metadata: &Metadata) -> BTreeMap<String, (u64, u64)> {
    let mut content = content(metadata).await;
    content.remove("meta");
    content
}

#[test]
fn a_backup_goes_from_sqlite_to_postgres_and_back_row_by_row() {
    let Some(server) = postgres_server::server() else {
        return;
    };
    runtime().block_on(async {
        let store = Journaled::new(3, 1).await;
        for number in 0..50 {
            store.put(number).await;
        }
        store.world.delete("b", "key 7").await;
        let folder = tempfile::tempdir().unwrap();
        let before = rows(&store.world.metadata).await;
        let file = backed_up(&store.world.metadata, folder.path().join("1")).await;

        let database = server.database().await;
        let url = server.url(&database, "restored");
        restored(&file, RestoreInto::Postgres(url.clone()))
            .await
            .unwrap();
        let again = restored(&file, RestoreInto::Postgres(url.clone())).await;
        assert!(matches!(again, Err(RestoreError::NotEmpty)));
        let metadata = opened(url).await;
        assert_eq!(rows(&metadata).await, before);
        // The database's own numbering goes on where it was.
        metadata.create_bucket("c", "standard", None).await.unwrap();
        let after = rows(&metadata).await;
        let file = backed_up(&metadata, folder.path().join("2")).await;
        metadata.close().await;

        let anew = folder.path().join("anew.db");
        let back = restored(&file, RestoreInto::Sqlite(anew.clone()))
            .await
            .unwrap();
        assert_eq!(back.epoch, 3, "each restore raises it");
        let metadata = opened(format!("sqlite:{}", anew.display())).await;
        assert_eq!(rows(&metadata).await, after);
        metadata.create_bucket("d", "standard", None).await.unwrap();
        metadata.close().await;
    });
}

#[test]
fn a_restore_frees_all_leases_and_gives_none_of_the_old_generations() {
    runtime().block_on(async {
        let store = Journaled::new(3, 1).await;
        let take = |holder: u128, term_ms| TakeLease {
            name: "sweep".to_owned(),
            holder: uuid::Uuid::from_u128(holder),
            holder_name: "a process".to_owned(),
            kept: None,
            term_ms,
        };
        let metadata = &store.world.metadata;
        metadata.take_lease(take(1, u64::MAX >> 2)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut file = backed_up(metadata, folder.path().join("1")).await;
        for epoch in [2, 3] {
            let anew = folder.path().join(format!("{epoch}.db"));
            let restored = restored(&file, RestoreInto::Sqlite(anew.clone())).await;
            assert_eq!(restored.unwrap().epoch, epoch);
            let metadata = opened(format!("sqlite:{}", anew.display())).await;
            assert_eq!(metadata.worker_leases().await.unwrap()[0].left_ms, 0);
            let taken = metadata.take_lease(take(2, 1000)).await.unwrap();
            let LeaseAnswer::Ours { generation, .. } = taken else {
                panic!("{taken:?}");
            };
            assert_eq!(generation, (epoch << 32) + epoch);
            file = backed_up(&metadata, folder.path().join(format!("{epoch}"))).await;
            metadata.close().await;
        }
    });
}

#[test]
fn a_damaged_backup_or_one_of_another_cluster_changes_nothing() {
    runtime().block_on(async {
        let store = Journaled::new(3, 1).await;
        store.put(1).await;
        let folder = tempfile::tempdir().unwrap();
        let file = backed_up(&store.world.metadata, folder.path().join("1")).await;
        let target = folder.path().join("kept.db");
        fs::write(&target, "kept").unwrap();
        let other = restore(Restore {
            file: file.clone(),
            into: RestoreInto::Sqlite(target.clone()),
            shelves: Vec::new(),
            cluster: Some(ClusterId::from_bytes([9; 16])),
            now_ms: 1,
        });
        assert!(matches!(
            other.await,
            Err(RestoreError::OtherCluster { .. })
        ));
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        let damaged = restored(&file, RestoreInto::Sqlite(target.clone())).await;
        assert!(
            matches!(damaged, Err(RestoreError::Image(_))),
            "{damaged:?}"
        );
        assert_eq!(fs::read(&target).unwrap(), b"kept");
    });
}

/// What a restore has brought back may be older than what is on the drives.
#[test]
fn nothing_is_destroyed_before_a_restore_is_confirmed() {
    runtime().block_on(async {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let world = World::new(Place::Sqlite(Arc::clone(&folder))).await;
        world.bucket("b").await;
        world.put("b", "k", 5, "etag").await;
        world.delete("b", "k").await;
        let file = backed_up(&world.metadata, folder.path().join("backup")).await;
        let target = folder.path().join("restored.db");
        let into = RestoreInto::Sqlite(target.clone());
        restored(&file, into).await.unwrap();

        let config = MetadataConfig::new(format!("sqlite:{}", target.display()));
        let clock = Arc::new(ManualClock::new(START_MS + 2 * HOUR_MS));
        let metadata = Metadata::open(&config, region(), clock).await.unwrap();
        assert_eq!(metadata.reconcile_pending().await.unwrap(), Some(1));
        let due = || async { metadata.due_garbage(None, 10).await.unwrap() };
        assert_eq!(due().await, []);
        assert!(metadata.confirm_reconciled().await.unwrap());
        assert_eq!(due().await.len(), 1);
    });
}

/// F56, F57: a database from before a restore is refused, and nothing is destroyed before the
/// restored one was compared and confirmed.
#[test]
fn f56_what_was_before_a_restore_does_not_come_back() {
    runtime().block_on(async {
        let mut store = Journaled::new(3, 1).await;
        store.put(1).await;
        let folder = tempfile::tempdir().unwrap();
        let file = backed_up(&store.world.metadata, folder.path().join("1")).await;
        store.put(2).await;
        store.stop().await;
        let newer = fs::read(store.database()).unwrap();

        let back = restore(Restore {
            file,
            into: RestoreInto::Sqlite(store.database()),
            shelves: store.handles(),
            cluster: Some(CLUSTER),
            now_ms: 5,
        });
        let back = back.await.unwrap();
        assert_eq!(back.epoch, 2);
        assert_eq!(fs::read(back.set_aside.unwrap()).unwrap(), newer);
        store.start().await.unwrap();
        let metadata = &store.world.metadata;
        assert_eq!(metadata.reconcile_pending().await.unwrap(), Some(5));
        let bucket = metadata.bucket("b").await.unwrap();
        assert!(store.world.current(&bucket, "key 1").await.is_ok());
        assert!(store.world.current(&bucket, "key 2").await.is_err());

        // The drives know of the restore too: it outlives its database as everything does.
        store.stop().await;
        store.lose_database();
        store.start().await.unwrap();
        let metadata = &store.world.metadata;
        assert_eq!(metadata.reconcile_pending().await.unwrap(), Some(5));
        store.world.delete("b", "key 1").await;
        assert!(metadata.confirm_reconciled().await.unwrap());
        assert!(!metadata.confirm_reconciled().await.unwrap());
        assert_eq!(metadata.reconcile_pending().await.unwrap(), None);

        store.stop().await;
        fs::write(store.database(), &newer).unwrap();
        let refused = store.start().await.unwrap_err();
        assert!(
            matches!(
                refused,
                RecoverError::Superseded {
                    ours: 1,
                    theirs: 2,
                    ..
                }
            ),
            "{refused}"
        );
        restore_from_drives(
            &store.database(),
            &store.shelves,
            Permission::RestoreFromDrives,
        )
        .await
        .unwrap();
    });
}
