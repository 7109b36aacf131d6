//! A stage on which commands meet, one step at a time, in an order that a seed decides.
//!
//! On PostgreSQL the steps are statements: each actor has a handle of its own whose hook stops
//! before every statement until the scheduler lets it go on, and the scheduler knows from the
//! server who of them waits for a lock. On either database they may be whole commands: then an
//! actor waits for its cue before each.
//!
//! `HOLDFAST_INTERLEAVINGS` says how many seeds are tried, `HOLDFAST_SEED` which is the first.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::{Metadata, StatementHook};
use holdfast_types::ManualClock;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::postgres_server;
use super::world::{HOUR_MS, Place, START_MS, World, region};

/// How often a seed leaves a command in its middle, and within how many statements.
const CHANGES: usize = 2;
/// See [`CHANGES`]: about three commands' worth.
const STEPS: u32 = 40;

/// How long an order of steps may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long a statement may take before the server is asked whether it waits for a lock.
const SOON: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not on the stage: goes on by itself.
    Free,
    /// Before a step.
    Stopped,
    /// Under way in a step, or waiting for a lock in it.
    Running,
    Done,
}

/// Stops its actor before each step.
struct Stops {
    state: Mutex<State>,
    go: Semaphore,
    /// Tells the scheduler that somebody's state has changed.
    changed: Arc<Notify>,
}

impl Stops {
    fn new(changed: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::Free),
            go: Semaphore::new(0),
            changed: Arc::clone(changed),
        })
    }

    /// Lets what has stopped take one more step.
    fn release(&self) {
        self.set(State::Running);
        self.go.add_permits(1);
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_one();
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap()
    }

    async fn stop(&self) {
        if self.state() != State::Free {
            self.set(State::Stopped);
            self.go.acquire().await.unwrap().forget();
        }
    }

    /// Plays a life on the stage to its end, whatever that is.
    fn play(self: &Arc<Self>, life: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        struct End(Arc<Stops>);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.set(State::Done);
            }
        }
        self.set(State::Running);
        let end = End(Arc::clone(self));
        tokio::spawn(async move {
            let _end = end;
            life.await;
        })
    }
}

#[async_trait]
impl StatementHook for Stops {
    async fn before(&self, _sql: &str) -> Result<(), sqlx::Error> {
        self.stop().await;
        Ok(())
    }
}

/// What an actor waits for before each command where commands are the steps.
#[derive(Clone)]
pub(crate) struct Cue(Option<Arc<Stops>>);

impl Cue {
    /// Never waits.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) async fn wait(&self) {
        if let Some(stops) = &self.0 {
            stops.stop().await;
        }
    }
}

type Actor = (&'static str, Arc<Stops>, Metadata);

/// See the module: the stage of statements.
pub(crate) struct Stage {
    actors: Vec<Actor>,
    monitor: PgConnection,
    changed: Arc<Notify>,
    /// The clock of actors that are called `sweep…`: no grace protects anything from them.
    pub(crate) ahead: Arc<ManualClock>,
    /// How often somebody waited for a lock.
    pub(crate) waits: u64,
}

impl Stage {
    /// Actors with a handle each on the world's database, which is PostgreSQL's.
    pub(crate) async fn new(world: &World, names: &[&'static str]) -> Self {
        let Place::Postgres(database) = &world.place else {
            panic!("only PostgreSQL's statements interleave");
        };
        let url = postgres_server::server().unwrap().url(database, "monitor");
        let ahead = Arc::new(ManualClock::new(START_MS + 1_000_000 * HOUR_MS));
        let changed = Arc::new(Notify::new());
        let mut actors = Vec::new();
        for name in names {
            let stops = Stops::new(&changed);
            let clock = if is_ahead(name) {
                Arc::clone(&ahead)
            } else {
                Arc::clone(&world.clock)
            };
            let config = world.place.config(name);
            let hook = Some(stops.clone() as Arc<dyn StatementHook>);
            let metadata = Metadata::open_hooked(&config, region(), clock, hook);
            actors.push((*name, stops, metadata.await.unwrap()));
        }
        Self {
            actors,
            monitor: PgConnection::connect(&url).await.unwrap(),
            changed,
            ahead,
            waits: 0,
        }
    }

    /// The handles of all actors, in their order.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Metadata> {
        self.actors.iter().map(|(_, _, metadata)| metadata)
    }

    /// Lets some actors act, one statement at a time, until all are done.
    pub(crate) async fn play<L: Future<Output = ()> + Send + 'static>(
        &mut self,
        seed: u64,
        random: &mut StdRng,
        cast: &[usize],
        act: impl Fn(&'static str, Metadata) -> L,
    ) {
        let mut tasks = Vec::new();
        for at in cast {
            let (name, stops, metadata) = &self.actors[*at];
            tasks.push(stops.play(act(name, metadata.clone())));
        }
        self.schedule(seed, random).await;
        end(seed, tasks).await;
        self.actors
            .iter()
            .for_each(|(_, stops, _)| stops.set(State::Free));
    }

    async fn schedule(&mut self, seed: u64, random: &mut StdRng) {
        let deadline = Instant::now() + DEADLINE;
        // The first of an order goes on, as far as it can; at a few random steps whoever is first
        // then becomes the last, so that a command is left in its middle while others run from end
        // to end. Source: Burckhardt et al., "A randomized scheduler with probabilistic guarantees
        // of finding bugs" (2010).
        let mut order: Vec<usize> = (0..self.actors.len()).collect();
        order.shuffle(random);
        let changes = [(); CHANGES].map(|()| random.random_range(1..STEPS));
        let mut step = 0;
        // Those that waited for a lock when they were last asked after.
        let mut waiting: Vec<usize> = Vec::new();
        loop {
            assert!(Instant::now() < deadline, "seed {seed} hangs");
            let running = self.in_state(State::Running);
            if !running.is_empty() {
                let are_known = running.iter().all(|at| waiting.contains(at));
                if !are_known && self.settles_soon(running.len()).await {
                    continue;
                }
                let blocked = self.blocked().await;
                let is_blocked = |at: &usize| blocked.iter().any(|name| name == self.actors[*at].0);
                waiting = running.iter().copied().filter(is_blocked).collect();
                if waiting.len() < running.len() {
                    continue;
                }
                self.waits += 1;
            }
            let stopped = self.in_state(State::Stopped);
            if stopped.is_empty() {
                if running.is_empty() {
                    return;
                }
                // All that are left wait for each other: the server will end that.
                tokio::time::sleep(SOON).await;
                continue;
            }
            let first = order.iter().position(|at| stopped.contains(at));
            let first = first.expect("all actors are in the order");
            let next = &self.actors[order[first]].1;
            step += 1;
            if changes.contains(&step) {
                let left = order.remove(first);
                order.push(left);
            }
            next.release();
        }
    }

    fn in_state(&self, state: State) -> Vec<usize> {
        (0..self.actors.len())
            .filter(|at| self.actors[*at].1.state() == state)
            .collect()
    }

    /// Whether one of the running commands soon gets to its next statement or its end.
    async fn settles_soon(&self, running: usize) -> bool {
        let until = Instant::now() + SOON;
        loop {
            if self.in_state(State::Running).len() < running {
                return true;
            }
            if timeout_at(until, self.changed.notified()).await.is_err() {
                return false;
            }
        }
    }

    /// The actors that wait for a lock that somebody holds.
    async fn blocked(&mut self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT application_name FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock' \
             AND cardinality(pg_blocking_pids(pid)) > 0",
        )
        .fetch_all(&mut self.monitor)
        .await
        .unwrap()
    }
}

/// Lets actors act on one handle, one command at a time; `turn` hears whose turn it is.
pub(crate) async fn play_commands<L: Future<Output = ()> + Send + 'static>(
    seed: u64,
    random: &mut StdRng,
    cast: &[&'static str],
    act: impl Fn(&'static str, Cue) -> L,
    turn: impl Fn(&'static str),
) {
    let deadline = Instant::now() + DEADLINE;
    let changed = Arc::new(Notify::new());
    let (mut actors, mut tasks) = (Vec::new(), Vec::new());
    for name in cast {
        let stops = Stops::new(&changed);
        tasks.push(stops.play(act(name, Cue(Some(stops.clone())))));
        actors.push((*name, stops));
    }
    let in_state = |state: State| {
        let of = actors.iter().filter(|(_, stops)| stops.state() == state);
        of.cloned().collect::<Vec<(&'static str, Arc<Stops>)>>()
    };
    loop {
        // All others stand before theirs.
        while !in_state(State::Running).is_empty() {
            let moved = timeout_at(deadline, changed.notified()).await;
            assert!(moved.is_ok(), "seed {seed} hangs");
        }
        let stopped = in_state(State::Stopped);
        let Some((name, stops)) = stopped.choose(random) else {
            break;
        };
        turn(name);
        stops.release();
    }
    end(seed, tasks).await;
}

async fn end(seed: u64, tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// Whether an actor's clock is far ahead.
pub(crate) fn is_ahead(actor: &str) -> bool {
    actor.starts_with("sweep")
}

/// The seeds of a story that tries so many by itself.
pub(crate) fn seeds(default: u64) -> std::ops::Range<u64> {
    let first = setting("HOLDFAST_SEED", 0);
    first..first + setting("HOLDFAST_INTERLEAVINGS", default)
}

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
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
