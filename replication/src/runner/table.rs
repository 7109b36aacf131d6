//! What the workers are at, as an operator sees it, and what an operator told them.
//!
//! Orders (pace, pause) are by name and outlive the workers: one that starts later under that name,
//! as the scrub of a drive that is added, follows them too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::worker::{Advance, Worker};

/// What a worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// It has work.
    Busy,
    /// It waits for work.
    Idle,
    /// Its last step failed; it will try again.
    Failing,
    /// Another process has its lease.
    Standby,
    /// An operator paused it.
    Paused,
    /// It has ended, because the process stops.
    Stopped,
}

impl WorkerState {
    /// Its name, as people and programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Failing => "failing",
            Self::Standby => "standby",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A worker as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its name.
    pub name: &'static str,
    /// What it works on, where there is one for each of several things.
    pub subject: Option<String>,
    /// What it is at.
    pub state: WorkerState,
    /// What it has done or is doing, in its own words.
    pub doing: String,
    /// How far it is, where it knows.
    pub advance: Option<Advance>,
    /// How long it will take at the present rate.
    pub eta: Option<Duration>,
    /// Steps that failed since the process began.
    pub errors: u64,
    /// The last failure, if the last step failed.
    pub last_error: Option<String>,
    /// The share of the time that it works while it has work, in percent.
    pub pace_percent: u8,
    /// Who may run it, where only one process at a time may.
    pub lease: Option<LeaseStatus>,
}

/// Whose a worker's lease is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStatus {
    /// The process that holds it, in its own words.
    pub holder: String,
    /// Whether that is this one.
    pub is_ours: bool,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// What an operator told all workers of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orders {
    /// The share of the time, in percent; `None`: as by default.
    pub pace: Option<u8>,
    /// Whether they rest until told otherwise.
    pub paused: bool,
}

impl Orders {
    /// The share of the time that holds for a worker with this usual one, in percent.
    #[must_use]
    pub fn pace_percent(self, usual: u8) -> u8 {
        self.pace.unwrap_or(usual).clamp(1, 100)
    }
}

/// A live view of all workers, cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct WorkerTable(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    next: u64,
    /// In the order they were started.
    rows: BTreeMap<u64, Row>,
    orders: BTreeMap<String, Orders>,
}

#[derive(Debug)]
struct Row {
    status: WorkerStatus,
    nudge: Arc<Notify>,
}

impl WorkerTable {
    /// Each worker as it is now, in the order they were started.
    #[must_use]
    pub fn list(&self) -> Vec<WorkerStatus> {
        let table = self.lock();
        let statuses = table.rows.values().map(|row| {
            let orders = table.orders.get(row.status.name).copied();
            let usual = row.status.pace_percent;
            WorkerStatus {
                pace_percent: orders.unwrap_or_default().pace_percent(usual),
                ..row.status.clone()
            }
        });
        statuses.collect()
    }

    /// Tells all workers of a name what to do from their next step on. Returns what holds now;
    /// `None`: there is no such worker.
    pub fn order(&self, name: &str, change: impl FnOnce(&mut Orders)) -> Option<Orders> {
        let mut table = self.lock();
        if !table.rows.values().any(|row| row.status.name == name) {
            return None;
        }
        let orders = table.orders.entry(name.to_owned()).or_default();
        let before = *orders;
        change(orders);
        let now = *orders;
        if now.paused != before.paused {
            table.nudge(name);
        }
        Some(now)
    }

    /// Gives all workers of a name another share of the time, 1 to 100 percent, from their next
    /// step on. Returns whether there is such a worker.
    #[must_use]
    pub fn set_pace(&self, name: &str, percent: u8) -> bool {
        let pace = Some(percent.clamp(1, 100));
        self.order(name, |orders| orders.pace = pace).is_some()
    }

    /// Orders that were given in an earlier life of the process, also for workers that are yet to
    /// start.
    pub fn remember(&self, name: &str, orders: Orders) {
        self.lock().orders.insert(name.to_owned(), orders);
    }

    /// Orders as they stand in the metadata, where an operator may have given them to another
    /// process.
    pub(super) fn adopt(&self, name: &str, orders: Orders) {
        let mut table = self.lock();
        let before = table.orders.insert(name.to_owned(), orders);
        if before.unwrap_or_default().paused != orders.paused {
            table.nudge(name);
        }
    }

    /// Has all workers of a name look for work now. Returns whether there is such a worker.
    #[must_use]
    pub fn wake(&self, name: &str) -> bool {
        self.lock().nudge(name)
    }

    /// What holds for workers of a name.
    #[must_use]
    pub fn orders(&self, name: &str) -> Orders {
        self.lock().orders.get(name).copied().unwrap_or_default()
    }

    pub(super) fn add(&self, worker: &impl Worker) -> (u64, Arc<Notify>) {
        let nudge = Arc::new(Notify::new());
        let status = WorkerStatus {
            name: worker.name(),
            subject: worker.subject(),
            state: WorkerState::Idle,
            doing: worker.doing(),
            advance: worker.advance(),
            eta: None,
            errors: 0,
            last_error: None,
            pace_percent: worker.usual_pace(),
            lease: None,
        };
        let row = Row {
            status,
            nudge: Arc::clone(&nudge),
        };
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.rows.insert(number, row);
        (number, nudge)
    }

    pub(super) fn change(&self, row: u64, change: impl FnOnce(&mut WorkerStatus)) {
        if let Some(row) = self.lock().rows.get_mut(&row) {
            change(&mut row.status);
        }
    }

    pub(super) fn remove(&self, row: u64) {
        self.lock().rows.remove(&row);
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn nudge(&self, name: &str) -> bool {
        let named = self.rows.values().filter(|row| row.status.name == name);
        named.map(|row| row.nudge.notify_one()).count() > 0
    }
}
