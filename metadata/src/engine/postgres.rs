//! The cluster's database: a pool, and each command in a transaction and a task of its own.
//!
//! READ COMMITTED with explicit row locks: what a command relies on it locks, in the order bucket,
//! upload, key, blobs. Serialization failures and deadlocks are tried again. A COMMIT whose reply
//! is lost is resolved by inserting the same attempt as aborted: the row that is there first says
//! what happened.

use std::sync::Arc;
use std::time::Duration;

use holdfast_types::mutant::{self, Mutant};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool, Postgres};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::job::Apply;
use super::{DEADLINE, Lent, Reader, Surroundings};
use crate::command::Resolved;
use crate::commands::outcomes;
use crate::error::{MetadataError, OpenError};
use crate::handle::MetadataConfig;
use crate::model::OpId;
use crate::schema;
use crate::sql::{Connection, Tx};

/// How often a command that lost a deadlock or a race is run at most.
const ATTEMPTS: u32 = 10;

/// Connections that were idle for longer are asked whether they still live before they are used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How long the outcome of a lost COMMIT is looked for.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(30);

/// The oldest server that has all that is used here (64-bit transaction ids in SQL).
const OLDEST_SERVER: i64 = 13_00_00;

/// Prepared statements kept a connection: more than all that exist here.
const STATEMENTS: usize = 256;

/// See the module.
pub(crate) struct PostgresEngine {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    pool: PgPool,
    surroundings: Surroundings,
}

/// How one attempt to run a command ended.
enum Attempt<T> {
    /// Committed.
    Done(T),
    /// Rolled back, for this reason.
    Failed(MetadataError),
    /// Rolled back by the database, to be tried again.
    Again(MetadataError),
    /// COMMIT was sent and its reply did not come.
    Unknown(T),
}

impl PostgresEngine {
    /// Connects, makes the schema new, and checks the server's settings.
    pub(super) async fn open(
        config: &MetadataConfig,
        surroundings: Surroundings,
    ) -> Result<Self, OpenError> {
        let options: PgConnectOptions = config
            .url
            .parse()
            .map_err(|_| OpenError::Address(hide_password(&config.url)))?;
        let deadline_ms = DEADLINE.as_millis().to_string();
        let options = options
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging()
            // The server gives up when we have: locks of a gateway that is gone are freed.
            .options([
                ("statement_timeout", deadline_ms.as_str()),
                ("idle_in_transaction_session_timeout", deadline_ms.as_str()),
                // All statements here go by an index and end with the page: a planner that knows
                // too little of a table that grew overnight must not think otherwise.
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(config.postgres_connections.max(1))
            .acquire_timeout(DEADLINE)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        let mut connection = pool.acquire().await?;
        check_settings(&mut connection).await?;
        schema::migrate_postgres(&mut connection).await?;
        drop(connection);
        Ok(Self {
            shared: Arc::new(Shared { pool, surroundings }),
            tasks: TaskTracker::new(),
        })
    }

    /// Runs a command in a task of its own.
    pub(super) async fn run<C: Apply>(&self, command: C) -> Result<C::Outcome, MetadataError> {
        if self.tasks.is_closed() {
            return Err(MetadataError::Unavailable(
                "the metadata is closed".to_owned(),
            ));
        }
        let shared = Arc::clone(&self.shared);
        let task = self.tasks.spawn(async move { shared.run(&command).await });
        task.await.unwrap_or_else(|panic| {
            Err(MetadataError::Unavailable(format!(
                "a command stopped: {panic}"
            )))
        })
    }

    /// See [`super::Engine::now_ms`].
    pub(super) fn now_ms(&self) -> u64 {
        self.shared.surroundings.clock.now_ms()
    }

    /// See [`super::Engine::reader`].
    pub(super) async fn reader(&self) -> Result<Reader, MetadataError> {
        Ok(Reader {
            surroundings: self.shared.surroundings.clone(),
            lent: Lent::Postgres(self.shared.pool.acquire().await?),
        })
    }

    /// See [`super::Engine::snapshot`].
    pub(super) async fn snapshot(&self) -> Result<Reader, MetadataError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(Reader {
            surroundings: self.shared.surroundings.clone(),
            lent: Lent::PostgresSnapshot(self.shared.pool.begin_with(begin).await?),
        })
    }

    /// See [`super::Engine::healthy`].
    pub(super) fn healthy(&self) -> Result<(), String> {
        if self.shared.pool.is_closed() {
            return Err("the metadata is closed".to_owned());
        }
        Ok(())
    }

    /// See [`super::Engine::close`].
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.shared.pool.close().await;
    }
}

impl Shared {
    async fn run<C: Apply>(&self, command: &C) -> Result<C::Outcome, MetadataError> {
        let deadline = Instant::now() + DEADLINE;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(command, deadline).await {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Failed(error) => return Err(error),
                Attempt::Again(_) if attempts < ATTEMPTS && Instant::now() < deadline => {
                    // Whoever met here shall not meet again at once.
                    tokio::time::sleep(jitter(attempts)).await;
                }
                Attempt::Again(error) => {
                    return Err(MetadataError::Unavailable(error.to_string()));
                }
                Attempt::Unknown(outcome) => return self.settle(command.op(), outcome).await,
            }
        }
    }

    async fn attempt<C: Apply>(&self, command: &C, deadline: Instant) -> Attempt<C::Outcome> {
        let mut held = match timeout_at(deadline, self.pool.acquire()).await {
            Ok(Ok(connection)) => Held(Some(connection)),
            Ok(Err(error)) => return Attempt::Failed(error.into()),
            Err(_) => return Attempt::Failed(late()),
        };
        let Some(connection) = held.0.as_mut() else {
            return Attempt::Failed(late());
        };
        let mut tx = self.surroundings.tx(Connection::Postgres(connection));
        match timeout_at(deadline, tx.control("BEGIN")).await {
            Err(_) => return Attempt::Failed(late()),
            // A connection that broke while it was idle: nothing was sent that could have happened.
            Ok(Err(error)) => return Attempt::Again(error.into()),
            Ok(Ok(())) => {}
        }
        let ended = match timeout_at(deadline, command.apply(&mut tx)).await {
            Err(_) => return Attempt::Failed(late()),
            Ok(Ok(outcome)) => commit(&mut tx, outcome, deadline).await,
            Ok(Err(error)) => roll_back(&mut tx, error, deadline).await,
        };
        if ended.reusable {
            held.give_back();
        }
        ended.attempt
    }

    /// Finds out what became of a commit, over another connection.
    async fn settle<T>(&self, op: Option<OpId>, outcome: T) -> Result<T, MetadataError> {
        let Some(op) = op else {
            return Err(MetadataError::Unavailable(
                "the reply of a COMMIT was lost: it may have happened, and can be repeated"
                    .to_owned(),
            ));
        };
        tracing::warn!(?op, "the reply of a COMMIT was lost: it is being resolved");
        let deadline = Instant::now() + RESOLVE_DEADLINE;
        while Instant::now() < deadline {
            let resolving = outcomes::Resolve { op };
            match self.attempt(&resolving, deadline).await {
                Attempt::Done(Resolved::Happened) => return Ok(outcome),
                Attempt::Done(Resolved::Never) if mutant::active(Mutant::UnknownIsDone) => {
                    return Ok(outcome);
                }
                Attempt::Done(Resolved::Never) => {
                    return Err(MetadataError::Unavailable("the commit failed".to_owned()));
                }
                // Asking again is safe: our own `aborted` row is found then.
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(MetadataError::OutcomeUnknown(op))
    }
}

/// How a transaction ended, and whether its connection is still good.
struct Ended<T> {
    attempt: Attempt<T>,
    reusable: bool,
}

async fn commit<T>(tx: &mut Tx<'_>, outcome: T, deadline: Instant) -> Ended<T> {
    let (attempt, reusable) = match timeout_at(deadline, tx.control("COMMIT")).await {
        Ok(Ok(())) => (Attempt::Done(outcome), true),
        Ok(Err(error)) => match sql_state(&error).as_deref() {
            // Only these say for certain that nothing was committed.
            Some(state) if state.starts_with("40") => (Attempt::Again(error.into()), true),
            Some(state) if state.starts_with("23") => (Attempt::Failed(error.into()), true),
            _ => {
                tracing::warn!(%error, "a COMMIT failed: its outcome is unknown");
                (Attempt::Unknown(outcome), false)
            }
        },
        Err(_) => (Attempt::Unknown(outcome), false),
    };
    Ended { attempt, reusable }
}

async fn roll_back<T>(tx: &mut Tx<'_>, error: MetadataError, deadline: Instant) -> Ended<T> {
    let again = match &error {
        MetadataError::Database(error) => {
            sql_state(error).is_some_and(|state| state.starts_with("40"))
        }
        _ => false,
    };
    let reusable = matches!(
        timeout_at(deadline, tx.control("ROLLBACK")).await,
        Ok(Ok(()))
    );
    let attempt = if again {
        Attempt::Again(error)
    } else {
        Attempt::Failed(error)
    };
    Ended { attempt, reusable }
}

fn sql_state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

fn late() -> MetadataError {
    MetadataError::Unavailable(format!("no answer in {} s", DEADLINE.as_secs()))
}

/// A moment that differs between those who met: up to 5 ms an attempt.
fn jitter(attempts: u32) -> Duration {
    let chance = u32::from(Uuid::new_v4().as_bytes()[0]);
    Duration::from_micros(u64::from(chance * attempts * 20))
}

/// A borrowed connection that is closed when dropped, unless it was given back: one that was left
/// in the middle of a transaction must not be lent to anybody else.
struct Held(Option<PoolConnection<Postgres>>);

impl Held {
    fn give_back(&mut self) {
        self.0 = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

/// Refuses servers that would acknowledge what they can lose.
async fn check_settings(connection: &mut sqlx::PgConnection) -> Result<(), OpenError> {
    let setting = async |connection: &mut sqlx::PgConnection, name: &'static str| {
        sqlx::query_scalar::<_, String>("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(connection)
            .await
    };
    let version = setting(connection, "server_version_num").await?;
    if version.parse::<i64>().unwrap_or(0) < OLDEST_SERVER {
        return Err(OpenError::Unsafe(format!(
            "PostgreSQL {version} is too old: 13 is the oldest that will do"
        )));
    }
    for (name, safe) in [
        ("fsync", ["on", "on"]),
        ("full_page_writes", ["on", "on"]),
        ("synchronous_commit", ["on", "remote_apply"]),
        ("server_encoding", ["UTF8", "UTF8"]),
    ] {
        let found = setting(connection, name).await?;
        if !safe.contains(&found.as_str()) {
            return Err(OpenError::Unsafe(format!(
                "PostgreSQL's {name} is `{found}`; it must be `{}`",
                safe[0]
            )));
        }
    }
    Ok(())
}

/// The address without what may be a password.
fn hide_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}...{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}
