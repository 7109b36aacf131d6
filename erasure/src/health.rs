//! What requests learn from each other about drives: who has just failed, and what is slow.
//!
//! A drive that failed, or was late several times in a row, is *suspect* for a while: others are
//! used where there are others, so that not every request waits for it again. When the time is
//! over, one request or a few try it; if it fails again the time doubles. A suspect drive is never
//! given up: where nothing else is left, it is asked.
//!
//! A read is late after a multiple of the *median* of recent reads of all drives. The median stays
//! where it is while fewer than half of the drives are slow (a mean or a high percentile would
//! follow the one slow drive), and rises when all are, so that load does not feed itself.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use holdfast_types::DriveId;
use tokio::time::Instant;

/// How long a drive is suspect at first. Long enough to spare thousands of requests, short enough
/// that a drive that came back is used again soon.
pub(crate) const SUSPECT_MIN: Duration = Duration::from_secs(5);
/// How long at most, after many failures.
pub(crate) const SUSPECT_MAX: Duration = Duration::from_secs(60);
/// How many late answers in a row make a drive suspect: one or two are chance.
pub(crate) const LATE_LIMIT: u32 = 3;
/// Answers that are late together are one event: a pause of the drive, seen by many requests.
const LATE_APART: Duration = Duration::from_millis(100);
/// A read is late after this many times the median.
const LATE_FACTOR: u32 = 8;
/// A read is never late before this: cached reads take microseconds, and a pause is no failure.
pub(crate) const HEDGE_MIN: Duration = Duration::from_millis(50);
/// A read is always late after this.
pub(crate) const HEDGE_MAX: Duration = Duration::from_secs(1);
/// While too little is known.
pub(crate) const HEDGE_INITIAL: Duration = Duration::from_millis(250);
/// Reads that the median is taken over.
const SAMPLES: usize = 64;
/// Fewer are too little to know.
const SAMPLES_MIN: usize = 8;

/// What a drive is used for: one that takes no writes may read well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    Read,
    Write,
}

#[derive(Debug, Default)]
pub(crate) struct Health {
    drives: Mutex<HashMap<(DriveId, Use), Standing>>,
    reads: Mutex<Recent>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    late: u32,
    last_late: Option<Instant>,
    suspect_until: Option<Instant>,
    /// How long it is suspect the next time.
    next: Duration,
}

impl Health {
    /// Whether others should be used instead.
    pub(crate) fn suspect(&self, drive: DriveId, what: Use) -> bool {
        let drives = self.drives.lock().expect(NO_PANIC);
        let until = drives
            .get(&(drive, what))
            .and_then(|standing| standing.suspect_until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// It failed: suspect at once.
    pub(crate) fn failed(&self, drive: DriveId, what: Use) {
        self.change(drive, what, Standing::condemn);
    }

    /// It was late.
    pub(crate) fn late(&self, drive: DriveId, what: Use) {
        let now = Instant::now();
        self.change(drive, what, |standing| {
            if standing
                .last_late
                .is_some_and(|last| now - last < LATE_APART)
            {
                return;
            }
            standing.last_late = Some(now);
            standing.late += 1;
            if standing.late >= LATE_LIMIT {
                standing.condemn();
            }
        });
    }

    /// It did as it was asked, in time.
    pub(crate) fn good(&self, drive: DriveId, what: Use) {
        self.drives.lock().expect(NO_PANIC).remove(&(drive, what));
    }

    /// A read took this long, late or not.
    pub(crate) fn read_took(&self, elapsed: Duration) {
        self.reads.lock().expect(NO_PANIC).push(elapsed);
    }

    /// After how long a read is late.
    pub(crate) fn hedge_after(&self) -> Duration {
        match self.reads.lock().expect(NO_PANIC).median() {
            Some(median) => (median * LATE_FACTOR).clamp(HEDGE_MIN, HEDGE_MAX),
            None => HEDGE_INITIAL,
        }
    }

    fn change(&self, drive: DriveId, what: Use, change: impl FnOnce(&mut Standing)) {
        let mut drives = self.drives.lock().expect(NO_PANIC);
        let unknown = Standing {
            late: 0,
            last_late: None,
            suspect_until: None,
            next: SUSPECT_MIN,
        };
        change(drives.entry((drive, what)).or_insert(unknown));
    }
}

const NO_PANIC: &str = "nothing that holds the lock can panic";

impl Standing {
    fn condemn(&mut self) {
        let now = Instant::now();
        if self.suspect_until.is_some_and(|until| now < until) {
            return; // One event, seen by many requests.
        }
        self.suspect_until = Some(now + self.next);
        self.next = (self.next * 2).min(SUSPECT_MAX);
        self.late = LATE_LIMIT - 1; // When the time is over, one more is enough.
    }
}

/// The last reads, and their median as of a few reads ago.
#[derive(Debug, Default)]
struct Recent {
    samples: Vec<Duration>,
    at: usize,
    median: Option<Duration>,
}

impl Recent {
    fn push(&mut self, elapsed: Duration) {
        if self.samples.len() < SAMPLES {
            self.samples.push(elapsed);
        } else {
            self.samples[self.at % SAMPLES] = elapsed;
        }
        self.at += 1;
        if self.samples.len() >= SAMPLES_MIN && self.at.is_multiple_of(SAMPLES_MIN) {
            let mut sorted = self.samples.clone();
            let middle = sorted.len() / 2;
            self.median = Some(*sorted.select_nth_unstable(middle).1);
        }
    }

    const fn median(&self) -> Option<Duration> {
        self.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failed_drive_is_spared_for_a_while_then_longer() {
        let health = Health::default();
        let drive = DriveId::generate();
        assert!(!health.suspect(drive, Use::Read));
        for round in 0..8_u32 {
            health.failed(drive, Use::Read);
            health.failed(drive, Use::Read);
            let time = (SUSPECT_MIN * 2_u32.pow(round)).min(SUSPECT_MAX);
            tokio::time::advance(time - Duration::from_millis(1)).await;
            assert!(health.suspect(drive, Use::Read), "{round}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!health.suspect(drive, Use::Read), "{round}");
        }
        assert!(
            !health.suspect(drive, Use::Write),
            "reads and writes are judged apart"
        );
        health.good(drive, Use::Read);
        health.failed(drive, Use::Read);
        tokio::time::advance(SUSPECT_MIN).await;
        assert!(!health.suspect(drive, Use::Read), "a good answer forgives");
    }

    #[tokio::test(start_paused = true)]
    async fn one_late_answer_is_chance() {
        let health = Health::default();
        let drive = DriveId::generate();
        for _ in 1..LATE_LIMIT {
            health.late(drive, Use::Read);
            health.late(drive, Use::Read);
            assert!(!health.suspect(drive, Use::Read));
            tokio::time::advance(LATE_APART).await;
        }
        health.late(drive, Use::Read);
        assert!(health.suspect(drive, Use::Read));
        tokio::time::advance(SUSPECT_MIN).await;
        health.late(drive, Use::Read);
        assert!(
            health.suspect(drive, Use::Read),
            "one more is enough after the first time"
        );
    }

    #[test]
    fn the_delay_follows_the_many_and_not_the_slow_one() {
        let health = Health::default();
        assert_eq!(health.hedge_after(), HEDGE_INITIAL);
        let [fast, slow] = [10, 400].map(Duration::from_millis);
        for read in 0..600 {
            health.read_took(if read % 6 == 0 { slow } else { fast });
        }
        assert_eq!(health.hedge_after(), fast * LATE_FACTOR);
        for _ in 0..SAMPLES {
            health.read_took(slow);
        }
        assert_eq!(
            health.hedge_after(),
            HEDGE_MAX,
            "when all are slow it is no failure"
        );
        for _ in 0..SAMPLES {
            health.read_took(Duration::from_micros(50));
        }
        assert_eq!(health.hedge_after(), HEDGE_MIN);
    }
}
