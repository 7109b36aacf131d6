//! What the admin API may see of background work and of the set of drives, and tell them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use holdfast_gateway::admin::view::{
    AddedView, DrainView, LeaseView, OwedView, ProgressView, RemovedView, RepairView, WorkerView,
};
use holdfast_gateway::admin::{Leaving, NotDone, Upkeep, WorkerOrder};
use holdfast_metadata::Metadata;
use holdfast_metadata::drives::WorkerOrders;
use holdfast_replication::runner::WorkerTable;
use holdfast_replication::{DrainHandle, Orders, RepairHandle, WorkerStatus};
use holdfast_types::{Clock, DriveId};

use super::drive_set::DriveSet;

/// The name of the worker that repairs.
const REPAIR: &str = "repair";

/// Background work and drives of this process.
pub(crate) struct Keeper {
    pub(crate) metadata: Metadata,
    pub(crate) workers: WorkerTable,
    pub(crate) repair: RepairHandle,
    pub(crate) drain: DrainHandle,
    pub(crate) drives: Arc<DriveSet>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Gives workers that are yet to start the orders that operators gave in earlier lives.
pub(crate) async fn remember_orders(
    metadata: &Metadata,
    workers: &WorkerTable,
) -> anyhow::Result<()> {
    for WorkerOrders {
        name,
        pace_percent,
        paused,
    } in metadata.worker_orders().await?
    {
        if paused {
            tracing::warn!(worker = name, "is paused, as an operator ordered");
        }
        workers.remember(
            &name,
            Orders {
                pace: pace_percent,
                paused,
            },
        );
    }
    Ok(())
}

/// A worker as the admin API shows it.
pub(crate) fn worker_view(worker: WorkerStatus) -> WorkerView {
    let eta_seconds = worker.eta.map(|eta| eta.as_secs());
    WorkerView {
        name: worker.name.to_owned(),
        subject: worker.subject,
        state: worker.state.as_str().to_owned(),
        doing: worker.doing,
        progress: worker.advance.map(|advance| ProgressView {
            done: advance.done,
            total: advance.total,
            unit: advance.unit.to_owned(),
            eta_seconds,
        }),
        pace_percent: worker.pace_percent,
        errors: worker.errors,
        last_error: worker.last_error,
        lease: worker.lease.map(|lease| LeaseView {
            holder: lease.holder,
            here: lease.is_ours,
            since_ms: lease.since_ms,
        }),
    }
}

#[async_trait]
impl Upkeep for Keeper {
    async fn order(&self, worker: &str, order: WorkerOrder) -> Result<(), NotDone> {
        let unknown = || NotDone::NotFound(format!("there is no worker {worker}"));
        if order == WorkerOrder::Run {
            return self.workers.wake(worker).then_some(()).ok_or_else(unknown);
        }
        let given = self.workers.order(worker, |orders| match order {
            WorkerOrder::Pace(percent) => orders.pace = Some(percent),
            WorkerOrder::Pause => orders.paused = true,
            WorkerOrder::Resume => orders.paused = false,
            WorkerOrder::Run => {}
        });
        let now = given.ok_or_else(unknown)?;
        let orders = WorkerOrders {
            name: worker.to_owned(),
            pace_percent: now.pace,
            paused: now.paused,
        };
        self.metadata
            .put_worker_orders(orders)
            .await
            .map_err(|error| {
                NotDone::Failed(format!(
                    "it holds until the next restart, but could not be noted: {error}"
                ))
            })
    }

    fn repair(&self) -> RepairView {
        let status = self.repair.status();
        let worker = self.workers.list();
        let worker = worker.into_iter().find(|worker| worker.name == REPAIR);
        let now_ms = self.clock.now_ms();
        let total: u64 = status.by_spares.values().map(|owed| owed.bytes).sum();
        let state = worker
            .as_ref()
            .map_or("stopped", |worker| worker.state.as_str());
        let is_paused = self.workers.orders(REPAIR).paused;
        RepairView {
            state: if is_paused { "paused" } else { state }.to_owned(),
            as_of_ms: status.as_of_ms,
            by_spares: status
                .by_spares
                .iter()
                .map(|(spares, owed)| {
                    let view = OwedView {
                        blobs: owed.blobs,
                        fragments: owed.fragments,
                        bytes: owed.bytes,
                        oldest_seconds: now_ms.saturating_sub(owed.oldest_ms) / 1000,
                    };
                    (*spares, view)
                })
                .collect(),
            progress: ProgressView {
                done: total.saturating_sub(status.remaining_bytes),
                total,
                unit: "bytes".to_owned(),
                eta_seconds: status.eta_seconds().filter(|_| !is_paused),
            },
            repaired_fragments: status.repaired_fragments,
            repaired_bytes: status.repaired_bytes,
            found_whole: status.found_well,
            blocked: status.blocked,
            failures: status.failures,
            bytes_per_second: status.bytes_per_second,
            pace_percent: worker.as_ref().map_or(0, |worker| worker.pace_percent),
            last_error: match worker.and_then(|worker| worker.last_error) {
                Some(error) => error,
                None => status.last_error,
            },
        }
    }

    fn draining(&self) -> BTreeMap<DriveId, DrainView> {
        let drain = self.workers.list().into_iter();
        let eta = drain
            .filter(|worker| worker.name == "drain")
            .find_map(|worker| worker.eta);
        let all = self.drain.all().into_iter();
        all.map(|(drive, one)| {
            let is_counted = one.counted_ms > 0;
            let total = one.first.bytes.max(one.left.bytes);
            let view = DrainView {
                fragments_left: is_counted.then_some(one.left.fragments),
                progress: ProgressView {
                    done: total.saturating_sub(one.left.bytes),
                    total,
                    unit: "bytes".to_owned(),
                    eta_seconds: eta.map(|eta| eta.as_secs()),
                },
                drained: one.is_drained(),
                obstacle: one.obstacle,
            };
            (drive, view)
        })
        .collect()
    }

    async fn add_drive(&self, path: PathBuf, shared_disk: bool) -> Result<AddedView, NotDone> {
        let drives = Arc::clone(&self.drives);
        finish(async move { drives.add(&path, shared_disk).await }).await
    }

    async fn drain_drive(&self, drive: DriveId, is_wanted: bool) -> Result<(), NotDone> {
        let drives = Arc::clone(&self.drives);
        finish(async move { drives.drain(drive, is_wanted).await }).await
    }

    async fn replace_drive(
        &self,
        old: DriveId,
        path: PathBuf,
        shared_disk: bool,
    ) -> Result<AddedView, NotDone> {
        let drives = Arc::clone(&self.drives);
        finish(async move { drives.replace(old, &path, shared_disk).await }).await
    }

    async fn remove_drive(&self, drive: DriveId, how: Leaving) -> Result<RemovedView, NotDone> {
        let drives = Arc::clone(&self.drives);
        finish(async move { drives.remove(drive, how).await }).await
    }
}

/// A change of the drives is not cut half-way because whoever asked for it has left.
async fn finish<T: Send + 'static>(
    change: impl Future<Output = Result<T, NotDone>> + Send + 'static,
) -> Result<T, NotDone> {
    let done = tokio::spawn(change).await;
    done.unwrap_or_else(|_| Err(NotDone::Failed("it ended before it was done".to_owned())))
}
