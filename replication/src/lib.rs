//! Keeps what is stored as it should be: repairs what is owed, removes what nothing refers to,
//! counts what is at risk, and keeps the metadata's own house.
//!
//! Besides the gateway this is the only room that sees both metadata and bytes. Everything here is
//! a [`Worker`]: it works in small steps, can be killed after any of them, and never holds up a
//! client's request. What a gateway asks of the workers goes through rows in the metadata.

pub mod census;
pub mod change_log;
pub mod chore;
pub mod config;
#[cfg(test)]
mod cuts;
pub mod drain;
pub mod inventory;
pub mod lease;
pub mod lifecycle;
pub mod lost;
mod moves;
pub mod notify;
pub mod parity;
pub mod rebalance;
pub mod reencode;
pub mod repair;
pub mod rewrap;
pub mod runner;
pub mod sample;
pub mod stake;
pub mod sweep;
#[cfg(test)]
mod testing;
pub mod verify;
pub mod worker;

pub use census::{Census, Risk};
pub use change_log::{CHANGE_LOG_BOUNDS, LogTrimmer};
pub use chore::Chore;
pub use config::{ConfigError, WorkerConfig};
pub use drain::{DrainHandle, Drainer, Draining};
pub use inventory::{Inventory, InventoryReport, Patience};
pub use lease::{Leases, Terms};
pub use lifecycle::{Lifecycle, LifecycleReport};
pub use lost::LostDrives;
pub use notify::{EventFacts, Notifier, WebhookBoard, WebhookStatus};
pub use parity::{ParityReport, ParitySampler};
pub use rebalance::{RebalanceHandle, Rebalancer};
pub use reencode::{ReencodeHandle, ReencodeStatus, Reencoder};
pub use repair::{Owed, RepairHandle, RepairStatus, Repairer};
pub use rewrap::Rewrapper;
pub use runner::{Orders, WorkerState, WorkerStatus, Workers};
pub use sample::{SampleReport, Sampler};
pub use sweep::Sweeper;
pub use worker::{Advance, Progress, WorkError, Worker};
