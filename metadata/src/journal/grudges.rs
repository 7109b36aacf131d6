//! Drives that failed, and for how long none of them is asked again.
//!
//! Longer with every failure that follows on the one before: a drive that hangs costs the writer's
//! whole patience each time that it is asked, and all writes wait meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use holdfast_types::DriveId;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(60);
/// At most.
const LONGEST: Duration = Duration::from_secs(3600);
/// Where no group can be committed without it: a drive that was away a moment ago is back sooner
/// than that, and there is nobody whom one that hangs could hold up.
const IN_NEED: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Grudges(BTreeMap<DriveId, Grudge>);

#[derive(Debug)]
struct Grudge {
    failures: u32,
    since: Instant,
    until: Instant,
}

impl Grudges {
    /// `drive` failed at `now`.
    pub(super) fn bear(&mut self, drive: DriveId, now: Instant) {
        let grudge = self.0.entry(drive).or_insert(Grudge {
            failures: 0,
            since: now,
            until: now,
        });
        if now.saturating_duration_since(grudge.until) >= LONGEST {
            // It was well for long.
            grudge.failures = 0;
        }
        let doubled = FIRST.saturating_mul(1 << grudge.failures.min(6));
        grudge.failures = grudge.failures.saturating_add(1);
        grudge.since = now;
        grudge.until = now + doubled.min(LONGEST);
    }

    /// `drive` did all that it was asked for, or takes no writes now and is new when it does.
    pub(super) fn end(&mut self, drive: DriveId) {
        self.0.remove(&drive);
    }

    /// Every drive may be asked again that did not fail just now: without one nothing goes on.
    pub(super) fn relent(&mut self, now: Instant) {
        for grudge in self.0.values_mut() {
            if now.saturating_duration_since(grudge.since) >= IN_NEED {
                grudge.until = grudge.until.min(now);
            }
        }
    }

    /// Whether `drive` is left alone at `now`.
    pub(super) fn holds(&self, drive: DriveId, now: Instant) -> bool {
        self.0.get(&drive).is_some_and(|grudge| now < grudge.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_that_fails_again_is_left_alone_for_longer() {
        let (drive, other) = (DriveId::from_bytes([1; 16]), DriveId::from_bytes([2; 16]));
        let mut grudges = Grudges::default();
        let mut now = Instant::now();
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            grudges.bear(drive, now);
            let end = now + Duration::from_secs(minutes * 60);
            assert!(grudges.holds(drive, end - Duration::from_millis(1)));
            assert!(!grudges.holds(drive, end), "{minutes}");
            assert!(!grudges.holds(other, now));
            now = end;
        }
        grudges.bear(drive, now);
        grudges.relent(now + IN_NEED / 2);
        assert!(grudges.holds(drive, now + IN_NEED), "it failed just now");
        grudges.relent(now + IN_NEED);
        assert!(!grudges.holds(drive, now + IN_NEED));
        now += LONGEST + IN_NEED;
        for forgiven in [false, true] {
            if forgiven {
                grudges.end(drive);
            }
            grudges.bear(drive, now);
            assert!(grudges.holds(drive, now));
            assert!(!grudges.holds(drive, now + FIRST), "it begins anew");
        }
    }
}
