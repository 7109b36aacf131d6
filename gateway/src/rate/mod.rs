//! Rate limits: how many requests, and how many bytes, in a second are let through of a bucket or
//! by an access key.
//!
//! Only what an operator gave a limit has token buckets here: no name that a client sends is ever
//! remembered. A request is let in or refused when its head is known; what is let in is never
//! stopped half-way. The bytes of its body and of its answer's body are taken off as they flow, and
//! may overdraw: then the next request waits the debt off, which is two minutes long at most. A
//! refused request takes nothing, so that asking again and again does not shut oneself out. Each
//! process counts for itself. The model is the rate limits of Ceph's object gateway.

mod keeper;
mod metered;
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use holdfast_metadata::model::{NamedRateLimit, RateLimit, RateLimited};
use tokio::time::Instant;

pub use self::keeper::RateLimitKeeper;
pub use self::metered::Metered;
use self::tokens::Tokens;

/// All limits that this process holds requests to. Cheap to clone; clones share everything.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    set: Arc<RwLock<Set>>,
}

#[derive(Debug, Default)]
struct Set {
    buckets: HashMap<String, Arc<Limiter>>,
    keys: HashMap<String, Arc<Limiter>>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {}'s limit of {} is reached", whose(*of), what.as_str())]
pub struct Exceeded {
    /// Whose limit it is; where the bucket and the key must wait, the one that must wait longer.
    pub of: RateLimited,
    /// Which limit.
    pub what: Rate,
    /// How long until another request would be let in, if nobody else asks.
    pub wait: Duration,
}

impl Exceeded {
    /// The wait in whole seconds, and not 0: that would be an invitation.
    #[must_use]
    pub fn retry_after_seconds(&self) -> u64 {
        let begun = u64::from(self.wait.subsec_nanos() > 0);
        (self.wait.as_secs() + begun).max(1)
    }
}

const fn whose(of: RateLimited) -> &'static str {
    match of {
        RateLimited::Bucket => "bucket",
        RateLimited::Key => "access key",
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Requests.
    Requests,
    /// Bytes.
    Bytes,
}

impl Rate {
    /// In metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bytes => "bytes",
        }
    }
}

/// Takes off what a request that was let in moves. Empty for most.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    key: Option<Arc<Limiter>>,
    bucket: Option<Arc<Limiter>>,
}

/// What is left to one bucket or key.
#[derive(Debug)]
struct Limiter {
    left: Mutex<Left>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Left {
    requests: Option<Tokens>,
    bytes: Option<Tokens>,
}

impl RateLimits {
    /// Holds requests to these limits and no others. A limit that stays the same goes on from where
    /// it is; a changed one begins anew, without the old one's debt.
    pub fn set_all(&self, limits: Vec<NamedRateLimit>, now: Instant) {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *set);
        for NamedRateLimit { of, name, limit } in limits {
            let limiter = old.of(of).remove(&name).unwrap_or_default();
            limiter.left().set(limit, now);
            set.of(of).insert(name, limiter);
        }
    }

    /// Lets a request in, of whoever was found to have this key, or says how long to wait. What is
    /// refused takes nothing, of the other limit neither.
    ///
    /// # Errors
    /// [`Exceeded`]: answer 503.
    pub fn admit(
        &self,
        access_key: &str,
        bucket: Option<&str>,
        now: Instant,
    ) -> Result<Meters, Exceeded> {
        let meters = {
            let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
            Meters {
                key: set.keys.get(access_key).cloned(),
                bucket: bucket.and_then(|name| set.buckets.get(name).cloned()),
            }
        };
        meters.take_request(now)?;
        Ok(meters)
    }

    /// How many requests this limit has refused since it was set, or since the process began.
    #[must_use]
    pub fn refused(&self, of: RateLimited, name: &str) -> u64 {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let limiters = match of {
            RateLimited::Bucket => &set.buckets,
            RateLimited::Key => &set.keys,
        };
        limiters
            .get(name)
            .map_or(0, |limiter| limiter.refused.load(Ordering::Relaxed))
    }
}

impl Set {
    fn of(&mut self, of: RateLimited) -> &mut HashMap<String, Arc<Limiter>> {
        match of {
            RateLimited::Bucket => &mut self.buckets,
            RateLimited::Key => &mut self.keys,
        }
    }
}

impl Meters {
    /// Whether there is nothing to take anything off of.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.key.is_none() && self.bucket.is_none()
    }

    /// Takes bytes that have flowed.
    pub fn take_bytes(&self, count: u64, now: Instant) {
        for limiter in [&self.key, &self.bucket].into_iter().flatten() {
            if let Some(bytes) = &mut limiter.left().bytes {
                bytes.take(count, now);
            }
        }
    }

    /// Takes one request off of both limits, or nothing of either.
    fn take_request(&self, now: Instant) -> Result<(), Exceeded> {
        // Always in this order, so that no two requests wait for each other.
        let mut key = self.key.as_ref().map(|limiter| limiter.left());
        let mut bucket = self.bucket.as_ref().map(|limiter| limiter.left());
        let longest = [
            (RateLimited::Key, &mut key),
            (RateLimited::Bucket, &mut bucket),
        ]
        .into_iter()
        .filter_map(|(of, left)| {
            let (what, wait) = left.as_mut()?.wait(now)?;
            Some(Exceeded { of, what, wait })
        })
        .max_by_key(|exceeded| exceeded.wait);
        if let Some(exceeded) = longest {
            let limiter = match exceeded.of {
                RateLimited::Key => &self.key,
                RateLimited::Bucket => &self.bucket,
            };
            if let Some(limiter) = limiter {
                limiter.refused.fetch_add(1, Ordering::Relaxed);
            }
            return Err(exceeded);
        }
        for left in [&mut key, &mut bucket].into_iter().flatten() {
            if let Some(requests) = &mut left.requests {
                requests.take(1, now);
            }
        }
        Ok(())
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            left: Mutex::new(Left::default()),
            refused: AtomicU64::new(0),
        }
    }
}

impl Limiter {
    fn left(&self) -> MutexGuard<'_, Left> {
        // A balance is right in any state.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    fn set(&mut self, limit: RateLimit, now: Instant) {
        for (tokens, rate) in [
            (&mut self.requests, limit.requests_per_second),
            (&mut self.bytes, limit.bytes_per_second),
        ] {
            if tokens.as_ref().map(Tokens::per_second) != rate {
                *tokens = rate.map(|rate| Tokens::full(rate, now));
            }
        }
    }

    /// What must be waited for longest, if anything must.
    fn wait(&mut self, now: Instant) -> Option<(Rate, Duration)> {
        let of = |rate, tokens: &mut Option<Tokens>| Some((rate, tokens.as_mut()?.wait(now)?));
        [
            of(Rate::Requests, &mut self.requests),
            of(Rate::Bytes, &mut self.bytes),
        ]
        .into_iter()
        .flatten()
        .max_by_key(|(_, wait)| *wait)
    }
}

#[cfg(test)]
mod tests;
