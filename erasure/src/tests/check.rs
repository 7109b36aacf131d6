//! A fragment is good only if all of it is, and a new place for one shares no drive with another.

use std::collections::BTreeSet;

use holdfast_types::{FragmentIndex, FragmentStore as _};

use super::{Lab, bytes, location};
use crate::FragmentCheck;
use crate::testing::Fault;

const STRIPE: usize = 4 * 4096;
const LAYOUT: &str = "4+2/4096";

#[tokio::test]
async fn a_fragment_is_good_only_if_every_block_is() {
    let lab = Lab::new(6);
    let receipt = lab.put(LAYOUT, &bytes(300 * STRIPE, 1)).await;
    let location = location(&receipt);
    let fragments: Vec<_> = location.fragments().collect();
    let check = async |at: usize| {
        let (drive, id) = &fragments[at];
        lab.blobs.check_fragment(&location, id.index, *drive).await
    };
    assert_eq!(check(0).await, FragmentCheck::Good);
    lab.store.rot(fragments[0].0, &fragments[0].1, 299);
    assert_eq!(
        check(0).await,
        FragmentCheck::Corrupt("block 299 is rotten".to_owned())
    );
    lab.store.lose(fragments[1].0, &fragments[1].1);
    assert_eq!(check(1).await, FragmentCheck::Missing);
    lab.store.fault(fragments[2].0, Fault::Read);
    assert!(matches!(check(2).await, FragmentCheck::Unreadable(_)));
    assert_eq!(lab.blobs.memory_use().reads_bytes, 0);
}

#[tokio::test]
async fn new_places_are_drives_that_have_nothing_of_the_blob() {
    let lab = Lab::new(9);
    let receipt = lab.put(LAYOUT, &bytes(STRIPE, 1)).await;
    let location = location(&receipt);
    let indices = [0, 1, 2, 3].map(FragmentIndex);
    let free: BTreeSet<_> = lab
        .store
        .drives()
        .into_iter()
        .map(|drive| drive.id)
        .filter(|drive| !receipt.placement.drives.contains(&Some(*drive)))
        .collect();
    let targets = lab.blobs.choose_targets(&location, &indices, &[]);
    let (got, drives): (Vec<_>, BTreeSet<_>) = targets.iter().copied().unzip();
    assert_eq!(got, indices[..3], "three drives are free");
    assert_eq!(drives, free);
    let not = [*free.first().unwrap()];
    let targets = lab.blobs.choose_targets(&location, &indices, &not);
    assert_eq!(targets.len(), 2);
    assert!(targets.iter().all(|target| target.1 != not[0]));
}
