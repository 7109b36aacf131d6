//! Backups of the metadata, and the end of the wait after a restore.
//!
//! The gateway knows no files and no drives: the process hands in [`Backups`].

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_metadata::backup::BACKUP_KEPT;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use uuid::Uuid;

use super::error::AdminError;
use super::upkeep::NotDone;
use super::view::{BackupView, BackupsView, DoneView, TakeBackup};
use super::{Admin, json};
use crate::s3::error::S3Error;
use crate::s3::name::{BucketName, ObjectKey};

/// Where a backup shall be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupTarget {
    /// A new file of the server's machine.
    File(PathBuf),
    /// A new object of a bucket of this Holdfast.
    Bucket {
        /// The bucket.
        bucket: BucketName,
        /// Its key; `None`: one with the time in it.
        key: Option<ObjectKey>,
    },
}

impl TakeBackup {
    fn target(&self) -> Result<BackupTarget, AdminError> {
        let invalid = |error: S3Error| AdminError::invalid(error.text().to_owned());
        match (&self.file, &self.bucket, &self.key) {
            (Some(file), None, None) => Ok(BackupTarget::File(file.into())),
            (None, Some(bucket), key) => Ok(BackupTarget::Bucket {
                bucket: BucketName::parse(bucket).map_err(invalid)?,
                key: key
                    .as_deref()
                    .map(ObjectKey::parse)
                    .transpose()
                    .map_err(invalid)?,
            }),
            _ => Err(AdminError::invalid(
                "give either a file or a bucket (and a key, if you want to choose it)",
            )),
        }
    }
}

/// What is asked of the process.
#[async_trait]
pub trait Backups: Send + Sync + 'static {
    /// Takes one, to its end even if nobody waits for it any more.
    async fn take(&self, target: BackupTarget, keep: Duration) -> Result<BackupView, NotDone>;

    /// All that are known.
    async fn list(&self) -> Result<BackupsView, NotDone>;

    /// Forgets one: what it pinned may be destroyed.
    async fn forget(&self, id: Uuid) -> Result<(), NotDone>;

    /// Takes a restored metadata for compared with the drives. Whether it was waiting for that.
    async fn confirm(&self) -> Result<bool, NotDone>;
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BackupRoute {
    /// `GET /admin/v1/metadata/backups`.
    List,
    /// `POST /admin/v1/metadata/backups`.
    Take,
    /// `DELETE /admin/v1/metadata/backups/ID`.
    Forget(String),
    /// `POST /admin/v1/metadata/reconciled`.
    Confirm,
}

impl BackupRoute {
    /// The route of a request below `/admin/v1/metadata`.
    pub(super) fn of(method: &Method, below: &[&str]) -> Option<Self> {
        match below {
            ["backups"] if method == Method::GET => Some(Self::List),
            ["backups"] if method == Method::POST => Some(Self::Take),
            ["backups", id] if method == Method::DELETE => Some(Self::Forget((*id).to_owned())),
            ["reconciled"] if method == Method::POST => Some(Self::Confirm),
            _ => None,
        }
    }
}

impl Admin {
    pub(super) async fn backups(
        &self,
        route: BackupRoute,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        let backups = self
            .surroundings
            .backups()
            .ok_or_else(|| AdminError::not_found("this process takes no backups"))?;
        match route {
            BackupRoute::List => Ok(json(StatusCode::OK, &backups.list().await?)),
            BackupRoute::Take => {
                let asked: TakeBackup = serde_json::from_slice(body).map_err(|error| {
                    AdminError::invalid(format!("the body can't be read: {error}"))
                })?;
                let keep = asked.keep_seconds.map_or(BACKUP_KEPT, Duration::from_secs);
                let taken = backups.take(asked.target()?, keep).await?;
                tracing::info!(place = taken.place, "a backup of the metadata was taken");
                Ok(json(StatusCode::CREATED, &taken))
            }
            BackupRoute::Forget(id) => {
                let id = Uuid::parse_str(&id)
                    .map_err(|_| AdminError::invalid("a backup's id is 32 hexadecimal digits"))?;
                backups.forget(id).await?;
                Ok(done("what it pinned may be destroyed from now on"))
            }
            BackupRoute::Confirm => {
                let words = if backups.confirm().await? {
                    tracing::warn!("an operator confirmed the restored metadata: sweeping goes on");
                    "the restored metadata is confirmed: sweeping goes on"
                } else {
                    "nothing waits to be reconciled"
                };
                Ok(done(words))
            }
        }
    }
}

fn done(words: &str) -> Response<Full<Bytes>> {
    let done = words.to_owned();
    json(StatusCode::OK, &DoneView { done })
}
