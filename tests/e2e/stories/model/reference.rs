//! The reference: what S3 would hold, in maps in memory. Simple enough to be read as the
//! specification; what the server must make up (version ids, upload ids) is taken from its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::retention::{DefaultRetention, Lock};

/// Whether a bucket keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versioning {
    Unversioned,
    Enabled,
    Suspended,
}

/// A checksum that came with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) algorithm: String,
    pub(crate) value: String,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub(crate) kind: &'static str,
}

/// One version of one key.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) is_marker: bool,
    pub(crate) body: Arc<Vec<u8>>,
    pub(crate) etag: String,
    /// Sizes of its parts by number, if it was made of parts.
    pub(crate) parts: Option<BTreeMap<u32, u64>>,
    /// Headers that come back as they were given.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) tags: BTreeMap<String, String>,
    /// The customer's key that it needs, by its number.
    pub(crate) customer_key: Option<usize>,
    pub(crate) lock: Lock,
    /// When the request was sent that wrote it, in milliseconds since 1970.
    pub(crate) sent_ms: u64,
    /// As first seen; it must not change.
    pub(crate) last_modified: Option<String>,
}

impl Version {
    /// A delete marker.
    pub(crate) fn marker(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            is_marker: true,
            body: Arc::default(),
            etag: String::new(),
            parts: None,
            headers: BTreeMap::new(),
            checksum: None,
            tags: BTreeMap::new(),
            customer_key: None,
            lock: Lock::default(),
            sent_ms: 0,
            last_modified: None,
        }
    }
}

/// One uploaded part.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) body: Arc<Vec<u8>>,
    pub(crate) etag: String,
    pub(crate) checksum: Option<String>,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UploadState {
    Open,
    Aborted,
    /// With the parts it was completed with and the ETag that was answered.
    Completed(Vec<(u32, String)>, String),
}

/// A multipart upload.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) customer_key: Option<usize>,
    /// What its object is to be locked with.
    pub(crate) lock: Lock,
    /// The checksum algorithm that all parts carry.
    pub(crate) algorithm: Option<String>,
    pub(crate) parts: BTreeMap<u32, Part>,
    pub(crate) state: UploadState,
}

/// A bucket's object lock, which is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ObjectLock {
    pub(crate) default: Option<DefaultRetention>,
}

/// The most that a bucket may hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quota {
    pub(crate) bytes: Option<u64>,
    pub(crate) objects: Option<u64>,
}

/// A number of objects and of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    fn of(version: Option<&Version>) -> Self {
        match version {
            Some(version) if !version.is_marker => Self {
                objects: 1,
                bytes: version.body.len() as u64,
            },
            _ => Self::default(),
        }
    }
}

/// A bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) versioning: Versioning,
    pub(crate) object_lock: Option<ObjectLock>,
    pub(crate) quota: Quota,
    /// Its configurations that were put, by their words; `None`: deleted.
    pub(crate) configurations: BTreeMap<&'static str, Option<&'static str>>,
    /// The versions of each key, oldest first, never none.
    pub(crate) keys: BTreeMap<String, Vec<Version>>,
    pub(crate) uploads: BTreeMap<String, Upload>,
    ids: BTreeSet<String>,
}

impl Bucket {
    /// A new bucket.
    pub(crate) const fn new() -> Self {
        Self {
            versioning: Versioning::Unversioned,
            object_lock: None,
            quota: Quota {
                bytes: None,
                objects: None,
            },
            configurations: BTreeMap::new(),
            keys: BTreeMap::new(),
            uploads: BTreeMap::new(),
            ids: BTreeSet::new(),
        }
    }

    fn encryption(&self) -> &'static str {
        let document = self.configurations.get("encryption").copied();
        document.flatten().unwrap_or_default()
    }

    /// Whether it encrypts what asks for nothing.
    pub(crate) fn encrypts(&self) -> bool {
        self.encryption().contains("AES256")
    }

    /// Whether nobody may write with a key of his own.
    pub(crate) fn refuses_customer_keys(&self) -> bool {
        self.encryption().contains("SSE-C")
    }

    /// What counts against the quota: versions that are no markers, and the parts of open uploads.
    pub(crate) fn stored(&self) -> Amount {
        let versions = self.keys.values().flatten();
        let open = self.uploads.values();
        let open = open.filter(|upload| upload.state == UploadState::Open);
        let parts = open.flat_map(|upload| upload.parts.values());
        let mut stored = Amount {
            objects: 0,
            bytes: parts.map(|part| part.body.len() as u64).sum(),
        };
        for version in versions.map(|version| Amount::of(Some(version))) {
            stored.objects += version.objects;
            stored.bytes += version.bytes;
        }
        stored
    }

    /// The open uploads, by key and id.
    pub(crate) fn open_uploads(&self) -> Vec<(String, String)> {
        let open = self.uploads.iter();
        let mut open: Vec<(String, String)> = open
            .filter(|(_, upload)| upload.state == UploadState::Open)
            .map(|(id, upload)| (upload.key.clone(), id.clone()))
            .collect();
        open.sort();
        open
    }

    /// Whether an object of `key` is too much that brings so many new bytes.
    pub(crate) fn is_full_for(&self, key: &str, bytes: u64) -> bool {
        let replaced = Amount::of(match self.versioning {
            Versioning::Enabled => None,
            Versioning::Unversioned | Versioning::Suspended => self.version(key, "null"),
        });
        self.exceeds(replaced, Amount { objects: 1, bytes })
    }

    /// Whether so many bytes in place of so many are too much for a part.
    pub(crate) fn is_full_for_part(&self, replaced: u64, bytes: u64) -> bool {
        let amount = |bytes| Amount { objects: 0, bytes };
        self.exceeds(amount(replaced), amount(bytes))
    }

    fn exceeds(&self, less: Amount, more: Amount) -> bool {
        let stored = self.stored();
        let over = |stored: u64, less: u64, more: u64, limit: Option<u64>| {
            more > less && limit.is_some_and(|limit| stored - less + more > limit)
        };
        over(stored.bytes, less.bytes, more.bytes, self.quota.bytes)
            || over(
                stored.objects,
                less.objects,
                more.objects,
                self.quota.objects,
            )
    }

    /// The newest version of `key` unless it is a marker.
    pub(crate) fn current(&self, key: &str) -> Option<&Version> {
        self.newest(key).filter(|version| !version.is_marker)
    }

    /// The newest version of `key`.
    pub(crate) fn newest(&self, key: &str) -> Option<&Version> {
        self.keys.get(key).and_then(|versions| versions.last())
    }

    /// The version `id` of `key`.
    pub(crate) fn version(&self, key: &str, id: &str) -> Option<&Version> {
        self.keys
            .get(key)
            .and_then(|versions| versions.iter().find(|version| version.id == id))
    }

    /// The same, to change it.
    pub(crate) fn version_mut(&mut self, key: &str, id: &str) -> Option<&mut Version> {
        self.keys
            .get_mut(key)
            .and_then(|versions| versions.iter_mut().find(|version| version.id == id))
    }

    /// All current objects in order.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (&String, &Version)> {
        self.keys
            .keys()
            .filter_map(|key| self.current(key).map(|version| (key, version)))
    }

    /// Publishes `version` under `key`; `answered` is the version id that the server gave.
    pub(crate) fn publish(&mut self, key: &str, mut version: Version, answered: Option<&str>) {
        version.id = self.new_id(answered);
        let versions = self.keys.entry(key.to_owned()).or_default();
        versions.retain(|old| old.id != version.id);
        versions.push(version);
    }

    /// Deletes the newest version of `key` as the bucket's versioning says.
    pub(crate) fn delete(&mut self, key: &str, answered: Option<&str>) {
        let id = self.new_id(answered);
        let versions = self.keys.entry(key.to_owned()).or_default();
        versions.retain(|old| old.id != id);
        if self.versioning != Versioning::Unversioned {
            versions.push(Version::marker(&id));
        }
        self.drop_empty(key);
    }

    /// Deletes one version for good; says whether it was a marker.
    pub(crate) fn delete_version(&mut self, key: &str, id: &str) -> Option<bool> {
        let was = self.version(key, id)?.is_marker;
        let versions = self.keys.entry(key.to_owned()).or_default();
        versions.retain(|version| version.id != id);
        self.drop_empty(key);
        Some(was)
    }

    /// Gives delete markers whose ids begin with `unknown` those that a listing of all versions shows.
    pub(crate) fn name_markers(&mut self, listed: &[VersionEntry], unknown: &str) {
        for (key, versions) in &mut self.keys {
            for marker in versions.iter_mut().filter(|it| it.id.starts_with(unknown)) {
                let shown = listed.iter().find(|it| it.is_latest && it.key == *key);
                marker.id.clone_from(&shown.expect("it is listed").id);
                assert!(self.ids.insert(marker.id.clone()), "{} is new", marker.id);
            }
        }
    }

    fn drop_empty(&mut self, key: &str) {
        if self.keys.get(key).is_some_and(Vec::is_empty) {
            self.keys.remove(key);
        }
    }

    /// Checks the id that the server made up against what the versioning asks for.
    fn new_id(&mut self, answered: Option<&str>) -> String {
        match self.versioning {
            Versioning::Unversioned => assert_eq!(answered, None, "no version id"),
            Versioning::Suspended => assert_eq!(answered, Some("null"), "the null version"),
            Versioning::Enabled => {
                let id = answered.expect("a version id is answered");
                assert_ne!(id, "null", "an id of its own");
                assert!(self.ids.insert(id.to_owned()), "{id} is new");
                return id.to_owned();
            }
        }
        "null".to_owned()
    }
}

/// One line of a listing of current objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    Key {
        key: String,
        size: u64,
        etag: String,
    },
    CommonPrefix(String),
}

impl Bucket {
    /// All that a listing shows, over all its pages.
    pub(crate) fn listing(&self, prefix: &str, delimiter: &str, after: &str) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, version) in self.visible() {
            if !key.starts_with(prefix) || key.as_str() <= after {
                continue;
            }
            match common_prefix(key, prefix, delimiter) {
                Some(common) => {
                    let entry = Entry::CommonPrefix(common);
                    if entries.last() != Some(&entry) {
                        entries.push(entry);
                    }
                }
                None => entries.push(Entry::Key {
                    key: key.clone(),
                    size: version.body.len() as u64,
                    etag: version.etag.clone(),
                }),
            }
        }
        entries
    }

    /// All that a listing of versions shows: key, version id, marker?, latest?, size, newest first
    /// within a key; a common prefix as a key with no version id.
    pub(crate) fn version_listing(&self, prefix: &str, delimiter: &str) -> Vec<VersionEntry> {
        let mut entries: Vec<VersionEntry> = Vec::new();
        for (key, versions) in &self.keys {
            if !key.starts_with(prefix) {
                continue;
            }
            if let Some(common) = common_prefix(key, prefix, delimiter) {
                let entry = VersionEntry::common_prefix(&common);
                if entries.last() != Some(&entry) {
                    entries.push(entry);
                }
                continue;
            }
            for (age, version) in versions.iter().rev().enumerate() {
                entries.push(VersionEntry {
                    key: key.clone(),
                    id: version.id.clone(),
                    is_marker: version.is_marker,
                    is_latest: age == 0,
                    size: version.body.len() as u64,
                    etag: version.etag.clone(),
                });
            }
        }
        entries
    }
}

/// One line of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VersionEntry {
    pub(crate) key: String,
    /// Empty for a common prefix.
    pub(crate) id: String,
    pub(crate) is_marker: bool,
    pub(crate) is_latest: bool,
    pub(crate) size: u64,
    pub(crate) etag: String,
}

impl VersionEntry {
    /// A common prefix.
    pub(crate) fn common_prefix(prefix: &str) -> Self {
        Self {
            key: prefix.to_owned(),
            id: String::new(),
            is_marker: false,
            is_latest: false,
            size: 0,
            etag: String::new(),
        }
    }
}

fn common_prefix(key: &str, prefix: &str, delimiter: &str) -> Option<String> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = &key[prefix.len()..];
    let end = rest.find(delimiter)? + delimiter.len();
    Some(format!("{prefix}{}", &rest[..end]))
}
