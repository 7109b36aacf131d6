//! Copy, delete, overwrite, complete and sweep of one shared blob, interleaved.
//!
//! On PostgreSQL at the granularity of statements: each command runs over a handle of its own whose
//! hook stops before every statement until the scheduler lets it go on. The scheduler lets one go
//! at a time, in an order that a seed decides, and knows from the server which of them waits for a
//! lock. On SQLite one writer puts whole commands in order, so all orders of commands are tried.
//!
//! The sweeper's clock is far ahead, so that no grace protects the blob: only the locks do.
//!
//! `HOLDFAST_INTERLEAVINGS` says how many seeds are tried, `HOLDFAST_SEED` which is the first.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use holdfast_metadata::command::{CompleteUpload, SweepOutcome};
use holdfast_metadata::model::{Bucket, Garbage, Version};
use holdfast_metadata::{Metadata, MetadataError, StatementHook};
use holdfast_types::{BlobId, ManualClock};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Semaphore;

use super::invariants;
use super::postgres_server;
use super::world::{HOUR_MS, Place, START_MS, World, complete_of, copy_of, delete_of, region};

/// Seeds tried in a test run; a soak tries as many as it likes.
const SEEDS: u64 = 150;

/// How often a seed leaves a command in its middle, and within how many statements.
const CHANGES: usize = 2;
/// See [`CHANGES`]: about three commands' worth.
const STEPS: u32 = 40;

/// The commands, each with a handle of its own.
const ACTORS: [&str; 6] = [
    "copy",
    "delete",
    "overwrite",
    "complete",
    "sweep",
    "sweep-again",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Outside of a scheduled command: goes on by itself.
    Free,
    /// Before a statement.
    Stopped,
    /// Under way in a statement, or waiting for a lock in it.
    Running,
    Done,
}

/// Stops its command before each statement.
pub(crate) struct Stops {
    state: Mutex<State>,
    go: Semaphore,
}

impl Stops {
    /// Stops nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::Free),
            go: Semaphore::new(0),
        }
    }

    /// Lets what has stopped take one more step.
    pub(crate) fn release(&self) {
        self.set(State::Running);
        self.go.add_permits(1);
    }

    pub(crate) fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    pub(super) fn state(&self) -> State {
        *self.state.lock().unwrap()
    }
}

#[async_trait]
impl StatementHook for Stops {
    async fn before(&self, _sql: &str) -> Result<(), sqlx::Error> {
        {
            let mut state = self.state.lock().unwrap();
            if *state == State::Free {
                return Ok(());
            }
            *state = State::Stopped;
        }
        self.go.acquire().await.unwrap().forget();
        Ok(())
    }
}

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
    let died = outcomes
        .swept
        .iter()
        .any(|swept| matches!(swept, SweepOutcome::Dead(_)));
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

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn statements_of_a_shared_blob_interleave_on_postgres() {
    super::world::on_postgres(|world: World| async move {
        world.bucket("b").await;
        let Place::Postgres(database) = &world.place else {
            return;
        };
        let url = postgres_server::server().unwrap().url(database, "monitor");
        let mut monitor = PgConnection::connect(&url).await.unwrap();
        let ahead = Arc::new(ManualClock::new(START_MS + 1_000_000 * HOUR_MS));
        let mut actors = Vec::new();
        for name in ACTORS {
            let stops = Arc::new(Stops::new());
            let clock = if name.starts_with("sweep") {
                ahead.clone()
            } else {
                world.clock.clone()
            };
            let config = world.place.config(name);
            let metadata = Metadata::open_hooked(&config, region(), clock, Some(stops.clone()))
                .await
                .unwrap();
            actors.push((name, stops, metadata));
        }
        let world = Arc::new(world);
        let (first, count) = (
            setting("HOLDFAST_SEED", 0),
            setting("HOLDFAST_INTERLEAVINGS", SEEDS),
        );
        let (mut died, mut copied, mut waited) = (0, 0, 0);
        for seed in first..first + count {
            let mut random = StdRng::seed_from_u64(seed);
            let scene = Arc::new(scene(&world, &seed.to_string()).await);
            let outcomes = Arc::new(Mutex::new(Outcomes::default()));
            let mut tasks = Vec::new();
            for (name, stops, metadata) in &actors {
                // Not all of them every time: fewer commands meet more closely.
                if !matches!(*name, "copy" | "sweep") && random.random_bool(0.4) {
                    continue;
                }
                stops.set(State::Running);
                let (world, scene) = (Arc::clone(&world), Arc::clone(&scene));
                let (outcomes, stops) = (Arc::clone(&outcomes), Arc::clone(stops));
                let (name, metadata) = (*name, metadata.clone());
                tasks.push(tokio::spawn(async move {
                    act(name, &world, &metadata, &scene, &outcomes).await;
                    stops.set(State::Done);
                }));
            }
            waited += schedule(&actors, &mut monitor, &mut random, seed).await;
            for task in tasks {
                task.await
                    .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            }
            actors
                .iter()
                .for_each(|(_, stops, _)| stops.set(State::Free));
            let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
            died += u64::from(
                outcomes
                    .swept
                    .iter()
                    .any(|s| matches!(s, SweepOutcome::Dead(_))),
            );
            copied += u64::from(outcomes.copied == Some(true));
            println!("seed {seed}: {outcomes:?}");
            check(&world, &scene, outcomes).await;
            drain(&world, &scene).await;
        }
        println!("{count} seeds: {died} sweeps killed, {copied} copies won, {waited} lock waits");
        if count >= SEEDS {
            // Otherwise the interleavings were not what they claim to be.
            assert!(died > 0 && copied > 0 && waited > 0);
        }
    });
}

pub(crate) type Actor = (&'static str, Arc<Stops>, Metadata);

/// Lets one statement go at a time until all commands are done; how many waited for locks.
pub(crate) async fn schedule(
    actors: &[Actor],
    monitor: &mut PgConnection,
    random: &mut StdRng,
    seed: u64,
) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut waits = 0;
    // The first of an order goes on, as far as it can; at a few random steps whoever is first then
    // becomes the last, so that a command is left in its middle while others run from end to end.
    // Source: Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding
    // bugs" (2010).
    let mut order: Vec<usize> = (0..actors.len()).collect();
    order.shuffle(random);
    let changes = [(); CHANGES].map(|()| random.random_range(1..STEPS));
    let mut step = 0;
    loop {
        assert!(Instant::now() < deadline, "seed {seed} hangs");
        let running = in_state(actors, State::Running);
        if !running.is_empty() {
            if settles_soon(actors, running.len()).await {
                continue;
            }
            let blocked = blocked(monitor).await;
            let is_blocked = |at: &usize| blocked.iter().any(|name| name == actors[*at].0);
            if !running.iter().all(is_blocked) {
                continue;
            }
            waits += 1;
        }
        let stopped = in_state(actors, State::Stopped);
        if stopped.is_empty() {
            if running.is_empty() {
                return waits;
            }
            // All that are left wait for each other: the server will end that.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let first = order.iter().position(|at| stopped.contains(at));
        let first = first.expect("all actors are in the order");
        let next = &actors[order[first]].1;
        step += 1;
        if changes.contains(&step) {
            let left = order.remove(first);
            order.push(left);
        }
        next.release();
    }
}

fn in_state(actors: &[Actor], state: State) -> Vec<usize> {
    (0..actors.len())
        .filter(|at| actors[*at].1.state() == state)
        .collect()
}

/// Whether one of the running commands gets to its next statement or its end within half a
/// millisecond.
async fn settles_soon(actors: &[Actor], running: usize) -> bool {
    let until = Instant::now() + Duration::from_micros(500);
    while Instant::now() < until {
        if in_state(actors, State::Running).len() < running {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// The commands that wait for a lock that somebody holds.
async fn blocked(monitor: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT application_name FROM pg_stat_activity \
         WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0",
    )
    .fetch_all(monitor)
    .await
    .unwrap()
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
                let ahead = if actor.starts_with("sweep") {
                    500 * HOUR_MS
                } else {
                    0
                };
                world.clock.set_ms(now + ahead);
                act(actor, &world, &world.metadata, &scene, &outcomes).await;
            }
            world.clock.set_ms(now + 501 * HOUR_MS);
            let outcomes = outcomes.into_inner().unwrap();
            died += u64::from(
                outcomes
                    .swept
                    .iter()
                    .any(|s| matches!(s, SweepOutcome::Dead(_))),
            );
            copied += u64::from(outcomes.copied == Some(true));
            check(&world, &scene, outcomes).await;
            drain(&world, &scene).await;
        }
        assert!(died > 0 && copied > 0, "{died} {copied}");
    });
}

pub(crate) fn permutations(of: &[&'static str]) -> Vec<Vec<&'static str>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let with = |first: usize| {
        let mut rest = of.to_vec();
        let name = rest.remove(first);
        permutations(&rest).into_iter().map(move |mut order| {
            order.insert(0, name);
            order
        })
    };
    (0..of.len()).flat_map(with).collect()
}
