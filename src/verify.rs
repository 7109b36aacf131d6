//! `holdfast verify`: looks at a stopped store, changes nothing, and says what is broken.
//!
//! A store that is being served is verified by `holdfast admin verify`; what both print is here.

mod show;

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use holdfast_codec::Reference;
use holdfast_erasure::{Blobs, NoObserver};
use holdfast_replication::WorkerConfig;
use holdfast_replication::verify::{Depth, Report, Verifier, Watch};
use holdfast_types::FragmentStore;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::serve::look;

/// What can be said on the command line.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The data folder of the stopped store.
    #[arg(
        long,
        value_name = "DIR",
        env = "HOLDFAST_DATA",
        default_value = crate::config::DEFAULT_DATA
    )]
    pub(crate) data: std::path::PathBuf,
    /// The configuration file that the store is served with: says how long fragments that no
    /// object needs may lie about.
    #[arg(long, value_name = "FILE", env = "HOLDFAST_CONFIG")]
    pub(crate) config: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) depth: DepthArgs,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How closely it is looked: by default at all rows and at every fragment's header.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct DepthArgs {
    /// Only rows, and which fragments there are.
    #[arg(long, conflicts_with = "deep")]
    pub(crate) quick: bool,
    /// Read all bytes too: every block of every fragment, and the hash of every object.
    #[arg(long)]
    pub(crate) deep: bool,
}

impl DepthArgs {
    pub(crate) const fn depth(self) -> Depth {
        match (self.quick, self.deep) {
            (true, _) => Depth::Quick,
            (_, true) => Depth::Deep,
            _ => Depth::Headers,
        }
    }
}

/// Verifies the store of a data folder; fails if something is broken.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    let report = runtime.block_on(verify(args))?;
    tell(&report, args.json)
}

/// How old a fragment must be that no row knows, before it is told: by then the inventory must
/// have found it.
pub(crate) fn grace_ms(workers: &WorkerConfig) -> u64 {
    let found_after = workers
        .unknown_age_seconds
        .saturating_add(workers.inventory_period_seconds.saturating_mul(2));
    found_after.saturating_mul(1000)
}

async fn verify(args: &VerifyArgs) -> anyhow::Result<Report> {
    let workers = match &args.config {
        Some(file) => Config::read(file)?.0.worker,
        None => WorkerConfig::default(),
    };
    let opened = look::open(&args.data).await?;
    let store: Arc<dyn FragmentStore> = Arc::clone(&opened.store) as Arc<dyn FragmentStore>;
    let verifier = Verifier {
        metadata: opened.metadata.clone(),
        blobs: Blobs::new(
            Arc::clone(&store),
            Arc::new(Reference::new()),
            &holdfast_erasure::Config::default(),
            Arc::new(NoObserver),
        ),
        store,
        clock: Arc::clone(&opened.clock),
        region: opened.region.clone(),
        grace_ms: grace_ms(&workers),
        is_live: false,
        patience: Duration::ZERO,
    };
    let watch = Watch::new();
    let stop = CancellationToken::new();
    let shown = tokio::spawn(show_progress(watch.clone(), stop.clone()));
    let report = verifier.run(args.depth.depth(), &watch, &stop).await;
    stop.cancel();
    // It only shows.
    let _ = shown.await;
    opened.metadata.close().await;
    drop(opened.data);
    Ok(report?)
}

/// Prints the report; fails if something is broken.
pub(crate) fn tell(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        crate::admin::out(&format!("{}\n", serde_json::to_string(report)?))?;
    } else {
        crate::admin::out(&show::report(report))?;
    }
    match report.broken.total() {
        0 => Ok(()),
        1 => bail!("one thing is broken"),
        broken => bail!("{broken} things are broken"),
    }
}

async fn show_progress(watch: Watch, stop: CancellationToken) {
    let mut line = ProgressLine::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(ProgressLine::EVERY) => {}
        }
        let progress = watch.read();
        line.show(&show::progress(
            progress.phase.words(),
            (progress.done, progress.total),
            progress.left_seconds(),
            (progress.broken, progress.degraded),
        ));
    }
    line.end();
}

/// One line on standard error that is written over, where a person may look at it.
pub(crate) struct ProgressLine {
    is_shown: bool,
    has_text: bool,
}

impl ProgressLine {
    /// How often it changes.
    pub(crate) const EVERY: Duration = Duration::from_millis(500);

    pub(crate) fn new() -> Self {
        Self {
            is_shown: std::io::stderr().is_terminal(),
            has_text: false,
        }
    }

    pub(crate) fn show(&mut self, text: &str) {
        if self.is_shown {
            self.has_text = true;
            // Who can't be shown how far it is will still be told how it ended.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }

    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.has_text) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

pub(crate) use self::show::progress as progress_words;
