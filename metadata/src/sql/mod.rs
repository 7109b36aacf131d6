//! One small transaction over two databases.
//!
//! Statements are written once, in the SQL that both understand, with `$1` placeholders; a locking
//! clause may stand at the very end and is cut off for SQLite, whose single writer needs none. What
//! else differs is named in [`Dialect`]. (`sqlx::Any` and code generic over `Database` are worse:
//! the first loses types, the second spreads bounds over every function.)

mod row;
mod value;

use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{PgConnection, SqliteConnection};

pub(crate) use row::Row;
pub(crate) use value::Value;
pub(crate) use value::values;

use crate::drive_numbers::DriveNumbers;
use crate::error::MetadataError;
use crate::hook::StatementHook;
use crate::rule_cache::RuleCache;
use crate::samples::SampleRule;

/// Which database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The embedded one.
    Sqlite,
    /// The cluster's.
    Postgres,
}

impl Dialect {
    /// The statement as this database takes it.
    fn statement(self, sql: &'static str) -> &'static str {
        match self {
            Self::Postgres => sql,
            Self::Sqlite => sql
                .strip_suffix(" FOR UPDATE")
                .or_else(|| sql.strip_suffix(" FOR SHARE"))
                .or_else(|| sql.strip_suffix(" FOR KEY SHARE"))
                .unwrap_or(sql),
        }
    }

    /// `postgres` where it is PostgreSQL, else `sqlite`: for the few statements that differ.
    pub(crate) const fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }
}

/// A connection of either kind.
pub(crate) enum Connection<'c> {
    /// See [`Dialect`].
    Sqlite(&'c mut SqliteConnection),
    /// See [`Dialect`].
    Postgres(&'c mut PgConnection),
}

/// A connection inside a transaction (or about to send a single statement), and what commands need
/// beside it.
pub(crate) struct Tx<'c> {
    connection: Connection<'c>,
    hook: Option<Arc<dyn StatementHook>>,
    drives: Arc<DriveNumbers>,
    now_ms: u64,
    garbage_grace_ms: u64,
    rules: Arc<RuleCache>,
    samples: Option<SampleRule>,
    clock_is_set: bool,
    rows_visited: u64,
}

impl<'c> Tx<'c> {
    /// Statements go to `connection`; the time is `now_ms` throughout.
    pub(crate) const fn new(
        connection: Connection<'c>,
        hook: Option<Arc<dyn StatementHook>>,
        drives: Arc<DriveNumbers>,
        now_ms: u64,
        garbage_grace_ms: u64,
        rules: Arc<RuleCache>,
    ) -> Self {
        Self {
            connection,
            hook,
            drives,
            now_ms,
            garbage_grace_ms,
            rules,
            samples: None,
            clock_is_set: false,
            rows_visited: 0,
        }
    }

    /// The same, which chooses writes to be read again by a rule.
    pub(crate) const fn sampling(mut self, rule: SampleRule) -> Self {
        self.samples = Some(rule);
        self
    }

    /// The same; `is_set` if its time comes from a clock that is set by hand.
    pub(crate) const fn by_clock(mut self, is_set: bool) -> Self {
        self.clock_is_set = is_set;
        self
    }

    /// Which database this is.
    pub(crate) const fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// SQLite's connection itself, for what no hook may see.
    pub(crate) const fn sqlite(&mut self) -> Option<&mut SqliteConnection> {
        match &mut self.connection {
            Connection::Sqlite(connection) => Some(connection),
            Connection::Postgres(_) => None,
        }
    }

    /// The time of this attempt, in milliseconds since 1970.
    pub(crate) const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What time it is by the clock of the database, which all processes share: for what they must
    /// agree on. Not the transaction's: it goes on while a lock is waited for.
    pub(crate) async fn database_now_ms(&mut self) -> Result<u64, MetadataError> {
        if self.clock_is_set || self.dialect() == Dialect::Sqlite {
            return Ok(self.now_ms);
        }
        let row = self
            .fetch_one(
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
                values![],
            )
            .await?;
        row.ok_or_else(|| MetadataError::Corrupt("the database has no time".to_owned()))?
            .number(0)
    }

    /// When bytes that are let go now may leave their drives.
    pub(crate) const fn garbage_not_before_ms(&self) -> u64 {
        self.now_ms.saturating_add(self.garbage_grace_ms)
    }

    /// The numbers that drives have in packed placements.
    pub(crate) fn drives(&self) -> &DriveNumbers {
        &self.drives
    }

    /// Which writes are read again.
    pub(crate) fn sample_rule(&self) -> SampleRule {
        self.samples.unwrap_or_default()
    }

    /// Lifecycle rules that were read before.
    pub(crate) fn rules(&self) -> &RuleCache {
        &self.rules
    }

    /// Rows that the database has handed over so far.
    pub(crate) const fn rows_visited(&self) -> u64 {
        self.rows_visited
    }

    /// Runs a statement that gives no rows; how many rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, MetadataError> {
        let sql = self.dialect().statement(sql);
        self.before(sql).await?;
        let changed = match &mut self.connection {
            Connection::Sqlite(connection) => sqlx::query_with(sql, sqlite_arguments(values)?)
                .execute(&mut **connection)
                .await?
                .rows_affected(),
            Connection::Postgres(connection) => sqlx::query_with(sql, postgres_arguments(values)?)
                .execute(&mut **connection)
                .await?
                .rows_affected(),
        };
        self.after(sql, changed).await?;
        Ok(changed)
    }

    /// Runs a statement and takes all its rows, which its LIMIT or its key bounds.
    pub(crate) async fn fetch(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, MetadataError> {
        let sql = self.dialect().statement(sql);
        self.before(sql).await?;
        let rows: Vec<Row> = match &mut self.connection {
            Connection::Sqlite(connection) => sqlx::query_with(sql, sqlite_arguments(values)?)
                .fetch_all(&mut **connection)
                .await?
                .into_iter()
                .map(Row::Sqlite)
                .collect(),
            Connection::Postgres(connection) => sqlx::query_with(sql, postgres_arguments(values)?)
                .fetch_all(&mut **connection)
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect(),
        };
        self.rows_visited += rows.len() as u64;
        self.after(sql, rows.len() as u64).await?;
        Ok(rows)
    }

    /// Runs a statement that gives at most one row.
    pub(crate) async fn fetch_one(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, MetadataError> {
        Ok(self.fetch(sql, values).await?.pop())
    }

    /// Sends one of the words that begin and end transactions. Its error is the database's own,
    /// because what follows depends on which it is.
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        if let Some(hook) = &self.hook {
            hook.before(sql).await?;
        }
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                sqlx::query(sql).execute(&mut **connection).await?;
            }
            Connection::Postgres(connection) => {
                sqlx::raw_sql(sql).execute(&mut **connection).await?;
            }
        }
        if let Some(hook) = &self.hook {
            hook.after(sql, 0).await?;
        }
        Ok(())
    }

    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        match &self.hook {
            Some(hook) => hook.before(sql).await,
            None => Ok(()),
        }
    }

    async fn after(&self, sql: &str, rows: u64) -> Result<(), sqlx::Error> {
        match &self.hook {
            Some(hook) => hook.after(sql, rows).await,
            None => Ok(()),
        }
    }
}

fn sqlite_arguments(values: &[Value<'_>]) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        value.bind(&mut arguments)?;
    }
    Ok(arguments)
}

fn postgres_arguments(values: &[Value<'_>]) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        value.bind(&mut arguments)?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::Dialect;

    #[test]
    fn sqlite_gets_no_locking_clause() {
        let sql = "SELECT 1 FROM heads FOR UPDATE";
        assert_eq!(Dialect::Sqlite.statement(sql), "SELECT 1 FROM heads");
        let weaker = "SELECT 1 FROM heads FOR KEY SHARE";
        assert_eq!(Dialect::Sqlite.statement(weaker), "SELECT 1 FROM heads");
        assert_eq!(Dialect::Postgres.statement(sql), sql);
    }
}
