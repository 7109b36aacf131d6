//! Every layout, length and loss that a layout promises to survive.

use holdfast_types::Layout;

use super::{Lab, bytes, location, read};
use crate::{Damage, GetError};

/// Lengths around every edge of a layout's blocks and stripes.
fn edges(layout: Layout) -> Vec<usize> {
    let block = layout.block_len() as usize;
    let stripe = layout.stripe_data_len() as usize;
    let k = usize::from(layout.k());
    let around = [1, k, block, stripe, 2 * stripe, 3 * stripe];
    let mut lens: Vec<usize> = around
        .iter()
        .flat_map(|&len| [len - 1, len, len + 1])
        .filter(|&len| len > 0)
        .collect();
    lens.push(5 * stripe + block + 13);
    lens.sort_unstable();
    lens.dedup();
    lens
}

#[tokio::test]
async fn what_is_put_is_got_at_every_length() {
    for layout in [
        "4+2/4096", "1+0/4096", "1+1/4096", "3+0/8192", "5+3/4096", "copies:1", "copies:3",
    ] {
        let layout: Layout = layout.parse().unwrap();
        let lab = Lab::new(usize::from(layout.width()));
        for len in edges(layout) {
            let data = bytes(len, len as u64);
            let receipt = lab.put(&layout.to_string(), &data).await;
            assert_eq!(receipt.debts, []);
            assert_eq!(receipt.len, len as u64);
            assert_eq!(lab.get(&receipt).await.unwrap(), data, "{layout} {len}");
        }
        assert_eq!(lab.reports.take(), []);
        assert_eq!(lab.store.open_writers(), 0);
    }
}

#[tokio::test]
async fn every_k_and_m_survives_the_loss_of_any_m_drives() {
    for k in 1..=Layout::MAX_K {
        for m in [0, 1, 2, 3, 7, Layout::MAX_M] {
            let layout = Layout::erasure(k, m, 4096).unwrap();
            let lab = Lab::new(usize::from(layout.width()));
            let data = bytes(layout.stripe_data_len() as usize + 777, u64::from(k));
            let receipt = lab.put(&layout.to_string(), &data).await;
            let fragments: Vec<_> = location(&receipt).fragments().collect();
            // Data first: each of them has to be rebuilt.
            for (drive, id) in fragments.iter().take(usize::from(m)) {
                lab.store.lose(*drive, id);
            }
            assert_eq!(lab.get(&receipt).await.unwrap(), data, "{layout}");
        }
    }
}

#[tokio::test]
async fn every_combination_of_m_losses_is_read_and_reported_and_none_of_m_plus_1() {
    for layout in ["4+2/4096", "3+3/4096", "copies:3"] {
        let layout: Layout = layout.parse().unwrap();
        let width = usize::from(layout.width());
        let data = bytes(layout.stripe_data_len() as usize * 2 + 100, 3);
        for lost in 0_u32..1 << width {
            if lost.count_ones() > u32::from(layout.m()) + 1 {
                continue;
            }
            let lab = Lab::new(width);
            let receipt = lab.put(&layout.to_string(), &data).await;
            for (drive, id) in location(&receipt).fragments() {
                if lost & (1 << id.index.0) != 0 {
                    lab.store.lose(drive, &id);
                }
            }
            let got = lab.get(&receipt).await;
            let reports = lab.reports.take();
            assert!(
                reports
                    .iter()
                    .all(|report| report.damage == Damage::Missing)
            );
            if lost.count_ones() <= u32::from(layout.m()) {
                assert_eq!(got.unwrap(), data, "{layout} without {lost:b}");
                let data_lost = lost & ((1 << layout.k()) - 1);
                let reported = reports
                    .iter()
                    .fold(0, |set, report| set | 1 << report.index.0);
                assert_eq!(reported & data_lost, data_lost, "{layout} without {lost:b}");
                assert_eq!(
                    reported & !lost,
                    0,
                    "nothing that is there is reported missing"
                );
                assert_eq!(
                    reports.len(),
                    reported.count_ones() as usize,
                    "each is reported once"
                );
            } else if data_is_lost(layout, lost) {
                let Err(GetError::Unavailable {
                    have,
                    need,
                    reasons,
                }) = got
                else {
                    panic!("{layout} without {lost:b}: {got:?}");
                };
                assert_eq!(need, usize::from(layout.k()));
                assert!(have < need);
                assert_eq!(reasons.len(), lost.count_ones() as usize);
            } else {
                assert_eq!(got.unwrap(), data, "only parity is lost");
            }
        }
    }
}

/// Whether a lost fragment is one that a read takes its bytes from.
fn data_is_lost(layout: Layout, lost: u32) -> bool {
    match layout {
        Layout::Copies { n } => lost.count_ones() == u32::from(n),
        Layout::Erasure { k, .. } => lost & ((1 << k) - 1) != 0,
    }
}

#[tokio::test]
async fn rotten_blocks_in_any_places_of_each_stripe_are_rebuilt() {
    let lab = Lab::new(6);
    let data = bytes(4 * 4096 * 7 + 5, 9);
    let receipt = lab.put("4+2/4096", &data).await;
    let fragments: Vec<_> = location(&receipt).fragments().collect();
    for stripe in 0..8 {
        for fragment in [stripe % 6, (stripe * 5 + 1) % 6] {
            let (drive, id) = &fragments[fragment];
            lab.store.rot(*drive, id, stripe);
        }
    }
    assert_eq!(lab.get(&receipt).await.unwrap(), data);
    let reports = lab.reports.take();
    assert!(!reports.is_empty());
    assert!(
        reports
            .iter()
            .all(|report| report.damage == Damage::Corrupt)
    );

    let (drive, id) = &fragments[0];
    for (drive, id) in &fragments[..3] {
        lab.store.rot(*drive, id, 5);
    }
    let stripe = 4 * 4096;
    let mut stream = lab.blobs.get(location(&receipt), 0..data.len() as u64);
    let mut got = Vec::new();
    let error = loop {
        use futures::StreamExt as _;
        match stream.next().await.unwrap() {
            Ok(part) => got.extend_from_slice(&part),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, GetError::Unavailable { need: 4, .. }),
        "{error}"
    );
    assert_eq!(
        got,
        data[..5 * stripe],
        "all that comes before the bad stripe, and no byte more"
    );
    assert!(lab.store.block(*drive, id, 5).is_none());
    let after = read(
        lab.blobs
            .get(location(&receipt), 6 * stripe as u64..data.len() as u64),
    )
    .await;
    assert_eq!(after.unwrap(), data[6 * stripe..]);
}
