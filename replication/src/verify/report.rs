//! What a verification says: what breaks which invariant, what is only thin, and what it could not
//! look at.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How closely it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// The metadata's rows, and which fragments the drives list: no fragment is opened.
    Quick,
    /// And the header of every fragment.
    #[default]
    Headers,
    /// And every block of every fragment, and the hash of every object.
    Deep,
}

impl Depth {
    /// Its name, as people and programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Headers => "headers",
            Self::Deep => "deep",
        }
    }
}

/// What must hold, by the numbers of `docs/faults.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Invariant {
    /// What was acknowledged has enough whole fragments to be read.
    I1,
    /// An object's bytes hash to what was stored with it.
    I2,
    /// What was declared to have failed changed nothing.
    I5,
    /// No fragment without a row that knows of it, no row without its fragments.
    I6,
    /// A fragment lies on one drive, and no two of a blob on the same.
    I7,
    /// A fragment is the one that its place says.
    I8,
    /// The change log says what the versions are.
    I12,
    /// What is locked is there.
    I17,
    /// No tenant's rows lead to another's.
    I19,
    /// Queues and buffers keep to their limits.
    I21,
    /// The metadata's rows agree with one another.
    Rows,
}

impl Invariant {
    /// All that a verification looks at.
    pub const ALL: [Self; 11] = [
        Self::I1,
        Self::I2,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I12,
        Self::I17,
        Self::I19,
        Self::I21,
        Self::Rows,
    ];

    /// What it is, in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::I1 => "enough whole fragments",
            Self::I2 => "bytes as they were stored",
            Self::I5 => "what failed changed nothing",
            Self::I6 => "no fragment without a row, no row without fragments",
            Self::I7 => "each fragment on one drive",
            Self::I8 => "each fragment in its place",
            Self::I12 => "the change log tells all changes",
            Self::I17 => "what is locked is there",
            Self::I19 => "tenants are apart",
            Self::I21 => "limits are kept",
            Self::Rows => "rows agree",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I5 => "I5",
            Self::I6 => "I6",
            Self::I7 => "I7",
            Self::I8 => "I8",
            Self::I12 => "I12",
            Self::I17 => "I17",
            Self::I19 => "I19",
            Self::I21 => "I21",
            Self::Rows => "rows",
        })
    }
}

/// An object version, or a part of an upload, that a finding concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concerned {
    /// Its bucket.
    pub bucket: String,
    /// Its key; bytes that are no text are shown as U+FFFD.
    pub key: String,
    /// The version's id; absent for a part of an upload that is not completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it breaks.
    pub invariant: Invariant,
    /// What is wrong, in words for an operator.
    pub what: String,
    /// Whom it concerns: a few of them, where there are more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Concerned>,
    /// The blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// The drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<String>,
    /// The fragment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment: Option<String>,
}

/// Findings: all counted, and the first of each invariant kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// How many, by invariant.
    pub count: BTreeMap<Invariant, u64>,
    /// The first ones of each invariant.
    pub first: Vec<Finding>,
}

/// How many findings of one invariant are kept: who has more has one cause for many.
pub const KEPT: u64 = 200;

impl Findings {
    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.count.values().sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.is_empty()
    }

    /// Whether another one of this invariant would be kept, and so is worth the work of naming
    /// whom it concerns.
    pub(super) fn has_room(&self, invariant: Invariant) -> bool {
        self.count.get(&invariant).copied().unwrap_or(0) < KEPT
    }

    pub(super) fn add(&mut self, finding: Finding) {
        let count = self.count.entry(finding.invariant).or_default();
        *count += 1;
        if *count <= KEPT {
            self.first.push(finding);
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Looked {
    /// Versions and markers.
    pub versions: u64,
    /// Blobs in any state.
    pub blobs: u64,
    /// Fragments that placements name.
    pub fragments: u64,
    /// Fragments that placements do not name.
    pub unplaced_fragments: u64,
    /// Of these, those that are known: removed, or just being written or moved.
    pub known_unplaced: u64,
    /// Of these, those that are too young to be judged.
    pub young_unplaced: u64,
    /// Of these, those that wait for a restored metadata to be reconciled: most are of objects that
    /// are newer than its backup.
    #[serde(default)]
    pub unreconciled: u64,
    /// Rows of the change log.
    pub changes: u64,
    /// Objects whose bytes were hashed.
    pub hashed: u64,
    /// Bytes that were hashed.
    pub hashed_bytes: u64,
    /// Objects whose bytes are encrypted by a key that is not at hand: not hashed.
    pub encrypted: u64,
    /// Objects with neither an MD5 nor a checksum to compare with.
    pub unhashable: u64,
}

/// A drive as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveFound {
    /// The drive.
    pub drive: String,
    /// Where it is.
    pub path: String,
    /// Whether it could be read.
    pub readable: bool,
    /// Why not.
    pub reason: String,
}

/// What was not looked at, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// Which invariant.
    pub invariant: Invariant,
    /// Why.
    pub why: String,
}

/// The result of a whole verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How closely it was looked.
    pub depth: Depth,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// What was looked at.
    pub looked: Looked,
    /// The drives.
    pub drives: Vec<DriveFound>,
    /// What breaks an invariant.
    pub broken: Findings,
    /// What has less redundancy than it should, and can be read.
    pub degraded: Findings,
    /// What was not looked at.
    pub not_checked: Vec<NotChecked>,
}

impl Report {
    pub(super) fn new(depth: Depth, began_ms: u64) -> Self {
        Self {
            depth,
            began_ms,
            ended_ms: began_ms,
            looked: Looked::default(),
            drives: Vec::new(),
            broken: Findings::default(),
            degraded: Findings::default(),
            not_checked: Vec::new(),
        }
    }

    pub(super) fn skip(&mut self, invariant: Invariant, why: &str) {
        self.not_checked.push(NotChecked {
            invariant,
            why: why.to_owned(),
        });
    }

    /// Whether nothing is broken. Thin redundancy is not broken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    /// Whether nothing is broken and nothing is thin either.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_clean() && self.degraded.is_empty()
    }
}
