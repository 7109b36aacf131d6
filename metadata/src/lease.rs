//! Leases of workers: of several processes over one database, one at a time works at a thing.
//!
//! Taking a lease gives it a *generation* that it never had before. Whatever a worker changes it
//! changes through a handle that is under its [`Fence`](Metadata::under): each command locks the
//! lease's row and requires the generation in its own transaction, so that one who was frozen, and
//! finds that another has taken over meanwhile, changes nothing any more. How long a lease lasts is
//! told by the database's clock; that a process may be wrong about it costs nothing but work. (The
//! idea is Lamport's and Chubby's: a lock that can expire is safe only with a fencing token.)

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use uuid::Uuid;

#[cfg(doc)]
use crate::Metadata;

/// Asks for a lease, or to keep one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeLease {
    /// What is worked at.
    pub name: String,
    /// Who asks: a process's own id, never used by another.
    pub holder: Uuid,
    /// Who that is, in words for an operator.
    pub holder_name: String,
    /// The generation that it had and may have still.
    pub kept: Option<u64>,
    /// How long it lasts from now on, unless it is renewed.
    pub term_ms: u64,
}

/// Whose a lease is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The asker's.
    Ours {
        /// It is higher than ever before, unless it was kept.
        generation: u64,
        /// Since when, by the database's clock.
        since_ms: u64,
    },
    /// Another's.
    Theirs {
        /// Who that is, in words for an operator.
        holder_name: String,
        /// Since when, by the database's clock.
        since_ms: u64,
        /// How long it lasts unless it is renewed.
        left_ms: u64,
    },
}

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLease {
    /// What is worked at.
    pub name: String,
    /// How often it was taken.
    pub generation: u64,
    /// Who took it last.
    pub holder: Uuid,
    /// Who that is, in words for an operator.
    pub holder_name: String,
    /// Since when, by the database's clock.
    pub since_ms: u64,
    /// How long it lasts unless it is renewed; 0: it is free.
    pub left_ms: u64,
}

/// What commands of a handle are under: one term of a lease, from its taking to its loss. A new term
/// has a new fence, so that what was begun in an earlier one can't go on in it. All clones are one.
#[derive(Debug, Clone)]
pub struct Fence(Arc<State>);

#[derive(Debug)]
struct State {
    name: String,
    held: Mutex<Option<Held>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    generation: u64,
    good_until: Instant,
}

impl Fence {
    /// Of a lease that is not held yet: lets nothing through.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(Arc::new(State {
            name: name.into(),
            held: Mutex::new(None),
        }))
    }

    /// What is worked at.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Of a lease that was taken as `generation`. `good_until` is when it ends at the earliest:
    /// counted from before it was asked for.
    #[must_use]
    pub fn held(name: impl Into<String>, generation: u64, good_until: Instant) -> Self {
        let fence = Self::new(name);
        *fence.lock() = Some(Held {
            generation,
            good_until,
        });
        fence
    }

    /// It was renewed: it ends at `good_until` at the earliest. Nothing comes back that was let go.
    pub fn prolong(&self, good_until: Instant) {
        if let Some(held) = self.lock().as_mut() {
            held.good_until = good_until;
        }
    }

    /// From now on nothing is let through.
    pub fn let_go(&self) {
        *self.lock() = None;
    }

    /// The generation that commands are of.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.lock().map(|held| held.generation)
    }

    /// Whether nobody else can have taken the lease yet, as far as this process can tell without
    /// asking: what can't be fenced, such as a message to others, is begun only while it is so. One
    /// that was frozen learns here, at once, that its time has passed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lock()
            .is_some_and(|held| Instant::now() < held.good_until)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fence_is_good_for_its_term_and_all_clones_are_one() {
        let term = Duration::from_secs(20);
        assert_eq!(Fence::new("sweep").generation(), None);
        let fence = Fence::held("sweep", 3, Instant::now() + term);
        let other = fence.clone();
        tokio::time::advance(Duration::from_millis(19_999)).await;
        assert_eq!((other.generation(), other.is_good()), (Some(3), true));
        // It may be ours still, but that is for the database to say.
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((other.generation(), other.is_good()), (Some(3), false));
        fence.prolong(Instant::now() + term);
        assert!(other.is_good());
        fence.let_go();
        fence.prolong(Instant::now() + term);
        assert_eq!((other.generation(), other.is_good()), (None, false));
    }
}
