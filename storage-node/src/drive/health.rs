//! A drive's state and what brings it about. A bad drive is a state with a name, never a panic.
//!
//! Several things can be wrong at once; the worst is shown. What a write or a sync error did lasts
//! until the process ends: after a failed sync nobody knows what is on the disk. Being full, or not
//! being there, ends when it ends.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_types::{DriveId, DriveState, StoreError};
use rustix::io::Errno;

use crate::counters::Counters;
use crate::failure::{Failure, Op};

/// What one read error adds to the count that makes a drive faulty, and what a good read takes
/// off: a single bad sector that is read again and again between good reads does not condemn a
/// drive, a drive that fails most reads does.
const READ_ERROR_WEIGHT: u32 = 16;
const READ_ERRORS_LIMIT: u32 = 16 * READ_ERROR_WEIGHT;

pub(crate) struct Health {
    drive: DriveId,
    now: Mutex<Wrong>,
}

#[derive(Default)]
struct Wrong {
    /// Not there, or not ours: until a refresh finds it.
    absent: Option<(DriveState, String)>,
    /// Reads fail: for good.
    failing: Option<String>,
    /// A write or sync failed: for good.
    broken: Option<String>,
    /// No room: until there is.
    full: Option<String>,
    read_errors: u32,
}

impl Health {
    /// A drive that was not looked at yet.
    pub(crate) fn new(drive: DriveId) -> Self {
        let absent = Some((DriveState::Missing, "not opened yet".to_owned()));
        Self {
            drive,
            now: Mutex::new(Wrong {
                absent,
                ..Wrong::default()
            }),
        }
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> (DriveState, String) {
        let wrong = self.wrong();
        if let Some(absent) = &wrong.absent {
            return absent.clone();
        }
        let reason = |text: &Option<String>, state| text.clone().map(|text| (state, text));
        reason(&wrong.failing, DriveState::Faulty)
            .or_else(|| reason(&wrong.broken, DriveState::ReadOnly))
            .or_else(|| reason(&wrong.full, DriveState::ReadOnly))
            .unwrap_or((DriveState::Online, String::new()))
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.wrong().absent.is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.wrong().full.is_some()
    }

    fn unavailable(&self, (state, reason): (DriveState, String)) -> StoreError {
        StoreError::Unavailable {
            drive: self.drive,
            state,
            reason,
        }
    }

    pub(crate) fn check_readable(&self) -> Result<(), StoreError> {
        let now = self.state();
        if now.0.readable() {
            Ok(())
        } else {
            Err(self.unavailable(now))
        }
    }

    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        let now = self.state();
        if now.0 == DriveState::Online {
            Ok(())
        } else {
            Err(self.unavailable(now))
        }
    }

    /// A full drive takes deletes, or it would stay full for ever: the reserve is for them.
    pub(crate) fn check_deletable(&self) -> Result<(), StoreError> {
        let now = self.state();
        let only_full = now.0 == DriveState::ReadOnly && self.wrong().broken.is_none();
        if now.0 == DriveState::Online || only_full {
            Ok(())
        } else {
            Err(self.unavailable(now))
        }
    }

    pub(crate) fn set_absent(&self, state: DriveState, reason: String) {
        let mut wrong = self.wrong();
        if wrong
            .absent
            .as_ref()
            .is_none_or(|known| *known != (state, reason.clone()))
        {
            tracing::debug!(drive = %self.drive, %state, reason, "drive can't be used");
        }
        wrong.absent = Some((state, reason));
    }

    pub(crate) fn clear_absent(&self) {
        self.wrong().absent = None;
    }

    pub(crate) fn set_full(&self, reason: String) {
        let mut wrong = self.wrong();
        if wrong.full.is_none() {
            tracing::debug!(drive = %self.drive, reason, "drive takes no more writes for now");
        }
        wrong.full = Some(reason);
    }

    pub(crate) fn clear_full(&self) {
        self.wrong().full = None;
    }

    pub(crate) fn note_good_read(&self) {
        let mut wrong = self.wrong();
        wrong.read_errors = wrong.read_errors.saturating_sub(1);
    }

    /// Draws the conclusions from a failed operation.
    pub(crate) fn note(&self, failure: &Failure, counters: &Counters) {
        match failure.op {
            Op::Sync | Op::SyncFolder => counters.sync_errors.one(),
            Op::Read | Op::Open | Op::List => counters.read_errors.one(),
            _ => counters.write_errors.one(),
        }
        match (failure.op, blame(&failure.source)) {
            (_, Blame::Process) => {
                tracing::warn!(drive = %self.drive, error = %failure, "the process is short of something");
            }
            // Whatever a sync said, what it should have saved may be lost.
            (Op::Sync | Op::SyncFolder, _) => self.break_down(failure),
            (Op::Read | Op::Open | Op::List, blame) => {
                if blame == Blame::Disk {
                    self.note_read_error(failure);
                }
            }
            (_, Blame::Room) => self.set_full(format!("full: {failure}")),
            (_, Blame::Gone) => self.set_absent(
                DriveState::Missing,
                format!("its folder vanished or was changed: {failure}"),
            ),
            (_, Blame::Disk) => self.break_down(failure),
        }
    }

    fn break_down(&self, failure: &Failure) {
        let mut wrong = self.wrong();
        if wrong.broken.is_none() {
            tracing::error!(drive = %self.drive, error = %failure, "drive takes no more writes");
            wrong.broken = Some(format!("takes no more writes: {failure}"));
        }
    }

    fn note_read_error(&self, failure: &Failure) {
        let mut wrong = self.wrong();
        wrong.read_errors = wrong.read_errors.saturating_add(READ_ERROR_WEIGHT);
        tracing::warn!(drive = %self.drive, error = %failure, "read failed");
        if wrong.read_errors >= READ_ERRORS_LIMIT && wrong.failing.is_none() {
            tracing::error!(drive = %self.drive, error = %failure, "drive fails too many reads");
            wrong.failing = Some(format!("fails too many reads: {failure}"));
        }
    }
}

/// Whether it was the disk that failed, and not this process for want of something.
pub(crate) fn is_the_disks_fault(failure: &Failure) -> bool {
    blame(&failure.source) != Blame::Process
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Room,
    Gone,
    Process,
    Disk,
}

fn blame(error: &io::Error) -> Blame {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => Blame::Room,
        Some(Errno::NOENT | Errno::NOTDIR | Errno::STALE) => Blame::Gone,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Blame::Process,
        Some(_) => Blame::Disk,
        None => match error.kind() {
            io::ErrorKind::NotFound => Blame::Gone,
            io::ErrorKind::OutOfMemory => Blame::Process,
            _ => Blame::Disk,
        },
    }
}
