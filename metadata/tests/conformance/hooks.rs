//! Hooks that stories put between a handle and its database.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use holdfast_metadata::StatementHook;
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;

use super::postgres_server;
use super::world::{Place, World};

/// How the engine sets PostgreSQL's planner on its connections.
const PLANNER: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// Counts the rows that statements give or change, and keeps the statements.
#[derive(Default)]
pub(crate) struct Watch {
    rows: AtomicU64,
    statements: Mutex<Vec<String>>,
}

impl Watch {
    pub(crate) fn reset(&self) {
        self.rows.store(0, Ordering::SeqCst);
        self.statements.lock().unwrap().clear();
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::SeqCst)
    }

    pub(crate) fn statements(&self) -> Vec<String> {
        self.statements.lock().unwrap().clone()
    }
}

#[async_trait]
impl StatementHook for Watch {
    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        self.statements.lock().unwrap().push(sql.to_owned());
        Ok(())
    }

    async fn after(&self, _sql: &str, rows: u64) -> Result<(), sqlx::Error> {
        self.rows.fetch_add(rows, Ordering::SeqCst);
        Ok(())
    }
}

/// How the database would run the query for slices: its very text, caught on its way.
pub(crate) async fn explain_slices(world: &World, watch: &Watch, uid: Uuid) -> String {
    watch.reset();
    world.metadata.slices(uid, 0..1).await.unwrap();
    let sql = watch
        .statements()
        .into_iter()
        .find(|sql| sql.contains("FROM slices"))
        .unwrap();
    let uid = uid.as_bytes().as_slice();
    let (first, end) = (35_000_i64, 35_001_i64);
    match &world.place {
        Place::Sqlite(folder) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(folder.path().join("metadata.db"));
            let mut connection = sqlx::SqliteConnection::connect_with(&options)
                .await
                .unwrap();
            let rows: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                    .bind(uid)
                    .bind(first)
                    .bind(end)
                    .bind("here")
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
            rows.into_iter().map(|row| row.3 + "\n").collect()
        }
        Place::Postgres(database) => {
            let url = postgres_server::server().unwrap().url(database, "explain");
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(PLANNER)
                .execute(&mut connection)
                .await
                .unwrap();
            sqlx::raw_sql("ANALYZE")
                .execute(&mut connection)
                .await
                .unwrap();
            let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(format!("EXPLAIN {sql}")))
                .bind(uid)
                .bind(first)
                .bind(end)
                .bind("here")
                .fetch_all(&mut connection)
                .await
                .unwrap();
            rows.into_iter().map(|row| row.0 + "\n").collect()
        }
    }
}

/// How the database would run the last query for objects.
pub(crate) async fn explain_listing(world: &World, watch: &Watch, bucket: i64) -> String {
    let statements = watch.statements();
    let sql = statements
        .iter()
        .rfind(|sql| sql.contains("FROM versions"))
        .unwrap();
    let (from, limit): (&[u8], i64) = (b"", 11);
    match &world.place {
        Place::Sqlite(folder) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(folder.path().join("metadata.db"));
            let mut connection = sqlx::SqliteConnection::connect_with(&options)
                .await
                .unwrap();
            let rows: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                    .bind(bucket)
                    .bind(from)
                    .bind(limit)
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
            rows.into_iter().map(|row| row.3 + "\n").collect()
        }
        Place::Postgres(database) => {
            let url = postgres_server::server().unwrap().url(database, "explain");
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(PLANNER)
                .execute(&mut connection)
                .await
                .unwrap();
            let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(format!("EXPLAIN {sql}")))
                .bind(bucket)
                .bind(from)
                .bind(limit)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            rows.into_iter().map(|row| row.0 + "\n").collect()
        }
    }
}

/// Loses the reply of a COMMIT, once.
#[derive(Default)]
pub(crate) struct LostCommit {
    next: Mutex<Option<Loss>>,
    is_away: std::sync::atomic::AtomicBool,
}

/// How a COMMIT goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It never arrives.
    Request,
    /// It is done, and its reply never comes.
    Reply,
    /// It is done, its reply never comes, and then nothing works until [`LostCommit::is_back`].
    Everything,
}

impl LostCommit {
    pub(crate) fn lose(&self, loss: Loss) {
        *self.next.lock().unwrap() = Some(loss);
    }

    pub(crate) fn is_back(&self) {
        self.is_away.store(false, Ordering::SeqCst);
    }

    fn take(&self, loss: &[Loss]) -> Option<Loss> {
        let mut next = self.next.lock().unwrap();
        next.take_if(|next| loss.contains(next))
    }
}

fn reset() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()
}

#[async_trait]
impl StatementHook for LostCommit {
    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        let lost = sql == "COMMIT" && self.take(&[Loss::Request]).is_some();
        if lost || self.is_away.load(Ordering::SeqCst) {
            return Err(reset());
        }
        Ok(())
    }

    async fn after(&self, sql: &str, _rows: u64) -> Result<(), sqlx::Error> {
        if sql != "COMMIT" {
            return Ok(());
        }
        match self.take(&[Loss::Reply, Loss::Everything]) {
            Some(Loss::Everything) => self.is_away.store(true, Ordering::SeqCst),
            Some(_) => {}
            None => return Ok(()),
        }
        Err(reset())
    }
}

/// Holds COMMITs until it is opened.
pub(crate) struct Gate {
    open: tokio::sync::watch::Sender<bool>,
    pub(crate) reached: tokio::sync::Semaphore,
    pub(crate) commits: AtomicU64,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self {
            open: tokio::sync::watch::Sender::new(false),
            reached: tokio::sync::Semaphore::new(0),
            commits: AtomicU64::new(0),
        }
    }

    pub(crate) fn set(&self, open: bool) {
        self.open.send_replace(open);
    }
}

#[async_trait]
impl StatementHook for Gate {
    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        if sql == "COMMIT" {
            self.commits.fetch_add(1, Ordering::SeqCst);
            self.reached.add_permits(1);
            self.open.subscribe().wait_for(|open| *open).await.unwrap();
        }
        Ok(())
    }
}
