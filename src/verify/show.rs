//! A verification in words.

use std::fmt::Write as _;

use holdfast_replication::verify::{Finding, Findings, Invariant, Report};

/// How far it is, in one line: the phase, how much of how much, the seconds left, and what was
/// found to be broken and thin.
pub(crate) fn progress(
    phase: &str,
    (done, total): (u64, u64),
    left_seconds: Option<u64>,
    (broken, degraded): (u64, u64),
) -> String {
    let mut line = phase.to_owned();
    if total > 0 {
        let percent = (done.min(total) as f64 / total as f64 * 100.0) as u64;
        let _ = write!(line, ": {percent} %");
    }
    if let Some(left) = left_seconds.filter(|left| *left > 0) {
        let left = match left {
            0..=119 => format!("{left} s"),
            120..=7199 => format!("{} min", left / 60),
            _ => format!("{} h", left / 3600),
        };
        let _ = write!(line, ", about {left} left");
    }
    if broken + degraded > 0 {
        let _ = write!(line, "; {broken} broken, {degraded} degraded so far");
    }
    line
}

/// The whole report.
pub(super) fn report(report: &Report) -> String {
    let looked = &report.looked;
    let mut text = format!(
        "looked at {} versions, {} blobs, {} fragments on {} drives ({})\n",
        looked.versions,
        looked.blobs,
        looked.fragments,
        report.drives.len(),
        report.depth.as_str()
    );
    if looked.hashed > 0 {
        let _ = writeln!(
            text,
            "hashed {} objects of {} bytes",
            looked.hashed, looked.hashed_bytes
        );
    }
    for (count, what) in [
        (
            looked.encrypted,
            "objects are encrypted, and were not hashed",
        ),
        (looked.unhashable, "objects have no hash to compare with"),
        (
            looked.known_unplaced,
            "fragments are to be removed or on their way, as rows say",
        ),
        (
            looked.young_unplaced,
            "fragments of no object are too young to be judged",
        ),
        (
            looked.unreconciled,
            "fragments are of nothing that the restored metadata knows, and are kept until \
             `reconcile --confirm`",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{count} {what}");
        }
    }
    for drive in report.drives.iter().filter(|drive| !drive.readable) {
        let _ = writeln!(
            text,
            "drive {} at {} can't be read: {}",
            drive.drive, drive.path, drive.reason
        );
    }
    findings(&mut text, "BROKEN", &report.broken);
    findings(&mut text, "degraded", &report.degraded);
    for skipped in &report.not_checked {
        let _ = writeln!(
            text,
            "not looked at: {} ({})",
            skipped.invariant, skipped.why
        );
    }
    let verdict = match (report.is_clean(), report.is_whole()) {
        (_, true) => "clean: nothing is broken, and redundancy is full",
        (true, _) => "clean: nothing is broken; what is degraded can be read, and repair is due",
        _ => "NOT clean",
    };
    let _ = writeln!(text, "{verdict}");
    text
}

fn findings(text: &mut String, word: &str, findings: &Findings) {
    for (invariant, count) in &findings.count {
        let _ = writeln!(
            text,
            "\n{word}: {invariant}, {}: {count} found",
            invariant.words()
        );
        for finding in of(findings, *invariant) {
            one(text, finding);
        }
        let told = of(findings, *invariant).count() as u64;
        if *count > told {
            let _ = writeln!(text, "  ... and {} more", count - told);
        }
    }
    if !findings.is_empty() {
        text.push('\n');
    }
}

fn of(findings: &Findings, invariant: Invariant) -> impl Iterator<Item = &Finding> {
    findings
        .first
        .iter()
        .filter(move |finding| finding.invariant == invariant)
}

fn one(text: &mut String, finding: &Finding) {
    let _ = writeln!(text, "  {}", finding.what);
    for object in &finding.objects {
        let version = match &object.version {
            Some(version) => format!("version {version}"),
            None => "a part of an open upload".to_owned(),
        };
        let _ = writeln!(text, "    {}/{} ({version})", object.bucket, object.key);
    }
    let ids = [
        ("blob", &finding.blob),
        ("fragment", &finding.fragment),
        ("drive", &finding.drive),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            let _ = writeln!(text, "    {name} {id}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_what_is_known() {
        assert_eq!(progress("versions", (0, 0), None, (0, 0)), "versions");
        assert_eq!(
            progress("versions", (50, 200), Some(300), (1, 2)),
            "versions: 25 %, about 5 min left; 1 broken, 2 degraded so far"
        );
    }
}
