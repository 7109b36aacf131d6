//! Two databases that run the same commands and queries.
//!
//! A command is handed over whole and runs in a task of the engine's own, so that a caller that
//! goes away cancels nothing. A query borrows a [`Reader`].

mod job;
mod postgres;
mod sqlite;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use holdfast_types::Clock;
use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Sqlite, Transaction};

pub(crate) use job::Apply;

use self::postgres::PostgresEngine;
use self::sqlite::SqliteEngine;
use crate::drive_numbers::DriveNumbers;
use crate::error::{MetadataError, OpenError};
use crate::handle::MetadataConfig;
use crate::hook::StatementHook;
use crate::journal::{JournalConfig, JournalStatus};
use crate::rule_cache::RuleCache;
use crate::samples::SampleRule;
use crate::sql::{Connection, Tx};

/// How long a command or query may take before it is answered 503. Below the time that clients
/// wait, above any lock that is held in good order.
const DEADLINE: Duration = Duration::from_secs(30);

/// What both engines need to make a [`Tx`].
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) drives: Arc<DriveNumbers>,
    pub(crate) hook: Option<Arc<dyn StatementHook>>,
    pub(crate) garbage_grace_ms: u64,
    pub(crate) rules: Arc<RuleCache>,
    pub(crate) samples: SampleRule,
}

impl Surroundings {
    /// A transaction over `connection`, at the time that it is now.
    fn tx<'c>(&self, connection: Connection<'c>) -> Tx<'c> {
        Tx::new(
            connection,
            self.hook.clone(),
            Arc::clone(&self.drives),
            self.clock.now_ms(),
            self.garbage_grace_ms,
            Arc::clone(&self.rules),
        )
        .sampling(self.samples)
        .by_clock(self.clock.is_set())
    }
}

/// One of the two.
pub(crate) enum Engine {
    /// Embedded.
    Sqlite(SqliteEngine),
    /// A server or a cluster.
    Postgres(PostgresEngine),
}

impl Engine {
    /// Opens the database of `config`, makes its schema new and checks its settings.
    pub(crate) async fn open(
        config: &MetadataConfig,
        surroundings: Surroundings,
    ) -> Result<Self, OpenError> {
        if let Some(path) = config.url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.is_empty() && !path.starts_with(':') && !path.contains('?') {
                let engine = SqliteEngine::open(path.as_ref(), surroundings).await?;
                return Ok(Self::Sqlite(engine));
            }
        } else if config.url.starts_with("postgres://") || config.url.starts_with("postgresql://") {
            return Ok(Self::Postgres(
                PostgresEngine::open(config, surroundings).await?,
            ));
        }
        Err(OpenError::Address(config.url.clone()))
    }

    /// Runs a command to its durable end.
    pub(crate) async fn run<C: Apply>(&self, command: C) -> Result<C::Outcome, MetadataError> {
        match self {
            Self::Sqlite(engine) => engine.run(command).await,
            Self::Postgres(engine) => engine.run(command).await,
        }
    }

    /// A reader for a single statement, which is a snapshot of its own.
    pub(crate) async fn reader(&self) -> Result<Reader, MetadataError> {
        match self {
            Self::Sqlite(engine) => engine.reader().await,
            Self::Postgres(engine) => engine.reader().await,
        }
    }

    /// A reader whose statements all see one state.
    pub(crate) async fn snapshot(&self) -> Result<Reader, MetadataError> {
        match self {
            Self::Sqlite(engine) => engine.snapshot().await,
            Self::Postgres(engine) => engine.snapshot().await,
        }
    }

    /// Whether the database is this process's alone.
    pub(crate) const fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// What time it is.
    pub(crate) fn now_ms(&self) -> u64 {
        match self {
            Self::Sqlite(engine) => engine.now_ms(),
            Self::Postgres(engine) => engine.now_ms(),
        }
    }

    /// A state of the whole database, to make an image of.
    pub(crate) async fn image_snapshot(&self) -> Result<Snapshot, MetadataError> {
        Ok(match self.snapshot().await?.lent {
            Lent::SqliteSnapshot(transaction) => Snapshot::Sqlite(transaction),
            Lent::PostgresSnapshot(transaction) => Snapshot::Postgres(transaction),
            Lent::Sqlite(_) | Lent::Postgres(_) => unreachable!("a snapshot is a transaction"),
        })
    }

    /// Keeps a journal from now on; only the embedded database has one.
    pub(crate) async fn keep_journal(&self, config: JournalConfig) -> Result<(), String> {
        match self {
            Self::Sqlite(engine) => engine.keep_journal(config).await,
            Self::Postgres(_) => Err("PostgreSQL has its own standbys".to_owned()),
        }
    }

    /// How the journal is, if there is one.
    pub(crate) fn journal_status(&self) -> Option<JournalStatus> {
        match self {
            Self::Sqlite(engine) => engine.journal_status(),
            Self::Postgres(_) => None,
        }
    }

    /// `Err` with the reason while it can't do its work.
    pub(crate) fn healthy(&self) -> Result<(), String> {
        match self {
            Self::Sqlite(engine) => engine.healthy(),
            Self::Postgres(engine) => engine.healthy(),
        }
    }

    /// Waits for commands under way and closes the database.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(engine) => engine.close().await,
            Self::Postgres(engine) => engine.close().await,
        }
    }
}

/// A transaction that sees one state and changes nothing.
pub(crate) enum Snapshot {
    /// Of the embedded database.
    Sqlite(Transaction<'static, Sqlite>),
    /// Of the cluster's.
    Postgres(Transaction<'static, Postgres>),
}

/// A connection that a query borrows; given back when dropped.
pub(crate) struct Reader {
    surroundings: Surroundings,
    lent: Lent,
}

enum Lent {
    Sqlite(PoolConnection<Sqlite>),
    SqliteSnapshot(Transaction<'static, Sqlite>),
    Postgres(PoolConnection<Postgres>),
    PostgresSnapshot(Transaction<'static, Postgres>),
}

impl Reader {
    /// Lets a query send its statements.
    pub(crate) fn tx(&mut self) -> Tx<'_> {
        let connection = match &mut self.lent {
            Lent::Sqlite(connection) => Connection::Sqlite(connection),
            Lent::SqliteSnapshot(connection) => Connection::Sqlite(connection),
            Lent::Postgres(connection) => Connection::Postgres(connection),
            Lent::PostgresSnapshot(connection) => Connection::Postgres(connection),
        };
        self.surroundings.tx(connection)
    }
}
