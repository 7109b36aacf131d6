//! The judgement of one blob: from its rows and from what the drives have, without asking anyone.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use holdfast_metadata::audit::{BlobAudit, NamedDrive, PlacementAudit};
use holdfast_metadata::model::DebtKind;
use holdfast_types::{DriveId, FragmentId, FragmentIndex, Generation, Layout};

use super::report::Invariant;

/// What was seen of a fragment where its placement wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is there, and right as far as it was looked at.
    Good,
    /// It is not there.
    Missing,
    /// It is there and is not right.
    Bad(String),
    /// Another fragment lies in its place.
    Another(FragmentId),
    /// Nobody knows: the drive can't be read.
    Unreadable(String),
}

/// A fragment of the newest placement, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) index: FragmentIndex,
    pub(super) drive: DriveId,
    pub(super) seen: Seen,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Broken,
    /// It can be read, and has less redundancy than it should.
    Degraded,
}

/// One thing that is wrong with a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) invariant: Invariant,
    pub(super) severity: Severity,
    pub(super) what: String,
    pub(super) drive: Option<DriveId>,
    pub(super) generation_index: Option<(Generation, FragmentIndex)>,
}

fn broken(invariant: Invariant, what: impl Into<String>) -> Judgement {
    Judgement {
        invariant,
        severity: Severity::Broken,
        what: what.into(),
        drive: None,
        generation_index: None,
    }
}

/// The placement that reads and repairs use: that of the highest generation, if the blob is live.
pub(super) fn current(blob: &BlobAudit) -> Option<(&PlacementAudit, Layout)> {
    let is_live = blob.state.as_deref() == Some("live");
    let newest = blob.placements.last().filter(|_| is_live)?;
    let layout = *newest.layout.as_ref().ok()?;
    let fits = newest.drives.len() == usize::from(layout.width());
    fits.then_some((newest, layout))
}

/// All that is wrong with a blob. `held` is what was seen of its current placement.
pub(super) fn judge(blob: &BlobAudit, held: &[Held]) -> Vec<Judgement> {
    let mut found = Vec::new();
    match blob.state.as_deref() {
        Some("live") => live(blob, held, &mut found),
        Some("dead") => dead(blob, &mut found),
        Some(state @ ("condemned" | "aborted"))
            if blob.is_referenced || !blob.placements.is_empty() =>
        {
            let how = if blob.is_referenced {
                "is referred to"
            } else {
                "has a placement"
            };
            let what = format!("the blob is {state}, so it never was published, and {how}");
            found.push(broken(Invariant::Rows, what));
        }
        Some("condemned" | "aborted") => {}
        Some(other) => found.push(broken(
            Invariant::Rows,
            format!("the blob's state is `{other}`"),
        )),
        None if !blob.placements.is_empty() => {
            found.push(broken(
                Invariant::Rows,
                "a placement of a blob that is not there",
            ));
        }
        None => {}
    }
    debts(blob, &mut found);
    found
}

fn live(blob: &BlobAudit, held: &[Held], found: &mut Vec<Judgement>) {
    if blob.is_denied {
        found.push(broken(
            Invariant::I5,
            "the write was declared to have never happened, and is there",
        ));
    }
    if !blob.is_referenced && !blob.is_garbage {
        found.push(broken(
            Invariant::Rows,
            "nothing refers to the blob, and no garbage row will ever remove it",
        ));
    }
    if blob.placements.is_empty() && blob.len > 0 {
        found.push(broken(Invariant::I6, "the blob is live and placed nowhere"));
    }
    for placement in &blob.placements {
        rows_of(placement, found);
    }
    if blob.len > 0
        && let Some((placement, layout)) = current(blob)
    {
        redundancy(blob, placement, layout, held, found);
    }
}

fn rows_of(placement: &PlacementAudit, found: &mut Vec<Judgement>) {
    let generation = placement.generation.0;
    match &placement.layout {
        Err(what) => {
            let what = format!("the placement of generation {generation}: {what}");
            found.push(broken(Invariant::Rows, what));
        }
        Ok(layout) if placement.drives.len() != usize::from(layout.width()) => {
            let what = format!(
                "the placement of generation {generation} names {} drives for the {} fragments of \
                 {layout}",
                placement.drives.len(),
                layout.width()
            );
            found.push(broken(Invariant::Rows, what));
        }
        Ok(_) => {}
    }
    let mut drives = BTreeSet::new();
    for named in &placement.drives {
        match named {
            NamedDrive::None => {}
            NamedDrive::Unknown(number) => {
                let what = format!(
                    "the placement of generation {generation} names drive number {number}, which \
                     no drive has"
                );
                found.push(broken(Invariant::Rows, what));
            }
            NamedDrive::Drive(drive) if drives.insert(*drive) => {}
            NamedDrive::Drive(drive) => found.push(Judgement {
                drive: Some(*drive),
                ..broken(
                    Invariant::I7,
                    format!("generation {generation} has two fragments on one drive"),
                )
            }),
        }
    }
}

fn redundancy(
    blob: &BlobAudit,
    placement: &PlacementAudit,
    layout: Layout,
    held: &[Held],
    found: &mut Vec<Judgement>,
) {
    let good = held.iter().filter(|held| held.seen == Seen::Good).count();
    for held in held {
        if let Seen::Another(other) = &held.seen {
            found.push(Judgement {
                drive: Some(held.drive),
                generation_index: Some((placement.generation, held.index)),
                ..broken(Invariant::I8, format!("fragment {other} lies in its place"))
            });
        }
    }
    if good >= usize::from(layout.width()) {
        return;
    }
    let mut what = format!(
        "{good} of {} fragments are whole, {} are needed",
        layout.width(),
        layout.k()
    );
    let unplaced = placement
        .drives
        .iter()
        .filter(|drive| drive.drive().is_none())
        .count();
    if unplaced > 0 {
        let _ = write!(what, "; {unplaced} were not written");
    }
    for held in held {
        let why = match &held.seen {
            Seen::Good => continue,
            Seen::Missing => "is missing".to_owned(),
            Seen::Bad(why) => format!("is bad ({why})"),
            Seen::Another(_) => "has another in its place".to_owned(),
            Seen::Unreadable(why) => format!("can't be read now ({why})"),
        };
        let noted = blob
            .debts
            .iter()
            .any(|debt| debt.generation == placement.generation && debt.index == held.index);
        let noted = if noted { "" } else { ", and no debt says so" };
        let (index, drive) = (held.index.0, held.drive);
        let _ = write!(what, "; fragment {index} on drive {drive} {why}{noted}");
    }
    let severity = if good < usize::from(layout.k()) {
        Severity::Broken
    } else {
        Severity::Degraded
    };
    found.push(Judgement {
        severity,
        ..broken(Invariant::I1, what)
    });
}

fn dead(blob: &BlobAudit, found: &mut Vec<Judgement>) {
    if blob.is_referenced {
        found.push(broken(
            Invariant::Rows,
            "the blob is dead, so its bytes are gone or going, and is referred to",
        ));
    }
    if !blob.placements.is_empty() && !blob.is_garbage {
        found.push(broken(
            Invariant::Rows,
            "the blob is dead, its fragments are not yet removed, and no garbage row will remove \
             them",
        ));
    }
}

fn debts(blob: &BlobAudit, found: &mut Vec<Judgement>) {
    for debt in &blob.debts {
        let placement = blob
            .placements
            .iter()
            .find(|placement| placement.generation == debt.generation);
        let is_of_something =
            placement.is_some_and(|placement| usize::from(debt.index.0) < placement.drives.len());
        if !is_of_something {
            let kind = match debt.kind {
                DebtKind::Unwritten => "an unwritten",
                DebtKind::Missing => "a missing",
                DebtKind::Corrupt => "a corrupt",
            };
            found.push(Judgement {
                drive: debt.drive.drive(),
                generation_index: Some((debt.generation, debt.index)),
                ..broken(
                    Invariant::Rows,
                    format!("a debt of {kind} fragment that no placement has"),
                )
            });
        }
    }
}

#[cfg(test)]
mod tests;
