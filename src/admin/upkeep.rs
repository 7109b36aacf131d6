//! `holdfast admin worker`, `repair` and the commands that change the set of drives.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::Cell;
use holdfast_gateway::admin::view::{
    AddDrive, AddedView, DoneView, DriveView, ProgressView, RemovedView, RepairView, SetPace,
    StakeView, WorkerView, WorkersView,
};
use holdfast_types::{DriveId, DriveState};
use http::Method;

use super::show::{bytes, duration, headed, number};
use super::{Admin, out, show};
use crate::sign;

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// What each worker is doing, how far it is, and what last stood in its way.
    List,
    /// Give all workers of a name another share of the time, from now on and over restarts.
    Pace(PaceArgs),
    /// Let all workers of a name rest until they are resumed, over restarts too.
    Pause(WorkerArgs),
    /// Let them go on.
    Resume(WorkerArgs),
    /// Let them look for work now instead of waiting.
    Run(WorkerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// The name, as `worker list` shows it.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct PaceArgs {
    /// The name, as `worker list` shows it.
    #[arg(value_name = "NAME")]
    name: String,
    /// The share of the time that it works while it has work: 1 to 100 percent.
    #[arg(value_name = "SHARE", value_parser = share)]
    share: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RepairCommand {
    /// What is owed, by how many more fragments the objects can lose, and how long it will take.
    Status(StatusArgs),
    /// Look for what is owed now instead of waiting.
    Run,
    /// Repair nothing until resumed, over restarts too.
    Pause,
    /// Go on.
    Resume,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Show it again every second until nothing is owed.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DriveCommand {
    /// All drives, with their state and the reason for it.
    List,
    /// Make a drive of an empty folder and use it, without a restart.
    Add(AddArgs),
    /// Empty a drive: it gets nothing new, and what it has is moved to others while reads go on.
    Drain(DrainArgs),
    /// Make a drive of an empty folder and let it take the place of another, which is emptied, or
    /// given up if it is dead.
    Replace(ReplaceArgs),
    /// Part with a drive that was drained; or with a dead one.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// An empty folder on the server: an absolute path, on a file system of its own.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Allow a file system that another drive or the data folder is on: both die at once.
    #[arg(long)]
    shared_disk: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The drive's id.
    #[arg(value_name = "ID")]
    drive: DriveId,
    /// Use it again; what was moved stays where it is.
    #[arg(long)]
    cancel: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplaceArgs {
    /// The id of the drive whose place is taken.
    #[arg(value_name = "OLD")]
    old: DriveId,
    #[command(flatten)]
    new: AddArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The drive's id.
    #[arg(value_name = "ID")]
    drive: DriveId,
    /// It is dead and will not come back: says what that means for what is stored.
    #[arg(long)]
    lost: bool,
    /// With --lost: do it.
    #[arg(long, requires = "lost")]
    yes: bool,
}

fn share(text: &str) -> Result<u8, String> {
    match text.strip_suffix('%').unwrap_or(text).trim().parse() {
        Ok(percent @ 1..=100) => Ok(percent),
        _ => Err("a share of the time is 1 to 100 percent".to_owned()),
    }
}

impl Admin {
    pub(super) async fn worker(&self, command: WorkerCommand) -> anyhow::Result<()> {
        match command {
            WorkerCommand::List => self.show("/admin/v1/workers", workers).await,
            WorkerCommand::Pace(PaceArgs { name, share }) => {
                let pace = SetPace { percent: share };
                self.order(&name, "pace", serde_json::to_vec(&pace)?).await
            }
            WorkerCommand::Pause(args) => self.order(&args.name, "pause", Vec::new()).await,
            WorkerCommand::Resume(args) => self.order(&args.name, "resume", Vec::new()).await,
            WorkerCommand::Run(args) => self.order(&args.name, "run", Vec::new()).await,
        }
    }

    pub(super) async fn repair(&self, command: RepairCommand) -> anyhow::Result<()> {
        match command {
            RepairCommand::Status(args) if args.watch => self.watch_repair().await,
            RepairCommand::Status(_) => self.show("/admin/v1/repair", repair).await,
            RepairCommand::Run => self.order("repair", "run", Vec::new()).await,
            RepairCommand::Pause => self.order("repair", "pause", Vec::new()).await,
            RepairCommand::Resume => self.order("repair", "resume", Vec::new()).await,
        }
    }

    pub(super) async fn drive(&self, command: DriveCommand) -> anyhow::Result<()> {
        match command {
            DriveCommand::List => self.show("/admin/v1/drives", show::drives).await,
            DriveCommand::Add(args) => self.put_drive("/admin/v1/drives", args).await,
            DriveCommand::Drain(DrainArgs { drive, cancel }) => {
                let what = if cancel { "undrain" } else { "drain" };
                let path = format!("/admin/v1/drives/{drive}/{what}");
                self.instruct(&path, Vec::new()).await
            }
            DriveCommand::Replace(ReplaceArgs { old, new }) => {
                let path = format!("/admin/v1/drives/{old}/replace");
                self.put_drive(&path, new).await
            }
            DriveCommand::Remove(args) => self.remove_drive(args).await,
        }
    }

    async fn order(&self, worker: &str, what: &str, body: Vec<u8>) -> anyhow::Result<()> {
        let path = format!("/admin/v1/workers/{}/{what}", sign::encode(worker));
        self.instruct(&path, body).await
    }

    async fn instruct(&self, path: &str, body: Vec<u8>) -> anyhow::Result<()> {
        let answer = self.client.send(Method::POST, path, body).await?.good()?;
        self.print(&answer, |done: &DoneView| format!("{}\n", done.done))
    }

    async fn put_drive(&self, path: &str, args: AddArgs) -> anyhow::Result<()> {
        let folder = std::path::absolute(&args.path)?;
        let folder = folder.to_str().context("the path is not UTF-8")?.to_owned();
        let body = serde_json::to_vec(&AddDrive {
            path: folder,
            shared_disk: args.shared_disk,
        })?;
        let answer = self.client.send_patiently(Method::POST, path, body).await?;
        self.print(&answer.good()?, added)
    }

    async fn remove_drive(&self, args: RemoveArgs) -> anyhow::Result<()> {
        let RemoveArgs { drive, lost, yes } = args;
        let query = match (lost, yes) {
            (false, _) => "",
            (true, false) => "?lost=tell",
            (true, true) => "?lost=accept",
        };
        let path = format!("/admin/v1/drives/{drive}{query}");
        let answer = self
            .client
            .send_patiently(Method::DELETE, &path, Vec::new())
            .await?
            .good()?;
        self.print(&answer, removed)?;
        if answer.json::<RemovedView>()?.removed {
            return Ok(());
        }
        bail!("nothing was changed: add --yes to give the drive up")
    }

    async fn watch_repair(&self) -> anyhow::Result<()> {
        let clear = if std::io::stdout().is_terminal() {
            "\x1b[H\x1b[2J"
        } else {
            ""
        };
        loop {
            let answer = self
                .client
                .send(Method::GET, "/admin/v1/repair", Vec::new())
                .await?
                .good()?;
            let view: RepairView = answer.json()?;
            out(&format!("{clear}{}", repair(&view)))?;
            if view.as_of_ms > 0 && view.by_spares.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// `admin worker list`.
fn workers(view: &WorkersView) -> String {
    let mut table = headed(&[
        "WORKER", "STATE", "PACE", "PROGRESS", "ETA", "RUN BY", "DOING",
    ]);
    for worker in &view.workers {
        let progress = worker.progress.as_ref();
        table.add_row([
            Cell::new(&worker.name),
            Cell::new(&worker.state),
            number(format!("{} %", worker.pace_percent)),
            number(progress.map_or_else(String::new, percent)),
            number(progress.map_or_else(String::new, eta)),
            Cell::new(run_by(worker)),
            Cell::new(doing(worker)),
        ]);
    }
    format!("{table}\n")
}

/// Which process runs it, and for how long; nothing where every process may.
fn run_by(worker: &WorkerView) -> String {
    match &worker.lease {
        Some(lease) => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let seconds = now.as_secs().saturating_sub(lease.since_ms / 1000);
            let who = if lease.here {
                "this one"
            } else {
                &lease.holder
            };
            format!("{who}, for {}", duration(seconds))
        }
        None => String::new(),
    }
}

fn doing(worker: &WorkerView) -> String {
    match &worker.last_error {
        Some(error) => format!("{}; failed: {error}", worker.doing),
        None => worker.doing.clone(),
    }
}

/// `admin repair status`.
fn repair(view: &RepairView) -> String {
    let mut text = format!(
        "repair is {}, at {} % of the time",
        view.state, view.pace_percent
    );
    if view.as_of_ms == 0 {
        text.push_str("; what is owed is being counted\n");
        return text;
    }
    if view.by_spares.is_empty() {
        text.push_str("; nothing is owed\n");
    } else {
        text.push_str(&format!(
            "\n{} {}, {} left, {}\n\n",
            bar(&view.progress),
            percent(&view.progress),
            bytes(view.progress.total - view.progress.done.min(view.progress.total)),
            match view.progress.eta_seconds {
                Some(seconds) => format!("done in {}", duration(seconds)),
                None => "no forecast".to_owned(),
            }
        ));
        let mut table = headed(&["CAN LOSE", "BLOBS", "FRAGMENTS", "BYTES", "AT RISK FOR"]);
        for (spares, owed) in &view.by_spares {
            let can_lose = match spares {
                ..0 => "unreadable now".to_owned(),
                0 => "nothing more".to_owned(),
                more => format!("{more} more"),
            };
            table.add_row([
                Cell::new(can_lose),
                number(owed.blobs.to_string()),
                number(owed.fragments.to_string()),
                number(bytes(owed.bytes)),
                number(duration(owed.oldest_seconds)),
            ]);
        }
        text.push_str(&format!("{table}\n"));
    }
    text.push_str(&format!(
        "{} fragments ({}) made anew and {} found whole since the start, {} attempts failed\n",
        view.repaired_fragments,
        bytes(view.repaired_bytes),
        view.found_whole,
        view.failures
    ));
    if view.blocked > 0 {
        text.push_str(&format!(
            "! {} fragments can't be repaired now: {}\n",
            view.blocked, view.last_error
        ));
    } else if !view.last_error.is_empty() {
        text.push_str(&format!("! {}\n", view.last_error));
    }
    text
}

fn added(view: &AddedView) -> String {
    let mut text = format!("{} is drive {}\n{}\n", view.path, view.drive, view.note);
    if let Some(at_stake) = &view.stake {
        text.push_str(&stake(at_stake));
    }
    text
}

fn removed(view: &RemovedView) -> String {
    let mut text = match view.removed {
        true => format!("drive {} is removed\n", view.drive),
        false => format!("if drive {} is given up:\n", view.drive),
    };
    if let Some(at_stake) = &view.stake {
        text.push_str(&stake(at_stake));
    }
    text
}

fn stake(stake: &StakeView) -> String {
    let mut text = format!(
        "{} fragments ({}) are made anew on other drives; no object is lost\n",
        stake.fragments,
        bytes(stake.bytes)
    );
    for (spares, blobs) in &stake.blobs_by_spares {
        text.push_str(&match spares {
            0 => format!("! {blobs} blobs can lose nothing more until then\n"),
            more => format!("{blobs} blobs can lose {more} more fragments until then\n"),
        });
    }
    text
}

/// What an operator can do about drives that are not as they should be.
pub(super) fn advice(drives: &[DriveView]) -> String {
    let mut text = String::new();
    for drive in drives {
        match (&drive.draining, drive.state) {
            (Some(draining), _) if draining.drained => text.push_str(&format!(
                "drive {} is empty: `holdfast admin drive remove {}`\n",
                drive.id, drive.id
            )),
            (Some(draining), _) => {
                let left = match draining.fragments_left {
                    Some(left) => format!("{left} fragments left"),
                    None => "being counted".to_owned(),
                };
                text.push_str(&format!(
                    "drive {} is being emptied: {} {}, {left}, {}\n",
                    drive.id,
                    bar(&draining.progress),
                    percent(&draining.progress),
                    match draining.progress.eta_seconds {
                        Some(seconds) => format!("done in {}", duration(seconds)),
                        None => "no forecast".to_owned(),
                    }
                ));
                if !draining.obstacle.is_empty() {
                    text.push_str(&format!("! {}\n", draining.obstacle));
                }
            }
            (None, DriveState::Missing) => text.push_str(&format!(
                "! drive {} is missing: mount it again; if it is gone for good, or was wiped, put \
                 an empty one in its place with `holdfast admin drive replace {} PATH`\n",
                drive.id, drive.id
            )),
            (None, DriveState::Faulty) => text.push_str(&format!(
                "! drive {} is faulty: if it does not come back, `holdfast admin drive replace {} \
                 PATH`\n",
                drive.id, drive.id
            )),
            _ => {}
        }
    }
    text
}

fn percent(progress: &ProgressView) -> String {
    match progress.total {
        0 => "100 %".to_owned(),
        total => format!("{} %", progress.done.min(total) * 100 / total),
    }
}

fn eta(progress: &ProgressView) -> String {
    progress.eta_seconds.map_or_else(String::new, duration)
}

fn bar(progress: &ProgressView) -> String {
    let full = match progress.total {
        0 => BAR_LEN,
        total => (progress.done.min(total) * BAR_LEN as u64 / total) as usize,
    };
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR_LEN - full))
}

/// Characters of a bar.
const BAR_LEN: usize = 30;

#[cfg(test)]
mod tests {
    use holdfast_gateway::admin::view::OwedView;

    use super::*;

    fn progress(done: u64, total: u64, eta_seconds: Option<u64>) -> ProgressView {
        ProgressView {
            done,
            total,
            unit: "bytes".to_owned(),
            eta_seconds,
        }
    }

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!(share("25"), Ok(25));
        assert_eq!(share("100%"), Ok(100));
        assert!(share("0").is_err() && share("101").is_err() && share("x").is_err());
    }

    #[test]
    fn a_repair_says_what_is_at_risk_and_how_long_it_takes() {
        let owed = |fragments, oldest_seconds| OwedView {
            blobs: 3,
            fragments,
            bytes: 2 << 30,
            oldest_seconds,
        };
        let view = RepairView {
            state: "busy".to_owned(),
            as_of_ms: 1,
            by_spares: [(-1, owed(9, 59)), (0, owed(6, 3600)), (1, owed(3, 60))].into(),
            progress: progress(3 << 30, 6 << 30, Some(90)),
            repaired_fragments: 4,
            repaired_bytes: 1 << 20,
            found_whole: 2,
            blocked: 9,
            failures: 1,
            bytes_per_second: 5,
            pace_percent: 50,
            last_error: "no drive can take it".to_owned(),
        };
        let text = repair(&view);
        for part in [
            "repair is busy, at 50 % of the time",
            "[###############---------------] 50 %, 3.00 GiB left, done in 1 min",
            "unreadable now",
            "nothing more",
            "1 more",
            "1 h 0 min",
            "4 fragments (1.00 MiB) made anew and 2 found whole",
            "! 9 fragments can't be repaired now: no drive can take it",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        let nothing = RepairView {
            by_spares: Default::default(),
            blocked: 0,
            last_error: String::new(),
            ..view
        };
        assert!(repair(&nothing).contains("nothing is owed"));
    }

    #[test]
    fn giving_a_drive_up_says_what_that_means() {
        let view = RemovedView {
            drive: "d".to_owned(),
            removed: false,
            stake: Some(StakeView {
                fragments: 7,
                bytes: 7 << 20,
                blobs_by_spares: [(0, 2), (1, 5)].into(),
            }),
        };
        let text = removed(&view);
        for part in [
            "if drive d is given up",
            "7 fragments (7.00 MiB) are made anew",
            "! 2 blobs can lose nothing more",
            "5 blobs can lose 1 more",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }
}
