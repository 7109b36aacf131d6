//! The admin API: what an operator and their programs may ask and tell a running Holdfast.
//!
//! JSON under `/admin/v1`, each request signed with SigV4 for the service `holdfast-admin`, so that
//! nothing signed for S3 is worth anything here, nor the other way round. `/healthz`, `/readyz` and
//! `/metrics` are open to the same machine and signed for everyone else. Every route is in one
//! table (`route`); whatever is not in it is 404, after the signature was checked, so that nobody
//! without a key learns what there is.

mod auth;
mod backups;
mod credentials;
mod dead_letters;
mod drive_metrics;
mod error;
mod key;
mod master_keys;
mod policies;
mod policy_check;
mod quotas;
mod rate_limits;
mod readiness;
mod route;
#[cfg(test)]
mod tests;
mod upkeep;
mod verification;
pub mod view;
mod webhooks;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use holdfast_metadata::Metadata;
use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{AccessKey, Bucket, RateLimit, RateLimited};
use holdfast_types::{Clock, ClusterId, Drive, Layout, Region};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;

use self::auth::{authenticate, verified_body};
use self::error::AdminError;
use self::route::Route;
use crate::metrics::Metrics;
use crate::rate::RateLimitKeeper;
use crate::s3::sigv4::{CredentialStore, Verifier};
use crate::server::{HttpService, Refusal, RequestBody, RequestId};

pub use self::backups::{BackupTarget, Backups};
pub use self::credentials::MetadataCredentials;
pub use self::drive_metrics::DriveMetrics;
pub use self::key::{KeyPair, KeyRuleBroken, ROOT_KEY_DESCRIPTION};
pub use self::master_keys::{KeeperError, MasterKeyKeeper};
pub use self::quotas::QuotaView;
pub use self::rate_limits::RateLimitView;
pub use self::readiness::{Readiness, readiness};
pub use self::upkeep::{Leaving, NotDone, Upkeep, WorkerOrder};
pub use self::verification::Verification;
pub use self::webhooks::Webhooks;

/// The service that admin requests are signed for.
pub const ADMIN_SERVICE: &str = "holdfast-admin";

/// The policy of buckets that are made without naming one. It is made at first start.
pub const DEFAULT_POLICY: &str = "default";

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct AdminFacts {
    /// The program's version.
    pub version: &'static str,
    /// The cluster.
    pub cluster: ClusterId,
    /// This region.
    pub region: Region,
    /// The default layout.
    pub layout: Layout,
    /// The access key that must not be removed: it would come back at the next start.
    pub root_access_key: String,
}

/// What the admin API asks of the rest of the process. It hands over values, not the rooms
/// themselves: the gateway does not talk to storage nodes or workers.
pub trait Surroundings: Send + Sync + 'static {
    /// The drives as they are now.
    fn drives(&self) -> Vec<Drive>;

    /// The room on the file systems of all readable drives, each file system counted once.
    fn space(&self) -> view::SpaceView;

    /// The last count of blobs at risk, once there is one.
    fn risk(&self) -> Option<view::RiskView>;

    /// The background workers as they are now.
    fn workers(&self) -> Vec<view::WorkerView>;

    /// Who keeps the master keys, where they are kept in this process.
    fn master_keys(&self) -> Option<Arc<dyn MasterKeyKeeper>> {
        None
    }

    /// Background work and the set of drives, where this process has some.
    fn upkeep(&self) -> Option<Arc<dyn Upkeep>> {
        None
    }

    /// Who posts to webhooks, where this process does.
    fn webhooks(&self) -> Option<Arc<dyn Webhooks>> {
        None
    }

    /// Who holds requests to rate limits, where this process does.
    fn rate_limits(&self) -> Option<Arc<RateLimitKeeper>> {
        None
    }

    /// Who takes backups of the metadata, where this process does.
    fn backups(&self) -> Option<Arc<dyn Backups>> {
        None
    }

    /// The verification of the store, where this process has one.
    fn verification(&self) -> Option<Arc<dyn Verification>> {
        None
    }
}

/// The admin API of one process.
pub struct Admin {
    facts: AdminFacts,
    metadata: Metadata,
    surroundings: Arc<dyn Surroundings>,
    metrics: Metrics,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    began: Instant,
}

impl Admin {
    /// The admin API over these rooms.
    #[must_use]
    pub fn new(
        facts: AdminFacts,
        metadata: Metadata,
        surroundings: Arc<dyn Surroundings>,
        metrics: Metrics,
        credentials: Arc<dyn CredentialStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let region = facts.region.as_str().to_owned();
        let verifier = Verifier::new(ADMIN_SERVICE, region, credentials, Arc::clone(&clock));
        Self {
            facts,
            metadata,
            surroundings,
            metrics,
            verifier,
            clock,
            began: Instant::now(),
        }
    }

    /// Answers one request, which carries its [`RequestId`] and its peer's `SocketAddr` as
    /// extensions; one without a peer is treated as from afar.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let request_id = request
            .extensions()
            .get()
            .copied()
            .unwrap_or_else(RequestId::generate);
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let answer = self.answer(request).await;
        let response = answer.unwrap_or_else(|error| {
            if error.status.is_server_error() {
                tracing::error!(%request_id, %method, path, code = error.code, "admin request failed: {}", error.message);
            } else {
                tracing::info!(%request_id, %method, path, code = error.code, "admin request refused: {}", error.message);
            }
            error.response(request_id)
        });
        tracing::debug!(%request_id, %method, path, status = response.status().as_u16(), "admin request");
        with_common_headers(response, request_id)
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, AdminError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let (head, body) = request.into_parts();
        let route = Route::of(&head.method, &head.uri);
        let peer = head.extensions.get::<SocketAddr>();
        let open = route.as_ref().is_ok_and(Route::is_open) && peer.is_some_and(is_same_machine);
        let body = if open {
            Bytes::new()
        } else {
            let payload = authenticate(&self.verifier, &head).await?;
            verified_body(body, payload).await?
        };
        match route? {
            Route::Health => Ok(json(StatusCode::OK, &view::HealthView { healthy: true })),
            Route::Ready { writes } => Ok(self.ready(writes)),
            Route::Metrics => self.metrics_page(),
            Route::Status => Ok(json(StatusCode::OK, &self.status().await?)),
            Route::Drives => Ok(json(StatusCode::OK, &self.drives())),
            Route::Buckets { after, limit } => Ok(json(
                StatusCode::OK,
                &self.buckets(after.as_deref(), limit).await?,
            )),
            Route::Policies => Ok(json(StatusCode::OK, &self.policies().await?)),
            Route::MasterKeys => Ok(json(StatusCode::OK, &self.master_keys().await?)),
            Route::RotateMasterKey => {
                Ok(json(StatusCode::CREATED, &self.rotate_master_key().await?))
            }
            Route::RetireMasterKey { id } => {
                self.retire_master_key(&id).await?;
                Ok(json(StatusCode::OK, &view::DeletedView { deleted: id }))
            }
            Route::Keys => Ok(json(StatusCode::OK, &self.keys().await?)),
            Route::Webhook(route) => self.webhook(route, &body).await,
            Route::Backup(route) => self.backups(route, &body).await,
            Route::Verify(verify) => self.verification(verify, &body),
            Route::SetQuota { bucket } => {
                Ok(json(StatusCode::OK, &self.set_quota(&bucket, &body).await?))
            }
            Route::LimitBucket { bucket } => {
                let view = self.limit_bucket(&bucket, &body).await?;
                Ok(json(StatusCode::OK, &view))
            }
            Route::LimitKey { access_key } => {
                let view = self.limit_key(&access_key, &body).await?;
                Ok(json(StatusCode::OK, &view))
            }
            Route::Policy(route) => self.of_policies(route, &body).await,
            Route::Upkeep(route) => self.upkeep(route, &body).await,
            Route::CreateKey => Ok(json(StatusCode::CREATED, &self.create_key(&body).await?)),
            Route::DeleteKey { access_key } => {
                self.delete_key(&access_key).await?;
                Ok(json(
                    StatusCode::OK,
                    &view::DeletedView {
                        deleted: access_key,
                    },
                ))
            }
        }
    }

    fn readiness(&self) -> Readiness {
        readiness(
            self.metadata.healthy(),
            self.metadata.journal_status().as_ref(),
            self.facts.layout,
            &self.surroundings.drives(),
        )
    }

    fn ready(&self, writes: bool) -> Response<Full<Bytes>> {
        let readiness = self.readiness();
        let ready = readiness.reads && (readiness.writes || !writes);
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json(status, &view::ReadyView { ready, readiness })
    }

    fn metrics_page(&self) -> Result<Response<Full<Bytes>>, AdminError> {
        let page = self
            .metrics
            .render()
            .map_err(|error| AdminError::internal(format!("metrics can't be written: {error}")))?;
        let mut response = Response::new(Full::new(Bytes::from(page)));
        if let Ok(content_type) = HeaderValue::from_str(self.metrics.content_type()) {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        Ok(response)
    }

    async fn status(&self) -> Result<view::StatusView, AdminError> {
        let totals = self.metadata.totals().await?;
        Ok(view::StatusView {
            version: self.facts.version.to_owned(),
            cluster: self.facts.cluster.to_string(),
            region: self.facts.region.as_str().to_owned(),
            layout: self.facts.layout.to_string(),
            uptime_seconds: self.began.elapsed().as_secs(),
            readiness: self.readiness(),
            drives: self.drives().drives,
            space: self.surroundings.space(),
            buckets: totals.buckets,
            objects: view::CountView::from(totals.usage),
            open_uploads: totals.open_uploads,
            at_risk: self.surroundings.risk(),
            blobs_with_debts: totals.blobs_at_risk,
            debts: totals.debts,
            garbage: view::CountView::from(totals.garbage),
            journal: self.metadata.journal_status().map(view::JournalView::from),
            reconcile_pending_since_ms: self.metadata.reconcile_pending().await?,
            workers: self.surroundings.workers(),
        })
    }

    fn drives(&self) -> view::DrivesView {
        let mut drives = self.surroundings.drives();
        drives.sort_by(|a, b| a.path.cmp(&b.path));
        let upkeep = self.surroundings.upkeep();
        let mut draining = upkeep.map(|it| it.draining()).unwrap_or_default();
        let view = |drive: Drive| view::DriveView {
            draining: draining.remove(&drive.id),
            ..view::DriveView::from(drive)
        };
        view::DrivesView {
            drives: drives.into_iter().map(view).collect(),
        }
    }

    async fn buckets(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<view::BucketsView, AdminError> {
        // One more than asked for says whether there is another page.
        let mut found = self.metadata.buckets("", after, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.name.clone());
        let mut buckets = Vec::with_capacity(found.len());
        for bucket in found {
            buckets.push(self.bucket_view(bucket).await?);
        }
        Ok(view::BucketsView { buckets, next })
    }

    async fn bucket_view(&self, bucket: Bucket) -> Result<view::BucketView, AdminError> {
        let usage = self.metadata.bucket_usage(bucket.id).await?;
        let counted = if bucket.quota.is_none() {
            None
        } else {
            Some(self.metadata.bucket_stored(bucket.id).await?)
        };
        let limit = self.bucket_limit(&bucket).await?;
        Ok(view::BucketView::new(bucket, usage, counted, limit))
    }

    async fn policies(&self) -> Result<view::PoliciesView, AdminError> {
        let policies = self.metadata.policies().await?;
        Ok(view::PoliciesView {
            policies: policies.into_iter().map(view::PolicyView::from).collect(),
        })
    }

    async fn keys(&self) -> Result<view::KeysView, AdminError> {
        let keys = self.metadata.keys().await?;
        let limits = self.metadata.all_rate_limits().await?;
        let limits: HashMap<&str, RateLimit> = limits
            .iter()
            .filter(|limit| limit.of == RateLimited::Key)
            .map(|limit| (limit.name.as_str(), limit.limit))
            .collect();
        let view = |key: AccessKey| {
            let name = key.access_key.as_str();
            let limit = limits.get(name).copied().unwrap_or_default();
            let limit = self.rate_limit_now(RateLimited::Key, name, limit);
            view::KeyView::new(key, limit, &self.facts.root_access_key)
        };
        Ok(view::KeysView {
            keys: keys.into_iter().map(view).collect(),
        })
    }

    async fn create_key(&self, body: &[u8]) -> Result<view::NewKeyView, AdminError> {
        let asked: view::CreateKey = serde_json::from_slice(body)
            .map_err(|error| AdminError::invalid(format!("the body can't be read: {error}")))?;
        let pair = match (asked.access_key, asked.secret_key) {
            (None, None) => KeyPair::generate(),
            (Some(access_key), Some(secret_key)) => KeyPair::import(access_key, secret_key)?,
            _ => {
                return Err(AdminError::invalid(
                    "give both access_key and secret_key to import a pair, or none to have one made",
                ));
            }
        };
        key::check_description(&asked.description)?;
        let row = AccessKey {
            access_key: pair.access_key.clone(),
            secret_key: pair.secret_key.clone(),
            description: asked.description,
            created_ms: self.clock.now_ms(),
            disabled: false,
        };
        match self.metadata.create_key(row).await {
            Ok(()) => {
                tracing::info!(access_key = pair.access_key, "an access key was made");
                Ok(view::NewKeyView {
                    access_key: pair.access_key,
                    secret_key: pair.secret_key,
                })
            }
            Err(MetadataError::Exists(_)) => Err(AdminError::exists(format!(
                "there is an access key {} already",
                pair.access_key
            ))),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_key(&self, access_key: &str) -> Result<(), AdminError> {
        if access_key == self.facts.root_access_key {
            return Err(AdminError::exists(
                "this is the root key, which would come back at the next start: change it with \
                 HOLDFAST_ACCESS_KEY and HOLDFAST_SECRET_KEY",
            ));
        }
        self.metadata.delete_key(access_key).await?;
        tracing::info!(access_key, "an access key was removed");
        Ok(())
    }
}

impl HttpService for Admin {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        self.handle(request).await
    }

    fn refuse(&self, refusal: Refusal, id: RequestId) -> Response<Full<Bytes>> {
        let error = AdminError::new(refusal.status(), "BadRequest", refusal.to_string());
        with_common_headers(error.response(id), id)
    }
}

/// Whether the other end is a process on this machine.
fn is_same_machine(peer: &SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

fn json(status: StatusCode, view: &impl Serialize) -> Response<Full<Bytes>> {
    let mut text =
        serde_json::to_vec(view).expect("views are maps with text keys and plain values");
    text.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn with_common_headers(
    mut response: Response<Full<Bytes>>,
    request_id: RequestId,
) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert("x-holdfast-request-id", id);
    }
    response
}
