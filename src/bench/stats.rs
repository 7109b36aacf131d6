//! What happened: counts, bytes and latencies by kind of operation, and failures by their code.

use std::collections::BTreeMap;
use std::time::Duration;

use super::connection::Failure;
use super::histogram::Histogram;

/// The kinds that are told apart in the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Put,
    Get,
    Range,
    List,
    Head,
    Delete,
    /// A whole upload in parts.
    Multipart,
    /// One part of it: its bytes are the upload's.
    Part,
}

/// What one worker, or all of them, did.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) kinds: BTreeMap<Kind, Done>,
    pub(crate) failures: BTreeMap<(Kind, String), Failed>,
}

/// Operations of one kind that went well.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) latency: Histogram,
    pub(crate) bytes: u64,
}

/// Failures of one kind and code.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) count: u64,
    /// The first one, in words.
    pub(crate) example: String,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Range => "range",
            Self::List => "list",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::Multipart => "multipart",
            Self::Part => "part",
        }
    }

    /// Whether it is a step of another operation, and not one of those that a run counts.
    pub(crate) fn is_within_another(self) -> bool {
        self == Self::Part
    }
}

impl Stats {
    pub(crate) fn record(&mut self, kind: Kind, took: Duration, bytes: u64) {
        let done = self.kinds.entry(kind).or_default();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        done.latency.record(took_us);
        done.bytes += bytes;
    }

    pub(crate) fn record_failure(&mut self, kind: Kind, failure: &Failure) {
        let failed = self
            .failures
            .entry((kind, failure.code().to_owned()))
            .or_insert_with(|| Failed {
                count: 0,
                example: failure.to_string(),
            });
        failed.count += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (kind, done) in other.kinds {
            let mine = self.kinds.entry(kind).or_default();
            mine.latency.merge(&done.latency);
            mine.bytes += done.bytes;
        }
        for (what, failed) in other.failures {
            match self.failures.get_mut(&what) {
                Some(mine) => mine.count += failed.count,
                None => drop(self.failures.insert(what, failed)),
            }
        }
    }

    /// Operations that went well, parts of others not counted.
    pub(crate) fn operations(&self) -> u64 {
        self.whole().map(|(_, done)| done.latency.count()).sum()
    }

    /// The objects' bytes that they moved.
    pub(crate) fn bytes(&self) -> u64 {
        self.whole().map(|(_, done)| done.bytes).sum()
    }

    /// Of these, the bytes that were sent to be kept.
    pub(crate) fn bytes_put(&self) -> u64 {
        self.whole()
            .filter(|(kind, _)| matches!(kind, Kind::Put | Kind::Multipart))
            .map(|(_, done)| done.bytes)
            .sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().map(|failed| failed.count).sum()
    }

    fn whole(&self) -> impl Iterator<Item = (&Kind, &Done)> {
        self.kinds
            .iter()
            .filter(|(kind, _)| !kind.is_within_another())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up_and_parts_do_not_count_twice() {
        let mut all = Stats::default();
        for worker in 0..3 {
            let mut stats = Stats::default();
            stats.record(Kind::Part, Duration::from_millis(5), 60);
            stats.record(Kind::Part, Duration::from_millis(5), 40);
            stats.record(Kind::Multipart, Duration::from_millis(12), 100);
            stats.record(Kind::Get, Duration::from_millis(1), 7);
            let failure = Failure::Wrong(format!("first of {worker}"));
            stats.record_failure(Kind::Get, &failure);
            stats.record_failure(Kind::Get, &failure);
            all.merge(stats);
        }
        assert_eq!((all.operations(), all.bytes()), (6, 321));
        assert_eq!((all.bytes_put(), all.failed()), (300, 6));
        assert_eq!(all.kinds[&Kind::Part].latency.count(), 6);
        let failed = &all.failures[&(Kind::Get, "(wrong answer)".to_owned())];
        assert_eq!((failed.count, failed.example.as_str()), (6, "first of 0"));
    }
}
