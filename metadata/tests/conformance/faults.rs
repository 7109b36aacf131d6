//! Lost commits, callers that leave, neighbours that fail, and databases that must not be opened.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_metadata::command::Resolved;
use holdfast_metadata::model::Usage;
use holdfast_metadata::{Metadata, MetadataConfig, MetadataError, OpenError};
use holdfast_types::FragmentIndex;
use sqlx::{AssertSqlSafe, Connection as _};

use super::hooks::{Gate, Loss, LostCommit};
use super::invariants;
use super::postgres_server;
use super::world::{Place, World, delete_of, if_none_match, query, region};

super::on_both! {
    a_commit_that_never_arrived_did_not_happen,
    a_commit_whose_reply_was_lost_happened,
    a_caller_that_leaves_cancels_nothing,
    one_failure_spoils_nobody_elses_command,
    what_was_committed_is_there_after_a_restart,
    only_a_binary_that_is_too_old_is_refused,
    addresses_are_checked,
}

async fn a_commit_that_never_arrived_did_not_happen(world: World) {
    let bucket = world.bucket("b").await;
    let hook = Arc::new(LostCommit::default());
    let world = world.reopened(hook.clone()).await;
    for len in [0, 10] {
        let put = world.put_of("b", "k", len, "e");
        hook.lose(Loss::Request);
        let error = world.metadata.put_object(put.clone()).await.unwrap_err();
        assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
        assert!(matches!(
            world.current(&bucket, "k").await,
            Err(MetadataError::NoSuchKey)
        ));
        assert_eq!(world.metadata.healthy(), Ok(()));
        assert_eq!(
            world.metadata.resolve(put.op).await.unwrap(),
            Resolved::Never
        );
    }
    world.put("b", "k", 10, "e").await;
    invariants::check(&world).await;
}

async fn a_commit_whose_reply_was_lost_happened(world: World) {
    let bucket = world.bucket("b").await;
    let hook = Arc::new(LostCommit::default());
    let world = world.reopened(hook.clone()).await;
    for len in [0, 10] {
        let put = world.put_of("b", "k", len, "e");
        hook.lose(Loss::Reply);
        let published = world.metadata.put_object(put.clone()).await.unwrap();
        let version = world.current(&bucket, "k").await.unwrap();
        assert_eq!((version.size, version.sequence), (len, published.sequence));
        assert_eq!(
            world.metadata.resolve(put.op).await.unwrap(),
            Resolved::Happened
        );
    }
    hook.lose(Loss::Reply);
    world.delete("b", "k").await;
    assert!(world.current(&bucket, "k").await.is_err());
    invariants::check(&world).await;
}

async fn a_caller_that_leaves_cancels_nothing(world: World) {
    let bucket = world.bucket("b").await;
    let gate = Arc::new(Gate::closed());
    let world = Arc::new(world.reopened_gated(&gate).await);
    gate.set(false);
    let put = world.put_of("b", "k", 10, "e");
    let metadata = world.metadata.clone();
    let caller = tokio::spawn(async move { metadata.put_object(put).await });
    gate.reached.acquire().await.unwrap().forget();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(world.current(&bucket, "k").await.is_err(), "not yet");
    gate.set(true);
    // Whoever comes behind it sees it.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while world.current(&bucket, "k").await.is_err() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the commit was cancelled"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    invariants::check(&world).await;
}

async fn one_failure_spoils_nobody_elses_command(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "taken", 1, "e").await;
    let gate = Arc::new(Gate::closed());
    let world = Arc::new(world.reopened_gated(&gate).await);
    gate.set(false);
    let mut waiting = Vec::new();
    for n in 0..100_u64 {
        let mut put = world.put_of("b", &format!("k{n:03}"), n + 1, "e");
        match n % 10 {
            3 => put.bucket = "nowhere".to_owned(),
            // Two debts of one fragment: the database refuses the second, in the middle.
            5 => {
                let debt = (FragmentIndex(0), None);
                put.blob.as_mut().unwrap().debts = vec![debt, debt];
            }
            7 => {
                put.key = b"taken".to_vec();
                put.condition = if_none_match("*");
            }
            _ => {}
        }
        let metadata = world.metadata.clone();
        waiting.push(tokio::spawn(async move { metadata.put_object(put).await }));
    }
    gate.reached.acquire().await.unwrap().forget();
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.set(true);
    let mut bytes = 1;
    for (n, put) in waiting.into_iter().enumerate() {
        let outcome = put.await.unwrap();
        match n % 10 {
            3 => assert!(matches!(outcome, Err(MetadataError::NoSuchBucket)), "{n}"),
            5 => assert!(matches!(outcome, Err(MetadataError::Database(_))), "{n}"),
            7 => assert!(
                matches!(outcome, Err(MetadataError::PreconditionFailed { .. })),
                "{n}"
            ),
            _ => {
                outcome.unwrap();
                bytes += n as u64 + 1;
            }
        }
    }
    let usage = world.metadata.bucket_usage(bucket.id).await.unwrap();
    assert_eq!(
        usage,
        Usage {
            versions: 71,
            bytes
        }
    );
    assert_eq!(world.list(query(&bucket, 1000)).await.0.len(), 71);
    invariants::check(&world).await;
    if !world.is_postgres() {
        let commits = gate.commits.load(Ordering::SeqCst);
        assert!(
            commits <= 4,
            "{commits} commits for 100 commands that waited together"
        );
    }
}

async fn what_was_committed_is_there_after_a_restart(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "k", 10, "e").await;
    let before = world.current(&bucket, "k").await.unwrap();
    let slices = world.slices(&before).await;
    world.metadata.clone().close().await;
    let closed = world
        .metadata
        .put_object(world.put_of("b", "late", 1, "e"))
        .await;
    assert!(matches!(closed, Err(MetadataError::Unavailable(_))));
    let again = world.handle("again", None).await;
    let selector = holdfast_metadata::model::VersionSelector::Current;
    assert_eq!(
        again.version(bucket.id, b"k", &selector).await.unwrap(),
        before
    );
    assert_eq!(again.slices(before.uid, 0..10).await.unwrap(), slices);
}

async fn set_meta(world: &World, name: &str, value: &str) {
    let sql = format!("UPDATE meta SET value = '{value}' WHERE name = '{name}'");
    match &world.place {
        Place::Sqlite(folder) => {
            let path = folder.path().join("metadata.db");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut connection = sqlx::SqliteConnection::connect_with(&options)
                .await
                .unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        Place::Postgres(database) => {
            let url = postgres_server::server().unwrap().url(database, "meta");
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
}

async fn only_a_binary_that_is_too_old_is_refused(world: World) {
    let open = async || {
        let config = world.place.config("opener");
        Metadata::open(&config, region(), world.clock.clone()).await
    };
    world.bucket("b").await;
    world.metadata.clone().close().await;
    set_meta(&world, "schema_version", "99").await;
    set_meta(&world, "oldest_binary", "99.0.0").await;
    let error = open().await.unwrap_err();
    assert!(
        matches!(error, OpenError::TooNew { found: 99, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("at least Holdfast 99.0.0"),
        "{error}"
    );
    set_meta(&world, "oldest_binary", "0.0.1").await;
    let newer = open().await.unwrap();
    assert!(newer.bucket("b").await.is_ok());
    newer.close().await;
}

async fn addresses_are_checked(world: World) {
    for url in [
        "",
        "sqlite:",
        "sqlite::memory:",
        "mysql://x",
        "/a/path",
        "sqlite:a?mode=ro",
    ] {
        let config = MetadataConfig::new(url);
        let error = Metadata::open(&config, region(), world.clock.clone())
            .await
            .unwrap_err();
        assert!(matches!(error, OpenError::Address(_)), "{url}: {error}");
    }
}

#[test]
fn sqlite_stays_unknown_until_the_file_can_be_read() {
    super::world::on_sqlite(|world: World| async move {
        let bucket = world.bucket("b").await;
        let hook = Arc::new(LostCommit::default());
        let world = world.reopened(hook.clone()).await;
        let put = world.put_of("b", "k", 10, "e");
        hook.lose(Loss::Everything);
        let error = world.metadata.put_object(put.clone()).await.unwrap_err();
        assert!(
            matches!(error, MetadataError::OutcomeUnknown(op) if op == put.op),
            "{error}"
        );
        assert!(world.metadata.healthy().is_err());
        let refused = world
            .metadata
            .put_object(world.put_of("b", "x", 1, "e"))
            .await
            .unwrap_err();
        assert!(matches!(refused, MetadataError::Unavailable(_)));
        assert!(
            world.current(&bucket, "k").await.is_err(),
            "nobody is let in"
        );
        hook.is_back();
        assert_eq!(
            world.metadata.resolve(put.op).await.unwrap(),
            Resolved::Happened
        );
        assert_eq!(world.metadata.healthy(), Ok(()));
        assert_eq!(world.current(&bucket, "k").await.unwrap().size, 10);
        assert!(world.current(&bucket, "x").await.is_err());
        invariants::check(&world).await;
    });
}

#[test]
fn sqlite_is_served_by_one_process() {
    super::world::on_sqlite(|world: World| async move {
        let config = world.place.config("second");
        let error = Metadata::open(&config, region(), world.clock.clone())
            .await
            .unwrap_err();
        assert!(matches!(&error, OpenError::Unsafe(text) if text.contains("another process")));
        world.metadata.clone().close().await;
        Metadata::open(&config, region(), world.clock.clone())
            .await
            .unwrap();
    });
}

#[test]
fn postgres_is_made_new_by_one_of_many() {
    let Some(server) = postgres_server::server() else {
        return;
    };
    super::world::on_postgres(|world: World| async move {
        let place = Place::Postgres(server.database().await);
        let opens = (0..8).map(|_| {
            let (config, clock) = (place.config("opener"), world.clock.clone());
            tokio::spawn(async move { Metadata::open(&config, region(), clock).await })
        });
        for open in futures::future::join_all(opens).await {
            let metadata = open.unwrap().unwrap();
            assert!(metadata.policies().await.unwrap().is_empty());
            metadata.close().await;
        }
    });
}

#[test]
fn postgres_that_can_lose_commits_is_refused() {
    super::world::on_postgres(|world: World| async move {
        let Place::Postgres(database) = &world.place else {
            return;
        };
        let url = postgres_server::server().unwrap().url(database, "settings");
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        let sql = format!("ALTER DATABASE {database} SET synchronous_commit = off");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        let config = world.place.config("opener");
        let error = Metadata::open(&config, region(), world.clock.clone())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("synchronous_commit is `off`"),
            "{error}"
        );
    });
}

#[test]
fn postgres_tries_another_connection_after_the_server_dropped_them() {
    super::world::on_postgres(|world: World| async move {
        world.bucket("b").await;
        let Place::Postgres(database) = &world.place else {
            return;
        };
        let url = postgres_server::server().unwrap().url(database, "killer");
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        for n in 0..5 {
            sqlx::raw_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'story'",
            )
            .execute(&mut connection)
            .await
            .unwrap();
            world.put("b", &format!("k{n}"), 1, "e").await;
        }
        world
            .metadata
            .delete_object(delete_of("b", "k0", None))
            .await
            .unwrap();
        invariants::check(&world).await;
    });
}
