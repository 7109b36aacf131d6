//! Mutated input for every parser that a client reaches: signatures in header and query, routes and
//! headers, documents, framed bodies, browser forms and their policies, preflights.
//!
//! Valid requests are bent, cut, spliced and stuffed with words that parsers trip over, by a random
//! number generator whose seed is told: a failure names target, seed and input, and comes again.
//! Beyond "no panic, soon done", each target knows what may never be accepted: an altered request
//! as signed, altered bytes as verified.
//!
//! `HOLDFAST_FUZZ_SECONDS` (20, for all targets together) and `HOLDFAST_FUZZ_SEED` (1) say how long
//! and where it begins. Coverage does not guide it, so that it needs no other compiler than the rest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod bodies;
mod documents;
mod forms;
mod heads;
mod lifecycle;
mod mutate;
mod origins;
mod signing;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use mutate::Mutator;

/// Targets that share the time.
const TARGETS: u32 = 11;
/// No input may take longer, on a busy machine and without optimisation.
const SLOWEST: Duration = Duration::from_secs(2);
const MAX_INPUT_LEN: usize = 64 << 10;

/// Feeds a target until its time is over. `accepted` counts input that parsed: were it 0, the
/// target would see nothing but its first check.
fn fuzz(name: &str, seeds: &[Vec<u8>], words: &[&str], mut target: impl FnMut(&[u8]) -> bool) {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = number("HOLDFAST_FUZZ_SEED", 1);
    let time = Duration::from_secs(number("HOLDFAST_FUZZ_SECONDS", 20)) / TARGETS;
    let mut mutator = Mutator::new(seed, seeds, words, MAX_INPUT_LEN);
    let began = Instant::now();
    let (mut inputs, mut accepted, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    for seed in seeds {
        assert!(
            target(seed),
            "{name}: a valid input: {}",
            seed.escape_ascii()
        );
    }
    while began.elapsed() < time {
        let input = mutator.input();
        let started = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(good) => accepted += u64::from(good),
            Err(panic) => {
                println!(
                    "{name}, seed {seed}, input {inputs}: {}",
                    input.escape_ascii()
                );
                resume_unwind(panic);
            }
        }
        let took = started.elapsed();
        assert!(
            took < SLOWEST,
            "{name}, seed {seed}, input {inputs} took {took:?}"
        );
        slowest = slowest.max(took);
        inputs += 1;
    }
    println!(
        "fuzz {name}: seed {seed}, {inputs} inputs, {accepted} accepted, 0 panics, slowest {slowest:?}"
    );
    assert!(accepted > 0, "{name}: of {inputs} inputs none was accepted");
}
