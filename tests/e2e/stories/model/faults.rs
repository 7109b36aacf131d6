//! Drive faults in the middle of a run. Two drives, the victims, are taken away, brought back,
//! damaged and wiped; more than two would be more than 4+2 promises to survive.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::run::Run;
use crate::support::random::Random;

/// How a victim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Away,
    /// Emptied; it stays so, because nothing rebuilds it yet.
    Wiped,
}

/// The victims and how they are.
#[derive(Debug)]
pub(crate) struct Faults {
    victims: [(usize, Health); 2],
    /// Damaged bytes stay damaged, so a write may lose a drive to them at any time.
    damaged: bool,
}

impl Faults {
    /// Draws the victims.
    pub(crate) fn new(random: &mut Random) -> Self {
        let first = random.below(6) as usize;
        let second = (first + 1 + random.below(5) as usize) % 6;
        Self {
            victims: [(first + 1, Health::Good), (second + 1, Health::Good)],
            damaged: false,
        }
    }

    /// Whether anything is wrong, so that a write may be refused.
    pub(crate) fn any(&self) -> bool {
        self.damaged
            || self
                .victims
                .iter()
                .any(|(_, health)| *health != Health::Good)
    }

    /// Now and then does something to a victim.
    pub(crate) fn maybe_change(&mut self, run: &mut Run) {
        if !run.random.percent(8) {
            return;
        }
        let which = run.random.below(2) as usize;
        let (drive, health) = self.victims[which];
        let folder = run.server.drive(drive);
        self.victims[which].1 = match (health, run.random.below(10)) {
            (Health::Away, 0..5) => {
                run.note(format!("drive {drive} comes back"));
                restore(&folder);
                Health::Good
            }
            (Health::Good, 0..4) => {
                run.note(format!("drive {drive} goes away"));
                fs::rename(&folder, away(&folder)).expect("a folder can be renamed");
                Health::Away
            }
            (Health::Good, 4..8) => {
                run.note(format!("drive {drive} is damaged"));
                self.damaged = true;
                damage(&folder, &mut run.random);
                Health::Good
            }
            (Health::Good, 8) => {
                run.note(format!("drive {drive} is wiped"));
                wipe(&folder);
                Health::Wiped
            }
            (health, _) => health,
        };
        if health == Health::Away && !self.any() {
            // Nothing excuses a refusal now, so the server must have noticed.
            let minute = Duration::from_secs(60);
            run.server
                .wait_until("drives are noticed that came back", minute, |server| {
                    server
                        .admin_get("/readyz?writes")
                        .is_ok_and(|answer| answer.status == 200)
                });
        }
    }

    /// Brings back what can be brought back.
    pub(crate) fn heal(&mut self, run: &mut Run) {
        for (drive, health) in &mut self.victims {
            if *health == Health::Away {
                restore(&run.server.drive(*drive));
                *health = Health::Good;
            }
        }
    }
}

fn away(folder: &Path) -> PathBuf {
    folder.with_extension("away")
}

/// Puts an empty folder in a drive's place. The server may still be writing into the old one: it is
/// emptied out of its way, as often as that takes.
fn wipe(folder: &Path) {
    let old = folder.with_extension("wiped");
    fs::rename(folder, &old).expect("a folder can be renamed");
    fs::create_dir(folder).expect("a folder can be made");
    let began = Instant::now();
    while let Err(error) = fs::remove_dir_all(&old) {
        assert!(began.elapsed() < Duration::from_secs(60), "{error}");
    }
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
