//! A line that is written over and over while a run goes on: what was done, the rate of the last
//! moments, and when it will end. Only where standard error is a terminal.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::load::{Load, Until};

/// The line's own task.
pub(crate) struct Progress(Option<JoinHandle<()>>);

impl Progress {
    pub(crate) fn begin(name: &'static str, load: Arc<Load>, began: Instant) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        Self(Some(tokio::spawn(show(name, load, began))))
    }

    /// Wipes the line.
    pub(crate) fn end(self) {
        if let Some(task) = self.0 {
            task.abort();
            write(b"\r\x1b[K");
        }
    }
}

async fn show(name: &'static str, load: Arc<Load>, began: Instant) {
    let mut every = tokio::time::interval(EVERY);
    every.tick().await;
    let mut before = Seen::default();
    loop {
        every.tick().await;
        let now = Seen {
            after: began.elapsed(),
            done: load.counters.done.load(Ordering::Relaxed),
            bytes: load.counters.bytes.load(Ordering::Relaxed),
            failed: load.counters.failed.load(Ordering::Relaxed),
        };
        write(format!("\r{}\x1b[K", line(name, before, now, load.until)).as_bytes());
        before = now;
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    after: Duration,
    done: u64,
    bytes: u64,
    failed: u64,
}

fn line(name: &str, before: Seen, now: Seen, until: Until) -> String {
    let seconds = (now.after - before.after).as_secs_f64().max(1e-9);
    let rate = (now.done - before.done) as f64 / seconds;
    let mb_rate = (now.bytes - before.bytes) as f64 / seconds / 1e6;
    let mut line = format!("{name}: {} done, {rate:.0} op/s", now.done);
    if now.bytes > 0 {
        line.push_str(&format!(", {mb_rate:.1} MB/s"));
    }
    if now.failed > 0 {
        line.push_str(&format!(", {} FAILED", now.failed));
    }
    if let Some(share) = share_done(now, until) {
        line.push_str(&format!(", {:.0} %", share * 100.0));
        if share > 0.0 {
            let rest = now.after.as_secs_f64() * (1.0 - share) / share;
            line.push_str(&format!(", ends in {rest:.0} s"));
        }
    }
    line
}

/// How far it is: by count or by time, whichever will end it first.
fn share_done(now: Seen, until: Until) -> Option<f64> {
    let by_count = until
        .count
        .map(|count| (now.done + now.failed) as f64 / count.max(1) as f64);
    let by_time = until
        .duration
        .map(|duration| now.after.as_secs_f64() / duration.as_secs_f64());
    let share = match (by_count, by_time) {
        (Some(count), Some(time)) => count.max(time),
        (share, None) | (None, share) => share?,
    };
    Some(share.clamp(0.0, 1.0))
}

/// A terminal that is gone is no reason to stop.
fn write(bytes: &[u8]) {
    let mut terminal = std::io::stderr().lock();
    terminal
        .write_all(bytes)
        .and_then(|()| terminal.flush())
        .ok();
}

const EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(secs: u64, done: u64, bytes: u64, failed: u64) -> Seen {
        Seen {
            after: Duration::from_secs(secs),
            done,
            bytes,
            failed,
        }
    }

    #[test]
    fn a_line_says_rate_and_end() {
        let by_count = Until {
            count: Some(1000),
            duration: None,
        };
        let before = seen(4, 200, 200_000_000, 0);
        assert_eq!(
            line("put", before, seen(5, 250, 250_000_000, 0), by_count),
            "put: 250 done, 50 op/s, 50.0 MB/s, 25 %, ends in 15 s"
        );
        let by_time = Until {
            count: None,
            duration: Some(Duration::from_secs(10)),
        };
        assert_eq!(
            line("head", seen(4, 200, 0, 0), seen(5, 250, 0, 3), by_time),
            "head: 250 done, 50 op/s, 3 FAILED, 50 %, ends in 5 s"
        );
        assert_eq!(
            line("get", Seen::default(), seen(1, 0, 0, 0), by_count),
            "get: 0 done, 0 op/s, 0 %"
        );
    }

    #[test]
    fn the_nearer_end_counts() {
        let both = Until {
            count: Some(100),
            duration: Some(Duration::from_secs(10)),
        };
        assert_eq!(share_done(seen(2, 50, 0, 0), both), Some(0.5));
        assert_eq!(share_done(seen(8, 50, 0, 0), both), Some(0.8));
        assert_eq!(share_done(seen(20, 50, 0, 0), both), Some(1.0));
    }
}
