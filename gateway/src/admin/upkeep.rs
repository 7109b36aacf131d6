//! Background work and the set of drives: what an operator may see of them and tell them.
//!
//! The gateway knows neither workers nor storage nodes: the process hands in an [`Upkeep`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_types::DriveId;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::de::DeserializeOwned;

use super::error::AdminError;
use super::route::{DriveRoute, UpkeepRoute, WorkerRoute};
use super::view::{
    AddDrive, AddedView, DoneView, DrainView, RemovedView, RepairView, SetPace, WorkersView,
};
use super::{Admin, json};

/// What all workers of a name shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerOrder {
    /// Work this share of the time, 1 to 100 percent.
    Pace(u8),
    /// Rest until told otherwise.
    Pause,
    /// Go on.
    Resume,
    /// Look for work now.
    Run,
}

/// How a drive leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It was drained.
    Drained,
    /// It is dead: only say what its loss means.
    TellLoss,
    /// It is dead, and its loss is accepted.
    Lost,
}

/// An order that was not followed, by what the operator does now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for can't be.
    #[error("{0}")]
    Invalid(String),
    /// Not as things are; the words say what has to be different.
    #[error("{0}")]
    Conflict(String),
    /// It failed; it may be tried again.
    #[error("{0}")]
    Failed(String),
}

/// Background work and the set of drives of this process.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// Tells all workers of a name what to do. Kept over restarts.
    async fn order(&self, worker: &str, order: WorkerOrder) -> Result<(), NotDone>;

    /// How the repair is.
    fn repair(&self) -> RepairView;

    /// How far each drive is that is being emptied.
    fn draining(&self) -> BTreeMap<DriveId, DrainView>;

    /// Makes a drive of an empty folder and takes it into use.
    async fn add_drive(&self, path: PathBuf, shared_disk: bool) -> Result<AddedView, NotDone>;

    /// Empties a drive, or lets it be used again.
    async fn drain_drive(&self, drive: DriveId, is_wanted: bool) -> Result<(), NotDone>;

    /// Makes a drive of an empty folder and lets it take the place of another one.
    async fn replace_drive(
        &self,
        old: DriveId,
        path: PathBuf,
        shared_disk: bool,
    ) -> Result<AddedView, NotDone>;

    /// Parts with a drive for good.
    async fn remove_drive(&self, drive: DriveId, how: Leaving) -> Result<RemovedView, NotDone>;
}

impl From<NotDone> for AdminError {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::NotFound(why) => Self::not_found(why),
            NotDone::Invalid(why) => Self::invalid(why),
            NotDone::Conflict(why) => Self::exists(why),
            NotDone::Failed(why) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", why)
            }
        }
    }
}

impl Admin {
    pub(super) async fn upkeep(
        &self,
        route: UpkeepRoute,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        let upkeep = self.surroundings.upkeep().ok_or_else(|| {
            AdminError::not_found("this process has neither workers nor drives of its own")
        })?;
        match route {
            UpkeepRoute::Workers => {
                let workers = self.surroundings.workers();
                Ok(json(StatusCode::OK, &WorkersView { workers }))
            }
            UpkeepRoute::Repair => Ok(json(StatusCode::OK, &upkeep.repair())),
            UpkeepRoute::Worker { name, what } => {
                let (order, words) = match what {
                    WorkerRoute::Pace => {
                        let SetPace { percent } = parse(body)?;
                        if !(1..=100).contains(&percent) {
                            return Err(AdminError::invalid("percent is 1 to 100"));
                        }
                        (
                            WorkerOrder::Pace(percent),
                            format!("works {percent} % of the time"),
                        )
                    }
                    WorkerRoute::Pause => (WorkerOrder::Pause, "is paused".to_owned()),
                    WorkerRoute::Resume => (WorkerOrder::Resume, "goes on".to_owned()),
                    WorkerRoute::Run => (WorkerOrder::Run, "looks for work now".to_owned()),
                };
                upkeep.order(&name, order).await?;
                tracing::info!(worker = name, ?order, "an operator told a worker");
                Ok(done(format!("{name} {words}")))
            }
            UpkeepRoute::AddDrive => {
                let AddDrive { path, shared_disk } = parse(body)?;
                let added = upkeep.add_drive(path.into(), shared_disk).await?;
                Ok(json(StatusCode::CREATED, &added))
            }
            UpkeepRoute::Drive { drive, what } => {
                let drive = drive_id(&drive)?;
                self.drive(&*upkeep, drive, what, body).await
            }
        }
    }

    async fn drive(
        &self,
        upkeep: &dyn Upkeep,
        drive: DriveId,
        what: DriveRoute,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        match what {
            DriveRoute::Drain => {
                upkeep.drain_drive(drive, true).await?;
                Ok(done(format!("drive {drive} is being emptied")))
            }
            DriveRoute::Undrain => {
                upkeep.drain_drive(drive, false).await?;
                Ok(done(format!("drive {drive} is in use again")))
            }
            DriveRoute::Replace => {
                let AddDrive { path, shared_disk } = parse(body)?;
                let added = upkeep.replace_drive(drive, path.into(), shared_disk);
                Ok(json(StatusCode::CREATED, &added.await?))
            }
            DriveRoute::Remove(how) => {
                let removed = upkeep.remove_drive(drive, how).await?;
                Ok(json(StatusCode::OK, &removed))
            }
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AdminError> {
    serde_json::from_slice(body)
        .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))
}

fn drive_id(text: &str) -> Result<DriveId, AdminError> {
    text.parse()
        .map_err(|_| AdminError::invalid("a drive's id is 32 hexadecimal digits"))
}

fn done(words: String) -> Response<Full<Bytes>> {
    json(StatusCode::OK, &DoneView { done: words })
}
