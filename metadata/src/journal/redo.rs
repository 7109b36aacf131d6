//! Doing again what a record says, on a database that is exactly where the group before it ended.
//!
//! Each change must fit: an insert finds no such row, an update or delete finds one. What does not
//! fit is another history, and is refused.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::record::{Change, Record};
use crate::image::{Cell, Schema, Table, arguments, insert_sqlite};

/// Why a record can't be done again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedoError {
    /// It does not follow on what is there.
    #[error("group {group} does not fit the database: {what}")]
    DoesNotFit { group: u64, what: String },
    /// The database said no.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Does `record` again, whose tables are `theirs`, in the transaction that `connection` is in.
pub(crate) async fn redo(
    connection: &mut SqliteConnection,
    theirs: &Schema,
    record: &Record,
) -> Result<(), RedoError> {
    let does_not_fit = |what: String| RedoError::DoesNotFit {
        group: record.position.group,
        what,
    };
    let changes = record
        .changes()
        .map_err(|malformed| does_not_fit(malformed.to_string()))?;
    for change in changes {
        let (number, cells) = match &change {
            Change::Insert { table, row } | Change::Update { table, row } => (*table, row.len()),
            Change::Delete { table, key } => (*table, key.len()),
        };
        let table = theirs
            .tables
            .get(number)
            .ok_or_else(|| does_not_fit("it has no such table".to_owned()))?;
        let expected = match &change {
            Change::Delete { .. } => table.key.len(),
            _ => table.columns.len(),
        };
        if cells != expected {
            return Err(does_not_fit(format!(
                "table {} has other columns",
                table.name
            )));
        }
        let changed = match &change {
            Change::Insert { row, .. } => {
                insert_sqlite(connection, table, row).await.map(|()| 1)?
            }
            Change::Update { row, .. } => update(connection, table, row).await?,
            Change::Delete { key, .. } => delete(connection, table, key).await?,
        };
        if changed != 1 {
            return Err(does_not_fit(format!(
                "{changed} rows of table {} have a key that it changes",
                table.name
            )));
        }
    }
    Ok(())
}

fn where_key(table: &Table, first: usize) -> String {
    let conditions: Vec<String> = (first..)
        .zip(&table.key)
        .map(|(place, column)| format!("\"{column}\" IS ${place}"))
        .collect();
    conditions.join(" AND ")
}

async fn update(
    connection: &mut SqliteConnection,
    table: &Table,
    row: &[Cell],
) -> Result<u64, sqlx::Error> {
    let sets: Vec<String> = (1..)
        .zip(&table.columns)
        .map(|(place, column)| format!("\"{column}\" = ${place}"))
        .collect();
    let sql = format!(
        "UPDATE \"{}\" SET {} WHERE {}",
        table.name,
        sets.join(", "),
        where_key(table, row.len() + 1)
    );
    let key = table.key_places();
    let cells = row.iter().chain(key.iter().map(|place| &row[*place]));
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments(cells)?)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

async fn delete(
    connection: &mut SqliteConnection,
    table: &Table,
    key: &[Cell],
) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "DELETE FROM \"{}\" WHERE {}",
        table.name,
        where_key(table, 1)
    );
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments(key)?)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
