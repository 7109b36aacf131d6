//! What the drives have of the journal, put together: the newest history that they tell, and
//! whether a newer one could be on drives that are not there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use holdfast_types::{ClusterId, DriveId};
use uuid::Uuid;

use super::Position;
use super::names::Name;
use super::notice::{MAX_LEN, Notice};
use super::record::Record;
use super::segment::{Place, Segment};
use super::shelf::{Shelf, ShelfRead};
use crate::image::{ImageReader, Schema};

/// An image on a drive.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) name: String,
    pub(super) position: Position,
    pub(super) term: u64,
    /// When it was begun.
    pub(super) taken_ms: u64,
}

/// A record on a drive.
struct Found {
    /// Shared: there may be a million records, and a segment has its schema with it.
    segment: Arc<Segment>,
    place: Place,
}

/// See the module.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) cluster: Option<ClusterId>,
    /// Drives that were read and have a notice: of one without we know nothing.
    pub(super) present: BTreeSet<DriveId>,
    /// The newest notice.
    pub(super) notice: Option<Notice>,
    /// Epochs and terms that names of files speak of, whatever is in the files.
    named: BTreeSet<(u64, u64)>,
    bases: Vec<Base>,
    /// Every copy of every record, by its mark.
    records: HashMap<Uuid, Vec<Found>>,
    /// Which drives have which marks, in records.
    on_drive: BTreeMap<DriveId, BTreeSet<Uuid>>,
    /// What could not be read.
    pub(super) complaints: Vec<String>,
}

/// How new something is.
type Newness = (u64, u64, u64);

/// The ways from images to the end of the history.
pub(super) struct Chain {
    /// Images on the way, the nearest first, each with how many of the records are after it. One
    /// may turn out to be damaged: the next is as good and only takes longer.
    pub(super) bases: Vec<(Base, usize)>,
    /// Marks of the records after the farthest of them, in order.
    marks: Vec<Uuid>,
    /// Where it ends.
    pub(super) end: Position,
}

impl Chain {
    /// Marks of the last `count` records, in order.
    pub(super) fn last(&self, count: usize) -> &[Uuid] {
        &self.marks[self.marks.len() - count..]
    }
}

impl Survey {
    /// When the newest image of an epoch was begun.
    pub(super) fn newest_image_ms(&self, epoch: u64) -> Option<u64> {
        let bases = self.bases.iter();
        bases
            .filter(|base| base.position.epoch == epoch)
            .map(|base| base.taken_ms)
            .max()
    }

    /// Reads what `shelves` have. Blocks on the disks; a shelf that can't be read is a complaint.
    pub(super) fn take(shelves: &[Arc<dyn Shelf>]) -> Self {
        let mut survey = Self::default();
        for shelf in shelves {
            if let Err(error) = survey.read(shelf) {
                survey
                    .complaints
                    .push(format!("drive {} can't be read: {error}", shelf.drive()));
            }
        }
        survey
    }

    fn read(&mut self, shelf: &Arc<dyn Shelf>) -> io::Result<()> {
        let names = shelf.list()?;
        for name in names {
            let parsed = Name::parse(&name);
            self.named.extend(parsed.map(Name::begun_in));
            let read = match parsed {
                None => continue,
                Some(Name::Notice { .. }) => self.read_notice(shelf, &name),
                Some(Name::Base { term, .. }) => self.read_base(shelf, &name, term),
                Some(Name::Segment { .. }) => self.read_segment(shelf, &name),
            };
            if let Err(what) = read {
                let drive = shelf.drive();
                self.complaints
                    .push(format!("{name} on drive {drive} is of no use: {what}"));
            }
        }
        Ok(())
    }

    fn check_cluster(&mut self, cluster: ClusterId) -> Result<(), String> {
        match self.cluster {
            Some(known) if known != cluster => Err(format!("it is of cluster {cluster}")),
            _ => {
                self.cluster = Some(cluster);
                Ok(())
            }
        }
    }

    fn read_notice(&mut self, shelf: &Arc<dyn Shelf>, name: &str) -> Result<(), String> {
        let notice = read_notice(&**shelf, name)?;
        self.check_cluster(notice.cluster)?;
        self.present.insert(shelf.drive());
        let newness = |notice: &Notice| (notice.epoch, notice.term);
        if self
            .notice
            .as_ref()
            .is_none_or(|known| newness(known) < newness(&notice))
        {
            self.notice = Some(notice);
        }
        Ok(())
    }

    fn read_base(&mut self, shelf: &Arc<dyn Shelf>, name: &str, term: u64) -> Result<(), String> {
        let image = open_image(&**shelf, name).map_err(|error| error.to_string())?;
        let header = image.header();
        let position = Position {
            epoch: header.epoch,
            group: header.group,
            mark: header.mark,
        };
        let cluster = header.cluster.ok_or("it says no cluster")?;
        self.check_cluster(cluster)?;
        self.bases.push(Base {
            shelf: Arc::clone(shelf),
            name: name.to_owned(),
            position,
            term,
            taken_ms: header.taken_ms,
        });
        Ok(())
    }

    fn read_segment(&mut self, shelf: &Arc<dyn Shelf>, name: &str) -> Result<(), String> {
        let file = shelf.open(name).map_err(|error| error.to_string())?;
        let segment = Segment::open(file)?;
        if segment.about.drive != shelf.drive() {
            return Err(format!("it is of drive {}", segment.about.drive));
        }
        self.check_cluster(segment.about.cluster)?;
        let (places, damaged) = segment.scan().map_err(|error| error.to_string())?;
        if damaged > 0 {
            let drive = shelf.drive();
            self.complaints.push(format!(
                "{name} on drive {drive} has {damaged} damaged pages"
            ));
        }
        let segment = Arc::new(segment);
        let marks = self.on_drive.entry(shelf.drive()).or_default();
        for place in places {
            let mark = place.head.position.mark;
            marks.insert(mark);
            self.records.entry(mark).or_default().push(Found {
                segment: Arc::clone(&segment),
                place,
            });
        }
        Ok(())
    }

    /// Whether there is anything of a journal.
    pub(super) fn is_empty(&self) -> bool {
        self.notice.is_none() && self.bases.is_empty() && self.records.is_empty()
    }

    /// The newest epoch and term that any of it speaks of.
    pub(super) fn newest(&self) -> (u64, u64) {
        let notice = self.notice.iter().map(|notice| (notice.epoch, notice.term));
        let bases = self
            .bases
            .iter()
            .map(|base| (base.position.epoch, base.term));
        let records = self.records.values().flatten().map(|found| {
            let head = &found.place.head;
            (head.position.epoch, head.term)
        });
        notice.chain(bases).chain(records).max().unwrap_or_default()
    }

    /// The newest term of `epoch` in which anything was begun, be it a file with nothing in it yet:
    /// its name must not be wanted again.
    pub(super) fn newest_term(&self, epoch: u64) -> u64 {
        let named = self.named.range((epoch, 0)..=(epoch, u64::MAX));
        let (_, told) = self.newest();
        named.map(|(_, term)| *term).max().unwrap_or(0).max(told)
    }

    /// The newest end of a history that there is a word of.
    fn newest_end(&self) -> Option<(Newness, Position)> {
        self.ends().into_iter().max_by_key(|(newness, _)| *newness)
    }

    /// All positions that there is a word of.
    fn ends(&self) -> Vec<(Newness, Position)> {
        let of = |position: Position, term| ((position.epoch, term, position.group), position);
        let bases = self.bases.iter().map(|base| of(base.position, base.term));
        let records = self.records.values().flatten().map(|found| {
            let head = &found.place.head;
            of(head.position, head.term)
        });
        bases.chain(records).collect()
    }

    /// The way to the newest end, from the nearest image that is on it.
    pub(super) fn chain(&self) -> Result<Chain, String> {
        let Some((_, end)) = self.newest_end() else {
            return Err("the drives have no metadata on them".to_owned());
        };
        self.chain_to(end)
    }

    /// The way to the newest end that there is a way to.
    pub(super) fn best_chain(&self) -> Option<Chain> {
        let mut ends = self.ends();
        ends.sort_by_key(|(newness, _)| std::cmp::Reverse(*newness));
        ends.into_iter()
            .find_map(|(_, end)| self.chain_to(end).ok())
    }

    fn chain_to(&self, end: Position) -> Result<Chain, String> {
        let (mut bases, mut marks) = (Vec::new(), Vec::new());
        let mut mark = end.mark;
        loop {
            let here = self.bases.iter().filter(|base| base.position.mark == mark);
            bases.extend(here.map(|base| (base.clone(), marks.len())));
            let Some(found) = self.records.get(&mark).and_then(|found| found.first()) else {
                break;
            };
            marks.push(mark);
            mark = found.place.head.before;
        }
        let Some((_, longest)) = bases.last() else {
            return Err(format!(
                "the newest group on them is {} of epoch {}, and what leads to it is missing",
                end.group, end.epoch
            ));
        };
        marks.truncate(*longest);
        marks.reverse();
        Ok(Chain { bases, marks, end })
    }

    /// The marks of the records that lead from `from` to the newest end, in order; `None` if it is
    /// not on the way, or a record is missing.
    pub(super) fn way_from(&self, from: Uuid) -> Option<Vec<Uuid>> {
        let (_, end) = self.newest_end()?;
        let mut marks = Vec::new();
        let mut mark = end.mark;
        while mark != from {
            let found = self.records.get(&mark)?.first()?;
            marks.push(mark);
            mark = found.place.head.before;
        }
        marks.reverse();
        Some(marks)
    }

    /// Where the newest end is.
    pub(super) fn end(&self) -> Option<Position> {
        self.newest_end().map(|(_, end)| end)
    }

    /// Whether a history has been at `mark`, as far as is still known.
    pub(super) fn knows(&self, mark: Uuid) -> bool {
        self.records.contains_key(&mark) || self.bases.iter().any(|base| base.position.mark == mark)
    }

    /// Reads a record, from any drive that still can.
    pub(super) fn record(&self, mark: Uuid) -> Result<(Record, Schema), String> {
        for found in self.records.get(&mark).into_iter().flatten() {
            if let Ok(Some(record)) = found.segment.read(&found.place) {
                return Ok((record, found.segment.about.schema.clone()));
            }
        }
        Err(format!("the record {} can't be read", mark.simple()))
    }

    /// Whether `drive` alone has everything that leads to `end`.
    pub(super) fn has_all(&self, drive: DriveId, end: &Position) -> bool {
        let none = BTreeSet::new();
        let marks = self.on_drive.get(&drive).unwrap_or(&none);
        let mut mark = end.mark;
        loop {
            let is_base = |base: &Base| base.shelf.drive() == drive && base.position.mark == mark;
            if self.bases.iter().any(is_base) {
                return true;
            }
            if !marks.contains(&mark) {
                return false;
            }
            match self.records.get(&mark).and_then(|found| found.first()) {
                Some(found) => mark = found.place.head.before,
                None => return false,
            }
        }
    }

    /// Drives that must be looked at before it is sure that nothing newer is elsewhere: empty when
    /// it is sure.
    pub(super) fn missing(&self) -> Vec<DriveId> {
        let Some(notice) = &self.notice else {
            return Vec::new();
        };
        let missing: Vec<DriveId> = notice
            .drives
            .iter()
            .filter(|drive| !self.present.contains(drive))
            .copied()
            .collect();
        // A later change of holders is known to `needed` drives, of which one is here; and one of
        // the holders that are known must be here with all that it was given.
        let end = self.end();
        let holder_here = notice
            .holders
            .iter()
            .any(|drive| end.is_some_and(|end| self.has_all(*drive, &end)));
        if missing.len() < notice.needed && holder_here {
            Vec::new()
        } else if missing.is_empty() {
            notice.holders.clone()
        } else {
            missing
        }
    }
}

/// Reads a notice.
pub(super) fn read_notice(shelf: &dyn Shelf, name: &str) -> Result<Notice, String> {
    let failed = |error: io::Error| error.to_string();
    let file = shelf.open(name).map_err(failed)?;
    let mut bytes = vec![0; MAX_LEN + 1];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    if read > MAX_LEN {
        return Err("it is too long".to_owned());
    }
    bytes.truncate(read);
    Notice::decode(&bytes)
}

/// Opens an image on a drive.
pub(super) fn open_image(
    shelf: &dyn Shelf,
    name: &str,
) -> Result<ImageReader, crate::image::ImageError> {
    let file = shelf.open(name)?;
    ImageReader::new(Box::new(io::BufReader::with_capacity(
        READ_BYTES,
        Sequential { file, at: 0 },
    )))
}

const READ_BYTES: usize = 1 << 20;

/// A file of a shelf, from its beginning to its end.
struct Sequential {
    file: Box<dyn ShelfRead>,
    at: u64,
}

impl io::Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
