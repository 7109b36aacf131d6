//! Compaction: what is still alive in a mostly-dead segment moves to the active one, and the
//! segment is removed.
//!
//! Safe at each step: the copies are durable before the index points to them, and the segment goes
//! only when nothing in the index points into it. After a crash in between, both copies are found,
//! and the newer wins. Checksums are moved with the blocks, never made anew: a bad block stays bad.
//! A tombstone moves along for as long as a segment exists that may hold what it killed.

use std::sync::Arc;

use holdfast_types::{FragmentId, StoreError};

use super::SEGMENTS;
use super::index::{Packed, Slot};
use super::log::Appender;
use super::scan::{Grave, Scanner, Segment};
use crate::failure::{Context, Op};
use crate::format::segment::{self, Body, Record, Tombstone};

/// Bytes that one step moves before writers get their turn.
const STEP_BYTES: usize = 1 << 20;
/// Segments below this fraction of the full size are merged when there are several: each opening
/// of the drive begins a new one.
const UNDERSIZED: u64 = 8;
/// How many undersized segments are left alone.
const UNDERSIZED_LEFT: usize = 8;

/// A segment that is being emptied.
pub(super) struct Compaction {
    victim: u64,
    scanner: Scanner,
    scanned: bool,
    moved: Vec<FragmentId>,
}

struct Move {
    id: FragmentId,
    was: Packed,
    now: Packed,
}

impl Appender {
    pub(super) fn has_compaction_to_do(&self) -> bool {
        (self.compaction.is_some() || self.look_for_victims)
            && self.core.health.check_deletable().is_ok()
    }

    /// One step of the compaction under way, or the choice of the next.
    pub(super) fn compact(&mut self) {
        if self.core.health.check_deletable().is_err() {
            return;
        }
        let core = Arc::clone(&self.core);
        let chosen = self.compaction.take();
        let Ok(_gate) = core.enter() else {
            self.look_for_victims = false;
            return;
        };
        let Some(mut compaction) = chosen.or_else(|| self.choose()) else {
            return;
        };
        match self.step(&mut compaction) {
            Ok(true) => self.finish(compaction),
            Ok(false) => self.compaction = Some(compaction),
            Err(error) => {
                let segment = compaction.victim;
                tracing::warn!(drive = %core.id, segment, %error, "compaction was given up");
                self.pin(segment);
            }
        }
    }

    /// Leaves a segment as it is until the drive is opened again.
    fn pin(&mut self, segment: u64) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.pinned = true;
        }
    }

    fn choose(&mut self) -> Option<Compaction> {
        if !std::mem::take(&mut self.look_for_victims) {
            return None;
        }
        let active = self.active.as_ref().map(|active| active.segment);
        let size = self.core.config.segment_bytes;
        let sealed = || {
            self.segments
                .iter()
                .filter(|(number, segment)| Some(**number) != active && !segment.pinned)
        };
        let undersized = |segment: &Segment| segment.len < size / UNDERSIZED;
        let crowd = sealed().filter(|(_, segment)| undersized(segment)).count() > UNDERSIZED_LEFT;
        let (victim, generation) = sealed()
            .find(|(_, segment)| {
                let kept = segment.kept_bytes();
                kept == 0
                    || (undersized(segment) && crowd)
                    || (!undersized(segment) && kept * 2 < segment.len)
            })
            .map(|(number, segment)| (*number, segment.generation))?;
        let path = format!("{SEGMENTS}/{}", segment::file_name(victim));
        let opened = self
            .core
            .tree
            .volume
            .open(&path)
            .during(Op::Open, &path)
            .and_then(|file| Scanner::new(file, path, victim, generation));
        match opened {
            Ok(scanner) => Some(Compaction {
                victim,
                scanner,
                scanned: false,
                moved: Vec::new(),
            }),
            Err(failure) => {
                self.core.health.note(&failure, &self.core.counters);
                self.pin(victim);
                None
            }
        }
    }

    /// Moves up to a step's bytes; `true` when the victim was read to its end.
    fn step(&mut self, compaction: &mut Compaction) -> Result<bool, StoreError> {
        self.buffer.clear();
        let mut moves = Vec::new();
        let mut graves = Vec::new();
        // A segment in which nothing is kept is not read at all.
        let kept = self
            .segments
            .get(&compaction.victim)
            .is_some_and(|victim| victim.kept_bytes() > 0);
        compaction.scanned |= !kept;
        while !compaction.scanned && self.buffer.len() < STEP_BYTES {
            let next = compaction
                .scanner
                .next()
                .map_err(|failure| self.core.fail(failure))?;
            match next {
                None => compaction.scanned = true,
                Some(record) => self.carry(compaction, &record, &mut moves, &mut graves)?,
            }
        }
        self.append(|| {})?;
        let Some(target) = self.active.as_ref().map(|active| active.segment) else {
            return Ok(compaction.scanned);
        };
        for Move { id, was, now } in moves {
            self.core.index.insert(id.clone(), Slot::Packed(now));
            if let Some(victim) = self.segments.get_mut(&compaction.victim) {
                victim.remove_live(was.len);
            }
            if let Some(target) = self.segments.get_mut(&target) {
                target.add_live(now.len);
            }
            compaction.moved.push(id);
        }
        if let Some(target) = self.segments.get_mut(&target) {
            graves.into_iter().for_each(|grave| target.add_grave(grave));
        }
        Ok(compaction.scanned)
    }

    /// Puts a record that is still needed into the buffer.
    fn carry(
        &mut self,
        compaction: &mut Compaction,
        record: &Record,
        moves: &mut Vec<Move>,
        graves: &mut Vec<Grave>,
    ) -> Result<(), StoreError> {
        match &record.body {
            Body::Put { header, table } => {
                let was = self.core.index.packed(&header.id);
                let Some(was) = was.filter(|was| was.at == record.place.at) else {
                    return Ok(());
                };
                let payload = compaction
                    .scanner
                    .payload(record)
                    .map_err(|f| self.core.fail(f))?;
                if payload.len() != record.payload_len {
                    return Ok(());
                }
                self.ensure_active()?;
                let place = self.next_place();
                let start = self.buffer.len();
                segment::encode_put(&mut self.buffer, place, header, table, [&payload[..]]);
                let len = (self.buffer.len() - start) as u32;
                let now = Packed {
                    at: place.at,
                    len,
                    oldest: was.oldest,
                };
                moves.push(Move {
                    id: header.id.clone(),
                    was,
                    now,
                });
            }
            Body::Tombstone(tombstone) => {
                if self.is_needed(tombstone, compaction.victim) {
                    self.ensure_active()?;
                    let place = self.next_place();
                    graves.push(self.add_tombstone(place, tombstone));
                }
            }
        }
        Ok(())
    }

    fn is_needed(&self, tombstone: &Tombstone, victim: u64) -> bool {
        self.segments
            .range(tombstone.oldest..=tombstone.newest)
            .any(|(number, _)| *number != victim)
    }

    /// Removes the victim, if nothing points into it any more.
    fn finish(&mut self, compaction: Compaction) {
        let victim = compaction.victim;
        if self
            .segments
            .get(&victim)
            .is_some_and(|segment| segment.live_records > 0)
        {
            // Something in it could not be read again. What is there is kept.
            tracing::error!(drive = %self.core.id, segment = victim, "damaged segment is kept");
            return self.pin(victim);
        }
        if let Err(failure) = self.core.tree.remove(SEGMENTS, &segment::file_name(victim)) {
            self.core.health.note(&failure, &self.core.counters);
            return self.pin(victim);
        }
        self.segments.remove(&victim);
        self.look_for_victims = true;
        self.core.counters.compactions.one();
        for id in compaction.moved {
            self.forget_older(&id, victim);
        }
        super::scan::drop_idle_graves(&mut self.segments);
    }

    /// The fragment's record in `victim` is gone for good: only the present one is left.
    fn forget_older(&self, id: &FragmentId, victim: u64) {
        if let Some(packed) = self.core.index.packed(id)
            && packed.oldest == victim
        {
            let oldest = packed.at.segment;
            self.core
                .index
                .insert(id.clone(), Slot::Packed(Packed { oldest, ..packed }));
        }
    }
}
