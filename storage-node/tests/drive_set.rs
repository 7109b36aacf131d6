//! The set of drives of an open store: one more, one less, one that takes nothing new, one that is
//! in another folder now. Real folders.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{is_refused, large, run, small};
use holdfast_storage_node::{AddError, DriveConfig, LocalStore, StoreConfig, format_drive};
use holdfast_types::{
    Clock, ClusterId, DriveId, DriveState, FragmentStore, Region, StoreError, SystemClock,
};
use tempfile::TempDir;

struct Folders {
    root: TempDir,
    cluster: ClusterId,
}

impl Folders {
    fn new() -> Self {
        Self {
            root: TempDir::new().unwrap(),
            cluster: ClusterId::generate(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn formatted(&self, name: &str) -> DriveConfig {
        let id = DriveId::generate();
        format_drive(&self.path(name), self.cluster, id).unwrap();
        self.at(id, name)
    }

    fn at(&self, id: DriveId, name: &str) -> DriveConfig {
        DriveConfig {
            id,
            path: self.path(name),
            region: Region::parse("local").unwrap(),
            zone: "zone".to_owned(),
            node: "node".to_owned(),
        }
    }

    async fn open(&self, drives: Vec<DriveConfig>) -> LocalStore {
        let config = StoreConfig {
            reserve_bytes: 0,
            ..StoreConfig::default()
        };
        LocalStore::open(self.cluster, drives, config)
            .await
            .unwrap()
    }
}

fn state(store: &LocalStore, id: DriveId) -> (DriveState, String) {
    let drives = store.drives();
    let drive = drives.iter().find(|drive| drive.id == id).unwrap();
    (drive.state, drive.path.clone())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_drive_is_added_and_removed_while_the_store_is_open() {
    run(async {
        let folders = Folders::new();
        let first = folders.formatted("a");
        let store = folders.open(vec![first.clone()]).await;
        let second = folders.formatted("b");
        store.add(second.clone()).await.unwrap();
        assert_eq!(store.drives().len(), 2);
        let again = store.add(second.clone()).await;
        assert_eq!(again, Err(AddError::Twice(second.id)));
        let samples = [small(1), large(2)];
        for sample in &samples {
            sample.put(&store, second.id).await.unwrap();
            let read = sample.read(&store, second.id).await.unwrap();
            assert_eq!(read, sample.whole());
        }
        // One that is not what it shall be is not taken in.
        for (config, wrong) in [
            (
                folders.at(DriveId::generate(), "nowhere"),
                DriveState::Missing,
            ),
            (folders.at(DriveId::generate(), "a"), DriveState::Faulty),
        ] {
            let refused = store.add(config).await;
            let is_so =
                matches!(&refused, Err(AddError::Unusable { state, .. }) if *state == wrong);
            assert!(is_so, "{refused:?}");
        }
        assert_eq!(store.drives().len(), 2);

        // A write that is under way when the drive goes is never acknowledged.
        let doomed = large(3);
        let mut writer = store
            .create(second.id, doomed.header.clone())
            .await
            .unwrap();
        for block in &doomed.blocks {
            writer.write_block(block.clone()).await.unwrap();
        }
        assert!(store.remove(second.id).await);
        assert!(!store.remove(second.id).await);
        assert!(writer.commit().await.is_err());
        assert!(is_refused(
            &small(4).put(&store, second.id).await,
            DriveState::Missing
        ));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        assert!(store.scrub(second.id, &clock).is_none());
        // Its folder is free at once, and what was acknowledged is in it.
        let other = folders.open(vec![second.clone()]).await;
        for sample in &samples {
            let read = sample.read(&other, second.id).await.unwrap();
            assert_eq!(read, sample.whole());
        }
        assert!(matches!(
            doomed.read(&other, second.id).await,
            Err(StoreError::NotFound { .. })
        ));
    });
}

#[test]
fn a_drive_that_is_drained_is_read_and_deleted_from_and_not_written() {
    run(async {
        let folders = Folders::new();
        let config = folders.formatted("a");
        let id = config.id;
        let store = folders.open(vec![config]).await;
        let sample = large(1);
        sample.put(&store, id).await.unwrap();
        assert!(store.set_draining(id, true));
        assert!(!store.set_draining(DriveId::generate(), true));
        assert_eq!(state(&store, id).0, DriveState::Draining);
        assert!(is_refused(
            &small(2).put(&store, id).await,
            DriveState::Draining
        ));
        assert_eq!(sample.read(&store, id).await.unwrap(), sample.whole());
        store.delete(id, &sample.header.id).await.unwrap();
        // What is wrong with it shows through.
        fs::rename(folders.path("a"), folders.path("away")).unwrap();
        store.refresh().await;
        assert_eq!(state(&store, id).0, DriveState::Missing);
        fs::rename(folders.path("away"), folders.path("a")).unwrap();
        store.refresh().await;
        assert_eq!(state(&store, id).0, DriveState::Draining);
        assert!(store.set_draining(id, false));
        small(2).put(&store, id).await.unwrap();
    });
}

#[test]
fn f13_swapped_drives_are_used_where_they_are_and_keep_what_is_theirs() {
    run(async {
        let folders = Folders::new();
        let (one, two) = (folders.formatted("a"), folders.formatted("b"));
        let store = folders.open(vec![one.clone(), two.clone()]).await;
        let samples = [(one.id, large(1)), (two.id, large(2))];
        for (id, sample) in &samples {
            sample.put(&store, *id).await.unwrap();
        }
        assert!(
            !store.move_to(one.id, &folders.path("b")),
            "it is open where it is"
        );
        fs::rename(&one.path, folders.path("aside")).unwrap();
        fs::rename(&two.path, &one.path).unwrap();
        fs::rename(folders.path("aside"), &two.path).unwrap();
        // Nothing is read from, or written to, the wrong one in between.
        for (id, sample) in &samples {
            assert!(small(9).put(&store, *id).await.is_err());
            let read = sample.read(&store, *id).await;
            assert!(read.is_err() || read.unwrap() == sample.whole());
        }
        store.refresh().await;
        for id in [one.id, two.id] {
            assert_eq!(state(&store, id).0, DriveState::Faulty);
        }
        assert!(store.move_to(one.id, &two.path));
        assert!(store.move_to(two.id, &one.path));
        store.refresh().await;
        assert_eq!(state(&store, one.id), (DriveState::Online, text(&two.path)));
        assert_eq!(state(&store, two.id), (DriveState::Online, text(&one.path)));
        for (id, sample) in &samples {
            assert_eq!(sample.read(&store, *id).await.unwrap(), sample.whole());
            small(9).put(&store, *id).await.unwrap();
        }
    });
}

#[test]
fn f12_a_wiped_drive_is_missing_and_another_one_can_take_its_folder() {
    run(async {
        let folders = Folders::new();
        let old = folders.formatted("a");
        let store = folders.open(vec![old.clone()]).await;
        large(1).put(&store, old.id).await.unwrap();
        fs::remove_dir_all(&old.path).unwrap();
        fs::create_dir(&old.path).unwrap();
        store.refresh().await;
        assert_eq!(state(&store, old.id).0, DriveState::Missing);
        store.refresh().await;
        assert_eq!(
            fs::read_dir(&old.path).unwrap().count(),
            0,
            "it is left alone"
        );
        let new = folders.formatted("a");
        store.add(new.clone()).await.unwrap();
        store.refresh().await;
        assert_eq!(
            state(&store, old.id).0,
            DriveState::Faulty,
            "it says whose folder that is"
        );
        assert!(store.remove(old.id).await);
        large(2).put(&store, new.id).await.unwrap();
        assert_eq!(state(&store, new.id).0, DriveState::Online);
    });
}
