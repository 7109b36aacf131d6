//! Policies made, changed and deleted; buckets made with one and given another; re-encodes.

use bytes::Bytes;
use holdfast_erasure::what_if::{WhatIf, Writes};
use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{Policy, PolicyError, PolicyRule, PolicyUse};
use holdfast_metadata::reencode::{JobKind, JobState};
use holdfast_types::{Drive, DriveState, FailureDomain, Layout, LayoutError, SizeRule};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::de::DeserializeOwned;

use super::error::AdminError;
use super::route::{PolicyRoute, Tell};
use super::view::{
    BucketChange, DeletedView, DoneView, PolicyChange, PolicyView, ReencodeView, ReencodesView,
    RuleView, StartReencode,
};
use super::{Admin, DEFAULT_POLICY, json};
use crate::s3::name::BucketName;

/// Re-encodes that one answer lists.
const MAX_REENCODES: usize = 1000;

impl Admin {
    pub(super) async fn of_policies(
        &self,
        route: PolicyRoute,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        let ok = StatusCode::OK;
        Ok(match route {
            PolicyRoute::Create => {
                json(StatusCode::CREATED, &self.create_policy(read(body)?).await?)
            }
            PolicyRoute::Show { name } => json(ok, &PolicyView::from(self.policy(&name).await?)),
            PolicyRoute::Update { name } => {
                json(ok, &self.update_policy(&name, read(body)?).await?)
            }
            PolicyRoute::Delete { name } => json(ok, &self.delete_policy(name).await?),
            PolicyRoute::Check { name, inputs } => {
                let policy = self.policy(&name).await?;
                json(ok, &self.check_policy(&policy, &inputs))
            }
            PolicyRoute::CreateBucket => {
                json(StatusCode::CREATED, &self.create_bucket(read(body)?).await?)
            }
            PolicyRoute::SetBucketPolicy { bucket } => {
                json(ok, &self.set_bucket_policy(&bucket, read(body)?).await?)
            }
            PolicyRoute::Reencodes => {
                let jobs = self.metadata.reencodes(MAX_REENCODES).await?;
                let reencodes = jobs.into_iter().map(ReencodeView::from).collect();
                json(ok, &ReencodesView { reencodes })
            }
            PolicyRoute::Reencode { bucket } => json(ok, &self.reencode(&bucket).await?),
            PolicyRoute::StartReencode { bucket } => json(
                StatusCode::CREATED,
                &self.start_reencode(&bucket, read(body)?).await?,
            ),
            PolicyRoute::TellReencode { bucket, what } => {
                json(ok, &self.tell_reencode(&bucket, what).await?)
            }
        })
    }

    async fn policy(&self, name: &str) -> Result<Policy, AdminError> {
        let found = self.metadata.policy(name).await?;
        found.ok_or_else(|| AdminError::not_found(format!("there is no policy {name}")))
    }

    async fn create_policy(&self, change: PolicyChange) -> Result<PolicyView, AdminError> {
        let (Some(name), Some(layout)) = (&change.name, &change.layout) else {
            return Err(AdminError::invalid(
                "a new policy needs a name and a layout",
            ));
        };
        let rule = SizeRule::new(layout.parse()?);
        let mut policy = Policy::new(name.clone(), rule, FailureDomain::Drive);
        if policy.name == self.facts.region.as_str() {
            return Err(AdminError::invalid(
                "a policy can't have the region's name: a LocationConstraint could mean either",
            ));
        }
        apply(&mut policy, &change)?;
        self.fits(&policy, change.force)?;
        match self.metadata.create_policy(policy.clone()).await {
            Err(MetadataError::Exists(_)) => Err(AdminError::exists(format!(
                "there is a policy {name} already: change it with `update`"
            ))),
            Err(error) => Err(error.into()),
            Ok(()) => {
                tracing::info!(policy = name, "a policy was made");
                Ok(policy.into())
            }
        }
    }

    async fn update_policy(
        &self,
        name: &str,
        change: PolicyChange,
    ) -> Result<PolicyView, AdminError> {
        if change.name.as_deref().is_some_and(|new| new != name) {
            return Err(AdminError::invalid("a policy keeps its name"));
        }
        let mut policy = self.policy(name).await?;
        apply(&mut policy, &change)?;
        policy.generation += 1;
        self.fits(&policy, change.force)?;
        match self.metadata.update_policy(policy.clone()).await {
            Err(MetadataError::SourceChanged) => Err(AdminError::exists(format!(
                "policy {name} was changed by somebody else meanwhile: look at it and try again"
            ))),
            Err(error) => Err(error.into()),
            Ok(()) => {
                tracing::info!(
                    policy = name,
                    generation = policy.generation,
                    "a policy changed"
                );
                Ok(policy.into())
            }
        }
    }

    async fn delete_policy(&self, name: String) -> Result<DeletedView, AdminError> {
        if name == DEFAULT_POLICY {
            return Err(AdminError::exists(
                "new buckets that name no policy follow this one: it can be changed, not deleted",
            ));
        }
        match self.metadata.delete_policy(&name).await? {
            PolicyUse::None => {
                tracing::info!(policy = name, "a policy was deleted");
                Ok(DeletedView { deleted: name })
            }
            PolicyUse::Bucket(bucket) => Err(AdminError::exists(format!(
                "bucket {bucket} follows policy {name}: give it another one first"
            ))),
            PolicyUse::Upload => Err(AdminError::exists(format!(
                "open multipart uploads have policy {name} as their storage class: wait until they \
                 are completed or aborted"
            ))),
        }
    }

    async fn create_bucket(&self, change: BucketChange) -> Result<DoneView, AdminError> {
        let name = change.name.unwrap_or_default();
        let bucket = BucketName::parse(&name)
            .map_err(|_| AdminError::invalid(format!("`{name}` is no name for a bucket")))?;
        let policy = change.policy.as_deref().unwrap_or(DEFAULT_POLICY);
        self.policy(policy).await?;
        self.metadata
            .create_bucket(bucket.as_str(), policy, None)
            .await?;
        let done = format!("made bucket {name}, which follows policy {policy}");
        Ok(DoneView { done })
    }

    async fn set_bucket_policy(
        &self,
        bucket: &str,
        change: BucketChange,
    ) -> Result<DoneView, AdminError> {
        let Some(policy) = change.policy else {
            return Err(AdminError::invalid("name the policy"));
        };
        self.policy(&policy).await?;
        self.metadata.set_bucket_policy(bucket, &policy).await?;
        tracing::info!(bucket, policy, "a bucket was given another policy");
        let done = format!(
            "new objects in bucket {bucket} follow policy {policy}; `admin bucket reencode \
             {bucket}` brings the old ones over"
        );
        Ok(DoneView { done })
    }

    async fn reencode(&self, bucket: &str) -> Result<ReencodeView, AdminError> {
        let bucket = self.metadata.bucket(bucket).await?;
        match self.metadata.reencode_of(bucket.id).await? {
            Some(job) => Ok(job.into()),
            None => Err(AdminError::not_found(format!(
                "bucket {} was never re-encoded",
                bucket.name
            ))),
        }
    }

    async fn start_reencode(
        &self,
        bucket: &str,
        start: StartReencode,
    ) -> Result<ReencodeView, AdminError> {
        let kind = if start.dry_run {
            JobKind::DryRun
        } else {
            JobKind::Reencode
        };
        let prefix = start.prefix.as_bytes();
        match self.metadata.start_reencode(bucket, prefix, kind).await {
            Ok(job) => Ok(job.into()),
            Err(MetadataError::Exists(_)) => Err(AdminError::exists(format!(
                "bucket {bucket} is being re-encoded already: look at it with `status`, end it with \
                 `cancel`"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    async fn tell_reencode(&self, bucket: &str, what: Tell) -> Result<ReencodeView, AdminError> {
        let state = match what {
            Tell::Pause => JobState::Paused,
            Tell::Resume => JobState::Running,
            Tell::Cancel => JobState::Cancelled,
        };
        match self.metadata.tell_reencode(bucket, state).await {
            Ok(job) => Ok(job.into()),
            Err(MetadataError::NotFound(_)) => Err(AdminError::exists(format!(
                "bucket {bucket} is not being re-encoded"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the drives there are, all being well, can hold what the policy says.
    fn fits(&self, policy: &Policy, force: bool) -> Result<(), AdminError> {
        if force {
            return Ok(());
        }
        let drives = self.surroundings.drives().into_iter();
        let drives: Vec<Drive> = drives
            .map(|drive| Drive {
                state: DriveState::Online,
                free_bytes: drive.capacity_bytes,
                ..drive
            })
            .collect();
        for layout in policy.layouts() {
            let what_if = WhatIf {
                drives: &drives,
                region: &self.facts.region,
                layout,
                protect: policy.protect,
                quorum: policy.quorum_for(layout),
            };
            if what_if.now().writes != Writes::Whole {
                return Err(AdminError::invalid(format!(
                    "{layout} needs {} drives{}, and there are {}: add drives first, or force it",
                    layout.width(),
                    match policy.protect {
                        FailureDomain::Drive => "",
                        FailureDomain::Node => " whose nodes can each be lost",
                        FailureDomain::Zone => " whose zones can each be lost",
                    },
                    drives.len()
                )));
            }
        }
        Ok(())
    }
}

/// Changes what is given, and checks the whole.
fn apply(policy: &mut Policy, change: &PolicyChange) -> Result<(), AdminError> {
    if let Some(layout) = &change.layout {
        policy.rule.layout = layout.parse()?;
        // A quorum is meant for the layout that it was given with.
        policy.quorum = None;
    }
    if let Some(below) = change.small_below_bytes {
        policy.rule.copies_up_to_bytes = below.saturating_sub(1);
    }
    if let Some(copies) = change.small_copies {
        policy.rule.small_copies = (copies > 0).then_some(copies);
    }
    if let Some(quorum) = change.quorum {
        policy.quorum = (quorum > 0).then_some(quorum);
    }
    if let Some(protect) = change.protect {
        policy.protect = protect;
    }
    if let Some(rules) = &change.rules {
        policy.rules = rules.iter().map(rule).collect::<Result<_, _>>()?;
    }
    Ok(policy.check()?)
}

fn rule(view: &RuleView) -> Result<PolicyRule, AdminError> {
    Ok(PolicyRule {
        prefix: view.prefix.clone(),
        at_least_bytes: view.at_least_bytes,
        below_bytes: view.below_bytes,
        layout: view.layout.parse::<Layout>()?,
    })
}

fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, AdminError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))
}

impl From<LayoutError> for AdminError {
    fn from(error: LayoutError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<PolicyError> for AdminError {
    fn from(error: PolicyError) -> Self {
        Self::invalid(error.to_string())
    }
}
