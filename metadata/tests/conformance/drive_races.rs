//! A drive is removed while a put, a part, a re-encode, a repair's move and a repair that found its
//! fragment well are under way, each of which makes (or lets) a placement name that drive.
//!
//! As the worker does that looks for lost fragments, the remover searches the placements once all
//! transactions that ran at the removal have ended, and never again. Whatever the order, in the end
//! every fragment that a placement wants on the drive is owed: found by the search, owed by who came
//! later, or refused. On PostgreSQL statement by statement, on both databases command by command
//! (`stage.rs`).

use std::sync::{Arc, Mutex};

use holdfast_metadata::Metadata;
use holdfast_metadata::command::{CompleteUpload, PutObject, PutPart, ReportDebts};
use holdfast_metadata::drives::DriveDuty;
use holdfast_metadata::model::{Debt, DebtKind, Upload};
use holdfast_metadata::reencode::{BeginMove, Begun, SwitchPlacement, Switched};
use holdfast_metadata::repair::{Reservation, ReserveTargets, SettleDebts, Settled, Settlement};
use holdfast_types::{BlobId, DriveId, FragmentIndex, Generation, Placement};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::invariants;
use super::reencode_races::number;
use super::stage::{Cue, Stage, play_commands, seeds};
use super::world::{World, complete_of, region};

super::on_both! {
    commands_around_a_removal_come_in_any_order,
}

/// Seeds tried in a test run at the granularity of statements; a soak tries as many as it likes.
const SEEDS: u64 = 25;
/// The same at that of commands.
const COMMAND_SEEDS: u64 = 30;

const ACTORS: [&str; 6] = ["put", "part", "move", "mend", "find-well", "remove"];

/// How often the remover asks whether what ran at the removal has ended.
const LOOKS: u32 = 3;

struct Scene {
    /// The drive that goes.
    going: DriveId,
    put: PutObject,
    part: PutPart,
    upload: Upload,
    /// A whole blob, elsewhere so far.
    moving: BlobId,
    /// A blob elsewhere, whose fragment 2 is owed.
    mending: BlobId,
    /// A blob whose fragment 1 is on the drive, and owed although it is well.
    found: BlobId,
    outcomes: Mutex<Outcomes>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Outcomes {
    /// Moves and repairs that were refused.
    refused: u32,
    /// Those that were not.
    made: u32,
    /// Searches that ended before everybody else had.
    searched: u32,
    /// Fragments that are owed in the end.
    owed: u32,
}

impl Scene {
    async fn new(world: &World, name: &str, going: DriveId) -> Self {
        let upload = world.upload("b", &format!("parts-{name}")).await;
        let mut part = world.part_of("b", &upload, 1, 100);
        part.blob.as_mut().unwrap().placement.drives[3] = Some(going);
        let mut put = world.put_of("b", &format!("put-{name}"), 100, "e");
        put.blob.as_mut().unwrap().placement.drives[0] = Some(going);
        let scene = Self {
            going,
            put,
            part,
            upload,
            moving: placed(world, &format!("moving-{name}"), None).await,
            mending: placed(world, &format!("mending-{name}"), None).await,
            found: placed(world, &format!("found-{name}"), Some((1, going))).await,
            outcomes: Mutex::default(),
        };
        let debts = vec![
            missing(scene.mending, 0, 2, world.drives[2]),
            missing(scene.found, 0, 1, going),
        ];
        let report = ReportDebts { debts };
        world.metadata.report_debts(report).await.unwrap();
        scene
    }

    fn note(&self, note: impl FnOnce(&mut Outcomes)) {
        note(&mut self.outcomes.lock().unwrap());
    }

    fn note_made(&self, is_made: bool) {
        self.note(|outcomes| match is_made {
            true => outcomes.made += 1,
            false => outcomes.refused += 1,
        });
    }
}

async fn placed(world: &World, key: &str, on: Option<(usize, DriveId)>) -> BlobId {
    let mut put = world.put_of("b", key, 100, "e");
    let blob = put.blob.as_mut().unwrap();
    if let Some((index, drive)) = on {
        blob.placement.drives[index] = Some(drive);
    }
    let id = blob.id;
    world.metadata.put_object(put).await.unwrap();
    id
}

fn missing(blob: BlobId, generation: u32, index: u8, drive: DriveId) -> Debt {
    Debt {
        blob,
        region: region(),
        generation: Generation(generation),
        index: FragmentIndex(index),
        drive: Some(drive),
        kind: DebtKind::Missing,
        created_ms: 0,
    }
}

async fn act(actor: &str, drives: &[DriveId], metadata: &Metadata, scene: &Scene, cue: &Cue) {
    match actor {
        "put" => {
            cue.wait().await;
            metadata.put_object(scene.put.clone()).await.unwrap();
        }
        "part" => {
            cue.wait().await;
            let part = metadata.put_part(scene.part.clone()).await.unwrap();
            let complete: CompleteUpload = complete_of("b", &scene.upload, &[&part]);
            cue.wait().await;
            metadata.complete_upload(complete).await.unwrap();
        }
        "move" => shift(drives, metadata, scene, cue).await,
        "mend" => mend(drives[2], metadata, scene, cue).await,
        "find-well" => {
            let well = settle(scene.found, 1, scene.going, scene.going);
            cue.wait().await;
            let settled = metadata.settle_debts(well).await.unwrap();
            scene.note_made(settled == Settlement::Made(vec![true]));
        }
        _ => remove(metadata, scene, cue).await,
    }
}

/// A re-encode of which one fragment comes to be on the drive.
async fn shift(drives: &[DriveId], metadata: &Metadata, scene: &Scene, cue: &Cue) {
    let to = [drives[0], scene.going, drives[4]];
    let begin = BeginMove {
        blob: scene.moving,
        region: region(),
        from: Generation(0),
        targets: (0..).map(FragmentIndex).zip(to).collect(),
    };
    cue.wait().await;
    let Begun::Generation(generation) = metadata.begin_move(begin).await.unwrap() else {
        return scene.note_made(false);
    };
    let switch = SwitchPlacement {
        blob: scene.moving,
        from: Generation(0),
        to: Placement {
            region: region(),
            generation,
            layout: "copies:3".parse().unwrap(),
            drives: to.into_iter().map(Some).collect(),
        },
        debts: Vec::new(),
        job: 1,
    };
    cue.wait().await;
    let switched = metadata.switch_placement(switch).await.unwrap();
    scene.note_made(switched == Switched::Made);
}

/// A repair that makes an owed fragment anew on the drive.
async fn mend(from: DriveId, metadata: &Metadata, scene: &Scene, cue: &Cue) {
    let reserve = ReserveTargets {
        blob: scene.mending,
        region: region(),
        generation: Generation(0),
        targets: vec![(FragmentIndex(2), scene.going)],
    };
    cue.wait().await;
    let reserved = metadata.reserve_targets(reserve).await.unwrap();
    if reserved != Reservation::Made(vec![true]) {
        return scene.note_made(false);
    }
    cue.wait().await;
    let settle = settle(scene.mending, 2, from, scene.going);
    let settled = metadata.settle_debts(settle).await.unwrap();
    scene.note_made(settled == Settlement::Made(vec![true]));
}

fn settle(blob: BlobId, index: u8, from: DriveId, to: DriveId) -> SettleDebts {
    SettleDebts {
        blob,
        region: region(),
        generation: Generation(0),
        settled: vec![Settled {
            index: FragmentIndex(index),
            from: Some(from),
            to,
        }],
    }
}

async fn remove(metadata: &Metadata, scene: &Scene, cue: &Cue) {
    let from = [DriveDuty::InUse];
    cue.wait().await;
    let removed = metadata.set_drive_duty(scene.going, &from, DriveDuty::Removed);
    assert!(removed.await.unwrap());
    let then = metadata.running().await.unwrap();
    for _ in 0..LOOKS {
        cue.wait().await;
        if metadata.running().await.unwrap().are_later_than(then) {
            search(metadata, scene, cue).await;
            return scene.note(|outcomes| outcomes.searched += 1);
        }
    }
}

/// Makes debts of what placements want on the drive.
async fn search(metadata: &Metadata, scene: &Scene, cue: &Cue) {
    cue.wait().await;
    let debts = wanted_there(metadata, scene).await;
    cue.wait().await;
    let report = ReportDebts { debts };
    metadata.report_debts(report).await.unwrap();
}

async fn wanted_there(metadata: &Metadata, scene: &Scene) -> Vec<Debt> {
    let page = metadata.placements_page(None, 10_000).await.unwrap();
    let mut wanted = Vec::new();
    for placed in page {
        let named = (0..).zip(&placed.placement.drives);
        let there = named.filter(|(_, drive)| **drive == Some(scene.going));
        wanted.extend(there.map(|(index, drive)| {
            let generation = placed.placement.generation.0;
            missing(placed.blob, generation, index, drive.unwrap())
        }));
    }
    wanted
}

async fn check(world: &World, scene: &Scene, seed: u64) {
    let has_searched = scene.outcomes.lock().unwrap().searched > 0;
    if !has_searched {
        // The next look of a worker that goes on looking.
        search(&world.metadata, scene, &Cue::none()).await;
    }
    let owed = world.metadata.owed_page(None, 10_000).await.unwrap();
    for wanted in wanted_there(&world.metadata, scene).await {
        let is_owed = owed.iter().any(|owed| {
            owed.blob.blob == wanted.blob
                && owed.blob.placement.generation == wanted.generation
                && owed.owed.iter().any(|one| one.index == wanted.index)
        });
        assert!(
            is_owed,
            "seed {seed}: fragment {} of {} is wanted on a drive that was removed, in silence",
            wanted.index.0, wanted.blob
        );
        scene.note(|outcomes| outcomes.owed += 1);
    }
    invariants::check(world).await;
}

/// Who takes part: fewer meet more closely.
fn cast(random: &mut StdRng) -> Vec<usize> {
    (0..ACTORS.len())
        .filter(|at| ACTORS[*at] == "remove" || random.random_bool(0.6))
        .collect()
}

#[derive(Debug, Default)]
struct Sums(Outcomes);

impl Sums {
    fn add(&mut self, scene: &Scene) {
        let one = *scene.outcomes.lock().unwrap();
        self.0.refused += one.refused;
        self.0.made += one.made;
        self.0.searched += one.searched;
        self.0.owed += one.owed;
    }

    /// Otherwise the orders were not what they claim to be.
    fn all_happened(&self) {
        println!("{:?}", self.0);
        let Outcomes {
            refused,
            made,
            searched,
            owed,
        } = self.0;
        assert!(refused > 0 && made > 0 && searched > 0 && owed > 0);
    }
}

#[test]
fn statements_around_a_removal_interleave_on_postgres() {
    super::world::on_postgres(|world: World| async move {
        world.bucket("b").await;
        let mut stage = Stage::new(&world, &ACTORS).await;
        let world = Arc::new(world);
        let mut sums = Sums::default();
        let seeds = seeds(SEEDS);
        let count = seeds.end - seeds.start;
        for seed in seeds {
            let mut random = StdRng::seed_from_u64(seed);
            let going = DriveId::generate();
            for metadata in stage.handles() {
                number(metadata, going).await;
            }
            let scene = Arc::new(Scene::new(&world, &seed.to_string(), going).await);
            let act = |name, metadata: Metadata| {
                let (world, scene) = (Arc::clone(&world), Arc::clone(&scene));
                async move { act(name, &world.drives, &metadata, &scene, &Cue::none()).await }
            };
            let cast = cast(&mut random);
            stage.play(seed, &mut random, &cast, act).await;
            check(&world, &scene, seed).await;
            sums.add(&scene);
        }
        if count >= SEEDS {
            sums.all_happened();
        }
    });
}

async fn commands_around_a_removal_come_in_any_order(world: World) {
    world.bucket("b").await;
    let world = Arc::new(world);
    let mut sums = Sums::default();
    let seeds = seeds(COMMAND_SEEDS);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let going = DriveId::generate();
        number(&world.metadata, going).await;
        let scene = Arc::new(Scene::new(&world, &seed.to_string(), going).await);
        let act = |name, cue: Cue| {
            let (world, scene) = (Arc::clone(&world), Arc::clone(&scene));
            async move { act(name, &world.drives, &world.metadata, &scene, &cue).await }
        };
        let cast: Vec<_> = cast(&mut random).into_iter().map(|at| ACTORS[at]).collect();
        play_commands(seed, &mut random, &cast, act, |_| {}).await;
        check(&world, &scene, seed).await;
        sums.add(&scene);
    }
    if count >= COMMAND_SEEDS {
        sums.all_happened();
    }
}
