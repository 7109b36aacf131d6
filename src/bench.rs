//! `holdfast bench`: a load generator for any S3 endpoint that checks every byte it reads.
//!
//! One run is: prepare (if asked), the workload itself, which alone is measured, clean up (if
//! asked), the figures. Objects follow from their names (`content`), so that nothing has to be
//! remembered to check them. A run in which anything failed fails: its figures are none.

mod args;
mod connection;
mod content;
mod histogram;
mod load;
mod objects;
mod operation;
mod progress;
mod report;
mod server_process;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use http::{Method, StatusCode};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::timeout;

use self::args::{Mix, Workload};
use self::connection::{Addressing, Call, Connection, Endpoint, Failure, PayloadSigning};
use self::content::Pattern;
use self::load::{Counters, Load, Outcome, Until};
use self::objects::{Chooser, Objects};
use self::report::{Report, Run};
use self::server_process::Watch;
use crate::admin::{first_line, key_from_data, out};
use crate::serve::{ACCESS_KEY, SECRET_KEY};
use crate::sign::Key;

pub(crate) use self::args::{BenchArgs, size};

/// Runs one bench; fails if any operation failed.
pub(crate) fn run(args: BenchArgs) -> anyhow::Result<()> {
    if let Err(wrong) = args.check() {
        bail!(wrong);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    runtime.block_on(bench(args))
}

async fn bench(args: BenchArgs) -> anyhow::Result<()> {
    let addressing = if args.virtual_host {
        Addressing::VirtualHost
    } else {
        Addressing::Path
    };
    let payload = if args.signed {
        PayloadSigning::Hashed
    } else {
        PayloadSigning::Unsigned
    };
    let endpoint = Endpoint::new(
        &args.endpoint,
        &args.bucket,
        addressing,
        &args.region,
        credentials(&args)?,
        payload,
    )?;
    let bench = Bench {
        endpoint: Arc::new(endpoint),
        pattern: Pattern::new(),
        args,
    };
    bench.whole_run().await
}

struct Bench {
    endpoint: Arc<Endpoint>,
    pattern: Pattern,
    args: BenchArgs,
}

impl Bench {
    async fn whole_run(&self) -> anyhow::Result<()> {
        let mut made_bucket = false;
        if self.args.prepare {
            made_bucket = self.make_bucket().await?;
            self.make_objects().await?;
        }
        let watch = Watch::begin(&self.args.server_pid)?;
        let cpu_before = own_cpu_seconds();
        let outcome = self.workload().await?;
        let client_cpu_seconds = own_cpu_seconds() - cpu_before;
        let server = watch.map(|watch| watch.end()).transpose()?;
        if self.args.cleanup {
            self.clean_up(outcome.used, made_bucket).await?;
        }
        let report = Report::new(self.described(), &outcome, client_cpu_seconds, server);
        out(&if self.args.json {
            report.json()?
        } else {
            report.table()
        })?;
        match (report.failed(), outcome.stats.operations()) {
            (0, 0) => bail!("nothing was done"),
            (0, _) => Ok(()),
            (failed, _) => bail!("{failed} operations failed"),
        }
    }

    async fn workload(&self) -> anyhow::Result<Outcome> {
        let args = &self.args;
        let count = match args.workload {
            // Each can be deleted once.
            Workload::Delete => Some(args.count.unwrap_or(args.objects).min(args.objects)),
            _ => args.count,
        };
        let until = Until {
            count,
            duration: args.duration(),
        };
        let name = match args.workload {
            Workload::Put => "put",
            Workload::Get => "get",
            Workload::Range => "range",
            Workload::List => "list",
            Workload::Head => "head",
            Workload::Delete => "delete",
            Workload::Multipart => "multipart",
            Workload::Mixed => "mixed",
        };
        let chooser = Chooser::new(args.workload, args.mix, args.objects);
        self.load(chooser, until).run(name).await
    }

    /// Puts what the workload reads or deletes.
    async fn make_objects(&self) -> anyhow::Result<()> {
        if matches!(self.args.workload, Workload::Put | Workload::Multipart) {
            return Ok(());
        }
        let outcome = self
            .each(Workload::Put, self.args.objects, "prepare")
            .await?;
        none_failed(&outcome).context("can't prepare the objects")
    }

    async fn clean_up(&self, used: u64, made_bucket: bool) -> anyhow::Result<()> {
        let outcome = self.each(Workload::Delete, used, "clean up").await?;
        none_failed(&outcome).context("can't clean up")?;
        if made_bucket {
            let deleted = self.ask(Call::new(Method::DELETE, None), StatusCode::NO_CONTENT);
            deleted.await.context("can't delete the bucket")?;
        }
        Ok(())
    }

    /// Does the same to objects 0 to `count`.
    async fn each(
        &self,
        workload: Workload,
        count: u64,
        name: &'static str,
    ) -> anyhow::Result<Outcome> {
        let until = Until {
            count: Some(count),
            duration: None,
        };
        let chooser = Chooser::new(workload, Mix::default(), count);
        self.load(chooser, until).run(name).await
    }

    fn load(&self, chooser: Chooser, until: Until) -> Load {
        let args = &self.args;
        Load {
            endpoint: Arc::clone(&self.endpoint),
            pattern: self.pattern.clone(),
            objects: Objects::new(args.prefix.clone(), args.sizes(), args.objects),
            chooser,
            range_len: args.range_size,
            part_len: args.part_size,
            page: args.page,
            concurrency: args.concurrency,
            until,
            counters: Counters::default(),
        }
    }

    /// One request about the bucket itself.
    async fn ask(&self, call: Call<'_>, expected: StatusCode) -> Result<(), Failure> {
        let mut connection = Connection::new(Arc::clone(&self.endpoint));
        match timeout(BUCKET_DEADLINE, connection.send(call, expected)).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(Failure::NoAnswer(
                "no answer before the deadline".to_owned(),
            )),
        }
    }

    /// Whether the bucket was made, and not there already.
    async fn make_bucket(&self) -> anyhow::Result<bool> {
        match self
            .ask(Call::new(Method::HEAD, None), StatusCode::OK)
            .await
        {
            Ok(()) => return Ok(false),
            Err(Failure::Refused { status: 404, .. }) => {}
            Err(failure) => return Err(failure).context("can't look for the bucket"),
        }
        let mut call = Call::new(Method::PUT, None);
        // S3 wants the region said everywhere but in its first one.
        if self.args.region != "us-east-1" {
            call = call.text(format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                self.args.region
            ));
        }
        let made = self.ask(call, StatusCode::OK).await;
        made.context("can't make the bucket")?;
        Ok(true)
    }

    fn described(&self) -> Run {
        let args = &self.args;
        let workload = args.workload.to_possible_value();
        Run {
            workload: workload.map_or_else(String::new, |value| value.get_name().to_owned()),
            endpoint: args.endpoint.clone(),
            bucket: args.bucket.clone(),
            object_bytes: args.sizes(),
            concurrency: args.concurrency,
            signed_payload: args.signed,
        }
    }
}

fn none_failed(outcome: &Outcome) -> anyhow::Result<()> {
    match outcome.stats.failures.values().next() {
        None => Ok(()),
        Some(first) => bail!(
            "{} operations failed, one with: {}",
            outcome.stats.failed(),
            first.example
        ),
    }
}

/// The flags' key, else the environment's, else that of the data folder.
fn credentials(args: &BenchArgs) -> anyhow::Result<Key> {
    if let (Some(access_key), Some(file)) = (&args.access_key, &args.secret_key_file) {
        return Ok(Key {
            access_key: access_key.clone(),
            secret_key: first_line(file)?,
        });
    }
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    for (access, secret) in [
        (ACCESS_KEY, SECRET_KEY),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ] {
        match (variable(access), variable(secret)) {
            (Some(access_key), Some(secret_key)) => {
                return Ok(Key {
                    access_key,
                    secret_key,
                });
            }
            (None, None) => {}
            _ => bail!("set both {access} and {secret}, or none"),
        }
    }
    key_from_data(&args.data)
}

fn own_cpu_seconds() -> f64 {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9
}

/// For one small request.
const BUCKET_DEADLINE: Duration = Duration::from_secs(60);
