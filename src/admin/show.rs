//! Answers as people read them.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};
use holdfast_gateway::admin::view::{
    BucketsView, DriveView, DrivesView, JournalView, KeysView, MasterKeyView, MasterKeysView,
    NewKeyView, ReadyView, RiskView, SpaceView, StatusView, WorkerView,
};
use holdfast_types::DriveState;

use crate::sign::civil;

/// `admin status`.
pub(super) fn status(view: &StatusView) -> String {
    let readiness = &view.readiness;
    let serves = match (readiness.reads, readiness.writes) {
        (true, true) => "reads and writes",
        (true, false) => "reads only",
        (false, _) => "nothing",
    };
    let mut table = plain();
    let mut row = |name: &str, value: String| {
        table.add_row([Cell::new(name), Cell::new(value)]);
    };
    row(
        "holdfast",
        format!("{}, up {}", view.version, duration(view.uptime_seconds)),
    );
    row(
        "cluster",
        format!(
            "{}, region {}, layout {}",
            view.cluster, view.region, view.layout
        ),
    );
    row("serves", serves.to_owned());
    row("drives", drive_counts(&view.drives));
    row("space", space(view.space));
    row("buckets", view.buckets.to_string());
    row(
        "objects",
        format!("{}, {}", view.objects.count, bytes(view.objects.bytes)),
    );
    row("open uploads", view.open_uploads.to_string());
    row("at risk", risk(view.at_risk.as_ref()));
    row(
        "debts",
        format!(
            "{} fragments of {} blobs",
            view.debts, view.blobs_with_debts
        ),
    );
    row(
        "garbage",
        format!(
            "{} blobs, {}",
            view.garbage.count,
            bytes(view.garbage.bytes)
        ),
    );
    if let Some(journal) = &view.journal {
        row("journal", journal_words(journal));
    }
    let mut text = format!("{table}\n");
    if let Some(since) = view.reconcile_pending_since_ms {
        line(
            &mut text,
            &format!(
                "! the metadata was restored on {}: nothing is destroyed until `holdfast admin \
                 metadata reconcile --confirm`",
                day(since)
            ),
        );
    }
    for reason in &readiness.reasons {
        line(&mut text, &format!("! {reason}"));
    }
    for worker in view
        .workers
        .iter()
        .filter(|worker| worker.last_error.is_some())
    {
        line(&mut text, &format!("! {}", failing(worker)));
    }
    for worker in view.workers.iter().filter(|one| one.state == "paused") {
        line(&mut text, &format!("! worker {} is paused", worker.name));
    }
    text.push('\n');
    text.push_str(&drive_table(&view.drives));
    text
}

fn journal_words(journal: &JournalView) -> String {
    format!(
        "{}, on {} of {} drives, term {}, {} since its last image",
        journal.state,
        journal.holders.len(),
        journal.holders_wanted,
        journal.term,
        bytes(journal.record_bytes)
    )
}

/// `admin ready`.
pub(super) fn ready(view: &ReadyView) -> String {
    let word = |yes: bool| if yes { "yes" } else { "no" };
    let mut text = format!(
        "reads {}, writes {}\n",
        word(view.readiness.reads),
        word(view.readiness.writes)
    );
    for reason in &view.readiness.reasons {
        line(&mut text, &format!("! {reason}"));
    }
    text
}

/// `admin drive list`.
pub(super) fn drives(view: &DrivesView) -> String {
    let table = drive_table(&view.drives);
    format!("{table}{}", super::upkeep::advice(&view.drives))
}

/// `admin bucket list`.
pub(super) fn buckets(view: &BucketsView) -> String {
    let mut table = headed(&[
        "BUCKET",
        "POLICY",
        "VERSIONING",
        "OBJECTS",
        "BYTES",
        "QUOTA",
        "RATE LIMIT",
        "CREATED",
    ]);
    for bucket in &view.buckets {
        table.add_row([
            Cell::new(&bucket.name),
            Cell::new(&bucket.policy),
            Cell::new(format!("{:?}", bucket.versioning).to_lowercase()),
            number(bucket.objects.count.to_string()),
            number(bytes(bucket.objects.bytes)),
            Cell::new(super::quota::short(&bucket.quota)),
            Cell::new(super::rate_limit::short(&bucket.rate_limit)),
            Cell::new(day(bucket.created_ms)),
        ]);
    }
    format!("{table}\n")
}

/// `admin key list`.
pub(super) fn keys(view: &KeysView) -> String {
    let mut table = headed(&[
        "ACCESS KEY",
        "STATE",
        "RATE LIMIT",
        "CREATED",
        "DESCRIPTION",
    ]);
    for key in &view.keys {
        let state = match (key.disabled, key.root) {
            (true, _) => "disabled",
            (false, true) => "root",
            (false, false) => "enabled",
        };
        table.add_row([
            key.access_key.clone(),
            state.to_owned(),
            super::rate_limit::short(&key.rate_limit),
            day(key.created_ms),
            key.description.clone(),
        ]);
    }
    format!("{table}\n")
}

/// `admin master-key list`.
pub(super) fn master_keys(view: &MasterKeysView) -> String {
    let mut table = headed(&["MASTER KEY", "STATE", "MADE", "WRAPS"]);
    for key in &view.keys {
        let more = if key.or_more { " or more" } else { "" };
        table.add_row([
            key.id.clone(),
            key.state.clone(),
            key.made_ms.map(day).unwrap_or_default(),
            format!("{}{more} blobs", key.blobs),
        ]);
    }
    format!("{table}\n")
}

/// `admin master-key rotate`.
pub(super) fn new_master_key(view: &MasterKeyView) -> String {
    format!(
        "master key {} wraps from now on; what older ones wrap is put under it in the background\n\
         Back up the file of the master keys now: without it, what is encrypted is lost.\n",
        view.id
    )
}

/// `admin key create`.
pub(super) fn new_key(view: &NewKeyView) -> String {
    format!(
        "access key  {}\nsecret key  {}\n\nThe secret is not shown again.\n",
        view.access_key, view.secret_key
    )
}

fn drive_table(drives: &[DriveView]) -> String {
    let mut table = headed(&["DRIVE", "STATE", "CAPACITY", "FREE", "PATH", "REASON"]);
    for drive in drives {
        table.add_row([
            Cell::new(&drive.id),
            Cell::new(drive.state),
            number(bytes(drive.capacity_bytes)),
            number(bytes(drive.free_bytes)),
            Cell::new(&drive.path),
            Cell::new(&drive.reason),
        ]);
    }
    format!("{table}\n")
}

fn drive_counts(drives: &[DriveView]) -> String {
    let counts: Vec<String> = DriveState::ALL
        .into_iter()
        .map(|state| {
            (
                state,
                drives.iter().filter(|drive| drive.state == state).count(),
            )
        })
        .filter(|(state, count)| *count > 0 || *state == DriveState::Online)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    format!("{} of {}", counts.join(", "), drives.len())
}

fn space(space: SpaceView) -> String {
    format!(
        "{} free of {}, before redundancy",
        bytes(space.free_bytes),
        bytes(space.capacity_bytes)
    )
}

fn risk(risk: Option<&RiskView>) -> String {
    let Some(risk) = risk else {
        return "being counted".to_owned();
    };
    let mut text = format!("{} of {} blobs", risk.at_risk, risk.blobs);
    if let Some(spares) = risk.fewest_spares.filter(|spares| *spares >= 0) {
        // Writing to a String does not fail.
        let _infallible = write!(text, ", the worst can lose {spares} more fragments");
    }
    if risk.unreadable > 0 {
        let _infallible = write!(text, "; {} can't be read now", risk.unreadable);
    }
    text
}

fn failing(worker: &WorkerView) -> String {
    let error = worker.last_error.as_deref().unwrap_or_default();
    format!("worker {} is {}: {error}", worker.name, worker.state)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

pub(super) fn headed(names: &[&str]) -> Table {
    let mut table = plain();
    table.set_header(names.to_vec());
    table
}

pub(super) fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Bytes in binary units, three digits or so.
pub(super) fn bytes(bytes: u64) -> String {
    let mut unit = 0;
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 100.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// The day of a time, in UTC.
fn day(ms: u64) -> String {
    let (year, month, day) = civil(ms / 86_400_000);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use holdfast_gateway::admin::Readiness;
    use holdfast_gateway::admin::view::CountView;

    use super::*;

    fn drive(number: u8, state: DriveState) -> DriveView {
        DriveView {
            id: format!("{number:032x}"),
            region: "us-east-1".to_owned(),
            zone: "local".to_owned(),
            node: "local".to_owned(),
            path: format!("/d/drives/{number:02}"),
            state,
            reason: match state {
                DriveState::Online => String::new(),
                _ => "the folder is not there".to_owned(),
            },
            capacity_bytes: 10 << 30,
            free_bytes: 5 << 30,
            draining: None,
        }
    }

    #[test]
    fn a_status_says_everything_that_matters() {
        let view = StatusView {
            version: "0.1.0".to_owned(),
            cluster: "c".to_owned(),
            region: "us-east-1".to_owned(),
            layout: "4+2".to_owned(),
            uptime_seconds: 3 * 86_400 + 7200,
            readiness: Readiness {
                reads: true,
                writes: false,
                reasons: vec!["writes need 5 drives online and 1 are".to_owned()],
            },
            drives: vec![drive(1, DriveState::Online), drive(2, DriveState::Missing)],
            space: SpaceView {
                capacity_bytes: 20 << 30,
                free_bytes: 10 << 30,
            },
            buckets: 3,
            objects: CountView {
                count: 12,
                bytes: 1536,
            },
            open_uploads: 4,
            at_risk: Some(RiskView {
                as_of_ms: 0,
                blobs: 12,
                at_risk: 5,
                unreadable: 0,
                fewest_spares: Some(1),
                by_spares: [(1, 5)].into(),
            }),
            blobs_with_debts: 2,
            debts: 3,
            garbage: CountView {
                count: 7,
                bytes: 5 << 20,
            },
            journal: Some(JournalView {
                state: "degraded".to_owned(),
                reason: "a drive is gone".to_owned(),
                holders: vec!["1".to_owned(), "2".to_owned()],
                holders_wanted: 3,
                term: 5,
                group: 9,
                record_bytes: 2048,
                image_bytes: 0,
                image_ms: None,
                not_whole_since_ms: Some(1),
            }),
            reconcile_pending_since_ms: Some(951_782_400_000),
            workers: vec![WorkerView {
                name: "sweep".to_owned(),
                subject: None,
                state: "failing".to_owned(),
                doing: String::new(),
                progress: None,
                pace_percent: 50,
                errors: 1,
                last_error: Some("metadata away".to_owned()),
                lease: None,
            }],
        };
        let text = status(&view);
        for part in [
            "degraded, on 2 of 3 drives, term 5, 2.00 KiB since its last image",
            "! the metadata was restored on 2000-02-29: nothing is destroyed until",
            "0.1.0, up 3 d 2 h",
            "reads only",
            "1 online, 1 missing of 2",
            "10.0 GiB free of 20.0 GiB",
            "12, 1.50 KiB",
            "5 of 12 blobs, the worst can lose 1 more fragments",
            "3 fragments of 2 blobs",
            "7 blobs, 5.00 MiB",
            "! writes need 5 drives online and 1 are",
            "! worker sweep is failing: metadata away",
            "/d/drives/02",
            "the folder is not there",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1 << 20), "1.00 MiB");
        assert_eq!(bytes(150 << 30), "150 GiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(3599), "59 min");
        assert_eq!(duration(3661), "1 h 1 min");
        assert_eq!(day(1_709_251_199_000), "2024-02-29");
    }
}
