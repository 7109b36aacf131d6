//! Making a database of a backup: into a new file of the embedded database, or into an empty
//! PostgreSQL. The store must not be served meanwhile.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_types::ClusterId;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::error::OpenError;
use crate::image::{ImageError, ImageInfo, ImageReader, Target, load};
use crate::journal::{Position, Shelf, newest_epoch, put_in_place, remove_database};
use crate::schema;

/// What to restore, and where.
pub struct Restore {
    /// The backup.
    pub file: PathBuf,
    /// Where the metadata shall be.
    pub into: RestoreInto,
    /// The drives that are there: they know of epochs too, and whose they are.
    pub shelves: Vec<Arc<dyn Shelf>>,
    /// The cluster of the drives, where there are some.
    pub cluster: Option<ClusterId>,
    /// What time it is.
    pub now_ms: u64,
}

/// Where the metadata shall be.
pub enum RestoreInto {
    /// The embedded database's file; what is there is set aside.
    Sqlite(PathBuf),
    /// `postgres://...`: a database without any metadata in it.
    Postgres(String),
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub info: ImageInfo,
    /// The epoch from now on.
    pub epoch: u64,
    /// Where the former database is now.
    pub set_aside: Option<PathBuf>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup can't be used.
    #[error("the backup can't be used: {0}")]
    Image(#[from] ImageError),
    /// It is of another cluster.
    #[error("the backup is of cluster {theirs}, and the drives are of cluster {ours}")]
    OtherCluster {
        /// The drives'.
        ours: ClusterId,
        /// The backup's.
        theirs: ClusterId,
    },
    /// Give another database: this one holds metadata.
    #[error("the database is not empty: restore into a new one")]
    NotEmpty,
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database said no.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A file can't be read or written.
    #[error("can't restore: {0}")]
    Io(#[from] io::Error),
}

/// Restores a backup. Nothing is changed unless all of it could be.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore(request: Restore) -> Result<Restored, RestoreError> {
    let file = std::path::absolute(&request.file)?;
    let place = file.display().to_string();
    let image = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(file)?;
        ImageReader::new(Box::new(io::BufReader::with_capacity(1 << 20, file)))
    })
    .await
    .map_err(io::Error::other)??;
    if let (Some(ours), Some(theirs)) = (request.cluster, image.header().cluster)
        && ours != theirs
    {
        return Err(RestoreError::OtherCluster { ours, theirs });
    }
    let shelves = request.shelves.clone();
    let on_drives = tokio::task::spawn_blocking(move || newest_epoch(&shelves))
        .await
        .map_err(io::Error::other)?;
    let above = on_drives.max(image.header().epoch);
    match &request.into {
        RestoreInto::Sqlite(database) => {
            into_sqlite(image, database.clone(), &place, above, request.now_ms).await
        }
        RestoreInto::Postgres(url) => {
            into_postgres(image, url, &place, above, request.now_ms).await
        }
    }
}

/// The epoch of the restored metadata.
fn new_epoch(info: &ImageInfo, above: u64) -> u64 {
    above.max(info.epoch) + 1
}

/// What a restored metadata says beside the backup's rows.
fn marks(info: &ImageInfo, group: u64, above: u64, now_ms: u64) -> [(&'static str, String); 3] {
    let position = Position {
        epoch: new_epoch(info, above),
        group: group + 1,
        mark: Uuid::now_v7(),
    };
    [
        ("cluster_epoch", position.epoch.to_string()),
        ("last_group", position.text()),
        ("reconcile_pending", now_ms.to_string()),
    ]
}

const SET: &str = "INSERT INTO meta (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The backup was taken before it was known to be whole, and where it lies now is known from where
/// it was read.
const WHOLE: &str = "UPDATE backups SET bytes = $2, place = $3 WHERE backup_id = $1";

/// A length as databases keep it.
fn stored(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// PostgreSQL's transaction ids mean nothing in another database, where one of the old ones might
/// never come: what the change log has is put before all that will be. A key's rows stay in order by
/// their numbers; a reader of the log begins anew, so that it is told some things twice rather than
/// one never.
const NEW_LOG: [&str; 4] = [
    "UPDATE change_consumers SET transaction_id = 0, change_number = 0 WHERE transaction_id <> 0",
    "UPDATE notifications SET until_transaction = 0, \
     until_number = (SELECT COALESCE(MAX(change_number), 0) + 1 FROM changes) \
     WHERE until_transaction <> 0",
    "UPDATE changes SET transaction_id = 0 WHERE transaction_id <> 0",
    "UPDATE heads SET last_transaction = 0 WHERE last_transaction <> 0",
];

/// Nobody has the leases that were held when the backup was taken; and who held one of the database
/// that is replaced, and lives yet, must not find its generation here one day. `$1` is the epoch,
/// which no other database of this cluster has.
const NEW_LEASES: &str = "UPDATE worker_leases SET until_ms = 0, \
                          generation = $1 * 4294967296 + generation % 4294967296";

async fn into_sqlite(
    image: ImageReader,
    database: PathBuf,
    place: &str,
    above: u64,
    now_ms: u64,
) -> Result<Restored, RestoreError> {
    let above = above.max(epoch_of(&database).await);
    let mut fresh = database.as_os_str().to_owned();
    fresh.push(".restoring");
    let fresh = PathBuf::from(fresh);
    remove_database(&fresh)?;
    let mut connection = SqliteConnectOptions::new()
        .filename(&fresh)
        .create_if_missing(true)
        // Nothing of it counts before it is whole and synced.
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging()
        .connect()
        .await?;
    schema::migrate_sqlite(&mut connection).await?;
    let group = image.header().group;
    let mut transaction = connection.begin().await?;
    let info = load(image, Target::Sqlite(&mut transaction)).await?;
    let marks = marks(&info, group, above, now_ms);
    for (name, value) in &marks {
        sqlx::query(SET)
            .bind(*name)
            .bind(value)
            .execute(&mut *transaction)
            .await?;
    }
    if let Some(backup) = info.backup {
        sqlx::query(WHOLE)
            .bind(backup.as_bytes().as_slice())
            .bind(stored(info.bytes))
            .bind(place)
            .execute(&mut *transaction)
            .await?;
    }
    for sql in NEW_LOG {
        sqlx::query(sql).execute(&mut *transaction).await?;
    }
    sqlx::query(NEW_LEASES)
        .bind(new_epoch(&info, above).cast_signed())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let epoch = Position::of_sqlite(&mut connection).await?.epoch;
    connection.close().await?;
    let set_aside = tokio::task::spawn_blocking(move || put_in_place(&fresh, &database))
        .await
        .map_err(io::Error::other)??;
    Ok(Restored {
        info,
        epoch,
        set_aside,
    })
}

/// The epoch of a database that is about to be replaced, as far as it can be read.
async fn epoch_of(database: &std::path::Path) -> u64 {
    let read = async {
        let mut connection: SqliteConnection = SqliteConnectOptions::new()
            .filename(database)
            .disable_statement_logging()
            .connect()
            .await?;
        let position = Position::of_sqlite(&mut connection).await;
        connection.close().await?;
        position
    };
    let found: Result<Position, sqlx::Error> = read.await;
    found.map_or(0, |position| position.epoch)
}

async fn into_postgres(
    image: ImageReader,
    url: &str,
    place: &str,
    above: u64,
    now_ms: u64,
) -> Result<Restored, RestoreError> {
    let options: PgConnectOptions = url
        .parse()
        .map_err(|_| OpenError::Address("what was given".to_owned()))?;
    let mut connection: PgConnection = options.disable_statement_logging().connect().await?;
    schema::migrate_postgres(&mut connection).await?;
    let used: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM settings) OR EXISTS (SELECT 1 FROM buckets) \
         OR EXISTS (SELECT 1 FROM blobs) OR EXISTS (SELECT 1 FROM drives)",
    )
    .fetch_one(&mut connection)
    .await?;
    if used {
        return Err(RestoreError::NotEmpty);
    }
    let group = image.header().group;
    let mut transaction = connection.begin().await?;
    let info = load(image, Target::Postgres(&mut transaction)).await?;
    for (name, value) in &marks(&info, group, above, now_ms) {
        sqlx::query(SET)
            .bind(*name)
            .bind(value)
            .execute(&mut *transaction)
            .await?;
    }
    if let Some(backup) = info.backup {
        sqlx::query(WHOLE)
            .bind(backup.as_bytes().as_slice())
            .bind(stored(info.bytes))
            .bind(place)
            .execute(&mut *transaction)
            .await?;
    }
    for sql in NEW_LOG {
        sqlx::query(sql).execute(&mut *transaction).await?;
    }
    sqlx::query(NEW_LEASES)
        .bind(new_epoch(&info, above).cast_signed())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let epoch = Position::of_postgres(&mut connection).await?.epoch;
    connection.close().await?;
    Ok(Restored {
        info,
        epoch,
        set_aside: None,
    })
}
