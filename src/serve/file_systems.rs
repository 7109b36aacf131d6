//! Which drives share a file system, so that room is not counted twice and nobody takes six folders
//! on one disk for six disks.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_gateway::admin::view::SpaceView;
use holdfast_types::{Drive, DriveId};

use super::first_start::FoundDrive;

/// The file system of each drive: of one that is away, the last that is known.
#[derive(Debug, Default)]
pub(crate) struct FileSystems(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<HashMap<DriveId, u64>>,
    /// Somebody looks: a disk that hangs costs one thread and not one a second.
    looking: AtomicBool,
}

impl FileSystems {
    /// Looks at the drives that there are at the start.
    pub(crate) async fn of(drives: &[FoundDrive]) -> Self {
        let file_systems = Self::default();
        let places = drives.iter().map(|drive| (drive.id, drive.path.clone()));
        file_systems.look(places.collect()).await;
        file_systems
    }

    /// Looks at drives that can be read and that nothing is known of: they came since the start. One
    /// that was away is looked at anew, because it may have come back on another file system.
    pub(crate) async fn learn(&self, drives: &[Drive]) {
        let new: Vec<(DriveId, PathBuf)> = {
            let mut known = self.known();
            for drive in drives.iter().filter(|drive| !drive.state.readable()) {
                known.remove(&drive.id);
            }
            let is_new = |drive: &&Drive| drive.state.readable() && !known.contains_key(&drive.id);
            let new = drives.iter().filter(is_new);
            new.map(|drive| (drive.id, PathBuf::from(&drive.path)))
                .collect()
        };
        if !new.is_empty() {
            self.look(new).await;
        }
    }

    /// A disk that hangs holds up nobody for long: without an answer nothing is shared.
    async fn look(&self, places: Vec<(DriveId, PathBuf)>) {
        if self.0.looking.swap(true, Ordering::SeqCst) {
            return;
        }
        let inner = Arc::clone(&self.0);
        let looked = tokio::task::spawn_blocking(move || {
            for (drive, path) in places {
                if let Ok(metadata) = std::fs::metadata(&path) {
                    inner.lock().insert(drive, metadata.dev());
                }
            }
            inner.looking.store(false, Ordering::SeqCst);
        });
        let _late = tokio::time::timeout(PATIENCE, looked).await;
    }

    /// One more drive, which was just written to.
    pub(crate) fn add(&self, drive: DriveId, path: &Path) {
        if let Ok(metadata) = std::fs::metadata(path) {
            self.known().insert(drive, metadata.dev());
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<DriveId, u64>> {
        self.0.lock()
    }

    /// Whether two drives are on one file system.
    pub(crate) fn are_shared(&self) -> bool {
        let known = self.known();
        let distinct: HashSet<&u64> = known.values().collect();
        distinct.len() < known.len()
    }

    /// The room on all readable drives, each file system counted once.
    pub(crate) fn space(&self, drives: &[Drive]) -> SpaceView {
        let mut space = SpaceView {
            capacity_bytes: 0,
            free_bytes: 0,
        };
        let known = self.known();
        let mut counted = HashSet::new();
        for drive in drives.iter().filter(|drive| drive.state.readable()) {
            let is_new = match known.get(&drive.id) {
                Some(file_system) => counted.insert(*file_system),
                None => true,
            };
            if is_new {
                space.capacity_bytes += drive.capacity_bytes;
                space.free_bytes += drive.free_bytes;
            }
        }
        space
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<DriveId, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long one look waits for a disk to say which it is.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use holdfast_types::{DriveState, Region};

    use super::*;

    fn drive(number: u8, state: DriveState) -> Drive {
        Drive {
            id: DriveId::from_bytes([number; 16]),
            region: Region::parse("us-east-1").unwrap(),
            zone: "local".to_owned(),
            node: "local".to_owned(),
            state,
            reason: String::new(),
            path: String::new(),
            capacity_bytes: 100,
            free_bytes: 40,
        }
    }

    #[tokio::test]
    async fn folders_beside_each_other_share() {
        let folder = tempfile::tempdir().unwrap();
        let found = |number: u8, name: &str| FoundDrive {
            id: DriveId::from_bytes([number; 16]),
            path: folder.path().join(name),
        };
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let shared = FileSystems::of(&[found(1, "a"), found(2, "b"), found(3, "absent")]).await;
        assert!(shared.are_shared());
        assert!(!FileSystems::of(&[found(1, "a")]).await.are_shared());
        let drives = [
            drive(1, DriveState::Online),
            drive(2, DriveState::ReadOnly),
            drive(3, DriveState::Online),
            drive(4, DriveState::Missing),
        ];
        let twice = SpaceView {
            capacity_bytes: 200,
            free_bytes: 80,
        };
        assert_eq!(
            shared.space(&drives),
            twice,
            "the shared one, and the one that is not known"
        );
    }

    #[tokio::test]
    async fn a_drive_that_comes_back_is_not_counted_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let at = |number: u8, name: &str, state| Drive {
            path: path(name).display().to_string(),
            ..drive(number, state)
        };
        let once = SpaceView {
            capacity_bytes: 100,
            free_bytes: 40,
        };
        std::fs::create_dir(path("a")).unwrap();
        let found = [(1, "a"), (2, "b")].map(|(number, name)| FoundDrive {
            id: DriveId::from_bytes([number; 16]),
            path: path(name),
        });
        let file_systems = FileSystems::of(&found).await;
        let before = [
            at(1, "a", DriveState::Online),
            at(2, "b", DriveState::Missing),
        ];
        file_systems.learn(&before).await;
        assert_eq!(file_systems.space(&before), once);
        assert!(!file_systems.are_shared());

        std::fs::create_dir(path("b")).unwrap();
        let back = [
            at(1, "a", DriveState::Online),
            at(2, "b", DriveState::ReadOnly),
        ];
        file_systems.learn(&back).await;
        assert_eq!(file_systems.space(&back), once);
        assert!(file_systems.are_shared());

        // Away again, and back on a file system of its own: /proc is one.
        file_systems.learn(&before).await;
        let elsewhere = Drive {
            path: "/proc".to_owned(),
            ..drive(2, DriveState::Online)
        };
        let apart = [at(1, "a", DriveState::Online), elsewhere];
        file_systems.learn(&apart).await;
        assert!(!file_systems.are_shared());
        assert_eq!(file_systems.space(&apart).capacity_bytes, 200);
    }
}
