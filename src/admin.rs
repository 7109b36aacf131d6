//! `holdfast admin`: asks a running Holdfast over its admin API, and shows the answer as a table
//! for people or, with `--json`, as it came.

mod client;
mod metadata;
mod policies;
mod quota;
mod rate_limit;
mod recover;
mod show;
mod upkeep;
mod verify;
mod webhook;

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use holdfast_gateway::admin::view;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::client::{Answer, Client};
pub(crate) use self::metadata::MetadataCommand;
pub(crate) use self::policies::{BucketCommand, PolicyCommand};
pub(crate) use self::rate_limit::KeyRateArgs;
pub(crate) use self::upkeep::{DriveCommand, RepairCommand, WorkerCommand};
pub(crate) use self::verify::AdminVerifyArgs;
pub(crate) use self::webhook::WebhookCommand;
use crate::cli::{
    AdminArgs, AdminCommand, ConnectionArgs, KeyCommand, KeyCreateArgs, MasterKeyCommand, ReadyArgs,
};
use crate::serve::{ACCESS_KEY, SECRET_KEY, read_root_key, root_key_file};
use crate::sign;

/// Runs one command; fails if it was not done.
pub(crate) fn run(args: AdminArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    runtime.block_on(command(args))
}

async fn command(mut args: AdminArgs) -> anyhow::Result<()> {
    let json = args.connection.json;
    if let AdminCommand::Metadata(command) = args.command {
        match metadata::offline(command, &args.connection.data, json).await? {
            None => return Ok(()),
            Some(online) => args.command = AdminCommand::Metadata(online),
        }
    }
    if let AdminCommand::Ready(ready_args) = &args.command {
        return ready(&args.connection, ready_args).await;
    }
    let admin = Admin {
        client: Client::new(
            &args.connection.endpoint,
            &args.connection.region,
            Some(credentials(&args.connection)?),
        )?,
        json,
    };
    match args.command {
        AdminCommand::Ready(_) => Ok(()),
        AdminCommand::Webhook(command) => admin.webhook(command).await,
        AdminCommand::Verify(args) => admin.verify(&args).await,
        AdminCommand::Metadata(command) => admin.metadata(command).await,
        AdminCommand::Status => admin.show("/admin/v1/status", show::status).await,
        AdminCommand::Drive(command) => admin.drive(command).await,
        AdminCommand::Worker(command) => admin.worker(command).await,
        AdminCommand::Repair(command) => admin.repair(command).await,
        AdminCommand::Bucket(command) => admin.bucket(command).await,
        AdminCommand::Policy(command) => admin.policy(command).await,
        AdminCommand::MasterKey(MasterKeyCommand::List) => {
            admin.show("/admin/v1/master-keys", show::master_keys).await
        }
        AdminCommand::MasterKey(MasterKeyCommand::Rotate) => admin.rotate_master_key().await,
        AdminCommand::MasterKey(MasterKeyCommand::Retire(key)) => {
            admin.retire_master_key(&key.id).await
        }
        AdminCommand::Key(KeyCommand::List) => admin.show("/admin/v1/keys", show::keys).await,
        AdminCommand::Key(KeyCommand::Create(key)) => admin.create_key(key).await,
        AdminCommand::Key(KeyCommand::RateLimit(args)) => admin.limit_key(args).await,
        AdminCommand::Key(KeyCommand::Delete(key)) => admin.delete_key(&key.access_key).await,
    }
}

struct Admin {
    client: Client,
    json: bool,
}

impl Admin {
    async fn show<V>(&self, path: &str, table: impl FnOnce(&V) -> String) -> anyhow::Result<()>
    where
        V: DeserializeOwned,
    {
        let answer = self
            .client
            .send(Method::GET, path, Vec::new())
            .await?
            .good()?;
        self.print(&answer, table)
    }

    fn print<V>(&self, answer: &Answer, table: impl FnOnce(&V) -> String) -> anyhow::Result<()>
    where
        V: DeserializeOwned,
    {
        if self.json {
            out(&answer.text())?;
        } else {
            out(&table(&answer.json()?))?;
        }
        Ok(())
    }

    /// All pages, as one list.
    async fn buckets(&self) -> anyhow::Result<()> {
        let mut all = view::BucketsView {
            buckets: Vec::new(),
            next: None,
        };
        loop {
            let path = match &all.next {
                None => "/admin/v1/buckets".to_owned(),
                Some(after) => format!("/admin/v1/buckets?after={after}"),
            };
            let answer = self
                .client
                .send(Method::GET, &path, Vec::new())
                .await?
                .good()?;
            let page: view::BucketsView = answer.json()?;
            all.buckets.extend(page.buckets);
            all.next = page.next;
            if all.next.is_none() {
                break;
            }
        }
        self.print_value(&all, show::buckets)
    }

    fn print_value<V: Serialize>(
        &self,
        value: &V,
        table: impl FnOnce(&V) -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            out(&format!("{}\n", serde_json::to_string(value)?))?;
        } else {
            out(&table(value))?;
        }
        Ok(())
    }

    async fn create_key(&self, args: KeyCreateArgs) -> anyhow::Result<()> {
        let secret_key = match (&args.secret_key, &args.secret_key_file) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(file)) => Some(first_line(file)?),
            (None, None) => None,
        };
        if args.access_key.is_some() && secret_key.is_none() {
            bail!("an imported key needs its secret: --secret-key-file or --secret-key");
        }
        let body = view::CreateKey {
            access_key: args.access_key,
            secret_key,
            description: args.description,
        };
        let body = serde_json::to_vec(&body)?;
        let answer = self
            .client
            .send(Method::POST, "/admin/v1/keys", body)
            .await?
            .good()?;
        self.print(&answer, show::new_key)
    }

    async fn rotate_master_key(&self) -> anyhow::Result<()> {
        let answer = self
            .client
            .send(Method::POST, "/admin/v1/master-keys", Vec::new())
            .await?
            .good()?;
        self.print(&answer, show::new_master_key)
    }

    async fn retire_master_key(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("/admin/v1/master-keys/{}", sign::encode(id));
        let answer = self
            .client
            .send(Method::DELETE, &path, Vec::new())
            .await?
            .good()?;
        self.print(&answer, |retired: &view::DeletedView| {
            format!("retired master key {}\n", retired.deleted)
        })
    }

    async fn delete_key(&self, access_key: &str) -> anyhow::Result<()> {
        let path = format!("/admin/v1/keys/{}", sign::encode(access_key));
        let answer = self
            .client
            .send(Method::DELETE, &path, Vec::new())
            .await?
            .good()?;
        self.print(&answer, |deleted: &view::DeletedView| {
            format!("removed access key {}\n", deleted.deleted)
        })
    }
}

/// Asks without a key first: on the same machine that is enough.
async fn ready(connection: &ConnectionArgs, args: &ReadyArgs) -> anyhow::Result<()> {
    let path = if args.writes {
        "/readyz?writes"
    } else {
        "/readyz"
    };
    let open = Client::new(&connection.endpoint, &connection.region, None)?;
    let mut answer = open.send(Method::GET, path, Vec::new()).await?;
    if answer.is_forbidden() {
        let key = credentials(connection)?;
        let signed = Client::new(&connection.endpoint, &connection.region, Some(key))?;
        answer = signed.send(Method::GET, path, Vec::new()).await?.good()?;
    }
    let view: view::ReadyView = answer.json()?;
    if connection.json {
        out(&answer.text())?;
    } else {
        out(&show::ready(&view))?;
    }
    if view.ready {
        Ok(())
    } else {
        bail!("not ready")
    }
}

/// The key to sign with: the environment's, else that of the data folder.
fn credentials(connection: &ConnectionArgs) -> anyhow::Result<sign::Key> {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    match (variable(ACCESS_KEY), variable(SECRET_KEY)) {
        (Some(access_key), Some(secret_key)) => Ok(sign::Key {
            access_key,
            secret_key,
        }),
        (None, None) => key_from_data(&connection.data),
        _ => bail!("set both {ACCESS_KEY} and {SECRET_KEY}, or none"),
    }
}

pub(crate) fn key_from_data(data: &Path) -> anyhow::Result<sign::Key> {
    let file = root_key_file(data);
    match read_root_key(&file)? {
        Some(pair) => Ok(sign::Key {
            access_key: pair.access_key,
            secret_key: pair.secret_key,
        }),
        None => bail!(
            "no key to sign with: set {ACCESS_KEY} and {SECRET_KEY}, or give the --data folder of \
             the server ({} is not there)",
            file.display()
        ),
    }
}

/// Writes to standard output. Whoever reads it may have read enough: that is no failure.
pub(crate) fn out(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("can't write to standard output")
        }
        _ => Ok(()),
    }
}

pub(crate) fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().take(4096).read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
