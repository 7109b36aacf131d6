//! One token bucket: so much a second, a second's worth at once, and a debt that has an end.
//!
//! The balance is exact: it is counted in billionths of a token, of which each nanosecond adds as
//! many as there are tokens in a second. Time comes in with each call.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens that come by the second. A balance may be overdrawn: who takes is never stopped half-way,
/// but the next one waits.
#[derive(Debug)]
pub(super) struct Tokens {
    per_second: u64,
    /// In billionths of a token: what is there, or (negative) what is owed.
    balance: i128,
    /// Up to when `balance` has what came in.
    as_of: Instant,
}

impl Tokens {
    /// A full bucket.
    pub(super) fn full(per_second: u64, now: Instant) -> Self {
        Self {
            per_second,
            balance: seconds_worth(BURST_SECONDS, per_second),
            as_of: now,
        }
    }

    /// How many come in a second.
    pub(super) const fn per_second(&self) -> u64 {
        self.per_second
    }

    /// How long until there is a whole token; `None`: there is one now.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.fill(now);
        let wanting = ONE - self.balance;
        if wanting <= 0 {
            return None;
        }
        // Nobody sets a rate of 0; it would let nothing in, and be asked again after a second.
        let rate = i128::from(self.per_second.max(1));
        let nanos = (wanting + rate - 1) / rate;
        Some(Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX)))
    }

    /// Takes tokens, whether they are there or not.
    pub(super) fn take(&mut self, count: u64, now: Instant) {
        self.fill(now);
        let lowest = -seconds_worth(MAX_DEBT_SECONDS, self.per_second);
        self.balance = (self.balance - i128::from(count) * ONE).max(lowest);
    }

    fn fill(&mut self, now: Instant) {
        // Whoever looked at the clock before another and came here after it changes nothing.
        let passed = now.saturating_duration_since(self.as_of);
        self.as_of = self.as_of.max(now);
        // Longer than it takes to pay the longest debt makes no difference, and would overflow.
        let nanos = i128::try_from(passed.min(LONGEST_FILL).as_nanos()).unwrap_or(0);
        let most = seconds_worth(BURST_SECONDS, self.per_second);
        self.balance = (self.balance + nanos * i128::from(self.per_second)).min(most);
    }
}

/// What comes in so many seconds, in billionths of a token.
fn seconds_worth(seconds: u64, per_second: u64) -> i128 {
    i128::from(seconds) * i128::from(per_second) * ONE
}

/// A token, in what balances are counted in.
const ONE: i128 = 1_000_000_000;
/// What may be taken at once after a pause.
const BURST_SECONDS: u64 = 1;
/// The longest debt, as in Ceph's object gateway: one huge object must not shut its reader out for
/// hours. What is owed beyond it is let off.
const MAX_DEBT_SECONDS: u64 = 120;
/// From the deepest debt to a full bucket.
const LONGEST_FILL: Duration = Duration::from_secs(MAX_DEBT_SECONDS + BURST_SECONDS);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn exactly_a_seconds_worth_is_there_at_once() {
        let now = Instant::now();
        let mut tokens = Tokens::full(10, now);
        for taken in 0..10 {
            assert_eq!(tokens.wait(now), None, "{taken}");
            tokens.take(1, now);
        }
        let wait = tokens.wait(now).unwrap();
        assert_eq!(wait.as_millis(), 100);
        assert!(tokens.wait(now + Duration::from_millis(99)).is_some());
        assert_eq!(tokens.wait(now + wait), None);
        tokens.take(1, now + wait);
        assert!(tokens.wait(now + wait).is_some());
        // A pause fills it, and no more than that.
        let later = now + secs(3600);
        for _ in 0..10 {
            assert_eq!(tokens.wait(later), None);
            tokens.take(1, later);
        }
        assert!(tokens.wait(later).is_some());
    }

    #[test]
    fn a_debt_is_paid_off_and_has_an_end() {
        let now = Instant::now();
        let mut tokens = Tokens::full(1000, now);
        tokens.take(6000, now);
        // Five seconds' worth is owed, and one byte must be there.
        assert_eq!(tokens.wait(now).unwrap().as_millis(), 5001);
        assert!(tokens.wait(now + secs(5)).is_some());
        assert_eq!(tokens.wait(now + Duration::from_millis(5001)), None);
        for _ in 0..10 {
            tokens.take(u64::MAX, now + secs(6));
        }
        let wait = tokens.wait(now + secs(6)).unwrap();
        assert_eq!(wait.as_secs(), 120);
        assert_eq!(tokens.wait(now + secs(6) + wait), None);
    }

    #[test]
    fn a_clock_that_was_read_earlier_takes_nothing_back() {
        let now = Instant::now() + secs(100);
        let mut tokens = Tokens::full(1, now);
        tokens.take(1, now + secs(5));
        assert!(tokens.wait(now).is_some());
        assert_eq!(tokens.wait(now + secs(6)), None);
        tokens.take(1, now);
        assert!(tokens.wait(now + secs(6)).is_some());
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let now = Instant::now();
        for rate in [1, i64::MAX.unsigned_abs(), u64::MAX] {
            let mut tokens = Tokens::full(rate, now);
            for _ in 0..3 {
                tokens.take(u64::MAX, now);
                tokens.take(u64::MAX, now + secs(1 << 40));
            }
            tokens.wait(now + secs(1 << 40));
            assert_eq!(tokens.wait(now + secs(1 << 41)), None);
        }
    }

    proptest! {
        /// Whenever requests come, and however many: in no stretch of time are more let in than the
        /// rate allows in it, and the burst; and who waits as long as was said is let in.
        #[test]
        fn no_stretch_of_time_has_more_than_its_rate(
            rate in 1_u64..2000,
            gaps_micros in proptest::collection::vec(0_u64..400_000, 1..400),
        ) {
            let mut now = Instant::now();
            let mut tokens = Tokens::full(rate, now);
            let mut taken: Vec<Instant> = Vec::new();
            for gap in gaps_micros {
                now += Duration::from_micros(gap);
                match tokens.wait(now) {
                    None => {
                        tokens.take(1, now);
                        taken.push(now);
                    }
                    Some(wait) => prop_assert_eq!(tokens.wait(now + wait), None),
                }
                // The promise above moved the bucket's time on.
                now = now.max(tokens.as_of);
            }
            for (first, begin) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let nanos = end.duration_since(*begin).as_nanos();
                    let most = u128::from(rate) + nanos * u128::from(rate) / 1_000_000_000;
                    prop_assert!((last - first + 1) as u128 <= most);
                }
            }
        }

        /// Bodies of any length at any time, admitted while anything is left: nobody waits longer
        /// than the longest debt, and where no debt was let off the sum is what the rate allows,
        /// with the burst and what the last one overdrew.
        #[test]
        fn bytes_are_held_to_their_rate_over_time(
            rate in 1_u64..1_000_000,
            bodies in proptest::collection::vec((0_u64..3000, 0_u64..20), 1..200),
        ) {
            let began = Instant::now();
            let mut now = began;
            let mut tokens = Tokens::full(rate, now);
            let (mut sum, mut largest) = (0_u128, 0_u128);
            for (gap_ms, seconds_worth) in bodies {
                now += Duration::from_millis(gap_ms);
                match tokens.wait(now) {
                    Some(wait) => prop_assert!(wait <= secs(121)),
                    None => {
                        let len = seconds_worth * rate;
                        tokens.take(len, now);
                        sum += u128::from(len);
                        largest = largest.max(len.into());
                    }
                }
            }
            let nanos = now.duration_since(began).as_nanos();
            let allowed = u128::from(rate) * (nanos + 1_000_000_000) / 1_000_000_000;
            prop_assert!(sum <= allowed + largest, "{sum} of {allowed} and {largest}");
        }
    }
}
