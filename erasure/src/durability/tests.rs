//! The formula against every figure that the design page prints, against the chain, and against
//! drives that are made to fail.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

const DAY: f64 = 1.0 / 365.25;
const HOUR: f64 = 1.0 / HOURS_PER_YEAR;

fn inputs(k: u8, m: u8, repair_years: f64) -> DurabilityInputs {
    DurabilityInputs {
        k,
        m,
        failures_per_year: DurabilityInputs::rate_of_afr(0.03),
        rot_per_year: 0.0,
        repair_years,
        scrub_years: 0.0,
    }
}

/// To one decimal, as it was printed.
fn printed(losses_per_year: f64) -> f64 {
    (nines(losses_per_year) * 10.0).round() / 10.0
}

#[test]
fn the_table_of_schemes() {
    for (k, m, expected) in [
        (4, 2, [10.7, 9.1, 7.9, 6.9, 6.2]),
        (6, 3, [15.2, 12.9, 11.1, 9.6, 8.5]),
        (8, 4, [19.8, 16.6, 14.2, 12.3, 10.9]),
        (10, 4, [19.4, 16.2, 13.8, 11.9, 10.5]),
        (16, 4, [18.5, 15.4, 12.9, 11.0, 9.6]),
    ] {
        let hours = [1.0, 6.0, 24.0, 72.0, 168.0];
        let found = hours.map(|hours| printed(inputs(k, m, hours * HOUR).losses_per_year()));
        assert_eq!(found, expected, "{k}+{m}");
        for hours in hours {
            let inputs = inputs(k, m, hours * HOUR);
            let ratio = inputs.losses_per_year() / inputs.losses_per_year_by_chain();
            assert!((1.0..1.05).contains(&ratio), "{k}+{m} {hours} h: {ratio}");
        }
    }
}

#[test]
fn the_longest_repair_for_eleven_nines() {
    for (k, m, hours) in [
        (4, 2, 0.7),
        (6, 3, 25.0),
        (8, 4, 155.0),
        (10, 4, 123.0),
        (16, 4, 74.0),
    ] {
        let at = |hours: f64| nines(inputs(k, m, hours * HOUR).losses_per_year_by_chain());
        // Printed to the hour (the first to a tenth): eleven nines lie within that.
        let step = if hours < 1.0 { 0.05 } else { 0.5 };
        assert!(at(hours - step) >= 11.0, "{k}+{m}: {}", at(hours - step));
        assert!(at(hours + step) <= 11.0, "{k}+{m}: {}", at(hours + step));
    }
}

#[test]
fn scrubbing_more_often_adds_nines() {
    for (days, expected) in [
        (7.0, 10.9),
        (14.0, 10.7),
        (30.0, 10.5),
        (90.0, 9.8),
        (365.0, 8.5),
    ] {
        let inputs = DurabilityInputs {
            rot_per_year: 0.001,
            scrub_years: days * DAY,
            ..inputs(6, 3, DAY)
        };
        assert_eq!(printed(inputs.losses_per_year()), expected, "{days} days");
    }
}

#[test]
fn zones_dominate() {
    // The page cuts these figures rather than rounding them.
    for (k, m, expected) in [(6, 3, 4.6), (8, 4, 4.5), (4, 2, 4.8), (5, 4, 6.5)] {
        let losses = inputs(k, m, DAY).zone_losses_per_year(3, 0.001, 14.0 * DAY);
        let found = (nines(losses) * 10.0).floor() / 10.0;
        assert_eq!(found, expected, "{k}+{m}");
    }
    // A zone that holds more than m fragments is the end of the blob.
    let losses = inputs(4, 1, DAY).zone_losses_per_year(3, 0.001, 14.0 * DAY);
    assert_eq!(nines(losses), nines(0.003));
    // Two zones of five hold four of ten fragments: 6+4 outlives both.
    let losses = inputs(6, 4, DAY).zone_losses_per_year(5, 0.001, 14.0 * DAY);
    assert!(nines(losses) > 8.0, "{}", nines(losses));
}

#[test]
fn two_regions_square_the_risk() {
    for (k, m, expected) in [(6, 3, 10.4), (5, 4, 14.1)] {
        let region = inputs(k, m, DAY).zone_losses_per_year(3, 0.001, 14.0 * DAY);
        let both = losses_of_two_regions(region, 14.0 * DAY);
        // The page has 10.4 and 14.2: it cut one and rounded the other.
        let found = (nines(both) * 10.0).floor() / 10.0;
        assert_eq!(found, expected, "{k}+{m}: {}", nines(both));
    }
}

#[test]
fn repair_gets_faster_with_helpers() {
    for (helpers, expected) in [(8.0, 97.0), (23.0, 34.0), (59.0, 13.0), (119.0, 6.5)] {
        let repair = RepairInputs {
            detect_hours: 0.0,
            drive_bytes: 20e12,
            helpers,
            helper_bytes_per_second: 50e6,
        };
        let hours = repair.hours(6);
        assert!((hours / expected - 1.0).abs() < 0.02, "{helpers}: {hours}");
    }
}

#[test]
fn backblazes_eleven_nines_are_ten_and_a_half_here() {
    let inputs = DurabilityInputs {
        failures_per_year: DurabilityInputs::rate_of_afr(0.00405),
        ..inputs(17, 3, 6.5 * DAY)
    };
    let losses = inputs.losses_per_year();
    assert!((losses / 2.9e-11 - 1.0).abs() < 0.03, "{losses}");
    assert_eq!(printed(losses), 10.5);
}

#[test]
fn the_checked_example_of_formula_and_chain() {
    let inputs = DurabilityInputs {
        failures_per_year: 1.0,
        ..inputs(4, 2, 5.0 * DAY)
    };
    let (formula, chain) = (inputs.losses_per_year(), inputs.losses_per_year_by_chain());
    assert!((formula - 1.12e-2).abs() < 0.01e-2, "{formula}");
    assert!((chain - 1.01e-2).abs() < 0.01e-2, "{chain}");
}

#[test]
fn without_parity_the_first_failure_is_the_loss() {
    let inputs = inputs(4, 0, DAY);
    assert_eq!(inputs.losses_per_year(), 4.0 * inputs.rate());
    let chain = inputs.losses_per_year_by_chain();
    assert!((chain / inputs.losses_per_year() - 1.0).abs() < 1e-9);
}

/// One blob after another whose fragments go and come back as the model says, until it is lost.
/// Gives losses a year.
fn simulated(inputs: &DurabilityInputs, losses: u32, seed: u64) -> f64 {
    let mut random = StdRng::seed_from_u64(seed);
    let n = f64::from(inputs.k) + f64::from(inputs.m);
    let (mut years, mut lost) = (0.0, 0);
    let mut gone = 0.0_f64;
    while lost < losses {
        let goes = (n - gone) * inputs.failures_per_year;
        let comes = gone / inputs.repair_years;
        let waited: f64 = random.random();
        years -= (1.0 - waited).ln() / (goes + comes);
        if random.random::<f64>() * (goes + comes) < goes {
            gone += 1.0;
            if gone > f64::from(inputs.m) {
                lost += 1;
                gone = 0.0;
            }
        } else {
            gone -= 1.0;
        }
    }
    f64::from(lost) / years
}

#[test]
fn drives_that_fail_at_random_lose_as_many_as_the_formula_says() {
    // Rates are inflated, because eleven nines can't be sampled: 30 to 100 failures a year for one.
    for (k, m, failures, repair, losses) in [
        (4, 2, 1.0, 5.0 * DAY, 3000),
        (4, 2, 3.0, 2.0 * DAY, 3000),
        (6, 3, 2.0, 3.0 * DAY, 1000),
        (1, 2, 3.0, 5.0 * DAY, 1500),
        (4, 0, 1.0, 5.0 * DAY, 3000),
    ] {
        let inputs = DurabilityInputs {
            failures_per_year: failures,
            ..inputs(k, m, repair)
        };
        let found = simulated(&inputs, losses, 42);
        let chain = inputs.losses_per_year_by_chain();
        // Four standard deviations of so many losses.
        let tolerance = 4.0 / f64::from(losses).sqrt();
        assert!(
            (found / chain - 1.0).abs() < tolerance,
            "{k}+{m}: {found} simulated, {chain} by the chain"
        );
        let formula = inputs.losses_per_year();
        assert!(
            (found / formula - 1.0).abs() < 0.35,
            "{k}+{m}: {found} simulated, {formula} by the formula"
        );
    }
}
