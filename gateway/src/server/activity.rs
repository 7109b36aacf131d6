//! What a connection is doing, and whether it may go on.
//!
//! Written by the socket and by each request, read by the connection's own ticking: hyper has a
//! timeout for heads, but none for a connection without requests that would not also cut the time
//! for a head, and none for a client that stops reading.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Version;
use tokio::time::Instant;

use super::limits::{Limits, MAX_UNPARSED_HEAD_BYTES};
use super::pace::{Judgement, Pace};

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go on.
    GoOn,
    /// It has had no request for too long: tell the client and close.
    Idle,
    /// The client holds it up: close.
    Stuck(&'static str),
}

/// What a connection is doing. Times are milliseconds since it began, plus one; 0 is "not".
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    requests_in_flight: AtomicUsize,
    /// When the last request ended, or the connection began.
    idle_since: AtomicU64,
    /// When the first byte came that is part of no request yet.
    head_since: AtomicU64,
    head_bytes: AtomicU64,
    /// How fast the client takes what we send.
    taking: Mutex<Pace>,
    /// Heads and bodies can't be told apart in the bytes of HTTP/2.
    is_h2: AtomicBool,
    unread_input: AtomicBool,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            requests_in_flight: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            head_bytes: AtomicU64::new(0),
            taking: Mutex::new(Pace::default()),
            is_h2: AtomicBool::new(false),
            unread_input: AtomicBool::new(false),
        }
    }

    /// How long there has been no request; `None` while there is one.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        if self.requests_in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let since = Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
        Some(self.began.elapsed().saturating_sub(since))
    }

    pub(super) fn request_began(&self, version: Version) {
        if version == Version::HTTP_2 {
            self.is_h2.store(true, Ordering::Relaxed);
        }
        self.requests_in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        self.head_bytes.store(0, Ordering::Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.requests_in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes input. The first of a connection tells which HTTP it is; where it comes in too small
    /// pieces for that, the first request does.
    pub(super) fn received(&self, bytes: &[u8]) {
        if self.requests_in_flight.load(Ordering::Relaxed) > 0 || self.is_h2() {
            return;
        }
        if self.head_since.load(Ordering::Relaxed) == 0 {
            if bytes.starts_with(H2_FIRST_BYTES) {
                self.is_h2.store(true, Ordering::Relaxed);
                return;
            }
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
        self.head_bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    /// Whether so much has come that no head can still be incomplete.
    pub(super) fn head_too_large(&self) -> bool {
        self.head_bytes.load(Ordering::Relaxed) > MAX_UNPARSED_HEAD_BYTES
    }

    pub(super) fn write_blocked(&self) {
        self.taking().waiting(Instant::now());
    }

    pub(super) fn wrote(&self, bytes: u64) {
        self.taking().moved(Instant::now(), bytes);
    }

    /// Notes that a request was answered while input of it may still come.
    pub(super) fn leaves_input_unread(&self) {
        self.unread_input.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread_input(&self) -> bool {
        self.unread_input.load(Ordering::Relaxed)
    }

    pub(super) fn verdict(&self, limits: &Limits) -> Verdict {
        let since = |time: &AtomicU64, limit: Duration| match time.load(Ordering::Relaxed) {
            0 => false,
            then => self.now().saturating_sub(then) >= millis(limit),
        };
        let slowest = limits.slowest_taker();
        if self.taking().judge(Instant::now(), slowest) == Some(Judgement::TooSlow) {
            return Verdict::Stuck("the client takes the answer too slowly");
        }
        if self.requests_in_flight.load(Ordering::Relaxed) > 0 {
            return Verdict::GoOn;
        }
        if since(&self.head_since, limits.head_timeout) {
            return Verdict::Stuck("a request's head takes too long");
        }
        if since(&self.idle_since, limits.idle_timeout) {
            return Verdict::Idle;
        }
        Verdict::GoOn
    }

    fn taking(&self) -> MutexGuard<'_, Pace> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_h2(&self) -> bool {
        self.is_h2.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed()) + 1
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

/// Of HTTP/2's preface. No method of HTTP/1.1 begins so.
const H2_FIRST_BYTES: &[u8] = b"PRI";
