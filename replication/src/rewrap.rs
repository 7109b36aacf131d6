//! Puts data keys that old master keys wrap under the newest one.
//!
//! After a rotation every sealed blob's row is visited once, in pages; no content is touched. A row
//! is changed only where it is still as it was read, so requests and other workers never get in each
//! other's way. What is left to do is what the rows say: killed at any point, the next step goes on.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_metadata::Metadata;
use holdfast_metadata::model::{Rewrapped, WrappedRow};
use holdfast_sealing::Keyring;
use holdfast_types::BlobId;

use crate::worker::{Progress, WorkError, Worker};

/// The worker that finishes a rotation of the master key.
pub struct Rewrapper {
    metadata: Metadata,
    keyring: Keyring,
    /// How far it has got with each old key: rows that can't be rewrapped stay behind.
    passed: HashMap<String, BlobId>,
    rewrapped: u64,
    stuck: u64,
}

impl Rewrapper {
    /// Rewraps by the newest key of `keyring` what its others wrap.
    #[must_use]
    pub fn new(metadata: Metadata, keyring: Keyring) -> Self {
        Self {
            metadata,
            keyring,
            passed: HashMap::new(),
            rewrapped: 0,
            stuck: 0,
        }
    }

    /// A page of rows that an old key wraps.
    async fn next_page(&self) -> Result<Vec<WrappedRow>, WorkError> {
        for key in self.keyring.keys().iter().skip(1) {
            let id = key.id().as_str();
            let after = self.passed.get(id).copied();
            let page = self.metadata.wrapped_by(id, after, STEP).await?;
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }

    /// The same data key, wrapped by the newest master key.
    fn rewrap(&mut self, to: &str, row: WrappedRow) -> Option<Rewrapped> {
        let blob = row.blob.as_bytes();
        let opened = self.keyring.unwrap(&row.master_key, blob, &row.wrapped_key);
        let Ok(Ok(data)) = opened else {
            // The objects are as unreadable as they were: an operator must look.
            tracing::error!(blob = %row.blob, key = row.master_key, "a wrapped key does not open");
            self.stuck += 1;
            return None;
        };
        let (by, wrapped_key) = self.keyring.wrap(blob, &data);
        // Another rotation came in between: the next step follows it.
        (by.as_str() == to).then_some(Rewrapped { row, wrapped_key })
    }
}

#[async_trait]
impl Worker for Rewrapper {
    fn name(&self) -> &'static str {
        "rewrap"
    }

    fn leased(&mut self) -> Option<&mut Metadata> {
        Some(&mut self.metadata)
    }

    async fn work(&mut self) -> Result<Progress, WorkError> {
        let page = self.next_page().await?;
        let Some(last) = page.last() else {
            self.passed.clear();
            return Ok(Progress::Idle);
        };
        let (key, last) = (last.master_key.clone(), last.blob);
        let to = self.keyring.newest().id().to_string();
        let mut keys = Vec::with_capacity(page.len());
        for row in page {
            keys.extend(self.rewrap(&to, row));
        }
        self.rewrapped += self.metadata.rewrap(&to, keys).await?;
        self.passed.insert(key, last);
        Ok(Progress::Busy)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(PAUSE).await;
    }

    fn doing(&self) -> String {
        match self.stuck {
            0 => format!("{} keys wrapped anew", self.rewrapped),
            stuck => format!(
                "{} keys wrapped anew, {stuck} do not open: see the log",
                self.rewrapped
            ),
        }
    }
}

impl fmt::Debug for Rewrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrapper")
            .field("rewrapped", &self.rewrapped)
            .finish_non_exhaustive()
    }
}

/// Rows of one step: a few milliseconds of the metadata's writer, so that no request waits longer.
const STEP: usize = 200;
/// Between two looks: each is an index lookup for every old key, of which there is rarely one.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
