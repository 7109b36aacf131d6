//! Which tables there are, with their columns in order and the columns of their keys: read out of
//! the database itself, so that a new table is never forgotten.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _, SqliteConnection};

/// A table of the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: String,
    /// Its columns in order.
    pub(crate) columns: Vec<String>,
    /// The columns of its primary key, in the key's order.
    pub(crate) key: Vec<String>,
    /// The column that the database numbers itself, if there is one.
    pub(crate) identity: Option<String>,
}

/// All tables by name, and the version of the schema that they are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    /// The schema's version.
    pub(crate) version: u64,
    /// The tables.
    pub(crate) tables: Vec<Table>,
}

impl Table {
    /// Where `column` is among the columns.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    /// Where the key's columns are among the columns, in the key's order.
    pub(crate) fn key_places(&self) -> Vec<usize> {
        self.key
            .iter()
            .filter_map(|column| self.place(column))
            .collect()
    }
}

fn version_of(text: Option<String>) -> Result<u64, sqlx::Error> {
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| sqlx::Error::Protocol("it has no schema version".to_owned()))
}

/// The tables of an SQLite database.
pub(crate) async fn schema_of_sqlite(
    connection: &mut SqliteConnection,
) -> Result<Schema, sqlx::Error> {
    let version = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'schema_version'")
        .fetch_optional(&mut *connection)
        .await?;
    let names: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM main.sqlite_master \
         WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut tables = Vec::with_capacity(names.len());
    for (name, sql) in names {
        let rows = sqlx::query("SELECT name, pk FROM pragma_table_info($1) ORDER BY cid")
            .bind(&name)
            .fetch_all(&mut *connection)
            .await?;
        let mut columns = Vec::with_capacity(rows.len());
        let mut key: Vec<(i64, String)> = Vec::new();
        for row in rows {
            let column: String = row.try_get(0)?;
            let place: i64 = row.try_get(1)?;
            if place > 0 {
                key.push((place, column.clone()));
            }
            columns.push(column);
        }
        key.sort();
        let key: Vec<String> = key.into_iter().map(|(_, column)| column).collect();
        let identity = sql
            .contains("AUTOINCREMENT")
            .then(|| key.first().cloned())
            .flatten();
        tables.push(Table {
            name,
            columns,
            key,
            identity,
        });
    }
    Ok(Schema {
        version: version_of(version)?,
        tables,
    })
}

/// The tables of a PostgreSQL database, those of the connection's own schema.
pub(crate) async fn schema_of_postgres(
    connection: &mut PgConnection,
) -> Result<Schema, sqlx::Error> {
    let version = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'schema_version'")
        .fetch_optional(&mut *connection)
        .await?;
    let rows = sqlx::query(
        "SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT), \
         CAST(c.is_identity AS TEXT) = 'YES', \
         CAST((SELECT k.ordinal_position FROM information_schema.key_column_usage k \
          JOIN information_schema.table_constraints t USING (constraint_schema, constraint_name) \
          WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_schema = c.table_schema \
          AND k.table_name = c.table_name AND k.column_name = c.column_name) AS BIGINT) \
         FROM information_schema.columns c JOIN information_schema.tables b \
         USING (table_schema, table_name) \
         WHERE c.table_schema = current_schema() AND b.table_type = 'BASE TABLE' \
         ORDER BY CAST(c.table_name AS TEXT) COLLATE \"C\", c.ordinal_position",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut tables: Vec<Table> = Vec::new();
    let mut keys: Vec<Vec<(i64, String)>> = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let column: String = row.try_get(1)?;
        if tables.last().is_none_or(|table| table.name != name) {
            tables.push(Table {
                name,
                columns: Vec::new(),
                key: Vec::new(),
                identity: None,
            });
            keys.push(Vec::new());
        }
        let (Some(table), Some(key)) = (tables.last_mut(), keys.last_mut()) else {
            continue;
        };
        if row.try_get(2)? {
            table.identity = Some(column.clone());
        }
        if let Some(place) = row.try_get::<Option<i64>, _>(3)? {
            key.push((place, column.clone()));
        }
        table.columns.push(column);
    }
    for (table, mut key) in tables.iter_mut().zip(keys) {
        key.sort();
        table.key = key.into_iter().map(|(_, column)| column).collect();
    }
    Ok(Schema {
        version: version_of(version)?,
        tables,
    })
}
