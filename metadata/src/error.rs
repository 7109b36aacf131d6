//! Why a command or a query did not do it, by what the caller does now.

use std::sync::Arc;

use crate::model::{OpId, OverQuota};

/// See the module.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MetadataError {
    /// Tell the client: there is no such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// Tell the client: the key has no current object.
    #[error("no such key")]
    NoSuchKey,
    /// Tell the client: the key has no such version.
    #[error("no such version")]
    NoSuchVersion,
    /// Tell the client: no such upload, or it is aborted or completed, or of another key.
    #[error("no such upload")]
    NoSuchUpload,
    /// Tell the client: the name is taken.
    #[error("the bucket exists already")]
    BucketExists,
    /// Tell the client: the bucket still has versions, markers or open uploads.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// Tell the client: a condition does not hold; nothing was changed.
    #[error("the condition {condition} does not hold")]
    PreconditionFailed {
        /// The header's name, such as `If-Match`.
        condition: &'static str,
    },
    /// Tell the client: object lock holds the version, or the retention can't be made weaker.
    #[error("the version is protected by object lock")]
    Locked,
    /// Tell the client: versions of this bucket can't be locked.
    #[error("the bucket has no object lock")]
    NoObjectLock,
    /// Tell the client: only a bucket with versioning can have object lock.
    #[error("versioning is not enabled")]
    VersioningNotEnabled,
    /// Tell the client: a bucket with object lock keeps its versioning.
    #[error("the bucket has object lock")]
    HasObjectLock,
    /// Tell the client: the bucket's quota does not allow the write.
    #[error("the bucket may hold {} {}", .0.limit, .0.what)]
    OverQuota(OverQuota),
    /// Tell the operator: no such policy, key or drive.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Tell the operator: a policy, key or setting of that name is there already.
    #[error("the {0} exists already")]
    Exists(&'static str),
    /// Read again and retry a few times: the source version, a part or a blob went away between
    /// the read and the command.
    #[error("what was read has changed since")]
    SourceChanged,
    /// Answer 503: this attempt's id was condemned or aborted and can never be published. The
    /// client may retry, with new bytes.
    #[error("the attempt was fenced off before it was published")]
    Fenced,
    /// Stop working: the lease that the change was made under is another's by now, or nobody's.
    /// Nothing was changed.
    #[error("the lease of {0} is lost")]
    LeaseLost(String),
    /// Wrap the data key by the newest master key and try again: the one that wraps it was retired.
    #[error("the master key was retired")]
    KeyRetired,
    /// Answer 503 and free nothing: whether it happened could not be found out before the
    /// deadline.
    #[error("the outcome of {0:?} is unknown")]
    OutcomeUnknown(OpId),
    /// Answer 503, retry later: too many commands are waiting, or the database is away.
    #[error("the metadata is not available: {0}")]
    Unavailable(String),
    /// Answer 500 and look: the database refused a statement.
    #[error("the metadata failed: {0}")]
    Database(Arc<sqlx::Error>),
    /// Answer 500 and look: a row does not hold what it must.
    #[error("a metadata row is not as it must be: {0}")]
    Corrupt(String),
}

/// Why a database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its schema is newer than this binary can read.
    #[error(
        "the metadata has schema version {found}, which needs at least Holdfast {needs}; \
         this is {ours}: start a newer binary"
    )]
    TooNew {
        /// The schema's version.
        found: u64,
        /// The oldest binary that may open it.
        needs: String,
        /// This binary's version.
        ours: String,
    },
    /// Its address can't be read.
    #[error("`{0}` is not a metadata address: write sqlite:PATH or postgres://...")]
    Address(String),
    /// The database does not keep the promise that Holdfast makes: a setting is wrong.
    #[error("the metadata database is not safe to use: {0}")]
    Unsafe(String),
    /// The database said no.
    #[error("can't open the metadata: {0}")]
    Database(#[from] sqlx::Error),
    /// A folder or file can't be made.
    #[error("can't open the metadata at {path}: {source}")]
    Io {
        /// Where.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// SQLite's primary result codes that mean "not now": busy, locked, I/O error, disk full, can't
/// open.
const SQLITE_AWAY: [i64; 5] = [5, 6, 10, 13, 14];

impl From<sqlx::Error> for MetadataError {
    /// Sorts a database error by what the caller does: 503 where it may pass, 500 where it won't.
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let sqlite = code.parse::<i64>().map(|code| code & 0xff);
                let away = if code.len() == 5 {
                    // PostgreSQL: connection, resources, operator, system.
                    ["08", "53", "57", "58"].contains(&&code[..2])
                } else {
                    sqlite.is_ok_and(|code| SQLITE_AWAY.contains(&code))
                };
                if away {
                    Self::Unavailable(error.to_string())
                } else {
                    Self::Database(Arc::new(error))
                }
            }
            _ => Self::Database(Arc::new(error)),
        }
    }
}
