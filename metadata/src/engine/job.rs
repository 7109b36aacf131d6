//! A command, and the same command under way with somebody waiting for it.

use std::future::Future;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::error::MetadataError;
use crate::model::OpId;
use crate::sql::Tx;

/// A command: statements that are committed together or not at all.
pub(crate) trait Apply: Send + Sync + 'static {
    /// What it answers when it is committed.
    type Outcome: Send + 'static;

    /// The attempt whose row decides what happened when a COMMIT's reply is lost. Without one the
    /// command must be safe to repeat: it is then answered `Unavailable`.
    fn op(&self) -> Option<OpId> {
        None
    }

    /// Sends the statements. May be called again after a rollback. An error must be returned, never
    /// swallowed: the transaction may be gone.
    fn apply(
        &self,
        tx: &mut Tx<'_>,
    ) -> impl Future<Output = Result<Self::Outcome, MetadataError>> + Send;
}

/// A command in the writer's queue, whatever its type.
#[async_trait]
pub(super) trait Job: Send {
    /// Applies the command and keeps what came of it.
    async fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), ()>;

    /// Tells the caller what came of it: the group is committed.
    fn committed(&mut self);

    /// Tells the caller that it did not happen, or that nobody knows.
    fn failed(&mut self, error: MetadataError);

    /// See [`Apply::op`].
    fn op(&self) -> Option<OpId>;
}

/// See [`Job`].
pub(super) struct Pending<C: Apply> {
    command: C,
    outcome: Option<Result<C::Outcome, MetadataError>>,
    waiting: Option<oneshot::Sender<Result<C::Outcome, MetadataError>>>,
}

impl<C: Apply> Pending<C> {
    /// The job, and where its answer will come.
    pub(super) fn new(command: C) -> (Self, oneshot::Receiver<Result<C::Outcome, MetadataError>>) {
        let (sender, receiver) = oneshot::channel();
        let pending = Self {
            command,
            outcome: None,
            waiting: Some(sender),
        };
        (pending, receiver)
    }

    fn answer(&mut self, outcome: Result<C::Outcome, MetadataError>) {
        if let Some(waiting) = self.waiting.take() {
            // A caller that went away is answered by the metadata itself.
            let _ = waiting.send(outcome);
        }
    }
}

#[async_trait]
impl<C: Apply> Job for Pending<C> {
    async fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), ()> {
        let outcome = self.command.apply(tx).await;
        let done = outcome.as_ref().map(|_| ()).map_err(|_| ());
        self.outcome = Some(outcome);
        done
    }

    fn committed(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.answer(outcome);
        }
    }

    fn failed(&mut self, error: MetadataError) {
        self.answer(Err(error));
    }

    fn op(&self) -> Option<OpId> {
        self.command.op()
    }
}
