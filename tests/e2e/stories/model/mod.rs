//! The reference model: seeded random sequences of S3 operations, compared step by step with a
//! store that is a few maps in memory.
//!
//! Buckets with object lock, quotas, default encryption and lifecycle rules are among them, with days
//! of one second. `operations` names every operation that works: each is a step.
//!
//! A failure prints its seed and the last operations; `HOLDFAST_MODEL_FIRST_SEED=seed
//! HOLDFAST_MODEL_SEEDS=1` repeats it. `tests/run soak --seeds N` runs as many as wanted.

mod buckets;
mod configurations;
mod copies;
mod edge;
mod expiry;
pub(crate) mod faults;
mod forms;
mod lifecycle;
mod lists;
mod locks;
mod multipart;
mod objects;
mod operations;
mod outcome;
mod quotas;
mod reference;
mod retention;
mod run;
mod wishes;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use run::{Plan, Run};

/// What CI runs: 8 seeds of 600 steps without faults, and 4 of 300 with, of which each fault takes
/// a while to be noticed and made good.
const SEEDS: u64 = 8;
const STEPS: u64 = 600;
const FAULT_STEPS: u64 = 300;

#[test]
fn the_store_answers_as_the_model_does() {
    let seeds = setting("SEEDS", SEEDS);
    let asked = run_seeds(1, seeds, false);
    if seeds * setting("STEPS", STEPS) >= SEEDS * STEPS {
        operations::assert_all_asked(&asked);
    }
}

#[test]
fn drive_faults_change_no_answer() {
    run_seeds(1001, setting("SEEDS", SEEDS).div_ceil(2), true);
}

/// Runs `count` seeds, two at a time: each has a server of its own. The operations that were asked
/// for.
fn run_seeds(first: u64, count: u64, with_faults: bool) -> BTreeSet<&'static str> {
    let first = setting("FIRST_SEED", first);
    let steps = if with_faults { FAULT_STEPS } else { STEPS };
    let steps = setting("STEPS", steps);
    let next = AtomicU64::new(first);
    let asked = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + count {
                        return;
                    }
                    let plan = Plan {
                        seed,
                        steps,
                        with_faults,
                    };
                    let names = Run::start(plan).finish();
                    asked.lock().unwrap().extend(names);
                    println!("seed {seed}: {steps} steps agree (faults: {with_faults})");
                }
            });
        }
    });
    asked.into_inner().unwrap()
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(format!("HOLDFAST_MODEL_{name}")) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}
