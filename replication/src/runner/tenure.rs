//! A worker's lease, as its runner sees it: asked for before a step, put around what the worker
//! changes, and renewed meanwhile.

use std::time::Duration;

use holdfast_metadata::lease::Fence;
use holdfast_metadata::{Metadata, MetadataError};

use super::Seat;
use super::table::{LeaseStatus, Orders, WorkerState, WorkerTable};
use crate::lease::{Lease, Leases, Standing};
use crate::worker::Worker;

/// See the module.
pub(super) struct Tenure {
    leases: Leases,
    lease: Lease,
    /// The worker's own handle, under no fence.
    metadata: Metadata,
    /// What the worker is under now.
    generation: Option<u64>,
}

/// Whose turn it is.
pub(super) enum Turn {
    /// This process's: the worker is under its lease.
    Ours,
    /// Another's; when to ask again.
    Theirs(Duration),
    /// The database could not be asked.
    Unknown(MetadataError),
}

impl Tenure {
    /// For a worker that needs a lease where there are any. It can change nothing before its first
    /// turn.
    pub(super) fn new(leases: Option<&Leases>, worker: &mut impl Worker) -> Option<Self> {
        let (leases, name) = (leases?.clone(), worker.name());
        let handle = worker.leased()?;
        let metadata = handle.clone();
        *handle = metadata.under(&Fence::new(name));
        Some(Self {
            lease: leases.of(name),
            leases,
            metadata,
            generation: None,
        })
    }

    /// Asks whose turn it is, and readies the worker for it.
    pub(super) async fn turn(&mut self, worker: &mut impl Worker, seat: &Seat<'_>) -> Turn {
        match self.leases.settle(&self.lease).await {
            Ok(Standing::Ours {
                fence,
                generation,
                since_ms,
            }) => {
                if self.generation != Some(generation) {
                    self.give_up_term(worker);
                    if let Some(handle) = worker.leased() {
                        *handle = self.metadata.under(&fence);
                    }
                    self.generation = Some(generation);
                    let lease = LeaseStatus {
                        holder: self.leases.holder_name().to_owned(),
                        is_ours: true,
                        since_ms,
                    };
                    seat.table
                        .change(seat.row, |status| status.lease = Some(lease));
                }
                Turn::Ours
            }
            Ok(Standing::Theirs {
                holder_name,
                since_ms,
                ask_again,
            }) => {
                self.give_up_term(worker);
                seat.table.change(seat.row, |status| {
                    status.state = WorkerState::Standby;
                    status.advance = None;
                    status.eta = None;
                    status.last_error = None;
                    status.lease = Some(LeaseStatus {
                        holder: holder_name,
                        is_ours: false,
                        since_ms,
                    });
                });
                Turn::Theirs(ask_again)
            }
            Err(error) => Turn::Unknown(error),
        }
    }

    /// Lets the worker know where its lease was lost meanwhile.
    pub(super) fn notice(&mut self, worker: &mut impl Worker, seat: &Seat<'_>) {
        if self.lease.generation() != self.generation {
            self.give_up_term(worker);
            seat.table.change(seat.row, |status| status.lease = None);
        }
    }

    /// The lease is lost, whatever it seems.
    pub(super) fn give_up(&mut self, worker: &mut impl Worker) {
        self.lease.lose();
        self.give_up_term(worker);
    }

    fn give_up_term(&mut self, worker: &mut impl Worker) {
        if self.generation.take().is_some() {
            worker.lease_lost();
        }
    }
}

/// Returns when the lease is lost; never where there is none.
pub(super) async fn lost(tenure: Option<&Tenure>) {
    match tenure {
        Some(tenure) => tenure.lease.lost().await,
        None => std::future::pending().await,
    }
}

/// Renews the leases of a process for as long as it is let, and sees what operators told another.
pub(super) async fn keep(leases: Leases, table: WorkerTable) {
    loop {
        tokio::time::sleep(leases.renew_every()).await;
        if let Err(error) = leases.renew().await {
            tracing::warn!("the workers' leases could not be renewed: {error}");
        }
        if leases.metadata().is_embedded() {
            continue;
        }
        match leases.metadata().worker_orders().await {
            Ok(all) => {
                for one in all {
                    let orders = Orders {
                        pace: one.pace_percent,
                        paused: one.paused,
                    };
                    table.adopt(&one.name, orders);
                }
            }
            Err(error) => tracing::debug!("the workers' orders could not be read: {error}"),
        }
    }
}
