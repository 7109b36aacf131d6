//! Rows of the fault matrix (`docs/faults.md`) that no other story has: each ends with every
//! acknowledged object read back, full redundancy, and a verification of every byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::Server;

const BUCKET: &str = "faults";
const DEADLINE: Duration = Duration::from_secs(120);

struct Objects(Vec<(String, Vec<u8>)>);

impl Objects {
    fn put(&mut self, client: &Client, name: &str) {
        let mut random = Random::new(name.len() as u64);
        for len in [10, 60_000, 700_000, 2_000_000] {
            let (key, body) = (format!("{name}/{len}"), random.bytes(len));
            client.put(BUCKET, &key, &body);
            self.0.push((key, body));
        }
    }

    fn assert_all_read(&self, client: &Client) {
        for (key, body) in &self.0 {
            assert!(client.get(BUCKET, key).body == *body, "{key}");
        }
    }
}

fn state_of(server: &Server, drive: usize) -> String {
    let output = Command::new(crate::support::server::binary())
        .args(["admin", "drive", "list", "--json"])
        .args(["--endpoint", &format!("http://{}", server.admin)])
        .env("HOLDFAST_ACCESS_KEY", crate::support::server::ACCESS_KEY)
        .env("HOLDFAST_SECRET_KEY", crate::support::server::SECRET_KEY)
        .output()
        .unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let wanted = format!("/{drive:02}");
    let drives = list["drives"].as_array().unwrap();
    let found = drives
        .iter()
        .find(|found| found["path"].as_str().unwrap().ends_with(&wanted));
    found.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Fails what is done to files below FAULT_BELOW, as the file FAULT_WHEN says while it is there: each
/// sync (`sync-eio`, `sync-full`), or each write after its first page (`write-full`).
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int asked(int fd, const char *fault) {
    const char *below = getenv("FAULT_BELOW"), *when = getenv("FAULT_WHEN");
    char link[64], path[4096], said[32] = {0};
    int saved = errno, file = below && when ? open(when, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        if (read(file, said, sizeof said - 1) < 0) said[0] = 0;
        close(file);
    }
    errno = saved;
    if (strcmp(said, fault) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return strncmp(path, below, strlen(below)) == 0;
}
static int sync_fails(int fd) {
    if (asked(fd, "sync-eio")) { errno = EIO; return 1; }
    if (asked(fd, "sync-full")) { errno = ENOSPC; return 1; }
    return 0;
}
int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return sync_fails(fd) ? -1 : real(fd);
}
int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return sync_fails(fd) ? -1 : real(fd);
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    static __thread int is_begun;
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (!asked(fd, "write-full")) return real(fd, bytes, len, at);
    is_begun = !is_begun && len > 4096;
    if (is_begun) return real(fd, bytes, 4096, at);
    errno = ENOSPC;
    return -1;
}
"#;

fn shim(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("fault.c"), folder.join("fault.so"));
    fs::write(&source, SHIM).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success(), "the shim compiles");
    library
}

/// A server of which drive 4 can be made to fail.
struct Shimmed {
    server: Server,
    when: PathBuf,
}

impl Shimmed {
    fn start(name: &str) -> Self {
        let server = Server::prepare(name);
        let folder = server.data().with_file_name("shim");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(server.data()).unwrap();
        let folder = fs::canonicalize(folder).unwrap();
        let below = fs::canonicalize(server.data()).unwrap().join("drives/04");
        let when = folder.join("now");
        let mut server = server
            .with_environment("LD_PRELOAD", shim(&folder).to_str().unwrap())
            .with_environment("FAULT_BELOW", below.to_str().unwrap())
            .with_environment("FAULT_WHEN", when.to_str().unwrap());
        server.restart();
        Self { server, when }
    }

    fn fail(&self, fault: &str) {
        // Whole at once: who reads it meanwhile must not find half a word.
        let aside = self.when.with_extension("aside");
        fs::write(&aside, fault).unwrap();
        fs::rename(&aside, &self.when).unwrap();
    }

    fn heal(&self) {
        fs::remove_file(&self.when).unwrap();
    }
}

/// After a sync that failed, whatever it said, nobody knows what is on the disk: until a restart.
fn a_failed_sync(name: &str, fault: &str) {
    let mut shimmed = Shimmed::start(name);
    let client = shimmed.server.client();
    client.create_bucket(BUCKET);
    let mut objects = Objects(Vec::new());
    objects.put(&client, "before");
    shimmed.fail(fault);
    objects.put(&client, "while one drive fails");
    let server = &mut shimmed.server;
    server.wait_until("the drive is read-only", DEADLINE, |server| {
        state_of(server, 4) == "read-only"
    });
    objects.put(&client, "after");
    objects.assert_all_read(&client);
    // The disk is well again: a restart is what makes the drive trusted.
    shimmed.heal();
    let server = &mut shimmed.server;
    server.kill();
    server.restart();
    objects.assert_all_read(&client);
    server.end_whole(DEADLINE);
}

#[test]
fn f4_a_drive_whose_sync_fails_takes_no_more_writes_and_nothing_is_lost() {
    a_failed_sync("faults-fsync", "sync-eio");
}

#[test]
fn f10_a_drive_that_is_full_at_the_sync_takes_no_more_writes_and_nothing_is_lost() {
    a_failed_sync("faults-full-sync", "sync-full");
}

#[test]
fn f10_a_drive_that_fills_up_in_mid_write_is_passed_over_until_there_is_room() {
    let mut shimmed = Shimmed::start("faults-full-write");
    let client = shimmed.server.client();
    client.create_bucket(BUCKET);
    let mut objects = Objects(Vec::new());
    objects.put(&client, "before");
    shimmed.fail("write-full");
    objects.put(&client, "while it is full");
    let body = Random::new(10).bytes(700_000);
    let server = &mut shimmed.server;
    server.wait_until("the drive is full", DEADLINE, |server| {
        // The disk says that it has room, so that the drive is tried again and again.
        client.put(BUCKET, "tried", &body);
        state_of(server, 4) == "read-only"
    });
    objects.0.push(("tried".to_owned(), body));
    objects.assert_all_read(&client);
    shimmed.heal();
    let server = &mut shimmed.server;
    server.wait_until("the drive has room", DEADLINE, |server| {
        state_of(server, 4) == "online"
    });
    objects.put(&client, "after");
    objects.assert_all_read(&client);
    server.end_whole(DEADLINE);
}

/// Lets a process have so many file handles from now on; whether this machine can.
fn limit_handles(pid: u32, handles: usize) -> bool {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nofile={handles}:")]);
    command.status().is_ok_and(|status| status.success())
}

/// How many file handles a process may have.
fn handles_allowed(pid: u32) -> usize {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn f15_a_process_without_file_handles_refuses_and_condemns_no_drive() {
    let mut server = Server::start("faults-handles");
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut objects = Objects(Vec::new());
    objects.put(&client, "before");
    let pid = server.pid();
    let allowed = handles_allowed(pid);
    let body = Random::new(15).bytes(900_000);
    let mut refused = 0;
    for round in 0..6 {
        // A connection and three files: a write of this size needs five.
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        if !limit_handles(pid, open + 4) {
            println!("skipped: it needs prlimit");
            return;
        }
        std::thread::scope(|scope| {
            let writes: Vec<_> = (0..4)
                .map(|number| {
                    let (client, body) = (&client, &body);
                    scope.spawn(move || {
                        let key = format!("short/{round}/{number}");
                        let call = Call::object("PUT", BUCKET, &key).body(body);
                        (key, client.try_send(&call))
                    })
                })
                .collect();
            for write in writes {
                let (key, answer) = write.join().unwrap();
                match answer {
                    Ok(answer) if answer.status == 200 => objects.0.push((key, body.clone())),
                    _ => refused += 1,
                }
            }
        });
        assert!(limit_handles(pid, allowed));
    }
    assert!(refused > 0, "it was short of handles");
    server.wait_until("it takes writes again", DEADLINE, |server| {
        server
            .admin_get("/readyz?writes")
            .is_ok_and(|answer| answer.status == 200)
    });
    for drive in 1..=6 {
        assert_eq!(state_of(&server, drive), "online", "drive {drive}");
    }
    objects.put(&client, "after");
    objects.assert_all_read(&client);
    server.end_whole(DEADLINE);
}

#[test]
fn f11_a_drive_that_is_unmounted_under_us_is_missing_and_nothing_is_written_in_its_place() {
    let mut server = Server::start("faults-unmounted");
    server.kill();
    // The drive's folder is mounted in its place from elsewhere.
    let (place, real) = (server.drive(3), server.data().with_file_name("disk"));
    fs::rename(&place, &real).unwrap();
    fs::create_dir(&place).unwrap();
    let mount = || {
        let mut command = Command::new("mount");
        command.arg("--bind").arg(&real).arg(&place);
        command.status().is_ok_and(|status| status.success())
    };
    let unmount = || {
        let status = Command::new("umount").arg("-l").arg(&place).status();
        assert!(status.unwrap().success(), "umount -l");
    };
    if !mount() {
        println!("skipped: it needs root and may mount");
        return;
    }
    server.restart();
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut objects = Objects(Vec::new());
    objects.put(&client, "mounted");
    unmount();
    objects.put(&client, "unmounted");
    server.wait_until("the drive is missing", DEADLINE, |server| {
        state_of(server, 3) == "missing"
    });
    objects.put(&client, "known to be unmounted");
    objects.assert_all_read(&client);
    let under: Vec<_> = fs::read_dir(&place).unwrap().collect();
    assert!(under.is_empty(), "nothing lies under the mount point");
    assert!(mount(), "it is mounted again");
    server.wait_until("the drive is back", DEADLINE, |server| {
        state_of(server, 3) == "online"
    });
    objects.assert_all_read(&client);
    server.end_whole(DEADLINE);
    unmount();
}

#[test]
fn f16_a_process_that_stood_still_goes_on_without_a_mistake() {
    let mut server = Server::start("faults-stopped");
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut objects = Objects(Vec::new());
    objects.put(&client, "before");
    let pid = server.pid().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    let body = Random::new(8).bytes(1_500_000);
    std::thread::scope(|scope| {
        let writes: Vec<_> = (0..4)
            .map(|number| {
                let (client, body) = (&client, &body);
                scope.spawn(move || {
                    let call = Call::object("PUT", BUCKET, &format!("during/{number}"));
                    (number, client.try_send(&call.body(body)))
                })
            })
            .collect();
        signal("-STOP");
        std::thread::sleep(Duration::from_secs(3));
        signal("-CONT");
        for write in writes {
            let (number, answer) = write.join().unwrap();
            if answer.is_ok_and(|answer| answer.status == 200) {
                objects.0.push((format!("during/{number}"), body.clone()));
            }
        }
    });
    objects.put(&client, "after");
    objects.assert_all_read(&client);
    server.end_whole(DEADLINE);
}
