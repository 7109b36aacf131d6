//! Deliberately broken steps, to prove that the tests would notice.
//!
//! A test suite that cannot catch a missing fsync proves nothing. The places that matter ask
//! [`active`] whether they are to be skipped; `tests/mutants` builds with the `mutants` feature,
//! names one in `HOLDFAST_MUTANT`, and expects the suite to fail. Without the feature the answer
//! is a constant `false` and the question is compiled away.

/// A step that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A fragment file or segment is not synced before it is acknowledged.
    NoFileFsync,
    /// A fragment's folder is not synced after the rename.
    NoFolderFsync,
    /// A fragment is acknowledged before it is synced.
    AckBeforeFsync,
    /// A request is answered before its metadata commit.
    AckBeforeCommit,
    /// A group is committed and answered before the drives have it in their journal.
    AckBeforeJournal,
    /// A block is returned without comparing its checksum.
    SkipChecksum,
    /// A fragment or drive is used without comparing its identity.
    SkipIdentity,
    /// A range of an encrypted object is sent as it lies on the drives.
    SkipDecrypt,
    /// Parity is computed wrongly.
    WrongParity,
    /// A write is acknowledged when just enough fragments to read it are durable.
    AckAtK,
    /// A sync that failed is tried again, and believed.
    RetryFsync,
    /// A write replaces a null version without asking whether object lock holds it.
    SkipObjectLock,
    /// A file comes to its place by being copied there, as over two file systems.
    RenameAcross,
    /// A commit that did not happen, as far as can be found out, is answered as done.
    UnknownIsDone,
    /// A write takes effect before its condition is asked.
    EffectBefore412,
    /// An upload that was completed can be completed again.
    CompleteTwice,
    /// What no placement wanted when the page was read is deleted at once.
    DeleteByAbsence,
    /// An unknown blob's fragments are noted, and its id can still be published.
    SkipCondemn,
    /// A stray is deleted before its time: what a repair or a re-encode is just writing.
    IgnoreIntents,
    /// A repair takes in what a sweep of strays is just deleting.
    IgnoreDoom,
    /// A stray is deleted that may be the only copy of an owed fragment.
    IgnoreOwed,
    /// Things are destroyed while a restored metadata was not compared with the drives.
    IgnoreEpoch,
    /// Things are destroyed that a backup knows of.
    IgnoreBackups,
    /// A blob is swept before its grace is over.
    SweepEarly,
    /// A blob is swept that something refers to.
    SweepReferenced,
    /// A repair settles a fragment that was not written.
    SettleUnwritten,
    /// A rotten fragment is deleted before `k` others were read through.
    ReplaceUnread,
    /// A re-encode deletes the old generation before the new one is current.
    RemoveBeforeSwitch,
    /// A placement names a drive that was removed, and nothing is owed.
    RemovedUnowed,
    /// A webhook's place in the log is saved before the events are delivered.
    CursorFirst,
    /// The change log is read by its numbers, whoever has not ended yet.
    SequenceCursor,
    /// Lifecycle acts a day before its time.
    ExpireEarly,
}

impl Mutant {
    /// Its name in `HOLDFAST_MUTANT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoFileFsync => "no-file-fsync",
            Self::NoFolderFsync => "no-folder-fsync",
            Self::AckBeforeFsync => "ack-before-fsync",
            Self::AckBeforeCommit => "ack-before-commit",
            Self::AckBeforeJournal => "ack-before-journal",
            Self::SkipChecksum => "skip-checksum",
            Self::SkipIdentity => "skip-identity",
            Self::WrongParity => "wrong-parity",
            Self::AckAtK => "ack-at-k",
            Self::RetryFsync => "retry-fsync",
            Self::SkipObjectLock => "skip-object-lock",
            Self::SkipDecrypt => "skip-decrypt",
            Self::RenameAcross => "rename-across",
            Self::UnknownIsDone => "unknown-is-done",
            Self::EffectBefore412 => "effect-before-412",
            Self::CompleteTwice => "complete-twice",
            Self::DeleteByAbsence => "delete-by-absence",
            Self::SkipCondemn => "skip-condemn",
            Self::IgnoreIntents => "ignore-intents",
            Self::IgnoreDoom => "ignore-doom",
            Self::IgnoreOwed => "ignore-owed",
            Self::IgnoreEpoch => "ignore-epoch",
            Self::IgnoreBackups => "ignore-backups",
            Self::SweepEarly => "sweep-early",
            Self::SweepReferenced => "sweep-referenced",
            Self::SettleUnwritten => "settle-unwritten",
            Self::ReplaceUnread => "replace-unread",
            Self::RemoveBeforeSwitch => "remove-before-switch",
            Self::RemovedUnowed => "removed-unowed",
            Self::CursorFirst => "cursor-first",
            Self::SequenceCursor => "sequence-cursor",
            Self::ExpireEarly => "expire-early",
        }
    }
}

/// Whether `mutant` is switched on.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn active(_mutant: Mutant) -> bool {
    false
}

/// Whether `mutant` is switched on.
#[cfg(feature = "mutants")]
#[must_use]
pub fn active(mutant: Mutant) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("HOLDFAST_MUTANT").ok())
        .as_deref()
        == Some(mutant.name())
}
