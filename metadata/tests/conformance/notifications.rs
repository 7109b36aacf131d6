//! Who is told of changes: which rules a change is under, what order a reader finds, and what of the
//! change log may go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use holdfast_metadata::model::{BucketId, Change, ChangeCursor, Versioning};
use holdfast_metadata::notification::{
    AskedLetter, ChangeConsumer, DeadLetter, LetterEnd, Letters, LogBounds, NotificationRule,
    Webhook, WebhookDetail, webhook_consumer,
};
use holdfast_metadata::{MetadataError, StatementHook};
use tokio::sync::Semaphore;

use super::world::{HOUR_MS, START_MS, World, delete_of};

super::on_both! {
    a_webhook_is_made_once_and_not_removed_while_a_bucket_needs_it,
    a_change_is_under_the_rules_that_held_when_it_was_committed,
    rules_that_change_while_others_write_are_exact,
    a_key_is_read_in_its_own_order,
    the_log_keeps_what_a_consumer_has_not_passed,
    a_log_that_is_too_long_or_too_old_is_cut_and_counted,
    letters_and_messages_are_kept_until_they_are_dropped,
    letters_are_posted_again_when_asked_for_and_in_order,
    all_letters_are_asked_for_or_discarded_page_by_page,
}

const BOUNDS: LogBounds = LogBounds {
    age_ms: 24 * HOUR_MS,
    rows: 1_000_000,
};

fn webhook(name: &str) -> Webhook {
    Webhook {
        name: name.to_owned(),
        number: 0,
        detail: WebhookDetail {
            url: "https://events.example/hook".to_owned(),
            allow_private: false,
            allow_loopback: true,
            allow_link_local: false,
            created_ms: START_MS,
        },
        token: Some("secret-token".to_owned()),
    }
}

fn rules(id: &str, webhooks: &[&str]) -> Vec<NotificationRule> {
    let rule = |webhook: &&str| NotificationRule {
        id: id.to_owned(),
        webhook: (*webhook).to_owned(),
        webhook_number: 0,
        kind: "queue".to_owned(),
        arn: format!("arn:holdfast:sqs::{webhook}:webhook"),
        events: vec!["s3:ObjectCreated:*".to_owned()],
        prefix: Some("a/".to_owned()),
        suffix: None,
    };
    webhooks.iter().map(rule).collect()
}

/// Makes a webhook; its name as a consumer.
async fn make(world: &World, name: &str) -> String {
    let number = world.metadata.create_webhook(webhook(name)).await.unwrap();
    webhook_consumer(name, number)
}

async fn set(world: &World, bucket: &str, rules: Vec<NotificationRule>) {
    let missing = world.metadata.set_notifications(bucket, rules, None).await;
    assert_eq!(missing.unwrap(), Vec::<String>::new());
}

/// The log when it has `count` rows: on a server that others use too, a transaction of theirs holds
/// back what may be shown.
async fn log(world: &World, count: usize) -> Vec<Change> {
    after(world, ChangeCursor::default(), count).await
}

async fn after(world: &World, cursor: ChangeCursor, count: usize) -> Vec<Change> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = world.metadata.changes(cursor, 1000).await.unwrap();
        assert!(found.len() <= count, "{} rows of {count}", found.len());
        if found.len() == count {
            return found;
        }
        assert!(Instant::now() < deadline, "{} of {count}", found.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Trims, a few rows at a time, until so many are gone, and sees that no more go.
async fn trim(world: &World, bounds: LogBounds, passed: u64, forced: u64) -> Vec<ChangeConsumer> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut all, mut late) = ((0, 0), Vec::new());
    while all != (passed, forced) {
        assert!(
            Instant::now() < deadline,
            "{all:?} of {passed} and {forced}"
        );
        let one = world.metadata.trim_changes(bounds, 2).await.unwrap();
        assert!(one.passed + one.forced <= 4, "a step is small");
        all.0 += one.passed;
        all.1 += one.forced;
        late.extend(one.late);
    }
    let more = world.metadata.trim_changes(bounds, 100).await.unwrap();
    assert_eq!((more.passed, more.forced), (0, 0));
    late
}

async fn a_webhook_is_made_once_and_not_removed_while_a_bucket_needs_it(world: World) {
    let metadata = &world.metadata;
    world.bucket("b").await;
    make(&world, "zeta").await;
    let alpha = make(&world, "alpha").await;
    let again = metadata.create_webhook(webhook("alpha")).await;
    assert!(matches!(again, Err(MetadataError::Exists(_))), "{again:?}");
    let all = metadata.webhooks().await.unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["alpha", "zeta"]);
    assert_eq!(all[0].detail, webhook("alpha").detail);
    assert_eq!(all[0].token.as_deref(), Some("secret-token"));
    assert!(!format!("{all:?}").contains("secret-token"));

    let missing = metadata
        .set_notifications("b", rules("x", &["alpha", "nobody", "neither"]), None)
        .await;
    assert_eq!(missing.unwrap(), ["neither", "nobody"]);
    let bucket = metadata.bucket("b").await.unwrap().id;
    assert!(metadata.notifications(bucket).await.unwrap().is_empty());

    set(&world, "b", rules("x", &["alpha"])).await;
    let mut expected = rules("x", &["alpha"]);
    expected[0].webhook_number = all[0].number;
    assert_eq!(metadata.notifications(bucket).await.unwrap(), expected);
    let refused = metadata.delete_webhook("alpha").await.unwrap();
    assert_eq!(refused.as_deref(), Some("b"));
    assert_eq!(metadata.delete_webhook("zeta").await.unwrap(), None);
    let absent = metadata.delete_webhook("zeta").await;
    assert!(matches!(absent, Err(MetadataError::NotFound(_))));

    set(&world, "b", Vec::new()).await;
    assert_eq!(metadata.delete_webhook("alpha").await.unwrap(), None);
    let consumer = metadata.change_consumer(&alpha).await;
    assert_eq!(consumer.unwrap(), None);

    // A bucket that goes needs nothing any more; and who has a name again is somebody else.
    assert_ne!(make(&world, "alpha").await, alpha);
    set(&world, "b", rules("x", &["alpha"])).await;
    metadata.delete_bucket("b").await.unwrap();
    assert_eq!(metadata.delete_webhook("alpha").await.unwrap(), None);
    let gone = metadata.set_notifications("b", Vec::new(), None).await;
    assert!(matches!(gone, Err(MetadataError::NoSuchBucket)));
}

async fn a_change_is_under_the_rules_that_held_when_it_was_committed(world: World) {
    let metadata = &world.metadata;
    world.bucket("b").await;
    world.bucket("other").await;
    make(&world, "hook").await;
    world.put("b", "k", 1, "e").await;
    set(&world, "b", rules("one", &["hook"])).await;
    world.put("b", "k", 1, "e").await;
    world.put("other", "k", 1, "e").await;
    set(&world, "b", rules("two", &["hook"])).await;
    world.delete("b", "k").await;
    set(&world, "b", Vec::new()).await;
    world.put("b", "k", 1, "e").await;
    set(&world, "b", rules("three", &["hook"])).await;
    world.delete("b", "k").await;
    metadata.delete_bucket("b").await.unwrap();

    let mut ids = Vec::new();
    for change in log(&world, 6).await {
        let rules = metadata.numbered_notifications(change.notification).await;
        ids.push(rules.unwrap().map(|rules| {
            assert_eq!(rules.bucket_name, "b");
            rules.rules[0].id.clone()
        }));
    }
    let ids: Vec<Option<&str>> = ids.iter().map(Option::as_deref).collect();
    assert_eq!(
        ids,
        [None, Some("one"), None, Some("two"), None, Some("three")]
    );
}

/// Writers note the newest rules that were in force before they began, and the newest that anybody
/// had begun to set when they had ended: what the log says must lie between.
async fn rules_that_change_while_others_write_are_exact(world: World) {
    world.bucket("b").await;
    make(&world, "hook").await;
    let world = Arc::new(world);
    let (begun, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let setter = {
        let (world, begun, ended, stop) =
            (world.clone(), begun.clone(), ended.clone(), stop.clone());
        tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::SeqCst) {
                number += 1;
                begun.store(number, Ordering::SeqCst);
                set(&world, "b", rules(&number.to_string(), &["hook"])).await;
                ended.store(number, Ordering::SeqCst);
            }
            number
        })
    };
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (world, begun, ended) = (world.clone(), begun.clone(), ended.clone());
            tokio::spawn(async move {
                let mut between = BTreeMap::new();
                for _ in 0..40 {
                    let least = ended.load(Ordering::SeqCst);
                    let key = format!("k{writer}");
                    let put = world.put("b", &key, 1, "e").await;
                    let most = begun.load(Ordering::SeqCst);
                    between.insert((key.into_bytes(), put.sequence), (least, most));
                }
                between
            })
        })
        .collect();
    let mut between = BTreeMap::new();
    for writer in writers {
        between.extend(writer.await.unwrap());
    }
    stop.store(true, Ordering::SeqCst);
    let changed = setter.await.unwrap();
    assert!(changed > 3, "the rules changed while others wrote");
    for change in log(&world, between.len()).await {
        let found = world
            .metadata
            .numbered_notifications(change.notification)
            .await
            .unwrap();
        let found = found.map_or(0, |rules| rules.rules[0].id.parse().unwrap());
        let (least, most) = between[&(change.key, change.sequence)];
        assert!((least..=most).contains(&found), "{least} {found} {most}");
    }
}

/// Stops its handle once, before a statement with this text.
struct Stop {
    before: &'static str,
    armed: AtomicBool,
    reached: Semaphore,
    go: Semaphore,
}

impl Stop {
    fn before(text: &'static str) -> Arc<Self> {
        Arc::new(Self {
            before: text,
            armed: AtomicBool::new(true),
            reached: Semaphore::new(0),
            go: Semaphore::new(0),
        })
    }
}

#[async_trait]
impl StatementHook for Stop {
    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        if sql.contains(self.before) && self.armed.swap(false, Ordering::SeqCst) {
            self.reached.add_permits(1);
            self.go.acquire().await.unwrap().forget();
        }
        Ok(())
    }
}

/// A slow transaction that has its id early and its key late; a fast one that overtakes it on that
/// key; and one that began between them and has not ended, above which nothing is shown.
async fn a_key_is_read_in_its_own_order(world: World) {
    world.bucket("b").await;
    if !world.is_postgres() {
        // One writer: a transaction is numbered and has its locks at once.
        for _ in 0..3 {
            world.put("b", "k", 1, "e").await;
        }
        let order: Vec<u64> = log(&world, 3).await.iter().map(|c| c.sequence).collect();
        assert_eq!(order, [1, 2, 3]);
        return;
    }
    let (slow_stop, between_stop) = (Stop::before("INTO heads"), Stop::before("INTO heads"));
    let slow_handle = world.handle("slow", Some(slow_stop.clone())).await;
    let between_handle = world.handle("between", Some(between_stop.clone())).await;
    let slow_put = world.put_of("b", "k", 1, "slow");
    let slow = tokio::spawn(async move { slow_handle.put_object(slow_put).await });
    slow_stop.reached.acquire().await.unwrap().forget();
    let between_put = world.put_of("b", "other", 1, "between");
    let between = tokio::spawn(async move { between_handle.put_object(between_put).await });
    between_stop.reached.acquire().await.unwrap().forget();

    let fast = world.put("b", "k", 1, "fast").await;
    slow_stop.go.add_permits(1);
    let slow = slow.await.unwrap().unwrap();
    assert!(fast.sequence < slow.sequence, "the fast one came first");
    let start = ChangeCursor::default();
    let shown = world.metadata.changes(start, 1000).await.unwrap();
    let etags: Vec<&str> = shown.iter().map(|change| change.etag.as_str()).collect();
    assert!(
        etags.is_empty(),
        "one that began before them has not ended: {etags:?}"
    );
    let cursor = shown.last().map_or(ChangeCursor::default(), |c| c.cursor);

    between_stop.go.add_permits(1);
    between.await.unwrap().unwrap();
    let rest = after(&world, cursor, 3 - shown.len()).await;
    let all: Vec<(Vec<u8>, u64)> = shown
        .into_iter()
        .chain(rest)
        .map(|change| (change.key, change.sequence))
        .collect();
    assert_eq!(all.len(), 3, "none is missed: {all:?}");
    let of_key: Vec<u64> = all
        .iter()
        .filter(|(key, _)| key == b"k")
        .map(|(_, sequence)| *sequence)
        .collect();
    assert_eq!(of_key, [fast.sequence, slow.sequence]);
}

async fn the_log_keeps_what_a_consumer_has_not_passed(world: World) {
    let metadata = &world.metadata;
    world.bucket("b").await;
    world.put("b", "before", 1, "e").await;
    let slow = make(&world, "slow").await;
    let fast = make(&world, "fast").await;
    set(&world, "b", rules("one", &["fast", "slow"])).await;
    for number in 0..5 {
        world.put("b", &format!("k{number}"), 1, "e").await;
    }
    set(&world, "b", rules("two", &["fast", "slow"])).await;
    let all = log(&world, 6).await;
    let one = all[1].notification;
    let begins = metadata.change_consumer(&slow).await.unwrap().unwrap();
    assert!(begins.cursor >= all[0].cursor || world.is_postgres());

    metadata.pass_changes(&fast, all[5].cursor).await.unwrap();
    metadata.pass_changes(&slow, all[2].cursor).await.unwrap();
    // Going back is no going.
    metadata.pass_changes(&slow, all[1].cursor).await.unwrap();
    assert!(trim(&world, BOUNDS, 3, 0).await.is_empty());
    assert_eq!(log(&world, 3).await, all[3..]);
    let backlog = metadata.change_backlog(all[2].cursor, 100).await.unwrap();
    assert_eq!((backlog.changes, backlog.more), (3, false));
    assert_eq!(backlog.oldest_ms, Some(all[3].at_ms));
    let kept = metadata.numbered_notifications(one).await.unwrap();
    assert!(kept.is_some(), "changes are still under them");

    metadata.pass_changes(&slow, all[5].cursor).await.unwrap();
    assert!(trim(&world, BOUNDS, 3, 0).await.is_empty());
    log(&world, 0).await;
    let gone = metadata.numbered_notifications(one).await.unwrap();
    assert_eq!(gone, None, "no change is under them, and none will be");
    let bucket = metadata.bucket("b").await.unwrap().id;
    let present = metadata.notifications(bucket).await.unwrap();
    assert_eq!(present[0].id, "two");

    // What comes next comes after.
    world.put("b", "after", 1, "e").await;
    after(&world, all[5].cursor, 1).await;
    let consumer = metadata.change_consumer(&slow).await.unwrap().unwrap();
    assert_eq!((consumer.cursor, consumer.skipped), (all[5].cursor, 0));

    // Nobody reads: nobody needs.
    set(&world, "b", Vec::new()).await;
    for name in ["fast", "slow"] {
        assert_eq!(metadata.delete_webhook(name).await.unwrap(), None);
    }
    trim(&world, BOUNDS, 1, 0).await;
    log(&world, 0).await;
}

async fn a_log_that_is_too_long_or_too_old_is_cut_and_counted(world: World) {
    let metadata = &world.metadata;
    world.bucket("b").await;
    world.bucket("quiet").await;
    let late = make(&world, "late").await;
    let punctual = make(&world, "punctual").await;
    set(&world, "b", rules("one", &["late", "punctual"])).await;
    for number in 0..4 {
        world.put("b", &format!("k{number}"), 1, "e").await;
        world.put("quiet", &format!("k{number}"), 1, "e").await;
    }
    let all = log(&world, 8).await;
    metadata
        .pass_changes(&punctual, all[7].cursor)
        .await
        .unwrap();

    // Four rows may stay besides the newest.
    let bounds = LogBounds { rows: 4, ..BOUNDS };
    let cut = trim(&world, bounds, 0, 3).await;
    assert!(!cut.is_empty() && cut.iter().all(|one| one.name == late));
    assert_eq!(log(&world, 5).await, all[3..]);
    let found = metadata.change_consumer(&late).await.unwrap().unwrap();
    assert_eq!(found.cursor, all[2].cursor);
    assert_eq!(found.skipped, 2, "those of the bucket with rules");
    assert_eq!(found.skipped_ms, Some(START_MS));
    let found = metadata.change_consumer(&punctual).await.unwrap().unwrap();
    assert_eq!((found.cursor, found.skipped), (all[7].cursor, 0));

    world.clock.advance_ms(25 * HOUR_MS);
    trim(&world, BOUNDS, 0, 5).await;
    log(&world, 0).await;
    let found = metadata.change_consumer(&late).await.unwrap().unwrap();
    assert_eq!(found.skipped, 4);
}

/// All letters of a webhook, and those that are to be posted again.
async fn letters(world: &World, hook: &str) -> (u64, u64) {
    let count = world.metadata.dead_letter_count(hook).await.unwrap();
    (count.all, count.asked)
}

fn letter_of(hook: &str, number: u64, bucket: i64, key: &str) -> DeadLetter {
    DeadLetter {
        webhook: hook.to_owned(),
        cursor: place(number),
        bucket: BucketId(bucket),
        bucket_name: "b".to_owned(),
        key: key.as_bytes().to_vec(),
        event: "s3:ObjectCreated:Put".to_owned(),
        body: number.to_string(),
        reason: "400".to_owned(),
        at_ms: START_MS,
        asked_ms: None,
    }
}

fn place(number: u64) -> ChangeCursor {
    ChangeCursor {
        transaction: 7,
        number,
    }
}

async fn letters_are_posted_again_when_asked_for_and_in_order(world: World) {
    let metadata = &world.metadata;
    let hook = make(&world, "hook").await;
    let other = make(&world, "other").await;
    // Two keys of a bucket, one of another bucket that is called the same as the first.
    for (number, bucket, key) in [(1, 1, "a"), (2, 1, "a"), (3, 1, "b"), (4, 2, "a")] {
        let letter = letter_of(&hook, number, bucket, key);
        metadata.put_dead_letter(letter).await.unwrap();
    }
    let start = ChangeCursor::default();
    let next = async |after| {
        let found = metadata.asked_dead_letter(&hook, after).await.unwrap();
        found.map(|asked| (asked.letter.cursor.number, asked.asked_ms))
    };
    assert_eq!(next(start).await, None, "nobody asked");
    let ask = async |numbers: &[u64]| {
        let these = Letters::These(numbers.iter().map(|number| place(*number)).collect());
        metadata.retry_dead_letters(&hook, these).await
    };
    let missing = ask(&[1, 9]).await;
    assert!(matches!(missing, Err(MetadataError::NotFound(_))));
    let none = metadata
        .retry_dead_letters(&other, Letters::These(vec![place(1)]))
        .await;
    assert!(
        matches!(none, Err(MetadataError::NotFound(_))),
        "not its letter"
    );
    assert_eq!(letters(&world, &hook).await, (4, 0), "all or none");

    assert_eq!(ask(&[4, 2, 1, 3]).await.unwrap(), 4);
    assert_eq!(letters(&world, &hook).await, (4, 4));
    assert_eq!(next(start).await, Some((1, START_MS)));
    assert_eq!(next(place(1)).await.unwrap().0, 3, "2 is of the key of 1");
    assert_eq!(next(place(3)).await.unwrap().0, 4, "another bucket's key");
    assert_eq!(next(place(4)).await, None);

    let first = metadata.asked_dead_letter(&hook, start).await.unwrap();
    let first = first.unwrap();
    let settle = async |asked: &AskedLetter, end: LetterEnd| {
        let settled = metadata.settle_dead_letter(&hook, asked.clone(), end);
        settled.await.unwrap();
    };
    let refused = || LetterEnd::Refused {
        reason: "still 400".to_owned(),
    };
    // Asked for anew while it was posted: the refusal is of the asking before.
    assert_eq!(ask(&[1]).await.unwrap(), 1);
    settle(&first, refused()).await;
    assert_eq!(next(start).await, Some((1, START_MS + 1)));
    world.clock.advance_ms(5);
    let again = metadata.asked_dead_letter(&hook, start).await.unwrap();
    settle(&again.unwrap(), refused()).await;
    assert_eq!(next(start).await.unwrap().0, 2, "1 is put aside again");
    let shown = metadata.dead_letters_after(&hook, start, 1).await.unwrap();
    let aside = DeadLetter {
        reason: "still 400".to_owned(),
        at_ms: START_MS + 5,
        ..first.letter.clone()
    };
    assert_eq!(
        shown,
        [DeadLetter {
            asked_ms: None,
            ..aside
        }]
    );
    let shown = metadata
        .dead_letters_after(&hook, place(2), 9)
        .await
        .unwrap();
    let numbers: Vec<u64> = shown.iter().map(|letter| letter.cursor.number).collect();
    assert_eq!(numbers, [3, 4], "oldest first");

    let second = metadata.asked_dead_letter(&hook, start).await.unwrap();
    let second = second.unwrap();
    settle(&second, LetterEnd::Taken).await;
    settle(&second, LetterEnd::Taken).await;
    settle(&second, refused()).await;
    assert_eq!(letters(&world, &hook).await, (3, 2));
    // Put aside once more by a delivery that begins again before it: that is the same letter, and
    // it is not asked for.
    let late = letter_of(&hook, 2, 1, "a");
    metadata.put_dead_letter(late.clone()).await.unwrap();
    metadata.put_dead_letter(late).await.unwrap();
    assert_eq!(letters(&world, &hook).await, (4, 2));
    let discarded = metadata
        .discard_dead_letters(&hook, Letters::These(vec![place(3)]))
        .await;
    assert_eq!(discarded.unwrap(), 1);
    let gone = metadata
        .discard_dead_letters(&hook, Letters::These(vec![place(3)]))
        .await;
    assert!(matches!(gone, Err(MetadataError::NotFound(_))));
    assert_eq!(letters(&world, &hook).await, (3, 1));
}

async fn all_letters_are_asked_for_or_discarded_page_by_page(world: World) {
    let metadata = &world.metadata;
    let hook = make(&world, "hook").await;
    let other = make(&world, "other").await;
    // More than one page, and exactly two.
    for number in 1..=1000 {
        let letter = letter_of(&hook, number, 1, "k");
        metadata.put_dead_letter(letter).await.unwrap();
    }
    let kept = letter_of(&other, 1, 1, "k");
    metadata.put_dead_letter(kept).await.unwrap();
    let all = || Letters::After(ChangeCursor::default());
    let asked = metadata.retry_dead_letters(&hook, all()).await.unwrap();
    assert_eq!(asked, 1000);
    assert_eq!(letters(&world, &hook).await, (1000, 1000));
    assert_eq!(letters(&world, &other).await, (1, 0));
    let gone = metadata.discard_dead_letters(&hook, all()).await.unwrap();
    assert_eq!(gone, 1000);
    assert_eq!(letters(&world, &hook).await, (0, 0));
    let none = metadata.discard_dead_letters(&hook, all()).await.unwrap();
    assert_eq!(none, 0);
    assert_eq!(letters(&world, &other).await, (1, 0));
}

async fn letters_and_messages_are_kept_until_they_are_dropped(world: World) {
    let metadata = &world.metadata;
    world.bucket("b").await;
    let hook = make(&world, "hook").await;
    let missing = metadata
        .set_notifications("b", rules("x", &["hook", "hook"]), Some("R1".to_owned()))
        .await;
    assert!(missing.unwrap().is_empty());
    let messages = metadata.webhook_messages(&hook, 10).await.unwrap();
    assert_eq!(messages.len(), 1, "one for a webhook, however often named");
    assert_eq!(messages[0].bucket_name, "b");
    assert_eq!(messages[0].request_id, "R1");
    assert_eq!(messages[0].at_ms, START_MS);
    let number = messages[0].number;
    metadata
        .drop_webhook_message("other", number)
        .await
        .unwrap();
    assert_eq!(metadata.webhook_messages(&hook, 10).await.unwrap().len(), 1);
    metadata.drop_webhook_message(&hook, number).await.unwrap();
    assert!(
        metadata
            .webhook_messages(&hook, 10)
            .await
            .unwrap()
            .is_empty()
    );

    let letter = |number: u64| DeadLetter {
        webhook: hook.clone(),
        cursor: ChangeCursor {
            transaction: 7,
            number,
        },
        bucket: BucketId(1),
        bucket_name: "b".to_owned(),
        key: b"a\0b".to_vec(),
        event: "s3:ObjectCreated:Put".to_owned(),
        body: "{}".to_owned(),
        reason: "400".to_owned(),
        at_ms: START_MS,
        asked_ms: None,
    };
    for number in [1, 2, 2, 3] {
        metadata.put_dead_letter(letter(number)).await.unwrap();
    }
    assert_eq!(letters(&world, &hook).await, (3, 0));
    assert_eq!(
        metadata.dead_letters(&hook, 2).await.unwrap(),
        [letter(3), letter(2)]
    );
    set(&world, "b", Vec::new()).await;
    assert_eq!(metadata.delete_webhook("hook").await.unwrap(), None);
    assert_eq!(letters(&world, &hook).await, (0, 0));
    // And a versioned bucket's marker is under rules like anything else.
    make(&world, "hook").await;
    metadata
        .set_versioning("b", Versioning::Enabled)
        .await
        .unwrap();
    set(&world, "b", rules("y", &["hook"])).await;
    metadata
        .delete_object(delete_of("b", "k", None))
        .await
        .unwrap();
    assert!(log(&world, 1).await[0].notification > 0);
}
