//! Lifecycle rules that were read before, so that a write into a bucket with rules costs no
//! statement more than one into a bucket without.
//!
//! A generation is a random number that is given to one set of rules and never to another, so what
//! is remembered under it stays true for ever, even if the transaction it was read in is rolled
//! back. Which generation a bucket has is read each time, under its lock.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::lifecycle::{LifecycleDay, LifecycleRules};

/// See the module.
#[derive(Debug)]
pub(crate) struct RuleCache {
    day: LifecycleDay,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_generation: HashMap<u64, Arc<LifecycleRules>>,
    rules: usize,
}

impl RuleCache {
    /// Nothing remembered yet; a day is as long as `day`.
    pub(crate) fn new(day: LifecycleDay) -> Self {
        Self {
            day,
            known: RwLock::default(),
        }
    }

    /// How long a day is.
    pub(crate) const fn day(&self) -> LifecycleDay {
        self.day
    }

    /// The rules of a generation, if they are remembered.
    pub(crate) fn get(&self, generation: u64) -> Option<Arc<LifecycleRules>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_generation.get(&generation).cloned()
    }

    /// Remembers the rules of a generation.
    pub(crate) fn remember(&self, generation: u64, rules: LifecycleRules) -> Arc<LifecycleRules> {
        let rules = Arc::new(rules);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.rules + rules.0.len() > MAX_RULES || known.by_generation.len() >= MAX_GENERATIONS {
            *known = Known::default();
        }
        known.rules += rules.0.len();
        known.by_generation.insert(generation, Arc::clone(&rules));
        rules
    }
}

/// Some 20 MiB of rules of the largest kind. Whoever has more reads some of them again.
const MAX_RULES: usize = 20_000;
/// Buckets with rules, and what they had before.
const MAX_GENERATIONS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{LifecycleFilter, LifecycleRule};

    #[test]
    fn it_never_remembers_more_than_its_bound() {
        let cache = RuleCache::new(LifecycleDay::REAL);
        let rule = LifecycleRule {
            id: "r".to_owned(),
            filter: LifecycleFilter::default(),
            expiration: None,
            noncurrent: None,
            abort_upload_days: None,
        };
        let many = LifecycleRules(vec![rule; 1000]);
        for generation in 0..100 {
            cache.remember(generation, many.clone());
            assert_eq!(cache.get(generation).unwrap().0.len(), 1000);
            assert!(cache.known.read().unwrap().rules <= MAX_RULES);
        }
        for generation in 100..10_000 {
            cache.remember(generation, LifecycleRules::default());
            assert!(cache.known.read().unwrap().by_generation.len() <= MAX_GENERATIONS);
        }
        assert!(cache.get(0).is_none());
    }
}
