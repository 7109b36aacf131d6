//! Listing: prefixes, delimiters, pages, versions, and what a page costs.

use std::sync::Arc;

use holdfast_metadata::model::{Bucket, ListQuery, Versioning};

use super::hooks::Watch;
use super::world::{World, query};

super::on_both! {
    common_prefixes_are_rolled_up,
    pages_go_on_where_the_last_one_ended,
    prefixes_and_delimiters_of_any_bytes,
    versions_are_listed_newest_first_and_paged,
    a_version_page_goes_on_after_its_mark_was_deleted,
    a_page_costs_the_page_not_the_bucket,
}

async fn fill(world: &World, keys: &[&str]) -> Bucket {
    let bucket = world.bucket("b").await;
    let puts = keys.iter().map(|key| world.put("b", key, 0, "e"));
    futures::future::join_all(puts).await;
    bucket
}

fn with(bucket: &Bucket, prefix: &str, delimiter: &str, after: &str, limit: usize) -> ListQuery {
    ListQuery {
        prefix: prefix.as_bytes().to_vec(),
        delimiter: (!delimiter.is_empty()).then(|| delimiter.as_bytes().to_vec()),
        after: (!after.is_empty()).then(|| after.as_bytes().to_vec()),
        ..query(bucket, limit)
    }
}

async fn common_prefixes_are_rolled_up(world: World) {
    let keys = [
        "a", "b/", "b/1", "b/2/x", "b0", "c//d", "c/e", "d--e", "d-f",
    ];
    let bucket = fill(&world, &keys).await;
    let list = async |prefix, delimiter, after| {
        let (entries, truncated) = world
            .list(with(&bucket, prefix, delimiter, after, 100))
            .await;
        assert!(!truncated);
        entries.join(" ")
    };
    assert_eq!(list("", "", "").await, keys.join(" "));
    assert_eq!(list("", "/", "").await, "a b/* b0 c/* d--e d-f");
    assert_eq!(list("b/", "/", "").await, "b/ b/1 b/2/*");
    assert_eq!(list("b", "/", "").await, "b/* b0");
    assert_eq!(list("c/", "/", "").await, "c//* c/e");
    assert_eq!(
        list("", "--", "").await,
        "a b/ b/1 b/2/x b0 c//d c/e d--* d-f"
    );
    assert_eq!(list("", "/", "b/").await, "b0 c/* d--e d-f");
    // Only a common prefix that was itself the mark is behind us.
    assert_eq!(list("", "/", "b/1").await, "b/* b0 c/* d--e d-f");
    assert_eq!(list("", "/", "b/2/x").await, "b0 c/* d--e d-f");
    assert_eq!(list("b/", "/", "b/").await, "b/1 b/2/*");
    assert_eq!(list("", "", "b/").await, "b/1 b/2/x b0 c//d c/e d--e d-f");
    assert_eq!(list("b", "", "a").await, "b/ b/1 b/2/x b0");
    assert_eq!(list("b", "", "c").await, "");
    assert_eq!(list("x", "/", "").await, "");
}

async fn pages_go_on_where_the_last_one_ended(world: World) {
    let keys: Vec<String> = (0..60).map(|n| format!("{}/{:02}", n / 10, n)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let bucket = fill(&world, &keys).await;
    for (delimiter, whole) in [("", 60), ("/", 6)] {
        let (all, _) = world.list(with(&bucket, "", delimiter, "", 1000)).await;
        assert_eq!(all.len(), whole);
        for limit in [1, 2, 5, 6, 7, 59, 60, 61] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let (page, truncated) = world
                    .list(with(&bucket, "", delimiter, &after, limit))
                    .await;
                assert!(page.len() <= limit);
                after = page.last().unwrap().trim_end_matches('*').to_owned();
                seen.extend(page);
                assert_eq!(truncated, seen.len() < whole, "limit {limit} after {after}");
                if !truncated {
                    break;
                }
            }
            assert_eq!(seen, all);
        }
    }
    assert_eq!(
        world.list(with(&bucket, "", "", "", 0)).await,
        (vec![], false)
    );
}

async fn prefixes_and_delimiters_of_any_bytes(world: World) {
    let bucket = world.bucket("b").await;
    let keys: [&[u8]; 7] = [
        b"\xff",
        b"\xff\xff",
        b"\xff\xff\xff/a",
        b"\xff/a",
        b"\0\xff/a",
        b"\0\xff/b",
        b"\x01",
    ];
    for key in keys {
        let mut put = world.put_of("b", "", 0, "e");
        put.key = key.to_vec();
        world.metadata.put_object(put).await.unwrap();
    }
    let count = async |prefix: &[u8], delimiter: &[u8]| {
        let query = ListQuery {
            prefix: prefix.to_vec(),
            delimiter: Some(delimiter.to_vec()),
            ..query(&bucket, 100)
        };
        let page = world.metadata.list_objects(&query).await.unwrap();
        assert!(!page.truncated);
        page.entries.len()
    };
    assert_eq!(count(b"", b"").await, 7);
    assert_eq!(count(b"\xff", b"").await, 4);
    assert_eq!(count(b"\xff\xff", b"").await, 2);
    assert_eq!(
        count(b"", b"\xff").await,
        3,
        "two kinds of prefixes and a key"
    );
    assert_eq!(count(b"\xff", b"\xff").await, 3);
    assert_eq!(count(b"\0", b"/").await, 1);
}

async fn versions_are_listed_newest_first_and_paged(world: World) {
    let bucket = world.versioned_bucket("b").await;
    for key in ["a", "b/1", "b/1", "c"] {
        world.put("b", key, 0, "e").await;
    }
    world.delete("b", "a").await;
    world.put("b", "a", 0, "e").await;
    world.delete("b", "b/1").await;
    let all = ["a", "a@2!", "a@1", "b/1@3!", "b/1@2", "b/1@1", "c"];
    assert_eq!(world.list_versions(query(&bucket, 100)).await.0, all);
    let rolled = with(&bucket, "", "/", "", 100);
    assert_eq!(
        world.list_versions(rolled).await.0,
        ["a", "a@2!", "a@1", "b/*", "c"]
    );
    assert_eq!(
        world.list_versions(with(&bucket, "b", "", "", 100)).await.0,
        all[3..6]
    );
    assert_eq!(
        world.list_versions(with(&bucket, "", "", "a", 100)).await.0,
        all[3..]
    );
    for limit in 1..=8 {
        let mut seen = Vec::new();
        let mut next = query(&bucket, limit);
        loop {
            let page = world.metadata.list_versions(&next).await.unwrap();
            seen.extend(super::world::shown(&page).0);
            assert_eq!(page.truncated, seen.len() < all.len(), "limit {limit}");
            let Some(holdfast_metadata::model::ListEntry::Version(last)) = page.entries.last()
            else {
                panic!("an empty page");
            };
            next.after = Some(last.key.clone());
            next.after_version = Some(last.version_id.clone());
            if !page.truncated {
                break;
            }
        }
        assert_eq!(seen, all, "limit {limit}");
    }
}

async fn a_version_page_goes_on_after_its_mark_was_deleted(world: World) {
    let bucket = world.versioned_bucket("b").await;
    for _ in 0..5 {
        world.put("b", "k", 0, "e").await;
    }
    // As a client that empties a bucket does: list a page, delete it, ask for what comes after.
    let mut next = query(&bucket, 2);
    let mut deleted = 0;
    loop {
        let page = world.metadata.list_versions(&next).await.unwrap();
        for entry in &page.entries {
            let holdfast_metadata::model::ListEntry::Version(version) = entry else {
                panic!("a common prefix without a delimiter");
            };
            world.delete_version("b", "k", &version.version_id).await;
            deleted += 1;
            next.after = Some(version.key.clone());
            next.after_version = Some(version.version_id.clone());
        }
        if !page.truncated {
            break;
        }
    }
    assert_eq!(deleted, 5);
    world.metadata.delete_bucket("b").await.unwrap();
}

/// Fills two buckets, one 20 times the other, with equal shapes, and compares what pages of them
/// cost in rows; then buries one under old versions and markers.
async fn a_page_costs_the_page_not_the_bucket(world: World) {
    let mut buckets = Vec::new();
    for (name, folders) in [("small", 50), ("large", 1000)] {
        buckets.push(world.bucket(name).await);
        for folder in (0..folders).collect::<Vec<_>>().chunks(50) {
            let keys = folder
                .iter()
                .flat_map(|f| (0..5).map(move |n| format!("{f:04}/{n}")));
            let world = &world;
            let puts = keys.map(|key| async move { world.put(name, &key, 0, "e").await });
            futures::future::join_all(puts).await;
        }
    }
    let visited = async |bucket: &Bucket, delimiter, after, limit| {
        let query = with(bucket, "", delimiter, after, limit);
        let page = world.metadata.list_objects(&query).await.unwrap();
        assert_eq!(page.entries.len(), limit);
        page.rows_visited
    };
    for (delimiter, after, limit, at_most) in [
        ("", "", 100, 101),
        ("", "0020/1", 100, 101),
        ("/", "", 20, 21),
        ("/", "0020/", 20, 21),
    ] {
        let small = visited(&buckets[0], delimiter, after, limit).await;
        let large = visited(&buckets[1], delimiter, after, limit).await;
        assert_eq!(small, large, "{delimiter:?} after {after:?}");
        assert!(small <= at_most, "{small} rows for {limit} entries");
    }
    // A run of markers and old versions in front is not walked through.
    world
        .metadata
        .set_versioning("large", Versioning::Enabled)
        .await
        .unwrap();
    for folder in 0..40 {
        let deletes = (0..5).map(|n| format!("{folder:04}/{n}"));
        let world = &world;
        let deletes = deletes.map(|key| async move { world.delete("large", &key).await });
        futures::future::join_all(deletes).await;
    }
    let watch = Arc::new(Watch::default());
    let large = buckets.remove(1);
    let world = world.reopened(watch.clone()).await;
    let page = world
        .metadata
        .list_objects(&with(&large, "", "", "", 10))
        .await
        .unwrap();
    assert_eq!(super::world::shown(&page).0[0], "0040/0");
    assert_eq!(page.rows_visited, 11);
    let plan = super::hooks::explain_listing(&world, &watch, large.id.0).await;
    assert!(plan.contains("versions_visible"), "{plan}");
    assert!(
        !plan.contains("TEMP B-TREE") && !plan.contains("Sort"),
        "{plan}"
    );
}
