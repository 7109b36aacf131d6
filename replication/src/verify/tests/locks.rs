//! What is locked is there, can be read, and was removed by nobody who might not: or it is told.

use holdfast_metadata::command::{DeleteObject, PutLegalHold, PutRetention, WriteCondition};
use holdfast_metadata::model::{Bypass, OpId, Origin, Retention, RetentionMode, Versioning};

use super::*;

/// All that is in other tests, and a bucket `vault`: `held` has a legal hold, `kept` a retention for a year, that of
/// `past` is over, and what governed `bypassed` was bypassed when it was deleted.
async fn furnished_with_locks() -> World {
    let world = furnished().await;
    let metadata = &world.metadata;
    let vault = "vault";
    metadata
        .create_bucket(vault, "default", None)
        .await
        .unwrap();
    metadata
        .set_versioning(vault, Versioning::Enabled)
        .await
        .unwrap();
    metadata.set_object_lock(vault, None).await.unwrap();
    let now_ms = world.clock.now_ms();
    for (number, key) in (0..).zip(["held", "kept", "past", "bypassed"]) {
        put(&world, vault, key, &body(61_000 + number, 6)).await;
    }
    let hold = PutLegalHold {
        bucket: vault.to_owned(),
        key: b"held".to_vec(),
        version: VersionSelector::Current,
        on: true,
        origin: Origin::default(),
    };
    metadata.put_legal_hold(hold).await.unwrap();
    let year_ms = 365 * DAY_MS;
    for (key, mode, for_ms) in [
        ("kept", RetentionMode::Compliance, year_ms),
        ("past", RetentionMode::Compliance, HOUR_MS),
        ("bypassed", RetentionMode::Governance, year_ms),
    ] {
        let retention = PutRetention {
            bucket: vault.to_owned(),
            key: key.as_bytes().to_vec(),
            version: VersionSelector::Current,
            retention: Some(Retention {
                mode,
                until_ms: now_ms + for_ms,
            }),
            bypass: Bypass::No,
            origin: Origin::default(),
        };
        metadata.put_retention(retention).await.unwrap();
    }
    world.clock.advance_ms(DAY_MS);
    let bucket = metadata.bucket(vault).await.unwrap();
    let current = VersionSelector::Current;
    let bypassed = metadata.version(bucket.id, b"bypassed", &current).await;
    let delete = DeleteObject {
        op: OpId::generate(),
        bucket: vault.to_owned(),
        key: b"bypassed".to_vec(),
        version: VersionSelector::Exact(bypassed.unwrap().version_id),
        condition: WriteCondition::default(),
        origin: Origin::default(),
        bypass: Bypass::Governance,
    };
    metadata.delete_object(delete).await.unwrap();
    world
}

/// Statements that break one thing in the vault; whether that breaks nothing but a lock; and the key
/// and words of what is told of the lock, if anything is to be.
type Breaks = (
    &'static [&'static str],
    bool,
    Option<(&'static str, &'static str)>,
);

const LOCKS_BROKEN: &[Breaks] = &[
    (
        &["UPDATE blobs SET state = 'dead' WHERE len = 61000"],
        false,
        Some(("held", "not all of its bytes are there")),
    ),
    (
        &["UPDATE blobs SET len = 60999 WHERE len = 61001"],
        false,
        Some(("kept", "not all of its bytes are there")),
    ),
    // Its time is over: it has lost its bytes all the same, but no lock is broken.
    (
        &["UPDATE blobs SET state = 'dead' WHERE len = 61002"],
        false,
        None,
    ),
    // As if somebody had removed it past all that asks, and swept up behind.
    (
        &[
            "DELETE FROM slices WHERE owner = \
          (SELECT uid FROM versions WHERE key = CAST('kept' AS BLOB))",
            "INSERT INTO usage_deltas (bucket_id, versions, bytes) SELECT bucket_id, -1, -size \
          FROM versions WHERE key = CAST('kept' AS BLOB)",
            "DELETE FROM versions WHERE key = CAST('kept' AS BLOB)",
            "INSERT INTO garbage (not_before_ms, blob_id, owner) \
          SELECT 0, blob_id, blob_id FROM blobs WHERE len = 61001",
        ],
        true,
        Some(("kept", "no row says that it went, and it is not there")),
    ),
    (
        &[
            "UPDATE changes SET removed_lock = REPLACE(removed_lock, 'governance', 'compliance') \
          WHERE event = 'delete' AND removed_lock IS NOT NULL",
        ],
        true,
        Some(("bypassed", "had a retention in compliance mode")),
    ),
    (
        &[
            "UPDATE changes SET removed_lock = REPLACE(removed_lock, 'true', 'false') \
          WHERE event = 'delete' AND removed_lock IS NOT NULL",
        ],
        true,
        Some(("bypassed", "had a retention that was not bypassed")),
    ),
    (
        &[
            "UPDATE changes SET removed_lock = '{\"lock\":{\"legal_hold\":true},\"bypassed\":true}' \
          WHERE event = 'delete' AND removed_lock IS NOT NULL",
        ],
        true,
        Some(("bypassed", "had a legal hold")),
    ),
    (
        &["UPDATE changes SET removed_lock = 'gone' \
          WHERE event = 'delete' AND removed_lock IS NOT NULL"],
        true,
        Some(("bypassed", "had a lock that could not be read")),
    ),
];

#[tokio::test]
async fn what_is_locked_is_there_or_it_is_told() {
    let world = furnished_with_locks().await;
    let report = verify(&world, Depth::Deep, false).await;
    assert!(report.is_whole(), "a bypass is no breach: {report:#?}");
    for (statements, is_all, words) in LOCKS_BROKEN {
        let world = furnished_with_locks().await;
        damage(&world, statements).await;
        let report = verify(&world, Depth::Headers, false).await;
        let told = &report.broken.first;
        assert!(!report.is_clean(), "{statements:?}");
        let others = report.broken.count.keys();
        let others = others.filter(|kind| **kind != Invariant::I17).count();
        assert_eq!(others == 0, *is_all, "{statements:?}: {told:#?}");
        let of_lock = |finding: &&Finding| finding.invariant == Invariant::I17;
        let finding = told.iter().find(of_lock);
        assert_eq!(finding.is_some(), words.is_some(), "{told:#?}");
        if let (Some(finding), Some((key, words))) = (finding, words) {
            assert!(finding.what.contains(words), "{finding:?}");
            assert_eq!(finding.objects[0].key, *key);
        }
    }
}

#[tokio::test]
async fn what_is_locked_can_be_read_or_it_is_told() {
    let world = furnished_with_locks().await;
    let bucket = world.metadata.bucket("vault").await.unwrap();
    let current = VersionSelector::Current;
    for (key, is_locked) in [("past", false), ("held", true)] {
        let version = world.metadata.version(bucket.id, key.as_bytes(), &current);
        let version = version.await.unwrap();
        let slices = world.metadata.slices(version.uid, 0..1).await.unwrap();
        let blob = &slices[0].blob;
        for index in 0..3 {
            let drive = blob.placement.drives[usize::from(index)].unwrap();
            assert!(world.store.lose(drive, &id_of(&world, blob.blob, index)));
        }
        let report = verify(&world, Depth::Quick, false).await;
        let locked = report.broken.count.get(&Invariant::I17).copied();
        assert_eq!(locked, is_locked.then_some(1), "{key}");
        if is_locked {
            let of_lock = |finding: &&Finding| finding.invariant == Invariant::I17;
            let finding = report.broken.first.iter().find(of_lock).unwrap();
            assert_eq!(finding.what, "what is locked can't be read");
            assert_eq!(finding.objects[0].key, "held");
        }
    }
    // Bytes that are others than were put under the lock.
    let world = furnished_with_locks().await;
    damage(
        &world,
        &[
            "UPDATE versions SET etag = '00000000000000000000000000000000' \
             WHERE key = CAST('kept' AS BLOB)",
        ],
    )
    .await;
    let report = verify(&world, Depth::Deep, false).await;
    let kinds: Vec<_> = report.broken.count.keys().copied().collect();
    assert_eq!(kinds, [Invariant::I2, Invariant::I17]);
}
