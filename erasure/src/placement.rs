//! Which drives a blob's fragments go to: chosen for each blob, and recorded, not computed.
//!
//! Drives are picked one after another from the least used zone, in it from the least used node,
//! and there at random in proportion to free space. So no zone (and no node of a zone) has more
//! than its even share while another has room, big drives fill with small ones, and any drive can
//! be added at any time. No drive gets two fragments of a blob. The layout is never shrunk: a
//! fragment that has no drive is a debt, and with fewer drives than the write rule needs there is
//! no plan but a reason.

use std::collections::HashMap;
use std::fmt;

use holdfast_types::{Drive, DriveId, DriveState, FailureDomain, Layout, Region};
use rand::{Rng, RngExt as _};

use crate::quorum::{FragmentSet, WriteRule, domain_of, write_quorum};

/// How many drives beyond the blob's width are kept in mind to replace one that fails.
const MAX_SPARES: usize = 4;

/// Space that a fragment needs beyond its blocks: headers, checksums, file system records.
pub(crate) const fn room_for(fragment_len: u64) -> u64 {
    fragment_len + fragment_len / 256 + (64 << 10)
}

/// What is to be placed.
#[derive(Debug, Clone)]
pub(crate) struct Want<'a> {
    pub(crate) layout: Layout,
    pub(crate) blob_len: u64,
    pub(crate) region: &'a Region,
    pub(crate) protect: FailureDomain,
    pub(crate) quorum: Option<u8>,
}

/// Where the fragments go.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The drive of each fragment, in order; `None` only at the end, so that parity is owed first.
    pub(crate) chosen: Vec<Option<Drive>>,
    /// Drives that may take a fragment whose drive fails, the best first.
    pub(crate) spares: Vec<Drive>,
}

/// There are not enough drives for a blob of this layout, whatever else happens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TooFewDrives {
    /// The layout that was asked for.
    pub layout: Layout,
    /// The failure domain whose loss must leave the blob readable.
    pub protect: FailureDomain,
    /// How many drives there must be at least.
    pub needed: usize,
    /// How many could take a fragment.
    pub eligible: usize,
    /// Why each of the others could not.
    pub reasons: Vec<(DriveId, String)>,
}

impl fmt::Display for TooFewDrives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            layout,
            needed,
            eligible,
            ..
        } = self;
        write!(
            f,
            "a write of {layout} needs {needed} drives, {eligible} can take it"
        )?;
        match self.protect {
            FailureDomain::Drive => {}
            FailureDomain::Node => f.write_str(" (the loss of one node must leave it readable)")?,
            FailureDomain::Zone => f.write_str(" (the loss of one zone must leave it readable)")?,
        }
        self.reasons
            .iter()
            .try_for_each(|(drive, reason)| write!(f, "; drive {drive}: {reason}"))
    }
}

/// Chooses drives for one blob.
///
/// Drives that `avoid` names (they have just failed) are used only where it can't be done without.
///
/// # Errors
/// `TooFewDrives` where even all chosen fragments together would not meet the write rule.
pub(crate) fn place(
    drives: &[Drive],
    want: &Want<'_>,
    avoid: impl Fn(DriveId) -> bool,
    rng: &mut impl Rng,
) -> Result<Plan, TooFewDrives> {
    place_by(drives, want, avoid, &mut |drives, among| {
        weighted(drives, among, rng)
    })
}

/// The same with another way to choose among drives that are as good as each other: given drives
/// and some of their positions, it gives one of these.
pub(crate) fn place_by(
    drives: &[Drive],
    want: &Want<'_>,
    avoid: impl Fn(DriveId) -> bool,
    choose: &mut impl FnMut(&[&Drive], &[usize]) -> usize,
) -> Result<Plan, TooFewDrives> {
    let mut eligible = Vec::new();
    let mut reasons = Vec::new();
    for drive in drives.iter().filter(|drive| drive.region == *want.region) {
        match why_not(drive, want) {
            None => eligible.push(drive),
            Some(reason) => reasons.push((drive.id, reason)),
        }
    }
    let good: Vec<&Drive> = eligible
        .iter()
        .copied()
        .filter(|drive| !avoid(drive.id))
        .collect();
    let attempts = [
        (&good, Order::ByZone),
        (&eligible, Order::ByZone),
        (&eligible, Order::ByNode),
    ];
    let mut degraded = None;
    for (candidates, order) in attempts {
        let plan = plan(candidates, want, order, choose);
        let full = plan.chosen.iter().all(Option::is_some);
        if meets(&plan, want) {
            if full {
                return Ok(plan);
            }
            // More drives in a later attempt may leave fewer debts.
            let drives = |plan: &Plan| plan.chosen.iter().flatten().count();
            if degraded
                .as_ref()
                .is_none_or(|best| drives(best) < drives(&plan))
            {
                degraded = Some(plan);
            }
        }
    }
    degraded.ok_or_else(|| TooFewDrives {
        layout: want.layout,
        protect: want.protect,
        needed: usize::from(write_quorum(want.layout, want.quorum)),
        eligible: eligible.len(),
        reasons,
    })
}

fn why_not(drive: &Drive, want: &Want<'_>) -> Option<String> {
    let room = room_for(want.layout.fragment_len(want.blob_len));
    if drive.state != DriveState::Online {
        let why = if drive.reason.is_empty() { "" } else { ": " };
        Some(format!("{}{why}{}", drive.state, drive.reason))
    } else if drive.free_bytes < room {
        Some(format!("{} bytes free, {room} needed", drive.free_bytes))
    } else {
        None
    }
}

fn meets(plan: &Plan, want: &Want<'_>) -> bool {
    let chosen = plan
        .chosen
        .iter()
        .enumerate()
        .filter(|(_, drive)| drive.is_some());
    let set: FragmentSet = chosen.map(|(index, _)| index).collect();
    WriteRule::new(want.layout, want.protect, want.quorum, &plan.chosen).met_by(set)
}

/// What is evened out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    ByZone,
    /// Where nodes are protected and zones have very different numbers of them.
    ByNode,
}

fn plan(
    candidates: &[&Drive],
    want: &Want<'_>,
    order: Order,
    choose: &mut impl FnMut(&[&Drive], &[usize]) -> usize,
) -> Plan {
    let width = usize::from(want.layout.width());
    let mut picked = pick(candidates, width + MAX_SPARES, order, choose)
        .into_iter()
        .cloned();
    let chosen = (0..width).map(|_| picked.next()).collect();
    Plan {
        chosen,
        spares: picked.collect(),
    }
}

/// Up to `count` of the candidates, each once, evenly over zones and nodes.
fn pick<'a>(
    candidates: &[&'a Drive],
    count: usize,
    order: Order,
    choose: &mut impl FnMut(&[&Drive], &[usize]) -> usize,
) -> Vec<&'a Drive> {
    let mut rest = candidates.to_vec();
    let mut used: HashMap<_, usize> = HashMap::new();
    let mut picked = Vec::with_capacity(count);
    while picked.len() < count && !rest.is_empty() {
        let load = |drive: &Drive| {
            let of = |kind| used.get(&domain_of(drive, kind)).copied().unwrap_or(0);
            match order {
                Order::ByZone => (of(FailureDomain::Zone), of(FailureDomain::Node)),
                Order::ByNode => (of(FailureDomain::Node), of(FailureDomain::Zone)),
            }
        };
        let loads: Vec<_> = rest.iter().map(|drive| load(drive)).collect();
        let least = loads.iter().min().copied();
        let least_used: Vec<usize> = (0..rest.len())
            .filter(|&at| Some(loads[at]) == least)
            .collect();
        let drive = rest.swap_remove(choose(&rest, &least_used));
        for kind in [FailureDomain::Zone, FailureDomain::Node] {
            *used.entry(domain_of(drive, kind)).or_default() += 1;
        }
        picked.push(drive);
    }
    picked
}

/// One of the positions `among`, at random in proportion to its drive's free space.
pub(crate) fn weighted(drives: &[&Drive], among: &[usize], rng: &mut impl Rng) -> usize {
    let total: u128 = among
        .iter()
        .map(|&at| u128::from(drives[at].free_bytes))
        .sum();
    let mut left = rng.random_range(0..total.max(1));
    for &at in among {
        let weight = u128::from(drives[at].free_bytes);
        if left < weight {
            return at;
        }
        left -= weight;
    }
    among[0]
}

#[cfg(test)]
mod tests;
