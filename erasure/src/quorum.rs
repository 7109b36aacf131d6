//! When enough fragments are durable: the write quorum, and the failure domain that is protected.
//!
//! A write counts when at least `layout.write_quorum()` fragments are durable *and*, where the
//! policy protects nodes or zones, the loss of any one of them leaves `k` of the durable ones.
//! Protecting drives asks for nothing more: no two fragments share a drive, and with parity the
//! quorum is at least `k + 1`. Without parity nothing can be protected, and `k` is all there is.

use std::collections::HashMap;

use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{Drive, FailureDomain, Layout};

/// A set of fragments of one blob. A blob has at most 48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FragmentSet(u64);

const _: () = assert!(
    Layout::MAX_K + Layout::MAX_M <= 64,
    "a set is one 64 bit word"
);

impl FragmentSet {
    pub(crate) fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(crate) const fn contains(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    pub(crate) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl FromIterator<usize> for FragmentSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indices: I) -> Self {
        let mut set = Self::default();
        indices.into_iter().for_each(|index| set.insert(index));
        set
    }
}

/// The name of a failure domain: its zone and, where nodes count, its node.
pub(crate) type Domain = (String, String);

/// Which domain of this kind the drive is in.
pub(crate) fn domain_of(drive: &Drive, kind: FailureDomain) -> Domain {
    match kind {
        FailureDomain::Zone => (drive.zone.clone(), String::new()),
        FailureDomain::Node => (drive.zone.clone(), drive.node.clone()),
        FailureDomain::Drive => (String::new(), drive.id.to_string()),
    }
}

/// Whether a set of durable fragments makes a write good.
#[derive(Debug)]
pub(crate) struct WriteRule {
    layout: Layout,
    protect: FailureDomain,
    quorum: usize,
    domains: Vec<Option<Domain>>,
}

/// How many fragments must be durable: as the policy says, or the layout; never fewer than one more
/// than gives the blob back (where there is one more), and never more than there are.
pub(crate) fn write_quorum(layout: Layout, wanted: Option<u8>) -> u8 {
    if mutant::active(Mutant::AckAtK) {
        return layout.k();
    }
    let least = layout.k() + u8::from(layout.m() > 0);
    wanted.map_or(layout.write_quorum(), |quorum| {
        quorum.clamp(least, layout.width())
    })
}

impl WriteRule {
    /// The rule for a blob whose fragments are on `drives`.
    pub(crate) fn new(
        layout: Layout,
        protect: FailureDomain,
        quorum: Option<u8>,
        drives: &[Option<Drive>],
    ) -> Self {
        let domains = drives
            .iter()
            .map(|drive| drive.as_ref().map(|drive| domain_of(drive, protect)));
        Self {
            layout,
            protect,
            quorum: usize::from(write_quorum(layout, quorum)),
            domains: domains.collect(),
        }
    }

    /// Fragment `index` is now on `drive`.
    pub(crate) fn moved(&mut self, index: usize, drive: &Drive) {
        self.domains[index] = Some(domain_of(drive, self.protect));
    }

    /// Whether it is enough that exactly these fragments are durable.
    pub(crate) fn met_by(&self, durable: FragmentSet) -> bool {
        let survives = match self.protect {
            FailureDomain::Drive => true,
            FailureDomain::Node | FailureDomain::Zone => {
                durable.len() - self.most_in_one_domain(durable) >= usize::from(self.layout.k())
            }
        };
        durable.len() >= self.quorum && survives
    }

    /// How many of the fragments in `set` are in the same domain as `drive`.
    pub(crate) fn shared_with(&self, drive: &Drive, set: FragmentSet) -> usize {
        let domain = domain_of(drive, self.protect);
        let inside = |index: &usize| self.domains[*index].as_ref() == Some(&domain);
        (0..self.domains.len())
            .filter(|&index| set.contains(index))
            .filter(inside)
            .count()
    }

    fn most_in_one_domain(&self, set: FragmentSet) -> usize {
        let mut counts: HashMap<&Domain, usize> = HashMap::new();
        for (index, domain) in self.domains.iter().enumerate() {
            if let (true, Some(domain)) = (set.contains(index), domain) {
                *counts.entry(domain).or_default() += 1;
            }
        }
        counts.into_values().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::drive_in;

    fn rule(layout: &str, protect: FailureDomain, zones: &[&str]) -> WriteRule {
        let drives: Vec<_> = zones
            .iter()
            .map(|zone| Some(drive_in(zone, zone)))
            .collect();
        WriteRule::new(layout.parse().unwrap(), protect, None, &drives)
    }

    fn first(count: usize) -> FragmentSet {
        (0..count).collect()
    }

    #[test]
    fn drives_need_only_the_quorum() {
        let zones = ["a"; 6];
        let rule = rule("4+2", FailureDomain::Drive, &zones);
        assert!(!rule.met_by(first(4)));
        assert!(rule.met_by(first(5)));
    }

    #[test]
    fn a_policy_may_ask_for_more_but_never_for_k() {
        let layout: Layout = "8+4".parse().unwrap();
        assert_eq!(write_quorum(layout, None), 10);
        assert_eq!(write_quorum(layout, Some(12)), 12);
        assert_eq!(write_quorum(layout, Some(9)), 9);
        assert_eq!(write_quorum(layout, Some(3)), 9);
        assert_eq!(write_quorum(layout, Some(40)), 12);
        assert_eq!(write_quorum("4+0".parse().unwrap(), Some(1)), 4);
        let drives: Vec<_> = (0..12).map(|_| Some(drive_in("a", "a"))).collect();
        let rule = WriteRule::new(layout, FailureDomain::Drive, Some(12), &drives);
        assert!(!rule.met_by(first(11)));
        assert!(rule.met_by(first(12)));
    }

    #[test]
    fn four_and_two_over_three_zones_needs_all_six() {
        let rule = rule("4+2", FailureDomain::Zone, &["a", "b", "c", "a", "b", "c"]);
        assert!(rule.met_by(first(6)));
        for missing in 0..6 {
            let five = (0..6).filter(|&index| index != missing).collect();
            assert!(
                !rule.met_by(five),
                "without {missing}, a lost zone leaves three"
            );
        }
    }

    #[test]
    fn copies_in_one_zone_do_not_protect_it() {
        assert!(!rule("copies:3", FailureDomain::Zone, &["a"; 3]).met_by(first(3)));
        let two = rule("copies:3", FailureDomain::Zone, &["a", "a", "b"]);
        assert!(!two.met_by(first(2)));
        assert!(two.met_by([0, 2].into_iter().collect()));
    }

    #[test]
    fn without_parity_all_of_k_is_the_rule() {
        let rule = rule("4+0", FailureDomain::Drive, &["a"; 4]);
        assert!(!rule.met_by(first(3)));
        assert!(rule.met_by(first(4)));
    }
}
