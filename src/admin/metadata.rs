//! `holdfast admin metadata`: backups while it is served, and what is done with one while it is not.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::Cell;
use holdfast_gateway::admin::view::{BackupView, BackupsView, DoneView, TakeBackup};
use holdfast_metadata::backup::{Restore, RestoreInto, Slip, Slips, restore};
use holdfast_metadata::image::{ImageInfo, ImageReader};
use holdfast_storage_node::ShelfFolder;
use holdfast_types::{Clock as _, SystemClock};
use http::Method;
use uuid::Uuid;

use super::recover::{backup_from_drives, slips};
use super::show::{bytes, headed};
use super::verify::AdminVerifyArgs;
use super::{Admin, out};
use crate::serve::{DataFolder, closed_shelves, cluster_of};

#[derive(Debug, Subcommand)]
pub(crate) enum MetadataCommand {
    /// Write a consistent backup of all metadata to a new file on the server's machine, or into a
    /// bucket.
    Backup(BackupArgs),
    /// Backups that were taken.
    #[command(subcommand)]
    Backups(BackupsCommand),
    /// Read backups that were put into a bucket off the drives of a stopped store whose metadata is
    /// lost. Without --to it says which there are.
    RecoverBackup(RecoverArgs),
    /// Read a backup's file, check all of it, and say what is in it. Needs no server.
    Verify(FileArgs),
    /// Make a stopped store's metadata of a backup, into DATA or into an empty PostgreSQL. Nothing
    /// is destroyed afterwards until `reconcile --confirm`.
    Restore(RestoreArgs),
    /// After a restore: compare the metadata with the drives, both ways; `--confirm` accepts what it
    /// said.
    Reconcile(ReconcileArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupsCommand {
    /// All of them, with the time until which each pins what it knows.
    List,
    /// Forget one: what it pinned may be destroyed.
    Forget(ForgetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file, from the root of the server's machine.
    #[arg(long, value_name = "FILE", required_unless_present = "to_bucket")]
    to: Option<PathBuf>,
    /// A bucket of this Holdfast, and the key of a new object in it (one with the time in it if
    /// none is given).
    #[arg(long, value_name = "BUCKET[/KEY]", conflicts_with = "to")]
    to_bucket: Option<String>,
    /// For so many days nothing that the backup knows is destroyed.
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    keep_days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Its id, as `backups list` shows it.
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// `postgres://...`: restore into this empty database instead of into DATA.
    #[arg(long, value_name = "URL")]
    into: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// Accept what the last comparison said: unknown fragments may be destroyed from then on.
    #[arg(long)]
    confirm: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// A new file for it, which `verify` and `restore` take.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Which one [default: the newest].
    #[arg(long, value_name = "ID", requires = "to")]
    id: Option<Uuid>,
}

const PATH: &str = "/admin/v1/metadata/backups";

/// Runs a command that needs no server; gives back one that does.
pub(super) async fn offline(
    command: MetadataCommand,
    data: &std::path::Path,
    as_json: bool,
) -> anyhow::Result<Option<MetadataCommand>> {
    match command {
        MetadataCommand::Verify(FileArgs { file }) => {
            let info = tokio::task::spawn_blocking(move || read(&file)).await??;
            tell(&info, as_json)?;
            Ok(None)
        }
        MetadataCommand::Restore(args) => {
            restore_into(args, data, as_json).await?;
            Ok(None)
        }
        MetadataCommand::RecoverBackup(args) => {
            recover(args, data, as_json).await?;
            Ok(None)
        }
        online => Ok(Some(online)),
    }
}

fn read(file: &std::path::Path) -> anyhow::Result<ImageInfo> {
    let open = File::open(file).with_context(|| format!("can't read {}", file.display()))?;
    ImageReader::new(Box::new(BufReader::with_capacity(1 << 20, open)))
        .and_then(ImageReader::verify)
        .with_context(|| format!("{} is no good backup", file.display()))
}

fn tell(info: &ImageInfo, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return out(&format!("{}\n", serde_json::to_string(info)?));
    }
    let cluster = info.cluster.map_or("-".to_owned(), |id| id.to_string());
    let mut table = headed(&["table", "rows"]);
    for (name, rows, _) in info.tables.iter().filter(|table| table.1 > 0) {
        table.add_row([Cell::new(name), Cell::new(rows)]);
    }
    out(&format!(
        "whole: {} of cluster {cluster}, epoch {}, schema {}\n{table}\n",
        bytes(info.bytes),
        info.epoch,
        info.schema_version
    ))
}

async fn restore_into(
    args: RestoreArgs,
    data: &std::path::Path,
    as_json: bool,
) -> anyhow::Result<()> {
    // Held to the end: nobody serves it meanwhile.
    let data = DataFolder::take(data)?;
    data.make_database_folder()?;
    let shelves = closed_shelves(&data, ShelfFolder::Metadata).await?;
    let into = match args.into {
        Some(url) => RestoreInto::Postgres(url),
        None => RestoreInto::Sqlite(data.database()),
    };
    let restored = restore(Restore {
        file: args.file,
        into,
        cluster: cluster_of(&data)?,
        shelves,
        now_ms: SystemClock.now_ms(),
    })
    .await?;
    tell(&restored.info, as_json)?;
    if let Some(aside) = restored.set_aside {
        eprintln!("what was there before is now {}", aside.display());
    }
    eprintln!(
        "restored, as epoch {}. Nothing is destroyed until `holdfast admin metadata reconcile` has \
         compared it with the drives and was confirmed.",
        restored.epoch
    );
    Ok(())
}

async fn recover(args: RecoverArgs, data: &std::path::Path, as_json: bool) -> anyhow::Result<()> {
    // Held to the end: nothing moves meanwhile.
    let data = DataFolder::take(data)?;
    let slips = slips(&data).await?;
    let Some(to) = args.to else {
        return tell_slips(&slips, as_json);
    };
    let slip = match args.id {
        Some(id) => slips.found.iter().find(|slip| slip.backup == id),
        None => slips.found.first(),
    };
    let Some(slip) = slip else {
        bail!(
            "no drive below {} says that there is such a backup",
            data.drives().display()
        );
    };
    backup_from_drives(&data, slip, &to).await?;
    let file = to.clone();
    let info = tokio::task::spawn_blocking(move || read(&file)).await??;
    tell(&info, as_json)?;
    eprintln!(
        "{} was read off the drives. `holdfast admin metadata restore {}` makes the metadata of it.",
        place_of(slip),
        to.display()
    );
    Ok(())
}

fn place_of(slip: &Slip) -> String {
    format!("s3://{}/{}", slip.bucket, slip.key)
}

fn tell_slips(slips: &Slips, as_json: bool) -> anyhow::Result<()> {
    for why in &slips.bad {
        eprintln!("! {why}");
    }
    let backups = slips.found.iter().map(|slip| BackupView {
        id: slip.backup.simple().to_string(),
        taken_ms: slip.taken_ms,
        expires_ms: slip.expires_ms,
        place: place_of(slip),
        bytes: slip.bytes,
    });
    let view = BackupsView {
        backups: backups.collect(),
        reconcile_pending_since_ms: None,
    };
    if as_json {
        return out(&format!("{}\n", serde_json::to_string(&view)?));
    }
    out(&backups_table(&view))
}

impl Admin {
    pub(super) async fn metadata(&self, command: MetadataCommand) -> anyhow::Result<()> {
        match command {
            MetadataCommand::Backup(args) => self.backup(args).await,
            MetadataCommand::Backups(BackupsCommand::List) => self.show(PATH, backups_table).await,
            MetadataCommand::Backups(BackupsCommand::Forget(ForgetArgs { id })) => {
                let path = format!("{PATH}/{id}");
                let answer = self.client.send(Method::DELETE, &path, Vec::new()).await?;
                self.print(&answer.good()?, |done: &DoneView| {
                    format!("{}\n", done.done)
                })
            }
            MetadataCommand::Reconcile(ReconcileArgs { confirm: true }) => {
                let path = "/admin/v1/metadata/reconciled";
                let answer = self.client.send(Method::POST, path, Vec::new()).await?;
                self.print(&answer.good()?, |done: &DoneView| {
                    format!("{}\n", done.done)
                })
            }
            MetadataCommand::Reconcile(_) => self.reconcile().await,
            MetadataCommand::Verify(_)
            | MetadataCommand::Restore(_)
            | MetadataCommand::RecoverBackup(_) => bail!("it needs no server"),
        }
    }

    async fn backup(&self, args: BackupArgs) -> anyhow::Result<()> {
        let keep = Duration::from_secs(u64::from(args.keep_days) * 24 * 3600);
        let (bucket, key) = match args.to_bucket.as_deref().map(|to| to.split_once('/')) {
            Some(Some((bucket, key))) => (Some(bucket.to_owned()), Some(key.to_owned())),
            Some(None) => (args.to_bucket, None),
            None => (None, None),
        };
        let body = serde_json::to_vec(&TakeBackup {
            file: args.to.map(|to| to.display().to_string()),
            bucket,
            key,
            keep_seconds: Some(keep.as_secs()),
        })?;
        let answer = self.client.send_patiently(Method::POST, PATH, body).await?;
        let answer = answer.good()?;
        self.print(&answer, |taken: &BackupView| {
            format!(
                "{}: {}; nothing that it knows is destroyed until {}\n",
                taken.place,
                bytes(taken.bytes),
                at(taken.expires_ms)
            )
        })
    }

    async fn reconcile(&self) -> anyhow::Result<()> {
        let answer = self.client.send(Method::GET, PATH, Vec::new()).await?;
        let view: BackupsView = answer.good()?.json()?;
        if view.reconcile_pending_since_ms.is_none() {
            return out("nothing waits to be reconciled\n");
        }
        eprintln!(
            "comparing the restored metadata with the drives, both ways. Broken: what the backup \
             knew and the drives lack. Unplaced: fragments of objects that are newer than the backup \
             (or garbage), which are destroyed some time after `--confirm`."
        );
        self.verify(&AdminVerifyArgs::default()).await
    }
}

fn backups_table(view: &BackupsView) -> String {
    let mut table = headed(&["id", "taken", "pins until", "size", "place"]);
    for backup in &view.backups {
        let size = match backup.bytes {
            0 => "not whole".to_owned(),
            len => bytes(len),
        };
        table.add_row([
            Cell::new(&backup.id),
            Cell::new(at(backup.taken_ms)),
            Cell::new(at(backup.expires_ms)),
            Cell::new(size),
            Cell::new(&backup.place),
        ]);
    }
    let pending = match view.reconcile_pending_since_ms {
        None => String::new(),
        Some(since) => format!(
            "restored {}: nothing is destroyed until `holdfast admin metadata reconcile --confirm`\n",
            at(since)
        ),
    };
    format!("{table}\n{pending}")
}

/// A time as people write it, in UTC.
fn at(ms: u64) -> String {
    let (days, second) = ((ms / 86_400_000) as i64, ms / 1000 % 86_400);
    // Howard Hinnant's days_from_civil, backwards.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn times_are_shown_as_people_write_them() {
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(1_709_208_000_000), "2024-02-29 12:00 UTC");
        assert_eq!(at(1_800_000_000_000), "2027-01-15 08:00 UTC");
    }
}
