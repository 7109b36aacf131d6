//! A gateway over SQLite and drives in memory, and short words for what stories do with it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_codec::Reference;
use holdfast_erasure::{Blobs, Config};
use holdfast_gateway::metrics::Metrics;
use holdfast_gateway::ops::{DebtReporter, Gateway, GatewayParts};
use holdfast_gateway::s3::checksum::ChecksumHasher;
use holdfast_gateway::s3::error::{ErrorCode, S3Error};
use holdfast_gateway::s3::name::{BucketName, ObjectKey, PartNumber, UploadId, VersionId};
use holdfast_gateway::s3::op::{
    BodyClaims, BodyDigests, ByteRange, Checksum, ChecksumAlgorithm, ChecksumClaim, ChecksumMode,
    Claimed, CompleteMultipartUploadInput, CompletedPart, CopyObjectInput, CopySource,
    CreateBucketInput, CreateMultipartUploadInput, DeleteObjectInput, DeleteObjectOutput,
    DigestSlot, ETag, GetObjectInput, GetObjectOutput, HeadObjectOutput, ListFilter,
    MetadataDirective, ObjectAttributes, ObjectBody, PutBucketVersioningInput, PutObjectInput,
    PutObjectOutput, ReadConditions, RequestContext, ResponseOverrides, S3Service, Select,
    UploadPartInput, UploadPartOutput, VersioningStatus, WriteCondition,
};
use holdfast_gateway::s3::time::Timestamp;
use holdfast_metadata::model::{Policy, VersionSelector};
use holdfast_metadata::{Metadata, MetadataConfig};
use holdfast_sealing::{Keyring, MasterKey};
use holdfast_types::{FailureDomain, Layout, ManualClock, Region, SizeRule};
use md5::{Digest, Md5};
use tempfile::TempDir;

use crate::drives::Drives;
use crate::script::Script;

pub(crate) type Outcome<T> = Result<T, S3Error>;

/// What stories play in: one bucket `films` at 4+2 with blocks of 4 KiB, over six drives.
pub(crate) struct Lab {
    pub(crate) gateway: Gateway,
    pub(crate) metadata: Metadata,
    pub(crate) blobs: Blobs,
    pub(crate) drives: Drives,
    pub(crate) script: Script,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Metrics,
    pub(crate) keyring: Keyring,
    pub(crate) context: RequestContext,
    _folder: TempDir,
}

/// Bytes of one full stripe in the lab.
pub(crate) const STRIPE: usize = 4 * 4096;

impl Lab {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let region = Region::parse("us-east-1").unwrap();
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        let url = format!("sqlite:{}", folder.path().join("meta.db").display());
        let config = MetadataConfig::new(url);
        let script = Script::default();
        let hook = Some(Arc::new(script.clone()) as _);
        let time = Arc::<ManualClock>::clone(&clock);
        let opened = Metadata::open_hooked(&config, region.clone(), time, hook).await;
        let metadata = opened.unwrap();
        for (name, layout) in [
            ("standard", Layout::erasure(4, 2, 4096)),
            ("mirror", Layout::copies(3)),
        ] {
            let rule = SizeRule {
                layout: layout.unwrap(),
                copies_up_to_bytes: 4096,
                small_copies: None,
            };
            let protect = FailureDomain::Drive;
            let policy = Policy {
                name: name.to_owned(),
                rule,
                protect,
                generation: 1,
                rules: Vec::new(),
                quorum: None,
            };
            metadata.put_policy(policy).await.unwrap();
        }
        let metrics = Metrics::new();
        let (reporter, writer) =
            DebtReporter::new(Arc::<ManualClock>::clone(&clock), metrics.clone());
        tokio::spawn(writer.run(metadata.clone()));
        let drives = Drives::new(6, &region);
        metadata
            .upsert_drives(holdfast_types::FragmentStore::drives(&drives))
            .await
            .unwrap();
        let blobs = Blobs::with_seed(
            Arc::new(drives.clone()),
            Arc::new(Reference::default()),
            &Config::default(),
            Arc::new(reporter),
            7,
        );
        let keyring = Keyring::new([MasterKey::random(1)]).unwrap();
        let first = keyring.newest().id().to_string();
        metadata.admit_master_keys(vec![first]).await.unwrap();
        let gateway = Gateway::new(GatewayParts {
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            region,
            default_policy: "standard".to_owned(),
            metrics: metrics.clone(),
            keyring: keyring.clone(),
        });
        let context = RequestContext {
            request_id: "1".into(),
            access_key_id: "key".into(),
            client: Ipv4Addr::LOCALHOST.into(),
            region: "us-east-1".into(),
            received: Timestamp::from_ms(0),
        };
        let lab = Self {
            gateway,
            metadata,
            blobs,
            drives,
            script,
            clock,
            metrics,
            keyring,
            context,
            _folder: folder,
        };
        lab.make_bucket("films", None).await.unwrap();
        lab
    }

    pub(crate) async fn make_bucket(&self, name: &str, location: Option<&str>) -> Outcome<()> {
        let input = CreateBucketInput {
            bucket: bucket(name),
            location_constraint: location.map(str::to_owned),
            object_lock: false,
        };
        self.gateway
            .create_bucket(&self.context, input)
            .await
            .map(|_| ())
    }

    pub(crate) async fn versioning(&self, status: VersioningStatus) {
        let input = PutBucketVersioningInput {
            bucket: bucket("films"),
            status,
        };
        self.gateway
            .put_bucket_versioning(&self.context, input)
            .await
            .unwrap();
    }

    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) -> Outcome<PutObjectOutput> {
        self.put_as(put_input(key), body(bytes)).await
    }

    pub(crate) async fn put_as(
        &self,
        input: PutObjectInput,
        body: ObjectBody,
    ) -> Outcome<PutObjectOutput> {
        self.gateway.put_object(&self.context, input, body).await
    }

    pub(crate) async fn open(&self, input: GetObjectInput) -> Outcome<GetObjectOutput> {
        self.gateway.get_object(&self.context, input).await
    }

    pub(crate) async fn read(&self, input: GetObjectInput) -> Outcome<Vec<u8>> {
        bytes_of(self.open(input).await?).await
    }

    pub(crate) async fn get(&self, key: &str) -> Outcome<Vec<u8>> {
        self.read(get_input(key)).await
    }

    pub(crate) async fn head(&self, input: GetObjectInput) -> Outcome<HeadObjectOutput> {
        self.gateway.head_object(&self.context, input).await
    }

    pub(crate) async fn delete(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> Outcome<DeleteObjectOutput> {
        self.delete_if(key, version, WriteCondition::Always).await
    }

    pub(crate) async fn delete_if(
        &self,
        key: &str,
        version: Option<&str>,
        condition: WriteCondition,
    ) -> Outcome<DeleteObjectOutput> {
        let input = DeleteObjectInput {
            bucket: bucket("films"),
            key: object_key(key),
            version_id: version.map(version_id),
            condition,
            bypass: Default::default(),
        };
        self.gateway.delete_object(&self.context, input).await
    }

    pub(crate) async fn begin(
        &self,
        key: &str,
        checksum: Option<(ChecksumAlgorithm, holdfast_gateway::s3::op::ChecksumType)>,
    ) -> UploadId {
        let input = CreateMultipartUploadInput {
            bucket: bucket("films"),
            key: object_key(key),
            attributes: ObjectAttributes::default(),
            storage_class: None,
            checksum,
            encryption: Default::default(),
            lock: Default::default(),
        };
        self.gateway
            .create_multipart_upload(&self.context, input)
            .await
            .unwrap()
            .upload_id
    }

    pub(crate) async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: &[u8],
    ) -> Outcome<UploadPartOutput> {
        self.put_part_by(key, upload, number, bytes, None).await
    }

    pub(crate) async fn put_part_by(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: &[u8],
        algorithm: Option<ChecksumAlgorithm>,
    ) -> Outcome<UploadPartOutput> {
        let claims = BodyClaims {
            md5: None,
            checksum: algorithm.map_or(ChecksumClaim::None, ChecksumClaim::Algorithm),
        };
        let input = UploadPartInput {
            bucket: bucket("films"),
            key: object_key(key),
            upload_id: upload.clone(),
            part_number: PartNumber::new(number).unwrap(),
            claims,
            customer_key: None,
        };
        self.gateway
            .upload_part(&self.context, input, body_by(bytes, algorithm))
            .await
    }

    /// Which drive has each fragment of an object's first blob.
    pub(crate) async fn places(&self, key: &str) -> Vec<usize> {
        let bucket = self.metadata.bucket("films").await.unwrap().id;
        let current = VersionSelector::Current;
        let version = self
            .metadata
            .version(bucket, key.as_bytes(), &current)
            .await
            .unwrap();
        let slices = self.metadata.slices(version.uid, 0..1).await.unwrap();
        let drives = holdfast_types::FragmentStore::drives(&self.drives);
        let place = |id| {
            drives
                .iter()
                .position(|drive| Some(drive.id) == id)
                .unwrap()
        };
        slices[0]
            .blob
            .placement
            .drives
            .iter()
            .map(|id| place(*id))
            .collect()
    }

    pub(crate) async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> Outcome<holdfast_gateway::s3::op::CompleteMultipartUploadOutput> {
        self.gateway
            .complete_multipart_upload(&self.context, input)
            .await
    }
}

pub(crate) fn bucket(name: &str) -> BucketName {
    BucketName::parse(name).unwrap()
}

pub(crate) fn object_key(key: &str) -> ObjectKey {
    ObjectKey::parse(key).unwrap()
}

pub(crate) fn version_id(id: &str) -> VersionId {
    VersionId::parse(id).unwrap()
}

pub(crate) fn put_input(key: &str) -> PutObjectInput {
    PutObjectInput {
        bucket: bucket("films"),
        key: object_key(key),
        attributes: ObjectAttributes::default(),
        storage_class: None,
        condition: WriteCondition::Always,
        claims: BodyClaims::default(),
        encryption: Default::default(),
        lock: Default::default(),
    }
}

pub(crate) fn get_input(key: &str) -> GetObjectInput {
    GetObjectInput {
        bucket: bucket("films"),
        key: object_key(key),
        version_id: None,
        select: Select::All,
        conditions: ReadConditions::default(),
        overrides: ResponseOverrides::default(),
        checksum_mode: ChecksumMode::Enabled,
        customer_key: None,
    }
}

pub(crate) fn get_range(key: &str, range: &str) -> GetObjectInput {
    let range = ByteRange::parse(range).unwrap();
    GetObjectInput {
        select: Select::Range(range),
        ..get_input(key)
    }
}

pub(crate) fn get_version(key: &str, id: &str) -> GetObjectInput {
    GetObjectInput {
        version_id: Some(version_id(id)),
        ..get_input(key)
    }
}

pub(crate) fn copy_input(from: &str, to: &str) -> CopyObjectInput {
    CopyObjectInput {
        source: CopySource {
            bucket: bucket("films"),
            key: object_key(from),
            version_id: None,
        },
        source_conditions: ReadConditions::default(),
        bucket: bucket("films"),
        key: object_key(to),
        metadata: MetadataDirective::Copy,
        tagging: holdfast_gateway::s3::op::TaggingDirective::Copy,
        storage_class: None,
        checksum_algorithm: None,
        condition: WriteCondition::Always,
        source_key: None,
        encryption: Default::default(),
        lock: Default::default(),
    }
}

pub(crate) fn complete_input(
    key: &str,
    upload: &UploadId,
    parts: &[(u32, &UploadPartOutput)],
) -> CompleteMultipartUploadInput {
    let completed = |(number, part): &(u32, &UploadPartOutput)| CompletedPart {
        part_number: PartNumber::new(*number).unwrap(),
        etag: part.etag.clone(),
        checksum: part.checksum.clone(),
    };
    CompleteMultipartUploadInput {
        bucket: bucket("films"),
        key: object_key(key),
        upload_id: upload.clone(),
        parts: parts.iter().map(completed).collect(),
        condition: WriteCondition::Always,
        checksum: None,
        checksum_type: None,
        object_len: None,
        customer_key: None,
    }
}

pub(crate) fn filter(prefix: &str, delimiter: Option<&str>, max_keys: u32) -> ListFilter {
    ListFilter {
        prefix: prefix.to_owned(),
        delimiter: delimiter.map(str::to_owned),
        max_keys,
        ..ListFilter::default()
    }
}

/// Bytes that differ by seed, and nowhere repeat in a block's length.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(next());
    }
    bytes.truncate(len);
    bytes
}

/// A body as the edge hands it over, in pieces of odd lengths.
pub(crate) fn body(bytes: &[u8]) -> ObjectBody {
    body_by(bytes, None)
}

pub(crate) fn body_by(bytes: &[u8], algorithm: Option<ChecksumAlgorithm>) -> ObjectBody {
    let pieces: Vec<_> = bytes
        .chunks(5000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    body_of(bytes, algorithm, pieces)
}

/// A form's file: zeros stand behind it, up to the length that was announced.
pub(crate) fn padded_body(bytes: &[u8], padding: usize) -> ObjectBody {
    let mut body = body(bytes);
    body.len += padding as u64;
    let zeros = stream::iter([Ok(Bytes::from(vec![0; padding]))]);
    body.stream = body.stream.chain(zeros).boxed();
    body
}

/// A body of which the last thing heard is that it is not what the client said.
pub(crate) fn spoilt_body(bytes: &[u8]) -> ObjectBody {
    let mut body = body(bytes);
    let bad = stream::once(async { Err(S3Error::new(ErrorCode::BadDigest)) });
    body.stream = body.stream.chain(bad).boxed();
    body
}

fn body_of(
    bytes: &[u8],
    algorithm: Option<ChecksumAlgorithm>,
    pieces: Vec<Outcome<Bytes>>,
) -> ObjectBody {
    let digests = DigestSlot::new();
    let slot = digests.clone();
    let computed = BodyDigests {
        md5: Md5::digest(bytes).into(),
        object_len: bytes.len() as u64,
        checksum: checksum(algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme), bytes),
        claimed: if algorithm.is_some() {
            Claimed::ByClient
        } else {
            Claimed::Default
        },
    };
    let end = stream::poll_fn(move |_| {
        slot.fill(computed.clone());
        std::task::Poll::Ready(None)
    });
    ObjectBody {
        len: bytes.len() as u64,
        stream: stream::iter(pieces).chain(end).boxed(),
        digests,
    }
}

pub(crate) fn checksum(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
    ChecksumHasher::checksum(algorithm, bytes)
}

pub(crate) fn etag_of(bytes: &[u8]) -> ETag {
    ETag::from_md5(&Md5::digest(bytes).into())
}

pub(crate) async fn bytes_of(output: GetObjectOutput) -> Outcome<Vec<u8>> {
    let pieces: Vec<Bytes> = output.body.try_collect().await?;
    Ok(pieces.concat())
}

/// The code of what failed.
pub(crate) fn code<T: std::fmt::Debug>(outcome: Outcome<T>) -> ErrorCode {
    outcome.unwrap_err().code()
}
