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

/// Fails `fsync` and `fdatasync` of files below EIO_BELOW with EIO once EIO_WHEN exists.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fails(int fd) {
    const char *below = getenv("EIO_BELOW"), *when = getenv("EIO_WHEN");
    char link[64], path[4096];
    if (!below || !when || access(when, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return strncmp(path, below, strlen(below)) == 0;
}
int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}
int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}
"#;

fn shim(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("eio.c"), folder.join("eio.so"));
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

#[test]
fn f4_a_drive_whose_sync_fails_takes_no_more_writes_and_nothing_is_lost() {
    let server = Server::prepare("faults-fsync");
    let folder = server.data().with_file_name("shim");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(server.data()).unwrap();
    let folder = fs::canonicalize(folder).unwrap();
    let below = fs::canonicalize(server.data()).unwrap().join("drives/04");
    let when = folder.join("now");
    let mut server = server
        .with_environment("LD_PRELOAD", shim(&folder).to_str().unwrap())
        .with_environment("EIO_BELOW", below.to_str().unwrap())
        .with_environment("EIO_WHEN", when.to_str().unwrap());
    server.restart();
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut objects = Objects(Vec::new());
    objects.put(&client, "before");
    fs::write(&when, "").unwrap();
    objects.put(&client, "while one drive fails");
    server.wait_until("the drive is read-only", DEADLINE, |server| {
        state_of(server, 4) == "read-only"
    });
    objects.put(&client, "after");
    objects.assert_all_read(&client);
    // The disk is well again: a restart is what makes the drive trusted.
    fs::remove_file(&when).unwrap();
    server.kill();
    server.restart();
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
