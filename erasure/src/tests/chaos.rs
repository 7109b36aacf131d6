//! Many seeds of everything at once: whatever fails, a byte that comes out is right.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use holdfast_types::{DriveState, FragmentStore as _};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};

use super::{Lab, body, bytes, location, spec};
use crate::testing::Fault;
use crate::{GetError, PutError, Receipt};

const LAYOUTS: [&str; 7] = [
    "4+2/4096",
    "1+1/4096",
    "2+0/4096",
    "6+3/8192",
    "copies:3",
    "copies:1",
    "10+4/4096",
];

fn write_fault(rng: &mut StdRng) -> Fault {
    let at = rng.random_range(0..6);
    let delay = Duration::from_millis(rng.random_range(0..8000));
    *[
        Fault::Create,
        Fault::Write(at),
        Fault::Commit,
        Fault::HangCreate,
        Fault::HangWrite(at),
        Fault::HangCommit,
        Fault::SlowWrite(delay / 4),
        Fault::SlowCommit(delay),
    ]
    .choose(rng)
    .unwrap()
}

/// Breaks a fragment's drive or the fragment itself, for good or for a while.
fn break_one(lab: &Lab, receipt: &Receipt, index: usize, rng: &mut StdRng) {
    let location = location(receipt);
    let (drive, id) = location.fragments().nth(index).unwrap();
    match rng.random_range(0..5) {
        0 => lab.store.fault(drive, Fault::Read),
        1 => lab.store.fault(drive, Fault::HangRead),
        2 => lab.store.fault(
            drive,
            Fault::SlowRead(Duration::from_secs(rng.random_range(1..60))),
        ),
        3 => lab.store.lose(drive, &id),
        _ => {
            for block in 0..location.header(0).blocks() as usize {
                if rng.random_bool(0.5) {
                    lab.store.rot(drive, &id, block);
                }
            }
        }
    }
}

/// All bytes that come out, and how it ended.
async fn drain(lab: &Lab, receipt: &Receipt, from: u64, to: u64) -> (Vec<u8>, Option<GetError>) {
    let mut stream = lab.blobs.get(location(receipt), from..to);
    let mut got = Vec::new();
    while let Some(part) = stream.next().await {
        match part {
            Ok(part) => got.extend_from_slice(&part),
            Err(error) => return (got, Some(error)),
        }
    }
    (got, None)
}

async fn story(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let layout = *LAYOUTS.choose(&mut rng).unwrap();
    let layout_width = usize::from(spec(layout, 1).layout.width());
    let lab = Lab::new(layout_width + rng.random_range(0..3));
    let len = rng.random_range(1..300_000);
    let data = bytes(len, seed);
    let drives = lab.store.drives();
    for drive in &drives {
        if rng.random_bool(0.2) {
            lab.store.fault(drive.id, write_fault(&mut rng));
        } else if rng.random_bool(0.05) {
            lab.store.set_state(drive.id, DriveState::ReadOnly);
        }
    }
    let spec = spec(layout, len);
    let quorum = usize::from(spec.layout.write_quorum());
    let put = tokio::time::timeout(
        Duration::from_secs(600),
        lab.blobs.put(spec, body(&data, 9000)),
    );
    let receipt = match put.await.expect("a put ends") {
        Ok(receipt) => receipt,
        Err(PutError::Quorum(_) | PutError::TooFewDrives(_)) => return,
        Err(error) => panic!("seed {seed}: {error}"),
    };
    let durable: Vec<_> = location(&receipt).fragments().collect();
    assert!(durable.len() >= quorum, "seed {seed}");
    assert_eq!(
        durable.len() + receipt.debts.len(),
        layout_width,
        "seed {seed}"
    );
    for (drive, id) in &durable {
        assert!(
            lab.store.has(*drive, id),
            "seed {seed}: {id} is in the receipt and not durable"
        );
    }

    lab.store.heal();
    let spare = durable.len() - usize::from(receipt.placement.layout.k());
    let breaks = rng.random_range(0..=spare + 1);
    let mut order: Vec<usize> = (0..durable.len()).collect();
    order.shuffle(&mut rng);
    order.truncate(breaks);
    order
        .iter()
        .for_each(|&index| break_one(&lab, &receipt, index, &mut rng));
    for _ in 0..3 {
        let (from, to) = (rng.random_range(0..=len), rng.random_range(0..=len));
        let (from, to) = (from.min(to), from.max(to));
        let (got, error) = drain(&lab, &receipt, from as u64, to as u64).await;
        let expected: Bytes = data.slice(from..to);
        match error {
            None => assert!(expected == got, "seed {seed}: wrong bytes"),
            Some(error) => {
                assert!(
                    expected.starts_with(&got),
                    "seed {seed}: wrong bytes before an error"
                );
                assert!(
                    breaks > spare,
                    "seed {seed}: {breaks} of {spare} broken: {error}"
                );
            }
        }
    }
    assert_eq!(lab.blobs.memory_use().reads_bytes, 0, "seed {seed}");
    assert_eq!(lab.blobs.memory_use().writes_bytes, 0, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_stories_of_failing_drives() {
    for seed in 0..1000 {
        story(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_on_many_threads() {
    let lab = std::sync::Arc::new(Lab::new(8));
    let bad = lab.store.drives()[2].id;
    let tasks: Vec<_> = (0..64_u64)
        .map(|seed| {
            let lab = lab.clone();
            tokio::spawn(async move {
                let layout = LAYOUTS[[0, 1, 4][seed as usize % 3]];
                let data = bytes(seed as usize * 9973 + 1, seed);
                if seed == 20 {
                    lab.store.fault(bad, Fault::Write(1));
                    lab.store.fault(bad, Fault::Read);
                }
                let receipt = lab.put(layout, &data).await;
                assert_eq!(lab.get(&receipt).await.unwrap(), data);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counters = lab.blobs.counters();
    assert_eq!(counters.blobs_put, 64);
    assert_eq!(
        (counters.bytes_put, counters.bytes_got),
        (64 * 63 / 2 * 9973 + 64, counters.bytes_put)
    );
    assert_eq!(
        lab.blobs.memory_use().reads_bytes + lab.blobs.memory_use().writes_bytes,
        0
    );
}
