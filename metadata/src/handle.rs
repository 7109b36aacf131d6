//! The handle that everyone holds: cheap to clone, all methods async, one method a command or query.
//!
//! A command runs to its end even if its caller goes away: dropping the future never cancels a
//! commit. `Ok` means committed and durable. A query sees what was committed before it began.

use std::sync::Arc;

use holdfast_types::{Clock, Region};
use serde::{Deserialize, Serialize};

use crate::command::GARBAGE_GRACE;
use crate::commands::leases::Fenced;
use crate::drive_numbers::{DriveNumbers, UnknownNumber};
use crate::engine::{Apply, Engine, Surroundings};
use crate::error::{MetadataError, OpenError};
use crate::hook::StatementHook;
use crate::lease::Fence;
use crate::lifecycle::LifecycleDay;
use crate::model::{BlobPlacement, Upload};
use crate::queries::placements;
use crate::rule_cache::RuleCache;
use crate::samples::SampleRule;

pub use self::journal::ImageStream;

/// Where the metadata is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataConfig {
    /// `sqlite:PATH` (made if absent) or `postgres://...`.
    pub url: String,
    /// Connections to PostgreSQL; ignored by SQLite.
    #[serde(default = "MetadataConfig::default_postgres_connections")]
    pub postgres_connections: u32,
    /// How long removed bytes stay on their drives at least. Shorter than [`GARBAGE_GRACE`] is for
    /// tests: a slow reader may lose what it reads.
    #[serde(default = "MetadataConfig::default_garbage_grace_seconds")]
    pub garbage_grace_seconds: u64,
    /// How long a day is to lifecycle rules, where it is not a day. For tests, and for those who
    /// try rules out: objects go early.
    #[serde(default)]
    pub lifecycle_day_seconds: Option<u64>,
    /// Which writes are read again.
    #[serde(default)]
    pub samples: SampleRule,
}

impl MetadataConfig {
    /// The metadata at `url`, all else as by default.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            postgres_connections: Self::default_postgres_connections(),
            garbage_grace_seconds: Self::default_garbage_grace_seconds(),
            lifecycle_day_seconds: None,
            samples: SampleRule::default(),
        }
    }

    fn lifecycle_day(&self) -> LifecycleDay {
        self.lifecycle_day_seconds
            .map_or(LifecycleDay::REAL, LifecycleDay::of_seconds)
    }

    const fn default_garbage_grace_seconds() -> u64 {
        GARBAGE_GRACE.as_secs()
    }

    /// 32: as many commits under way as group well in PostgreSQL's log.
    const fn default_postgres_connections() -> u32 {
        32
    }
}

/// One thing on a page of uploads.
// Nearly all entries are of the larger kind.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadEntry {
    /// An open upload.
    Upload(Upload),
    /// All keys with open uploads that begin with this, which ends with the delimiter.
    CommonPrefix(Vec<u8>),
}

/// A page of open uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPage {
    /// By key, then by upload id (which is by time).
    pub entries: Vec<UploadEntry>,
    /// Whether there is more.
    pub truncated: bool,
    /// How many rows the database handed over.
    pub rows_visited: u64,
}

/// Rows that one query hands over at most, whatever its caller asks for.
const MAX_ROWS: usize = 10_000;

type Result<T, E = MetadataError> = std::result::Result<T, E>;

/// The metadata of one Holdfast, as one region sees it.
#[derive(Clone)]
pub struct Metadata {
    inner: Arc<Inner>,
    /// What every command of this handle is under.
    fence: Option<Fence>,
}

struct Inner {
    engine: Engine,
    region: Region,
    drives: Arc<DriveNumbers>,
    rules: Arc<RuleCache>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("region", &self.inner.region)
            .finish_non_exhaustive()
    }
}

/// Opening, closing, health.
impl Metadata {
    /// Opens the metadata, making it or its schema new where needed. Queries about placements
    /// answer for `region`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        config: &MetadataConfig,
        region: Region,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::open_hooked(config, region, clock, None).await
    }

    /// Like [`Metadata::open`], with a hook that sees every statement.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_hooked(
        config: &MetadataConfig,
        region: Region,
        clock: Arc<dyn Clock>,
        hook: Option<Arc<dyn StatementHook>>,
    ) -> Result<Self, OpenError> {
        let drives = Arc::new(DriveNumbers::default());
        let rules = Arc::new(RuleCache::new(config.lifecycle_day()));
        let surroundings = Surroundings {
            clock,
            drives: Arc::clone(&drives),
            hook,
            garbage_grace_ms: config.garbage_grace_seconds.saturating_mul(1000),
            rules: Arc::clone(&rules),
            samples: config.samples,
        };
        let engine = Engine::open(config, surroundings).await?;
        let metadata = Self {
            inner: Arc::new(Inner {
                engine,
                region,
                drives,
                rules,
            }),
            fence: None,
        };
        // Saves the first requests a query. Where it fails they ask again.
        if let Err(error) = metadata.learn_drives().await {
            tracing::warn!(%error, "the drives' numbers could not be read yet");
        }
        Ok(metadata)
    }

    /// Waits for the commands under way, brings the log into the database and closes it, for all
    /// clones of this handle. Commands that come later are answered `Unavailable`.
    pub async fn close(self) {
        self.inner.engine.close().await;
    }

    /// Whether the metadata can do its work now.
    ///
    /// # Errors
    /// Why it can't, in words for an operator.
    pub fn healthy(&self) -> Result<(), String> {
        self.inner.engine.healthy()
    }

    async fn run<C: Apply>(&self, command: C) -> Result<C::Outcome> {
        match &self.fence {
            None => self.inner.engine.run(command).await,
            Some(fence) => self.inner.engine.run(Fenced::new(fence, command)?).await,
        }
    }
}

/// Sends a query of one statement, or (`snapshot`) of several that see one state.
macro_rules! query {
    ($self:ident . $how:ident, $($query:ident)::+ ( $($argument:expr),* )) => {{
        let mut reader = $self.inner.engine.$how().await?;
        $($query)::+(&mut reader.tx(), $($argument),*).await
    }};
}

mod audit;
mod backups;
mod buckets;
mod dead_letters;
mod duty;
mod housekeeping;
mod inventory;
mod journal;
mod leases;
mod lifecycle;
mod notifications;
mod objects;
mod policies;
mod rate_limits;
mod reencode;
mod repair;
mod samples;
mod sealing;
mod settings;
mod uploads;

fn unpack_blob(
    numbers: &DriveNumbers,
    blob: &placements::PackedBlob,
) -> std::result::Result<BlobPlacement, UnknownNumber> {
    Ok(BlobPlacement {
        blob: blob.0,
        len: blob.1,
        placement: numbers.unpack(&blob.2)?,
    })
}
