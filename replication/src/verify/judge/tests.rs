//! Each thing that can be wrong with a blob is told as what it is, and nothing else with it.

use holdfast_metadata::audit::DebtAudit;
use holdfast_types::BlobId;

use super::*;

fn drives() -> Vec<DriveId> {
    (1..=6).map(|n| DriveId::from_bytes([n; 16])).collect()
}

fn placement() -> PlacementAudit {
    PlacementAudit {
        generation: Generation(0),
        layout: Ok("4+2".parse().unwrap()),
        drives: drives().into_iter().map(NamedDrive::Drive).collect(),
    }
}

fn blob() -> BlobAudit {
    BlobAudit {
        blob: BlobId::from_bytes([7; 16]),
        state: Some("live".to_owned()),
        len: 1000,
        is_referenced: true,
        is_garbage: false,
        is_denied: false,
        placements: vec![placement()],
        debts: Vec::new(),
    }
}

fn held() -> Vec<Held> {
    (0..6)
        .zip(drives())
        .map(|(index, drive)| Held {
            index: FragmentIndex(index),
            drive,
            seen: Seen::Good,
        })
        .collect()
}

/// The one thing that is wrong.
fn only(blob: &BlobAudit, held: &[Held]) -> (Invariant, Severity, String) {
    let mut found = judge(blob, held);
    assert_eq!(found.len(), 1, "{found:?}");
    let found = found.remove(0);
    (found.invariant, found.severity, found.what)
}

#[test]
fn a_sound_blob_is_not_told_of() {
    assert_eq!(judge(&blob(), &held()), []);
    let mut garbage = blob();
    (garbage.is_referenced, garbage.is_garbage) = (false, true);
    assert_eq!(judge(&garbage, &held()), []);
    let mut dead = garbage;
    dead.state = Some("dead".to_owned());
    assert_eq!(judge(&dead, &[]), [], "its sweep is under way");
    for state in ["aborted", "condemned", "dead"] {
        let mut ended = blob();
        ended.state = Some(state.to_owned());
        ended.is_referenced = false;
        ended.placements.clear();
        assert_eq!(judge(&ended, &[]), [], "{state}");
    }
}

#[test]
fn fewer_than_k_whole_fragments_are_broken_and_fewer_than_n_are_thin() {
    let bad = [
        Seen::Missing,
        Seen::Bad("block 3 is rotten".to_owned()),
        Seen::Unreadable("the drive is not in reach".to_owned()),
    ];
    let mut held = held();
    for (at, seen) in bad.into_iter().enumerate() {
        held[at].seen = seen;
        let (invariant, severity, what) = only(&blob(), &held);
        assert_eq!(invariant, Invariant::I1);
        let expected = if at < 2 {
            Severity::Degraded
        } else {
            Severity::Broken
        };
        assert_eq!(severity, expected, "{at}");
        let whole = format!("{} of 6 fragments are whole, 4 are needed", 5 - at);
        assert!(what.starts_with(&whole), "{what}");
        assert!(what.contains("and no debt says so"), "{what}");
    }
}

#[test]
fn a_debt_is_mentioned_and_an_unwritten_fragment_counts_as_missing() {
    let mut owed = blob();
    owed.placements[0].drives[5] = NamedDrive::None;
    owed.debts.push(DebtAudit {
        generation: Generation(0),
        index: FragmentIndex(1),
        drive: NamedDrive::Drive(drives()[1]),
        kind: DebtKind::Missing,
    });
    let mut held = held();
    held.pop();
    held[1].seen = Seen::Missing;
    let (_, severity, what) = only(&owed, &held);
    assert_eq!(severity, Severity::Degraded);
    assert!(what.contains("1 were not written"), "{what}");
    assert!(!what.contains("no debt says so"), "{what}");
}

#[test]
fn another_fragment_in_the_place_of_one_breaks_two_invariants() {
    let mut held = held();
    let other = FragmentId {
        blob: BlobId::from_bytes([9; 16]),
        region: holdfast_types::Region::parse("here").unwrap(),
        generation: Generation(0),
        index: FragmentIndex(3),
    };
    held[2].seen = Seen::Another(other.clone());
    let found = judge(&blob(), &held);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].invariant, Invariant::I8);
    assert_eq!(found[0].drive, Some(drives()[2]));
    assert!(found[0].what.contains(&other.to_string()));
    assert_eq!(found[1].invariant, Invariant::I1);
    assert_eq!(found[1].severity, Severity::Degraded);
}

/// What is done to a sound blob, what it breaks, and words of what is told.
type Damage = (fn(&mut BlobAudit), Invariant, &'static str);

#[test]
fn each_wrong_row_is_told_as_what_it_is() {
    let damages: [Damage; 15] = [
        (|b| b.placements.clear(), Invariant::I6, "placed nowhere"),
        (
            |b| b.placements[0].drives[1] = b.placements[0].drives[0],
            Invariant::I7,
            "two fragments on one drive",
        ),
        (
            |b| b.is_denied = true,
            Invariant::I5,
            "declared to have never happened",
        ),
        (
            |b| b.is_referenced = false,
            Invariant::Rows,
            "no garbage row will ever",
        ),
        (
            |b| b.placements[0].layout = Err("layout `4x2`: no".to_owned()),
            Invariant::Rows,
            "layout `4x2`",
        ),
        (
            |b| b.placements[0].drives.truncate(5),
            Invariant::Rows,
            "names 5 drives for the 6",
        ),
        (
            |b| b.placements[0].drives[3] = NamedDrive::Unknown(99),
            Invariant::Rows,
            "drive number 99",
        ),
        (
            |b| b.state = Some("undead".to_owned()),
            Invariant::Rows,
            "state is `undead`",
        ),
        (
            |b| b.state = Some("aborted".to_owned()),
            Invariant::Rows,
            "aborted, so it never was published, and is referred to",
        ),
        (
            |b| {
                b.state = Some("condemned".to_owned());
                b.is_referenced = false;
            },
            Invariant::Rows,
            "has a placement",
        ),
        (
            |b| {
                b.state = Some("dead".to_owned());
                b.is_garbage = true;
            },
            Invariant::Rows,
            "and is referred to",
        ),
        (
            |b| {
                b.state = Some("dead".to_owned());
                b.is_referenced = false;
            },
            Invariant::Rows,
            "no garbage row will remove them",
        ),
        (
            |b| b.state = None,
            Invariant::Rows,
            "a blob that is not there",
        ),
        (
            |b| {
                b.debts.push(DebtAudit {
                    generation: Generation(4),
                    index: FragmentIndex(0),
                    drive: NamedDrive::None,
                    kind: DebtKind::Unwritten,
                });
            },
            Invariant::Rows,
            "an unwritten fragment that no placement has",
        ),
        (
            |b| {
                b.debts.push(DebtAudit {
                    generation: Generation(0),
                    index: FragmentIndex(6),
                    drive: NamedDrive::None,
                    kind: DebtKind::Corrupt,
                });
            },
            Invariant::Rows,
            "a corrupt fragment that no placement has",
        ),
    ];
    for (damage, invariant, words) in damages {
        let mut damaged = blob();
        damage(&mut damaged);
        // What an unreadable placement wants is not looked for.
        let held = match current(&damaged) {
            Some(_) => held(),
            None => Vec::new(),
        };
        let held: Vec<Held> = held
            .into_iter()
            .filter(|held| {
                let named = damaged.placements[0].drives[usize::from(held.index.0)];
                named.drive() == Some(held.drive) || invariant == Invariant::I7
            })
            .collect();
        let found = judge(&damaged, &held);
        let told = found
            .iter()
            .find(|judgement| judgement.what.contains(words))
            .unwrap_or_else(|| panic!("{words} is not in {found:?}"));
        assert_eq!(told.invariant, invariant, "{words}");
        assert_eq!(told.severity, Severity::Broken, "{words}");
        let others: Vec<_> = found
            .iter()
            .filter(|judgement| judgement.invariant != invariant)
            .filter(|judgement| judgement.severity == Severity::Broken)
            .collect();
        assert!(others.is_empty(), "{words}: also {others:?}");
    }
}
