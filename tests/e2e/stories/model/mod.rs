//! The reference model: seeded random sequences of S3 operations, compared step by step with a
//! store that is a few maps in memory.
//!
//! A failure prints its seed and the last operations; `HOLDFAST_MODEL_FIRST_SEED=seed
//! HOLDFAST_MODEL_SEEDS=1` repeats it. `tests/run soak --seeds N` runs as many as wanted.

mod buckets;
mod edge;
pub(crate) mod faults;
mod lists;
mod multipart;
mod objects;
mod reference;
mod run;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use run::{Plan, Run};

/// What CI runs: 8 seeds of 600 steps without faults, 4 with.
const SEEDS: u64 = 8;
const STEPS: u64 = 600;

#[test]
fn the_store_answers_as_the_model_does() {
    run_seeds(1, setting("SEEDS", SEEDS), false);
}

#[test]
fn drive_faults_change_no_answer() {
    run_seeds(1001, setting("SEEDS", SEEDS).div_ceil(2), true);
}

/// Runs `count` seeds, two at a time: each has a server of its own.
fn run_seeds(first: u64, count: u64, with_faults: bool) {
    let first = setting("FIRST_SEED", first);
    let steps = setting("STEPS", STEPS);
    let next = AtomicU64::new(first);
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
                    Run::start(plan).finish();
                    println!("seed {seed}: {steps} steps agree (faults: {with_faults})");
                }
            });
        }
    });
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(format!("HOLDFAST_MODEL_{name}")) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}
