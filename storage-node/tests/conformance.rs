//! The conformance suite on real folders and on simulated disks; and what the suite can't see.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;

use common::{Lab, drive, drive_config, large, run, small};
use holdfast_storage_node::conformance::{self, Sample};
use holdfast_storage_node::{DriveConfig, LocalStore, StoreConfig, format_drive};
use holdfast_types::{ClusterId, DriveId, DriveState, FragmentStore};

fn real_drives(folder: &Path, cluster: ClusterId, count: usize) -> Vec<DriveConfig> {
    (0..count)
        .map(|number| {
            let id = DriveId::generate();
            let path = folder.join(format!("d{number}"));
            format_drive(&path, cluster, id).unwrap();
            DriveConfig {
                path,
                ..drive_config(id)
            }
        })
        .collect()
}

fn config() -> StoreConfig {
    StoreConfig {
        reserve_bytes: 0,
        ..StoreConfig::default()
    }
}

#[test]
fn real_folders_are_a_fragment_store() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let cluster = ClusterId::generate();
        let drives = real_drives(folder.path(), cluster, 2);
        let store = LocalStore::open(cluster, drives, config()).await.unwrap();
        conformance::all(&store).await;
        let stats = store.stats();
        assert!(
            stats
                .iter()
                .all(|(_, stats)| stats.write_errors + stats.sync_errors == 0)
        );
        assert!(
            stats[0].1.shared_syncs > 0,
            "writers at once share syncs: {stats:?}"
        );
    });
}

#[test]
fn tiny_segments_that_are_compacted_all_the_time_are_a_fragment_store() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let cluster = ClusterId::generate();
        let drives = real_drives(folder.path(), cluster, 1);
        let config = StoreConfig {
            segment_bytes: 64 << 10,
            ..config()
        };
        let store = LocalStore::open(cluster, drives, config).await.unwrap();
        conformance::all(&store).await;
        assert!(store.stats()[0].1.compactions > 0);
    });
}

#[test]
fn simulated_disks_are_a_fragment_store() {
    run(async {
        let lab = Lab::new();
        conformance::all(&lab.open().await).await;
    });
}

#[test]
fn everything_is_there_after_an_orderly_restart() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let cluster = ClusterId::generate();
        let drives = real_drives(folder.path(), cluster, 1);
        let id = drives[0].id;
        let samples: Vec<Sample> = (0..10)
            .flat_map(|seed| [small(seed), large(seed)])
            .collect();
        let store = LocalStore::open(cluster, drives.clone(), config())
            .await
            .unwrap();
        for sample in &samples {
            sample.put(&store, id).await.unwrap();
        }
        let (gone, kept) = samples.split_at(6);
        for sample in gone {
            store.delete(id, &sample.header.id).await.unwrap();
        }
        let before = store.list(id, None, usize::MAX).await.unwrap();
        assert_eq!(before.len(), kept.len());
        for _ in 0..3 {
            let store = LocalStore::open(cluster, drives.clone(), config())
                .await
                .unwrap();
            assert_eq!(
                drive(&store).state,
                DriveState::Faulty,
                "one process at a time"
            );
        }
        drop(store);
        for _ in 0..3 {
            let store = LocalStore::open(cluster, drives.clone(), config())
                .await
                .unwrap();
            assert_eq!(
                drive(&store).state,
                DriveState::Online,
                "{}",
                drive(&store).reason
            );
            assert_eq!(store.list(id, None, usize::MAX).await.unwrap(), before);
            for sample in kept {
                assert_eq!(sample.read(&store, id).await.unwrap(), sample.whole());
            }
        }
    });
}

#[test]
fn a_second_process_is_kept_out() {
    run(async {
        let lab = Lab::new();
        let first = lab.open().await;
        let second = lab.open().await;
        assert_eq!(drive(&first).state, DriveState::Online);
        assert_eq!(drive(&second).state, DriveState::Faulty);
        assert!(
            drive(&second).reason.contains("another process"),
            "{}",
            drive(&second).reason
        );
        drop(first);
        second.refresh().await;
        assert_eq!(drive(&second).state, DriveState::Online);
    });
}
