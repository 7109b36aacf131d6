//! Object lock: until when a version may not go, and who may say otherwise.
//!
//! A version has a retention (a mode and a time) and a legal hold, each without the other; the
//! rules of both are here, as functions of values. What can't be read counts as locked for ever.
//! The clock is compared in one direction only: a version whose time has not come is locked,
//! whatever was once read from a clock; a clock that went back locks for longer.

use serde::{Deserialize, Serialize};

/// How strict a retention is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionMode {
    /// Whoever may bypass it can shorten it, take it away, or remove the version.
    Governance,
    /// It can only be made longer, by anybody.
    Compliance,
}

impl RetentionMode {
    /// As its column holds it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }

    /// From its column.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance]
            .into_iter()
            .find(|mode| mode.text() == text)
    }
}

/// Keeps a version until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How strictly.
    pub mode: RetentionMode,
    /// The first moment at which the version may go.
    pub until_ms: u64,
}

/// What locks a version, as far as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LockState {
    /// Its retention, expired or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Its legal hold: on, off, or never spoken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
}

impl LockState {
    /// Whether nothing was ever said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.retention.is_none() && self.legal_hold.is_none()
    }
}

/// A version's lock as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionLock {
    /// This.
    Known(LockState),
    /// Nobody knows: the version is locked, and nothing about it can be changed.
    Unreadable,
}

impl Default for VersionLock {
    fn default() -> Self {
        Self::Known(LockState::default())
    }
}

/// What locked a version that was removed, as the change log keeps it beside the removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedLock {
    /// The lock, in force or over; `None`: it could not be read.
    pub lock: Option<LockState>,
    /// Whether governance was bypassed.
    pub bypassed: bool,
}

impl RemovedLock {
    /// What is to be kept of a lock; `None`: there never was one.
    #[must_use]
    pub fn of(lock: &VersionLock, bypass: Bypass) -> Option<Self> {
        let lock = match lock {
            VersionLock::Known(lock) if lock.is_empty() => return None,
            VersionLock::Known(lock) => Some(*lock),
            VersionLock::Unreadable => None,
        };
        let bypassed = bypass == Bypass::Governance;
        Some(Self { lock, bypassed })
    }

    /// Why the version might not go at `at_ms`, if it might not. An audit's own judgement: it shares
    /// nothing with the one that let the version go.
    #[must_use]
    pub fn forbids(&self, at_ms: u64) -> Option<&'static str> {
        let Some(lock) = &self.lock else {
            return Some("a lock that could not be read");
        };
        if lock.legal_hold.unwrap_or(false) {
            return Some("a legal hold");
        }
        match lock.retention {
            Some(Retention { mode, until_ms }) if until_ms > at_ms => match (mode, self.bypassed) {
                (RetentionMode::Compliance, _) => Some("a retention in compliance mode"),
                (RetentionMode::Governance, false) => Some("a retention that was not bypassed"),
                (RetentionMode::Governance, true) => None,
            },
            _ => None,
        }
    }
}

/// Whether a request asks to go past governance. Whether it may is the edge's to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bypass {
    /// It does not.
    #[default]
    No,
    /// It does, and may.
    Governance,
}

impl VersionLock {
    /// Whether the version may not go at `now_ms`.
    #[must_use]
    pub fn is_locked(&self, now_ms: u64, bypass: Bypass) -> bool {
        match self {
            Self::Unreadable => true,
            Self::Known(state) if state.legal_hold == Some(true) => true,
            Self::Known(LockState {
                retention: Some(retention),
                ..
            }) => retention.holds(now_ms) && !retention.is_bypassed(bypass),
            Self::Known(_) => false,
        }
    }

    /// Whether `new` (`None`: none at all) may take the place of the version's retention.
    #[must_use]
    pub fn may_retain(&self, new: Option<&Retention>, now_ms: u64, bypass: Bypass) -> bool {
        let old = match self {
            Self::Unreadable => return false,
            Self::Known(state) => state.retention,
        };
        match (old, new) {
            (Some(old), _) if !old.holds(now_ms) => true,
            (Some(old), Some(new)) if new.mode == old.mode && new.until_ms >= old.until_ms => true,
            (Some(old), _) => old.is_bypassed(bypass),
            (None, _) => true,
        }
    }
}

impl Retention {
    /// Whether its time has not come.
    #[must_use]
    pub const fn holds(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }

    fn is_bypassed(&self, bypass: Bypass) -> bool {
        self.mode == RetentionMode::Governance && bypass == Bypass::Governance
    }
}

/// What a bucket gives to its new versions that ask for no retention themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRetention {
    /// How strictly.
    pub mode: RetentionMode,
    /// For how long from the version's making on.
    pub period: RetentionPeriod,
}

/// How long a default retention is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionPeriod {
    /// Days of 24 hours.
    Days(u32),
    /// Years, none shorter than the calendar's: 365 days each, and one more for each begun four.
    Years(u32),
}

/// A day.
const DAY_MS: u64 = 24 * 3600 * 1000;

impl DefaultRetention {
    /// The retention of a version that is made at `now_ms`.
    #[must_use]
    pub fn from(&self, now_ms: u64) -> Retention {
        let days = match self.period {
            RetentionPeriod::Days(days) => u64::from(days),
            RetentionPeriod::Years(years) => {
                let years = u64::from(years);
                years * 365 + years.div_ceil(4)
            }
        };
        Retention {
            mode: self.mode,
            until_ms: now_ms.saturating_add(days.saturating_mul(DAY_MS)),
        }
    }
}

/// Whether a bucket's versions can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BucketLock {
    /// They can't.
    #[default]
    Off,
    /// They can, for ever; new ones get this.
    On(Option<DefaultRetention>),
    /// Nobody knows: nothing is written into the bucket and no version of it removed.
    Unreadable,
}

/// A bucket's lock as its column holds it (as JSON).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBucketLock {
    default: Option<DefaultRetention>,
}

impl BucketLock {
    /// As its column holds it.
    pub(crate) fn stored(default: Option<DefaultRetention>) -> StoredLock {
        StoredLock(StoredBucketLock { default })
    }

    /// From its column.
    pub(crate) fn read(column: Option<&str>) -> Self {
        column.map_or(Self::Off, |text| {
            serde_json::from_str(text).map_or(Self::Unreadable, |stored: StoredBucketLock| {
                Self::On(stored.default)
            })
        })
    }
}

/// What is written into a bucket's column.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct StoredLock(StoredBucketLock);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    #[test]
    fn an_audit_judges_removals_as_the_lock_does() {
        let holds = [None, Some(false), Some(true)];
        let modes = [RetentionMode::Governance, RetentionMode::Compliance];
        let mut retentions = vec![None];
        for mode in modes {
            for until_ms in [NOW - 1, NOW, NOW + 1] {
                retentions.push(Some(Retention { mode, until_ms }));
            }
        }
        let mut locks = vec![VersionLock::Unreadable];
        for retention in retentions {
            locks.extend(holds.map(|legal_hold| {
                VersionLock::Known(LockState {
                    retention,
                    legal_hold,
                })
            }));
        }
        for lock in locks {
            for bypass in [Bypass::No, Bypass::Governance] {
                let kept = RemovedLock::of(&lock, bypass);
                let forbidden = kept.and_then(|kept| kept.forbids(NOW));
                let is_locked = lock.is_locked(NOW, bypass);
                assert_eq!(forbidden.is_some(), is_locked, "{lock:?} {bypass:?}");
            }
        }
        assert_eq!(RemovedLock::of(&VersionLock::default(), Bypass::No), None);
    }

    fn lock(mode: RetentionMode, until_ms: u64) -> VersionLock {
        VersionLock::Known(LockState {
            retention: Some(Retention { mode, until_ms }),
            legal_hold: None,
        })
    }

    #[test]
    fn a_version_is_locked_until_its_time_has_come() {
        use RetentionMode::{Compliance, Governance};
        for mode in [Governance, Compliance] {
            assert!(lock(mode, NOW + 1).is_locked(NOW, Bypass::No));
            assert!(!lock(mode, NOW).is_locked(NOW, Bypass::No));
        }
        assert!(!lock(Governance, NOW + 1).is_locked(NOW, Bypass::Governance));
        assert!(lock(Compliance, NOW + 1).is_locked(NOW, Bypass::Governance));
        assert!(VersionLock::Unreadable.is_locked(u64::MAX, Bypass::Governance));
        let held = VersionLock::Known(LockState {
            retention: None,
            legal_hold: Some(true),
        });
        assert!(held.is_locked(u64::MAX, Bypass::Governance));
        assert!(!VersionLock::default().is_locked(NOW, Bypass::No));
    }

    #[test]
    fn a_retention_only_grows_unless_governance_is_bypassed() {
        use RetentionMode::{Compliance, Governance};
        let new = |mode, until_ms| Retention { mode, until_ms };
        let may = |old: VersionLock, new: Option<Retention>, bypass| {
            old.may_retain(new.as_ref(), NOW, bypass)
        };
        for mode in [Governance, Compliance] {
            let old = lock(mode, NOW + 10);
            assert!(may(old, Some(new(mode, NOW + 10)), Bypass::No));
            assert!(may(old, Some(new(mode, NOW + 11)), Bypass::No));
            assert!(!may(old, Some(new(mode, NOW + 9)), Bypass::No));
            assert!(!may(old, None, Bypass::No));
            let expired = lock(mode, NOW);
            assert!(may(expired, None, Bypass::No));
            assert!(may(expired, Some(new(Governance, NOW + 1)), Bypass::No));
        }
        let governance = lock(Governance, NOW + 10);
        assert!(!may(
            governance,
            Some(new(Compliance, NOW + 99)),
            Bypass::No
        ));
        assert!(may(
            governance,
            Some(new(Compliance, NOW + 1)),
            Bypass::Governance
        ));
        assert!(may(governance, None, Bypass::Governance));
        let compliance = lock(Compliance, NOW + 10);
        assert!(!may(
            compliance,
            Some(new(Governance, NOW + 99)),
            Bypass::Governance
        ));
        assert!(!may(
            compliance,
            Some(new(Compliance, NOW + 9)),
            Bypass::Governance
        ));
        assert!(!may(compliance, None, Bypass::Governance));
        assert!(!may(
            VersionLock::Unreadable,
            Some(new(Compliance, u64::MAX)),
            Bypass::Governance
        ));
        assert!(may(
            VersionLock::default(),
            Some(new(Compliance, NOW + 1)),
            Bypass::No
        ));
    }

    #[test]
    fn a_default_is_never_shorter_than_the_calendar() {
        let of = |period| {
            let default = DefaultRetention {
                mode: RetentionMode::Governance,
                period,
            };
            default.from(0).until_ms / DAY_MS
        };
        assert_eq!(of(RetentionPeriod::Days(30)), 30);
        assert_eq!(of(RetentionPeriod::Years(1)), 366);
        assert_eq!(of(RetentionPeriod::Years(4)), 1461);
        assert_eq!(of(RetentionPeriod::Years(5)), 1827);
    }

    #[test]
    fn what_a_bucket_column_holds_is_read_back_or_counts_as_unreadable() {
        let default = DefaultRetention {
            mode: RetentionMode::Compliance,
            period: RetentionPeriod::Years(7),
        };
        for default in [None, Some(default)] {
            let text = serde_json::to_string(&BucketLock::stored(default)).unwrap();
            assert_eq!(BucketLock::read(Some(&text)), BucketLock::On(default));
        }
        assert_eq!(BucketLock::read(None), BucketLock::Off);
        for broken in [
            "",
            "{",
            "{}x",
            "{\"mode\":1}",
            "{\"default\":{\"mode\":\"x\"}}",
        ] {
            assert_eq!(
                BucketLock::read(Some(broken)),
                BucketLock::Unreadable,
                "{broken}"
            );
        }
    }
}
