//! Which drives share a file system, so that room is not counted twice and nobody takes six folders
//! on one disk for six disks.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_gateway::admin::view::SpaceView;
use holdfast_types::{Drive, DriveId};

use super::first_start::FoundDrive;

/// The file system of each drive that was there at the start, or was added since.
#[derive(Debug, Default)]
pub(crate) struct FileSystems(Mutex<HashMap<DriveId, u64>>);

impl FileSystems {
    /// Looks once: a drive that moves to another file system is a new start.
    pub(crate) async fn of(drives: &[FoundDrive]) -> Self {
        let drives = drives.to_vec();
        // A disk that hangs must not hang the start: without an answer nothing is shared.
        let looked = tokio::task::spawn_blocking(move || {
            drives
                .into_iter()
                .filter_map(|drive| {
                    let metadata = std::fs::metadata(&drive.path).ok()?;
                    Some((drive.id, metadata.dev()))
                })
                .collect()
        });
        let looked = tokio::time::timeout(PATIENCE, looked).await;
        Self(Mutex::new(
            looked.ok().and_then(Result::ok).unwrap_or_default(),
        ))
    }

    /// One more drive, which was just written to.
    pub(crate) fn add(&self, drive: DriveId, path: &Path) {
        if let Ok(metadata) = std::fs::metadata(path) {
            self.known().insert(drive, metadata.dev());
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<DriveId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// How long a start waits for a disk to say which it is.
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
}
