//! GetObject and HeadObject: ranges, conditions, versions, and drives that are not there.

use std::time::Duration;

use futures::StreamExt;
use holdfast_gateway::s3::error::ErrorCode;
use holdfast_gateway::s3::name::PartNumber;
use holdfast_gateway::s3::op::{
    ETagCondition, GetObjectInput, ReadConditions, Select, VersioningStatus,
};
use holdfast_gateway::s3::time::Timestamp;
use holdfast_types::DriveState;

use crate::lab::{Lab, STRIPE, bytes_of, code, etag_of, get_input, get_range, get_version, noise};

#[tokio::test]
async fn ranges_give_the_bytes_they_name() {
    let lab = Lab::new().await;
    let len = 5 * STRIPE + 100;
    let bytes = noise(1, len);
    lab.put("a", &bytes).await.unwrap();
    let last = (len - 1).to_string();
    for (text, range) in [
        ("bytes=0-0".to_owned(), 0..1),
        (format!("bytes=0-{last}"), 0..len),
        (format!("bytes={last}-"), len - 1..len),
        ("bytes=-7".to_owned(), len - 7..len),
        ("bytes=-999999999".to_owned(), 0..len),
        ("bytes=4095-4096".to_owned(), 4095..4097),
        (
            format!("bytes={}-{}", STRIPE - 1, 3 * STRIPE),
            STRIPE - 1..3 * STRIPE + 1,
        ),
    ] {
        let input = get_range("a", &text);
        let head = lab.head(input.clone()).await.unwrap();
        let output = lab.open(input).await.unwrap();
        let expected = range.start as u64..range.end as u64;
        assert_eq!(head.range, Some(expected.clone()), "{text}");
        assert_eq!(output.range, Some(expected), "{text}");
        assert_eq!(output.head.object_len, len as u64);
        assert_eq!(output.head, head.head);
        assert_eq!(bytes_of(output).await.unwrap(), bytes[range], "{text}");
    }
    let past = lab
        .open(get_range("a", &format!("bytes={len}-")))
        .await
        .unwrap_err();
    assert_eq!(past.code(), ErrorCode::InvalidRange);
    let header = past
        .headers()
        .find(|(name, _)| name == "content-range")
        .unwrap();
    assert_eq!(header.1, format!("bytes */{len}"));
    lab.put("empty", b"").await.unwrap();
    assert_eq!(
        code(lab.open(get_range("empty", "bytes=0-")).await),
        ErrorCode::InvalidRange
    );
}

#[tokio::test]
async fn a_range_reads_only_the_blocks_it_needs() {
    let lab = Lab::new().await;
    let bytes = noise(1, 64 * STRIPE);
    lab.put("a", &bytes).await.unwrap();
    lab.drives.take_blocks_read();
    let start = 40 * STRIPE + 4096;
    let range = format!("bytes={}-{}", start, start + 4095);
    assert_eq!(
        lab.read(get_range("a", &range)).await.unwrap(),
        bytes[start..start + 4096]
    );
    assert_eq!(lab.drives.take_blocks_read(), 1);
}

#[tokio::test]
async fn conditions_answer_304_and_412() {
    let lab = Lab::new().await;
    lab.put("a", b"bytes").await.unwrap();
    let with = |conditions| GetObjectInput {
        conditions,
        ..get_input("a")
    };
    let none = ReadConditions::default;
    let this = Some(ETagCondition::OneOf(vec![etag_of(b"bytes")]));
    let other = Some(ETagCondition::OneOf(vec![etag_of(b"others")]));
    let written = Timestamp::from_ms(1_700_000_000_000);
    let earlier = Timestamp::from_ms(1_600_000_000_000);
    let not_modified = [
        ReadConditions {
            if_none_match: this.clone(),
            ..none()
        },
        ReadConditions {
            if_modified_since: Some(written),
            ..none()
        },
    ];
    for conditions in not_modified {
        let error = lab.open(with(conditions)).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 304);
        let etag = error.headers().find(|(name, _)| name == "etag").unwrap();
        assert_eq!(etag.1, etag_of(b"bytes").quoted());
    }
    let failed = [
        ReadConditions {
            if_match: other.clone(),
            ..none()
        },
        ReadConditions {
            if_unmodified_since: Some(earlier),
            ..none()
        },
        ReadConditions {
            if_match: other,
            if_none_match: this.clone(),
            ..none()
        },
    ];
    for conditions in failed {
        assert_eq!(
            code(lab.head(with(conditions)).await),
            ErrorCode::PreconditionFailed
        );
    }
    let holds = ReadConditions {
        if_match: this,
        if_unmodified_since: Some(earlier),
        ..none()
    };
    assert_eq!(lab.read(with(holds)).await.unwrap(), b"bytes");
}

#[tokio::test]
async fn a_plain_object_is_its_only_part() {
    let lab = Lab::new().await;
    lab.put("a", b"bytes").await.unwrap();
    let part = |n| GetObjectInput {
        select: Select::Part(PartNumber::new(n).unwrap()),
        ..get_input("a")
    };
    let first = lab.open(part(1)).await.unwrap();
    assert_eq!(
        (first.range.clone(), first.head.parts_count),
        (Some(0..5), None)
    );
    assert_eq!(bytes_of(first).await.unwrap(), b"bytes");
    assert_eq!(code(lab.open(part(2)).await), ErrorCode::InvalidPartNumber);
}

#[tokio::test]
async fn versions_are_read_by_their_ids() {
    let lab = Lab::new().await;
    lab.put("a", b"null").await.unwrap();
    assert_eq!(
        lab.head(get_input("a")).await.unwrap().head.version_id,
        None
    );
    lab.versioning(VersioningStatus::Enabled).await;
    let first = lab.put("a", b"first").await.unwrap().version_id.unwrap();
    let second = lab.put("a", b"second").await.unwrap().version_id.unwrap();
    assert_ne!(first, second);
    assert_eq!(lab.get("a").await.unwrap(), b"second");
    for (id, bytes) in [("null", &b"null"[..]), (first.as_str(), b"first")] {
        let output = lab.open(get_version("a", id)).await.unwrap();
        assert_eq!(output.head.version_id.as_ref().unwrap().as_str(), id);
        assert_eq!(bytes_of(output).await.unwrap(), bytes);
    }
    let unknown = get_version("a", "00000000000000000000000000000000");
    assert_eq!(code(lab.open(unknown).await), ErrorCode::NoSuchVersion);
    assert_eq!(
        code(lab.open(get_version("a", "nonsense")).await),
        ErrorCode::InvalidArgument
    );
}

#[tokio::test]
async fn a_delete_marker_is_not_there_and_says_so() {
    let lab = Lab::new().await;
    lab.versioning(VersioningStatus::Enabled).await;
    lab.put("a", b"bytes").await.unwrap();
    let marker = lab.delete("a", None).await.unwrap().version_id.unwrap();
    let header = |error: &holdfast_gateway::s3::error::S3Error, wanted: &str| {
        let found = error.headers().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    };
    let current = lab.open(get_input("a")).await.unwrap_err();
    assert_eq!(current.code(), ErrorCode::NoSuchKey);
    assert_eq!(
        header(&current, "x-amz-delete-marker").as_deref(),
        Some("true")
    );
    assert_eq!(
        header(&current, "x-amz-version-id").as_deref(),
        Some(marker.as_str())
    );
    let named = lab
        .head(get_version("a", marker.as_str()))
        .await
        .unwrap_err();
    assert_eq!(named.code(), ErrorCode::MethodNotAllowed);
    assert_eq!(
        header(&named, "x-amz-delete-marker").as_deref(),
        Some("true")
    );
    assert_eq!(header(&named, "allow").as_deref(), Some("DELETE"));
    let never = lab.open(get_input("never")).await.unwrap_err();
    assert_eq!(header(&never, "x-amz-delete-marker"), None);
}

#[tokio::test]
async fn any_two_drives_may_be_gone() {
    let lab = Lab::new().await;
    let bytes = noise(1, 9 * STRIPE + 5);
    lab.put("large", &bytes).await.unwrap();
    lab.put("small", &bytes[..1000]).await.unwrap();
    for one in 0..6 {
        for other in one + 1..6 {
            for drive in [one, other] {
                lab.drives.set_state(drive, DriveState::Missing);
            }
            assert_eq!(
                lab.get("large").await.unwrap(),
                bytes,
                "without {one} and {other}"
            );
            assert_eq!(lab.get("small").await.unwrap(), bytes[..1000]);
            for drive in [one, other] {
                lab.drives.set_state(drive, DriveState::Online);
            }
        }
    }
}

#[tokio::test]
async fn three_drives_gone_are_said_before_the_answer_begins() {
    let lab = Lab::new().await;
    lab.put("a", &noise(1, 3 * STRIPE)).await.unwrap();
    for drive in 0..3 {
        lab.drives.set_state(drive, DriveState::Missing);
    }
    let error = lab.open(get_input("a")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
    assert_eq!(
        error.text(),
        "Too few fragments can be read at the moment: 4 are needed, and 3 can be had."
    );
    lab.head(get_input("a")).await.unwrap();
    lab.drives.set_state(0, DriveState::Online);
    assert_eq!(lab.get("a").await.unwrap(), noise(1, 3 * STRIPE));
}

#[tokio::test]
async fn bytes_lost_in_the_middle_never_end_well() {
    let lab = Lab::new().await;
    let bytes = noise(1, 400 * STRIPE);
    lab.put("a", &bytes).await.unwrap();
    let mut output = lab.open(get_input("a")).await.unwrap();
    let mut got = output.body.next().await.unwrap().unwrap().to_vec();
    for drive in 0..3 {
        lab.drives.set_state(drive, DriveState::Missing);
    }
    let end = loop {
        match output.body.next().await {
            Some(Ok(piece)) => got.extend_from_slice(&piece),
            other => break other,
        }
    };
    assert!(
        end.is_some_and(|last| last.is_err()),
        "a short body that ended well"
    );
    assert!(output.body.next().await.is_none());
    assert!(got.len() < bytes.len());
    assert_eq!(got, bytes[..got.len()]);
}

#[tokio::test]
async fn a_read_goes_on_whatever_becomes_of_the_object() {
    let lab = Lab::new().await;
    let bytes = noise(1, 400 * STRIPE);
    for end in ["overwritten", "deleted"] {
        lab.put("a", &bytes).await.unwrap();
        let mut output = lab.open(get_input("a")).await.unwrap();
        let first = output.body.next().await.unwrap().unwrap();
        match end {
            "overwritten" => drop(lab.put("a", b"new").await.unwrap()),
            _ => drop(lab.delete("a", None).await.unwrap()),
        }
        let rest = bytes_of(output).await.unwrap();
        assert_eq!([&first[..], &rest].concat(), bytes, "{end}");
    }
    assert_eq!(code(lab.get("a").await), ErrorCode::NoSuchKey);
}

#[tokio::test]
async fn missing_and_rotten_fragments_are_reported_once_and_read_around() {
    let lab = Lab::new().await;
    let bytes = noise(1, 9 * STRIPE);
    lab.put("a", &bytes).await.unwrap();
    let places = lab.places("a").await;
    lab.drives.wipe(places[0]);
    lab.drives.rot(places[1]);
    for _ in 0..3 {
        assert_eq!(lab.get("a").await.unwrap(), bytes);
    }
    // The task behind the reads writes them when it gets to it.
    let mut debts = Vec::new();
    for _ in 0..200 {
        debts = lab.metadata.debts(None, 10).await.unwrap();
        if debts.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut kinds: Vec<_> = debts
        .iter()
        .map(|debt| format!("{:?}", debt.kind))
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["Corrupt", "Missing"]);
    let page = lab.metrics.render().unwrap();
    assert!(!page.contains("holdfast_rebuilt_blocks_total 0"), "{page}");
    for line in [
        r#"holdfast_debts_reported_total{kind="missing"} 1"#,
        r#"holdfast_debts_reported_total{kind="corrupt"} 1"#,
    ] {
        assert!(page.contains(line), "{line} is not in:\n{page}");
    }
}
