//! The embedded database: one file, one writer, many readers, one process.
//!
//! WAL with synchronous=FULL: a commit is on the drive when COMMIT returns (NORMAL loses all
//! commits since the last checkpoint in a power cut; this was measured). Readers see snapshots and
//! never wait for the writer. A lock file keeps a second process out.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::job::{Apply, Job, Pending};
use super::writer::Writer;
use super::{DEADLINE, Lent, Reader, Snapshot, Surroundings};
use crate::error::{MetadataError, OpenError};
use crate::journal::{JournalConfig, JournalStatus, Position};
use crate::schema;

/// Commands that may wait. At 6,000 a second a full queue is a sixth of a second of work.
const QUEUE_LEN: usize = 1024;

/// Read connections, each with a thread and a cache of its own: beyond twice the cores of the
/// machines that use the embedded database more of them only add switching.
const READERS: u32 = 8;

/// How long SQLite itself waits for another process (a backup, a person with `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Prepared statements kept a connection: more than all that exist here.
const STATEMENTS: usize = 256;

/// See the module.
pub(crate) struct SqliteEngine {
    surroundings: Surroundings,
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    orders: mpsc::Sender<JournalOrder>,
    journal: Mutex<Option<Arc<Mutex<JournalStatus>>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    files: Arc<Files>,
}

/// Asks the writer to keep a journal; answered with where its status is.
pub(super) struct JournalOrder {
    pub(super) config: JournalConfig,
    pub(super) done: oneshot::Sender<Result<Arc<Mutex<JournalStatus>>, String>>,
}

/// What the engine and its writer share: where the file is, its readers, its health, its lock.
pub(super) struct Files {
    path: PathBuf,
    readers: RwLock<Option<SqlitePool>>,
    trouble: Mutex<Option<String>>,
    lock: Mutex<Option<File>>,
}

impl SqliteEngine {
    /// Opens the file at `path`, making it and its folder if absent.
    pub(super) async fn open(path: &Path, surroundings: Surroundings) -> Result<Self, OpenError> {
        let files = Arc::new(Files::lock(path)?);
        let mut connection = files.connect().await?;
        schema::migrate_sqlite(&mut connection).await?;
        let position = Position::of_sqlite(&mut connection).await?;
        files.open_readers();
        let (queue, jobs) = mpsc::channel(QUEUE_LEN);
        let (orders, ordered) = mpsc::channel(1);
        let writer = Writer::new(
            connection,
            position,
            Arc::clone(&files),
            surroundings.clone(),
        );
        Ok(Self {
            surroundings,
            queue: Mutex::new(Some(queue)),
            orders,
            journal: Mutex::new(None),
            writer: Mutex::new(Some(tokio::spawn(writer.run(jobs, ordered)))),
            files,
        })
    }

    /// See [`super::Engine::now_ms`].
    pub(super) fn now_ms(&self) -> u64 {
        self.surroundings.clock.now_ms()
    }

    /// See [`super::Engine::keep_journal`].
    pub(super) async fn keep_journal(&self, config: JournalConfig) -> Result<(), String> {
        let closed = || "the metadata is closed".to_owned();
        let (done, answer) = oneshot::channel();
        let order = JournalOrder { config, done };
        self.orders.send(order).await.map_err(|_| closed())?;
        let status = answer.await.map_err(|_| closed())??;
        *self
            .journal
            .lock()
            .unwrap_or_else(|broken| broken.into_inner()) = Some(status);
        Ok(())
    }

    /// See [`super::Engine::journal_status`].
    pub(super) fn journal_status(&self) -> Option<JournalStatus> {
        let journal = self
            .journal
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        let status = journal.as_ref()?;
        let status = status.lock().unwrap_or_else(|broken| broken.into_inner());
        Some(status.clone())
    }

    /// Queues a command and waits for its group's commit.
    pub(super) async fn run<C: Apply>(&self, command: C) -> Result<C::Outcome, MetadataError> {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
            .clone();
        let queue = queue.ok_or_else(closed)?;
        let (job, answer) = Pending::new(command);
        queue.try_send(Box::new(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                MetadataError::Unavailable(format!("{QUEUE_LEN} commands are waiting"))
            }
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// See [`super::Engine::reader`].
    pub(super) async fn reader(&self) -> Result<Reader, MetadataError> {
        let connection = self.files.readers()?.acquire().await?;
        Ok(Reader {
            surroundings: self.surroundings.clone(),
            lent: Lent::Sqlite(connection),
        })
    }

    /// See [`super::Engine::snapshot`].
    pub(super) async fn snapshot(&self) -> Result<Reader, MetadataError> {
        let transaction = self.files.readers()?.begin().await?;
        Ok(Reader {
            surroundings: self.surroundings.clone(),
            lent: Lent::SqliteSnapshot(transaction),
        })
    }

    /// See [`super::Engine::healthy`].
    pub(super) fn healthy(&self) -> Result<(), String> {
        self.files.healthy()
    }

    /// See [`super::Engine::close`].
    pub(super) async fn close(&self) {
        let take = |broken: std::sync::PoisonError<_>| broken.into_inner();
        drop(self.queue.lock().unwrap_or_else(take).take());
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
            .take();
        self.files.close_readers().await;
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        self.files.unlock();
    }
}

fn closed() -> MetadataError {
    MetadataError::Unavailable("the metadata is closed".to_owned())
}

impl Files {
    /// Takes the lock file beside the database.
    fn lock(path: &Path) -> Result<Self, OpenError> {
        let io = |path: &Path, source| OpenError::Io {
            path: path.display().to_string(),
            source,
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
        }
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| io(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Unsafe(format!(
                    "another process serves {}",
                    path.display()
                )));
            }
            Err(TryLockError::Error(source)) => return Err(io(&lock_path, source)),
        }
        Ok(Self {
            path: path.to_owned(),
            readers: RwLock::new(None),
            trouble: Mutex::new(None),
            lock: Mutex::new(Some(lock)),
        })
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging()
    }

    /// A connection to write with, whose settings are what they were asked to be.
    pub(super) async fn connect(&self) -> Result<SqliteConnection, OpenError> {
        let mut connection = self.options().connect().await?;
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut connection)
            .await?;
        if journal != "wal" {
            return Err(OpenError::Unsafe(format!(
                "its journal_mode is `{journal}`, not `wal`: is it on a network file system?"
            )));
        }
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&mut connection)
            .await?;
        if synchronous != 2 {
            return Err(OpenError::Unsafe(format!(
                "its synchronous is {synchronous}, not 2 (FULL)"
            )));
        }
        Ok(connection)
    }

    /// Lets readers in.
    pub(super) fn open_readers(&self) {
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(DEADLINE)
            .test_before_acquire(false)
            .connect_lazy_with(self.options().pragma("query_only", "ON"));
        *self
            .readers
            .write()
            .unwrap_or_else(|broken| broken.into_inner()) = Some(pool);
    }

    /// Keeps readers out and waits for those that are in.
    pub(super) async fn close_readers(&self) {
        let pool = self
            .readers
            .write()
            .unwrap_or_else(|broken| broken.into_inner())
            .take();
        if let Some(pool) = pool {
            pool.close().await;
        }
    }

    /// A state of the whole database, to make an image of.
    pub(super) async fn image_snapshot(&self) -> Result<Snapshot, MetadataError> {
        Ok(Snapshot::Sqlite(self.readers()?.begin().await?))
    }

    fn readers(&self) -> Result<SqlitePool, MetadataError> {
        let readers = self
            .readers
            .read()
            .unwrap_or_else(|broken| broken.into_inner());
        readers.clone().ok_or_else(|| {
            MetadataError::Unavailable("the metadata is closed or being reopened".to_owned())
        })
    }

    /// Lets another process have the file.
    fn unlock(&self) {
        self.lock
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
            .take();
    }

    /// Records that something is wrong, or (`None`) that it no longer is.
    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self
            .trouble
            .lock()
            .unwrap_or_else(|broken| broken.into_inner()) = trouble;
    }

    /// See [`super::Engine::healthy`].
    pub(super) fn healthy(&self) -> Result<(), String> {
        match &*self
            .trouble
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
        {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(()),
        }
    }
}
