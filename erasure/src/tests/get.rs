//! Gets: ranges, what is read for them, slow and failing drives.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use futures::StreamExt as _;
use holdfast_types::{DriveId, FragmentStore as _, Layout};
use proptest::prelude::{any, prop_assert_eq, proptest};
use tokio::time::Instant;

use super::{Lab, bytes, location, read};
use crate::health::{HEDGE_INITIAL, HEDGE_MAX, HEDGE_MIN, SUSPECT_MIN};
use crate::run::READ_DEADLINE;
use crate::testing::Fault;
use crate::{Damage, FragmentReport, GetError, MalformedPlacement, Receipt};

const STRIPE: usize = 4 * 4096;
const LAYOUT: &str = "4+2/4096";

fn drive(receipt: &Receipt, fragment: usize) -> DriveId {
    receipt.placement.drives[fragment].unwrap()
}

/// Every block that was read, and that no block was read twice.
fn blocks_read(lab: &Lab) -> BTreeSet<(u8, u64)> {
    let mut blocks = BTreeSet::new();
    for (_, fragment, first, count) in lab.store.take_reads() {
        for block in first..first + count {
            assert!(
                blocks.insert((fragment, block)),
                "{fragment} {block} was read twice"
            );
        }
    }
    blocks
}

fn needed(layout: &str, range: Range<u64>, len: u64) -> BTreeSet<(u8, u64)> {
    let layout: Layout = layout.parse().unwrap();
    layout
        .blocks(range, len)
        .map(|block| (block.fragment, block.stripe))
        .collect()
}

proptest! {
    #[test]
    fn a_range_is_right_and_reads_only_its_blocks(from in any::<u32>(), to in any::<u32>(), at in 0_usize..4) {
        let (layout, len) =
            [("4+2/4096", 37 * STRIPE + 4100), ("5+2/8192", 100), ("copies:2", 400_000), ("3+1/4096", 65_537)][at];
        let (from, to) = (from as usize % (len + 1), to as usize % (len + 1));
        let range = from.min(to)..from.max(to);
        let wide = range.start as u64..range.end as u64;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new(7);
            let data = bytes(len, 1);
            let receipt = lab.put(layout, &data).await;
            let got = read(lab.blobs.get(location(&receipt), wide.clone())).await.unwrap();
            assert_eq!(got, data[range]);
            prop_assert_eq!(blocks_read(&lab), needed(layout, wide, len as u64));
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_cannot_be_a_range_or_a_placement_is_refused() {
    let lab = Lab::new(6);
    let receipt = lab.put(LAYOUT, &bytes(100, 1)).await;
    let error = read(lab.blobs.get(location(&receipt), 0..101))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        GetError::Range {
            range: 0..101,
            len: 100
        }
    );
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    let error = read(lab.blobs.get(location(&receipt), 50..40))
        .await
        .unwrap_err();
    assert!(matches!(error, GetError::Range { .. }));
    assert_eq!(
        read(lab.blobs.get(location(&receipt), 100..100))
            .await
            .unwrap(),
        ""
    );
    let mut short = location(&receipt);
    short.placement.drives.pop();
    let error = read(lab.blobs.get(short, 0..100)).await.unwrap_err();
    let expected = MalformedPlacement::Width {
        expected: 6,
        found: 5,
    };
    assert_eq!(error, GetError::Placement(expected));
}

#[tokio::test]
async fn consecutive_small_blocks_are_read_in_one_call() {
    let lab = Lab::new(6);
    let data = bytes(321 * STRIPE, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
    let reads = lab.store.take_reads().len();
    // One stripe for the first byte, then 32 (512 KiB) at a time, of four fragments.
    assert_eq!(reads, (1 + 320 / 32) * 4);
}

#[tokio::test(start_paused = true)]
async fn the_first_byte_waits_for_one_block_only() {
    let lab = Lab::new(6);
    let data = bytes(50 * STRIPE, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    for fragment in 1..6 {
        lab.store.fault(
            drive(&receipt, fragment),
            Fault::SlowRead(Duration::from_secs(5)),
        );
    }
    let start = Instant::now();
    let mut reader = lab.blobs.get(location(&receipt), 0..receipt.len);
    assert_eq!(reader.next().await.unwrap().unwrap(), data[..4096]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let rest: Vec<_> = reader.map(|part| part.unwrap()).collect().await;
    assert_eq!(rest.concat(), data[4096..]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_drive_costs_the_hedge_and_is_then_spared() {
    for fault in [Fault::HangRead, Fault::SlowRead(Duration::from_secs(20))] {
        let lab = Lab::new(6);
        let data = bytes(STRIPE, 1);
        let receipt = lab.put(LAYOUT, &data).await;
        let slow = drive(&receipt, 1);
        lab.store.fault(slow, fault);
        let mut costs = Vec::new();
        for _ in 0..20 {
            let start = Instant::now();
            assert_eq!(lab.get(&receipt).await.unwrap(), data);
            costs.push(start.elapsed());
            tokio::time::advance(Duration::from_millis(200)).await;
        }
        let milli = Duration::from_millis(1);
        assert!(
            (HEDGE_INITIAL..=HEDGE_INITIAL + milli).contains(&costs[0]),
            "{costs:?}"
        );
        assert!(
            costs.iter().all(|cost| *cost <= HEDGE_INITIAL + milli),
            "{costs:?}"
        );
        let paid = costs.iter().filter(|cost| **cost >= HEDGE_MIN).count();
        assert_eq!(paid, 3, "after three it is known to be slow: {costs:?}");
        lab.store.take_reads();
        lab.get(&receipt).await.unwrap();
        assert!(lab.store.take_reads().iter().all(|read| read.0 != slow));
        assert_eq!(lab.reports.take(), [], "slow is not damaged");

        lab.store.heal();
        tokio::time::advance(SUSPECT_MIN).await;
        lab.get(&receipt).await.unwrap();
        let asked: Vec<_> = lab.store.take_reads().iter().map(|read| read.1).collect();
        assert_eq!(
            asked.len(),
            4,
            "healed, it is asked again and nothing else is"
        );
        assert!(asked.contains(&1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_block_that_comes_first_is_welcome() {
    let lab = Lab::new(6);
    let data = bytes(STRIPE, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    // Late, but its replacements are later.
    let late = HEDGE_INITIAL + Duration::from_millis(10);
    lab.store.fault(drive(&receipt, 0), Fault::SlowRead(late));
    for fragment in [4, 5] {
        lab.store.fault(drive(&receipt, fragment), Fault::HangRead);
    }
    let start = Instant::now();
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
    assert!(start.elapsed() <= late + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn without_parity_a_slow_drive_is_waited_for_and_a_dead_one_named() {
    let lab = Lab::new(3);
    let data = bytes(3 * 4096 * 5, 1);
    let receipt = lab.put("3+0/4096", &data).await;
    lab.store
        .fault(drive(&receipt, 2), Fault::SlowRead(Duration::from_secs(9)));
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
    lab.store.heal();
    lab.store.fault(drive(&receipt, 2), Fault::HangRead);
    let start = Instant::now();
    let error = lab.get(&receipt).await.unwrap_err();
    assert!(start.elapsed() <= READ_DEADLINE + HEDGE_MAX);
    let GetError::Unavailable {
        have: 2,
        need: 3,
        reasons,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].drive, Some(drive(&receipt, 2)));
    assert!(
        reasons[0].reason.contains("did not answer in 30 s"),
        "{}",
        reasons[0].reason
    );
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_failed_is_not_asked_for_every_block() {
    let lab = Lab::new(6);
    let data = bytes(640 * STRIPE, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    let bad = [drive(&receipt, 0), drive(&receipt, 3)];
    bad.iter()
        .for_each(|drive| lab.store.fault(*drive, Fault::Read));
    let start = Instant::now();
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
    assert_eq!(start.elapsed(), Duration::ZERO, "no timeout is waited for");
    for drive in bad {
        let asked = lab
            .store
            .take_reads()
            .iter()
            .filter(|read| read.0 == drive)
            .count();
        assert!(asked <= 3, "{asked}: only by the runs that were under way");
    }
    assert_eq!(
        lab.reports.take(),
        [],
        "a drive's failure is not a fragment's damage"
    );
}

#[tokio::test(start_paused = true)]
async fn suspects_are_asked_when_nothing_else_is_left() {
    let lab = Lab::new(6);
    let data = bytes(STRIPE, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    for fragment in 0..6 {
        lab.store.fault(drive(&receipt, fragment), Fault::Read);
    }
    let error = lab.get(&receipt).await.unwrap_err();
    let GetError::Unavailable {
        need: 4, reasons, ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(reasons.len() >= 3);
    lab.store.heal();
    assert_eq!(
        lab.get(&receipt).await.unwrap(),
        data,
        "though all are suspect"
    );
}

#[tokio::test]
async fn copies_are_read_from_any_drive() {
    let lab = Lab::new(3);
    let data = bytes(300_000, 1);
    let receipt = lab.put("copies:3", &data).await;
    let fragments: Vec<_> = location(&receipt).fragments().collect();
    lab.store.rot(fragments[0].0, &fragments[0].1, 1);
    lab.store.lose(fragments[1].0, &fragments[1].1);
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
    let mut reports = lab.reports.take();
    reports.sort_by_key(|report| report.index);
    let expected = |fragment: usize, damage| FragmentReport {
        blob: receipt.blob,
        region: receipt.placement.region.clone(),
        generation: receipt.placement.generation,
        index: fragments[fragment].1.index,
        drive: fragments[fragment].0,
        damage,
    };
    assert_eq!(
        reports,
        [expected(0, Damage::Corrupt), expected(1, Damage::Missing)]
    );
}

#[tokio::test]
async fn the_ends_of_a_blob_are_read_though_its_middle_is_lost() {
    let lab = Lab::new(6);
    let data = bytes(10 * STRIPE, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    for (drive, id) in location(&receipt).fragments().take(3) {
        lab.store.rot(drive, &id, 5);
    }
    let len = receipt.len;
    let (start, end) = (5 * STRIPE as u64, 6 * STRIPE as u64);
    assert_eq!(
        read(lab.blobs.get(location(&receipt), 0..start))
            .await
            .unwrap(),
        data[..5 * STRIPE]
    );
    assert_eq!(
        read(lab.blobs.get(location(&receipt), end..len))
            .await
            .unwrap(),
        data[6 * STRIPE..]
    );
    let last_block = start + 3 * 4096;
    let block = read(lab.blobs.get(location(&receipt), last_block..end))
        .await
        .unwrap();
    assert_eq!(
        block,
        data[last_block as usize..end as usize],
        "its own block is well"
    );
    assert!(
        read(lab.blobs.get(location(&receipt), start..end))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_reader_that_leaves_leaves_nothing() {
    let lab = Lab::new(6);
    let receipt = lab.put(LAYOUT, &bytes(500 * STRIPE, 1)).await;
    for taken in 0..20 {
        let reader = lab.blobs.get(location(&receipt), 0..receipt.len);
        let count = reader.take(taken).count().await;
        assert_eq!(count, taken);
        assert_eq!(lab.blobs.memory_use().reads_bytes, 0);
    }
    assert!(lab.store.drives().len() == 6);
}
