//! The data path's one door: what all puts, gets and rebuilds of a process share.

use std::sync::{Arc, Mutex};

use holdfast_codec::Codec;
use holdfast_types::FragmentStore;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Sharer};
use crate::coder::Coder;
use crate::counters::{Counters, Counting};
use crate::failure::DebtObserver;
use crate::health::Health;

/// What may be decided about the data path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes of blocks that all requests may hold at once; half is for writes, half for reads, so
    /// that slow readers can't stop writers, and a copy through both can't wait for itself.
    pub memory_budget_bytes: u64,
}

impl Default for Config {
    /// 256 MiB: at 4+2 with blocks of 128 KiB, 56 big writes and 56 big reads at once.
    fn default() -> Self {
        Self {
            memory_budget_bytes: 256 << 20,
        }
    }
}

/// How much of the memory budget is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes that writes hold.
    pub writes_bytes: u64,
    /// Bytes that reads and rebuilds hold.
    pub reads_bytes: u64,
    /// Bytes that each of them may hold.
    pub limit_bytes: u64,
}

/// Blobs over a fragment store. Cheap to clone; all clones share one budget and what is known of
/// the drives.
#[derive(Clone)]
pub struct Blobs {
    pub(crate) shared: Arc<Shared>,
    /// Whose memory its calls take.
    pub(crate) sharer: Sharer,
}

pub(crate) struct Shared {
    pub(crate) store: Arc<dyn FragmentStore>,
    pub(crate) coder: Coder,
    pub(crate) writes: Budget,
    pub(crate) reads: Budget,
    pub(crate) health: Health,
    pub(crate) counting: Counting,
    pub(crate) observer: Arc<dyn DebtObserver>,
    pub(crate) rng: Mutex<StdRng>,
    limit_bytes: u64,
}

impl Blobs {
    /// Blobs whose fragments are in `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn FragmentStore>,
        codec: Arc<dyn Codec>,
        config: &Config,
        observer: Arc<dyn DebtObserver>,
    ) -> Self {
        Self::with_rng(store, codec, config, observer, rand::make_rng())
    }

    /// The same with a given source of chance, so that placements can be repeated.
    #[must_use]
    pub fn with_seed(
        store: Arc<dyn FragmentStore>,
        codec: Arc<dyn Codec>,
        config: &Config,
        observer: Arc<dyn DebtObserver>,
        seed: u64,
    ) -> Self {
        Self::with_rng(store, codec, config, observer, StdRng::seed_from_u64(seed))
    }

    fn with_rng(
        store: Arc<dyn FragmentStore>,
        codec: Arc<dyn Codec>,
        config: &Config,
        observer: Arc<dyn DebtObserver>,
        rng: StdRng,
    ) -> Self {
        let limit_bytes = config.memory_budget_bytes / 2;
        let shared = Shared {
            store,
            coder: Coder::new(codec),
            writes: Budget::new(limit_bytes),
            reads: Budget::new(limit_bytes),
            health: Health::default(),
            counting: Counting::default(),
            observer,
            rng: Mutex::new(rng),
            limit_bytes,
        };
        Self {
            shared: Arc::new(shared),
            sharer: Sharer::default(),
        }
    }

    /// A clone whose calls take their memory as `sharer`'s.
    #[must_use]
    pub fn on_behalf_of(&self, sharer: Sharer) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            sharer,
        }
    }

    /// What was done since the process began, for metrics.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counting.read()
    }

    /// Whether requests wait for memory that others hold. Cheap.
    #[must_use]
    pub fn memory_is_waited_for(&self) -> bool {
        self.shared.writes.is_waited_for() || self.shared.reads.is_waited_for()
    }

    /// How much memory requests hold now, for metrics.
    #[must_use]
    pub fn memory_use(&self) -> MemoryUse {
        MemoryUse {
            writes_bytes: self.shared.writes.used_bytes(),
            reads_bytes: self.shared.reads.used_bytes(),
            limit_bytes: self.shared.limit_bytes,
        }
    }
}
