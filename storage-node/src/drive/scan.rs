//! Reading segments from one end to the other: at open for the index, and for compaction.
//!
//! A scan trusts nothing: a record counts only if its head verifies for the very place it is in. A
//! damaged stretch is skipped by looking for the next record that verifies, and reported. Records
//! after the last proven sync may be torn, so their payload is verified too; what does not verify
//! there was never acknowledged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{DriveId, FragmentHeader, FragmentId};

use super::SEGMENTS;
use super::health::Health;
use super::index::Packed;
use crate::checksum::BlockChecksum;
use crate::disk::{DiskFile, PAGE};
use crate::failure::{Context, Failure, Op};
use crate::format::segment::{
    self, ALIGN, BadHead, Body, HEAD_LEN, MAX_RECORD_HEAD, Position, Record, Tombstone,
};
use crate::staged::Tree;

/// Bytes that a scan reads at once: more than the longest record.
const WINDOW: usize = 512 << 10;
const _: () = assert!(WINDOW > segment::MAX_RECORD + PAGE);

/// A segment as the log's thread knows it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) len: u64,
    pub(super) generation: Option<u64>,
    pub(super) live_bytes: u64,
    pub(super) live_records: u64,
    graves: Vec<Grave>,
    grave_bytes: u64,
    /// Not to be compacted: something in it can't be read.
    pub(super) pinned: bool,
}

/// A tombstone that is needed while a segment in `oldest..=newest` exists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grave {
    pub(super) oldest: u64,
    pub(super) newest: u64,
    pub(super) len: u32,
}

impl Segment {
    pub(super) const fn new(len: u64, generation: Option<u64>) -> Self {
        Self {
            len,
            generation,
            live_bytes: 0,
            live_records: 0,
            graves: Vec::new(),
            grave_bytes: 0,
            pinned: false,
        }
    }

    pub(super) fn add_live(&mut self, len: u32) {
        self.live_bytes += u64::from(len);
        self.live_records += 1;
    }

    pub(super) fn remove_live(&mut self, len: u32) {
        self.live_bytes = self.live_bytes.saturating_sub(len.into());
        self.live_records = self.live_records.saturating_sub(1);
    }

    pub(super) fn add_grave(&mut self, grave: Grave) {
        self.grave_bytes += u64::from(grave.len);
        self.graves.push(grave);
    }

    fn keep_graves(&mut self, needed: impl Fn(&Grave) -> bool) {
        self.graves.retain(needed);
        self.grave_bytes = self.graves.iter().map(|grave| u64::from(grave.len)).sum();
    }

    /// Bytes that a compaction would have to move.
    pub(super) const fn kept_bytes(&self) -> u64 {
        self.live_bytes + self.grave_bytes
    }
}

/// Forgets tombstones whose victims' segments are all gone.
pub(super) fn drop_idle_graves(segments: &mut BTreeMap<u64, Segment>) {
    let numbers: std::collections::BTreeSet<u64> = segments.keys().copied().collect();
    let needed = |grave: &Grave| numbers.range(grave.oldest..=grave.newest).next().is_some();
    for segment in segments.values_mut() {
        segment.keep_graves(needed);
    }
}

/// What the segments of a drive hold.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) live: BTreeMap<FragmentId, Packed>,
    pub(super) segments: BTreeMap<u64, Segment>,
    /// Damaged stretches in what was acknowledged.
    pub(super) damaged: u64,
}

/// Why a drive's segments can't be used at all.
pub(super) enum Unusable {
    /// A segment of a newer format: only a newer program knows what lives.
    Newer {
        name: String,
        version: u16,
    },
    Failed(Failure),
}

/// Scans all segments, in the order in which they were written.
pub(super) fn scan(tree: &Tree, health: &Health, drive: DriveId) -> Result<Scanned, Unusable> {
    let names = tree
        .volume
        .list(SEGMENTS)
        .during(Op::List, SEGMENTS)
        .map_err(Unusable::Failed)?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::parse_file_name(name))
        .collect();
    numbers.sort_unstable();
    let newest = numbers.last().copied();
    let mut scanned = Scanned::default();
    for number in numbers {
        let name = segment::file_name(number);
        let path = format!("{SEGMENTS}/{name}");
        let file = tree
            .volume
            .open(&path)
            .during(Op::Open, &path)
            .map_err(Unusable::Failed)?;
        if Some(number) == newest {
            // If the last process ended after a failed sync, the cache holds what the disk does
            // not: the segment it was writing must be read from the disk.
            note(tree, health, tree.sync_file(&*file, &path));
            file.forget_cache();
        }
        let generation = match check_head(&*file, &path, number, drive) {
            Ok(generation) => generation,
            Err(Refusal::Newer(version)) => return Err(Unusable::Newer { name, version }),
            Err(Refusal::Foreign) => {
                tracing::error!(%drive, segment = name, "segment of another drive is ignored");
                let mut ignored = Segment::new(file.len_bytes().unwrap_or(0), None);
                ignored.pinned = true;
                scanned.segments.insert(number, ignored);
                scanned.damaged += 1;
                continue;
            }
        };
        let scanner = Scanner::new(file, path, number, generation).map_err(Unusable::Failed)?;
        scan_one(tree, health, &mut scanned, scanner)?;
    }
    drop_idle_graves(&mut scanned.segments);
    Ok(scanned)
}

fn note(tree: &Tree, health: &Health, done: Result<(), Failure>) {
    if let Err(failure) = done {
        health.note(&failure, &tree.counters);
    }
}

enum Refusal {
    Newer(u16),
    Foreign,
}

/// The segment's generation; `None` where its head is damaged (then its records tell).
fn check_head(
    file: &dyn DiskFile,
    path: &str,
    number: u64,
    drive: DriveId,
) -> Result<Option<u64>, Refusal> {
    let mut page = vec![0; HEAD_LEN];
    let Ok(count) = file.read_at(&mut page, 0) else {
        return Ok(None);
    };
    match segment::decode_head(&page[..count]) {
        Err(BadHead::Newer(version)) => Err(Refusal::Newer(version)),
        Err(BadHead::Damaged) => {
            tracing::warn!(%drive, segment = path, "segment has a damaged head");
            Ok(None)
        }
        Ok(head) if head.drive == drive && head.segment == number => Ok(Some(head.generation)),
        Ok(head) if mutant::active(Mutant::SkipIdentity) => Ok(Some(head.generation)),
        Ok(_) => Err(Refusal::Foreign),
    }
}

fn scan_one(
    tree: &Tree,
    health: &Health,
    scanned: &mut Scanned,
    mut scanner: Scanner,
) -> Result<(), Unusable> {
    let mut records = Vec::new();
    while let Some(record) = scanner.next().map_err(Unusable::Failed)? {
        records.push(record);
    }
    for failure in scanner.failures.drain(..) {
        health.note(&failure, &tree.counters);
    }
    let proven = records
        .iter()
        .map(|record| record.place.synced_to)
        .max()
        .unwrap_or(HEAD_LEN as u64);
    if records
        .iter()
        .any(|record| record.place.at.offset >= proven)
    {
        // After a mere kill they are in the cache only; once they are in the index they count.
        note(tree, health, tree.sync_file(&*scanner.file, &scanner.path));
    }
    let damaged = scanner
        .damaged
        .iter()
        .filter(|stretch| stretch.start < proven)
        .count();
    if damaged > 0 {
        let (segment, stretches) = (&scanner.path, &scanner.damaged);
        tracing::error!(
            segment,
            ?stretches,
            "segment is damaged: fragments may be lost"
        );
    }
    scanned.damaged += damaged as u64;
    let number = scanner.segment;
    let info = Segment::new(scanner.end, scanner.generation);
    scanned.segments.insert(number, info);
    for record in records {
        let may_be_torn = record.place.at.offset >= proven;
        if may_be_torn && !scanner.is_whole(&record) {
            tracing::info!(
                segment = scanner.path,
                offset = record.place.at.offset,
                "torn record"
            );
            continue;
        }
        let len = record.len() as u32;
        match record.body {
            Body::Put { header, .. } => apply_put(scanned, header, record.place.at, len),
            Body::Tombstone(tombstone) => apply_tombstone(scanned, number, &tombstone, len),
        }
    }
    Ok(())
}

fn apply_put(scanned: &mut Scanned, header: FragmentHeader, at: Position, len: u32) {
    if let Some(segment) = scanned.segments.get_mut(&at.segment) {
        segment.add_live(len);
    }
    match scanned.live.entry(header.id) {
        Entry::Vacant(entry) => drop(entry.insert(Packed {
            at,
            len,
            oldest: at.segment,
        })),
        Entry::Occupied(mut entry) => {
            // A compaction was cut short after the copy: the older record is no longer alive.
            let older = *entry.get();
            if let Some(segment) = scanned.segments.get_mut(&older.at.segment) {
                segment.remove_live(older.len);
            }
            entry.insert(Packed {
                at,
                len,
                oldest: older.oldest,
            });
        }
    }
}

fn apply_tombstone(scanned: &mut Scanned, segment: u64, tombstone: &Tombstone, len: u32) {
    let killed = scanned
        .live
        .get(&tombstone.id)
        .filter(|packed| packed.at < tombstone.horizon);
    if let Some(packed) = killed.copied() {
        scanned.live.remove(&tombstone.id);
        if let Some(segment) = scanned.segments.get_mut(&packed.at.segment) {
            segment.remove_live(packed.len);
        }
    }
    if let Some(segment) = scanned.segments.get_mut(&segment) {
        let (oldest, newest) = (tombstone.oldest, tombstone.newest);
        segment.add_grave(Grave {
            oldest,
            newest,
            len,
        });
    }
}

/// Walks the records of one segment.
pub(super) struct Scanner {
    file: Arc<dyn DiskFile>,
    path: String,
    segment: u64,
    generation: Option<u64>,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Stretches that hold no record that verifies, and are not empty.
    damaged: Vec<Range<u64>>,
    failures: Vec<Failure>,
}

impl Scanner {
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        path: String,
        segment: u64,
        generation: Option<u64>,
    ) -> Result<Self, Failure> {
        let end = file.len_bytes().during(Op::Read, &path)?;
        Ok(Self {
            file,
            path,
            segment,
            generation,
            at: HEAD_LEN as u64,
            end,
            window: Vec::new(),
            window_at: 0,
            damaged: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// The next record whose head verifies.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Failure> {
        while self.at + (ALIGN as u64) <= self.end {
            let at = Position {
                segment: self.segment,
                offset: self.at,
            };
            let generation = self.generation;
            let head = self.bytes(at.offset, MAX_RECORD_HEAD)?;
            if let Some(record) = segment::decode_record(head, at, generation)
                && at.offset + record.len() as u64 <= self.end
            {
                self.generation.get_or_insert(record.place.generation);
                self.at += record.len() as u64;
                return Ok(Some(record));
            }
            self.skip()?;
        }
        Ok(None)
    }

    /// Goes on to where the next record may be: past the padding, or one step into damage.
    fn skip(&mut self) -> Result<(), Failure> {
        let at = self.at;
        let page_end = (at + 1).next_multiple_of(PAGE as u64);
        let rest = self.bytes(at, (page_end - at) as usize)?;
        if rest.iter().all(|byte| *byte == 0) {
            self.at = page_end;
            return Ok(());
        }
        self.at = at + ALIGN as u64;
        match self.damaged.last_mut() {
            Some(last) if last.end == at => last.end = self.at,
            _ => self.damaged.push(at..self.at),
        }
        Ok(())
    }

    /// Up to `len` bytes at `at`, fewer at the end of the file.
    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], Failure> {
        let len = len.min((self.end - at) as usize);
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if !held.contains(&at) || at + len as u64 > held.end {
            self.load(at / PAGE as u64 * PAGE as u64)?;
        }
        let start = (at - self.window_at) as usize;
        let end = (start + len).min(self.window.len());
        Ok(&self.window[start.min(end)..end])
    }

    /// Reads a window. Pages that can't be read count as empty and damaged.
    fn load(&mut self, at: u64) -> Result<(), Failure> {
        self.window_at = at;
        self.window.resize(WINDOW.min((self.end - at) as usize), 0);
        match self.file.read_at(&mut self.window, at) {
            Ok(count) => self.window[count..].fill(0),
            Err(_) => self.load_pages(at),
        }
        Ok(())
    }

    fn load_pages(&mut self, at: u64) {
        for (number, page) in self.window.chunks_mut(PAGE).enumerate() {
            let page_at = at + (number * PAGE) as u64;
            page.fill(0);
            if let Err(error) = self.file.read_at(page, page_at) {
                page.fill(0);
                self.damaged.push(page_at..page_at + PAGE as u64);
                let path = self.path.clone();
                self.failures.push(Failure {
                    op: Op::Read,
                    path,
                    source: error,
                });
            }
        }
    }

    /// A record's payload; shorter where the file was cut.
    pub(super) fn payload(&self, record: &Record) -> Result<Vec<u8>, Failure> {
        let mut payload = vec![0; record.payload_len];
        let at = record.place.at.offset + record.head_len as u64;
        let count = self
            .file
            .read_at(&mut payload, at)
            .during(Op::Read, &self.path)?;
        payload.truncate(count);
        Ok(payload)
    }

    /// Whether all blocks of a record are as they were written.
    fn is_whole(&self, record: &Record) -> bool {
        let Body::Put { header, table } = &record.body else {
            return true;
        };
        let Ok(payload) = self.payload(record) else {
            return false;
        };
        if payload.len() != record.payload_len {
            return false;
        }
        let checksum = BlockChecksum::new(&header.id);
        let mut rest = &payload[..];
        (0..).zip(table).all(|(number, expected)| {
            let (block, after) = rest.split_at(header.block_len(number) as usize);
            rest = after;
            checksum.holds(number, block, *expected)
        })
    }
}
