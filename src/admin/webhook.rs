//! `holdfast admin webhook`: who is told what happens in buckets.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::{Args, Subcommand};
use comfy_table::Cell;
use holdfast_gateway::admin::view;
use http::Method;

use super::show::{duration, headed, number};
use super::{Admin, first_line, out};
use crate::sign;

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make a webhook; prints the ARN by which buckets name it.
    Create(WebhookCreateArgs),
    /// All webhooks, and how their deliveries stand.
    List,
    /// One webhook, with the events that its target refused.
    Status(WebhookName),
    /// Post a test event now; fails if it is not taken.
    Test(WebhookName),
    /// Remove a webhook that no bucket names; what still waits for it is dropped.
    Delete(WebhookName),
    /// Dead letters: events that its target refused for so long that they were put aside, oldest
    /// first.
    Letters(LettersArgs),
    /// Post dead letters again. They arrive later than what was told of their keys since.
    Retry(LettersChosen),
    /// Throw dead letters away: their events are never told.
    Discard(LettersChosen),
}

#[derive(Debug, Args)]
pub(crate) struct LettersArgs {
    /// The webhook's name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Begin behind this one.
    #[arg(long, value_name = "LETTER")]
    after: Option<String>,
    /// How many, at most [default: 100].
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct LettersChosen {
    /// The webhook's name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The letters, as `admin webhook letters NAME` names them.
    #[arg(value_name = "LETTER", required_unless_present = "all")]
    letters: Vec<String>,
    /// All that the webhook has.
    #[arg(long, conflicts_with = "letters")]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookName {
    /// The webhook's name.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookCreateArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Where events are posted to: http:// or https://.
    #[arg(long, value_name = "URL")]
    url: String,
    /// A file whose first line is sent as a bearer token; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    auth_token_file: Option<PathBuf>,
    /// Let the address be one of a private network.
    #[arg(long)]
    allow_private: bool,
    /// Let the address be this machine.
    #[arg(long)]
    allow_loopback: bool,
    /// Let the address be one of this link, or a cloud's metadata service.
    #[arg(long)]
    allow_link_local: bool,
}

const PATH: &str = "/admin/v1/webhooks";

impl Admin {
    pub(super) async fn webhook(&self, command: WebhookCommand) -> anyhow::Result<()> {
        match command {
            WebhookCommand::Create(args) => self.create_webhook(args).await,
            WebhookCommand::List => self.show(PATH, list).await,
            WebhookCommand::Status(WebhookName { name }) => {
                self.show(&path(&name, ""), status).await
            }
            WebhookCommand::Test(WebhookName { name }) => self.test_webhook(&name).await,
            WebhookCommand::Letters(args) => self.list_letters(args).await,
            WebhookCommand::Retry(chosen) => self.order_letters(chosen, "retry").await,
            WebhookCommand::Discard(chosen) => self.order_letters(chosen, "discard").await,
            WebhookCommand::Delete(WebhookName { name }) => {
                let answer = self
                    .client
                    .send(Method::DELETE, &path(&name, ""), Vec::new())
                    .await?
                    .good()?;
                self.print(&answer, |view: &view::DeletedView| {
                    format!("removed {}\n", view.deleted)
                })
            }
        }
    }

    async fn create_webhook(&self, args: WebhookCreateArgs) -> anyhow::Result<()> {
        let token = args
            .auth_token_file
            .as_deref()
            .map(first_line)
            .transpose()?;
        if token.as_ref().is_some_and(String::is_empty) {
            bail!("the first line of the token's file is empty");
        }
        let asked = view::CreateWebhook {
            name: args.name,
            url: args.url,
            token,
            allow_private: args.allow_private,
            allow_loopback: args.allow_loopback,
            allow_link_local: args.allow_link_local,
        };
        let body = serde_json::to_vec(&asked)?;
        let answer = self.client.send(Method::POST, PATH, body).await?.good()?;
        self.print(&answer, |view: &view::WebhookView| {
            format!("{}\n", view.arn)
        })
    }

    async fn list_letters(&self, args: LettersArgs) -> anyhow::Result<()> {
        let mut query = Vec::new();
        if let Some(after) = &args.after {
            query.push(format!("after={}", sign::encode(after)));
        }
        if let Some(limit) = args.limit {
            query.push(format!("limit={limit}"));
        }
        let mark = if query.is_empty() { "" } else { "?" };
        let below = format!("/dead-letters{mark}{}", query.join("&"));
        self.show(&path(&args.name, &below), letters).await
    }

    async fn order_letters(&self, chosen: LettersChosen, order: &str) -> anyhow::Result<()> {
        let asked = view::LettersAsked {
            letters: chosen.letters,
            all: chosen.all,
        };
        let path = path(&chosen.name, &format!("/dead-letters/{order}"));
        let body = serde_json::to_vec(&asked)?;
        let answer = self.client.send(Method::POST, &path, body).await?.good()?;
        let done = if order == "retry" {
            "will be posted again"
        } else {
            "thrown away"
        };
        self.print(&answer, |view: &view::LettersDoneView| {
            format!("{} dead letters of {} {done}\n", view.letters, view.webhook)
        })
    }

    async fn test_webhook(&self, name: &str) -> anyhow::Result<()> {
        let answer = self
            .client
            .send(Method::POST, &path(name, "/test"), Vec::new())
            .await?
            .good()?;
        let found: view::WebhookTestView = answer.json()?;
        if self.json {
            out(&answer.text())?;
        }
        match found.error {
            None if self.json => Ok(()),
            None => out(&format!("{name} took a test event\n")),
            Some(error) => bail!("{name} did not take a test event: {error}"),
        }
    }
}

fn path(name: &str, below: &str) -> String {
    format!("{PATH}/{}{below}", sign::encode(name))
}

/// `admin webhook letters`.
fn letters(view: &view::DeadLettersView) -> String {
    let mut table = headed(&["LETTER", "EVENT", "OBJECT", "PUT ASIDE", "STATE", "REASON"]);
    for letter in &view.dead_letters {
        let state = match letter.asked_ms {
            Some(_) => "to be posted again",
            None => "put aside",
        };
        table.add_row([
            Cell::new(&letter.id),
            Cell::new(&letter.event),
            Cell::new(format!("{}/{}", letter.bucket, letter.key)),
            Cell::new(format!("{} ago", age(letter.at_ms))),
            Cell::new(state),
            Cell::new(&letter.reason),
        ]);
    }
    let more = view
        .next
        .as_ref()
        .map(|next| format!("more: --after {next}\n"));
    format!("{table}\n{}", more.unwrap_or_default())
}

/// `admin webhook list`.
fn list(view: &view::WebhooksView) -> String {
    let mut table = headed(&[
        "WEBHOOK", "URL", "STATE", "SENT", "WAITING", "DEAD", "SKIPPED",
    ]);
    for webhook in &view.webhooks {
        let delivery = webhook.delivery.clone().unwrap_or_default();
        table.add_row([
            Cell::new(&webhook.name),
            Cell::new(&webhook.url),
            Cell::new(state(webhook)),
            number(delivery.sent.to_string()),
            number(waiting(&delivery)),
            number(delivery.dead_letters.to_string()),
            number(delivery.skipped.to_string()),
        ]);
    }
    format!("{table}\n")
}

/// `admin webhook status`.
fn status(view: &view::WebhookStatusView) -> String {
    let webhook = &view.webhook;
    let delivery = webhook.delivery.clone().unwrap_or_default();
    let mut text = format!(
        "name     {}\narn      {}\nurl      {}\ntoken    {}\nstate    {}\nsent     {} since the \
         server started\nfailed   {} attempts\nwaiting  {}\n",
        webhook.name,
        webhook.arn,
        webhook.url,
        if webhook.has_token { "yes" } else { "none" },
        state(webhook),
        delivery.sent,
        delivery.failed,
        waiting(&delivery),
    );
    if let Some(error) = &delivery.last_error {
        text.push_str(&format!("error    {error}\n"));
    }
    if delivery.skipped > 0 {
        text.push_str(&format!(
            "LOST     {} changes were never looked at: the change log was cut before they were \
             delivered\n",
            delivery.skipped
        ));
    }
    if delivery.dead_letters > 0 {
        text.push_str(&format!(
            "DEAD     {} events were refused for so long that they were put aside, {} of them will be \
             posted again; the newest:\n",
            delivery.dead_letters, delivery.dead_letters_asked
        ));
    }
    for letter in view.dead_letters.iter().take(SHOWN) {
        text.push_str(&format!(
            "  {} {} {}/{}: {}\n",
            letter.id, letter.event, letter.bucket, letter.key, letter.reason
        ));
    }
    text
}

fn state(webhook: &view::WebhookView) -> String {
    match &webhook.delivery {
        None => "starting".to_owned(),
        Some(delivery) if delivery.paused => "paused".to_owned(),
        Some(delivery) => match delivery.failing_since_ms {
            Some(since_ms) => format!("failing for {}", age(since_ms)),
            None => "good".to_owned(),
        },
    }
}

fn waiting(delivery: &view::WebhookDeliveryView) -> String {
    let more = if delivery.backlog_is_more { "+" } else { "" };
    match delivery.oldest_unsent_ms {
        Some(oldest_ms) => format!("{}{more}, oldest {}", delivery.backlog, age(oldest_ms)),
        None => format!("{}{more}", delivery.backlog),
    }
}

fn age(since_ms: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    duration(now.as_secs().saturating_sub(since_ms / 1000))
}

/// Of the dead letters; `--json` has more, and their bodies.
const SHOWN: usize = 10;
