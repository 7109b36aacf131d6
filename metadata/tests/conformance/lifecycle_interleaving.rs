//! A look at a due version, interleaved with what else may happen to its key and its bucket's rules.
//!
//! On PostgreSQL statement by statement, on SQLite in all orders of whole commands. The version that
//! is due is tagged for it. Whatever the order: it is never removed for good (it has not been
//! noncurrent for a day), what was written meanwhile stays, nothing expires after a tag that saves
//! it, and when everything has settled, the rules that hold in the end are followed to the letter.

use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::Metadata;
use holdfast_metadata::command::PutTags;
use holdfast_metadata::lifecycle::{DueLifecycle, LifecycleRule};
use holdfast_metadata::model::{
    Bucket, Change, ChangeCursor, ChangeEvent, ListEntry, Origin, Version, VersionId,
    VersionSelector,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::lifecycle::{drops, expires, set_rules, turn};
use super::stage::{Stage, permutations, seeds};
use super::world::{HOUR_MS, START_MS, World, delete_of, query};

/// Seeds tried in a test run.
const SEEDS: u64 = 60;

const ACTORS: [&str; 7] = [
    "look",
    "overwrite",
    "tag",
    "rules",
    "walk",
    "delete",
    "look-again",
];

const DAY_MS: u64 = 24 * HOUR_MS;

/// Objects tagged `temp=yes` expire after a day; what is noncurrent goes after a day, or five.
fn rules(noncurrent_days: u32) -> Vec<LifecycleRule> {
    let mut tagged = expires(1);
    tagged
        .filter
        .tags
        .insert("temp".to_owned(), "yes".to_owned());
    vec![tagged, drops(noncurrent_days, 0)]
}

/// A bucket of its own with one key, whose only version is due.
struct Scene {
    name: String,
    bucket: Bucket,
    version: Version,
    due: DueLifecycle,
}

async fn scene(world: &World, name: String) -> Scene {
    let bucket = world.versioned_bucket(&name).await;
    set_rules(&world.metadata, &name, rules(1)).await;
    turn(&world.metadata).await;
    let mut put = world.put_of(&name, "k", 10, "old");
    put.attributes
        .tags
        .insert("temp".to_owned(), "yes".to_owned());
    world.metadata.put_object(put).await.unwrap();
    world.clock.advance_ms(3 * DAY_MS);
    let due = world.metadata.due_versions(None, 9).await.unwrap();
    assert_eq!(due.len(), 1, "{due:?}");
    Scene {
        version: world.current(&bucket, "k").await.unwrap(),
        due: due[0].clone(),
        name,
        bucket,
    }
}

async fn act(actor: &str, world: &World, metadata: &Metadata, scene: &Scene) {
    let name = &scene.name;
    match actor {
        "overwrite" => {
            let put = world.put_of(name, "k", 20, "new");
            metadata.put_object(put).await.unwrap();
        }
        "tag" => {
            let put = PutTags {
                bucket: name.clone(),
                key: b"k".to_vec(),
                version: VersionSelector::Exact(scene.version.version_id.clone()),
                tags: [("temp".to_owned(), "no".to_owned())].into(),
                origin: Origin::default(),
            };
            metadata.put_tags(put).await.unwrap();
        }
        "rules" => set_rules(metadata, name, rules(5)).await,
        "walk" => {
            for _ in 0..3 {
                metadata.walk_lifecycle(1).await.unwrap();
            }
        }
        "delete" => {
            let delete = delete_of(name, "k", None);
            metadata.delete_object(delete).await.unwrap();
        }
        _ => {
            metadata.examine_lifecycle(scene.due.clone()).await.unwrap();
        }
    }
}

async fn all_versions(world: &World, bucket: &Bucket) -> Vec<Version> {
    let page = world
        .metadata
        .list_versions(&query(bucket, 100))
        .await
        .unwrap();
    let version = |entry| match entry {
        ListEntry::Version(version) => version,
        ListEntry::CommonPrefix(prefix) => panic!("{prefix:?}"),
    };
    page.entries.into_iter().map(version).collect()
}

/// The whole log. A change of its own comes last and is waited for, because a transaction anywhere
/// on the server may hold back what a reader may see.
async fn all_changes(world: &World, bucket: &Bucket) -> Vec<Change> {
    let last = format!("last of {}", bucket.name);
    world.put("log", &last, 1, "last").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let changes = world.metadata.changes(ChangeCursor::default(), 10_000);
        let changes = changes.await.unwrap();
        if changes.iter().any(|change| change.key == last.as_bytes()) {
            return changes;
        }
        assert!(tokio::time::Instant::now() < deadline, "the log hangs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// See the module. Gives whether the version expired.
async fn check(world: &World, scene: &Scene, acted: &[&str], hint: &str) -> bool {
    turn(&world.metadata).await;
    let all = all_versions(world, &scene.bucket).await;
    let has = |etag: &str| all.iter().any(|version| version.etag == etag);
    assert!(has("old"), "{hint}: removed early: {all:?}");
    assert_eq!(has("new"), acted.contains(&"overwrite"), "{hint}: {all:?}");

    let changes = all_changes(world, &scene.bucket).await;
    let of_key: Vec<(ChangeEvent, VersionId)> = changes
        .into_iter()
        .filter(|change| change.bucket == scene.bucket.id)
        .map(|change| (change.event, change.version_id))
        .collect();
    let at = |event| of_key.iter().position(|(found, _)| *found == event);
    let expired = at(ChangeEvent::ExpireMarker);
    if let (Some(tagged), Some(expired)) = (at(ChangeEvent::PutTags), expired) {
        assert!(
            expired < tagged,
            "{hint}: expired although saved: {of_key:?}"
        );
    }
    let expiries = of_key
        .iter()
        .filter(|(event, _)| *event == ChangeEvent::ExpireMarker);
    assert!(expiries.count() <= 1, "{hint}: expired twice: {of_key:?}");
    if !acted
        .iter()
        .any(|actor| matches!(*actor, "tag" | "overwrite" | "delete"))
    {
        assert!(expired.is_some(), "{hint}: missed: {of_key:?}");
    }

    // The rules that hold in the end decide when what is noncurrent goes: not a day too early, and
    // nothing is forgotten.
    let days = if acted.contains(&"rules") { 5 } else { 1 };
    let noncurrent = |all: &[Version]| all.iter().filter(|version| !version.is_current).count();
    let before = noncurrent(&all);
    // Everything became noncurrent now, at 8:00 + 3 days: the midnight after `days` more.
    world.clock.advance_ms((days * 24 + 16) * HOUR_MS - 1);
    turn(&world.metadata).await;
    let all = all_versions(world, &scene.bucket).await;
    assert_eq!(noncurrent(&all), before, "{hint}: early: {all:?}");
    world.clock.advance_ms(1);
    turn(&world.metadata).await;
    let all = all_versions(world, &scene.bucket).await;
    assert_eq!(noncurrent(&all), 0, "{hint}: missed: {all:?}");
    expired.is_some()
}

#[test]
fn statements_around_a_look_interleave_on_postgres() {
    super::world::on_postgres(|world: World| async move {
        world.bucket("log").await;
        let mut stage = Stage::new(&world, &ACTORS).await;
        let world = Arc::new(world);
        let mut expired = 0;
        let seeds = seeds(SEEDS);
        let count = seeds.end - seeds.start;
        for seed in seeds {
            let mut random = StdRng::seed_from_u64(seed);
            world.clock.set_ms(START_MS + seed * 100 * DAY_MS);
            let scene = Arc::new(scene(&world, format!("b-{seed}")).await);
            let cast: Vec<usize> = (0..ACTORS.len())
                .filter(|at| ACTORS[*at] == "look" || !random.random_bool(0.4))
                .collect();
            let act = |name, metadata: Metadata| {
                let (world, scene) = (Arc::clone(&world), Arc::clone(&scene));
                async move { act(name, &world, &metadata, &scene).await }
            };
            stage.play(seed, &mut random, &cast, act).await;
            let acted: Vec<&str> = cast.into_iter().map(|at| ACTORS[at]).collect();
            let hint = format!("seed {seed} {acted:?}");
            expired += u64::from(check(&world, &scene, &acted, &hint).await);
        }
        super::invariants::check(&world).await;
        let waited = stage.waits;
        println!("{count} seeds: {expired} looks expired it, {waited} lock waits");
        if count >= SEEDS {
            assert!(expired > 0 && expired < count && waited > 0);
        }
    });
}

#[test]
fn whole_commands_around_a_look_come_in_any_order_on_sqlite() {
    super::world::on_sqlite(|world: World| async move {
        world.bucket("log").await;
        let mut expired = 0;
        let orders = permutations(&ACTORS[..5]);
        let count = orders.len();
        for (number, order) in orders.into_iter().enumerate() {
            world.clock.set_ms(START_MS + number as u64 * 100 * DAY_MS);
            let scene = scene(&world, format!("b-{number}")).await;
            for actor in &order {
                act(actor, &world, &world.metadata, &scene).await;
            }
            let hint = format!("{order:?}");
            expired += usize::from(check(&world, &scene, &order, &hint).await);
        }
        super::invariants::check(&world).await;
        assert!(expired > 0 && expired < count, "{expired} of {count}");
    });
}
