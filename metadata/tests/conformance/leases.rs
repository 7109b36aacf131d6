//! Leases: one holder at a time, by the database's clock, and whoever lost one changes nothing more.

use std::sync::Arc;

use holdfast_metadata::drives::WorkerOrders;
use holdfast_metadata::lease::{Fence, LeaseAnswer, TakeLease};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::{Clock, SystemClock};
use tokio::time::Instant;
use uuid::Uuid;

use super::hooks::Gate;
use super::invariants;
use super::world::{START_MS, World, region};

super::on_both! {
    of_many_that_ask_at_once_one_has_it,
    it_ends_by_the_clock_and_not_before,
    who_was_overtaken_changes_nothing,
    a_change_under_way_is_waited_for_and_none_comes_after,
    a_restart_need_not_wait_where_the_database_is_its_own,
    each_process_has_a_clock_and_the_databases_counts,
}

const TERM_MS: u64 = 20_000;

fn take(holder: Uuid, kept: Option<u64>) -> TakeLease {
    TakeLease {
        name: "sweep".to_owned(),
        holder,
        holder_name: format!("process {}", holder.as_u128() % 100),
        kept,
        term_ms: TERM_MS,
    }
}

async fn taken(metadata: &Metadata, holder: Uuid) -> Option<u64> {
    match metadata.take_lease(take(holder, None)).await.unwrap() {
        LeaseAnswer::Ours { generation, .. } => Some(generation),
        LeaseAnswer::Theirs { .. } => None,
    }
}

fn under(metadata: &Metadata, generation: u64) -> Metadata {
    // Whether it seems good to its process is not asked here.
    metadata.under(&Fence::held("sweep", generation, Instant::now()))
}

fn orders(name: &str) -> WorkerOrders {
    WorkerOrders {
        name: name.to_owned(),
        pace_percent: Some(7),
        paused: false,
    }
}

async fn of_many_that_ask_at_once_one_has_it(world: World) {
    for round in 1..=3 {
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..6_u128 {
            let metadata = if world.is_postgres() {
                world.handle(&format!("asks{number}"), None).await
            } else {
                world.metadata.clone()
            };
            asking.spawn(async move {
                let holder = Uuid::from_u128(round * 10 + number);
                let answer = metadata.take_lease(take(holder, None)).await.unwrap();
                (holder, answer)
            });
        }
        let answers = asking.join_all().await;
        let ours: Vec<_> = answers
            .iter()
            .filter(|(_, answer)| matches!(answer, LeaseAnswer::Ours { .. }))
            .collect();
        let [(holder, answer)] = ours[..] else {
            panic!("{answers:?}");
        };
        let since_ms = START_MS + (round as u64 - 1) * TERM_MS;
        let generation = round as u64;
        assert_eq!(
            *answer,
            LeaseAnswer::Ours {
                generation,
                since_ms
            }
        );
        for (_, other) in answers.iter().filter(|(asker, _)| asker != holder) {
            let theirs = LeaseAnswer::Theirs {
                holder_name: take(*holder, None).holder_name,
                since_ms,
                left_ms: TERM_MS,
            };
            assert_eq!(*other, theirs);
        }
        let leases = world.metadata.worker_leases().await.unwrap();
        assert_eq!(leases.len(), 1);
        assert_eq!((leases[0].holder, leases[0].left_ms), (*holder, TERM_MS));
        world.clock.advance_ms(TERM_MS);
    }
}

async fn it_ends_by_the_clock_and_not_before(world: World) {
    let metadata = &world.metadata;
    let [first, second] = [1, 2].map(Uuid::from_u128);
    assert_eq!(taken(metadata, first).await, Some(1));
    world.clock.advance_ms(TERM_MS - 1);
    assert_eq!(taken(metadata, second).await, None);
    // Renewed at the last moment, it holds for a whole term from there.
    let renewed = metadata.renew_leases(first, TERM_MS).await.unwrap();
    assert_eq!(renewed, [("sweep".to_owned(), 1)]);
    world.clock.advance_ms(TERM_MS - 1);
    assert_eq!(taken(metadata, second).await, None);
    // Late, and nobody was waiting: it goes on as it was, by renewal or by asking for it again.
    world.clock.advance_ms(TERM_MS);
    let renewed = metadata.renew_leases(first, TERM_MS).await.unwrap();
    assert_eq!(renewed, [("sweep".to_owned(), 1)]);
    world.clock.advance_ms(2 * TERM_MS);
    let kept = metadata.take_lease(take(first, Some(1))).await.unwrap();
    let since_ms = START_MS;
    assert_eq!(
        kept,
        LeaseAnswer::Ours {
            generation: 1,
            since_ms
        }
    );
    // Late, and another was there first.
    world.clock.advance_ms(TERM_MS);
    assert_eq!(taken(metadata, second).await, Some(2));
    let renewed = metadata.renew_leases(first, TERM_MS).await.unwrap();
    assert_eq!(renewed, []);
    let again = metadata.take_lease(take(first, Some(1))).await.unwrap();
    assert!(
        matches!(&again, LeaseAnswer::Theirs { holder_name, left_ms: TERM_MS, .. }
            if holder_name == "process 2"),
        "{again:?}"
    );
    // What is given up is free at once, and does not come back by a renewal that was under way.
    metadata.end_leases(second).await.unwrap();
    assert_eq!(metadata.renew_leases(second, TERM_MS).await.unwrap(), []);
    assert_eq!(metadata.worker_leases().await.unwrap()[0].left_ms, 0);
    assert_eq!(taken(metadata, first).await, Some(3));
}

async fn who_was_overtaken_changes_nothing(world: World) {
    let bucket = world.bucket("b").await;
    let [first, second] = [1, 2].map(Uuid::from_u128);
    let metadata = &world.metadata;
    // Before its first lease a worker can change nothing either.
    let before = metadata.under(&Fence::new("sweep"));
    let refused = before.put_worker_orders(orders("never")).await;
    assert!(matches!(refused, Err(MetadataError::LeaseLost(name)) if name == "sweep"));

    assert_eq!(taken(metadata, first).await, Some(1));
    let held = under(metadata, 1);
    held.put_worker_orders(orders("mine")).await.unwrap();
    held.put_object(world.put_of("b", "k", 10, "e"))
        .await
        .unwrap();
    // Its term ends, and nobody else came: still the only one.
    world.clock.advance_ms(TERM_MS);
    held.put_worker_orders(orders("mine too")).await.unwrap();

    assert_eq!(taken(metadata, second).await, Some(2));
    let put = world.put_of("b", "late", 10, "e");
    let refused = held.put_object(put).await.unwrap_err();
    assert!(matches!(refused, MetadataError::LeaseLost(_)), "{refused}");
    let refused = held.put_worker_orders(orders("late")).await.unwrap_err();
    assert!(matches!(refused, MetadataError::LeaseLost(_)), "{refused}");
    // Not of another worker, and not of a generation that is yet to come.
    for stranger in [
        metadata.under(&Fence::held("repair", 2, Instant::now())),
        under(metadata, 3),
    ] {
        let refused = stranger.put_worker_orders(orders("strange")).await;
        assert!(matches!(refused, Err(MetadataError::LeaseLost(_))));
    }
    under(metadata, 2)
        .put_worker_orders(orders("theirs"))
        .await
        .unwrap();
    let named = metadata.worker_orders().await.unwrap();
    let named: Vec<_> = named.iter().map(|orders| orders.name.as_str()).collect();
    assert_eq!(named, ["mine", "mine too", "theirs"]);
    assert!(world.current(&bucket, "k").await.is_ok());
    let late = world.current(&bucket, "late").await;
    assert!(matches!(late, Err(MetadataError::NoSuchKey)));
    // Who asks is not who changes: a stale holder may read.
    assert_eq!(held.worker_leases().await.unwrap().len(), 1);
    invariants::check(&world).await;
}

/// On PostgreSQL transactions go on beside each other. A holder is frozen in the middle of one.
async fn a_change_under_way_is_waited_for_and_none_comes_after(world: World) {
    if !world.is_postgres() {
        return;
    }
    let [first, second] = [1, 2].map(Uuid::from_u128);
    assert_eq!(taken(&world.metadata, first).await, Some(1));
    let gate = Arc::new(Gate::closed());
    gate.set(true);
    let frozen = under(&world.handle("frozen", Some(gate.clone())).await, 1);
    let reached = gate.reached.available_permits();
    gate.reached.forget_permits(reached);
    gate.set(false);
    let change = tokio::spawn({
        let frozen = frozen.clone();
        async move { frozen.put_worker_orders(orders("under way")).await }
    });
    gate.reached.acquire().await.unwrap().forget();
    // Renewing does not wait for it.
    let renewed = world.metadata.renew_leases(first, TERM_MS).await.unwrap();
    assert_eq!(renewed.len(), 1);
    world.clock.advance_ms(TERM_MS);
    let taking = tokio::spawn({
        let metadata = world.metadata.clone();
        async move { taken(&metadata, second).await }
    });
    waiting_for_a_lock(&world).await;
    assert!(!taking.is_finished(), "a change is under way");
    gate.set(true);
    change.await.unwrap().unwrap();
    assert_eq!(taking.await.unwrap(), Some(2));
    let late = frozen.put_worker_orders(orders("late")).await.unwrap_err();
    assert!(matches!(late, MetadataError::LeaseLost(_)), "{late}");
    let left = world.metadata.worker_orders().await.unwrap();
    assert_eq!(left, [orders("under way")]);
}

/// Returns when a transaction of this database waits for another.
async fn waiting_for_a_lock(world: &World) {
    use sqlx::Connection as _;
    let super::world::Place::Postgres(database) = &world.place else {
        return;
    };
    let url = super::postgres_server::server()
        .unwrap()
        .url(database, "looks");
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        if waiting > 0 {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn a_restart_need_not_wait_where_the_database_is_its_own(world: World) {
    let [first, second] = [1, 2].map(Uuid::from_u128);
    assert_eq!(taken(&world.metadata, first).await, Some(1));
    world.metadata.end_leases_of_the_dead().await.unwrap();
    let second = taken(&world.metadata, second).await;
    assert_eq!(second, (!world.is_postgres()).then_some(2));
    let stale = under(&world.metadata, 1);
    let change = stale.put_worker_orders(orders("late")).await;
    assert_eq!(change.is_ok(), world.is_postgres());
}

/// Clocks of machines, one of them an hour ahead.
struct Ahead(u64);

impl Clock for Ahead {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms() + self.0
    }
}

async fn each_process_has_a_clock_and_the_databases_counts(world: World) {
    if !world.is_postgres() {
        return;
    }
    let open = async |application: &str, ahead_ms: u64| {
        let config = world.place.config(application);
        Metadata::open(&config, region(), Arc::new(Ahead(ahead_ms)))
            .await
            .unwrap()
    };
    let (right, ahead) = (open("right", 0).await, open("ahead", 3_600_000).await);
    let [first, second] = [1, 2].map(Uuid::from_u128);
    assert_eq!(taken(&right, first).await, Some(1));
    assert_eq!(taken(&ahead, second).await, None, "by its clock it is over");
    let left_ms = ahead.worker_leases().await.unwrap()[0].left_ms;
    assert!((1..=TERM_MS).contains(&left_ms), "{left_ms}");
    // Held by the one that is ahead, it ends in its time too.
    right.end_leases(first).await.unwrap();
    let mut brief = take(second, None);
    brief.term_ms = 1;
    ahead.take_lease(brief).await.unwrap();
    let deadline = Instant::now() + std::time::Duration::from_secs(30);
    while taken(&right, first).await != Some(3) {
        assert!(Instant::now() < deadline, "its end comes");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
