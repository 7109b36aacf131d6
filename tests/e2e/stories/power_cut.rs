//! The power of everything goes at one moment: the file systems of all six drives and of the data
//! folder are shut down under the process, mounted again (their journals are replayed), and all
//! that was acknowledged must be there (F3).
//!
//! `FS_IOC_SHUTDOWN` without a log flush is, for what was not synced, what a power cut is. It needs
//! root, loop devices, mkfs.ext4 and python3; without them the story says that it did nothing, or
//! fails if `HOLDFAST_POWER_CUT=require`. `HOLDFAST_POWER_CUT_ROUNDS` sets the number of cuts.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::Server;

const BUCKET: &str = "cut";
const ROUNDS: u64 = 2;
const WRITERS: u64 = 4;
/// Of one writer in a round: it is cut long before.
const MOST_WRITES: usize = 2000;
const DEADLINE: Duration = Duration::from_secs(120);
/// More than the gigabyte that a drive keeps in reserve; the image has holes.
const IMAGE_BYTES: u64 = 1536 << 20;

const SHUT_DOWN: &str = "
import fcntl, os, struct, sys
folders = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
print('ready', flush=True)
sys.stdin.readline()
for folder in folders:
    fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))
";

/// What the clients know of a key: how its last change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    There,
    Gone,
    Unknown,
}

type Ledger = BTreeMap<String, Told>;

/// The data folder and each drive on a file system of its own.
struct Disks {
    /// Images and where they are mounted, the data folder's first.
    places: Vec<(PathBuf, PathBuf)>,
}

impl Disks {
    fn make(server: &Server) -> Result<Self, String> {
        let mut disks = Self { places: Vec::new() };
        let data = server.data();
        let drives = (1..=6).map(|number| server.drive(number));
        for (number, point) in std::iter::once(data.clone()).chain(drives).enumerate() {
            let image = data.with_file_name(format!("image-{number}"));
            let file = fs::File::create(&image).map_err(|error| error.to_string())?;
            file.set_len(IMAGE_BYTES).map_err(|e| e.to_string())?;
            run("mkfs.ext4", &["-q", "-F", text(&image)])?;
            fs::create_dir_all(&point).map_err(|error| error.to_string())?;
            run("mount", &["-o", "loop", text(&image), text(&point)])?;
            disks.places.push((image, point.clone()));
            fs::remove_dir(point.join("lost+found")).map_err(|e| e.to_string())?;
        }
        Ok(disks)
    }

    /// Cuts the power of all of them; gives what `now` saw just before.
    fn cut_power<T>(&self, now: impl FnOnce() -> T) -> Result<T, String> {
        let failed = |error: std::io::Error| format!("python3: {error}");
        let mut helper = Command::new("python3")
            .args(["-c", SHUT_DOWN])
            .args(self.places.iter().map(|(_, point)| point))
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
        match helper.wait().map_err(failed)?.success() {
            true => Ok(seen),
            false => Err("FS_IOC_SHUTDOWN was refused".to_owned()),
        }
    }

    fn mount_again(&self) {
        for (_, point) in self.places.iter().rev() {
            // What was using it may need a moment to end.
            let began = Instant::now();
            while let Err(why) = run("umount", &[text(point)]) {
                assert!(began.elapsed() < DEADLINE, "{why}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        for (image, point) in &self.places {
            // A drive's place is in the data folder, which may have lost it.
            fs::create_dir_all(point).unwrap();
            run("mount", &["-o", "loop", text(image), text(point)]).unwrap();
        }
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for (_, point) in self.places.iter().rev() {
            let _not_mounted = run("umount", &["-l", text(point)]);
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        )),
    }
}

fn body_of(key: &str) -> Vec<u8> {
    let number: u64 = key.rsplit('/').next().unwrap().parse().unwrap();
    let lens = [900, 60_000, 700_000, 5, 1_500_000, 200_000];
    Random::new(number).bytes(lens[number as usize % lens.len()])
}

/// Writes until there is no answer any more, and removes every fourth object a little later.
fn write(client: &Client, first: u64, told: &Mutex<Ledger>, stopped: &AtomicBool) {
    let note = |key: &str, what| told.lock().unwrap().insert(key.to_owned(), what);
    for number in (first..).step_by(WRITERS as usize).take(MOST_WRITES) {
        let key = format!("object/{number}");
        note(&key, Told::Unknown);
        let call = Call::object("PUT", BUCKET, &key).body(&body_of(&key));
        match client.try_send(&call) {
            Ok(answer) if answer.status == 200 => note(&key, Told::There),
            _ if stopped.load(Ordering::SeqCst) => return,
            other => panic!("{key}: {:?}", other.map(|answer| answer.shown())),
        };
        let old = number.checked_sub(3 * WRITERS).filter(|old| *old >= first);
        if let Some(old) = old.filter(|_| ((number - first) / WRITERS).is_multiple_of(4)) {
            let key = format!("object/{old}");
            note(&key, Told::Unknown);
            match client.try_send(&Call::object("DELETE", BUCKET, &key)) {
                Ok(answer) if answer.status == 204 => note(&key, Told::Gone),
                _ if stopped.load(Ordering::SeqCst) => return,
                other => panic!("{key}: {:?}", other.map(|answer| answer.shown())),
            };
        }
    }
}

/// Cuts the power under writes, once so many more were acknowledged.
fn write_and_cut(server: &mut Server, disks: &Disks, round: u64, ledger: &mut Ledger) {
    let client = server.client();
    let (told, stopped) = (Mutex::new(std::mem::take(ledger)), AtomicBool::new(false));
    let sure = |told: &Ledger| told.values().filter(|t| **t != Told::Unknown).count();
    let goal = sure(&told.lock().unwrap()) + 20 + 7 * round as usize;
    let before = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, told, stopped) = (&client, &told, &stopped);
            let first = round * 1_000_000 + writer;
            scope.spawn(move || write(client, first, told, stopped));
        }
        server.wait_until("objects were written", DEADLINE, |_| {
            sure(&told.lock().unwrap()) >= goal
        });
        stopped.store(true, Ordering::SeqCst);
        let before = disks.cut_power(|| told.lock().unwrap().clone()).unwrap();
        // A real cut stops the process with the disks.
        server.kill();
        before
    });
    // It lived on for a moment, in which a shut down file system may still say yes: what was heard
    // after the cut is no acknowledgement.
    *ledger = told.into_inner().unwrap();
    for (key, now) in ledger.iter_mut() {
        if before.get(key) != Some(now) {
            *now = Told::Unknown;
        }
    }
}

/// Each object is what its client was told; from now on it is what it is now.
fn assert_told(client: &Client, ledger: &mut Ledger, round: u64) {
    for (key, told) in ledger {
        let answer = client.get(BUCKET, key);
        let found = answer.status == 200;
        assert!(found || answer.status == 404, "{key}: {}", answer.shown());
        assert!(!found || answer.body == body_of(key), "{key} is torn");
        let now = if found { Told::There } else { Told::Gone };
        assert!(
            *told == Told::Unknown || *told == now,
            "round {round}: {key} was {told:?} and is {now:?}"
        );
        *told = now;
    }
}

#[test]
fn f3_the_power_of_all_disks_is_cut_at_once_and_nothing_acknowledged_is_lost() {
    let mut server = Server::prepare("power-cut");
    let made = Disks::make(&server).and_then(|disks| {
        disks.cut_power(|| ())?;
        disks.mount_again();
        Ok(disks)
    });
    let disks = match made {
        Ok(disks) => disks,
        Err(why) if std::env::var("HOLDFAST_POWER_CUT").as_deref() == Ok("require") => {
            panic!("no power cut here: {why}");
        }
        Err(why) => {
            println!("skipped: real power cuts were not tested here ({why})");
            return;
        }
    };
    let rounds = std::env::var("HOLDFAST_POWER_CUT_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |text| text.parse().unwrap());
    server.restart();
    server.client().create_bucket(BUCKET);
    let mut ledger = Ledger::new();
    for round in 0..rounds {
        write_and_cut(&mut server, &disks, round, &mut ledger);
        disks.mount_again();
        server.restart();
        assert_told(&server.client(), &mut ledger, round);
    }
    println!("{rounds} power cuts, {} objects", ledger.len());
    server.end_whole(DEADLINE);
}
