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
