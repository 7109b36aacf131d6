//! The rooms joined: who is given what, and in which order they are closed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holdfast_codec::Reference;
use holdfast_erasure::Blobs;
use holdfast_gateway::admin::{
    Admin, AdminFacts, Backups, DriveMetrics, MasterKeyKeeper, MetadataCredentials, Surroundings,
    Upkeep, Verification, Webhooks, view,
};
use holdfast_gateway::metrics::Metrics;
use holdfast_gateway::ops::{DebtReporter, DebtWriter, Gateway, GatewayParts};
use holdfast_gateway::rate::RateLimitKeeper;
use holdfast_gateway::s3::address::Addressing;
use holdfast_gateway::s3::pipeline::{Pipeline, PipelineParts};
use holdfast_gateway::s3::sigv4::Verifier;
use holdfast_gateway::server::Pressure;
use holdfast_metadata::Metadata;
use holdfast_replication::runner::WorkerTable;
use holdfast_replication::verify::Verifier as StoreVerifier;
use holdfast_replication::{Risk, Workers};
use holdfast_storage_node::{DriveConfig, LocalStore, StoreConfig};
use holdfast_types::{Clock, Drive, FragmentStore};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::background::{Background, Ground};
use super::data_folder::DataFolder;
use super::drive_watch::DriveWatch;
use super::file_systems::FileSystems;
use super::first_start::{DEFAULT_POLICY, Fixed, FoundDrive, NODE, ZONE};
use super::inventory_metrics::InventoryMetrics;
use super::journal;
use super::journal_metrics::JournalMetrics;
use super::lifecycle_metrics::LifecycleMetrics;
use super::master_keys::MasterKeys;
use super::memory_metrics::MemoryMetrics;
use super::process::ProcessMetrics;
use super::reencode_metrics::ReencodeMetrics;
use super::repair_metrics::RepairMetrics;
use super::sample_metrics::SampleMetrics;
use super::scrubbing::ScrubMetrics;
use super::settings::Settings;
use super::store_metrics::StoreMetrics;
use super::upkeep::{Keeper, worker_view};
use super::verification::LiveVerification;
use super::webhooks::{Posts, WebhookMetrics};
use super::whereabouts::Whereabouts;
use super::{Prepared, backups};

/// All rooms of this process, open.
pub(crate) struct Rooms {
    /// Nobody else may have the folder until the last room is closed.
    data: DataFolder,
    metadata: Metadata,
    gateway: Gateway,
    blobs: Blobs,
    admin: Arc<Admin>,
    credentials: Arc<MetadataCredentials>,
    clock: Arc<dyn Clock>,
    fixed: Fixed,
    workers: Workers,
    watch: DriveWatch,
    debts: JoinHandle<()>,
    rate_limits: Arc<RateLimitKeeper>,
    rate_reader: JoinHandle<()>,
    verification: Arc<LiveVerification>,
}

impl Rooms {
    /// Opens the drives and joins everything to them.
    pub(crate) async fn open(prepared: Prepared, settings: &Settings) -> anyhow::Result<Self> {
        let Prepared {
            data,
            metadata,
            fixed,
            drives,
            root,
            master_keys,
            clock,
        } = prepared;
        let master_keys = Arc::new(master_keys);
        let store = open_store(&fixed, &drives, settings.store.clone()).await?;
        journal::keep(&metadata, &store, fixed.cluster, fixed.layout).await?;
        let fragments: Arc<dyn FragmentStore> = Arc::clone(&store) as Arc<dyn FragmentStore>;
        let whereabouts = Whereabouts::new(fixed.cluster, data.drives());
        let file_systems = Arc::new(FileSystems::of(&drives).await);
        let watch = DriveWatch::start(
            Arc::clone(&store),
            metadata.clone(),
            whereabouts,
            Arc::clone(&file_systems),
        )
        .await;

        let metrics = Metrics::new();
        let (reporter, debt_writer) = DebtReporter::new(Arc::clone(&clock), metrics.clone());
        let blobs = Blobs::new(
            Arc::clone(&fragments),
            Arc::new(Reference::new()),
            &holdfast_erasure::Config {
                memory_budget_bytes: settings.memory_budget_bytes,
            },
            Arc::new(reporter),
        );
        let gateway = Gateway::new(GatewayParts {
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            region: fixed.region.clone(),
            default_policy: DEFAULT_POLICY.to_owned(),
            metrics: metrics.clone(),
            keyring: master_keys.keyring(),
        });
        let ground = Ground {
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            fixed: fixed.clone(),
            file_systems: Arc::clone(&file_systems),
            data: data.root().to_owned(),
            keyring: master_keys.keyring(),
        };
        let Background {
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
        } = Background::start(ground, &settings.worker).await?;
        let verification = Arc::new(LiveVerification::new(StoreVerifier {
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            store: Arc::clone(&fragments),
            clock: Arc::clone(&clock),
            region: fixed.region.clone(),
            grace_ms: crate::verify::grace_ms(&settings.worker),
            is_live: true,
            patience: StoreVerifier::PATIENCE,
        }));
        let rate_limits = Arc::new(RateLimitKeeper::new(metadata.clone()));
        rate_limits.read().await.context("can't read rate limits")?;
        let surroundings = Arc::new(Around {
            rate_limits: Arc::clone(&rate_limits),
            backups: Arc::new(backups::Keeper {
                metadata: metadata.clone(),
                cluster: fixed.cluster,
                verification: Arc::clone(&verification) as _,
                gateway: gateway.clone(),
                store: Arc::clone(&store),
                slips_needed: usize::from(fixed.layout.m()) + 1,
                clock: Arc::clone(&clock),
                upkeep: Arc::clone(&keeper) as _,
            }),
            verification: Arc::clone(&verification),
            file_systems,
            fragments,
            risk,
            workers: workers.table(),
            keeper,
            master_keys: Arc::clone(&master_keys),
            webhooks: Arc::new(Posts(webhooks.clone())),
        });
        let webhook_metrics = WebhookMetrics::new(webhooks, Arc::clone(&clock));
        metrics.registry().register(Box::new(webhook_metrics))?;
        let scrub_metrics = ScrubMetrics::new(Arc::clone(&store), Arc::clone(&clock));
        metrics.registry().register(Box::new(scrub_metrics))?;
        let repair_metrics = RepairMetrics::new(repair, drain, rebalance, Arc::clone(&clock));
        metrics.registry().register(Box::new(repair_metrics))?;
        let reencode_metrics = ReencodeMetrics::new(reencode);
        metrics.registry().register(Box::new(reencode_metrics))?;
        let lifecycle_metrics = LifecycleMetrics::new(lifecycle_report, Arc::clone(&clock));
        metrics.registry().register(Box::new(lifecycle_metrics))?;
        let sample_metrics = SampleMetrics::new(samples, parity);
        metrics.registry().register(Box::new(sample_metrics))?;
        let inventory_metrics = InventoryMetrics::new(inventory_report);
        metrics.registry().register(Box::new(inventory_metrics))?;
        let journal_metrics = JournalMetrics::new(metadata.clone(), Arc::clone(&clock));
        metrics.registry().register(Box::new(journal_metrics))?;
        register(&metrics, &surroundings, blobs.clone(), store)?;
        let credentials = Arc::new(MetadataCredentials::new(metadata.clone()));
        let facts = AdminFacts {
            version: env!("CARGO_PKG_VERSION"),
            cluster: fixed.cluster,
            region: fixed.region.clone(),
            layout: fixed.layout,
            root_access_key: root.pair.access_key,
        };
        let admin = Arc::new(Admin::new(
            facts,
            metadata.clone(),
            surroundings,
            metrics,
            Arc::clone(&credentials) as _,
            Arc::clone(&clock),
        ));
        let debts = tokio::spawn(DebtWriter::run(debt_writer, metadata.clone()));
        let rate_reader = tokio::spawn(Arc::clone(&rate_limits).run());
        Ok(Self {
            data,
            metadata,
            gateway,
            blobs,
            admin,
            credentials,
            clock,
            fixed,
            workers,
            watch,
            debts,
            rate_limits,
            rate_reader,
            verification,
        })
    }

    /// Whether requests wait for the memory that others hold.
    pub(crate) fn pressure(&self) -> Pressure {
        let blobs = self.blobs.clone();
        Pressure::new(move || blobs.memory_is_waited_for())
    }

    /// What the S3 listener serves.
    pub(crate) fn s3_service(&self, settings: &Settings) -> Arc<Pipeline> {
        let region = self.fixed.region.as_str().to_owned();
        Arc::new(Pipeline::new(PipelineParts {
            service: Arc::new(self.gateway.clone()),
            verifier: Verifier::new(
                S3_SERVICE,
                region.clone(),
                Arc::clone(&self.credentials) as _,
                Arc::clone(&self.clock),
            ),
            addressing: Addressing::new(settings.domains.iter().cloned()),
            region,
            host_id: format!("{NODE}-{}", self.fixed.cluster),
            clock: Arc::clone(&self.clock),
            metrics: self.gateway.metrics().clone(),
            limits: self.rate_limits.limits().clone(),
        }))
    }

    /// What the admin listener serves.
    pub(crate) fn admin_service(&self) -> Arc<Admin> {
        Arc::clone(&self.admin)
    }

    /// Closes everything, after the listeners have stopped: background work first, then what
    /// requests left running, then the truth.
    pub(crate) async fn close(self) {
        self.rate_reader.abort();
        self.verification.close();
        if !self.workers.stop(WORKERS_DEADLINE).await {
            tracing::warn!("background work was cut short; the next start goes on with it");
        }
        if tokio::time::timeout(DRAIN_DEADLINE, self.gateway.drain())
            .await
            .is_err()
        {
            tracing::warn!("writes were still under way and were cut short");
        }
        self.watch.stop().await;
        // The last reporter of damage goes with the last user of the blobs, of which one counts
        // them for the metrics that the reporter itself has.
        let registry = self.gateway.metrics().registry().clone();
        if let Err(error) = registry.unregister(Box::new(MemoryMetrics::new(self.blobs))) {
            tracing::debug!("the blobs' metrics stay until the process ends: {error}");
        }
        drop((self.gateway, self.admin));
        if tokio::time::timeout(DEBTS_DEADLINE, self.debts)
            .await
            .is_err()
        {
            tracing::debug!("reports of damaged fragments were left behind: reads find them again");
        }
        self.metadata.close().await;
        drop(self.data);
    }
}

async fn open_store(
    fixed: &Fixed,
    drives: &[FoundDrive],
    config: StoreConfig,
) -> anyhow::Result<Arc<LocalStore>> {
    let drives = drives
        .iter()
        .map(|drive| DriveConfig {
            id: drive.id,
            path: drive.path.clone(),
            region: fixed.region.clone(),
            zone: ZONE.to_owned(),
            node: NODE.to_owned(),
        })
        .collect();
    let store = LocalStore::open(fixed.cluster, drives, config)
        .await
        .context("can't open the drives")?;
    Ok(Arc::new(store))
}

fn register(
    metrics: &Metrics,
    around: &Arc<Around>,
    blobs: Blobs,
    store: Arc<LocalStore>,
) -> anyhow::Result<()> {
    let around: Arc<dyn Surroundings> = Arc::<Around>::clone(around);
    let registry = metrics.registry();
    registry.register(Box::new(DriveMetrics::new(around)))?;
    registry.register(Box::new(ProcessMetrics::new()))?;
    registry.register(Box::new(MemoryMetrics::new(blobs)))?;
    registry.register(Box::new(StoreMetrics::new(store)))?;
    Ok(())
}

/// What the admin API may see of the rest.
struct Around {
    rate_limits: Arc<RateLimitKeeper>,
    verification: Arc<LiveVerification>,
    backups: Arc<backups::Keeper>,
    file_systems: Arc<FileSystems>,
    fragments: Arc<dyn FragmentStore>,
    risk: watch::Receiver<Option<Risk>>,
    workers: WorkerTable,
    master_keys: Arc<MasterKeys>,
    keeper: Arc<Keeper>,
    webhooks: Arc<Posts>,
}

impl Surroundings for Around {
    fn rate_limits(&self) -> Option<Arc<RateLimitKeeper>> {
        Some(Arc::clone(&self.rate_limits))
    }

    fn webhooks(&self) -> Option<Arc<dyn Webhooks>> {
        Some(Arc::<Posts>::clone(&self.webhooks) as _)
    }

    fn backups(&self) -> Option<Arc<dyn Backups>> {
        Some(Arc::clone(&self.backups) as _)
    }

    fn verification(&self) -> Option<Arc<dyn Verification>> {
        Some(Arc::clone(&self.verification) as _)
    }

    fn drives(&self) -> Vec<Drive> {
        self.fragments.drives()
    }

    fn space(&self) -> view::SpaceView {
        self.file_systems.space(&self.fragments.drives())
    }

    fn risk(&self) -> Option<view::RiskView> {
        self.risk.borrow().as_ref().map(|risk| view::RiskView {
            as_of_ms: risk.as_of_ms,
            blobs: risk.blobs,
            at_risk: risk.at_risk(),
            unreadable: risk.unreadable(),
            fewest_spares: risk.fewest_spares(),
            by_spares: risk.at_risk_by_spares.clone(),
        })
    }

    fn master_keys(&self) -> Option<Arc<dyn MasterKeyKeeper>> {
        Some(Arc::<MasterKeys>::clone(&self.master_keys) as _)
    }

    fn workers(&self) -> Vec<view::WorkerView> {
        self.workers.list().into_iter().map(worker_view).collect()
    }

    fn upkeep(&self) -> Option<Arc<dyn Upkeep>> {
        Some(Arc::clone(&self.keeper) as _)
    }
}

/// The service that S3 requests are signed for.
const S3_SERVICE: &str = "s3";
/// How long a stop waits for background work: its steps are far shorter.
const WORKERS_DEADLINE: Duration = Duration::from_secs(10);
/// How long a stop waits for commits and clean-ups whose clients have left.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long a stop waits for reports of damage to be written: reads find them again, so not long.
const DEBTS_DEADLINE: Duration = Duration::from_millis(500);
