//! Which rows a group changes: temporary triggers on every table of the writer's own connection
//! note each row, as it is from then on, in a temporary table.
//!
//! The notes are part of the transaction: what a command that fails had noted goes with its
//! savepoint. They live in memory and are gone with the connection.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::record::{DELETE, INSERT, UPDATE};
use crate::image::{Cell, Schema, Table, put_cell, schema_of_sqlite};

/// A connection on which changes are noted.
pub(crate) struct Capture {
    schema: Schema,
    take: String,
}

/// The changes of a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) count: u32,
    pub(crate) changes: Vec<u8>,
}

/// The most that a group may change in bytes: far above what 128 of the largest requests do, and
/// what a record can hold.
const MAX_CHANGES_BYTES: usize = 512 << 20;

impl Capture {
    /// Begins to note changes on `connection`.
    pub(crate) async fn install(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let schema = schema_of_sqlite(connection).await?;
        let width = schema.tables.iter().map(|table| table.columns.len()).max();
        let columns: String = (0..width.unwrap_or(0))
            .map(|number| format!(", c{number}"))
            .collect();
        let mut sql = format!(
            "PRAGMA temp_store = MEMORY; PRAGMA recursive_triggers = ON; \
             CREATE TEMP TABLE journal_rows (n INTEGER PRIMARY KEY, kind, tab{columns});"
        );
        for (number, table) in schema.tables.iter().enumerate() {
            triggers(&mut sql, number, table);
        }
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(connection)
            .await?;
        let take = format!("SELECT kind, tab{columns} FROM temp.journal_rows ORDER BY n");
        Ok(Self { schema, take })
    }

    /// The tables that changes are noted of.
    pub(crate) const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What was changed since the last call, in the transaction that the connection is in.
    pub(crate) async fn take(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Captured, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(self.take.as_str().to_owned()))
            .fetch_all(&mut *connection)
            .await?;
        sqlx::query("DELETE FROM temp.journal_rows")
            .execute(connection)
            .await?;
        let mut captured = Captured::default();
        for row in rows {
            let (kind, number): (i64, i64) = (row.try_get_unchecked(0)?, row.try_get_unchecked(1)?);
            let table = &self.schema.tables[number as usize];
            let kind = kind as u8;
            let cells = match kind {
                DELETE => table.key.len(),
                _ => table.columns.len(),
            };
            captured.count += 1;
            captured.changes.push(kind);
            let bytes = &mut captured.changes;
            bytes.extend_from_slice(&(number as u16).to_le_bytes());
            bytes.extend_from_slice(&(cells as u16).to_le_bytes());
            for column in 0..cells {
                put_cell(bytes, &Cell::of(&row, 2 + column)?);
            }
            if captured.changes.len() > MAX_CHANGES_BYTES {
                return Err(sqlx::Error::Protocol(
                    "the group changes more than a record of the journal can hold".to_owned(),
                ));
            }
        }
        Ok(captured)
    }
}

fn triggers(sql: &mut String, number: usize, table: &Table) {
    let name = &table.name;
    let note = |kind: u8, which: &str, columns: &[String]| {
        let places: String = (0..columns.len()).map(|n| format!(", c{n}")).collect();
        let values: String = columns
            .iter()
            .map(|column| format!(", {which}.\"{column}\""))
            .collect();
        format!("INSERT INTO journal_rows (kind, tab{places}) VALUES ({kind}, {number}{values});")
    };
    let same_key: Vec<String> = table
        .key
        .iter()
        .map(|column| format!("OLD.\"{column}\" IS NEW.\"{column}\""))
        .collect();
    let same_key = same_key.join(" AND ");
    let (insert, update) = (
        note(INSERT, "NEW", &table.columns),
        note(UPDATE, "NEW", &table.columns),
    );
    let delete = note(DELETE, "OLD", &table.key);
    // Writing to a String does not fail.
    let _infallible = write!(
        sql,
        "CREATE TEMP TRIGGER journal_insert_{number} AFTER INSERT ON main.\"{name}\" \
         BEGIN {insert} END; \
         CREATE TEMP TRIGGER journal_update_{number} AFTER UPDATE ON main.\"{name}\" \
         WHEN {same_key} BEGIN {update} END; \
         CREATE TEMP TRIGGER journal_move_{number} AFTER UPDATE ON main.\"{name}\" \
         WHEN NOT ({same_key}) BEGIN {delete} {insert} END; \
         CREATE TEMP TRIGGER journal_delete_{number} AFTER DELETE ON main.\"{name}\" \
         BEGIN {delete} END;"
    );
}
