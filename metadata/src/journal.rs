//! The metadata's journal: every committed group is durable on several drives before it is answered.
//!
//! The embedded database is one file on one disk. With a journal its loss loses nothing: each group
//! of commands is written, row by row, to `may_lose + 1` drives and synced there *before* the
//! database commits it, so that nobody ever sees what the drives do not have. From an *image* on a
//! drive and the records after it the database is made anew (`recover`).
//!
//! - [`Shelf`] is what a drive lends: a few files, no meaning. `src/` joins it to the drives.
//! - `record`, `segment`, `notice` are the formats; `docs/formats.md` describes every byte.
//! - `capture` finds out which rows a group changed; `redo` changes them again elsewhere.
//! - `keeper` decides which drives hold the journal, and says so in a *notice* on every drive, with
//!   a *term* that rises with each change: a drive that was away can never be taken for current.
//! - `survey` reads what drives have; `recover` decides what a start does about it.

mod base;
mod capture;
mod grudges;
mod keeper;
mod names;
mod notice;
mod record;
mod recover;
mod redo;
mod segment;
mod shelf;
mod survey;

use holdfast_types::ClusterId;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, SqliteConnection};
use std::sync::Arc;
use uuid::Uuid;

pub(crate) use capture::Capture;
pub(crate) use keeper::Keeper;
pub use keeper::{JournalState, JournalStatus};
pub(crate) use record::Record;
pub use recover::{Permission, RecoverError, Recovered, Recovery, recover, setting_of};
pub(crate) use recover::{put_in_place, remove_database};
pub(crate) use redo::redo;
pub use shelf::{Shelf, ShelfFile, ShelfRead};

/// What a journal needs to know.
#[derive(Clone)]
pub struct JournalConfig {
    /// The cluster whose metadata it is.
    pub cluster: ClusterId,
    /// Drives that may be lost with the database: the journal is on one more.
    pub may_lose: usize,
    /// Drives that a write of objects needs: with fewer, nothing is written anyway.
    pub write_quorum: usize,
    /// Gives what each drive of the cluster lends, whatever its state is; asked again and again,
    /// because drives are added and removed.
    pub shelves: Arc<dyn Fn() -> Vec<Arc<dyn Shelf>> + Send + Sync>,
    /// Bytes of records after which a new image is begun at the earliest.
    pub rebase_bytes: u64,
}

impl JournalConfig {
    /// Below so many bytes of records a new image saves nothing worth having.
    pub const REBASE_BYTES: u64 = 64 << 20;

    /// Holders without which nothing is committed: as many as a write of objects keeps beyond `k`,
    /// and never one where there may be two.
    pub(crate) const fn holders_needed(&self) -> usize {
        1 + self.may_lose.div_ceil(2)
    }

    /// Drives that must know of a change of holders before it counts. Whoever later misses fewer
    /// drives than this knows whether there is a newer journal on them.
    pub(crate) fn notices_needed(&self) -> usize {
        (self.may_lose + 1).min(self.write_quorum.max(1))
    }
}

/// The newest epoch that any drive knows of; 0 where none knows of one. Blocks on the disks.
pub(crate) fn newest_epoch(shelves: &[Arc<dyn Shelf>]) -> u64 {
    survey::Survey::take(shelves).newest().0
}

/// A point in the metadata's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Raised by each restore of a backup.
    pub epoch: u64,
    /// The group's number.
    pub group: u64,
    /// The group's own name: two histories never share one.
    pub mark: Uuid,
}

impl Position {
    /// Where a database is that has nothing in it.
    pub(crate) const fn of_nothing() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            group: 0,
            mark: Uuid::nil(),
        }
    }

    /// What the metadata keeps of it, beside the epoch.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.group, self.mark.simple())
    }

    fn parse(epoch: Option<&str>, last_group: Option<&str>) -> Result<Self, sqlx::Error> {
        let bad = |what: &str| sqlx::Error::Protocol(format!("its {what} can't be read"));
        let epoch = match epoch {
            Some(epoch) => epoch.parse().map_err(|_| bad("cluster_epoch"))?,
            None => FIRST_EPOCH,
        };
        let (group, mark) = match last_group {
            None => (0, Uuid::nil()),
            Some(text) => {
                let (group, mark) = text.split_once(' ').unwrap_or(("0", text));
                (
                    group.parse().map_err(|_| bad("last_group"))?,
                    Uuid::parse_str(mark).map_err(|_| bad("last_group"))?,
                )
            }
        };
        Ok(Self { epoch, group, mark })
    }

    fn of_rows(rows: &[(String, String)]) -> Result<Self, sqlx::Error> {
        let value = |name: &str| {
            rows.iter()
                .find(|row| row.0 == name)
                .map(|row| row.1.as_str())
        };
        Self::parse(value("cluster_epoch"), value("last_group"))
    }

    /// Where an embedded database is.
    pub(crate) async fn of_sqlite(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<(String, String)> = sqlx::query_as(META).fetch_all(connection).await?;
        Self::of_rows(&rows)
    }

    /// Where a cluster's database is: it has an epoch and no groups.
    pub(crate) async fn of_postgres(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<(String, String)> = sqlx::query_as(META).fetch_all(connection).await?;
        Self::of_rows(&rows)
    }
}

const META: &str = "SELECT name, value FROM meta WHERE name IN ('cluster_epoch', 'last_group')";

/// The epoch of metadata that was never restored.
pub(crate) const FIRST_EPOCH: u64 = 1;
