//! SQLite's one writer: many commands, one fsync.
//!
//! It takes what waits (at most [`GROUP_LEN`] commands), runs each in a savepoint of its own, and
//! commits them together. A command that fails is rolled back to its savepoint and spoils nobody's
//! work. All are answered after COMMIT, failures too, because a failure may rest on what a
//! neighbour did.
//!
//! **A COMMIT that fails** may have happened. The writer then keeps everybody out, closes the file,
//! opens it again (which recovers the log), forces the log into the database (so that what was
//! recovered from memory only is durable), and looks for the group's mark: a row that each group
//! writes last. There, it happened; not there, it never will. Until that works the answer is
//! `OutcomeUnknown` and the handle is unhealthy.
//!
//! **With a journal** each group is on its drives before COMMIT, so that nobody sees what they do
//! not have. From then on it has happened: a COMMIT that fails is done again from the record. A
//! group that did not reach enough drives is rolled back, and its outcome is unknown, because some
//! drive may have it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast_types::mutant::{self, Mutant};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Surroundings;
use super::job::Job;
use super::sqlite::{Files, JournalOrder};
use crate::error::MetadataError;
use crate::journal::{Capture, JournalConfig, JournalStatus, Keeper, Position, Record, redo};
use crate::sql::{Connection, Tx, values};

/// Commands in a group at most: one fsync is then less than a tenth of its work.
const GROUP_LEN: usize = 128;

/// How long a group is filled before it is committed, so that a heavy command does not keep a full
/// group of light ones waiting behind it.
const GROUP_TIME: Duration = Duration::from_millis(100);

/// How often an unknown group is looked into before its callers are told `OutcomeUnknown`.
const RESOLVE_TRIES: u32 = 5;

/// How long readers may take to leave before the file is reopened without them.
const READERS_LEAVE: Duration = Duration::from_secs(10);

/// How often the journal is looked after.
const TEND: Duration = Duration::from_secs(1);

/// How much longer the deliberately broken build keeps COMMIT waiting after its answers.
const MUTANT_DELAY: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Writer {
    connection: Option<SqliteConnection>,
    /// Of the last group that is known to have happened.
    position: Position,
    journal: Option<Journal>,
    files: Arc<Files>,
    surroundings: Surroundings,
}

/// A journal that is kept.
struct Journal {
    capture: Capture,
    keeper: Keeper,
    /// A group that is on the drives and not yet known to be in the database.
    unsettled: Option<Record>,
}

/// How the end of a group went.
enum End {
    /// It is durable.
    Committed,
    /// It changed nothing, so there is nothing to be made durable.
    Unchanged,
    /// It did not happen.
    RolledBack(MetadataError),
    /// It is on too few drives: it is not committed here, and a restore may still find it.
    Unjournaled {
        reason: String,
        /// Why the connection can't be used any more, if so.
        broken: Option<sqlx::Error>,
    },
    /// COMMIT failed in a way that says nothing.
    Unknown(sqlx::Error),
}

impl Writer {
    /// Writes over `connection` until its queue is closed.
    pub(super) const fn new(
        connection: SqliteConnection,
        position: Position,
        files: Arc<Files>,
        surroundings: Surroundings,
    ) -> Self {
        Self {
            connection: Some(connection),
            position,
            journal: None,
            files,
            surroundings,
        }
    }

    /// Commits groups until nobody can send commands any more, then closes the file, which brings
    /// the log into the database.
    pub(super) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Box<dyn Job>>,
        mut orders: mpsc::Receiver<JournalOrder>,
    ) {
        let mut group = Vec::with_capacity(GROUP_LEN);
        let mut tend = tokio::time::interval(TEND);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                taken = jobs.recv_many(&mut group, 1) => {
                    if taken == 0 {
                        break;
                    }
                    self.commit_group(&mut group, &mut jobs).await;
                    group.clear();
                }
                Some(JournalOrder { config, done }) = orders.recv() => {
                    // Whoever asked may be gone: the journal is kept all the same.
                    let _ = done.send(self.keep_journal(config).await);
                }
                _ = tend.tick() => {
                    if let Some(journal) = &mut self.journal {
                        journal.keeper.tend().await;
                    }
                }
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the metadata file did not close cleanly");
        }
    }

    /// Keeps a journal from now on.
    async fn keep_journal(
        &mut self,
        config: JournalConfig,
    ) -> Result<Arc<Mutex<JournalStatus>>, String> {
        if self.connection.is_none() {
            self.reopen().await?;
        }
        let Some(connection) = self.connection.as_mut() else {
            return Err("it is not open".to_owned());
        };
        let capture = Capture::install(connection)
            .await
            .map_err(|error| error.to_string())?;
        let files = Arc::clone(&self.files);
        let keeper = Keeper::begin(
            config,
            Arc::clone(&self.surroundings.clock),
            Arc::new(move || {
                let files = Arc::clone(&files);
                Box::pin(async move { files.image_snapshot().await })
            }),
            capture.schema().clone(),
            self.position,
        )
        .await?;
        let status = keeper.status();
        self.journal = Some(Journal {
            capture,
            keeper,
            unsettled: None,
        });
        Ok(status)
    }

    async fn commit_group(
        &mut self,
        group: &mut Vec<Box<dyn Job>>,
        jobs: &mut mpsc::Receiver<Box<dyn Job>>,
    ) {
        if self.connection.is_none()
            && let Err(reason) = self.reopen().await
        {
            return fail(group, &MetadataError::Unavailable(reason));
        }
        if let Some(journal) = &mut self.journal
            && let Err(reason) = journal.keeper.make_ready().await
        {
            return fail(group, &MetadataError::Unavailable(reason));
        }
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        let steps = Steps {
            before: self.position,
            next: Position {
                group: self.position.group + 1,
                mark: Uuid::now_v7(),
                ..self.position
            },
        };
        let mut tx = self.surroundings.tx(Connection::Sqlite(connection));
        match apply_group(&mut tx, group, jobs, &steps, self.journal.as_mut()).await {
            End::Committed => {
                self.position = steps.next;
                if let Some(journal) = &mut self.journal {
                    journal.unsettled = None;
                }
                group.iter_mut().for_each(|job| job.committed());
            }
            End::Unchanged => group.iter_mut().for_each(|job| job.committed()),
            End::RolledBack(error) => fail(group, &error),
            End::Unjournaled { reason, broken } => {
                tracing::error!(
                    reason,
                    commands = group.len(),
                    "a group could not be journaled: its outcome is unknown"
                );
                if let Some(error) = broken {
                    self.give_up_connection(error.to_string()).await;
                }
                fail_unknown(group);
            }
            End::Unknown(error) => {
                tracing::error!(%error, commands = group.len(), "a COMMIT failed: its outcome is unknown");
                self.resolve_group(group, &steps.next).await;
            }
        }
    }

    /// Finds out whether the group with this mark happened.
    async fn resolve_group(&mut self, group: &mut [Box<dyn Job>], asked: &Position) {
        self.give_up_connection("a COMMIT failed: the file is being reopened".to_owned())
            .await;
        for attempt in 1..=RESOLVE_TRIES {
            match self.last_group().await {
                Ok(found) if found == *asked => {
                    return group.iter_mut().for_each(|job| job.committed());
                }
                Ok(found) => {
                    if mutant::active(Mutant::UnknownIsDone) {
                        self.position = found;
                        return group.iter_mut().for_each(|job| job.committed());
                    }
                    let error = MetadataError::Unavailable("the commit failed".to_owned());
                    return fail(group, &error);
                }
                Err(reason) => {
                    tracing::error!(%reason, attempt, "the metadata file can't be reopened");
                    tokio::time::sleep(Duration::from_millis(50) * attempt).await;
                }
            }
        }
        fail_unknown(group);
    }

    /// Closes the file, which ends what was under way there; whoever needs it next opens it again.
    async fn give_up_connection(&mut self, why: String) {
        self.files.set_trouble(Some(why));
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    /// The last group that is in the reopened file.
    async fn last_group(&mut self) -> Result<Position, String> {
        if self.connection.is_none() {
            self.reopen().await?;
        }
        Ok(self.position)
    }

    /// Opens the file anew, with nobody else in it, and makes durable what is in it.
    async fn reopen(&mut self) -> Result<(), String> {
        match self.try_reopen().await {
            Ok((connection, position)) => {
                self.connection = Some(connection);
                // A group whose outcome nobody knew may be in it: the next one follows on that.
                self.position = position;
                self.files.open_readers();
                self.files.set_trouble(None);
                Ok(())
            }
            Err(reason) => {
                self.files.set_trouble(Some(reason.clone()));
                Err(reason)
            }
        }
    }

    async fn try_reopen(&mut self) -> Result<(SqliteConnection, Position), String> {
        if let Some(journal) = &mut self.journal {
            // It reads as long as the database is big.
            journal.keeper.give_up_image();
        }
        tokio::time::timeout(READERS_LEAVE, self.files.close_readers())
            .await
            .map_err(|_| "readers do not leave the metadata file".to_owned())?;
        let mut connection = self
            .files
            .connect()
            .await
            .map_err(|error| error.to_string())?;
        let mut tx = self.surroundings.tx(Connection::Sqlite(&mut connection));
        let row = tx
            .fetch_one("PRAGMA wal_checkpoint(TRUNCATE)", values![])
            .await
            .map_err(|error| error.to_string())?;
        let busy = row.map(|row| row.truth(0)).transpose();
        match busy.map_err(|error| error.to_string())? {
            Some(false) => {}
            _ => return Err("the metadata file's log can't be checkpointed".to_owned()),
        }
        if let Some(journal) = &mut self.journal {
            let settled = journal.settle(&mut connection).await;
            settled.map_err(|error| format!("the journal's last group: {error}"))?;
        }
        let position = Position::of_sqlite(&mut connection).await;
        Ok((connection, position.map_err(|error| error.to_string())?))
    }
}

impl Journal {
    /// Brings a database that was opened anew to where the journal is, and journals it from there.
    async fn settle(&mut self, connection: &mut SqliteConnection) -> Result<(), String> {
        if let Some(record) = &self.unsettled {
            let found = Position::of_sqlite(connection).await;
            let found = found.map_err(|error| error.to_string())?;
            if found.mark == record.before {
                let mut transaction = connection.begin().await.map_err(|e| e.to_string())?;
                let redone = redo(&mut transaction, self.capture.schema(), record).await;
                redone.map_err(|error| error.to_string())?;
                transaction.commit().await.map_err(|e| e.to_string())?;
                tracing::warn!(group = record.position.group, "a group was done again");
            } else if found != record.position {
                return Err(format!(
                    "it is at group {}, of another history",
                    found.group
                ));
            }
        }
        self.capture = Capture::install(connection)
            .await
            .map_err(|error| error.to_string())?;
        self.unsettled = None;
        Ok(())
    }

    /// Makes what the transaction of `tx` changed durable on the drives.
    async fn write(&mut self, tx: &mut Tx<'_>, steps: &Steps) -> Result<(), Refused> {
        let Some(connection) = tx.sqlite() else {
            return Ok(());
        };
        let captured = self.capture.take(connection).await;
        let captured = captured.map_err(|error| Refused::Before(error.into()))?;
        let record = Record {
            position: steps.next,
            term: self.keeper.term(),
            before: steps.before.mark,
            count: captured.count,
            changes: captured.changes,
        };
        let appended = self.keeper.append(&record).await;
        appended.map_err(Refused::Partly)?;
        self.unsettled = Some(record);
        Ok(())
    }
}

/// Why a group was not journaled.
enum Refused {
    /// Nothing was written.
    Before(MetadataError),
    /// Some drive may have it.
    Partly(String),
}

/// From where a group goes to where.
struct Steps {
    before: Position,
    next: Position,
}

/// Runs the commands of a group, and those that come meanwhile, and commits them.
async fn apply_group(
    tx: &mut Tx<'_>,
    group: &mut Vec<Box<dyn Job>>,
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
    steps: &Steps,
    journal: Option<&mut Journal>,
) -> End {
    if let Err(error) = tx.control("BEGIN IMMEDIATE").await {
        return End::RolledBack(error.into());
    }
    let before = match total_changes(tx).await {
        Ok(before) => before,
        Err(error) => return roll_back(tx, error).await,
    };
    let began = Instant::now();
    let mut next = 0;
    while next < group.len() {
        if let Err(error) = apply_one(tx, group[next].as_mut()).await {
            return roll_back(tx, error).await;
        }
        next += 1;
        if next == group.len()
            && next < GROUP_LEN
            && began.elapsed() < GROUP_TIME
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
    }
    match total_changes(tx).await {
        Ok(after) if after == before => {
            return match commit(tx).await {
                End::Committed => End::Unchanged,
                other => other,
            };
        }
        Ok(_) => {}
        Err(error) => return roll_back(tx, error).await,
    }
    let text = steps.next.text();
    let marked = tx
        .execute(
            "INSERT INTO meta (name, value) VALUES ('last_group', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            values![&text],
        )
        .await;
    if let Err(error) = marked {
        return roll_back(tx, error).await;
    }
    if mutant::active(Mutant::AckBeforeCommit) {
        group.iter_mut().for_each(|job| job.committed());
        tokio::time::sleep(MUTANT_DELAY).await;
    }
    match journal {
        None => commit(tx).await,
        Some(journal) => match journal.write(tx, steps).await {
            // From here on it has happened, whatever COMMIT says.
            Ok(()) => match tx.control("COMMIT").await {
                Ok(()) => End::Committed,
                Err(error) => End::Unknown(error),
            },
            Err(Refused::Before(error)) => roll_back(tx, error).await,
            Err(Refused::Partly(reason)) => End::Unjournaled {
                reason,
                broken: tx.control("ROLLBACK").await.err(),
            },
        },
    }
}

/// How many rows this connection has changed so far, those that were rolled back included.
async fn total_changes(tx: &mut Tx<'_>) -> Result<i64, MetadataError> {
    match tx.sqlite() {
        None => Ok(0),
        Some(connection) => Ok(sqlx::query_scalar("SELECT total_changes()")
            .fetch_one(connection)
            .await?),
    }
}

/// Runs one command in its savepoint. An error here is the group's, not the command's.
async fn apply_one(tx: &mut Tx<'_>, job: &mut dyn Job) -> Result<(), MetadataError> {
    tx.control("SAVEPOINT command").await?;
    if job.apply(tx).await.is_err() {
        // If the database has rolled back everything (disk full, I/O error), this fails too.
        tx.control("ROLLBACK TO command").await?;
    }
    tx.control("RELEASE command").await?;
    Ok(())
}

async fn roll_back(tx: &mut Tx<'_>, error: MetadataError) -> End {
    match tx.control("ROLLBACK").await {
        Ok(()) => End::RolledBack(error),
        // Either the database has rolled back by itself, or it is in a state that nobody knows: in
        // both cases reopening the file finds the mark missing.
        Err(rollback) => End::Unknown(rollback),
    }
}

async fn commit(tx: &mut Tx<'_>) -> End {
    match tx.control("COMMIT").await {
        Ok(()) => End::Committed,
        // BUSY alone leaves the transaction as it was.
        Err(error) if is_busy(&error) => {
            roll_back(tx, MetadataError::Unavailable(error.to_string())).await
        }
        Err(error) => End::Unknown(error),
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i64>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

fn fail_unknown(group: &mut [Box<dyn Job>]) {
    for job in group {
        job.failed(job.op().map_or_else(
            || MetadataError::Unavailable("whether it happened is unknown".to_owned()),
            MetadataError::OutcomeUnknown,
        ));
    }
}

fn fail(group: &mut [Box<dyn Job>], error: &MetadataError) {
    group.iter_mut().for_each(|job| job.failed(error.clone()));
}
