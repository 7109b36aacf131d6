//! `policy check`: what a policy is worth on the drives there are, in plain words.
//!
//! Which failures lose or block is asked of the code that places puts
//! ([`holdfast_erasure::what_if`]); how likely a loss is follows from a model
//! ([`holdfast_erasure::durability`]) that is printed with its inputs, because without them the
//! number means nothing.

use std::collections::BTreeMap;

use holdfast_erasure::durability::{DurabilityInputs, HOURS_PER_YEAR, RepairInputs, nines};
use holdfast_erasure::what_if::{Outcome, Unit, WhatIf, Writes};
use holdfast_metadata::model::Policy;
use holdfast_types::{Drive, DriveState, FailureDomain, Layout};

use super::Admin;
use super::view::{DurabilityInputsView, FailureView, LayoutCheckView, PolicyCheckView};

/// What an operator says instead of what is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct CheckInputs {
    pub(super) afr: Option<f64>,
    pub(super) repair_hours: Option<f64>,
    pub(super) scrub_days: Option<f64>,
    pub(super) rot_per_year: Option<f64>,
    pub(super) zone_loss_years: Option<f64>,
    pub(super) zone_rebuild_days: Option<f64>,
}

/// Twice what large fleets see (Backblaze: 1.57 % in 2024), because a small one can have a bad batch.
const AFR: f64 = 0.03;
/// One fragment in a thousand.
const ROT_PER_YEAR: f64 = 0.001;
/// The default scrub period.
const SCRUB_DAYS: f64 = 14.0;
/// Until a drive that went away is taken for lost: the default of `drive_gone_seconds`.
const DETECT_HOURS: f64 = 600.0 / 3600.0;
/// What one drive reads or writes beside its other work.
const HELPER_BYTES_PER_SECOND: f64 = 50e6;
const ZONE_LOSS_YEARS: f64 = 1000.0;
const ZONE_REBUILD_DAYS: f64 = 14.0;
const DAYS_PER_YEAR: f64 = 365.25;

impl Admin {
    pub(super) fn check_policy(&self, policy: &Policy, given: &CheckInputs) -> PolicyCheckView {
        let drives = self.surroundings.drives();
        let upkeep = self.surroundings.upkeep();
        let measured = upkeep.map_or(0, |upkeep| upkeep.repair().bytes_per_second);
        let assumed = Assumed::new(&drives, given, measured);
        let layouts = policy.layouts();
        let check = |layout: &Layout| {
            let what_if = WhatIf {
                drives: &drives,
                region: &self.facts.region,
                layout: *layout,
                protect: policy.protect,
                quorum: policy.quorum_for(*layout),
            };
            check(&what_if, used_for(policy, *layout), &assumed)
        };
        let online = |drive: &&Drive| drive.state == DriveState::Online;
        PolicyCheckView {
            policy: policy.name.clone(),
            generation: policy.generation,
            drives_online: drives.iter().filter(online).count(),
            drives: drives.len(),
            layouts: layouts.iter().map(check).collect(),
            inputs: assumed.view(),
            model: MODEL.iter().map(|line| (*line).to_owned()).collect(),
        }
    }
}

/// What the durability follows from, here and now.
struct Assumed {
    afr: f64,
    rot_per_year: f64,
    scrub_days: f64,
    repair: Repair,
    zones: Option<Zones>,
}

enum Repair {
    Given {
        hours: f64,
    },
    Measured {
        hours: f64,
        bytes_per_second: f64,
        drive_bytes: f64,
    },
    Estimated(RepairInputs),
}

#[derive(Clone, Copy)]
struct Zones {
    count: u32,
    loss_years: f64,
    rebuild_days: f64,
}

impl Assumed {
    fn new(drives: &[Drive], given: &CheckInputs, measured: u64) -> Self {
        let largest = drives.iter().map(|drive| drive.capacity_bytes).max();
        let drive_bytes = largest.unwrap_or(0) as f64;
        let online = drives
            .iter()
            .filter(|drive| drive.state == DriveState::Online);
        let repair = match (given.repair_hours, measured) {
            (Some(hours), _) => Repair::Given { hours },
            (None, 1..) => Repair::Measured {
                hours: DETECT_HOURS + drive_bytes / measured as f64 / 3600.0,
                bytes_per_second: measured as f64,
                drive_bytes,
            },
            (None, 0) => Repair::Estimated(RepairInputs {
                detect_hours: DETECT_HOURS,
                drive_bytes,
                helpers: online.count().saturating_sub(1).max(1) as f64,
                helper_bytes_per_second: HELPER_BYTES_PER_SECOND,
            }),
        };
        let mut zones: Vec<&str> = drives.iter().map(|drive| drive.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        Self {
            afr: given.afr.unwrap_or(AFR),
            rot_per_year: given.rot_per_year.unwrap_or(ROT_PER_YEAR),
            scrub_days: given.scrub_days.unwrap_or(SCRUB_DAYS),
            repair,
            zones: (zones.len() > 1).then(|| Zones {
                count: u32::try_from(zones.len()).unwrap_or(u32::MAX),
                loss_years: given.zone_loss_years.unwrap_or(ZONE_LOSS_YEARS),
                rebuild_days: given.zone_rebuild_days.unwrap_or(ZONE_REBUILD_DAYS),
            }),
        }
    }

    fn repair_hours(&self, layout: Layout) -> f64 {
        match &self.repair {
            Repair::Given { hours } | Repair::Measured { hours, .. } => *hours,
            Repair::Estimated(inputs) => inputs.hours(layout.k()),
        }
    }

    fn of(&self, layout: Layout) -> DurabilityInputs {
        DurabilityInputs {
            k: layout.k(),
            m: layout.m(),
            failures_per_year: DurabilityInputs::rate_of_afr(self.afr),
            rot_per_year: self.rot_per_year,
            repair_years: self.repair_hours(layout) / HOURS_PER_YEAR,
            scrub_years: self.scrub_days / DAYS_PER_YEAR,
        }
    }

    fn view(&self) -> DurabilityInputsView {
        let repair = match &self.repair {
            Repair::Given { hours } => format!("{hours} hours, as given"),
            Repair::Measured {
                bytes_per_second,
                drive_bytes,
                ..
            } => format!(
                "a full drive of {:.1} GB at the {:.1} MB/s that the repair was measured at, and \
                 ten minutes to notice",
                drive_bytes / 1e9,
                bytes_per_second / 1e6
            ),
            Repair::Estimated(inputs) => format!(
                "a full drive of {:.1} GB, read and written by {} others at {} MB/s each, and ten \
                 minutes to notice",
                inputs.drive_bytes / 1e9,
                inputs.helpers,
                inputs.helper_bytes_per_second / 1e6
            ),
        };
        DurabilityInputsView {
            afr: self.afr,
            rot_per_year: self.rot_per_year,
            scrub_days: self.scrub_days,
            repair,
            zone_loss_years: self.zones.map(|zones| zones.loss_years),
            zone_rebuild_days: self.zones.map(|zones| zones.rebuild_days),
        }
    }
}

fn check(what_if: &WhatIf<'_>, used_for: String, assumed: &Assumed) -> LayoutCheckView {
    let layout = what_if.layout;
    let inputs = assumed.of(layout);
    let losses = inputs.losses_per_year();
    let with_zones = assumed.zones.map(|zones| {
        let per_year = 1.0 / zones.loss_years;
        let rebuild = zones.rebuild_days / DAYS_PER_YEAR;
        losses + inputs.zone_losses_per_year(zones.count, per_year, rebuild)
    });
    let mut failures = vec![nothing_fails(&what_if.now())];
    failures.extend(grouped(&what_if.failures()));
    LayoutCheckView {
        layout: layout.to_string(),
        used_for,
        overhead: f64::from(layout.width()) / f64::from(layout.k()),
        write_quorum: layout.k() + what_if.spares_at_acknowledgement(),
        width: layout.width(),
        failures,
        repair_hours: assumed.repair_hours(layout),
        losses_per_year: losses,
        nines: nines(losses),
        nines_by_chain: nines(inputs.losses_per_year_by_chain()),
        nines_with_zone_losses: with_zones.map(nines),
    }
}

/// Which objects a layout is for.
fn used_for(policy: &Policy, layout: Layout) -> String {
    let mut uses = Vec::new();
    if layout == policy.rule.layout {
        uses.push("objects that no rule is for".to_owned());
    }
    let below = policy.rule.copies_up_to_bytes + 1;
    if below > 1 && layout == policy.rule.layout_for(1) && layout != policy.rule.layout {
        uses.push(format!("objects below {below} bytes"));
    }
    for rule in &policy.rules {
        let mut for_rule = match rule.prefix.as_str() {
            "" => "objects".to_owned(),
            prefix => format!("objects whose keys begin with `{prefix}`"),
        };
        if rule.at_least_bytes > 0 {
            for_rule += &format!(" from {} bytes", rule.at_least_bytes);
        }
        if let Some(below) = rule.below_bytes {
            for_rule += &format!(" below {below} bytes");
        }
        if rule.layout == layout {
            uses.push(for_rule);
        } else if layout
            == (Layout::Copies {
                n: rule.layout.m() + 1,
            })
        {
            uses.push(format!("the small ones of {for_rule}"));
        }
    }
    uses.join("; ")
}

fn nothing_fails(now: &Outcome) -> FailureView {
    let reads = if now.loses {
        format!(
            "; up to {} fragments of an object are on drives that are away: SUCH OBJECTS CAN'T BE \
             READ",
            now.fragments
        )
    } else {
        String::new()
    };
    let words = match now.writes {
        Writes::Whole => "as the drives are now: every write is whole",
        Writes::Owing => {
            "as the drives are now: writes are accepted with fragments missing, because there are \
             too few drives for all"
        }
        Writes::Blocked => "as the drives are now: WRITES ARE REFUSED, there are too few drives",
    };
    FailureView {
        what: "nothing".to_owned(),
        fragments: now.fragments,
        loses: now.loses,
        writes: writes_text(now.writes).to_owned(),
        words: format!("{words}{reads}"),
    }
}

/// One line for each kind of failure if all of that kind do the same; else one for each that does
/// harm, and one for the others.
fn grouped(outcomes: &[Outcome]) -> Vec<FailureView> {
    let mut kinds: BTreeMap<(usize, Vec<FailureDomain>), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        let mut kind: Vec<_> = outcome.failed.iter().map(|unit| unit.kind).collect();
        kind.sort_unstable();
        kinds.entry((kind.len(), kind)).or_default().push(outcome);
    }
    let mut lines = Vec::new();
    for ((_, kind), outcomes) in kinds {
        let mut effects: BTreeMap<(bool, Writes), Vec<&Outcome>> = BTreeMap::new();
        for outcome in outcomes {
            effects
                .entry((outcome.loses, outcome.writes))
                .or_default()
                .push(outcome);
        }
        let is_mixed = effects.len() > 1;
        for ((loses, writes), alike) in effects {
            let what = if is_mixed {
                some(&kind, &alike)
            } else {
                any(&kind).to_owned()
            };
            let fragments = alike.iter().map(|outcome| outcome.fragments).max();
            let fragments = fragments.unwrap_or(0);
            lines.push(FailureView {
                words: words(&what, fragments, loses, writes),
                what,
                fragments,
                loses,
                writes: writes_text(writes).to_owned(),
            });
        }
    }
    lines
}

fn any(kind: &[FailureDomain]) -> &'static str {
    use FailureDomain::{Drive, Node, Zone};
    match kind {
        [Drive] => "any one drive",
        [Node] => "any one node",
        [Zone] => "any one zone",
        [Drive, Drive] => "any two drives",
        [Drive, Node] => "any node and any drive of another",
        [Drive, Zone] => "any zone and any drive of another",
        [Node, Node] => "any two nodes",
        [Node, Zone] => "any zone and any node of another",
        [Zone, Zone] => "any two zones",
        _ => "nothing",
    }
}

/// Names that a line lists before it says "and others".
const NAMED: usize = 3;

fn some(kind: &[FailureDomain], alike: &[&Outcome]) -> String {
    let name = |outcome: &&Outcome| {
        let names: Vec<_> = outcome.failed.iter().map(Unit::to_string).collect();
        names.join(" with ")
    };
    let mut names: Vec<_> = alike.iter().take(NAMED).map(name).collect();
    if alike.len() > NAMED {
        names.push(format!("{} others", alike.len() - NAMED));
    }
    format!("some of {} ({})", any(kind), names.join(", "))
}

fn words(what: &str, fragments: usize, loses: bool, writes: Writes) -> String {
    let reads = if loses {
        format!(
            "takes up to {fragments} fragments of an object: such objects can't be read while it is \
             away, and are LOST if it never comes back"
        )
    } else {
        "loses nothing, and reads go on".to_owned()
    };
    let writes = match writes {
        Writes::Whole => "writes go on",
        Writes::Owing => "writes go on, with fragments owed until there are drives for them",
        Writes::Blocked => "writes are refused until it is back or replaced",
    };
    format!("{what}: {reads}; {writes}")
}

const fn writes_text(writes: Writes) -> &'static str {
    match writes {
        Writes::Whole => "whole",
        Writes::Owing => "owing",
        Writes::Blocked => "blocked",
    }
}

const MODEL: [&str; 6] = [
    "losses of a given object a year = n * C(n-1, m) * (L + R) * q^m, with n = k + m fragments, \
     L = -ln(1 - AFR) drive failures a year, R = fragments that rot a year, \
     q = L*T + R*(S/2 + T), T = repair time and S = scrub period in years; nines = -log10 of it",
    "the chain is the exact answer of the same model (fragments go at (n-i)*(L+R) and come back at \
     i/T'), of which the formula is the first term",
    "it takes failures for independent, and drives for full; drives of one batch, one controller or \
     one power supply are not",
    "it leaves out software, people and fire, which lose more data than all of this: keep versions, \
     and a copy elsewhere",
    "zones: + Z*z*P(more than m - ceil(n/Z) further fragments go during the rebuild) + \
     Z*(Z-1)*z^2*Tz, with z losses of a zone a year; the rates are assumptions",
    "a write is acknowledged when its write quorum is durable: until what is owed is made anew, \
     seconds to minutes later, that many fragments less k may be lost, not m",
];

#[cfg(test)]
mod tests;
