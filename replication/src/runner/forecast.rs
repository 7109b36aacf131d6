//! How long a piece of work will take, from how long it took so far.

use std::time::{Duration, Instant};

use crate::worker::Advance;

/// Watches one worker advance. A piece of work that begins anew begins a new forecast.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    began: Option<(Instant, u64)>,
    last_done: u64,
}

impl Forecast {
    /// How long it will take from now on; `None` while nothing is known.
    pub(super) fn after(&mut self, advance: Advance) -> Option<Duration> {
        self.at(Instant::now(), advance)
    }

    fn at(&mut self, now: Instant, advance: Advance) -> Option<Duration> {
        let is_new = advance.done < self.last_done || advance.done >= advance.total;
        self.last_done = advance.done;
        if advance.done >= advance.total {
            self.began = None;
            return Some(Duration::ZERO);
        }
        let (began, from) = match self.began {
            Some(began) if !is_new => began,
            _ => *self.began.insert((now, advance.done)),
        };
        let done = advance.done - from;
        if done == 0 {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "a forecast is no exact number")]
        let left = (advance.total - advance.done) as f64 / done as f64;
        Duration::try_from_secs_f64(now.duration_since(began).as_secs_f64() * left).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_a_minute_for_a_third_takes_two_more() {
        let advance = |done| Advance {
            done,
            total: 300,
            unit: "bytes",
        };
        let mut forecast = Forecast::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(forecast.at(at(0), advance(0)), None);
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        assert_eq!(forecast.at(at(60), advance(100)), minutes(2));
        assert_eq!(forecast.at(at(120), advance(200)), minutes(1));
        assert_eq!(forecast.at(at(130), advance(300)), minutes(0));
        // The next piece of work knows nothing of this one, and one that is taken up in its middle
        // does not count what was done before.
        assert_eq!(forecast.at(at(500), advance(150)), None);
        assert_eq!(forecast.at(at(560), advance(200)), minutes(2));
    }
}
