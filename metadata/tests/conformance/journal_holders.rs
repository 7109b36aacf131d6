//! Journals whose holders fail in the middle of a group, and databases that are away for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::Resolved;
use holdfast_metadata::journal::{JournalState, Recovered};

use super::hooks::{Loss, LostCommit};
use super::journal::{Journaled, config, runtime};

impl Journaled {
    fn lose_holders(&self, count: usize) {
        for shelf in self.holders().iter().take(count) {
            shelf.broken.store(true, Ordering::SeqCst);
        }
    }
}

/// The drives that are brought in while a group waits get an image that lacks it: that image must
/// not be taken for newer than the group, whether the database is there or not.
#[test]
fn a_group_that_was_rescued_is_the_newest() {
    runtime().block_on(async {
        for with_database in [true, false] {
            let mut store = Journaled::new(6, 2).await;
            store.put(1).await;
            store.state(JournalState::Whole).await;
            store.lose_holders(2);
            store.put(2).await;
            let before = store.content().await;
            store.stop().await;
            if !with_database {
                store.lose_database();
            }
            let recovered = store.start().await.unwrap();
            assert_eq!(recovered == Recovered::Kept, with_database, "{recovered:?}");
            assert_eq!(store.content().await, before, "{with_database}");
        }
    });
}

/// The newest image is on one drive alone, and is damaged: an older one leads to the same end.
#[test]
fn a_damaged_image_is_done_without() {
    runtime().block_on(async {
        let mut store = Journaled::new(3, 1).await;
        store.put(1).await;
        store.state(JournalState::Whole).await;
        let before = store.holders();
        store.lose_holders(1);
        store.put(2).await;
        store.state(JournalState::Whole).await;
        store.put(3).await;
        let joined = store.holders();
        let joined = joined
            .iter()
            .find(|shelf| !before.iter().any(|holder| Arc::ptr_eq(holder, shelf)));
        let content = store.content().await;
        store.stop().await;
        assert_eq!(joined.unwrap().damage_images(), 1);
        store.lose_database();
        let recovered = store.start().await.unwrap();
        assert!(
            matches!(recovered, Recovered::Restored { groups, .. } if groups > 2),
            "{recovered:?}"
        );
        assert_eq!(store.content().await, content);
    });
}

/// A group that was committed although nobody could say so is what the next one follows on.
#[test]
fn what_was_done_while_the_database_was_away_stays_in_the_journal() {
    runtime().block_on(async {
        let mut store = Journaled::new(3, 1).await;
        store.stop().await;
        let hook = Arc::new(LostCommit::default());
        store.world = store.world.reopened(hook.clone()).await;
        let config = config(&store.shelves, store.may_lose);
        store.world.metadata.keep_journal(config).await.unwrap();
        hook.lose(Loss::Everything);
        let put = store.world.put_of("b", "unknown", 1, "etag");
        let error = store.world.metadata.put_object(put.clone()).await;
        let error = error.unwrap_err();
        assert!(
            matches!(error, MetadataError::OutcomeUnknown(op) if op == put.op),
            "{error}"
        );
        hook.is_back();
        store.put(1).await;
        assert_eq!(
            store.world.metadata.resolve(put.op).await.unwrap(),
            Resolved::Happened
        );
        let before = store.content().await;
        store.stop().await;
        assert_eq!(store.start().await.unwrap(), Recovered::Kept);
        store.stop().await;
        store.lose_database();
        store.start().await.unwrap();
        assert_eq!(store.content().await, before);
    });
}

/// A drive that takes records and no images is not asked for ever while a group waits.
#[test]
fn a_drive_that_takes_no_image_is_given_up() {
    runtime().block_on(async {
        let store = Journaled::new(3, 1).await;
        store.put(1).await;
        store.state(JournalState::Whole).await;
        let holders = store.holders();
        for shelf in &store.shelves {
            let holds = holders.iter().any(|holder| Arc::ptr_eq(holder, shelf));
            shelf.no_images.store(!holds, Ordering::SeqCst);
        }
        store.lose_holders(1);
        let put = store.world.put_of("b", "refused", 1, "etag");
        let put = store.world.metadata.put_object(put);
        let answer = tokio::time::timeout(Duration::from_secs(60), put).await;
        let refused = answer.expect("an answer").unwrap_err();
        assert!(
            matches!(refused, MetadataError::OutcomeUnknown(_)),
            "{refused}"
        );
    });
}
