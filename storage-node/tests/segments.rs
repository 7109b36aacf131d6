//! Segments over a long time: they are merged, emptied and removed, tombstones do not pile up, and
//! what was removed does not come back; readers never notice.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::Duration;

use common::{Lab, drive, run};
use holdfast_storage_node::LocalStore;
use holdfast_storage_node::conformance::Sample;
use holdfast_storage_node::disk::{Fault, SimOp, Survival};
use holdfast_types::{DriveState, FragmentStore, StoreError};

fn tiny(seed: u64) -> Sample {
    Sample::new("copies:2", 200 + seed % 400, seed)
}

async fn put_all(lab: &Lab, store: &LocalStore, samples: &[Sample]) {
    let done = futures::future::join_all(samples.iter().map(|sample| lab.put(store, sample))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

async fn delete_all(lab: &Lab, store: &LocalStore, samples: &[Sample]) {
    let ids = samples.iter().map(|sample| &sample.header.id);
    let done = futures::future::join_all(ids.map(|id| store.delete(lab.id, id))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

async fn quiet(lab: &Lab) {
    let mut last = 0;
    while lab.disk.operations() != last {
        last = lab.disk.operations();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn bytes_in_segments(lab: &Lab) -> usize {
    let names = lab.disk.names("segments");
    names
        .iter()
        .map(|name| lab.disk.peek(&format!("segments/{name}")).unwrap().len())
        .sum()
}

#[test]
fn what_lives_long_does_not_keep_the_tombstones_of_all_that_came_and_went() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let old: Vec<Sample> = (0..100).map(tiny).collect();
        put_all(&lab, &store, &old).await;
        for round in 0..60 {
            let passing: Vec<Sample> = (0..50).map(|seed| tiny(1000 + round * 50 + seed)).collect();
            put_all(&lab, &store, &passing).await;
            delete_all(&lab, &store, &passing).await;
        }
        quiet(&lab).await;
        let stats = store.stats()[0].1;
        assert!(stats.compactions > 5, "{stats:?}");
        // 100 fragments of up to 600 bytes; 3000 others came and went.
        let bytes = bytes_in_segments(&lab);
        assert!(
            bytes < 8 * (32 << 10),
            "{bytes} bytes in {:?}",
            lab.disk.names("segments")
        );
        drop(store);
        lab.disk.power_cycle(Survival::Nothing);
        let store = lab.open().await;
        assert_eq!(
            store.list(lab.id, None, 1000).await.unwrap().len(),
            old.len()
        );
        for sample in &old {
            assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
        }
    });
}

#[test]
fn what_was_removed_does_not_come_back_when_its_tombstones_segment_goes() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        // The first segment stays: most of it lives on.
        let first: Vec<Sample> = (0..60).map(tiny).collect();
        put_all(&lab, &store, &first).await;
        let (gone, kept) = first.split_at(10);
        // Their tombstones go into later segments, which are emptied again and again.
        for round in 0..30 {
            let passing: Vec<Sample> = (0..40).map(|seed| tiny(5000 + round * 40 + seed)).collect();
            put_all(&lab, &store, &passing).await;
            delete_all(
                &lab,
                &store,
                &gone[(round as usize) % 10..=(round as usize) % 10],
            )
            .await;
            delete_all(&lab, &store, &passing).await;
            if round % 7 == 0 {
                quiet(&lab).await;
            }
        }
        quiet(&lab).await;
        for survival in [Survival::Nothing, Survival::Everything] {
            let lab = lab.fork();
            lab.disk.power_cycle(survival);
            let store = lab.open().await;
            for sample in gone {
                let read = sample.read(&store, lab.id).await;
                assert!(matches!(read, Err(StoreError::NotFound { .. })), "{read:?}");
            }
            assert_eq!(
                store.list(lab.id, None, 1000).await.unwrap().len(),
                kept.len()
            );
        }
    });
}

#[test]
fn readers_do_not_notice_that_records_move() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let kept: Vec<Sample> = (0..40).map(tiny).collect();
        put_all(&lab, &store, &kept).await;
        let churn = async {
            for round in 0..40 {
                let passing: Vec<Sample> = (0..60).map(|seed| tiny(round * 60 + seed)).collect();
                put_all(&lab, &store, &passing).await;
                delete_all(&lab, &store, &passing).await;
            }
        };
        let read = async {
            let mut reads = 0;
            for sample in kept.iter().cycle().take(4000) {
                assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
                assert_eq!(
                    store.stat(lab.id, &sample.header.id).await.unwrap(),
                    sample.header
                );
                reads += 1;
            }
            reads
        };
        let ((), reads) = tokio::join!(churn, read);
        assert_eq!(reads, 4000);
        assert!(store.stats()[0].1.compactions > 0);
    });
}

#[test]
fn the_segments_of_many_restarts_are_merged() {
    run(async {
        let lab = Lab::new();
        let mut kept = Vec::new();
        for seed in 0..40 {
            let store = lab.open().await;
            let sample = tiny(seed);
            lab.put(&store, &sample).await.unwrap();
            kept.push(sample);
            quiet(&lab).await;
            drop(store);
            lab.disk.kill();
        }
        let names = lab.disk.names("segments");
        assert!(names.len() < 15, "{names:?}");
        let store = lab.open().await;
        for sample in &kept {
            assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
        }
    });
}

#[test]
fn a_bad_block_stays_bad_when_it_moves() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let rotten = Sample::new("1+0/4096", 10_000, 1);
        lab.put(&store, &rotten).await.unwrap();
        let path = format!("segments/{}", lab.disk.names("segments")[0]);
        let head_len = 120 + 3 * 8 + 8;
        lab.disk.flip_bit(&path, 4096 + head_len + 4096 + 5, 2);
        let mut expected = rotten.whole();
        expected[1] = None;
        assert_eq!(rotten.read(&store, lab.id).await.unwrap(), expected);
        for round in 0..20 {
            let passing: Vec<Sample> = (0..30).map(|seed| tiny(round * 30 + seed)).collect();
            put_all(&lab, &store, &passing).await;
            delete_all(&lab, &store, &passing).await;
        }
        quiet(&lab).await;
        assert!(lab.disk.peek(&path).is_none(), "it moved");
        assert_eq!(rotten.read(&store, lab.id).await.unwrap(), expected);
    });
}

#[test]
fn a_page_that_cannot_be_read_costs_its_records_only() {
    run(async {
        let mut lab = Lab::new();
        lab.config.segment_bytes = 1 << 20;
        let store = lab.open().await;
        let samples: Vec<Sample> = (0..10).map(tiny).collect();
        for sample in &samples {
            lab.put(&store, sample).await.unwrap();
        }
        drop(store);
        // Reads at open: the identity, the segment's head, one window; then page by page, of which
        // the fourth (the third record's) fails too.
        lab.disk.inject(Fault::once(SimOp::Read).after(2));
        lab.disk.inject(Fault::once(SimOp::Read).after(2 + 3));
        let store = lab.open().await;
        assert_eq!(drive(&store).state, DriveState::Online);
        let stats = store.stats()[0].1;
        assert_eq!(stats.bad_records, 1, "{stats:?}");
        let mut lost = 0;
        for sample in &samples {
            match sample.read(&store, lab.id).await {
                Ok(read) => assert_eq!(read, sample.whole()),
                Err(StoreError::NotFound { .. }) => lost += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(lost, 1);
    });
}
