//! A verification: how it is begun, how far it is, what it found.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How closely a verification looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyDepth {
    /// Rows, and which fragments there are.
    Quick,
    /// And every fragment's header.
    #[default]
    Headers,
    /// And all bytes.
    Deep,
}

/// The body of `POST /admin/v1/verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BeginVerify {
    /// How closely to look.
    pub depth: VerifyDepth,
}

/// How a verification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyState {
    /// None was asked for since the process began.
    Never,
    /// It goes on.
    Running,
    /// It has a report.
    Ended,
    /// It was stopped before it had one.
    Stopped,
    /// It could not go on.
    Failed,
}

/// `GET /admin/v1/verify`: the verification that goes on, or else the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyView {
    /// How it stands.
    pub state: VerifyState,
    /// How closely it looks.
    pub depth: VerifyDepth,
    /// What it is at, in words.
    pub phase: String,
    /// How much of that is done.
    pub done: u64,
    /// Of how much.
    pub total: u64,
    /// About how many seconds that will still take, where it can be said.
    pub left_seconds: Option<u64>,
    /// What is broken so far.
    pub broken: u64,
    /// What has less redundancy than it should, so far.
    pub degraded: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// What it found, as `holdfast verify --json` prints it.
    pub report: Option<Value>,
}
