//! What the admin API says of policies, their checks, and re-encodes.

use std::collections::BTreeMap;

use holdfast_metadata::model::PolicyRule;
use holdfast_metadata::reencode::{Amount, JobError, JobKind, JobState, ReencodeJob, Stage};
use holdfast_types::FailureDomain;
use serde::{Deserialize, Serialize};

use super::CountView;

/// The body of `POST /admin/v1/policies` and `PATCH /admin/v1/policies/NAME`: what is not given is
/// as by default, or stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyChange {
    /// Its name; only where it is made.
    pub name: Option<String>,
    /// How objects are kept: `4+2`, `4+2/BLOCK_LEN` or `copies:3`. Needed where it is made.
    pub layout: Option<String>,
    /// Objects below so many bytes are kept as copies; 0: none are.
    pub small_below_bytes: Option<u64>,
    /// How many copies of those; 0: one more than the layout may lose.
    pub small_copies: Option<u8>,
    /// How many fragments must be durable before a write is acknowledged; 0: as the layout says.
    pub quorum: Option<u8>,
    /// The domain whose loss each write survives from its acknowledgement on.
    pub protect: Option<FailureDomain>,
    /// All rules, in order.
    pub rules: Option<Vec<RuleView>>,
    /// Take it even if the drives there are can't hold it whole.
    pub force: bool,
}

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleView {
    /// Keys that begin with this; empty: all.
    #[serde(default)]
    pub prefix: String,
    /// Objects (or parts) of at least so many bytes.
    #[serde(default)]
    pub at_least_bytes: u64,
    /// Objects (or parts) of fewer bytes.
    #[serde(default)]
    pub below_bytes: Option<u64>,
    /// How they are kept.
    pub layout: String,
}

impl From<&PolicyRule> for RuleView {
    fn from(rule: &PolicyRule) -> Self {
        Self {
            prefix: rule.prefix.clone(),
            at_least_bytes: rule.at_least_bytes,
            below_bytes: rule.below_bytes,
            layout: rule.layout.to_string(),
        }
    }
}

/// The body of `POST /admin/v1/buckets`, and with only `policy` of
/// `PUT /admin/v1/buckets/NAME/policy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BucketChange {
    /// The bucket's name; only where it is made.
    pub name: Option<String>,
    /// Its policy; where it is made, the default one if none is named.
    pub policy: Option<String>,
}

/// `GET /admin/v1/policies/NAME/check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyCheckView {
    /// The policy.
    pub policy: String,
    /// Its generation.
    pub generation: u64,
    /// Drives that can be written to, of all.
    pub drives_online: usize,
    /// All drives.
    pub drives: usize,
    /// Each layout that the policy uses.
    pub layouts: Vec<LayoutCheckView>,
    /// What the durability was computed from.
    pub inputs: DurabilityInputsView,
    /// The model, in words.
    pub model: Vec<String>,
}

/// What a layout does on these drives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayoutCheckView {
    /// The layout.
    pub layout: String,
    /// Which objects it is for.
    pub used_for: String,
    /// Bytes on drives for each byte of an object.
    pub overhead: f64,
    /// Fragments that are durable when a write is acknowledged, of all.
    pub write_quorum: u8,
    /// All fragments.
    pub width: u8,
    /// What failures do, the single ones first.
    pub failures: Vec<FailureView>,
    /// Hours in which a lost drive's fragments are made anew.
    pub repair_hours: f64,
    /// Objects lost, of one, in a year, by the formula.
    pub losses_per_year: f64,
    /// The same as nines.
    pub nines: f64,
    /// The same by the exact chain.
    pub nines_by_chain: f64,
    /// With the loss of whole zones; `null` with fewer than two zones.
    pub nines_with_zone_losses: Option<f64>,
}

/// What failures of one kind do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// What fails: `any one drive`, `any two drives`, `node n1 with drive d7`.
    pub what: String,
    /// Fragments of one object that go with it at worst.
    pub fragments: usize,
    /// Whether objects are lost if it never comes back (and can't be read until it does).
    pub loses: bool,
    /// `whole`, `owing` or `blocked`.
    pub writes: String,
    /// All of that in plain words.
    pub words: String,
}

/// What durability was computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DurabilityInputsView {
    /// Of 100 drives, how many fail in a year, as a fraction.
    pub afr: f64,
    /// How many of a million fragments rot unnoticed in a year, as a fraction.
    pub rot_per_year: f64,
    /// Days between two scrubs of a fragment.
    pub scrub_days: f64,
    /// Where the repair time comes from, in words.
    pub repair: String,
    /// Years between two losses of one zone; only with several zones.
    pub zone_loss_years: Option<f64>,
    /// Days until a lost zone is made anew.
    pub zone_rebuild_days: Option<f64>,
}

/// The body of `POST /admin/v1/buckets/NAME/reencode`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartReencode {
    /// Only objects whose keys begin with this.
    pub prefix: String,
    /// Only count what would be moved.
    pub dry_run: bool,
}

/// `GET /admin/v1/reencodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReencodesView {
    /// The newest of each bucket, newest first.
    pub reencodes: Vec<ReencodeView>,
}

/// A re-encode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReencodeView {
    /// Its number.
    pub job: u64,
    /// Its bucket.
    pub bucket: String,
    /// Only objects whose keys begin with this.
    pub prefix: String,
    /// Whether it only counts.
    pub dry_run: bool,
    /// `running`, `paused`, `cancelled` or `done`.
    pub state: JobState,
    /// `counting`, then `moving`.
    pub stage: Stage,
    /// When it was begun, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// What there was to move when it was counted, by layouts; a blob counts once for each object
    /// that refers to it.
    pub planned: BTreeMap<String, CountView>,
    /// All of that.
    pub planned_in_all: CountView,
    /// As much of it as is behind.
    pub done: CountView,
    /// Blobs that were moved.
    pub moved: CountView,
    /// Blobs that could not be moved.
    pub failed: CountView,
    /// Blobs that were looked at.
    pub met: CountView,
    /// Bytes of objects a second, rests and all.
    pub bytes_per_second: u64,
    /// Seconds that are left at that rate; `null` while it is not known.
    pub eta_seconds: Option<u64>,
    /// Why it does not get on now; empty when it does.
    pub waiting_for: String,
    /// The last blobs that could not be moved, and why.
    pub errors: Vec<JobError>,
}

impl From<Amount> for CountView {
    fn from(amount: Amount) -> Self {
        Self {
            count: amount.blobs,
            bytes: amount.bytes,
        }
    }
}

impl From<ReencodeJob> for ReencodeView {
    fn from(job: ReencodeJob) -> Self {
        let progress = job.progress;
        let is_open = job.state.is_open();
        Self {
            job: job.number,
            bucket: job.bucket_name,
            prefix: String::from_utf8_lossy(&job.prefix).into_owned(),
            dry_run: job.kind == JobKind::DryRun,
            state: job.state,
            stage: progress.stage,
            created_ms: job.created_ms,
            ended_ms: job.ended_ms,
            planned_in_all: progress.planned_in_all().into(),
            done: progress.settled.into(),
            moved: progress.moved.into(),
            failed: progress.failed.into(),
            met: progress.met.into(),
            bytes_per_second: progress.bytes_per_second(),
            eta_seconds: progress.eta_seconds().filter(|_| is_open),
            planned: progress
                .planned
                .into_iter()
                .map(|(change, amount)| (change, amount.into()))
                .collect(),
            waiting_for: progress.waiting_for,
            errors: progress.errors,
        }
    }
}
