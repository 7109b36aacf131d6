//! A store over simulated drives, for the tests that treat it badly.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test uses a part of it")]

use std::future::Future;
use std::sync::Arc;

use holdfast_storage_node::conformance::Sample;
use holdfast_storage_node::disk::{Disk, SimDisk};
use holdfast_storage_node::{DriveConfig, DriveIdentity, LocalStore, StoreConfig, format_disk};
use holdfast_types::{ClusterId, Drive, DriveId, DriveState, FragmentStore, Region, StoreError};

/// One simulated drive and the store on it.
pub(crate) struct Lab {
    pub(crate) cluster: ClusterId,
    pub(crate) id: DriveId,
    pub(crate) disk: SimDisk,
    pub(crate) config: StoreConfig,
}

impl Lab {
    /// A formatted drive of 64 MiB whose segments are sealed after 32 KiB.
    pub(crate) fn new() -> Self {
        let disk = SimDisk::new(64 << 20);
        let lab = Self {
            cluster: ClusterId::generate(),
            id: DriveId::generate(),
            disk,
            config: StoreConfig {
                reserve_bytes: 1 << 20,
                segment_bytes: 32 << 10,
                ..StoreConfig::default()
            },
        };
        format_disk(&lab.disk, lab.identity()).unwrap();
        lab
    }

    pub(crate) fn identity(&self) -> DriveIdentity {
        DriveIdentity {
            cluster: self.cluster,
            drive: self.id,
        }
    }

    /// The same drive in another universe.
    pub(crate) fn fork(&self) -> Self {
        Self {
            disk: self.disk.fork(),
            config: self.config.clone(),
            ..*self
        }
    }

    pub(crate) async fn open(&self) -> LocalStore {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let drives = vec![(drive_config(self.id), disk)];
        LocalStore::open_on(self.cluster, drives, self.config.clone())
            .await
            .unwrap()
    }

    pub(crate) async fn put(&self, store: &LocalStore, sample: &Sample) -> Result<(), StoreError> {
        sample.put(store, self.id).await
    }
}

pub(crate) fn drive_config(id: DriveId) -> DriveConfig {
    DriveConfig {
        id,
        path: "/nowhere".into(),
        region: Region::parse("local").unwrap(),
        zone: "zone".to_owned(),
        node: "node".to_owned(),
    }
}

/// The store's only drive.
pub(crate) fn drive(store: &LocalStore) -> Drive {
    store.drives().remove(0)
}

/// A small fragment, to be packed.
pub(crate) fn small(seed: u64) -> Sample {
    Sample::new("1+0/4096", 3000 + seed % 7 * 1500, seed)
}

/// A large fragment, with a file of its own.
pub(crate) fn large(seed: u64) -> Sample {
    Sample::new("1+0/65536", 200_000 + seed % 5 * 1000, seed)
}

/// Runs `work` on a small runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
        .block_on(work)
}

pub(crate) fn assert_state(store: &LocalStore, state: DriveState, reason: &str) {
    let now = drive(store);
    assert_eq!(now.state, state, "{}", now.reason);
    assert!(
        now.reason.contains(reason),
        "`{}` says `{reason}`",
        now.reason
    );
}

pub(crate) fn is_refused<T>(done: &Result<T, StoreError>, wanted: DriveState) -> bool {
    matches!(done, Err(StoreError::Unavailable { state, .. }) if *state == wanted)
}
