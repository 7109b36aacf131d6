//! What an audit reads: of sound metadata that nothing is wrong, in pages of any size; and of
//! metadata that was damaged behind its back what is wrong with it, and nothing else.
//!
//! Damage is done over PostgreSQL. Over SQLite the suite restores each story from its journal, which
//! knows nothing of damage; there `verify`'s own tests do it.

use std::collections::BTreeSet;

use holdfast_metadata::Metadata;
use holdfast_metadata::audit::NamedDrive;
use holdfast_metadata::command::{DeleteObject, PutLegalHold, PutRetention};
use holdfast_metadata::model::{
    BucketId, Bypass, Origin, Retention, RetentionMode, VersionSelector,
};
use holdfast_metadata::notification::LogBounds;
use holdfast_types::{FragmentId, FragmentIndex, Generation};
use sqlx::{AssertSqlSafe, Connection as _};

use super::postgres_server;
use super::world::{HOUR_MS, Place, START_MS, World, complete_of, delete_of, region};

super::on_both! {
    sound_metadata_is_sound_in_pages_of_any_size,
    each_damage_is_found_and_nothing_else,
}

const BOUNDS: LogBounds = LogBounds {
    age_ms: HOUR_MS,
    rows: 1000,
};

/// Objects and a copy, a removed one, versions and a marker, an upload that is completed and one
/// that is open, and a bucket with locks of which one was bypassed.
async fn furnish(world: &World) {
    let plain = world.bucket("plain").await;
    world.put("plain", "one", 100, "e").await;
    let one = world.current(&plain, "one").await.unwrap();
    world.copy(&one, "plain", "copy").await.unwrap();
    world.put("plain", "gone", 10, "e").await;
    world.delete("plain", "gone").await;
    world.versioned_bucket("kept").await;
    world.put("kept", "again", 20, "e").await;
    world.put("kept", "again", 30, "e").await;
    world.put("kept", "marked", 5, "e").await;
    world.delete("kept", "marked").await;
    let upload = world.upload("kept", "parts").await;
    let mut parts = Vec::new();
    for number in [1, 2, 5] {
        parts.push(world.part("kept", &upload, number, 50).await);
    }
    let parts: Vec<_> = parts.iter().collect();
    let complete = complete_of("kept", &upload, &parts);
    world.metadata.complete_upload(complete).await.unwrap();
    let open = world.upload("kept", "open").await;
    world.part("kept", &open, 1, 40).await;

    let vault = world.versioned_bucket("vault").await;
    let metadata = &world.metadata;
    metadata.set_object_lock("vault", None).await.unwrap();
    world.put("vault", "held", 61, "e").await;
    world.put("vault", "bypassed", 62, "e").await;
    let hold = PutLegalHold {
        bucket: "vault".to_owned(),
        key: b"held".to_vec(),
        version: VersionSelector::Current,
        on: true,
        origin: Origin::default(),
    };
    metadata.put_legal_hold(hold).await.unwrap();
    let retain = PutRetention {
        bucket: "vault".to_owned(),
        key: b"bypassed".to_vec(),
        version: VersionSelector::Current,
        retention: Some(Retention {
            mode: RetentionMode::Governance,
            until_ms: START_MS + 1000 * HOUR_MS,
        }),
        bypass: Bypass::No,
        origin: Origin::default(),
    };
    metadata.put_retention(retain).await.unwrap();
    let bypassed = world.current(&vault, "bypassed").await.unwrap();
    let delete = DeleteObject {
        bypass: Bypass::Governance,
        ..delete_of("vault", "bypassed", Some(&bypassed.version_id))
    };
    metadata.delete_object(delete).await.unwrap();
}

/// All that an audit finds, in a few words each.
async fn found(metadata: &Metadata, page: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut tell = |what: &str, whom: &[u8]| {
        found.insert(format!("{what} {}", String::from_utf8_lossy(whom)));
    };
    let mut after = None;
    loop {
        let versions = metadata.audit_versions(after.as_ref(), page).await.unwrap();
        let Some(last) = versions.last() else { break };
        after = Some(last.at.clone());
        for version in &versions {
            let key = &version.at.key;
            if !version.is_logged {
                tell("unlogged", key);
            }
            if !version.slices.fills(version.size) {
                tell("gaps", key);
            }
            if version.bad_slices > 0 {
                tell("bad slices", key);
            }
            if version.parts.unwrap_or(0) != version.object_parts.count {
                tell("parts", key);
            }
            if version.head.is_none() {
                tell("no head", key);
            }
            if version.is_current == version.has_newer {
                tell("not current", key);
            }
            if version.bucket.is_none() {
                tell("no bucket", key);
            }
        }
    }
    let mut after = None;
    loop {
        let blobs = metadata.audit_blobs(after, page).await.unwrap();
        for blob in &blobs.blobs {
            let len = blob.len.to_string();
            if blob.is_denied {
                tell("denied", len.as_bytes());
            }
            let is_live = blob.state.as_deref() == Some("live");
            if is_live != (blob.is_referenced || blob.is_garbage) {
                tell("unowned", len.as_bytes());
            }
            let mut drives = blob.placements.iter().flat_map(|placed| &placed.drives);
            if drives.any(|drive| drive.drive().is_none()) {
                tell("unknown drive", len.as_bytes());
            }
            if !blob.debts.is_empty() {
                tell("debts", len.as_bytes());
            }
        }
        match blobs.end {
            Some(end) => after = Some(end),
            None => break,
        }
    }
    let mut after = None;
    loop {
        let (owners, next) = metadata.audit_ownerless_slices(after, page).await.unwrap();
        owners.iter().for_each(|_| tell("slice", b"without owner"));
        after = next;
        if next.is_none() {
            break;
        }
    }
    loop {
        let (owners, next) = metadata.audit_ownerless_parts(after, page).await.unwrap();
        owners.iter().for_each(|_| tell("part", b"without owner"));
        after = next;
        if next.is_none() {
            break;
        }
    }
    loop {
        let (parts, next) = metadata.audit_bad_parts(after, page).await.unwrap();
        for part in parts {
            tell("bad part", part.part_number.to_string().as_bytes());
        }
        after = next;
        if next.is_none() {
            break;
        }
    }
    let mut after = BucketId(i64::MIN);
    loop {
        let usage = metadata.audit_usage(after, page).await.unwrap();
        let Some(last) = usage.last() else { break };
        after = last.bucket;
        for bucket in usage.iter().filter(|bucket| bucket.told != bucket.counted) {
            tell("totals", bucket.name.as_bytes());
        }
    }
    let (mut after, mut rows) = (0, 0);
    loop {
        let changes = metadata.audit_changes(after, page).await.unwrap();
        rows += changes.rows;
        for change in changes.bad {
            if change.is_contradicted() {
                tell("contradicted", &change.key);
            }
            if change.is_vanished {
                let what = match change.in_locked_bucket {
                    true => "vanished under lock",
                    false => "vanished",
                };
                tell(what, &change.key);
            }
            if let Some(lock) = change.forbidden {
                tell(lock, &change.key);
            }
        }
        match changes.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(rows >= 12, "{rows}");
    for queue in metadata.audit_limits(BOUNDS, page).await.unwrap() {
        tell("too long", queue.what.as_bytes());
    }
    assert!(metadata.audit_database(10).await.unwrap().is_empty());
    found
}

async fn sound_metadata_is_sound_in_pages_of_any_size(world: World) {
    furnish(&world).await;
    let metadata = &world.metadata;
    for page in [1, 2, 3, 7, 1000] {
        assert_eq!(found(metadata, page).await, BTreeSet::new(), "{page}");
    }
    let size = metadata.audit_size().await.unwrap();
    assert_eq!((size.versions, size.blobs), (8, 11));
    assert_eq!(size.bytes, 100 + 10 + 20 + 30 + 5 + 150 + 40 + 61 + 62);

    // One blob, by its own name, and whose it is.
    let plain = metadata.bucket("plain").await.unwrap();
    let one = world.current(&plain, "one").await.unwrap();
    let blob = world.slices(&one).await[0].blob.blob;
    let audited = metadata.audit_blob(blob).await.unwrap().unwrap();
    assert_eq!((audited.len, audited.is_referenced), (100, true));
    let owners = metadata.audit_owners(blob, 10).await.unwrap();
    let keys: Vec<_> = owners.iter().map(|owner| owner.key.as_slice()).collect();
    assert_eq!(keys, [b"copy".as_slice(), b"one"]);
    let locked = metadata.audit_locked_owners(blob, START_MS, 10).await;
    assert!(locked.unwrap().is_empty());
    let fragment = FragmentId {
        blob,
        region: region(),
        generation: Generation(0),
        index: FragmentIndex(2),
    };
    let placed = metadata.audit_found(world.drives[2], &fragment).await;
    assert_eq!(
        placed.unwrap().placed,
        Some(NamedDrive::Drive(world.drives[2]))
    );
    let vault = metadata.bucket("vault").await.unwrap();
    let held = world.current(&vault, "held").await.unwrap();
    let blob = world.slices(&held).await[0].blob.blob;
    let locked = metadata.audit_locked_owners(blob, START_MS, 10).await;
    assert_eq!(locked.unwrap()[0].key, b"held");

    // What a quota goes by is what was counted.
    let usage = metadata.audit_usage(BucketId(i64::MIN), 10).await.unwrap();
    for bucket in usage {
        let stored = metadata.bucket_stored(bucket.bucket).await.unwrap();
        let counted = bucket.counted;
        assert_eq!(stored.versions.cast_signed(), counted.versions);
        assert_eq!(
            stored.bytes.cast_signed(),
            counted.bytes + counted.part_bytes
        );
    }

    // A log that was trimmed says nothing of what was before, and accuses nobody.
    while metadata.trim_changes(BOUNDS, 5).await.unwrap().passed > 0 {}
    world.clock.advance_ms(1);
    world.put("plain", "later", 1, "e").await;
    let versions = metadata.audit_versions(None, 1000).await.unwrap();
    assert!(versions.iter().all(|version| version.is_logged));
}

/// Statements, and all that is then found.
const DAMAGE: &[(&str, &[&str])] = &[
    (
        "DELETE FROM changes WHERE key = 'copy'::bytea",
        &["unlogged copy"],
    ),
    (
        "DELETE FROM changes WHERE key = 'gone'::bytea AND kind = 'delete'",
        &["vanished gone"],
    ),
    (
        "UPDATE changes SET sequence = 77 WHERE key = 'gone'::bytea AND kind = 'delete'",
        &["contradicted gone"],
    ),
    (
        "DELETE FROM versions WHERE key = 'held'::bytea",
        &[
            "slice without owner",
            "totals vault",
            "vanished under lock held",
        ],
    ),
    (
        "UPDATE changes SET removed_lock = REPLACE(removed_lock, 'governance', 'compliance') \
         WHERE removed_lock IS NOT NULL",
        &["a retention in compliance mode bypassed"],
    ),
    (
        "UPDATE changes SET removed_lock = '?' WHERE removed_lock IS NOT NULL",
        &["a lock that could not be read bypassed"],
    ),
    (
        "UPDATE usage_deltas SET part_bytes = part_bytes + 1 WHERE part_bytes = 40",
        &["totals kept"],
    ),
    (
        "UPDATE usage_deltas SET versions = 2 WHERE bytes = 100 AND delta_number = 1",
        &["totals plain"],
    ),
    (
        "DELETE FROM heads WHERE key = 'again'::bytea",
        &["no head again"],
    ),
    (
        "UPDATE versions SET is_current = 0, noncurrent_since_ms = 1 WHERE key = 'one'::bytea",
        &["not current one"],
    ),
    (
        "UPDATE blobs SET state = 'dead' WHERE len = 61",
        &["bad slices held", "unowned 61"],
    ),
    (
        "UPDATE blobs SET len = 60 WHERE len = 61",
        &["bad slices held"],
    ),
    (
        "UPDATE slices SET start = start + 1, len = len - 1 WHERE start = 50",
        &["gaps parts"],
    ),
    (
        "DELETE FROM object_parts WHERE part_number = 5",
        &["parts parts"],
    ),
    (
        "INSERT INTO object_parts (owner, part_number, start, size) VALUES \
         (decode('00000000000000000000000000000001', 'hex'), 1, 0, 1)",
        &["part without owner"],
    ),
    (
        "UPDATE parts SET size = size + 1",
        &["bad part 1", "totals kept"],
    ),
    (
        "UPDATE uploads SET state = 'aborted' WHERE state = 'open'",
        &["bad part 1", "totals kept"],
    ),
    ("DELETE FROM garbage", &["unowned 10", "unowned 62"]),
    (
        "INSERT INTO outcomes (op_id, state, created_ms) \
         SELECT blob_id, 'aborted', 0 FROM blobs WHERE len = 100",
        &["denied 100"],
    ),
    (
        "UPDATE placements SET drives = '\\x00000000' || substr(drives, 5) \
         WHERE blob_id = (SELECT blob_id FROM blobs WHERE len = 100)",
        &["unknown drive 100"],
    ),
    (
        "INSERT INTO dead_letters (webhook, transaction_id, change_number, bucket_id, \
         bucket_name, key, event, body, reason, at_ms) \
         SELECT 'hook', 0, i, 1, 'b', 'k', 'e', '{}', 'no', 0 \
         FROM generate_series(1, 10001) AS i",
        &["too long the dead letters of webhook hook"],
    ),
    (
        // The newest row, far behind the others.
        "INSERT INTO changes (change_number, transaction_id, bucket_id, key, sequence, kind, \
         event, version_id, size, etag, at_ms) OVERRIDING SYSTEM VALUE \
         VALUES (5000, 0, -1, 'k', 1, 'put', 'put', 'null', 0, '', 0)",
        &["too long the change log"],
    ),
];

async fn each_damage_is_found_and_nothing_else(mut world: World) {
    let Place::Postgres(sound) = &world.place else {
        return;
    };
    let sound = sound.clone();
    furnish(&world).await;
    world.metadata.clone().close().await;
    let server = postgres_server::server().unwrap();
    let mut maker = sqlx::PgConnection::connect(&server.url("postgres", "maker"))
        .await
        .unwrap();
    for (number, (damage, expected)) in DAMAGE.iter().enumerate() {
        let name = format!("{sound}_{number}");
        let copy = format!("CREATE DATABASE {name} TEMPLATE {sound}");
        let copied = sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut maker).await;
        copied.unwrap();
        let url = server.url(&name, "damage");
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        let damaged = sqlx::raw_sql(*damage).execute(&mut connection).await;
        let damaged = damaged.unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert!(damaged.rows_affected() > 0, "{damage} changes nothing");
        connection.close().await.unwrap();
        world.place = Place::Postgres(name);
        let metadata = world.handle("audit", None).await;
        let found = found(&metadata, 3).await;
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, *expected, "{damage}");
        metadata.close().await;
    }
}
