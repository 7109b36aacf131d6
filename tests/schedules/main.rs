//! Random fault schedules by seed, in one process: the real metadata, data path, drives' format and
//! workers over simulated disks that lose their power, rot, fill up, fail and change places.
//!
//! A schedule writes, copies, removes and reads objects while drives are pulled out, brought back
//! stale, wiped, swapped, damaged and filled, their syncs fail, the process is killed and the power
//! is cut, never with more than two drives' bytes in doubt at once. Then all is healed, the workers
//! run until redundancy is full, a deep verification must find nothing, and every object must have
//! the bytes that were last acknowledged. `HOLDFAST_FAULT_SEEDS` says how many seeds,
//! `HOLDFAST_FAULT_FIRST_SEED` the first; a seed that fails is printed, and kept below.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod run;
mod world;

use run::run;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn random_fault_schedules_lose_nothing() {
    let first = number("HOLDFAST_FAULT_FIRST_SEED", 1);
    let seeds = number("HOLDFAST_FAULT_SEEDS", 100);
    for seed in first..first + seeds {
        run(seed);
    }
    println!("seed {first} to {}: nothing lost", first + seeds - 1);
}
