//! Placement spreads, weighs, explains, and never doubles up.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::testing::{drive_in, region};

fn want<'a>(layout: &str, region: &'a Region, protect: FailureDomain) -> Want<'a> {
    Want {
        quorum: None,
        layout: layout.parse().unwrap(),
        blob_len: 1 << 20,
        region,
        protect,
    }
}

fn place_on(drives: &[Drive], layout: &str, protect: FailureDomain) -> Result<Plan, TooFewDrives> {
    place(
        drives,
        &want(layout, &region(), protect),
        |_| false,
        &mut StdRng::seed_from_u64(1),
    )
}

fn per_zone<'a>(drives: impl IntoIterator<Item = &'a Drive>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for drive in drives {
        *counts.entry(drive.zone.clone()).or_default() += 1;
    }
    counts
}

proptest! {
    #[test]
    fn no_zone_has_more_than_its_share_and_no_drive_two(
        drives_of_zones in prop::collection::vec(1_usize..9, 1..7),
        seed in 0_u64..1000,
        k in 1_u8..9,
        m in 0_u8..5,
    ) {
        let mut drives = Vec::new();
        for (zone, count) in drives_of_zones.iter().enumerate() {
            for node in 0..*count {
                drives.push(drive_in(&zone.to_string(), &(node % 3).to_string()));
            }
        }
        let layout = format!("{k}+{m}/4096");
        let width = usize::from(k + m);
        let here = region();
        let want = want(&layout, &here, FailureDomain::Drive);
        let plan = place(&drives, &want, |_| false, &mut StdRng::seed_from_u64(seed));
        let Ok(plan) = plan else {
            prop_assert!(drives.len() < usize::from(want.layout.write_quorum()));
            return Ok(());
        };
        let chosen: Vec<&Drive> = plan.chosen.iter().flatten().collect();
        prop_assert_eq!(plan.chosen.len(), width);
        prop_assert_eq!(chosen.len(), width.min(drives.len()));
        let all: BTreeSet<_> = chosen.iter().copied().chain(&plan.spares).map(|d| d.id).collect();
        prop_assert_eq!(all.len(), chosen.len() + plan.spares.len());
        let first_debt = plan.chosen.iter().position(Option::is_none).unwrap_or(width);
        prop_assert!(plan.chosen[first_debt..].iter().all(Option::is_none));

        // Filled evenly, like water: a zone with less than the fullest has no drive left.
        let counts = per_zone(chosen);
        let most = *counts.values().max().unwrap();
        for (zone, &of_zone) in drives_of_zones.iter().enumerate() {
            let used = counts.get(&zone.to_string()).copied().unwrap_or(0);
            prop_assert!(used + 1 >= most || used == of_zone, "{:?} of {:?}", counts, drives_of_zones);
        }
    }
}

#[test]
fn nodes_of_a_zone_share_evenly() {
    let names = ["a", "a", "a", "a", "b", "b", "b", "b"];
    let drives: Vec<_> = names.iter().map(|node| drive_in("z", node)).collect();
    let plan = place_on(&drives, "4+2", FailureDomain::Drive).unwrap();
    let on_a = plan
        .chosen
        .iter()
        .flatten()
        .filter(|drive| drive.node == "a")
        .count();
    assert_eq!(on_a, 3);
}

#[test]
fn big_drives_get_more() {
    let mut drives: Vec<_> = (0..10).map(|_| drive_in("z", "n")).collect();
    drives[0].free_bytes = 1 << 30;
    drives
        .iter_mut()
        .skip(1)
        .for_each(|drive| drive.free_bytes = 1 << 27);
    let (small, big) = (drives[1].id, drives[0].id);
    let mut rng = StdRng::seed_from_u64(1);
    let here = region();
    let want = want("copies:1", &here, FailureDomain::Drive);
    let mut counts = BTreeMap::new();
    for _ in 0..1700 {
        let plan = place(&drives, &want, |_| false, &mut rng).unwrap();
        *counts
            .entry(plan.chosen[0].as_ref().unwrap().id)
            .or_insert(0_u32) += 1;
    }
    // Shares of 8/17 and 1/17: 800 and 100, five standard deviations either way.
    assert!((700..900).contains(&counts[&big]), "{}", counts[&big]);
    assert!((50..150).contains(&counts[&small]), "{}", counts[&small]);
}

#[test]
fn an_operator_is_told_what_is_missing() {
    let mut drives: Vec<_> = (0..6).map(|_| drive_in("z", "n")).collect();
    drives[0].state = DriveState::Missing;
    drives[0].reason = "its folder is not there".to_owned();
    drives[1].free_bytes = 1000;
    let mut elsewhere = drive_in("z", "n");
    elsewhere.region = Region::parse("elsewhere").unwrap();
    drives.push(elsewhere);
    let error = place_on(&drives, "4+2", FailureDomain::Drive).unwrap_err();
    assert_eq!((error.needed, error.eligible), (5, 4));
    assert_eq!(
        error.to_string(),
        format!(
            "a write of 4+2 needs 5 drives, 4 can take it; drive {}: missing: its folder is not \
             there; drive {}: 1000 bytes free, 328704 needed",
            drives[0].id, drives[1].id
        )
    );
}

#[test]
fn with_a_drive_less_parity_is_owed_and_the_layout_stays() {
    let mut drives: Vec<_> = (0..6).map(|_| drive_in("z", "n")).collect();
    drives[2].state = DriveState::ReadOnly;
    let plan = place_on(&drives, "4+2", FailureDomain::Drive).unwrap();
    assert_eq!(plan.chosen.len(), 6);
    assert_eq!(plan.chosen.iter().position(Option::is_none), Some(5));
}

#[test]
fn drives_that_just_failed_are_used_only_at_need() {
    let drives: Vec<_> = (0..7).map(|_| drive_in("z", "n")).collect();
    let bad = drives[3].id;
    let here = region();
    let want = want("4+2", &here, FailureDomain::Drive);
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..50 {
        let plan = place(&drives, &want, |drive| drive == bad, &mut rng).unwrap();
        assert!(plan.chosen.iter().flatten().all(|drive| drive.id != bad));
        let plan = place(&drives[..6], &want, |drive| drive == bad, &mut rng).unwrap();
        assert!(
            plan.chosen.iter().all(Option::is_some),
            "better than a debt"
        );
    }
}

#[test]
fn a_zone_is_protected_or_the_write_is_refused() {
    let two: Vec<_> = ["a", "b"]
        .repeat(3)
        .iter()
        .map(|zone| drive_in(zone, "n"))
        .collect();
    let error = place_on(&two, "4+2", FailureDomain::Zone).unwrap_err();
    assert_eq!(error.eligible, 6);
    assert!(
        error
            .to_string()
            .contains("the loss of one zone must leave it readable"),
        "{error}"
    );
    assert!(place_on(&two, "3+3", FailureDomain::Zone).is_ok());

    let three: Vec<_> = ["a", "b", "c"]
        .repeat(2)
        .iter()
        .map(|zone| drive_in(zone, "n"))
        .collect();
    assert!(place_on(&three, "4+2", FailureDomain::Zone).is_ok());
    assert!(
        place_on(&three[..5], "4+2", FailureDomain::Zone).is_err(),
        "five can't do it"
    );
}

#[test]
fn nodes_are_protected_even_where_zones_are_uneven() {
    // By zones alone the one node of zone a would get three of six.
    let mut drives: Vec<_> = (0..6).map(|_| drive_in("a", "a1")).collect();
    drives.extend((0..5).map(|node| drive_in("b", &format!("b{node}"))));
    let plan = place_on(&drives, "4+2", FailureDomain::Node).unwrap();
    let on_a = plan
        .chosen
        .iter()
        .flatten()
        .filter(|drive| drive.node == "a1")
        .count();
    assert!(on_a <= 2, "{on_a}");
}
