//! Opening a drive: is it there, is it ours, what is on it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{ClusterId, DriveState, FragmentId};

use super::health::Health;
use super::index::{Index, Slot};
use super::log::Log;
use super::scan::{self, Segment, Unusable};
use super::{Core, FRAGMENTS, LocalDrive, Running, SEGMENTS, large};
use crate::disk::{Disk, Volume};
use crate::failure::{Context, Failure, Op};
use crate::identity::{self, DriveIdentity, IDENTITY, IdentityError};
use crate::staged::{STAGING, Tree};
use crate::store::DriveConfig;

/// Why a drive can't be used now.
pub(super) struct Absent {
    pub(super) state: DriveState,
    pub(super) reason: String,
    /// Whether finding out took a scan of the drive: then it is not tried again every second.
    pub(super) scanned: bool,
}

impl Absent {
    fn faulty(reason: impl ToString) -> Self {
        let (state, reason) = (DriveState::Faulty, reason.to_string());
        Self {
            state,
            reason,
            scanned: false,
        }
    }
}

impl From<IdentityError> for Absent {
    fn from(error: IdentityError) -> Self {
        let state = match error {
            IdentityError::NoFolder { .. } | IdentityError::NotFormatted { .. } => {
                DriveState::Missing
            }
            _ => DriveState::Faulty,
        };
        Self {
            state,
            reason: error.to_string(),
            scanned: false,
        }
    }
}

/// Opens the drive and rebuilds its index. Blocks on the disk.
pub(super) fn open(
    disk: &dyn Disk,
    cluster: ClusterId,
    config: &DriveConfig,
    drive: &LocalDrive,
) -> Result<Running, Absent> {
    let place = disk.place();
    let volume = identity::attach(disk, &place)?;
    check_identity(
        &*volume,
        &place,
        DriveIdentity {
            cluster,
            drive: config.id,
        },
    )?;
    let lock = volume.lock(IDENTITY).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            Absent::faulty(format!("{place} is in use by another process"))
        }
        _ => Absent::faulty(format!(
            "{place}: its identity file can't be locked: {error}"
        )),
    })?;
    let stamp = volume
        .stamp(IDENTITY)
        .map_err(|error| Absent::faulty(format!("{place}: its identity file: {error}")))?;
    let tree = Arc::new(Tree::new(volume, Arc::clone(&drive.counters)));
    let (index, segments) = rebuild(&tree, &drive.health, config).map_err(|unusable| {
        let reason = match unusable {
            Unusable::Failed(failure) => {
                drive.health.note(&failure, &drive.counters);
                format!("{place} can't be read: {failure}")
            }
            Unusable::Newer { name, version } => format!(
                "{place}: segment {name} has format version {version}, which is newer than this \
                 program"
            ),
        };
        Absent {
            scanned: true,
            ..Absent::faulty(reason)
        }
    })?;
    let core = Arc::new(Core {
        id: config.id,
        tree,
        index: Arc::new(index),
        health: Arc::clone(&drive.health),
        counters: Arc::clone(&drive.counters),
        config: drive.store.clone(),
        stamp,
        free_bytes: AtomicU64::new(0),
        retired: RwLock::new(false),
        lock: Mutex::new(Some(lock)),
        removals: Default::default(),
    });
    let log = Log::start(Arc::clone(&core), segments)
        .map_err(|error| Absent::faulty(format!("{place}: no thread for its log: {error}")))?;
    Ok(Running { core, log })
}

fn check_identity(volume: &dyn Volume, place: &str, expected: DriveIdentity) -> Result<(), Absent> {
    let found = identity::read_from(volume, place)?;
    if found == expected || mutant::active(Mutant::SkipIdentity) {
        return Ok(());
    }
    let whose = if found.cluster == expected.cluster {
        format!("is drive {}, not {}", found.drive, expected.drive)
    } else {
        format!(
            "is a drive of cluster {}, not of {}",
            found.cluster, expected.cluster
        )
    };
    Err(Absent::faulty(format!("foreign: {place} {whose}")))
}

/// Sweeps what was never published, makes what was published durable, and reads what there is.
fn rebuild(
    tree: &Tree,
    health: &Health,
    config: &DriveConfig,
) -> Result<(Index, BTreeMap<u64, Segment>), Unusable> {
    let tidied = tidy(tree);
    if let Err(failure) = tidied {
        // A drive that can't be written can still be read.
        health.note(&failure, &tree.counters);
    }
    let index = Index::default();
    let mut strange = 0_u64;
    for folder in list(tree, FRAGMENTS).map_err(Unusable::Failed)? {
        let folder = format!("{FRAGMENTS}/{folder}");
        for name in list(tree, &folder).map_err(Unusable::Failed)? {
            match name.parse::<FragmentId>() {
                Ok(id) if large::folder(&id) == folder => index.insert(id, Slot::File),
                _ => strange += 1,
            }
        }
    }
    let scanned = scan::scan(tree, health, config.id)?;
    tree.counters.bad_records.set(scanned.damaged);
    for (id, packed) in scanned.live {
        if index.get(&id).is_some() {
            strange += 1;
        } else {
            index.insert(id, Slot::Packed(packed));
        }
    }
    if strange > 0 {
        tracing::warn!(drive = %config.id, strange, "files that are no fragments were left alone");
    }
    Ok((index, scanned.segments))
}

/// A folder's names; a folder that is not there (and could not be made) is empty.
fn list(tree: &Tree, folder: &str) -> Result<Vec<String>, Failure> {
    match tree.volume.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        // A file among the folders is nothing of ours.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        other => other.during(Op::List, folder),
    }
}

fn tidy(tree: &Tree) -> Result<(), Failure> {
    for folder in [STAGING, FRAGMENTS, SEGMENTS] {
        tree.ensure_folder(folder)?;
    }
    for leftover in list(tree, STAGING)? {
        let path = format!("{STAGING}/{leftover}");
        tree.volume.unlink(&path).during(Op::Unlink, &path)?;
    }
    // The last process may have been killed between a rename or removal and the folder's sync:
    // what is seen from now on must also be what a power cut leaves.
    for folder in list(tree, FRAGMENTS)? {
        tree.sync_folder(&format!("{FRAGMENTS}/{folder}"))?;
    }
    tree.sync_folder(SEGMENTS)
}
