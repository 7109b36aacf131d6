//! The words of a check.

use holdfast_metadata::model::PolicyRule;
use holdfast_types::{DriveId, Region, SizeRule};

use super::*;

fn drive(zone: &str, node: &str, path: &str) -> Drive {
    Drive {
        id: DriveId::generate(),
        region: Region::parse("here").unwrap(),
        zone: zone.to_owned(),
        node: node.to_owned(),
        state: DriveState::Online,
        reason: String::new(),
        path: path.to_owned(),
        capacity_bytes: 4_000_000_000_000,
        free_bytes: 2_000_000_000_000,
    }
}

fn lines(drives: &[Drive], layout: &str, protect: FailureDomain) -> Vec<String> {
    let region = Region::parse("here").unwrap();
    let what_if = WhatIf {
        drives,
        region: &region,
        layout: layout.parse().unwrap(),
        protect,
        quorum: None,
    };
    let assumed = Assumed::new(drives, &CheckInputs::default(), 0);
    let view = check(&what_if, String::new(), &assumed);
    view.failures.into_iter().map(|line| line.words).collect()
}

#[test]
fn six_drives_of_one_machine() {
    let drives: Vec<_> = (1..=6)
        .map(|n| drive("z", "n", &format!("/d{n}")))
        .collect();
    assert_eq!(
        lines(&drives, "4+2", FailureDomain::Drive),
        [
            "as the drives are now: every write is whole",
            "any one drive: loses nothing, and reads go on; writes go on, with fragments owed until \
             there are drives for them",
            "any two drives: loses nothing, and reads go on; writes are refused until it is back or \
             replaced",
        ]
    );
    assert_eq!(
        lines(&drives, "4+0", FailureDomain::Drive)[1],
        "any one drive: takes up to 1 fragments of an object: such objects can't be read while it \
         is away, and are LOST if it never comes back; writes go on"
    );
}

#[test]
fn three_zones_and_what_they_stand() {
    let drives: Vec<_> = ["a", "b", "c"]
        .iter()
        .flat_map(|zone| {
            (1..=2).map(move |n| drive(zone, &format!("{zone}-node"), &format!("/{zone}{n}")))
        })
        .collect();
    let lines = lines(&drives, "4+2", FailureDomain::Drive);
    let of = |what: &str| {
        let found = lines.iter().find(|line| line.starts_with(what));
        found.unwrap_or_else(|| panic!("{what}: {lines:#?}"))
    };
    assert!(of("any one zone:").contains("loses nothing"));
    assert!(of("any one zone:").contains("writes are refused"));
    assert!(of("any two zones:").contains("LOST"));
    assert!(of("any zone and any drive of another:").contains("takes up to 3 fragments"));
}

#[test]
fn unequal_nodes_are_named() {
    let drives = [
        drive("z", "big", "/1"),
        drive("z", "big", "/2"),
        drive("z", "big", "/3"),
        drive("z", "small", "/4"),
    ];
    let lines = lines(&drives, "2+2", FailureDomain::Drive);
    let named = lines
        .iter()
        .find(|line| line.starts_with("some of any one node (node big)"));
    assert!(named.unwrap().contains("LOST"), "{lines:#?}");
}

#[test]
fn a_check_says_what_it_was_computed_from() {
    let drives: Vec<_> = (1..=6)
        .map(|n| drive("z", "n", &format!("/d{n}")))
        .collect();
    let none = CheckInputs::default();
    let estimated = Assumed::new(&drives, &none, 0);
    let layout: Layout = "4+2".parse().unwrap();
    // 4 TB * 5 / (5 * 50 MB/s) = 80,000 s, and ten minutes.
    assert!((estimated.repair_hours(layout) - (80_000.0 / 3600.0 + 1.0 / 6.0)).abs() < 1e-9);
    let measured = Assumed::new(&drives, &none, 100_000_000);
    assert!((measured.repair_hours(layout) - (40_000.0 / 3600.0 + 1.0 / 6.0)).abs() < 1e-9);
    assert!(measured.view().repair.contains("100.0 MB/s"));
    let given = CheckInputs {
        afr: Some(0.03),
        repair_hours: Some(24.0),
        rot_per_year: Some(0.0),
        ..none
    };
    let given = Assumed::new(&drives, &given, 100_000_000);
    assert_eq!(given.view().repair, "24 hours, as given");
    let nines = nines(given.of(layout).losses_per_year());
    assert_eq!((nines * 10.0).round() / 10.0, 7.9, "the table's figure");
}

#[test]
fn each_layout_says_which_objects_it_is_for() {
    let mut policy = Policy::new(
        "video".to_owned(),
        SizeRule::new("4+2".parse().unwrap()),
        FailureDomain::Drive,
    );
    policy.rules = vec![PolicyRule {
        prefix: "logs/".to_owned(),
        at_least_bytes: 0,
        below_bytes: Some(1 << 30),
        layout: "8+3".parse().unwrap(),
    }];
    let uses: Vec<_> = policy
        .layouts()
        .into_iter()
        .map(|layout| format!("{layout}: {}", used_for(&policy, layout)))
        .collect();
    assert_eq!(
        uses,
        [
            "4+2: objects that no rule is for",
            "copies:3: objects below 65537 bytes",
            "8+3: objects whose keys begin with `logs/` below 1073741824 bytes",
            "copies:4: the small ones of objects whose keys begin with `logs/` below 1073741824 \
             bytes",
        ]
    );
}
