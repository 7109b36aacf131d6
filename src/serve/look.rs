//! A stopped store, opened to be looked at: nothing is made, formatted, swept or repaired.
//!
//! What the database itself does when it is opened (bringing in the log that the last process left)
//! is all that changes.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use holdfast_metadata::{Metadata, MetadataConfig};
use holdfast_storage_node::disk::{Disk, LookDisk, RealDisk};
use holdfast_storage_node::{DriveConfig, LocalStore, StoreConfig};
use holdfast_types::{Clock, ClusterId, Region, SystemClock};

use super::data_folder::DataFolder;
use super::first_start::{self, FoundDrive, NODE, ZONE};
use crate::config::DEFAULT_REGION;

/// A store that nobody else has now.
pub(crate) struct LookedAt {
    /// Nobody else may have the folder meanwhile.
    pub(crate) data: DataFolder,
    /// The rows.
    pub(crate) metadata: Metadata,
    /// The drives.
    pub(crate) store: Arc<LocalStore>,
    /// Its region.
    pub(crate) region: Region,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
}

/// Opens the store in a data folder.
pub(crate) async fn open(root: &Path) -> anyhow::Result<LookedAt> {
    let database = root.join("metadata").join("holdfast.db");
    if !database.exists() {
        bail!(
            "there is no store in {}: {} is not there",
            root.display(),
            database.display()
        );
    }
    let data = DataFolder::take(root).with_context(|| {
        format!(
            "a store that is being served is verified by `holdfast admin verify` ({})",
            root.display()
        )
    })?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = MetadataConfig::new(format!("sqlite:{}", data.database().display()));
    let open = async |region: Region| {
        Metadata::open(&config, region, Arc::clone(&clock))
            .await
            .with_context(|| format!("can't open the metadata at {}", config.url))
    };
    let any = Region::parse(DEFAULT_REGION).context("the default region")?;
    let mut metadata = open(any.clone()).await?;
    let (fixed, drives) = first_start::finished(&metadata, &data).await?;
    if fixed.region != any {
        metadata.close().await;
        metadata = open(fixed.region.clone()).await?;
    }
    let store = open_store(fixed.cluster, &fixed.region, &drives).await?;
    Ok(LookedAt {
        data,
        metadata,
        store: Arc::new(store),
        region: fixed.region,
        clock,
    })
}

/// Opens the drives below a data folder, without any metadata. Which regions their fragments are of
/// stands on the fragments.
pub(crate) async fn open_drives(data: &DataFolder) -> anyhow::Result<LocalStore> {
    let Some((cluster, drives)) = first_start::drives_there(data)? else {
        bail!("there is no drive in {}", data.drives().display());
    };
    let region = Region::parse(DEFAULT_REGION).context("the default region")?;
    open_store(cluster, &region, &drives).await
}

async fn open_store(
    cluster: ClusterId,
    region: &Region,
    drives: &[FoundDrive],
) -> anyhow::Result<LocalStore> {
    let disks = drives
        .iter()
        .map(|drive| {
            let config = DriveConfig {
                id: drive.id,
                path: drive.path.clone(),
                region: region.clone(),
                zone: ZONE.to_owned(),
                node: NODE.to_owned(),
            };
            let disk: Arc<dyn Disk> = Arc::new(LookDisk::new(RealDisk::new(&drive.path)));
            (config, disk)
        })
        .collect();
    LocalStore::open_on(cluster, disks, StoreConfig::default())
        .await
        .context("can't open the drives")
}
