//! Counts over real metadata and drives in memory.

use holdfast_metadata::command::ReportDebts;
use holdfast_metadata::model::DebtKind;

use super::*;
use crate::testing::World;

struct Counting {
    census: Census,
    result: watch::Receiver<Option<Risk>>,
}

impl Counting {
    fn new(world: &World) -> Self {
        let (census, result) = Census::new(
            world.metadata.clone(),
            Arc::new(world.store.clone()),
            Arc::clone(&world.clock) as Arc<dyn Clock>,
        );
        Self { census, result }
    }

    /// A whole pass.
    async fn pass(&mut self) -> Risk {
        while self.census.work().await.unwrap() == Progress::Busy {}
        self.result.borrow().clone().unwrap()
    }
}

#[tokio::test]
async fn what_a_pulled_drive_takes_with_it_is_counted() {
    let world = World::new().await;
    let mut counting = Counting::new(&world);
    assert!(
        counting.result.borrow().is_none(),
        "not before the first pass has ended"
    );
    for key in ["a", "b", "c"] {
        world.put(key).await;
    }
    let whole = counting.pass().await;
    assert_eq!(
        (whole.blobs, whole.at_risk(), whole.fewest_spares()),
        (3, 0, None)
    );
    assert_eq!(whole.as_of_ms, world.clock.now_ms());

    // Six fragments on six drives: each blob loses one with each drive.
    for (number, spares) in [(0, 1), (1, 0), (2, -1)] {
        world
            .store
            .set_state(world.drive(number), DriveState::Missing, "pulled");
        let risk = counting.pass().await;
        assert_eq!(risk.at_risk_by_spares, BTreeMap::from([(spares, 3)]));
        assert_eq!(risk.unreadable(), if spares < 0 { 3 } else { 0 });
        assert_eq!(risk.fewest_spares(), Some(spares));
    }
    world
        .store
        .set_state(world.drive(0), DriveState::ReadOnly, "full");
    assert_eq!(
        counting.pass().await.fewest_spares(),
        Some(0),
        "read-only can be read"
    );
}

#[tokio::test]
async fn fragments_that_are_known_to_be_bad_do_not_count() {
    let world = World::new().await;
    let mut counting = Counting::new(&world);
    let mut blobs = Vec::new();
    for key in ["a", "b", "c"] {
        blobs.push(world.put(key).await);
    }
    let placed = world.metadata.placements_page(None, 10).await.unwrap();
    let bad = placed
        .iter()
        .find(|placed| placed.blob == blobs[1])
        .unwrap();
    let debts = [0, 3]
        .into_iter()
        .map(|index| Debt {
            blob: bad.blob,
            region: world.region.clone(),
            generation: bad.placement.generation,
            index: FragmentIndex(index),
            drive: bad.placement.drives[usize::from(index)],
            kind: DebtKind::Corrupt,
            created_ms: 1,
        })
        .collect();
    world
        .metadata
        .report_debts(ReportDebts { debts })
        .await
        .unwrap();
    let risk = counting.pass().await;
    assert_eq!(risk.at_risk_by_spares, BTreeMap::from([(0, 1)]));
    assert_eq!(risk.blobs, 3);

    // One of the two is also on a drive that goes: it is not counted twice.
    let drive = bad.placement.drives[0].unwrap();
    world.store.set_state(drive, DriveState::Faulty, "rotten");
    let risk = counting.pass().await;
    assert_eq!(risk.at_risk_by_spares, BTreeMap::from([(0, 1), (1, 2)]));
}

#[tokio::test]
async fn a_drive_that_goes_ends_the_wait() {
    let drives = holdfast_storage_node::memory::MemoryStore::with_drives(6, 1);
    let world = World::new().await;
    let (mut census, _result) = Census::new(
        world.metadata.clone(),
        Arc::new(drives.clone()),
        Arc::clone(&world.clock) as Arc<dyn Clock>,
    );
    census.last_drives = drives
        .drives()
        .into_iter()
        .map(|drive| (drive.id, drive.state))
        .collect();
    let id = drives.drives()[0].id;
    // Not before: the database's own waits would be over at once.
    tokio::time::pause();
    let early = tokio::time::timeout(Duration::from_secs(5), census.wait()).await;
    assert!(early.is_err(), "nothing has changed");
    drives.set_state(id, DriveState::Missing, "pulled");
    let woken = tokio::time::timeout(Duration::from_secs(2), census.wait()).await;
    assert!(woken.is_ok());
}
