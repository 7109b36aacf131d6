//! Repair, drain and rebalance killed at every step, then started again.
//!
//! Every statement to the metadata and every call to a drive is a step. A run is cut at step `n`:
//! that one is not done (or is done and its reply is lost), and nothing after it: as if the process
//! had died. At that very moment each fragment must be whole where the placement says, but for the
//! one that was lost before; a new process then brings everything to where it should be, and after
//! the grace nothing is left over. (Row F20 of the fault matrix, and every point between.)

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_codec::Reference;
use holdfast_erasure::{BlobLocation, Blobs, Config, FragmentCheck, NoObserver};
use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::drives::DriveDuty;
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_metadata::{Metadata, MetadataConfig, StatementHook};
use holdfast_types::{
    BlobId, Clock, Deleted, Drive, DriveId, DriveState, FragmentHeader, FragmentId, FragmentIndex,
    FragmentStore, FragmentWriter, Generation, ReadBlocks, StoreError,
};

use crate::testing::{HOUR_MS, World};
use crate::worker::{Progress, Worker};
use crate::{Drainer, Rebalancer, Repairer};

/// Counts steps, and lets none through after the cut.
#[derive(Default)]
struct Steps {
    count: AtomicU64,
    cut: Option<Cut>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    at: u64,
    /// The step is done, and nobody hears of it.
    is_late: bool,
}

struct Dead;

impl Steps {
    fn begin(&self) -> Result<u64, Dead> {
        let step = self.count.fetch_add(1, Ordering::SeqCst);
        match self.cut {
            Some(cut) if step > cut.at || (step == cut.at && !cut.is_late) => Err(Dead),
            _ => Ok(step),
        }
    }

    fn end(&self, step: u64) -> Result<(), Dead> {
        match self.cut {
            Some(cut) if step >= cut.at => Err(Dead),
            _ => Ok(()),
        }
    }
}

/// The metadata's side: a step a statement.
struct Statements(Arc<Steps>);

fn dead() -> sqlx::Error {
    sqlx::Error::Io(io::Error::other("the process is dead"))
}

#[async_trait]
impl StatementHook for Statements {
    async fn before(&self, _sql: &str) -> Result<(), sqlx::Error> {
        self.0.begin().map(|_| ()).map_err(|_| dead())
    }

    async fn after(&self, _sql: &str, _rows: u64) -> Result<(), sqlx::Error> {
        let step = self.0.count.load(Ordering::SeqCst).saturating_sub(1);
        self.0.end(step).map_err(|_| dead())
    }
}

/// The drives' side: a step a call.
struct Calls {
    store: Arc<dyn FragmentStore>,
    steps: Arc<Steps>,
}

fn gone(drive: DriveId) -> StoreError {
    StoreError::Io {
        drive,
        source: Arc::new(io::Error::other("the process is dead")),
    }
}

impl Calls {
    async fn step<T>(
        steps: &Steps,
        drive: DriveId,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let step = steps.begin().map_err(|_| gone(drive))?;
        let done = call.await?;
        steps.end(step).map_err(|_| gone(drive))?;
        Ok(done)
    }
}

struct Writer {
    writer: Box<dyn FragmentWriter>,
    drive: DriveId,
    steps: Arc<Steps>,
}

#[async_trait]
impl FragmentWriter for Writer {
    async fn write_block(&mut self, block: Bytes) -> Result<(), StoreError> {
        Calls::step(&self.steps, self.drive, self.writer.write_block(block)).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Calls::step(&self.steps, self.drive, self.writer.commit()).await
    }
}

#[async_trait]
impl FragmentStore for Calls {
    async fn create(
        &self,
        drive: DriveId,
        header: FragmentHeader,
    ) -> Result<Box<dyn FragmentWriter>, StoreError> {
        let writer = Self::step(&self.steps, drive, self.store.create(drive, header)).await?;
        Ok(Box::new(Writer {
            writer,
            drive,
            steps: Arc::clone(&self.steps),
        }))
    }

    async fn read(
        &self,
        drive: DriveId,
        header: &FragmentHeader,
        first: u64,
        count: u64,
    ) -> Result<ReadBlocks, StoreError> {
        Self::step(
            &self.steps,
            drive,
            self.store.read(drive, header, first, count),
        )
        .await
    }

    async fn stat(&self, drive: DriveId, id: &FragmentId) -> Result<FragmentHeader, StoreError> {
        Self::step(&self.steps, drive, self.store.stat(drive, id)).await
    }

    async fn delete(&self, drive: DriveId, id: &FragmentId) -> Result<Deleted, StoreError> {
        Self::step(&self.steps, drive, self.store.delete(drive, id)).await
    }

    async fn list(
        &self,
        drive: DriveId,
        after: Option<&FragmentId>,
        limit: usize,
    ) -> Result<Vec<FragmentId>, StoreError> {
        Self::step(&self.steps, drive, self.store.list(drive, after, limit)).await
    }

    fn drives(&self) -> Vec<Drive> {
        self.store.drives()
    }
}

/// A process over the world's database and drives, which may die.
struct Process {
    metadata: Metadata,
    blobs: Blobs,
    store: Arc<dyn FragmentStore>,
    clock: Arc<dyn Clock>,
    steps: Arc<Steps>,
}

impl Process {
    /// Takes the database over from the world's own handle.
    async fn start(world: &World, cut: Option<Cut>) -> Self {
        world.metadata.clone().close().await;
        // Opening is not what is cut.
        let steps = Arc::new(Steps::default());
        let config = MetadataConfig::new(format!("sqlite:{}", world.database().display()));
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        let armed = Arc::new(Steps {
            count: AtomicU64::new(0),
            cut,
        });
        let hook = Arc::new(Armed {
            opening: Statements(steps),
            running: Statements(Arc::clone(&armed)),
            is_open: std::sync::atomic::AtomicBool::new(false),
        });
        let metadata = Metadata::open_hooked(
            &config,
            world.region.clone(),
            Arc::clone(&clock),
            Some(Arc::clone(&hook) as _),
        )
        .await
        .unwrap();
        hook.is_open.store(true, Ordering::SeqCst);
        let store: Arc<dyn FragmentStore> = Arc::new(Calls {
            store: Arc::new(world.store.clone()),
            steps: Arc::clone(&armed),
        });
        let blobs = Blobs::with_seed(
            Arc::clone(&store),
            Arc::new(Reference::new()),
            &Config::default(),
            Arc::new(NoObserver),
            7,
        );
        Self {
            metadata,
            blobs,
            store,
            clock,
            steps: armed,
        }
    }

    fn repairer(&self) -> (Repairer, crate::RepairHandle) {
        Repairer::new(
            self.metadata.clone(),
            self.blobs.clone(),
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
        )
    }

    /// Everything that a process does for its fragments, until nothing is left to do; whether it
    /// lived to see that.
    async fn work(&self) -> bool {
        let (mut repairer, handle) = self.repairer();
        let (mut drainer, _) = Drainer::new(
            self.metadata.clone(),
            self.blobs.clone(),
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
        );
        let (mut rebalancer, _) = Rebalancer::new(
            self.metadata.clone(),
            self.blobs.clone(),
            Arc::clone(&self.store),
            handle,
            1,
        );
        rounds(&mut repairer).await
            && rounds(&mut drainer).await
            && rounds(&mut rebalancer).await
            && self.is_alive()
    }

    /// Gives the database back.
    async fn end(self, world: &mut World) {
        self.metadata.close().await;
        let config = MetadataConfig::new(format!("sqlite:{}", world.database().display()));
        let opened = Metadata::open(&config, world.region.clone(), self.clock).await;
        world.metadata = opened.unwrap();
    }

    fn is_alive(&self) -> bool {
        self.steps
            .cut
            .is_none_or(|cut| self.steps.count.load(Ordering::SeqCst) <= cut.at)
    }
}

/// Lets a handle be opened before its steps count.
struct Armed {
    opening: Statements,
    running: Statements,
    is_open: std::sync::atomic::AtomicBool,
}

impl Armed {
    fn now(&self) -> &Statements {
        match self.is_open.load(Ordering::SeqCst) {
            true => &self.running,
            false => &self.opening,
        }
    }
}

#[async_trait]
impl StatementHook for Armed {
    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        self.now().before(sql).await
    }

    async fn after(&self, sql: &str, rows: u64) -> Result<(), sqlx::Error> {
        self.now().after(sql, rows).await
    }
}

/// Steps a worker until it has nothing to do; whether no step failed.
async fn rounds(worker: &mut impl Worker) -> bool {
    for _ in 0..500 {
        match worker.work().await {
            Ok(Progress::Busy) => {}
            Ok(Progress::Idle) => return true,
            Err(_) => return false,
        }
    }
    panic!("it does not come to an end");
}

/// Which fragments of a blob are whole where the placement says, each on a drive of its own.
async fn whole(world: &World, blob: BlobId) -> BTreeSet<u8> {
    let placed = world.metadata.placement(blob, Generation(0)).await.unwrap();
    let placed = placed.expect("it is live");
    let location = BlobLocation {
        blob,
        len: placed.len,
        placement: placed.placement,
    };
    let drives: BTreeSet<DriveId> = location.fragments().map(|one| one.0).collect();
    assert_eq!(
        drives.len(),
        location.fragments().count(),
        "two on one drive"
    );
    let mut whole = BTreeSet::new();
    for (drive, id) in location.fragments() {
        let check = world.blobs.check_fragment(&location, id.index, drive).await;
        if check == FragmentCheck::Good {
            whole.insert(id.index.0);
        }
    }
    whole
}

/// What is wrong before the process starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The drive of fragment 1 is away, and there is another one.
    LostDrive,
    /// Fragment 1 is rotten, and there is no other drive.
    Rotten,
    /// The drive of fragment 1 is to be emptied.
    Draining,
    /// A drive was added.
    NewDrive,
}

impl Trouble {
    const ALL: [Self; 4] = [
        Self::LostDrive,
        Self::Rotten,
        Self::Draining,
        Self::NewDrive,
    ];

    fn loses_one(self) -> bool {
        matches!(self, Self::LostDrive | Self::Rotten)
    }
}

struct Scene {
    world: World,
    blobs: Vec<BlobId>,
    drive: DriveId,
}

async fn scene(trouble: Trouble) -> Scene {
    let world = World::new().await;
    // The least of which a seventh drive lacks one fragment of each.
    let count = if trouble == Trouble::NewDrive { 7 } else { 1 };
    let mut blobs = Vec::new();
    for number in 0..count {
        blobs.push(world.put(&format!("film {number}")).await);
    }
    let placed = world.metadata.placement(blobs[0], Generation(0)).await;
    let drive = placed.unwrap().unwrap().placement.drives[1].unwrap();
    if trouble != Trouble::Rotten {
        let spare = Drive {
            id: DriveId::generate(),
            ..world.store.drives().remove(0)
        };
        world.store.add_drive(spare);
    }
    let kind = match trouble {
        Trouble::LostDrive => Some(DebtKind::Missing),
        Trouble::Rotten => Some(DebtKind::Corrupt),
        Trouble::Draining | Trouble::NewDrive => None,
    };
    if let Some(kind) = kind {
        let id = FragmentId {
            blob: blobs[0],
            region: world.region.clone(),
            generation: Generation(0),
            index: FragmentIndex(1),
        };
        match kind {
            DebtKind::Corrupt => assert!(world.store.corrupt_block(drive, &id, 0)),
            _ => world.store.set_state(drive, DriveState::Missing, "pulled"),
        }
        let debt = Debt {
            blob: id.blob,
            region: id.region,
            generation: id.generation,
            index: id.index,
            drive: Some(drive),
            kind,
            created_ms: 0,
        };
        let report = ReportDebts { debts: vec![debt] };
        world.metadata.report_debts(report).await.unwrap();
    }
    if trouble == Trouble::Draining {
        let all = [DriveDuty::InUse];
        let set = world
            .metadata
            .set_drive_duty(drive, &all, DriveDuty::Draining);
        assert!(set.await.unwrap());
        world.store.set_state(drive, DriveState::Draining, "asked");
    }
    Scene {
        world,
        blobs,
        drive,
    }
}

/// All six of every blob, nothing owed.
async fn assert_full(scene: &Scene, when: &str) {
    for blob in &scene.blobs {
        assert_eq!(whole(&scene.world, *blob).await.len(), 6, "{when}");
    }
    assert_eq!(
        scene.world.metadata.totals().await.unwrap().debts,
        0,
        "{when}"
    );
}

/// One life that is cut, and the next. Returns whether the first one came to its end.
async fn live_and_die(trouble: Trouble, cut: Cut) -> bool {
    let when = format!("{trouble:?}, {cut:?}");
    let mut scene = scene(trouble).await;
    let first = Process::start(&scene.world, Some(cut)).await;
    let survived = first.work().await;
    first.end(&mut scene.world).await;
    // The moment of death: nothing that was whole is gone.
    for blob in &scene.blobs {
        let whole = whole(&scene.world, *blob).await;
        let expected = 6 - usize::from(trouble.loses_one() && *blob == scene.blobs[0]);
        assert!(whole.len() >= expected, "{when}: only {whole:?} are whole");
    }
    let second = Process::start(&scene.world, None).await;
    assert!(second.work().await, "{when}");
    second.end(&mut scene.world).await;
    assert_full(&scene, &when).await;
    let world = &scene.world;
    if trouble == Trouble::Draining {
        let left = world.metadata.placed_on(scene.drive).await.unwrap();
        assert_eq!(left.fragments, 0, "{when}");
    }
    // Much later, with the lost drive back: what is left over goes, and nothing else. This life is
    // cut as well: it deletes.
    world.store.set_state(scene.drive, DriveState::Online, "");
    if trouble == Trouble::Draining {
        world
            .store
            .set_state(scene.drive, DriveState::Draining, "asked");
    }
    world.clock.advance_ms(3 * HOUR_MS);
    let third = Process::start(world, Some(cut)).await;
    third.work().await;
    third.end(&mut scene.world).await;
    assert_full(&scene, &when).await;
    let fourth = Process::start(&scene.world, None).await;
    assert!(fourth.work().await, "{when}");
    fourth.end(&mut scene.world).await;
    assert_full(&scene, &when).await;
    let world = &scene.world;
    assert_eq!(world.metadata.stray_count().await.unwrap(), 0, "{when}");
    for blob in &scene.blobs {
        assert_eq!(world.fragments(*blob).await, 6, "{when}: nothing left over");
    }
    survived
}

async fn at_every_step(trouble: Trouble, stride: u64) {
    // A step that is not done, and the one before it whose reply is lost, differ for the few that
    // change something: of the latter a third.
    for (is_late, stride) in [(false, stride), (true, stride * 3 + 1)] {
        let mut at = 0;
        while !live_and_die(trouble, Cut { at, is_late }).await {
            at += stride;
        }
        println!("{trouble:?}: {at} steps, late: {is_late}");
        assert!(at > 10, "{trouble:?}: it did something");
    }
}

#[tokio::test]
async fn f20_a_repair_onto_another_drive_dies_at_any_step() {
    at_every_step(Trouble::LostDrive, 1).await;
}

#[tokio::test]
async fn f20_a_repair_in_place_dies_at_any_step() {
    at_every_step(Trouble::Rotten, 1).await;
}

#[tokio::test]
async fn a_drain_dies_at_any_step() {
    at_every_step(Trouble::Draining, 1).await;
}

#[tokio::test]
async fn a_rebalance_dies_at_any_step() {
    // It moves several fragments in the way that a drain does: a sample of the steps.
    at_every_step(Trouble::NewDrive, 11).await;
}

#[tokio::test]
async fn f20_a_source_that_dies_during_a_repair_is_done_without() {
    for trouble in Trouble::ALL {
        let mut scene = scene(trouble).await;
        let world = &scene.world;
        // One of the others fails each read from now on: with one lost, four are left.
        let placed = world
            .metadata
            .placement(scene.blobs[0], Generation(0))
            .await;
        let source = placed.unwrap().unwrap().placement.drives[0].unwrap();
        world.store.set_faults(
            source,
            holdfast_storage_node::memory::MemoryFaults {
                reads_fail: true,
                ..Default::default()
            },
        );
        let process = Process::start(world, None).await;
        assert!(process.work().await, "{trouble:?}");
        process.end(&mut scene.world).await;
        scene.world.store.set_faults(source, Default::default());
        let process = Process::start(&scene.world, None).await;
        assert!(process.work().await, "{trouble:?}");
        process.end(&mut scene.world).await;
        assert_full(&scene, &format!("{trouble:?}")).await;
    }
}
