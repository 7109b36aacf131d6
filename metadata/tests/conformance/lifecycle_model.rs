//! None early, none missed: random writes, tags, rules and times against a model that looks at
//! every version each time.
//!
//! The model has no queue. At each turn it goes over all versions of all keys again and again until
//! no rule acts any more; the metadata must be left with exactly the same versions and uploads.

use std::collections::BTreeMap;

use holdfast_metadata::command::PutTags;
use holdfast_metadata::lifecycle::{
    Expiration, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
};
use holdfast_metadata::model::{
    Bucket, ListEntry, Origin, UploadState, VersionId, VersionSelector, Versioning,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use uuid::Uuid;

use super::invariants;
use super::lifecycle::{set_rules, turn};
use super::world::{HOUR_MS, START_MS, World, query};

/// Sequences tried in a test run on each database, and their length.
const CASES: u64 = 25;
const STEPS: usize = 60;

super::on_both! {
    random_versions_rules_and_times_agree_with_the_model,
}

const DAY_MS: u64 = 24 * HOUR_MS;
const KEYS: [&str; 4] = ["a", "p/a", "p/b", "q/a"];
const PREFIXES: [&str; 3] = ["", "p/", "q/a"];

#[derive(Debug, Clone)]
enum Step {
    Put {
        key: usize,
        size: u64,
        temp: bool,
    },
    Delete {
        key: usize,
    },
    DeleteVersion {
        key: usize,
        which: usize,
    },
    Tag {
        key: usize,
        which: usize,
        temp: bool,
    },
    Versioning(bool),
    Rules(Vec<LifecycleRule>),
    NoRules,
    BeginUpload {
        key: usize,
    },
    Advance {
        hours: u64,
    },
    Turn,
}

fn filter() -> impl Strategy<Value = LifecycleFilter> {
    let sizes = prop_oneof![
        3 => Just((None, None)),
        1 => Just((Some(1), None)),
        1 => Just((None, Some(2))),
        1 => Just((Some(0), Some(3))),
    ];
    (0..PREFIXES.len(), any::<bool>(), sizes).prop_map(|(prefix, tagged, (larger, smaller))| {
        LifecycleFilter {
            prefix: PREFIXES[prefix].to_owned(),
            tags: tagged
                .then(|| ("temp".to_owned(), "yes".to_owned()))
                .into_iter()
                .collect(),
            larger_than: larger,
            smaller_than: smaller,
        }
    })
}

/// At most one rule about noncurrent versions: with two, which of two versions goes first could
/// decide whether the other has enough newer ones.
fn rules() -> impl Strategy<Value = Vec<LifecycleRule>> {
    let rule = |filter| LifecycleRule {
        id: "r".to_owned(),
        filter,
        expiration: None,
        noncurrent: None,
        abort_upload_days: None,
    };
    let expiration = prop_oneof![
        3 => (1..4_u32).prop_map(Expiration::Days),
        1 => (0..30_u64).prop_map(|day| Expiration::AtMs(START_MS / DAY_MS * DAY_MS + day * DAY_MS)),
        2 => Just(Expiration::LoneMarker),
    ];
    let expiring = (filter(), expiration).prop_map(move |(filter, expiration)| LifecycleRule {
        expiration: Some(expiration),
        ..rule(filter)
    });
    let keep = prop_oneof![2 => Just(0_u32), 1 => Just(1), 1 => Just(2)];
    let dropping =
        (filter(), 1..4_u32, keep).prop_map(move |(filter, days, keep_newer)| LifecycleRule {
            noncurrent: Some(NoncurrentExpiration { days, keep_newer }),
            ..rule(filter)
        });
    let aborting = (0..PREFIXES.len(), 1..4_u32).prop_map(move |(prefix, days)| LifecycleRule {
        abort_upload_days: Some(days),
        ..rule(LifecycleFilter {
            prefix: PREFIXES[prefix].to_owned(),
            ..LifecycleFilter::default()
        })
    });
    let several = proptest::collection::vec(expiring, 0..3);
    (several, any::<bool>(), dropping, any::<bool>(), aborting).prop_map(
        |(mut rules, drops, dropping, aborts, aborting)| {
            rules.extend(drops.then_some(dropping));
            rules.extend(aborts.then_some(aborting));
            rules
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        10 => (key.clone(), 0..4_u64, any::<bool>())
            .prop_map(|(key, size, temp)| Step::Put { key, size, temp }),
        4 => key.clone().prop_map(|key| Step::Delete { key }),
        3 => (key.clone(), 0..6_usize)
            .prop_map(|(key, which)| Step::DeleteVersion { key, which }),
        3 => (key.clone(), 0..6_usize, any::<bool>())
            .prop_map(|(key, which, temp)| Step::Tag { key, which, temp }),
        1 => any::<bool>().prop_map(Step::Versioning),
        3 => rules().prop_map(Step::Rules),
        1 => Just(Step::NoRules),
        2 => key.prop_map(|key| Step::BeginUpload { key }),
        8 => (1..40_u64).prop_map(|hours| Step::Advance { hours }),
        10 => Just(Step::Turn),
    ]
}

/// A version as the model has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    id: VersionId,
    marker: bool,
    size: u64,
    temp: bool,
    written_ms: u64,
    /// When the one above it was written.
    since_ms: Option<u64>,
}

/// Versions of each key, the oldest first; open uploads and when they were begun.
struct Model {
    keys: BTreeMap<&'static str, Vec<Kept>>,
    uploads: BTreeMap<Uuid, (&'static str, u64)>,
    versioning: Versioning,
    rules: Vec<LifecycleRule>,
    now_ms: u64,
}

fn midnight_after(since_ms: u64, days: u32) -> u64 {
    (since_ms / DAY_MS + u64::from(days) + 1) * DAY_MS
}

impl Model {
    /// Puts a version on top, as the bucket's versioning has it.
    fn put(
        &mut self,
        key: &'static str,
        id: Option<VersionId>,
        marker: bool,
        size: u64,
        temp: bool,
    ) {
        let versions = self.keys.entry(key).or_default();
        let null = self.versioning != Versioning::Enabled;
        if null {
            versions.retain(|kept| !kept.id.is_null());
        }
        if let Some(top) = versions.last_mut()
            && top.since_ms.is_none()
        {
            top.since_ms = Some(self.now_ms);
        }
        let fresh = || VersionId("made by lifecycle".to_owned());
        versions.push(Kept {
            id: if null {
                VersionId::null()
            } else {
                id.unwrap_or_else(fresh)
            },
            marker,
            size,
            temp,
            written_ms: self.now_ms,
            since_ms: None,
        });
    }

    fn remove(&mut self, key: &'static str, at: usize) {
        let versions = self.keys.entry(key).or_default();
        versions.remove(at);
        if let Some(top) = versions.last_mut() {
            top.since_ms = None;
        }
    }

    /// Whether a rule acts on version `at` of a key now.
    fn is_due(&self, rule: &LifecycleRule, key: &str, versions: &[Kept], at: usize) -> bool {
        let version = &versions[at];
        let filter = &rule.filter;
        let fits = key.starts_with(&filter.prefix)
            && (filter.tags.is_empty() || version.temp)
            && filter.larger_than.is_none_or(|size| version.size > size)
            && filter.smaller_than.is_none_or(|size| version.size < size);
        let is_top = at + 1 == versions.len();
        let alone = versions.len() == 1;
        fits && if is_top {
            match rule.expiration {
                Some(_) if version.marker && !alone => false,
                Some(Expiration::Days(days)) => {
                    midnight_after(version.written_ms, days) <= self.now_ms
                }
                Some(Expiration::AtMs(at_ms)) => at_ms <= self.now_ms,
                Some(Expiration::LoneMarker) => {
                    version.marker && midnight_after(version.written_ms, 0) <= self.now_ms
                }
                None => false,
            }
        } else {
            let newer_noncurrent = versions.len() - at - 2;
            rule.noncurrent.is_some_and(|noncurrent| {
                midnight_after(version.since_ms.unwrap(), noncurrent.days) <= self.now_ms
                    && newer_noncurrent >= noncurrent.keep_newer as usize
            })
        }
    }

    /// Acts on one version, if there is one to act on.
    fn act(&mut self) -> bool {
        let found = self.keys.iter().find_map(|(key, versions)| {
            let at = (0..versions.len()).find(|at| {
                self.rules
                    .iter()
                    .any(|rule| self.is_due(rule, key, versions, *at))
            });
            at.map(|at| (*key, at, versions[at].clone(), at + 1 == versions.len()))
        });
        let Some((key, at, version, is_top)) = found else {
            return false;
        };
        if is_top && !version.marker && self.versioning != Versioning::Unversioned {
            self.put(key, None, true, 0, false);
        } else {
            self.remove(key, at);
        }
        true
    }

    fn turn(&mut self) {
        while self.act() {}
        let (rules, now_ms) = (&self.rules, self.now_ms);
        self.uploads.retain(|_, (key, begun_ms)| {
            !rules.iter().any(|rule| {
                key.starts_with(&rule.filter.prefix)
                    && rule
                        .abort_upload_days
                        .is_some_and(|days| midnight_after(*begun_ms, days) <= now_ms)
            })
        });
    }

    /// As the metadata lists it: newest first, marker or object, bytes, time, whether current.
    fn listing(&self) -> Vec<(String, bool, u64, u64, bool)> {
        let keys = self.keys.iter();
        keys.flat_map(|(key, versions)| {
            let newest_first = versions.iter().rev().enumerate();
            newest_first.map(|(depth, kept)| {
                (
                    (*key).to_owned(),
                    kept.marker,
                    kept.size,
                    kept.written_ms,
                    depth == 0,
                )
            })
        })
        .collect()
    }
}

async fn listing(world: &World, bucket: &Bucket) -> Vec<(String, bool, u64, u64, bool)> {
    let page = world
        .metadata
        .list_versions(&query(bucket, 1000))
        .await
        .unwrap();
    assert!(!page.truncated);
    let entries = page.entries.into_iter();
    entries
        .map(|entry| match entry {
            ListEntry::Version(version) => (
                String::from_utf8(version.key).unwrap(),
                version.is_delete_marker,
                version.size,
                version.last_modified_ms,
                version.is_current,
            ),
            ListEntry::CommonPrefix(prefix) => panic!("{prefix:?}"),
        })
        .collect()
}

fn tags(temp: bool) -> BTreeMap<String, String> {
    temp.then(|| ("temp".to_owned(), "yes".to_owned()))
        .into_iter()
        .collect()
}

/// The ids that the metadata has given to a key's versions, the oldest first.
async fn learn_ids(world: &World, bucket: &Bucket, model: &mut Model) {
    let page = world
        .metadata
        .list_versions(&query(bucket, 1000))
        .await
        .unwrap();
    for (key, versions) in &mut model.keys {
        let ids = page.entries.iter().filter_map(|entry| match entry {
            ListEntry::Version(version) if version.key == key.as_bytes() => {
                Some(version.version_id.clone())
            }
            _ => None,
        });
        for (kept, id) in versions.iter_mut().rev().zip(ids) {
            kept.id = id;
        }
    }
}

async fn take(world: &World, bucket: &Bucket, model: &mut Model, step: &Step) {
    let metadata = &world.metadata;
    let name = &bucket.name;
    let chosen = |model: &Model, key: usize, which: usize| {
        let versions = model.keys.get(KEYS[key])?;
        (!versions.is_empty()).then(|| {
            let at = which % versions.len();
            (at, versions[at].clone())
        })
    };
    match step {
        Step::Put { key, size, temp } => {
            let mut put = world.put_of(name, KEYS[*key], *size, "e");
            put.attributes.tags = tags(*temp);
            let published = metadata.put_object(put).await.unwrap();
            model.put(KEYS[*key], published.version_id, false, *size, *temp);
        }
        Step::Delete { key } => {
            let deleted = world.delete(name, KEYS[*key]).await;
            if model.versioning == Versioning::Unversioned {
                model.keys.remove(KEYS[*key]);
            } else {
                model.put(KEYS[*key], deleted.version_id, true, 0, false);
            }
        }
        Step::DeleteVersion { key, which } => {
            if let Some((at, version)) = chosen(model, *key, *which) {
                world.delete_version(name, KEYS[*key], &version.id).await;
                model.remove(KEYS[*key], at);
            }
        }
        Step::Tag { key, which, temp } => {
            if let Some((at, version)) = chosen(model, *key, *which).filter(|c| !c.1.marker) {
                let put = PutTags {
                    bucket: name.clone(),
                    key: KEYS[*key].as_bytes().to_vec(),
                    version: VersionSelector::Exact(version.id),
                    tags: tags(*temp),
                    origin: Origin::default(),
                };
                metadata.put_tags(put).await.unwrap();
                model.keys.get_mut(KEYS[*key]).unwrap()[at].temp = *temp;
            }
        }
        Step::Versioning(enabled) => {
            model.versioning = if *enabled {
                Versioning::Enabled
            } else {
                Versioning::Suspended
            };
            metadata
                .set_versioning(name, model.versioning)
                .await
                .unwrap();
        }
        Step::Rules(rules) => {
            set_rules(metadata, name, rules.clone()).await;
            model.rules.clone_from(rules);
        }
        Step::NoRules => {
            metadata.set_lifecycle(name, None).await.unwrap();
            model.rules.clear();
        }
        Step::BeginUpload { key } => {
            let upload = world.upload(name, KEYS[*key]).await;
            model.uploads.insert(upload.id, (KEYS[*key], model.now_ms));
        }
        Step::Advance { hours } => {
            world.clock.advance_ms(hours * HOUR_MS);
            model.now_ms += hours * HOUR_MS;
        }
        Step::Turn => {
            turn(metadata).await;
            model.turn();
            learn_ids(world, bucket, model).await;
        }
    }
}

async fn open_uploads(world: &World, bucket: &Bucket, model: &Model, all: &[(Uuid, usize)]) {
    for (id, key) in all {
        let key = KEYS[*key].as_bytes();
        let upload = world.metadata.upload(bucket.id, key, *id).await.unwrap();
        let is_open = upload.state == UploadState::Open;
        assert_eq!(is_open, model.uploads.contains_key(id), "{upload:?}");
    }
}

async fn random_versions_rules_and_times_agree_with_the_model(world: World) {
    let seed = super::stage::setting("HOLDFAST_SEED", 0);
    let cases = super::stage::setting("HOLDFAST_LIFECYCLE_CASES", CASES);
    let mut acted = 0;
    for case in seed..seed + cases {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&case.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        let steps = proptest::collection::vec(step(), STEPS);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        // Each case in a bucket of its own, at a time of its own.
        let now_ms = START_MS + case * 1000 * DAY_MS;
        world.clock.set_ms(now_ms);
        let bucket = world.bucket(&format!("b-{case}")).await;
        let mut model = Model {
            keys: BTreeMap::new(),
            uploads: BTreeMap::new(),
            versioning: Versioning::Unversioned,
            rules: Vec::new(),
            now_ms,
        };
        let mut uploads = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let before = model.listing().len();
            take(&world, &bucket, &mut model, step).await;
            if let Step::BeginUpload { key } = step {
                let new = model
                    .uploads
                    .keys()
                    .filter(|id| !uploads.iter().any(|(known, _)| known == *id));
                let new: Vec<Uuid> = new.copied().collect();
                uploads.extend(new.into_iter().map(|id| (id, *key)));
            }
            acted += usize::from(matches!(step, Step::Turn) && model.listing().len() != before);
            assert_eq!(
                listing(&world, &bucket).await,
                model.listing(),
                "case {case}, after step {number} of {steps:#?}"
            );
            if matches!(step, Step::Turn) {
                open_uploads(&world, &bucket, &model, &uploads).await;
            }
        }
        // The next case must not find anything of this one due.
        world
            .metadata
            .set_lifecycle(&bucket.name, None)
            .await
            .unwrap();
        turn(&world.metadata).await;
    }
    invariants::check(&world).await;
    assert!(
        acted as u64 > cases / 4,
        "the rules hardly ever acted: {acted}"
    );
}
