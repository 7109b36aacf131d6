//! Puts: bad bodies, drives that fail at each step, stalls, stragglers, clients that leave.

use std::convert::Infallible;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::poll_immediate;
use futures::{StreamExt as _, stream};
use holdfast_types::{
    Drive, DriveId, DriveState, FailureDomain, FragmentId, FragmentIndex, FragmentStore as _,
};
use tokio::time::Instant;

use super::{Lab, body, bytes, location, spec};
use crate::put::{STALL, STALL_SUSPECT, WRITE_DEADLINE};
use crate::testing::{Fault, TestStore, drive_in};
use crate::{Debt, PutError, PutSpec, Rebuilt};

const STRIPE: usize = 4 * 4096;
const LAYOUT: &str = "4+2/4096";

/// The drives by the fragment that they hold, in a put that nothing disturbed.
fn drives(lab: &Lab) -> Vec<DriveId> {
    lab.store.drives().iter().map(|drive| drive.id).collect()
}

fn debts(debts: &[Debt]) -> Vec<(FragmentIndex, Option<DriveId>)> {
    debts.iter().map(|debt| (debt.index, debt.drive)).collect()
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn nothing_is_left(lab: &Lab) {
    settle().await;
    assert_eq!(lab.store.fragment_count(), 0, "nothing became visible");
    assert_eq!(lab.store.open_writers(), 0, "no writer is left");
    assert_eq!(lab.blobs.memory_use().writes_bytes, 0, "no memory is held");
}

#[tokio::test]
async fn a_body_of_another_length_is_refused_and_leaves_nothing() {
    let lab = Lab::new(6);
    for (announced, sent) in [
        (1, 0),
        (100, 99),
        (100, 101),
        (STRIPE, STRIPE - 1),
        (STRIPE, STRIPE + 1),
        (5 * STRIPE, 1),
    ] {
        let data = bytes(sent, 1);
        let error = lab
            .blobs
            .put(spec(LAYOUT, announced), body(&data, 64))
            .await
            .unwrap_err();
        let PutError::LengthMismatch { expected, found } = error else {
            panic!("{error}")
        };
        assert_eq!(expected, announced as u64);
        assert_eq!(found > expected, sent > announced);
        nothing_is_left(&lab).await;
    }
    let error = lab
        .blobs
        .put(spec(LAYOUT, 0), body(&Bytes::new(), 64))
        .await
        .unwrap_err();
    assert!(matches!(error, PutError::Empty));
}

#[tokio::test]
async fn a_body_that_fails_even_at_its_very_end_leaves_nothing() {
    let lab = Lab::new(6);
    for len in [1, STRIPE, 4 * STRIPE + 3] {
        for sent in [0, len / 2, len] {
            let data = bytes(sent, 1);
            let body = body(&data, 1000).map(|chunk| chunk.map_err(|never| match never {}));
            let body = body.chain(stream::iter([Err("the checksum is wrong")]));
            let error = lab.blobs.put(spec(LAYOUT, len), body).await.unwrap_err();
            assert!(
                matches!(error, PutError::Body("the checksum is wrong")),
                "{error}"
            );
            nothing_is_left(&lab).await;
        }
    }
}

#[tokio::test]
async fn with_too_few_drives_the_body_is_not_touched() {
    let lab = Lab::new(6);
    for drive in &drives(&lab)[..2] {
        lab.store.set_state(*drive, DriveState::Missing);
    }
    let body = stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, Infallible>>> {
        panic!("the body was read")
    });
    let error = lab.blobs.put(spec(LAYOUT, 100), body).await.unwrap_err();
    let PutError::TooFewDrives(error) = error else {
        panic!("{error}")
    };
    assert_eq!(
        (error.needed, error.eligible, error.reasons.len()),
        (5, 4, 2)
    );
}

#[tokio::test]
async fn five_of_six_drives_take_a_write_and_the_sixth_fragment_is_owed() {
    let lab = Lab::new(6);
    lab.store.set_state(drives(&lab)[4], DriveState::Faulty);
    let data = bytes(3 * STRIPE, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    assert_eq!(debts(&receipt.debts), [(FragmentIndex(5), None)]);
    assert_eq!(receipt.placement.drives.iter().flatten().count(), 5);
    assert_eq!(receipt.placement.drives[5], None);
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
}

/// A put of `stripes` stripes while one of `count` drives has a fault. Asserts that the bytes can
/// be read, and gives the receipt and the drive.
async fn put_with(fault: Fault, count: usize, stripes: usize) -> (Lab, crate::Receipt, DriveId) {
    let lab = Lab::new(count);
    let data = bytes(stripes * STRIPE - 5, 1);
    // The seed is fixed: a first put shows which drive the next lab's put gives fragment 1.
    let dry = lab.put(LAYOUT, &data).await;
    let bad = dry.placement.drives[1].unwrap();
    let lab = Lab::over(TestStore::new(lab.store.drives()), 64 << 20);
    lab.store.fault(bad, fault);
    let receipt = lab.put(LAYOUT, &data).await;
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
    for (drive, id) in location(&receipt).fragments() {
        assert!(
            lab.store.has(drive, &id),
            "what is in the placement is durable"
        );
    }
    (lab, receipt, bad)
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_fails_early_is_replaced_by_a_spare() {
    for (fault, stripes) in [
        (Fault::Create, 1),
        (Fault::Create, 20),
        (Fault::Write(0), 1),
        (Fault::Write(0), 20),
        (Fault::Write(1), 2),
        (Fault::HangCreate, 20),
        (Fault::HangWrite(0), 20),
    ] {
        let (_lab, receipt, bad) = put_with(fault, 7, stripes).await;
        assert_eq!(receipt.debts, [], "{fault:?} {stripes}");
        assert!(!receipt.placement.drives.contains(&Some(bad)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_is_done_elsewhere_while_the_bytes_are_at_hand() {
    let (_lab, receipt, bad) = put_with(Fault::Commit, 7, 2).await;
    assert_eq!(receipt.debts, []);
    assert!(!receipt.placement.drives.contains(&Some(bad)));
    let strays: Vec<_> = receipt
        .strays
        .iter()
        .map(|stray| (stray.index, stray.drive))
        .collect();
    assert_eq!(
        strays,
        [(FragmentIndex(1), bad)],
        "that drive may have it after all"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_fails_later_or_has_no_spare_is_a_debt() {
    for (fault, count, stripes) in [
        (Fault::Create, 6, 1),
        (Fault::Create, 6, 20),
        (Fault::Write(0), 6, 20),
        (Fault::Write(3), 7, 20),
        (Fault::Write(19), 7, 20),
        (Fault::Commit, 6, 1),
        (Fault::Commit, 7, 20),
        (Fault::HangCreate, 6, 1),
        (Fault::HangCreate, 6, 20),
        (Fault::HangWrite(0), 6, 1),
        (Fault::HangWrite(7), 7, 20),
        (Fault::HangWrite(19), 7, 20),
        (Fault::HangCommit, 7, 20),
        (Fault::HangCommit, 7, 1),
    ] {
        let (lab, receipt, bad) = put_with(fault, count, stripes).await;
        assert_eq!(
            debts(&receipt.debts),
            [(FragmentIndex(1), Some(bad))],
            "{fault:?} {stripes}"
        );
        assert_eq!(receipt.placement.drives[1], None);
        assert_eq!(lab.blobs.memory_use().writes_bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn two_drives_lost_on_the_way_are_too_many_without_spares() {
    for fault in [
        Fault::Create,
        Fault::Write(0),
        Fault::Write(9),
        Fault::HangWrite(9),
    ] {
        let lab = Lab::new(6);
        let bad = &drives(&lab)[2..4];
        bad.iter().for_each(|drive| lab.store.fault(*drive, fault));
        let error = lab
            .try_put(LAYOUT, &bytes(20 * STRIPE, 1))
            .await
            .unwrap_err();
        let PutError::Quorum(error) = error else {
            panic!("{error}")
        };
        assert_eq!((error.needed, error.durable), (5, 4), "{fault:?}");
        let mut named: Vec<_> = error
            .reasons
            .iter()
            .filter_map(|reason| reason.drive)
            .collect();
        named.sort_unstable();
        let mut expected = bad.to_vec();
        expected.sort_unstable();
        assert_eq!(named, expected);
        nothing_is_left(&lab).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_commits_that_fail_or_hang_are_too_many() {
    for fault in [Fault::Commit, Fault::HangCommit] {
        let lab = Lab::new(6);
        drives(&lab)[..2]
            .iter()
            .for_each(|drive| lab.store.fault(*drive, fault));
        let start = Instant::now();
        let error = lab
            .try_put(LAYOUT, &bytes(20 * STRIPE, 1))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, PutError::Quorum(lost) if lost.durable == 4),
            "{error}"
        );
        assert!(start.elapsed() <= WRITE_DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_drive_costs_one_put_a_moment_and_the_next_less() {
    let lab = Lab::new(6);
    let slow = drives(&lab)[3];
    lab.store.fault(slow, Fault::HangWrite(4));
    let data = bytes(20 * STRIPE, 1);
    let start = Instant::now();
    assert_eq!(lab.put(LAYOUT, &data).await.debts.len(), 1);
    assert_eq!(start.elapsed(), STALL);
    let start = Instant::now();
    assert_eq!(lab.put(LAYOUT, &data).await.debts.len(), 1);
    assert_eq!(start.elapsed(), STALL_SUSPECT);
    lab.store.heal();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(
        lab.put(LAYOUT, &data).await.debts,
        [],
        "a drive that came back is used"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stragglers_fragment_is_a_debt_that_a_repair_finds_done() {
    let lab = Lab::new(6);
    let slow = drives(&lab)[3];
    lab.store
        .fault(slow, Fault::SlowCommit(Duration::from_secs(3)));
    let data = bytes(20 * STRIPE, 1);
    let start = Instant::now();
    let receipt = lab.put(LAYOUT, &data).await;
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(1),
        "the shortest grace"
    );
    let [
        Debt {
            index,
            drive: Some(drive),
            ..
        },
    ] = receipt.debts[..]
    else {
        panic!()
    };
    assert_eq!(drive, slow);
    let id = location(&receipt).fragment_id(index);
    assert!(!lab.store.has(slow, &id));
    assert_eq!(lab.blobs.memory_use().writes_bytes, 0, "it holds no memory");

    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(lab.store.has(slow, &id), "its commit went on");
    let outcome = lab
        .blobs
        .rebuild(location(&receipt), &[(index, slow)])
        .await
        .unwrap();
    assert_eq!(outcome, [Rebuilt::AlreadyThere]);
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_is_a_little_slow_is_waited_for() {
    let lab = Lab::new(6);
    lab.store.fault(
        drives(&lab)[3],
        Fault::SlowCommit(Duration::from_millis(900)),
    );
    assert_eq!(lab.put(LAYOUT, &bytes(STRIPE, 1)).await.debts, []);
}

#[tokio::test]
async fn a_protected_zone_makes_every_fragment_count() {
    let zones = ["a", "b", "c"].repeat(2);
    let drives: Vec<Drive> = zones.iter().map(|zone| drive_in(zone, zone)).collect();
    let lab = Lab::over(TestStore::new(drives.clone()), 64 << 20);
    let data = bytes(9 * STRIPE, 1);
    let put = |protect| {
        let spec = PutSpec {
            protect,
            ..spec(LAYOUT, data.len())
        };
        lab.blobs.put(spec, body(&data, 5000))
    };
    assert_eq!(put(FailureDomain::Zone).await.unwrap().debts, []);
    lab.store.fault(drives[0].id, Fault::Commit);
    let error = put(FailureDomain::Zone).await.unwrap_err();
    let PutError::Quorum(lost) = &error else {
        panic!("{error}")
    };
    assert_eq!(lost.durable, 5);
    assert!(
        error.to_string().contains("the loss of one zone"),
        "{error}"
    );
    assert_eq!(put(FailureDomain::Drive).await.unwrap().debts.len(), 1);
}

#[tokio::test]
async fn a_spare_is_taken_where_it_keeps_the_zone_rule() {
    let zones = ["a", "a", "a", "b", "b", "b", "c", "c", "c"];
    let drives: Vec<Drive> = zones.iter().map(|zone| drive_in(zone, zone)).collect();
    for failing in 0..drives.len() {
        let lab = Lab::over(TestStore::new(drives.clone()), 64 << 20);
        lab.store.fault(drives[failing].id, Fault::Create);
        let data = bytes(9 * STRIPE, 1);
        let spec = PutSpec {
            protect: FailureDomain::Zone,
            ..spec(LAYOUT, data.len())
        };
        let receipt = lab.blobs.put(spec, body(&data, 5000)).await.unwrap();
        assert_eq!(receipt.debts, [], "its own zone has another drive");
    }
}

#[tokio::test]
async fn a_client_that_leaves_at_any_moment_leaves_no_half_fragment() {
    let data = bytes(4 * STRIPE + 9, 1);
    let mut polls = 0;
    loop {
        let lab = Lab::new(6);
        let spec = spec(LAYOUT, data.len());
        let (blob, done) = {
            let blob = spec.blob;
            let slow_body = body(&data, 3000).then(|chunk| async {
                tokio::task::yield_now().await;
                chunk
            });
            let mut put = pin!(lab.blobs.put(spec, slow_body));
            let mut done = false;
            for _ in 0..polls {
                if poll_immediate(put.as_mut()).await.is_some() {
                    done = true;
                    break;
                }
                tokio::task::yield_now().await;
            }
            (blob, done)
        };
        settle().await;
        assert_eq!(lab.store.open_writers(), 0, "after {polls} polls");
        assert_eq!(
            lab.blobs.memory_use().writes_bytes,
            0,
            "after {polls} polls"
        );
        // The test store refuses a commit without all blocks, so what is there is whole.
        let seen = lab.store.fragment_count();
        assert!(
            seen <= 6 && (!done || seen == 6),
            "{seen} of {blob} after {polls} polls"
        );
        if done {
            return;
        }
        polls += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn once_commits_are_asked_for_they_end_whoever_leaves() {
    let lab = Lab::new(6);
    let all = drives(&lab);
    all.iter().for_each(|drive| {
        lab.store
            .fault(*drive, Fault::SlowCommit(Duration::from_secs(1)))
    });
    let data = bytes(STRIPE, 1);
    let spec = spec(LAYOUT, data.len());
    let blob = spec.blob;
    let put = tokio::time::timeout(
        Duration::from_millis(500),
        lab.blobs.put(spec, body(&data, 5000)),
    );
    assert!(put.await.is_err(), "the client leaves");
    assert_eq!(lab.store.fragment_count(), 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.store.fragment_count(), 6);
    assert_eq!(lab.store.open_writers(), 0);
    let ids: Vec<FragmentId> = lab.store.list(all[0], None, 10).await.unwrap();
    assert_eq!(ids[0].blob, blob);
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_is_many_times_slower_does_not_set_the_pace() {
    let lab = Lab::new(6);
    lab.store
        .fault(drives(&lab)[3], Fault::SlowWrite(Duration::from_secs(2)));
    let start = Instant::now();
    let receipt = lab.put(LAYOUT, &bytes(200 * STRIPE, 1)).await;
    assert_eq!(receipt.debts.len(), 1);
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_is_somewhat_slower_keeps_its_fragment() {
    let lab = Lab::new(6);
    lab.store.slow_writes(Duration::from_millis(100));
    lab.store
        .fault(drives(&lab)[3], Fault::SlowWrite(Duration::from_millis(60)));
    let start = Instant::now();
    assert_eq!(lab.put(LAYOUT, &bytes(500 * STRIPE, 1)).await.debts, []);
    assert!(start.elapsed() > Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_a_hung_drive_leaves_no_writer_and_no_memory() {
    for fault in [Fault::HangCreate, Fault::HangWrite(0), Fault::HangWrite(5)] {
        let lab = Lab::new(6);
        drives(&lab)
            .iter()
            .for_each(|drive| lab.store.fault(*drive, fault));
        let data = bytes(20 * STRIPE, 1);
        let put = lab.blobs.put(spec(LAYOUT, data.len()), body(&data, 5000));
        assert!(
            tokio::time::timeout(Duration::from_secs(1), put)
                .await
                .is_err(),
            "{fault:?}"
        );
        nothing_is_left(&lab).await;
        assert_eq!(lab.store.held_blocks(), 0);
    }
}
