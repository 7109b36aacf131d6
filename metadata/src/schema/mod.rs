//! The schema and its steps: which version a database has, who may open it, how it gets newer.
//!
//! Every step is one transaction together with the new version's number, so that a step is taken
//! whole or not at all; on PostgreSQL an advisory lock lets one process at a time do it. A schema
//! that is newer than this binary may still be opened if it says that this binary can.

use sqlx::AssertSqlSafe;

use crate::error::OpenError;
use crate::sql::Dialect;

/// One step: from the version before to `version`.
struct Step {
    version: u64,
    /// The oldest binary that can work with the schema after this step.
    oldest_binary: &'static str,
    sql: &'static str,
}

const STEPS: &[Step] = &[Step {
    version: 1,
    oldest_binary: "0.1.0",
    sql: include_str!("0001_first.sql"),
}];

/// This binary's version.
pub(crate) const OURS: &str = env!("CARGO_PKG_VERSION");

/// The lock under which PostgreSQL's schema changes: "holdfast" in ASCII.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_xact_lock(7524248894083756916)";

/// Brings the database at `connection` to this binary's schema; safe to run any number of times and
/// by any number of processes at once.
pub(crate) async fn migrate_sqlite(
    connection: &mut sqlx::SqliteConnection,
) -> Result<(), OpenError> {
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await?;
    let migrated = migrate_locked_sqlite(connection).await;
    let end = if migrated.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    sqlx::raw_sql(end).execute(&mut *connection).await?;
    migrated
}

/// See [`migrate_sqlite`].
pub(crate) async fn migrate_postgres(connection: &mut sqlx::PgConnection) -> Result<(), OpenError> {
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    let migrated = migrate_locked_postgres(connection).await;
    let end = if migrated.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    sqlx::raw_sql(end).execute(&mut *connection).await?;
    migrated
}

// The two differ only in the type of the connection, which a macro says shorter than bounds do.
macro_rules! migrate_locked {
    ($name:ident, $connection:ty, $dialect:expr, $lock:expr) => {
        async fn $name(connection: &mut $connection) -> Result<(), OpenError> {
            if let Some(lock) = $lock {
                sqlx::raw_sql(lock).execute(&mut *connection).await?;
            }
            sqlx::raw_sql(
                "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
            )
            .execute(&mut *connection)
            .await?;
            let rows: Vec<(String, String)> = sqlx::query_as("SELECT name, value FROM meta")
                .fetch_all(&mut *connection)
                .await?;
            let found = |name: &str| {
                rows.iter()
                    .find(|row| row.0 == name)
                    .map(|row| row.1.as_str())
            };
            let from = check(found("schema_version"), found("oldest_binary"), OURS)?;
            for step in STEPS.iter().filter(|step| step.version > from) {
                sqlx::raw_sql(AssertSqlSafe(text(step, $dialect)))
                    .execute(&mut *connection)
                    .await?;
                tracing::info!(version = step.version, "the metadata schema is made newer");
                for (name, value) in [
                    ("schema_version", step.version.to_string()),
                    ("oldest_binary", step.oldest_binary.to_owned()),
                ] {
                    sqlx::query(
                        "INSERT INTO meta (name, value) VALUES ($1, $2) \
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    )
                    .bind(name)
                    .bind(value)
                    .execute(&mut *connection)
                    .await?;
                }
            }
            Ok(())
        }
    };
}

migrate_locked!(
    migrate_locked_sqlite,
    sqlx::SqliteConnection,
    Dialect::Sqlite,
    None::<&'static str>
);
migrate_locked!(
    migrate_locked_postgres,
    sqlx::PgConnection,
    Dialect::Postgres,
    Some(ADVISORY_LOCK)
);

/// A step's statements in a database's own words.
fn text(step: &Step, dialect: Dialect) -> String {
    let identity = dialect.pick(
        "INTEGER PRIMARY KEY AUTOINCREMENT",
        "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    );
    step.sql
        .replace("{IDENTITY}", identity)
        .replace("{BYTES}", dialect.pick("BLOB", "BYTEA"))
        .replace("{CLUSTERED}", dialect.pick(" WITHOUT ROWID", ""))
        .replace("{BINARY}", dialect.pick("", "COLLATE \"C\""))
}

/// The version that was found (0 for an empty database), if `ours` may open it.
fn check(version: Option<&str>, oldest: Option<&str>, ours: &str) -> Result<u64, OpenError> {
    let Some(version) = version else {
        return Ok(0);
    };
    let found: u64 = version
        .parse()
        .map_err(|_| OpenError::Unsafe(format!("schema_version is `{version}`")))?;
    let newest = STEPS.last().map_or(0, |step| step.version);
    let needs = oldest.unwrap_or("a newer version");
    if found > newest && !at_least(ours, needs) {
        return Err(OpenError::TooNew {
            found,
            needs: needs.to_owned(),
            ours: ours.to_owned(),
        });
    }
    Ok(found)
}

/// Whether version `ours` is `needed` or newer; never where either can't be read.
fn at_least(ours: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Option<[u64; 3]> {
        let mut fields = text.split('.').map(|field| field.parse().ok());
        let numbers = [fields.next()??, fields.next()??, fields.next()??];
        fields.next().is_none().then_some(numbers)
    };
    matches!((numbers(ours), numbers(needed)), (Some(ours), Some(needed)) if ours >= needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_order_without_a_gap() {
        for (index, step) in STEPS.iter().enumerate() {
            assert_eq!(step.version, index as u64 + 1);
            assert!(at_least(OURS, step.oldest_binary), "{}", step.version);
        }
    }

    #[test]
    fn only_a_binary_that_is_too_old_is_refused() {
        assert_eq!(check(None, None, "0.1.0").unwrap(), 0);
        assert_eq!(check(Some("1"), Some("0.1.0"), "0.1.0").unwrap(), 1);
        assert_eq!(check(Some("7"), Some("0.1.0"), "0.1.0").unwrap(), 7);
        assert_eq!(check(Some("7"), Some("0.9.9"), "0.10.0").unwrap(), 7);
        let refused = check(Some("7"), Some("0.2.0"), "0.1.9").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the metadata has schema version 7, which needs at least Holdfast 0.2.0; \
             this is 0.1.9: start a newer binary"
        );
        assert!(check(Some("7"), None, "0.1.0").is_err());
        assert!(check(Some("x"), None, "0.1.0").is_err());
    }
}
