//! What nobody reads is found all the same: rot, fragments that vanished, fragments that no object
//! needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::model::faults::{data_files, write_in_place};
use crate::support::client::Client;
use crate::support::random::Random;
use crate::support::server::Server;

const BUCKET: &str = "upkeep";

/// Everything is compared and verified every other second here.
const SHORT_PERIODS: &str = "[storage_node]\nscrub_period_seconds = 2\n\
    [worker]\ninventory_period_seconds = 1\nunknown_age_seconds = 1\nquarantine_seconds = 1\n";
const DEADLINE: Duration = Duration::from_secs(60);

fn start(name: &str) -> Server {
    let server = Server::prepare(name);
    let config = server.data().with_file_name("holdfast.toml");
    fs::write(&config, SHORT_PERIODS).unwrap();
    let mut server = server.with_arguments(&["--config", config.to_str().unwrap()]);
    server.restart();
    server
}

/// Objects whose fragments are packed, and such whose fragments are files.
fn put_objects(client: &Client, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(name.len() as u64);
    let lens = [1, 5000, 65_536, 300_000, 900_000, 3_000_000];
    let bodies = lens.map(|len| (format!("{name}/{len}"), random.bytes(len)));
    for (key, body) in &bodies {
        client.put(BUCKET, key, body);
    }
    bodies.into()
}

fn assert_all_read(client: &Client, objects: &[(String, Vec<u8>)]) {
    for (key, body) in objects {
        let answer = client.get(BUCKET, key);
        assert_eq!(answer.status, 200, "{key}: {}", answer.shown());
        assert!(answer.body == *body, "{key} has other bytes");
    }
}

/// The sum of a metric over all its labels.
fn metric(server: &Server, name: &str) -> u64 {
    let page = server.admin_get("/metrics").expect("metrics are served");
    let text = String::from_utf8(page.body).expect("metrics are text");
    let lines = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let bare = series.split('{').next()?;
        (bare == name).then(|| value.parse::<f64>().expect("a value is a number") as u64)
    });
    lines.sum()
}

/// The files of large fragments on a drive.
fn fragment_files(server: &Server, drive: usize) -> Vec<PathBuf> {
    let mut files = data_files(&server.drive(drive));
    files.retain(|path| path.to_string_lossy().contains("/fragments/"));
    files
}

#[test]
fn a_flipped_bit_and_a_deleted_file_are_found_without_a_reader() {
    let mut server = start("upkeep-scrub");
    let client = server.client();
    client.create_bucket(BUCKET);
    let objects = put_objects(&client, "scrubbed");
    let findings = "holdfast_drive_scrub_findings_total";
    server.wait_until("all was verified once", DEADLINE, |server| {
        metric(server, "holdfast_drive_scrub_cycles_total") >= 6
    });
    assert_eq!(metric(&server, findings), 0);
    let rotten = fragment_files(&server, 3).remove(0);
    let mut bytes = fs::read(&rotten).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x40;
    write_in_place(&rotten, &bytes[last..], last as u64);
    server.wait_until("the flipped bit is found", DEADLINE, |server| {
        metric(server, findings) >= 1
    });
    let before = metric(&server, findings);
    fs::remove_file(fragment_files(&server, 5).remove(0)).unwrap();
    server.wait_until("the deleted file is missed", DEADLINE, |server| {
        metric(server, findings) > before
    });
    assert!(metric(&server, "holdfast_drive_oldest_unverified_seconds") < 6 * 30);
    assert_all_read(&client, &objects);
    server.kill();
}

#[test]
fn fragments_that_no_object_needs_are_removed_in_time_and_no_other() {
    let mut server = start("upkeep-unknown");
    let client = server.client();
    client.create_bucket(BUCKET);
    let kept = put_objects(&client, "kept");
    assert!(server.stop(), "it stops well");
    // The metadata, and its journal on the drives, forget what comes now, as if each put had died
    // before its commit.
    let mut forgetful = vec![server.data().join("metadata")];
    forgetful.extend((1..=6).map(|drive| server.drive(drive).join("metadata")));
    let copy = |of: usize| server.data().join(format!("copy-{of}"));
    for (number, folder) in forgetful.iter().enumerate() {
        if folder.exists() {
            copy_folder(folder, &copy(number));
        }
    }
    let copies: Vec<PathBuf> = (0..forgetful.len()).map(copy).collect();
    let count = |server: &Server| -> usize {
        (1..=6)
            .map(|drive| fragment_files(server, drive).len())
            .sum()
    };
    let files = count(&server);
    server.restart();
    put_objects(&client, "never heard of");
    assert!(server.stop(), "it stops well");
    assert!(count(&server) > files, "their fragments are there");
    for (folder, copy) in forgetful.iter().zip(&copies) {
        fs::remove_dir_all(folder).ok();
        if copy.exists() {
            fs::rename(copy, folder).unwrap();
        }
    }
    server.restart();
    server.wait_until("they are in quarantine", DEADLINE, |server| {
        metric(server, "holdfast_inventory_quarantined_fragments") > 0 || count(server) == files
    });
    server.wait_until("they are gone", DEADLINE, |server| count(server) == files);
    let mut all = kept;
    all.extend(put_objects(&client, "later"));
    std::thread::sleep(Duration::from_secs(4));
    assert_all_read(&client, &all);
    assert_eq!(metric(&server, "holdfast_inventory_missing_fragments"), 0);
    server.kill();
}

#[test]
fn a_file_that_was_deleted_while_it_was_stopped_is_missed() {
    let mut server = start("upkeep-missing");
    let client = server.client();
    client.create_bucket(BUCKET);
    let objects = put_objects(&client, "missed");
    server.kill();
    fs::remove_file(fragment_files(&server, 2).remove(0)).unwrap();
    server.restart();
    server.wait_until("the deleted file is missed", DEADLINE, |server| {
        metric(server, "holdfast_inventory_missing_fragments") > 0
            || fragment_files(server, 2).len() == fragment_files(server, 1).len()
    });
    assert_all_read(&client, &objects);
    server.kill();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
