//! Two sets of workers over one database: one works, the other waits its turn; and what one does
//! that was frozen, and overtaken, comes to nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use holdfast_metadata::drives::WorkerOrders;
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::testing::World;
use crate::worker::{Progress, WorkError, Worker};
use crate::{WorkerState, WorkerStatus, Workers};

/// Leaves a mark in the metadata with each step, if it is let; can be frozen before it does.
struct Marker {
    metadata: Metadata,
    set: &'static str,
    marks: u64,
    is_frozen: watch::Receiver<bool>,
    frozen_steps: Arc<Semaphore>,
    times_lost: Arc<AtomicU64>,
}

#[async_trait]
impl Worker for Marker {
    fn name(&self) -> &'static str {
        "marker"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    fn lease_lost(&mut self) {
        self.times_lost.fetch_add(1, Ordering::SeqCst);
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        if *self.is_frozen.borrow() {
            self.frozen_steps.add_permits(1);
        }
        // Its set is gone, or it goes on.
        drop(self.is_frozen.wait_for(|is_frozen| !is_frozen).await);
        let mark = WorkerOrders {
            name: format!("{}-{:06}", self.set, self.marks),
            pace_percent: None,
            paused: false,
        };
        self.metadata.put_worker_orders(mark).await?;
        self.marks += 1;
        Ok(Progress::Busy)
    }

    async fn wait(&mut self) {}

    fn doing(&self) -> String {
        format!("{} marks", self.marks)
    }
}

struct Set {
    name: &'static str,
    workers: Workers,
    freeze: watch::Sender<bool>,
    frozen_steps: Arc<Semaphore>,
    times_lost: Arc<AtomicU64>,
}

const TERM: Duration = Duration::from_secs(2);

impl Set {
    /// Renews as soon as `renew_every`.
    fn start(world: &World, name: &'static str, renew_every: Duration) -> Self {
        let terms = Terms {
            term: TERM,
            renew_every,
        };
        let leases = Leases::with_terms(world.metadata.clone(), format!("set {name}"), terms);
        let workers = Workers::leased(leases);
        let set = Self {
            name,
            workers,
            freeze: watch::Sender::new(false),
            frozen_steps: Arc::new(Semaphore::new(0)),
            times_lost: Arc::default(),
        };
        set.workers.start(Marker {
            metadata: world.metadata.clone(),
            set: name,
            marks: 0,
            is_frozen: set.freeze.subscribe(),
            frozen_steps: Arc::clone(&set.frozen_steps),
            times_lost: Arc::clone(&set.times_lost),
        });
        set
    }

    fn status(&self) -> WorkerStatus {
        self.workers.table().list().remove(0)
    }

    fn holder(&self) -> Option<(String, bool)> {
        let lease = self.status().lease?;
        Some((lease.holder, lease.is_ours))
    }

    async fn until(&self, what: &str, holds: impl Fn(&WorkerStatus) -> bool) {
        eventually(what, async || holds(&self.status())).await;
    }

    /// Until it has left more marks than it had.
    async fn works(&self, world: &World) {
        let before = marks(world, self.name).await;
        eventually("it works", async || marks(world, self.name).await > before).await;
    }
}

async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn marks(world: &World, set: &str) -> usize {
    let all = world.metadata.worker_orders().await.unwrap();
    all.iter().filter(|one| one.name.starts_with(set)).count()
}

/// Never, as far as a test goes.
const NEVER: Duration = Duration::from_secs(24 * 3600);
const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn who_was_frozen_in_a_step_is_overtaken_and_changes_nothing() {
    let world = World::new().await;
    // As if it were frozen whole, it does not renew either.
    let first = Set::start(&world, "first", NEVER);
    first.works(&world).await;
    assert_eq!(first.holder(), Some(("set first".to_owned(), true)));
    let second = Set::start(&world, "second", SOON);
    let stands_by = |status: &WorkerStatus| status.state == WorkerState::Standby;
    second.until("it waits", stands_by).await;
    assert_eq!(second.holder(), Some(("set first".to_owned(), false)));

    first.freeze.send_replace(true);
    first.frozen_steps.acquire().await.unwrap().forget();
    let before = marks(&world, "first").await;
    assert_eq!(marks(&world, "second").await, 0, "its term is not over");
    world.clock.advance_ms(TERM.as_millis() as u64);
    second.works(&world).await;
    assert_eq!(second.holder(), Some(("set second".to_owned(), true)));

    first.freeze.send_replace(false);
    first.until("it learns that it lost", stands_by).await;
    assert_eq!(marks(&world, "first").await, before, "and changed nothing");
    assert_eq!(first.holder(), Some(("set second".to_owned(), false)));
    assert_eq!(first.times_lost.load(Ordering::SeqCst), 1);
    assert_eq!(first.status().errors, 0, "that is no failure");
    second.works(&world).await;

    // One that stops well is not waited for.
    let Set { workers, .. } = second;
    assert!(workers.stop(Duration::from_secs(60)).await);
    first
        .until("it works again", |status| {
            status.lease.as_ref().is_some_and(|lease| lease.is_ours)
        })
        .await;
    first.works(&world).await;
    assert!(marks(&world, "first").await > before);
}

#[tokio::test]
async fn a_lease_is_renewed_for_as_long_as_its_holder_lives() {
    let world = World::new().await;
    let first = Set::start(&world, "first", SOON);
    first.works(&world).await;
    // A step that goes on for longer than a term is no reason to lose it.
    first.freeze.send_replace(true);
    first.frozen_steps.acquire().await.unwrap().forget();
    for _ in 0..5 {
        world.clock.advance_ms(TERM.as_millis() as u64 - 1);
        let left = async || world.metadata.worker_leases().await.unwrap()[0].left_ms;
        eventually("it is renewed", async || {
            left().await == TERM.as_millis() as u64
        })
        .await;
    }
    let second = Set::start(&world, "second", SOON);
    second
        .until("it waits", |status| status.state == WorkerState::Standby)
        .await;
    first.freeze.send_replace(false);
    first.works(&world).await;
    assert_eq!(marks(&world, "second").await, 0);
    assert_eq!(first.times_lost.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn who_finds_at_a_renewal_that_it_was_overtaken_stops_beside_its_steps() {
    let world = World::new().await;
    let first = Set::start(&world, "first", SOON);
    first.works(&world).await;
    // Paused, it makes no steps; it keeps its lease all the same.
    let table = first.workers.table();
    assert!(
        table
            .order("marker", |orders| orders.paused = true)
            .is_some()
    );
    first
        .until("it is paused", |status| status.state == WorkerState::Paused)
        .await;
    world.clock.advance_ms(10 * TERM.as_millis() as u64);
    let other = TakeLease {
        name: "marker".to_owned(),
        holder: Uuid::new_v4(),
        holder_name: "another".to_owned(),
        kept: None,
        term_ms: 3_600_000,
    };
    // It may have been renewed in between: until there is a moment at which it was not.
    eventually("another takes it", async || {
        world.clock.advance_ms(2 * TERM.as_millis() as u64);
        let answer = world.metadata.take_lease(other.clone()).await.unwrap();
        matches!(answer, LeaseAnswer::Ours { .. })
    })
    .await;
    let lost = async || first.times_lost.load(Ordering::SeqCst) == 1;
    eventually("it is told without a step", lost).await;
    assert!(
        table
            .order("marker", |orders| orders.paused = false)
            .is_some()
    );
    first
        .until("it waits", |status| status.state == WorkerState::Standby)
        .await;
    assert_eq!(first.holder(), Some(("another".to_owned(), false)));
}

#[tokio::test]
async fn a_restart_over_the_embedded_database_waits_for_nobody() {
    let world = World::new().await;
    let killed = Leases::new(world.metadata.clone(), "killed");
    let lease = killed.of("marker");
    let standing = killed.settle(&lease).await.unwrap();
    assert!(matches!(standing, Standing::Ours { generation: 1, .. }));
    let next = Leases::new(world.metadata.clone(), "next");
    let standing = next.settle(&next.of("marker")).await.unwrap();
    assert!(matches!(standing, Standing::Ours { generation: 2, .. }));
}
