//! Where a drive's scrub is, in a small file on the drive itself, so that it goes on after a restart
//! and goes with the drive to another machine. Text, so that an operator can read it.
//!
//! Files are never rewritten: each note is a new `scrub/<number>`, staged, synced and renamed like
//! every file; the older ones are then removed. After a crash the newest that verifies holds. A
//! note that is lost costs a cycle that begins anew, never a fragment.

use std::io;
use std::sync::Arc;

use holdfast_types::{DriveId, FragmentId};

use crate::checksum;
use crate::failure::{Context, Failure, Op};
use crate::staged::{PublishError, Staged, Tree};

/// Where the notes are.
const FOLDER: &str = "scrub";
const MAGIC: &str = "holdfast-scrub";
const VERSION: u32 = 1;
/// A note has at most 2 x [`MAX_MARKS`] marks of under 120 bytes, and a few lines more.
const MAX_LEN: usize = 32 << 10;
/// Marks of a cycle: how finely "last verified" is known.
pub(crate) const MAX_MARKS: usize = 64;

/// At this time all fragments up to this one had been verified in the cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at_ms: u64,
    pub(crate) up_to: FragmentId,
}

/// A walk over a drive, from the first fragment to the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pass {
    pub(crate) began_ms: u64,
    pub(crate) marks: Vec<Mark>,
}

/// Where a drive's scrub is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    /// Whole cycles that were done before this one.
    pub(crate) cycles: u64,
    /// The cycle before, if there was one.
    pub(crate) before: Option<Pass>,
    /// This cycle.
    pub(crate) now: Pass,
    /// All up to this one is verified; `None`: nothing yet.
    pub(crate) after: Option<FragmentId>,
    /// Whether all of this cycle is done.
    pub(crate) is_done: bool,
    /// Fragments that were verified in this cycle, and their bytes.
    pub(crate) verified: u64,
    /// See `verified`.
    pub(crate) bytes: u64,
    /// Fragments of this cycle that were missing or corrupt.
    pub(crate) bad: u64,
}

/// What lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    /// The newest note that verifies.
    pub(crate) cursor: Option<Cursor>,
    /// The highest number of any file there.
    highest: u64,
    /// Ours, to be removed when there is a newer one.
    ours: Vec<u64>,
}

fn name(number: u64) -> String {
    format!("{number:016x}")
}

/// Reads the newest note.
pub(crate) fn load(tree: &Tree, drive: DriveId) -> Result<Stored, Failure> {
    let mut stored = Stored::default();
    let names = match tree.volume.list(FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stored),
        other => other.during(Op::List, FOLDER)?,
    };
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|text| {
            let number = u64::from_str_radix(text, 16).ok()?;
            (name(number) == *text).then_some(number)
        })
        .collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    stored.highest = numbers.first().copied().unwrap_or(0);
    for number in numbers {
        let path = format!("{FOLDER}/{}", name(number));
        let file = tree.volume.open(&path).during(Op::Open, &path)?;
        let mut bytes = vec![0; MAX_LEN + 1];
        let count = file.read_at(&mut bytes, 0).during(Op::Read, &path)?;
        bytes.truncate(count);
        match decode(&bytes, drive) {
            Ok(cursor) => {
                stored.ours.push(number);
                stored.cursor = stored.cursor.or(Some(cursor));
            }
            // Nothing is removed because it is newer.
            Err(Bad::Newer) => {}
            Err(Bad::Damaged) => stored.ours.push(number),
        }
    }
    Ok(stored)
}

/// Writes a note and removes the older ones.
pub(crate) fn save(
    tree: &Arc<Tree>,
    drive: DriveId,
    cursor: Cursor,
    stored: &mut Stored,
) -> Result<(), Failure> {
    tree.ensure_folder(FOLDER)?;
    let number = stored.highest + 1;
    let staged = Staged::create(tree, FOLDER)?;
    staged.write(encode(&cursor, drive).as_bytes(), 0)?;
    match staged.publish(FOLDER, &name(number)) {
        Ok(_) => {}
        Err(PublishError::Failed(failure)) => return Err(failure),
        Err(PublishError::Exists) => {
            // Somebody put a file there: the next note takes the number after it.
            stored.highest = number;
            return Ok(());
        }
    }
    // A removal that a crash undoes is made up for by the next note.
    for older in std::mem::take(&mut stored.ours) {
        let path = format!("{FOLDER}/{}", name(older));
        match tree.volume.unlink(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.during(Op::Unlink, &path)?,
        }
    }
    stored.highest = number;
    stored.ours.push(number);
    stored.cursor = Some(cursor);
    Ok(())
}

fn encode(cursor: &Cursor, drive: DriveId) -> String {
    let mut body = format!("{MAGIC}\nversion {VERSION}\ndrive {drive}\n");
    let mut line = |text: String| {
        body.push_str(&text);
        body.push('\n');
    };
    line(format!("cycles {}", cursor.cycles));
    match &cursor.before {
        Some(before) => line(format!("before {}", before.began_ms)),
        None => line("before -".to_owned()),
    }
    line(format!("began {}", cursor.now.began_ms));
    line(format!("done {}", u8::from(cursor.is_done)));
    match &cursor.after {
        Some(after) => line(format!("after {after}")),
        None => line("after -".to_owned()),
    }
    line(format!("verified {}", cursor.verified));
    line(format!("bytes {}", cursor.bytes));
    line(format!("bad {}", cursor.bad));
    for mark in cursor.before.iter().flat_map(|before| &before.marks) {
        line(format!("mark before {} {}", mark.at_ms, mark.up_to));
    }
    for mark in &cursor.now.marks {
        line(format!("mark now {} {}", mark.at_ms, mark.up_to));
    }
    format!("{body}checksum {:016x}\n", checksum::of(body.as_bytes()))
}

#[derive(Debug, PartialEq, Eq)]
enum Bad {
    Newer,
    Damaged,
}

fn decode(bytes: &[u8], drive: DriveId) -> Result<Cursor, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|_| Bad::Damaged)?;
    let (body, sum) = text.rsplit_once("checksum ").ok_or(Bad::Damaged)?;
    if sum != format!("{:016x}\n", checksum::of(body.as_bytes())) {
        return Err(Bad::Damaged);
    }
    let mut lines = body.lines();
    if lines.next() != Some(MAGIC) {
        return Err(Bad::Damaged);
    }
    match number(&mut lines, "version ")? {
        version if version == u64::from(VERSION) => v1::decode(&mut lines, drive),
        version if version > u64::from(VERSION) => Err(Bad::Newer),
        _ => Err(Bad::Damaged),
    }
}

fn field<'t>(lines: &mut std::str::Lines<'t>, name: &str) -> Result<&'t str, Bad> {
    let line = lines.next().and_then(|line| line.strip_prefix(name));
    line.ok_or(Bad::Damaged)
}

fn number(lines: &mut std::str::Lines<'_>, name: &str) -> Result<u64, Bad> {
    field(lines, name)?.parse().map_err(|_| Bad::Damaged)
}

mod v1 {
    //! The first format: one field a line, then the marks.

    use holdfast_types::DriveId;

    use super::{Bad, Cursor, Mark, Pass, field, number};

    pub(super) fn decode(lines: &mut std::str::Lines<'_>, drive: DriveId) -> Result<Cursor, Bad> {
        if field(lines, "drive ")?.parse() != Ok(drive) {
            return Err(Bad::Damaged);
        }
        let mut cursor = Cursor {
            cycles: number(lines, "cycles ")?,
            ..Cursor::default()
        };
        let before = field(lines, "before ")?;
        if before != "-" {
            cursor.before = Some(Pass {
                began_ms: before.parse().map_err(|_| Bad::Damaged)?,
                marks: Vec::new(),
            });
        }
        cursor.now.began_ms = number(lines, "began ")?;
        cursor.is_done = number(lines, "done ")? == 1;
        let after = field(lines, "after ")?;
        if after != "-" {
            cursor.after = Some(after.parse().map_err(|_| Bad::Damaged)?);
        }
        cursor.verified = number(lines, "verified ")?;
        cursor.bytes = number(lines, "bytes ")?;
        cursor.bad = number(lines, "bad ")?;
        for line in lines {
            let (is_now, rest) = match line.strip_prefix("mark now ") {
                Some(rest) => (true, rest),
                None => (
                    false,
                    line.strip_prefix("mark before ").ok_or(Bad::Damaged)?,
                ),
            };
            let (at_ms, up_to) = rest.split_once(' ').ok_or(Bad::Damaged)?;
            let mark = Mark {
                at_ms: at_ms.parse().map_err(|_| Bad::Damaged)?,
                up_to: up_to.parse().map_err(|_| Bad::Damaged)?,
            };
            match (is_now, &mut cursor.before) {
                (true, _) => cursor.now.marks.push(mark),
                (false, Some(before)) => before.marks.push(mark),
                (false, None) => return Err(Bad::Damaged),
            }
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(number: u8) -> FragmentId {
        format!("{}.here.0.{number}", "0197c2f03b4a7c3d8e9f001122334455")
            .parse()
            .unwrap()
    }

    fn cursor() -> Cursor {
        let mark = |at_ms, number| Mark {
            at_ms,
            up_to: fragment(number),
        };
        Cursor {
            cycles: 3,
            before: Some(Pass {
                began_ms: 1000,
                marks: vec![mark(1100, 1), mark(1200, 2)],
            }),
            now: Pass {
                began_ms: 2000,
                marks: vec![mark(2100, 1)],
            },
            after: Some(fragment(1)),
            is_done: false,
            verified: 7,
            bytes: 900,
            bad: 1,
        }
    }

    fn drive() -> DriveId {
        DriveId::from_bytes([7; 16])
    }

    #[test]
    fn a_note_reads_back_as_it_was_written() {
        for cursor in [cursor(), Cursor::default()] {
            let text = encode(&cursor, drive());
            assert_eq!(decode(text.as_bytes(), drive()), Ok(cursor));
        }
    }

    #[test]
    fn version_1_is_frozen() {
        let body = "holdfast-scrub\nversion 1\ndrive 07070707070707070707070707070707\ncycles 3\n\
                    before 1000\nbegan 2000\ndone 0\n\
                    after 0197c2f03b4a7c3d8e9f001122334455.here.0.1\nverified 7\nbytes 900\nbad 1\n\
                    mark before 1100 0197c2f03b4a7c3d8e9f001122334455.here.0.1\n\
                    mark before 1200 0197c2f03b4a7c3d8e9f001122334455.here.0.2\n\
                    mark now 2100 0197c2f03b4a7c3d8e9f001122334455.here.0.1\n";
        let text = encode(&cursor(), drive());
        assert_eq!(text.rsplit_once("checksum ").unwrap().0, body);
    }

    #[test]
    fn a_damaged_newer_or_foreign_note_is_none() {
        let text = encode(&cursor(), drive());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes, drive()), Err(Bad::Damaged), "{at}");
            assert_eq!(decode(&bytes[..at], drive()), Err(Bad::Damaged), "{at}");
        }
        let stranger = DriveId::from_bytes([8; 16]);
        assert_eq!(decode(text.as_bytes(), stranger), Err(Bad::Damaged));
        let body = "holdfast-scrub\nversion 2\nwhatever\n";
        let newer = format!("{body}checksum {:016x}\n", checksum::of(body.as_bytes()));
        assert_eq!(decode(newer.as_bytes(), drive()), Err(Bad::Newer));
    }
}
