//! The first start: makes a cluster of an empty folder, so that a crash at any moment leaves what
//! the next start completes or refuses clearly; and every later start, which makes nothing.
//!
//! The order, each step durable before the next:
//! 1. one setting in the metadata fixes cluster, region, layout and number of drives;
//! 2. the folders without an identity are formatted as drives of that cluster;
//! 3. all drives are recorded in the metadata, in one transaction.
//!
//! Only step 3 ends the first start. Until then nobody was told that anything is stored, so an empty
//! folder may be formatted. From then on nothing is ever formatted: an empty folder is a missing
//! drive. Drives with a database that does not know their cluster are refused before anything is
//! written: someone lost the database, and a new one would make their data unreadable for good.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use holdfast_metadata::Metadata;
use holdfast_metadata::model::Policy;
use holdfast_storage_node::{DriveIdentity, IdentityError, format_drive, read_identity};
use holdfast_types::{
    ClusterId, Drive, DriveId, DriveState, FailureDomain, Layout, Region, SizeRule,
};
use serde::{Deserialize, Serialize};

use super::data_folder::DataFolder;
use super::settings::Asked;
use crate::config::{DEFAULT_DRIVES, DEFAULT_REGION, check_drives, default_layout};

/// What is fixed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fixed {
    pub(crate) cluster: ClusterId,
    pub(crate) region: Region,
    #[serde(with = "layout_text")]
    pub(crate) layout: Layout,
    pub(crate) drives: u16,
}

/// A drive, and the folder that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundDrive {
    pub(crate) id: DriveId,
    pub(crate) path: PathBuf,
}

/// The setting's key in the metadata.
pub(crate) const SETTING: &str = "cluster";

/// The policy of buckets that name none.
pub(crate) const DEFAULT_POLICY: &str = holdfast_gateway::admin::DEFAULT_POLICY;

/// All drives of `serve` are in one node in one zone.
pub(crate) const NODE: &str = "local";
/// See [`NODE`].
pub(crate) const ZONE: &str = "local";

/// What would be fixed if this were a first start; refuses what can't be, before anything is made.
pub(crate) fn plan(asked: &Asked) -> anyhow::Result<Fixed> {
    let layout = asked.layout.unwrap_or(default_layout());
    let drives = asked.drives.unwrap_or(DEFAULT_DRIVES);
    check_drives(drives, layout).map_err(anyhow::Error::msg)?;
    let region = match &asked.region {
        Some(region) => region.clone(),
        None => Region::parse(DEFAULT_REGION).context("the default region")?,
    };
    Ok(Fixed {
        cluster: ClusterId::generate(),
        region,
        layout,
        drives,
    })
}

/// Refuses a data folder that has drives but no database. To be called before the database is
/// opened, which would make an empty one.
pub(crate) fn refuse_lost_database(data: &DataFolder) -> anyhow::Result<()> {
    if data.database().exists() {
        return Ok(());
    }
    match identities(data)?.into_iter().next() {
        None => Ok(()),
        Some((path, identity)) => Err(lost_database(data, &path, identity)),
    }
}

fn lost_database(data: &DataFolder, path: &Path, identity: DriveIdentity) -> anyhow::Error {
    anyhow::anyhow!(
        "{} is a drive of cluster {}, and {} knows no such cluster: without its database what is \
         on the drives can't be read. Put the database back, or restore a backup (`holdfast admin \
         metadata recover-backup` lists those that lie on the drives), or use another --data folder",
        path.display(),
        identity.cluster,
        data.database().display()
    )
}

/// Fixes the settings, or takes those that were fixed before; refuses to be asked for others.
pub(crate) async fn settle(
    metadata: &Metadata,
    data: &DataFolder,
    asked: &Asked,
) -> anyhow::Result<Fixed> {
    let fixed = match metadata.setting(SETTING).await? {
        Some(text) => text,
        None => {
            if let Some((path, identity)) = identities(data)?.into_iter().next() {
                return Err(lost_database(data, &path, identity));
            }
            let text = serde_json::to_string(&plan(asked)?)?;
            metadata.fix_setting(SETTING, &text).await?
        }
    };
    let fixed: Fixed = serde_json::from_str(&fixed)
        .with_context(|| format!("the setting `{SETTING}` in the metadata can't be read"))?;
    refuse_changes(&fixed, asked, data.root())?;
    Ok(fixed)
}

fn refuse_changes(fixed: &Fixed, asked: &Asked, root: &Path) -> anyhow::Result<()> {
    let refuse = |what: &str, fixed: String, asked: String| {
        anyhow::anyhow!(
            "{} was set up with {what} {fixed}, which is fixed at first start, and {asked} was \
             asked for: leave it out, or use another --data folder",
            root.display()
        )
    };
    match asked {
        Asked {
            layout: Some(layout),
            ..
        } if *layout != fixed.layout => Err(refuse(
            "layout",
            fixed.layout.to_string(),
            layout.to_string(),
        )),
        Asked {
            drives: Some(drives),
            ..
        } if *drives != fixed.drives => Err(refuse(
            "drives",
            fixed.drives.to_string(),
            drives.to_string(),
        )),
        Asked {
            region: Some(region),
            ..
        } if *region != fixed.region => Err(refuse(
            "region",
            fixed.region.to_string(),
            region.to_string(),
        )),
        _ => Ok(()),
    }
}

/// The drives of this cluster: formats and records them if the first start was not finished, else
/// finds them, wherever below DATA/drives each is now.
pub(crate) async fn drives(
    metadata: &Metadata,
    data: &DataFolder,
    fixed: &Fixed,
) -> anyhow::Result<Vec<FoundDrive>> {
    let known = metadata.drives().await?;
    if !known.is_empty() {
        return find(data, fixed.cluster, &known);
    }
    let made = (1..=fixed.drives)
        .map(|number| form(&data.drive(number), fixed.cluster))
        .collect::<anyhow::Result<Vec<FoundDrive>>>()?;
    refuse_twins(&made)?;
    record(metadata, fixed, &made).await?;
    Ok(made)
}

/// The settings and drives of a store whose first start was finished. Makes nothing.
pub(crate) async fn finished(
    metadata: &Metadata,
    data: &DataFolder,
) -> anyhow::Result<(Fixed, Vec<FoundDrive>)> {
    let known = metadata.drives().await?;
    let (Some(text), false) = (metadata.setting(SETTING).await?, known.is_empty()) else {
        bail!(
            "the first start of the store in {} was never finished: nothing is stored",
            data.root().display()
        );
    };
    let fixed: Fixed = serde_json::from_str(&text)
        .with_context(|| format!("the setting `{SETTING}` in the metadata can't be read"))?;
    let drives = find(data, fixed.cluster, &known)?;
    Ok((fixed, drives))
}

/// Records the policy that buckets follow unless they name another.
pub(crate) async fn default_policy(metadata: &Metadata, fixed: &Fixed) -> anyhow::Result<()> {
    if metadata.policy(DEFAULT_POLICY).await?.is_some() {
        return Ok(());
    }
    let policy = Policy {
        name: DEFAULT_POLICY.to_owned(),
        rule: SizeRule::new(fixed.layout),
        protect: FailureDomain::Drive,
        generation: 1,
        rules: Vec::new(),
        quorum: None,
    };
    metadata.put_policy(policy).await?;
    Ok(())
}

/// Makes a drive of a folder, or takes the one that an earlier, unfinished start made of it.
fn form(path: &Path, cluster: ClusterId) -> anyhow::Result<FoundDrive> {
    let found = |id| FoundDrive {
        id,
        path: path.to_owned(),
    };
    match read_identity(path) {
        Ok(identity) if identity.cluster == cluster => Ok(found(identity.drive)),
        Ok(identity) => bail!(
            "{} is a drive of another cluster, {}: remove it from there, or use another --data \
             folder",
            path.display(),
            identity.cluster
        ),
        Err(IdentityError::NoFolder { .. } | IdentityError::NotFormatted { .. }) => {
            let id = DriveId::generate();
            format_drive(path, cluster, id)
                .with_context(|| format!("can't make a drive of {}", path.display()))?;
            Ok(found(id))
        }
        Err(error) => {
            Err(error).with_context(|| format!("can't make a drive of {}", path.display()))
        }
    }
}

async fn record(metadata: &Metadata, fixed: &Fixed, made: &[FoundDrive]) -> anyhow::Result<()> {
    let rows = made
        .iter()
        .map(|drive| Drive {
            id: drive.id,
            region: fixed.region.clone(),
            zone: ZONE.to_owned(),
            node: NODE.to_owned(),
            state: DriveState::Online,
            reason: String::new(),
            path: drive.path.display().to_string(),
            capacity_bytes: 0,
            free_bytes: 0,
        })
        .collect();
    metadata.upsert_drives(rows).await?;
    Ok(())
}

/// Finds known drives by their identity. One that is nowhere keeps its last folder if no other
/// drive is there now, so that its state says what is wrong with that folder.
fn find(data: &DataFolder, cluster: ClusterId, known: &[Drive]) -> anyhow::Result<Vec<FoundDrive>> {
    let mut folders: HashMap<DriveId, Vec<PathBuf>> = HashMap::new();
    let mut said = identities(data)?;
    // A drive that was added later may be anywhere, and two of them may have changed places.
    for path in known.iter().map(|drive| PathBuf::from(&drive.path)) {
        if let Ok(identity) = read_identity(&path) {
            said.insert(path, identity);
        }
    }
    for (path, identity) in said {
        if identity.cluster == cluster {
            folders.entry(identity.drive).or_default().push(path);
        }
    }
    for (id, paths) in &folders {
        if !known.iter().any(|drive| drive.id == *id) {
            tracing::warn!(
                "{} is drive {id} of this cluster, which the metadata does not know: it is not used",
                paths[0].display()
            );
        }
    }
    let taken: Vec<PathBuf> = folders.values().flatten().cloned().collect();
    known
        .iter()
        .map(|drive| {
            let last = PathBuf::from(&drive.path);
            let path = match folders.remove(&drive.id) {
                Some(paths) => choose(drive.id, paths, &last)?,
                None if taken.contains(&last) => data.drives().join(drive.id.to_string()),
                None => last,
            };
            Ok(FoundDrive { id: drive.id, path })
        })
        .collect()
}

/// Of several folders that all say they are one drive, the one where it was last time.
fn choose(id: DriveId, mut paths: Vec<PathBuf>, last: &Path) -> anyhow::Result<PathBuf> {
    if paths.len() == 1 {
        return Ok(paths.remove(0));
    }
    if let Some(at) = paths.iter().position(|path| path == last) {
        let path = paths.remove(at);
        for copy in paths {
            tracing::warn!(
                "{} says it is drive {id}, which is at {}: a copy, and not used",
                copy.display(),
                path.display()
            );
        }
        return Ok(path);
    }
    bail!(
        "{} and {} both say they are drive {id}: remove the one that is the copy",
        paths[0].display(),
        paths[1].display()
    )
}

fn refuse_twins(drives: &[FoundDrive]) -> anyhow::Result<()> {
    let mut seen: HashMap<DriveId, &Path> = HashMap::new();
    for drive in drives {
        if let Some(twin) = seen.insert(drive.id, &drive.path) {
            bail!(
                "{} and {} both say they are drive {}: remove the one that is the copy",
                twin.display(),
                drive.path.display(),
                drive.id
            );
        }
    }
    Ok(())
}

/// Every folder below DATA/drives that says which drive it is, by path. One that can't say is left
/// to the drive's state.
fn identities(data: &DataFolder) -> anyhow::Result<BTreeMap<PathBuf, DriveIdentity>> {
    let folder = data.drives();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("can't read {}", folder.display()));
        }
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("can't read {}", folder.display()))?
            .path();
        if let Ok(identity) = read_identity(&path) {
            found.insert(path, identity);
        }
    }
    Ok(found)
}

/// The drives below a data folder, and the cluster that they are of; `None` where there are none.
pub(crate) fn drives_there(
    data: &DataFolder,
) -> anyhow::Result<Option<(ClusterId, Vec<FoundDrive>)>> {
    let found = identities(data)?;
    let Some(cluster) = found.values().next().map(|identity| identity.cluster) else {
        return Ok(None);
    };
    let mut drives: BTreeMap<DriveId, PathBuf> = BTreeMap::new();
    for (path, identity) in found {
        if identity.cluster != cluster {
            bail!(
                "{} is a drive of cluster {}, and others are of cluster {cluster}",
                path.display(),
                identity.cluster
            );
        }
        // Of several that say they are one drive none is read twice.
        drives.entry(identity.drive).or_insert(path);
    }
    let drives = drives.into_iter();
    let drives = drives.map(|(id, path)| FoundDrive { id, path }).collect();
    Ok(Some((cluster, drives)))
}

/// The cluster that the drives of a data folder are of, where there are some.
pub(crate) fn cluster_of(data: &DataFolder) -> anyhow::Result<Option<ClusterId>> {
    let mut found = identities(data)?.into_values();
    Ok(found.next().map(|identity| identity.cluster))
}

mod layout_text {
    //! A layout as people write it.

    use holdfast_types::Layout;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        layout: &Layout,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(layout)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Layout, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
