//! S3's operations over the rooms behind the gateway: metadata decides, `erasure` moves the bytes.
//!
//! [`Gateway`] implements [`S3Service`]; each group of operations is a file of its own. The order
//! is the same everywhere: bytes first, truth second. A write's bytes are durable on their quorum
//! before the one metadata command that makes them visible, and the answer follows that command.
//! Everything that writes runs in a task of its own, so that a client that leaves never cancels
//! half of it. The gateway knows no storage node and deletes nothing but the fragments of a blob
//! that it has first made sure can never be published.

mod bucket;
mod complete;
mod convert;
mod copy;
mod copy_bytes;
mod copy_part;
mod cors;
mod debts;
mod delete;
mod encryption;
mod error;
mod lifecycle;
mod list;
mod list_uploads;
mod list_versions;
mod notifications;
mod object_attributes;
mod object_lock;
mod ownership;
mod part;
mod put;
mod quota;
mod read;
mod service;
mod stream_in;
mod tags;
mod upload;
mod version;
mod write;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use holdfast_erasure::{Blobs, Sharer};
use holdfast_metadata::Metadata;
use holdfast_metadata::model::{ChangeCause, Origin};
use holdfast_sealing::Keyring;
use holdfast_types::Region;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::metrics::Metrics;
use crate::s3::error::S3Error;
use crate::s3::op::RequestContext;
use crate::s3::time::Timestamp;
use crate::server::ClientKey;

pub use debts::{DebtReporter, DebtWriter};
pub use stream_in::NewObject;

/// The store behind S3, of one region. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    metadata: Metadata,
    blobs: Blobs,
    region: Region,
    default_policy: Arc<str>,
    metrics: Metrics,
    keyring: Keyring,
    tasks: TaskTracker,
    /// Whose request this clone works for: it goes into the change log.
    origin: Origin,
    /// When that request came.
    asked_at: Timestamp,
}

/// What a gateway is made of.
pub struct GatewayParts {
    /// The truth.
    pub metadata: Metadata,
    /// The bytes.
    pub blobs: Blobs,
    /// The region that this gateway serves.
    pub region: Region,
    /// The policy of buckets that are made without naming one.
    pub default_policy: String,
    /// What it counts.
    pub metrics: Metrics,
    /// The master keys, of which the newest wraps the keys of what is encrypted.
    pub keyring: Keyring,
}

impl Gateway {
    /// A gateway over these parts.
    #[must_use]
    pub fn new(parts: GatewayParts) -> Self {
        parts.metrics.show_data_path(&parts.blobs);
        Self {
            metadata: parts.metadata,
            blobs: parts.blobs,
            region: parts.region,
            default_policy: parts.default_policy.into(),
            metrics: parts.metrics,
            keyring: parts.keyring,
            tasks: TaskTracker::new(),
            origin: Origin::default(),
            asked_at: Timestamp::default(),
        }
    }

    /// What it counts.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits until all writes and clean-ups that have begun are over. Call it after the last
    /// request has been taken and before the metadata is closed.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A clone whose memory is the client's.
    fn on_behalf_of(&self, context: &RequestContext) -> Self {
        let mut gateway = self.clone();
        let client = ClientKey::of(context.client);
        gateway.blobs = self.blobs.on_behalf_of(Sharer(client.number()));
        gateway
    }

    /// The same, for what the change log tells of.
    fn asked_by(&self, context: &RequestContext, cause: ChangeCause) -> Self {
        let mut gateway = self.on_behalf_of(context);
        gateway.asked_at = context.received;
        gateway.origin = Origin {
            cause,
            principal: Some(context.access_key_id.as_ref().to_owned()),
            source_address: Some(context.client.to_canonical().to_string()),
            request_id: Some(context.request_id.as_ref().to_owned()),
        };
        gateway
    }

    /// Runs `work` to its end even if the caller goes away.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, S3Error>> + Send + 'static,
    ) -> Result<T, S3Error> {
        self.tasks
            .spawn(work.in_current_span())
            .await
            .unwrap_or_else(|died| {
                // Only a panic ends the task without a result: it is never aborted.
                Err(S3Error::internal(died))
            })
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GatewayParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayParts")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
