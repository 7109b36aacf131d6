//! Keeps the journal on enough drives: appends each group's record before it is committed, drops a
//! drive that fails, brings another in, and makes a new image when the records outgrow the old.
//!
//! A drive *counts* as a holder once it has an image and every record after it. Each change of who
//! counts is a new *term*: told to every drive that takes it, and to enough of them, before a group
//! relies on it. In a term every group is on all holders; one that fails ends the term. So whoever
//! reads a restorable journal knows from any one holder what was acknowledged, and from the notices
//! on the other drives whether that was the last term.
//!
//! All of it runs in the writer's task, between groups, but for images, which have their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{Clock, DriveId};
use tokio::task::JoinHandle;

use super::base::{self, Done, Pace, Snapshots, on_disk};
use super::grudges::Grudges;
use super::names::Name;
use super::notice::Notice;
use super::record::Record;
use super::segment::{About, SegmentWriter};
use super::shelf::Shelf;
use super::survey::{Survey, read_notice};
use super::{JournalConfig, Position};
use crate::image::{self, Schema};

/// How long a group waits for drives to be brought in: shorter than its callers wait.
const RESCUE: Duration = Duration::from_secs(15);
/// How much longer the deliberately broken build takes to write a record after it was answered.
const MUTANT_DELAY: Duration = Duration::from_millis(300);

/// How the journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalState {
    /// On as many drives as it should be.
    Whole,
    /// On fewer: losing drives and the database may lose what was acknowledged.
    Degraded,
    /// On too few: nothing is committed.
    Stopped,
}

/// What can be said of the journal.
#[derive(Debug, Clone)]
pub struct JournalStatus {
    /// How it is.
    pub state: JournalState,
    /// Why it is not whole.
    pub reason: String,
    /// Drives that it is on.
    pub holders: Vec<DriveId>,
    /// How many it should be on.
    pub holders_wanted: usize,
    /// Rises with every change of holders.
    pub term: u64,
    /// Where the history is.
    pub position: Position,
    /// Bytes of records since the last image.
    pub record_bytes: u64,
    /// Bytes of the last image.
    pub image_bytes: u64,
    /// When the last image was begun, in milliseconds since 1970: a start reads it and the records
    /// since. `None`: this process knows of none yet.
    pub image_ms: Option<u64>,
    /// Since when it is not whole; `None` while it is.
    pub not_whole_since_ms: Option<u64>,
}

/// A drive that gets every record.
struct Seat {
    segment: Arc<Mutex<SegmentWriter>>,
    name: String,
    /// It has an image too.
    counts: bool,
    /// Something was appended.
    used: bool,
}

/// An image that is being made: no longer when it is dropped, because it keeps the database from
/// being closed.
struct Imaging {
    task: JoinHandle<Result<Done, String>>,
    begun_ms: u64,
    joining: bool,
}

impl Drop for Imaging {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// See the module.
pub(crate) struct Keeper {
    config: JournalConfig,
    /// What each drive lends.
    shelves: Vec<Arc<dyn Shelf>>,
    /// The drives that there were when the term began.
    drives: BTreeSet<DriveId>,
    clock: Arc<dyn Clock>,
    snapshots: Snapshots,
    schema: Schema,
    position: Position,
    term: u64,
    seats: BTreeMap<DriveId, Seat>,
    /// Drives that know of this term.
    noticed: BTreeSet<DriveId>,
    failed: Grudges,
    imaging: Option<Imaging>,
    record_bytes: u64,
    image_bytes: u64,
    image_ms: Option<u64>,
    last_complaint: String,
    status: Arc<Mutex<JournalStatus>>,
}

impl Keeper {
    /// Begins to journal a database that is at `position`: goes on where the drives are, if they
    /// are exactly there, and else gives them an image. Fails if nothing can be committed after it.
    pub(crate) async fn begin(
        config: JournalConfig,
        clock: Arc<dyn Clock>,
        snapshots: Snapshots,
        schema: Schema,
        position: Position,
    ) -> Result<Self, String> {
        let shelves = (config.shelves)();
        let (drives, read) = (shelves.iter().map(|s| s.drive()).collect(), shelves.clone());
        let survey = tokio::task::spawn_blocking(move || Survey::take(&read))
            .await
            .map_err(|error| error.to_string())?;
        let (epoch, _) = survey.newest();
        if epoch > position.epoch {
            return Err(superseded(position.epoch, epoch));
        }
        let term = survey.newest_term(position.epoch);
        let wanted = (config.may_lose + 1).min(shelves.len());
        let is_there = survey.end().is_some_and(|end| end.mark == position.mark);
        let current: Vec<DriveId> = shelves
            .iter()
            .map(|shelf| shelf.drive())
            .filter(|drive| is_there && survey.has_all(*drive, &position))
            .take(wanted)
            .collect();
        let image_ms = match current.is_empty() {
            true => None,
            false => survey.newest_image_ms(epoch),
        };
        drop(survey);
        let status = JournalStatus {
            state: JournalState::Stopped,
            reason: "it is being begun".to_owned(),
            holders: Vec::new(),
            holders_wanted: wanted,
            term,
            position,
            record_bytes: 0,
            image_bytes: 0,
            image_ms,
            not_whole_since_ms: Some(clock.now_ms()),
        };
        let mut keeper = Self {
            config,
            shelves,
            drives,
            clock,
            snapshots,
            schema,
            position,
            term: term + 1,
            seats: BTreeMap::new(),
            noticed: BTreeSet::new(),
            failed: Grudges::default(),
            imaging: None,
            record_bytes: 0,
            image_bytes: 0,
            image_ms,
            last_complaint: String::new(),
            status: Arc::new(Mutex::new(status)),
        };
        keeper.open_segments(&current).await;
        for seat in keeper.seats.values_mut() {
            seat.counts = true;
        }
        while keeper.seats.len() < keeper.holders_wanted()
            && keeper.join(Pace::Full, keeper.term).await
        {
            keeper.finish_imaging(Duration::MAX).await;
        }
        keeper.new_term().await;
        keeper.tell();
        keeper.check_ready().map(|()| keeper)
    }

    /// Where [`JournalStatus`] is kept up to date.
    pub(crate) fn status(&self) -> Arc<Mutex<JournalStatus>> {
        Arc::clone(&self.status)
    }

    /// The term that records belong to now.
    pub(crate) const fn term(&self) -> u64 {
        self.term
    }

    fn holders(&self) -> Vec<DriveId> {
        let counting = self.seats.iter().filter(|(_, seat)| seat.counts);
        counting.map(|(drive, _)| *drive).collect()
    }

    /// Drives that hold the journal when all is well.
    fn holders_wanted(&self) -> usize {
        (self.config.may_lose + 1).min(self.shelves.len())
    }

    fn holders_needed(&self) -> usize {
        self.config.holders_needed().min(self.holders_wanted())
    }

    fn shelf(&self, drive: DriveId) -> Option<Arc<dyn Shelf>> {
        let mut shelves = self.shelves.iter();
        shelves.find(|shelf| shelf.drive() == drive).cloned()
    }

    /// Whether a group may be committed.
    pub(crate) fn check_ready(&self) -> Result<(), String> {
        let (holders, needed) = (self.holders().len(), self.holders_needed());
        if holders < needed {
            return Err(format!(
                "the metadata's journal is on {holders} drives and must be on {needed} at least{}",
                self.because()
            ));
        }
        let (noticed, needed) = (self.noticed.len(), self.config.notices_needed());
        if noticed < needed {
            return Err(format!(
                "{noticed} drives know who holds the metadata's journal and {needed} must{}",
                self.because()
            ));
        }
        Ok(())
    }

    fn because(&self) -> String {
        match self.last_complaint.as_str() {
            "" => String::new(),
            complaint => format!(" ({complaint})"),
        }
    }

    /// Makes `record` durable on every holder. `Err`: it must not be committed, though some drive
    /// may have it.
    pub(crate) async fn append(&mut self, record: &Record) -> Result<(), String> {
        if mutant::active(Mutant::AckBeforeJournal) {
            self.append_later(record.clone());
            self.position = record.position;
            return Ok(());
        }
        let record = Arc::new(record.clone());
        let appends = self.seats.iter_mut().map(|(drive, seat)| {
            seat.used = true;
            let (drive, segment, record) = (*drive, Arc::clone(&seat.segment), Arc::clone(&record));
            async move {
                let appended = on_disk(move || {
                    let mut segment = segment.lock().unwrap_or_else(PoisonError::into_inner);
                    segment.append(&record)
                });
                (drive, appended.await)
            }
        });
        let mut lost_holder = false;
        let mut bytes = 0;
        for (drive, appended) in join_all(appends).await {
            match appended {
                Ok(appended) => bytes = appended,
                Err(error) => lost_holder |= self.fail(drive, &error),
            }
        }
        self.record_bytes += bytes;
        if lost_holder {
            self.new_term().await;
        }
        if self.check_ready().is_err() {
            self.rescue(&record).await;
        }
        let done = self.check_ready();
        match &done {
            Ok(()) => self.position = record.position,
            // Some drive may have it. The next group has the same number: what comes of that must
            // be newer than this.
            Err(_) if self.term == record.term => self.new_term().await,
            Err(_) => {}
        }
        self.tell();
        done
    }

    /// Too few drives have `record`: brings others in, which get it too, while its group waits.
    async fn rescue(&mut self, record: &Arc<Record>) {
        self.failed.relent(Instant::now());
        // Drives that are being brought in already have it.
        let mut changed = self.finish_imaging(RESCUE).await;
        while self.imaging.is_none() && self.holders().len() < self.holders_needed() {
            // The image lacks the record, and must not be taken for newer than it.
            if !self.join(Pace::Full, record.term).await {
                break;
            }
            let new: Vec<_> = self
                .seats
                .iter_mut()
                .filter(|(_, seat)| !seat.counts)
                .map(|(drive, seat)| {
                    seat.used = true;
                    (*drive, Arc::clone(&seat.segment))
                })
                .collect();
            for (drive, segment) in new {
                let record = Arc::clone(record);
                let appended = on_disk(move || {
                    let mut segment = segment.lock().unwrap_or_else(PoisonError::into_inner);
                    segment.append(&record)
                });
                if let Err(error) = appended.await {
                    self.fail(drive, &error);
                }
            }
            changed |= self.finish_imaging(RESCUE).await;
        }
        if changed {
            self.new_term().await;
        }
    }

    /// Does what can be done at once so that a group may be committed.
    pub(crate) async fn make_ready(&mut self) -> Result<(), String> {
        if self.check_ready().is_ok() {
            return Ok(());
        }
        self.failed.relent(Instant::now());
        self.tend().await;
        if self.check_ready().is_err() && self.finish_imaging(RESCUE).await {
            self.new_term().await;
        }
        self.tell();
        self.check_ready()
    }

    fn append_later(&self, record: Record) {
        let segments: Vec<_> = self
            .seats
            .values()
            .map(|seat| Arc::clone(&seat.segment))
            .collect();
        tokio::task::spawn_blocking(move || {
            std::thread::sleep(MUTANT_DELAY);
            for segment in segments {
                let mut segment = segment.lock().unwrap_or_else(PoisonError::into_inner);
                let _broken_on_purpose = segment.append(&record);
            }
        });
    }

    /// A drive that failed is a holder no more. Whether it counted.
    fn fail(&mut self, drive: DriveId, error: &io::Error) -> bool {
        tracing::error!(%drive, %error, "a drive holds the metadata's journal no more");
        self.last_complaint = format!("drive {drive}: {error}");
        self.failed.bear(drive, Instant::now());
        self.noticed.remove(&drive);
        self.seats.remove(&drive).is_some_and(|seat| seat.counts)
    }

    /// Looks after the journal: to be called between groups, every second or so.
    pub(crate) async fn tend(&mut self) {
        self.shelves = (self.config.shelves)();
        let ill: Vec<DriveId> = self
            .seats
            .keys()
            .filter(|drive| self.shelf(**drive).is_none_or(|shelf| !shelf.is_writable()))
            .copied()
            .collect();
        let drives: BTreeSet<DriveId> = self.shelves.iter().map(|shelf| shelf.drive()).collect();
        let mut changed = drives != self.drives;
        for drive in ill {
            changed |= self.fail(drive, &io::Error::other("it takes no writes"));
        }
        for shelf in self.shelves.iter().filter(|shelf| !shelf.is_writable()) {
            self.failed.end(shelf.drive());
        }
        if self
            .imaging
            .as_ref()
            .is_some_and(|imaging| imaging.task.is_finished())
        {
            changed |= self.finish_imaging(RESCUE).await;
        }
        if changed || self.noticed.is_empty() || self.notify().await {
            self.new_term().await;
        }
        if self.imaging.is_none() {
            if self.seats.len() < self.holders_wanted() {
                self.join(Pace::Half, self.term).await;
            } else if self.record_bytes > self.config.rebase_bytes.max(self.image_bytes) {
                self.rebase().await;
            }
        }
        self.tell();
    }

    /// Begins a new term with the holders that there are.
    async fn new_term(&mut self) {
        loop {
            self.term += 1;
            self.noticed.clear();
            self.drives = self.shelves.iter().map(|shelf| shelf.drive()).collect();
            if !self.notify().await {
                break;
            }
        }
        tracing::info!(
            term = self.term,
            holders = self.holders().len(),
            wanted = self.holders_wanted(),
            "the metadata's journal has a new term"
        );
    }

    /// Tells the term to every drive that does not know it and takes it. Whether that lost a holder:
    /// then what was told is not true any more.
    async fn notify(&mut self) -> bool {
        let notice = Notice {
            cluster: self.config.cluster,
            epoch: self.position.epoch,
            term: self.term,
            may_lose: self.config.may_lose,
            needed: self.config.notices_needed(),
            drives: self.drives.iter().copied().collect(),
            holders: self.holders(),
        };
        let whole = notice.holders.len() >= self.holders_wanted();
        let now = Instant::now();
        let told = self.shelves.iter().filter_map(|shelf| {
            let drive = shelf.drive();
            let ask = !self.noticed.contains(&drive)
                && !self.failed.holds(drive, now)
                && shelf.is_writable();
            // What a drive has from earlier terms is needed until enough others have newer.
            let stale = whole && !self.seats.contains_key(&drive);
            let (shelf, notice) = (Arc::clone(shelf), notice.clone());
            let tell = async move { (drive, on_disk(move || post(&*shelf, &notice, stale)).await) };
            ask.then_some(tell)
        });
        let mut lost_holder = false;
        for (drive, told) in join_all(told).await {
            match told {
                Ok(()) => {
                    self.noticed.insert(drive);
                }
                Err(error) => lost_holder |= self.fail(drive, &error),
            }
        }
        lost_holder
    }

    /// Gives drives a segment each, which gets every record from now on.
    async fn open_segments(&mut self, drives: &[DriveId]) {
        let name = Name::segment(self.term, &self.position).to_string();
        let opened = drives.iter().filter_map(|drive| {
            let shelf = self.shelf(*drive)?;
            let about = About {
                cluster: self.config.cluster,
                drive: *drive,
                epoch: self.position.epoch,
                term: self.term,
                schema: self.schema.clone(),
            };
            let (drive, name) = (*drive, name.clone());
            Some(async move {
                let opened =
                    on_disk(move || SegmentWriter::create(shelf.create()?, &name, &about)).await;
                (drive, opened)
            })
        });
        for (drive, opened) in join_all(opened).await {
            match opened {
                Ok(segment) => {
                    let segment = Arc::new(Mutex::new(segment));
                    let before = self.seats.remove(&drive);
                    let seat = Seat {
                        segment,
                        name: name.clone(),
                        counts: before.is_some_and(|seat| seat.counts),
                        used: false,
                    };
                    self.seats.insert(drive, seat);
                }
                Err(error) => {
                    self.fail(drive, &error);
                }
            }
        }
    }

    /// Brings drives in until there are enough: each gets every record from now on, and an image.
    /// The image is made as one of `term`. Whether there was one to bring in.
    async fn join(&mut self, pace: Pace, term: u64) -> bool {
        let wanted = self.holders_wanted().saturating_sub(self.seats.len());
        let now = Instant::now();
        let chosen: Vec<DriveId> = self
            .shelves
            .iter()
            .filter(|shelf| shelf.is_writable())
            .map(|shelf| shelf.drive())
            .filter(|drive| !self.seats.contains_key(drive) && !self.failed.holds(*drive, now))
            .take(wanted)
            .collect();
        if chosen.is_empty() {
            return false;
        }
        self.open_segments(&chosen).await;
        let chosen: Vec<DriveId> = chosen
            .into_iter()
            .filter(|drive| self.seats.contains_key(drive))
            .collect();
        if !chosen.is_empty() {
            self.image(chosen, pace, term, true);
        }
        true
    }

    /// Gives all holders a new image, so that the records before it can go.
    async fn rebase(&mut self) {
        let stale: Vec<DriveId> = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.used)
            .map(|(drive, _)| *drive)
            .collect();
        let counted = self.holders().len();
        self.open_segments(&stale).await;
        if self.holders().len() < counted {
            self.new_term().await;
        }
        let holders = self.holders();
        if !holders.is_empty() {
            self.image(holders, Pace::Half, self.term, false);
        }
    }

    fn image(&mut self, drives: Vec<DriveId>, pace: Pace, term: u64, joining: bool) {
        let shelves = drives
            .into_iter()
            .filter_map(|drive| self.shelf(drive))
            .collect();
        let begun_ms = self.clock.now_ms();
        let about = image::About {
            cluster: Some(self.config.cluster),
            backup: None,
            taken_ms: begun_ms,
            term,
        };
        let snapshots = Arc::clone(&self.snapshots);
        let task = tokio::spawn(base::write(snapshots, about, shelves, pace));
        if !joining {
            self.record_bytes = 0;
        }
        self.imaging = Some(Imaging {
            task,
            begun_ms,
            joining,
        });
    }

    /// Waits so long for the image and lets the drives that have it count. Whether that asks for a
    /// new term: holders have changed, or drives that were to be have no image.
    async fn finish_imaging(&mut self, limit: Duration) -> bool {
        let Some(mut imaging) = self.imaging.take() else {
            return false;
        };
        let done = match tokio::time::timeout(limit, &mut imaging.task).await {
            Err(_) => {
                self.imaging = Some(imaging);
                return false;
            }
            Ok(Ok(Ok(done))) => done,
            Ok(Ok(Err(reason))) => return self.image_failed(&reason, imaging.joining),
            Ok(Err(error)) => return self.image_failed(&error.to_string(), imaging.joining),
        };
        self.image_bytes = done.bytes;
        self.image_ms = Some(imaging.begun_ms);
        let mut changed = false;
        for drive in &done.on {
            let Some(seat) = self.seats.get_mut(drive) else {
                continue;
            };
            changed |= !seat.counts;
            seat.counts = true;
            self.failed.end(*drive);
            // Since the image was begun there were records in this segment only.
            let keep = [done.name.clone(), seat.name.clone()];
            if let Some(shelf) = self.shelf(*drive) {
                // What can't be removed now is removed with the next image.
                let tidied = on_disk(move || tidy(&*shelf, &keep)).await;
                if let Err(error) = tidied {
                    tracing::warn!(%drive, %error, "old files of the journal were left");
                }
            }
        }
        if imaging.joining {
            for drive in self.without_image() {
                self.fail(drive, &io::Error::other("it could not be given an image"));
                changed = true;
            }
        }
        changed
    }

    /// Ends the image that is being made, because the database must be closed. Those that it was for
    /// are brought in anew.
    pub(crate) fn give_up_image(&mut self) {
        if self.imaging.take().is_some() {
            self.seats.retain(|_, seat| seat.counts);
            // Their next segments get other names, which take a new term.
            self.noticed.clear();
        }
    }

    fn without_image(&self) -> Vec<DriveId> {
        let without = self.seats.iter().filter(|(_, seat)| !seat.counts);
        without.map(|(drive, _)| *drive).collect()
    }

    /// Lets the drives go that the image was for. Whether there were any: a new term then gives
    /// their next segments other names.
    fn image_failed(&mut self, reason: &str, joining: bool) -> bool {
        tracing::error!(reason, "an image of the metadata could not be made");
        self.last_complaint = reason.to_owned();
        if !joining {
            return false;
        }
        let without = self.without_image();
        for drive in &without {
            // Not asked again at once: whoever waits for drives would ask for ever.
            self.seats.remove(drive);
            self.failed.bear(*drive, Instant::now());
        }
        !without.is_empty()
    }

    /// Brings the status up to date, and says loudly what has become worse or better.
    fn tell(&self) {
        let holders = self.holders();
        let wanted = self.holders_wanted();
        let (state, reason) = match self.check_ready() {
            Err(reason) => (JournalState::Stopped, reason),
            Ok(()) if holders.len() < wanted => (
                JournalState::Degraded,
                format!(
                    "the metadata's journal is on {} drives and should be on {wanted}{}",
                    holders.len(),
                    self.because()
                ),
            ),
            Ok(()) => (JournalState::Whole, String::new()),
        };
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.state != state {
            match state {
                JournalState::Whole => tracing::info!(wanted, "the metadata's journal is whole"),
                JournalState::Degraded => tracing::error!(reason, "journal degraded"),
                JournalState::Stopped => tracing::error!(reason, "journal stopped: no writes"),
            }
        }
        *status = JournalStatus {
            state,
            reason,
            holders,
            holders_wanted: wanted,
            term: self.term,
            position: self.position,
            record_bytes: self.record_bytes,
            image_bytes: self.image_bytes,
            image_ms: self.image_ms,
            not_whole_since_ms: match state {
                JournalState::Whole => None,
                _ => Some(
                    status
                        .not_whole_since_ms
                        .unwrap_or_else(|| self.clock.now_ms()),
                ),
            },
        };
    }
}

/// What a start is told whose metadata is older than a restore.
fn superseded(ours: u64, theirs: u64) -> String {
    format!(
        "this metadata is of epoch {ours} and the drives are of epoch {theirs}: it is from before a \
         restore. Put the restored database back, or start with --restore-from-drives"
    )
}

/// Puts `notice` on a drive, unless it knows a newer one, and takes older ones down. Where `stale`,
/// so is everything else that the drive has of the journal.
fn post(shelf: &dyn Shelf, notice: &Notice, stale: bool) -> io::Result<()> {
    let ours = Name::Notice {
        epoch: notice.epoch,
        term: notice.term,
    };
    let names: Vec<(String, Name)> = shelf
        .list()?
        .into_iter()
        .filter_map(|name| Name::parse(&name).map(|parsed| (name, parsed)))
        .collect();
    for (name, parsed) in &names {
        if matches!(parsed, Name::Notice { .. }) && *parsed > ours {
            let found = read_notice(shelf, name).map_err(io::Error::other)?;
            return Err(io::Error::other(format!(
                "it knows of epoch {} term {}, and this is epoch {} term {}: another process, or \
                 an old database",
                found.epoch, found.term, notice.epoch, notice.term
            )));
        }
    }
    if !names.iter().any(|(_, parsed)| *parsed == ours) {
        let mut file = shelf.create()?;
        file.append(notice.encode().as_bytes())?;
        file.publish(&ours.to_string())?;
    }
    for (name, parsed) in &names {
        let old = match parsed {
            Name::Notice { .. } => *parsed < ours,
            Name::Base { .. } | Name::Segment { .. } => stale,
        };
        if old {
            shelf.remove(name)?;
        }
    }
    Ok(())
}

/// Removes all images and segments but those in `keep`.
fn tidy(shelf: &dyn Shelf, keep: &[String]) -> io::Result<()> {
    for name in shelf.list()? {
        let ours = matches!(
            Name::parse(&name),
            Some(Name::Base { .. } | Name::Segment { .. })
        );
        if ours && !keep.contains(&name) {
            shelf.remove(&name)?;
        }
    }
    Ok(())
}
