//! The metadata's own house: uploads that nobody finished, outcomes that nobody will ask for, and
//! totals that have become long sums.
//!
//! Each is one bounded command, repeated while there is more and then every so often. They are
//! idempotent: a step that was cut is simply done again.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::Metadata;

use crate::worker::{Progress, WorkError, Worker};

/// Which chore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ExpireUploads,
    ExpireOutcomes,
    FoldUsage,
}

/// A chore of the metadata.
pub struct Chore {
    metadata: Metadata,
    kind: Kind,
    done: u64,
}

impl Chore {
    /// Aborts uploads that were neither completed nor aborted in time; forgets old outcomes of
    /// completed ones.
    #[must_use]
    pub fn expire_uploads(metadata: Metadata) -> Self {
        Self::new(metadata, Kind::ExpireUploads)
    }

    /// Forgets the outcomes of operations whose COMMIT can't be under way any more.
    #[must_use]
    pub fn expire_outcomes(metadata: Metadata) -> Self {
        Self::new(metadata, Kind::ExpireOutcomes)
    }

    /// Adds up the changes of object counts and bytes, so that reading a total stays cheap.
    #[must_use]
    pub fn fold_usage(metadata: Metadata) -> Self {
        Self::new(metadata, Kind::FoldUsage)
    }

    fn new(metadata: Metadata, kind: Kind) -> Self {
        Self {
            metadata,
            kind,
            done: 0,
        }
    }
}

#[async_trait]
impl Worker for Chore {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::ExpireUploads => "upload-expiry",
            Kind::ExpireOutcomes => "outcome-expiry",
            Kind::FoldUsage => "usage-fold",
        }
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let done = match self.kind {
            Kind::ExpireUploads => self.metadata.expire_uploads(STEP).await?,
            Kind::ExpireOutcomes => self.metadata.expire_outcomes(STEP).await?,
            Kind::FoldUsage => self.metadata.fold_usage(STEP).await?,
        };
        self.done += done;
        Ok(if done == 0 {
            Progress::Idle
        } else {
            Progress::Busy
        })
    }

    async fn wait(&mut self) {
        let pause = match self.kind {
            // What expires does so after days: minutes are soon enough.
            Kind::ExpireUploads | Kind::ExpireOutcomes => Duration::from_secs(300),
            // A total is at most this much of a sum away from being one row.
            Kind::FoldUsage => Duration::from_secs(5),
        };
        tokio::time::sleep(pause).await;
    }

    fn doing(&self) -> String {
        match self.kind {
            Kind::ExpireUploads => format!("{} uploads expired", self.done),
            Kind::ExpireOutcomes => format!("{} outcomes forgotten", self.done),
            Kind::FoldUsage => format!("{} changes added up", self.done),
        }
    }
}

/// Rows of one step: a few milliseconds of the metadata's writer, so that no request waits longer.
const STEP: usize = 200;
