//! Yesterday's backup, restored under load: whatever it knew is there again, byte for byte, and
//! nothing of what it did not know is destroyed before an operator has said so.
//!
//! Between the backup and its restore everything goes on: overwrites, deletes, uploads that are
//! completed, copies, a re-encode, a drive that is emptied, and a sweep that would take a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::{Server, binary};
use crate::support::xml::Element;

const KNOWN: &str = "known";
const BUSY: &str = "busy";
const BACKUPS: &str = "backups";
const DEADLINE: Duration = Duration::from_secs(120);
const WRITERS: u64 = 3;

/// All that destroys does so after a second: only pins and rules hold it back.
const SHORT_PERIODS: &str = "[worker]\ngarbage_grace_seconds = 1\ninventory_period_seconds = 1\n\
    unknown_age_seconds = 1\nquarantine_seconds = 1\n";

/// Where a round's backup is restored from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// A file.
    File,
    /// A bucket of the store itself, whose database and journal are lost.
    Bucket,
}

#[test]
fn f57_an_older_backup_restored_under_load_loses_nothing_that_it_knew() {
    let mut server = Server::prepare("restore")
        .with_config(SHORT_PERIODS)
        .with_arguments(&["--drives", "8"]);
    server.restart();
    let client = server.client();
    for bucket in [KNOWN, BUSY, BACKUPS] {
        client.create_bucket(bucket);
    }
    encrypt_by_default(&client, BACKUPS);
    for (round, from, writes) in [
        (0, From::File, 20),
        (1, From::Bucket, 60),
        (2, From::File, 5),
    ] {
        tell(&mut server, round, from, writes);
    }
    server.wait_until("the journal is whole", DEADLINE, |server| {
        let journal = &server.admin_json(&["status"])["journal"];
        journal["state"] == "whole" && journal["holders"].as_array().map(Vec::len) == Some(3)
    });
    assert_eq!(server.metric("holdfast_journal_holders"), 3);
    assert_eq!(server.metric("holdfast_journal_holders_wanted"), 3);
    assert_eq!(server.metric("holdfast_journal_stopped"), 0);
    assert!(server.metric("holdfast_journal_term") > 0);
    server.end_whole(DEADLINE);
}

/// One round: a backup, `writes` writes of other things after it, the kill, the restore.
fn tell(server: &mut Server, round: u64, from: From, writes: u64) {
    let client = server.client();
    let when = format!("round {round}, from {from:?}");
    let mut random = Random::new(100 + round);
    let known = fill(&client, &mut random, round);
    let upload = begin_upload(&client, round, &random.bytes(5 << 20));
    let file = server.data().with_file_name(format!("{round}.image"));

    let written = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (backup, before) = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, written, stop) = (&client, &written, &stop);
            scope.spawn(move || write_until(client, round * 10 + writer, written, stop));
        }
        let _ends_them = Raised(&stop);
        let backup = take(server, from, &file);
        change_all(server, &client, &known, &upload, &mut random);
        let enough = written.load(Ordering::SeqCst) + writes;
        server.wait_until("writers have gone on", DEADLINE, |_| {
            written.load(Ordering::SeqCst) >= enough
        });
        server.kill();
        (backup, fragments(server))
    });
    if from == From::Bucket {
        lose_metadata(server);
        recover(server, &backup, &file);
    }
    restore(server, &file, round);
    server.restart();
    // Load begins at once, and so does all that might destroy.
    let written = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, written, stop) = (&client, &written, &stop);
            scope.spawn(move || write_until(client, round * 10 + 5 + writer, written, stop));
        }
        let _ends_them = Raised(&stop);
        assert_all_read(&client, &known, &when);
        server.wait_until(
            "the inventory has compared everything",
            DEADLINE,
            |server| written.load(Ordering::SeqCst) >= 20 && has_compared(server),
        );
        let status = server.admin_json(&["status"]);
        assert!(status["reconcile_pending_since_ms"].is_u64(), "{status:#}");
        let lost: Vec<_> = before.difference(&fragments(server)).cloned().collect();
        assert!(
            lost.is_empty(),
            "{when}: destroyed before it was confirmed: {lost:?}"
        );
        let refused = server.admin_refuses(&["metadata", "reconcile", "--confirm"]);
        assert!(refused.contains("reconcile` first"), "{refused}");
        let compared = server.admin_json(&["metadata", "reconcile"]);
        assert!(
            compared["looked"]["unreconciled"].as_u64() > Some(0),
            "{compared:#}"
        );
        server.admin_does(&["metadata", "reconcile", "--confirm"]);
    });
    assert_all_read(&client, &known, &when);
    complete_upload(&client, &upload);

    let listed = server.admin_json(&["metadata", "backups", "list"]);
    let ours = &listed["backups"][0];
    assert_eq!(ours["id"], backup["id"], "{listed:#}");
    assert_eq!(ours["bytes"], backup["bytes"], "it knows that it is whole");
    assert!(listed["reconcile_pending_since_ms"].is_null());
    // As long as the backup pins, what came after it only lies there.
    let lost: Vec<_> = before.difference(&fragments(server)).cloned().collect();
    assert!(lost.is_empty(), "{when}: {lost:?}");
    for backup in listed["backups"].as_array().unwrap() {
        let id = backup["id"].as_str().unwrap();
        server.admin_does(&["metadata", "backups", "forget", id]);
    }
    server.wait_until("what nothing knows is gone", DEADLINE, |server| {
        before.difference(&fragments(server)).next().is_some()
    });
    // What is not well yet is looked at again for a minute before it is told.
    server.wait_until("all is well", DEADLINE, |server| {
        let verified = server.verify_live(&["--quick"]);
        verified.clean && verified.report["looked"]["known_unplaced"] == 0
    });
    assert_all_read(&client, &known, &when);
}

/// Stops the writers, also when an assertion fails beside them.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Known = BTreeMap<String, Vec<u8>>;

fn encrypt_by_default(client: &Client, bucket: &str) {
    let rule = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
        <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
        </ServerSideEncryptionConfiguration>";
    let call = Call::new("PUT", &format!("/{bucket}")).flag("encryption");
    client.expect(200, &call.body(rule.as_bytes()));
}

/// Small and large objects, one of parts, and a copy.
fn fill(client: &Client, random: &mut Random, round: u64) -> Known {
    let mut known = Known::new();
    for (number, len) in [1, 70_000, 600_000, 900_000, 1_500_000, 2_000_000]
        .into_iter()
        .cycle()
        .take(12)
        .enumerate()
    {
        let key = format!("{round}/{number}");
        let body = random.bytes(len);
        client.put(KNOWN, &key, &body);
        known.insert(key, body);
    }
    let (source, copy) = (format!("{round}/3"), format!("{round}/copy"));
    copy_object(client, &source, &copy);
    known.insert(copy, known[&source].clone());
    let parts = [random.bytes(5 << 20), random.bytes(700_000)];
    let key = format!("{round}/parts");
    put_in_parts(client, &key, &parts);
    known.insert(key, parts.concat());
    known
}

fn copy_object(client: &Client, from: &str, to: &str) {
    let call = Call::object("PUT", KNOWN, to);
    client.expect(
        200,
        &call.header("x-amz-copy-source", &format!("/{KNOWN}/{from}")),
    );
}

/// An upload that is open when the backup is taken, with one part.
struct Upload {
    key: String,
    id: String,
    etag: String,
    part: Vec<u8>,
}

fn begin(client: &Client, key: &str) -> String {
    let begun = client.expect(200, &Call::object("POST", KNOWN, key).flag("uploads"));
    Element::parse(&begun.body).text_of("UploadId").to_owned()
}

fn put_part(client: &Client, key: &str, id: &str, number: usize, part: &[u8]) -> String {
    let call = Call::object("PUT", KNOWN, key)
        .query("partNumber", &number.to_string())
        .query("uploadId", id)
        .body(part);
    client.expect(200, &call).header("etag").unwrap().to_owned()
}

fn complete(client: &Client, key: &str, id: &str, etags: &[String]) {
    let mut list = String::new();
    for (number, etag) in (1..).zip(etags) {
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let xml = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let call = Call::object("POST", KNOWN, key).query("uploadId", id);
    client.expect(200, &call.body(xml.as_bytes()));
}

fn put_in_parts(client: &Client, key: &str, parts: &[Vec<u8>]) {
    let id = begin(client, key);
    let etags: Vec<String> = (1..)
        .zip(parts)
        .map(|(number, part)| put_part(client, key, &id, number, part))
        .collect();
    complete(client, key, &id, &etags);
}

fn begin_upload(client: &Client, round: u64, part: &[u8]) -> Upload {
    let key = format!("{round}/upload");
    let id = begin(client, &key);
    let etag = put_part(client, &key, &id, 1, part);
    Upload {
        key,
        id,
        etag,
        part: part.to_vec(),
    }
}

/// An upload that was completed after the backup is open again, with its part.
fn complete_upload(client: &Client, upload: &Upload) {
    complete(
        client,
        &upload.key,
        &upload.id,
        std::slice::from_ref(&upload.etag),
    );
    let answer = client.get(KNOWN, &upload.key);
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert!(answer.body == upload.part, "the part has other bytes");
}

/// Takes the round's backup; how it is listed.
fn take(server: &Server, from: From, file: &Path) -> Value {
    let path = file.display().to_string();
    let target = match from {
        From::File => ["--to", &path],
        From::Bucket => ["--to-bucket", BACKUPS],
    };
    let taken = server.admin_json(&[&["metadata", "backup"], &target[..]].concat());
    assert!(taken["bytes"].as_u64() > Some(0), "{taken:#}");
    taken
}

/// Everything that can become of what the backup knows.
fn change_all(
    server: &Server,
    client: &Client,
    known: &Known,
    upload: &Upload,
    random: &mut Random,
) {
    for (number, key) in known.keys().enumerate() {
        match number % 4 {
            0 => {
                client.expect(204, &Call::object("DELETE", KNOWN, key));
            }
            1 => {
                client.put(KNOWN, key, &random.bytes(650_000));
            }
            2 => copy_object(client, &upload_source(known), key),
            _ => {}
        }
    }
    complete_upload(client, upload);
    client.expect(204, &Call::object("DELETE", KNOWN, &upload.key));
    // What is left gets new generations of its fragments, and moves off a drive.
    let layout = ["--erasure", "3+2", "--small-objects-below", "0", "--force"];
    server.admin_does(&[&["policy", "create", POLICY], &layout[..]].concat());
    server.admin_does(&["bucket", "set-policy", KNOWN, POLICY]);
    server.admin_does(&["bucket", "reencode", KNOWN]);
    let drives = server.admin_json(&["drive", "list"]);
    let first = drives["drives"][0]["id"].as_str().unwrap();
    server.admin_does(&["drive", "drain", first]);
}

const POLICY: &str = "narrow";

/// A key that is neither deleted nor replaced.
fn upload_source(known: &Known) -> String {
    known.keys().nth(3).unwrap().clone()
}

fn write_until(client: &Client, seed: u64, written: &AtomicU64, stop: &AtomicBool) {
    let mut random = Random::new(seed);
    while !stop.load(Ordering::SeqCst) {
        let key = format!("{}/{}", seed, random.below(6));
        let call = match random.below(10) {
            0 | 1 => Call::object("DELETE", BUSY, &key),
            _ => {
                let len = random.between(1, 900_000) as usize;
                Call::object("PUT", BUSY, &key).body(&random.bytes(len))
            }
        };
        if client
            .try_send(&call)
            .is_ok_and(|answer| matches!(answer.status, 200 | 204))
        {
            written.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The files of large fragments on all drives, with the drive of each.
fn fragments(server: &Server) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for number in 1..=8 {
        let Ok(folders) = fs::read_dir(server.drive(number).join("fragments")) else {
            continue;
        };
        for folder in folders {
            // A file may go while it is listed: then it is gone.
            let Ok(files) = fs::read_dir(folder.unwrap().path()) else {
                continue;
            };
            found.extend(files.filter_map(|file| Some(file.ok()?.path())));
        }
    }
    found
}

/// The database and every drive's journal of it.
fn lose_metadata(server: &Server) {
    fs::remove_dir_all(server.data().join("metadata")).unwrap();
    for number in 1..=8 {
        fs::remove_dir_all(server.drive(number).join("metadata")).ok();
    }
}

/// Runs a command of `holdfast admin metadata` that needs no server.
fn offline(server: &Server, words: &[&str]) -> String {
    let output = Command::new(binary())
        .args(["admin", "metadata"])
        .args(words)
        .arg("--data")
        .arg(server.data())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).expect("it says text")
}

/// Reads the backup off the drives, although a drive's slip and two of its fragments' drives are away.
fn recover(server: &Server, backup: &Value, file: &Path) {
    let away = [1, 5].map(|number| {
        let drive = server.drive(number);
        let aside = drive.with_extension("away");
        fs::rename(
            &drive,
            server.data().with_file_name(aside.file_name().unwrap()),
        )
        .unwrap();
        (
            drive,
            server.data().with_file_name(aside.file_name().unwrap()),
        )
    });
    let listed: Value = serde_json::from_str(&offline(server, &["recover-backup", "--json"]))
        .expect("it says JSON");
    assert_eq!(listed["backups"][0], *backup, "{listed:#}");
    let path = file.display().to_string();
    offline(server, &["recover-backup", "--to", &path]);
    for (drive, aside) in away {
        fs::rename(aside, drive).unwrap();
    }
    let len = fs::metadata(file).unwrap().len();
    assert_eq!(backup["bytes"].as_u64(), Some(len));
}

/// Verifies the backup, which a cut or a flipped bit spoils, and restores it.
fn restore(server: &Server, file: &Path, round: u64) {
    let path = file.display().to_string();
    let bytes = fs::read(file).unwrap();
    let spoiled = file.with_extension("spoiled");
    for at in [0, 17, bytes.len() / 3, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        for damage in [&flipped[..], &bytes[..at]] {
            fs::write(&spoiled, damage).unwrap();
            let verified = Command::new(binary())
                .args(["admin", "metadata", "verify"])
                .arg(&spoiled)
                .output()
                .expect("the binary runs");
            assert!(!verified.status.success(), "damaged at {at}");
        }
    }
    let info: Value =
        serde_json::from_str(&offline(server, &["verify", &path, "--json"])).expect("it says JSON");
    assert_eq!(info["epoch"], round + 1, "each restore raised it: {info:#}");
    offline(server, &["restore", &path]);
}

/// Whether the inventory has come to the end of a cycle in this process.
fn has_compared(server: &Server) -> bool {
    let workers = server.admin_json(&["worker", "list"]);
    let workers = workers["workers"].as_array().unwrap();
    let inventory = workers.iter().find(|worker| worker["name"] == "inventory");
    let doing = inventory.unwrap()["doing"].as_str().unwrap();
    doing.contains("fragments compared:") && !doing.starts_with("0 ")
}

fn assert_all_read(client: &Client, known: &Known, when: &str) {
    for (key, body) in known {
        let answer = client.get(KNOWN, key);
        assert_eq!(answer.status, 200, "{when}: {key}: {}", answer.shown());
        assert!(answer.body == *body, "{when}: {key} has other bytes");
    }
}
