//! `holdfast verify` over real drives: clean where all is well, stopped and live, beside writers
//! too; and each damage on the drives told as what it breaks, with the name of the object.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::model::faults::{data_files, write_in_place};
use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::{Server, binary};

const BUCKET: &str = "verified";

fn put_objects(client: &Client) -> Vec<(String, Vec<u8>)> {
    client.create_bucket(BUCKET);
    let mut random = Random::new(11);
    let mut objects = Vec::new();
    for len in [0, 1, 5000, 65_536, 1_200_000, 3_000_000] {
        let key = format!("object/{len}");
        let body = random.bytes(len);
        client.put(BUCKET, &key, &body);
        objects.push((key, body));
    }
    let source = format!("/{BUCKET}/object/1200000");
    let copy = Call::object("PUT", BUCKET, "copy").header("x-amz-copy-source", &source);
    client.expect(200, &copy);
    client.put(BUCKET, "gone", &random.bytes(400_000));
    client.expect(204, &Call::object("DELETE", BUCKET, "gone"));
    objects
}

fn fragment_files(server: &Server, drive: usize) -> Vec<PathBuf> {
    let mut files = data_files(&server.drive(drive));
    files.retain(|path| path.to_string_lossy().contains("/fragments/"));
    files
}

#[test]
fn a_sound_store_is_clean_stopped_and_live_and_is_not_changed() {
    let mut server = Server::start("verify-clean");
    put_objects(&server.client());
    for flags in [&["--quick"][..], &[], &["--deep"]] {
        server.verify_live(flags).assert_whole("live");
    }
    // What a crash leaves must be left as it is.
    server.kill();
    fs::write(server.drive(2).join("staging").join("left"), b"half").unwrap();
    let before = tree(&server);
    for flags in [&["--quick"][..], &[], &["--deep"]] {
        let verified = server.verify(flags);
        verified.assert_whole("stopped");
        assert_eq!(verified.report["looked"]["versions"], 7);
        let hashed = if flags == ["--deep"] { 7 } else { 0 };
        assert_eq!(verified.report["looked"]["hashed"], hashed);
    }
    assert_eq!(
        tree(&server),
        before,
        "a look changes nothing on the drives"
    );
}

/// Every file of the drives with its bytes.
fn tree(server: &Server) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = (1..=6)
        .flat_map(|drive| data_files(&server.drive(drive)))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_served_store_is_not_opened_twice_and_an_empty_folder_is_no_store() {
    let server = Server::start("verify-busy");
    let run = |data: &std::path::Path| {
        let output = Command::new(binary())
            .arg("verify")
            .arg("--data")
            .arg(data)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = run(&server.data());
    assert!(said.contains("holdfast admin verify"), "{said}");
    let empty = server.data().with_file_name("empty");
    let said = run(&empty);
    assert!(said.contains("there is no store in"), "{said}");
    assert!(!empty.exists(), "and none is made");
}

/// Where nobody looks for drives: beside the others it would be found by its identity.
fn away(server: &Server, drive: usize) -> PathBuf {
    server.data().with_file_name(format!("away-{drive}"))
}

#[test]
fn damage_on_the_drives_is_told_with_the_object_it_concerns() {
    let mut server = Server::start("verify-damage");
    let objects = put_objects(&server.client());
    assert!(server.stop(), "it stops well");

    // One fragment less: thin, and still clean.
    let gone = fragment_files(&server, 1).remove(0);
    fs::remove_file(&gone).unwrap();
    let verified = server.verify(&[]);
    assert!(verified.clean, "{:#}", verified.report);
    assert_eq!(verified.degraded(), 1);

    // Two fragments that changed places: each says that it is the other.
    let files = fragment_files(&server, 2);
    let swap = files[0].with_extension("swap");
    fs::rename(&files[0], &swap).unwrap();
    fs::rename(&files[1], &files[0]).unwrap();
    fs::rename(&swap, &files[1]).unwrap();
    let verified = server.verify(&[]);
    assert!(!verified.clean);
    assert_eq!(verified.broken("I8"), 2, "{:#}", verified.report);
    let first = &verified.report["broken"]["first"][0];
    assert!(!first["objects"][0]["key"].is_null(), "{first:#}");

    // Rot shows when the bytes are read, and not before.
    let rotten = fragment_files(&server, 5).pop().unwrap();
    let at = fs::metadata(&rotten).unwrap().len() - 1;
    let byte = fs::read(&rotten).unwrap()[at as usize];
    write_in_place(&rotten, &[byte ^ 1], at);
    let before = server.verify(&[]).degraded();
    assert!(server.verify(&["--deep"]).degraded() >= before);

    // Three drives less: not readable any more.
    for drive in [3, 4, 6] {
        let folder = server.drive(drive);
        fs::rename(&folder, away(&server, drive)).unwrap();
    }
    let verified = server.verify(&["--quick"]);
    assert!(!verified.clean);
    assert!(verified.broken("I1") >= 3, "{:#}", verified.report);
    for drive in [3, 4, 6] {
        let folder = server.drive(drive);
        fs::rename(away(&server, drive), &folder).unwrap();
    }
    // And what is thin is still served.
    server.restart();
    for (key, body) in &objects {
        assert!(server.client().get(BUCKET, key).body == *body, "{key}");
    }
    server.kill();
}

#[test]
fn rows_that_were_tampered_with_are_told() {
    let mut server = Server::start("verify-rows");
    // Nobody reads the change log, so its rows would go in seconds.
    server.admin_does(&["worker", "pause", "change-log"]);
    put_objects(&server.client());
    assert!(server.stop(), "it stops well");
    let database = server.data().join("metadata").join("holdfast.db");
    let statement = "UPDATE versions SET etag = '00000000000000000000000000000000' \
                     WHERE key = CAST('object/5000' AS BLOB); \
                     DELETE FROM changes WHERE key = CAST('copy' AS BLOB);";
    let python = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); \
                  d.executescript(sys.argv[2]); d.commit(); d.close()";
    let changed = Command::new("python3")
        .args(["-c", python])
        .arg(&database)
        .arg(statement)
        .status()
        .unwrap();
    assert!(changed.success());
    let verified = server.verify(&["--deep"]);
    assert!(!verified.clean);
    assert_eq!(verified.broken("I2"), 1, "{:#}", verified.report);
    assert_eq!(verified.broken("I12"), 1, "{:#}", verified.report);
}

#[test]
fn a_live_store_under_load_is_never_called_broken() {
    let mut server = Server::prepare("verify-load").with_config(
        "[worker]\ngarbage_grace_seconds = 0\ninventory_period_seconds = 1\n\
         unknown_age_seconds = 5\nquarantine_seconds = 1\n",
    );
    server.restart();
    let client = server.client();
    client.create_bucket(BUCKET);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (client, stop) = (&client, &stop);
            scope.spawn(move || {
                let mut random = Random::new(writer);
                while !stop.load(Ordering::SeqCst) {
                    let key = format!("key/{}", random.below(8));
                    if random.percent(25) {
                        client.send(&Call::object("DELETE", BUCKET, &key));
                    } else {
                        let len = random.between(0, 400_000) as usize;
                        client.put(BUCKET, &key, &random.bytes(len));
                    }
                }
            });
        }
        let looks = scope.spawn(|| {
            for flags in [&["--quick"][..], &[], &["--deep"], &[]] {
                let verified = server.verify_live(flags);
                assert!(verified.clean, "{flags:?}: {:#}", verified.report);
            }
        });
        let looked = looks.join();
        stop.store(true, Ordering::SeqCst);
        looked.unwrap();
    });
    server.end_whole(Duration::from_secs(60));
}
