//! Lifecycle rules: what they say, and what they say of one version at one time.
//!
//! Everything here is a pure function of rules, a version and a time, so that the same words decide
//! when a version is dated, when it is looked at again, and what a client is told. A rule acts at
//! midnight: the days are added to the version's time and the sum is rounded up to the next
//! midnight UTC, as AWS does. How long a day is comes from outside, so that a test need not wait
//! for one. A version's own tags may be unknown when it is only dated; then a rule that asks for
//! tags is taken to fit, and the look at the version decides.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_types::mutant::{self, Mutant};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::BucketId;

#[cfg(test)]
mod tests;

/// The rules of a bucket that are enabled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LifecycleRules(pub Vec<LifecycleRule>);

/// One rule: which versions, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRule {
    /// Its name within the bucket.
    pub id: String,
    /// Which keys and versions it is about.
    pub filter: LifecycleFilter,
    /// What becomes of current versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
    /// What becomes of noncurrent versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noncurrent: Option<NoncurrentExpiration>,
    /// Uploads that were begun so many days ago are aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_upload_days: Option<u32>,
}

/// What a version must be like for a rule to be about it. All of it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LifecycleFilter {
    /// Its key begins with this.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// It has these tags. A delete marker has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// It has more bytes than this. A delete marker has 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<u64>,
    /// It has fewer bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smaller_than: Option<u64>,
}

/// When a current version expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiration {
    /// So many days after it was written; a delete marker that is alone, too.
    Days(u32),
    /// From this moment on (milliseconds since 1970), whenever it was written.
    AtMs(u64),
    /// Delete markers that are alone, and nothing else.
    LoneMarker,
}

/// When a noncurrent version is removed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoncurrentExpiration {
    /// So many days after its successor was written.
    pub days: u32,
    /// And only while so many noncurrent versions of its key, markers among them, are newer.
    #[serde(default)]
    pub keep_newer: u32,
}

/// How long a day is. Midnights are its multiples since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifecycleDay {
    ms: u64,
}

impl LifecycleDay {
    /// A day.
    pub const REAL: Self = Self { ms: 24 * 3_600_000 };

    /// A day for tests and for those who try rules out, of 1 second at least.
    #[must_use]
    pub const fn of_seconds(seconds: u64) -> Self {
        let ms = seconds.saturating_mul(1000);
        Self {
            ms: if ms == 0 { 1000 } else { ms },
        }
    }

    /// Its length.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// The midnight after `days` have passed since `since_ms`.
    #[must_use]
    pub const fn midnight_after(self, since_ms: u64, days: u32) -> u64 {
        // `as`: widening, which a const fn has no other word for.
        let midnights = (since_ms / self.ms).saturating_add(days as u64 + 1);
        midnights.saturating_mul(self.ms)
    }
}

/// Where a version stands among those of its key, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The current object, written then.
    Current {
        /// Its Last-Modified.
        written_ms: u64,
    },
    /// A delete marker with no other version of its key, written then.
    LoneMarker {
        /// Its Last-Modified.
        written_ms: u64,
    },
    /// A current delete marker above other versions: nothing becomes of it.
    MarkerAbove,
    /// Noncurrent since its successor was written.
    Noncurrent {
        /// When that was.
        since_ms: u64,
    },
}

/// A version, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'s> {
    /// Its key.
    pub key: &'s [u8],
    /// Its bytes.
    pub size: u64,
    /// Its tags; `None`: not known here, so that any may be there.
    pub tags: Option<&'s BTreeMap<String, String>>,
    /// Where it stands.
    pub standing: Standing,
}

/// What the rules say of a version now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// Its time has come, by this rule.
    Now(&'r LifecycleRule),
    /// Not before this time.
    NotBefore(u64),
    /// Never, unless something changes: then whoever changes it dates it anew.
    Never,
}

impl LifecycleRule {
    /// When this rule acts on a version, but for how many newer ones there must be.
    fn due_ms(&self, subject: &Subject<'_>, day: LifecycleDay) -> Option<u64> {
        let due_ms = match (subject.standing, self.expiration, self.noncurrent) {
            (Standing::Current { written_ms }, Some(Expiration::Days(days)), _)
            | (Standing::LoneMarker { written_ms }, Some(Expiration::Days(days)), _) => {
                day.midnight_after(written_ms, days)
            }
            (Standing::Current { .. }, Some(Expiration::AtMs(at_ms)), _)
            | (Standing::LoneMarker { .. }, Some(Expiration::AtMs(at_ms)), _) => at_ms,
            (Standing::LoneMarker { written_ms }, Some(Expiration::LoneMarker), _) => {
                day.midnight_after(written_ms, 0)
            }
            (Standing::Noncurrent { since_ms }, _, Some(noncurrent)) => {
                day.midnight_after(since_ms, noncurrent.days)
            }
            _ => return None,
        };
        let due_ms = if mutant::active(Mutant::ExpireEarly) {
            due_ms.saturating_sub(day.as_ms())
        } else {
            due_ms
        };
        self.filter.fits(subject).then_some(due_ms)
    }

    const fn looks_at_versions(&self) -> bool {
        self.expiration.is_some() || self.noncurrent.is_some()
    }

    fn keep_newer(&self) -> u32 {
        self.noncurrent
            .map_or(0, |noncurrent| noncurrent.keep_newer)
    }
}

impl LifecycleFilter {
    fn fits(&self, subject: &Subject<'_>) -> bool {
        self.fits_key(subject.key)
            && self.larger_than.is_none_or(|size| subject.size > size)
            && self.smaller_than.is_none_or(|size| subject.size < size)
            && subject.tags.is_none_or(|tags| self.fits_tags(tags))
    }

    fn fits_key(&self, key: &[u8]) -> bool {
        key.starts_with(self.prefix.as_bytes())
    }

    fn fits_tags(&self, tags: &BTreeMap<String, String>) -> bool {
        self.tags
            .iter()
            .all(|(key, value)| tags.get(key) == Some(value))
    }
}

impl LifecycleRules {
    /// When a version is to be looked at: the earliest time at which a rule may act on it.
    #[must_use]
    pub fn look_at_ms(&self, subject: &Subject<'_>, day: LifecycleDay) -> Option<u64> {
        self.0
            .iter()
            .filter_map(|rule| rule.due_ms(subject, day))
            .min()
    }

    /// What is to become of a version that has `newer` newer noncurrent ones of its key.
    #[must_use]
    pub fn decide(
        &self,
        subject: &Subject<'_>,
        newer: u32,
        day: LifecycleDay,
        now_ms: u64,
    ) -> Verdict<'_> {
        let mut not_before: Option<u64> = None;
        for rule in &self.0 {
            match rule.due_ms(subject, day) {
                Some(due_ms) if due_ms > now_ms => {
                    not_before = Some(not_before.map_or(due_ms, |earliest| earliest.min(due_ms)));
                }
                Some(_) if newer >= rule.keep_newer() => return Verdict::Now(rule),
                // The write that makes it one too many dates it anew.
                Some(_) | None => {}
            }
        }
        not_before.map_or(Verdict::Never, Verdict::NotBefore)
    }

    /// When an object that is current and stays so expires, and by which rule.
    #[must_use]
    pub fn expiry_of(
        &self,
        subject: &Subject<'_>,
        day: LifecycleDay,
    ) -> Option<(u64, &LifecycleRule)> {
        let due = |rule| LifecycleRule::due_ms(rule, subject, day).map(|due_ms| (due_ms, rule));
        self.0.iter().filter_map(due).min_by_key(|due| due.0)
    }

    /// When an upload is aborted that is still open then, and by which rule.
    #[must_use]
    pub fn abort_of(
        &self,
        key: &[u8],
        begun_ms: u64,
        day: LifecycleDay,
    ) -> Option<(u64, &LifecycleRule)> {
        let due =
            |rule: &'_ LifecycleRule| Some(day.midnight_after(begun_ms, rule.abort_upload_days?));
        self.0
            .iter()
            .filter(|rule| rule.filter.fits_key(key))
            .filter_map(|rule| Some((due(rule)?, rule)))
            .min_by_key(|due| due.0)
    }

    /// How many newer noncurrent versions rules about this key ask for, each number once.
    #[must_use]
    pub fn kept_newer(&self, key: &[u8]) -> BTreeSet<u32> {
        self.0
            .iter()
            .filter(|rule| rule.filter.fits_key(key))
            .map(LifecycleRule::keep_newer)
            .filter(|keep| *keep > 0)
            .collect()
    }

    /// Whether any rule is about versions, and not only about uploads.
    #[must_use]
    pub fn look_at_versions(&self) -> bool {
        self.0.iter().any(LifecycleRule::looks_at_versions)
    }

    /// Whether any rule aborts uploads.
    #[must_use]
    pub fn abort_uploads(&self) -> bool {
        self.0.iter().any(|rule| rule.abort_upload_days.is_some())
    }

    /// What all keys begin with whose versions a rule may be about.
    #[must_use]
    pub fn common_prefix(&self) -> &str {
        let about = self.0.iter().filter(|rule| rule.looks_at_versions());
        let mut prefixes = about.map(|rule| rule.filter.prefix.as_str());
        let first = prefixes.next().unwrap_or_default();
        prefixes.fold(first, |common, prefix| {
            let same = common
                .char_indices()
                .zip(prefix.chars())
                .find(|((_, ours), theirs)| ours != theirs)
                .map_or(common.len().min(prefix.len()), |((at, _), _)| at);
            &common[..same]
        })
    }

    /// Whether any rule looks at tags.
    #[must_use]
    pub fn look_at_tags(&self) -> bool {
        self.0.iter().any(|rule| !rule.filter.tags.is_empty())
    }
}

/// Other rules for a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleChange {
    /// Those that are enabled.
    pub rules: LifecycleRules,
    /// All of them, as the edge wants to read them back.
    pub document: String,
}

/// Something whose time to be looked at has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueLifecycle {
    /// When that was.
    pub due_ms: u64,
    /// Its bucket.
    pub bucket: BucketId,
    /// Its key.
    pub key: Vec<u8>,
    /// The version's `uid` or the upload's id.
    pub id: Uuid,
    /// Which of the two.
    pub subject: LifecycleSubject,
}

/// What can be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleSubject {
    /// A version or delete marker.
    Version,
    /// An open upload.
    Upload,
}

/// What a look did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LifecycleTurn {
    /// Nothing: it is gone, or its time has not come, or no rule is about it any more.
    Nothing,
    /// The only version of its key, in a bucket without versions, was removed.
    Expired,
    /// A delete marker was put on it.
    MarkerPut,
    /// A noncurrent version or marker was removed.
    NoncurrentRemoved,
    /// A delete marker that was alone was removed.
    MarkerRemoved,
    /// An upload was aborted.
    UploadAborted,
    /// Object lock holds the version: it is looked at again in a day.
    Locked,
}

/// A page of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifecycleWalk {
    /// The bucket that was walked.
    pub bucket: BucketId,
    /// Versions and uploads on this page.
    pub walked: u64,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LifecycleBacklog {
    /// Versions and uploads that are due; counted up to a bound.
    pub overdue: u64,
    /// Since when the first of them is.
    pub oldest_due_ms: Option<u64>,
    /// Buckets in which older versions are still to be dated.
    pub buckets_to_walk: u64,
    /// What has been walked over in those.
    pub walked: u64,
}
