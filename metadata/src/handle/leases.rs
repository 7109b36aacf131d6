//! Leases of workers: see [`crate::lease`].

use uuid::Uuid;

use super::{Metadata, Result};
use crate::commands::leases::{EndLeases, RenewLeases};
use crate::lease::{Fence, LeaseAnswer, TakeLease, WorkerLease};
use crate::queries::leases;

/// Leases of workers.
impl Metadata {
    /// A handle whose every command happens only while the fence's lease is of the generation that
    /// is held when the command is sent; else it is answered `LeaseLost`, and nothing is changed.
    /// Queries are answered as ever.
    #[must_use]
    pub fn under(&self, fence: &Fence) -> Self {
        Self {
            inner: self.inner.clone(),
            fence: Some(fence.clone()),
        }
    }

    /// Whether what can't be fenced may be begun now: see [`Fence::is_good`]. Always, for a handle
    /// that is under none.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.fence.as_ref().is_none_or(Fence::is_good)
    }

    /// Whether no other process can work over the same database.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.inner.engine.is_embedded()
    }

    /// Takes a lease that nobody holds, or keeps one. On PostgreSQL it waits for the changes that
    /// the one before has under way.
    ///
    /// # Errors
    /// `Unavailable`, `Database`; it may have been taken all the same, and can be asked for again.
    pub async fn take_lease(&self, take: TakeLease) -> Result<LeaseAnswer> {
        self.inner.engine.run(take).await
    }

    /// Renews all leases of a holder; which ones, with their generations. Those that are not among
    /// them it has lost.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn renew_leases(&self, holder: Uuid, term_ms: u64) -> Result<Vec<(String, u64)>> {
        self.inner.engine.run(RenewLeases { holder, term_ms }).await
    }

    /// Gives up all leases of a holder, so that another need not wait for their end.
    ///
    /// # Errors
    /// `Unavailable`, `Database`: then they end by themselves.
    pub async fn end_leases(&self, holder: Uuid) -> Result<()> {
        let holder = Some(holder);
        self.inner.engine.run(EndLeases { holder }).await
    }

    /// Ends the leases that processes held which had the embedded database before this one: it is
    /// this one's alone now, so they are gone. A shared database may have others, and there it does
    /// nothing.
    ///
    /// # Errors
    /// `Unavailable`, `Database`.
    pub async fn end_leases_of_the_dead(&self) -> Result<()> {
        if !self.is_embedded() {
            return Ok(());
        }
        self.inner.engine.run(EndLeases { holder: None }).await
    }

    /// All leases that ever were, by name.
    ///
    /// # Errors
    /// `Unavailable`, `Database`, `Corrupt`.
    pub async fn worker_leases(&self) -> Result<Vec<WorkerLease>> {
        query!(self.reader, leases::all())
    }
}
