//! Looks after the drives every second: has each look at itself, says what changed, tells the
//! metadata, and learns which file systems they are on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::Metadata;
use holdfast_storage_node::LocalStore;
use holdfast_types::{Drive, DriveId, DriveState, FragmentStore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::file_systems::FileSystems;
use super::whereabouts::Whereabouts;

/// The task that looks.
pub(crate) struct DriveWatch {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl DriveWatch {
    /// Looks once, so that what is wrong at the start is said, and then every second.
    pub(crate) async fn start(
        store: Arc<LocalStore>,
        metadata: Metadata,
        whereabouts: Whereabouts,
        file_systems: Arc<FileSystems>,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let mut seen = Seen::default();
        look(&store, &metadata, &file_systems, &mut seen).await;
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    () = tokio::time::sleep(EVERY) => {}
                }
                follow(&store, &whereabouts).await;
                look(&store, &metadata, &file_systems, &mut seen).await;
            }
        });
        Self { task, stop }
    }

    /// Stops looking.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_DEADLINE, self.task)
            .await
            .is_err()
        {
            tracing::warn!("a drive hangs: stopped without waiting for it");
        }
    }
}

/// Follows drives that can't be read to the folders where they are now.
async fn follow(store: &Arc<LocalStore>, whereabouts: &Whereabouts) {
    let drives = store.drives();
    if drives.iter().all(|drive| drive.state.readable()) {
        return;
    }
    let whereabouts = whereabouts.clone();
    let looking = tokio::task::spawn_blocking(move || whereabouts.moved(&drives));
    // A disk that hangs holds up only the search.
    let Ok(Ok(moved)) = tokio::time::timeout(SEARCH_PATIENCE, looking).await else {
        return;
    };
    for (drive, path) in moved {
        if store.move_to(drive, &path) {
            tracing::warn!(%drive, path = %path.display(), "drive was found in another folder");
        }
    }
}

async fn look(
    store: &Arc<LocalStore>,
    metadata: &Metadata,
    file_systems: &FileSystems,
    seen: &mut Seen,
) {
    store.refresh().await;
    let drives = store.drives();
    file_systems.learn(&drives).await;
    for change in seen.changes(&drives) {
        change.log();
    }
    if seen.is_told(&drives) {
        return;
    }
    match metadata.upsert_drives(drives.clone()).await {
        Ok(()) => seen.told(&drives),
        Err(error) => {
            tracing::debug!("the metadata was not told of the drives and will be: {error}");
        }
    }
}

/// What was seen last, and what the metadata was told last.
#[derive(Debug, Default)]
struct Seen {
    states: HashMap<DriveId, (DriveState, String)>,
    told: HashMap<DriveId, Drive>,
}

/// A drive that is not as it was.
#[derive(Debug, PartialEq, Eq)]
struct Changed {
    drive: Drive,
    before: Option<DriveState>,
}

impl Changed {
    fn log(&self) {
        let Drive {
            id,
            path,
            state,
            reason,
            ..
        } = &self.drive;
        match (self.before, state) {
            (Some(before), DriveState::Online) => {
                tracing::info!(drive = %id, path, "drive is online again; it was {before}");
            }
            (Some(before), _) => {
                tracing::warn!(drive = %id, path, "drive is {state}, it was {before}: {reason}");
            }
            (None, _) => tracing::warn!(drive = %id, path, "drive is {state}: {reason}"),
        }
    }
}

impl Seen {
    /// Drives whose state is another than last time; at the first look those that are not online.
    fn changes(&mut self, drives: &[Drive]) -> Vec<Changed> {
        let mut changes = Vec::new();
        for drive in drives {
            let now = (drive.state, drive.reason.clone());
            let before = self.states.insert(drive.id, now);
            let before = before.map(|(state, _)| state);
            if before.unwrap_or(DriveState::Online) != drive.state {
                changes.push(Changed {
                    drive: drive.clone(),
                    before,
                });
            }
        }
        changes
    }

    /// Whether the metadata's rows are near enough: the same but for free space, and that within
    /// a part of the capacity.
    fn is_told(&self, drives: &[Drive]) -> bool {
        drives.len() == self.told.len()
            && drives.iter().all(|drive| {
                self.told
                    .get(&drive.id)
                    .is_some_and(|told| is_near(told, drive))
            })
    }

    fn told(&mut self, drives: &[Drive]) {
        self.told = drives
            .iter()
            .map(|drive| (drive.id, drive.clone()))
            .collect();
    }
}

fn is_near(told: &Drive, drive: &Drive) -> bool {
    let with_free_of = Drive {
        free_bytes: told.free_bytes,
        ..drive.clone()
    };
    *told == with_free_of
        && told.free_bytes.abs_diff(drive.free_bytes) <= drive.capacity_bytes / FREE_SPACE_PARTS
}

/// How often drives are looked at: a pulled drive is a state within a second.
const EVERY: Duration = Duration::from_secs(1);
/// The metadata is told of free space in steps of this part of the capacity.
const FREE_SPACE_PARTS: u64 = 100;
/// How long one search through the folders may take.
const SEARCH_PATIENCE: Duration = Duration::from_secs(2);
/// A look may hang with a drive.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use holdfast_types::Region;

    use super::*;

    fn drive(state: DriveState, free_bytes: u64) -> Drive {
        Drive {
            id: DriveId::from_bytes([7; 16]),
            region: Region::parse("us-east-1").unwrap(),
            zone: "local".to_owned(),
            node: "local".to_owned(),
            state,
            reason: "why".to_owned(),
            path: "drives/01".to_owned(),
            capacity_bytes: 1000,
            free_bytes,
        }
    }

    #[test]
    fn a_change_of_state_is_said_once() {
        let mut seen = Seen::default();
        let online = drive(DriveState::Online, 500);
        let missing = drive(DriveState::Missing, 0);
        assert_eq!(seen.changes(std::slice::from_ref(&online)), []);
        let gone = Changed {
            drive: missing.clone(),
            before: Some(DriveState::Online),
        };
        assert_eq!(seen.changes(std::slice::from_ref(&missing)), [gone]);
        assert_eq!(seen.changes(std::slice::from_ref(&missing)), []);
        let back = Changed {
            drive: online.clone(),
            before: Some(DriveState::Missing),
        };
        assert_eq!(seen.changes(&[online]), [back]);
    }

    #[test]
    fn what_is_wrong_at_the_start_is_said() {
        let mut seen = Seen::default();
        let missing = drive(DriveState::Missing, 0);
        let gone = Changed {
            drive: missing.clone(),
            before: None,
        };
        assert_eq!(seen.changes(&[missing]), [gone]);
    }

    #[test]
    fn the_metadata_is_told_of_states_at_once_and_of_space_in_steps() {
        let mut seen = Seen::default();
        let first = [drive(DriveState::Online, 500)];
        assert!(!seen.is_told(&first));
        seen.told(&first);
        assert!(seen.is_told(&first));
        assert!(seen.is_told(&[drive(DriveState::Online, 495)]));
        assert!(!seen.is_told(&[drive(DriveState::Online, 480)]));
        assert!(!seen.is_told(&[drive(DriveState::ReadOnly, 500)]));
    }
}
