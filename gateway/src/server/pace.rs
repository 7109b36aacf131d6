//! How fast something moves while we wait for it.
//!
//! Only waiting counts: what moves slowly because we are slow is not the other side's fault. Too
//! slow is who moves nothing for a while, or less than a minimum rate over a window of waiting.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::{PRESSED_BYTES_PER_SEC, PRESSED_WINDOW};

/// What is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slowest {
    /// How long nothing may move.
    pub(super) idle_timeout: Duration,
    /// Over how long the rate is measured.
    pub(super) window: Duration,
    /// The least that must move, on average, in a window.
    pub(super) bytes_per_sec: u64,
}

impl Slowest {
    /// While others wait for memory.
    pub(super) const fn under_pressure() -> Self {
        Self {
            idle_timeout: PRESSED_WINDOW,
            window: PRESSED_WINDOW,
            bytes_per_sec: PRESSED_BYTES_PER_SEC,
        }
    }

    fn window_bytes(self) -> u64 {
        let window_ms = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        self.bytes_per_sec.saturating_mul(window_ms) / 1000
    }
}

/// Watches one direction of one exchange.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Since when nothing has moved; `None` while we do not wait.
    idle_since: Option<Instant>,
    /// From when on waiting is not yet in `waited`; `None` while we do not wait.
    counted_from: Option<Instant>,
    /// In this window: how long we waited, and what moved.
    waited: Duration,
    window_bytes: u64,
}

/// What there is to say of someone we wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Too slow.
    TooSlow,
    /// Good until then.
    GoodUntil(Instant),
}

impl Pace {
    /// We wait, from now on if we did not before.
    pub(super) fn waiting(&mut self, now: Instant) {
        self.idle_since.get_or_insert(now);
        self.counted_from.get_or_insert(now);
    }

    /// Something moved: we do not wait any more.
    pub(super) fn moved(&mut self, now: Instant, bytes: u64) {
        if let Some(from) = self.counted_from.take() {
            self.waited += now.duration_since(from);
        }
        self.idle_since = None;
        self.window_bytes += bytes;
    }

    /// Judges, if we wait.
    pub(super) fn judge(&mut self, now: Instant, slowest: Slowest) -> Option<Judgement> {
        let (idle_since, counted_from) = (self.idle_since?, self.counted_from?);
        let idle_at = idle_since + slowest.idle_timeout;
        let mut waited = self.waited + now.duration_since(counted_from);
        if now >= idle_at {
            return Some(Judgement::TooSlow);
        }
        if waited >= slowest.window {
            if self.window_bytes < slowest.window_bytes() {
                return Some(Judgement::TooSlow);
            }
            waited = Duration::ZERO;
            self.waited = Duration::ZERO;
            self.counted_from = Some(now);
            self.window_bytes = 0;
        }
        let window_ends = now + (slowest.window - waited);
        Some(Judgement::GoodUntil(idle_at.min(window_ends)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOWEST: Slowest = Slowest {
        idle_timeout: Duration::from_secs(60),
        window: Duration::from_secs(60),
        bytes_per_sec: 1024,
    };

    /// A pace whose time is told.
    struct Told {
        pace: Pace,
        now: Instant,
    }

    impl Told {
        fn new() -> Self {
            let mut told = Self {
                pace: Pace::default(),
                now: Instant::now(),
            };
            told.pace.waiting(told.now);
            told
        }

        fn after(&mut self, ms: u64) -> &mut Self {
            self.now += Duration::from_millis(ms);
            self
        }

        fn moved(&mut self, bytes: u64) -> &mut Self {
            self.pace.moved(self.now, bytes);
            self
        }

        fn waiting(&mut self) {
            self.pace.waiting(self.now);
        }

        fn too_slow(&mut self) -> bool {
            self.pace.judge(self.now, SLOWEST) == Some(Judgement::TooSlow)
        }
    }

    #[test]
    fn who_moves_nothing_is_too_slow_after_the_idle_time() {
        let mut told = Told::new();
        assert!(!told.after(59_999).too_slow());
        assert!(told.after(1).too_slow());
    }

    #[test]
    fn one_byte_below_the_rate_is_too_slow_and_the_rate_is_not() {
        for (bytes, expected) in [(61_439, true), (61_440, false)] {
            let mut told = Told::new();
            told.after(30_000).moved(bytes).waiting();
            assert_eq!(told.after(30_000).too_slow(), expected, "{bytes}");
        }
    }

    #[test]
    fn time_in_which_we_do_not_wait_counts_for_nobody() {
        let mut told = Told::new();
        told.after(50_000).moved(1).after(3_600_000);
        assert_eq!(told.pace.judge(told.now, SLOWEST), None);
        told.waiting();
        assert!(!told.after(9_999).too_slow());
        assert!(told.after(1).too_slow(), "60 s of waiting, for 1 byte");
    }

    #[test]
    fn a_good_window_does_not_pay_for_the_next() {
        let mut told = Told::new();
        told.after(30_000).moved(1 << 30).waiting();
        assert!(!told.after(30_000).too_slow());
        told.moved(1).waiting();
        assert!(!told.after(59_999).too_slow());
        assert!(told.after(1).too_slow());
    }
}
