//! Leases are taken, renewed and given up; and every command of a worker is under one.

use uuid::Uuid;

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::lease::{Fence, LeaseAnswer, TakeLease};
use crate::model::OpId;
use crate::queries::leases::{LeaseRow, read_lease};
use crate::sql::{Tx, values};

impl Apply for TakeLease {
    type Outcome = LeaseAnswer;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<LeaseAnswer, MetadataError> {
        // Without a lock: whoever waits its turn must not be in the way of the holder's changes.
        if let Some(seen) = look(tx, &self.name).await? {
            let now_ms = tx.database_now_ms().await?;
            if self.kept == Some(seen.generation) && self.keep(tx, now_ms).await? {
                return Ok(LeaseAnswer::Ours {
                    generation: seen.generation,
                    since_ms: seen.since_ms,
                });
            }
            if !self.may_have(&seen, now_ms) {
                return Ok(seen.theirs(now_ms));
            }
        }
        tx.execute(
            "INSERT INTO worker_leases \
             (name, generation, holder, holder_name, since_ms, until_ms) \
             VALUES ($1, 0, $2, $3, 0, 0) ON CONFLICT DO NOTHING",
            values![&self.name, &self.holder, &self.holder_name],
        )
        .await?;
        let row = tx
            .fetch_one(
                "SELECT generation, holder, holder_name, since_ms, until_ms FROM worker_leases \
                 WHERE name = $1 FOR UPDATE",
                values![&self.name],
            )
            .await?;
        let locked = read_lease(&row.ok_or(MetadataError::NotFound("lease"))?, 0)?;
        // Only now: the lock may have been waited for.
        let now_ms = tx.database_now_ms().await?;
        if !self.may_have(&locked, now_ms) {
            return Ok(locked.theirs(now_ms));
        }
        let generation = locked.generation + 1;
        tx.execute(
            "UPDATE worker_leases SET generation = $2, holder = $3, holder_name = $4, \
             since_ms = $5, until_ms = $6 WHERE name = $1",
            values![
                &self.name,
                generation,
                &self.holder,
                &self.holder_name,
                now_ms,
                now_ms.saturating_add(self.term_ms)
            ],
        )
        .await?;
        Ok(LeaseAnswer::Ours {
            generation,
            since_ms: now_ms,
        })
    }
}

impl TakeLease {
    /// It is over, or was this very process's.
    fn may_have(&self, lease: &LeaseRow, now_ms: u64) -> bool {
        lease.until_ms <= now_ms || lease.holder == self.holder
    }

    async fn keep(&self, tx: &mut Tx<'_>, now_ms: u64) -> Result<bool, MetadataError> {
        let kept = tx
            .execute(
                "UPDATE worker_leases SET until_ms = $4 \
                 WHERE name = $1 AND holder = $2 AND generation = $3 AND until_ms > 0",
                values![
                    &self.name,
                    &self.holder,
                    self.kept.unwrap_or_default(),
                    now_ms.saturating_add(self.term_ms)
                ],
            )
            .await?;
        Ok(kept > 0)
    }
}

async fn look(tx: &mut Tx<'_>, name: &str) -> Result<Option<LeaseRow>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT generation, holder, holder_name, since_ms, until_ms FROM worker_leases \
             WHERE name = $1",
            values![name],
        )
        .await?;
    row.map(|row| read_lease(&row, 0)).transpose()
}

/// Renews all leases of a process: those that nobody has taken from it, also when their term had
/// ended.
pub(crate) struct RenewLeases {
    pub(crate) holder: Uuid,
    pub(crate) term_ms: u64,
}

impl Apply for RenewLeases {
    /// Names and generations.
    type Outcome = Vec<(String, u64)>;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<Self::Outcome, MetadataError> {
        let until_ms = tx.database_now_ms().await?.saturating_add(self.term_ms);
        let rows = tx
            .fetch(
                "UPDATE worker_leases SET until_ms = $2 WHERE holder = $1 AND until_ms > 0 \
                 RETURNING name, generation",
                values![&self.holder, until_ms],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.text(0)?, row.number(1)?)))
            .collect()
    }
}

/// Ends the leases of a process, or of all.
pub(crate) struct EndLeases {
    pub(crate) holder: Option<Uuid>,
}

impl Apply for EndLeases {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        match &self.holder {
            Some(holder) => {
                tx.execute(
                    "UPDATE worker_leases SET until_ms = 0 WHERE holder = $1 AND until_ms > 0",
                    values![holder],
                )
                .await?
            }
            None => {
                tx.execute(
                    "UPDATE worker_leases SET until_ms = 0 WHERE until_ms > 0",
                    values![],
                )
                .await?
            }
        };
        Ok(())
    }
}

/// A command that happens only while a lease is of the generation that it was sent under.
pub(crate) struct Fenced<C> {
    name: String,
    generation: u64,
    command: C,
}

impl<C> Fenced<C> {
    /// The command under the generation that is held now.
    pub(crate) fn new(fence: &Fence, command: C) -> Result<Self, MetadataError> {
        let name = fence.name().to_owned();
        match fence.generation() {
            Some(generation) => Ok(Self {
                name,
                generation,
                command,
            }),
            None => Err(MetadataError::LeaseLost(name)),
        }
    }
}

impl<C: Apply> Apply for Fenced<C> {
    type Outcome = C::Outcome;

    fn op(&self) -> Option<OpId> {
        self.command.op()
    }

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<C::Outcome, MetadataError> {
        let row = tx
            .fetch_one(
                "SELECT generation FROM worker_leases WHERE name = $1 FOR KEY SHARE",
                values![&self.name],
            )
            .await?;
        let now = row.map(|row| row.number(0)).transpose()?;
        if now != Some(self.generation) {
            return Err(MetadataError::LeaseLost(self.name.clone()));
        }
        self.command.apply(tx).await
    }
}
