//! `holdfast admin` against a test's server.

use std::process::{Command, Output};

use serde_json::Value;

use super::server::{ACCESS_KEY, SECRET_KEY, Server, binary};

impl Server {
    /// Runs `holdfast admin WORDS...`.
    pub(crate) fn admin(&self, words: &[&str]) -> Output {
        Command::new(binary())
            .arg("admin")
            .args(words)
            .args(["--endpoint", &format!("http://{}", self.admin)])
            .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
            .env("HOLDFAST_SECRET_KEY", SECRET_KEY)
            .output()
            .expect("the binary runs")
    }

    /// The same where it must be done; what it said.
    pub(crate) fn admin_does(&self, words: &[&str]) -> String {
        let output = self.admin(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).expect("it says text")
    }

    /// The same where it must be refused; why.
    pub(crate) fn admin_refuses(&self, words: &[&str]) -> String {
        let output = self.admin(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{words:?} was done: {said}");
        String::from_utf8(output.stderr).expect("it says text")
    }

    /// The same as JSON.
    pub(crate) fn admin_json(&self, words: &[&str]) -> Value {
        let mut all = words.to_vec();
        all.push("--json");
        serde_json::from_str(&self.admin_does(&all)).expect("it says JSON")
    }
}
