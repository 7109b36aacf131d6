//! Finds drives by what they say of themselves: a drive that is not in its folder may be in another
//! one, because two were mounted in each other's place, or one was mounted elsewhere.
//!
//! Looked through are the numbered folders below DATA/drives (`DATA/drives/07`) and those where drives
//! are or were last. A folder of another name there is one that somebody put aside.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use holdfast_storage_node::read_identity;
use holdfast_types::{ClusterId, Drive, DriveId};

/// Where drives are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Whereabouts {
    cluster: ClusterId,
    folder: PathBuf,
}

impl Whereabouts {
    /// Drives of `cluster`, below `folder` and wherever they were.
    pub(crate) fn new(cluster: ClusterId, folder: PathBuf) -> Self {
        Self { cluster, folder }
    }

    /// Which of the drives that can't be read are in another folder than where they are looked for,
    /// and in which. One that is in two folders at once is in none. Blocks on the disks.
    pub(crate) fn moved(&self, drives: &[Drive]) -> Vec<(DriveId, PathBuf)> {
        let away: HashMap<DriveId, &Path> = drives
            .iter()
            .filter(|drive| !drive.state.readable())
            .map(|drive| (drive.id, Path::new(&drive.path)))
            .collect();
        if away.is_empty() {
            return Vec::new();
        }
        let mut found: HashMap<DriveId, Vec<PathBuf>> = HashMap::new();
        for folder in self.folders(drives) {
            if let Ok(identity) = read_identity(&folder)
                && identity.cluster == self.cluster
                && away.contains_key(&identity.drive)
            {
                found.entry(identity.drive).or_default().push(folder);
            }
        }
        found
            .into_iter()
            .filter_map(|(drive, mut folders)| {
                let folder = folders.pop()?;
                let is_alone = folders.is_empty();
                (is_alone && away.get(&drive) != Some(&folder.as_path())).then_some((drive, folder))
            })
            .collect()
    }

    fn folders(&self, drives: &[Drive]) -> BTreeSet<PathBuf> {
        let mut folders: BTreeSet<PathBuf> =
            drives.iter().map(|drive| (&drive.path).into()).collect();
        // A folder that can't be listed has no drives that can be found.
        if let Ok(entries) = std::fs::read_dir(&self.folder) {
            let paths = entries.flatten().map(|entry| entry.path());
            folders.extend(paths.filter(|path| is_numbered(path)));
        }
        folders
    }
}

fn is_numbered(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use holdfast_storage_node::format_drive;
    use holdfast_types::{DriveState, Region};

    use super::*;

    fn drive(id: DriveId, path: &Path, state: DriveState) -> Drive {
        Drive {
            id,
            region: Region::parse("here").unwrap(),
            zone: String::new(),
            node: String::new(),
            state,
            reason: String::new(),
            path: path.display().to_string(),
            capacity_bytes: 0,
            free_bytes: 0,
        }
    }

    #[test]
    fn a_drive_is_found_in_a_numbered_folder_or_in_anothers_and_not_aside() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let cluster = ClusterId::generate();
        let ids = [DriveId::generate(), DriveId::generate()];
        for (id, name) in ids.iter().zip(["01", "02"]) {
            format_drive(&at(name), cluster, *id).unwrap();
        }
        let both = |state| {
            vec![
                drive(ids[0], &at("01"), state),
                drive(ids[1], &at("02"), state),
            ]
        };
        let whereabouts = Whereabouts::new(cluster, folder.path().to_owned());
        assert!(whereabouts.moved(&both(DriveState::Online)).is_empty());
        assert!(
            whereabouts.moved(&both(DriveState::Missing)).is_empty(),
            "they are in place"
        );

        fs::rename(at("01"), at("aside")).unwrap();
        assert!(whereabouts.moved(&both(DriveState::Missing)).is_empty());
        fs::rename(at("02"), at("01")).unwrap();
        fs::rename(at("aside"), at("02")).unwrap();
        let mut moved = whereabouts.moved(&both(DriveState::Faulty));
        moved.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(moved, [(ids[1], at("01")), (ids[0], at("02"))]);
        fs::rename(at("02"), at("07")).unwrap();
        let away = vec![drive(ids[0], &at("02"), DriveState::Missing)];
        assert_eq!(whereabouts.moved(&away), [(ids[0], at("07"))]);
    }
}
