//! A sound store is told to be sound; each damage that is planted in its rows or on its drives is
//! told as the invariant that it breaks, and as no other.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use holdfast_erasure::PutSpec;
use holdfast_metadata::command::{CompleteUpload, CreateUpload, NewBlob, PutObject, PutPart};
use holdfast_metadata::command::{DeleteObject, WriteCondition};
use holdfast_metadata::model::{Encryption, OpId, Origin, StoredChecksum, Versioning};
use holdfast_types::{DriveState, FailureDomain, FragmentId, FragmentIndex, Generation};
use sqlx::Connection as _;

use super::*;
use crate::testing::{HOUR_MS, World, layout};

mod locks;

const DAY_MS: u64 = 24 * HOUR_MS;

/// A bucket with a single PUT, a copy of it, an object of three parts, an upload that is open, an
/// old version, a delete marker and garbage.
async fn furnished() -> World {
    let world = World::new().await;
    let films = "films";
    put(&world, films, "one", &body(100_000, 1)).await;
    world.copy("one", "copy").await;
    world.put("gone").await;
    world.delete("gone").await;
    world
        .metadata
        .create_bucket("kept", "default", None)
        .await
        .unwrap();
    world
        .metadata
        .set_versioning("kept", Versioning::Enabled)
        .await
        .unwrap();
    put(&world, "kept", "again", &body(70_000, 2)).await;
    put(&world, "kept", "again", &body(80_000, 3)).await;
    put(&world, "kept", "marked", &body(10, 4)).await;
    delete(&world, "kept", "marked").await;
    multipart(&world, "kept", "parts").await;
    world.clock.advance_ms(8 * DAY_MS);
    world
}

fn body(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8 ^ seed).collect()
}

async fn write(world: &World, bytes: &[u8]) -> NewBlob {
    let spec = PutSpec {
        blob: BlobId::generate(),
        len: bytes.len() as u64,
        layout: layout(),
        region: world.region.clone(),
        generation: Generation(0),
        protect: FailureDomain::Drive,
        quorum: None,
    };
    let body = stream::iter([Ok::<Bytes, Infallible>(Bytes::copy_from_slice(bytes))]);
    let receipt = world.blobs.put(spec, body).await.unwrap();
    NewBlob {
        id: receipt.blob,
        len: receipt.len,
        seal: None,
        placement: receipt.placement,
        debts: Vec::new(),
        strays: Vec::new(),
    }
}

fn md5_hex(bytes: &[u8]) -> String {
    use md5::Digest as _;
    hex::encode(md5::Md5::digest(bytes))
}

fn sha256(bytes: &[u8]) -> StoredChecksum {
    use base64::Engine as _;
    use sha2::Digest as _;
    StoredChecksum {
        algorithm: "SHA256".to_owned(),
        value: base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(bytes)),
        composite: false,
    }
}

async fn put(world: &World, bucket: &str, key: &str, bytes: &[u8]) {
    let blob = write(world, bytes).await;
    let put = PutObject {
        op: OpId::from(blob.id),
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
        blob: Some(blob),
        taken_len: None,
        etag: md5_hex(bytes),
        attributes: Attributes {
            checksum: Some(sha256(bytes)),
            ..Attributes::default()
        },
        condition: WriteCondition::default(),
        origin: Origin::default(),
        lock: Default::default(),
    };
    world.metadata.put_object(put).await.unwrap();
}

async fn delete(world: &World, bucket: &str, key: &str) {
    let delete = DeleteObject {
        op: OpId::generate(),
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
        version: VersionSelector::Current,
        condition: WriteCondition::default(),
        origin: Origin::default(),
        bypass: Default::default(),
    };
    world.metadata.delete_object(delete).await.unwrap();
}

async fn multipart(world: &World, bucket: &str, key: &str) {
    let create = |key: &str| CreateUpload {
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
        attributes: Attributes::default(),
        checksum: None,
        lock: Default::default(),
    };
    let upload = world.metadata.create_upload(create(key)).await.unwrap();
    let mut md5s = Vec::new();
    let mut listed = Vec::new();
    for number in [2_u32, 3, 7] {
        let bytes = body(50_000 + number as usize, number as u8);
        md5s.extend(hex::decode(md5_hex(&bytes)).unwrap());
        let part = put_part(world, bucket, &upload, number, &bytes).await;
        listed.push((number, part));
    }
    let complete = CompleteUpload {
        op: OpId::generate(),
        upload: upload.id,
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
        parts: listed,
        etag: format!("{}-3", md5_hex(&md5s)),
        checksum: None,
        condition: WriteCondition::default(),
        origin: Origin::default(),
    };
    world.metadata.complete_upload(complete).await.unwrap();
    let open = world.metadata.create_upload(create("open")).await.unwrap();
    put_part(world, bucket, &open, 1, &body(20_000, 9)).await;
}

async fn put_part(
    world: &World,
    bucket: &str,
    upload: &holdfast_metadata::model::Upload,
    number: u32,
    bytes: &[u8],
) -> uuid::Uuid {
    let blob = write(world, bytes).await;
    let put = PutPart {
        op: OpId::from(blob.id),
        upload: upload.id,
        bucket: bucket.to_owned(),
        key: upload.key.clone(),
        part_number: number,
        blob: Some(blob),
        etag: md5_hex(bytes),
        checksum: Some(sha256(bytes)),
    };
    world.metadata.put_part(put).await.unwrap().uid
}

async fn verify(world: &World, depth: Depth, is_live: bool) -> Report {
    let verifier = Verifier {
        metadata: world.metadata.clone(),
        blobs: world.blobs.clone(),
        store: Arc::new(world.store.clone()),
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
        region: world.region.clone(),
        grace_ms: DAY_MS,
        is_live,
        patience: Duration::from_millis(700),
    };
    let watch = Watch::new();
    let report = verifier.run(depth, &watch, &CancellationToken::new()).await;
    assert_eq!(watch.read().phase, Phase::Ended);
    report.unwrap()
}

/// Changes rows behind the metadata's back.
async fn damage(world: &World, statements: &[&'static str]) {
    let url = format!("sqlite:{}", world.database().display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for statement in statements {
        let done = sqlx::query(*statement)
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert!(done.rows_affected() > 0, "{statement} changes nothing");
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_sound_store_is_told_to_be_whole() {
    let world = furnished().await;
    for depth in [Depth::Quick, Depth::Headers, Depth::Deep] {
        for is_live in [false, true] {
            let report = verify(&world, depth, is_live).await;
            assert!(report.is_whole(), "{depth:?}: {report:#?}");
            assert_eq!(report.looked.versions, 7, "{depth:?}");
            assert_eq!(report.looked.blobs, 9, "{depth:?}");
            assert_eq!(report.looked.changes, 9, "{depth:?}");
            let hashed = if depth == Depth::Deep { 6 } else { 0 };
            assert_eq!(report.looked.hashed, hashed, "{depth:?}");
        }
    }
}

/// Statements that break one thing, what they break, and words of what is told.
const ROWS_BROKEN: &[(&[&str], Invariant, &str)] = &[
    (
        &["DELETE FROM changes WHERE change_number = (SELECT MAX(change_number) FROM changes)"],
        Invariant::I12,
        "does not say that it appeared",
    ),
    (
        &["UPDATE changes SET sequence = 77 WHERE change_number = \
          (SELECT MIN(change_number) FROM changes WHERE kind = 'delete')"],
        Invariant::I12,
        "its key's last is",
    ),
    (
        &[
            "INSERT INTO changes (transaction_id, bucket_id, key, sequence, kind, event, version_id, \
          size, etag, at_ms) SELECT 0, v.bucket_id, v.key, h.last_sequence + 1, 'delete', \
          'delete', v.version_id, 0, '', 0 FROM versions v JOIN heads h \
          ON h.bucket_id = v.bucket_id AND h.key = v.key WHERE v.key = CAST('one' AS BLOB)",
            "UPDATE heads SET last_sequence = last_sequence + 1 WHERE key = CAST('one' AS BLOB)",
        ],
        Invariant::I12,
        "the version is still that of",
    ),
    (
        &["DELETE FROM changes WHERE kind = 'delete' AND key = CAST('gone' AS BLOB)"],
        Invariant::I12,
        "no row says that it went",
    ),
    (
        &["UPDATE usage_deltas SET bytes = bytes + 1 WHERE delta_number = 1"],
        Invariant::Rows,
        "is said to have",
    ),
    (
        &["UPDATE usage_deltas SET versions = versions - 1 WHERE delta_number = 1"],
        Invariant::Rows,
        "is said to have",
    ),
    (
        &["UPDATE usage_deltas SET part_bytes = part_bytes + 1 WHERE part_bytes = 20000"],
        Invariant::Rows,
        "and 20001 bytes of parts, and has",
    ),
    (
        &[
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) \
          INSERT INTO dead_letters (webhook, transaction_id, change_number, bucket_id, \
          bucket_name, key, event, body, reason, at_ms) SELECT 'hook', 0, i, 1, 'films', X'61', 'e', '{}', 'no', 0 FROM n",
        ],
        Invariant::I21,
        "the dead letters of webhook hook: 10001 rows, above the limit of 10000",
    ),
    (
        &[
            "UPDATE changes SET change_number = change_number + 20000000 \
          WHERE change_number = (SELECT MAX(change_number) FROM changes)",
        ],
        Invariant::I21,
        "the change log: 20000",
    ),
    (
        &["UPDATE versions SET lock_mode = 'strict' WHERE key = CAST('copy' AS BLOB)"],
        Invariant::Rows,
        "its lock can't be read",
    ),
    (
        &[
            "UPDATE versions SET is_current = 0, noncurrent_since_ms = 1 \
          WHERE key = CAST('one' AS BLOB)",
        ],
        Invariant::Rows,
        "is not marked as current",
    ),
    (
        &["DELETE FROM heads WHERE key = CAST('copy' AS BLOB)"],
        Invariant::Rows,
        "its key has no head",
    ),
    (
        &["UPDATE heads SET last_modified_ms = 5 WHERE key = CAST('copy' AS BLOB)"],
        Invariant::Rows,
        "newer than its key's Last-Modified",
    ),
    (
        &[
            "UPDATE versions SET last_modified_ms = 5 WHERE key = CAST('again' AS BLOB) \
          AND is_current = 1",
        ],
        Invariant::Rows,
        "the version before it was modified after it",
    ),
    (
        &["UPDATE versions SET attributes = 'no json' WHERE key = CAST('copy' AS BLOB)"],
        Invariant::Rows,
        "its attributes can't be read",
    ),
    (
        &["UPDATE slices SET start = start + 1, len = len - 1 WHERE start > 0"],
        Invariant::Rows,
        "slices are of",
    ),
    (
        &["DELETE FROM object_parts WHERE part_number = 3"],
        Invariant::Rows,
        "it was completed from 3 parts",
    ),
    (
        &["UPDATE parts SET size = size + 1"],
        Invariant::Rows,
        "and its slices of",
    ),
    (
        &["UPDATE uploads SET state = 'aborted' WHERE state = 'open'"],
        Invariant::Rows,
        "which is aborted",
    ),
    (
        &[
            "INSERT INTO slices (owner, start, blob_id, blob_offset, len) \
          SELECT X'00000000000000000000000000000001', 0, blob_id, 0, 1 FROM slices LIMIT 1",
        ],
        Invariant::Rows,
        "is not there",
    ),
    (
        &[
            "INSERT INTO object_parts (owner, part_number, start, size) \
          VALUES (X'00000000000000000000000000000001', 1, 0, 1)",
        ],
        Invariant::Rows,
        "parts of a version",
    ),
    (
        &[
            "INSERT INTO debts (blob_id, region, generation, fragment_index, drive_number, kind, \
          created_ms) SELECT blob_id, region, 9, 0, 1, 'missing', 0 FROM placements LIMIT 1",
        ],
        Invariant::Rows,
        "a missing fragment that no placement has",
    ),
    (
        &["DELETE FROM garbage"],
        Invariant::Rows,
        "no garbage row will ever remove it",
    ),
    (
        &["INSERT INTO outcomes (op_id, state, created_ms) \
          SELECT blob_id, 'aborted', 0 FROM blobs WHERE len = 70000"],
        Invariant::I5,
        "declared to have never happened",
    ),
];

#[tokio::test]
async fn each_damage_to_rows_is_told_as_what_it_breaks() {
    for (statements, invariant, words) in ROWS_BROKEN {
        let world = furnished().await;
        damage(&world, statements).await;
        let report = verify(&world, Depth::Headers, false).await;
        let told = &report.broken.first;
        assert!(
            told.iter().any(|finding| finding.what.contains(words)),
            "{words}: {told:#?}"
        );
        let kinds: Vec<_> = report.broken.count.keys().collect();
        assert_eq!(kinds, [invariant], "{words}: {told:#?}");
        assert!(report.degraded.is_empty(), "{words}");
    }
}

#[tokio::test]
async fn a_version_whose_blob_is_dead_or_too_short_has_lost_its_bytes() {
    for statement in [
        "UPDATE blobs SET state = 'dead' WHERE len = 70000",
        "UPDATE blobs SET len = 69999 WHERE len = 70000",
    ] {
        let world = furnished().await;
        damage(&world, &[statement]).await;
        let report = verify(&world, Depth::Quick, false).await;
        let told = &report.broken.first;
        let finding = told
            .iter()
            .find(|finding| finding.invariant == Invariant::I6)
            .unwrap_or_else(|| panic!("{statement}: {told:#?}"));
        assert!(
            finding.what.contains("not live or too short"),
            "{finding:?}"
        );
        assert_eq!(finding.objects[0].bucket, "kept");
        assert_eq!(finding.objects[0].key, "again");
        assert!(finding.objects[0].version.is_some());
    }
}

/// A fragment of the object `one`, and its drive.
async fn fragment_of_one(world: &World, index: u8) -> (holdfast_types::DriveId, FragmentId) {
    let version = world.version("one").await;
    let slices = world.metadata.slices(version.uid, 0..1).await.unwrap();
    let blob = &slices[0].blob;
    let id = FragmentId {
        blob: blob.blob,
        region: world.region.clone(),
        generation: blob.placement.generation,
        index: FragmentIndex(index),
    };
    (blob.placement.drives[usize::from(index)].unwrap(), id)
}

#[tokio::test]
async fn lost_fragments_are_thin_and_then_broken_with_the_names_of_their_objects() {
    let world = furnished().await;
    for index in 0..3 {
        let (drive, id) = fragment_of_one(&world, index).await;
        assert!(world.store.lose(drive, &id));
        for is_live in [false, true] {
            let report = verify(&world, Depth::Quick, is_live).await;
            let (some, none) = if index < 2 {
                (&report.degraded, &report.broken)
            } else {
                (&report.broken, &report.degraded)
            };
            assert!(none.is_empty(), "{index}: {none:#?}");
            assert_eq!(some.total(), 1, "{index}");
            let finding = &some.first[0];
            assert_eq!(finding.invariant, Invariant::I1);
            let mut keys: Vec<_> = finding.objects.iter().map(|o| o.key.as_str()).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["copy", "one"], "both that share the blob");
            assert_eq!(report.is_clean(), index < 2);
        }
    }
}

#[tokio::test]
async fn rot_is_seen_by_a_deep_look_only() {
    let world = furnished().await;
    let (drive, id) = fragment_of_one(&world, 5).await;
    assert!(world.store.corrupt_block(drive, &id, 0));
    assert!(verify(&world, Depth::Headers, false).await.is_whole());
    let report = verify(&world, Depth::Deep, false).await;
    assert!(report.is_clean(), "parity is rotten, the bytes are right");
    assert_eq!(report.degraded.total(), 1);
    assert!(report.degraded.first[0].what.contains("block 0 is rotten"));
}

#[tokio::test]
async fn bytes_that_hash_to_something_else_are_told() {
    let world = furnished().await;
    damage(
        &world,
        &[
            "UPDATE versions SET etag = '00000000000000000000000000000000' \
             WHERE key = CAST('one' AS BLOB)",
            "UPDATE object_parts SET checksum = REPLACE(checksum, 'value\":\"', 'value\":\"x') \
             WHERE part_number = 7",
        ],
    )
    .await;
    assert!(verify(&world, Depth::Headers, false).await.is_whole());
    let report = verify(&world, Depth::Deep, false).await;
    let told = &report.broken.first;
    assert_eq!(report.broken.total(), 2, "{told:#?}");
    assert!(
        told.iter()
            .all(|finding| finding.invariant == Invariant::I2)
    );
    assert!(told[0].what.contains("MD5"), "{told:#?}");
    assert_eq!(told[0].objects[0].key, "one");
    assert!(told[1].what.starts_with("part 7 have SHA256"), "{told:#?}");
    assert_eq!(report.looked.hashed, 4);
}

/// An empty object has no blob whose seal could say that its ETag is no MD5.
#[tokio::test]
async fn an_empty_object_of_a_customers_key_is_whole() {
    let world = furnished().await;
    let put = PutObject {
        op: OpId::generate(),
        bucket: "films".to_owned(),
        key: b"empty".to_vec(),
        blob: None,
        taken_len: None,
        etag: "0123456789abcdef0123456789abcdef".to_owned(),
        attributes: Attributes {
            checksum: Some(sha256(b"")),
            encryption: Some(Encryption::CustomerKey {
                salt: String::new(),
                code: String::new(),
            }),
            ..Attributes::default()
        },
        condition: WriteCondition::default(),
        origin: Origin::default(),
        lock: Default::default(),
    };
    world.metadata.put_object(put).await.unwrap();
    let report = verify(&world, Depth::Deep, false).await;
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!(report.looked.hashed, 7, "its checksum is compared");
    damage(
        &world,
        &[
            "UPDATE versions SET attributes = REPLACE(attributes, 'value\":\"', 'value\":\"x') \
          WHERE key = CAST('empty' AS BLOB)",
        ],
    )
    .await;
    let report = verify(&world, Depth::Deep, false).await;
    assert_eq!(report.broken.total(), 1, "{report:#?}");
}

#[tokio::test]
async fn a_drive_that_is_away_makes_thin_and_three_make_broken() {
    let world = furnished().await;
    for number in 0..3 {
        let drive = world.drive(number);
        world
            .store
            .set_state(drive, DriveState::Missing, "pulled out");
        let report = verify(&world, Depth::Headers, number == 0).await;
        assert_eq!(report.is_clean(), number < 2, "{number}");
        assert!(!report.is_whole());
        let away = report.drives.iter().filter(|drive| !drive.readable).count();
        assert_eq!(away, number + 1);
    }
}

#[tokio::test]
async fn fragments_that_no_row_explains_are_told_once_they_are_old() {
    let world = furnished().await;
    // As if a write had died before its commit.
    let left = world.write(BlobId::generate()).await;
    let report = verify(&world, Depth::Quick, true).await;
    assert!(report.is_whole());
    assert_eq!(report.looked.young_unplaced, 6);
    // Ids are made by the clock of the machine; the world's goes its own way.
    let made_ms = left.blob.made_ms().unwrap();
    world
        .clock
        .set_ms(world.clock.now_ms().max(made_ms) + 2 * DAY_MS);
    for is_live in [false, true] {
        let report = verify(&world, Depth::Quick, is_live).await;
        assert_eq!(report.broken.total(), 6, "{:#?}", report.broken);
        let finding = &report.broken.first[0];
        assert_eq!(finding.invariant, Invariant::I6);
        assert!(
            finding.what.contains("does not know its blob"),
            "{finding:?}"
        );
    }
    // Noted as strays they are explained.
    for (drive, fragment) in left
        .placement
        .drives
        .iter()
        .flatten()
        .zip(0..)
        .map(|(drive, index)| (*drive, id_of(&world, left.blob, index)))
    {
        let note = holdfast_metadata::inventory::NoteFound {
            found: holdfast_metadata::inventory::FoundFragment { drive, fragment },
            seen_on: None,
            quarantine_ms: DAY_MS,
        };
        world.metadata.note_found(note).await.unwrap();
    }
    let report = verify(&world, Depth::Quick, false).await;
    assert!(report.is_whole(), "{:#?}", report.broken);
    assert_eq!(report.looked.known_unplaced, 6);
}

fn id_of(world: &World, blob: BlobId, index: u8) -> FragmentId {
    FragmentId {
        blob,
        region: world.region.clone(),
        generation: Generation(0),
        index: FragmentIndex(index),
    }
}

#[tokio::test]
async fn a_live_store_under_writes_and_sweeps_is_never_called_broken() {
    let world = furnished().await;
    let ended = CancellationToken::new();
    let churn = async {
        for round in 0..12 {
            put(&world, "films", "busy", &body(30_000 + round, 1)).await;
            put(&world, "kept", "busy", &body(20_000 + round, 2)).await;
            delete(&world, "films", "busy").await;
            world.copy("one", "copied").await;
            delete(&world, "films", "copied").await;
            world.clock.advance_ms(HOUR_MS);
            let mut sweeper = crate::Sweeper::new(
                world.metadata.clone(),
                world.blobs.clone(),
                world.region.clone(),
            );
            crate::Worker::work(&mut sweeper).await.unwrap();
            tokio::task::yield_now().await;
        }
        ended.cancel();
    };
    let look = async {
        let mut looks = 0;
        while !ended.is_cancelled() || looks < 3 {
            let depth = [Depth::Quick, Depth::Headers, Depth::Deep][looks % 3];
            let report = verify(&world, depth, true).await;
            assert!(report.is_whole(), "{depth:?}: {report:#?}");
            looks += 1;
        }
    };
    tokio::join!(churn, look);
}

#[tokio::test]
async fn it_stops_when_it_is_told_to() {
    let world = furnished().await;
    let verifier = Verifier {
        metadata: world.metadata.clone(),
        blobs: world.blobs.clone(),
        store: Arc::new(world.store.clone()),
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
        region: world.region.clone(),
        grace_ms: DAY_MS,
        is_live: false,
        patience: Duration::ZERO,
    };
    let stop = CancellationToken::new();
    stop.cancel();
    let stopped = verifier.run(Depth::Quick, &Watch::new(), &stop).await;
    assert!(matches!(stopped, Err(VerifyError::Stopped)));
}
