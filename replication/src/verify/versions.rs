//! What the rows of a version must agree on with one another.

use holdfast_metadata::audit::VersionAudit;
use holdfast_metadata::model::{Bypass, VersionLock};

use super::report::Invariant;

/// All that is wrong with a version's rows. They are of one snapshot.
pub(super) fn judge(version: &VersionAudit, now_ms: u64) -> Vec<(Invariant, String)> {
    let mut wrong = Vec::new();
    key(version, &mut wrong);
    bytes(version, &mut wrong);
    lock(version, now_ms, &mut wrong);
    if !version.is_logged {
        let sequence = version.at.sequence;
        let what = format!("the change log does not say that it appeared as {sequence}");
        wrong.push((Invariant::I12, what));
    }
    wrong
}

/// Whether the version may not go now, whoever asks.
pub(super) fn is_locked(version: &VersionAudit, now_ms: u64) -> bool {
    version.lock.is_locked(now_ms, Bypass::No)
}

/// What is locked must have its bytes.
fn lock(version: &VersionAudit, now_ms: u64, wrong: &mut Vec<(Invariant, String)>) {
    if version.lock == VersionLock::Unreadable {
        rows(
            wrong,
            "its lock can't be read: it counts as locked for ever",
        );
    }
    let has_bytes = version.slices.fills(version.size) && version.bad_slices == 0;
    if is_locked(version, now_ms) && !version.is_marker && !has_bytes {
        let what = "it is locked, and not all of its bytes are there".to_owned();
        wrong.push((Invariant::I17, what));
    }
}

fn rows(wrong: &mut Vec<(Invariant, String)>, what: impl Into<String>) {
    wrong.push((Invariant::Rows, what.into()));
}

/// Its place among the versions of its key.
fn key(version: &VersionAudit, wrong: &mut Vec<(Invariant, String)>) {
    let sequence = version.at.sequence;
    match &version.bucket {
        None => rows(wrong, "its bucket is not there"),
        Some((_, versioning)) if versioning == "unversioned" => {
            if version.version_id != "null" || version.has_newer {
                rows(
                    wrong,
                    "its bucket never kept versions, and it is an old or a named one",
                );
            }
        }
        Some(_) => {}
    }
    match version.head {
        None => rows(wrong, "its key has no head"),
        Some((last_sequence, last_modified_ms)) => {
            if sequence > last_sequence {
                rows(
                    wrong,
                    format!("its sequence {sequence} is above its key's last, {last_sequence}"),
                );
            }
            if version.last_modified_ms > last_modified_ms {
                rows(wrong, "it is newer than its key's Last-Modified");
            }
        }
    }
    match (version.is_current, version.has_newer) {
        (true, true) => rows(wrong, "it is marked as current and is not its key's newest"),
        (false, false) => rows(wrong, "it is its key's newest and is not marked as current"),
        _ => {}
    }
    if version
        .older_modified_ms
        .is_some_and(|older_ms| older_ms > version.last_modified_ms)
    {
        rows(wrong, "the version before it was modified after it");
    }
}

/// Its bytes and parts.
fn bytes(version: &VersionAudit, wrong: &mut Vec<(Invariant, String)>) {
    if version.is_marker {
        if version.size > 0 || version.slices.count > 0 || version.object_parts.count > 0 {
            rows(wrong, "it is a delete marker and has bytes");
        }
        return;
    }
    if !version.slices.fills(version.size) {
        rows(
            wrong,
            format!(
                "it is of {} bytes, and its {} slices are of {} with {} gaps",
                version.size, version.slices.count, version.slices.bytes, version.slices.gaps
            ),
        );
    }
    if version.bad_slices > 0 {
        wrong.push((
            Invariant::I6,
            format!(
                "{} of its slices lead to blobs that are not live or too short",
                version.bad_slices
            ),
        ));
    }
    match version.parts {
        None if version.object_parts.count > 0 => {
            rows(wrong, "it was written at once and has parts");
        }
        None => {}
        Some(parts)
            if version.object_parts.count != parts || !version.object_parts.fills(version.size) =>
        {
            rows(
                wrong,
                format!(
                    "it was completed from {parts} parts of {} bytes, and has {} of {} with {} \
                         gaps",
                    version.size,
                    version.object_parts.count,
                    version.object_parts.bytes,
                    version.object_parts.gaps
                ),
            );
        }
        Some(_) => {}
    }
}
