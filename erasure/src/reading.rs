//! What one read knows: where the blob is, and what was found out about its fragments on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use holdfast_types::DriveId;

use crate::blobs::Shared;
use crate::failure::{Damage, FragmentFailure, FragmentReport};
use crate::location::{BlobLocation, fragment_index};

/// What all runs of one read share: where the blob is, and what was found out about it.
pub(crate) struct Reading {
    pub(crate) shared: Arc<Shared>,
    pub(crate) location: BlobLocation,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Fragments that are not asked again during this read.
    gone: BTreeSet<usize>,
    reported: BTreeSet<usize>,
    /// The last failure of each fragment.
    failures: BTreeMap<usize, String>,
}

/// Fewer than `k` blocks of a stripe can be had: all but `have` of them are known to be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unavailable {
    pub(crate) have: usize,
    pub(crate) need: usize,
    pub(crate) reasons: Vec<FragmentFailure>,
}

/// A block that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) fragment: usize,
    pub(crate) stripe: u64,
}

impl Reading {
    /// A read that knows nothing yet. Of the fragments `but`, nothing is read.
    pub(crate) fn new(shared: Arc<Shared>, location: BlobLocation, but: &[usize]) -> Self {
        let mut found = Found::default();
        for (index, drive) in location.placement.drives.iter().enumerate() {
            if drive.is_none() {
                found.gone.insert(index);
                found
                    .failures
                    .insert(index, "it was never written".to_owned());
            }
        }
        for &index in but {
            found.gone.insert(index);
            found
                .failures
                .insert(index, "it is to be rebuilt".to_owned());
        }
        Self {
            shared,
            location,
            found: Mutex::new(found),
        }
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found
            .lock()
            .expect("nothing that holds the lock can panic")
    }

    /// The drive to ask for a fragment, unless it is known to be of no use.
    pub(crate) fn drive(&self, fragment: usize) -> Option<DriveId> {
        if self.found().gone.contains(&fragment) {
            return None;
        }
        self.location.placement.drives[fragment]
    }

    /// Why the fragment, or some of it, could not be had.
    pub(crate) fn failed(&self, fragment: usize, reason: String) {
        self.found().failures.insert(fragment, reason);
    }

    /// The fragment is not asked again during this read.
    pub(crate) fn gone(&self, fragment: usize) {
        self.found().gone.insert(fragment);
    }

    /// Reports a damaged fragment, once.
    pub(crate) fn damaged(&self, fragment: usize, drive: DriveId, damage: Damage) {
        if !self.found().reported.insert(fragment) {
            return;
        }
        self.shared.observer.report(FragmentReport {
            blob: self.location.blob,
            region: self.location.placement.region.clone(),
            generation: self.location.placement.generation,
            index: fragment_index(fragment),
            drive,
            damage,
        });
    }

    /// What went wrong so far.
    pub(crate) fn reasons(&self) -> Vec<FragmentFailure> {
        let found = self.found();
        let failures = found
            .failures
            .iter()
            .map(|(&index, reason)| FragmentFailure {
                index: fragment_index(index),
                drive: self.location.placement.drives[index],
                reason: reason.clone(),
            });
        failures.collect()
    }
}
