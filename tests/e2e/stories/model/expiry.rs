//! Lifecycle in the reference: what rules leave of a bucket in the end, when all days have passed.
//!
//! The end does not depend on the order in which the server looks at versions: there is at most one
//! rule of each kind, and what one takes never gives back what another took.

use std::collections::BTreeMap;

use super::reference::{Bucket, UploadState, Version, Versioning};
use super::retention::Lock;
use crate::support::random::Random;
use crate::support::xml::escape;

/// Which keys and versions a rule is about.
#[derive(Debug, Clone)]
enum Filter {
    Prefix(&'static str),
    Tag(String, &'static str),
    LargerThan(usize),
    SmallerThan(usize),
}

impl Filter {
    fn fits(&self, key: &str, version: &Version) -> bool {
        match self {
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Tag(name, value) => version.tags.get(name).map(String::as_str) == Some(*value),
            Self::LargerThan(len) => version.body.len() > *len,
            Self::SmallerThan(len) => version.body.len() < *len,
        }
    }

    fn document(&self) -> String {
        match self {
            Self::Prefix(prefix) => format!("<Prefix>{}</Prefix>", escape(prefix)),
            Self::Tag(name, value) => {
                format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>")
            }
            Self::LargerThan(len) => {
                format!("<ObjectSizeGreaterThan>{len}</ObjectSizeGreaterThan>")
            }
            Self::SmallerThan(len) => format!("<ObjectSizeLessThan>{len}</ObjectSizeLessThan>"),
        }
    }
}

/// When current versions expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// At a midnight that was long ago.
    Now,
    /// A day after they were written.
    InADay,
    /// Not while a test runs.
    InYears,
    /// Only delete markers do that are alone.
    LoneMarkers,
}

impl When {
    const fn document(self) -> &'static str {
        match self {
            Self::Now => "<Date>2020-01-01T00:00:00.000Z</Date>",
            Self::InADay => "<Days>1</Days>",
            Self::InYears => "<Days>100000000</Days>",
            Self::LoneMarkers => "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>",
        }
    }
}

/// The rules of a bucket, at most one of each kind.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    expiration: Option<(Filter, When)>,
    /// After a day, while so many noncurrent versions are newer.
    noncurrent: Option<(Filter, usize)>,
    /// Open uploads of keys that begin so are aborted after a day.
    uploads: Option<&'static str>,
}

const PREFIXES: [&str; 5] = ["", "a", "b", "photos/", "emoji/"];

impl Rules {
    /// Some rules, one at least.
    pub(crate) fn some(random: &mut Random) -> Self {
        loop {
            let rules = Self {
                expiration: random.percent(70).then(|| some_expiration(random)),
                noncurrent: random
                    .percent(60)
                    .then(|| (some_filter(random), random.below(4) as usize)),
                uploads: random.percent(40).then(|| *random.pick(&PREFIXES)),
            };
            if rules.expiration.is_some() || rules.noncurrent.is_some() || rules.uploads.is_some() {
                return rules;
            }
        }
    }

    /// As a client puts them.
    pub(crate) fn document(&self) -> String {
        let rule = |id: &str, filter: &str, action: &str| {
            format!(
                "<Rule><ID>{id}</ID><Filter>{filter}</Filter><Status>Enabled</Status>{action}</Rule>"
            )
        };
        let mut rules = String::new();
        if let Some((filter, when)) = &self.expiration {
            let action = format!("<Expiration>{}</Expiration>", when.document());
            rules.push_str(&rule("current", &filter.document(), &action));
        }
        if let Some((filter, keep)) = &self.noncurrent {
            let newer = match keep {
                0 => String::new(),
                keep => format!("<NewerNoncurrentVersions>{keep}</NewerNoncurrentVersions>"),
            };
            let action = format!(
                "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>{newer}\
                 </NoncurrentVersionExpiration>"
            );
            rules.push_str(&rule("old", &filter.document(), &action));
        }
        if let Some(prefix) = self.uploads {
            let filter = Filter::Prefix(prefix).document();
            let action = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1\
                          </DaysAfterInitiation></AbortIncompleteMultipartUpload>";
            rules.push_str(&rule("uploads", &filter, action));
        }
        format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
    }

    /// How long after its PUT was sent the current version of `key` stays at least, in days.
    pub(crate) fn least_days(&self, key: &str, version: &Version) -> Option<u64> {
        match &self.expiration {
            Some((filter, when)) if filter.fits(key, version) => match when {
                When::Now => Some(0),
                When::InADay => Some(1),
                When::InYears | When::LoneMarkers => None,
            },
            _ => None,
        }
    }

    /// What is left of `bucket` in the end. Delete markers that the rules put there get ids that
    /// begin with [`UNKNOWN`].
    pub(crate) fn end_of(&self, bucket: &Bucket) -> Bucket {
        let mut end = bucket.clone();
        let mut keys = BTreeMap::new();
        for (key, versions) in &bucket.keys {
            let mut versions = versions.clone();
            while self.act(key, bucket.versioning, &mut versions) {}
            if !versions.is_empty() {
                keys.insert(key.clone(), versions);
            }
        }
        end.keys = keys;
        for upload in end.uploads.values_mut() {
            let is_due = self.uploads.is_some_and(|it| upload.key.starts_with(it));
            if is_due && upload.state == UploadState::Open {
                upload.state = UploadState::Aborted;
            }
        }
        end
    }

    /// Does one thing that is to be done with a key, if there is one.
    fn act(&self, key: &str, versioning: Versioning, versions: &mut Vec<Version>) -> bool {
        let Some(current) = versions.last() else {
            return false;
        };
        let alone = versions.len() == 1;
        match (current.is_marker, versioning) {
            (true, _) if alone && self.expires_marker(key, current) => versions.clear(),
            (false, Versioning::Unversioned) if self.expires(key, current) => versions.clear(),
            (false, Versioning::Suspended) if self.expires(key, current) => {
                versions.retain(|version| version.id != "null");
                versions.push(Version::marker("null"));
            }
            (false, Versioning::Enabled) if self.expires(key, current) => {
                versions.push(Version::marker(&format!("{UNKNOWN}{key}")));
            }
            _ => return self.remove_old(key, versions),
        }
        true
    }

    fn remove_old(&self, key: &str, versions: &mut Vec<Version>) -> bool {
        let Some((filter, keep)) = &self.noncurrent else {
            return false;
        };
        let noncurrent = versions.len() - 1;
        let goes = |(age, version): (usize, &Version)| {
            noncurrent - age > *keep && filter.fits(key, version) && !is_kept(&version.lock)
        };
        match versions[..noncurrent].iter().enumerate().position(goes) {
            Some(at) => {
                versions.remove(at);
                true
            }
            None => false,
        }
    }

    fn expires(&self, key: &str, version: &Version) -> bool {
        self.least_days(key, version).is_some()
    }

    fn expires_marker(&self, key: &str, marker: &Version) -> bool {
        let lone = |(filter, when): &(Filter, When)| {
            *when == When::LoneMarkers && filter.fits(key, marker)
        };
        self.expires(key, marker) || self.expiration.as_ref().is_some_and(lone)
    }
}

/// What begins the id of a marker that only the server knows.
pub(crate) const UNKNOWN: &str = "?";

/// Whether a lock outlasts the run. One that ends during it only puts off the end.
fn is_kept(lock: &Lock) -> bool {
    lock.hold == Some(true) || lock.outlasts_a_run()
}

fn some_expiration(random: &mut Random) -> (Filter, When) {
    let times = [When::Now, When::InADay, When::InYears, When::LoneMarkers];
    match *random.pick(&times) {
        When::LoneMarkers => (
            Filter::Prefix(random.pick::<&str>(&PREFIXES)),
            When::LoneMarkers,
        ),
        when => (some_filter(random), when),
    }
}

fn some_filter(random: &mut Random) -> Filter {
    match random.below(6) {
        0 => Filter::Tag(format!("key {}", random.below(3)), "blue"),
        1 => Filter::LargerThan(random.below(70_000) as usize),
        2 => Filter::SmallerThan(1 + random.below(70_000) as usize),
        _ => Filter::Prefix(random.pick::<&str>(&PREFIXES)),
    }
}

#[test]
fn the_end_is_what_the_rules_leave() {
    let rules = Rules {
        expiration: Some((Filter::Prefix("a"), When::Now)),
        noncurrent: Some((Filter::Prefix(""), 1)),
        uploads: None,
    };
    let mut bucket = Bucket::new();
    bucket.versioning = Versioning::Enabled;
    for key in ["a", "b"] {
        for id in ["1", "2", "3"] {
            let version = Version {
                is_marker: false,
                ..Version::marker("")
            };
            bucket.publish(key, version, Some(&format!("{key}{id}")));
        }
    }
    let end = rules.end_of(&bucket);
    let ids = |key: &str| -> Vec<&str> { end.keys[key].iter().map(|it| it.id.as_str()).collect() };
    assert_eq!(ids("a"), ["a3", "?a"]);
    assert_eq!(ids("b"), ["b2", "b3"]);
}
