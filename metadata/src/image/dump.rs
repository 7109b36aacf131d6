//! Writing an image: all rows of all tables of one snapshot, in chunks.
//!
//! The snapshot is the database's own, so that writers go on meanwhile.

use bytes::Bytes;
use futures::TryStreamExt as _;
use holdfast_types::ClusterId;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Column as _, PgConnection, Row as _, SqliteConnection, TypeInfo as _};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::cell::{Cell, of_sqlite};
use super::frames::{Header, ImageError, ImageWriter, Source};
use super::tables::{Schema, schema_of_postgres, schema_of_sqlite};
use crate::engine::Snapshot;
use crate::journal::Position;

/// What the dumper knows and the database does not.
pub(crate) struct About {
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) backup: Option<Uuid>,
    pub(crate) taken_ms: u64,
    pub(crate) term: u64,
}

/// Sends the image of `snapshot` in chunks; stops when nobody takes them any more. The header that
/// it wrote.
pub(crate) async fn dump(
    snapshot: &mut Snapshot,
    about: &About,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<Header, ImageError> {
    match snapshot {
        Snapshot::Sqlite(connection) => dump_sqlite(connection, about, chunks).await,
        Snapshot::Postgres(connection) => dump_postgres(connection, about, chunks).await,
    }
}

fn header(about: &About, source: Source, schema: &Schema, position: Position) -> Header {
    Header {
        cluster: about.cluster,
        backup: about.backup,
        taken_ms: about.taken_ms,
        source,
        epoch: position.epoch,
        term: about.term,
        group: position.group,
        mark: position.mark,
        schema: schema.clone(),
    }
}

fn select(table: &super::tables::Table) -> String {
    let quoted = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        names.join(", ")
    };
    format!(
        "SELECT {} FROM \"{}\" ORDER BY {}",
        quoted(&table.columns),
        table.name,
        quoted(&table.key)
    )
}

async fn send(writer: &mut ImageWriter, chunks: &mpsc::Sender<Bytes>) -> Result<(), ImageError> {
    match writer.chunk() {
        Some(chunk) => send_bytes(chunk, chunks).await,
        None => Ok(()),
    }
}

async fn send_bytes(chunk: Vec<u8>, chunks: &mpsc::Sender<Bytes>) -> Result<(), ImageError> {
    chunks
        .send(chunk.into())
        .await
        .map_err(|_| ImageError::Io(std::io::Error::other("nobody takes the image any more")))
}

// The two differ in the types of the connection and of a row, which a macro says shorter than
// bounds do.
macro_rules! dump_rows {
    ($connection:ident, $schema:ident, $writer:ident, $chunks:ident, $cell:path) => {
        for (number, table) in $schema.tables.iter().enumerate() {
            let sql = AssertSqlSafe(select(table));
            let mut rows = sqlx::query(sql).persistent(false).fetch(&mut **$connection);
            while let Some(row) = rows.try_next().await? {
                let cells = (0..table.columns.len())
                    .map(|column| $cell(&row, column))
                    .collect::<Result<Vec<Cell>, _>>()?;
                $writer.row(number, &cells);
                send(&mut $writer, $chunks).await?;
            }
        }
    };
}

async fn dump_sqlite(
    connection: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    about: &About,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<Header, ImageError> {
    let position = Position::of_sqlite(connection).await?;
    let schema = schema_of_sqlite(connection).await?;
    let header = header(about, Source::Sqlite, &schema, position);
    let mut writer = ImageWriter::new(&header);
    dump_rows!(connection, schema, writer, chunks, of_sqlite);
    let counters = counters_of_sqlite(connection, &schema).await?;
    send_bytes(writer.end(counters), chunks).await?;
    Ok(header)
}

async fn counters_of_sqlite(
    connection: &mut SqliteConnection,
    schema: &Schema,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    if schema.tables.iter().all(|table| table.identity.is_none()) {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT name, seq FROM main.sqlite_sequence ORDER BY name")
        .fetch_all(connection)
        .await
}

async fn dump_postgres(
    connection: &mut sqlx::Transaction<'static, sqlx::Postgres>,
    about: &About,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<Header, ImageError> {
    let position = Position::of_postgres(connection).await?;
    let schema = schema_of_postgres(connection).await?;
    let header = header(about, Source::Postgresql, &schema, position);
    let mut writer = ImageWriter::new(&header);
    dump_rows!(connection, schema, writer, chunks, of_postgres);
    let counters = counters_of_postgres(connection, &schema).await?;
    send_bytes(writer.end(counters), chunks).await?;
    Ok(header)
}

async fn counters_of_postgres(
    connection: &mut PgConnection,
    schema: &Schema,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut counters = Vec::new();
    for table in &schema.tables {
        let Some(column) = &table.identity else {
            continue;
        };
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence($1, $2) AS regclass))",
        )
        .bind(format!("\"{}\"", table.name))
        .bind(column)
        .fetch_one(&mut *connection)
        .await?;
        if let Some(last) = last {
            counters.push((table.name.clone(), last));
        }
    }
    Ok(counters)
}

fn of_postgres(row: &PgRow, column: usize) -> Result<Cell, sqlx::Error> {
    let kind = row.column(column).type_info().name().to_owned();
    let cell = match kind.as_str() {
        "INT8" => row.try_get::<Option<i64>, _>(column)?.map(Cell::Integer),
        "TEXT" => row.try_get::<Option<String>, _>(column)?.map(Cell::Text),
        "BYTEA" => row.try_get::<Option<Vec<u8>>, _>(column)?.map(Cell::Bytes),
        other => {
            return Err(sqlx::Error::Decode(
                format!("column {column} is {other}, which no column is").into(),
            ));
        }
    };
    Ok(cell.unwrap_or(Cell::Null))
}
