//! Parts of bytes that other objects have, tags, and settings of buckets.

use std::collections::BTreeMap;
use std::ops::Range;

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{CopyPart, PutTags, SweepOutcome};
use holdfast_metadata::model::{Attributes, OpId, Part, Upload, Version, VersionSelector};

use super::world::{HOUR_MS, World, complete_of, nobody, region};

super::on_both! {
    a_part_takes_a_range_of_many_slices,
    copied_bytes_outlive_their_source,
    a_copied_part_is_replaced_by_its_number,
    a_part_of_what_is_gone_fails,
    tags_change_in_place,
    settings_go_with_their_bucket,
    an_object_may_be_less_than_its_blob,
}

fn copied(source: &Version, range: Range<u64>, upload: &Upload, number: u32) -> CopyPart {
    CopyPart {
        op: OpId::generate(),
        source: source.uid,
        range,
        upload: upload.id,
        bucket: "b".to_owned(),
        key: upload.key.clone(),
        part_number: number,
        etag: format!("copied-{number}"),
        checksum: None,
    }
}

/// An object of parts of 100, 70 and 30 bytes.
async fn object_of_parts(world: &World, key: &str) -> Version {
    let bucket = world.metadata.bucket("b").await.unwrap();
    let upload = world.upload("b", key).await;
    let mut parts = Vec::new();
    for (number, len) in [(1, 100), (2, 70), (3, 30)] {
        parts.push(world.part("b", &upload, number, len).await);
    }
    let all: Vec<&Part> = parts.iter().collect();
    let complete = complete_of("b", &upload, &all);
    world.metadata.complete_upload(complete).await.unwrap();
    world.current(&bucket, key).await.unwrap()
}

async fn a_part_takes_a_range_of_many_slices(world: World) {
    let bucket = world.bucket("b").await;
    let source = object_of_parts(&world, "source").await;
    let blobs: Vec<_> = world
        .slices(&source)
        .await
        .iter()
        .map(|slice| slice.blob.blob)
        .collect();
    let upload = world.upload("b", "k").await;
    for (range, expected) in [
        (
            0..200,
            vec![(0, 100, 0, 0), (100, 70, 0, 1), (170, 30, 0, 2)],
        ),
        (0..1, vec![(0, 1, 0, 0)]),
        (99..101, vec![(0, 1, 99, 0), (1, 1, 0, 1)]),
        (100..170, vec![(0, 70, 0, 1)]),
        (120..150, vec![(0, 30, 20, 1)]),
        (150..190, vec![(0, 20, 50, 1), (20, 20, 0, 2)]),
        (199..200, vec![(0, 1, 29, 2)]),
        (
            50..180,
            vec![(0, 50, 50, 0), (50, 70, 0, 1), (120, 10, 0, 2)],
        ),
        (70..70, vec![]),
    ] {
        let len = range.end - range.start;
        let part = world
            .metadata
            .copy_part(copied(&source, range.clone(), &upload, 1))
            .await
            .unwrap();
        assert_eq!((part.size, part.etag.as_str()), (len, "copied-1"));
        let slices = world.metadata.slices(part.uid, 0..len).await.unwrap();
        let found: Vec<_> = slices
            .iter()
            .map(|slice| {
                let blob = blobs.iter().position(|blob| *blob == slice.blob.blob);
                (slice.start, slice.len, slice.blob_offset, blob.unwrap())
            })
            .collect();
        assert_eq!(found, expected, "{range:?}");
    }
    // A copy of a copy, between two parts of its own.
    let first = world.part("b", &upload, 1, 5).await;
    let middle = world
        .metadata
        .copy_part(copied(&source, 90..175, &upload, 2))
        .await
        .unwrap();
    let last = world.part("b", &upload, 3, 7).await;
    let complete = complete_of("b", &upload, &[&first, &middle, &last]);
    world.metadata.complete_upload(complete).await.unwrap();
    let made = world.current(&bucket, "k").await.unwrap();
    assert_eq!((made.size, made.parts), (97, Some(3)));
    let runs: Vec<_> = world
        .slices(&made)
        .await
        .iter()
        .map(|slice| (slice.start, slice.len, slice.blob_offset))
        .collect();
    assert_eq!(
        runs,
        [(0, 5, 0), (5, 10, 90), (15, 70, 0), (85, 5, 0), (90, 7, 0)]
    );
    let again = world.upload("b", "again").await;
    let part = world
        .metadata
        .copy_part(copied(&made, 10..20, &again, 1))
        .await
        .unwrap();
    let slices = world.metadata.slices(part.uid, 0..10).await.unwrap();
    let runs: Vec<_> = slices
        .iter()
        .map(|slice| (slice.start, slice.len, slice.blob_offset))
        .collect();
    assert_eq!(runs, [(0, 5, 95), (5, 5, 0)]);
}

async fn copied_bytes_outlive_their_source(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "source", 100, "etag").await;
    let source = world.current(&bucket, "source").await.unwrap();
    let blob = world.slices(&source).await[0].blob.blob;
    let upload = world.upload("b", "k").await;
    let copy = copied(&source, 40..50, &upload, 1);
    world.metadata.copy_part(copy).await.unwrap();
    world.delete("b", "source").await;
    world.clock.advance_ms(2 * HOUR_MS);
    let kept = world.metadata.begin_sweep(blob, &region()).await.unwrap();
    assert_eq!(kept, SweepOutcome::Referenced, "the part holds it");
    world
        .metadata
        .abort_upload(bucket.id, b"k", upload.id)
        .await
        .unwrap();
    world.clock.advance_ms(2 * HOUR_MS);
    let swept = world.metadata.begin_sweep(blob, &region()).await.unwrap();
    assert!(matches!(swept, SweepOutcome::Dead(_)), "{swept:?}");
}

async fn a_copied_part_is_replaced_by_its_number(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "source", 100, "etag").await;
    let source = world.current(&bucket, "source").await.unwrap();
    let upload = world.upload("b", "k").await;
    world.part("b", &upload, 1, 10).await;
    let copy = copied(&source, 0..100, &upload, 1);
    let part = world.metadata.copy_part(copy.clone()).await.unwrap();
    let listed = world.metadata.parts(upload.id, 0, 10).await.unwrap();
    assert_eq!(listed, [part]);
    let again = world.metadata.copy_part(copy).await;
    assert!(
        matches!(again, Err(MetadataError::Fenced)),
        "one attempt, one part: {again:?}"
    );
    let garbage = world.metadata.totals().await.unwrap().garbage;
    assert_eq!((garbage.versions, garbage.bytes), (1, 10));
}

async fn a_part_of_what_is_gone_fails(world: World) {
    let bucket = world.bucket("b").await;
    world.put("b", "source", 100, "etag").await;
    let source = world.current(&bucket, "source").await.unwrap();
    let upload = world.upload("b", "k").await;
    let past = copied(&source, 50..101, &upload, 1);
    let past = world.metadata.copy_part(past).await;
    assert!(
        matches!(past, Err(MetadataError::SourceChanged)),
        "{past:?}"
    );
    let mut elsewhere = copied(&source, 0..1, &upload, 1);
    elsewhere.key = b"other".to_vec();
    let elsewhere = world.metadata.copy_part(elsewhere).await;
    assert!(matches!(elsewhere, Err(MetadataError::NoSuchUpload)));
    let mut unknown = copied(&source, 0..1, &upload, 1);
    unknown.upload = nobody();
    let unknown = world.metadata.copy_part(unknown).await;
    assert!(matches!(unknown, Err(MetadataError::NoSuchUpload)));
    world.put("b", "source", 100, "other").await;
    for range in [0..10, 0..0] {
        let replaced = copied(&source, range, &upload, 1);
        let replaced = world.metadata.copy_part(replaced).await;
        assert!(matches!(replaced, Err(MetadataError::SourceChanged)));
    }
    let listed = world.metadata.parts(upload.id, 0, 10).await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");
}

fn put_tags(key: &str, version: VersionSelector, tags: &[(&str, &str)]) -> PutTags {
    PutTags {
        bucket: "b".to_owned(),
        key: key.as_bytes().to_vec(),
        version,
        tags: pairs(tags),
        origin: Default::default(),
    }
}

fn pairs(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    tags.iter().map(owned).collect()
}

async fn tags_change_in_place(world: World) {
    let bucket = world.versioned_bucket("b").await;
    let mut put = world.put_of("b", "k", 10, "one");
    put.attributes = Attributes {
        user: pairs(&[("a", "1")]),
        tags: pairs(&[("old", "x")]),
        ..Attributes::default()
    };
    let one = world.metadata.put_object(put).await.unwrap();
    let one = one.version_id.unwrap();
    world.put("b", "k", 10, "two").await;
    let before = world.exact(&bucket, "k", &one).await.unwrap();
    world.clock.advance_ms(5);
    let exact = VersionSelector::Exact(one.clone());
    let new = [("new", "y"), ("z", "")];
    let put = put_tags("k", exact.clone(), &new);
    world.metadata.put_tags(put).await.unwrap();
    let after = world.exact(&bucket, "k", &one).await.unwrap();
    let mut expected = before;
    expected.attributes.tags = pairs(&new);
    assert_eq!(after, expected, "nothing but the tags");
    let current = world.current(&bucket, "k").await.unwrap();
    assert!(current.attributes.tags.is_empty());
    let put = put_tags("k", VersionSelector::Current, &new);
    world.metadata.put_tags(put).await.unwrap();
    let current = world.current(&bucket, "k").await.unwrap();
    assert_eq!(current.attributes.tags, pairs(&new));
    world
        .metadata
        .put_tags(put_tags("k", exact, &[]))
        .await
        .unwrap();
    assert!(
        world
            .exact(&bucket, "k", &one)
            .await
            .unwrap()
            .attributes
            .tags
            .is_empty()
    );

    world.delete("b", "k").await;
    let of_marker = world
        .metadata
        .put_tags(put_tags("k", VersionSelector::Current, &new))
        .await;
    assert!(matches!(of_marker, Err(MetadataError::NoSuchKey)));
    let absent = world
        .metadata
        .put_tags(put_tags("absent", VersionSelector::Current, &new))
        .await;
    assert!(matches!(absent, Err(MetadataError::NoSuchKey)));
}

async fn settings_go_with_their_bucket(world: World) {
    let bucket = world.bucket("b").await;
    let value = |id, name| {
        let metadata = world.metadata.clone();
        async move { metadata.bucket_setting(id, name).await.unwrap() }
    };
    let set = |name: &'static str, value: Option<&'static str>| {
        let metadata = world.metadata.clone();
        async move {
            let value = value.map(str::to_owned);
            metadata.set_bucket_setting("b", name, value).await
        }
    };
    assert_eq!(value(bucket.id, "cors").await, None);
    set("cors", Some("1")).await.unwrap();
    set("tags", Some("2")).await.unwrap();
    set("cors", Some("3")).await.unwrap();
    assert_eq!(value(bucket.id, "cors").await.as_deref(), Some("3"));
    set("cors", None).await.unwrap();
    set("cors", None).await.unwrap();
    assert_eq!(value(bucket.id, "cors").await, None);
    assert_eq!(value(bucket.id, "tags").await.as_deref(), Some("2"));
    world.metadata.delete_bucket("b").await.unwrap();
    assert_eq!(value(bucket.id, "tags").await, None);
    let again = world.bucket("b").await;
    assert_eq!(value(again.id, "tags").await, None);
    world.metadata.delete_bucket("b").await.unwrap();
    let gone = set("cors", Some("1")).await;
    assert!(matches!(gone, Err(MetadataError::NoSuchBucket)));
}

async fn an_object_may_be_less_than_its_blob(world: World) {
    let bucket = world.bucket("b").await;
    let mut put = world.put_of("b", "k", 100, "etag");
    put.taken_len = Some(60);
    world.metadata.put_object(put).await.unwrap();
    let version = world.current(&bucket, "k").await.unwrap();
    assert_eq!(version.size, 60);
    let slices = world.metadata.slices(version.uid, 0..1000).await.unwrap();
    assert_eq!(slices.len(), 1);
    assert_eq!((slices[0].start, slices[0].len), (0, 60));
    assert_eq!((slices[0].blob_offset, slices[0].blob.len), (0, 100));
    for taken in [0, 101] {
        let mut put = world.put_of("b", "other", 100, "etag");
        put.taken_len = Some(taken);
        let refused = world.metadata.put_object(put).await;
        assert!(matches!(refused, Err(MetadataError::Corrupt(_))), "{taken}");
    }
}
