//! A real power cut: ext4 on a loop device is shut down under a process that writes, then mounted
//! again (its journal is replayed), and everything that was acknowledged must be there.
//!
//! `FS_IOC_SHUTDOWN` without a log flush is, for what was not synced, what a power cut is. It needs
//! root and loop devices; without them the test says that it did nothing, or fails if
//! `HOLDFAST_POWER_CUT=require`. `HOLDFAST_POWER_CUT_ROUNDS` sets the number of cuts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{drive, drive_config, run};
use holdfast_storage_node::conformance::Sample;
use holdfast_storage_node::{DriveConfig, LocalStore, StoreConfig, format_drive};
use holdfast_types::{BlobId, ClusterId, DriveId, DriveState, FragmentStore, StoreError};

const ROUNDS: u64 = 10;
/// Rounds after which a fresh file system is made: the old one fills up.
const ROUNDS_ON_ONE: u64 = 10;
const IMAGE_BYTES: u64 = 768 << 20;
/// Writers at once; each has numbers of its own.
const WRITERS: u64 = 6;
const CHILD: &str = "HOLDFAST_POWER_CUT_CHILD";

const SHUT_DOWN: &str = "
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))
";

fn cluster() -> ClusterId {
    ClusterId::from_bytes([0xC1; 16])
}

fn drive_id() -> DriveId {
    DriveId::from_bytes([0xD1; 16])
}

/// Fragment number `number`: every third is large.
fn sample(number: u64) -> Sample {
    let mut blob = [0; 16];
    blob[..8].copy_from_slice(&number.to_be_bytes());
    blob[15] = number as u8;
    let len = if number.is_multiple_of(3) {
        150_000 + number % 100_000
    } else {
        number % 9000 + 1
    };
    Sample::of(BlobId::from_bytes(blob), "1+0/65536", len, number)
}

async fn open(mount: &Path) -> LocalStore {
    let config = StoreConfig {
        reserve_bytes: 8 << 20,
        segment_bytes: 256 << 10,
        ..StoreConfig::default()
    };
    let drives = vec![DriveConfig {
        path: mount.join("drive"),
        ..drive_config(drive_id())
    }];
    LocalStore::open(cluster(), drives, config).await.unwrap()
}

/// Not a test by itself: the process that writes until the power goes. It says on its output what
/// it is about to do (`?`) and what was acknowledged (`!`).
#[test]
fn the_process_that_writes() {
    let Ok(told) = std::env::var(CHILD) else {
        return;
    };
    let (mount, first) = told.split_once('|').unwrap();
    let first: u64 = first.parse().unwrap();
    run(async {
        let store = open(Path::new(mount)).await;
        let writers = (0..WRITERS).map(|writer| write(&store, first + writer));
        futures::future::join_all(writers).await;
    });
}

async fn write(store: &LocalStore, first: u64) {
    for number in (first..).step_by(WRITERS as usize) {
        say('?', "put", number);
        if sample(number).put(store, drive_id()).await.is_err() {
            return;
        }
        say('!', "put", number);
        // Every other one is removed a little later.
        if let Some(old) = number
            .checked_sub(4 * WRITERS)
            .filter(|old| *old >= first && old % 2 == 0)
        {
            say('?', "del", old);
            if store
                .delete(drive_id(), &sample(old).header.id)
                .await
                .is_err()
            {
                return;
            }
            say('!', "del", old);
        }
    }
}

fn say(mark: char, what: &str, number: u64) {
    // One write a line: it is in the pipe before anything else happens.
    let line = format!("\n{mark} {what} {number}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// The last word on each fragment: `(what, acknowledged)`.
type Told = BTreeMap<u64, (String, bool)>;

fn listen(line: &str, told: &mut Told) {
    let mut words = line.split(' ');
    let (Some(mark @ ("?" | "!")), Some(what), Some(number)) =
        (words.next(), words.next(), words.next())
    else {
        return;
    };
    if let Ok(number) = number.trim().parse() {
        told.insert(number, (what.to_owned(), mark == "!"));
    }
}

struct Mounted {
    folder: tempfile::TempDir,
    mounted: bool,
}

impl Mounted {
    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn point(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    fn make() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let made = Self {
            folder,
            mounted: false,
        };
        std::fs::create_dir(made.point()).map_err(|error| error.to_string())?;
        let image = std::fs::File::create(made.image()).map_err(|error| error.to_string())?;
        image
            .set_len(IMAGE_BYTES)
            .map_err(|error| error.to_string())?;
        command("mkfs.ext4", &["-q", "-F", text(&made.image())])?;
        Ok(made)
    }

    fn mount(&mut self) -> Result<(), String> {
        command(
            "mount",
            &["-o", "loop", text(&self.image()), text(&self.point())],
        )?;
        self.mounted = true;
        Ok(())
    }

    /// Gets everything ready, then calls `now`, then cuts at once.
    fn cut_power<T>(&self, now: impl FnOnce() -> T) -> Result<T, String> {
        let failed = |error: std::io::Error| format!("python3: {error}");
        let mut helper = Command::new("python3")
            .args(["-c", SHUT_DOWN, text(&self.point())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut ready = String::new();
        BufReader::new(helper.stdout.take().unwrap())
            .read_line(&mut ready)
            .map_err(failed)?;
        let seen = now();
        drop(helper.stdin.take());
        let done = helper.wait().map_err(failed)?;
        if done.success() {
            Ok(seen)
        } else {
            Err("FS_IOC_SHUTDOWN was refused".to_owned())
        }
    }

    fn unmount(&mut self) -> Result<(), String> {
        // What was using it may need a moment to end.
        for _ in 0..50 {
            if command("umount", &[text(&self.point())]).is_ok() {
                self.mounted = false;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        command("umount", &[text(&self.point())])
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.mounted {
            let _ = command("umount", &["-l", text(&self.point())]);
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        ))
    }
}

/// A file system that can be shut down, or why this machine has none.
fn prepare() -> Result<Mounted, String> {
    let mut made = Mounted::make()?;
    made.mount()?;
    made.cut_power(|| ())?;
    made.unmount()?;
    made.mount()?;
    Ok(made)
}

#[test]
fn what_was_acknowledged_survives_real_power_cuts() {
    let rounds = std::env::var("HOLDFAST_POWER_CUT_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut acknowledged = 0;
    let mut round = 0;
    while round < rounds.unwrap_or(ROUNDS) {
        let mut disk = match prepare() {
            Ok(disk) => disk,
            Err(why) if std::env::var("HOLDFAST_POWER_CUT").as_deref() == Ok("require") => {
                panic!("no power cut here: {why}");
            }
            Err(why) => return skip(&why),
        };
        format_drive(&disk.point().join("drive"), cluster(), drive_id()).unwrap();
        let mut told = Told::new();
        for _ in 0..ROUNDS_ON_ONE.min(rounds.unwrap_or(ROUNDS) - round) {
            acknowledged += write_and_cut(&mut disk, round, &mut told);
            run(check(&disk.point(), &mut told, round));
            round += 1;
        }
        disk.unmount().unwrap();
    }
    assert!(
        acknowledged > 10 * round,
        "the cuts hit a drive at work: {acknowledged}"
    );
    shout(&format!(
        "{round} power cuts, {acknowledged} acknowledged writes and removals kept"
    ));
}

/// Cuts the power under a process that writes; gives how much was acknowledged.
fn write_and_cut(disk: &mut Mounted, round: u64, told: &mut Told) -> u64 {
    let first = round * 1_000_000;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_writes", "--nocapture"])
        .env(CHILD, format!("{}|{first}", text(&disk.point())))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let heard = Arc::new(Mutex::new(Told::new()));
    let listener = {
        let heard = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                listen(&line, &mut heard.lock().unwrap());
            }
        })
    };
    std::thread::sleep(Duration::from_millis(350 + round * 97 % 300));
    let before = disk.cut_power(|| heard.lock().unwrap().clone()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
    // A real cut stops the process with the disk. Here it lives on for a moment, in which ext4 may
    // answer a sync that was under way as if its aborted journal had been written: what was heard
    // after the cut is no acknowledgement.
    let mut acknowledged = 0;
    for (number, (what, sure)) in std::mem::take(&mut *heard.lock().unwrap()) {
        let sure = sure && before.get(&number) == Some(&(what.clone(), true));
        acknowledged += u64::from(sure);
        told.insert(number, (what, sure));
    }
    disk.unmount().unwrap();
    disk.mount().unwrap();
    acknowledged
}

async fn check(mount: &Path, told: &mut Told, round: u64) {
    let store = open(mount).await;
    let now = drive(&store);
    assert_eq!(now.state, DriveState::Online, "{}", now.reason);
    assert_eq!(store.stats()[0].1.bad_records, 0, "round {round}");
    for (number, (what, sure)) in told.iter_mut() {
        let sample = sample(*number);
        let found = match sample.read(&store, drive_id()).await {
            Ok(read) => {
                assert_eq!(
                    read,
                    sample.whole(),
                    "round {round}: {number} is not what was written"
                );
                true
            }
            Err(StoreError::NotFound { .. }) => false,
            Err(other) => panic!("round {round}: {number}: {other}"),
        };
        if *sure {
            assert_eq!(
                found,
                what == "put",
                "round {round}: {what} of {number} (blob of {} bytes) was acknowledged",
                sample.header.blob_len
            );
        }
        // What is there now stays as it is.
        *what = if found { "put" } else { "del" }.to_owned();
        *sure = true;
    }
    let listed = store
        .list(drive_id(), None, usize::MAX)
        .await
        .unwrap()
        .len();
    let there = told.values().filter(|(what, _)| what == "put").count();
    assert_eq!(listed, there, "round {round}: nothing else is there");
}

fn skip(why: &str) {
    shout(&format!(
        "SKIPPED: real power cuts were NOT tested here ({why}). They need root, loop devices, \
         mkfs.ext4 and python3; HOLDFAST_POWER_CUT=require makes this a failure."
    ));
}

/// Past the test runner, which shows the output of failed tests only.
fn shout(text: &str) {
    let _ = std::io::stderr().write_all(format!("\n{text}\n").as_bytes());
}
