//! Drive faults in the middle of a run. Two drives, the victims, vanish and come back stale, rot,
//! are wiped and replaced by command, change places, fill up and become read-only, and the process
//! is killed; more than two would be more than 4+2 promises to survive. In the end all of it is
//! mended, and redundancy must become full again.
//!
//! A fault is not done before the server knows how the one before it ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::run::Run;
use crate::support::random::Random;
use crate::support::server::Server;

/// What is wrong is found and made good soon.
pub(crate) const CONFIG: &str = "[storage_node]\nscrub_period_seconds = 5\n\
    [worker]\ndrive_gone_seconds = 1\ngarbage_grace_seconds = 2\ninventory_period_seconds = 2\n\
    unknown_age_seconds = 5\nquarantine_seconds = 2\n";

const DRIVES: usize = 6;
const DEADLINE: Duration = Duration::from_secs(120);
/// Room for a run and for what a drive keeps in reserve; only what is used takes memory.
const ROOMY: &str = "size=4g";

/// How a victim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Away,
    /// Emptied, and not yet replaced.
    Wiped,
    Full,
    ReadOnly,
}

/// A drive that faults happen to.
#[derive(Debug)]
struct Victim {
    drive: usize,
    health: Health,
    /// It is a file system of its own, which can be filled and made read-only, but not moved.
    is_mount: bool,
    folder: PathBuf,
}

/// The victims and how they are.
#[derive(Debug)]
pub(crate) struct Faults {
    victims: [Victim; 2],
    /// Damaged bytes may not have been found yet, so a write may lose a drive to them at any time.
    damaged: bool,
    /// How many there were.
    done: u64,
}

impl Faults {
    /// Draws the victims. To be called before the server's first start.
    pub(crate) fn prepare(server: &Server, random: &mut Random) -> Self {
        let first = random.below(6) as usize;
        let second = (first + 1 + random.below(5) as usize) % 6;
        let with_mount = random.percent(50);
        let victim = |number: usize, is_mount: bool| {
            let folder = server.drive(number + 1);
            Victim {
                drive: number + 1,
                health: Health::Good,
                is_mount: is_mount && mount(&folder),
                folder,
            }
        };
        Self {
            victims: [victim(first, false), victim(second, with_mount)],
            damaged: false,
            done: 0,
        }
    }

    /// Whether anything is wrong, so that a write may be refused.
    pub(crate) fn any(&self) -> bool {
        let mut victims = self.victims.iter();
        self.damaged || victims.any(|victim| victim.health != Health::Good)
    }

    /// Now and then does something to a victim.
    pub(crate) fn maybe_change(&mut self, run: &mut Run) {
        if !run.random.percent(8) {
            return;
        }
        let which = run.random.below(2) as usize;
        let choice = run.random.below(12);
        let Victim {
            drive,
            health,
            is_mount,
            ref folder,
        } = self.victims[which];
        let folder = folder.clone();
        match (health, choice) {
            (Health::Good, 0..4) if !is_mount => {
                run.note(format!("drive {drive} vanishes"));
                let away = away(&folder);
                fs::create_dir_all(away.parent().expect("it is in a folder"))
                    .and_then(|()| fs::rename(&folder, away))
                    .expect("a folder can be moved");
                self.victims[which].health = Health::Away;
                self.done += 1;
            }
            (Health::Good, 0..3) => {
                run.note(format!("drive {drive} is full"));
                fill(&folder);
                self.victims[which].health = Health::Full;
                self.done += 1;
            }
            (Health::Good, 3) => {
                run.note(format!("drive {drive} becomes read-only"));
                // Files that are open for writing would refuse it.
                run.server.kill();
                remount(&folder, "ro");
                run.server.restart_degraded();
                self.victims[which].health = Health::ReadOnly;
                self.done += 1;
            }
            (Health::Good, 4..7) => {
                run.note(format!("drive {drive} is damaged"));
                self.damaged = true;
                self.done += 1;
                damage(&folder, &mut run.random);
            }
            (Health::Good, 7) => {
                run.note(format!("drive {drive} is wiped"));
                empty(&folder);
                self.victims[which].health = Health::Wiped;
                self.done += 1;
            }
            (Health::Good, 8 | 9) => self.swap(run),
            (Health::Good, _) => {}
            (_, 10 | 11) => {
                run.note("killed while a drive is ill");
                self.done += 1;
                run.server.kill();
                run.server.restart_degraded();
                self.await_known(run);
            }
            (_, 0..6) => {
                run.note(format!("drive {drive} is mended ({health:?})"));
                self.mend(run, which);
            }
            _ => {}
        }
    }

    /// The victims change places, if both are well and can.
    fn swap(&mut self, run: &mut Run) {
        let [one, other] = &self.victims;
        let may = |victim: &Victim| victim.health == Health::Good && !victim.is_mount;
        if !may(one) || !may(other) {
            return;
        }
        let (first, second) = (&one.folder, &other.folder);
        run.note(format!("drives {} and {} swap", one.drive, other.drive));
        self.done += 1;
        let before = [id_at(&run.server, first), id_at(&run.server, second)];
        let aside = first.with_extension("aside");
        fs::rename(first, &aside).expect("a folder can be renamed");
        fs::rename(second, first).expect("a folder can be renamed");
        fs::rename(&aside, second).expect("a folder can be renamed");
        let what = "drives that changed places are found";
        run.server.wait_until(what, DEADLINE, |server| {
            let after = [id_at(server, second), id_at(server, first)];
            before.iter().all(Option::is_some) && after == before
        });
        self.await_known(run);
    }

    /// Ends what is wrong with a victim, as far as an operator does it.
    fn mend(&mut self, run: &mut Run, which: usize) {
        let victim = &mut self.victims[which];
        let folder = &victim.folder;
        match victim.health {
            Health::Good => return,
            Health::Away => restore(folder),
            Health::Full => remount(folder, ROOMY),
            Health::ReadOnly => {
                run.server.kill();
                remount(folder, "rw");
                run.server.restart_degraded();
            }
            Health::Wiped => replace(&mut run.server, folder),
        }
        victim.health = Health::Good;
        self.await_known(run);
    }

    /// Waits until the server knows which drives are there.
    fn await_known(&self, run: &mut Run) {
        let ill = self.victims.iter().filter(|v| v.health != Health::Good);
        let well = DRIVES - ill.count();
        let what = "drives that are back are known";
        run.server.wait_until(what, DEADLINE, |server| {
            let view = server.admin_json(&["drive", "list"]);
            let drives = view["drives"].as_array().expect("drives are listed");
            drives.iter().filter(|d| d["state"] == "online").count() >= well
        });
        if !self.any() {
            // Nothing excuses a refusal now.
            let what = "writes are taken again";
            run.server.wait_until(what, DEADLINE, |server| {
                let ready = server.admin_get("/readyz?writes");
                ready.is_ok_and(|answer| answer.status == 200)
            });
        }
    }

    /// Mends everything, after which the workers must bring redundancy back.
    pub(crate) fn heal(&mut self, run: &mut Run) {
        for which in 0..self.victims.len() {
            self.mend(run, which);
        }
        self.await_known(run);
        run.server.wait_until_every_byte_is_whole(DEADLINE);
        self.damaged = false;
        println!("seed {}: {} faults made good", run.plan.seed, self.done);
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        for victim in self.victims.iter().filter(|victim| victim.is_mount) {
            let umount = Command::new("umount")
                .arg("-l")
                .arg(&victim.folder)
                .status();
            umount.ok();
        }
    }
}

/// Gives a drive a file system of its own, where this machine allows it.
fn mount(folder: &Path) -> bool {
    fs::create_dir_all(folder).expect("a folder can be made");
    let what = ["-t", "tmpfs", "-o", ROOMY, "tmpfs"];
    let mounted = Command::new("mount").args(what).arg(folder).status();
    mounted.is_ok_and(|status| status.success())
}

fn try_remount(folder: &Path, option: &str) -> bool {
    let option = format!("remount,{option}");
    let done = Command::new("mount")
        .args(["-o", &option])
        .arg(folder)
        .output();
    done.is_ok_and(|done| done.status.success())
}

fn remount(folder: &Path, option: &str) {
    assert!(
        try_remount(folder, option),
        "{option}: {}",
        folder.display()
    );
}

/// Leaves a file system no room beside what is on it.
fn fill(folder: &Path) {
    // What is written between the two makes the second fail.
    let full = || {
        let said = Command::new("stat")
            .args(["--file-system", "--format", "%b %f %S"])
            .arg(folder)
            .output()
            .expect("stat runs");
        let said = String::from_utf8(said.stdout).expect("it says text");
        let numbers: Vec<u64> = said
            .split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect();
        let used = (numbers[0] - numbers[1]) * numbers[2];
        try_remount(folder, &format!("size={used}"))
    };
    assert!((0..100).any(|_| full()), "{} is filled", folder.display());
}

/// Empties a folder, which stays. The server may still be writing into what is in it: that is tried
/// as often as it takes.
fn empty(folder: &Path) {
    let began = Instant::now();
    let entries = || fs::read_dir(folder).expect("a folder can be listed");
    while entries().next().is_some() {
        for entry in entries() {
            let path = entry.expect("a folder can be listed").path();
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            if let Err(error) = removed {
                assert!(began.elapsed() < DEADLINE, "{error}");
            }
        }
    }
}

/// The id of the drive that is in `folder`, if the server knows of one.
fn id_at(server: &Server, folder: &Path) -> Option<String> {
    let path = fs::canonicalize(folder).ok()?;
    let view = server.admin_json(&["drive", "list"]);
    let drives = view["drives"].as_array().expect("drives are listed");
    let found = drives
        .iter()
        .find(|drive| drive["path"].as_str() == path.to_str() && drive["state"] == "online");
    Some(found?["id"].as_str()?.to_owned())
}

/// Makes a new drive of an emptied folder, in the place of the one that was there.
pub(crate) fn replace(server: &mut Server, folder: &Path) {
    let path = fs::canonicalize(folder).expect("the folder is there");
    let path = path.to_str().expect("a path is text").to_owned();
    let what = "a wiped drive can be replaced";
    server.wait_until(what, DEADLINE, |server| {
        let view = server.admin_json(&["drive", "list"]);
        let drives = view["drives"].as_array().expect("drives are listed");
        let missing = drives
            .iter()
            .find(|drive| drive["path"] == path.as_str() && drive["state"] == "missing");
        let id = missing.and_then(|drive| drive["id"].as_str());
        id.is_some_and(|id| {
            let words = ["drive", "replace", id, &path, "--shared-disk"];
            server.admin(&words).status.success()
        })
    });
}

/// Where a drive's folder is while it is away: not among the drives, where a start would find it.
fn away(folder: &Path) -> PathBuf {
    let drive = folder.file_name().expect("a drive's folder has a name");
    let test = folder.ancestors().nth(3).expect("it is in a data folder");
    test.join("away").join(drive)
}

/// Puts a folder back; what a server may have made in its place meanwhile must be empty.
fn restore(folder: &Path) {
    if folder.exists() {
        fs::remove_dir(folder).expect("nobody writes where a drive is missing");
    }
    fs::rename(away(folder), folder).expect("a folder can be renamed");
}

/// Flips a bit in up to eight of the drive's files, never in its identity.
pub(crate) fn damage(folder: &Path, random: &mut Random) -> usize {
    let files = data_files(folder);
    let mut damaged = 0;
    for _ in 0..8.min(files.len()) {
        let path = random.pick(&files);
        let Ok(mut bytes) = fs::read(path) else {
            continue;
        };
        if bytes.is_empty() {
            continue;
        }
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        write_in_place(path, &bytes[at..=at], at as u64);
        damaged += 1;
    }
    damaged
}

/// Overwrites bytes of a file without replacing it: who has it open sees them.
pub(crate) fn write_in_place(path: &Path, bytes: &[u8], offset: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.write_all_at(bytes, offset))
        .expect("a file can be written");
}

/// All files of a drive that hold fragments or segments.
pub(crate) fn data_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                // Where the scrub is: notes that come and go.
                if !path.ends_with("scrub") {
                    folders.push(path);
                }
            } else if path.metadata().is_ok_and(|meta| meta.len() > 0) && !is_identity(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A drive without its identity is no drive: that is another fault.
fn is_identity(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == "holdfast-drive")
}
