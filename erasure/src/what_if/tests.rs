//! The answers against the code that they are about: every choice that placement could make, and
//! real puts and gets with the drives taken away.

use std::sync::Arc;

use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use holdfast_codec::Reference;
use holdfast_types::{BlobId, DriveState, FragmentStore as _, Generation};

use super::*;
use crate::testing::{Fault, TestStore, drive_in, region};
use crate::{BlobLocation, Blobs, Config, NoObserver, PutSpec};

/// Drives by zone: each string is a zone, each letter a drive on the node of that letter.
fn topology(zones: &[&str]) -> Vec<Drive> {
    let mut drives = Vec::new();
    for (at, nodes) in zones.iter().enumerate() {
        for node in nodes.chars() {
            drives.push(drive_in(&format!("z{at}"), &format!("{at}{node}")));
        }
    }
    drives
}

fn ask<'a>(
    drives: &'a [Drive],
    region: &'a Region,
    layout: &str,
    protect: FailureDomain,
) -> WhatIf<'a> {
    WhatIf {
        drives,
        region,
        layout: layout.parse().unwrap(),
        protect,
        quorum: None,
    }
}

const CASES: &[(&[&str], &str, FailureDomain)] = &[
    (&["aaaaaa"], "4+2", FailureDomain::Drive),
    (&["aaaaaaa"], "4+2", FailureDomain::Drive),
    (&["aaaaa"], "4+2", FailureDomain::Drive),
    (&["aaa"], "copies:3", FailureDomain::Drive),
    (&["aaaa"], "4+0", FailureDomain::Drive),
    (&["aabbcc"], "4+2", FailureDomain::Drive),
    (&["aabbcc"], "4+2", FailureDomain::Node),
    (&["ab", "ab", "ab"], "4+2", FailureDomain::Zone),
    (&["ab", "ab", "ab"], "3+2", FailureDomain::Drive),
    (&["aab", "ab", "a"], "3+2", FailureDomain::Drive),
    (&["aab", "ab", "a"], "copies:3", FailureDomain::Zone),
    (&["abc", "a"], "2+2", FailureDomain::Drive),
    (&["abc", "a"], "2+2", FailureDomain::Node),
    (&["aa", "aa"], "2+1", FailureDomain::Zone),
    (&["aa", "aa"], "1+1", FailureDomain::Zone),
];

/// The most fragments in `gone` over every choice that placement could make.
fn worst(what: &WhatIf<'_>, gone: &BTreeSet<DriveId>) -> usize {
    // Each run follows a list of choices; where it ends, all that could come next are tried.
    let (mut most, mut todo) = (0, vec![Vec::<usize>::new()]);
    while let Some(choices) = todo.pop() {
        let (mut at, mut open) = (0, None);
        let mut choose = |_: &[&Drive], among: &[usize]| {
            let chosen = choices.get(at).copied();
            if chosen.is_none() && open.is_none() && among.len() > 1 {
                open = Some((at, among.len()));
            }
            at += 1;
            among[chosen.unwrap_or(0)]
        };
        let placed = place_by(what.drives, &what.want(), |_| false, &mut choose);
        if let Ok(plan) = placed {
            let inside = plan.chosen.iter().flatten();
            most = most.max(inside.filter(|drive| gone.contains(&drive.id)).count());
        }
        if let Some((at, ways)) = open {
            // What only chooses spares changes nothing, and would be most of the tree.
            if at < usize::from(what.layout.width()) {
                let mut choices = choices.clone();
                choices.resize(at, 0);
                for way in 0..ways {
                    let mut next = choices.clone();
                    next.push(way);
                    todo.push(next);
                }
            }
        }
    }
    most
}

#[test]
fn the_worst_placement_is_the_worst_of_all_that_can_be_chosen() {
    let region = region();
    for (zones, layout, protect) in CASES {
        let drives = topology(zones);
        let what = ask(&drives, &region, layout, *protect);
        for outcome in what.failures() {
            let gone = outcome.failed.iter().flat_map(Unit::drives).copied();
            let expected = worst(&what, &gone.collect());
            assert_eq!(
                outcome.fragments, expected,
                "{zones:?} {layout} {protect:?}: {:?}",
                outcome.failed
            );
        }
    }
}

async fn put(blobs: &Blobs, what: &WhatIf<'_>, data: &Bytes) -> Option<(BlobLocation, bool)> {
    let spec = PutSpec {
        blob: BlobId::generate(),
        len: data.len() as u64,
        layout: what.layout,
        region: what.region.clone(),
        generation: Generation(0),
        protect: what.protect,
        quorum: what.quorum,
    };
    let body = stream::iter([Ok::<Bytes, std::convert::Infallible>(data.clone())]);
    let receipt = blobs.put(spec, body).await.ok()?;
    let location = BlobLocation {
        blob: receipt.blob,
        len: receipt.len,
        placement: receipt.placement,
    };
    Some((location, receipt.debts.is_empty()))
}

/// Puts blobs, takes the drives of each failure away, and sees who can be read and what a put says.
#[tokio::test(start_paused = true)]
async fn drives_that_are_taken_away_do_what_was_said() {
    let region = region();
    let data = Bytes::from(vec![0x5A; 3000]);
    let (mut lost, mut blocked) = (0, 0);
    for (seed, (zones, layout, protect)) in (0..).zip(CASES) {
        let drives = topology(zones);
        let what = ask(&drives, &region, layout, *protect);
        let store = TestStore::new(drives.clone());
        let blobs = Blobs::with_seed(
            Arc::new(store.clone()),
            Arc::new(Reference::new()),
            &Config::default(),
            Arc::new(NoObserver),
            seed,
        );
        let mut stored = Vec::new();
        for _ in 0..30 {
            stored.extend(put(&blobs, &what, &data).await);
        }
        assert_eq!(stored.is_empty(), what.now().writes == Writes::Blocked);
        for outcome in what.failures() {
            let gone: BTreeSet<_> = outcome.failed.iter().flat_map(Unit::drives).collect();
            for drive in &gone {
                store.set_state(**drive, DriveState::Missing);
                store.fault(**drive, Fault::Read);
            }
            let said = format!("{zones:?} {layout} {protect:?}: {outcome:?}");
            let mut unreadable = 0;
            for (location, _) in &stored {
                let read: Result<Vec<Bytes>, _> = blobs
                    .get(location.clone(), 0..location.len)
                    .try_collect()
                    .await;
                let inside = location
                    .fragments()
                    .filter(|(drive, _)| gone.contains(drive));
                assert!(inside.count() <= outcome.fragments, "{said}");
                match read {
                    Ok(bytes) => assert_eq!(bytes.concat(), data),
                    Err(_) => unreadable += 1,
                }
            }
            if outcome.loses {
                lost += 1;
                assert!(unreadable > 0, "30 blobs, and none is lost: {said}");
            } else {
                assert_eq!(unreadable, 0, "{said}");
            }
            let written = put(&blobs, &what, &data).await;
            let writes = match &written {
                None => Writes::Blocked,
                Some((_, true)) => Writes::Whole,
                Some((_, false)) => Writes::Owing,
            };
            assert_eq!(writes, outcome.writes, "{said}");
            blocked += u32::from(writes == Writes::Blocked);
            for drive in gone {
                store.set_state(*drive, DriveState::Online);
            }
            store.heal();
        }
    }
    assert!(lost > 5 && blocked > 5, "{lost} {blocked}");
}

/// What was written before a drive went away has one fragment less to lose.
#[tokio::test(start_paused = true)]
async fn drives_that_are_away_already_count() {
    let region = region();
    let data = Bytes::from(vec![0x5A; 3000]);
    let mut lost = 0;
    for (drives, away, layout) in [
        (6, 1, "4+2"),
        (6, 2, "4+2"),
        (7, 2, "4+2"),
        (4, 2, "copies:3"),
    ] {
        let drives = topology(&[&"a".repeat(drives)]);
        let store = TestStore::new(drives.clone());
        let blobs = Blobs::with_seed(
            Arc::new(store.clone()),
            Arc::new(Reference::new()),
            &Config::default(),
            Arc::new(NoObserver),
            3,
        );
        let well = ask(&drives, &region, layout, FailureDomain::Drive);
        let mut stored = Vec::new();
        for _ in 0..60 {
            stored.extend(put(&blobs, &well, &data).await);
        }
        for drive in &drives[..away] {
            store.set_state(drive.id, DriveState::Missing);
            store.fault(drive.id, Fault::Read);
        }
        let now = store.drives();
        let what = ask(&now, &region, layout, FailureDomain::Drive);
        // Any one of the others stands for all of them.
        for outcome in what.failures() {
            let gone = outcome.failed.iter().flat_map(Unit::drives);
            for drive in gone.clone() {
                store.fault(*drive, Fault::Read);
            }
            let mut unreadable = 0;
            for (location, _) in &stored {
                let read = blobs.get(location.clone(), 0..location.len);
                let read: Result<Vec<Bytes>, _> = read.try_collect().await;
                unreadable += u32::from(read.is_err());
            }
            assert_eq!(
                outcome.loses,
                unreadable > 0,
                "{layout} {away}: {outcome:?}"
            );
            lost += u32::from(outcome.loses);
            store.heal();
            for drive in &drives[..away] {
                store.fault(drive.id, Fault::Read);
            }
        }
    }
    assert!(lost > 3, "{lost}");
}

#[test]
fn one_machine_at_four_and_two() {
    let region = region();
    let drives = topology(&["aaaaaa"]);
    let what = ask(&drives, &region, "4+2", FailureDomain::Drive);
    assert_eq!(what.now().writes, Writes::Whole);
    assert_eq!(what.spares_at_acknowledgement(), 1);
    let outcomes = what.failures();
    assert_eq!(
        outcomes.len(),
        3,
        "two drives stand for six, and one pair for all"
    );
    let one = &outcomes[0];
    assert_eq!(
        (one.fragments, one.loses, one.writes),
        (1, false, Writes::Owing)
    );
    let two = &outcomes[2];
    assert_eq!(
        (two.fragments, two.loses, two.writes),
        (2, false, Writes::Blocked)
    );
}
