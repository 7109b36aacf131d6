//! The command line: what can be asked for, and nothing else.
//!
//! Every flag of `serve` has an environment variable and a place in the configuration file; the
//! flag wins over the variable, the variable over the file, the file over the default. Commands
//! exist here only once they do something.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use holdfast_types::Layout;

use crate::admin::{
    AdminVerifyArgs, BucketCommand, DriveCommand, KeyRateArgs, MetadataCommand, PolicyCommand,
    RepairCommand, WebhookCommand, WorkerCommand,
};
use crate::bench::BenchArgs;
use crate::verify::VerifyArgs;

/// An S3-compatible object store over erasure-coded drives.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole Holdfast in this process: S3, metadata, drives and workers.
    Serve(ServeArgs),
    /// Ask a running Holdfast, or tell it what to do.
    Admin(AdminArgs),
    /// Load an S3 endpoint, check what comes back, and say what it took.
    Bench(BenchArgs),
    /// Read a configuration file and say what is wrong with it.
    CheckConfig(CheckConfigArgs),
    /// Look at a stopped store, change nothing, and say what is broken.
    Verify(VerifyArgs),
}

#[derive(Debug, Args, Default)]
pub(crate) struct ServeArgs {
    /// Where everything is kept [default: ./holdfast-data].
    #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// How many drives to make at first start, as folders DATA/drives/01, 02, ... [default: 6].
    #[arg(long, value_name = "N", env = "HOLDFAST_DRIVES")]
    pub(crate) drives: Option<u16>,
    /// How objects are split, fixed at first start: K data and M parity fragments, or copies:N
    /// [default: 4+2].
    #[arg(long, value_name = "K+M", env = "HOLDFAST_LAYOUT")]
    pub(crate) layout: Option<Layout>,
    /// Where S3 is served [default: 127.0.0.1:9000].
    #[arg(long, value_name = "ADDR", env = "HOLDFAST_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the admin API, health and metrics are served [default: 127.0.0.1:9001].
    #[arg(long, value_name = "ADDR", env = "HOLDFAST_ADMIN_LISTEN")]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// A name below which buckets are host names: BUCKET.NAME. May be given several times.
    #[arg(
        long,
        value_name = "NAME",
        env = "HOLDFAST_DOMAIN",
        value_delimiter = ','
    )]
    pub(crate) domain: Vec<String>,
    /// A configuration file (TOML); flags and environment win over it.
    #[arg(long, value_name = "FILE", env = "HOLDFAST_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Make the metadata anew from the newest that the drives which are there have of it, though
    /// the database is there, or drives are missing that may know better. What there was is set
    /// aside.
    #[arg(long)]
    pub(crate) restore_from_drives: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfigArgs {
    /// The file to check.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

/// How the admin API is reached, and as whom. The key comes from HOLDFAST_ACCESS_KEY and
/// HOLDFAST_SECRET_KEY, or else from the file that `serve` keeps in DATA.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// The admin listener.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "HOLDFAST_ADMIN_ENDPOINT",
        default_value = "http://127.0.0.1:9001"
    )]
    pub(crate) endpoint: String,
    /// The data folder whose root key is used when the environment has none.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "HOLDFAST_DATA",
        default_value = crate::config::DEFAULT_DATA
    )]
    pub(crate) data: PathBuf,
    /// The region that requests are signed for.
    #[arg(
        long,
        global = true,
        value_name = "REGION",
        env = "HOLDFAST_REGION",
        default_value = crate::config::DEFAULT_REGION
    )]
    pub(crate) region: String,
    /// Print JSON, as the API gave it.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// How it is: drives, space, objects, what is at risk and what is owed.
    Status,
    /// Whether it can serve; exits 0 if so. Needs no key on the same machine.
    Ready(ReadyArgs),
    /// Look at the store while it is served, change nothing, and say what is broken.
    Verify(AdminVerifyArgs),
    /// The metadata: backups, restore, reconcile.
    #[command(subcommand)]
    Metadata(MetadataCommand),
    /// Drives.
    #[command(subcommand)]
    Drive(DriveCommand),
    /// Background work: what it does, and how much of the time.
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// What is owed to stored objects, and its repair.
    #[command(subcommand)]
    Repair(RepairCommand),
    /// Buckets.
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Policies: how objects are kept.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Access keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Webhooks: who is told what happens in buckets.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Master keys, under which the keys of encrypted objects are kept.
    #[command(subcommand)]
    MasterKey(MasterKeyCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ReadyArgs {
    /// Ask for writes too: without it, being able to read is enough.
    #[arg(long)]
    pub(crate) writes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key, or import a given pair; prints the secret once.
    Create(KeyCreateArgs),
    /// All keys; secrets are never shown.
    List,
    /// Say how much is let through in a second by a key. What is not given is not limited.
    RateLimit(KeyRateArgs),
    /// Remove a key: requests signed with it are refused from then on.
    Delete(KeyDeleteArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MasterKeyCommand {
    /// All master keys by name, and how much each wraps; the keys themselves are never shown.
    List,
    /// Make a new one, which counts from then on; what older ones wrap is put under it in the
    /// background. Back up its file.
    Rotate,
    /// Forget an old one, by which nothing is wrapped any more.
    Retire(MasterKeyRetireArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MasterKeyRetireArgs {
    /// Its name, as `list` shows it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    /// Import this access key instead of making one up.
    #[arg(long, value_name = "KEY")]
    pub(crate) access_key: Option<String>,
    /// The secret of the imported key. Other users of this machine can see it while the command
    /// runs: prefer --secret-key-file.
    #[arg(
        long,
        value_name = "SECRET",
        requires = "access_key",
        conflicts_with = "secret_key_file"
    )]
    pub(crate) secret_key: Option<String>,
    /// A file whose first line is the secret of the imported key; `-` is standard input.
    #[arg(long, value_name = "FILE", requires = "access_key")]
    pub(crate) secret_key_file: Option<PathBuf>,
    /// What the key is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
}

#[derive(Debug, Args)]
pub(crate) struct KeyDeleteArgs {
    /// The access key.
    #[arg(value_name = "KEY")]
    pub(crate) access_key: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn refused(line: &str) -> ErrorKind {
        parse(line).map(|_| line.to_owned()).unwrap_err().kind()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_takes_its_flags_and_needs_none() {
        let Command::Serve(args) = parse("holdfast serve").unwrap().command else {
            panic!("serve is serve");
        };
        assert!(args.data.is_none() && args.layout.is_none() && args.domain.is_empty());

        let line = "holdfast serve --data d --drives 12 --layout 8+3 --listen [::]:80 \
                    --admin-listen 10.0.0.1:81 --domain a.example --domain b.example";
        let Command::Serve(args) = parse(line).unwrap().command else {
            panic!("serve is serve");
        };
        assert_eq!(args.data, Some("d".into()));
        assert_eq!(args.drives, Some(12));
        assert_eq!(args.layout, Some("8+3".parse().unwrap()));
        assert_eq!(args.listen, Some("[::]:80".parse().unwrap()));
        assert_eq!(args.admin_listen, Some("10.0.0.1:81".parse().unwrap()));
        assert_eq!(args.domain, ["a.example", "b.example"]);
    }

    #[test]
    fn bad_values_are_refused_before_anything_happens() {
        for line in [
            "holdfast serve --layout 4",
            "holdfast serve --layout 0+2",
            "holdfast serve --drives many",
            "holdfast serve --listen 9000",
        ] {
            assert_eq!(refused(line), ErrorKind::ValueValidation, "{line}");
        }
        assert_eq!(
            refused("holdfast serve --dives 6"),
            ErrorKind::UnknownArgument
        );
        assert_eq!(
            refused("holdfast admin key create --secret-key s"),
            ErrorKind::MissingRequiredArgument,
            "a secret without its access key"
        );
    }

    #[test]
    fn what_does_not_exist_is_no_command() {
        for line in [
            "holdfast worker",
            "holdfast gateway",
            "holdfast admin region",
            "holdfast admin node",
        ] {
            assert_eq!(refused(line), ErrorKind::InvalidSubcommand, "{line}");
        }
    }

    #[test]
    fn admin_flags_may_stand_anywhere() {
        for line in [
            "holdfast admin --json --endpoint http://h:1 status",
            "holdfast admin status --json --endpoint http://h:1",
        ] {
            let Command::Admin(args) = parse(line).unwrap().command else {
                panic!("admin is admin");
            };
            assert!(args.connection.json, "{line}");
            assert_eq!(args.connection.endpoint, "http://h:1", "{line}");
        }
    }
}
