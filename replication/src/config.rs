//! What an operator may set about the workers.
//!
//! Few things: a constant with a reason beats a knob. The grace before removed bytes leave their
//! drives is here because tests need it short, and because some operators want it longer.

use holdfast_metadata::samples::{SampleRule, Share};
use serde::{Deserialize, Serialize};

/// The `[worker]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// How long the bytes of a removed object stay on their drives, so that no reader who began
    /// before the removal loses them. Shorter than the longest request is for tests only.
    pub garbage_grace_seconds: u64,
    /// How often the placements are compared with what lies on the drives.
    pub inventory_period_seconds: u64,
    /// A fragment that the metadata does not know is judged when its blob's id is so old. Shorter
    /// than the longest request is for tests only: the write that it belongs to would fail.
    pub unknown_age_seconds: u64,
    /// How long a fragment that nothing needs lies untouched before it is deleted.
    pub quarantine_seconds: u64,
    /// How long a drive may be missing or faulty before what it holds is made anew on others. Too
    /// short, and a drive that is unplugged for a moment costs a repair of all that it holds.
    pub drive_gone_seconds: u64,
    /// Fragments are moved to a drive that has less than its share only if it lacks at least so
    /// many bytes: less is not worth it.
    pub rebalance_least_bytes: u64,
    /// How long a day is to lifecycle rules, where it is not a day: for tests, and for those who
    /// try rules out. Objects go early.
    pub lifecycle_day_seconds: Option<u64>,
    /// Which share of all writes is read again later, 0 to 1.
    pub sample_share: Share,
    /// How long after a write that is, three times, in rising order.
    pub sample_after_seconds: [u64; 3],
    /// Of which share of all blobs parity is compared with data in each period, 0 to 1.
    pub parity_share: Share,
    /// See `parity_share`.
    pub parity_period_seconds: u64,
    /// How long a webhook's target refuses an event before it is put aside as a dead letter. Too
    /// short, and a deployment that went wrong costs letters that a person has to look at.
    pub webhook_patience_seconds: u64,
}

impl WorkerConfig {
    /// Ten minutes: a reboot or a changed cable is no loss.
    pub const DEFAULT_DRIVE_GONE_SECONDS: u64 = 600;
    /// 1 GiB: seconds of a drive's time.
    pub const DEFAULT_REBALANCE_LEAST_BYTES: u64 = 1 << 30;
    /// One day.
    pub const DEFAULT_INVENTORY_PERIOD_SECONDS: u64 = 24 * 3600;
    /// One day: far longer than any request.
    pub const DEFAULT_UNKNOWN_AGE_SECONDS: u64 = 24 * 3600;
    /// One week: long enough for a person to notice that something is wrong.
    pub const DEFAULT_QUARANTINE_SECONDS: u64 = 7 * 24 * 3600;

    /// One hour: the longest that a request may take.
    pub const DEFAULT_GARBAGE_GRACE_SECONDS: u64 =
        holdfast_metadata::command::GARBAGE_GRACE.as_secs();

    /// A day.
    pub const DAY_SECONDS: u64 = 24 * 3600;

    /// 366 days: more than that is a mistake in the unit.
    pub const MAX_SECONDS: u64 = 366 * 24 * 3600;

    /// 14 days, as the scrub.
    pub const DEFAULT_PARITY_PERIOD_SECONDS: u64 = 14 * 24 * 3600;

    /// One hour: long enough for a deployment that went wrong to be noticed and undone.
    pub const DEFAULT_WEBHOOK_PATIENCE_SECONDS: u64 = 3600;

    /// Which writes are read again, and when.
    #[must_use]
    pub const fn sample_rule(&self) -> SampleRule {
        SampleRule {
            share: self.sample_share,
            after_seconds: self.sample_after_seconds,
        }
    }

    /// Checks what the types can't.
    ///
    /// # Errors
    /// Which field is wrong, and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (field, seconds) in [
            ("garbage_grace_seconds", self.garbage_grace_seconds),
            ("drive_gone_seconds", self.drive_gone_seconds),
            ("inventory_period_seconds", self.inventory_period_seconds),
            ("unknown_age_seconds", self.unknown_age_seconds),
            ("quarantine_seconds", self.quarantine_seconds),
            ("sample_after_seconds", self.sample_after_seconds[2]),
            ("parity_period_seconds", self.parity_period_seconds),
            ("webhook_patience_seconds", self.webhook_patience_seconds),
        ] {
            if seconds > Self::MAX_SECONDS {
                return Err(ConfigError {
                    field,
                    reason: format!("{seconds} is more than a year ({})", Self::MAX_SECONDS),
                });
            }
        }
        if !self.sample_after_seconds.is_sorted() {
            return Err(ConfigError {
                field: "sample_after_seconds",
                reason: "the three times are not in rising order".to_owned(),
            });
        }
        match self.lifecycle_day_seconds {
            None | Some(1..=Self::DAY_SECONDS) => Ok(()),
            Some(seconds) => Err(ConfigError {
                field: "lifecycle_day_seconds",
                reason: format!("{seconds} is not between 1 and {}", Self::DAY_SECONDS),
            }),
        }
    }

    /// What is allowed but hardly wanted in production: (field, why).
    #[must_use]
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        // No request takes longer than the default grace.
        let longest = Self::DEFAULT_GARBAGE_GRACE_SECONDS;
        let mut warnings = Vec::new();
        if self.garbage_grace_seconds < longest {
            warnings.push((
                "garbage_grace_seconds",
                format!(
                    "{} is shorter than the longest request ({longest}): a slow reader may lose \
                     the bytes of an object that is removed while it reads",
                    self.garbage_grace_seconds
                ),
            ));
        }
        if self.unknown_age_seconds < longest {
            warnings.push((
                "unknown_age_seconds",
                format!(
                    "{} is shorter than the longest request ({longest}): a slow write may fail \
                     because its fragments are taken for left over",
                    self.unknown_age_seconds
                ),
            ));
        }
        if let Some(seconds) = self.short_lifecycle_day() {
            warnings.push((
                "lifecycle_day_seconds",
                format!(
                    "a lifecycle day lasts {seconds} seconds: objects are removed {} times as \
                     early as their rules say",
                    Self::DAY_SECONDS / seconds
                ),
            ));
        }
        warnings
    }

    /// How long a lifecycle day is, where it is shorter than a day.
    #[must_use]
    pub fn short_lifecycle_day(&self) -> Option<u64> {
        self.lifecycle_day_seconds
            .filter(|seconds| *seconds > 0 && *seconds < Self::DAY_SECONDS)
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            garbage_grace_seconds: Self::DEFAULT_GARBAGE_GRACE_SECONDS,
            drive_gone_seconds: Self::DEFAULT_DRIVE_GONE_SECONDS,
            rebalance_least_bytes: Self::DEFAULT_REBALANCE_LEAST_BYTES,
            inventory_period_seconds: Self::DEFAULT_INVENTORY_PERIOD_SECONDS,
            unknown_age_seconds: Self::DEFAULT_UNKNOWN_AGE_SECONDS,
            quarantine_seconds: Self::DEFAULT_QUARANTINE_SECONDS,
            lifecycle_day_seconds: None,
            sample_share: SampleRule::default().share,
            sample_after_seconds: SampleRule::default().after_seconds,
            parity_share: Share::PERCENT,
            parity_period_seconds: Self::DEFAULT_PARITY_PERIOD_SECONDS,
            webhook_patience_seconds: Self::DEFAULT_WEBHOOK_PATIENCE_SECONDS,
        }
    }
}

/// A value that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_an_hour_and_says_nothing() {
        let config = WorkerConfig::default();
        assert_eq!(config.garbage_grace_seconds, 3600);
        assert_eq!(config.check(), Ok(()));
        assert!(config.warnings().is_empty());
    }

    #[test]
    fn a_short_grace_is_allowed_and_warned_of() {
        let config = WorkerConfig {
            garbage_grace_seconds: 0,
            ..WorkerConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.warnings().len(), 1);
    }

    #[test]
    fn an_age_that_a_write_may_reach_is_warned_of() {
        let config = WorkerConfig {
            unknown_age_seconds: 60,
            ..WorkerConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.warnings()[0].0, "unknown_age_seconds");
    }

    #[test]
    fn a_short_lifecycle_day_is_warned_of() {
        let of = |seconds| WorkerConfig {
            lifecycle_day_seconds: Some(seconds),
            ..WorkerConfig::default()
        };
        assert_eq!(of(10).check(), Ok(()));
        assert_eq!(of(10).warnings()[0].0, "lifecycle_day_seconds");
        assert!(of(10).warnings()[0].1.contains("8640 times as early"));
        assert!(of(86_400).warnings().is_empty(), "that is a day");
        assert_eq!(of(0).check().unwrap_err().field, "lifecycle_day_seconds");
        assert!(of(86_401).check().is_err());
    }

    #[test]
    fn looks_at_samples_are_in_the_order_of_time() {
        let config = WorkerConfig {
            sample_after_seconds: [60, 30, 90],
            ..WorkerConfig::default()
        };
        assert_eq!(config.check().unwrap_err().field, "sample_after_seconds");
        assert_eq!(WorkerConfig::default().sample_rule(), SampleRule::default());
    }

    #[test]
    fn a_grace_of_years_is_refused() {
        let config = WorkerConfig {
            garbage_grace_seconds: u64::MAX,
            ..WorkerConfig::default()
        };
        assert_eq!(config.check().unwrap_err().field, "garbage_grace_seconds");
    }
}
