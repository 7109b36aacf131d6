//! Reads every block of every fragment of a drive, over and over, each within a stated period.
//!
//! A [`Scrub`] walks one drive in the order of the fragments' ids (which is the order of their age).
//! Its pace follows from what is left and the time that is left, so that a cycle takes
//! [`CYCLE_SHARE`] of the period and the rest is there for a drive that was away. It never works for
//! more than its share of the time (a quarter unless told otherwise), reads a megabyte at most at
//! once, and waits in the same line as every reader. Where it is stands in a small file on the drive (`cursor`).
//!
//! What is bad is told to a [`ScrubReport`], and told again until it is taken: the walk does not go
//! past a fragment whose damage nobody has noted.

pub(crate) mod cursor;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_types::{Clock, DriveId, FragmentId, StoreError};
use tokio::time::Instant;

use crate::drive::LocalDrive;
use crate::drive::verify::Looked;
use cursor::{Cursor, MAX_MARKS, Mark, Pass, Stored};

/// What is wrong with a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It was listed, and is not there.
    Missing,
    /// Its header or a block is not as it was written, or can't be read.
    Corrupt,
}

/// A finding could not be noted: it is told again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a damaged fragment could not be noted: {0}")]
pub struct NotTaken(pub String);

/// Notes what a scrub found.
#[async_trait]
pub trait ScrubReport: Send + Sync {
    /// Notes a bad fragment. The same one may be told again, and one that was removed meanwhile
    /// may be told as missing.
    ///
    /// # Errors
    /// [`NotTaken`] if it has to be told again.
    async fn bad(
        &self,
        drive: DriveId,
        fragment: &FragmentId,
        finding: Finding,
    ) -> Result<(), NotTaken>;
}

/// How far a drive's scrub is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubProgress {
    /// Whole cycles that were done.
    pub cycles: u64,
    /// Fragments of the drive that this cycle has verified.
    pub verified: u64,
    /// Fragments that the drive has.
    pub fragments: u64,
    /// Fragments that this cycle found missing or corrupt.
    pub bad: u64,
    /// Every fragment that is on the drive was verified or written since. 0: not known yet.
    pub verified_since_ms: u64,
    /// Whether this cycle is done and the next is not due.
    pub is_resting: bool,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrubStep {
    /// There is more to read: see [`Scrub::pause`].
    More,
    /// The cycle is done; the next is not due.
    Done,
    /// The drive is away: it goes on where it was when the drive is back.
    Away,
}

/// The scrub of one drive.
pub struct Scrub {
    drive: Arc<LocalDrive>,
    clock: Arc<dyn Clock>,
    known: Option<Known>,
    page: VecDeque<FragmentId>,
    /// The last that was taken off a page.
    listed: Option<FragmentId>,
    /// The fragment that is being read, and its next block.
    reading: Option<(FragmentId, u64)>,
    segment: Option<u64>,
    saved: Instant,
    due: Instant,
    is_away: bool,
    share_percent: u8,
}

/// Where the scrub is, once it was read from the drive.
struct Known {
    cursor: Cursor,
    stored: Stored,
}

impl Scrub {
    pub(crate) fn new(drive: Arc<LocalDrive>, clock: Arc<dyn Clock>) -> Self {
        Self {
            drive,
            clock,
            known: None,
            page: VecDeque::new(),
            listed: None,
            reading: None,
            segment: None,
            saved: Instant::now(),
            due: Instant::now(),
            is_away: false,
            share_percent: Self::USUAL_SHARE_PERCENT,
        }
    }

    /// A drive that is scrubbed for a quarter of its time serves others about as before.
    pub const USUAL_SHARE_PERCENT: u8 = 25;

    /// Has it work this share of the time at most, 1 to 100 percent. A share that is too small for
    /// the period makes the cycles longer than that.
    pub fn set_share(&mut self, percent: u8) {
        self.share_percent = percent.clamp(1, 100);
    }

    /// The drive.
    #[must_use]
    pub fn drive(&self) -> DriveId {
        self.drive.id()
    }

    /// Where the drive is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        self.drive.place()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> ScrubProgress {
        self.drive.scrub_progress()
    }

    /// Whether the drive could not be read at the last step.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        self.is_away
    }

    /// How long to wait before the next step.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Reads one piece of one fragment. Cancelled half-way it loses nothing but that piece.
    ///
    /// # Errors
    /// [`NotTaken`]; the same piece is read again by the next step.
    pub async fn step(&mut self, report: &dyn ScrubReport) -> Result<ScrubStep, NotTaken> {
        let began = Instant::now();
        match self.try_step(report).await {
            Ok(Moved::Done) => {
                self.is_away = false;
                self.due = Instant::now() + LOOK_AGAIN;
                Ok(ScrubStep::Done)
            }
            Ok(Moved::Read(bytes)) => {
                self.is_away = false;
                let now = Instant::now();
                let worked = now - began;
                let share = u32::from(self.share_percent);
                let rest = worked * (100 - share) / share;
                self.due = now + self.pace(bytes).max(rest);
                Ok(ScrubStep::More)
            }
            Err(Stop::NotTaken(error)) => Err(error),
            Err(Stop::Store(error)) => {
                if !self.is_away {
                    tracing::debug!(drive = %self.drive.id(), %error, "the scrub waits");
                }
                self.is_away = true;
                self.due = Instant::now() + LOOK_AGAIN;
                Ok(ScrubStep::Away)
            }
        }
    }

    async fn try_step(&mut self, report: &dyn ScrubReport) -> Result<Moved, Stop> {
        let now_ms = self.clock.now_ms();
        self.load(now_ms).await?;
        if self.is_resting(now_ms) {
            self.show();
            return Ok(Moved::Done);
        }
        self.begin_if_due(now_ms);
        let Some((fragment, first)) = self.next_fragment().await? else {
            self.end_cycle().await?;
            return Ok(Moved::Done);
        };
        if first == 0 {
            self.segment = self.drive.forget_cache(&fragment, self.segment).await?;
        }
        let mut bytes = 0;
        let finding = match self.drive.look(&fragment, first).await? {
            Looked::Sound {
                bytes: read,
                next: Some(next),
            } => {
                self.reading = Some((fragment, next));
                self.count(read);
                return Ok(Moved::Read(read));
            }
            Looked::Sound { bytes: read, .. } => {
                bytes = read;
                None
            }
            Looked::Corrupt => Some(Finding::Corrupt),
            Looked::NotFound => Some(Finding::Missing),
        };
        if let Some(finding) = finding {
            tracing::warn!(drive = %self.drive.id(), fragment = %fragment, ?finding, "the scrub found a bad fragment");
            report.bad(self.drive.id(), &fragment, finding).await?;
        }
        self.count(bytes);
        self.verified(fragment, finding.is_some()).await?;
        Ok(Moved::Read(bytes))
    }

    async fn load(&mut self, now_ms: u64) -> Result<(), StoreError> {
        if self.known.is_some() {
            return Ok(());
        }
        let stored = self.drive.load_cursor().await?;
        let cursor = stored.cursor.clone().unwrap_or_else(|| Cursor {
            now: Pass {
                began_ms: now_ms,
                marks: Vec::new(),
            },
            ..Cursor::default()
        });
        self.known = Some(Known { cursor, stored });
        self.show();
        Ok(())
    }

    /// How long a cycle shall take.
    fn cycle_ms(&self) -> u64 {
        let (share, of) = CYCLE_SHARE;
        (self.drive.scrub_period_ms() / of * share).max(1)
    }

    fn is_resting(&self, now_ms: u64) -> bool {
        self.known.as_ref().is_some_and(|known| {
            let age_ms = now_ms.saturating_sub(known.cursor.now.began_ms);
            // A clock that was put back must not stop it for longer than a cycle.
            let is_ahead = known.cursor.now.began_ms > now_ms.saturating_add(self.cycle_ms());
            known.cursor.is_done && age_ms < self.cycle_ms() && !is_ahead
        })
    }

    fn begin_if_due(&mut self, now_ms: u64) {
        if let Some(Known { cursor, .. }) = &mut self.known
            && cursor.is_done
        {
            *cursor = Cursor {
                cycles: cursor.cycles,
                before: Some(std::mem::take(&mut cursor.now)),
                now: Pass {
                    began_ms: now_ms,
                    marks: Vec::new(),
                },
                ..Cursor::default()
            };
        }
    }

    /// The fragment to go on with and its next block.
    async fn next_fragment(&mut self) -> Result<Option<(FragmentId, u64)>, StoreError> {
        if let Some(reading) = self.reading.clone() {
            return Ok(Some(reading));
        }
        let Some(Known { cursor, .. }) = &self.known else {
            return Ok(None);
        };
        // What was written since the cycle began is the next one's: else a drive that is written
        // as fast as it is scrubbed would never be through. A time to come says nothing.
        let is_new = cursor.now.began_ms + 1..=self.clock.now_ms();
        let mut after = self.listed.take().or_else(|| cursor.after.clone());
        loop {
            while let Some(fragment) = self.page.pop_front() {
                after = Some(fragment.clone());
                if fragment
                    .blob
                    .made_ms()
                    .is_some_and(|made_ms| is_new.contains(&made_ms))
                {
                    continue;
                }
                // Kept until it is done with: a step that fails comes back to it.
                self.reading = Some((fragment.clone(), 0));
                self.listed = after;
                return Ok(Some((fragment, 0)));
            }
            self.page = self.drive.list(after.as_ref(), PAGE)?.into();
            if self.page.is_empty() {
                return Ok(None);
            }
            tokio::task::yield_now().await;
        }
    }

    fn count(&mut self, bytes: u64) {
        if let Some(known) = &mut self.known {
            known.cursor.bytes += bytes;
        }
    }

    async fn verified(&mut self, fragment: FragmentId, is_bad: bool) -> Result<(), StoreError> {
        self.reading = None;
        self.drive.count_looked(is_bad);
        let total = self.drive.fragment_count()?;
        let now_ms = self.clock.now_ms();
        if let Some(Known { cursor, .. }) = &mut self.known {
            cursor.verified += 1;
            cursor.bad += u64::from(is_bad);
            mark(
                &mut cursor.now.marks,
                now_ms,
                &fragment,
                cursor.verified,
                total,
            );
            cursor.after = Some(fragment);
        }
        self.show();
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save().await;
        }
        Ok(())
    }

    async fn end_cycle(&mut self) -> Result<(), StoreError> {
        let total = self.drive.fragment_count()?;
        self.listed = None;
        if let Some(Known { cursor, .. }) = &mut self.known {
            cursor.is_done = true;
            cursor.cycles += 1;
            cursor.after = None;
            tracing::debug!(
                drive = %self.drive.id(), verified = cursor.verified, bad = cursor.bad, total,
                "a scrub cycle is done"
            );
        }
        self.show();
        self.save().await;
        Ok(())
    }

    /// A drive that takes no writes is scrubbed all the same, and from the start after a restart.
    async fn save(&mut self) {
        self.saved = Instant::now();
        let Some(known) = &mut self.known else {
            return;
        };
        let stored = known.stored.clone();
        match self.drive.save_cursor(known.cursor.clone(), stored).await {
            Ok(stored) => known.stored = stored,
            Err(error) => {
                tracing::debug!(drive = %self.drive.id(), %error, "where the scrub is was not noted");
            }
        }
    }

    fn show(&self) {
        let (Some(Known { cursor, .. }), Ok(fragments)) =
            (&self.known, self.drive.fragment_count())
        else {
            return;
        };
        let next = self
            .drive
            .list(cursor.after.as_ref(), 1)
            .unwrap_or_default();
        self.drive.set_scrub_progress(ScrubProgress {
            cycles: cursor.cycles,
            verified: cursor.verified,
            fragments,
            bad: cursor.bad,
            verified_since_ms: verified_since(cursor, next.first(), self.clock.now_ms()),
            is_resting: cursor.is_done,
        });
    }

    /// How long reading so many bytes should take, to be done in time and not much sooner.
    fn pace(&self, bytes: u64) -> Duration {
        let Some(Known { cursor, .. }) = &self.known else {
            return Duration::ZERO;
        };
        let total = self.drive.fragment_count().unwrap_or(0);
        let mean = cursor
            .bytes
            .checked_div(cursor.verified)
            .unwrap_or(UNKNOWN_FRAGMENT_BYTES);
        let left_bytes = total.saturating_sub(cursor.verified).saturating_mul(mean);
        let ends_ms = cursor.now.began_ms.saturating_add(self.cycle_ms());
        let left_ms = ends_ms
            .saturating_sub(self.clock.now_ms())
            .clamp(1, self.cycle_ms());
        let rate = (left_bytes.saturating_mul(1000) / left_ms).max(LEAST_BYTES_PER_SECOND);
        Duration::from_secs_f64(bytes as f64 / rate as f64)
    }
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrub")
            .field("drive", &self.drive.id())
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

enum Moved {
    Read(u64),
    Done,
}

enum Stop {
    Store(StoreError),
    NotTaken(NotTaken),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NotTaken> for Stop {
    fn from(error: NotTaken) -> Self {
        Self::NotTaken(error)
    }
}

/// Remembers about [`MAX_MARKS`] points of a cycle, evenly: when there are too many, every other
/// is forgotten.
fn mark(marks: &mut Vec<Mark>, at_ms: u64, up_to: &FragmentId, verified: u64, total: u64) {
    let every = (total / (MAX_MARKS as u64 / 2)).max(1);
    if !verified.is_multiple_of(every) {
        return;
    }
    if marks.len() >= MAX_MARKS {
        let mut keep = false;
        marks.retain(|_| {
            keep = !keep;
            keep
        });
    }
    marks.push(Mark {
        at_ms,
        up_to: up_to.clone(),
    });
}

/// Since when every fragment was verified or written: what the cycle comes to next is what was not
/// for the longest time.
fn verified_since(cursor: &Cursor, next: Option<&FragmentId>, now_ms: u64) -> u64 {
    if cursor.is_done {
        return cursor.now.began_ms;
    }
    let Some(next) = next else {
        return cursor.now.began_ms;
    };
    // A fragment can't be older than its blob; ids rise with time.
    let made_ms = next.blob.made_ms().unwrap_or(0);
    let before_ms = cursor.before.as_ref().map_or(0, |before| {
        before
            .marks
            .iter()
            .take_while(|mark| mark.up_to < *next)
            .last()
            .map_or(before.began_ms, |mark| mark.at_ms)
    });
    made_ms
        .max(before_ms)
        .min(cursor.now.began_ms)
        .clamp(1, now_ms.max(1))
}

/// A cycle is planned to take so much (three parts of four) of the period.
const CYCLE_SHARE: (u64, u64) = (3, 4);
/// Slower than this it never reads (while there is something to read): a drive that holds little
/// is done with soon.
const LEAST_BYTES_PER_SECOND: u64 = 1 << 20;
/// The length of fragments before the first was read.
const UNKNOWN_FRAGMENT_BYTES: u64 = 1 << 20;
/// Ids that are listed at once.
const PAGE: usize = 500;
/// How often its place is noted: so much is read again after a crash.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How soon it looks whether the drive is back, or the next cycle due.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// A fragment of a blob that was made at `made_ms`.
    fn fragment(made_ms: u64) -> FragmentId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&made_ms.to_be_bytes()[2..]);
        bytes[6] = 0x70;
        let blob = holdfast_types::BlobId::from_bytes(bytes);
        format!("{blob}.here.0.0").parse().unwrap()
    }

    fn pass(began_ms: u64, marks: &[(u64, u64)]) -> Pass {
        let marks = marks.iter().map(|(at_ms, made_ms)| Mark {
            at_ms: *at_ms,
            up_to: fragment(*made_ms),
        });
        Pass {
            began_ms,
            marks: marks.collect(),
        }
    }

    #[test]
    fn in_the_first_cycle_what_comes_next_was_never_verified() {
        let cursor = Cursor {
            now: pass(1000, &[]),
            ..Cursor::default()
        };
        assert_eq!(verified_since(&cursor, Some(&fragment(70)), 1100), 70);
        assert_eq!(verified_since(&cursor, Some(&fragment(1050)), 1100), 1000);
        assert_eq!(verified_since(&cursor, None, 1100), 1000);
    }

    #[test]
    fn later_it_was_verified_when_the_cycle_before_came_by() {
        let cursor = Cursor {
            before: Some(pass(1000, &[(1100, 10), (1200, 20), (1300, 30)])),
            now: pass(2000, &[]),
            ..Cursor::default()
        };
        let since = |made_ms| verified_since(&cursor, Some(&fragment(made_ms)), 2100);
        assert_eq!(since(5), 1000);
        assert_eq!(since(15), 1100);
        assert_eq!(
            since(20),
            1100,
            "it may have been verified just before the mark"
        );
        assert_eq!(since(31), 1300);
        assert_eq!(since(1500), 1500, "it was written after that cycle");
        assert_eq!(since(2050), 2000);
        let done = Cursor {
            is_done: true,
            ..cursor.clone()
        };
        assert_eq!(verified_since(&done, Some(&fragment(5)), 2500), 2000);
    }

    #[test]
    fn marks_stay_few_and_in_order() {
        for total in [1, 10, 1000, 100_000] {
            let mut marks = Vec::new();
            // A drive that fills while it is scrubbed has far more than was planned for.
            for verified in 1..=5 * total {
                mark(&mut marks, verified, &fragment(verified), verified, total);
            }
            assert!((1..=MAX_MARKS).contains(&marks.len()), "{total}");
            assert!(marks.is_sorted_by(|a, b| a.up_to < b.up_to && a.at_ms < b.at_ms));
        }
    }
}
