//! Latencies in log-linear buckets: any percentile within 1 %, in a few KiB, and mergeable.
//!
//! Below 128 µs every microsecond has its bucket; above, each doubling is cut into 64, as in
//! HdrHistogram (Gil Tene), whose range settings we do not need.

/// Counts of durations in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    /// As long as the largest value needs.
    counts: Vec<u64>,
    count: u64,
    sum_us: u64,
    min_us: u64,
    max_us: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, value_us: u64) {
        let bucket = bucket_of(value_us);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.min_us = if self.count == 0 {
            value_us
        } else {
            self.min_us.min(value_us)
        };
        self.max_us = self.max_us.max(value_us);
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(value_us);
    }

    /// Adds all of `other`'s counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.min_us = if self.count == 0 {
            other.min_us
        } else {
            self.min_us.min(other.min_us)
        };
        self.max_us = self.max_us.max(other.max_us);
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn min_us(&self) -> u64 {
        self.min_us
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.max_us
    }

    pub(crate) fn mean_us(&self) -> u64 {
        self.sum_us.checked_div(self.count).unwrap_or(0)
    }

    /// The value that a share of `per_mille` thousandths of all values do not exceed: the upper
    /// end of its bucket, and never more than the largest value. 0 if there is none.
    pub(crate) fn percentile_us(&self, per_mille: u64) -> u64 {
        let rank = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_end_of(bucket).min(self.max_us);
            }
        }
        self.max_us
    }
}

fn bucket_of(value_us: u64) -> usize {
    if value_us < FIRST_EXACT {
        return value_us as usize;
    }
    // The doubling that the value lies in; FIRST_EXACT itself is in doubling 1.
    let doubling = (value_us / FIRST_EXACT).ilog2() + 1;
    let within = (value_us >> doubling) - HALF;
    FIRST_EXACT as usize + (doubling as usize - 1) * HALF as usize + within as usize
}

fn upper_end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FIRST_EXACT {
        return bucket;
    }
    let doubling = (bucket - FIRST_EXACT) / HALF + 1;
    let within = (bucket - FIRST_EXACT) % HALF;
    let width = 1_u128 << doubling;
    let end = (u128::from(HALF + within) + 1) * width - 1;
    u64::try_from(end).unwrap_or(u64::MAX)
}

/// Values below have a bucket each.
const FIRST_EXACT: u64 = 128;
/// Buckets to a doubling.
const HALF: u64 = FIRST_EXACT / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_lie_side_by_side_and_are_narrow() {
        let mut before = None;
        for value in (0..100_000).chain((17..63).map(|bit| (1_u64 << bit) - 1)) {
            let bucket = bucket_of(value);
            let end = upper_end_of(bucket);
            assert!(end >= value, "{value} lies in its bucket");
            assert!(end - value <= value / 64, "{value} is told as {end}");
            assert!(before.is_none_or(|before| before <= bucket));
            before = Some(bucket);
            if value < 1 << 62 {
                assert_eq!(bucket_of(end), bucket, "{end}");
                assert_eq!(bucket_of(end + 1), bucket + 1, "{end} ends it");
            }
        }
        assert_eq!(upper_end_of(bucket_of(u64::MAX)), u64::MAX);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::default();
        let mut values: Vec<u64> = (0..10_000_u64).map(|n| n * n % 1_000_003).collect();
        for &value in &values {
            histogram.record(value);
        }
        values.sort_unstable();
        for per_mille in [1, 10, 500, 900, 990, 999, 1000] {
            let exact = values[(per_mille as usize * values.len()).div_ceil(1000) - 1];
            let told = histogram.percentile_us(per_mille);
            assert!(
                told >= exact && told - exact <= exact / 64,
                "{told}, {exact}"
            );
        }
        assert_eq!(histogram.min_us(), values[0]);
        assert_eq!(histogram.max_us(), values[9_999]);
        assert_eq!(histogram.mean_us(), values.iter().sum::<u64>() / 10_000);
    }

    #[test]
    fn merged_is_as_if_recorded_together() {
        let (mut one, mut other, mut both) = Default::default();
        for value in 0..5_000_u64 {
            let value = value * 7919 % 100_000 + 3;
            let half: &mut Histogram = if value % 3 == 0 { &mut one } else { &mut other };
            half.record(value);
            Histogram::record(&mut both, value);
        }
        let mut merged = Histogram::default();
        merged.merge(&one);
        merged.merge(&Histogram::default());
        merged.merge(&other);
        assert_eq!(merged.counts, both.counts);
        assert_eq!(
            (merged.count(), merged.min_us(), merged.max_us()),
            (both.count(), both.min_us(), both.max_us())
        );
    }

    #[test]
    fn nothing_recorded_is_nothing_told() {
        let empty = Histogram::default();
        assert_eq!((empty.percentile_us(990), empty.mean_us()), (0, 0));
    }
}
