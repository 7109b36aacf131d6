//! What a story has: metadata over an empty database of either kind, a clock that stands still, and
//! short words for what it does.

use std::future::Future;
use std::sync::Arc;

use holdfast_metadata::command::{
    CompleteUpload, CopyObject, CreateUpload, DeleteObject, DeleteOutcome, EtagSet, NewBlob,
    Published, PutObject, PutPart, ReportDebts, WriteCondition,
};
use holdfast_metadata::model::{
    Attributes, Bucket, Bypass, Debt, DebtKind, ListEntry, ListPage, ListQuery, LocatedSlice,
    LockState, OpId, Origin, Part, Policy, Upload, Version, VersionId, VersionSelector, Versioning,
};
use holdfast_metadata::{Metadata, MetadataConfig, MetadataError, StatementHook};
use holdfast_types::{
    BlobId, DriveId, FailureDomain, FragmentIndex, Generation, ManualClock, Placement, Region,
    SizeRule,
};
use uuid::Uuid;

use super::{journal, postgres_server};

/// When stories begin.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// An hour.
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// Where a story's metadata is.
pub(crate) enum Place {
    Sqlite(Arc<tempfile::TempDir>),
    Postgres(String),
}

/// See the module.
pub(crate) struct World {
    pub(crate) metadata: Metadata,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) drives: Vec<DriveId>,
    pub(crate) place: Place,
}

pub(crate) fn region() -> Region {
    Region::parse("here").unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap()
}

/// Tells a story over SQLite, with a journal, from which all of it must come back afterwards.
pub(crate) fn on_sqlite<F: Future<Output = ()>>(story: impl FnOnce(World) -> F) {
    runtime().block_on(async {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let world = World::new(Place::Sqlite(Arc::clone(&folder))).await;
        let shelves = journal::shelves(folder.path(), 3);
        let config = journal::config(&shelves, 1);
        world.metadata.keep_journal(config).await.unwrap();
        story(world).await;
        journal::check_restorable(folder.path(), &shelves).await;
    });
}

/// Tells a story over PostgreSQL, if there is one.
pub(crate) fn on_postgres<F: Future<Output = ()>>(story: impl FnOnce(World) -> F) {
    let Some(server) = postgres_server::server() else {
        return;
    };
    runtime().block_on(async {
        let place = Place::Postgres(server.database().await);
        story(World::new(place).await).await;
    });
}

impl Place {
    pub(crate) fn config(&self, application: &str) -> MetadataConfig {
        match self {
            Self::Sqlite(folder) => {
                let path = folder.path().join("metadata.db");
                MetadataConfig::new(format!("sqlite:{}", path.display()))
            }
            Self::Postgres(database) => {
                let server = postgres_server::server().unwrap();
                let mut config = MetadataConfig::new(server.url(database, application));
                config.postgres_connections = 16;
                config
            }
        }
    }
}

impl World {
    pub(crate) async fn new(place: Place) -> Self {
        let clock = Arc::new(ManualClock::new(START_MS));
        let metadata = Metadata::open(&place.config("story"), region(), clock.clone())
            .await
            .unwrap();
        metadata.put_policy(policy("standard")).await.unwrap();
        let world = Self {
            metadata,
            clock,
            drives: (0..6).map(|_| DriveId::generate()).collect(),
            place,
        };
        world.number_drives().await;
        world
    }

    /// The same words for metadata that somebody else has opened.
    pub(crate) async fn around(metadata: Metadata) -> Self {
        let world = Self {
            metadata,
            clock: Arc::new(ManualClock::new(START_MS)),
            drives: (0..6).map(|_| DriveId::generate()).collect(),
            place: Place::Sqlite(Arc::new(tempfile::tempdir().unwrap())),
        };
        world.number_drives().await;
        world
    }

    /// Gives the drives their numbers, which happens in a transaction of its own that most stories
    /// do not want to see: by reporting debts of a blob that is not there.
    async fn number_drives(&self) {
        let debts = self.drives.iter().map(|drive| Debt {
            blob: BlobId::generate(),
            region: region(),
            generation: Generation(0),
            index: FragmentIndex(0),
            drive: Some(*drive),
            kind: DebtKind::Missing,
            created_ms: 0,
        });
        let report = ReportDebts {
            debts: debts.collect(),
        };
        self.metadata.report_debts(report).await.unwrap();
    }

    /// Closes the metadata and opens it again, with a hook.
    pub(crate) async fn reopened(mut self, hook: Arc<dyn StatementHook>) -> Self {
        self.metadata.clone().close().await;
        self.metadata = self.handle("hooked", Some(hook)).await;
        self
    }

    /// The same with a gate, which is open so far.
    pub(crate) async fn reopened_gated(self, gate: &Arc<super::hooks::Gate>) -> Self {
        gate.set(true);
        let world = self.reopened(gate.clone()).await;
        let reached = gate.reached.available_permits();
        gate.reached.forget_permits(reached);
        gate.commits.store(0, std::sync::atomic::Ordering::SeqCst);
        world
    }

    /// Another handle on the same database (PostgreSQL only, unless the first is closed).
    pub(crate) async fn handle(
        &self,
        application: &str,
        hook: Option<Arc<dyn StatementHook>>,
    ) -> Metadata {
        let config = self.place.config(application);
        Metadata::open_hooked(&config, region(), self.clock.clone(), hook)
            .await
            .unwrap()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres(_))
    }

    pub(crate) async fn bucket(&self, name: &str) -> Bucket {
        self.metadata
            .create_bucket(name, "standard", None)
            .await
            .unwrap()
    }

    pub(crate) async fn versioned_bucket(&self, name: &str) -> Bucket {
        self.bucket(name).await;
        self.metadata
            .set_versioning(name, Versioning::Enabled)
            .await
            .unwrap();
        self.metadata.bucket(name).await.unwrap()
    }

    pub(crate) fn blob(&self, len: u64) -> NewBlob {
        NewBlob {
            id: BlobId::generate(),
            len,
            seal: None,
            placement: Placement {
                region: region(),
                generation: Generation(0),
                layout: "4+2".parse().unwrap(),
                drives: self.drives.iter().copied().map(Some).collect(),
            },
            debts: Vec::new(),
            strays: Vec::new(),
        }
    }

    /// A PUT of `len` bytes; its ETag is `etag`.
    pub(crate) fn put_of(&self, bucket: &str, key: &str, len: u64, etag: &str) -> PutObject {
        let blob = (len > 0).then(|| self.blob(len));
        PutObject {
            op: blob
                .as_ref()
                .map_or_else(OpId::generate, |blob| blob.id.into()),
            bucket: bucket.to_owned(),
            key: key.as_bytes().to_vec(),
            blob,
            taken_len: None,
            etag: etag.to_owned(),
            attributes: Attributes::default(),
            condition: WriteCondition::default(),
            lock: LockState::default(),
            origin: Origin::default(),
        }
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str, len: u64, etag: &str) -> Published {
        self.metadata
            .put_object(self.put_of(bucket, key, len, etag))
            .await
            .unwrap()
    }

    pub(crate) async fn copy(
        &self,
        source: &Version,
        bucket: &str,
        key: &str,
    ) -> Result<Published, MetadataError> {
        self.metadata
            .copy_object(copy_of(source, bucket, key))
            .await
    }

    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> DeleteOutcome {
        self.metadata
            .delete_object(delete_of(bucket, key, None))
            .await
            .unwrap()
    }

    pub(crate) async fn delete_version(
        &self,
        bucket: &str,
        key: &str,
        id: &VersionId,
    ) -> DeleteOutcome {
        self.metadata
            .delete_object(delete_of(bucket, key, Some(id)))
            .await
            .unwrap()
    }

    pub(crate) async fn current(
        &self,
        bucket: &Bucket,
        key: &str,
    ) -> Result<Version, MetadataError> {
        self.metadata
            .version(bucket.id, key.as_bytes(), &VersionSelector::Current)
            .await
    }

    pub(crate) async fn exact(
        &self,
        bucket: &Bucket,
        key: &str,
        id: &VersionId,
    ) -> Result<Version, MetadataError> {
        let selector = VersionSelector::Exact(id.clone());
        self.metadata
            .version(bucket.id, key.as_bytes(), &selector)
            .await
    }

    pub(crate) async fn slices(&self, version: &Version) -> Vec<LocatedSlice> {
        self.metadata
            .slices(version.uid, 0..version.size)
            .await
            .unwrap()
    }

    pub(crate) async fn upload(&self, bucket: &str, key: &str) -> Upload {
        let create = create_of(bucket, key);
        self.metadata.create_upload(create).await.unwrap()
    }

    pub(crate) fn part_of(&self, bucket: &str, upload: &Upload, number: u32, len: u64) -> PutPart {
        let blob = (len > 0).then(|| self.blob(len));
        PutPart {
            op: blob
                .as_ref()
                .map_or_else(OpId::generate, |blob| blob.id.into()),
            upload: upload.id,
            bucket: bucket.to_owned(),
            key: upload.key.clone(),
            part_number: number,
            blob,
            etag: format!("etag-{number}-{len}"),
            checksum: None,
        }
    }

    pub(crate) async fn part(&self, bucket: &str, upload: &Upload, number: u32, len: u64) -> Part {
        self.metadata
            .put_part(self.part_of(bucket, upload, number, len))
            .await
            .unwrap()
    }

    /// A page of keys, common prefixes with a `*` behind them.
    pub(crate) async fn list(&self, query: ListQuery) -> (Vec<String>, bool) {
        shown(&self.metadata.list_objects(&query).await.unwrap())
    }

    pub(crate) async fn list_versions(&self, query: ListQuery) -> (Vec<String>, bool) {
        shown(&self.metadata.list_versions(&query).await.unwrap())
    }
}

/// What a page shows: `key`, `key@sequence` for old versions, `key@sequence!` for markers,
/// `prefix*`.
pub(crate) fn shown(page: &ListPage) -> (Vec<String>, bool) {
    let show = |entry: &ListEntry| match entry {
        ListEntry::CommonPrefix(prefix) => format!("{}*", String::from_utf8_lossy(prefix)),
        ListEntry::Version(version) => {
            let key = String::from_utf8_lossy(&version.key);
            match (version.is_delete_marker, version.is_current) {
                (true, _) => format!("{key}@{}!", version.sequence),
                (false, false) => format!("{key}@{}", version.sequence),
                (false, true) => key.into_owned(),
            }
        }
    };
    (page.entries.iter().map(show).collect(), page.truncated)
}

pub(crate) fn policy(name: &str) -> Policy {
    Policy {
        name: name.to_owned(),
        rule: SizeRule::new("4+2".parse().unwrap()),
        protect: FailureDomain::Drive,
        generation: 1,
        rules: Vec::new(),
        quorum: None,
    }
}

pub(crate) fn query(bucket: &Bucket, limit: usize) -> ListQuery {
    ListQuery {
        bucket: bucket.id,
        prefix: Vec::new(),
        delimiter: None,
        after: None,
        after_version: None,
        limit,
    }
}

pub(crate) fn create_of(bucket: &str, key: &str) -> CreateUpload {
    CreateUpload {
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
        attributes: Attributes::default(),
        checksum: None,
        lock: LockState::default(),
    }
}

pub(crate) fn copy_of(source: &Version, bucket: &str, key: &str) -> CopyObject {
    CopyObject {
        op: OpId::generate(),
        source: source.uid,
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
        attributes: Attributes::default(),
        condition: WriteCondition::default(),
        lock: LockState::default(),
        origin: Origin::default(),
    }
}

pub(crate) fn delete_of(bucket: &str, key: &str, version: Option<&VersionId>) -> DeleteObject {
    DeleteObject {
        op: OpId::generate(),
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
        version: version.map_or(VersionSelector::Current, |id| {
            VersionSelector::Exact(id.clone())
        }),
        condition: WriteCondition::default(),
        bypass: Bypass::No,
        origin: Origin::default(),
    }
}

pub(crate) fn complete_of(bucket: &str, upload: &Upload, parts: &[&Part]) -> CompleteUpload {
    CompleteUpload {
        op: OpId::generate(),
        upload: upload.id,
        bucket: bucket.to_owned(),
        key: upload.key.clone(),
        parts: parts
            .iter()
            .map(|part| (part.part_number, part.uid))
            .collect(),
        etag: format!("complete-{}", parts.len()),
        checksum: None,
        condition: WriteCondition::default(),
        origin: Origin::default(),
    }
}

pub(crate) fn if_match(etag: &str) -> WriteCondition {
    WriteCondition {
        if_match: Some(etags(etag)),
        ..WriteCondition::default()
    }
}

pub(crate) fn if_none_match(etag: &str) -> WriteCondition {
    WriteCondition {
        if_none_match: Some(etags(etag)),
        ..WriteCondition::default()
    }
}

fn etags(etag: &str) -> EtagSet {
    match etag {
        "*" => EtagSet::Any,
        etag => EtagSet::OneOf(vec!["another".to_owned(), etag.to_owned()]),
    }
}

/// A new id that nothing has.
pub(crate) fn nobody() -> Uuid {
    Uuid::now_v7()
}
