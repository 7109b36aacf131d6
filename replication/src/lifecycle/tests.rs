//! The worker over real metadata: a round, a restart in the middle, and what it says of itself.

use holdfast_metadata::lifecycle::{
    Expiration, LifecycleChange, LifecycleFilter, LifecycleRule, LifecycleRules,
};

use super::*;
use crate::testing::{HOUR_MS, World};

async fn expire_after_a_day(world: &World) {
    let rule = LifecycleRule {
        id: "r".to_owned(),
        filter: LifecycleFilter {
            prefix: "old".to_owned(),
            ..LifecycleFilter::default()
        },
        expiration: Some(Expiration::Days(1)),
        noncurrent: None,
        abort_upload_days: None,
    };
    let change = LifecycleChange {
        rules: LifecycleRules(vec![rule]),
        document: String::new(),
    };
    let set = world.metadata.set_lifecycle("films", Some(change));
    set.await.unwrap();
}

/// Steps until there is nothing more to do in this round.
async fn round(worker: &mut Lifecycle) -> u32 {
    let mut steps = 0;
    while worker.work().await.unwrap() == Progress::Busy {
        steps += 1;
    }
    steps
}

async fn objects(world: &World) -> u64 {
    world.metadata.totals().await.unwrap().usage.versions
}

#[tokio::test]
async fn what_is_due_goes_and_is_counted() {
    let world = World::new().await;
    let count = PAGE + 5;
    for number in 0..count {
        world.put(&format!("old-{number}")).await;
    }
    world.put("kept").await;
    expire_after_a_day(&world).await;
    let (mut worker, report) = Lifecycle::new(world.metadata.clone());
    round(&mut worker).await;
    assert_eq!(objects(&world).await, count as u64 + 1);
    assert_eq!(report.borrow().walked, count as u64);

    world.clock.advance_ms(48 * HOUR_MS);
    assert_eq!(worker.work().await.unwrap(), Progress::Busy);
    assert_eq!(objects(&world).await, 6, "a page was looked at");
    drop(worker);

    // The process dies; the next one finds what is left.
    let (mut worker, report) = Lifecycle::new(world.metadata.clone());
    worker.count_backlog().await.unwrap();
    assert_eq!(report.borrow().backlog.overdue, 5);
    assert!(worker.doing().ends_with("; 5 due"), "{}", worker.doing());
    round(&mut worker).await;
    assert_eq!(objects(&world).await, 1);
    assert_eq!(report.borrow().count(LifecycleTurn::Expired), 5);
    assert_eq!(report.borrow().backlog, LifecycleBacklog::default());
    assert!(worker.doing().starts_with("5 objects expired, "));
    assert_eq!(round(&mut worker).await, 0, "nothing is looked at twice");
}

#[tokio::test]
async fn metadata_that_is_away_is_an_error_and_loses_nothing() {
    let world = World::new().await;
    expire_after_a_day(&world).await;
    world.put("old").await;
    let (mut worker, _) = Lifecycle::new(world.metadata.clone());
    round(&mut worker).await;
    world.clock.advance_ms(48 * HOUR_MS);
    world.metadata.clone().close().await;
    worker.work().await.unwrap_err();
}

#[test]
fn pauses_are_short_where_days_are() {
    assert_eq!(pause(LifecycleDay::REAL), LONGEST_PAUSE);
    assert_eq!(pause(LifecycleDay::of_seconds(10)).as_millis(), 1000);
    assert_eq!(pause(LifecycleDay::of_seconds(1)), SHORTEST_PAUSE);
}
