//! A whole Holdfast in one process over simulated disks: started, killed, cut and started again.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use holdfast_codec::Reference;
use holdfast_erasure::{
    BlobLocation, Blobs, Config, Damage, DebtObserver, FragmentReport, PutSpec,
};
use holdfast_metadata::command::{NewBlob, ReportDebts};
use holdfast_metadata::model::{Debt, DebtKind, Policy, Version};
use holdfast_metadata::samples::{SampleRule, Share};
use holdfast_metadata::{Metadata, MetadataConfig, MetadataError};
use holdfast_replication::verify::{Depth, Report, Verifier, Watch};
use holdfast_replication::{
    Inventory, LostDrives, Patience, Progress, Repairer, Sampler, Sweeper, WorkError, Worker,
};
use holdfast_storage_node::disk::{Disk, SimDisk, Survival};
use holdfast_storage_node::{
    DriveConfig, DriveIdentity, Finding, LocalStore, NotTaken, ScrubReport, ScrubStep, StoreConfig,
    format_disk,
};
use holdfast_types::{
    BlobId, Clock, ClusterId, DriveId, FailureDomain, FragmentId, FragmentStore, Generation,
    Layout, ManualClock, Region, SizeRule,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::run::is_in;

/// Two more than a placement needs, so that what two drives held finds another place.
pub(crate) const DRIVES: usize = 8;
pub(crate) const BUCKET: &str = "films";
const CAPACITY: u64 = 256 << 20;
const HOUR_MS: u64 = 3_600_000;

/// What stays when the process dies.
pub(crate) struct Machine {
    pub(crate) disks: Vec<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    ids: Vec<DriveId>,
    cluster: ClusterId,
    region: Region,
    folder: TempDir,
}

/// The process.
pub(crate) struct Process {
    pub(crate) metadata: Metadata,
    pub(crate) blobs: Blobs,
    store: Arc<LocalStore>,
    reports: Arc<Reports>,
    region: Region,
    clock: Arc<ManualClock>,
}

/// Damage that reads met.
#[derive(Default)]
struct Reports(Mutex<Vec<FragmentReport>>);

impl DebtObserver for Reports {
    fn report(&self, report: FragmentReport) {
        self.0.lock().unwrap().push(report);
    }
}

/// 4+2 in short blocks: many stripes, and files and segments of a few kilobytes.
pub(crate) fn rule() -> SizeRule {
    SizeRule::new("4+2/4096".parse().unwrap())
}

impl Machine {
    pub(crate) fn new() -> Self {
        let disks: Vec<SimDisk> = (0..DRIVES).map(|_| SimDisk::new(CAPACITY)).collect();
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let machine = Self {
            clock: Arc::new(ManualClock::new(now_ms.as_millis() as u64)),
            ids: (0..DRIVES).map(|_| DriveId::generate()).collect(),
            cluster: ClusterId::generate(),
            region: Region::parse("here").unwrap(),
            folder: memory_folder(),
            disks,
        };
        for (disk, drive) in machine.disks.iter().zip(&machine.ids) {
            let identity = DriveIdentity {
                cluster: machine.cluster,
                drive: *drive,
            };
            format_disk(disk, identity).unwrap();
        }
        machine
    }

    /// Starts a process on it.
    pub(crate) async fn start(&self) -> Process {
        let drives = self.disks.iter().zip(&self.ids).map(|(disk, id)| {
            let config = DriveConfig {
                id: *id,
                path: id.to_string().into(),
                region: self.region.clone(),
                zone: "z".to_owned(),
                node: "n".to_owned(),
            };
            (config, Arc::new(disk.clone()) as Arc<dyn Disk>)
        });
        let config = StoreConfig {
            reserve_bytes: 1 << 20,
            segment_bytes: 64 << 10,
            scrub_period_seconds: 1,
        };
        let store = LocalStore::open_on(self.cluster, drives.collect(), config)
            .await
            .unwrap();
        let store = Arc::new(store);
        let file = self.folder.path().join("m.db");
        let metadata = Metadata::open(
            &MetadataConfig {
                samples: SampleRule {
                    share: Share::try_from(0.2).unwrap(),
                    ..SampleRule::default()
                },
                ..MetadataConfig::new(format!("sqlite:{}", file.display()))
            },
            self.region.clone(),
            Arc::clone(&self.clock) as Arc<dyn Clock>,
        )
        .await
        .unwrap();
        metadata.upsert_drives(store.drives()).await.unwrap();
        if metadata.policy("default").await.unwrap().is_none() {
            let policy = Policy {
                name: "default".to_owned(),
                rule: rule(),
                protect: FailureDomain::Drive,
                generation: 1,
                rules: Vec::new(),
                quorum: None,
            };
            metadata.put_policy(policy).await.unwrap();
            metadata
                .create_bucket(BUCKET, "default", None)
                .await
                .unwrap();
        }
        let reports = Arc::new(Reports::default());
        let blobs = Blobs::with_seed(
            Arc::clone(&store) as Arc<dyn FragmentStore>,
            Arc::new(Reference::new()),
            &Config::default(),
            Arc::clone(&reports) as Arc<dyn DebtObserver>,
            7,
        );
        Process {
            metadata,
            blobs,
            store,
            reports,
            region: self.region.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// `kill -9`: what was written to the disks is in their caches.
    pub(crate) async fn kill(&self, process: Process) {
        for disk in self.disks.iter().filter(|disk| is_in(disk)) {
            disk.kill();
        }
        process.end().await;
    }

    /// All power is cut at once: any part of what was not synced is gone.
    pub(crate) async fn cut(&self, process: Process, seed: u64) {
        for (disk, number) in self.disks.iter().zip(0..).filter(|(disk, _)| is_in(disk)) {
            disk.power_cycle(Survival::Random(seed ^ number));
        }
        process.end().await;
    }

    pub(crate) fn set_full(&self, drive: usize, is_full: bool) {
        if is_in(&self.disks[drive]) {
            self.disks[drive].set_capacity(if is_full { 1 << 20 } else { CAPACITY });
        }
    }
}

/// The database is not what is simulated here: it may lie in memory.
fn memory_folder() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

impl Process {
    async fn end(self) {
        let Self {
            metadata,
            blobs,
            store,
            ..
        } = self;
        drop((blobs, store));
        metadata.close().await;
    }

    pub(crate) async fn refresh(&self) {
        self.store.refresh().await;
    }

    /// Writes a blob; `None` if the drives could not take it.
    pub(crate) async fn write(&self, body: &[u8]) -> Option<NewBlob> {
        let layout: Layout = rule().layout_for(body.len() as u64);
        let spec = PutSpec {
            blob: BlobId::generate(),
            len: body.len() as u64,
            layout,
            region: self.region.clone(),
            generation: Generation(0),
            protect: FailureDomain::Drive,
            quorum: None,
        };
        let pieces: Vec<_> = body
            .chunks(10_000)
            .map(|piece| Ok::<Bytes, Infallible>(Bytes::copy_from_slice(piece)))
            .collect();
        let receipt = self.blobs.put(spec, stream::iter(pieces)).await.ok()?;
        let debts = receipt.debts.into_iter();
        let strays = receipt.strays.into_iter();
        Some(NewBlob {
            id: receipt.blob,
            len: receipt.len,
            seal: None,
            placement: receipt.placement,
            debts: debts.map(|debt| (debt.index, debt.drive)).collect(),
            strays: strays.map(|stray| (stray.index, stray.drive)).collect(),
        })
    }

    /// All bytes of a version.
    pub(crate) async fn read(&self, version: &Version) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        let slices = self.metadata.slices(version.uid, 0..version.size).await;
        for slice in slices.map_err(|error| error.to_string())? {
            let location = BlobLocation {
                blob: slice.blob.blob,
                len: slice.blob.len,
                placement: slice.blob.placement,
            };
            let range = slice.blob_offset..slice.blob_offset + slice.len;
            let mut bytes = self.blobs.get(location, range);
            while let Some(piece) = bytes.next().await {
                body.extend_from_slice(&piece.map_err(|error| error.to_string())?);
            }
        }
        Ok(body)
    }

    /// What reads met becomes debts, as the gateway does it.
    async fn report(&self) {
        let reports = std::mem::take(&mut *self.reports.0.lock().unwrap());
        let debts = reports.into_iter().map(|report| Debt {
            blob: report.blob,
            region: report.region,
            generation: report.generation,
            index: report.index,
            drive: Some(report.drive),
            kind: match report.damage {
                Damage::Missing => DebtKind::Missing,
                Damage::Corrupt => DebtKind::Corrupt,
            },
            created_ms: 0,
        });
        let report = ReportDebts {
            debts: debts.collect(),
        };
        self.metadata.report_debts(report).await.unwrap();
    }

    fn workers(&self) -> Vec<Box<dyn Worker>> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let store = Arc::clone(&self.store) as Arc<dyn FragmentStore>;
        let (metadata, blobs) = (&self.metadata, &self.blobs);
        let patience = Patience {
            unknown_age_ms: HOUR_MS,
            quarantine_ms: HOUR_MS,
            period: Duration::from_secs(1),
        };
        vec![
            Box::new(LostDrives::new(
                metadata.clone(),
                Arc::clone(&store),
                Duration::ZERO,
            )),
            Box::new(
                Repairer::new(
                    metadata.clone(),
                    blobs.clone(),
                    Arc::clone(&store),
                    Arc::clone(&clock),
                )
                .0,
            ),
            Box::new(
                Inventory::new(
                    metadata.clone(),
                    Arc::clone(&store),
                    Arc::clone(&clock),
                    self.region.clone(),
                    patience,
                )
                .0,
            ),
            Box::new(Sampler::new(metadata.clone(), blobs.clone(), self.region.clone()).0),
            Box::new(Sweeper::new(
                metadata.clone(),
                blobs.clone(),
                self.region.clone(),
            )),
        ]
    }

    /// Runs each worker for at most so many steps; whether all came to rest.
    pub(crate) async fn work(&self, steps: usize) -> bool {
        self.report().await;
        let mut all_rest = true;
        for mut worker in self.workers() {
            let mut rests = false;
            for _ in 0..steps {
                match worker.work().await {
                    Ok(Progress::Busy) => {}
                    Ok(Progress::Idle) => {
                        rests = true;
                        break;
                    }
                    Err(WorkError::Metadata(MetadataError::Unavailable(_))) => break,
                    Err(error) => panic!("{}: {error}", worker.name()),
                }
            }
            all_rest &= rests;
        }
        all_rest
    }

    /// Verifies every block on every drive that can be read.
    pub(crate) async fn scrub(&self) {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        for mut scrub in self.store.scrubs(&clock) {
            // The first may only end a cycle that began before the damage.
            for _ in 0..2 {
                self.clock.advance_ms(2000);
                for _ in 0..100_000 {
                    match scrub.step(&Notes(&self.metadata)).await.unwrap() {
                        ScrubStep::More => {}
                        ScrubStep::Done | ScrubStep::Away => break,
                    }
                }
            }
        }
    }

    pub(crate) async fn verify(&self, depth: Depth) -> Report {
        let verifier = Verifier {
            metadata: self.metadata.clone(),
            blobs: self.blobs.clone(),
            store: Arc::clone(&self.store) as Arc<dyn FragmentStore>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            region: self.region.clone(),
            grace_ms: 2 * HOUR_MS,
            is_live: false,
            patience: Duration::ZERO,
        };
        let never = CancellationToken::new();
        verifier.run(depth, &Watch::new(), &never).await.unwrap()
    }
}

/// Scrub findings become debts.
struct Notes<'n>(&'n Metadata);

#[async_trait]
impl ScrubReport for Notes<'_> {
    async fn bad(
        &self,
        drive: DriveId,
        fragment: &FragmentId,
        finding: Finding,
    ) -> Result<(), NotTaken> {
        let debt = Debt {
            blob: fragment.blob,
            region: fragment.region.clone(),
            generation: fragment.generation,
            index: fragment.index,
            drive: Some(drive),
            kind: match finding {
                Finding::Missing => DebtKind::Missing,
                Finding::Corrupt => DebtKind::Corrupt,
            },
            created_ms: 0,
        };
        let report = ReportDebts { debts: vec![debt] };
        let noted = self.0.report_debts(report).await;
        noted.map_err(|error| NotTaken(error.to_string()))
    }
}
