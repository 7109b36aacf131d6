//! Rebalancing over real metadata and drives in memory.

use std::collections::BTreeSet;

use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::{Debt, DebtKind};
use holdfast_types::{Clock, Drive, Generation};

use super::*;
use crate::repair::Repairer;
use crate::testing::World;

async fn rounds(worker: &mut impl Worker) {
    for _ in 0..5000 {
        if worker.work().await.unwrap() == Progress::Idle {
            return;
        }
    }
    panic!("it does not come to an end");
}

fn add_drive(world: &World) -> DriveId {
    let drive = Drive {
        id: DriveId::generate(),
        ..world.store.drives().remove(0)
    };
    let id = drive.id;
    world.store.add_drive(drive);
    id
}

fn rebalancer(world: &World, least: u64) -> (Rebalancer, RebalanceHandle, Repairer) {
    let (repairer, repair) = Repairer::new(
        world.metadata.clone(),
        world.blobs.clone(),
        Arc::new(world.store.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    );
    let (rebalancer, handle) = Rebalancer::new(
        world.metadata.clone(),
        world.blobs.clone(),
        Arc::new(world.store.clone()),
        repair,
        least,
    );
    (rebalancer, handle, repairer)
}

/// Fragments on each drive, by the placements.
async fn counts(world: &World) -> BTreeMap<DriveId, u64> {
    let mut counts: BTreeMap<_, _> = world.store.drives().iter().map(|d| (d.id, 0)).collect();
    for placed in world.metadata.placements_page(None, 1000).await.unwrap() {
        let drives: BTreeSet<_> = placed.placement.drives.iter().flatten().collect();
        assert_eq!(
            drives.len(),
            6,
            "never two fragments of a blob on one drive"
        );
        for drive in drives {
            *counts.get_mut(drive).unwrap() += 1;
        }
    }
    counts
}

/// The end state is within 5 % of the ideal, and no more was moved than the ideal lacked.
#[tokio::test]
async fn a_new_drive_gets_its_share_and_no_more_moves() {
    let world = World::new().await;
    for number in 0..140 {
        world.put(&format!("film {number}")).await;
    }
    let new = add_drive(&world);
    let (mut rebalance, handle, _) = rebalancer(&world, 1);
    rounds(&mut rebalance).await;
    // 140 blobs of six fragments on seven drives: 120 each.
    let counts = counts(&world).await;
    for (drive, count) in &counts {
        assert!((114..=126).contains(count), "{drive}: {counts:?}");
    }
    assert!(counts[&new] <= 120, "not past its share: {counts:?}");
    let moved = handle.status().total_moved_bytes;
    assert!(moved <= 120 * 25_000 * 11 / 10, "{moved}");
    assert!(moved >= 114 * 25_000, "{moved}");
    rounds(&mut rebalance).await;
    assert_eq!(
        handle.status().total_moved_bytes,
        moved,
        "and then it rests"
    );
    // The oldest and the newest gave alike.
    let page = world.metadata.placements_page(None, 1000).await.unwrap();
    let has_new = |placed: &&BlobPlacement| placed.placement.drives.contains(&Some(new));
    let (old, young) = page.split_at(70);
    let old = old.iter().filter(has_new).count();
    let young = young.iter().filter(has_new).count();
    assert!(old.abs_diff(young) < 20, "{old} and {young}");
}

#[tokio::test]
async fn a_bigger_drive_gets_more_and_what_is_even_stays() {
    let world = World::new().await;
    for number in 0..60 {
        world.put(&format!("film {number}")).await;
    }
    let (mut rebalance, handle, _) = rebalancer(&world, 1);
    rounds(&mut rebalance).await;
    assert_eq!(handle.status().total_moved_bytes, 0, "six of six are even");
    let template = world.store.drives().remove(0);
    for capacity_bytes in [2 << 40, 1 << 40] {
        world.store.add_drive(Drive {
            id: DriveId::generate(),
            capacity_bytes,
            ..template.clone()
        });
    }
    rounds(&mut rebalance).await;
    // 360 fragments; the double one takes the most it can have, one of each of 60, the others 42.
    let counts = counts(&world).await;
    for drive in world.store.drives() {
        let share = if drive.capacity_bytes > 1 << 40 {
            60
        } else {
            42
        };
        assert!(counts[&drive.id].abs_diff(share) <= 6, "{counts:?}");
    }
}

#[tokio::test]
async fn too_little_is_not_worth_it() {
    let world = World::new().await;
    for number in 0..14 {
        world.put(&format!("film {number}")).await;
    }
    add_drive(&world);
    let (mut rebalance, handle, _) = rebalancer(&world, 1 << 30);
    rounds(&mut rebalance).await;
    assert_eq!(
        handle.status(),
        Rebalancing {
            worst_permille: handle.status().worst_permille,
            ..Rebalancing::default()
        }
    );
}

#[tokio::test]
async fn it_rests_while_anything_is_owed() {
    let world = World::new().await;
    let mut blobs = Vec::new();
    for number in 0..14 {
        blobs.push(world.put(&format!("film {number}")).await);
    }
    let placed = world.metadata.placement(blobs[0], Generation(0)).await;
    let debt = Debt {
        blob: blobs[0],
        region: world.region.clone(),
        generation: Generation(0),
        index: FragmentIndex(2),
        drive: placed.unwrap().unwrap().placement.drives[2],
        kind: DebtKind::Missing,
        created_ms: 0,
    };
    let report = ReportDebts { debts: vec![debt] };
    world.metadata.report_debts(report).await.unwrap();
    add_drive(&world);
    let (mut rebalance, handle, mut repair) = rebalancer(&world, 1);
    // The repair has counted, and not repaired yet.
    while repair.work().await.unwrap() == Progress::Busy {
        if rebalance.repair.status().as_of_ms > 0 {
            break;
        }
    }
    rounds(&mut rebalance).await;
    assert_eq!(handle.status().total_moved_bytes, 0);
    rounds(&mut repair).await;
    rounds(&mut rebalance).await;
    assert!(handle.status().total_moved_bytes > 0);
    counts(&world).await;
}
