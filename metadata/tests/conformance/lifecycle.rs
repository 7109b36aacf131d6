//! Lifecycle as the metadata keeps it: what is dated, when it is due, what a look does, and what
//! changes in between do to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::Metadata;
use holdfast_metadata::command::{PutLegalHold, PutTags};
use holdfast_metadata::lifecycle::{
    Expiration, LifecycleChange, LifecycleFilter, LifecycleRule, LifecycleRules, LifecycleTurn,
    NoncurrentExpiration,
};
use holdfast_metadata::model::{
    Bucket, ChangeCursor, ChangeEvent, Origin, UploadState, VersionSelector, Versioning,
};
use sqlx::{AssertSqlSafe, Connection as _};

use super::hooks::Watch;
use super::postgres_server;
use super::world::{HOUR_MS, Place, START_MS, World, complete_of, query};

super::on_both! {
    an_object_goes_at_midnight_after_its_days_and_not_before,
    a_version_is_covered_then_removed_and_its_marker_last,
    what_was_there_before_the_rules_is_dated_by_a_walk,
    a_walk_goes_on_where_it_was_cut,
    rules_that_change_count_as_they_are_at_the_look,
    tags_and_sizes_count_as_they_are_at_the_look,
    newer_noncurrent_versions_are_counted,
    what_becomes_current_again_is_dated_anew,
    a_marker_that_becomes_alone_goes,
    uploads_that_stay_open_are_aborted,
    a_locked_version_stays_and_is_looked_at_again,
    rules_go_with_their_bucket,
    days_of_another_length_are_dated_anew,
    what_is_due_costs_what_is_due,
}

const DAY_MS: u64 = 24 * HOUR_MS;
/// Stories begin at 8:00.
const FIRST_MIDNIGHT: u64 = START_MS + 16 * HOUR_MS;

pub(crate) fn rule() -> LifecycleRule {
    LifecycleRule {
        id: "r".to_owned(),
        filter: LifecycleFilter::default(),
        expiration: None,
        noncurrent: None,
        abort_upload_days: None,
    }
}

pub(crate) fn expires(days: u32) -> LifecycleRule {
    LifecycleRule {
        expiration: Some(Expiration::Days(days)),
        ..rule()
    }
}

pub(crate) fn drops(days: u32, keep_newer: u32) -> LifecycleRule {
    LifecycleRule {
        noncurrent: Some(NoncurrentExpiration { days, keep_newer }),
        ..rule()
    }
}

pub(crate) fn lone_markers() -> LifecycleRule {
    LifecycleRule {
        expiration: Some(Expiration::LoneMarker),
        ..rule()
    }
}

pub(crate) async fn set_rules(metadata: &Metadata, bucket: &str, rules: Vec<LifecycleRule>) {
    let change = LifecycleChange {
        rules: LifecycleRules(rules),
        document: "as the edge wrote it".to_owned(),
    };
    metadata.set_lifecycle(bucket, Some(change)).await.unwrap();
}

/// Walks and looks until there is nothing to do at this time; what the looks did.
pub(crate) async fn turn(metadata: &Metadata) -> Vec<LifecycleTurn> {
    let mut turns = Vec::new();
    loop {
        while metadata.walk_lifecycle(3).await.unwrap().is_some() {}
        let mut due = metadata.due_versions(None, 100).await.unwrap();
        due.extend(metadata.due_uploads(None, 100).await.unwrap());
        if due.is_empty() {
            return turns;
        }
        for due in due {
            turns.push(metadata.examine_lifecycle(due).await.unwrap());
        }
        assert!(turns.len() < 100_000, "it goes round and round");
    }
}

/// What the looks did, without those that did nothing.
async fn done(world: &World) -> Vec<LifecycleTurn> {
    let mut turns = turn(&world.metadata).await;
    turns.retain(|turn| *turn != LifecycleTurn::Nothing);
    turns
}

async fn versions(world: &World, bucket: &Bucket) -> Vec<String> {
    world.list_versions(query(bucket, 1000)).await.0
}

async fn an_object_goes_at_midnight_after_its_days_and_not_before(world: World) {
    let bucket = world.bucket("b").await;
    let mut only = expires(3);
    only.filter.prefix = "logs/".to_owned();
    set_rules(&world.metadata, "b", vec![only]).await;
    turn(&world.metadata).await;
    world.put("b", "logs/a", 10, "a").await;
    world.put("b", "kept", 10, "k").await;

    world.clock.set_ms(FIRST_MIDNIGHT + 3 * DAY_MS - 1);
    assert_eq!(done(&world).await, []);
    assert!(
        world
            .metadata
            .due_versions(None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    world.clock.advance_ms(1);
    let backlog = world.metadata.lifecycle_backlog().await.unwrap();
    assert_eq!(backlog.overdue, 1);
    assert_eq!(backlog.oldest_due_ms, Some(FIRST_MIDNIGHT + 3 * DAY_MS));
    assert_eq!(done(&world).await, [LifecycleTurn::Expired]);
    assert_eq!(versions(&world, &bucket).await, ["kept"]);
    super::invariants::check(&world).await;
    let backlog = world.metadata.lifecycle_backlog().await.unwrap();
    assert_eq!(backlog, Default::default());
}

/// Events of a key, in order.
async fn events(world: &World, key: &str) -> Vec<(ChangeEvent, Option<String>)> {
    world.put("b", "last", 1, "last").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let changes = world.metadata.changes(ChangeCursor::default(), 1000);
        let changes = changes.await.unwrap();
        if changes.iter().any(|change| change.key == b"last") {
            let of_key = changes.into_iter().filter(|c| c.key == key.as_bytes());
            return of_key.map(|c| (c.event, c.principal)).collect();
        }
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_version_is_covered_then_removed_and_its_marker_last(world: World) {
    let bucket = world.versioned_bucket("b").await;
    set_rules(&world.metadata, "b", vec![expires(1), drops(2, 0)]).await;
    world.put("b", "k", 10, "a").await;
    world.clock.set_ms(FIRST_MIDNIGHT + DAY_MS);
    assert_eq!(done(&world).await, [LifecycleTurn::MarkerPut]);
    assert_eq!(versions(&world, &bucket).await, ["k@2!", "k@1"]);
    // Noncurrent since the marker was written, at midnight: two days and the next midnight.
    world.clock.set_ms(FIRST_MIDNIGHT + 4 * DAY_MS - 1);
    assert_eq!(done(&world).await, []);
    world.clock.advance_ms(1);
    // The marker is old enough, too, by then.
    assert_eq!(
        done(&world).await,
        [
            LifecycleTurn::NoncurrentRemoved,
            LifecycleTurn::MarkerRemoved
        ]
    );
    assert_eq!(versions(&world, &bucket).await, [""; 0]);
    assert_eq!(
        events(&world, "k").await,
        [
            (ChangeEvent::Put, None),
            (ChangeEvent::ExpireMarker, None),
            (ChangeEvent::ExpireDelete, None),
            (ChangeEvent::ExpireDelete, None),
        ]
    );
    super::invariants::check(&world).await;
}

async fn what_was_there_before_the_rules_is_dated_by_a_walk(world: World) {
    let bucket = world.versioned_bucket("b").await;
    for key in ["a", "p/1", "p/2", "p/3", "p/4", "z"] {
        world.put("b", key, 10, "e").await;
        world.put("b", key, 20, "e").await;
    }
    world.delete("b", "p/gone").await;
    world.delete("b", "p/3").await;
    let upload = world.upload("b", "p/up").await;
    world.clock.advance_ms(10 * DAY_MS);
    let mut all = expires(1);
    all.noncurrent = Some(NoncurrentExpiration {
        days: 20,
        keep_newer: 0,
    });
    all.abort_upload_days = Some(1);
    all.filter.prefix = "p/".to_owned();
    set_rules(&world.metadata, "b", vec![all]).await;
    assert!(
        world
            .metadata
            .due_versions(None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        world
            .metadata
            .lifecycle_backlog()
            .await
            .unwrap()
            .buckets_to_walk,
        1
    );
    let mut turns = done(&world).await;
    turns.sort();
    assert_eq!(
        turns,
        [
            LifecycleTurn::MarkerPut,
            LifecycleTurn::MarkerPut,
            LifecycleTurn::MarkerPut,
            LifecycleTurn::MarkerRemoved,
            LifecycleTurn::UploadAborted,
        ]
    );
    let found = world
        .metadata
        .upload(bucket.id, b"p/up", upload.id)
        .await
        .unwrap();
    assert_eq!(found.state, UploadState::Aborted);
    assert_eq!(
        versions(&world, &bucket).await,
        [
            "a", "a@1", "p/1@3!", "p/1@2", "p/1@1", "p/2@3!", "p/2@2", "p/2@1", "p/3@3!", "p/3@2",
            "p/3@1", "p/4@3!", "p/4@2", "p/4@1", "z", "z@1"
        ]
    );
}

async fn a_walk_goes_on_where_it_was_cut(world: World) {
    let bucket = world.versioned_bucket("b").await;
    for number in 0..7 {
        for _ in 0..3 {
            world.put("b", &format!("k{number}"), 10, "e").await;
        }
    }
    for _ in 0..5 {
        world.upload("b", "up").await;
    }
    let mut all = drops(1, 0);
    all.abort_upload_days = Some(1);
    set_rules(&world.metadata, "b", vec![all]).await;
    world.clock.advance_ms(10 * DAY_MS);
    let mut walked = 0;
    let mut pages = 0;
    let mut world = world;
    while let Some(page) = world.metadata.walk_lifecycle(4).await.unwrap() {
        assert_eq!(page.bucket, bucket.id);
        assert!(page.walked <= 4, "{page:?}");
        walked += page.walked;
        pages += 1;
        // What is between two pages: the process dies.
        world = world.reopened(Arc::new(Watch::default())).await;
    }
    assert_eq!(walked, 7 * 3 + 5);
    assert!(pages >= 8, "{pages}");
    let turns = done(&world).await;
    let count = |turn| turns.iter().filter(|one| **one == turn).count();
    assert_eq!(count(LifecycleTurn::NoncurrentRemoved), 14);
    assert_eq!(count(LifecycleTurn::UploadAborted), 5);
    assert_eq!(versions(&world, &bucket).await.len(), 7);
}

async fn rules_that_change_count_as_they_are_at_the_look(world: World) {
    let bucket = world.bucket("b").await;
    set_rules(&world.metadata, "b", vec![expires(1)]).await;
    turn(&world.metadata).await;
    world.put("b", "k", 10, "e").await;
    world.clock.advance_ms(2 * DAY_MS);
    let due = world.metadata.due_versions(None, 9).await.unwrap();
    assert_eq!(due.len(), 1);

    set_rules(&world.metadata, "b", vec![expires(5)]).await;
    let look = world.metadata.examine_lifecycle(due[0].clone()).await;
    assert_eq!(
        look.unwrap(),
        LifecycleTurn::Nothing,
        "the new rule is slower"
    );
    assert_eq!(done(&world).await, []);
    world.metadata.set_lifecycle("b", None).await.unwrap();
    world.clock.advance_ms(10 * DAY_MS);
    assert_eq!(done(&world).await, [], "there are no rules");
    let bucket = world.metadata.bucket(&bucket.name).await.unwrap();
    assert_eq!(world.metadata.lifecycle_rules(&bucket).await.unwrap(), None);

    // Rules that are only kept, but not enabled.
    set_rules(&world.metadata, "b", vec![]).await;
    assert_eq!(done(&world).await, []);
    let document = world.metadata.lifecycle_document(bucket.id).await.unwrap();
    assert_eq!(document.as_deref(), Some("as the edge wrote it"));

    set_rules(&world.metadata, "b", vec![expires(1)]).await;
    assert_eq!(done(&world).await, [LifecycleTurn::Expired]);
    // What was due is gone: looking once more is no harm.
    let look = world.metadata.examine_lifecycle(due[0].clone()).await;
    assert_eq!(look.unwrap(), LifecycleTurn::Nothing);
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn tag(world: &World, key: &str, pairs: &[(&str, &str)]) {
    let put = PutTags {
        bucket: "b".to_owned(),
        key: key.as_bytes().to_vec(),
        version: VersionSelector::Current,
        tags: tags(pairs),
        origin: Origin::default(),
    };
    world.metadata.put_tags(put).await.unwrap();
}

async fn tags_and_sizes_count_as_they_are_at_the_look(world: World) {
    let bucket = world.bucket("b").await;
    let mut tagged = expires(1);
    tagged.filter.tags = tags(&[("keep", "no")]);
    tagged.filter.larger_than = Some(5);
    tagged.filter.smaller_than = Some(100);
    set_rules(&world.metadata, "b", vec![tagged]).await;
    turn(&world.metadata).await;
    for (key, len) in [
        ("small", 5),
        ("large", 100),
        ("fits", 6),
        ("saved", 6),
        ("lost", 6),
    ] {
        let mut put = world.put_of("b", key, len, "e");
        if key != "lost" {
            put.attributes.tags = tags(&[("keep", "no"), ("other", "x")]);
        }
        world.metadata.put_object(put).await.unwrap();
    }
    tag(&world, "saved", &[("keep", "yes")]).await;
    world.clock.advance_ms(3 * DAY_MS);
    let due = world.metadata.due_versions(None, 9).await.unwrap();
    assert_eq!(due.len(), 1, "the others were never due: {due:?}");
    assert_eq!(done(&world).await, [LifecycleTurn::Expired]);
    tag(&world, "lost", &[("keep", "no")]).await;
    assert_eq!(done(&world).await, [LifecycleTurn::Expired]);
    assert_eq!(versions(&world, &bucket).await, ["large", "saved", "small"]);
}

async fn newer_noncurrent_versions_are_counted(world: World) {
    let bucket = world.versioned_bucket("b").await;
    set_rules(&world.metadata, "b", vec![drops(1, 2)]).await;
    turn(&world.metadata).await;
    for number in 1..=3 {
        world.put("b", "k", number, "e").await;
    }
    world.clock.advance_ms(5 * DAY_MS);
    assert_eq!(done(&world).await, [], "two are kept, however old");
    assert_eq!(world.metadata.lifecycle_backlog().await.unwrap().overdue, 0);
    world.put("b", "k", 4, "e").await;
    assert_eq!(done(&world).await, [LifecycleTurn::NoncurrentRemoved]);
    assert_eq!(versions(&world, &bucket).await, ["k", "k@3", "k@2"]);
    for number in 5..=8 {
        world.put("b", "k", number, "e").await;
    }
    assert_eq!(
        done(&world).await,
        [LifecycleTurn::NoncurrentRemoved],
        "only what has been noncurrent for its days"
    );
    world.clock.advance_ms(5 * DAY_MS);
    assert_eq!(done(&world).await, [LifecycleTurn::NoncurrentRemoved; 3]);
    assert_eq!(versions(&world, &bucket).await.len(), 3);
    // One of the newer ones goes: those that are left are too few, until there is one more.
    world
        .metadata
        .set_versioning("b", Versioning::Suspended)
        .await
        .unwrap();
    world.put("b", "k", 9, "e").await;
    assert_eq!(done(&world).await, [LifecycleTurn::NoncurrentRemoved]);
    world.put("b", "k", 10, "e").await;
    assert_eq!(
        done(&world).await,
        [],
        "the null version took the null version's place"
    );
    assert_eq!(versions(&world, &bucket).await.len(), 3);
}

async fn what_becomes_current_again_is_dated_anew(world: World) {
    let bucket = world.versioned_bucket("b").await;
    set_rules(&world.metadata, "b", vec![expires(3), drops(1, 0)]).await;
    turn(&world.metadata).await;
    world.put("b", "k", 1, "e").await;
    let marker = world.delete("b", "k").await.version_id.unwrap();
    world.clock.advance_ms(DAY_MS);
    world.delete_version("b", "k", &marker).await;
    world.clock.set_ms(FIRST_MIDNIGHT + 3 * DAY_MS - 1);
    assert_eq!(done(&world).await, [], "it is not noncurrent any more");
    world.clock.advance_ms(1);
    assert_eq!(
        done(&world).await,
        [LifecycleTurn::MarkerPut],
        "days since it was written"
    );
    world.clock.advance_ms(DAY_MS);
    assert_eq!(
        done(&world).await,
        [],
        "and a day since it became noncurrent again"
    );
    world.clock.advance_ms(DAY_MS);
    assert_eq!(done(&world).await, [LifecycleTurn::NoncurrentRemoved]);
    assert_eq!(versions(&world, &bucket).await, ["k@4!"]);
}

async fn a_marker_that_becomes_alone_goes(world: World) {
    let bucket = world.versioned_bucket("b").await;
    set_rules(&world.metadata, "b", vec![lone_markers()]).await;
    turn(&world.metadata).await;
    let version = world.put("b", "k", 1, "e").await.version_id.unwrap();
    world.delete("b", "k").await;
    world.delete("b", "absent").await;
    world.delete("b", "twice").await;
    world.delete("b", "twice").await;
    assert_eq!(done(&world).await, [], "not on the day it was written");
    world.clock.advance_ms(DAY_MS);
    assert_eq!(done(&world).await, [LifecycleTurn::MarkerRemoved]);
    world.delete_version("b", "k", &version).await;
    assert_eq!(done(&world).await, [LifecycleTurn::MarkerRemoved]);
    assert_eq!(versions(&world, &bucket).await, ["twice@2!", "twice@1!"]);
}

async fn uploads_that_stay_open_are_aborted(world: World) {
    let bucket = world.bucket("b").await;
    let mut aborts = rule();
    aborts.abort_upload_days = Some(1);
    set_rules(&world.metadata, "b", vec![aborts]).await;
    turn(&world.metadata).await;
    let open = world.upload("b", "open").await;
    world.part("b", &open, 1, 10).await;
    let completed = world.upload("b", "completed").await;
    let part = world.part("b", &completed, 1, 10).await;
    world.clock.set_ms(FIRST_MIDNIGHT + DAY_MS - 1);
    assert_eq!(done(&world).await, []);
    let complete = complete_of("b", &completed, &[&part]);
    world.metadata.complete_upload(complete).await.unwrap();
    world.clock.advance_ms(1);
    assert_eq!(done(&world).await, [LifecycleTurn::UploadAborted]);
    let found = world
        .metadata
        .upload(bucket.id, b"open", open.id)
        .await
        .unwrap();
    assert_eq!(found.state, UploadState::Aborted);
    assert_eq!(versions(&world, &bucket).await, ["completed"]);
    super::invariants::check(&world).await;
}

async fn a_locked_version_stays_and_is_looked_at_again(world: World) {
    let bucket = world.versioned_bucket("b").await;
    world.metadata.set_object_lock("b", None).await.unwrap();
    set_rules(&world.metadata, "b", vec![drops(1, 0)]).await;
    turn(&world.metadata).await;
    world.put("b", "k", 1, "e").await;
    let hold = |on| PutLegalHold {
        bucket: "b".to_owned(),
        key: b"k".to_vec(),
        version: VersionSelector::Current,
        on,
        origin: Origin::default(),
    };
    world.metadata.put_legal_hold(hold(true)).await.unwrap();
    let held = world.current(&bucket, "k").await.unwrap();
    world.put("b", "k", 2, "e").await;
    for _ in 0..3 {
        world.clock.advance_ms(3 * DAY_MS);
        assert_eq!(done(&world).await, [LifecycleTurn::Locked]);
        assert_eq!(versions(&world, &bucket).await, ["k", "k@1"]);
    }
    let off = PutLegalHold {
        version: VersionSelector::Exact(held.version_id),
        ..hold(false)
    };
    world.metadata.put_legal_hold(off).await.unwrap();
    world.clock.advance_ms(DAY_MS);
    assert_eq!(done(&world).await, [LifecycleTurn::NoncurrentRemoved]);
    assert_eq!(versions(&world, &bucket).await, ["k"]);
}

async fn rules_go_with_their_bucket(world: World) {
    let bucket = world.bucket("b").await;
    set_rules(&world.metadata, "b", vec![expires(1)]).await;
    world.put("b", "k", 1, "e").await;
    world.clock.advance_ms(3 * DAY_MS);
    let due = world
        .metadata
        .due_versions(None, 9)
        .await
        .unwrap()
        .remove(0);
    world.delete("b", "k").await;
    world.metadata.delete_bucket("b").await.unwrap();
    assert_eq!(turn(&world.metadata).await, []);
    let look = world.metadata.examine_lifecycle(due).await;
    assert_eq!(look.unwrap(), LifecycleTurn::Nothing);
    let again = world.bucket("b").await;
    assert_ne!(again.id, bucket.id);
    assert_eq!(again.lifecycle_generation, 0);
    assert_eq!(
        world.metadata.lifecycle_document(again.id).await.unwrap(),
        None
    );
    assert_eq!(
        world
            .metadata
            .set_lifecycle("b", None)
            .await
            .map_err(|e| e.to_string()),
        Ok(())
    );
    let absent = world
        .metadata
        .set_lifecycle("absent", None)
        .await
        .unwrap_err();
    assert_eq!(absent.to_string(), "no such bucket");
}

async fn days_of_another_length_are_dated_anew(world: World) {
    let bucket = world.bucket("b").await;
    set_rules(&world.metadata, "b", vec![expires(2)]).await;
    turn(&world.metadata).await;
    world.put("b", "k", 1, "e").await;
    assert_eq!(world.metadata.restart_lifecycle_walks().await.unwrap(), 0);
    let mut config = world.place.config("short days");
    config.lifecycle_day_seconds = Some(60);
    world.metadata.clone().close().await;
    let region = super::world::region;
    let short = Metadata::open(&config, region(), world.clock.clone())
        .await
        .unwrap();
    assert_eq!(short.restart_lifecycle_walks().await.unwrap(), 1);
    // Written at a midnight of such days: two of them, and the next midnight.
    world.clock.advance_ms(179_999);
    assert_eq!(turn(&short).await, []);
    world.clock.advance_ms(1);
    assert_eq!(turn(&short).await, [LifecycleTurn::Expired]);
    let put = world.put_of("b", "again", 0, "e");
    short.put_object(put).await.unwrap();
    short.close().await;
    // Back to real days: what was dated by short ones is looked at early and does not go early.
    config.lifecycle_day_seconds = None;
    let real = Metadata::open(&config, region(), world.clock.clone())
        .await
        .unwrap();
    assert_eq!(real.restart_lifecycle_walks().await.unwrap(), 1);
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(turn(&real).await, [LifecycleTurn::Nothing]);
    world.clock.advance_ms(3 * DAY_MS);
    assert_eq!(turn(&real).await, [LifecycleTurn::Expired]);
    let left = real.list_versions(&query(&bucket, 9)).await.unwrap();
    assert!(left.entries.is_empty());
}

/// Objects of which nearly none is due: as many rows as a walk would have dated.
const MANY: i64 = 100_000;

async fn what_is_due_costs_what_is_due(world: World) {
    let bucket = world.bucket("b").await;
    set_rules(&world.metadata, "b", vec![expires(1)]).await;
    turn(&world.metadata).await;
    let (id, far) = (bucket.id.0, START_MS + 1000 * DAY_MS);
    match &world.place {
        Place::Sqlite(folder) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(folder.path().join("metadata.db"));
            let mut connection = sqlx::SqliteConnection::connect_with(&options)
                .await
                .unwrap();
            let sql = format!(
                "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {MANY}) \
                 INSERT INTO versions (uid, bucket_id, key, sequence, version_id, is_current, \
                 is_marker, size, etag, last_modified_ms, attributes, lifecycle_due_ms) \
                 SELECT randomblob(16), {id}, CAST(printf('%08d', i) AS BLOB), 1, 'null', 1, 0, 0, \
                 'e', {START_MS}, '{{}}', {far} + i FROM n"
            );
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        Place::Postgres(database) => {
            let url = postgres_server::server().unwrap().url(database, "fill");
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            let sql = format!(
                "INSERT INTO versions (uid, bucket_id, key, sequence, version_id, is_current, \
                 is_marker, size, etag, last_modified_ms, attributes, lifecycle_due_ms) \
                 SELECT decode(md5('lc/' || i), 'hex'), {id}, convert_to(lpad(i::text, 8, '0'), \
                 'UTF8'), 1, 'null', 1, 0, 0, 'e', {START_MS}, '{{}}', {far} + i \
                 FROM generate_series(0, {MANY} - 1) AS i; ANALYZE versions"
            );
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
    const DUE: u64 = 5;
    for number in 0..DUE {
        world.put("b", &format!("due-{number}"), 0, "e").await;
    }
    let watch = Arc::new(Watch::default());
    let world = world.reopened(watch.clone()).await;
    world.clock.set_ms(FIRST_MIDNIGHT + DAY_MS);
    watch.reset();
    assert_eq!(done(&world).await, [LifecycleTurn::Expired; DUE as usize]);
    let rows = watch.rows();
    // The queue twice, and of each object that goes its bucket, key, version and log.
    assert!(rows <= 20 * DUE + 10, "{rows} rows");
    watch.reset();
    assert_eq!(done(&world).await, []);
    world.metadata.lifecycle_backlog().await.unwrap();
    assert!(
        watch.rows() <= 10,
        "{} rows when nothing is due",
        watch.rows()
    );
}
