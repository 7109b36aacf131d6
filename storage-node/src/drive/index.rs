//! What is on a drive, in memory: which fragments, and where each is. Rebuilt on open.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use holdfast_types::{FragmentId, Region};

use crate::format::segment::Position;

/// Where a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// In a file of its own, whose name follows from the id.
    File,
    /// In a segment.
    Packed(Packed),
}

/// A put record in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) at: Position,
    /// Bytes of the record.
    pub(crate) len: u32,
    /// The oldest segment that may still hold a record of the same fragment: a compaction that a
    /// crash cut short leaves two.
    pub(crate) oldest: u64,
}

#[derive(Default)]
pub(crate) struct Index {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: BTreeMap<FragmentId, Slot>,
    /// Being written: nobody else may begin to.
    pending: HashSet<FragmentId>,
    /// Each region's name once, instead of once a fragment.
    regions: HashSet<Region>,
}

impl Inner {
    fn intern(&mut self, mut id: FragmentId) -> FragmentId {
        match self.regions.get(&id.region) {
            Some(known) => id.region = known.clone(),
            None => drop(self.regions.insert(id.region.clone())),
        }
        id
    }
}

impl Index {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &FragmentId) -> Option<Slot> {
        self.read().slots.get(id).copied()
    }

    pub(crate) fn packed(&self, id: &FragmentId) -> Option<Packed> {
        match self.get(id) {
            Some(Slot::Packed(packed)) => Some(packed),
            _ => None,
        }
    }

    pub(crate) fn insert(&self, id: FragmentId, slot: Slot) {
        let mut inner = self.write();
        let id = inner.intern(id);
        inner.slots.insert(id, slot);
    }

    pub(crate) fn remove(&self, id: &FragmentId) {
        self.write().slots.remove(id);
    }

    /// Up to `limit` ids after `after`.
    pub(crate) fn list(&self, after: Option<&FragmentId>, limit: usize) -> Vec<FragmentId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read()
            .slots
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// How many fragments there are.
    pub(crate) fn count(&self) -> u64 {
        self.read().slots.len() as u64
    }

    /// Claims an id for one writer; `None` if it is there or being written.
    pub(crate) fn reserve(self: &Arc<Self>, id: &FragmentId) -> Option<Reservation> {
        let mut inner = self.write();
        if inner.slots.contains_key(id) || !inner.pending.insert(id.clone()) {
            return None;
        }
        Some(Reservation {
            index: Arc::clone(self),
            id: id.clone(),
        })
    }
}

/// One writer's claim on an id, until it is dropped.
pub(crate) struct Reservation {
    index: Arc<Index>,
    id: FragmentId,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.index.write().pending.remove(&self.id);
    }
}
