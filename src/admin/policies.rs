//! `holdfast admin policy`, and the commands of buckets that have to do with policies: making one,
//! giving it another, and bringing its old objects over.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Cell;
use holdfast_gateway::admin::view::{
    BucketChange, DeletedView, DoneView, PoliciesView, PolicyChange, PolicyCheckView, PolicyView,
    ReencodeView, ReencodesView, RuleView, StartReencode,
};
use holdfast_metadata::reencode::{JobState, Stage};
use holdfast_types::FailureDomain;
use http::Method;
use serde::Serialize;

use super::quota::BucketQuotaArgs;
use super::rate_limit::BucketRateArgs;
use super::show::{bytes, duration, headed, number};
use super::{Admin, out};
use crate::bench::size;
use crate::sign;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Make a policy.
    Create(PolicyCreateArgs),
    /// All policies.
    List,
    /// One policy, with its rules.
    Show(PolicyNameArgs),
    /// Change a policy: what is not given stays. New objects follow it at once, old ones with
    /// `admin bucket reencode`.
    Update(PolicyUpdateArgs),
    /// Delete a policy that no bucket follows.
    Delete(PolicyNameArgs),
    /// Say which failures a policy survives on the drives there are, what it costs, and how likely
    /// a loss is. Without a name: all policies.
    Check(PolicyCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyNameArgs {
    /// The policy.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyCreateArgs {
    /// Its name: 1 to 32 of a-z, 0-9 and `-`. Over S3 it is the storage class in capitals.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    settings: PolicySettings,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyUpdateArgs {
    /// The policy.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    settings: PolicySettings,
    /// Drop all rules.
    #[arg(long, conflicts_with = "rule")]
    no_rules: bool,
}

/// What a policy says.
#[derive(Debug, Args)]
struct PolicySettings {
    /// Split objects into K data and M parity fragments.
    #[arg(long, value_name = "K+M", conflicts_with = "copies")]
    erasure: Option<String>,
    /// Keep N whole copies.
    #[arg(long, value_name = "N")]
    copies: Option<u8>,
    /// Bytes of one block of a stripe: a multiple of 4 KiB, up to 4 MiB [default: 128 KiB].
    #[arg(long, value_name = "BYTES", requires = "erasure", value_parser = size)]
    block_len: Option<u64>,
    /// How many fragments must be durable before a write is acknowledged: at least K+1
    /// [default: K + half of M, rounded up]. 0 is the default again.
    #[arg(long, value_name = "N")]
    quorum: Option<u8>,
    /// Keep objects below this size as copies; 0 keeps none so [default: 64 KiB and a byte].
    #[arg(long, value_name = "BYTES", value_parser = size)]
    small_objects_below: Option<u64>,
    /// How many copies of those [default: M + 1]. 0 is the default again.
    #[arg(long, value_name = "N")]
    small_copies: Option<u8>,
    /// What may be lost the moment a write is acknowledged.
    #[arg(long, value_name = "DOMAIN")]
    protect: Option<Protect>,
    /// What is kept otherwise, for keys and sizes, such as `prefix=logs/,below=1MiB,copies=3` or
    /// `from=1GiB,erasure=16+4`. The first that fits decides. May be given several times.
    #[arg(long, value_name = "RULE", value_parser = rule)]
    rule: Vec<RuleView>,
    /// Take it even if there are too few drives for it.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protect {
    Drive,
    Node,
    Zone,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyCheckArgs {
    /// The policy.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Drives that fail in a year, as a fraction [default: 0.03].
    #[arg(long, value_name = "RATE")]
    afr: Option<f64>,
    /// Hours until a lost drive's fragments are made anew [default: from the size of the drives and
    /// the speed of the repair].
    #[arg(long, value_name = "HOURS")]
    repair_hours: Option<f64>,
    /// Days between two scrubs of a fragment [default: 14].
    #[arg(long, value_name = "DAYS")]
    scrub_days: Option<f64>,
    /// Fragments that rot unnoticed in a year, as a fraction [default: 0.001].
    #[arg(long, value_name = "RATE")]
    rot_per_year: Option<f64>,
    /// Years between two losses of one zone [default: 1000].
    #[arg(long, value_name = "YEARS")]
    zone_loss_years: Option<f64>,
    /// Days until a lost zone is made anew [default: 14].
    #[arg(long, value_name = "DAYS")]
    zone_rebuild_days: Option<f64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// All buckets, with objects and bytes.
    List,
    /// Make a bucket.
    Create(BucketCreateArgs),
    /// Let new objects of a bucket follow another policy.
    SetPolicy(BucketPolicyArgs),
    /// Bring the objects of a bucket over to what its policy says now, while it is used.
    Reencode(ReencodeArgs),
    /// Say how much a bucket may hold. What is not given is not limited.
    Quota(BucketQuotaArgs),
    /// Say how much of a bucket is let through in a second. What is not given is not limited.
    RateLimit(BucketRateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BucketCreateArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The policy that its objects follow [default: default].
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BucketPolicyArgs {
    /// The bucket.
    #[arg(value_name = "NAME")]
    name: String,
    /// The policy.
    #[arg(value_name = "POLICY")]
    policy: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReencodeArgs {
    /// The bucket; without what follows, its re-encode is begun. `status` alone shows those of all
    /// buckets.
    #[arg(value_name = "NAME")]
    first: String,
    /// What to do with one that was begun. It may also stand before the name.
    #[arg(value_name = "status|pause|resume|cancel")]
    second: Option<String>,
    /// Only objects whose keys begin with this.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Only count what would be moved.
    #[arg(long)]
    dry_run: bool,
    /// Stay until it has ended.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// A rule as it is written on the command line.
fn rule(text: &str) -> Result<RuleView, String> {
    let mut rule = RuleView {
        prefix: String::new(),
        at_least_bytes: 0,
        below_bytes: None,
        layout: String::new(),
    };
    let mut block_len = None;
    for part in text.split(',') {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("`{part}` has no `=`"))?;
        match name {
            "prefix" => rule.prefix = value.to_owned(),
            "from" => rule.at_least_bytes = size(value)?,
            "below" => rule.below_bytes = Some(size(value)?),
            "erasure" => rule.layout = value.to_owned(),
            "copies" => rule.layout = format!("copies:{value}"),
            "block-len" => block_len = Some(size(value)?),
            _ => {
                return Err(format!(
                    "`{name}` is none of prefix, from, below, erasure, copies and block-len"
                ));
            }
        }
    }
    if rule.layout.is_empty() {
        return Err("a rule needs erasure=K+M or copies=N".to_owned());
    }
    if let Some(block_len) = block_len {
        rule.layout = format!("{}/{block_len}", rule.layout);
    }
    match rule.layout.parse::<holdfast_types::Layout>() {
        Ok(_) => Ok(rule),
        Err(error) => Err(error.to_string()),
    }
}

impl PolicySettings {
    fn change(self) -> PolicyChange {
        let layout = match (self.erasure, self.copies, self.block_len) {
            (Some(layout), _, None) => Some(layout),
            (Some(layout), _, Some(block_len)) => Some(format!("{layout}/{block_len}")),
            (None, Some(copies), _) => Some(format!("copies:{copies}")),
            (None, None, _) => None,
        };
        PolicyChange {
            name: None,
            layout,
            small_below_bytes: self.small_objects_below,
            small_copies: self.small_copies,
            quorum: self.quorum,
            protect: self.protect.map(|protect| match protect {
                Protect::Drive => FailureDomain::Drive,
                Protect::Node => FailureDomain::Node,
                Protect::Zone => FailureDomain::Zone,
            }),
            rules: (!self.rule.is_empty()).then_some(self.rule),
            force: self.force,
        }
    }
}

impl Admin {
    pub(super) async fn policy(&self, command: PolicyCommand) -> anyhow::Result<()> {
        match command {
            PolicyCommand::List => self.show("/admin/v1/policies", policies).await,
            PolicyCommand::Show(args) => self.show(&policy_path(&args.name), policy).await,
            PolicyCommand::Create(args) => {
                let change = PolicyChange {
                    name: Some(args.name),
                    ..args.settings.change()
                };
                if change.layout.is_none() {
                    bail!("say how objects are kept: --erasure K+M or --copies N");
                }
                let answer = self
                    .tell(Method::POST, "/admin/v1/policies", &change)
                    .await?;
                self.print(&answer, policy)
            }
            PolicyCommand::Update(args) => {
                let mut change = args.settings.change();
                if args.no_rules {
                    change.rules = Some(Vec::new());
                }
                let path = policy_path(&args.name);
                let answer = self.tell(Method::PATCH, &path, &change).await?;
                self.print(&answer, policy)
            }
            PolicyCommand::Delete(args) => {
                let path = policy_path(&args.name);
                let answer = self.client.send(Method::DELETE, &path, Vec::new()).await?;
                self.print(&answer.good()?, |deleted: &DeletedView| {
                    format!("deleted policy {}\n", deleted.deleted)
                })
            }
            PolicyCommand::Check(args) => self.check_policies(&args).await,
        }
    }

    async fn check_policies(&self, args: &PolicyCheckArgs) -> anyhow::Result<()> {
        let names = match &args.name {
            Some(name) => vec![name.clone()],
            None => {
                let answer = self
                    .client
                    .send(Method::GET, "/admin/v1/policies", Vec::new())
                    .await?;
                let all: PoliciesView = answer.good()?.json()?;
                all.policies.into_iter().map(|policy| policy.name).collect()
            }
        };
        let given: Vec<String> = [
            ("afr", args.afr),
            ("repair_hours", args.repair_hours),
            ("scrub_days", args.scrub_days),
            ("rot_per_year", args.rot_per_year),
            ("zone_loss_years", args.zone_loss_years),
            ("zone_rebuild_days", args.zone_rebuild_days),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
        .collect();
        let query = given.join("&");
        for name in names {
            let path = format!("{}/check?{query}", policy_path(&name));
            self.show(&path, check).await?;
        }
        Ok(())
    }

    pub(super) async fn bucket(&self, command: BucketCommand) -> anyhow::Result<()> {
        match command {
            BucketCommand::List => self.buckets().await,
            BucketCommand::Create(args) => {
                let change = BucketChange {
                    name: Some(args.name),
                    policy: args.policy,
                };
                let answer = self
                    .tell(Method::POST, "/admin/v1/buckets", &change)
                    .await?;
                self.print(&answer, done)
            }
            BucketCommand::SetPolicy(args) => {
                let path = format!("{}/policy", bucket_path(&args.name));
                let change = BucketChange {
                    name: None,
                    policy: Some(args.policy),
                };
                let answer = self.tell(Method::PUT, &path, &change).await?;
                self.print(&answer, done)
            }
            BucketCommand::Reencode(args) => self.reencode(args).await,
            BucketCommand::Quota(args) => self.set_quota(args).await,
            BucketCommand::RateLimit(args) => self.limit_bucket(args).await,
        }
    }

    async fn reencode(&self, args: ReencodeArgs) -> anyhow::Result<()> {
        let path = |bucket: &str| format!("{}/reencode", bucket_path(bucket));
        let bucket = match asked(&args)? {
            Asked::StatusOfAll => return self.show("/admin/v1/reencodes", reencodes).await,
            Asked::Order("status", bucket) if !args.watch => {
                return self.show(&path(bucket), reencode).await;
            }
            Asked::Order("status", bucket) => bucket,
            Asked::Order(order, bucket) => {
                let path = format!("{}/{order}", path(bucket));
                let answer = self.client.send(Method::POST, &path, Vec::new()).await?;
                return self.print(&answer.good()?, reencode);
            }
            Asked::Begin(bucket) => {
                let start = StartReencode {
                    prefix: args.prefix.clone().unwrap_or_default(),
                    dry_run: args.dry_run,
                };
                let answer = self.tell(Method::POST, &path(bucket), &start).await?;
                // A dry run is about its result, which is there as soon as all is counted.
                if !args.watch && (self.json || !args.dry_run) {
                    return self.print(&answer, reencode);
                }
                bucket
            }
        };
        self.watch_reencode(&path(bucket)).await
    }

    async fn watch_reencode(&self, path: &str) -> anyhow::Result<()> {
        let is_terminal = std::io::stdout().is_terminal();
        loop {
            let answer = self.client.send(Method::GET, path, Vec::new()).await?;
            let view: ReencodeView = answer.good()?.json()?;
            if view.state != JobState::Running {
                return out(&reencode(&view));
            }
            if is_terminal {
                out(&format!("\x1b[2J\x1b[H{}", reencode(&view)))?;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn tell(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<super::Answer> {
        let body = serde_json::to_vec(body)?;
        self.client.send(method, path, body).await?.good()
    }
}

fn policy_path(name: &str) -> String {
    format!("/admin/v1/policies/{}", sign::encode(name))
}

fn bucket_path(name: &str) -> String {
    format!("/admin/v1/buckets/{}", sign::encode(name))
}

fn done(view: &DoneView) -> String {
    format!("{}\n", view.done)
}

fn policies(view: &PoliciesView) -> String {
    let mut table = headed(&[
        "POLICY",
        "LAYOUT",
        "SMALL OBJECTS",
        "PROTECTS",
        "RULES",
        "GENERATION",
    ]);
    for policy in &view.policies {
        table.add_row([
            Cell::new(&policy.name),
            Cell::new(&policy.layout),
            Cell::new(small(policy)),
            Cell::new(format!("{:?}", policy.protect).to_lowercase()),
            number(policy.rules.len().to_string()),
            number(policy.generation.to_string()),
        ]);
    }
    format!("{table}\n")
}

fn small(policy: &PolicyView) -> String {
    match policy.copies_up_to_bytes {
        0 => "as others".to_owned(),
        up_to => format!("{} up to {}", policy.small_layout, bytes(up_to)),
    }
}

fn policy(policy: &PolicyView) -> String {
    let mut text = format!(
        "policy {} (generation {}): {}",
        policy.name, policy.generation, policy.layout
    );
    if let Some(quorum) = policy.quorum {
        let _ = write!(text, ", acknowledged with {quorum} fragments");
    }
    let protect = format!("{:?}", policy.protect).to_lowercase();
    let _ = writeln!(text, "; each write outlives one {protect}");
    let _ = writeln!(text, "  small objects: {}", small(policy));
    for rule in &policy.rules {
        let mut which = match rule.prefix.as_str() {
            "" => "all keys".to_owned(),
            prefix => format!("keys that begin with `{prefix}`"),
        };
        if rule.at_least_bytes > 0 {
            which += &format!(", from {}", bytes(rule.at_least_bytes));
        }
        if let Some(below) = rule.below_bytes {
            which += &format!(", below {}", bytes(below));
        }
        let _ = writeln!(text, "  rule: {which}: {}", rule.layout);
    }
    text
}

fn check(view: &PolicyCheckView) -> String {
    let mut text = format!(
        "policy {} (generation {}), on {} drives of which {} take writes\n",
        view.policy, view.generation, view.drives, view.drives_online
    );
    for layout in &view.layouts {
        let _ = writeln!(text, "\n{}, for {}", layout.layout, layout.used_for);
        let _ = writeln!(
            text,
            "  space: {:.2} bytes on drives a byte; a write is acknowledged with {} of {} \
             fragments durable",
            layout.overhead, layout.write_quorum, layout.width
        );
        for failure in &layout.failures {
            let mark = if failure.loses || failure.writes == "blocked" {
                "!"
            } else {
                " "
            };
            let _ = writeln!(text, "  {mark} {}", failure.words);
        }
        let _ = writeln!(
            text,
            "  durability: {:.1} nines a year by the formula, {:.1} by the exact chain (repair in \
             {:.1} hours)",
            layout.nines, layout.nines_by_chain, layout.repair_hours
        );
        if let Some(nines) = layout.nines_with_zone_losses {
            let _ = writeln!(text, "  with losses of whole zones: {nines:.1} nines");
        }
    }
    let inputs = &view.inputs;
    let _ = writeln!(
        text,
        "\ninputs: AFR {}, rot {} a fragment and year, scrub every {} days\n        repair: {}",
        inputs.afr, inputs.rot_per_year, inputs.scrub_days, inputs.repair
    );
    if let (Some(years), Some(days)) = (inputs.zone_loss_years, inputs.zone_rebuild_days) {
        let _ = writeln!(
            text,
            "        a zone is lost every {years} years and made anew in {days} days"
        );
    }
    for line in &view.model {
        let _ = writeln!(text, "model: {line}");
    }
    text
}

/// What a re-encode's words ask for.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    StatusOfAll,
    Begin(&'a str),
    /// One of [`ORDERS`], and the bucket.
    Order(&'a str, &'a str),
}

const ORDERS: [&str; 4] = ["status", "pause", "resume", "cancel"];

fn asked(args: &ReencodeArgs) -> anyhow::Result<Asked<'_>> {
    let is_order = |word: &str| ORDERS.contains(&word);
    let asked = match (args.first.as_str(), args.second.as_deref()) {
        ("status", None) => Asked::StatusOfAll,
        (order, None) if is_order(order) => {
            bail!("say of which bucket: admin bucket reencode NAME {order}")
        }
        (bucket, None) => return Ok(Asked::Begin(bucket)),
        // Before the name an order is an order, even if a bucket is called so.
        (order, Some(bucket)) if is_order(order) => Asked::Order(order, bucket),
        (bucket, Some(order)) if is_order(order) => Asked::Order(order, bucket),
        (bucket, Some(other)) => bail!(
            "`{other}` is none of status, pause, resume and cancel: say admin bucket reencode \
             {bucket} [status|pause|resume|cancel]"
        ),
    };
    if args.dry_run || args.prefix.is_some() {
        bail!("--prefix and --dry-run are for one that is begun: admin bucket reencode NAME");
    }
    Ok(asked)
}

fn reencodes(view: &ReencodesView) -> String {
    let mut table = headed(&["BUCKET", "STATE", "DONE", "OF", "MOVED", "FAILED", "LEFT"]);
    for job in &view.reencodes {
        table.add_row([
            Cell::new(&job.bucket),
            Cell::new(state(job)),
            number(bytes(job.done.bytes)),
            number(bytes(job.planned_in_all.bytes)),
            number(job.moved.count.to_string()),
            number(job.failed.count.to_string()),
            number(job.eta_seconds.map_or("".to_owned(), duration)),
        ]);
    }
    format!("{table}\n")
}

fn state(view: &ReencodeView) -> String {
    let state = match (view.state, view.stage) {
        (JobState::Running, Stage::Counting) => "counting",
        (JobState::Running, Stage::Moving) => "moving",
        (state, _) => state.as_str(),
    };
    let kind = if view.dry_run { " (dry run)" } else { "" };
    format!("{state}{kind}")
}

fn reencode(view: &ReencodeView) -> String {
    let mut text = format!("re-encode of bucket {}: {}\n", view.bucket, state(view));
    if !view.prefix.is_empty() {
        let _ = writeln!(text, "  keys that begin with `{}`", view.prefix);
    }
    for (change, amount) in &view.planned {
        let _ = writeln!(
            text,
            "  {change}: {} blobs, {}",
            amount.count,
            bytes(amount.bytes)
        );
    }
    if view.planned.is_empty() && view.stage == Stage::Moving {
        let _ = writeln!(text, "  all is kept as the policy says");
    }
    if view.dry_run && view.state == JobState::Done && view.planned.is_empty() {
        let _ = writeln!(text, "  there is nothing to move");
    }
    if view.stage == Stage::Moving {
        let _ = writeln!(
            text,
            "  {} of {} done: {} blobs moved, {} failed",
            bytes(view.done.bytes),
            bytes(view.planned_in_all.bytes),
            view.moved.count,
            view.failed.count
        );
    }
    if view.bytes_per_second > 0 {
        let _ = write!(text, "  {}/s", bytes(view.bytes_per_second));
        if let Some(left) = view.eta_seconds.filter(|_| view.state == JobState::Running) {
            let _ = write!(text, ", {} left", duration(left));
        }
        text.push('\n');
    }
    if !view.waiting_for.is_empty() {
        let _ = writeln!(text, "  ! waits: {}", view.waiting_for);
    }
    for error in &view.errors {
        let _ = writeln!(
            text,
            "  ! {} (blob {}): {}",
            error.key, error.blob, error.reason
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        let read = rule("prefix=logs/,from=1KiB,below=1MiB,erasure=8+3,block-len=64KiB").unwrap();
        assert_eq!(
            read,
            RuleView {
                prefix: "logs/".to_owned(),
                at_least_bytes: 1024,
                below_bytes: Some(1 << 20),
                layout: "8+3/65536".to_owned(),
            }
        );
        assert_eq!(rule("copies=3").unwrap().layout, "copies:3");
        for bad in [
            "",
            "prefix=a",
            "erasure=4",
            "copies=99",
            "erasure=4+2,color=blue",
            "below=much,copies=2",
            "copies=2,block-len=64KiB",
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reencode_is_asked_for_in_either_order() {
        let args = |first: &str, second: Option<&str>| ReencodeArgs {
            first: first.to_owned(),
            second: second.map(str::to_owned),
            prefix: None,
            dry_run: false,
            watch: false,
        };
        for (first, second, expected) in [
            ("films", None, Asked::Begin("films")),
            ("status", None, Asked::StatusOfAll),
            ("films", Some("status"), Asked::Order("status", "films")),
            ("status", Some("films"), Asked::Order("status", "films")),
            ("films", Some("pause"), Asked::Order("pause", "films")),
            ("resume", Some("films"), Asked::Order("resume", "films")),
            ("films", Some("cancel"), Asked::Order("cancel", "films")),
            ("pause", Some("status"), Asked::Order("pause", "status")),
        ] {
            let args = args(first, second);
            assert_eq!(asked(&args).unwrap(), expected, "{first} {second:?}");
        }
        let refused = |first, second| asked(&args(first, second)).unwrap_err().to_string();
        assert_eq!(
            refused("pause", None),
            "say of which bucket: admin bucket reencode NAME pause"
        );
        assert!(
            refused("films", Some("stop"))
                .ends_with("say admin bucket reencode films [status|pause|resume|cancel]")
        );
        let dry = ReencodeArgs {
            dry_run: true,
            ..args("films", Some("pause"))
        };
        assert!(asked(&dry).is_err(), "it would pause in earnest");
        let dry = ReencodeArgs {
            dry_run: true,
            ..args("films", None)
        };
        assert_eq!(asked(&dry).unwrap(), Asked::Begin("films"));
    }
}
