//! How likely a blob is to be lost: a formula, the exact chain behind it, and what repair takes.
//!
//! The model: each of a blob's `n = k + m` fragments is lost at the rate `λ` (its drive fails) or
//! rots at the rate `λc` (found by a scrub every `S`), independently of the others; each is made
//! anew within `T`. The blob is lost when more than `m` are gone at once. What the model leaves out
//! (drives of one batch, one power supply, software, people) loses more data than what is in it:
//! quote it with its inputs, and never as a promise.
//!
//! Sources: Backblaze, "Cloud Storage Durability" (2018), whose fixed windows give a factor `m + 1`
//! more than this continuous model; Angus, "On computing MTBF for a k-out-of-n:G repairable system"
//! (1988) for the chain; Ford et al., "Availability in Globally Distributed Storage Systems"
//! (2010) for why it is too kind.

/// Hours of a year.
pub const HOURS_PER_YEAR: f64 = 24.0 * 365.25;

/// What a blob's durability follows from. Rates are per year, times are in years.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DurabilityInputs {
    /// Fragments that give the blob back.
    pub k: u8,
    /// Fragments that may be lost.
    pub m: u8,
    /// `λ`: how often a given fragment's drive fails.
    pub failures_per_year: f64,
    /// `λc`: how often a given fragment rots without a word.
    pub rot_per_year: f64,
    /// `T`: from a drive's failure until its fragments are made anew.
    pub repair_years: f64,
    /// `S`: between two scrubs of a fragment.
    pub scrub_years: f64,
}

impl DurabilityInputs {
    /// A drive's failure rate from its annualised failure rate: of 100 drives at 0.03, 97 are left
    /// after a year.
    #[must_use]
    pub fn rate_of_afr(afr: f64) -> f64 {
        -(1.0 - afr).ln()
    }

    /// `q`: the share of the time that a fragment is not there, or is rotten and nobody knows.
    #[must_use]
    pub fn share_gone(&self) -> f64 {
        let unnoticed = self.scrub_years / 2.0 + self.repair_years;
        self.failures_per_year * self.repair_years + self.rot_per_year * unnoticed
    }

    /// The rate at which a fragment goes, one way or the other.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.failures_per_year + self.rot_per_year
    }

    /// How many of a blob are lost a year, by the formula: `n · C(n−1, m) · (λ + λc) · q^m`.
    ///
    /// The first term of the chain's answer in `q`: good while `q` is far below 1, and too high
    /// where it is not.
    #[must_use]
    pub fn losses_per_year(&self) -> f64 {
        let n = f64::from(self.k) + f64::from(self.m);
        n * choose(n - 1.0, self.m) * self.rate() * self.share_gone().powi(i32::from(self.m))
    }

    /// The same by the chain: fragments go at `(n − i)·(λ + λc)` while `i` are gone, and come back
    /// at `i / T'`, where `T' = q / (λ + λc)` is the mean time that one is gone.
    ///
    /// `MTTDL = Σ hᵢ` with `h₀ = 1/a₀`, `hᵢ = 1/aᵢ + (bᵢ/aᵢ)·hᵢ₋₁`: `hᵢ` is the mean time from `i`
    /// gone to `i + 1` gone.
    #[must_use]
    pub fn losses_per_year_by_chain(&self) -> f64 {
        let rate = self.rate();
        if rate <= 0.0 {
            return 0.0;
        }
        let gone_for = self.share_gone() / rate;
        let n = f64::from(self.k) + f64::from(self.m);
        let (mut step, mut until_loss) = (0.0, 0.0);
        for gone in 0..=self.m {
            let gone = f64::from(gone);
            let goes = (n - gone) * rate;
            let comes = if gone == 0.0 { 0.0 } else { gone / gone_for };
            step = 1.0 / goes + comes / goes * step;
            until_loss += step;
        }
        1.0 / until_loss
    }

    /// What the loss of whole zones adds: of `zones` that hold even shares, each destroyed
    /// `zone_losses_per_year` times a year and rebuilt within `rebuild_years`.
    ///
    /// `Z·λz·P(more than m − ⌈n/Z⌉ further fragments go while it is rebuilt) + Z·(Z−1)·λz²·Tz`; the
    /// second only where two zones hold more than `m` fragments, the first is all of `Z·λz` where
    /// one does.
    #[must_use]
    pub fn zone_losses_per_year(
        &self,
        zones: u32,
        zone_losses_per_year: f64,
        rebuild_years: f64,
    ) -> f64 {
        if zones < 2 {
            return zone_losses_per_year * f64::from(zones);
        }
        let (n, zone_count) = (u32::from(self.k) + u32::from(self.m), f64::from(zones));
        let in_zone = n.div_ceil(zones);
        let Some(spare) = u32::from(self.m).checked_sub(in_zone) else {
            return zone_count * zone_losses_per_year;
        };
        let unnoticed = self.scrub_years / 2.0 + rebuild_years;
        let goes = self.failures_per_year * rebuild_years + self.rot_per_year * unnoticed;
        let one = zone_count * zone_losses_per_year * more_than(spare, n - in_zone, goes.min(1.0));
        let two = zone_count * (zone_count - 1.0) * zone_losses_per_year.powi(2) * rebuild_years;
        if 2 * in_zone > u32::from(self.m) {
            one + two
        } else {
            one
        }
    }
}

/// Losses a year of a blob that two regions hold, each losing its own `losses_per_year` and
/// fetching it anew from the other within `refetch_years`.
#[must_use]
pub fn losses_of_two_regions(losses_per_year: f64, refetch_years: f64) -> f64 {
    2.0 * losses_per_year.powi(2) * refetch_years
}

/// A loss rate as nines: how unlikely a given blob is to be lost within a year. 11 nines: one in a
/// hundred thousand million.
#[must_use]
pub fn nines(losses_per_year: f64) -> f64 {
    -losses_per_year.log10()
}

/// How long a lost drive takes to repair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepairInputs {
    /// Until the loss is taken for one.
    pub detect_hours: f64,
    /// Bytes that were on it.
    pub drive_bytes: f64,
    /// How many drives take part in its repair.
    pub helpers: f64,
    /// What each of them moves, reads and writes together.
    pub helper_bytes_per_second: f64,
}

impl RepairInputs {
    /// `detect + bytes · (k + 1) / (helpers · rate)`: `k` fragments are read and one is written for
    /// each that was lost.
    #[must_use]
    pub fn hours(&self, k: u8) -> f64 {
        let moved = self.drive_bytes * (f64::from(k) + 1.0);
        let rate = self.helpers.max(1.0) * self.helper_bytes_per_second;
        self.detect_hours + moved / rate / 3600.0
    }
}

/// `C(n, r)` for small whole numbers.
fn choose(n: f64, r: u8) -> f64 {
    (0..r).fold(1.0, |product, at| {
        product * (n - f64::from(at)) / (f64::from(at) + 1.0)
    })
}

/// The probability that more than `spare` of `n` happen, each with probability `p`. Summed from the
/// small end, so that a tiny result is not the rest of something large.
fn more_than(spare: u32, n: u32, p: f64) -> f64 {
    (spare + 1..=n)
        .rev()
        .map(|count| {
            let r = u8::try_from(count).expect("a blob has at most 48 fragments");
            let others = i32::try_from(n - count).expect("a blob has at most 48 fragments");
            choose(f64::from(n), r) * p.powi(i32::from(r)) * (1.0 - p).powi(others)
        })
        .sum()
}

#[cfg(test)]
mod tests;
