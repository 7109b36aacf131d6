//! A reference model: random commands against a `BTreeMap` that a reader can check by eye, and all
//! listings of both compared after each.

use std::collections::BTreeMap;

use holdfast_metadata::model::{
    Bucket, ListEntry, ListPage, ListQuery, VersionId, VersionSelector, Versioning,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::invariants;
use super::world::{World, copy_of, query};

/// Sequences of commands tried in a test run on each database, and their length.
const CASES: u32 = 12;
const STEPS: usize = 60;

super::on_both! {
    random_commands_agree_with_the_model,
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        key: usize,
        len: u64,
    },
    Copy {
        from: usize,
        to: usize,
    },
    Delete {
        key: usize,
    },
    DeleteVersion {
        key: usize,
        which: usize,
    },
    Versioning(bool),
    List {
        prefix: usize,
        delimiter: usize,
        after: usize,
        limit: usize,
    },
}

/// Few keys, so that they meet; with bytes that sort and roll up in awkward ways.
const KEYS: &[&[u8]] = &[
    b"a", b"a/", b"a/b", b"a/b/c", b"a//", b"a0", b"ab", b"\0", b"a/\xff", b"\xff", b"\xff/x", b"b",
];
const PREFIXES: &[&[u8]] = &[b"", b"a", b"a/", b"a/b", b"\xff", b"zz"];
const DELIMITERS: &[&[u8]] = &[b"", b"/", b"b", b"//", b"\xff"];

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    prop_oneof![
        6 => (key.clone(), 0..3_u64).prop_map(|(key, len)| Step::Put { key, len }),
        2 => (key.clone(), key.clone()).prop_map(|(from, to)| Step::Copy { from, to }),
        3 => key.clone().prop_map(|key| Step::Delete { key }),
        3 => (key.clone(), 0..4_usize).prop_map(|(key, which)| Step::DeleteVersion { key, which }),
        1 => any::<bool>().prop_map(Step::Versioning),
        1 => Just(Step::Versioning(true)),
        4 => (0..PREFIXES.len(), 0..DELIMITERS.len(), 0..KEYS.len() + 4, 1..8_usize).prop_map(
            |(prefix, delimiter, after, limit)| Step::List { prefix, delimiter, after, limit }
        ),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelVersion {
    id: VersionId,
    size: u64,
    etag: String,
    is_marker: bool,
}

/// Each key's versions, newest last.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Vec<u8>, Vec<ModelVersion>>,
    versioning: Option<Versioning>,
}

impl Model {
    /// Puts a version on top; where no versions are kept, the null version goes first.
    fn push(&mut self, key: &[u8], version: ModelVersion) {
        let versions = self.keys.entry(key.to_vec()).or_default();
        if version.id.is_null() {
            versions.retain(|version| !version.id.is_null());
        }
        versions.push(version);
    }

    fn remove(&mut self, key: &[u8], id: &VersionId) {
        if let Some(versions) = self.keys.get_mut(key) {
            versions.retain(|version| version.id != *id);
            if versions.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    fn current(&self, key: &[u8]) -> Option<&ModelVersion> {
        self.keys.get(key)?.last()
    }

    /// All entries of a listing after `after`, common prefixes as `Err`.
    fn list(&self, query: &ListQuery, all_versions: bool) -> Vec<Result<ModelVersion, Vec<u8>>> {
        let mut entries: Vec<Result<ModelVersion, Vec<u8>>> = Vec::new();
        for (key, versions) in &self.keys {
            let is_after = query.after.as_ref().is_none_or(|after| key > after);
            if !key.starts_with(&query.prefix) || !is_after {
                continue;
            }
            let shown: Vec<&ModelVersion> = if all_versions {
                versions.iter().rev().collect()
            } else {
                versions
                    .last()
                    .into_iter()
                    .filter(|version| !version.is_marker)
                    .collect()
            };
            let delimiter = query.delimiter.as_deref().filter(|d| !d.is_empty());
            let rest = &key[query.prefix.len()..];
            let end = delimiter.and_then(|delimiter| {
                let at = rest
                    .windows(delimiter.len())
                    .position(|window| window == delimiter)?;
                Some(query.prefix.len() + at + delimiter.len())
            });
            match end {
                Some(end) => {
                    let common = key[..end].to_vec();
                    let is_new = !entries.contains(&Err(common.clone()));
                    if !shown.is_empty() && is_new && query.after.as_ref() != Some(&common) {
                        entries.push(Err(common));
                    }
                }
                None => entries.extend(shown.into_iter().cloned().map(Ok)),
            }
        }
        entries
    }
}

async fn random_commands_agree_with_the_model(world: World) {
    let seed = std::env::var("HOLDFAST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(7_u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let steps = proptest::collection::vec(step(), STEPS);
    for case in 0..CASES {
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let name = format!("b{case}");
        let bucket = world.bucket(&name).await;
        let mut model = Model::default();
        for (number, step) in steps.iter().enumerate() {
            take(&world, &bucket, &mut model, step).await;
            compare(
                &world,
                &bucket,
                &model,
                &format!("case {case}, {number}: {:?}", &steps[..=number]),
            )
            .await;
        }
        invariants::check(&world).await;
    }
}

async fn take(world: &World, bucket: &Bucket, model: &mut Model, step: &Step) {
    let name = &bucket.name;
    match step {
        Step::Put { key, len } => {
            let etag = format!("{:?}", world.clock);
            let mut put = world.put_of(name, "", *len, &etag);
            put.key = KEYS[*key].to_vec();
            let published = world.metadata.put_object(put).await.unwrap();
            world.clock.advance_ms(1);
            let id = published.version_id.unwrap_or_else(VersionId::null);
            model.push(
                KEYS[*key],
                ModelVersion {
                    id,
                    size: *len,
                    etag,
                    is_marker: false,
                },
            );
        }
        Step::Copy { from, to } => {
            let Some(source) = model.current(KEYS[*from]).filter(|v| !v.is_marker).cloned() else {
                return;
            };
            let selector = VersionSelector::Current;
            let found = world
                .metadata
                .version(bucket.id, KEYS[*from], &selector)
                .await
                .unwrap();
            let mut copy = copy_of(&found, name, "");
            copy.key = KEYS[*to].to_vec();
            let published = world.metadata.copy_object(copy).await.unwrap();
            let id = published.version_id.unwrap_or_else(VersionId::null);
            model.push(KEYS[*to], ModelVersion { id, ..source });
        }
        Step::Delete { key } => {
            let mut delete = super::world::delete_of(name, "", None);
            delete.key = KEYS[*key].to_vec();
            let outcome = world.metadata.delete_object(delete).await.unwrap();
            match model.versioning {
                None => model.remove(KEYS[*key], &VersionId::null()),
                Some(_) => {
                    let id = outcome.version_id.unwrap();
                    let marker = ModelVersion {
                        id,
                        size: 0,
                        etag: String::new(),
                        is_marker: true,
                    };
                    model.push(KEYS[*key], marker);
                }
            }
        }
        Step::DeleteVersion { key, which } => {
            let versions = model.keys.get(KEYS[*key]).cloned().unwrap_or_default();
            let id = versions
                .get(*which)
                .map_or_else(VersionId::null, |version| version.id.clone());
            let mut delete = super::world::delete_of(name, "", Some(&id));
            delete.key = KEYS[*key].to_vec();
            world.metadata.delete_object(delete).await.unwrap();
            model.remove(KEYS[*key], &id);
        }
        Step::Versioning(on) => {
            let versioning = if *on {
                Versioning::Enabled
            } else {
                Versioning::Suspended
            };
            world
                .metadata
                .set_versioning(name, versioning)
                .await
                .unwrap();
            model.versioning = Some(versioning);
        }
        Step::List {
            prefix,
            delimiter,
            after,
            limit,
        } => {
            let afters: [&[u8]; 4] = [b"", b"a/b/", b"a/a", b"\xff/"];
            let after = KEYS.get(*after).or_else(|| afters.get(*after - KEYS.len()));
            let query = ListQuery {
                prefix: PREFIXES[*prefix].to_vec(),
                delimiter: Some(DELIMITERS[*delimiter].to_vec()),
                after: after
                    .filter(|after| !after.is_empty())
                    .map(|after| after.to_vec()),
                ..query(bucket, *limit)
            };
            for all_versions in [false, true] {
                same_page(world, model, &query, all_versions, "list").await;
            }
        }
    }
}

async fn compare(world: &World, bucket: &Bucket, model: &Model, what: &str) {
    for all_versions in [false, true] {
        same_page(world, model, &query(bucket, 1000), all_versions, what).await;
    }
}

async fn same_page(
    world: &World,
    model: &Model,
    query: &ListQuery,
    all_versions: bool,
    what: &str,
) {
    let page: ListPage = if all_versions {
        world.metadata.list_versions(query).await.unwrap()
    } else {
        world.metadata.list_objects(query).await.unwrap()
    };
    let mut expected = model.list(query, all_versions);
    assert_eq!(
        page.truncated,
        expected.len() > query.limit,
        "{what} {query:?}"
    );
    expected.truncate(query.limit);
    let found: Vec<Result<ModelVersion, Vec<u8>>> = page
        .entries
        .into_iter()
        .map(|entry| match entry {
            ListEntry::CommonPrefix(prefix) => Err(prefix),
            ListEntry::Version(version) => Ok(ModelVersion {
                id: version.version_id,
                size: version.size,
                etag: version.etag,
                is_marker: version.is_delete_marker,
            }),
        })
        .collect();
    assert_eq!(found, expected, "{what} {query:?}");
}
