//! A small Holdfast for the workers' tests: real metadata, drives in memory, a clock that is moved.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use holdfast_codec::Reference;
use holdfast_erasure::{Blobs, Config, NoObserver, PutSpec, Receipt};
use holdfast_metadata::command::{CopyObject, DeleteObject, NewBlob, PutObject, WriteCondition};
use holdfast_metadata::model::{
    Attributes, Bucket, OpId, Origin, Policy, Seal, Version, VersionSelector,
};
use holdfast_metadata::samples::{SampleRule, Share};
use holdfast_metadata::{Metadata, MetadataConfig, MetadataError};
use holdfast_storage_node::memory::MemoryStore;
use holdfast_types::{
    BlobId, Clock, DriveId, FailureDomain, FragmentStore, Generation, Layout, ManualClock, Region,
    SizeRule,
};
use tempfile::TempDir;

/// Six drives, layout 4+2, one bucket.
pub(crate) struct World {
    pub(crate) metadata: Metadata,
    pub(crate) store: MemoryStore,
    pub(crate) blobs: Blobs,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) region: Region,
    bucket: Bucket,
    folder: TempDir,
}

pub(crate) const HOUR_MS: u64 = 3_600_000;

impl World {
    pub(crate) async fn new() -> Self {
        Self::sampling(SampleRule {
            share: Share::NONE,
            ..SampleRule::default()
        })
        .await
    }

    /// One whose writes are read again by a rule.
    pub(crate) async fn sampling(samples: SampleRule) -> Self {
        // In memory where that can be: what a power cut leaves is not what is tested here.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
        let folder = folder.unwrap();
        let clock = Arc::new(ManualClock::new(1_767_225_600_000));
        let region = Region::parse("local").unwrap();
        let url = format!("sqlite:{}", folder.path().join("m.db").display());
        let metadata = Metadata::open(
            &MetadataConfig {
                samples,
                ..MetadataConfig::new(url)
            },
            region.clone(),
            Arc::clone(&clock) as Arc<dyn Clock>,
        )
        .await
        .unwrap();
        let store = MemoryStore::with_drives(6, 1);
        metadata.upsert_drives(store.drives()).await.unwrap();
        let policy = Policy {
            name: "default".to_owned(),
            rule: SizeRule::new(layout()),
            protect: FailureDomain::Drive,
            generation: 1,
            rules: Vec::new(),
            quorum: None,
        };
        metadata.put_policy(policy).await.unwrap();
        let bucket = metadata
            .create_bucket("films", "default", None)
            .await
            .unwrap();
        let blobs = Blobs::with_seed(
            Arc::new(store.clone()),
            Arc::new(Reference::new()),
            &Config::default(),
            Arc::new(NoObserver),
            7,
        );
        Self {
            metadata,
            store,
            blobs,
            clock,
            region,
            bucket,
            folder,
        }
    }

    /// The database's file, for tests that damage it.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("m.db")
    }

    /// Puts an object of 100,000 bytes.
    pub(crate) async fn put(&self, key: &str) -> BlobId {
        let receipt = self.write(BlobId::generate()).await;
        let blob = receipt.blob;
        self.publish(receipt, key).await.unwrap();
        blob
    }

    /// Publishes what was written.
    pub(crate) async fn publish(&self, receipt: Receipt, key: &str) -> Result<(), MetadataError> {
        self.publish_sealed(receipt, key, None).await
    }

    /// The same with its seal.
    pub(crate) async fn publish_sealed(
        &self,
        receipt: Receipt,
        key: &str,
        seal: Option<Seal>,
    ) -> Result<(), MetadataError> {
        let blob = NewBlob {
            id: receipt.blob,
            len: receipt.len,
            seal,
            placement: receipt.placement,
            debts: receipt
                .debts
                .into_iter()
                .map(|debt| (debt.index, debt.drive))
                .collect(),
            strays: Vec::new(),
        };
        let put = PutObject {
            op: OpId::from(blob.id),
            bucket: "films".to_owned(),
            key: key.as_bytes().to_vec(),
            blob: Some(blob),
            taken_len: None,
            etag: "e".to_owned(),
            attributes: Attributes::default(),
            condition: WriteCondition::default(),
            lock: Default::default(),
            origin: Origin::default(),
        };
        self.metadata.put_object(put).await.map(|_| ())
    }

    /// Writes 100,000 bytes that nobody has published.
    pub(crate) async fn write(&self, blob: BlobId) -> Receipt {
        let body = Bytes::from(vec![7; 100_000]);
        let spec = PutSpec {
            blob,
            len: 100_000,
            layout: layout(),
            region: self.region.clone(),
            generation: Generation(0),
            protect: FailureDomain::Drive,
            quorum: None,
        };
        let body = stream::iter([Ok::<Bytes, Infallible>(body)]);
        self.blobs.put(spec, body).await.unwrap()
    }

    pub(crate) async fn version(&self, key: &str) -> Version {
        let current = VersionSelector::Current;
        self.metadata
            .version(self.bucket.id, key.as_bytes(), &current)
            .await
            .unwrap()
    }

    pub(crate) async fn copy(&self, from: &str, to: &str) {
        let copy = CopyObject {
            op: OpId::generate(),
            source: self.version(from).await.uid,
            bucket: "films".to_owned(),
            key: to.as_bytes().to_vec(),
            attributes: Attributes::default(),
            condition: WriteCondition::default(),
            lock: Default::default(),
            origin: Origin::default(),
        };
        self.metadata.copy_object(copy).await.unwrap();
    }

    pub(crate) async fn delete(&self, key: &str) {
        let delete = DeleteObject {
            op: OpId::generate(),
            bucket: "films".to_owned(),
            key: key.as_bytes().to_vec(),
            version: VersionSelector::Current,
            condition: WriteCondition::default(),
            bypass: Default::default(),
            origin: Origin::default(),
        };
        self.metadata.delete_object(delete).await.unwrap();
    }

    /// How many fragments of a blob are on drives, those that are away included.
    pub(crate) async fn fragments(&self, blob: BlobId) -> usize {
        let mut count = 0;
        for drive in self.store.drives() {
            let ids = self.store.list(drive.id, None, 1000).await.unwrap();
            count += ids.iter().filter(|id| id.blob == blob).count();
        }
        count
    }

    pub(crate) fn drive(&self, number: usize) -> DriveId {
        self.store.drives()[number].id
    }
}

pub(crate) fn layout() -> Layout {
    "4+2".parse().unwrap()
}
