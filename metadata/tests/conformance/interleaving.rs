//! Copy, delete, overwrite, complete and sweep of one shared blob, interleaved: on PostgreSQL
//! statement by statement (`stage.rs`); on SQLite one writer puts whole commands in order, so all
//! orders of commands are tried.
//!
//! The sweeper's clock is far ahead, so that no grace protects the blob: only the locks do.

use std::sync::{Arc, Mutex};

use holdfast_metadata::command::{CompleteUpload, SweepOutcome};
use holdfast_metadata::model::{Bucket, Garbage, Version};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::BlobId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::invariants;
use super::stage::{Stage, is_ahead, permutations, seeds};
use super::world::{HOUR_MS, START_MS, World, complete_of, copy_of, delete_of, region};

/// Seeds tried in a test run; a soak tries as many as it likes.
const SEEDS: u64 = 150;

/// The commands, each with a handle of its own.
const ACTORS: [&str; 6] = [
    "copy",
    "delete",
    "overwrite",
    "complete",
    "sweep",
    "sweep-again",
];

/// One shared blob: `k` refers to it, a garbage row of it is due, and an upload stands ready that
/// replaces `k`.
struct Scene {
    bucket: Bucket,
    key: String,
    source: Version,
    blob: BlobId,
    complete: CompleteUpload,
}

async fn scene(world: &World, name: &str) -> Scene {
    let bucket = world.metadata.bucket("b").await.unwrap();
    let key = format!("k-{name}");
    world.put("b", &key, 100, "e").await;
    let source = world.current(&bucket, &key).await.unwrap();
    let blob = world.slices(&source).await[0].blob.blob;
    let passing = format!("passing-{name}");
    world.copy(&source, "b", &passing).await.unwrap();
    world.delete("b", &passing).await;
    let upload = world.upload("b", &key).await;
    let part = world.part("b", &upload, 1, 50).await;
    let complete = complete_of("b", &upload, &[&part]);
    Scene {
        bucket,
        key,
        source,
        blob,
        complete,
    }
}

/// What the commands of a scene answered.
#[derive(Debug, Default)]
struct Outcomes {
    copied: Option<bool>,
    swept: Vec<SweepOutcome>,
}

impl Outcomes {
    fn has_died(&self) -> bool {
        let is_dead = |swept: &SweepOutcome| matches!(swept, SweepOutcome::Dead(_));
        self.swept.iter().any(is_dead)
    }
}

/// Runs one command; all but a copy of a source that is gone must succeed.
async fn act(
    actor: &str,
    world: &World,
    metadata: &Metadata,
    scene: &Scene,
    outcomes: &Mutex<Outcomes>,
) {
    match actor {
        "copy" => {
            let copy = copy_of(&scene.source, "b", &format!("copy-{}", scene.key));
            let copied = match metadata.copy_object(copy).await {
                Ok(_) => true,
                Err(MetadataError::SourceChanged) => false,
                Err(error) => panic!("copy: {error}"),
            };
            outcomes.lock().unwrap().copied = Some(copied);
        }
        "delete" => {
            metadata
                .delete_object(delete_of("b", &scene.key, None))
                .await
                .unwrap();
        }
        "overwrite" => {
            let put = world.put_of("b", &scene.key, 70, "new");
            metadata.put_object(put).await.unwrap();
        }
        "complete" => {
            metadata
                .complete_upload(scene.complete.clone())
                .await
                .unwrap();
        }
        _ => {
            let swept = metadata.begin_sweep(scene.blob, &region()).await.unwrap();
            outcomes.lock().unwrap().swept.push(swept);
        }
    }
}

/// What must hold when all have answered, beside the invariants.
async fn check(world: &World, scene: &Scene, outcomes: Outcomes) {
    let died = outcomes.has_died();
    let copied = outcomes.copied.unwrap();
    assert!(
        !(died && copied),
        "the copy refers to a dead blob: {outcomes:?}"
    );
    let copy = world
        .current(&scene.bucket, &format!("copy-{}", scene.key))
        .await;
    assert_eq!(copy.is_ok(), copied);
    if let Ok(copy) = copy {
        let slices = world.slices(&copy).await;
        assert_eq!((slices[0].blob.blob, slices[0].len), (scene.blob, 100));
    }
    invariants::check(world).await;
}

/// Lets everything go and sweeps: whatever the order was, each blob can die.
async fn drain(world: &World, scene: &Scene) {
    for key in [scene.key.clone(), format!("copy-{}", scene.key)] {
        world.delete("b", &key).await;
    }
    // Where the upload was not completed it still holds its part.
    let upload = &scene.complete.upload;
    match world
        .metadata
        .abort_upload(scene.bucket.id, scene.key.as_bytes(), *upload)
        .await
    {
        Ok(()) | Err(MetadataError::NoSuchUpload) => {}
        Err(error) => panic!("abort: {error}"),
    }
    world.clock.advance_ms(2 * HOUR_MS);
    loop {
        let due: Vec<Garbage> = world.metadata.due_garbage(None, 100).await.unwrap();
        if due.is_empty() {
            break;
        }
        for garbage in due {
            let swept = world
                .metadata
                .begin_sweep(garbage.blob, &region())
                .await
                .unwrap();
            assert!(matches!(swept, SweepOutcome::Dead(_)), "{swept:?}");
            world.metadata.finish_sweep(garbage).await.unwrap();
        }
    }
    assert!(
        world
            .metadata
            .placements_page(None, 10)
            .await
            .unwrap()
            .is_empty(),
        "a leak"
    );
    invariants::check(world).await;
}

#[test]
fn statements_of_a_shared_blob_interleave_on_postgres() {
    super::world::on_postgres(|world: World| async move {
        world.bucket("b").await;
        let mut stage = Stage::new(&world, &ACTORS).await;
        let world = Arc::new(world);
        let (mut died, mut copied) = (0, 0);
        let seeds = seeds(SEEDS);
        let count = seeds.end - seeds.start;
        for seed in seeds {
            let mut random = StdRng::seed_from_u64(seed);
            let scene = Arc::new(scene(&world, &seed.to_string()).await);
            let outcomes = Arc::new(Mutex::new(Outcomes::default()));
            let act = |name, metadata: Metadata| {
                let (world, scene) = (Arc::clone(&world), Arc::clone(&scene));
                let outcomes = Arc::clone(&outcomes);
                async move { act(name, &world, &metadata, &scene, &outcomes).await }
            };
            let cast = cast(&mut random);
            stage.play(seed, &mut random, &cast, act).await;
            let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
            died += u64::from(outcomes.has_died());
            copied += u64::from(outcomes.copied == Some(true));
            println!("seed {seed}: {outcomes:?}");
            check(&world, &scene, outcomes).await;
            drain(&world, &scene).await;
        }
        let waited = stage.waits;
        println!("{count} seeds: {died} sweeps killed, {copied} copies won, {waited} lock waits");
        if count >= SEEDS {
            // Otherwise the interleavings were not what they claim to be.
            assert!(died > 0 && copied > 0 && waited > 0);
        }
    });
}

/// Not all of them every time: fewer commands meet more closely.
fn cast(random: &mut StdRng) -> Vec<usize> {
    let always = |name: &str| matches!(name, "copy" | "sweep");
    (0..ACTORS.len())
        .filter(|at| always(ACTORS[*at]) || !random.random_bool(0.4))
        .collect()
}

#[test]
fn whole_commands_of_a_shared_blob_come_in_any_order_on_sqlite() {
    super::world::on_sqlite(|world: World| async move {
        world.bucket("b").await;
        let (mut died, mut copied) = (0, 0);
        for (number, order) in permutations(&ACTORS[..5]).into_iter().enumerate() {
            let scene = scene(&world, &number.to_string()).await;
            let outcomes = Mutex::new(Outcomes::default());
            let now = START_MS + number as u64 * 1000 * HOUR_MS;
            for actor in &order {
                let ahead = if is_ahead(actor) { 500 * HOUR_MS } else { 0 };
                world.clock.set_ms(now + ahead);
                act(actor, &world, &world.metadata, &scene, &outcomes).await;
            }
            world.clock.set_ms(now + 501 * HOUR_MS);
            let outcomes = outcomes.into_inner().unwrap();
            died += u64::from(outcomes.has_died());
            copied += u64::from(outcomes.copied == Some(true));
            check(&world, &scene, outcomes).await;
            drain(&world, &scene).await;
        }
        assert!(died > 0 && copied > 0, "{died} {copied}");
    });
}
