//! This process's leases: taken by the runner before a worker's step, renewed beside all work, given
//! up at the end.
//!
//! Of several processes over one database one at a time runs a worker that changes anything. When
//! it dies, another takes over as soon as the lease has ended: within [`Terms::term`] of its last
//! renewal, and up to the database's deadline for a transaction (30 s) later where it was frozen in
//! the middle of one. What the frozen one still does is refused: see [`holdfast_metadata::lease`].
//!
//! The embedded database is one process's at a time. There leases are never waited for and hardly
//! ever renewed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_metadata::lease::{Fence, LeaseAnswer, TakeLease};
use holdfast_metadata::{Metadata, MetadataError};
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;
use uuid::Uuid;

/// How long leases last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// From one renewal on.
    pub term: Duration,
    /// How often they are renewed, and how soon somebody notices that one was given up.
    pub renew_every: Duration,
}

impl Terms {
    /// Over a database that others may use: three renewals may be lost before a lease is.
    pub const SHARED: Self = Self {
        term: Duration::from_secs(20),
        renew_every: Duration::from_secs(5),
    };

    /// Over the embedded one: nobody waits for their end, and each renewal is a commit.
    pub const EMBEDDED: Self = Self {
        term: Duration::from_secs(24 * 3600),
        renew_every: Duration::from_secs(8 * 3600),
    };

    fn term_ms(self) -> u64 {
        self.term.as_millis().try_into().unwrap_or(u64::MAX)
    }
}

/// The leases of a process. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub struct Leases(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metadata: Metadata,
    holder: Uuid,
    holder_name: String,
    terms: Terms,
    /// The leases of the processes that had the embedded database before are ended: once, and before
    /// any is taken.
    dead_are_ended: OnceCell<()>,
    all: Mutex<BTreeMap<&'static str, Lease>>,
}

/// One of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    name: &'static str,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    term: Mutex<Option<Term>>,
    lost: Notify,
}

#[derive(Debug, Clone)]
struct Term {
    fence: Fence,
    generation: u64,
    since_ms: u64,
}

/// Whose a lease is.
#[derive(Debug)]
pub(crate) enum Standing {
    /// This process's: changes go under this fence.
    Ours {
        fence: Fence,
        generation: u64,
        since_ms: u64,
    },
    /// Another's.
    Theirs {
        holder_name: String,
        since_ms: u64,
        ask_again: Duration,
    },
}

impl Leases {
    /// None are held yet. `holder_name` tells an operator who this process is.
    #[must_use]
    pub fn new(metadata: Metadata, holder_name: impl Into<String>) -> Self {
        let terms = if metadata.is_embedded() {
            Terms::EMBEDDED
        } else {
            Terms::SHARED
        };
        Self::begin(metadata, holder_name, terms, OnceCell::new())
    }

    /// The same with terms of one's own, over a database that others may use.
    #[must_use]
    pub fn with_terms(metadata: Metadata, holder_name: impl Into<String>, terms: Terms) -> Self {
        Self::begin(metadata, holder_name, terms, OnceCell::new_with(Some(())))
    }

    fn begin(
        metadata: Metadata,
        holder_name: impl Into<String>,
        terms: Terms,
        dead_are_ended: OnceCell<()>,
    ) -> Self {
        Self(Arc::new(Inner {
            metadata,
            holder: Uuid::new_v4(),
            holder_name: holder_name.into(),
            terms,
            dead_are_ended,
            all: Mutex::default(),
        }))
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    pub(crate) fn holder_name(&self) -> &str {
        &self.0.holder_name
    }

    pub(crate) fn renew_every(&self) -> Duration {
        self.0.terms.renew_every
    }

    /// The lease of a name, not yet taken.
    pub(crate) fn of(&self, name: &'static str) -> Lease {
        let mut all = self.all();
        let lease = all.entry(name).or_insert_with(|| Lease {
            name,
            state: Arc::default(),
        });
        lease.clone()
    }

    /// Keeps a lease that is held, or takes it if nobody has it.
    pub(crate) async fn settle(&self, lease: &Lease) -> Result<Standing, MetadataError> {
        let had = lease.term().clone();
        if let Some(term) = &had
            && term.fence.is_good()
        {
            return Ok(term.ours());
        }
        let dead_are_ended = &self.0.dead_are_ended;
        dead_are_ended
            .get_or_try_init(|| self.0.metadata.end_leases_of_the_dead())
            .await?;
        // A term counts from here: the database begins it later.
        let asked = Instant::now();
        let take = TakeLease {
            name: lease.name.to_owned(),
            holder: self.0.holder,
            holder_name: self.0.holder_name.clone(),
            kept: had.as_ref().map(|term| term.generation),
            term_ms: self.0.terms.term_ms(),
        };
        let good_until = asked + self.0.terms.term;
        match self.0.metadata.take_lease(take).await? {
            LeaseAnswer::Ours {
                generation,
                since_ms,
            } => {
                if let Some(had) = had {
                    if had.generation == generation {
                        had.fence.prolong(good_until);
                        return Ok(had.ours());
                    }
                    had.fence.let_go();
                }
                tracing::debug!(worker = lease.name, generation, "a worker's lease is taken");
                let term = Term {
                    fence: Fence::held(lease.name, generation, good_until),
                    generation,
                    since_ms,
                };
                *lease.term() = Some(term.clone());
                Ok(term.ours())
            }
            LeaseAnswer::Theirs {
                holder_name,
                since_ms,
                left_ms,
            } => {
                lease.lose();
                let left = Duration::from_millis(left_ms);
                Ok(Standing::Theirs {
                    holder_name,
                    since_ms,
                    ask_again: left.min(self.0.terms.renew_every).max(SOONEST),
                })
            }
        }
    }

    /// Renews what is held, and tells those whose lease was taken from them.
    pub(crate) async fn renew(&self) -> Result<(), MetadataError> {
        let held: Vec<(Lease, Term)> = {
            let all = self.all();
            let held = all.values().map(|lease| (lease, lease.term().clone()));
            held.filter_map(|(lease, term)| Some((lease.clone(), term?)))
                .collect()
        };
        if held.is_empty() {
            return Ok(());
        }
        let good_until = Instant::now() + self.0.terms.term;
        let term_ms = self.0.terms.term_ms();
        let renewed = self.0.metadata.renew_leases(self.0.holder, term_ms).await?;
        for (lease, term) in held {
            let is_ours = |(name, generation): &(String, u64)| {
                name == lease.name && *generation == term.generation
            };
            if renewed.iter().any(is_ours) {
                term.fence.prolong(good_until);
            } else if lease.generation() == Some(term.generation) {
                tracing::warn!(
                    worker = lease.name,
                    "another process took over a worker whose lease had ended"
                );
                lease.lose();
            }
        }
        Ok(())
    }

    /// Gives up all of them, so that nobody waits for their end.
    pub(crate) async fn end(&self) {
        self.all().values().for_each(Lease::lose);
        let end = self.0.metadata.end_leases(self.0.holder);
        match tokio::time::timeout(END_DEADLINE, end).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("the workers' leases end by themselves: {error}"),
            Err(_) => tracing::debug!("the workers' leases end by themselves"),
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, Lease>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Lets go of what is held.
    pub(crate) fn lose(&self) {
        if let Some(term) = self.term().take() {
            term.fence.let_go();
            self.state.lost.notify_one();
        }
    }

    /// Returns when it was lost since the last time that this returned.
    pub(crate) async fn lost(&self) {
        self.state.lost.notified().await;
    }

    /// Of the term that is held.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.term().as_ref().map(|term| term.generation)
    }

    fn term(&self) -> MutexGuard<'_, Option<Term>> {
        let term = self.state.term.lock();
        term.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Term {
    fn ours(&self) -> Standing {
        Standing::Ours {
            fence: self.fence.clone(),
            generation: self.generation,
            since_ms: self.since_ms,
        }
    }
}

/// How long a stop waits until its leases are given up.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// Whoever waits for a lease's end does not ask more often.
const SOONEST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
