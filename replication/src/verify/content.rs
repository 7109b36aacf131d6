//! An object read back and hashed, to compare with what was stored with it: its ETag where that is
//! an MD5 (or the MD5 of the parts' MD5s), and its checksum.

use std::ops::Range;

use crc_fast::{CrcAlgorithm, Digest as CrcDigest};
use futures::StreamExt as _;
use holdfast_erasure::{BlobLocation, Blobs, GetError};
use holdfast_metadata::audit::VersionAudit;
use holdfast_metadata::model::{Attributes, Encryption, ObjectPart, StoredChecksum, Version};
use holdfast_metadata::{Metadata, MetadataError};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;
use uuid::Uuid;

/// What hashing an object said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hashed {
    /// Everything that could be compared is as it was stored.
    Same {
        /// Bytes that were read.
        bytes: u64,
    },
    /// Something is not.
    Other(Vec<String>),
    /// Its bytes can't be had.
    Unreadable(String),
    /// There is nothing to compare with.
    Nothing,
    /// They are encrypted by a key that is not here.
    Encrypted,
}

/// A version whose bytes are read.
pub(crate) struct Content {
    uid: Uuid,
    size: u64,
    etag: String,
    is_of_parts: bool,
}

impl Content {
    pub(crate) fn of_audit(version: &VersionAudit) -> Self {
        Self {
            uid: version.uid,
            size: version.size,
            etag: version.etag.clone(),
            is_of_parts: version.parts.is_some(),
        }
    }

    pub(crate) fn of_version(version: &Version) -> Self {
        Self {
            uid: version.uid,
            size: version.size,
            etag: version.etag.clone(),
            is_of_parts: version.parts.is_some(),
        }
    }
}

/// Reads objects.
pub(crate) struct Reader<'r> {
    pub(crate) metadata: &'r Metadata,
    pub(crate) blobs: &'r Blobs,
}

/// What stopped it.
pub(crate) enum Stopped {
    /// The metadata could not be asked.
    Metadata(MetadataError),
    /// The bytes could not be read.
    Bytes(String),
    /// They are sealed.
    Sealed,
}

impl From<MetadataError> for Stopped {
    fn from(error: MetadataError) -> Self {
        Self::Metadata(error)
    }
}

impl From<GetError> for Stopped {
    fn from(error: GetError) -> Self {
        Self::Bytes(error.to_string())
    }
}

impl Reader<'_> {
    /// Reads a version's bytes, if there is something to compare them with.
    pub(crate) async fn hash(
        &self,
        version: &Content,
        attributes: &Attributes,
    ) -> Result<Hashed, MetadataError> {
        let plan = Plan::of(version, attributes);
        if !plan.compares() {
            return Ok(Hashed::Nothing);
        }
        match self.compare(version, &plan).await {
            Ok(wrong) if wrong.is_empty() => Ok(Hashed::Same {
                bytes: version.size,
            }),
            Ok(wrong) => Ok(Hashed::Other(wrong)),
            // Rows that lead nowhere are this version's trouble, not the verification's.
            Err(Stopped::Metadata(MetadataError::Corrupt(why))) => Ok(Hashed::Unreadable(why)),
            Err(Stopped::Metadata(error)) => Err(error),
            Err(Stopped::Bytes(why)) => Ok(Hashed::Unreadable(why)),
            Err(Stopped::Sealed) => Ok(Hashed::Encrypted),
        }
    }

    async fn compare(&self, version: &Content, plan: &Plan<'_>) -> Result<Vec<String>, Stopped> {
        let mut wrong = Vec::new();
        let mut whole = Hashes::new(plan.whole_md5.is_some(), plan.whole_checksum);
        let mut of_parts = OfParts::new(plan);
        if version.is_of_parts {
            let mut after = 0;
            loop {
                let page = self
                    .metadata
                    .object_parts(version.uid, after, PARTS)
                    .await?;
                let Some(last) = page.last() else { break };
                after = last.part_number;
                for part in &page {
                    self.read_part(version, part, &mut whole, &mut of_parts, &mut wrong)
                        .await?;
                }
            }
        } else {
            let mut none = Hashes::default();
            self.read(version, 0..version.size, &mut whole, &mut none)
                .await?;
        }
        let whole = whole.finish();
        compare_md5(
            "its bytes",
            plan.whole_md5,
            whole.md5.as_deref(),
            &mut wrong,
        );
        if let Some(stored) = plan.whole_checksum {
            compare_checksum("its bytes", stored, whole.checksum.as_deref(), &mut wrong);
        }
        of_parts.compare(plan, &mut wrong);
        Ok(wrong)
    }

    async fn read_part(
        &self,
        version: &Content,
        part: &ObjectPart,
        whole: &mut Hashes,
        of_parts: &mut OfParts,
        wrong: &mut Vec<String>,
    ) -> Result<(), Stopped> {
        let stored = part.checksum.as_ref().filter(|stored| !stored.composite);
        let mut hashes = Hashes::new(of_parts.md5.is_some(), stored);
        let range = part.start..part.start + part.size;
        self.read(version, range, whole, &mut hashes).await?;
        let done = hashes.finish();
        if let Some(stored) = stored {
            let what = format!("part {}", part.part_number);
            compare_checksum(&what, stored, done.checksum.as_deref(), wrong);
        }
        of_parts.add(&done);
        Ok(())
    }

    /// Feeds a range of the version to both.
    async fn read(
        &self,
        version: &Content,
        range: Range<u64>,
        whole: &mut Hashes,
        part: &mut Hashes,
    ) -> Result<(), Stopped> {
        let mut at = range.start;
        while at < range.end {
            // A window at a time: an object of many small slices has many rows.
            let window = at..range.end.min(at + WINDOW);
            for slice in self.metadata.slices(version.uid, window.clone()).await? {
                if slice.seal.is_some() {
                    return Err(Stopped::Sealed);
                }
                let from = window.start.max(slice.start);
                let to = window.end.min(slice.start + slice.len);
                if from != at || to <= from {
                    return Err(Stopped::Bytes(format!("byte {at} is in no slice")));
                }
                let skip = slice.blob_offset + (from - slice.start);
                let location = BlobLocation {
                    blob: slice.blob.blob,
                    len: slice.blob.len,
                    placement: slice.blob.placement,
                };
                let mut stream = self.blobs.get(location, skip..skip + (to - from));
                while let Some(bytes) = stream.next().await {
                    let bytes = bytes?;
                    whole.update(&bytes);
                    part.update(&bytes);
                    at += bytes.len() as u64;
                }
            }
            if at != window.end {
                return Err(Stopped::Bytes(format!("byte {at} is in no slice")));
            }
        }
        Ok(())
    }
}

/// What there is to compare with.
struct Plan<'v> {
    /// The ETag, where it is the MD5 of the bytes.
    whole_md5: Option<&'v str>,
    /// The checksum, where it is over the bytes.
    whole_checksum: Option<&'v StoredChecksum>,
    /// The ETag, where it is the MD5 of the parts' MD5s.
    parts_md5: Option<&'v str>,
    /// The checksum, where it is over the parts' checksums.
    parts_checksum: Option<&'v StoredChecksum>,
}

impl<'v> Plan<'v> {
    fn of(version: &'v Content, attributes: &'v Attributes) -> Self {
        // What a customer's key encrypts has a tag that only that key explains, an empty object
        // too, which has no bytes that could say so.
        let encryption = attributes.encryption.as_ref();
        let is_keyed = matches!(encryption, Some(Encryption::CustomerKey { .. }));
        let is_hex = |text: &str| {
            !is_keyed && text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let etag = version.etag.as_str();
        let counted = etag
            .rsplit_once('-')
            .is_some_and(|(hex, count)| is_hex(hex) && count.parse::<u32>().is_ok());
        let checksum = attributes.checksum.as_ref();
        Self {
            whole_md5: is_hex(etag).then_some(etag),
            whole_checksum: checksum.filter(|stored| !stored.composite),
            parts_md5: (counted && version.is_of_parts).then_some(etag),
            parts_checksum: checksum.filter(|stored| stored.composite && version.is_of_parts),
        }
    }

    const fn compares(&self) -> bool {
        self.whole_md5.is_some()
            || self.whole_checksum.is_some()
            || self.parts_md5.is_some()
            || self.parts_checksum.is_some()
    }
}

/// The hashes over the parts' hashes.
struct OfParts {
    count: u64,
    md5: Option<Md5>,
    checksum: Option<Sum>,
    /// A part had no checksum of its own.
    is_partial: bool,
}

impl OfParts {
    fn new(plan: &Plan<'_>) -> Self {
        Self {
            count: 0,
            md5: plan.parts_md5.map(|_| Md5::new()),
            checksum: plan
                .parts_checksum
                .and_then(|stored| Sum::by_name(&stored.algorithm)),
            is_partial: false,
        }
    }

    fn add(&mut self, part: &Done) {
        self.count += 1;
        if let (Some(of_parts), Some(md5)) = (&mut self.md5, &part.md5) {
            of_parts.update(md5);
        }
        match (&mut self.checksum, &part.checksum) {
            (Some(of_parts), Some(checksum)) => of_parts.update(checksum),
            (Some(_), None) => self.is_partial = true,
            _ => {}
        }
    }

    fn compare(self, plan: &Plan<'_>, wrong: &mut Vec<String>) {
        if let (Some(stored), Some(md5)) = (plan.parts_md5, self.md5) {
            let found = format!("{}-{}", hex::encode(md5.finalize()), self.count);
            if found != stored {
                wrong.push(format!("its parts have ETag {found}, not {stored}"));
            }
        }
        if let (Some(stored), Some(sum)) = (plan.parts_checksum, self.checksum)
            && !self.is_partial
        {
            let digest = sum.finish();
            let expected = stored.value.split('-').next().unwrap_or_default();
            if base64(&digest) != expected {
                wrong.push(format!(
                    "its parts' checksums have {} {}, not {expected}",
                    stored.algorithm,
                    base64(&digest)
                ));
            }
        }
    }
}

/// Hashes over one run of bytes.
#[derive(Default)]
struct Hashes {
    md5: Option<Md5>,
    checksum: Option<Sum>,
}

/// The same, ended.
struct Done {
    md5: Option<Vec<u8>>,
    checksum: Option<Vec<u8>>,
}

impl Hashes {
    fn new(md5: bool, checksum: Option<&StoredChecksum>) -> Self {
        Self {
            md5: md5.then(Md5::new),
            checksum: checksum.and_then(|stored| Sum::by_name(&stored.algorithm)),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
    }

    fn finish(self) -> Done {
        Done {
            md5: self.md5.map(|md5| md5.finalize().to_vec()),
            checksum: self.checksum.map(Sum::finish),
        }
    }
}

/// A checksum by one of S3's algorithms.
enum Sum {
    Crc(CrcDigest, usize),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Sum {
    /// `None` for an algorithm that this program does not know.
    fn by_name(algorithm: &str) -> Option<Self> {
        let crc = |algorithm, len| Self::Crc(CrcDigest::new(algorithm), len);
        Some(match algorithm {
            "CRC32" => crc(CrcAlgorithm::Crc32IsoHdlc, 4),
            "CRC32C" => crc(CrcAlgorithm::Crc32Iscsi, 4),
            "CRC64NVME" => crc(CrcAlgorithm::Crc64Nvme, 8),
            "SHA1" => Self::Sha1(Sha1::new()),
            "SHA256" => Self::Sha256(Sha256::new()),
            _ => return None,
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(digest, _) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    /// Big-endian, as S3 writes it.
    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(digest, len) => {
                let bytes = digest.finalize().to_be_bytes();
                bytes[bytes.len() - len..].to_vec()
            }
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

fn compare_md5(what: &str, stored: Option<&str>, found: Option<&[u8]>, wrong: &mut Vec<String>) {
    if let (Some(stored), Some(found)) = (stored, found)
        && !hex::encode(found).eq_ignore_ascii_case(stored)
    {
        let found = hex::encode(found);
        wrong.push(format!("{what} have MD5 {found}, not {stored}"));
    }
}

fn compare_checksum(
    what: &str,
    stored: &StoredChecksum,
    found: Option<&[u8]>,
    wrong: &mut Vec<String>,
) {
    if let Some(found) = found
        && base64(found) != stored.value
    {
        wrong.push(format!(
            "{what} have {} {}, not {}",
            stored.algorithm,
            base64(found),
            stored.value
        ));
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Bytes of an object whose slices are asked for at once.
const WINDOW: u64 = 256 << 20;
/// Parts of one question.
const PARTS: usize = 1000;
