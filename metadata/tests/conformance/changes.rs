//! The change log names the operation, the version, its size and ETag, and who asked; what changes
//! nothing leaves no row.

use std::time::Duration;

use holdfast_metadata::command::{DeleteObject, PutTags};
use holdfast_metadata::model::{
    Change, ChangeCause, ChangeCursor, ChangeEvent, ChangeKind, Origin, VersionId, VersionSelector,
};

use super::world::{World, complete_of, copy_of, delete_of, if_match};

super::on_both! {
    each_operation_is_in_the_log_with_its_version,
    what_changes_nothing_is_not_in_the_log,
    a_null_version_is_logged_as_what_replaced_it,
}

/// The key of the change that stories wait for.
const LAST: &str = "the last one";

fn by(principal: &str, cause: ChangeCause) -> Origin {
    Origin {
        cause,
        principal: Some(principal.to_owned()),
        source_address: Some(format!("address of {principal}")),
        request_id: Some(format!("request of {principal}")),
    }
}

/// All changes so far. A change of its own comes last and is waited for, because a transaction
/// anywhere on the server may hold back what a reader may see.
async fn log(world: &World) -> Vec<Change> {
    world.put("b", LAST, 1, "last").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let start = ChangeCursor::default();
        let mut changes = world.metadata.changes(start, 1000).await.unwrap();
        if changes.last().is_some_and(|c| c.key == LAST.as_bytes()) {
            changes.pop();
            return changes;
        }
        assert!(tokio::time::Instant::now() < deadline, "{changes:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tags_of(key: &str, tags: &[(&str, &str)], principal: &str) -> PutTags {
    PutTags {
        bucket: "b".to_owned(),
        key: key.as_bytes().to_vec(),
        version: VersionSelector::Current,
        tags: tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        origin: by(principal, ChangeCause::Request),
    }
}

async fn each_operation_is_in_the_log_with_its_version(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let metadata = &world.metadata;
    let id = |version: Option<VersionId>| version.unwrap();
    let mut expected = Vec::new();
    let mut expect =
        |key: &str, event, version: &VersionId, size: u64, etag: &str, by: Option<&str>| {
            expected.push((
                key.to_owned(),
                event,
                version.clone(),
                size,
                etag.to_owned(),
                by.map(str::to_owned),
            ));
        };

    let mut put = world.put_of("b", "k", 10, "e1");
    put.origin = by("ann", ChangeCause::Request);
    let first = id(metadata.put_object(put).await.unwrap().version_id);
    expect("k", ChangeEvent::Put, &first, 10, "e1", Some("ann"));

    let mut post = world.put_of("b", "k", 20, "e2");
    post.origin = by("form", ChangeCause::Form);
    let second = id(metadata.put_object(post).await.unwrap().version_id);
    expect("k", ChangeEvent::Post, &second, 20, "e2", Some("form"));

    let source = world.current(&bucket, "k").await.unwrap();
    let mut copy = copy_of(&source, "b", "c");
    copy.origin = by("bob", ChangeCause::Request);
    let copied = id(metadata.copy_object(copy).await.unwrap().version_id);
    expect("c", ChangeEvent::Copy, &copied, 20, "e2", Some("bob"));

    let upload = world.upload("b", "u").await;
    let part = world.part("b", &upload, 1, 30).await;
    let mut complete = complete_of("b", &upload, &[&part]);
    complete.origin = by("ann", ChangeCause::Request);
    let whole = id(metadata.complete_upload(complete).await.unwrap().version_id);
    expect(
        "u",
        ChangeEvent::Complete,
        &whole,
        30,
        "complete-1",
        Some("ann"),
    );

    let put_tags = tags_of("u", &[("colour", "blue")], "bob");
    metadata.put_tags(put_tags).await.unwrap();
    expect(
        "u",
        ChangeEvent::PutTags,
        &whole,
        30,
        "complete-1",
        Some("bob"),
    );
    metadata.put_tags(tags_of("u", &[], "bob")).await.unwrap();
    expect(
        "u",
        ChangeEvent::DeleteTags,
        &whole,
        30,
        "complete-1",
        Some("bob"),
    );

    let marker = id(world.delete("b", "k").await.version_id);
    expect("k", ChangeEvent::Marker, &marker, 0, "", None);
    let expire = |key: &str, version: Option<&VersionId>| DeleteObject {
        origin: Origin {
            cause: ChangeCause::Lifecycle,
            ..Origin::default()
        },
        ..delete_of("b", key, version)
    };
    let expired = metadata.delete_object(expire("c", None)).await.unwrap();
    let expired = id(expired.version_id);
    expect("c", ChangeEvent::ExpireMarker, &expired, 0, "", None);

    world.delete_version("b", "k", &first).await;
    expect("k", ChangeEvent::Delete, &first, 10, "e1", None);
    world.delete_version("b", "k", &marker).await;
    expect("k", ChangeEvent::Delete, &marker, 0, "", None);
    let gone = expire("k", Some(&second));
    metadata.delete_object(gone).await.unwrap();
    expect("k", ChangeEvent::ExpireDelete, &second, 20, "e2", None);

    let changes = log(&world).await;
    let seen: Vec<_> = changes
        .iter()
        .map(|change| {
            assert_eq!(change.kind, change.event.kind());
            assert_eq!(change.bucket, bucket.id);
            let who = change.principal.as_ref();
            assert_eq!(
                change.source_address,
                who.map(|w| format!("address of {w}"))
            );
            assert_eq!(change.request_id, who.map(|w| format!("request of {w}")));
            (
                String::from_utf8(change.key.clone()).unwrap(),
                change.event,
                change.version_id.clone(),
                change.size,
                change.etag.clone(),
                change.principal.clone(),
            )
        })
        .collect();
    assert_eq!(seen, expected);
    for key in ["k", "c", "u"] {
        let of_key = changes.iter().filter(|change| change.key == key.as_bytes());
        let sequences: Vec<u64> = of_key.map(|change| change.sequence).collect();
        assert!(sequences.is_sorted_by(|a, b| a < b), "{key}: {sequences:?}");
    }
}

async fn what_changes_nothing_is_not_in_the_log(world: World) {
    world.bucket("b").await;
    world.put("b", "k", 1, "e").await;
    let mut refused = world.put_of("b", "k", 1, "x");
    refused.condition = if_match("another one");
    world.metadata.put_object(refused).await.unwrap_err();
    let mut refused = delete_of("b", "k", None);
    refused.condition = if_match("another one");
    world.metadata.delete_object(refused).await.unwrap_err();
    world.delete("b", "never").await;
    let stranger = VersionId("0".repeat(32));
    world.delete_version("b", "k", &stranger).await;
    let missing = tags_of("never", &[], "ann");
    world.metadata.put_tags(missing).await.unwrap_err();
    let upload = world.upload("b", "u").await;
    world.part("b", &upload, 1, 5).await;
    let changes = log(&world).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
}

async fn a_null_version_is_logged_as_what_replaced_it(world: World) {
    world.bucket("b").await;
    world.put("b", "k", 1, "one").await;
    world.put("b", "k", 2, "two").await;
    world.delete("b", "k").await;
    let changes = log(&world).await;
    let seen: Vec<_> = changes
        .iter()
        .map(|change| (change.kind, change.version_id.is_null(), change.size))
        .collect();
    assert_eq!(
        seen,
        [
            (ChangeKind::Put, true, 1),
            (ChangeKind::Put, true, 2),
            (ChangeKind::Delete, true, 2),
        ]
    );
}
