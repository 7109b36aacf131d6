//! A drive's identity file: which drive of which cluster this folder is, in which format.
//!
//! It is written once, by an explicit [`format_drive`], and is the last thing that is: a folder
//! without it is no drive, and is never written to. It is text, so that an operator can read it:
//!
//! ```text
//! holdfast-drive
//! version 1
//! cluster 6f0e…
//! drive 93b2…
//! checksum 8d4c…      (CRC-64/NVME of all lines above, in hexadecimal)
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_types::{ClusterId, DriveId};

use crate::checksum;
use crate::counters::Counters;
use crate::disk::{Disk, RealDisk, Volume};
use crate::drive::{FRAGMENTS, SEGMENTS};
use crate::failure::{Context, Failure, Op};
use crate::staged::{PublishError, STAGING, Staged, Tree};

/// The identity file's name.
pub(crate) const IDENTITY: &str = "holdfast-drive";
/// The format that this program writes.
const VERSION: u32 = 1;
/// An identity file is under 200 bytes; whatever is longer is not one.
const MAX_LEN: usize = 4096;
const MAGIC: &str = "holdfast-drive";

/// Who a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveIdentity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The drive.
    pub drive: DriveId,
}

/// Why a folder's identity can't be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no folder: the drive is missing.
    #[error("{place} is not there")]
    NoFolder {
        /// The folder.
        place: String,
    },
    /// There is a folder and no identity file: the drive was wiped, never formatted, or is not
    /// mounted.
    #[error(
        "{place} has no `holdfast-drive` file: the drive is not mounted, was wiped or never formatted"
    )]
    NotFormatted {
        /// The folder.
        place: String,
    },
    /// Written by a newer Holdfast: upgrade this one.
    #[error("{place} has format version {version}; this program reads up to {VERSION}")]
    Newer {
        /// The folder.
        place: String,
        /// The version that was found.
        version: u32,
    },
    /// It is damaged.
    #[error("{place} has a damaged identity file: {what}")]
    Damaged {
        /// The folder.
        place: String,
        /// What does not hold.
        what: &'static str,
    },
    /// The disk failed.
    #[error("{place}: {source}")]
    Io {
        /// The folder.
        place: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why a folder was not formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is a drive already.
    #[error("{} is already drive {} of cluster {}", path.display(), identity.drive, identity.cluster)]
    AlreadyFormatted {
        /// The folder.
        path: PathBuf,
        /// Who it is.
        identity: DriveIdentity,
    },
    /// It has an identity that can't be read, or other files: a person must look.
    #[error("{} is not empty: found `{found}`", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// Something that is there.
        found: String,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Makes the folder at `path` drive `drive` of `cluster`, durably. The folder is made if it is not
/// there; an empty one, or one whose formatting was interrupted, is taken; any other is refused.
///
/// # Errors
/// `AlreadyFormatted`, `NotEmpty`, `Io`.
pub fn format_drive(path: &Path, cluster: ClusterId, drive: DriveId) -> Result<(), FormatError> {
    make_folders(path).map_err(|source| FormatError::Io {
        path: path.to_owned(),
        source,
    })?;
    format_disk(&RealDisk::new(path), DriveIdentity { cluster, drive })
}

/// The same for the folder of any disk, which must be there.
///
/// # Errors
/// `AlreadyFormatted`, `NotEmpty`, `Io`.
pub fn format_disk(disk: &dyn Disk, identity: DriveIdentity) -> Result<(), FormatError> {
    let path = PathBuf::from(disk.place());
    match disk.attach() {
        Ok(volume) => format_volume(volume, &path, identity),
        Err(source) => Err(FormatError::Io { path, source }),
    }
}

/// Reads who the drive at `path` is.
///
/// # Errors
/// See [`IdentityError`].
pub fn read_identity(path: &Path) -> Result<DriveIdentity, IdentityError> {
    let disk = RealDisk::new(path);
    let place = disk.place();
    let volume = attach(&disk, &place)?;
    read_from(&*volume, &place)
}

/// `path` is for messages only.
fn format_volume(
    volume: Arc<dyn Volume>,
    path: &Path,
    identity: DriveIdentity,
) -> Result<(), FormatError> {
    let io = |source| FormatError::Io {
        path: path.to_owned(),
        source,
    };
    let failed = |failure: Failure| io(io::Error::new(failure.kind(), failure));
    refuse_unless_empty(&*volume, path)?;
    let tree = Arc::new(Tree::new(volume, Arc::new(Counters::default())));
    for folder in [STAGING, FRAGMENTS, SEGMENTS] {
        tree.ensure_folder(folder).map_err(failed)?;
    }
    for leftover in tree.volume.list(STAGING).map_err(io)? {
        tree.remove(STAGING, &leftover).map_err(failed)?;
    }
    let staged = Staged::create(&tree, IDENTITY).map_err(failed)?;
    staged
        .write(encode(identity).as_bytes(), 0)
        .map_err(failed)?;
    match staged.publish("", IDENTITY) {
        Ok(_) => Ok(()),
        Err(PublishError::Failed(failure)) => Err(failed(failure)),
        Err(PublishError::Exists) => Err(FormatError::NotEmpty {
            path: path.to_owned(),
            found: IDENTITY.to_owned(),
        }),
    }
}

fn refuse_unless_empty(volume: &dyn Volume, path: &Path) -> Result<(), FormatError> {
    let io = |source| FormatError::Io {
        path: path.to_owned(),
        source,
    };
    let not_empty = |found: String| FormatError::NotEmpty {
        path: path.to_owned(),
        found,
    };
    for name in volume.list("").map_err(io)? {
        match name.as_str() {
            IDENTITY => {
                return Err(match read_from(volume, &path.display().to_string()) {
                    Ok(identity) => FormatError::AlreadyFormatted {
                        path: path.to_owned(),
                        identity,
                    },
                    Err(_) => not_empty(name),
                });
            }
            // Fragments without an identity were somebody's data: never formatted over.
            FRAGMENTS | SEGMENTS => {
                if let Some(found) = volume.list(&name).map_err(io)?.first() {
                    return Err(not_empty(format!("{name}/{found}")));
                }
            }
            STAGING | "lost+found" => {}
            _ => return Err(not_empty(name)),
        }
    }
    Ok(())
}

/// Makes the folder and those above it, each durable in its parent.
fn make_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folders(parent)?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

pub(crate) fn attach(disk: &dyn Disk, place: &str) -> Result<Arc<dyn Volume>, IdentityError> {
    disk.attach().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => IdentityError::NoFolder {
            place: place.to_owned(),
        },
        _ => IdentityError::Io {
            place: place.to_owned(),
            source,
        },
    })
}

pub(crate) fn read_from(volume: &dyn Volume, place: &str) -> Result<DriveIdentity, IdentityError> {
    let bytes = read_file(volume).map_err(|failure| match failure.kind() {
        io::ErrorKind::NotFound => IdentityError::NotFormatted {
            place: place.to_owned(),
        },
        _ => IdentityError::Io {
            place: place.to_owned(),
            source: io::Error::new(failure.kind(), failure),
        },
    })?;
    decode(&bytes).map_err(|bad| match bad {
        Bad::Newer(version) => IdentityError::Newer {
            place: place.to_owned(),
            version,
        },
        Bad::Damaged(what) => IdentityError::Damaged {
            place: place.to_owned(),
            what,
        },
    })
}

fn read_file(volume: &dyn Volume) -> Result<Vec<u8>, Failure> {
    let file = volume.open(IDENTITY).during(Op::Open, IDENTITY)?;
    let mut bytes = vec![0; MAX_LEN + 1];
    let count = file.read_at(&mut bytes, 0).during(Op::Read, IDENTITY)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn encode(identity: DriveIdentity) -> String {
    let body = format!(
        "{MAGIC}\nversion {VERSION}\ncluster {}\ndrive {}\n",
        identity.cluster, identity.drive
    );
    format!("{body}checksum {:016x}\n", checksum::of(body.as_bytes()))
}

#[derive(Debug, PartialEq, Eq)]
enum Bad {
    Newer(u32),
    Damaged(&'static str),
}

fn decode(bytes: &[u8]) -> Result<DriveIdentity, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|_| Bad::Damaged("it is not text"))?;
    // The checksum comes last in every version, so that a damaged number is never "newer".
    let (body, checksum) = text
        .rsplit_once("checksum ")
        .ok_or(Bad::Damaged("it has no checksum"))?;
    if checksum != format!("{:016x}\n", checksum::of(body.as_bytes())) {
        return Err(Bad::Damaged("its checksum does not match"));
    }
    let mut lines = body.lines();
    if lines.next() != Some(MAGIC) {
        return Err(Bad::Damaged("it does not begin with `holdfast-drive`"));
    }
    let version = field(&mut lines, "version ")?;
    match version.parse() {
        Ok(VERSION) => v1::decode(&mut lines),
        Ok(newer) if newer > VERSION => Err(Bad::Newer(newer)),
        _ => Err(Bad::Damaged("its version is no version")),
    }
}

fn field<'t>(lines: &mut std::str::Lines<'t>, name: &str) -> Result<&'t str, Bad> {
    lines
        .next()
        .and_then(|line| line.strip_prefix(name))
        .ok_or(Bad::Damaged("a line is missing or out of order"))
}

mod v1 {
    //! The first format: `cluster` and `drive`, one line each.

    use super::{Bad, DriveIdentity, field};

    pub(super) fn decode(lines: &mut std::str::Lines<'_>) -> Result<DriveIdentity, Bad> {
        let id = |_| Bad::Damaged("an id is no id");
        let cluster = field(lines, "cluster ")?.parse().map_err(id)?;
        let drive = field(lines, "drive ")?.parse().map_err(id)?;
        match lines.next() {
            None => Ok(DriveIdentity { cluster, drive }),
            Some(_) => Err(Bad::Damaged("it has a line too many")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> DriveIdentity {
        DriveIdentity {
            cluster: ClusterId::generate(),
            drive: DriveId::generate(),
        }
    }

    #[test]
    fn an_identity_reads_back_and_each_damaged_byte_is_noticed() {
        let identity = identity();
        let text = encode(identity);
        assert_eq!(decode(text.as_bytes()), Ok(identity));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            assert!(
                matches!(decode(&damaged), Err(Bad::Damaged(_))),
                "byte {at}"
            );
            assert!(decode(&text.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }

    /// What version 1 writes must stay what it is: drives of it are out there.
    #[test]
    fn version_1_is_frozen() {
        let cluster = ClusterId::from_bytes([0xAB; 16]);
        let drive = DriveId::from_bytes([0xCD; 16]);
        let expected = "holdfast-drive\nversion 1\n\
            cluster abababababababababababababababab\n\
            drive cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n\
            checksum 609a47bc4833de04\n";
        assert_eq!(encode(DriveIdentity { cluster, drive }), expected);
    }

    #[test]
    fn a_newer_format_says_so() {
        let body = "holdfast-drive\nversion 2\nsomething new\n";
        let text = format!("{body}checksum {:016x}\n", checksum::of(body.as_bytes()));
        assert_eq!(decode(text.as_bytes()), Err(Bad::Newer(2)));
    }

    #[test]
    fn formatting_is_explicit_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/drive");
        assert!(matches!(
            read_identity(&path),
            Err(IdentityError::NoFolder { .. })
        ));
        let wanted = identity();
        format_drive(&path, wanted.cluster, wanted.drive).unwrap();
        assert_eq!(read_identity(&path).unwrap(), wanted);
        let again = format_drive(&path, wanted.cluster, DriveId::generate());
        assert!(
            matches!(again, Err(FormatError::AlreadyFormatted { identity, .. }) if identity == wanted)
        );
        assert_eq!(read_identity(&path).unwrap(), wanted);
    }

    #[test]
    fn a_folder_with_somebodys_files_is_not_formatted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join(FRAGMENTS)).unwrap();
        std::fs::write(path.join(FRAGMENTS).join("a"), "x").unwrap();
        assert!(matches!(
            read_identity(path),
            Err(IdentityError::NotFormatted { .. })
        ));
        let refused = format_drive(path, ClusterId::generate(), DriveId::generate());
        assert!(
            matches!(refused, Err(FormatError::NotEmpty { found, .. }) if found == "fragments/a")
        );
        std::fs::remove_file(path.join(FRAGMENTS).join("a")).unwrap();
        std::fs::write(path.join("notes.txt"), "x").unwrap();
        let refused = format_drive(path, ClusterId::generate(), DriveId::generate());
        assert!(
            matches!(refused, Err(FormatError::NotEmpty { found, .. }) if found == "notes.txt")
        );
    }
}
