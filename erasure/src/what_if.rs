//! What a failure would do: which drives, nodes and zones can be lost, alone or in pairs, before
//! data is lost or writes stop.
//!
//! Nothing is estimated: the very code that places a put says where fragments can come to lie and
//! whether a put would find enough drives. Where it chooses among drives that are as good as each
//! other, the worst is assumed: that it chose those that fail. Of drives that are alike (one node,
//! one state) two stand for all. The answer is for blobs that are placed on the drives as they are
//! now, and for those that were placed while all drives were well and have not been repaired since:
//! drives that can't be read now are gone already.

use std::collections::BTreeSet;
use std::fmt;

use holdfast_types::{Drive, DriveId, DriveState, FailureDomain, Layout, Region};

use crate::placement::{Want, place_by};
use crate::quorum::{domain_of, write_quorum};

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct WhatIf<'a> {
    /// All drives of all regions.
    pub drives: &'a [Drive],
    /// The region that the blob is in.
    pub region: &'a Region,
    /// How it is kept.
    pub layout: Layout,
    /// The failure domain that its policy protects.
    pub protect: FailureDomain,
    /// The write quorum, where it is not the layout's.
    pub quorum: Option<u8>,
}

/// Something that fails whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// What kind of thing it is.
    pub kind: FailureDomain,
    /// Its name: a drive's path (or id where it has none), a node's or a zone's name.
    pub name: String,
    drives: BTreeSet<DriveId>,
}

impl Unit {
    /// The drives in it.
    #[must_use]
    pub const fn drives(&self) -> &BTreeSet<DriveId> {
        &self.drives
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FailureDomain::Drive => "drive",
            FailureDomain::Node => "node",
            FailureDomain::Zone => "zone",
        };
        write!(f, "{kind} {}", self.name)
    }
}

/// What becomes of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writes {
    /// They go on, and each is whole.
    Whole,
    /// They go on, and each owes fragments until there are drives for them.
    Owing,
    /// They are refused.
    Blocked,
}

/// What becomes of blobs and writes while some units are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What failed: one unit or two.
    pub failed: Vec<Unit>,
    /// Fragments of one blob that are gone then at worst, those on drives that are away included.
    pub fragments: usize,
    /// Whether a blob can't be read while they are away, and is lost if they never come back.
    pub loses: bool,
    /// What becomes of writes.
    pub writes: Writes,
}

impl WhatIf<'_> {
    /// How many fragments more than `k` are durable when a write is acknowledged.
    #[must_use]
    pub fn spares_at_acknowledgement(&self) -> u8 {
        write_quorum(self.layout, self.quorum) - self.layout.k()
    }

    /// What becomes of it if nothing fails: a store with too few drives is in trouble already.
    #[must_use]
    pub fn now(&self) -> Outcome {
        self.outcome(Vec::new())
    }

    /// What becomes of it when each unit fails alone, and each pair together: of every pair of kinds
    /// that the topology has, and of one that holds the other only the larger. Nodes and zones count
    /// where there are several.
    #[must_use]
    pub fn failures(&self) -> Vec<Outcome> {
        let units = self.units();
        let mut outcomes: Vec<_> = units
            .iter()
            .map(|unit| self.outcome(vec![unit.clone()]))
            .collect();
        for (at, one) in units.iter().enumerate() {
            for two in &units[at + 1..] {
                if one.drives.is_disjoint(&two.drives) {
                    outcomes.push(self.outcome(vec![one.clone(), two.clone()]));
                }
            }
        }
        outcomes
    }

    /// The outcome of one failure.
    #[must_use]
    pub fn outcome(&self, failed: Vec<Unit>) -> Outcome {
        let gone = |id: &DriveId| failed.iter().any(|unit| unit.drives.contains(id));
        let want = self.want();
        let away: BTreeSet<DriveId> = self
            .drives
            .iter()
            .filter(|drive| !drive.state.readable())
            .map(|drive| drive.id)
            .collect();
        let of_new = self.worst(self.drives, &gone);
        let well: Vec<Drive> = self.drives.iter().map(as_if_well).collect();
        let of_old = self.worst(&well, &|id| gone(id) || away.contains(id));
        let (fragments, loses) = (of_new.0.max(of_old.0), of_new.1 || of_old.1);
        let left: Vec<Drive> = self
            .drives
            .iter()
            .filter(|drive| !gone(&drive.id))
            .cloned()
            .collect();
        let writes = match place_by(&left, &want, |_| false, &mut |_, among| among[0]) {
            Err(_) => Writes::Blocked,
            Ok(plan) if plan.chosen.iter().all(Option::is_some) => Writes::Whole,
            Ok(_) => Writes::Owing,
        };
        Outcome {
            failed,
            fragments,
            loses,
            writes,
        }
    }

    /// How many fragments of a blob that is placed on `drives` can be gone, and whether too many.
    fn worst(&self, drives: &[Drive], gone: &dyn Fn(&DriveId) -> bool) -> (usize, bool) {
        let mut prefers_gone = |drives: &[&Drive], among: &[usize]| {
            let doomed = among.iter().find(|at| gone(&drives[**at].id));
            *doomed.unwrap_or(&among[0])
        };
        match place_by(drives, &self.want(), |_| false, &mut prefers_gone) {
            // There is no such blob.
            Err(_) => (0, false),
            Ok(plan) => {
                let placed: Vec<_> = plan.chosen.iter().flatten().collect();
                let fragments = placed.iter().filter(|drive| gone(&drive.id)).count();
                let left = placed.len() - fragments;
                (fragments, left < usize::from(self.layout.k()))
            }
        }
    }

    /// Zones, nodes and (two of each kind of) drives.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        let here: Vec<&Drive> = self
            .drives
            .iter()
            .filter(|drive| drive.region == *self.region)
            .collect();
        let mut units = Vec::new();
        for kind in [FailureDomain::Zone, FailureDomain::Node] {
            let names: BTreeSet<_> = here.iter().map(|drive| domain_of(drive, kind)).collect();
            if names.len() < 2 {
                continue;
            }
            for (zone, node) in names {
                let inside = here
                    .iter()
                    .filter(|drive| domain_of(drive, kind) == (zone.clone(), node.clone()));
                units.push(Unit {
                    kind,
                    drives: inside.map(|drive| drive.id).collect(),
                    name: match kind {
                        FailureDomain::Node => node,
                        FailureDomain::Zone | FailureDomain::Drive => zone,
                    },
                });
            }
        }
        let mut alike: Vec<(&Drive, usize)> = Vec::new();
        for drive in here {
            let same = |other: &Drive| {
                (&other.zone, &other.node, other.state) == (&drive.zone, &drive.node, drive.state)
            };
            match alike.iter_mut().find(|(other, _)| same(other)) {
                Some((_, count)) if *count >= ALIKE => continue,
                Some((_, count)) => *count += 1,
                None => alike.push((drive, 1)),
            }
            units.push(Unit {
                kind: FailureDomain::Drive,
                name: match drive.path.as_str() {
                    "" => drive.id.to_string(),
                    path => path.to_owned(),
                },
                drives: BTreeSet::from([drive.id]),
            });
        }
        units
    }

    fn want(&self) -> Want<'_> {
        Want {
            layout: self.layout,
            blob_len: 1,
            region: self.region,
            protect: self.protect,
            quorum: self.quorum,
        }
    }
}

/// The drive as it was while nothing was wrong with it.
fn as_if_well(drive: &Drive) -> Drive {
    Drive {
        state: DriveState::Online,
        free_bytes: drive.capacity_bytes,
        ..drive.clone()
    }
}

/// Drives that stand for all that are alike: two, for pairs of them.
const ALIKE: usize = 2;

#[cfg(test)]
mod tests;
