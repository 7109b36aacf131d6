//! Rebuilds give the very same fragments, and deletes say what is gone.

use holdfast_types::{DriveId, FragmentId, FragmentIndex, FragmentStore as _, Layout};

use super::{Lab, bytes, location};
use crate::testing::{Fault, TestStore};
use crate::{BlobLocation, RebuildError, Rebuilt};

const STRIPE: usize = 4 * 4096;
const LAYOUT: &str = "4+2/4096";

fn blocks(store: &TestStore, drive: DriveId, id: &FragmentId, count: usize) -> Vec<bytes::Bytes> {
    (0..count)
        .map(|block| store.block(drive, id, block).unwrap())
        .collect()
}

#[tokio::test]
async fn any_two_fragments_are_rebuilt_bit_for_bit() {
    for layout in [LAYOUT, "copies:3"] {
        let layout: Layout = layout.parse().unwrap();
        let lab = Lab::new(8);
        let len = layout.stripe_data_len() as usize * 35 + 11;
        let receipt = lab.put(&layout.to_string(), &bytes(len, 1)).await;
        let location = location(&receipt);
        let fragments: Vec<_> = location.fragments().collect();
        let all = lab.store.drives();
        let free: Vec<DriveId> = all
            .iter()
            .map(|drive| drive.id)
            .filter(|drive| !receipt.placement.drives.contains(&Some(*drive)))
            .take(2)
            .collect();
        for first in 0..fragments.len() {
            for second in first + 1..fragments.len() {
                let lost = [first, second];
                let mut before = Vec::new();
                for &at in &lost {
                    let (drive, id) = &fragments[at];
                    before.push(blocks(&lab.store, *drive, id, 36));
                    lab.store.lose(*drive, id);
                }
                let targets: Vec<_> = lost
                    .iter()
                    .zip(&free)
                    .map(|(&at, &free)| (fragments[at].1.index, free))
                    .collect();
                let outcome = lab.blobs.rebuild(location.clone(), &targets).await.unwrap();
                assert_eq!(outcome, [Rebuilt::Written, Rebuilt::Written]);
                for ((&at, &drive), before) in lost.iter().zip(&free).zip(&before) {
                    let id = &fragments[at].1;
                    assert_eq!(&blocks(&lab.store, drive, id, 36), before, "{layout} {at}");
                    lab.store.lose(drive, id);
                }
                let back: Vec<_> = lost
                    .iter()
                    .map(|&at| (fragments[at].1.index, fragments[at].0))
                    .collect();
                lab.blobs.rebuild(location.clone(), &back).await.unwrap();
            }
        }
        assert_eq!(
            lab.reports.take(),
            [],
            "what is being rebuilt is not reported again"
        );
        assert_eq!(lab.blobs.memory_use().reads_bytes, 0);
    }
}

#[tokio::test]
async fn a_target_that_fails_does_not_stop_the_other() {
    let lab = Lab::new(8);
    let receipt = lab.put(LAYOUT, &bytes(20 * STRIPE, 1)).await;
    let fragments: Vec<_> = location(&receipt).fragments().collect();
    lab.store.lose(fragments[0].0, &fragments[0].1);
    lab.store.lose(fragments[5].0, &fragments[5].1);
    lab.store.fault(fragments[5].0, Fault::Write(3));
    let targets = [
        (FragmentIndex(0), fragments[0].0),
        (FragmentIndex(5), fragments[5].0),
    ];
    let outcome = lab
        .blobs
        .rebuild(location(&receipt), &targets)
        .await
        .unwrap();
    assert_eq!(outcome[0], Rebuilt::Written);
    assert!(matches!(&outcome[1], Rebuilt::Failed(reason) if reason.contains("injected")));
    assert!(!lab.store.has(fragments[5].0, &fragments[5].1));
    assert_eq!(lab.store.open_writers(), 0);
}

#[tokio::test]
async fn what_is_rotten_in_the_sources_is_never_built_in() {
    let lab = Lab::new(7);
    let receipt = lab.put(LAYOUT, &bytes(20 * STRIPE, 1)).await;
    let fragments: Vec<_> = location(&receipt).fragments().collect();
    let before = blocks(&lab.store, fragments[2].0, &fragments[2].1, 20);
    lab.store.lose(fragments[2].0, &fragments[2].1);
    lab.store.rot(fragments[0].0, &fragments[0].1, 7);
    let target = [(FragmentIndex(2), fragments[2].0)];
    lab.blobs
        .rebuild(location(&receipt), &target)
        .await
        .unwrap();
    assert_eq!(
        blocks(&lab.store, fragments[2].0, &fragments[2].1, 20),
        before
    );
    assert_eq!(lab.reports.take().len(), 1);

    lab.store.lose(fragments[2].0, &fragments[2].1);
    lab.store.rot(fragments[1].0, &fragments[1].1, 7);
    let error = lab
        .blobs
        .rebuild(location(&receipt), &target)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RebuildError::Unavailable {
                have: 3,
                need: 4,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        !lab.store.has(fragments[2].0, &fragments[2].1),
        "nothing half-built is visible"
    );
    assert_eq!(lab.store.open_writers(), 0);
}

#[tokio::test]
async fn what_is_not_a_fragment_of_the_blob_is_refused() {
    let lab = Lab::new(7);
    let receipt = lab.put(LAYOUT, &bytes(100, 1)).await;
    let drive = receipt.placement.drives[0].unwrap();
    for targets in [
        vec![(FragmentIndex(6), drive)],
        vec![(FragmentIndex(1), drive); 2],
    ] {
        let error = lab
            .blobs
            .rebuild(location(&receipt), &targets)
            .await
            .unwrap_err();
        assert!(matches!(error, RebuildError::NoSuchFragment(_)));
    }
    let empty = BlobLocation {
        len: 0,
        ..location(&receipt)
    };
    assert!(
        lab.blobs
            .rebuild(empty, &[(FragmentIndex(0), drive)])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_delete_says_what_is_gone_and_what_is_not() {
    let lab = Lab::new(6);
    let receipt = lab.put(LAYOUT, &bytes(5 * STRIPE, 1)).await;
    let fragments: Vec<_> = location(&receipt).fragments().collect();
    lab.store.lose(fragments[1].0, &fragments[1].1);
    lab.store.fault(fragments[4].0, Fault::Read);
    let deletion = lab.blobs.delete(fragments.clone()).await;
    let gone: Vec<_> = [0, 1, 2, 3, 5]
        .map(|at: usize| fragments[at].clone())
        .into();
    assert_eq!(deletion.gone, gone);
    assert_eq!(deletion.unreached.len(), 1);
    assert_eq!(
        (deletion.unreached[0].0, &deletion.unreached[0].1),
        (fragments[4].0, &fragments[4].1)
    );
    assert_eq!(lab.store.fragment_count(), 1);
    lab.store.heal();
    let again = lab.blobs.delete(fragments.clone()).await;
    assert_eq!((again.gone.len(), again.unreached.len()), (6, 0));
    assert_eq!(lab.store.fragment_count(), 0);
}
