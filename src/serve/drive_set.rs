//! The set of drives while it serves: one more, one less, one in another's place.
//!
//! Each change is one order at a time, and durable in an order that a crash can cut anywhere: a new
//! drive is formatted, then recorded with its folder, then used; a drive that leaves is recorded as
//! removed, then let go. A folder that was formatted and never recorded is taken up by the next try.
//! Nothing on a drive is ever touched that this store did not write.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use holdfast_gateway::admin::view::{AddedView, RemovedView, StakeView};
use holdfast_gateway::admin::{Leaving, NotDone};
use holdfast_metadata::Metadata;
use holdfast_metadata::drives::{DriveDuty, DriveRecord};
use holdfast_replication::Workers;
use holdfast_replication::stake::{Stake, stake};
use holdfast_storage_node::{DriveConfig, IdentityError, LocalStore, format_drive, read_identity};
use holdfast_types::{Clock, ClusterId, Drive, DriveId, DriveState, FragmentStore, Layout, Region};
use tokio_util::sync::CancellationToken;

use super::file_systems::FileSystems;
use super::first_start::{NODE, ZONE};
use super::scrubbing::DriveScrub;

/// What a change of the set concerns.
pub(crate) struct DriveSet {
    pub(crate) metadata: Metadata,
    pub(crate) store: Arc<LocalStore>,
    pub(crate) workers: Workers,
    pub(crate) file_systems: Arc<FileSystems>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cluster: ClusterId,
    pub(crate) region: Region,
    pub(crate) data: PathBuf,
    /// Of each drive's scrub, to end it.
    pub(crate) scrubs: std::sync::Mutex<HashMap<DriveId, CancellationToken>>,
    /// One change at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl DriveSet {
    /// Makes a drive of an empty folder and takes it into use.
    pub(crate) async fn add(&self, path: &Path, shared_disk: bool) -> Result<AddedView, NotDone> {
        let _one = self.changing.lock().await;
        let added = self.take_in(path, shared_disk, None).await?;
        Ok(AddedView {
            drive: added.id.to_string(),
            path: added.path.display().to_string(),
            note: "new objects use it from now on; what is stored is moved to it until it has its \
                   share (worker `rebalance`)"
                .to_owned(),
            stake: None,
        })
    }

    /// Empties a drive, or takes it into use again.
    pub(crate) async fn drain(&self, drive: DriveId, is_wanted: bool) -> Result<(), NotDone> {
        let _one = self.changing.lock().await;
        let record = self.record(drive).await?;
        if !is_wanted {
            return self
                .set_duty(
                    drive,
                    &[DriveDuty::Draining, DriveDuty::InUse],
                    DriveDuty::InUse,
                )
                .await;
        }
        if record.duty == DriveDuty::InUse {
            self.refuse_too_few(drive).await?;
        }
        self.set_duty(
            drive,
            &[DriveDuty::InUse, DriveDuty::Draining],
            DriveDuty::Draining,
        )
        .await
    }

    /// Makes a drive of an empty folder; the old one is drained, or given up where it is dead.
    pub(crate) async fn replace(
        &self,
        old: DriveId,
        path: &Path,
        shared_disk: bool,
    ) -> Result<AddedView, NotDone> {
        let _one = self.changing.lock().await;
        let record = self.record(old).await?;
        if record.duty == DriveDuty::Removed {
            return Err(NotDone::Conflict(format!("drive {old} was removed before")));
        }
        let is_dead = !self.state(old).readable();
        let at_stake = match is_dead {
            true => Some(self.stake_of(old).await?),
            false => None,
        };
        let added = self.take_in(path, shared_disk, Some(old)).await?;
        let note = if is_dead {
            self.let_go(old, &[DriveDuty::InUse, DriveDuty::Draining])
                .await?;
            format!("drive {old} is given up; what it had is made anew (worker `repair`)")
        } else {
            let from = [DriveDuty::InUse, DriveDuty::Draining];
            self.set_duty(old, &from, DriveDuty::Draining).await?;
            format!(
                "drive {old} is being emptied (worker `drain`); when that is done, remove it with \
                 `holdfast admin drive remove {old}`"
            )
        };
        Ok(AddedView {
            drive: added.id.to_string(),
            path: added.path.display().to_string(),
            note,
            stake: at_stake.as_ref().map(stake_view),
        })
    }

    /// Parts with a drive for good, if no object is lost with it.
    pub(crate) async fn remove(
        &self,
        drive: DriveId,
        how: Leaving,
    ) -> Result<RemovedView, NotDone> {
        let _one = self.changing.lock().await;
        let record = self.record(drive).await?;
        let view = |removed, stake: Option<&Stake>| RemovedView {
            drive: drive.to_string(),
            removed,
            stake: stake.map(stake_view),
        };
        if record.duty == DriveDuty::Removed {
            return Ok(view(true, None));
        }
        if how == Leaving::Drained {
            if record.duty != DriveDuty::Draining {
                return Err(NotDone::Conflict(format!(
                    "drive {drive} is in use: empty it first with `holdfast admin drive drain \
                     {drive}`, or give it up with --lost if it is dead"
                )));
            }
            let left = self.metadata.placed_on(drive).await.map_err(failed)?;
            if left.fragments > 0 {
                return Err(NotDone::Conflict(format!(
                    "{} fragments ({} bytes) are still on drive {drive}: `holdfast admin drive \
                     list` says how far it is",
                    left.fragments, left.bytes
                )));
            }
            self.let_go(drive, &[DriveDuty::Draining]).await?;
            return Ok(view(true, None));
        }
        if self.state(drive).readable() {
            return Err(NotDone::Conflict(format!(
                "drive {drive} can be read: empty it with `holdfast admin drive drain {drive}` \
                 instead of giving it up"
            )));
        }
        let at_stake = self.stake_of(drive).await?;
        if how == Leaving::Lost {
            self.let_go(drive, &[DriveDuty::InUse, DriveDuty::Draining])
                .await?;
        }
        Ok(view(how == Leaving::Lost, Some(&at_stake)))
    }

    /// What the loss of a drive means; refused where it means the loss of data.
    async fn stake_of(&self, drive: DriveId) -> Result<Stake, NotDone> {
        let drives = self.store.drives();
        let at_stake = stake(&self.metadata, &drives, drive).await;
        let at_stake = at_stake.map_err(|error| NotDone::Failed(error.to_string()))?;
        if at_stake.lost() > 0 {
            return Err(NotDone::Conflict(format!(
                "{} blobs can't be read without drive {drive}: bring it or other missing drives \
                 back first. Nothing was changed",
                at_stake.lost()
            )));
        }
        Ok(at_stake)
    }

    /// Formats, records and opens a drive. `instead_of` may have had the folder.
    async fn take_in(
        &self,
        path: &Path,
        shared_disk: bool,
        instead_of: Option<DriveId>,
    ) -> Result<DriveConfig, NotDone> {
        let records = self.metadata.drive_records().await.map_err(failed)?;
        let others: Vec<Drive> = self
            .store
            .drives()
            .into_iter()
            .filter(|drive| Some(drive.id) != instead_of)
            .collect();
        let (asked, data, cluster) = (path.to_owned(), self.data.clone(), self.cluster);
        let made = tokio::task::spawn_blocking(move || {
            make(&asked, &data, cluster, &records, &others, shared_disk)
        });
        let (id, path) = made
            .await
            .map_err(|_| NotDone::Failed("the folder could not be looked at".to_owned()))??;
        let config = DriveConfig {
            id,
            path,
            region: self.region.clone(),
            zone: ZONE.to_owned(),
            node: NODE.to_owned(),
        };
        self.metadata
            .upsert_drives(vec![described(&config)])
            .await
            .map_err(failed)?;
        if let Err(error) = self.store.add(config.clone()).await {
            // Nothing was ever placed there: the next try makes another drive of it.
            let all = [DriveDuty::InUse];
            let undone = self.metadata.set_drive_duty(id, &all, DriveDuty::Removed);
            undone.await.map_err(failed)?;
            return Err(NotDone::Failed(error.to_string()));
        }
        self.file_systems.add(id, &config.path);
        self.start_scrub(id);
        tracing::info!(drive = %id, path = %config.path.display(), "a drive was added");
        Ok(config)
    }

    /// Scrubs a drive of the store from now on.
    pub(crate) fn start_scrub(&self, drive: DriveId) {
        let Some(scrub) = self.store.scrub(drive, &self.clock) else {
            return;
        };
        let scrub = DriveScrub::new(scrub, &self.metadata, &self.clock);
        let end = self.workers.start(scrub);
        let mut scrubs = self.scrubs.lock().unwrap_or_else(PoisonError::into_inner);
        scrubs.insert(drive, end);
    }

    fn end_scrub(&self, drive: DriveId) {
        let mut scrubs = self.scrubs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scrub) = scrubs.remove(&drive) {
            scrub.cancel();
        }
    }

    async fn let_go(&self, drive: DriveId, from: &[DriveDuty]) -> Result<(), NotDone> {
        self.set_duty(drive, from, DriveDuty::Removed).await?;
        self.end_scrub(drive);
        self.store.remove(drive).await;
        let _is_there = self.workers.table().wake("lost-drives");
        tracing::warn!(%drive, "a drive was removed");
        Ok(())
    }

    async fn set_duty(
        &self,
        drive: DriveId,
        from: &[DriveDuty],
        to: DriveDuty,
    ) -> Result<(), NotDone> {
        let changed = self.metadata.set_drive_duty(drive, from, to).await;
        if !changed.map_err(failed)? {
            return Err(NotDone::Conflict(format!(
                "drive {drive} was removed before"
            )));
        }
        self.store.set_draining(drive, to == DriveDuty::Draining);
        let _is_there = self.workers.table().wake("drain");
        Ok(())
    }

    /// Refuses to take a drive out of use where what it has could go nowhere.
    async fn refuse_too_few(&self, drive: DriveId) -> Result<(), NotDone> {
        let policies = self.metadata.policies().await.map_err(failed)?;
        let layouts = policies.iter().map(|policy| policy.rule.layout);
        let Some(widest) = layouts.max_by_key(|layout: &Layout| layout.width()) else {
            return Ok(());
        };
        let drives = self.store.drives();
        let left = drives
            .iter()
            .filter(|other| other.id != drive && other.state == DriveState::Online);
        let left = left.count();
        if left < usize::from(widest.width()) {
            return Err(NotDone::Conflict(format!(
                "{left} other drives are online, and layout {widest} needs {}: add a drive first, \
                 or let a new one take its place with `holdfast admin drive replace {drive} PATH`",
                widest.width()
            )));
        }
        Ok(())
    }

    async fn record(&self, drive: DriveId) -> Result<DriveRecord, NotDone> {
        let records = self.metadata.drive_records().await.map_err(failed)?;
        let found = records.into_iter().find(|record| record.id == drive);
        found.ok_or_else(|| NotDone::NotFound(format!("there is no drive {drive}")))
    }

    fn state(&self, drive: DriveId) -> DriveState {
        let drives = self.store.drives();
        let found = drives.iter().find(|other| other.id == drive);
        found.map_or(DriveState::Missing, |drive| drive.state)
    }
}

/// Makes a drive of a folder, or takes up one that was made of it and never recorded.
fn make(
    asked: &Path,
    data: &Path,
    cluster: ClusterId,
    records: &[DriveRecord],
    others: &[Drive],
    shared_disk: bool,
) -> Result<(DriveId, PathBuf), NotDone> {
    if !asked.is_absolute() {
        return Err(NotDone::Invalid(format!(
            "{} is not an absolute path",
            asked.display()
        )));
    }
    let path = std::fs::canonicalize(asked).map_err(|error| {
        NotDone::Invalid(format!(
            "{}: {error}: mount the drive, or make the folder, first",
            asked.display()
        ))
    })?;
    refuse_nested(&path, data, others)?;
    if !shared_disk {
        refuse_shared(&path, data, others)?;
    }
    let place = path.display();
    match read_identity(&path) {
        Ok(identity) if identity.cluster != cluster => Err(NotDone::Conflict(format!(
            "{place} is a drive of another cluster, {}: it is not touched",
            identity.cluster
        ))),
        Ok(identity) => {
            let known = records.iter().find(|record| record.id == identity.drive);
            match known.map(|record| record.duty) {
                None if holds_nothing(&path) => Ok((identity.drive, path)),
                None => Err(NotDone::Conflict(format!(
                    "{place} is drive {} of this cluster, which the metadata does not know, and it \
                     holds something: it is not touched",
                    identity.drive
                ))),
                Some(DriveDuty::Removed) => Err(NotDone::Conflict(format!(
                    "{place} is drive {}, which was removed from this store: empty the folder to \
                     use it as a new drive",
                    identity.drive
                ))),
                Some(_) => Err(NotDone::Conflict(format!(
                    "{place} is drive {} of this store already",
                    identity.drive
                ))),
            }
        }
        Err(IdentityError::NotFormatted { .. }) => {
            let id = DriveId::generate();
            match format_drive(&path, cluster, id) {
                Ok(()) => Ok((id, path)),
                Err(error) => Err(NotDone::Conflict(error.to_string())),
            }
        }
        Err(error) => Err(NotDone::Conflict(error.to_string())),
    }
}

/// Whether a formatted folder has no fragment, packed or not.
fn holds_nothing(path: &Path) -> bool {
    ["fragments", "segments"].iter().all(|folder| {
        std::fs::read_dir(path.join(folder)).is_ok_and(|mut entries| entries.next().is_none())
    })
}

/// A drive inside another one, or around it, would be deleted from by both.
fn refuse_nested(path: &Path, data: &Path, others: &[Drive]) -> Result<(), NotDone> {
    let refused = |with: &Path| {
        NotDone::Conflict(format!("{} and {} overlap", path.display(), with.display()))
    };
    if data.starts_with(path) || (path.starts_with(data) && !path.starts_with(data.join("drives")))
    {
        return Err(refused(data));
    }
    for other in others {
        let other = Path::new(&other.path);
        if path.starts_with(other) || other.starts_with(path) {
            return Err(refused(other));
        }
    }
    Ok(())
}

/// A folder on a file system that another drive or the data folder is on dies with it; most often
/// the new drive is just not mounted yet.
fn refuse_shared(path: &Path, data: &Path, others: &[Drive]) -> Result<(), NotDone> {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|found| found.dev());
    let own = device(path);
    let with = std::iter::once(data)
        .chain(others.iter().map(|other| Path::new(&other.path)))
        .find(|other| own.is_some() && device(other) == own);
    match with {
        None => Ok(()),
        Some(with) => Err(NotDone::Conflict(format!(
            "{} is on the same file system as {}, and would be lost with it: mount the drive \
             first, or say --shared-disk",
            path.display(),
            with.display()
        ))),
    }
}

/// A drive as it is recorded before it was looked at.
fn described(config: &DriveConfig) -> Drive {
    Drive {
        id: config.id,
        region: config.region.clone(),
        zone: config.zone.clone(),
        node: config.node.clone(),
        state: DriveState::Online,
        reason: String::new(),
        path: config.path.display().to_string(),
        capacity_bytes: 0,
        free_bytes: 0,
    }
}

fn stake_view(stake: &Stake) -> StakeView {
    StakeView {
        fragments: stake.fragments,
        bytes: stake.bytes,
        blobs_by_spares: stake.blobs_by_spares.clone(),
    }
}

fn failed(error: impl ToString) -> NotDone {
    NotDone::Failed(error.to_string())
}
