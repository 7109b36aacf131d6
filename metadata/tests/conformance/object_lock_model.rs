//! Random puts, deletes, retentions, holds and moves of the clock: a locked version never goes, and
//! every answer is the one that a small model gives.
//!
//! `HOLDFAST_SEED` says which seed is tried first.

use std::collections::BTreeMap;

use holdfast_metadata::MetadataError;
use holdfast_metadata::model::{
    Bucket, Bypass, DefaultRetention, LockState, Retention, RetentionMode, RetentionPeriod,
    VersionId, VersionLock,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::object_lock::{DAY_MS, hold, lockable, remove, retain, until};
use super::world::{START_MS, World};

super::on_both! { a_locked_version_never_goes }

/// Steps of a run, and runs.
const STEPS: usize = 120;
/// See [`STEPS`].
const RUNS: u64 = 4;

/// What ought to be there.
#[derive(Default)]
struct Model {
    versions: BTreeMap<(String, VersionId), LockState>,
    default: Option<DefaultRetention>,
    now_ms: u64,
}

impl Model {
    /// Written without a look at how the metadata decides it.
    fn holds(&self, state: &LockState, bypass: Bypass) -> bool {
        let retained = match state.retention {
            Some(Retention {
                mode: RetentionMode::Compliance,
                until_ms,
            }) => until_ms > self.now_ms,
            Some(Retention { until_ms, .. }) => {
                until_ms > self.now_ms && bypass != Bypass::Governance
            }
            None => false,
        };
        retained || state.legal_hold == Some(true)
    }

    fn may_retain(&self, old: Option<Retention>, new: Option<Retention>, bypass: Bypass) -> bool {
        let Some(old) = old.filter(|old| old.until_ms > self.now_ms) else {
            return true;
        };
        if old.mode == RetentionMode::Governance && bypass == Bypass::Governance {
            return true;
        }
        new.is_some_and(|new| new.mode == old.mode && new.until_ms >= old.until_ms)
    }
}

fn mode(random: &mut StdRng) -> RetentionMode {
    if random.random_bool(0.5) {
        RetentionMode::Governance
    } else {
        RetentionMode::Compliance
    }
}

fn bypass(random: &mut StdRng) -> Bypass {
    if random.random_bool(0.3) {
        Bypass::Governance
    } else {
        Bypass::No
    }
}

async fn a_locked_version_never_goes(world: World) {
    let bucket = lockable(&world, None).await;
    let first = std::env::var("HOLDFAST_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut model = Model {
        now_ms: START_MS,
        ..Model::default()
    };
    for seed in first..first + RUNS {
        println!("HOLDFAST_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for step in 0..STEPS {
            one_step(&world, &bucket, &mut model, &mut random).await;
            if step % 20 == 0 {
                all_is_there(&world, &bucket, &model).await;
            }
        }
        all_is_there(&world, &bucket, &model).await;
    }
}

async fn one_step(world: &World, bucket: &Bucket, model: &mut Model, random: &mut StdRng) {
    let nth = random.random_range(0..model.versions.len().max(1));
    let chosen = model.versions.keys().nth(nth).cloned();
    match (random.random_range(0..10), chosen) {
        (0, _) => {
            let by_ms = random.random_range(0..2 * DAY_MS);
            model.now_ms += by_ms;
            world.clock.set_ms(model.now_ms);
        }
        (1, _) => {
            model.default = random.random_bool(0.5).then(|| DefaultRetention {
                mode: mode(random),
                period: RetentionPeriod::Days(random.random_range(1..3)),
            });
            let set = world.metadata.set_object_lock("b", model.default).await;
            set.unwrap();
        }
        (2 | 3, _) | (_, None) => {
            let key = format!("k{}", random.random_range(0..4));
            let mut put = world.put_of("b", &key, 1, "e");
            if random.random_bool(0.3) {
                let days = random.random_range(1..4);
                let until_ms = model.now_ms + days * DAY_MS;
                put.lock.retention = Some(until(mode(random), until_ms));
            }
            let mut state = put.lock;
            let by_default = model.default.map(|default| {
                let RetentionPeriod::Days(days) = default.period else {
                    panic!("only days are used");
                };
                until(default.mode, model.now_ms + u64::from(days) * DAY_MS)
            });
            state.retention = state.retention.or(by_default);
            let published = world.metadata.put_object(put).await.unwrap();
            let id = published.version_id.unwrap();
            model.versions.insert((key, id), state);
        }
        (4, Some((key, id))) => {
            let on = random.random_bool(0.5);
            hold(world, &key, &id, on).await.unwrap();
            let state = model.versions.get_mut(&(key, id)).unwrap();
            state.legal_hold = Some(on);
        }
        (5 | 6, Some((key, id))) => {
            let days = random.random_range(1..5);
            let until_ms = model.now_ms + days * DAY_MS;
            let new = random
                .random_bool(0.8)
                .then(|| until(mode(random), until_ms));
            let bypass = bypass(random);
            let old = model.versions[&(key.clone(), id.clone())].retention;
            let outcome = retain(world, &key, &id, new, bypass).await;
            if model.may_retain(old, new, bypass) {
                outcome.unwrap();
                model.versions.get_mut(&(key, id)).unwrap().retention = new;
            } else {
                assert!(matches!(outcome, Err(MetadataError::Locked)), "{outcome:?}");
            }
        }
        (7, Some((key, _))) => {
            // Markers come and go, and touch nothing.
            let marker = world.delete("b", &key).await.version_id.unwrap();
            remove(world, &key, &marker, Bypass::No).await.unwrap();
        }
        (_, Some((key, id))) => {
            let bypass = bypass(random);
            let is_held = model.holds(&model.versions[&(key.clone(), id.clone())], bypass);
            let outcome = remove(world, &key, &id, bypass).await;
            if is_held {
                assert!(matches!(outcome, Err(MetadataError::Locked)), "{outcome:?}");
                let version = world.exact(bucket, &key, &id).await.unwrap();
                assert_eq!(world.slices(&version).await.len(), 1);
            } else {
                outcome.unwrap();
                model.versions.remove(&(key, id));
            }
        }
    }
}

async fn all_is_there(world: &World, bucket: &Bucket, model: &Model) {
    for ((key, id), state) in &model.versions {
        let version = world.exact(bucket, key, id).await.unwrap();
        assert_eq!(version.lock, VersionLock::Known(*state), "{key} {id:?}");
    }
}
