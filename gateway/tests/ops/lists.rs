//! Listings of objects, versions and uploads, page by page.

use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::op::{
    ListMultipartUploadsInput, ListObjectVersionsInput, ListObjectsInput, ListObjectsV2Input,
    S3Service, VersionKind, VersioningStatus,
};

use crate::lab::{Lab, bucket, code, etag_of, filter, version_id};

async fn lab_with(keys: &[&str]) -> Lab {
    let lab = Lab::new().await;
    for key in keys {
        lab.put(key, key.as_bytes()).await.unwrap();
    }
    lab
}

const KEYS: [&str; 9] = [
    "a",
    "b/1",
    "b/2",
    "b/c/3",
    "d",
    "e//",
    "e/é",
    "e\u{1}",
    "../up/\u{1F600}",
];

/// Keys and common prefixes of all pages, and where the pages ended.
async fn all_v1(lab: &Lab, prefix: &str, delimiter: Option<&str>, max: u32) -> Vec<Vec<String>> {
    let (mut pages, mut marker) = (Vec::new(), String::new());
    loop {
        let input = ListObjectsInput {
            bucket: bucket("films"),
            filter: filter(prefix, delimiter, max),
            marker: marker.clone(),
        };
        let output = lab.gateway.list_objects(&lab.context, input).await.unwrap();
        let keys = output
            .objects
            .iter()
            .map(|object| object.key.as_str().to_owned());
        let mut page: Vec<String> = keys.chain(output.common_prefixes).collect();
        page.sort();
        assert!(page.len() <= max as usize);
        assert!(page.iter().all(|entry| *entry > marker));
        let last = page.last().cloned();
        pages.push(page);
        match output.next_marker {
            None => return pages,
            next => {
                assert_eq!(next, last);
                marker = next.unwrap();
            }
        }
    }
}

async fn all_v2(lab: &Lab, prefix: &str, delimiter: Option<&str>, max: u32) -> Vec<Vec<String>> {
    let (mut pages, mut continuation) = (Vec::new(), None);
    loop {
        let input = ListObjectsV2Input {
            bucket: bucket("films"),
            filter: filter(prefix, delimiter, max),
            start_after: String::new(),
            continuation: continuation.take(),
            continuation_token: None,
            fetch_owner: false,
        };
        let output = lab
            .gateway
            .list_objects_v2(&lab.context, input)
            .await
            .unwrap();
        let keys = output
            .objects
            .iter()
            .map(|object| object.key.as_str().to_owned());
        let mut page: Vec<String> = keys.chain(output.common_prefixes).collect();
        page.sort();
        pages.push(page);
        continuation = output.next;
        if continuation.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_of_any_length_show_every_key_once() {
    let lab = lab_with(&KEYS).await;
    let mut sorted = KEYS.map(str::to_owned).to_vec();
    sorted.sort();
    let rolled = ["../", "a", "b/", "d", "e\u{1}", "e/"]
        .map(str::to_owned)
        .to_vec();
    for max in [1, 2, 3, 5, 1000] {
        for pages in [
            all_v1(&lab, "", None, max).await,
            all_v2(&lab, "", None, max).await,
        ] {
            assert_eq!(pages.concat(), sorted, "{max}");
            assert_eq!(
                pages.len(),
                KEYS.len().div_ceil(max as usize),
                "no empty last page"
            );
        }
        let slash = Some("/");
        for pages in [
            all_v1(&lab, "", slash, max).await,
            all_v2(&lab, "", slash, max).await,
        ] {
            assert_eq!(pages.concat(), rolled, "{max}");
        }
        let below = [
            all_v1(&lab, "b/", slash, max).await,
            all_v2(&lab, "b/", slash, max).await,
        ];
        for pages in below {
            assert_eq!(pages.concat(), ["b/1", "b/2", "b/c/"], "{max}");
        }
    }
    assert_eq!(
        all_v2(&lab, "nothing", None, 10).await,
        [Vec::<String>::new()]
    );
    assert_eq!(all_v1(&lab, "", None, 0).await, [Vec::<String>::new()]);
}

#[tokio::test]
async fn an_object_is_shown_with_what_it_is() {
    let lab = lab_with(&["a", "b", "c"]).await;
    lab.delete("b", None).await.unwrap();
    let input = ListObjectsV2Input {
        bucket: bucket("films"),
        filter: filter("", None, 1000),
        start_after: "a".to_owned(),
        continuation: None,
        continuation_token: None,
        fetch_owner: true,
    };
    let output = lab
        .gateway
        .list_objects_v2(&lab.context, input.clone())
        .await
        .unwrap();
    assert_eq!(output.objects.len(), 1);
    let object = &output.objects[0];
    assert_eq!((object.key.as_str(), object.size), ("c", 1));
    assert_eq!(object.etag, etag_of(b"c"));
    assert!(object.storage_class.is_standard());
    assert_eq!(object.last_modified.as_ms(), 1_700_000_000_000);
    let nowhere = ListObjectsV2Input {
        bucket: bucket("nowhere"),
        ..input
    };
    let missing = lab.gateway.list_objects_v2(&lab.context, nowhere).await;
    assert_eq!(code(missing), ErrorCode::NoSuchBucket);
}

#[tokio::test]
async fn versions_are_listed_newest_first() {
    let lab = lab_with(&["a"]).await;
    lab.versioning(VersioningStatus::Enabled).await;
    let second = lab.put("a", b"second").await.unwrap().version_id.unwrap();
    let marker = lab.delete("a", None).await.unwrap().version_id.unwrap();
    let other = lab.put("b/1", b"other").await.unwrap().version_id.unwrap();
    let all = [
        ("a".to_owned(), marker.as_str().to_owned(), true, false),
        ("a".to_owned(), second.as_str().to_owned(), false, true),
        ("a".to_owned(), "null".to_owned(), false, true),
        ("b/1".to_owned(), other.as_str().to_owned(), true, true),
    ];
    for max in [1, 2, 3, 1000] {
        let (mut found, mut key_marker, mut version_id_marker) = (Vec::new(), String::new(), None);
        loop {
            let input = ListObjectVersionsInput {
                bucket: bucket("films"),
                filter: filter("", None, max),
                key_marker: key_marker.clone(),
                version_id_marker: version_id_marker.take(),
            };
            let page = lab
                .gateway
                .list_object_versions(&lab.context, input)
                .await
                .unwrap();
            assert!(page.versions.len() <= max as usize);
            found.extend(page.versions.into_iter().map(|version| {
                let is_object = version.kind != VersionKind::DeleteMarker;
                let id = version.version_id.as_str().to_owned();
                (
                    version.key.as_str().to_owned(),
                    id,
                    version.is_latest,
                    is_object,
                )
            }));
            let Some((key, version)) = page.next else {
                break;
            };
            (key_marker, version_id_marker) = (key, version);
        }
        assert_eq!(found, all, "{max}");
    }
    let rolled = ListObjectVersionsInput {
        bucket: bucket("films"),
        filter: filter("", Some("/"), 1000),
        key_marker: "a".to_owned(),
        version_id_marker: None,
    };
    let page = lab
        .gateway
        .list_object_versions(&lab.context, rolled.clone())
        .await
        .unwrap();
    assert_eq!(
        (page.versions.len(), page.common_prefixes),
        (0, vec!["b/".to_owned()])
    );
    let nonsense = ListObjectVersionsInput {
        version_id_marker: Some(version_id("nonsense")),
        ..rolled
    };
    let refused = lab
        .gateway
        .list_object_versions(&lab.context, nonsense)
        .await;
    assert_eq!(code(refused), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn open_uploads_are_listed_by_key_and_age() {
    let lab = Lab::new().await;
    let mut begun = Vec::new();
    for key in ["a", "a", "b/1", "b/2", "c"] {
        begun.push((
            key.to_owned(),
            lab.begin(key, None).await.as_str().to_owned(),
        ));
        lab.clock.advance_ms(5);
    }
    for max in [1, 2, 1000] {
        let (mut found, mut key_marker, mut upload_id_marker) = (Vec::new(), String::new(), None);
        loop {
            let input = ListMultipartUploadsInput {
                bucket: bucket("films"),
                filter: filter("", None, max),
                key_marker: key_marker.clone(),
                upload_id_marker: upload_id_marker.take(),
            };
            let page = lab
                .gateway
                .list_multipart_uploads(&lab.context, input)
                .await
                .unwrap();
            found.extend(page.uploads.into_iter().map(|upload| {
                (
                    upload.key.as_str().to_owned(),
                    upload.upload_id.as_str().to_owned(),
                )
            }));
            let Some((key, upload)) = page.next else {
                break;
            };
            (key_marker, upload_id_marker) = (key, upload);
        }
        assert_eq!(found, begun, "{max}");
    }
    let input = ListMultipartUploadsInput {
        bucket: bucket("films"),
        filter: filter("", Some("/"), 1000),
        key_marker: "a".to_owned(),
        upload_id_marker: None,
    };
    let page = lab
        .gateway
        .list_multipart_uploads(&lab.context, input)
        .await
        .unwrap();
    assert_eq!(page.common_prefixes, ["b/"]);
    assert_eq!(page.uploads.len(), 1);
    assert_eq!(page.uploads[0].key.as_str(), "c");
}
