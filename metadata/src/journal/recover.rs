//! What a start does with the database and what the drives have of it, before either is written.
//!
//! - No database, a journal: the database is made anew from the drives.
//! - Both, and the journal is one group ahead: that group is done again. So it is after each crash
//!   between the record and its COMMIT.
//! - The database is damaged, further behind (an old copy, or its log is gone) or of another
//!   history: a person decides (`--restore-from-drives`).
//!
//! Never is an empty database made where there was one, and never is an older state taken for the
//! newest: unless the drives prove that nothing newer is elsewhere, a person decides too.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_types::DriveId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use uuid::Uuid;

use super::Position;
use super::redo::{RedoError, redo};
use super::shelf::Shelf;
use super::survey::{Chain, Survey, open_image};
use crate::error::OpenError;
use crate::image::{ImageError, Target, load};
use crate::schema;

/// Groups that are done again in one transaction.
const GROUPS_AT_ONCE: usize = 256;

/// What a person allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Only what is certain to lose nothing.
    Careful,
    /// The newest that the drives that are there have, whatever the database is like; it is set
    /// aside.
    RestoreFromDrives,
}

/// What to look at.
pub struct Recovery {
    /// The embedded database's file.
    pub database: PathBuf,
    /// The drives that are there.
    pub shelves: Vec<Arc<dyn Shelf>>,
    /// What may be done.
    pub permission: Permission,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing: there is neither a database nor a journal.
    New,
    /// Nothing: the database is where the journal is, or there is no journal yet.
    Kept,
    /// The database lacked the journal's last group, and has it now.
    RolledForward {
        /// Where it is now.
        to: Position,
    },
    /// The database was made anew.
    Restored {
        /// Where it is now.
        to: Position,
        /// Rows of the image, over all tables.
        rows: u64,
        /// Groups after the image.
        groups: usize,
        /// Where what was there before is now.
        set_aside: Option<PathBuf>,
    },
}

/// Why a start must not go on.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The database can't be used: a person decides.
    #[error(
        "{database} is damaged ({what}). The drives have what it held: start with \
         --restore-from-drives to make it anew from them; it is set aside, not removed"
    )]
    Damaged {
        /// The file.
        database: String,
        /// What is wrong with it.
        what: String,
    },
    /// The database is behind what the drives have, or of another history: a person decides.
    #[error(
        "{database} is at group {ours} and the drives' journal of it at group {theirs}: it is an old \
         copy, it lost its log ({database}-wal), or it is of another Holdfast. Put the right one \
         back, or start with --restore-from-drives to make it anew from the drives; it is set aside, \
         not removed"
    )]
    OtherHistory {
        /// The file.
        database: String,
        /// Its group.
        ours: u64,
        /// The journal's.
        theirs: u64,
    },
    /// The database is from before a restore: a person decides.
    #[error(
        "{database} is of epoch {ours} and the drives are of epoch {theirs}: it is from before a \
         restore. Put the restored one back, or start with --restore-from-drives"
    )]
    Superseded {
        /// The file.
        database: String,
        /// Its epoch.
        ours: u64,
        /// The drives'.
        theirs: u64,
    },
    /// The drives that are missing may know of something newer: bring them, or decide.
    #[error(
        "the metadata's database is not there, and the drives that are there do not prove that what \
         they have of it is the newest. Bring back enough of these drives: {}. Or, to go on with \
         what there is and lose what is newer, start with --restore-from-drives",
        missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    NotProven {
        /// Drives that are not there, or hold nothing that can be read.
        missing: Vec<DriveId>,
    },
    /// The drives do not have a whole one.
    #[error("the metadata can't be restored from the drives: {0}")]
    Impossible(String),
    /// An image can't be used.
    #[error("an image of the metadata: {0}")]
    Image(#[from] ImageError),
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error("the metadata's database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A file can't be written.
    #[error("can't restore the metadata: {0}")]
    Io(#[from] io::Error),
}

impl From<RedoError> for RecoverError {
    fn from(error: RedoError) -> Self {
        match error {
            RedoError::Database(error) => Self::Database(error),
            other @ RedoError::DoesNotFit { .. } => Self::Impossible(other.to_string()),
        }
    }
}

/// Looks at the database and the drives, and makes the database what it must be. To be called with
/// nobody else at either, before the metadata is opened.
///
/// # Errors
/// See [`RecoverError`]; then nothing has been changed.
pub async fn recover(recovery: Recovery) -> Result<Recovered, RecoverError> {
    let Recovery {
        database,
        shelves,
        permission,
    } = recovery;
    let survey = tokio::task::spawn_blocking(move || Survey::take(&shelves))
        .await
        .map_err(|error| RecoverError::Io(io::Error::other(error)))?;
    for complaint in &survey.complaints {
        tracing::warn!("the metadata's journal: {complaint}");
    }
    if !database.exists() {
        return if survey.is_empty() {
            Ok(Recovered::New)
        } else {
            restore(&survey, &database, permission).await
        };
    }
    match decide(&survey, &database).await {
        Ok(Decision::Keep) => Ok(Recovered::Kept),
        Ok(Decision::RollForward(connection, mark)) => {
            roll_forward(&survey, connection, mark).await
        }
        Err(refused) if permission == Permission::RestoreFromDrives && !survey.is_empty() => {
            tracing::warn!("restoring from the drives, as asked for: {refused}");
            restore(&survey, &database, permission).await
        }
        Err(refused) => Err(refused),
    }
}

enum Decision {
    Keep,
    RollForward(SqliteConnection, Uuid),
}

async fn decide(survey: &Survey, database: &Path) -> Result<Decision, RecoverError> {
    let name = || database.display().to_string();
    let (connection, ours) = match inspect(database).await {
        Ok(found) => found,
        // Without a journal nobody can do better than to say what SQLite says.
        Err(error) if survey.is_empty() => return Err(error.into()),
        Err(error) => {
            return Err(RecoverError::Damaged {
                database: name(),
                what: error.to_string(),
            });
        }
    };
    let Some(theirs) = survey.end() else {
        connection.close().await?;
        return Ok(Decision::Keep);
    };
    let (epoch, _) = survey.newest();
    let decision = if epoch > ours.epoch {
        Err(RecoverError::Superseded {
            database: name(),
            ours: ours.epoch,
            theirs: epoch,
        })
    } else if theirs.mark == ours.mark || theirs.epoch < ours.epoch {
        Ok(None)
    } else if let Some([mark]) = survey.way_from(ours.mark).as_deref() {
        Ok(Some(*mark))
    } else if ours.group > theirs.group && !survey.knows(ours.mark) {
        // Groups from before the journal was begun in this start: it gets a new image.
        Ok(None)
    } else {
        Err(RecoverError::OtherHistory {
            database: name(),
            ours: ours.group,
            theirs: theirs.group,
        })
    };
    match decision {
        Ok(Some(mark)) => Ok(Decision::RollForward(connection, mark)),
        Ok(None) => {
            connection.close().await?;
            Ok(Decision::Keep)
        }
        Err(refused) => {
            connection.close().await?;
            Err(refused)
        }
    }
}

/// Opens the database and looks where it is; all of it, if it was not closed in good order.
async fn inspect(database: &Path) -> Result<(SqliteConnection, Position), sqlx::Error> {
    let log = beside(database, "-wal");
    let unclean = std::fs::metadata(log).is_ok_and(|found| found.len() > 0);
    let mut connection = SqliteConnectOptions::new()
        .filename(database)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    if unclean {
        let said: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut connection)
            .await?;
        if said != "ok" {
            return Err(sqlx::Error::Protocol(said));
        }
    }
    let position = if has_meta(&mut connection).await? {
        Position::of_sqlite(&mut connection).await?
    } else {
        // A first start that was cut: it is nowhere yet.
        Position::of_nothing()
    };
    Ok((connection, position))
}

/// A setting in an embedded database that nobody has open; `None` where it has none, or none that
/// can be read.
pub async fn setting_of(database: &Path, name: &str) -> Option<String> {
    let read = async {
        let mut connection = SqliteConnectOptions::new()
            .filename(database)
            .read_only(true)
            .disable_statement_logging()
            .connect()
            .await?;
        let value = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut connection)
            .await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(value)
    };
    read.await.ok().flatten()
}

async fn has_meta(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'")
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

async fn roll_forward(
    survey: &Survey,
    mut connection: SqliteConnection,
    mark: Uuid,
) -> Result<Recovered, RecoverError> {
    let to = redo_all(survey, &mut connection, &[mark]).await?;
    connection.close().await?;
    Ok(Recovered::RolledForward { to })
}

/// Does the groups of `marks` again, and says where that led.
async fn redo_all(
    survey: &Survey,
    connection: &mut SqliteConnection,
    marks: &[Uuid],
) -> Result<Position, RecoverError> {
    for marks in marks.chunks(GROUPS_AT_ONCE) {
        let mut transaction = connection.begin().await?;
        for mark in marks {
            let (record, schema) = survey.record(*mark).map_err(RecoverError::Impossible)?;
            redo(&mut transaction, &schema, &record).await?;
        }
        transaction.commit().await?;
    }
    Ok(Position::of_sqlite(connection).await?)
}

async fn restore(
    survey: &Survey,
    database: &Path,
    permission: Permission,
) -> Result<Recovered, RecoverError> {
    let missing = survey.missing();
    if !missing.is_empty() {
        if permission == Permission::Careful {
            return Err(RecoverError::NotProven { missing });
        }
        tracing::warn!(
            ?missing,
            "restoring without proof that nothing newer is on drives that are not there"
        );
    }
    let chain = match survey.chain() {
        Ok(chain) => chain,
        Err(reason) if permission == Permission::Careful => {
            return Err(RecoverError::Impossible(reason));
        }
        Err(reason) => {
            tracing::warn!(reason, "restoring the newest state that is whole instead");
            survey
                .best_chain()
                .ok_or(RecoverError::Impossible(reason))?
        }
    };
    let fresh = beside(database, ".restoring");
    let Made { to, rows, groups } = make(survey, &chain, &fresh).await?;
    if to != chain.end {
        return Err(RecoverError::Impossible(format!(
            "the records lead to group {} and not to {}",
            to.group, chain.end.group
        )));
    }
    let database = database.to_owned();
    let set_aside = tokio::task::spawn_blocking(move || put_in_place(&fresh, &database))
        .await
        .map_err(io::Error::other)??;
    Ok(Recovered::Restored {
        to,
        rows,
        groups,
        set_aside,
    })
}

/// A database that was made.
struct Made {
    to: Position,
    /// Rows of the image.
    rows: u64,
    /// Groups after it.
    groups: usize,
}

/// Makes a database at `fresh` of the chain.
async fn make(survey: &Survey, chain: &Chain, fresh: &Path) -> Result<Made, RecoverError> {
    let mut last = RecoverError::Impossible("there is no image".to_owned());
    for (base, groups) in &chain.bases {
        let marks = chain.last(*groups);
        remove_database(fresh)?;
        let (shelf, name) = (Arc::clone(&base.shelf), base.name.clone());
        let made = async {
            let image = tokio::task::spawn_blocking(move || open_image(&*shelf, &name))
                .await
                .map_err(io::Error::other)??;
            let mut connection = SqliteConnectOptions::new()
                .filename(fresh)
                .create_if_missing(true)
                // Nothing of it counts before it is whole and synced.
                .journal_mode(SqliteJournalMode::Memory)
                .synchronous(SqliteSynchronous::Off)
                .disable_statement_logging()
                .connect()
                .await?;
            schema::migrate_sqlite(&mut connection).await?;
            let mut transaction = connection.begin().await?;
            let info = load(image, Target::Sqlite(&mut transaction)).await?;
            transaction.commit().await?;
            let rows = info.tables.iter().map(|table| table.1).sum();
            let to = redo_all(survey, &mut connection, marks).await?;
            connection.close().await?;
            let groups = marks.len();
            Ok(Made { to, rows, groups })
        };
        match made.await {
            Ok(made) => return Ok(made),
            Err(error) => {
                let drive = base.shelf.drive();
                tracing::warn!(%drive, image = base.name, "can't restore from it: {error}");
                last = error;
            }
        }
    }
    Err(last)
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What SQLite keeps beside a database, and the database.
const FILES: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// Removes a database and what SQLite keeps beside it.
pub(crate) fn remove_database(database: &Path) -> io::Result<()> {
    for ending in FILES {
        match std::fs::remove_file(beside(database, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Sets aside what is at `database`, and its log first of all (a log that another database finds
/// beside it would be done to it), and puts `fresh` there, durably.
pub(crate) fn put_in_place(fresh: &Path, database: &Path) -> io::Result<Option<PathBuf>> {
    let folder = database.parent().unwrap_or(Path::new("."));
    File::open(fresh)?.sync_all()?;
    let aside = beside(database, &format!(".set-aside-{}", Uuid::now_v7().simple()));
    let mut set_aside = None;
    for ending in FILES {
        match std::fs::rename(beside(database, ending), beside(&aside, ending)) {
            Ok(()) => set_aside = Some(aside.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    File::open(folder)?.sync_all()?;
    std::fs::rename(fresh, database)?;
    File::open(folder)?.sync_all()?;
    Ok(set_aside)
}
