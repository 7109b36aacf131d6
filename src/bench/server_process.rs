//! What a run takes of the server's machine: CPU time, memory and writes of its processes, read
//! from `/proc`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Serialize;

/// The server's processes, looked at before a run.
#[derive(Debug)]
pub(crate) struct Watch {
    processes: Vec<Process>,
    before: Taken,
    /// Whether the kernel forgot the former peak, so that the peak is the run's own.
    peak_is_ours: bool,
}

#[derive(Debug)]
struct Process {
    folder: PathBuf,
}

#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    cpu_ticks: u64,
    written_bytes: Option<u64>,
}

/// What the processes took together during the run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Usage {
    /// In user and kernel mode, of all threads.
    pub(crate) cpu_seconds: f64,
    /// The sum of the processes' peaks of resident memory.
    pub(crate) peak_rss_bytes: u64,
    /// False: the peaks are since the processes began, because they could not be reset.
    pub(crate) peak_is_of_this_run: bool,
    /// What the processes caused to be written to drives; absent where the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) written_bytes: Option<u64>,
}

impl Watch {
    /// Begins to watch `pids`; none is no watch.
    pub(crate) fn begin(pids: &[u32]) -> anyhow::Result<Option<Self>> {
        if pids.is_empty() {
            return Ok(None);
        }
        let processes: Vec<Process> = pids
            .iter()
            .map(|pid| Process {
                folder: PathBuf::from(format!("/proc/{pid}")),
            })
            .collect();
        let before = taken_by(&processes)?;
        let peak_is_ours = processes.iter().all(Process::forget_peak);
        Ok(Some(Self {
            processes,
            before,
            peak_is_ours,
        }))
    }

    /// What was taken since.
    pub(crate) fn end(&self) -> anyhow::Result<Usage> {
        let now = taken_by(&self.processes)?;
        let mut peak_rss_bytes = 0;
        for process in &self.processes {
            peak_rss_bytes += process.peak_rss_bytes()?;
        }
        let ticks = now.cpu_ticks.saturating_sub(self.before.cpu_ticks);
        Ok(Usage {
            cpu_seconds: ticks as f64 / TICKS_PER_SECOND,
            peak_rss_bytes,
            peak_is_of_this_run: self.peak_is_ours,
            written_bytes: match (now.written_bytes, self.before.written_bytes) {
                (Some(now), Some(before)) => Some(now.saturating_sub(before)),
                _ => None,
            },
        })
    }
}

fn taken_by(processes: &[Process]) -> anyhow::Result<Taken> {
    let mut sum = Taken {
        cpu_ticks: 0,
        written_bytes: Some(0),
    };
    for process in processes {
        sum.cpu_ticks += process.cpu_ticks()?;
        sum.written_bytes = sum
            .written_bytes
            .zip(process.written_bytes())
            .map(|(sum, more)| sum + more);
    }
    Ok(sum)
}

impl Process {
    fn cpu_ticks(&self) -> anyhow::Result<u64> {
        cpu_ticks(&self.read("stat")?)
            .with_context(|| format!("{} is not as expected", self.folder.join("stat").display()))
    }

    fn peak_rss_bytes(&self) -> anyhow::Result<u64> {
        match field(&self.read("status")?, "VmHWM:") {
            Some(kib) => Ok(kib << 10),
            None => bail!("{} states no VmHWM", self.folder.join("status").display()),
        }
    }

    /// Needs the right to trace the process, or to be its user.
    fn written_bytes(&self) -> Option<u64> {
        field(&self.read("io").ok()?, "write_bytes:")
    }

    /// Sets the peak of resident memory to what it is now.
    fn forget_peak(&self) -> bool {
        fs::write(self.folder.join("clear_refs"), "5").is_ok()
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let file = self.folder.join(name);
        fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))
    }
}

/// User and system time out of `/proc/PID/stat`. The name, in brackets, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The number behind `name` at a line's beginning.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// `USER_HZ`, which Linux has fixed at 100 for all programs.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_understood() {
        let stat = "77 (a ) b) S 1 77 77 0 -1 4194560 2 0 0 0 1234 66 0 0 20 0 9 0 100";
        assert_eq!(cpu_ticks(stat), Some(1300));
        assert_eq!(cpu_ticks("77 (short) S 1"), None);
        let status = "Name:\tholdfast\nVmPeak:\t 99 kB\nVmHWM:\t  1024 kB\nVmRSS:\t 5 kB\n";
        assert_eq!(field(status, "VmHWM:"), Some(1024));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn what_a_process_takes_is_counted_from_the_beginning() {
        let watch = Watch::begin(&[std::process::id()]).unwrap().unwrap();
        let began = std::time::Instant::now();
        let mut spun = 0_u64;
        while began.elapsed().as_millis() < 300 {
            spun = std::hint::black_box(spun + 1);
        }
        let usage = watch.end().unwrap();
        assert!(usage.cpu_seconds > 0.0 && usage.cpu_seconds < 100.0);
        assert!(usage.peak_rss_bytes > 1 << 20);
    }

    #[test]
    fn a_process_that_is_not_there_is_said_so() {
        let said = Watch::begin(&[u32::MAX]).unwrap_err().to_string();
        assert_eq!(said, "can't read /proc/4294967295/stat");
        assert!(Watch::begin(&[]).unwrap().is_none());
    }
}
