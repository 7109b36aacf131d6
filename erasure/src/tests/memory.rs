//! However many requests come at once, the blocks that they hold stay within the budget.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use holdfast_types::{FragmentStore as _, Layout};

use super::{Lab, bytes, location, read, spec};
use crate::testing::{Fault, TestStore};
use crate::{GetError, PutError, get, put};

const LAYOUT: &str = "4+2/4096";
const STRIPE: u64 = 4 * 4096;
const CHUNK: u64 = 4096;

/// A body without end that counts what is taken from it.
fn counted(
    taken: &Arc<AtomicU64>,
) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + use<> {
    let taken = Arc::clone(taken);
    stream::repeat_with(move || {
        taken.fetch_add(CHUNK, Ordering::SeqCst);
        Ok(Bytes::from(vec![7; CHUNK as usize]))
    })
}

#[tokio::test(start_paused = true)]
async fn puts_take_no_more_from_their_clients_than_the_budget_holds() {
    let limit = 4 << 20;
    let lab = Lab::over(TestStore::with_drives(6), 2 * limit);
    for drive in lab.store.drives() {
        lab.store.fault(drive.id, Fault::HangWrite(0));
    }
    let taken = Arc::new(AtomicU64::new(0));
    let puts: Vec<_> = (0..200)
        .map(|_| {
            let (blobs, body) = (lab.blobs.clone(), counted(&taken));
            tokio::spawn(async move { blobs.put(spec(LAYOUT, 1 << 30), body).await.map(drop) })
        })
        .collect();
    // Nothing that was taken has left memory: no drive takes a block.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let need = put::memory_needed(LAYOUT.parse().unwrap(), 1 << 30);
    assert_eq!(need, 3 * 6 * 4096);
    let at_once = limit / need;
    let held = at_once * need;
    assert!((held..=limit).contains(&lab.blobs.memory_use().writes_bytes));
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken > at_once * STRIPE, "they do read ahead");
    assert!(
        taken * 6 / 4 <= held,
        "{taken} bytes taken, with parity more than {held}"
    );

    let mut busy = 0;
    for put in puts {
        match put.await.unwrap() {
            Err(PutError::Busy(_)) => busy += 1,
            Err(PutError::Quorum(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(busy, 200 - at_once, "the others are told to slow down");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(lab.blobs.memory_use().writes_bytes, 0);
    assert_eq!(lab.store.held_blocks(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_puts_through_a_small_budget_all_come_through() {
    let lab = Lab::over(TestStore::with_drives(6), 1 << 20);
    lab.store.slow_writes(Duration::from_millis(1));
    let puts = (0..100).map(|at| {
        let lab = &lab;
        async move {
            let data = bytes(10 * STRIPE as usize + at, at as u64);
            let receipt = lab.put(LAYOUT, &data).await;
            assert!(lab.blobs.memory_use().writes_bytes <= 1 << 19);
            (receipt, data)
        }
    });
    for (receipt, data) in futures::future::join_all(puts).await {
        assert_eq!(receipt.debts, []);
        assert_eq!(lab.get(&receipt).await.unwrap(), data);
    }
}

#[tokio::test(start_paused = true)]
async fn readers_that_stop_taking_stop_the_reading_ahead() {
    let limit: u64 = 8 << 20;
    let lab = Lab::over(TestStore::with_drives(6), 2 * limit);
    let data = bytes(200 * STRIPE as usize, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    let mut readers = Vec::new();
    let refused = loop {
        let mut reader = lab.blobs.get(location(&receipt), 0..receipt.len);
        match reader.next().await.unwrap() {
            Ok(first) => assert_eq!(first, data[..4096]),
            Err(error) => break error,
        }
        readers.push(reader);
    };
    assert!(matches!(refused, GetError::Busy(_)), "{refused}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let read_bytes: u64 = lab
        .store
        .take_reads()
        .iter()
        .map(|read| read.3 * 4096)
        .sum();
    let held = lab.blobs.memory_use().reads_bytes;
    assert!(readers.len() > 1 && held <= limit);
    assert!(
        read_bytes <= held,
        "{read_bytes} read and not taken, {held} of the budget"
    );
    drop(readers);
    assert_eq!(lab.blobs.memory_use().reads_bytes, 0);
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
}

#[tokio::test]
async fn a_layout_bigger_than_the_budget_still_works_alone() {
    let lab = Lab::over(TestStore::with_drives(6), 8192);
    let data = bytes(10 * STRIPE as usize, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
}

#[test]
fn a_small_request_takes_a_small_share() {
    let layout: Layout = "4+2".parse().unwrap();
    assert_eq!(put::memory_needed(layout, 100), 6 * 25);
    assert_eq!(put::memory_needed(layout, u64::MAX), 3 * 6 * (128 << 10));
    assert_eq!(put::memory_needed("copies:3".parse().unwrap(), 1000), 1000);
    assert_eq!(get::memory_needed(layout, 100, &(0..1)), 6 * 25);
    assert_eq!(
        get::memory_needed(layout, u64::MAX, &(5..6)),
        6 * (128 << 10)
    );
    assert_eq!(
        get::memory_needed(layout, u64::MAX, &(0..1 << 40)),
        3 * 6 * (128 << 10)
    );
}

#[tokio::test]
async fn a_get_and_a_put_of_the_same_process_do_not_wait_for_each_other() {
    // As a re-encode does it; one budget for both would be used up by the get.
    let lab = Lab::over(TestStore::with_drives(6), 8192);
    let data = bytes(10 * STRIPE as usize, 1);
    let receipt = lab.put(LAYOUT, &data).await;
    let body = lab.blobs.get(location(&receipt), 0..receipt.len);
    let copy = lab
        .blobs
        .put(spec("2+1/8192", data.len()), body)
        .await
        .unwrap();
    assert_eq!(
        read(lab.blobs.get(location(&copy), 0..copy.len))
            .await
            .unwrap(),
        data
    );
}
