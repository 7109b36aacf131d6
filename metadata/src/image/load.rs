//! Reading an image into a database whose tables are there and hold nothing that counts.
//!
//! All of it is one transaction: a load that fails leaves nothing.

use std::fmt::Write as _;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection, SqliteConnection};
use tokio::sync::mpsc;

use super::cell::Cell;
use super::frames::{Frame, Header, ImageError, ImageInfo, ImageReader};
use super::tables::{Schema, Table, schema_of_postgres, schema_of_sqlite};

/// Where an image is read into.
pub(crate) enum Target<'c> {
    /// The embedded database.
    Sqlite(&'c mut SqliteConnection),
    /// The cluster's.
    Postgres(&'c mut PgConnection),
}

/// Frames that wait to be loaded.
const FRAMES: usize = 4;
/// Rows that PostgreSQL is given in one statement at most.
const ROWS_AT_ONCE: usize = 500;
/// Values in one statement at most: the protocol counts them in 16 bits.
const VALUES_AT_ONCE: usize = 30_000;

/// Reads `image` into `target`, in the transaction that its connection is in.
pub(crate) async fn load(
    image: ImageReader,
    mut target: Target<'_>,
) -> Result<ImageInfo, ImageError> {
    let header = image.header().clone();
    let ours = match &mut target {
        Target::Sqlite(connection) => schema_of_sqlite(connection).await?,
        Target::Postgres(connection) => schema_of_postgres(connection).await?,
    };
    check_schema(&header, &ours)?;
    for table in &ours.tables {
        target.empty(table).await?;
    }
    let (sender, mut frames) = mpsc::channel(FRAMES);
    let reading = tokio::task::spawn_blocking(move || read(image, &sender));
    while let Some(frame) = frames.recv().await {
        match frame? {
            Frame::Rows { table, rows } => {
                target.insert(&header.schema.tables[table], &rows).await?;
            }
            Frame::Counters(counters) => target.set_counters(&header.schema, &counters).await?,
            Frame::End => {}
        }
    }
    reading
        .await
        .map_err(|error| ImageError::Io(std::io::Error::other(error)))
}

fn read(mut image: ImageReader, frames: &mpsc::Sender<Result<Frame, ImageError>>) -> ImageInfo {
    loop {
        let frame = match image.next() {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => return image.info(),
            Err(error) => Err(error),
        };
        let failed = frame.is_err();
        if frames.blocking_send(frame).is_err() || failed {
            return image.info();
        }
    }
}

/// The tables of an image must be ours, column by column; an older one may lack a whole table.
fn check_schema(header: &Header, ours: &Schema) -> Result<(), ImageError> {
    let other = |what: String| Err(ImageError::OtherSchema(what));
    let (theirs, version) = (&header.schema, ours.version);
    if theirs.version > version {
        return other(format!(
            "version {}, and this program knows up to {version}: use a newer one",
            theirs.version
        ));
    }
    for table in &theirs.tables {
        match ours.tables.iter().find(|known| known.name == table.name) {
            Some(known) if known.columns == table.columns => {}
            Some(_) => return other(format!("table {} has other columns", table.name)),
            None => return other(format!("there is no table {} any more", table.name)),
        }
    }
    let missing = |table: &&Table| !theirs.tables.iter().any(|known| known.name == table.name);
    match ours.tables.iter().find(missing) {
        Some(table) if theirs.version == version => {
            other(format!("it has no table {}", table.name))
        }
        _ => Ok(()),
    }
}

fn names(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

impl Target<'_> {
    async fn empty(&mut self, table: &Table) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(format!("DELETE FROM \"{}\"", table.name));
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql)
                .execute(&mut **connection)
                .await
                .map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(sql)
                .execute(&mut **connection)
                .await
                .map(drop),
        }
    }

    async fn insert(&mut self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                for row in rows {
                    insert_sqlite(connection, table, row).await?;
                }
                Ok(())
            }
            Self::Postgres(connection) => {
                let at_once = ROWS_AT_ONCE.min(VALUES_AT_ONCE / table.columns.len().max(1));
                for rows in rows.chunks(at_once.max(1)) {
                    insert_postgres(connection, table, rows).await?;
                }
                Ok(())
            }
        }
    }

    async fn set_counters(
        &mut self,
        schema: &Schema,
        counters: &[(String, i64)],
    ) -> Result<(), sqlx::Error> {
        for (name, last) in counters {
            let Some(column) = schema
                .tables
                .iter()
                .find(|table| table.name == *name)
                .and_then(|table| table.identity.as_ref())
            else {
                continue;
            };
            match self {
                Self::Sqlite(connection) => {
                    sqlx::query("DELETE FROM sqlite_sequence WHERE name = $1")
                        .bind(name)
                        .execute(&mut **connection)
                        .await?;
                    sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)")
                        .bind(name)
                        .bind(last)
                        .execute(&mut **connection)
                        .await?;
                }
                Self::Postgres(connection) => {
                    sqlx::query(
                        "SELECT setval(CAST(pg_get_serial_sequence($1, $2) AS regclass), $3)",
                    )
                    .bind(format!("\"{name}\""))
                    .bind(column)
                    .bind(last)
                    .execute(&mut **connection)
                    .await?;
                }
            }
        }
        Ok(())
    }
}

/// Adds one row, as it is.
pub(crate) async fn insert_sqlite(
    connection: &mut SqliteConnection,
    table: &Table,
    row: &[Cell],
) -> Result<(), sqlx::Error> {
    let mut sql = format!(
        "INSERT INTO \"{}\" ({}) VALUES (",
        table.name,
        names(&table.columns)
    );
    for place in 1..=row.len() {
        let comma = if place == 1 { "" } else { ", " };
        // Writing to a String does not fail.
        let _infallible = write!(sql, "{comma}${place}");
    }
    sql.push(')');
    sqlx::query_with(AssertSqlSafe(sql), arguments(row)?)
        .execute(connection)
        .await
        .map(drop)
}

/// The values of a row, for a statement of SQLite.
pub(crate) fn arguments<'c>(
    cells: impl IntoIterator<Item = &'c Cell>,
) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for cell in cells {
        match cell {
            Cell::Null => arguments.add(None::<i64>),
            Cell::Integer(number) => arguments.add(*number),
            Cell::Text(text) => arguments.add(text.clone()),
            Cell::Bytes(bytes) => arguments.add(bytes.clone()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

async fn insert_postgres(
    connection: &mut PgConnection,
    table: &Table,
    rows: &[Vec<Cell>],
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::QueryBuilder::<sqlx::Postgres>::new(format!(
        "INSERT INTO \"{}\" ({}) OVERRIDING SYSTEM VALUE VALUES ",
        table.name,
        names(&table.columns)
    ));
    for (number, row) in rows.iter().enumerate() {
        query.push(if number == 0 { "(" } else { ", (" });
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                query.push(", ");
            }
            match cell {
                // A bound NULL would need the column's type.
                Cell::Null => query.push("NULL"),
                Cell::Integer(number) => query.push_bind(*number),
                Cell::Text(text) => query.push_bind(text.clone()),
                Cell::Bytes(bytes) => query.push_bind(bytes.clone()),
            };
        }
        query.push(")");
    }
    query
        .build()
        .persistent(false)
        .execute(connection)
        .await
        .map(drop)
}
