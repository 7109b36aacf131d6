//! One fragment being written: a task of its own, fed through a queue of one block.
//!
//! The task ends with the fragment durable or with what the drive said. A put that is dropped
//! while it streams stops the task, and the writer's drop leaves nothing visible. Once the commit
//! was asked for, nobody's leaving stops it: a half-done commit would be a lie to whoever asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use holdfast_types::{DriveId, FragmentHeader, FragmentStore, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// One block waits while one is written: enough to keep the drive busy, and the least memory.
const QUEUE_BLOCKS: usize = 1;

/// What a fragment's task is told.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Block(Bytes),
    Commit,
}

/// The task that writes one fragment.
#[derive(Debug)]
pub(crate) struct FragmentTask {
    sender: mpsc::Sender<Message>,
    work: Option<JoinHandle<Result<(), StoreError>>>,
    busy_us: Arc<AtomicU64>,
    stop_on_drop: bool,
}

impl FragmentTask {
    /// Begins to write a fragment; `backlog` are the blocks that it has missed.
    pub(crate) fn start(
        store: Arc<dyn FragmentStore>,
        drive: DriveId,
        header: FragmentHeader,
        backlog: Vec<Bytes>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_BLOCKS);
        let busy_us = Arc::new(AtomicU64::new(0));
        let feed = Feed {
            backlog,
            messages: receiver,
            busy_us: Arc::clone(&busy_us),
        };
        let work = tokio::spawn(write(store, drive, header, feed));
        Self {
            sender,
            work: Some(work),
            busy_us,
            stop_on_drop: true,
        }
    }

    /// The way to the task. It refuses when the task has ended, which is then an error of its.
    pub(crate) fn sender(&self) -> mpsc::Sender<Message> {
        self.sender.clone()
    }

    /// How long the drive has taken for the blocks that it took.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_micros(self.busy_us.load(Ordering::Relaxed))
    }

    /// From now on the task runs to its end, whoever leaves. Before the commit is asked for.
    pub(crate) fn keep_on_drop(&mut self) {
        self.stop_on_drop = false;
    }

    /// Stops the task at its next pause; the writer's drop leaves nothing visible.
    pub(crate) fn stop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }

    /// Asks a task that was just started to commit after its backlog.
    pub(crate) fn commit_after_backlog(&mut self) {
        self.keep_on_drop();
        self.sender
            .try_send(Message::Commit)
            .expect("the queue of a new task is empty");
    }

    /// Waits for the end of the task. Nothing may be sent any more.
    pub(crate) async fn outcome(mut self) -> Result<(), String> {
        let work = self.work.take().expect("taken once, here");
        drop(self); // Closes the queue: without a commit in it the task gives up.
        match work.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(format!("the fragment's writer died: {error}")),
        }
    }
}

impl Drop for FragmentTask {
    fn drop(&mut self) {
        if let (true, Some(work)) = (self.stop_on_drop, &self.work) {
            work.abort();
        }
    }
}

/// What a task gets to write.
struct Feed {
    backlog: Vec<Bytes>,
    messages: mpsc::Receiver<Message>,
    busy_us: Arc<AtomicU64>,
}

async fn write(
    store: Arc<dyn FragmentStore>,
    drive: DriveId,
    header: FragmentHeader,
    mut feed: Feed,
) -> Result<(), StoreError> {
    let mut writer = store.create(drive, header).await?;
    for block in feed.backlog {
        writer.write_block(block).await?;
    }
    while let Some(message) = feed.messages.recv().await {
        match message {
            Message::Block(block) => {
                let start = Instant::now();
                writer.write_block(block).await?;
                let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                feed.busy_us.fetch_add(took, Ordering::Relaxed);
            }
            Message::Commit => return writer.commit().await,
        }
    }
    Err(StoreError::Contract("given up before its commit"))
}
