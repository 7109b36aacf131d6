//! Any two of six drives taken away, wiped, made read-only or damaged: every read still right;
//! writes go on with five drives, are refused with a reason at four, and resume.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::model::faults::{CONFIG, damage, data_files, replace, write_in_place};
use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::Server;

const BUCKET: &str = "drives";
const DRIVES: usize = 6;

/// How long a returned drive may take to be found.
const RETURN_DEADLINE: Duration = Duration::from_secs(60);

/// How long it may take until everything that drives lack is on them again.
const WHOLE_DEADLINE: Duration = Duration::from_secs(120);

/// Objects of every kind of layout: empty, packed copies, one short stripe, several, and parts.
struct Objects {
    bodies: Vec<(String, Vec<u8>)>,
}

impl Objects {
    fn put(client: &Client) -> Self {
        client.create_bucket(BUCKET);
        let mut random = Random::new(42);
        let mut bodies = Vec::new();
        for len in [
            0, 1, 1000, 4096, 65_536, 65_537, 300_000, 524_288, 524_289, 3_000_000,
        ] {
            for copy in 0..3 {
                let key = format!("object/{len}/{copy}");
                let body = random.bytes(len);
                client.put(BUCKET, &key, &body);
                bodies.push((key, body));
            }
        }
        Self { bodies }
    }

    fn assert_all_read(&self, client: &Client, when: &str) {
        for (key, body) in &self.bodies {
            let answer = client.get(BUCKET, key);
            assert_eq!(answer.status, 200, "{when}: {key}: {}", answer.shown());
            assert!(answer.body == *body, "{when}: {key} has other bytes");
            if body.len() > 100 {
                let (first, last) = (body.len() / 3, body.len() - 7);
                let range = format!("bytes={first}-{last}");
                let call = Call::object("GET", BUCKET, key).header("range", &range);
                let answer = client.expect(206, &call);
                assert!(
                    answer.body == body[first..=last],
                    "{when}: {range} of {key}"
                );
            }
        }
    }
}

#[test]
fn any_two_drives_can_be_taken_away_while_it_serves() {
    let mut server = Server::start("drives-away");
    let client = server.client();
    let objects = Objects::put(&client);
    for first in 1..=DRIVES {
        for second in first + 1..=DRIVES {
            take_away(&server, &[first, second]);
            objects.assert_all_read(&client, &format!("without {first} and {second}"));
            bring_back(&server, &[first, second]);
            // Not before it knows them again: with the next two away, four would be.
            await_drives(&mut server);
        }
    }
    await_writes(&mut server, &client);
    objects.assert_all_read(&client, "after all came back");
    server.end_whole(WHOLE_DEADLINE);
}

#[test]
fn writes_need_five_drives_and_resume_when_they_return() {
    let mut server = Server::start("drives-quorum");
    let client = server.client();
    let mut objects = Objects::put(&client);
    let big = Random::new(5).bytes(2_000_000);
    take_away(&server, &[2]);
    for number in 0..4 {
        let key = format!("five/{number}");
        client.put(BUCKET, &key, &big);
        objects.bodies.push((key, big.clone()));
    }
    take_away(&server, &[5]);
    for number in 0..4 {
        let call = Call::object("PUT", BUCKET, &format!("four/{number}")).body(&big);
        let answer = client.expect(503, &call);
        assert!(
            matches!(answer.code(), "ServiceUnavailable" | "SlowDown"),
            "{}",
            answer.shown()
        );
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains("drive"), "the reason is told: {text}");
        assert_eq!(client.get(BUCKET, &format!("four/{number}")).status, 404);
    }
    objects.assert_all_read(&client, "with four drives");
    bring_back(&server, &[5, 2]);
    await_writes(&mut server, &client);
    objects.assert_all_read(&client, "with all drives again");
    server.end_whole(WHOLE_DEADLINE);
}

#[test]
fn it_starts_without_two_drives_and_finds_them_when_they_are_swapped() {
    let mut server = Server::start("drives-restart");
    let client = server.client();
    let objects = Objects::put(&client);
    assert!(server.stop(), "it stops well");
    take_away(&server, &[1, 6]);
    server.restart_degraded();
    objects.assert_all_read(&client, "started without 1 and 6");
    server.kill();
    // Back, but each in the other's place: a drive is known by what it says of itself.
    fs::rename(away(&server, 1), server.drive(6)).unwrap();
    fs::rename(away(&server, 6), server.drive(1)).unwrap();
    server.restart();
    objects.assert_all_read(&client, "with 1 and 6 swapped");
    await_writes(&mut server, &client);
    take_away(&server, &[2, 3]);
    objects.assert_all_read(&client, "swapped, and without 2 and 3");
    bring_back(&server, &[2, 3]);
    await_drives(&mut server);
    server.end_whole(WHOLE_DEADLINE);
}

#[test]
fn two_wiped_drives_lose_nothing() {
    for (first, second, restart) in [(1, 2, false), (3, 6, true)] {
        let mut server = Server::prepare("drives-wiped").with_config(CONFIG);
        server.restart();
        let client = server.client();
        let objects = Objects::put(&client);
        if restart {
            server.kill();
        }
        for number in [first, second] {
            fs::remove_dir_all(server.drive(number)).unwrap();
            fs::create_dir(server.drive(number)).unwrap();
        }
        if restart {
            server.restart_degraded();
        }
        objects.assert_all_read(&client, &format!("{first} and {second} wiped"));
        for number in [first, second] {
            let folder = server.drive(number);
            replace(&mut server, &folder);
        }
        await_drives(&mut server);
        server.end_whole(WHOLE_DEADLINE);
    }
}

#[test]
fn a_drive_that_was_missing_at_the_start_is_not_counted_twice() {
    let mut server = Server::start("drives-counted");
    let room = |server: &Server| {
        let status = server.admin_json(&["status"]);
        status["space"]["capacity_bytes"].as_u64().unwrap()
    };
    // All folders are on one file system.
    let once = room(&server);
    assert!(server.stop(), "it stops well");
    take_away(&server, &[1]);
    server.restart_degraded();
    assert_eq!(room(&server), once, "without 1");
    bring_back(&server, &[1]);
    await_drives(&mut server);
    server.wait_until("it is counted with the others", RETURN_DEADLINE, |server| {
        room(server) == once
    });
}

#[test]
fn two_removed_drives_lose_nothing() {
    let server = Server::start("drives-removed");
    let client = server.client();
    let objects = Objects::put(&client);
    for number in [2, 4] {
        fs::remove_dir_all(server.drive(number)).unwrap();
    }
    objects.assert_all_read(&client, "2 and 4 removed for good");
    assert!(
        !server.drive(2).exists(),
        "nothing is made where a drive was"
    );
}

#[test]
fn flipped_bits_on_two_drives_change_no_byte() {
    let mut server = Server::prepare("drives-flipped").with_config(CONFIG);
    server.restart();
    let client = server.client();
    let objects = Objects::put(&client);
    let mut random = Random::new(3);
    // Everything on drive 1 has a flipped bit in every 4 KiB; drive 4 has them here and there.
    for path in data_files(&server.drive(1)) {
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(4096) {
            let at = (at + random.below(4096) as usize).min(bytes.len() - 1);
            write_in_place(&path, &[bytes[at] ^ 0x10], at as u64);
        }
    }
    let mut damaged = 0;
    for _ in 0..20 {
        damaged += damage(&server.drive(4), &mut random);
    }
    assert!(damaged > 20, "something was damaged: {damaged}");
    objects.assert_all_read(&client, "with flipped bits");
    server.kill();
    server.restart_degraded();
    objects.assert_all_read(&client, "with flipped bits, after a restart");
    server.wait_until_every_byte_is_whole(WHOLE_DEADLINE);
    server.end_whole(WHOLE_DEADLINE);
}

#[test]
fn truncated_and_misplaced_fragments_are_not_believed() {
    let mut server = Server::prepare("drives-truncated").with_config(CONFIG);
    server.restart();
    let client = server.client();
    let objects = Objects::put(&client);
    server.kill();
    for path in data_files(&server.drive(2)) {
        let len = path.metadata().unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len / 2).unwrap();
    }
    // On drive 5 each file gets the contents of the next one: all checksums hold, for others.
    let files = data_files(&server.drive(5));
    let contents: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    for (number, path) in files.iter().enumerate() {
        fs::write(path, &contents[(number + 1) % contents.len()]).unwrap();
    }
    server.restart_degraded();
    objects.assert_all_read(&client, "2 truncated, 5 shuffled");
    server.wait_until_every_byte_is_whole(WHOLE_DEADLINE);
    server.end_whole(WHOLE_DEADLINE);
}

#[test]
fn two_read_only_drives_are_read_and_not_written() {
    let server = Server::prepare("drives-read-only");
    let Some(mounts) = Mounts::make(&server, &[3, 4], "2g") else {
        println!("skipped: it needs root and may mount tmpfs");
        return;
    };
    let mut server = server;
    server.restart();
    let client = server.client();
    let objects = Objects::put(&client);
    // Files that are open for writing would refuse it.
    server.kill();
    mounts.remount("ro");
    server.restart_degraded();
    objects.assert_all_read(&client, "3 and 4 read-only");
    let call = Call::object("PUT", BUCKET, "refused").body(&Random::new(1).bytes(900_000));
    client.expect(503, &call);
    objects.assert_all_read(&client, "3 and 4 known to be read-only");
    // What is on read-only drives counts: with them, two others may go.
    take_away(&server, &[1, 2]);
    objects.assert_all_read(&client, "3 and 4 read-only, 1 and 2 away");
    bring_back(&server, &[1, 2]);
    server.kill();
    mounts.remount("rw");
    server.restart();
    await_writes(&mut server, &client);
    objects.assert_all_read(&client, "writable again");
    server.end_whole(WHOLE_DEADLINE);
}

#[test]
fn a_full_drive_is_passed_over() {
    let server = Server::prepare("drives-full");
    let Some(mounts) = Mounts::make(&server, &[6], "1088m") else {
        println!("skipped: it needs root and may mount tmpfs");
        return;
    };
    let mut server = server;
    server.restart();
    let client = server.client();
    client.create_bucket(BUCKET);
    // 64 MiB fit on the drive beside the 1 GiB that it keeps in reserve; a fragment is a quarter of
    // its object.
    let body = Random::new(9).bytes(8 << 20);
    for number in 0..50 {
        client.put(BUCKET, &format!("full/{number}"), &body);
    }
    for number in 0..50 {
        let answer = client.get(BUCKET, &format!("full/{number}"));
        assert!(answer.body == body, "object {number} reads back");
    }
    // With room again it gets what it lacks.
    mounts.remount("size=2g");
    await_drives(&mut server);
    server.end_whole(WHOLE_DEADLINE);
}

#[test]
fn f15_a_drive_without_inodes_counts_as_full_until_it_has_some() {
    let server = Server::prepare("drives-inodes");
    let Some(mounts) = Mounts::make(&server, &[2], "2g") else {
        println!("skipped: it needs root and may mount tmpfs");
        return;
    };
    let mut server = server;
    server.restart();
    let client = server.client();
    let objects = Objects::put(&client);
    mounts.remount(&format!("nr_inodes={}", mounts.inodes_used() + 2));
    let body = Random::new(15).bytes(900_000);
    for number in 0..12 {
        client.put(BUCKET, &format!("inodes/{number}"), &body);
    }
    server.wait_until("the drive is full", RETURN_DEADLINE, |server| {
        let drives = server.admin_json(&["drive", "list"]);
        let drives = drives["drives"].as_array().expect("drives are listed");
        drives.iter().any(|drive| drive["state"] == "read-only")
    });
    objects.assert_all_read(&client, "without inodes");
    mounts.remount("nr_inodes=1000000");
    await_writes(&mut server, &client);
    objects.assert_all_read(&client, "with inodes again");
    for number in 0..12 {
        let answer = client.get(BUCKET, &format!("inodes/{number}"));
        assert!(answer.body == body, "object {number} reads back");
    }
    server.end_whole(WHOLE_DEADLINE);
}

/// Drives that are file systems of their own, so that they can be made full or read-only.
struct Mounts {
    folders: Vec<PathBuf>,
}

impl Mounts {
    fn make(server: &Server, drives: &[usize], size: &str) -> Option<Self> {
        let mut made = Self {
            folders: Vec::new(),
        };
        for drive in drives {
            let folder = server.drive(*drive);
            fs::create_dir_all(&folder).ok()?;
            let size = format!("size={size}");
            let what = ["-t", "tmpfs", "-o", &size, "tmpfs"];
            let status = Command::new("mount").args(what).arg(&folder).status();
            if !status.is_ok_and(|status| status.success()) {
                return None;
            }
            made.folders.push(folder);
        }
        Some(made)
    }

    /// Files and folders on the first of them.
    fn inodes_used(&self) -> u64 {
        let said = Command::new("stat")
            .args(["--file-system", "--format", "%c %d"])
            .arg(&self.folders[0])
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let (all, free) = said.trim().split_once(' ').unwrap();
        all.parse::<u64>().unwrap() - free.parse::<u64>().unwrap()
    }

    fn remount(&self, mode: &str) {
        for folder in &self.folders {
            let option = format!("remount,{mode}");
            let status = Command::new("mount")
                .args(["-o", &option])
                .arg(folder)
                .status();
            assert!(status.unwrap().success(), "{option} {}", folder.display());
        }
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for folder in &self.folders {
            Command::new("umount").arg("-l").arg(folder).status().ok();
        }
    }
}

fn away(server: &Server, drive: usize) -> PathBuf {
    server.drive(drive).with_extension("away")
}

fn take_away(server: &Server, drives: &[usize]) {
    for drive in drives {
        fs::rename(server.drive(*drive), away(server, *drive)).unwrap();
    }
}

fn bring_back(server: &Server, drives: &[usize]) {
    for drive in drives {
        fs::rename(away(server, *drive), server.drive(*drive)).unwrap();
    }
}

/// Waits until it has found every drive again.
fn await_drives(server: &mut Server) {
    server.wait_until("all drives are online", RETURN_DEADLINE, |server| {
        let drives = server.admin_json(&["drive", "list"]);
        let drives = drives["drives"].as_array().expect("drives are listed");
        drives.iter().all(|drive| drive["state"] == "online")
    });
}

/// Waits until all drives are there, and large writes are taken again.
fn await_writes(server: &mut Server, client: &Client) {
    await_drives(server);
    let body = Random::new(8).bytes(1_000_000);
    server.wait_until("writes are taken again", RETURN_DEADLINE, |_| {
        let call = Call::object("PUT", BUCKET, "probe").body(&body);
        client.send(&call).status == 200
    });
    assert!(client.get(BUCKET, "probe").body == body);
}
