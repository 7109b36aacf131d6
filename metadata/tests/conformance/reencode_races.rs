//! Two re-encodes of one blob meet a repair, a copy, a delete, a sweep and a sweep of strays.
//!
//! A model of the drives says what lies where: it is written to after the metadata has allowed it,
//! and deleted from after the metadata has ordered it. Whatever the order, a live blob's placement
//! names only fragments that are there (but for those that are owed), and once everything is
//! deleted nothing is left on any drive that the metadata does not know of.
//!
//! On PostgreSQL statement by statement, on both databases command by command (`stage.rs`). The clock
//! of both sweeps is far ahead: no grace protects anything.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use holdfast_metadata::command::{ReportDebts, SweepOutcome};
use holdfast_metadata::model::{Bucket, Debt, DebtKind, Version};
use holdfast_metadata::reencode::{BeginMove, Begun, SwitchPlacement, Switched};
use holdfast_metadata::repair::{Reservation, ReserveTargets, SettleDebts, Settled, StrayVerdict};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, ManualClock, Placement};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::invariants;
use super::stage::{Cue, Stage, is_ahead, play_commands, seeds};
use super::world::{HOUR_MS, START_MS, World, copy_of, delete_of, region};

super::on_both! {
    commands_of_a_moving_blob_come_in_any_order,
}

/// Seeds tried in a test run at the granularity of statements; a soak tries as many as it likes.
const SEEDS: u64 = 80;
/// The same at that of commands.
const COMMAND_SEEDS: u64 = 120;

const ACTORS: [&str; 7] = [
    "move-to-copies",
    "move-narrower",
    "repair",
    "copy",
    "delete",
    "sweep",
    "sweep-strays",
];

/// A fragment on a drive: the drive, its generation, its index.
type Lying = (DriveId, u32, u8);

struct Scene {
    bucket: Bucket,
    key: String,
    source: Version,
    blob: BlobId,
    /// A drive that had nothing of the blob at first.
    seventh: DriveId,
    on_drives: Mutex<BTreeSet<Lying>>,
    outcomes: Mutex<Outcomes>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Outcomes {
    moved: u32,
    refused: u32,
    repaired: u32,
    died: u32,
    doomed: u32,
}

impl Scene {
    async fn new(world: &World, name: &str, seventh: DriveId) -> Self {
        let bucket = world.metadata.bucket("b").await.unwrap();
        let key = format!("k-{name}");
        world.put("b", &key, 100, "e").await;
        let source = world.current(&bucket, &key).await.unwrap();
        let placed = world.slices(&source).await.remove(0).blob;
        // A garbage row is due for the sweeper that runs ahead.
        let passing = format!("passing-{name}");
        world.copy(&source, "b", &passing).await.unwrap();
        world.delete("b", &passing).await;
        let lying = (0..).zip(world.drives.iter().copied());
        let scene = Self {
            bucket,
            key,
            source,
            blob: placed.blob,
            seventh,
            on_drives: Mutex::new(lying.map(|(index, drive)| (drive, 0, index)).collect()),
            outcomes: Mutex::default(),
        };
        scene.take(world.drives[2], 0, 2);
        let debt = Debt {
            blob: scene.blob,
            region: region(),
            generation: Generation(0),
            index: FragmentIndex(2),
            drive: Some(world.drives[2]),
            kind: DebtKind::Missing,
            created_ms: 0,
        };
        let report = ReportDebts { debts: vec![debt] };
        world.metadata.report_debts(report).await.unwrap();
        scene
    }

    fn put(&self, drive: DriveId, generation: u32, index: u8) {
        self.on_drives
            .lock()
            .unwrap()
            .insert((drive, generation, index));
    }

    fn take(&self, drive: DriveId, generation: u32, index: u8) {
        self.on_drives
            .lock()
            .unwrap()
            .remove(&(drive, generation, index));
    }

    fn note(&self, note: impl FnOnce(&mut Outcomes)) {
        note(&mut self.outcomes.lock().unwrap());
    }
}

/// Gives a drive its number, in a transaction of its own that locks what everybody needs: before
/// the story, by a debt of a blob that is not there.
pub(super) async fn number(metadata: &Metadata, drive: DriveId) {
    let debt = Debt {
        blob: BlobId::generate(),
        region: region(),
        generation: Generation(0),
        index: FragmentIndex(0),
        drive: Some(drive),
        kind: DebtKind::Missing,
        created_ms: 0,
    };
    let report = ReportDebts { debts: vec![debt] };
    metadata.report_debts(report).await.unwrap();
}

async fn act(actor: &str, drives: &[DriveId], metadata: &Metadata, scene: &Scene, cue: &Cue) {
    match actor {
        "move-to-copies" => {
            let to = [drives[0], drives[4], scene.seventh];
            shift(metadata, scene, cue, "copies:3", &to, None).await;
        }
        // The last fragment is late, and lands after all.
        "move-narrower" => shift(metadata, scene, cue, "2+1/4096", &drives[3..], Some(2)).await,
        "repair" => mend(drives[2], metadata, scene, cue).await,
        "copy" => {
            cue.wait().await;
            let copy = copy_of(&scene.source, "b", &format!("copy-{}", scene.key));
            match metadata.copy_object(copy).await {
                Ok(_) | Err(MetadataError::SourceChanged) => {}
                Err(error) => panic!("copy: {error}"),
            }
        }
        "delete" => {
            cue.wait().await;
            let delete = delete_of("b", &scene.key, None);
            metadata.delete_object(delete).await.unwrap();
        }
        "sweep" => sweep(metadata, scene, cue).await,
        _ => {
            for &drive in drives.iter().chain([&scene.seventh]) {
                sweep_strays(metadata, scene, drive, cue).await;
            }
        }
    }
}

/// A re-encode: begin, write, switch, or abandon.
async fn shift(
    metadata: &Metadata,
    scene: &Scene,
    cue: &Cue,
    layout: &str,
    to: &[DriveId],
    late: Option<u8>,
) {
    let targets = (0..).map(FragmentIndex).zip(to.iter().copied());
    cue.wait().await;
    // The placement that it has read: whichever is current.
    let slices = metadata.slices(scene.source.uid, 0..100).await.unwrap();
    let Some(read) = slices.into_iter().next() else {
        return;
    };
    let from = read.blob.placement.generation;
    let begin = BeginMove {
        blob: scene.blob,
        region: region(),
        from,
        targets: targets.collect(),
    };
    cue.wait().await;
    let Begun::Generation(generation) = metadata.begin_move(begin).await.unwrap() else {
        return;
    };
    for (index, drive) in (0..).zip(to) {
        scene.put(*drive, generation.0, index);
    }
    let mut drives: Vec<_> = to.iter().copied().map(Some).collect();
    let mut debts = Vec::new();
    if let Some(late) = late {
        let meant = drives[usize::from(late)].take();
        debts.push((FragmentIndex(late), meant));
    }
    let switch = SwitchPlacement {
        blob: scene.blob,
        from,
        to: Placement {
            region: region(),
            generation,
            layout: layout.parse().unwrap(),
            drives,
        },
        debts,
        job: 1,
    };
    cue.wait().await;
    match metadata.switch_placement(switch).await.unwrap() {
        Switched::Made => scene.note(|outcomes| outcomes.moved += 1),
        Switched::Not => {
            scene.note(|outcomes| outcomes.refused += 1);
            cue.wait().await;
            metadata.abandon_move(scene.blob, generation).await.unwrap();
        }
    }
}

/// A repair of the fragment that the first generation has lost: back to its drive.
async fn mend(drive: DriveId, metadata: &Metadata, scene: &Scene, cue: &Cue) {
    let index = FragmentIndex(2);
    let reserve = ReserveTargets {
        blob: scene.blob,
        region: region(),
        generation: Generation(0),
        targets: vec![(index, scene.seventh)],
    };
    cue.wait().await;
    let reserved = metadata.reserve_targets(reserve).await.unwrap();
    if reserved != Reservation::Made(vec![true]) {
        return;
    }
    scene.put(scene.seventh, 0, 2);
    let settle = SettleDebts {
        blob: scene.blob,
        region: region(),
        generation: Generation(0),
        settled: vec![Settled {
            index,
            from: Some(drive),
            to: scene.seventh,
        }],
    };
    cue.wait().await;
    metadata.settle_debts(settle).await.unwrap();
    scene.note(|outcomes| outcomes.repaired += 1);
}

async fn sweep(metadata: &Metadata, scene: &Scene, cue: &Cue) {
    cue.wait().await;
    let due = metadata.due_garbage(None, 10_000).await.unwrap();
    for garbage in due.into_iter().filter(|row| row.blob == scene.blob) {
        cue.wait().await;
        let begun = metadata.begin_sweep(scene.blob, &region()).await.unwrap();
        let SweepOutcome::Dead(placements) = begun else {
            continue;
        };
        scene.note(|outcomes| outcomes.died += 1);
        for placement in placements {
            for (index, drive) in (0..).zip(&placement.drives) {
                if let Some(drive) = drive {
                    scene.take(*drive, placement.generation.0, index);
                }
            }
        }
        cue.wait().await;
        metadata.finish_sweep(garbage).await.unwrap();
    }
}

async fn sweep_strays(metadata: &Metadata, scene: &Scene, drive: DriveId, cue: &Cue) {
    cue.wait().await;
    let due = metadata.due_strays(drive, None, 10_000).await.unwrap();
    for stray in due.into_iter().filter(|stray| stray.blob == scene.blob) {
        cue.wait().await;
        if metadata.judge_stray(stray.clone()).await.unwrap() == StrayVerdict::Doomed {
            scene.note(|outcomes| outcomes.doomed += 1);
            scene.take(drive, stray.generation.0, stray.index.0);
            cue.wait().await;
            metadata.forget_stray(stray).await.unwrap();
        }
    }
}

/// A live blob is where its one placement says.
async fn check(world: &World, scene: &Scene, seed: u64) {
    let placed = world.metadata.placements_page(None, 10_000).await.unwrap();
    let placed: Vec<_> = placed.iter().filter(|p| p.blob == scene.blob).collect();
    assert!(placed.len() <= 1, "seed {seed}: {placed:?}");
    let owed = world.metadata.owed_page(None, 10_000).await.unwrap();
    for placed in placed {
        let generation = placed.placement.generation;
        for (index, drive) in (0..).zip(&placed.placement.drives) {
            let is_owed = owed.iter().any(|owed| {
                owed.blob.blob == scene.blob && owed.owed.iter().any(|one| one.index.0 == index)
            });
            let lies = drive.is_some_and(|drive| {
                let lying = (drive, generation.0, index);
                scene.on_drives.lock().unwrap().contains(&lying)
            });
            assert!(
                lies || is_owed,
                "seed {seed}: fragment {index} of generation {} is nowhere",
                generation.0
            );
        }
    }
    invariants::check(world).await;
}

/// Deletes everything: nothing may be left on a drive, in a debt or among the strays.
async fn drain(world: &World, ahead: (&Metadata, &ManualClock), scene: &Scene, seed: u64) {
    let (ahead, clock) = ahead;
    for key in [scene.key.clone(), format!("copy-{}", scene.key)] {
        world.delete("b", &key).await;
    }
    let free = Cue::none();
    sweep(ahead, scene, &free).await;
    // The end of a sweep leaves strays where a late writer may still land.
    clock.advance_ms(2 * HOUR_MS);
    for &drive in world.drives.iter().chain([&scene.seventh]) {
        sweep_strays(ahead, scene, drive, &free).await;
    }
    let left = scene.on_drives.lock().unwrap().clone();
    assert!(left.is_empty(), "seed {seed}: left behind: {left:?}");
    assert_eq!(
        world.metadata.stray_count().await.unwrap(),
        0,
        "seed {seed}"
    );
    let owed = world.metadata.owed_page(None, 100).await.unwrap();
    assert!(owed.is_empty(), "seed {seed}: {owed:?}");
    let placed = world.metadata.placements_page(None, 100).await.unwrap();
    assert!(placed.is_empty(), "seed {seed}: a leak: {placed:?}");
    assert!(world.current(&scene.bucket, &scene.key).await.is_err());
    invariants::check(world).await;
}

/// Who takes part: fewer meet more closely.
fn cast(random: &mut StdRng) -> Vec<usize> {
    (0..ACTORS.len())
        .filter(|_| random.random_bool(0.7))
        .collect()
}

#[derive(Debug, Default)]
struct Sums(Outcomes);

impl Sums {
    fn add(&mut self, scene: &Scene) {
        let one = *scene.outcomes.lock().unwrap();
        self.0.moved += one.moved;
        self.0.refused += one.refused;
        self.0.repaired += one.repaired;
        self.0.died += one.died;
        self.0.doomed += one.doomed;
    }

    /// Otherwise the orders were not what they claim to be.
    fn all_happened(&self) {
        let Outcomes {
            moved,
            refused,
            repaired,
            died,
            doomed,
        } = self.0;
        println!("{:?}", self.0);
        assert!(moved > 0 && refused > 0 && repaired > 0 && died > 0 && doomed > 0);
    }
}

#[test]
fn statements_of_a_moving_blob_interleave_on_postgres() {
    super::world::on_postgres(|world: World| async move {
        world.bucket("b").await;
        let mut stage = Stage::new(&world, &ACTORS).await;
        let sweeper = stage.handles().nth(5).unwrap().clone();
        let seventh = DriveId::generate();
        for metadata in stage.handles() {
            number(metadata, seventh).await;
        }
        let world = Arc::new(world);
        let mut sums = Sums::default();
        let seeds = seeds(SEEDS);
        let count = seeds.end - seeds.start;
        for seed in seeds {
            let mut random = StdRng::seed_from_u64(seed);
            let scene = Arc::new(Scene::new(&world, &seed.to_string(), seventh).await);
            let act = |name, metadata: Metadata| {
                let (world, scene) = (Arc::clone(&world), Arc::clone(&scene));
                async move { act(name, &world.drives, &metadata, &scene, &Cue::none()).await }
            };
            let cast = cast(&mut random);
            stage.play(seed, &mut random, &cast, act).await;
            sums.add(&scene);
            check(&world, &scene, seed).await;
            drain(&world, (&sweeper, &stage.ahead), &scene, seed).await;
        }
        if count >= SEEDS {
            sums.all_happened();
            assert!(stage.waits > 0);
        }
    });
}

async fn commands_of_a_moving_blob_come_in_any_order(world: World) {
    world.bucket("b").await;
    let world = Arc::new(world);
    let seventh = DriveId::generate();
    number(&world.metadata, seventh).await;
    let mut sums = Sums::default();
    let seeds = seeds(COMMAND_SEEDS);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let began_ms = START_MS + seed * 10 * HOUR_MS;
        world.clock.set_ms(began_ms);
        let scene = Arc::new(Scene::new(&world, &seed.to_string(), seventh).await);
        let act = |name, cue: Cue| {
            let (world, scene) = (Arc::clone(&world), Arc::clone(&scene));
            async move { act(name, &world.drives, &world.metadata, &scene, &cue).await }
        };
        let cast: Vec<_> = cast(&mut random).into_iter().map(|at| ACTORS[at]).collect();
        let turn = |name: &str| {
            let ahead = if is_ahead(name) { 900_000 * HOUR_MS } else { 0 };
            world.clock.set_ms(began_ms + ahead);
        };
        play_commands(seed, &mut random, &cast, act, turn).await;
        sums.add(&scene);
        world.clock.set_ms(began_ms + HOUR_MS);
        check(&world, &scene, seed).await;
        for key in [scene.key.clone(), format!("copy-{}", scene.key)] {
            world.clock.set_ms(began_ms + 2 * HOUR_MS);
            world.delete("b", &key).await;
        }
        world.clock.set_ms(began_ms + 2_000_000 * HOUR_MS);
        let ahead = world.metadata.clone();
        drain(&world, (&ahead, &world.clock), &scene, seed).await;
    }
    if count >= COMMAND_SEEDS {
        sums.all_happened();
    }
}
