//! The background work of this process: which workers there are, and what others hold of them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_erasure::Blobs;
use holdfast_metadata::Metadata;
use holdfast_metadata::drives::DriveDuty;
use holdfast_replication::{
    Census, Chore, DrainHandle, Drainer, EventFacts, Inventory, InventoryReport, Leases, Lifecycle,
    LifecycleReport, LogTrimmer, LostDrives, Notifier, ParityReport, ParitySampler, Patience,
    RebalanceHandle, Rebalancer, ReencodeHandle, Reencoder, RepairHandle, Repairer, Rewrapper,
    Risk, SampleReport, Sampler, Sweeper, WebhookBoard, WorkerConfig, Workers,
};
use holdfast_sealing::Keyring;
use holdfast_storage_node::LocalStore;
use holdfast_types::{Clock, FragmentStore};
use tokio::sync::watch;

use super::drive_set::DriveSet;
use super::file_systems::FileSystems;
use super::first_start::Fixed;
use super::upkeep::{Keeper, remember_orders};

/// What the workers work on.
pub(crate) struct Ground {
    pub(crate) metadata: Metadata,
    pub(crate) blobs: Blobs,
    pub(crate) store: Arc<LocalStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fixed: Fixed,
    pub(crate) file_systems: Arc<FileSystems>,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// The master keys.
    pub(crate) keyring: Keyring,
}

/// The workers, started, and what is seen of them.
pub(crate) struct Background {
    pub(crate) workers: Workers,
    pub(crate) risk: watch::Receiver<Option<Risk>>,
    pub(crate) inventory: watch::Receiver<InventoryReport>,
    pub(crate) lifecycle: watch::Receiver<LifecycleReport>,
    pub(crate) repair: RepairHandle,
    pub(crate) drain: DrainHandle,
    pub(crate) rebalance: RebalanceHandle,
    pub(crate) reencode: ReencodeHandle,
    pub(crate) samples: watch::Receiver<SampleReport>,
    pub(crate) parity: watch::Receiver<ParityReport>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) webhooks: WebhookBoard,
}

impl Background {
    /// Starts all of them.
    pub(crate) async fn start(ground: Ground, config: &WorkerConfig) -> anyhow::Result<Self> {
        let Ground {
            metadata,
            blobs,
            store,
            clock,
            fixed,
            file_systems,
            data,
            keyring,
        } = ground;
        let fragments: Arc<dyn FragmentStore> = Arc::clone(&store) as Arc<dyn FragmentStore>;
        for record in metadata.drive_records().await? {
            store.set_draining(record.id, record.duty == DriveDuty::Draining);
        }
        let leases = Leases::new(metadata.clone(), this_process());
        let workers = Workers::leased(leases);
        remember_orders(&metadata, &workers.table()).await?;

        let (repairer, repair) = Repairer::new(
            metadata.clone(),
            blobs.clone(),
            Arc::clone(&fragments),
            Arc::clone(&clock),
        );
        let (census, risk) =
            Census::new(metadata.clone(), Arc::clone(&fragments), Arc::clone(&clock));
        let (drainer, drain) = Drainer::new(
            metadata.clone(),
            blobs.clone(),
            Arc::clone(&fragments),
            Arc::clone(&clock),
        );
        let (rebalancer, rebalance) = Rebalancer::new(
            metadata.clone(),
            blobs.clone(),
            Arc::clone(&fragments),
            repair.clone(),
            config.rebalance_least_bytes,
        );
        let (inventory, inventory_report) = Inventory::new(
            metadata.clone(),
            Arc::clone(&fragments),
            Arc::clone(&clock),
            fixed.region.clone(),
            Patience::from(config),
        );
        let (reencoder, reencode) =
            Reencoder::new(metadata.clone(), blobs.clone(), fixed.region.clone());
        workers.start(reencoder);
        workers.start(repairer);
        workers.start(LostDrives::new(
            metadata.clone(),
            Arc::clone(&fragments),
            Duration::from_secs(config.drive_gone_seconds),
        ));
        workers.start(drainer);
        workers.start(rebalancer);
        workers.start(census.again_on(repair.changes()));
        let (sampler, samples) =
            Sampler::new(metadata.clone(), blobs.clone(), fixed.region.clone());
        workers.start(sampler);
        let (parity_sampler, parity) = ParitySampler::new(
            metadata.clone(),
            blobs.clone(),
            config.parity_share,
            Duration::from_secs(config.parity_period_seconds),
        );
        workers.start(parity_sampler);
        workers.start(Sweeper::new(metadata.clone(), blobs, fixed.region.clone()));
        workers.start(inventory);
        let (lifecycle, lifecycle_report) = Lifecycle::new(metadata.clone());
        workers.start(lifecycle);
        workers.start(Chore::expire_uploads(metadata.clone()));
        workers.start(Chore::expire_outcomes(metadata.clone()));
        workers.start(Chore::fold_usage(metadata.clone()));
        let facts = EventFacts {
            region: fixed.region.clone(),
            owner_id: holdfast_gateway::s3::op::OWNER_ID.to_owned(),
        };
        let (notifier, webhooks) = Notifier::new(
            metadata.clone(),
            facts,
            Arc::clone(&clock),
            Duration::from_secs(config.webhook_patience_seconds),
        );
        workers.start(notifier);
        workers.start(LogTrimmer::new(metadata.clone()));
        workers.start(Rewrapper::new(metadata.clone(), keyring));

        let drives = Arc::new(DriveSet {
            metadata: metadata.clone(),
            store: Arc::clone(&store),
            workers: workers.clone(),
            file_systems,
            clock: Arc::clone(&clock),
            cluster: fixed.cluster,
            region: fixed.region,
            data,
            scrubs: HashMap::new().into(),
            changing: tokio::sync::Mutex::new(()),
        });
        for drive in store.drives() {
            drives.start_scrub(drive.id);
        }
        let keeper = Arc::new(Keeper {
            metadata,
            workers: workers.table(),
            repair: repair.clone(),
            drain: drain.clone(),
            drives,
            clock,
        });
        Ok(Self {
            workers,
            risk,
            inventory: inventory_report,
            lifecycle: lifecycle_report,
            repair,
            drain,
            rebalance,
            reencode,
            samples,
            parity,
            keeper,
            webhooks,
        })
    }
}

/// Which process this is, for an operator who sees several.
fn this_process() -> String {
    let pid = std::process::id();
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(host) => format!("process {pid} on {}", host.trim()),
        Err(_) => format!("process {pid}"),
    }
}
