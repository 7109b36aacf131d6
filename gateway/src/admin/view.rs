//! What the admin API answers, as JSON: shared by the server, which writes it, and the command
//! line, which reads it.
//!
//! Fields are only ever added: programs read this.

mod backups;
mod journal;
mod policies;
mod upkeep;
mod verify;
mod webhooks;

use std::collections::BTreeMap;

use holdfast_metadata::model::{AccessKey, Bucket, Policy, Usage, Versioning};
use holdfast_types::{Drive, DriveState, FailureDomain, Layout};
use serde::{Deserialize, Serialize};

use super::quotas::QuotaView;
use super::rate_limits::{RateLimitNow, RateLimitView};
use super::readiness::Readiness;

pub use self::backups::{BackupView, BackupsView, TakeBackup};
pub use self::journal::JournalView;
pub use self::policies::{
    BucketChange, DurabilityInputsView, FailureView, LayoutCheckView, PolicyChange,
    PolicyCheckView, ReencodeView, ReencodesView, RuleView, StartReencode,
};
pub use self::upkeep::{
    AddDrive, AddedView, DoneView, DrainView, LeaseView, OwedView, ProgressView, RemovedView,
    RepairView, SetPace, StakeView, WorkerView, WorkersView,
};

pub use self::verify::{BeginVerify, VerifyDepth, VerifyState, VerifyView};
pub use self::webhooks::{
    CreateWebhook, DeadLetterView, DeadLettersView, LettersAsked, LettersDoneView,
    WebhookDeliveryView, WebhookStatusView, WebhookTestView, WebhookView, WebhooksView,
};

/// `GET /healthz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// Always true: a process that can't say so does not answer.
    pub healthy: bool,
}

/// `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyView {
    /// Whether what was asked for can be served.
    pub ready: bool,
    /// What can be served, and why not more.
    #[serde(flatten)]
    pub readiness: Readiness,
}

/// A count and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountView {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl From<Usage> for CountView {
    fn from(usage: Usage) -> Self {
        Self {
            count: usage.versions,
            bytes: usage.bytes,
        }
    }
}

/// `GET /admin/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The server's version.
    pub version: String,
    /// The cluster's id.
    pub cluster: String,
    /// This region.
    pub region: String,
    /// The default layout.
    pub layout: String,
    /// Seconds since the process began.
    pub uptime_seconds: u64,
    /// What can be served.
    pub readiness: Readiness,
    /// The drives.
    pub drives: Vec<DriveView>,
    /// The room on the file systems of all readable drives.
    pub space: SpaceView,
    /// How many buckets.
    pub buckets: u64,
    /// Object versions and their bytes, as clients count them.
    pub objects: CountView,
    /// Multipart uploads that are neither completed nor aborted.
    pub open_uploads: u64,
    /// Blobs with fewer fragments in reach than their layout has; `null` until they were counted.
    pub at_risk: Option<RiskView>,
    /// Blobs with at least one fragment that is recorded as owed.
    pub blobs_with_debts: u64,
    /// Fragments that are recorded as owed.
    pub debts: u64,
    /// Blobs that were removed and whose bytes are still on the drives.
    pub garbage: CountView,
    /// The metadata's journal on the drives; `null` where the database keeps its own.
    #[serde(default)]
    pub journal: Option<JournalView>,
    /// Since when the metadata, which was restored, waits to be compared with the drives; nothing
    /// is destroyed meanwhile. `null`: it does not wait.
    #[serde(default)]
    pub reconcile_pending_since_ms: Option<u64>,
    /// Background work.
    pub workers: Vec<WorkerView>,
}

/// Room on drives: of their file systems, each counted once however many drives share it, and
/// before redundancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceView {
    /// Bytes that they can hold.
    pub capacity_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

/// What is at risk, as of the last whole count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskView {
    /// When the count ended, in milliseconds since 1970.
    pub as_of_ms: u64,
    /// All blobs.
    pub blobs: u64,
    /// Blobs with fewer fragments in reach than their layout has.
    pub at_risk: u64,
    /// Blobs that can't be read now.
    pub unreadable: u64,
    /// How many more fragments the worst blob at risk can lose; negative: it can't be read now.
    pub fewest_spares: Option<i16>,
    /// Blobs at risk by how many more fragments they can lose.
    pub by_spares: BTreeMap<i16, u64>,
}

/// `GET /admin/v1/drives`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrivesView {
    /// All drives.
    pub drives: Vec<DriveView>,
}

/// A drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveView {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub region: String,
    /// See `region`.
    pub zone: String,
    /// See `region`.
    pub node: String,
    /// Its folder on that node.
    pub path: String,
    /// How it is.
    pub state: DriveState,
    /// Why it is so; empty when online.
    pub reason: String,
    /// Bytes that its file system can hold.
    pub capacity_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// How far it is with being emptied, where an operator wants that.
    #[serde(default)]
    pub draining: Option<DrainView>,
}

impl From<Drive> for DriveView {
    fn from(drive: Drive) -> Self {
        Self {
            id: drive.id.to_string(),
            region: drive.region.as_str().to_owned(),
            zone: drive.zone,
            node: drive.node,
            path: drive.path,
            state: drive.state,
            reason: drive.reason,
            capacity_bytes: drive.capacity_bytes,
            free_bytes: drive.free_bytes,
            draining: None,
        }
    }
}

/// `GET /admin/v1/buckets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketsView {
    /// Buckets by name.
    pub buckets: Vec<BucketView>,
    /// What to give as `after` for the next page; `null` on the last.
    pub next: Option<String>,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketView {
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Whether it keeps old versions.
    pub versioning: Versioning,
    /// The policy that new objects follow.
    pub policy: String,
    /// Object versions and their bytes.
    pub objects: CountView,
    /// How much it may hold.
    pub quota: QuotaView,
    /// What counts against its quota, if it has one: parts of open uploads, too.
    pub counted: Option<CountView>,
    /// How much is let through in a second.
    #[serde(default)]
    pub rate_limit: RateLimitView,
    /// Requests that this limit has refused since the server started or the limit was set.
    #[serde(default)]
    pub rate_refused: u64,
}

impl BucketView {
    pub(super) fn new(
        bucket: Bucket,
        usage: Usage,
        counted: Option<Usage>,
        rate: RateLimitNow,
    ) -> Self {
        Self {
            rate_limit: rate.limit.into(),
            rate_refused: rate.refused,
            quota: bucket.quota.into(),
            counted: counted.map(CountView::from),
            name: bucket.name,
            created_ms: bucket.created_ms,
            versioning: bucket.versioning,
            policy: bucket.policy,
            objects: usage.into(),
        }
    }
}

/// `GET /admin/v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesView {
    /// All policies.
    pub policies: Vec<PolicyView>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// How objects are split.
    pub layout: String,
    /// Objects of at most this many bytes are kept as copies.
    pub copies_up_to_bytes: u64,
    /// How those are kept.
    pub small_layout: String,
    /// The domain whose loss each write survives from its acknowledgement on.
    pub protect: FailureDomain,
    /// Rises with each change.
    pub generation: u64,
    /// How many fragments must be durable before a write is acknowledged, where it is not as many
    /// as the layout says.
    #[serde(default)]
    pub quorum: Option<u8>,
    /// What is kept otherwise: the first that fits decides.
    #[serde(default)]
    pub rules: Vec<RuleView>,
}

impl From<Policy> for PolicyView {
    fn from(policy: Policy) -> Self {
        let small: Layout = policy.rule.layout_for(1);
        Self {
            name: policy.name,
            layout: policy.rule.layout.to_string(),
            copies_up_to_bytes: policy.rule.copies_up_to_bytes,
            small_layout: small.to_string(),
            protect: policy.protect,
            generation: policy.generation,
            quorum: policy.quorum,
            rules: policy.rules.iter().map(RuleView::from).collect(),
        }
    }
}

/// `GET /admin/v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysView {
    /// All keys.
    pub keys: Vec<KeyView>,
}

/// An access key. Secrets are shown once, when they are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Its public half.
    pub access_key: String,
    /// What it is for.
    pub description: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Whether requests signed with it are refused.
    pub disabled: bool,
    /// Whether it is the root key, which comes from the environment or the data folder.
    pub root: bool,
    /// How much is let through in a second.
    #[serde(default)]
    pub rate_limit: RateLimitView,
    /// Requests that this limit has refused since the server started or the limit was set.
    #[serde(default)]
    pub rate_refused: u64,
}

impl KeyView {
    pub(super) fn new(key: AccessKey, rate: RateLimitNow, root_access_key: &str) -> Self {
        Self {
            rate_limit: rate.limit.into(),
            rate_refused: rate.refused,
            root: key.access_key == root_access_key,
            access_key: key.access_key,
            description: key.description,
            created_ms: key.created_ms,
            disabled: key.disabled,
        }
    }
}

/// All master keys, newest first; those that are not here come last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKeysView {
    /// See [`MasterKeyView`].
    pub keys: Vec<MasterKeyView>,
}

/// A master key, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKeyView {
    /// Its name.
    pub id: String,
    /// `newest`: it wraps. `opens`: it only unwraps. `retired`: it does nothing any more.
    /// `missing`: it is not here, although something may be wrapped by it.
    pub state: String,
    /// When it was made, where that is known.
    pub made_ms: Option<u64>,
    /// How many blobs' keys it wraps.
    pub blobs: u64,
    /// Whether there are more than that.
    pub or_more: bool,
}

/// The body of `POST /admin/v1/keys`: both halves to import a pair, none to have one made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateKey {
    /// The public half.
    pub access_key: Option<String>,
    /// The secret half.
    pub secret_key: Option<String>,
    /// What it is for.
    pub description: String,
}

/// The answer to `POST /admin/v1/keys`: the only one that holds a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKeyView {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
}

/// The answer to a DELETE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedView {
    /// What is gone.
    pub deleted: String,
}

/// A refusal or a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// What happened.
    pub error: ErrorDetail,
}

/// See [`ErrorView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// For the log.
    pub request_id: String,
}
