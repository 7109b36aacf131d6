//! `holdfast admin verify`: a verification of the store that is being served.

use anyhow::{Context, bail};
use clap::Args;
use holdfast_gateway::admin::view::{BeginVerify, VerifyDepth, VerifyState, VerifyView};
use holdfast_replication::verify::{Depth, Report};
use http::Method;

use super::Admin;
use crate::verify::{DepthArgs, ProgressLine, progress_words, tell};

/// What can be said on the command line.
#[derive(Debug, Default, Args)]
pub(crate) struct AdminVerifyArgs {
    #[command(flatten)]
    pub(crate) depth: DepthArgs,
    /// Begin none: wait for the one that goes on, or show the last one's report.
    #[arg(long, conflicts_with_all = ["quick", "deep", "stop"])]
    pub(crate) last: bool,
    /// Stop the one that goes on.
    #[arg(long, conflicts_with_all = ["quick", "deep"])]
    pub(crate) stop: bool,
}

const PATH: &str = "/admin/v1/verify";

impl Admin {
    pub(super) async fn verify(&self, args: &AdminVerifyArgs) -> anyhow::Result<()> {
        if args.stop {
            let view = self.ask_verification(Method::DELETE, Vec::new()).await?;
            return match view.state {
                VerifyState::Running | VerifyState::Stopped => super::out("stopped\n"),
                _ => super::out("none goes on\n"),
            };
        }
        let mut view = if args.last {
            self.ask_verification(Method::GET, Vec::new()).await?
        } else {
            let depth = match args.depth.depth() {
                Depth::Quick => VerifyDepth::Quick,
                Depth::Headers => VerifyDepth::Headers,
                Depth::Deep => VerifyDepth::Deep,
            };
            let body = serde_json::to_vec(&BeginVerify { depth })?;
            self.ask_verification(Method::POST, body).await?
        };
        let mut line = ProgressLine::new();
        while view.state == VerifyState::Running {
            let done = (view.done, view.total);
            let found = (view.broken, view.degraded);
            line.show(&progress_words(&view.phase, done, view.left_seconds, found));
            tokio::time::sleep(ProgressLine::EVERY).await;
            view = self.ask_verification(Method::GET, Vec::new()).await?;
        }
        line.end();
        match (view.state, view.report) {
            (VerifyState::Ended, Some(report)) => {
                let report: Report = serde_json::from_value(report)
                    .context("the server's report can't be read: is it of another version?")?;
                tell(&report, self.json)
            }
            (VerifyState::Failed, _) => bail!("{}", view.error.unwrap_or_default()),
            (VerifyState::Never, _) => bail!("none was begun since the server started"),
            _ => bail!("the verification was stopped"),
        }
    }

    async fn ask_verification(&self, method: Method, body: Vec<u8>) -> anyhow::Result<VerifyView> {
        self.client.send(method, PATH, body).await?.good()?.json()
    }
}
