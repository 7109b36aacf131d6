//! Drives that are not there, not ours, or not readable: each is a state with a name, nothing is
//! written where it must not be, and a drive that comes back is used again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Lab, assert_state, drive_config, is_refused, large, run, small};
use holdfast_storage_node::disk::{Disk, Fault, SimDisk, SimOp};
use holdfast_storage_node::{
    DriveConfig, DriveIdentity, LocalStore, StoreConfig, format_disk, format_drive, read_identity,
};
use holdfast_types::{ClusterId, DriveId, DriveState, FragmentStore, StoreError};

#[test]
fn a_foreign_or_newer_or_unreadable_drive_is_faulty_and_says_why() {
    run(async {
        let lab = Lab::new();
        let sample = small(1);
        lab.put(&lab.open().await, &sample).await.unwrap();
        let text = String::from_utf8(lab.disk.peek("holdfast-drive").unwrap()).unwrap();
        let before = lab.disk.operations();

        let stranger = Lab {
            id: DriveId::generate(),
            ..lab.fork()
        };
        let store = stranger.open().await;
        assert_state(&store, DriveState::Faulty, "foreign");
        assert!(is_refused(
            &stranger.put(&store, &small(2)).await,
            DriveState::Faulty
        ));
        let stranger = Lab {
            cluster: ClusterId::generate(),
            ..lab.fork()
        };
        assert_state(&stranger.open().await, DriveState::Faulty, "foreign");

        for (damaged, reason) in [
            (text.replace("version 1", "version 2"), "checksum"),
            (text.replace("cluster", "klaster"), "checksum"),
            (String::new(), "damaged"),
            ("x".repeat(10_000), "damaged"),
        ] {
            let lab = lab.fork();
            lab.disk.poke("holdfast-drive", damaged.as_bytes());
            assert_state(&lab.open().await, DriveState::Faulty, reason);
        }
        let newer = lab.fork();
        newer.disk.poke("holdfast-drive", &newer_identity(&text));
        assert_state(&newer.open().await, DriveState::Faulty, "format version 2");
        let unreadable = lab.fork();
        unreadable.disk.inject(Fault::always(SimOp::Read));
        assert_state(&unreadable.open().await, DriveState::Faulty, "");
        assert_eq!(lab.disk.operations(), before, "nothing of it wrote a byte");
        let store = lab.open().await;
        assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
    });
}

fn newer_identity(text: &str) -> Vec<u8> {
    let body = text
        .split("checksum")
        .next()
        .unwrap()
        .replace("version 1", "version 2");
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, body.as_bytes());
    format!("{body}checksum {checksum:016x}\n").into_bytes()
}

#[test]
fn a_drive_that_is_pulled_out_is_missing_and_comes_back() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let (packed, file) = (small(1), large(2));
        lab.put(&store, &packed).await.unwrap();
        lab.put(&store, &file).await.unwrap();
        // In the middle of a write, too.
        let doomed = large(3);
        let mut writer = store.create(lab.id, doomed.header.clone()).await.unwrap();
        for block in &doomed.blocks {
            writer.write_block(block.clone()).await.unwrap();
        }
        let medium = lab.disk.remove().unwrap();
        for sample in [small(4), large(5)] {
            let done = lab.put(&store, &sample).await;
            assert!(is_refused(&done, DriveState::Missing), "{done:?}");
        }
        let done = writer.commit().await;
        assert!(is_refused(&done, DriveState::Missing), "{done:?}");
        store.refresh().await;
        assert_state(&store, DriveState::Missing, "not there");
        assert!(is_refused(
            &packed.read(&store, lab.id).await,
            DriveState::Missing
        ));

        // An empty disk in its place is not it, and is left alone.
        let blank = SimDisk::new(1 << 20);
        lab.disk.insert(blank.remove().unwrap());
        store.refresh().await;
        assert_state(&store, DriveState::Missing, "wiped or never formatted");
        assert_eq!(lab.disk.operations(), 0);
        assert!(is_refused(
            &lab.put(&store, &small(4)).await,
            DriveState::Missing
        ));

        // Another drive of the cluster is not it either.
        let id = DriveIdentity {
            cluster: lab.cluster,
            drive: DriveId::generate(),
        };
        format_disk(&lab.disk, id).unwrap();
        let before = lab.disk.operations();
        store.refresh().await;
        assert_state(&store, DriveState::Faulty, "foreign");
        assert_eq!(lab.disk.operations(), before);

        lab.disk.insert(medium);
        store.refresh().await;
        assert_state(&store, DriveState::Online, "");
        for sample in [&packed, &file] {
            assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
        }
        assert!(matches!(
            doomed.read(&store, lab.id).await,
            Err(StoreError::NotFound { .. })
        ));
        lab.put(&store, &doomed).await.unwrap();
        assert_eq!(store.list(lab.id, None, 100).await.unwrap().len(), 3);
    });
}

#[test]
fn swapped_drives_are_noticed_before_a_byte_is_written() {
    run(async {
        let (one, two) = (Lab::new(), Lab::new());
        let two = Lab {
            cluster: one.cluster,
            ..two
        };
        let fresh = SimDisk::new(64 << 20);
        two.disk.insert(fresh.remove().unwrap());
        format_disk(&two.disk, two.identity()).unwrap();
        let disks: Vec<(DriveConfig, Arc<dyn Disk>)> = [&one, &two]
            .map(|lab| {
                (
                    drive_config(lab.id),
                    Arc::new(lab.disk.clone()) as Arc<dyn Disk>,
                )
            })
            .into();
        let store = LocalStore::open_on(one.cluster, disks, one.config.clone())
            .await
            .unwrap();
        let (first, second) = (small(1), small(2));
        first.put(&store, one.id).await.unwrap();
        second.put(&store, two.id).await.unwrap();
        let (a, b) = (one.disk.remove().unwrap(), two.disk.remove().unwrap());
        one.disk.insert(b);
        two.disk.insert(a);
        let before = [one.disk.operations(), two.disk.operations()];
        for (id, sample) in [(one.id, small(3)), (two.id, large(4))] {
            let done = sample.put(&store, id).await;
            assert!(is_refused(&done, DriveState::Missing), "{done:?}");
        }
        store.refresh().await;
        assert!(
            store
                .drives()
                .iter()
                .all(|drive| drive.state == DriveState::Faulty)
        );
        assert_eq!([one.disk.operations(), two.disk.operations()], before);
        let (a, b) = (two.disk.remove().unwrap(), one.disk.remove().unwrap());
        one.disk.insert(a);
        two.disk.insert(b);
        store.refresh().await;
        assert_eq!(first.read(&store, one.id).await.unwrap(), first.whole());
        assert_eq!(second.read(&store, two.id).await.unwrap(), second.whole());
    });
}

/// What an unmount looks like: the same path, and an empty folder under it.
#[test]
fn what_is_under_the_mount_point_is_never_written() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("d0"), folder.path().join("away"));
        let (cluster, id) = (ClusterId::generate(), DriveId::generate());
        format_drive(&path, cluster, id).unwrap();
        let config = StoreConfig {
            reserve_bytes: 0,
            ..StoreConfig::default()
        };
        let drives = vec![DriveConfig {
            path: path.clone(),
            ..drive_config(id)
        }];
        let store = LocalStore::open(cluster, drives, config).await.unwrap();
        let kept = [small(1), large(2)];
        for sample in &kept {
            sample.put(&store, id).await.unwrap();
        }
        std::fs::rename(&path, &away).unwrap();
        std::fs::create_dir(&path).unwrap();
        for sample in [small(3), large(4)] {
            let done = sample.put(&store, id).await;
            assert!(is_refused(&done, DriveState::Missing), "{done:?}");
        }
        store.refresh().await;
        assert_state(&store, DriveState::Missing, "wiped or never formatted");
        assert_eq!(
            std::fs::read_dir(&path).unwrap().count(),
            0,
            "nothing was written there"
        );
        std::fs::remove_dir(&path).unwrap();
        store.refresh().await;
        assert_state(&store, DriveState::Missing, "is not there");
        std::fs::rename(&away, &path).unwrap();
        store.refresh().await;
        assert_state(&store, DriveState::Online, "");
        for sample in &kept {
            assert_eq!(sample.read(&store, id).await.unwrap(), sample.whole());
        }
        wipe_identity(&path);
        store.refresh().await;
        assert_state(&store, DriveState::Missing, "wiped or never formatted");
        assert!(
            format_drive(&path, cluster, id).is_err(),
            "there are fragments in it"
        );
        assert!(read_identity(&path).is_err());
    });
}

fn wipe_identity(path: &Path) {
    std::fs::remove_file(path.join("holdfast-drive")).unwrap();
}
