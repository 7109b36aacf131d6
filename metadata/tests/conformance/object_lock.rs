//! Object lock: no path removes a locked version, and what can't be read is locked.

use std::sync::Arc;

use futures::future::join_all;
use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{DeleteObject, PutLegalHold, PutRetention};
use holdfast_metadata::model::{
    Bucket, BucketLock, Bypass, ChangeCause, ChangeCursor, ChangeEvent, DefaultRetention,
    LockState, Origin, Retention, RetentionMode, RetentionPeriod, Version, VersionId, VersionLock,
    VersionSelector, Versioning,
};
use sqlx::{AssertSqlSafe, Connection as _};

use super::hooks::Gate;
use super::postgres_server;
use super::world::{HOUR_MS, Place, START_MS, World, complete_of, copy_of, delete_of};

super::on_both! {
    a_lockable_bucket_has_versions_and_keeps_them,
    only_a_versioned_bucket_gets_object_lock,
    new_versions_get_what_they_ask_for_or_the_default,
    a_locked_version_goes_on_no_path,
    governance_is_bypassed_and_compliance_is_not,
    a_retention_only_grows,
    a_legal_hold_is_independent,
    what_can_not_be_read_is_locked,
    a_clock_that_goes_back_unlocks_nothing,
    a_delete_waits_for_the_retention_that_came_first,
    retention_and_delete_at_once_never_both_win,
}

/// A day.
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

pub(crate) async fn lockable(world: &World, default: Option<DefaultRetention>) -> Bucket {
    let metadata = &world.metadata;
    let made = metadata.create_lockable_bucket("b", "standard", None).await;
    made.unwrap();
    if default.is_some() {
        metadata.set_object_lock("b", default).await.unwrap();
    }
    metadata.bucket("b").await.unwrap()
}

pub(crate) fn until(mode: RetentionMode, until_ms: u64) -> Retention {
    Retention { mode, until_ms }
}

const fn days(mode: RetentionMode, days: u32) -> DefaultRetention {
    DefaultRetention {
        mode,
        period: RetentionPeriod::Days(days),
    }
}

pub(crate) async fn retain(
    world: &World,
    key: &str,
    id: &VersionId,
    retention: Option<Retention>,
    bypass: Bypass,
) -> Result<(), MetadataError> {
    let put = PutRetention {
        bucket: "b".to_owned(),
        key: key.as_bytes().to_vec(),
        version: VersionSelector::Exact(id.clone()),
        retention,
        bypass,
        origin: Origin::default(),
    };
    world.metadata.put_retention(put).await
}

pub(crate) async fn hold(
    world: &World,
    key: &str,
    id: &VersionId,
    on: bool,
) -> Result<(), MetadataError> {
    let put = PutLegalHold {
        bucket: "b".to_owned(),
        key: key.as_bytes().to_vec(),
        version: VersionSelector::Exact(id.clone()),
        on,
        origin: Origin::default(),
    };
    world.metadata.put_legal_hold(put).await
}

pub(crate) async fn remove(
    world: &World,
    key: &str,
    id: &VersionId,
    bypass: Bypass,
) -> Result<(), MetadataError> {
    let delete = DeleteObject {
        bypass,
        ..delete_of("b", key, Some(id))
    };
    world.metadata.delete_object(delete).await.map(|_| ())
}

async fn put(world: &World, key: &str) -> VersionId {
    world.put("b", key, 10, "e").await.version_id.unwrap()
}

fn retention_of(version: &Version) -> Option<Retention> {
    match version.lock {
        VersionLock::Known(state) => state.retention,
        VersionLock::Unreadable => panic!("it can't be read"),
    }
}

fn is_locked<T: std::fmt::Debug>(outcome: Result<T, MetadataError>) {
    assert!(matches!(outcome, Err(MetadataError::Locked)), "{outcome:?}");
}

/// Changes rows behind the metadata's back.
async fn sql(world: &World, statement: &str) {
    let statement = AssertSqlSafe(statement.to_owned());
    match &world.place {
        Place::Sqlite(folder) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(folder.path().join("metadata.db"))
                .busy_timeout(std::time::Duration::from_secs(30));
            let mut connection = sqlx::SqliteConnection::connect_with(&options)
                .await
                .unwrap();
            let done = sqlx::raw_sql(statement).execute(&mut connection).await;
            assert!(done.unwrap().rows_affected() > 0);
            std::fs::write(folder.path().join("behind-its-back"), "").unwrap();
        }
        Place::Postgres(database) => {
            let url = postgres_server::server().unwrap().url(database, "behind");
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            let done = sqlx::raw_sql(statement).execute(&mut connection).await;
            assert!(done.unwrap().rows_affected() > 0);
        }
    }
}

async fn a_lockable_bucket_has_versions_and_keeps_them(world: World) {
    let bucket = lockable(&world, None).await;
    assert_eq!(bucket.versioning, Versioning::Enabled);
    assert_eq!(bucket.object_lock, BucketLock::On(None));
    let set = async |versioning| world.metadata.set_versioning("b", versioning).await;
    set(Versioning::Enabled).await.unwrap();
    for versioning in [Versioning::Suspended, Versioning::Unversioned] {
        let refused = set(versioning).await.unwrap_err();
        assert!(matches!(refused, MetadataError::HasObjectLock), "{refused}");
    }
    assert_eq!(world.metadata.bucket("b").await.unwrap(), bucket);
    let plain = world.bucket("plain").await;
    assert_eq!(plain.object_lock, BucketLock::Off);
}

async fn only_a_versioned_bucket_gets_object_lock(world: World) {
    world.bucket("b").await;
    let before = world.put("b", "before", 1, "e").await;
    assert_eq!(before.version_id, None);
    let set = async |default| world.metadata.set_object_lock("b", default).await;
    let default = days(RetentionMode::Compliance, 3);
    for versioning in [None, Some(Versioning::Suspended)] {
        if let Some(versioning) = versioning {
            world
                .metadata
                .set_versioning("b", versioning)
                .await
                .unwrap();
        }
        let refused = set(Some(default)).await.unwrap_err();
        assert!(matches!(refused, MetadataError::VersioningNotEnabled));
    }
    let locked = PutRetention {
        bucket: "b".to_owned(),
        key: b"before".to_vec(),
        version: VersionSelector::Current,
        retention: None,
        bypass: Bypass::No,
        origin: Origin::default(),
    };
    let refused = world.metadata.put_retention(locked.clone()).await;
    assert!(matches!(refused, Err(MetadataError::NoObjectLock)));
    let mut asking = world.put_of("b", "k", 1, "e");
    asking.lock.legal_hold = Some(false);
    let refused = world.metadata.put_object(asking).await;
    assert!(matches!(refused, Err(MetadataError::NoObjectLock)));

    world
        .metadata
        .set_versioning("b", Versioning::Enabled)
        .await
        .unwrap();
    set(Some(default)).await.unwrap();
    let bucket = world.metadata.bucket("b").await.unwrap();
    assert_eq!(bucket.object_lock, BucketLock::On(Some(default)));
    // What was there before is not locked, but can be.
    let null = VersionId::null();
    let version = world.exact(&bucket, "before", &null).await.unwrap();
    assert_eq!(version.lock, VersionLock::default());
    hold(&world, "before", &null, true).await.unwrap();
    is_locked(remove(&world, "before", &null, Bypass::Governance).await);
    // The default goes again, the lock does not.
    set(None).await.unwrap();
    let bucket = world.metadata.bucket("b").await.unwrap();
    assert_eq!(bucket.object_lock, BucketLock::On(None));
    let missing = world.metadata.set_object_lock("nowhere", None).await;
    assert!(matches!(missing, Err(MetadataError::NoSuchBucket)));
}

async fn new_versions_get_what_they_ask_for_or_the_default(world: World) {
    let default = days(RetentionMode::Governance, 2);
    let bucket = lockable(&world, Some(default)).await;
    let by_default = until(RetentionMode::Governance, START_MS + 2 * DAY_MS);
    let asked = until(RetentionMode::Compliance, START_MS + 5);
    let metadata = &world.metadata;

    put(&world, "plain").await;
    let plain = world.current(&bucket, "plain").await.unwrap();
    assert_eq!(retention_of(&plain), Some(by_default));

    let mut asking = world.put_of("b", "asked", 0, "e");
    asking.lock = LockState {
        retention: Some(asked),
        legal_hold: Some(true),
    };
    metadata.put_object(asking.clone()).await.unwrap();
    let version = world.current(&bucket, "asked").await.unwrap();
    assert_eq!(version.lock, VersionLock::Known(asking.lock));

    // A copy takes nothing of its source's lock.
    world.copy(&version, "b", "copy").await.unwrap();
    let copied = world.current(&bucket, "copy").await.unwrap();
    let only_default = LockState {
        retention: Some(by_default),
        legal_hold: None,
    };
    assert_eq!(copied.lock, VersionLock::Known(only_default));
    let mut copy = copy_of(&version, "b", "copy");
    copy.lock = asking.lock;
    metadata.copy_object(copy).await.unwrap();
    let copied = world.current(&bucket, "copy").await.unwrap();
    assert_eq!(copied.lock, VersionLock::Known(asking.lock));

    // An upload's asked lock is kept for its object; the default is that of its completion.
    let upload = world.upload("b", "u").await;
    let part = world.part("b", &upload, 1, 5).await;
    let mut locked = super::world::create_of("b", "v");
    locked.lock = asking.lock;
    let locked = metadata.create_upload(locked).await.unwrap();
    let other = world.part("b", &locked, 1, 5).await;
    world.clock.advance_ms(DAY_MS);
    for (upload, part) in [(&upload, &part), (&locked, &other)] {
        let complete = complete_of("b", upload, &[part]);
        metadata.complete_upload(complete).await.unwrap();
    }
    let completed = world.current(&bucket, "u").await.unwrap();
    let later = until(RetentionMode::Governance, START_MS + 3 * DAY_MS);
    assert_eq!(retention_of(&completed), Some(later));
    let completed = world.current(&bucket, "v").await.unwrap();
    assert_eq!(completed.lock, VersionLock::Known(asking.lock));

    let marker = world.delete("b", "plain").await.version_id.unwrap();
    let marker = world.exact(&bucket, "plain", &marker).await.unwrap();
    assert_eq!(marker.lock, VersionLock::default(), "a marker has no lock");
}

async fn a_locked_version_goes_on_no_path(world: World) {
    let bucket = lockable(&world, None).await;
    let far = until(RetentionMode::Compliance, START_MS + 1000 * DAY_MS);
    let id = put(&world, "k").await;
    retain(&world, "k", &id, Some(far), Bypass::No)
        .await
        .unwrap();

    for bypass in [Bypass::No, Bypass::Governance] {
        is_locked(remove(&world, "k", &id, bypass).await);
    }
    let expire = DeleteObject {
        origin: Origin {
            cause: ChangeCause::Lifecycle,
            ..Origin::default()
        },
        ..delete_of("b", "k", Some(&id))
    };
    is_locked(world.metadata.delete_object(expire).await);
    let not_empty = world.metadata.delete_bucket("b").await;
    assert!(matches!(not_empty, Err(MetadataError::BucketNotEmpty)));
    // A marker may be laid on it, and be removed, and it may become an old version.
    let marker = world.delete("b", "k").await.version_id.unwrap();
    remove(&world, "k", &marker, Bypass::No).await.unwrap();
    put(&world, "k").await;
    is_locked(remove(&world, "k", &id, Bypass::Governance).await);

    // A bucket whose lock and versioning somebody has taken away behind our back: the null version
    // that writes and deletes would replace is locked all the same.
    world
        .metadata
        .create_bucket("old", "standard", None)
        .await
        .unwrap();
    world.put("old", "n", 7, "null").await;
    let columns = format!(
        "UPDATE versions SET lock_mode = 'compliance', retain_until_ms = {} WHERE etag = 'null'",
        far.until_ms
    );
    sql(&world, &columns).await;
    let old = world.metadata.bucket("old").await.unwrap();
    for versioning in ["unversioned", "suspended"] {
        let statement =
            format!("UPDATE buckets SET versioning = '{versioning}' WHERE name = 'old'");
        sql(&world, &statement).await;
        let overwrite = world.put_of("old", "n", 1, "other");
        is_locked(world.metadata.put_object(overwrite).await);
        let source = world.current(&bucket, "k").await.unwrap();
        is_locked(world.copy(&source, "old", "n").await);
        let upload = world.upload("old", "n").await;
        let part = world.part("old", &upload, 1, 5).await;
        let complete = complete_of("old", &upload, &[&part]);
        is_locked(world.metadata.complete_upload(complete).await);
        let delete = delete_of("old", "n", None);
        is_locked(world.metadata.delete_object(delete).await);
        let null = world.exact(&old, "n", &VersionId::null()).await.unwrap();
        assert_eq!(null.etag, "null");
        assert_eq!(world.slices(&null).await.len(), 1);
    }
    // Its time comes for all paths alike.
    world.clock.set_ms(far.until_ms);
    world.put("old", "n", 1, "other").await;
    remove(&world, "k", &id, Bypass::No).await.unwrap();
}

async fn governance_is_bypassed_and_compliance_is_not(world: World) {
    lockable(&world, None).await;
    for mode in [RetentionMode::Governance, RetentionMode::Compliance] {
        let id = put(&world, "k").await;
        let retention = until(mode, START_MS + DAY_MS);
        retain(&world, "k", &id, Some(retention), Bypass::No)
            .await
            .unwrap();
        is_locked(remove(&world, "k", &id, Bypass::No).await);
        let bypassed = remove(&world, "k", &id, Bypass::Governance).await;
        match mode {
            RetentionMode::Governance => bypassed.unwrap(),
            RetentionMode::Compliance => is_locked(bypassed),
        }
    }
}

async fn a_retention_only_grows(world: World) {
    let bucket = lockable(&world, None).await;
    let id = put(&world, "k").await;
    let at = |mode, day: u64| Some(until(mode, START_MS + day * DAY_MS));
    let set = async |retention, bypass| retain(&world, "k", &id, retention, bypass).await;
    let (governance, compliance) = (RetentionMode::Governance, RetentionMode::Compliance);
    set(at(governance, 5), Bypass::No).await.unwrap();
    for weaker in [None, at(governance, 4), at(compliance, 9)] {
        is_locked(set(weaker, Bypass::No).await);
    }
    set(at(governance, 6), Bypass::No).await.unwrap();
    set(at(governance, 2), Bypass::Governance).await.unwrap();
    set(at(compliance, 2), Bypass::Governance).await.unwrap();
    for weaker in [None, at(governance, 9), at(compliance, 1)] {
        is_locked(set(weaker, Bypass::Governance).await);
    }
    set(at(compliance, 3), Bypass::No).await.unwrap();
    let version = world.exact(&bucket, "k", &id).await.unwrap();
    assert_eq!(retention_of(&version), at(compliance, 3));
    // What is over holds nothing.
    world.clock.set_ms(START_MS + 3 * DAY_MS);
    set(at(governance, 4), Bypass::No).await.unwrap();
    set(None, Bypass::Governance).await.unwrap();
    let version = world.exact(&bucket, "k", &id).await.unwrap();
    assert_eq!(version.lock, VersionLock::default());
    assert_eq!(
        version.last_modified_ms, START_MS,
        "the object is as it was"
    );

    let stranger = VersionId("0".repeat(32));
    for key in ["k", "never"] {
        let missing = retain(&world, key, &stranger, at(governance, 9), Bypass::No).await;
        assert!(matches!(missing, Err(MetadataError::NoSuchVersion)));
    }
    let marker = world.delete("b", "k").await.version_id.unwrap();
    let on_marker = hold(&world, "k", &marker, true).await;
    assert!(matches!(on_marker, Err(MetadataError::NoSuchVersion)));
}

async fn a_legal_hold_is_independent(world: World) {
    lockable(&world, None).await;
    let id = put(&world, "k").await;
    hold(&world, "k", &id, true).await.unwrap();
    let short = until(RetentionMode::Governance, START_MS + 1);
    retain(&world, "k", &id, Some(short), Bypass::No)
        .await
        .unwrap();
    retain(&world, "k", &id, None, Bypass::Governance)
        .await
        .unwrap();
    world.clock.advance_ms(10_000 * DAY_MS);
    is_locked(remove(&world, "k", &id, Bypass::Governance).await);
    hold(&world, "k", &id, false).await.unwrap();
    remove(&world, "k", &id, Bypass::No).await.unwrap();

    let start = ChangeCursor::default();
    let mut events = Vec::new();
    // A transaction elsewhere on the server may hold back what is shown.
    for _ in 0..1500 {
        let changes = world.metadata.changes(start, 100).await.unwrap();
        events = changes.iter().map(|change| change.event).collect();
        if events.len() == 6 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        events,
        [
            ChangeEvent::Put,
            ChangeEvent::PutLegalHold,
            ChangeEvent::PutRetention,
            ChangeEvent::PutRetention,
            ChangeEvent::PutLegalHold,
            ChangeEvent::Delete,
        ]
    );
}

async fn what_can_not_be_read_is_locked(world: World) {
    let bucket = lockable(&world, None).await;
    let far = until(RetentionMode::Compliance, u64::MAX / 4);
    for broken in [
        "lock_mode = 'nonsense', retain_until_ms = 1",
        "lock_mode = 'governance', retain_until_ms = NULL",
        "lock_mode = NULL, retain_until_ms = 1",
        "lock_mode = 'governance', retain_until_ms = -1",
        "legal_hold = 2",
        "legal_hold = -1",
    ] {
        let id = put(&world, "k").await;
        sql(&world, &format!("UPDATE versions SET {broken}")).await;
        let version = world.exact(&bucket, "k", &id).await.unwrap();
        assert_eq!(version.lock, VersionLock::Unreadable, "{broken}");
        assert_eq!(version.etag, "e", "it can be read all the same");
        for bypass in [Bypass::No, Bypass::Governance] {
            is_locked(remove(&world, "k", &id, bypass).await);
            is_locked(retain(&world, "k", &id, Some(far), bypass).await);
        }
        is_locked(hold(&world, "k", &id, false).await);
        let mended = "UPDATE versions SET lock_mode = NULL, retain_until_ms = NULL, \
                      legal_hold = NULL";
        sql(&world, mended).await;
        remove(&world, "k", &id, Bypass::No).await.unwrap();
    }
    // A bucket whose own lock can't be read takes nothing and gives nothing away.
    let id = put(&world, "k").await;
    sql(&world, "UPDATE buckets SET object_lock = '{\"default\":7}'").await;
    let bucket = world.metadata.bucket("b").await.unwrap();
    assert_eq!(bucket.object_lock, BucketLock::Unreadable);
    is_locked(remove(&world, "k", &id, Bypass::Governance).await);
    let refused = world
        .metadata
        .put_object(world.put_of("b", "k", 1, "e"))
        .await;
    assert!(matches!(refused, Err(MetadataError::Corrupt(_))));
    let refused = world.metadata.set_object_lock("b", None).await;
    assert!(matches!(refused, Err(MetadataError::Corrupt(_))));
    let refused = world
        .metadata
        .set_versioning("b", Versioning::Suspended)
        .await;
    assert!(matches!(refused, Err(MetadataError::HasObjectLock)));
    assert_eq!(world.exact(&bucket, "k", &id).await.unwrap().etag, "e");
}

async fn a_clock_that_goes_back_unlocks_nothing(world: World) {
    let default = days(RetentionMode::Compliance, 1);
    let bucket = lockable(&world, Some(default)).await;
    let id = put(&world, "k").await;
    world.clock.set_ms(START_MS - 100 * DAY_MS);
    is_locked(remove(&world, "k", &id, Bypass::Governance).await);
    // The key's own time does not go back, and the default counts from that.
    let second = put(&world, "k").await;
    let version = world.exact(&bucket, "k", &second).await.unwrap();
    assert_eq!(
        retention_of(&version),
        Some(until(RetentionMode::Compliance, START_MS + DAY_MS))
    );
    world.clock.set_ms(START_MS + DAY_MS - 1);
    is_locked(remove(&world, "k", &id, Bypass::No).await);
    world.clock.set_ms(START_MS + DAY_MS);
    remove(&world, "k", &id, Bypass::No).await.unwrap();
    remove(&world, "k", &second, Bypass::No).await.unwrap();
}

/// The retention stops before its COMMIT; the delete comes meanwhile and must see it.
async fn a_delete_waits_for_the_retention_that_came_first(world: World) {
    if !world.is_postgres() {
        // SQLite's one writer puts whole commands in order: the next story has all there is.
        return;
    }
    lockable(&world, None).await;
    let id = put(&world, "k").await;
    let gate = Arc::new(Gate::closed());
    let gated = world.handle("gated", Some(gate.clone())).await;
    let retention = PutRetention {
        bucket: "b".to_owned(),
        key: b"k".to_vec(),
        version: VersionSelector::Exact(id.clone()),
        retention: Some(until(RetentionMode::Compliance, START_MS + DAY_MS)),
        bypass: Bypass::No,
        origin: Origin::default(),
    };
    let retaining = tokio::spawn(async move { gated.put_retention(retention).await });
    gate.reached.acquire().await.unwrap().forget();
    let world = Arc::new(world);
    let deleting = {
        let (world, id) = (Arc::clone(&world), id.clone());
        tokio::spawn(async move { remove(&world, "k", &id, Bypass::Governance).await })
    };
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), async {
        while !deleting.is_finished() {
            tokio::task::yield_now().await;
        }
    });
    assert!(early.await.is_err(), "the delete did not wait for the key");
    gate.set(true);
    retaining.await.unwrap().unwrap();
    is_locked(deleting.await.unwrap());
}

async fn retention_and_delete_at_once_never_both_win(world: World) {
    let bucket = lockable(&world, None).await;
    let world = Arc::new(world);
    for round in 0..20 {
        let key = format!("k{round}");
        let id = put(&world, &key).await;
        let tasks = (0..6).map(|n| {
            let (world, key, id) = (Arc::clone(&world), key.clone(), id.clone());
            tokio::spawn(async move {
                let retention = until(RetentionMode::Compliance, START_MS + DAY_MS);
                match n % 3 {
                    0 => retain(&world, &key, &id, Some(retention), Bypass::No).await,
                    1 => hold(&world, &key, &id, true).await,
                    _ => remove(&world, &key, &id, Bypass::Governance).await,
                }
            })
        });
        let outcomes: Vec<_> = join_all(tasks)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let is_there = world.exact(&bucket, &key, &id).await.is_ok();
        for (n, outcome) in outcomes.iter().enumerate() {
            match (n % 3, outcome) {
                // Whoever was told that it is locked was told the truth.
                (0 | 1, Ok(())) => assert!(is_there, "round {round}"),
                (0 | 1, Err(MetadataError::NoSuchVersion)) => assert!(!is_there),
                // A delete of what is gone changes nothing and is fine.
                (2, Ok(())) => assert!(!is_there, "round {round}"),
                (2, Err(MetadataError::Locked)) => assert!(is_there),
                other => panic!("{other:?}"),
            }
        }
    }
}
