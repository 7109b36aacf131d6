//! `holdfast verify` over a test's store: how every test of a fault ends.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use super::server::{ACCESS_KEY, SECRET_KEY, Server, binary};

/// What a verification said.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Whether it ended well: nothing is broken.
    pub(crate) clean: bool,
    /// Its report.
    pub(crate) report: Value,
}

impl Verified {
    /// How many findings of an invariant there are among those that are broken.
    pub(crate) fn broken(&self, invariant: &str) -> u64 {
        self.report["broken"]["count"][invariant]
            .as_u64()
            .unwrap_or(0)
    }

    /// How many blobs have less redundancy than they should.
    pub(crate) fn degraded(&self) -> u64 {
        let count = self.report["degraded"]["count"].as_object();
        count.map_or(0, |count| count.values().filter_map(Value::as_u64).sum())
    }

    /// Fails the test unless nothing is broken and redundancy is full.
    pub(crate) fn assert_whole(&self, when: &str) {
        assert!(
            self.clean && self.degraded() == 0,
            "{when}: {:#}",
            self.report
        );
    }
}

impl Server {
    /// The sum of a metric over all its labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.admin_get("/metrics").expect("metrics are served");
        let text = String::from_utf8(page.body).expect("metrics are text");
        let lines = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let bare = series.split('{').next()?;
            (bare == name).then(|| value.parse::<f64>().expect("a value is a number") as u64)
        });
        lines.sum()
    }

    /// Verifies the store, which must be stopped.
    pub(crate) fn verify(&self, flags: &[&str]) -> Verified {
        let mut command = Command::new(binary());
        command.arg("verify").arg("--data").arg(self.data());
        if let Some(config) = self.config() {
            command.arg("--config").arg(config);
        }
        read(command.arg("--json").args(flags))
    }

    /// Verifies the store while it is served.
    pub(crate) fn verify_live(&self, flags: &[&str]) -> Verified {
        read(
            Command::new(binary())
                .args(["admin", "verify", "--json"])
                .args(flags)
                .args(["--endpoint", &format!("http://{}", self.admin)])
                .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
                .env("HOLDFAST_SECRET_KEY", SECRET_KEY),
        )
    }

    /// Waits until a live verification finds redundancy full and nothing broken.
    pub(crate) fn wait_until_whole(&mut self, deadline: Duration) {
        self.wait_until("redundancy is full", deadline, |server| {
            let verified = server.verify_live(&["--quick"]);
            assert!(verified.clean, "{:#}", verified.report);
            verified.degraded() == 0
        });
    }

    /// The same, with a look at every byte: rot that neither a reader nor a scrub has met is not
    /// known to be owed.
    pub(crate) fn wait_until_every_byte_is_whole(&mut self, deadline: Duration) {
        self.wait_until("every byte is whole", deadline, |server| {
            let verified = server.verify_live(&["--deep"]);
            verified.clean && verified.degraded() == 0
        });
    }

    /// How every test of a fault ends: redundancy becomes full, the process stops well, and a look
    /// at every byte finds nothing.
    pub(crate) fn end_whole(&mut self, deadline: Duration) {
        self.wait_until_whole(deadline);
        assert!(self.stop(), "it stops well:\n{}", self.log_end());
        self.verify(&["--deep"]).assert_whole("at the end");
    }
}

fn read(command: &mut Command) -> Verified {
    let output: Output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "no report ({error}): {said}{}",
            String::from_utf8_lossy(&output.stdout)
        )
    });
    Verified {
        clean: output.status.success(),
        report,
    }
}
